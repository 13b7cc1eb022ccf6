"""Devices: how many bytes and cycles a classifier in C takes there, by cross-compilers and emulators."""

from bdnn.devices.code import Code, Measured
from bdnn.devices.measuring import measure
from bdnn.devices.registry import DEVICES

__all__ = ["DEVICES", "Code", "Measured", "measure"]

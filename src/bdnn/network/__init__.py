"""The binarized network: layers, heads, the forward pass; intervals under perturbations; the loss."""

from bdnn.network.grid import InputGrid
from bdnn.network.network import Layer, Network

__all__ = ["InputGrid", "Layer", "Network"]

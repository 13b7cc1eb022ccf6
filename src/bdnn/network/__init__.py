"""The binarized network: layers, heads, the forward pass; intervals under perturbations; the loss."""

from bdnn.network.grid import InputGrid
from bdnn.network.layer import Layer
from bdnn.network.network import Network

__all__ = ["InputGrid", "Layer", "Network"]

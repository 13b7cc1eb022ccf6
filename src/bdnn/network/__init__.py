"""The binarized network: layers, heads, the forward pass; intervals under perturbations; the loss."""

from bdnn.network.network import InputGrid, Layer, Network

__all__ = ["InputGrid", "Layer", "Network"]

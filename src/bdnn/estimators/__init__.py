"""The scikit-learn interface: single networks, and ensembles of them."""

from bdnn.estimators.classifier import BDNNClassifier

__all__ = ["BDNNClassifier"]

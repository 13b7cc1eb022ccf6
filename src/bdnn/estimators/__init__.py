"""The scikit-learn face: one network, and ensembles of them."""

from bdnn.estimators.classifier import BDNNClassifier

__all__ = ["BDNNClassifier"]

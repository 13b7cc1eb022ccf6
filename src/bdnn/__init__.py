"""bdnn: binarized deep neural networks, trained by mathematical optimization."""

from typing import TYPE_CHECKING, Any

from bdnn.budget import Budget
from bdnn.errors import BDNNError
from bdnn.network import Network
from bdnn.problem import Problem
from bdnn.result import Result, Status

if TYPE_CHECKING:
    from bdnn.estimators import BDNNClassifier, load

__version__ = "0.1.0"

__all__ = ["BDNNClassifier", "BDNNError", "Budget", "Network", "Problem", "Result", "Status", "load"]


def __getattr__(name: str) -> Any:
    """Import the estimators at first use: scikit-learn takes a second to load."""
    if name in ("BDNNClassifier", "load"):
        from bdnn import estimators

        return getattr(estimators, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

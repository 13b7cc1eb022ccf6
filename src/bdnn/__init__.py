"""bdnn: binarized deep neural networks, trained by mathematical optimization."""

from typing import TYPE_CHECKING, Any

from bdnn.budget import Budget
from bdnn.errors import BDNNError
from bdnn.network import Network
from bdnn.problem import Problem
from bdnn.result import Result, Status

if TYPE_CHECKING:
    from bdnn.certification.engine import certify
    from bdnn.certification.result import Certification
    from bdnn.estimators import BDNNClassifier, load
    from bdnn.verify import save_certificate, verify_certificate

__version__ = "0.1.0"

__all__ = [
    "BDNNClassifier",
    "BDNNError",
    "Budget",
    "Certification",
    "Network",
    "Problem",
    "Result",
    "Status",
    "certify",
    "load",
    "save_certificate",
    "verify_certificate",
]


def __getattr__(name: str) -> Any:
    """Import at first use what not every program needs: scikit-learn alone takes a second to load."""
    if name in ("BDNNClassifier", "load"):
        from bdnn import estimators

        return getattr(estimators, name)
    if name in ("save_certificate", "verify_certificate"):
        from bdnn import verify

        return getattr(verify, name)
    if name == "certify":
        from bdnn.certification import engine

        return engine.certify
    if name == "Certification":
        from bdnn.certification import result

        return result.Certification
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

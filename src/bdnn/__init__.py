"""bdnn: binarized deep neural networks, trained by mathematical optimization."""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bdnn.budget import Budget
from bdnn.errors import BDNNError
from bdnn.network.network import Network, gives_packing, gives_to_integer
from bdnn.problem.problem import Problem
from bdnn.result import Result
from bdnn.status import Status
from bdnn.version import __version__ as __version__

if TYPE_CHECKING:
    from bdnn import plotting as plotting
    from bdnn import rounding as rounding
    from bdnn.certification.engine import certify
    from bdnn.certification.random_attack import attack
    from bdnn.certification.result import Certification
    from bdnn.checker.check import save_certificate, verify_certificate
    from bdnn.estimators.classifier import BDNNClassifier
    from bdnn.estimators.compact import CompactBDNNClassifier
    from bdnn.estimators.ensemble import BDNNEnsembleClassifier, from_bytes, load
    from bdnn.network.schema import Schema
    from bdnn.reports.card import score_card
    from bdnn.reports.interactive.page import interactive_report
    from bdnn.reports.page import report
    from bdnn.tables.dataset import open_parquet

__all__ = [
    "BDNNClassifier",
    "BDNNEnsembleClassifier",
    "BDNNError",
    "Budget",
    "Certification",
    "CompactBDNNClassifier",
    "Network",
    "Problem",
    "Result",
    "Schema",
    "Status",
    "attack",
    "certify",
    "from_bytes",
    "interactive_report",
    "load",
    "open_parquet",
    "plotting",
    "report",
    "save_certificate",
    "score_card",
    "verify_certificate",
]


# imported at first use, since not every program needs them: scikit-learn alone takes a second to load
_LATER = {
    "BDNNClassifier": "bdnn.estimators.classifier",
    "BDNNEnsembleClassifier": "bdnn.estimators.ensemble",
    "Certification": "bdnn.certification.result",
    "CompactBDNNClassifier": "bdnn.estimators.compact",
    "attack": "bdnn.certification.random_attack",
    "certify": "bdnn.certification.engine",
    "from_bytes": "bdnn.estimators.ensemble",
    "interactive_report": "bdnn.reports.interactive.page",
    "load": "bdnn.estimators.ensemble",
    "open_parquet": "bdnn.tables.dataset",
    "Schema": "bdnn.network.schema",
    "report": "bdnn.reports.page",
    "save_certificate": "bdnn.checker.check",
    "score_card": "bdnn.reports.card",
    "verify_certificate": "bdnn.checker.check",
}


@gives_to_integer
def _to_integer(*arguments: Any) -> Network:
    """Round weights by a module that is imported at first use."""
    rounded: Network = importlib.import_module("bdnn.rounding").to_integer(*arguments)
    return rounded


@gives_packing
def _packing() -> ModuleType:
    """Return the module that makes bytes of networks, imported at first use."""
    return importlib.import_module("bdnn.network.packing")


def __getattr__(name: str) -> Any:
    """Return what is imported at first use."""
    if name in ("plotting", "rounding"):
        return importlib.import_module(f"bdnn.{name}")
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)

"""Problems with few features, of which all networks can be gone through: one place to ask for either kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bdnn.methods import exact_halfspaces, exact_pairs

if TYPE_CHECKING:
    from bdnn.methods.exact_halfspaces import FewFeatures
    from bdnn.problem.presolve import Presolved


def covers(reduced: Presolved) -> str:
    """Return why the networks of a problem cannot be gone through, or an empty string."""
    if reduced.problem.hidden_layer_sizes:
        return exact_pairs.covers(reduced)
    return exact_halfspaces.covers(reduced)


def all_networks(reduced: Presolved) -> FewFeatures:
    """Return all networks of a problem that `covers` has nothing against."""
    if reduced.problem.hidden_layer_sizes:
        return exact_pairs.Pairs.of(reduced)
    return exact_halfspaces.Arrangement.of(reduced)

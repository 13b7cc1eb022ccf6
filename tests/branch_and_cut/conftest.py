"""What tests of proofs share."""

import pytest

from bdnn.branch_and_cut.clause_search import ClauseSearches


@pytest.fixture
def trees_alone(monkeypatch):
    """No search by clauses, which closes small problems with hidden layers before there are many nodes."""
    monkeypatch.setattr(ClauseSearches, "promise", lambda self, trees: False)

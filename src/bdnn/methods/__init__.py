"""The registry of training methods: each takes a Problem, a Budget and perhaps a start, and returns a Result."""

from __future__ import annotations

from bdnn.methods.alternating import AlternatingSearch
from bdnn.methods.data_splitting import DataSplitting
from bdnn.methods.exact import ExactTraining
from bdnn.methods.local_search import LocalSearch

METHODS = {
    "exact": ExactTraining,
    "local_search": LocalSearch,
    "alternating": AlternatingSearch,
    "data_splitting": DataSplitting,
}

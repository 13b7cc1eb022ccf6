"""The registry of training methods: each takes a Problem, a Budget and perhaps a start, and returns a Result."""

from __future__ import annotations

from bdnn.methods.exact import ExactTraining

METHODS = {"exact": ExactTraining}

"""A training problem, the reductions that keep its optimum, and the audit of what comes out."""

from bdnn.problem.problem import Problem

__all__ = ["Problem"]

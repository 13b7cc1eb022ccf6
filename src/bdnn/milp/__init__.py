"""Mixed-integer linear programs as plain arrays."""

from bdnn.milp.program import Milp, MilpBuilder

__all__ = ["Milp", "MilpBuilder"]

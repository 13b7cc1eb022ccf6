"""Support functions of perturbation sets in which features take integers, for norms 1 and 2.

Columns t are steps from the point. That of an integer feature costs nothing at t = 0, a cost of its own for the first
step up or down, and another for every further one; that of a real feature costs the latter per unit. The set is
{t : Σ c_j(t_j) <= r, L <= t <= U}, for norm 2 with squares of costs and of r. By weak duality the largest g·t is at
most

    λ B + Σ_j max_t (g_j t - λ φ_j(t)),    φ = c, B = r for norm 1,    φ = c² / 2, B = r² / 2 for norm 2,

for any price λ >= 0, and each of these maxima, taken over integers where the feature takes integers, has a closed form.
Costs are rounded down and r is rounded up, and the sums come with a bound of their rounding errors.

Attributes
----------
support_steps : callable
    (norm, g, r, L, U, costs, integer) -> an upper bound of g·t on the set, about that of the best price, rounding
    errors included; far below 0 if the set is empty. Compiled.
"""

from __future__ import annotations

from bdnn._native.certify import support_steps

__all__ = ["DOWN", "FURTHER", "UP", "support_steps"]

FURTHER, UP, DOWN = 0, 1, 2
"""Columns of an array of costs: of every further step, of the first one up, of the first one down."""

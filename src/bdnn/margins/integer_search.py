"""The search for small integer weights: roundings of several directions, repairs, dives and enumeration."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from bdnn.clock import reading
from bdnn.margins.integer_scores import MAX_COLUMNS, IntegerScores, dive, minimize_largest
from bdnn.margins.margin_programs import by_linear_program
from bdnn.margins.support_vectors import euclidean

if TYPE_CHECKING:
    from bdnn.margins.ordering import OrderingConstraints
    from bdnn.types import Floats

# comparisons near the boundary at first: one matrix product tests all candidates, and most of them fail there
_NEAR = 1000
# multiples of a direction that are rounded for each largest weight
_FACTORS = 32
# candidates that are few enough for all of them to be tried, which also proves a bound
_FEW_CANDIDATES = 50_000


class IntegerSearch(IntegerScores):
    """A search for small integer scores.

    Attributes
    ----------
    impossible : bool
        Whether not even real scores satisfy the comparisons.
    exhausted : bool
        Whether the last attempt found nothing smaller.
    """

    def __init__(
        self,
        comparisons: OrderingConstraints,
        strict: Floats,
        real_weights: Floats,
        real_bias: Floats,
        keep_signs: bool = False,
    ) -> None:
        super().__init__(comparisons, strict, real_weights, real_bias, keep_signs)
        self.impossible = self.exhausted = self._halved = False
        self._directions: list[Floats] = []

    def accept_given(self) -> None:
        """Take the given weights, which are integers, as a solution."""
        self.accept(self.given[0])

    def begin(self, deadline: float, most: int) -> None:
        """Find a bound and a first solution."""
        W, b = self.given
        if self.largest == 0 or self.accept(np.zeros_like(W)):
            return
        self.bound = 1
        lead = self.comparisons.differences(W, b)
        first = min(_NEAR, len(lead))
        self.near = np.argpartition(lead, first - 1)[:first]
        self._directions = [W]
        program = by_linear_program(self.comparisons, (W, b), deadline, 1e-9, norm="1", required=self.strict)
        if program.gap > 1e-9:
            self._directions.append(program.weights)
            binding = program.rows[program.multipliers > 0]
            self.near = np.union1d(self.near, binding)
            self.bound = max(self.bound, self.proven(program.rows, program.multipliers, program.gap))
        elif program.finished and float(lead.min()) < 0:
            self.impossible = self.weights is None
            return
        left = reading() + 0.5 * (deadline - reading())
        if W.size <= 2000 and left > reading():
            rounder = euclidean(self.comparisons, (W, b), left, 1e-3)
            if np.all(np.isfinite(rounder.weights)):
                self._directions.append(rounder.weights)
        if len(b) > 1:
            # adding the same number for all nodes changes no difference
            self._directions = [D - (D.max(axis=0) + D.min(axis=0)) / 2 for D in self._directions] + [W]
        self._scan(deadline, most)

    def _try(self, P: int) -> bool:
        """Round multiples of the directions to weights up to P."""
        candidates = [np.zeros((0, *self.given[0].shape))]
        for direction in self._directions:
            top = float(np.abs(direction).max(initial=0.0))
            if not (0 < top < math.inf):
                continue
            # beyond P + 1/2, the largest weights are clipped
            factors = np.concatenate(
                [np.linspace(P - 0.499, P + 0.499, _FACTORS), np.linspace(P + 0.5, 1.5 * P + 0.5, 8)]
            )
            scaled = np.rint(factors[:, None, None] * (direction / top))
            candidates.append(np.clip(scaled, P * self.low, P * self.high))
        distinct = np.unique(np.concatenate(candidates), axis=0)
        for W in sorted(self.passing(distinct), key=lambda W: float(np.abs(W).max())):
            if self.accept(W):
                return True
        return False

    def _scan(self, deadline: float, most: int) -> None:
        """Try growing weights until a rounding works, then those between the last two."""
        most = int(min(most, self.limit, self.largest - 1))
        last, P = self.bound - 1, self.bound
        exact = self.given[0] / max(_divisor(self.given[0]), 1e-300)
        if np.all(exact == np.rint(exact)) and np.abs(exact).max() <= most:
            self.accept(exact)
            most = int(min(most, self.largest - 1))
        while P <= most and not self._try(P):
            last, P = P, P + 1 if P < self.bound + 12 else max(P + 1, int(1.2 * P))
            if reading() > deadline:  # it takes longer than intended, so the steps become larger
                P = max(P, 2 * last)
        if last < P and self.weights is not None:
            for middle in np.unique(np.linspace(last + 1, P - 1, 16).astype(int)).tolist():
                if last < middle < self.largest and reading() < deadline and self._try(middle):
                    break

    def improve(self, floor: int, deadline: float, most: int) -> None:
        """Try to find smaller weights, or to prove that there are none; weights of `floor` are small enough."""
        if not self._halved:
            self._halved = True
            if self.given[0].size <= MAX_COLUMNS:
                self._bisect(max(self.bound, floor, 1) - 1, int(min(self.largest, self.limit + 1, most + 1)), deadline)
            return
        before = self.largest
        if not self._enumerate(most):
            minimize_largest(self, reading() + 0.5 * (deadline - reading()), most)
        self.exhausted = self.largest >= before

    def _bisect(self, low: int, high: int, deadline: float) -> None:
        """Look for the size, above `low` (too small) and up to `high`, from which heuristics find weights."""
        while high - low > max(1, low // 100) and reading() < deadline:
            middle = (low + high) // 2 if high < 4 * max(low, 1) else math.isqrt(max(low, 1) * high)
            share = reading() + 0.25 * (deadline - reading())
            if self._repair(middle, share) or dive(self, middle, deadline):
                high = int(self.largest)
            else:
                low = middle

    def _repair(self, P: int, deadline: float) -> bool:
        """Round to weights up to P, and change single ones by 1 as long as this reduces the total violation."""
        if len(self.given[1]) > 1:
            return False
        for direction in self._directions:
            top = float(np.abs(direction).max(initial=0.0)) or 1.0
            for factor in (P + 0.499, P + 1.0):
                w = np.clip(np.rint(direction[0] / top * factor), -P, P)
                for _ in range(20):
                    if reading() > deadline:
                        return False
                    w, done = self._descend(w, P)
                    if not done:
                        break
                    if self.accept(w[None, :]):
                        return True
        return False

    def _descend(self, w: Floats, P: int) -> tuple[Floats, bool]:
        rows = self.near
        S, on = self.comparisons.points[self.comparisons.point[rows]], self.comparisons.better[rows] == 0
        a = S @ w
        sign = np.where(on, 1.0, -1.0)
        violation = math.inf
        for _ in range(4 * len(w) + 20):
            # the least violated threshold t, with a >= t where on and a <= t - 1 where off, is a kind of median
            ends = np.sort(np.where(on, a, a + 1.0))
            k = int((~on).sum())
            t = ends[min(k, len(ends) - 1)] if k == 0 else ends[k - 1]
            edge = np.where(on, t, 1.0 - t)
            now = float(np.maximum(edge - sign * a, 0.0).sum())
            if now == 0.0:
                return w, True
            if now >= violation:
                return w, False
            violation = now
            moved = sign[:, None] * S
            base = (edge - sign * a)[:, None]
            up, down = np.maximum(base - moved, 0.0).sum(axis=0), np.maximum(base + moved, 0.0).sum(axis=0)
            up[w >= P], down[w <= -P] = np.inf, np.inf
            j, step = (int(np.argmin(up)), 1.0) if up.min() <= down.min() else (int(np.argmin(down)), -1.0)
            w = w.copy()
            w[j] += step
            a = a + step * S[:, j]
        return w, False

    def _enumerate(self, most: int) -> bool:
        """Try all weights smaller than the best where these are few; return whether this was done."""
        P, (d, n) = int(min(self.largest - 1, most)), self.given[0].shape
        if d * n * math.log(2 * P + 1) > math.log(_FEW_CANDIDATES):
            return False
        every = np.array(list(itertools.product(range(-P, P + 1), repeat=d * n)), dtype=np.float64)
        size = np.abs(every).max(axis=1, initial=0.0)
        order = np.argsort(size, kind="stable")
        candidates = every[order[size[order] >= self.bound]].reshape(-1, d, n)
        for start in range(0, len(candidates), 4096):
            if any(self.accept(W) for W in self.passing(candidates[start : start + 4096])):
                self.bound = int(self.largest)
                return True
        self.bound = P + 1
        return True


def _divisor(weights: Floats) -> float:
    """Return the largest number of which all weights are multiples; 1 if they are not integers."""
    if not np.all(weights == np.rint(weights)) or np.abs(weights).max(initial=0.0) > 2.0**53:
        return 1.0
    return float(math.gcd(*(int(v) for v in np.unique(np.abs(weights)))) or 1)

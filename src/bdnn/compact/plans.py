"""Plans of compact networks: which inputs, which shape, which weights, and how many networks are summed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from math import ceil, log2
from typing import NamedTuple

STUMPS = (6, 12, 20, 32, 56, 96, 160, 256)
"""Numbers of thresholds of boosted stumps; each is about 1.6 times the one before."""
TREE = (6, 10)
"""The same of one tree, which repeats few of them."""
GRIDS = ((5, 4), (8, 8), (64, 2), (64, 4), (64, 8))
"""Inputs, most important ones first, and bits of each."""
_BOUNDS = {"bits": (1, 7), "coarse": (1, 7), "fine": (63,)}
"""Largest weights without hidden neurons, on bits, grids of few bits and of eight, which need finer weights."""
_HIDDEN = ((3, 1), (12, 1), (32, 3))
"""Hidden neurons, and their largest weights."""
_RULES = ((40, 1), (120, 3), (350, 3), (1000, 3))
"""Most rules, and the largest weights of the outputs behind them."""
RULES = tuple(most for most, _ in _RULES)
LEAVES = (4, 8)
"""Of the boosted trees whose leaves are rules."""
_SMOOTH_BOUNDS = {"stumps": (7, 31), "tree": (7,), "rules": (7, 31), "grid": (15,), "fine": (127,)}
"""Largest weights of outputs from a logistic regression, which rounding must not spoil."""
_FINE = 8
"""Bits of the finest grid."""
_PENALTIES = {"inputs": (0.5, 5.0), "rules": (3.0, 15.0)}
"""Of logistic regressions, in units of scikit-learn's 1 / C: one for few rows, one for many; rules are many."""
_DEEP = 16
"""Leaves of the trees of more rules, whose outputs come from a logistic regression only: there are many of them."""
_FEW_CLASSES = 2
_MUCH_LARGER = 2.0
"""A plan whose estimate is so many times the largest budget is not tried: weights of 0 rarely save as much."""


class Boosting(NamedTuple):
    """How trees are boosted; see `bdnn.compact.boosting`.

    Attributes
    ----------
    leaves : int
        Of a tree, at most.
    together : bool
        Whether leaves have a value for each class, or each tree is that of one class.
    rate : float
        Learning rate.
    step : float
        What 1 stands for in the values of leaves.
    penalty : float
        Of log loss a row that each bit must gain.
    damping : float
        Added to second derivatives.
    cuts : int
        Most thresholds of an input.
    """

    leaves: int
    together: bool = False
    rate: float = 0.3
    step: float = 0.15
    penalty: float = 3e-6
    damping: float = 1.0
    cuts: int = 16

    def is_near(self, other: Boosting) -> bool:
        """Tell whether trees of about as many leaves are boosted: they should do about as well."""
        fewer, more = sorted((self.leaves, other.leaves))
        return self.together == other.together and more <= _NEAR * fewer

    def least_bytes(self, n_classes: int) -> float:
        """Return about how many bytes must be there, so that boosting does not end within the first rounds."""
        outputs = 1 if n_classes == _FEW_CLASSES else n_classes
        each = _BITS_OF_A_LEAF + _BITS_OF_A_VALUE * (outputs - 1) if self.together else _BITS_OF_A_LEAF * outputs
        return _LEAST_ROUNDS * self.leaves * each / 8

    @property
    def text(self) -> str:
        """How trees are boosted, in words."""
        of = " for all classes" if self.together else ""
        return f"boosted trees with {self.leaves} leaves{of}, rate {self.rate:g}, steps of {self.step:g}"


_OF_TWO = (
    Boosting(2, step=0.1),
    Boosting(2, rate=0.8, step=0.25),
    Boosting(4, penalty=1e-5),
    Boosting(4, rate=0.1, step=0.05),
    Boosting(8, rate=0.1, step=0.05),
    Boosting(8),
    Boosting(16),
    Boosting(16, rate=0.2, step=0.1, penalty=1e-5, damping=3.0),
)
"""Of two classes: tables whose labels are noisy want small steps, others few large trees."""
_OF_SEVERAL = (
    Boosting(2, step=0.1),
    Boosting(2, rate=0.8, step=0.25),
    Boosting(4, penalty=1e-5),
    Boosting(8),
    Boosting(16),
    Boosting(32),
    Boosting(8, True, rate=0.5, step=0.25),
    Boosting(16, True),
    Boosting(32, True),
    Boosting(64, True, step=0.3),
)
"""Of several classes: leaves that have a value for each save nodes."""
_LEAST_BYTES = 24
"""Of boosted trees: fewer hold no tree beside its thresholds."""
_LEAST_ROUNDS, _BITS_OF_A_LEAF, _BITS_OF_A_VALUE = 3, 8.0, 1.5
"""Of boosting that there must be room for: where it ends within the first ones, rows decide more than settings do.
And about what a leaf takes with its node, and each further value of a leaf."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A way to make a network.

    Attributes
    ----------
    inputs : {"stumps", "tree", "grid", "rules", "boosted"}
        Bits of boosted stumps or of a tree, grids, bits behind a hidden layer of rules, or boosted trees as they are.
    size : int
        How many bits, inputs on grids, or rules, at most; of boosted trees, bytes.
    bits : int
        Of a grid; leaves of the trees of rules.
    hidden : int
        Hidden neurons that are searched for; 0 for none.
    bound : int
        Largest weight.
    members : int
        Networks that are summed, all but the first trained on resampled rows.
    penalty : float
        Of a logistic regression of this strength the weights of the outputs are rounded; 0 if they are searched for.
    trees : Boosting or None
        How trees are boosted that are the network.
    """

    inputs: str
    size: int
    bits: int = 1
    hidden: int = 0
    bound: int = 1
    members: int = 1
    penalty: float = 0.0
    trees: Boosting | None = None

    @property
    def single(self) -> Plan:
        """The plan of one member, of those of the same name."""
        return replace(self, members=1)

    @property
    def regression(self) -> Plan:
        """What plans have in common whose weights are rounded from those of the same logistic regression."""
        return replace(self, bound=1)

    @property
    def smaller(self) -> list[int]:
        """Sizes of the plans of stumps, rules or trees that differ in nothing else, and are smaller; none of others."""
        sizes: tuple[int, ...] = ()
        if self.inputs == "stumps":
            sizes = STUMPS
        elif self.inputs == "boosted":
            sizes = _doubled(self.size)
        elif self.inputs == "rules":
            sizes = tuple(most for most, bound in _RULES if self.penalty or bound == self.bound)
        return [size for size in sizes if size < self.size]

    def is_near(self, other: Plan) -> bool:
        """Tell whether another plan differs in one thing only, and in size by little: it should do about as well."""
        pairs = [(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)]
        if self.inputs != other.inputs or sum(a != b for a, b in pairs) != 1:
            return False
        if self.trees is not None and other.trees is not None and not self.trees.is_near(other.trees):
            return False
        return max(self.size, other.size) <= _NEAR * min(self.size, other.size)

    @property
    def text(self) -> str:
        """The plan in words."""
        if self.trees is not None:
            return f"{self.trees.text}, {self.size} bytes"
        what = {
            "stumps": f"{self.size} thresholds of boosted stumps",
            "tree": f"{self.size} thresholds of a tree",
            "grid": f"{self.size} inputs of {self.bits} bits",
            "rules": f"{self.size} rules of trees with {self.bits} leaves",
        }[self.inputs]
        more = [f"{self.hidden} hidden neurons"] if self.hidden else []
        more.append(f"weights up to {self.bound}")
        more += [f"{self.members} networks summed"] if self.members > 1 else []
        more += [f"rounded from a logistic regression of penalty {self.penalty:g}"] if self.penalty else []
        return ", ".join([what, *more])


_NEAR = 2.3
"""Sizes that differ by such a factor at most are alike: two steps of `STUMPS`."""


def plain(n_inputs: int) -> list[Plan]:
    """Return plans without hidden neurons."""
    found = [Plan("tree", size, bound=bound) for size in TREE for bound in _BOUNDS["bits"]]
    found += [Plan("stumps", size, bound=bound) for size in STUMPS for bound in _BOUNDS["bits"]]
    for size, bits in dict.fromkeys((min(size, n_inputs), bits) for size, bits in GRIDS):
        found += [Plan("grid", size, bits, bound=bound) for bound in _BOUNDS["fine" if bits == 8 else "coarse"]]
    return found


def hidden(of: Plan) -> list[Plan]:
    """Return plans with hidden neurons on the inputs of a plan without any."""
    return [replace(of, hidden=neurons, bound=bound) for neurons, bound in _HIDDEN]


def ruled() -> list[Plan]:
    """Return plans with a hidden layer of rules."""
    return [Plan("rules", most, leaves, bound=bound) for leaves in LEAVES for most, bound in _RULES]


def summed(of: Plan, many_rows: bool) -> list[Plan]:
    """Return plans of sums of the networks of a plan.

    Sums follow single rows less than their members do, and take more bytes; of many rows one network is nearly enough.
    """
    if of.inputs == "rules":
        numbers: tuple[int, ...] = () if many_rows else (5,)
    elif of.hidden:
        numbers = (3, 6) if many_rows else (4, 12)
    else:
        numbers = (4,) if many_rows else (3, 9)
    return [replace(of, members=number) for number in numbers]


def smooth(plans: Iterable[Plan]) -> list[Plan]:
    """Return plans whose outputs come from a logistic regression, on the inputs or rules of others.

    Hundreds of weights that count training errors only follow single rows; those of a smooth loss do so less.
    """
    inputs = dict.fromkeys((p.inputs, p.size, p.bits) for p in plans if not p.hidden and p.members == 1)
    inputs |= {(kind, size, _DEEP): None for kind, size, _ in inputs if kind == "rules"}
    found = []
    for kind, size, bits in inputs:
        name = "fine" if kind == "grid" and bits == _FINE else kind
        found += [
            Plan(kind, size, bits, bound=bound, penalty=penalty)
            for bound in _SMOOTH_BOUNDS[name]
            for penalty in _PENALTIES["rules" if kind == "rules" else "inputs"]
        ]
    return found


def boosted(max_bytes: Sequence[int], n_classes: int) -> list[Plan]:
    """Return plans of boosted trees: of the budgets, and of half and a quarter of these and so on."""
    sizes = sorted({size for most in max_bytes for size in (most, *_doubled(most)) if size >= _LEAST_BYTES})
    shapes = _OF_TWO if n_classes == _FEW_CLASSES else _OF_SEVERAL
    return [
        Plan("boosted", size, trees=trees) for trees in shapes for size in sizes if size >= trees.least_bytes(n_classes)
    ]


def _doubled(below: int) -> tuple[int, ...]:
    """Return the powers of two below a number of bytes."""
    return tuple(2**k for k in range(_LEAST_BYTES.bit_length(), below.bit_length() + 1) if 2**k < below)


def rounds(plan: Plan, n_classes: int) -> int:
    """Return the rounds of one search: many where they take milliseconds."""
    if n_classes == _FEW_CLASSES:
        return 3 if plan.hidden else 20
    return 1


def fits(plan: Plan, n_inputs: int, n_classes: int, max_bytes: int) -> bool:
    """Tell whether the network of a plan may have as few bytes, as far as can be said before it is trained."""
    if plan.trees is not None:
        return plan.size <= max_bytes
    outputs = 1 if n_classes == _FEW_CLASSES else n_classes
    weight = log2(2 * plan.bound + 1)
    if plan.inputs == "rules":
        estimate = plan.size * (12 + weight * outputs)
    else:
        each = 2 + ceil(log2(max(n_inputs, 2))) + (6 if plan.inputs == "grid" else 8)
        estimate = plan.size * each + plan.size * (plan.hidden or outputs) * weight
        estimate += plan.hidden * (4 + weight * outputs)
    return estimate / 8 <= _MUCH_LARGER * max_bytes

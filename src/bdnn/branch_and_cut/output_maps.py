"""Output maps: what heads of more than two classes can make of the bits of a few neurons.

An argmax head gives every pattern of d bits a class; a threshold head of K outputs gives it the set of outputs that
fire. An *answer* is such a class or set, as a number (of a set, its outputs are the bits). There are finitely many
maps from patterns to answers that some weights realize, and few of them matter:

- Ties need not be considered. On finitely many patterns the score of each class can be lowered a little, more for later
  ones, so that the first of the largest is the only largest.
- *Map F is covered by G* if behind other neurons G never costs more than F. Each neuron of G may be on always, off
  always, a neuron of F, or the complement of one, which is a neuron, too: on finitely many points weights can be
  negated. That orders of bits, complements and bits that are not needed do not matter is a part of this. An answer
  costs no more than another if it does so for every label: firing nothing costs one output, firing two one or three.

That a map is realized or not is proven in integers, since a map that is left out would make bounds wrong: by weights
whose scores are compared on every pattern, or by positive multipliers of rows that would all have to be positive and
add up to zero (P. Gordan 1873; A. Schrijver, *Theory of Linear and Integer Programming*, 1986, §7.8). Both are proposed
by linear programs in floating point, whose own verdicts count for nothing.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from bdnn.errors import BDNNError
from bdnn.linear_programs import LinearProgram
from bdnn.status import Status

if TYPE_CHECKING:
    from bdnn.branch_and_cut.output_functions import Cube, Cubes
    from bdnn.types import Floats, Indices, Integers, Reals

# output functions of a problem: each has a program of its own, which must be bounded
MAX_MAPS = 100
# functions that are tried out, each by linear programs
_MAX_CANDIDATES = 7000
# largest integer that is tried in a last layer
_MAX_FACTOR = 1000
# linear programs, each with other costs, that look for a vertex whose multipliers are unique
_TRIES = 8
# multipliers above this count as positive: HiGHS is off by 1e-7 or less, and what is concluded is checked in integers
_POSITIVE = 1e-9


@dataclass(frozen=True, eq=False)
class OutputMap:
    """What becomes of the bits of some neurons.

    Attributes
    ----------
    n_bits : int
        Number of bits d.
    wrong : tuple of tuple of cubes
        For each thing that can be wanted, the maximal cubes of patterns that do not give it: of an argmax head, for
        each class; of a threshold head, for each output that it does not fire, and that it does. A cube is a tuple of
        pairs (bit, value), sorted.
    answers : tuple of int
        Answer to each pattern; bit l of the number of a pattern is its bit l.
    weights : ndarray of shape (n_outputs, d + 1), int64, or None
        Weights and biases of a last layer that realizes the map; None if the neurons are themselves the outputs.
    """

    n_bits: int
    wrong: tuple[Cubes, ...]
    answers: tuple[int, ...] = ()
    weights: Integers | None = None


def identity(head: str, n_classes: int) -> OutputMap:
    """Return the map of a problem of more than two classes without hidden layer.

    Parameters
    ----------
    head : {"threshold", "argmax"}
        Of a threshold head, the bits are the outputs. Of an argmax head there is one bit: whether the wanted class is
        ahead.
    n_classes : int
        Number of classes.

    Returns
    -------
    OutputMap
        Without weights.
    """
    if head == "argmax":
        return OutputMap(1, ((((0, 0),),),) * n_classes)
    return OutputMap(n_classes, tuple((((k, value),),) for k in range(n_classes) for value in (1, 0)))


@functools.cache
def output_maps(head: str, n_bits: int, n_classes: int) -> tuple[OutputMap, ...] | None:
    """Return the output maps of a head behind a hidden layer, up to maps that are covered by others.

    Parameters
    ----------
    head : {"threshold", "argmax"}
        Kind of head.
    n_bits : int
        Number of hidden neurons d, at least 1.
    n_classes : int
        Number of classes K, at least 3.

    Returns
    -------
    tuple of OutputMap or None
        None if there are more than 100. There are not for d = 1 with an argmax of up to 14 or thresholds of up to 13
        classes, for d = 2 with an argmax of up to 5 or thresholds of 3, and for d = 3 with an argmax of 3.

    Raises
    ------
    BDNNError
        If of some map it can be proven neither that weights realize it nor that none do.

    Examples
    --------
    >>> [len(output_maps("argmax", d, 3)) for d in (1, 2, 3)], len(output_maps("argmax", 2, 5))
    ([3, 12, 99], 95)
    >>> [len(output_maps("threshold", d, 3)) for d in (1, 2)], output_maps("threshold", 2, 4)
    ([6, 42], None)
    """
    argmax = head == "argmax"
    # all maps of one bit can be realized, so only sets that no other beats matter: those of at most one output
    few = not argmax and n_bits == 1
    n_answers = n_classes if argmax else n_classes + 1 if few else 1 << n_classes
    if n_answers ** (1 << n_bits) > _MAX_CANDIDATES:
        return None
    answers = [0, *(1 << k for k in range(n_classes))] if few else list(range(n_answers))
    costs = np.array([_costs(answer, argmax, n_classes) for answer in answers])
    worse = np.all(costs[:, None] >= costs, axis=2)  # the answer of the row costs no less than that of the column
    candidates = [
        places
        for places in itertools.product(range(len(answers)), repeat=1 << n_bits)
        if all(map(_realizable, _labels(head, tuple(answers[a] for a in places), n_classes)))
    ]
    # those of many answers cover most
    table = np.array(sorted(candidates, key=lambda places: (-len(set(places)), places)))
    substitutions = _substitutions(n_bits)
    alive = np.ones(len(table), dtype=np.bool_)
    for number in range(len(table)):
        if not alive[number]:
            continue
        rest = np.flatnonzero(alive)
        rest = rest[rest != number]
        for image in np.unique(table[number][substitutions], axis=0):
            covered = rest
            for pattern, answer in enumerate(image.tolist()):
                covered = covered[worse[table[covered, pattern], answer]]
            alive[covered] = False
    kept = [tuple(answers[a] for a in places) for places in table[alive].tolist()]
    if len(kept) > MAX_MAPS:
        return None
    return tuple(_map(head, given, n_bits, n_classes) for given in kept)


def _costs(answer: int, argmax: bool, n_classes: int) -> list[int]:
    """Return what an answer costs for each label."""
    return [int(answer != c) if argmax else (answer ^ 1 << c).bit_count() for c in range(n_classes)]


@functools.cache
def _substitutions(d: int, *, symmetric: bool = False) -> Indices:
    """Return the pattern that each pattern becomes if bits are replaced by bits, complements or constants.

    `symmetric` leaves out what cannot be undone.
    """
    everything = (1 << d) - 1
    patterns = np.arange(1 << d)
    bits = [patterns >> bit & 1 for bit in range(d)]
    sources = [*bits, *(1 - bit for bit in bits), 0 * patterns, 0 * patterns + 1]
    made = [
        sum((values << bit for bit, values in enumerate(chosen)), 0 * patterns)
        for chosen in itertools.product(sources, repeat=d)
    ]
    return np.array([m for m in made if not symmetric or len(set(m.tolist())) == everything + 1], dtype=np.intp)


def _labels(head: str, answers: tuple[int, ...], n_classes: int) -> list[tuple[int, ...]]:
    """Return labels of the patterns that scores must realize, numbered: all classes, or 0 and 1 of each output."""
    if head == "argmax":
        return [_numbered(answers)]
    return [_numbered(s >> k & 1 for s in answers) for k in range(n_classes)]


def _numbered(labels: Iterable[int]) -> tuple[int, ...]:
    """Return labels numbered by their first occurrence: which class is which does not matter."""
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(label, len(numbers)) for label in labels)


@functools.cache
def _realizable(labels: tuple[int, ...]) -> bool:
    """Tell whether scores realize numbered labels; one order of the bits and their complements speaks for all."""
    symmetries = _substitutions(len(labels).bit_length() - 1, symmetric=True)
    least = min(map(_numbered, np.array(labels)[symmetries].tolist()))
    return _scores(labels) is not None if least == labels else _realizable(least)


@functools.cache
def _scores(labels: tuple[int, ...]) -> Integers | None:
    """Return integer weights and biases of scores of which each pattern's label has the largest, or None.

    Labels are numbered from 0. Weights are compared on every pattern in integers; None is returned only with a proof in
    integers that there are none, and if there is neither, `BDNNError` is raised.
    """
    d, n = len(labels).bit_length() - 1, max(labels) + 1
    if n == 1:
        return np.zeros((1, d + 1), dtype=np.int64)
    ahead = _ahead(labels)
    weights = _solution(ahead)
    if weights is not None:
        return weights.reshape(n, d + 1)
    if _multipliers(ahead) is not None:
        return None
    raise BDNNError(
        f"it could be proven neither that scores of {d} bits give the patterns the labels {labels}, nor that none do: "
        "the linear programs of this installation of HiGHS fail; install another version, or choose another method "
        "than 'exact'"
    )


def _ahead(labels: tuple[int, ...]) -> Integers:
    """Return rows whose products with the weights say by how much each pattern's label is ahead of each other label."""
    d, n = len(labels).bit_length() - 1, max(labels) + 1
    patterns = np.array([[u >> bit & 1 for bit in range(d)] + [1] for u in range(len(labels))])
    rows = np.zeros((len(labels), n, n, d + 1), dtype=np.int64)
    for u, label in enumerate(labels):
        rows[u, :, label] += patterns[u]
        for other in range(n):
            rows[u, other, other] -= patterns[u]
    ahead = rows.reshape(len(labels) * n, -1)
    return ahead[np.any(ahead != 0, axis=1)]


def _solution(rows: Integers) -> Integers | None:
    """Return integers that have a positive product with every row, or None if none were found."""
    # positive and negative parts, of which the least are taken
    sides = np.ones(len(rows)), np.full(len(rows), np.inf)
    x = _vertex(np.ones(2 * rows.shape[1]), np.hstack([rows, -rows]), *sides)
    if x is None or not np.all(np.isfinite(x)) or np.abs(x).max() > _MAX_FACTOR:
        return None
    solution = np.subtract(*np.split(x, 2))
    for factor in range(1, _MAX_FACTOR):
        weights: Integers = np.rint(factor * solution).astype(np.int64)
        if np.all(rows @ weights > 0):  # far below the range of the integers
            return weights
    return None


def _multipliers(rows: Integers) -> dict[int, int] | None:
    """Return positive integers for some rows that add up to zero with them, or None if none were found.

    They prove that no weights have positive products with all rows: the products would add up to zero, too.
    """
    equations = np.vstack([rows.T, np.ones((1, len(rows)))])
    right = np.append(np.zeros(rows.shape[1]), 1.0)
    rng = np.random.default_rng(0)
    for _ in range(_TRIES):
        x = _vertex(rng.integers(1, 10, len(rows)).astype(np.float64), equations, right, right)
        if x is None:
            continue
        # the rows of a vertex have no other multipliers
        support = np.flatnonzero(x > _POSITIVE).tolist()
        factors = _vanishing([rows[i].tolist() for i in support])
        if factors is not None:
            return dict(zip(support, factors, strict=True))
    return None


def _vertex(cost: Floats, rows: Reals | Integers, lower: Floats, upper: Floats) -> Floats | None:
    """Return the cheapest non-negative x with ``lower <= rows · x <= upper``, a vertex; None if HiGHS found none."""
    n, sides = len(cost), (rows.astype(np.float64), lower, upper)
    program = LinearProgram(cost, np.zeros(n), np.full(n, np.inf), sides, options={"solver": "simplex"})
    return program.x if program.solve() in (Status.OPTIMAL, Status.FEASIBLE) else None


def _vanishing(rows: list[list[int]]) -> list[int] | None:
    """Return positive integers with which the rows add up to zero, if they are unique up to their scale."""
    table = [[Fraction(row[j]) for row in rows] for j in range(len(rows[0]))] if rows else []
    pivots: list[int] = []
    for column in range(len(rows)):
        place = next((i for i in range(len(pivots), len(table)) if table[i][column]), None)
        if place is None:
            continue
        rank = len(pivots)
        table[rank], table[place] = table[place], table[rank]
        table[rank] = [value / table[rank][column] for value in table[rank]]
        for i, line in enumerate(table):
            if i != rank and line[column]:
                table[i] = [a - line[column] * b for a, b in zip(line, table[rank], strict=True)]
        pivots.append(column)
    if len(pivots) != len(rows) - 1:
        return None
    (free,) = set(range(len(rows))) - set(pivots)
    values = [Fraction(1)] * len(rows)
    for rank, column in enumerate(pivots):
        values[column] = -table[rank][free]
    common = math.lcm(*(value.denominator for value in values))
    factors = [int(value * common) for value in values]
    # the proof, whatever came before
    adds_up = all(sum(mu * row[j] for mu, row in zip(factors, rows, strict=True)) == 0 for j in range(len(rows[0])))
    return factors if adds_up and min(factors) > 0 else None


def _map(head: str, answers: tuple[int, ...], d: int, n_classes: int) -> OutputMap:
    if head == "argmax":
        given = [answers]
        wrong = [[a != c for a in answers] for c in range(n_classes)]
    else:
        given = [tuple(a >> k & 1 for a in answers) for k in range(n_classes)]
        wrong = [[a != value for a in labels] for labels in given for value in (0, 1)]
    layers = []
    for labels in given:
        scores = _scores(_numbered(labels))
        if scores is None:
            raise BDNNError(f"no scores of {d} bits give the patterns the labels {labels}")
        # a class that is never ahead has a score below all others
        below = np.array([0] * d + [-1 - int(np.abs(scores).sum(axis=1).max())])
        places = {label: number for label, number in zip(labels, _numbered(labels), strict=True)}
        classes = range(n_classes if head == "argmax" else 2)
        layers.append(np.array([scores[places[c]] if c in places else below for c in classes], dtype=np.int64))
    weights = layers[0] if head == "argmax" else np.array([on - off for off, on in layers])
    if _answers(head, weights, d) != answers:
        raise BDNNError(f"weights of an output map give the answers {_answers(head, weights, d)}, not {answers}")
    return OutputMap(d, tuple(_cubes(bad, d) for bad in wrong), answers, weights)


def _answers(head: str, weights: Integers, d: int) -> tuple[int, ...]:
    """Return what a last layer of integers makes of each pattern."""
    lines = weights.tolist()
    found = []
    for u in range(1 << d):
        scores = [line[-1] + sum(line[bit] for bit in range(d) if u >> bit & 1) for line in lines]
        fires = sum(1 << k for k, score in enumerate(scores) if score >= 0)
        found.append(scores.index(max(scores)) if head == "argmax" else fires)
    return tuple(found)


def _cubes(bad: list[bool], d: int) -> Cubes:
    """Return the maximal cubes of patterns that are all bad, smaller sets of fixed bits first."""
    found: list[Cube] = []
    for size in range(d + 1):
        for bits in itertools.combinations(range(d), size):
            for values in itertools.product((0, 1), repeat=size):
                cube = tuple(zip(bits, values, strict=True))
                if any(set(larger) <= set(cube) for larger in found):
                    continue
                if all(bad[u] for u in range(1 << d) if all(u >> bit & 1 == value for bit, value in cube)):
                    found.append(cube)
    return tuple(found)

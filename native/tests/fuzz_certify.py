"""Every binding of bdnn._native.certify with random arguments: right ones, wrong shapes and types, NaN, huge values.

    python native/tests/fuzz_certify.py [--rounds 2000] [--seed 0]

Nothing may crash, and nothing but bdnn.errors.InputError and TypeError may be raised. To be run with a library that was
built with sanitizers.
"""

from __future__ import annotations

import argparse

import numpy as np

from bdnn._native import certify as native
from bdnn.errors import InputError

EDGES = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 5e-324, 1e-300, 1e300, -1e308, 2.0**53]


class Enough(Exception):
    """A search has gone on for long enough."""


def numbers(rng, *shape):
    """Return random numbers, sometimes with edges of what numbers can be."""
    values = rng.normal(size=shape) * 10.0 ** rng.integers(-3, 4)
    if rng.random() < 0.3:
        some = rng.random(shape) < 0.3
        values = np.where(some, rng.choice(EDGES, size=shape), values)
    if rng.random() < 0.2:
        values = np.rint(values)
    return np.ascontiguousarray(values)


def spoilt(rng, value):
    """Return the argument, or now and then something else in its place."""
    if rng.random() < 0.97:
        return value
    others = [None, "word", -1, 2**62, np.nan, [1.0], np.zeros(0), np.zeros((2, 3), dtype=np.float32), object()]
    if isinstance(value, np.ndarray):
        others += [
            value[..., ::-1],
            value.T,
            np.asfortranarray(value),
            value[None],
            value[..., :-1],
            value.astype(complex),
        ]
        frozen = value.copy()
        frozen.flags.writeable = False
        others += [value.astype(complex), frozen, value.astype(">f8") if value.dtype == np.float64 else value]
    return others[rng.integers(len(others))]


def call(rng, function, *arguments):
    """Call a function; refusals are right answers."""
    try:
        return function(*(spoilt(rng, a) for a in arguments))
    except (InputError, TypeError, Enough):
        return None


def pause_after(count):
    """Return what ends a search when it is called too often."""
    left = count

    def pause(nodes):
        nonlocal left
        left -= 1
        if left < 0:
            raise Enough

    return pause


def region(rng, k, n):
    """Return the arguments that trees of both kinds have, around their own ones."""
    norm = int(rng.integers(3))
    whole = rng.random(n) < rng.choice([0.0, 0.0, 0.5, 1.0])
    reach = np.abs(numbers(rng, n)) + 0.1
    bounds = (-np.rint(reach), np.rint(reach)) if whole.any() else (-reach, reach)
    costs = np.abs(numbers(rng, n, 3)) if whole.any() and norm else np.zeros((0, 3))
    before = (norm, numbers(rng, k, n), numbers(rng, k), np.abs(numbers(rng, k)) * 1e-12)
    return before, (float(rng.choice([0.5, 1.0, 10.0, np.inf])), *bounds), (whole, costs)


def search(rng, tree):
    """Go on with a tree for a while, and answer it in every way."""
    for _ in range(12):
        try:
            stop = tree.explore(int(rng.choice([0, 1, 5, 40])), pause_after(10))
        except Enough:
            continue
        assert tree.found.shape and tree.solution.shape == tree.lower.shape and tree.nodes >= 0
        if stop == native.DONE:
            return
        answer = rng.integers(4)
        if answer == 0:
            tree.reopen()
        elif answer == 1 and not tree.is_full:
            tree.branch_any()
        elif answer == 2:
            low, high = -np.abs(numbers(rng, len(tree.lower))), np.abs(numbers(rng, len(tree.lower)))
            call(rng, tree.shrink, float(rng.choice([0.3, 1.0, np.inf])), low, high)


def one_round(rng):
    """Call everything once."""
    k, n = int(rng.integers(0, 7)), int(rng.integers(0, 9))
    W, alpha, factors = numbers(rng, k, n), numbers(rng, k), np.abs(numbers(rng, k))
    error, g = np.abs(numbers(rng, k)), numbers(rng, n)
    low, high = -np.abs(numbers(rng, n)), np.abs(numbers(rng, n))
    norm, r = int(rng.integers(3)), float(rng.choice([*EDGES, 0.5, 3.0]))
    call(rng, native.support, norm, g, r, low, high)
    call(rng, native.smallest_radius, norm, g, r, low, high)
    call(rng, native.smallest_radii, norm, W, alpha, low, high)
    call(rng, native.magnitude, norm, g, r, low, high)
    call(rng, native.magnitudes, norm, W, r, low, high)
    call(rng, native.reaches, norm, W, r, low, high)
    call(rng, native.excludes, norm, W, alpha, error, factors, r, low, high)
    call(rng, native.proven_radius, norm, W, alpha, error, factors, low, high)
    call(rng, native.largest_move, g, numbers(rng, n))
    call(rng, native.support_steps, norm, g, r, low, high, np.abs(numbers(rng, n, 3)), rng.random(n) < 0.5)
    call(rng, native.nearest, norm, W, alpha, low, high, r, pause_after(3))
    before, middle, after = region(rng, max(k, 1), n)
    m, weights = np.abs(numbers(rng, max(k, 1))), np.abs(numbers(rng, max(k, 1)))
    goal = (float(weights.sum()) * 0.4, float(weights.sum()) * 0.4)
    if (tree := call(rng, native.SubsetTree, *before, m, weights, goal, *middle, *after)) is not None:
        search(rng, tree)
    widths = np.array([max(k, 1) + 2, *rng.integers(1, 4, size=rng.integers(1, 3))])
    count = int(((widths[:-1] + 1) * widths[1:]).sum())
    upper = call(
        rng, native.UpperLayers, numbers(rng, count), widths, rng.random(len(widths) - 1) < 0.5, int(rng.integers(3))
    )
    if upper is None:
        return
    bits = (rng.random((2, widths[0])) < 0.5).astype(float)
    call(rng, upper.constant, bits[0], bits[1])
    open_ = rng.permutation(widths[0])[: max(k, 1)]
    if (tree := call(rng, native.CellTree, *before, upper, *middle, open_, bits, weights, *after)) is not None:
        search(rng, tree)
    layers = [(numbers(rng, 3, n), numbers(rng, 3)), (numbers(rng, 2, 3), numbers(rng, 2))]
    if (decide := call(rng, native.Classifier, layers)) is not None:
        call(rng, decide, g)


def main() -> None:
    """Go through the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    with np.errstate(all="ignore"):
        for _ in range(options.rounds):
            one_round(rng)
    print(f"{options.rounds} rounds")


if __name__ == "__main__":
    main()

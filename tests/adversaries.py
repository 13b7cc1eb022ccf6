"""Oracles of robustness: an SMT solver over the reals, and random perturbations."""

from fractions import Fraction

import numpy as np
import z3

from bdnn import Network


def _number(value):
    exact = Fraction(value)
    return z3.Q(exact.numerator, exact.denominator)


def has_attack(
    network: Network, x, radius, norm="inf", scale=1.0, lower=None, upper=None, frozen=(), strictly=False, integer=()
):
    """Whether a real input within the closed (or open) ball is decided otherwise than x; grids are not modeled."""
    n = len(x)
    scale = np.broadcast_to(scale, n)
    inputs, solver = [z3.Real(f"x{j}") for j in range(n)], z3.Solver()
    moves = [(v - _number(float(c))) / _number(float(s)) for v, c, s in zip(inputs, x, scale, strict=True)]
    r = _number(float(radius))
    for j in range(n):
        if j in frozen:
            solver.add(moves[j] == 0)
        elif j in integer:
            solver.add(z3.IsInt(inputs[j]))
        if lower is not None and np.isfinite(np.broadcast_to(lower, n)[j]):
            solver.add(inputs[j] >= _number(float(np.broadcast_to(lower, n)[j])))
        if upper is not None and np.isfinite(np.broadcast_to(upper, n)[j]):
            solver.add(inputs[j] <= _number(float(np.broadcast_to(upper, n)[j])))
    if norm == "inf":
        for move in moves:
            solver.add(move < r, move > -r) if strictly else solver.add(move <= r, move >= -r)
    else:
        size = sum(z3.If(m >= 0, m, -m) for m in moves) if norm == "1" else sum(m * m for m in moves)
        most = r if norm == "1" else r * r
        solver.add(size < most if strictly else size <= most)
    signal = inputs
    for k, (weights, bias) in enumerate(network.layers):
        outputs = [
            z3.Sum(*[_number(w) * s for w, s in zip(row, signal, strict=True)], _number(b))
            for row, b in zip(weights.tolist(), bias.tolist(), strict=True)
        ]
        if k < len(network.layers) - 1:
            signal = [z3.If(o >= 0, z3.RealVal(1), z3.RealVal(0)) for o in outputs]
    code = int(network.predict_index(np.asarray(x)[None, :])[0])
    if len(outputs) == 1:
        solver.add(outputs[0] < 0 if code == 1 else outputs[0] >= 0)
    else:
        others = [c for c in range(len(outputs)) if c != code]
        solver.add(z3.Or(*[outputs[c] >= outputs[code] if c < code else outputs[c] > outputs[code] for c in others]))
    verdict = solver.check()
    assert verdict in (z3.sat, z3.unsat)
    return verdict == z3.sat


def distances(X, Z, norm, scale=1.0):
    """Distances of the rows of Z from those of X."""
    moves = np.abs(Z - X) / scale
    if norm == "inf":
        return moves.max(axis=-1)
    return moves.sum(axis=-1) if norm == "1" else np.sqrt((moves**2).sum(axis=-1))


def sampled(network: Network, x, radius, norm, rng, count=2000, lower=-np.inf, upper=np.inf, scale=1.0, free=True):
    """Whether random perturbations within the ball, many of them on its border, are all decided as x is."""
    n = len(x)
    directions = rng.normal(size=(count, n)) * rng.choice([0.0, 1.0], (count, n), p=[0.3, 0.7])
    directions[: count // 2] = np.sign(directions[: count // 2])
    size = distances(0.0, directions, norm)
    lengths = radius * np.where(rng.random(count) < 0.5, 1.0 - 1e-12, rng.random(count))
    moves = directions / np.where(size > 0, size, 1.0)[:, None] * lengths[:, None] * scale * free
    Z = np.clip(x + moves, lower, upper)
    return bool(np.all(network.predict_index(Z) == network.predict_index(x[None, :])[0]))

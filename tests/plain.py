"""The slow twin of the package's arithmetic: networks evaluated in rationals, one number at a time.

Nothing here uses the package's own evaluation; only the stored numbers of networks and grids are read.
"""

from fractions import Fraction

import numpy as np

from bdnn import Network


def affine(x, weights, bias):
    """Exact pre-activations of one point."""
    values = []
    for row, constant in zip(np.asarray(weights).tolist(), np.asarray(bias).tolist(), strict=True):
        total = Fraction(constant)
        for w, v in zip(row, x, strict=True):
            total += Fraction(w) * Fraction(v)
        values.append(total)
    return values


def quantized(grid, x):
    """Grid integers of one point; Python's round is half to even, like rint."""
    top = float(2**grid.bits - 1)
    steps = zip(x, grid.offset.tolist(), grid.step.tolist(), strict=True)
    return [round(min(max((v - offset) / step, 0.0), top)) for v, offset, step in steps]


def lowest_argmax(values):
    best = 0
    for k, value in enumerate(values):
        if value > values[best]:
            best = k
    return best


def forward(layers, x):
    """Exact pre-activations of the last layer for one point, and what each layer fires."""
    signal, fired = list(x), []
    for weights, bias in layers:
        values = affine(signal, weights, bias)
        signal = [1 if value >= 0 else 0 for value in values]
        fired.append(signal)
    return values, fired


def evaluate(network: Network, X):
    """Exact outputs, firing patterns and predicted indices, point by point."""
    outputs, fired, predicted = [], [], []
    for x in np.asarray(X, dtype=float).tolist():
        signal = x if network.grid is None else quantized(network.grid, x)
        values, pattern = forward(network.layers, signal)
        outputs.append(values)
        fired.append(pattern)
        predicted.append(pattern[-1][0] if len(values) == 1 else lowest_argmax(values))
    return outputs, fired, predicted


def point_loss(head, values, fired, label):
    """Unweighted loss of one point from its outputs and what they fire."""
    if head == "argmax":
        return int(lowest_argmax(values) != label)
    if len(fired) == 1:
        return int(fired[0] != label)
    return sum(int(u != (c == label)) for c, u in enumerate(fired))


def random_network(rng, n, hidden=(), classes=("no", "yes"), head="threshold", integer=False, grid=None, bound=3):
    """A network with small random numbers."""
    n_outputs = 1 if head == "threshold" and len(classes) == 2 else len(classes)
    layers, width = [], n
    for d in (*hidden, n_outputs):
        if integer:
            layers.append((rng.integers(-bound, bound + 1, (d, width)), rng.integers(-bound, bound + 1, d)))
        else:
            layers.append((rng.uniform(-1, 1, (d, width)), rng.uniform(-1, 1, d)))
        width = d
    return Network(layers, head=head, classes=list(classes), grid=grid)


def _cancelling(rng):
    """Large terms that cancel and leave less than one unit in the last place of them."""
    big = 10.0 ** rng.integers(8, 17, (40, 1))
    X = np.hstack([big, rng.normal(size=(40, 1)), -big, rng.normal(size=(40, 1)) * 1e-9])
    W = np.array([[1.0, 1.0, 1.0, 1.0], [0.1, 1e-3, 0.1, 0.0], [-3.0, 0.25, -3.0, 1.0]])
    return X, W, np.array([0.0, 0.0, 1e-17])


def _subnormal(rng):
    """Products that underflow to zero although the exact value has a sign."""
    X = rng.integers(-3, 4, (40, 3)) * 5e-324
    W = np.array([[0.25, -0.25, 0.0], [1e-300, 1e-300, -1e-300], [1.0, -1.0, 1.0]])
    return X, W, np.array([0.0, 0.0, 0.0])


def _huge(rng):
    """Values near 1e150 in both factors, and sums that cancel; some overflow."""
    X = rng.choice([1.0, -1.0], (40, 3)) * (1e150 * (1 + rng.integers(0, 4, (40, 3)) * 2.0**-52))
    W = np.array([[1e150, -1e150, 0.0], [1e150, 1e150, 1e150], [1e158, -1e158, 1e158]])
    return X, W, np.array([0.0, -1e300, 0.0])


def _scaled(rng):
    """Columns scaled by 1e6 and shifted by 1e7, thresholds on data points."""
    X = np.round(rng.normal(size=(40, 3)), 2) * np.array([1.0, 1e6, 1.0]) + np.array([0.0, 0.0, 1e7])
    W = np.array([[1.0, 1e-6, 1.0], [0.3, -1e-6, -0.1], [0.0, 0.0, 1.0]])
    bias = -np.array([X[k] @ W[k] for k in range(3)])
    return X, W, bias


def _on_threshold(rng):
    """Decimals whose sums are zero on paper and not in floats, and dyadic ones that are zero in both."""
    tenths = rng.integers(-5, 6, (200, 6)) / 10
    X = np.vstack([tenths, rng.integers(-5, 6, (40, 6)) / 8])
    W = np.array([[1.0, 1.0, -1.0, 1.0, 2.0, -1.0], [3.0, -1.0, 2.0, 1.0, 1.0, 1.0], [0.1, 0.2, -0.3, 0.3, 0.7, 0.6]])
    return X, W, np.array([0.0, 0.1, 0.0])


def _one_ulp(rng):
    """Rows that differ by one unit in the last place."""
    X = rng.normal(size=(40, 3))
    w = rng.normal(size=3)
    return X, np.array([w, np.nextafter(w, 2.0), np.nextafter(w, -2.0)]), np.array([0.0, 0.0, 0.0])


ADVERSARIAL = {
    "cancelling": _cancelling,
    "subnormal": _subnormal,
    "huge": _huge,
    "scaled": _scaled,
    "on_threshold": _on_threshold,
    "one_ulp": _one_ulp,
}
"""Generators of (X of shape (m, n), W of shape (3, n), bias of shape (3,)) where floats alone decide wrongly."""

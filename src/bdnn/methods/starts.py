"""Starting networks: a constant one, a linear one, and boosted linear separators layer by layer.

They make sure that a limit never leaves a user without a network, and give the solver an incumbent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from bdnn.libraries import limited_threads
from bdnn.network.network import Layer, Network
from bdnn.search.regressions import LeastSquares, logistic

if TYPE_CHECKING:
    from bdnn.budget import Budget
    from bdnn.problem.presolve import Presolved
    from bdnn.types import Bools, Floats, Indices

# points of a sample, to bound the time of a start
_MAX_POINTS = 2000
# layered starts: they differ in their random weights
_TRIES = 8
# share of the time after which no further layered start is begun: it is better spent on the method itself
_STARTS_SHARE = 0.2
# multiplications for the Gram matrix of a linear start, which is to take milliseconds
_MAX_PRODUCTS = 1.3e9
# neurons of a layer of a linear start, and their weights, likewise; the others stay constant
_MAX_NEURONS, _MAX_WEIGHTS = 32, 20_000
# size of coefficients, times the largest input, that are nothing but rounding errors
_NOISE = 1e-12
# factors by which the largest weight exceeds its bound before rounding and clipping: small weights gain precision
_FACTORS = (1.0, 1.5, 2.5, 4.0)
# factor of the weight of a wrong point for the next neuron, as in boosting
_BOOST = 4.0


def constant(presolved: Presolved) -> Network:
    """Return the network without input weights that errs least; without biases, the one with all weights 0."""
    problem = presolved.problem
    unit = np.int64(1) if problem.weights == "integer" else np.float64(1)
    fire = problem.loss.constant_answer(presolved.label_totals())
    layers, n_in = [], len(presolved.kept)
    for width in problem.widths:
        layers.append(Layer(np.zeros((width, n_in)) * unit, np.zeros(width) * unit))
        n_in = width
    if problem.fit_intercept:
        layers[-1] = Layer(layers[-1].weights, np.where(fire, unit, -unit if problem.head == "threshold" else 0 * unit))
    elif problem.n_outputs == 1 and not fire[0] and len(layers) > 1:
        # without biases every hidden neuron fires, so negative output weights switch the output off
        layers[-1] = Layer(layers[-1].weights - unit, layers[-1].bias)
    return presolved.to_network(layers)


def linear(presolved: Presolved, seed: int = 0) -> Network:
    """Return a network of least-squares separators, in milliseconds, however large the data.

    With a limit on the columns, those of the largest weights are chosen, and separators are fitted to them again.

    One factorized Gram matrix of a sample serves all neurons of a layer. Those of a hidden layer separate classes or
    groups of them, each with more weight on what the ones before had wrong; the layer after it is fitted to their
    signals, and is no worse there than the best of them alone.

    Parameters
    ----------
    presolved : Presolved
        The reduced problem, of one point or more.
    seed : int
        Of the sample.

    Returns
    -------
    Network
        Of the problem's class, not audited.
    """
    network = _linear(presolved, seed)
    if not presolved.problem.limits.caps:
        return network
    limits = presolved.problem.limits
    used = np.isin(limits.groups, limits.used(network.layers[0].weights))
    return _linear(presolved.on_columns(np.flatnonzero(used)), seed)


def _linear(presolved: Presolved, seed: int) -> Network:
    """Return a network of separators, of whose weights those that the problem does not allow are 0."""
    problem, rng = presolved.problem, np.random.default_rng(seed)
    n = max(len(presolved.kept), 1)
    most = int(min(_MAX_POINTS, max(_MAX_PRODUCTS / n / n, math.sqrt(_MAX_PRODUCTS / n), 2)))
    chosen = np.arange(presolved.n_points)
    if len(chosen) > most:
        chosen = np.sort(rng.choice(len(chosen), most, replace=False))
    part = presolved.restricted(chosen)
    occurs = np.argwhere(part.class_weight > 0)
    if len(occurs) > 2 * most:
        occurs = occurs[np.sort(rng.choice(len(occurs), 2 * most, replace=False))]
    y, weight = occurs[:, 1], problem.loss.label_costs(part.class_weight)[tuple(occurs.T)]
    signal, layers = part.X[occurs[:, 0]], list[Layer]()
    if len(np.unique(y)) < 2 or not signal.shape[1]:  # also if there are no points
        return constant(presolved)
    weight = weight / weight.max()  # a sum of weights may be too large
    noise = _noise(presolved)
    with limited_threads(1):
        for width in problem.hidden_layer_sizes:
            layers.append(_hidden_layer(presolved, signal, y, weight, width, rng, noise))
            signal = (signal @ layers[-1].weights.T + layers[-1].bias >= 0).astype(np.float64)
            noise = None
        fitted = LeastSquares.of(presolved, signal, weight, noise)
        if problem.head == "argmax":
            layers.append(_competing(presolved, fitted, y))
        else:
            targets = problem.loss.targets(y).T.copy()
            alone = np.vstack([np.eye(signal.shape[1]), -np.eye(signal.shape[1])]) if layers else None
            outputs = [_separator(presolved, fitted, target, weight, alone) for target in targets]
            layers.append(Layer(np.array([w for w, _ in outputs]), np.array([b for _, b in outputs])))
    if not all(np.all(np.isfinite(W)) and np.all(np.isfinite(b)) for W, b in layers):
        return constant(presolved)
    return presolved.within_limits(layers)


def _noise(presolved: Presolved) -> Floats | None:
    """Return the penalty of each squared weight on inputs for what perturbations do, None without any."""
    if not presolved.problem.robust:
        return None
    radius = np.minimum(presolved.radius, 1e100)
    if presolved.grid is not None:
        radius = radius / np.asarray(presolved.grid.step)[presolved.kept]
    # perturbations of all features add up
    return np.asarray(radius**2 * len(radius))


def _hidden_layer(
    presolved: Presolved,
    X: Floats,
    y: Indices,
    weight: Floats,
    width: int,
    rng: np.random.Generator,
    noise: Floats | None,
) -> Layer:
    fitted, classes = LeastSquares.of(presolved, X, weight, noise), np.unique(y)
    W, b = np.zeros((width, X.shape[1])), np.full(width, -1.0 if presolved.problem.fit_intercept else 0.0)
    boosted = weight / weight.sum()
    for j in range(min(width, _MAX_NEURONS, max(len(classes), _MAX_WEIGHTS // max(X.shape[1], 1)))):
        if len(classes) == 2:
            # without biases an output of weight -1 fires exactly where the neuron is off
            target = y == classes[1 if presolved.problem.fit_intercept else j % 2]
        else:
            target = y == classes[j] if j < len(classes) else _split(y, rng)
        W[j], b[j] = _separator(presolved, fitted, target, boosted)
        wrong = (X @ W[j] + b[j] >= 0) != target
        if len(classes) == 2 or j >= len(classes):
            boosted = boosted * np.where(wrong, _BOOST, 1.0)
            boosted /= boosted.sum()
    return Layer(W, b)


def _separator(
    presolved: Presolved,
    fitted: LeastSquares,
    target: Bools,
    weight: Floats,
    more: Floats | None = None,
) -> tuple[Floats, float]:
    """Return the neuron of least weighted error among roundings of a least-squares one and `more` weights."""
    signs = np.where(target, 1.0, -1.0) * (weight / np.where(fitted.weight > 0, fitted.weight, 1.0))
    w, covariance = (values[0] for values in fitted.coefficients(signs[:, None]))
    tries = [w]
    if w.any() and presolved.problem.weights == "integer":
        tries = [*_roundings(presolved, w), *_roundings(presolved, covariance)]
    elif w.any():
        tries = [_rounded(presolved, w)]
    if not presolved.problem.fit_intercept:
        tries += [-w for w in tries]
    best, least = (tries[0], 0.0), np.inf
    for candidate in [*tries, *([] if more is None else more)]:
        bias, error = _threshold(presolved, fitted.X @ candidate, target, weight)
        if error < least:
            best, least = (candidate, bias), error
    return best


def _roundings(presolved: Presolved, w: Floats) -> list[Floats]:
    """Return integer weights that are about parallel to others."""
    P, scaled = presolved.problem.weight_bound, w / (float(np.abs(w).max()) or 1.0)
    return [np.clip(np.rint(factor * P * scaled), -P, P) for factor in _FACTORS]


def _competing(presolved: Presolved, fitted: LeastSquares, y: Indices) -> Layer:
    """Return outputs of which the largest should be that of the class."""
    problem, X = presolved.problem, fitted.X
    targets = (y[:, None] == np.arange(len(problem.classes))).astype(np.float64)
    tries = []
    for W in fitted.coefficients(targets):
        b = fitted.intercepts(targets, W) if problem.fit_intercept else np.zeros(len(W))
        scale = float(np.abs(W).max(initial=0.0))
        if scale <= _NOISE * float(np.abs(X).max(initial=1.0)) ** -1:
            W, b = np.zeros_like(W), 1.0 * (np.arange(len(b)) == np.argmax(b)) * problem.fit_intercept
        else:
            W, b = W / scale, b / scale
        if problem.weights != "integer":
            return Layer(W, b)
        P = problem.weight_bound
        tries += [Layer(np.clip(np.rint(f * P * W), -P, P), np.rint(f * P * b)) for f in _FACTORS]
    wrong = [fitted.weight[np.argmax(X @ W.T + b, axis=1) != y].sum() for W, b in tries]
    return tries[int(np.argmin(wrong))]


def layered(presolved: Presolved, budget: Budget) -> Iterator[Network]:
    """Yield networks whose neurons are linear separators of boosted samples and whose outputs are fitted on top.

    Parameters
    ----------
    presolved : Presolved
        The reduced problem.
    budget : Budget
        Seeds the random choices; no further network is begun when a fifth of the time has passed.

    Yields
    ------
    Network
        Of the problem's class, not audited.
    """
    rng = np.random.default_rng(budget.seed)
    occurs = np.argwhere(presolved.class_weight > 0)
    weight = presolved.problem.loss.label_costs(presolved.class_weight)[tuple(occurs.T)]
    for attempt in range(_TRIES):
        if budget.elapsed > _STARTS_SHARE * budget.seconds:
            return
        chosen = np.arange(len(occurs))
        if len(chosen) > _MAX_POINTS:
            chosen = np.sort(rng.choice(len(chosen), _MAX_POINTS, replace=False))
        # not `presolved.X`, which holds all points
        X, y = presolved.restricted(occurs[chosen, 0]).X, occurs[chosen, 1]
        if len(np.unique(y)) < 2:
            continue
        # every network but the first on weights drawn anew, or two classes would give the same one each time
        drawn = weight[chosen] * (rng.exponential(size=len(chosen)) if attempt else 1.0)
        with limited_threads(1):  # on problems of this size the threads of BLAS only wait for each other
            layers = _layers(presolved, X, y, drawn, rng)
        yield presolved.within_limits(layers)


def _layers(presolved: Presolved, X: Floats, y: Indices, weight: Floats, rng: np.random.Generator) -> list[Layer]:
    problem = presolved.problem
    layers, signal = [], X
    for width in problem.hidden_layer_sizes:
        rows, boosted = [], weight / weight.sum()
        for _ in range(width):
            target = _split(y, rng)
            w, b = _neuron(presolved, signal, target, boosted)
            rows.append((w, b))
            wrong = ((signal @ w + b) >= 0) != target
            wrong = ~wrong if wrong.mean() > 0.5 else wrong
            boosted = boosted * np.where(wrong, _BOOST, 1.0)
            boosted /= boosted.sum()
        layers.append(Layer(np.array([w for w, _ in rows]), np.array([b for _, b in rows])))
        signal = (signal @ layers[-1].weights.T + layers[-1].bias >= 0).astype(np.float64)
    targets = problem.loss.targets(y).T.copy()
    if problem.head == "argmax":
        layers.append(_scores(presolved, signal, y, weight))
    else:
        outputs = [_neuron(presolved, signal, target, weight) for target in targets]
        layers.append(Layer(np.array([w for w, _ in outputs]), np.array([b for _, b in outputs])))
    return layers


def _split(y: Indices, rng: np.random.Generator) -> Bools:
    """Return a random division of the classes that occur into two non-empty groups."""
    labels = rng.permutation(np.unique(y))
    group: Bools = np.isin(y, labels[: rng.integers(1, len(labels))])
    return group


def _neuron(presolved: Presolved, X: Floats, target: Bools, weight: Floats) -> tuple[Floats, float]:
    """Fit a linear separator in the problem's set of weights, its bias chosen to err least on the sample."""
    if target.all() or not target.any() or not X.shape[1]:
        w = np.zeros(X.shape[1])
    else:
        w = _rounded(presolved, logistic(X, target, weight)[0][0])
    return w, _threshold(presolved, X @ w, target, weight)[0]


def _threshold(presolved: Presolved, score: Floats, target: Bools, weight: Floats) -> tuple[float, float]:
    """Return the bias that errs least for given weighted sums, and the weight of the errors."""
    if not presolved.problem.fit_intercept:
        return 0.0, float(weight[(score >= 0) != target].sum())
    order = np.argsort(score, kind="stable")
    gain = np.where(target, weight, -weight)[order]
    # cutting below position k switches the points 0..k-1 off
    lost = np.concatenate([[0.0], np.cumsum(gain)])
    sorted_score = score[order]
    edges = np.concatenate(
        [[sorted_score[0] - 1.0], (sorted_score[:-1] + sorted_score[1:]) / 2, [sorted_score[-1] + 1.0]]
    )
    possible = np.concatenate([[True], np.diff(sorted_score) > 0, [True]])
    cut = int(np.argmin(np.where(possible, lost, np.inf)))
    bias = -edges[cut]
    error = float(lost[cut] + weight[~target].sum())
    return float(np.floor(bias) if presolved.problem.weights == "integer" else bias), error


def _scores(presolved: Presolved, X: Floats, y: Indices, weight: Floats) -> Layer:
    """Return the output layer of an argmax head."""
    n_classes = len(presolved.problem.classes)
    W, b = np.zeros((n_classes, X.shape[1])), np.full(n_classes, -10.0)
    coefficients, intercept = logistic(X, y, weight)
    present = np.unique(y)
    if len(present) == 2:
        coefficients, intercept = np.vstack([-coefficients, coefficients]), np.concatenate([-intercept, intercept])
    W[present], b[present] = coefficients, intercept
    scale = max(float(np.abs(W).max(initial=0.0)), 1e-12)
    W, b = W / scale, b / scale * presolved.problem.fit_intercept
    if presolved.problem.weights == "integer":
        P = presolved.problem.weight_bound
        W, b = np.rint(W * P), np.rint(b * P)
    return Layer(W, b)


def _rounded(presolved: Presolved, w: Floats) -> Floats:
    w = w / max(float(np.abs(w).max()), 1e-12)
    return np.rint(w * presolved.problem.weight_bound) if presolved.problem.weights == "integer" else w


def random_network(reduced: Presolved, rng: np.random.Generator) -> Network:
    """Return a network with random weights whose neurons split the points.

    Parameters
    ----------
    reduced : Presolved
        The reduced problem.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    Network
        Of the problem's class.
    """
    problem, signal, layers = reduced.problem, reduced.X, []
    integer = problem.weights == "integer"
    for k, width in enumerate(problem.widths):
        shape = (width, signal.shape[1])
        if integer:
            W = rng.integers(-problem.weight_bound, problem.weight_bound + 1, size=shape).astype(np.float64)
        else:
            W = rng.uniform(-1, 1, size=shape)
        b = np.zeros(width)
        argmax = k == len(problem.widths) - 1 and problem.head == "argmax"
        if problem.fit_intercept and not argmax and len(signal):
            b = _splitting_biases(signal @ W.T, rng, integer)
        layers.append(Layer(W, b))
        signal = (signal @ W.T + b >= 0).astype(np.float64)
    return reduced.within_limits(layers)


def _splitting_biases(sums: Floats, rng: np.random.Generator, integer: bool) -> Floats:
    """Return biases that put each threshold halfway between two random points."""
    pairs = rng.integers(len(sums), size=(2, sums.shape[1]))
    middle = sums[pairs, np.arange(sums.shape[1])].mean(axis=0)
    return np.asarray(-np.floor(middle) if integer else -middle)

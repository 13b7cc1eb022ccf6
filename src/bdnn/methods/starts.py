"""Starting networks: a constant one, a linear one, and boosted linear separators layer by layer.

They make sure that a limit never leaves a user without a network, and give the solver an incumbent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from bdnn.budget import Budget
from bdnn.errors import InputError
from bdnn.methods.run import Race
from bdnn.network.network import Layer, Network
from bdnn.problem.presolve import Presolved
from bdnn.types import Bools, Floats, Indices

_MOST_POINTS = 2000
_TRIES = 8
# a linear start takes milliseconds: so many products for its Gram matrix, and so many neurons
_MOST_PRODUCTS = 1.3e9
_MOST_NEURONS, _MOST_WEIGHTS = 32, 20_000
_RIDGE, _MOST_PENALTY = 1e-3, 1e9
_NOTHING = 1e-12
_FACTORS = (1.0, 1.5, 2.5, 4.0)


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


def enter_starts(race: Race, start: Network | None) -> None:
    """Enter the user's start, which must be of the problem's class, a constant network and a few layered ones."""
    if not race.starts:
        enter_given(race, start)
    if not race.closed:
        for network in layered(race.reduced, race.budget):
            race.enter(network, "linear")
            if race.closed:
                break


def enter_given(race: Race, start: Network | None, *, holds_linear: bool = True) -> None:
    """Enter the user's start, which must be of the problem's class, and a constant network, and hold a linear one.

    This takes milliseconds and needs nothing compiled, so whatever a limit cuts off later, there is something better
    than a constant.
    """
    if start is not None:
        if race.reduced.to_layers(start) is None:
            different = "; ".join(race.reduced.differences(start))
            raise InputError(
                f"the start network is not of the problem's class: it has "
                f"{different or 'weights that overflow on these inputs'}"
            )
        race.enter(start, "start")
    race.enter(constant(race.reduced), "constant")
    if holds_linear and not race.closed and race.reduced.n_points:
        race.hold(linear(race.reduced, race.budget.seed), "linear")


def linear(presolved: Presolved, seed: int = 0) -> Network:
    """Return a network of least-squares separators, in milliseconds, however large the data.

    One factorised Gram matrix of a sample serves all neurons of a layer. Those of a hidden layer separate classes or
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
    problem, rng = presolved.problem, np.random.default_rng(seed)
    n = max(len(presolved.kept), 1)
    most = int(min(_MOST_POINTS, max(_MOST_PRODUCTS / n / n, math.sqrt(_MOST_PRODUCTS / n), 2)))
    chosen = np.arange(presolved.n_points)
    if len(chosen) > most:
        chosen = np.sort(rng.choice(len(chosen), most, replace=False))
    part = presolved.restricted(chosen)
    occurs = np.argwhere(part.class_weight > 0)
    if len(occurs) > 2 * most:
        occurs = occurs[np.sort(rng.choice(len(occurs), 2 * most, replace=False))]
    y, weight = occurs[:, 1], part.class_weight[tuple(occurs.T)]
    weight = weight / weight.max()  # a sum of weights may be too large
    signal, layers = part.X[occurs[:, 0]], list[Layer]()
    if len(np.unique(y)) < 2:
        return constant(presolved)
    noise = _noise(presolved)
    with ThreadpoolController().limit(limits=1):
        for width in problem.hidden_layer_sizes:
            layers.append(_hidden_layer(presolved, signal, y, weight, width, rng, noise))
            signal = (signal @ layers[-1].weights.T + layers[-1].bias >= 0).astype(np.float64)
            noise = None
        fitted = _LeastSquares.of(presolved, signal, weight, noise)
        if problem.head == "argmax":
            layers.append(_competing(presolved, fitted, y))
        else:
            targets = problem.loss.targets(y).T.copy()
            alone = np.vstack([np.eye(signal.shape[1]), -np.eye(signal.shape[1])]) if layers else None
            outputs = [_separator(presolved, fitted, target, weight, alone) for target in targets]
            layers.append(Layer(np.array([w for w, _ in outputs]), np.array([b for _, b in outputs])))
    if not all(np.all(np.isfinite(W)) and np.all(np.isfinite(b)) for W, b in layers):
        return constant(presolved)
    return presolved.to_network(layers)


class _LeastSquares:
    """Ridge regressions on the same points and weights, with different targets.

    Parameters
    ----------
    X : ndarray of shape (m, n)
        Points.
    weight : ndarray of shape (m,)
        Of each point.
    centred : bool
        Whether there is an intercept.
    alike : bool
        Whether features have one unit: where weights are rounded, those of rare features would drown the others.
    noise : ndarray of shape (n,) or None
        Penalty of each squared coefficient; left out where there are more features than points.
    """

    def __init__(self, X: Floats, weight: Floats, centred: bool, alike: bool, noise: Floats | None) -> None:
        self.X, self.weight = X, weight
        share = weight / weight.sum()
        self._share, self._mean = share, share @ X * centred
        size = np.sqrt(share @ (X - self._mean) ** 2)
        if alike:
            size = np.full_like(size, np.sqrt(np.mean(size**2)) if len(size) else 1.0)
        self._unit = np.where(size > 0, 1 / np.where(size > 0, size, 1.0), 0.0)
        self._rooted = (X - self._mean) * self._unit * np.sqrt(share)[:, None]
        m, n = X.shape
        self._wide = n > m
        gram = self._rooted @ self._rooted.T if self._wide else self._rooted.T @ self._rooted
        penalty = np.full(min(m, n), _RIDGE)
        if noise is not None and not self._wide:
            with np.errstate(over="ignore", invalid="ignore"):
                penalty += np.nan_to_num(np.minimum(noise * self._unit**2, _MOST_PENALTY))
        self._inverse = np.linalg.inv(gram + np.diag(penalty))

    @classmethod
    def of(cls, presolved: Presolved, X: Floats, weight: Floats, noise: Floats | None) -> _LeastSquares:
        """Return the regressions for the neurons of a problem."""
        return cls(X, weight, presolved.problem.fit_intercept, presolved.problem.weights == "integer", noise)

    def coefficients(self, targets: Floats) -> tuple[Floats, Floats]:
        """Return the coefficients of targets of shape (m, k), of shape (k, n), and the covariances with them."""
        centre = self._share @ targets if self._mean.any() else 0.0
        rooted = np.sqrt(self._share)[:, None] * (targets - centre)
        covariance = self._rooted.T @ rooted
        found = self._rooted.T @ (self._inverse @ rooted) if self._wide else self._inverse @ covariance
        return np.asarray(found.T * self._unit), np.asarray(covariance.T * self._unit)

    def intercepts(self, targets: Floats, coefficients: Floats) -> Floats:
        """Return the intercepts that go with coefficients."""
        return np.asarray(self._share @ targets - coefficients @ self._mean)


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
    fitted, classes = _LeastSquares.of(presolved, X, weight, noise), np.unique(y)
    W, b = np.zeros((width, X.shape[1])), np.full(width, -1.0 if presolved.problem.fit_intercept else 0.0)
    boosted = weight / weight.sum()
    for j in range(min(width, _MOST_NEURONS, max(len(classes), _MOST_WEIGHTS // max(X.shape[1], 1)))):
        if len(classes) == 2:
            # without biases an output of weight -1 fires exactly where the neuron is off
            target = y == classes[1 if presolved.problem.fit_intercept else j % 2]
        else:
            target = y == classes[j] if j < len(classes) else _split(y, rng)
        W[j], b[j] = _separator(presolved, fitted, target, boosted)
        wrong = (X @ W[j] + b[j] >= 0) != target
        if len(classes) == 2 or j >= len(classes):
            boosted = boosted * np.where(wrong, 4.0, 1.0)
            boosted /= boosted.sum()
    return Layer(W, b)


def _separator(
    presolved: Presolved,
    fitted: _LeastSquares,
    target: Bools,
    weight: Floats,
    more: Floats | None = None,
) -> tuple[Floats, float]:
    """Return the neuron of least weighted error among roundings of a least-squares one and `more` weights."""
    signs = np.where(target, 1.0, -1.0) * (weight / np.where(fitted.weight > 0, fitted.weight, 1.0))
    w, covariance = (found[0] for found in fitted.coefficients(signs[:, None]))
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


def _competing(presolved: Presolved, fitted: _LeastSquares, y: Indices) -> Layer:
    """Return outputs of which the largest should be that of the class."""
    problem, X = presolved.problem, fitted.X
    targets = (y[:, None] == np.arange(len(problem.classes))).astype(np.float64)
    tries = []
    for W in fitted.coefficients(targets):
        b = fitted.intercepts(targets, W) if problem.fit_intercept else np.zeros(len(W))
        scale = float(np.abs(W).max(initial=0.0))
        if scale <= _NOTHING * float(np.abs(X).max(initial=1.0)) ** -1:
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
    controller = ThreadpoolController()
    rng = np.random.default_rng(budget.seed)
    occurs = np.argwhere(presolved.class_weight > 0)
    weight = presolved.class_weight[tuple(occurs.T)]
    for attempt in range(_TRIES):
        if budget.elapsed > 0.2 * budget.seconds:
            return
        chosen = np.arange(len(occurs))
        if len(chosen) > _MOST_POINTS:
            chosen = np.sort(rng.choice(len(chosen), _MOST_POINTS, replace=False))
        # not `presolved.X`, which holds all points
        X, y = presolved.restricted(occurs[chosen, 0]).X, occurs[chosen, 1]
        if len(np.unique(y)) < 2:
            continue
        # every network but the first on weights drawn anew, or two classes would give the same one each time
        drawn = weight[chosen] * (rng.exponential(size=len(chosen)) if attempt else 1.0)
        with controller.limit(limits=1):  # on problems of this size the threads of BLAS only wait for each other
            layers = _layers(presolved, X, y, drawn, rng)
        yield presolved.to_network(layers)


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
            boosted = boosted * np.where(wrong, 4.0, 1.0)
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
    """Random division of the classes that occur into two non-empty groups."""
    labels = rng.permutation(np.unique(y))
    group: Bools = np.isin(y, labels[: rng.integers(1, len(labels))])
    return group


def _neuron(presolved: Presolved, X: Floats, target: Bools, weight: Floats) -> tuple[Floats, float]:
    """Fit a linear separator in the problem's set of weights, its bias chosen to err least on the sample."""
    if target.all() or not target.any() or not X.shape[1]:
        w = np.zeros(X.shape[1])
    else:
        w = _rounded(presolved, _logistic(X, target, weight)[0][0])
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
    """Output layer of an argmax head."""
    n_classes = len(presolved.problem.classes)
    W, b = np.zeros((n_classes, X.shape[1])), np.full(n_classes, -10.0)
    coefficients, intercept = _logistic(X, y, weight)
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


def _logistic(X: Floats, y: NDArray[np.generic], weight: Floats) -> tuple[Floats, Floats]:
    """Return coefficients and intercepts of a logistic regression, of one row for two classes.

    It need not converge. Scikit-learn's would warn of that, and warnings cannot be silenced beside a compiler that runs
    in another thread.
    """
    from scipy.optimize import minimize
    from scipy.special import expit, log_softmax

    scale = float(np.abs(X).max(initial=0.0)) or 1.0
    Z = np.column_stack([X / scale, np.ones(len(X))])
    classes, share, penalty = np.unique(y), weight / weight.sum(), 0.01 / len(y)
    rows = 1 if len(classes) == 2 else len(classes)
    target = (y[:, None] == classes[-rows:]).astype(np.float64)

    def loss(values: Floats) -> tuple[float, Floats]:
        W = values.reshape(rows, -1)
        scores = Z @ W.T
        if rows == 1:
            side = 1.0 - 2.0 * target
            total = np.logaddexp(0.0, side * scores)
            slope = side * expit(side * scores)
        else:
            logs = log_softmax(scores, axis=1)
            total, slope = -target * logs, np.exp(logs) - target
        W = W * np.r_[np.ones(X.shape[1]), 0.0]
        gradient = (share[:, None] * slope).T @ Z + penalty * W
        return float(share @ total.sum(axis=1) + 0.5 * penalty * (W**2).sum()), gradient.ravel()

    found = minimize(loss, np.zeros(rows * Z.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    W = found.x.reshape(rows, -1)
    return W[:, :-1] / scale, W[:, -1]

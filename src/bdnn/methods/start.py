"""Starting networks: a constant one, and boosted linear separators layer by layer.

They make sure that a limit never leaves a user without a network, and give the solver an incumbent.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from bdnn.budget import Budget
from bdnn.errors import InputError
from bdnn.methods.race import Race
from bdnn.network import Floats, Layer, Network
from bdnn.presolve import Presolved

_MOST_POINTS = 2000
_TRIES = 8


def constant(presolved: Presolved) -> Network:
    """Return the network without input weights that errs least; without biases, the one with all weights 0."""
    problem = presolved.problem
    unit = np.int64(1) if problem.weights == "integer" else np.float64(1)
    total = presolved.label_totals()
    if problem.head == "argmax":
        fire = np.arange(len(total)) == np.argmax(total)
    elif problem.n_outputs == 1:
        fire = total[1:] >= total[0]
    else:
        fire = total >= total.sum() - total
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


def enter_given(race: Race, start: Network | None) -> None:
    """Enter the user's start, which must be of the problem's class, and a constant network."""
    if start is not None:
        if race.reduced.to_layers(start) is None:
            raise InputError(
                "the start network has another architecture, other classes or other weights than the problem"
            )
        race.enter(start, "start")
    race.enter(constant(race.reduced), "constant")


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


def _layers(
    presolved: Presolved, X: Floats, y: NDArray[np.intp], weight: Floats, rng: np.random.Generator
) -> list[Layer]:
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
    targets = [y == 1] if problem.n_outputs == 1 else [y == c for c in range(problem.n_outputs)]
    if problem.head == "argmax":
        layers.append(_scores(presolved, signal, y, weight))
    else:
        outputs = [_neuron(presolved, signal, target, weight) for target in targets]
        layers.append(Layer(np.array([w for w, _ in outputs]), np.array([b for _, b in outputs])))
    return layers


def _split(y: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Random division of the classes that occur into two non-empty groups."""
    labels = rng.permutation(np.unique(y))
    group: NDArray[np.bool_] = np.isin(y, labels[: rng.integers(1, len(labels))])
    return group


def _neuron(presolved: Presolved, X: Floats, target: NDArray[np.bool_], weight: Floats) -> tuple[Floats, float]:
    """Fit a linear separator in the problem's set of weights, its bias chosen to err least on the sample."""
    if target.all() or not target.any() or not X.shape[1]:
        w = np.zeros(X.shape[1])
    else:
        w = _rounded(presolved, _logistic(X, target, weight)[0][0])
    if not presolved.problem.fit_intercept:
        return w, 0.0
    score = X @ w
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
    return w, float(np.floor(bias) if presolved.problem.weights == "integer" else bias)


def _scores(presolved: Presolved, X: Floats, y: NDArray[np.intp], weight: Floats) -> Layer:
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

"""Weighted regressions for starting networks: ridge regressions that share a matrix, and logistic regressions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bdnn.problem.presolve import Presolved
    from bdnn.types import Floats

# penalty for standardized features: far above the roundoff of a Gram matrix, far below their variance of 1
_RIDGE = 1e-3
# penalty of a squared coefficient that all but forbids it, and whose sums are still exact enough to be inverted
_MAX_PENALTY = 1e9
# iterations of a start, which need not converge: the threshold that is chosen afterward matters more
_MAX_ITERATIONS = 200


class LeastSquares:
    """Ridge regressions on the same points and weights, with different targets.

    Parameters
    ----------
    X : ndarray of shape (m, n)
        Points.
    weight : ndarray of shape (m,)
        Of each point.
    centered : bool
        Whether there is an intercept.
    alike : bool
        Whether features have one unit: where weights are rounded, those of rare features would drown the others.
    noise : ndarray of shape (n,) or None
        Penalty of each squared coefficient; left out where there are more features than points.
    """

    def __init__(self, X: Floats, weight: Floats, centered: bool, alike: bool, noise: Floats | None) -> None:
        self.X, self.weight = X, weight
        share = weight / weight.sum()
        self._share, self._mean = share, share @ X * centered
        size = np.sqrt(share @ (X - self._mean) ** 2)
        if alike:
            size = np.full_like(size, np.sqrt(np.mean(size**2)) if len(size) else 1.0)
        self._scale = np.where(size > 0, 1 / np.where(size > 0, size, 1.0), 0.0)
        self._rooted = (X - self._mean) * self._scale * np.sqrt(share)[:, None]
        m, n = X.shape
        self._wide = n > m
        gram = self._rooted @ self._rooted.T if self._wide else self._rooted.T @ self._rooted
        penalty = np.full(min(m, n), _RIDGE)
        if noise is not None and not self._wide:
            with np.errstate(over="ignore", invalid="ignore"):
                penalty += np.nan_to_num(np.minimum(noise * self._scale**2, _MAX_PENALTY))
        self._inverse = np.linalg.inv(gram + np.diag(penalty))

    @classmethod
    def of(cls, presolved: Presolved, X: Floats, weight: Floats, noise: Floats | None) -> LeastSquares:
        """Return the regressions for the neurons of a problem."""
        return cls(X, weight, presolved.problem.fit_intercept, presolved.problem.weights == "integer", noise)

    def coefficients(self, targets: Floats) -> tuple[Floats, Floats]:
        """Return the coefficients of targets of shape (m, k), of shape (k, n), and the covariances with them."""
        center = self._share @ targets if self._mean.any() else 0.0
        rooted = np.sqrt(self._share)[:, None] * (targets - center)
        covariance = self._rooted.T @ rooted
        solved = self._rooted.T @ (self._inverse @ rooted) if self._wide else self._inverse @ covariance
        return np.asarray(solved.T * self._scale), np.asarray(covariance.T * self._scale)

    def intercepts(self, targets: Floats, coefficients: Floats) -> Floats:
        """Return the intercepts that go with coefficients."""
        return np.asarray(self._share @ targets - coefficients @ self._mean)


def logistic(X: Floats, y: NDArray[np.generic], weight: Floats) -> tuple[Floats, Floats]:
    """Return coefficients and intercepts of a logistic regression, of one row for two classes.

    It need not converge; scikit-learn's would warn of that, and warnings cannot be silenced for one thread alone.
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

    limit = {"maxiter": _MAX_ITERATIONS}
    solved = minimize(loss, np.zeros(rows * Z.shape[1]), jac=True, method="L-BFGS-B", options=limit)
    W = solved.x.reshape(rows, -1)
    return W[:, :-1] / scale, W[:, -1]

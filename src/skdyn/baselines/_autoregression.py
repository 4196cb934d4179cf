"""Linear autoregression: the next row is a weighted sum of the last few.

Equation, in rows, with p lags (a VAR(p), or VARX(p) with inputs):

    x[k + 1] = c + x[k] A_0 + x[k - 1] A_1 + ... + x[k - p + 1] A_{p-1} + u[k] B.

The coefficients minimise the sum of squared errors plus alpha times the sum of their
squares, c left out. With R the triangular factor of the joint rows [1 u z y], where z
holds the lags and y the targets, R without its first row and column is a factor of the
moments about the mean, so that c needs no place in the ridge problem; and the errors
of every lower order are read off the same R, since its columns for the newest lags come
first. `n_lags="auto"` takes the order of the least corrected Akaike criterion, which
for n rows, d features and k coefficients of each feature (constant and inputs included)
is (Hurvich & Tsai 1993; 1989 for d = 1)

    AICc = ln det S + d (n + k) / (n - k - d - 1),

with S the mean of the outer products of the n errors, all orders being fitted to the
same rows.

A forecast runs the recurrence row by row, for all starts at once. Powers of its
companion matrix would take fewer steps, but squaring loses all digits where the matrix
is far from normal, as it is for signals that change slowly from row to row.
"""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if

from skdyn.base import ForecasterMixin
from skdyn.baselines._lags import chunks, lagged_pairs, newest_first
from skdyn.utils._moments import Moments
from skdyn.utils._sklearn import Interval, StrOptions
from skdyn.utils._trajectories import Pieces, Trajectories

__all__ = ["LinearAutoregression"]

# Limits of "auto": rows for each coefficient of a feature, so that errors on the
# training rows say something, and columns of the regression, to bound its cost.
_ROWS_PER_COEFFICIENT = 4
_LARGEST_WIDTH = 256
# Rows whose lags are laid out at once.
_CHUNK = 65536


def _has_fixed_lags(estimator: Any) -> bool:
    if estimator.n_lags == "auto":
        raise AttributeError(
            "partial_fit needs a number of lags that does not change with the data, "
            "got n_lags='auto'. Pass an int, such as n_lags_ of a fit."
        )
    return True


class LinearAutoregression(ForecasterMixin, BaseEstimator):
    """Vector autoregression by least squares or ridge regression.

    Every feature is regressed on the last `n_lags` rows of all features. It continues
    what obeys a linear recurrence, such as sums of exponentials and sines, and is the
    rival that nonlinear forecasters have to beat.

    Parameters
    ----------
    n_lags : int or "auto", default="auto"
        Rows that the next one is made from, the last included. "auto" takes the order
        of the least corrected Akaike criterion up to 10 log10(number of rows), with at
        least 4 rows for each coefficient of a feature, at most 256 lagged columns, and
        less than the shortest trajectory.
    alpha : float, default=0.0
        Penalty on the sum of squared coefficients, in the units of the data: that of
        `sklearn.linear_model.Ridge`. 0 is least squares, which recovers linear systems;
        where columns are dependent, the solution of least norm.
    fit_intercept : bool, default=True
        Whether there is a constant c.

    Attributes
    ----------
    coef_ : ndarray of shape (n_lags, n_features, n_features)
        ``coef_[j]`` acts from the right on the row j before the last.
    intercept_ : ndarray of shape (n_features,)
        c; zero without one.
    input_coef_ : ndarray of shape (n_inputs, n_features)
        B; without rows where there are no inputs.
    n_lags_ : int
        Rows that the next one is made from.
    criterion_ : ndarray of shape (n_orders,) or None
        The criterion of orders 1, 2, ...; None where `n_lags` was given.
    n_features_in_, n_inputs_ : int
        Number of features and inputs in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.
    min_context_ : int
        Rows of history that a forecast needs: ``n_lags_``.
    context_ : Trajectories
        The last rows of each training trajectory, where ``predict(h)`` starts.

    See Also
    --------
    skdyn.koopman.DMD : Behind a DelayEmbedding, the same with a cut rank and a
        spectrum.
    RegressorForecaster : The same rows for any regressor of scikit-learn.

    References
    ----------
    Lütkepohl, *New Introduction to Multiple Time Series Analysis* (2005), chapter 3.

    Hurvich & Tsai, "Regression and time series model selection in small samples",
    Biometrika 76 (1989), 297.

    Hurvich & Tsai, "A corrected Akaike information criterion for vector autoregressive
    model selection", Journal of Time Series Analysis 14 (1993), 271.

    Hyndman & Athanasopoulos, *Forecasting: Principles and Practice*, 3rd ed. (2021),
    section 12.3, "vector autoregressions".

    Examples
    --------
    A sum of two sines obeys a recurrence over four rows:

    >>> import numpy as np
    >>> from skdyn.baselines import LinearAutoregression
    >>> k = np.arange(220)
    >>> X = (2 + np.sin(0.3 * k) + np.sin(1.1 * k))[:, None]
    >>> var = LinearAutoregression().fit(X[:200])
    >>> var.n_lags_
    4
    >>> bool(np.abs(var.predict(20) - X[200:]).max() < 1e-9)
    True
    """

    _parameter_constraints: dict = {
        "n_lags": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "fit_intercept": ["boolean"],
    }
    __metadata_request__fit = {"u": True}
    __metadata_request__partial_fit = {"u": True}

    def __init__(
        self,
        n_lags: int | Literal["auto"] = "auto",
        *,
        alpha: float = 0.0,
        fit_intercept: bool = True,
    ) -> None:
        self.n_lags = n_lags
        self.alpha = alpha
        self.fit_intercept = fit_intercept

    def fit(self, X: Any, y: Any = None, *, u: Any = None) -> LinearAutoregression:
        """Regress each row on the rows before it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories, each of at least ``n_lags + 1`` rows.
        y : ignored
            For scikit-learn's signature.
        u : array-like of shape (n_samples, n_inputs), or list of these, default=None
            Inputs; row k acts between rows k and k+1 of `X`. Earlier inputs matter only
            through the rows that they have led to.

        Returns
        -------
        LinearAutoregression
            The estimator itself.
        """
        self._validate_params()
        n_lags = self.n_lags
        if n_lags == "auto":
            n_lags = _largest_order(*self._check_fit(X, u, min_rows=1))
        # Stretches between gaps that are shorter are left out here, with a warning.
        trajectories, inputs = self._check_fit(X, u, min_rows=n_lags + 1)
        # One row within the data as the origin of all: exact, and well conditioned
        # where values are large beside their changes.
        self._origin = np.zeros(self.n_features_in_)
        if self.fit_intercept:
            self._origin += trajectories.pieces[0][0]
        return self._fit(trajectories, inputs, None, n_lags)

    @available_if(_has_fixed_lags)
    def partial_fit(
        self, X: Any, y: Any = None, *, u: Any = None
    ) -> LinearAutoregression:
        """Go on with further trajectories, as if all had been fitted together.

        There for a given number of lags only.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Further trajectories. They become the context of ``predict(h)``.
        y : ignored
            For scikit-learn's signature.
        u : array-like of shape (n_samples, n_inputs), or list of these, default=None
            Their inputs.

        Returns
        -------
        LinearAutoregression
            The estimator itself.

        Raises
        ------
        ValueError
            If `n_lags` or `fit_intercept` is not that of the earlier data.
        """
        if not hasattr(self, "_moments"):
            return self.fit(X, u=u)
        given = (self.n_lags, self.fit_intercept)
        if given != self._form:
            raise ValueError(
                f"partial_fit needs the model of the earlier data: needed n_lags and "
                f"fit_intercept {self._form}, got {given}. Call fit to start anew."
            )
        assert self.n_lags != "auto"
        trajectories, inputs = self._check_fit(
            X, u, min_rows=self.n_lags + 1, reset=False
        )
        return self._fit(trajectories, inputs, self._moments, self.n_lags)

    def _fit(
        self,
        trajectories: Trajectories,
        inputs: Pieces | None,
        earlier: Moments | None,
        n_lags: int,
    ) -> LinearAutoregression:
        d, q = self.n_features_in_, self.n_inputs_
        blocks = [] if earlier is None else [earlier]
        for pieces, acting in chunks(trajectories.pieces, n_lags, inputs, _CHUNK):
            Z, Y, U = lagged_pairs(pieces, n_lags, acting)
            before = [] if U is None else [U]
            if self.fit_intercept:
                before = [np.ones((len(Z), 1)), *before]
                Z, Y = Z - np.tile(self._origin, n_lags), Y - self._origin
            block = Moments.from_rows(np.hstack([*before, Z]) if before else Z, Y)
            blocks.append(replace(block, is_single=pieces[0].dtype == np.float32))
        self._moments = Moments.sum(blocks)
        self._form = n_lags, self.fit_intercept
        R = np.asarray(np.linalg.qr(self._moments.as_factor(), mode="r"))
        self.criterion_ = None
        if self.n_lags == "auto":
            self.criterion_ = _akaike(R, self._moments, n_lags)
            n_lags = int(self.criterion_.argmin()) + 1
        B, constant = _solve(
            R, self._moments, q + n_lags * d, self.alpha, self.fit_intercept
        )
        self.n_lags_ = self.min_context_ = int(n_lags)
        self.input_coef_, self._coef = B[:q], B[q:]
        self.coef_ = self._coef.reshape(n_lags, d, d)
        # Back from the origin: x - o = constant + sum (x_j - o) A_j.
        self.intercept_ = (
            constant + self._origin - self._origin @ self.coef_.sum(axis=0)
        )
        self._remember(trajectories, inputs)
        return self

    def _begin(self, contexts: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        return newest_first(contexts[:, -self.n_lags_ :])

    def _step(
        self, state: np.ndarray, u: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        row = self.intercept_ + state @ self._coef
        if u is not None:
            row = row + u @ self.input_coef_
        return np.hstack([row, state[:, : -self.n_features_in_]]), row

    def _rollout(
        self, state: np.ndarray, n_steps: int, u: np.ndarray | None
    ) -> np.ndarray:
        d, p = self.n_features_in_, self.n_lags_
        rows = np.empty((len(state), p + n_steps, d))
        rows[:, :p] = state.reshape(-1, p, d)[:, ::-1]
        weights = self.coef_[::-1].reshape(p * d, d)
        drive = np.broadcast_to(self.intercept_, (len(state), n_steps, d))
        if u is not None:
            drive = drive + u @ self.input_coef_
        for k in range(n_steps):
            last = rows[:, k : k + p].reshape(len(state), p * d)
            rows[:, p + k] = drive[:, k] + last @ weights
        return rows[:, p:]


def _largest_order(trajectories: Trajectories, inputs: Pieces | None) -> int:
    """The number of lags up to which "auto" looks."""
    lengths = np.array(trajectories.lengths)
    d, q = trajectories.n_features, 0 if inputs is None else inputs[0].shape[1]
    most = min(
        int(10 * np.log10(lengths.sum())),
        min(trajectories.last_pieces().lengths) - 1,
        _LARGEST_WIDTH // d,
    )
    for order in range(most, 1, -1):
        n_rows = np.maximum(lengths - order, 0).sum()
        if n_rows >= _ROWS_PER_COEFFICIENT * (1 + q + order * d):
            return order
    return 1


def _akaike(R: np.ndarray, moments: Moments, n_orders: int) -> np.ndarray:
    """The corrected Akaike criterion of orders 1 to `n_orders`, up to a constant."""
    n, m, d = moments.n_rows, moments.n_features, moments.n_targets
    # Of the targets, an order leaves what stands below the rows of its columns.
    errors = R[m - n_orders * d :, m:]
    scale = np.linalg.norm(errors, axis=0)
    errors = errors / np.where(scale > 0, scale, 1.0)
    # Errors below rounding are none, whatever the order.
    data = np.finfo(np.float32 if moments.is_single else np.float64).eps
    floor = 10 * max(data, max(n, m) * np.finfo(np.float64).eps)
    values = []
    for order in range(1, n_orders + 1):
        s = np.linalg.svd(errors[order * d :], compute_uv=False)
        s = np.maximum(np.concatenate([s, np.zeros(d - len(s))]), floor)
        k = m - (n_orders - order) * d
        values.append(2 * np.log(s).sum() + d * (n + k) / max(n - k - d - 1, 1))
    return np.array(values)


def _solve(
    R: np.ndarray, moments: Moments, n_columns: int, alpha: float, centred: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Ridge regression on the first columns, from the triangular factor of all.

    Returns the coefficients (n_columns, d) and the constant (d,), which is not
    penalised; where the rows are `centred`, its column is the first one of R and not
    counted.
    """
    lead, d = int(centred), moments.n_targets
    columns = np.r_[lead : lead + n_columns, R.shape[1] - d : R.shape[1]]
    rest = replace(
        moments, n_features=n_columns, gram=None, factor=R[lead:, columns]
    ).solve(alpha)
    if not centred:
        return rest, np.zeros(d)
    means = R[0, columns] / R[0, 0]
    return rest, means[n_columns:] - means[:n_columns] @ rest

"""Any regressor as a one-step map: features are the last rows, the target is the next.

Equation, with p lags and inputs u:

    x[k + 1] = f(x[k], ..., x[k - p + 1], u[k])            target="next"
    x[k + 1] = x[k] + f(x[k], ..., x[k - p + 1], u[k])     target="delta"

where f is fitted by any regressor of scikit-learn's kind. A forecast of many steps
feeds each forecast row back as the newest.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any, Literal

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator, clone, is_regressor
from sklearn.linear_model import Ridge
from sklearn.multioutput import MultiOutputRegressor
from sklearn.utils import get_tags

from skdyn.base import ForecasterMixin
from skdyn.baselines._lags import lagged_pairs, newest_first
from skdyn.utils._sklearn import HasMethods, Interval, StrOptions

__all__ = ["RegressorForecaster"]


class RegressorForecaster(ForecasterMixin, BaseEstimator):
    """Forecast step by step with a regressor of scikit-learn.

    Parameters
    ----------
    regressor : regressor or None, default=None
        What maps rows to the next row; cloned in ``fit``. One that has a single output
        is fitted once for each feature, by a `sklearn.multioutput.MultiOutputRegressor`
        around it. None is ``Ridge()``. Its parameters are searched as
        ``regressor__alpha``.
    target : {"delta", "next"}, default="delta"
        What is regressed: the change to the next row, or that row. Changes let a
        regressor that knows nothing forecast persistence, and are the better target
        where rows change little from one to the next.
    n_lags : int, default=1
        Rows that the next one is made from, the last included.

    Attributes
    ----------
    regressor_ : regressor
        Fitted on arrays of ``n_lags * n_features + n_inputs`` columns: the last row,
        the row before it, ..., and then the inputs that act on the last row.
    n_features_in_, n_inputs_ : int
        Number of features and inputs in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.
    min_context_ : int
        Rows of history that a forecast needs: `n_lags`.
    context_ : Trajectories
        The last rows of each training trajectory, where ``predict(h)`` starts.

    See Also
    --------
    LinearAutoregression : Least squares and ridge in closed form, with lags by a
        criterion.
    skdyn.preprocessing.DelayEmbedding : Before it, lags that are `delay` rows apart;
        the regressor then has an output for each of them.

    References
    ----------
    Farmer & Sidorowich, "Predicting chaotic time series", Physical Review Letters 59
    (1987), 845: regression on delayed rows, iterated.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neighbors import KNeighborsRegressor
    >>> from skdyn.baselines import RegressorForecaster
    >>> X = np.sin(0.2 * np.arange(300))[:, None]
    >>> model = RegressorForecaster(KNeighborsRegressor(2), n_lags=2).fit(X[:250])
    >>> bool(np.abs(model.predict(50) - X[250:]).max() < 0.1)
    True
    """

    _parameter_constraints: dict = {
        "regressor": [HasMethods(["fit", "predict"]), None],
        "target": [StrOptions({"delta", "next"})],
        "n_lags": [Interval(Integral, 1, None, closed="left")],
    }
    __metadata_request__fit = {"u": True}

    def __init__(
        self,
        regressor: Any = None,
        *,
        target: Literal["delta", "next"] = "delta",
        n_lags: int = 1,
    ) -> None:
        self.regressor = regressor
        self.target = target
        self.n_lags = n_lags

    def fit(self, X: Any, y: Any = None, *, u: Any = None) -> RegressorForecaster:
        """Fit a clone of the regressor to rows and their successors.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories, each of at least ``n_lags + 1`` rows.
        y : ignored
            For scikit-learn's signature.
        u : array-like of shape (n_samples, n_inputs), or list of these, default=None
            Inputs; row k acts between rows k and k+1 of `X`.

        Returns
        -------
        RegressorForecaster
            The estimator itself.

        Raises
        ------
        TypeError
            If `regressor` is no regressor.
        """
        self._validate_params()
        trajectories, inputs = self._check_fit(X, u, min_rows=self.n_lags + 1)
        Z, Y, U = lagged_pairs(trajectories.pieces, self.n_lags, inputs)
        if self.target == "delta":
            Y = Y - Z[:, : self.n_features_in_]
        if U is not None:
            Z = np.hstack([Z, U.astype(Z.dtype, copy=False)])
        self.regressor_ = _regressor(self.regressor, Y.shape[1])
        # One column of targets is a vector to scikit-learn.
        self.regressor_.fit(Z, Y if Y.shape[1] > 1 else Y[:, 0])
        self._adds, self._dtype = self.target == "delta", Z.dtype
        self.min_context_ = int(self.n_lags)
        self._remember(trajectories, inputs)
        return self

    def _begin(self, contexts: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        state = newest_first(contexts[:, -self.min_context_ :])
        return state.astype(self._dtype, copy=False)

    def _step(
        self, state: np.ndarray, u: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        Z = state
        if u is not None:
            Z = np.hstack([state, u.astype(state.dtype, copy=False)])
        d = self.n_features_in_
        row = np.full((len(state), d), np.nan, dtype=state.dtype)
        # Regressors refuse what has diverged, and check every call for it.
        good = np.isfinite(Z).all(axis=1)
        if good.any():
            with config_context(assume_finite=True):
                row[good] = np.reshape(self.regressor_.predict(Z[good]), (-1, d))
        if self._adds:
            row += state[:, :d]
        return np.hstack([row, state[:, :-d]]), row


def _regressor(regressor: Any, n_outputs: int) -> Any:
    """A clone that can be fitted to so many outputs."""
    if regressor is None:
        return Ridge()
    if not is_regressor(regressor):
        raise TypeError(
            f"RegressorForecaster needs a regressor, got {type(regressor).__name__}. "
            f"Pass one of scikit-learn's, such as Ridge() or "
            f"HistGradientBoostingRegressor(); a forecaster needs no wrapping."
        )
    if n_outputs > 1 and not get_tags(regressor).target_tags.multi_output:
        return MultiOutputRegressor(clone(regressor))
    return clone(regressor)

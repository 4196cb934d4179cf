"""Seasonal naive: what was one season ago comes again.

Equation (Hyndman & Athanasopoulos 2021, section 5.2): with a season of m rows,

    x[n + h] = x[n + h - m (floor((h - 1) / m) + 1)],

the last season of the context, over and over. Persistence is the case m = 1.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator

from skdyn.base import ForecasterMixin
from skdyn.utils._seasonality import seasonal_period
from skdyn.utils._sklearn import Interval, StrOptions

__all__ = ["SeasonalNaive"]


class SeasonalNaive(ForecasterMixin, BaseEstimator):
    """Repeat the last season.

    Parameters
    ----------
    period : int or "auto", default="auto"
        Rows in a season: 12 for months of a year, 24 for hours of a day. "auto" finds
        the period after which the training data repeats itself most clearly, by its
        autocorrelation; where no period is significant it is 1, which is
        `Persistence`.
    max_period : int or None, default=None
        The longest period that "auto" looks at: the rows of context at hand, where
        forecasts start from short contexts. None takes a third of the longest
        trajectory. The length of the shortest trajectory bounds it always.

    Attributes
    ----------
    period_ : int
        Rows in a season.
    n_features_in_ : int
        Number of features in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.
    min_context_ : int
        Rows of history that a forecast needs: one season.
    context_ : Trajectories
        The last season of each training trajectory, where ``predict(h)`` starts.

    See Also
    --------
    ContextParroting : Repeats from the moment that looked most like the present one,
        for what comes back but not at a steady pace.

    References
    ----------
    Hyndman & Athanasopoulos, *Forecasting: Principles and Practice*, 3rd ed. (2021),
    section 5.2, "seasonal naive method".

    Examples
    --------
    >>> from skdyn.baselines import SeasonalNaive
    >>> X = [[1.0], [5.0], [3.0], [2.0], [6.0], [4.0]]
    >>> SeasonalNaive(period=3).fit(X).predict(4).ravel()
    array([2., 6., 4., 2.])

    The sunspots return after some eleven years:

    >>> from skdyn.datasets import load_sunspots
    >>> SeasonalNaive().fit(load_sunspots().data).period_
    11
    """

    _parameter_constraints: dict = {
        "period": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "max_period": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        period: int | Literal["auto"] = "auto",
        *,
        max_period: int | None = None,
    ) -> None:
        self.period = period
        self.max_period = max_period

    def fit(self, X: Any, y: Any = None) -> SeasonalNaive:
        """Find the period, where it is not given, and remember the last season.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories, each of at least one season.
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        SeasonalNaive
            The estimator itself.
        """
        self._validate_params()
        if self.period == "auto":
            trajectories, _ = self._check_fit(X, min_rows=1)
            most = self.max_period or max(trajectories.lengths) // 3
            most = min(most, *trajectories.last_pieces().lengths)
            self.period_ = int(seasonal_period(list(trajectories.pieces), most))
        else:
            trajectories, _ = self._check_fit(X, min_rows=self.period)
            self.period_ = int(self.period)
        self.min_context_ = self.period_
        self._remember(trajectories)
        return self

    def _begin(self, contexts: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        return contexts[:, -self.period_ :].reshape(len(contexts), -1)

    def _step(
        self, state: np.ndarray, u: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        row = state[:, : self.n_features_in_]
        return np.hstack([state[:, self.n_features_in_ :], row]), row

    def _rollout(
        self, state: np.ndarray, n_steps: int, u: np.ndarray | None
    ) -> np.ndarray:
        season = state.reshape(len(state), self.period_, -1)
        return season[:, np.arange(n_steps) % self.period_]

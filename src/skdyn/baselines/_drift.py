"""Drift: go on along the straight line through the first and the last row.

Equation (Hyndman & Athanasopoulos 2021, section 5.2): for rows x[1], ..., x[n],

    x[n + h] = x[n] + h (x[n] - x[1]) / (n - 1).

The slope is the mean of the n - 1 increments, so that over several trajectories it is
the sum of (last - first) over the sum of (n - 1).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from skdyn.base import ForecasterMixin

__all__ = ["Drift"]


class Drift(ForecasterMixin, BaseEstimator):
    """Forecast a straight line from the last row, with the mean slope of the data.

    One slope is fitted for all training trajectories; a context is continued from its
    own last row with that slope.

    Attributes
    ----------
    slope_ : ndarray of shape (n_features,)
        Change from each row to the next, on average.
    n_pairs_seen_ : int
        The number of increments that it is the mean of.
    n_features_in_ : int
        Number of features in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.
    min_context_ : int
        Rows of history that a forecast needs: 1.
    context_ : Trajectories
        The last row of each training trajectory, where ``predict(h)`` starts.

    References
    ----------
    Hyndman & Athanasopoulos, *Forecasting: Principles and Practice*, 3rd ed. (2021),
    section 5.2, "drift method".

    Examples
    --------
    >>> from skdyn.baselines import Drift
    >>> drift = Drift().fit([[1.0], [0.0], [5.0]])
    >>> drift.predict(2)
    array([[7.],
           [9.]])
    >>> drift.forecast(2, context=[[10.0]])
    array([[12.],
           [14.]])
    """

    _parameter_constraints: dict = {}

    slope_: np.ndarray
    n_pairs_seen_: int

    def fit(self, X: Any, y: Any = None) -> Drift:
        """Find the mean slope.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories of at least 2 rows each.
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        Drift
            The estimator itself.
        """
        return self._fit(X, first=True)

    def partial_fit(self, X: Any, y: Any = None) -> Drift:
        """Go on with further trajectories, as if all had been fitted together.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Further trajectories, each of at least 2 rows. They become the context of
            ``predict(h)``.
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        Drift
            The estimator itself.
        """
        return self._fit(X, first=not hasattr(self, "n_pairs_seen_"))

    def _fit(self, X: Any, first: bool) -> Drift:
        trajectories, _ = self._check_fit(X, reset=first)
        rise = np.zeros(self.n_features_in_)
        n_pairs = 0
        if not first:
            rise, n_pairs = self.slope_ * self.n_pairs_seen_, self.n_pairs_seen_
        for piece in trajectories.pieces:
            rise = rise + (piece[-1].astype(np.float64) - piece[0])
            n_pairs += len(piece) - 1
        self.slope_, self.n_pairs_seen_ = rise / n_pairs, n_pairs
        self._remember(trajectories)
        return self

    def _begin(self, contexts: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        return contexts[:, -1].astype(np.float64)

    def _step(
        self, state: np.ndarray, u: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        rows = state + self.slope_
        return rows, rows

    def _rollout(
        self, state: np.ndarray, n_steps: int, u: np.ndarray | None
    ) -> np.ndarray:
        ahead = np.arange(1, n_steps + 1)[:, None]
        return state[:, None] + ahead * self.slope_

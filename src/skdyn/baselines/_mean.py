"""Mean: the future is the average of the past.

Equation: x[k + h] = mean of all training rows, for every h (Hyndman & Athanasopoulos
2021, section 5.2). It is the best forecast of white noise, and what an error of 1 in
units of the spread of the data (`skdyn.metrics.nrmse`) stands for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from skdyn.base import ForecasterMixin

__all__ = ["Mean"]


class Mean(ForecasterMixin, BaseEstimator):
    """Forecast the mean of the training rows, whatever came last.

    The rows of all trajectories are pooled: each counts the same.

    Attributes
    ----------
    mean_ : ndarray of shape (n_features,)
        The mean of all training rows.
    n_rows_seen_ : int
        How many rows those were.
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
    section 5.2, "mean method".

    Examples
    --------
    >>> from skdyn.baselines import Mean
    >>> Mean().fit([[1.0], [2.0], [6.0]]).predict(2)
    array([[3.],
           [3.]])
    """

    _parameter_constraints: dict = {}

    mean_: np.ndarray
    n_rows_seen_: int

    def fit(self, X: Any, y: Any = None) -> Mean:
        """Average the rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories of at least 1 row each.
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        Mean
            The estimator itself.
        """
        return self._fit(X, first=True)

    def partial_fit(self, X: Any, y: Any = None) -> Mean:
        """Go on with further trajectories, as if all had been fitted together.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Further trajectories. They become the context of ``predict(h)``.
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        Mean
            The estimator itself.
        """
        return self._fit(X, first=not hasattr(self, "n_rows_seen_"))

    def _fit(self, X: Any, first: bool) -> Mean:
        trajectories, _ = self._check_fit(X, min_rows=1, reset=first)
        rows = trajectories.rows()
        mean = rows.mean(axis=0, dtype=np.float64)
        seen = 0 if first else self.n_rows_seen_
        self.n_rows_seen_ = seen + len(rows)
        if seen:
            share = len(rows) / self.n_rows_seen_
            mean = self.mean_ + share * (mean - self.mean_)
        self.mean_ = mean
        self._remember(trajectories)
        return self

    def _begin(self, contexts: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        return contexts[:, -1]

    def _step(
        self, state: np.ndarray, u: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        rows = np.tile(self.mean_, (len(state), 1))
        return rows, rows

    def _rollout(
        self, state: np.ndarray, n_steps: int, u: np.ndarray | None
    ) -> np.ndarray:
        return np.tile(self.mean_, (len(state), n_steps, 1))

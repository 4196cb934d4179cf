"""Persistence: tomorrow is as today.

Equation: x[k + 1] = x[k]. It is the random walk's best forecast, the first rival of
every forecaster, and the scale of the MASE metric.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from skdyn.base import ForecasterMixin

__all__ = ["Persistence"]


class Persistence(ForecasterMixin, BaseEstimator):
    """Forecast that nothing changes: every row repeats the last one.

    Attributes
    ----------
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
    section 5.2, "naive method".

    Examples
    --------
    >>> from skdyn.baselines import Persistence
    >>> Persistence().fit([[1.0], [2.0], [4.0]]).predict(2)
    array([[4.],
           [4.]])
    """

    _parameter_constraints: dict = {}

    def fit(self, X: Any, y: Any = None) -> Persistence:
        """Remember the last row of each trajectory.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories, rows in time order.
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        Persistence
            The estimator itself.
        """
        trajectories, _ = self._check_fit(X, min_rows=1)
        self._remember(trajectories)
        return self

    def _begin(self, contexts: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        return contexts[:, -1]

    def _step(
        self, state: np.ndarray, u: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        return state, state.copy()

    def _rollout(
        self, state: np.ndarray, n_steps: int, u: np.ndarray | None
    ) -> np.ndarray:
        return np.repeat(state[:, None], n_steps, axis=1)

"""Delay embedding: a row becomes itself and its past.

Equation (Takens 1981; Packard et al. 1980): with d blocks and delay tau,
z[k] = (x[k], x[k - tau], ..., x[k - (d - 1) tau]), the present block first. For
generic smooth dynamics of dimension m and d > 2 m, z is as good a state as the unseen
one. The rows of one trajectory never reach into another.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skdyn.base import TransformMixin
from skdyn.utils._sklearn import Interval, feature_names_in
from skdyn.utils._trajectories import as_trajectories

__all__ = ["DelayEmbedding"]


class DelayEmbedding(TransformMixin, BaseEstimator):
    """Put delayed copies of every row beside it.

    Parameters
    ----------
    n_delays : int, default=2
        Number of blocks, the present one included and first; 1 is the identity.
    delay : int, default=1
        Rows between neighbouring blocks.

    Attributes
    ----------
    min_context_ : int
        Rows in for one row out: ``1 + (n_delays - 1) * delay``.
    n_features_in_ : int
        Number of features in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.

    See Also
    --------
    skdyn.preprocessing.choose_delay : A delay from the data.
    skdyn.preprocessing.choose_dimension : A number of delays from the data.

    References
    ----------
    Takens, "Detecting strange attractors in turbulence", Lecture Notes in Mathematics
    898 (1981), Theorem 1.

    Packard, Crutchfield, Farmer & Shaw, "Geometry from a time series", Physical Review
    Letters 45 (1980), 712.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.preprocessing import DelayEmbedding
    >>> X = np.arange(5.0)[:, None]
    >>> embedding = DelayEmbedding(n_delays=3).fit(X)
    >>> embedding.transform(X)
    array([[2., 1., 0.],
           [3., 2., 1.],
           [4., 3., 2.]])
    >>> embedding.inverse_transform(embedding.transform(X)).ravel()
    array([2., 3., 4.])
    >>> embedding.unembed(embedding.transform(X)).ravel()
    array([0., 1., 2., 3., 4.])
    """

    _parameter_constraints: dict = {
        "n_delays": [Interval(Integral, 1, None, closed="left")],
        "delay": [Interval(Integral, 1, None, closed="left")],
    }
    _allow_complex = True

    def __init__(self, n_delays: int = 2, *, delay: int = 1) -> None:
        self.n_delays = n_delays
        self.delay = delay

    def fit(self, X: Any, y: Any = None) -> DelayEmbedding:
        """Learn the number and names of the features; no other thing is learned.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories, each of at least ``min_context_`` rows.
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        DelayEmbedding
            The transformer itself.
        """
        self._validate_params()
        self.min_context_ = 1 + (self.n_delays - 1) * self.delay
        self._check_fit(
            X,
            min_rows=self.min_context_,
            why_min_rows=(
                f"DelayEmbedding(n_delays={self.n_delays}, delay={self.delay}) makes "
                f"one row out of {self.min_context_}; pass longer trajectories, or "
                f"lower n_delays or delay."
            ),
        )
        return self

    def _transform(self, x: np.ndarray) -> np.ndarray:
        n_rows = x.shape[-2] - self.min_context_ + 1
        starts = [self.min_context_ - 1 - j * self.delay for j in range(self.n_delays)]
        return np.concatenate([x[..., s : s + n_rows, :] for s in starts], axis=-1)

    def _inverse(self, y: np.ndarray) -> np.ndarray:
        # A copy: a view would keep all the blocks alive.
        return y[..., : self.n_features_in_].copy()

    def unembed(self, Z: Any) -> Any:
        """Rebuild the whole series, the rows that only delayed blocks hold included.

        Parameters
        ----------
        Z : array-like of shape (n_rows, n_delays * n_features), list of these, or 3-D
            Embedded trajectories. With ``delay > 1`` at least ``delay`` rows, or some
            row of the series stands in none.

        Returns
        -------
        ndarray, or list of ndarrays
            In the form of `Z`, each with ``min_context_ - 1`` rows more.
        """
        check_is_fitted(self)
        least = self.delay if self.n_delays > 1 else 1
        data = as_trajectories(
            Z,
            name="Z",
            allow_complex=True,
            allow_nan=True,
            min_rows=least,
            why_min_rows=f"With delay={self.delay}, fewer rows leave holes.",
        )
        if data.n_features != self._n_features_out:
            raise ValueError(
                f"unembed needs the {self._n_features_out} columns that transform "
                f"gives, got {data.n_features}."
            )
        return data.join([self._unembed(piece) for piece in data.pieces])

    def _unembed(self, z: np.ndarray) -> np.ndarray:
        lead, d = self.min_context_ - 1, self.n_features_in_
        # Row i < lead of the series stands in block j of the embedded row
        # i - lead + j * delay, for the least j that makes it one.
        i = np.arange(lead)
        j = -((i - lead) // self.delay)
        blocks = z.reshape(len(z), self.n_delays, d)
        return np.concatenate([blocks[i - lead + j * self.delay, j], blocks[:, 0]])

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns: ``x0``, ``x0_lag1``, ...

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the features; None takes those of ``fit``.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self, "n_features_in_")
        names = feature_names_in(self, input_features)
        lags = [j * self.delay for j in range(self.n_delays)]
        return np.array(
            [
                f"{name}_lag{lag}" if lag else str(name)
                for lag in lags
                for name in names
            ],
            dtype=object,
        )

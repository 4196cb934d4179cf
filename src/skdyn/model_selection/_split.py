"""Splitting one trajectory in time."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np

__all__ = ["RollingOriginSplit"]


class RollingOriginSplit:
    """Train on the past, test on what follows, and roll the origin forwards.

    Each test fold is one run of rows: `context` rows of warm-up, which are known when
    the forecast starts and may overlap the training rows, and the `horizon` rows after
    them, which the model has not seen. The folds' horizons tile the end of the series.

    Score with `skdyn.model_selection.forecast_scorer` and its default context, which
    forecasts the last rows of every fold. A scorer with several origins per fold needs
    a context at least as long as the splitter's, or its truth reaches into the warm-up.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds.
    horizon : int, default=1
        Rows to forecast in each fold.
    context : int, default=1
        Rows of warm-up before them. Take the largest ``min_context_`` of all
        candidates.
    gap : int, default=0
        Rows left out between the training rows and the horizon, for instance
        `context` of them where no training row may stand in a test fold.
    max_train_size : int, default=None
        Largest number of training rows, the latest ones; None takes all.

    See Also
    --------
    sklearn.model_selection.KFold : For a list of trajectories.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.model_selection import RollingOriginSplit
    >>> cv = RollingOriginSplit(n_splits=2, horizon=2, context=3)
    >>> for train, test in cv.split(np.zeros((10, 1))):
    ...     print(train, test)
    [0 1 2 3 4 5] [3 4 5 6 7]
    [0 1 2 3 4 5 6 7] [5 6 7 8 9]
    """

    # scikit-learn's halving searches ask whether the folds are the same at every call.
    shuffle = False
    random_state = None

    def __init__(
        self,
        n_splits: int = 5,
        *,
        horizon: int = 1,
        context: int = 1,
        gap: int = 0,
        max_train_size: int | None = None,
    ) -> None:
        limits = {"n_splits": 1, "horizon": 1, "context": 1, "gap": 0}
        given = {
            "n_splits": n_splits,
            "horizon": horizon,
            "context": context,
            "gap": gap,
        }
        if max_train_size is not None:
            limits["max_train_size"], given["max_train_size"] = 1, max_train_size
        for name, value in given.items():
            whole = isinstance(value, Integral) and not isinstance(value, bool)
            if not whole or value < limits[name]:
                raise ValueError(
                    f"RollingOriginSplit needs {name} to be a whole number of at least "
                    f"{limits[name]}, got {value!r}."
                )
        self.n_splits = n_splits
        self.horizon = horizon
        self.context = context
        self.gap = gap
        self.max_train_size = max_train_size

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give the row numbers of training and test rows, fold by fold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            One trajectory.
        y, groups : ignored
            For scikit-learn's signature.

        Yields
        ------
        train, test : ndarray of int
            Runs of consecutive rows.

        Raises
        ------
        ValueError
            For a list of trajectories, and for too few rows.
        """
        n_dim = len(X.shape) if hasattr(X, "shape") else np.ndim(X[0]) + 1
        if n_dim != 2:
            raise ValueError(
                f"RollingOriginSplit splits one trajectory of shape (n_samples, "
                f"n_features), got a {'list or array' if n_dim == 3 else 'series'}. "
                f"Split several trajectories with sklearn.model_selection.KFold or "
                f"GroupKFold, which keep each one whole."
            )
        n = X.shape[0] if hasattr(X, "shape") else len(X)
        first = n - self.n_splits * self.horizon
        least = max(self.context, self.gap + 2)
        if first < least:
            raise ValueError(
                f"RollingOriginSplit(n_splits={self.n_splits}, horizon={self.horizon}, "
                f"context={self.context}, gap={self.gap}) needs at least "
                f"{least + self.n_splits * self.horizon} rows, got {n}. Lower "
                f"n_splits, horizon, context or gap."
            )
        for i in range(self.n_splits):
            origin = first + i * self.horizon
            stop = origin - self.gap
            start = 0 if self.max_train_size is None else stop - self.max_train_size
            yield (
                np.arange(max(start, 0), stop),
                np.arange(origin - self.context, origin + self.horizon),
            )

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds; the parameters are ignored."""
        return self.n_splits

    def __repr__(self) -> str:
        return (
            f"RollingOriginSplit(n_splits={self.n_splits}, horizon={self.horizon}, "
            f"context={self.context}, gap={self.gap}, "
            f"max_train_size={self.max_train_size})"
        )

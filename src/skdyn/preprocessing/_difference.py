"""Differencing: what is new in a row.

Equation (Box & Jenkins): with B the shift by one row, B x[k] = x[k - 1],

    y = (1 - B^period)^order x.

One difference removes a level that wanders or jumps, and turns a straight line into a
constant; two remove the line; a seasonal difference (period > 1) removes a season of
that many rows, and the level with it. The way back adds the differences up, one running
sum for each row of the season, `order` times.
"""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skdyn.preprocessing._trailing import Trailing
from skdyn.utils._sklearn import Interval, feature_names_in
from skdyn.utils._trajectories import Trajectories

__all__ = ["Difference"]


class Difference(Trailing):
    """Subtract from every row the row `period` rows before.

    For a level that wanders without coming back, a random walk at heart. A forecast
    through it starts exactly at the last row of its context. It is the wrong tool for
    what does come back: noise is doubled by every difference, and an error of the
    model's mean adds up to a false trend. `Detrend` with a longer window is gentler.

    Parameters
    ----------
    order : int, default=1
        How often; 0 is the identity. One is enough for most series with a trend.
    period : int, default=1
        Rows between the two; more than 1 for seasonal differences, such as 12 for
        months, the season of a year.

    Attributes
    ----------
    min_context_ : int
        Rows in for one row out: ``1 + order * period``.
    weights_ : ndarray of shape (order * period,)
        The weights with which the rows before, the newest first, foretell a row; the
        transformed row is what is left.
    n_features_in_ : int
        Number of features in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.

    See Also
    --------
    Detrend : Subtracts what a trend through the last rows foretells.
    Deseasonalise : Subtracts the season alone, and leaves the level.

    References
    ----------
    Box, Jenkins, Reinsel & Ljung, *Time Series Analysis: Forecasting and Control*,
    5th ed. (2015), chapters 4 and 9.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn import DMD, Difference, make_pipeline
    >>> X = np.array([[1.0], [3.0], [4.0], [8.0]])
    >>> Difference().fit_transform(X).ravel()
    array([2., 1., 4.])
    >>> trend_and_decay = np.arange(30)[:, None] + 0.8 ** np.arange(30)[:, None]
    >>> pipe = make_pipeline(Difference(order=2), DMD()).fit(trend_and_decay[:20])
    >>> bool(np.allclose(pipe.predict(10), trend_and_decay[20:]))
    True
    """

    _parameter_constraints: dict = {
        "order": [Interval(Integral, 0, None, closed="left")],
        "period": [Interval(Integral, 1, None, closed="left")],
    }
    _advice = "lower order or period"

    def __init__(self, order: int = 1, *, period: int = 1) -> None:
        self.order = order
        self.period = period

    def _weights(self, trajectories: Trajectories) -> np.ndarray:
        factor = np.zeros(self.period + 1)
        factor[[0, -1]] = 1, -1
        product = np.ones(1)
        for _ in range(self.order):
            product = np.convolve(product, factor)
        return -product[1:]

    def _take_off(self, x: np.ndarray) -> np.ndarray:
        for _ in range(self.order):
            x = x[..., self.period :, :] - x[..., : -self.period, :]
        return x

    def _put_back(self, y: np.ndarray, past: np.ndarray) -> np.ndarray:
        starts = []
        for _ in range(self.order):
            starts.append(past[..., past.shape[-2] - self.period :, :])
            past = past[..., self.period :, :] - past[..., : -self.period, :]
        for start in reversed(starts):
            y = _running_sums(y, start)
        return y

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Names of the columns: ``x0_diff``, ``x0_diff12``, ``x0_diff2x``, ...

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the features; None takes those of ``fit``.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self, "n_features_in_")
        lag = f"{self.period}" if self.period > 1 else ""
        times = f"_{self.order}x" if self.order != 1 else ""
        return np.array(
            [
                f"{name}_diff{lag}{times}"
                for name in feature_names_in(self, input_features)
            ],
            dtype=object,
        )


def _running_sums(y: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Solve x[k] = x[k - m] + y[k] after the m rows of `start`, for (..., n, d)."""
    m, n = start.shape[-2], y.shape[-2]
    n_seasons = -(-n // m)
    shape = (*y.shape[:-2], n_seasons * m, y.shape[-1])
    padded = np.zeros(shape, np.result_type(y, start))
    padded[..., :n, :] = y
    padded[..., :m, :] += start
    seasons = padded.reshape(*shape[:-2], n_seasons, m, shape[-1])
    return np.cumsum(seasons, axis=-3).reshape(shape)[..., :n, :]

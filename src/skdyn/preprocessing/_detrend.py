"""Detrending: what the last rows' trend did not foretell.

Equation: let p_k be the polynomial of a given degree that fits the `window` rows before
row k best in the sense of least squares. Then

    y[k] = x[k] - p_k(k),

the error of the trend's own forecast, one row ahead. On the way back, x[k] = y[k] +
p_k(k): the trend through the last `window` rows is extrapolated, follows the forecast
as it goes, and for y = 0 runs on as the polynomial that it is. With the shortest
window, degree + 1 rows, the polynomial passes through them all, and this is
``Difference(order=degree + 1)``; the longer the window, the steadier the trend.

Why not one polynomial for the whole trajectory? Because a forecast starts from a
context, and trajectories carry no clock. These were considered:

* *The polynomial of the row number, fitted in training.* A context from elsewhere in
  the recording, such as every window that a scorer cuts, has other row numbers.
* *A polynomial fitted to the whole context.* A short context would be detrended by
  something else than the training data was (half a wave has a steep trend), and a
  forecast would depend on how much of the past comes along.
* *The training slope, anchored at the context's level.* The level of a few rows is that
  of the trend plus where in its wave the series is; they cannot be told apart, and the
  model sees an offset that it never saw in training. It also denies every trajectory a
  slope of its own. (``Detrend(degree=0)`` followed by a StandardScaler is this idea
  done consistently: a level of the last rows, and one slope for all.)

A window that trails does the same to every row of the training data and to every
context, and needs no clock. See `skdyn.preprocessing._trailing` for what follows.
"""

from __future__ import annotations

from numbers import Integral
from typing import Literal

import numpy as np
from numpy.polynomial import legendre

from skdyn.preprocessing._trailing import Trailing, fifth, least_squares_weights
from skdyn.utils._seasonality import seasonal_period
from skdyn.utils._sklearn import Interval, StrOptions
from skdyn.utils._trajectories import Trajectories

__all__ = ["Detrend"]

# The longest window chosen unasked: it bounds the context that a forecast needs.
_LONGEST = 100


class Detrend(Trailing):
    """Subtract from every row what a polynomial through the rows before foretells.

    Every trajectory, and every context that a forecast starts from, has a trend of its
    own: that of its last `window` rows. The forecast continues it. A straight line (in
    general, a polynomial up to `degree`) disappears without a trace, whatever else is
    in the data, and linear dynamics keep their eigenvalues.

    Parameters
    ----------
    degree : int, default=1
        Degree of the polynomial: 0 removes a level, 1 a straight line. A parabola is
        seldom a trend: extrapolated, it runs away.
    window : int or "auto", default="auto"
        Rows before each row through which the polynomial is fitted, at least ``degree +
        1``. It has to be long compared with the waves that are to stay, and short
        compared with how the trend bends; noise of standard deviation s makes an error
        of about ``4.3 * s / window**1.5`` in the slope of a line. A whole number of
        seasons is best. ``"auto"``: a fifth of the shortest training trajectory, at
        most 100 rows, and of that as many whole seasons as fit, where the data has a
        season.

    Attributes
    ----------
    min_context_ : int
        Rows in for one row out: 1 more than the window.
    weights_ : ndarray of shape (window,)
        The weights with which the rows before, the newest first, foretell a row.
    n_features_in_ : int
        Number of features in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.

    See Also
    --------
    Difference : The same with the shortest window.
    Deseasonalise : Subtracts the season alone.
    scipy.signal.detrend : One line for a whole series, to look at; it has no way back.

    Notes
    -----
    Do not detrend what has no trend. A chaotic system that stays on its attractor has
    none, however slowly it drifts across it; the drift is part of the state, and a
    filter that removes it removes what the model should learn.

    References
    ----------
    Kumaresan, "On the zeros of the linear prediction-error filter for deterministic
    signals", IEEE Transactions on Acoustics, Speech, and Signal Processing 31 (1983),
    217.

    Bazan & Bezerra, "On zero locations of predictor polynomials", Numerical Linear
    Algebra with Applications 4 (1997), 459; with multiple zeros, as polynomials have.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn import DMD, DelayEmbedding, Detrend, make_pipeline
    >>> k = np.arange(200)[:, None]
    >>> X = 5 + 0.3 * k + np.sin(0.4 * k)
    >>> pipe = make_pipeline(Detrend(window=40), DelayEmbedding(2), DMD()).fit(X[:150])
    >>> bool(np.abs(pipe.predict(50) - X[150:]).max() < 1e-8)
    True
    >>> np.abs(pipe[-1].spectrum_.eigenvalues).round(6)
    array([1., 1.])
    """

    _parameter_constraints: dict = {
        "degree": [Interval(Integral, 0, None, closed="left")],
        "window": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    }
    _advice = "shorten window"

    def __init__(
        self, degree: int = 1, *, window: int | Literal["auto"] = "auto"
    ) -> None:
        self.degree = degree
        self.window = window

    def _weights(self, trajectories: Trajectories) -> np.ndarray:
        least = self.degree + 1
        if self.window == "auto":
            window = max(_auto_window(trajectories), least)
        elif self.window < least:
            raise ValueError(
                f"A polynomial of degree {self.degree} needs a window of at least "
                f"{least} rows, got {self.window}. Lengthen window, or lower degree."
            )
        else:
            window = int(self.window)
        # Legendre polynomials on [-1, 1], the present row one step beyond.
        place = np.linspace(1.0, -1.0, window) if window > 1 else np.zeros(1)
        step = 2 / (window - 1) if window > 1 else 1.0
        before = legendre.legvander(place, self.degree)
        now = legendre.legvander(np.array([place[0] + step]), self.degree)[0]
        return least_squares_weights(before, now)


def _auto_window(trajectories: Trajectories) -> int:
    most = min(fifth(trajectories), _LONGEST)
    pieces = trajectories.pieces
    if trajectories.dtype.kind == "c":
        pieces = [np.hstack([piece.real, piece.imag]) for piece in pieces]
    season = seasonal_period(pieces, max_period=most)
    return most // season * season

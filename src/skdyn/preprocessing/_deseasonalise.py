"""Seasonal adjustment: what the last seasons did not foretell.

Equation: let s_k be the seasonal part of the least-squares fit of a constant and waves
with 1, 2, ..., `n_harmonics` cycles in a period to the last `n_seasons` periods before
row k. Then

    y[k] = x[k] - s_k(k).

For a whole period of m rows and all harmonics that is the mean of the rows at the same
place in the last q seasons, less the mean of all their rows (the classical seasonal
component, Hyndman & Athanasopoulos 2021, section 3.4, over the past alone):

    s_k(k) = mean_{j <= q} x[k - j m] - mean_{i <= q m} x[k - i].

The level stays in y, and a straight line keeps its slope.

Trajectories carry no clock, so that a context does not say at which phase of the season
it starts. Considered, and not done: one profile for all, laid over the context where it
fits best. That needs all trajectories aligned with each other first, and where the
season is weak beside the rest, it picks a wrong phase and adds a season instead of
removing one, without a sign. The last seasons of a context know its phase, and let the
profile change over the years; the price is their noise, 1 / n_seasons of its variance.

The multiplicative model is the additive one of log(x).
"""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Literal

import numpy as np

from skdyn.preprocessing._trailing import (
    Trailing,
    fifth,
    least_squares_weights,
    put_back,
    take_off,
)
from skdyn.utils._seasonality import seasonal_period
from skdyn.utils._sklearn import Interval, StrOptions
from skdyn.utils._trajectories import Trajectories

__all__ = ["Deseasonalise"]

# The most seasons averaged unasked: profiles change, and contexts are short.
_MOST_SEASONS = 5


class Deseasonalise(Trailing):
    """Subtract from every row the season that the last seasons foretell.

    The phase of a trajectory, or of a context, is that of its own last seasons: nothing
    has to be aligned. A season that repeats exactly disappears without a trace,
    whatever else is in the data; the level stays, and linear dynamics keep their
    eigenvalues.

    Parameters
    ----------
    period : int, float or "auto", default="auto"
        Rows in a season, at least 2, not necessarily a whole number (a tide of 12.42
        hours). ``"auto"`` takes the period of the highest significant autocorrelation,
        up to a third of the longest trajectory, and warns where there is none; rows
        then pass as they are.
    model : {"additive", "multiplicative"}, default="additive"
        Whether the season is added to the rest or multiplies it. The latter needs
        positive values; a model that forecasts values that are not gets NaN back from
        there on. For models at home in logarithms, put ``FunctionTransformer(np.log,
        inverse_func=np.exp)`` first and keep the additive season.
    n_seasons : int or "auto", default="auto"
        Seasons that are averaged. More make less noise, fewer follow a profile that
        changes. ``"auto"``: as many as fit in a fifth of the shortest training
        trajectory, from 1 to 5.
    n_harmonics : int or None, default=None
        Waves that a profile is made of, with 1, 2, ... cycles in a period; few make it
        smooth. None takes all that can be told apart.

    Attributes
    ----------
    period_ : int or float
        The period; 1 where ``"auto"`` found none.
    min_context_ : int
        Rows in for one row out: 1 more than the rows of `n_seasons` periods.
    weights_ : ndarray of shape (n_weights,)
        The weights with which the rows before, the newest first, foretell the season of
        a row (its logarithm, in the multiplicative model).
    n_features_in_ : int
        Number of features in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.

    See Also
    --------
    Difference : ``Difference(period=12)`` removes the level as well.
    Detrend : Removes the trend and leaves the season.

    Notes
    -----
    A season keeps time: it comes back at the same pace for ever, driven by a calendar
    or a rotation. The cycle of a self-sustained or chaotic oscillation does not; its
    phase wanders, it is the dynamics itself, and is to be left to the model. The test
    behind ``"auto"`` cannot tell the two apart.

    References
    ----------
    Hyndman & Athanasopoulos, *Forecasting: Principles and Practice*, 3rd ed. (2021),
    sections 3.4 and 7.4 (Fourier terms).

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn import DMD, Deseasonalise, make_pipeline
    >>> k = np.arange(96)[:, None]
    >>> year = np.tile([3.0, 1, 0, 0, -2, 5, 9, -9, 4, -8, -4, 1], 8)[:, None]
    >>> X = year + 20 * 0.98**k
    >>> pipe = make_pipeline(Deseasonalise(), DMD()).fit(X[:60])
    >>> pipe[0].period_
    12
    >>> bool(np.abs(pipe.predict(36) - X[60:]).max() < 1e-9)
    True
    """

    _parameter_constraints: dict = {
        "period": [Interval(Real, 2, None, closed="left"), StrOptions({"auto"})],
        "model": [StrOptions({"additive", "multiplicative"})],
        "n_seasons": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "n_harmonics": [Interval(Integral, 1, None, closed="left"), None],
    }
    _allow_complex = False
    _advice = "lower period or n_seasons"

    def __init__(
        self,
        period: float | Literal["auto"] = "auto",
        *,
        model: Literal["additive", "multiplicative"] = "additive",
        n_seasons: int | Literal["auto"] = "auto",
        n_harmonics: int | None = None,
    ) -> None:
        self.period = period
        self.model = model
        self.n_seasons = n_seasons
        self.n_harmonics = n_harmonics

    def _weights(self, trajectories: Trajectories) -> np.ndarray:
        if self.period == "auto":
            self.period_: float = seasonal_period(trajectories.pieces)
            if self.period_ == 1:
                warnings.warn(
                    "Deseasonalise found no significant season, so that rows pass as "
                    "they are. Pass period=... where you know it, or leave the step "
                    "out.",
                    UserWarning,
                    stacklevel=3,
                )
                return np.empty(0)
        else:
            whole = float(self.period).is_integer()
            self.period_ = int(self.period) if whole else float(self.period)
        if self.n_seasons == "auto":
            fitting = int(fifth(trajectories) / self.period_)
            n_seasons = min(max(fitting, 1), _MOST_SEASONS)
        else:
            n_seasons = int(self.n_seasons)
        return _seasonal_weights(self.period_, n_seasons, self.n_harmonics)

    def _check_values(self, trajectories: Trajectories) -> None:
        if self.model == "multiplicative":
            lowest = min(piece.min() for piece in trajectories.pieces)
            if lowest <= 0:
                raise ValueError(
                    f"A multiplicative season needs positive values, got {lowest:g}. "
                    f"Use model='additive', or add a constant to the data first."
                )

    def _take_off(self, x: np.ndarray) -> np.ndarray:
        if self.model == "additive":
            return take_off(x, self.weights_)
        return np.exp(take_off(np.log(x), self.weights_))

    def _put_back(self, y: np.ndarray, past: np.ndarray) -> np.ndarray:
        if self.model == "additive":
            return put_back(y, past, self.weights_)
        return np.exp(put_back(np.log(y), np.log(past), self.weights_))


def _seasonal_weights(
    period: float, n_seasons: int, n_harmonics: int | None
) -> np.ndarray:
    """How the rows of the last seasons foretell the season of the next row."""
    window = int(np.ceil(n_seasons * period))
    # Harmonics so close to half a cycle per row that `window` rows do not tell their
    # sine from nothing are left out; at exactly half a cycle there is no sine.
    harmonics = np.arange(1, int(period / 2) + 1)
    kept = harmonics / period <= 0.5 - 0.5 / window + 1e-12
    harmonics = harmonics[kept | (2 * harmonics == period)]
    if not harmonics.size:
        raise ValueError(
            f"A period of {period:g} rows needs more than {n_seasons} season(s) to be "
            f"told from a period of 2. Raise n_seasons."
        )
    if n_harmonics is not None:
        if n_harmonics > len(harmonics):
            raise ValueError(
                f"A period of {period:g} rows over {n_seasons} season(s) has "
                f"{len(harmonics)} harmonics, got n_harmonics={n_harmonics}. Lower it, "
                f"or pass None for all."
            )
        harmonics = harmonics[:n_harmonics]
    elif isinstance(period, int):
        weights = np.full(window, -1 / window)
        weights[period - 1 :: period] += 1 / n_seasons
        return weights
    angles = -2 * np.pi * np.outer(np.arange(1, window + 1), harmonics / period)
    sines = np.sin(angles[:, 2 * harmonics != period])
    before = np.hstack([np.ones((window, 1)), np.cos(angles), sines])
    # At the present row every cosine is 1 and every sine 0; the constant stays in y.
    now = np.repeat([0.0, 1.0, 0.0], [1, len(harmonics), sines.shape[1]])
    return least_squares_weights(before, now)

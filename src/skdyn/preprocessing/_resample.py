"""Other steps of time: uneven times onto an even grid, and all speeds to one.

Between rows an interpolant is evaluated (scipy): a cubic spline, a monotone cubic
(PCHIP) or straight lines. Grids end at the last row, the one that a forecast continues.

In unit time (Gilpin 2021 samples all his systems so) a fixed number of rows makes one
period of the strongest Fourier component, whatever the recording's own step:

    step = period / rows_per_period        (in rows of the recording).

Why functions and not transformers: a forecast of n rows that is asked of a pipeline is
n rows for every step in it, and row k of the inputs belongs to row k. Behind a step
that changes the pace, n rows of the data would be n / step of the model, and each row
of `u` would act during a fraction of one. A transformer could only leave forecasts in
its own rows, which is a change of what ``predict(50)`` means that the rest of the
pipeline does not see. So resample the data first, and read forecasts by ``dt``: n of
their rows are ``n * dt`` of the data's time. To read a forecast at the old times,
resample it back: ``resample_even(np.vstack([context, forecast]), times, dt=old_dt)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator, make_interp_spline

from skdyn.preprocessing._gaps import stamps
from skdyn.utils._seasonality import dominant_period
from skdyn.utils._sklearn import is_frame, is_pandas
from skdyn.utils._trajectories import (
    TIMED,
    Trajectories,
    as_trajectories,
    check_times,
)

__all__ = ["Resampled", "resample_even", "resample_period"]

Kind = Literal["cubic", "pchip", "linear"]
_KINDS: dict[str, Callable[..., Any]] = {
    "cubic": lambda t, x: CubicSpline(t, x, axis=0),
    "pchip": lambda t, x: PchipInterpolator(t, x, axis=0),
    "linear": lambda t, x: make_interp_spline(t, x, k=1, axis=0),
}
# A step longer than this many usual ones is a gap, unless told otherwise.
_LONG = 3.0
# A component that does not come back so often is a drift.
_LEAST_TURNS = 3


@dataclass(frozen=True, eq=False)
class Resampled:
    """Trajectories at other times than they were recorded at.

    Attributes
    ----------
    trajectories : ndarray, or list of ndarrays
        The rows at the new times, in the form and of the type of the data.
    times : ndarray of shape (n_samples,), or list of these
        The new times, for each trajectory.
    dt : float, or list of float
        The new step: one number, or from `resample_period` of several trajectories
        one for each. In the unit of the times that were given; in rows of the data
        for `resample_period`.
    """

    trajectories: Any
    times: Any
    dt: Any

    def __repr__(self) -> str:
        several = not isinstance(self.times, np.ndarray)
        about = f"{len(self.times)} trajectories, " if several else ""
        steps = self.dt if isinstance(self.dt, list) else [self.dt]
        low, high = min(steps), max(steps)
        span = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
        rows = [len(t) for t in self.times] if several else [len(self.times)]
        return f"Resampled({about}{sum(rows)} rows, dt={span})"


def resample_even(
    X: Any,
    t: Any = None,
    *,
    dt: float | None = None,
    kind: Kind = "cubic",
    max_gap: float | None = None,
) -> Resampled:
    """Bring rows at uneven times to a constant step.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), list of these, or 3-D
        Trajectories, each of at least 2 rows.
    t : array-like of shape (n_samples,), or list of these, default=None
        Their times, strictly increasing. None takes the index of pandas DataFrames:
        dates in seconds from the first, numbers as they are.
    dt : float or None, default=None
        The new step, in the unit of `t`. None takes the median step of all
        trajectories.
    kind : {"cubic", "pchip", "linear"}, default="cubic"
        The interpolant: a cubic spline, the most accurate for smooth, clean data; a
        monotone cubic, which never overshoots; or straight lines, for noisy data.
    max_gap : float or None, default=None
        The longest step to interpolate over, in the unit of `t`. None takes three times
        the median step; ``np.inf`` sets no limit.

    Returns
    -------
    Resampled
        Rows at ``..., t[-1] - 2 * dt, t[-1] - dt, t[-1]``, not before ``t[0]``.

    Raises
    ------
    ValueError
        At a step longer than `max_gap`, naming its row: nothing is known of what
        happened there. For bad times, and where `dt` leaves fewer than 2 rows.

    See Also
    --------
    cut_gaps : Cuts a recording at long steps and at missing rows.
    resample_period : A step that makes one period a fixed number of rows.

    Notes
    -----
    Where the new step is longer than the old one, what oscillates faster than two new
    steps is folded onto slower oscillations, as in all sampling: smooth it out first.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.preprocessing import resample_even
    >>> t = np.array([0.0, 1.0, 2.5, 3.0, 4.0])
    >>> even = resample_even(2 * t[:, None], t, dt=1.0)
    >>> even.times, even.trajectories.ravel()
    (array([0., 1., 2., 3., 4.]), array([0., 2., 4., 6., 8.]))
    >>> resample_even(t[:, None], [0.0, 1.0, 2.0, 3.0, 90.0])
    Traceback (most recent call last):
        ...
    ValueError: t has a step of 87 at row 4, longer than max_gap=3. ...
    """
    _check_choice(kind)
    data = _without_index(X)
    clocks = check_times(_index_times(X) if t is None else t, data)
    usual = float(np.median(np.concatenate([np.diff(clock) for clock in clocks])))
    step = usual if dt is None else _positive(dt, "dt")
    limit = _LONG * usual if max_gap is None else _positive(max_gap, "max_gap")
    grids = []
    for i, clock in enumerate(clocks):
        where = "t" if data.form == "single" else f"t[{i}]"
        steps = np.diff(clock)
        # Equal steps differ by the rounding of the times.
        row = int((steps > limit * (1 + 1e-9)).argmax()) + 1
        if steps[row - 1] > limit * (1 + 1e-9):
            raise ValueError(
                f"{where} has a step of {steps[row - 1]:g} at row {row}, longer than "
                f"max_gap={limit:g}. Cut the recording there (cut_gaps), or raise "
                f"max_gap, to np.inf if every gap may be filled."
            )
        grids.append(_grid(clock, step, f"dt={step:g}", where))
    return Resampled(*_evaluate(data, clocks, grids, kind), step)


def _index_times(X: Any) -> Any:
    """Times from the index of a DataFrame, or of each in a list."""
    listed = isinstance(X, (list, tuple))
    times = []
    for member in X if listed else [X]:
        timed = is_pandas(member) and member.index.inferred_type in TIMED
        numbered = is_pandas(member) and member.index.dtype.kind in "iuf"
        if not (timed or numbered):
            raise ValueError(
                "resample_even needs times: t, or a DataFrame whose index is dates or "
                "numbers, got neither. Pass t=..., one time for each row."
            )
        if timed:
            clock = stamps(member.index)
            times.append((clock - clock[0]) / np.timedelta64(1, "s"))
        else:
            times.append(member.index)
    return times if listed else times[0]


def resample_period(
    X: Any,
    rows_per_period: float = 100,
    *,
    period: float | Sequence[float] | Literal["auto"] = "auto",
    kind: Kind = "cubic",
) -> Resampled:
    """Bring recordings of different speeds to one number of rows per period.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), list of these, or 3-D
        Trajectories at constant steps.
    rows_per_period : float, default=100
        Rows in one period afterwards; more than 2. Models that learn one step ahead
        find 20 to 100 comfortable: fewer, and steps are large; more, and a row says
        little that the row before did not.
    period : float, sequence of float or "auto", default="auto"
        Rows in one period of the data, for all or for each trajectory. ``"auto"`` takes
        that of the strongest Fourier component of each trajectory.
    kind : {"cubic", "pchip", "linear"}, default="cubic"
        The interpolant, see `resample_even`.

    Returns
    -------
    Resampled
        ``times`` and ``dt`` are in rows of the data, counted from 0.

    Raises
    ------
    ValueError
        Where the strongest component comes back less than 3 times in a trajectory, so
        that it is a drift and no period; and where fewer than 2 rows are left.

    See Also
    --------
    resample_even : A step of one's own, from uneven times.

    Notes
    -----
    The strongest component of a series whose spectrum is flat (Lorenz' x) is chance:
    pass the coordinate that oscillates, or its period.

    References
    ----------
    Gilpin, "Chaos as an interpretable benchmark for forecasting and data-driven
    modelling", NeurIPS Datasets and Benchmarks (2021).

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.preprocessing import resample_period
    >>> slow, fast = (np.sin(2 * np.pi * np.arange(900) / p)[:, None] for p in (90, 15))
    >>> same = resample_period([slow, fast], 30)
    >>> [round(dt, 3) for dt in same.dt]
    [3.0, 0.5]
    """
    _check_choice(kind)
    per = _positive(rows_per_period, "rows_per_period")
    if per <= 2:
        raise ValueError(
            f"rows_per_period needs more than 2, got {per:g}: an oscillation is not "
            f"seen in fewer rows. Raise it."
        )
    data = _without_index(X)
    steps = [p / per for p in _periods(data, period)]
    clocks = [np.arange(float(n)) for n in data.lengths]
    grids = []
    for i, (clock, step) in enumerate(zip(clocks, steps, strict=True)):
        where = "X" if data.form == "single" else f"X[{i}]"
        grids.append(_grid(clock, step, f"{per:g} rows per period", where))
    rows, times = _evaluate(data, clocks, grids, kind)
    return Resampled(rows, times, steps[0] if data.form == "single" else steps)


def _periods(data: Trajectories, period: Any) -> list[float]:
    if isinstance(period, str):
        if period != "auto":
            raise ValueError(
                f"period needs numbers or 'auto', got {period!r}. Pass one of them."
            )
        found = []
        for i, piece in enumerate(data.pieces):
            where = "X" if data.form == "single" else f"X[{i}]"
            rows = dominant_period([piece])
            if not rows <= len(piece) / _LEAST_TURNS:
                raise ValueError(
                    f"The strongest component of {where} needs to come back at least "
                    f"{_LEAST_TURNS} times to be a period, got one of {rows:.4g} rows "
                    f"in {len(piece)}. Take off the drift first, pass the column "
                    f"that oscillates, or pass period=..."
                )
            found.append(rows)
        return found
    given = [period] * len(data) if isinstance(period, Real) else list(period)
    if len(given) != len(data):
        raise ValueError(
            f"period needs a number for each of {len(data)} trajectories, got "
            f"{len(given)}. Pass one number for all, or as many as trajectories."
        )
    return [_positive(p, "period") for p in given]


def _without_index(X: Any) -> Trajectories:
    """Trajectories of plain arrays: the index of a DataFrame is not to cut them."""
    if is_frame(X):
        X = X.to_numpy()
    elif isinstance(X, (list, tuple)):
        X = [x.to_numpy() if is_frame(x) else x for x in X]
    return as_trajectories(
        X, min_rows=2, why_min_rows="Something is to lie between rows."
    )


def _grid(clock: np.ndarray, step: float, what: str, where: str) -> np.ndarray:
    """Times at constant steps that end where the clock does."""
    # A grid that reaches the first time but for rounding reaches it.
    n_steps = int(np.floor((clock[-1] - clock[0]) / step * (1 + 1e-12) + 1e-9))
    if n_steps < 1:
        raise ValueError(
            f"{where} needs at least 2 rows after resampling, got 1: it spans "
            f"{clock[-1] - clock[0]:g}, and {what} makes steps of {step:g}. Shorten "
            f"the step, or pass a longer trajectory."
        )
    grid = clock[-1] - step * np.arange(n_steps, -1, -1.0)
    # Never outside the data, not even by rounding.
    return np.maximum(grid, clock[0])


def _evaluate(
    data: Trajectories, clocks: list[np.ndarray], grids: list[np.ndarray], kind: str
) -> tuple[Any, Any]:
    rows = [
        _KINDS[kind](clock, piece.astype(np.float64))(grid).astype(data.dtype)
        for clock, piece, grid in zip(clocks, data.pieces, grids, strict=True)
    ]
    if data.form == "array" and len({len(each) for each in rows}) > 1:
        lengths = sorted({len(each) for each in rows})
        raise ValueError(
            f"A 3-D array needs trajectories of one length, got {lengths[0]} to "
            f"{lengths[-1]} rows after resampling. Pass them as a list: list(X)."
        )
    return data.join(rows), grids[0] if data.form == "single" else grids


def _check_choice(kind: Any) -> None:
    if kind not in _KINDS:
        names = ", ".join(repr(name) for name in _KINDS)
        raise ValueError(f"kind needs one of {names}, got {kind!r}.")


def _positive(value: Any, name: str) -> float:
    real = isinstance(value, Real) and not isinstance(value, bool)
    if not real or not value > 0:
        raise ValueError(
            f"{name} needs a number greater than 0, got {value!r}. Pass one."
        )
    return float(value)

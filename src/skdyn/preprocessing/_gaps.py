"""Cut a recording with holes into clean trajectories.

Nothing is filled in. A row with NaN or infinity is dropped and cuts; a step in time
longer than `max_gap` cuts; stretches too short to learn from are dropped. What is
dropped is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np

from skdyn.utils._sklearn import is_frame, is_pandas
from skdyn.utils._trajectories import TIMED, as_trajectories

__all__ = ["CleanTrajectories", "cut_gaps", "stamps"]

# As for DataFrames with a time index: one missing row is a gap, a long month is none.
_GAP = 1.5


@dataclass(frozen=True, eq=False)
class CleanTrajectories:
    """What is left of a recording once it is cut at its holes.

    Attributes
    ----------
    trajectories : list of ndarrays, or of DataFrames
        The stretches, in time order: what ``fit`` takes. DataFrames for a DataFrame.
    times : list of ndarrays or indexes, or None
        Their times; None where the recording came without.
    dropped_rows : int ndarray of shape (n_dropped,)
        The rows of the recording that stand in no stretch.
    dt : float, timedelta or None
        The usual step between rows (the lower median), None without times.
    """

    trajectories: list
    times: list | None
    dropped_rows: np.ndarray
    dt: Any

    def __repr__(self) -> str:
        lengths = [len(each) for each in self.trajectories]
        return (
            f"CleanTrajectories({len(lengths)} trajectories of {min(lengths)} to "
            f"{max(lengths)} rows, {len(self.dropped_rows)} dropped)"
        )


def cut_gaps(
    X: Any,
    t: Any = None,
    *,
    max_gap: Any = None,
    min_rows: int = 2,
    drop_nan: bool = True,
) -> CleanTrajectories:
    """Cut one recording into trajectories without gaps and without missing values.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), or DataFrame
        The recording. The times of a pandas DataFrame are its index, where that is one
        of time.
    t : array-like of shape (n_samples,), default=None
        Times, strictly increasing: numbers or numpy datetimes. Where given, an index is
        not looked at.
    max_gap : float, timedelta or str, default=None
        The longest step that is none: in the unit of `t`, or for dates a
        ``pandas.Timedelta`` or what makes one, such as ``"2h"``. None takes 1.5 times
        the usual step. For uneven times, set it (and see `resample_even`).
    min_rows : int, default=2
        Stretches with fewer rows are dropped.
    drop_nan : bool, default=True
        Whether rows with NaN or infinity are dropped and cut. False keeps them, which
        skdyn's estimators refuse.

    Returns
    -------
    CleanTrajectories

    Raises
    ------
    ValueError
        If no stretch is left, if times do not increase, or if `max_gap` is given
        without times.

    See Also
    --------
    resample_even : Brings stretches at uneven times to a constant step.

    Notes
    -----
    A DataFrame with a time index needs this for NaN alone, or for a `max_gap` of its
    own: the estimators cut at its gaps by themselves. As there, daily rows without a
    single weekend among them are counted in business days.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.preprocessing import cut_gaps
    >>> X = np.arange(9.0)[:, None]
    >>> X[3] = np.nan
    >>> clean = cut_gaps(X, t=[0, 1, 2, 3, 4, 5, 20, 21, 22])
    >>> clean
    CleanTrajectories(3 trajectories of 2 to 3 rows, 1 dropped)
    >>> clean.times
    [array([0, 1, 2]), array([4, 5]), array([20, 21, 22])]
    >>> clean.dropped_rows
    array([3])
    """
    if not isinstance(min_rows, Integral) or isinstance(min_rows, bool) or min_rows < 1:
        raise ValueError(
            f"min_rows needs an integer of at least 1, got {min_rows!r}. Pass one."
        )
    if isinstance(X, (list, tuple)) and len(X) and np.ndim(X[0]) == 2:
        raise ValueError(
            f"cut_gaps needs one recording, got a list of {len(X)}. Call it for each, "
            f"and join the lists of trajectories."
        )
    data = as_trajectories(
        X if t is None or not is_frame(X) else X.to_numpy(), allow_nan=True
    )
    if data.form != "single":
        raise ValueError(
            f"cut_gaps needs one recording, got {len(data)} in an array of 3 "
            f"dimensions. Call it for each."
        )
    rows = data.whole(0)
    times, clock = _times(X, t, len(rows))
    cuts = np.zeros(len(rows), dtype=bool)
    if max_gap is not None:
        if clock is None:
            raise ValueError(
                f"max_gap={max_gap!r} needs times, got none. Pass t, or a DataFrame "
                f"with a time index."
            )
        cuts[1:] = np.diff(clock) > _length(max_gap, clock)
    elif t is None:
        # The door has cut at gaps in a time index.
        cuts[[start for start, _ in data.runs(0)]] = True
    elif len(rows) > 1:
        steps = np.diff(clock)
        cuts[1:] = steps / _usual(steps) > _GAP
    good = np.isfinite(rows).all(axis=1) if drop_nan else np.ones(len(rows), bool)
    # A stretch begins at a cut, at the first row, and wherever good and bad rows meet.
    begins = cuts.copy()
    begins[0] = True
    begins[1:] |= good[1:] != good[:-1]
    edges = [*np.flatnonzero(begins).tolist(), len(rows)]
    kept = [
        (start, stop)
        for start, stop in pairwise(edges)
        if good[start] and stop - start >= min_rows
    ]
    if not kept:
        longest = max(
            (stop - start for start, stop in pairwise(edges) if good[start]), default=0
        )
        raise ValueError(
            f"cut_gaps needs a stretch of at least {min_rows} rows without a gap, got "
            f"at most {longest}. Lower min_rows, raise max_gap, or drop the columns "
            f"with most missing values."
        )
    dropped = np.ones(len(rows), dtype=bool)
    for start, stop in kept:
        dropped[start:stop] = False
    source = X if is_frame(X) else rows
    dt = None
    if clock is not None and len(rows) > 1:
        dt = _usual(np.diff(clock))
        dt = dt if isinstance(dt, np.timedelta64) else float(dt)
    return CleanTrajectories(
        [_slice(source, start, stop) for start, stop in kept],
        None if times is None else [times[start:stop] for start, stop in kept],
        np.flatnonzero(dropped),
        dt,
    )


def _times(X: Any, t: Any, n_rows: int) -> tuple[Any, Any]:
    """Times of a recording as they are to be given back, and as an array; or None."""
    if t is None:
        if not is_pandas(X) or X.index.inferred_type not in TIMED:
            return None, None
        return X.index, stamps(X.index)
    clock = np.asarray(t)
    if clock.dtype.kind not in "iufmM" or clock.shape != (n_rows,):
        raise ValueError(
            f"t needs a time for each of {n_rows} rows, numbers or numpy datetimes in "
            f"one dimension, got {clock.dtype} of shape {clock.shape}. Convert it, or "
            f"cut it as X was cut."
        )
    if clock.dtype.kind == "u":
        clock = clock.astype(np.int64)
    steps = np.diff(clock)
    # Written so that NaN and NaT are found as well.
    bad = np.flatnonzero(~(steps > np.zeros(1, steps.dtype)))
    if bad.size:
        raise ValueError(
            f"t needs strictly increasing times, got {clock[bad[0] + 1]} at row "
            f"{bad[0] + 1}. Sort the rows and drop repeated times."
        )
    return clock, clock


def stamps(index: Any) -> np.ndarray:
    """A pandas index of time as numpy datetimes or timedeltas."""
    import pandas as pd

    if index.inferred_type == "period":
        index = index.to_timestamp()
    if index.inferred_type.startswith("timedelta"):
        return pd.TimedeltaIndex(index).to_numpy()
    return pd.DatetimeIndex(index).to_numpy(dtype="datetime64[ns]")


def _usual(steps: np.ndarray) -> Any:
    """The lower median: of two steps the shorter is the usual one."""
    return np.sort(steps)[(len(steps) - 1) // 2]


def _length(max_gap: Any, clock: Any) -> Any:
    if clock.dtype.kind not in "mM":
        return max_gap
    if isinstance(max_gap, np.timedelta64):
        return max_gap
    import pandas as pd

    return pd.Timedelta(max_gap).to_timedelta64()


def _slice(source: Any, start: int, stop: int) -> Any:
    if is_pandas(source):
        return source.iloc[start:stop]
    # A copy of an array: a view would keep the whole recording alive.
    return source[start:stop] if is_frame(source) else source[start:stop].copy()

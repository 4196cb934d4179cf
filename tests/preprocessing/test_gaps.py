"""Nothing bridges a hole, nothing is invented, and what is dropped is told."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skdyn.baselines import Persistence
from skdyn.koopman import DMD
from skdyn.preprocessing import cut_gaps


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_stretches_and_dropped_rows_are_the_recording(seed, min_rows):
    rng = np.random.default_rng(seed)
    n = 60
    t = np.cumsum(rng.choice([1, 1, 1, 1, 5], n))
    x = np.arange(2.0 * n).reshape(n, 2)
    x[rng.random(n) < 0.1, rng.integers(2)] = rng.choice([np.nan, np.inf])
    try:
        clean = cut_gaps(x, t, min_rows=min_rows)
    except ValueError:
        return
    rows = [t.searchsorted(times) for times in clean.times]
    for stretch, times, where in zip(clean.trajectories, clean.times, rows):
        np.testing.assert_array_equal(stretch, x[where])
        assert np.isfinite(stretch).all()
        assert len(stretch) >= min_rows
        assert (np.diff(times) == 1).all()
    together = np.sort(np.concatenate([*rows, clean.dropped_rows]))
    np.testing.assert_array_equal(together, np.arange(n))
    # No two neighbours were parted without a reason, and no row dropped without one.
    good = np.isfinite(x).all(axis=1)
    for one, other in pairwise(rows):
        if other[0] == one[-1] + 1:
            assert t[other[0]] - t[one[-1]] == 5
    if min_rows == 1:
        np.testing.assert_array_equal(clean.dropped_rows, np.flatnonzero(~good))


def test_usual_step_and_max_gap():
    t = np.r_[0, 0.1, 0.2, 0.3, 0.45, 0.55, 0.95, 1.05]
    x = np.arange(8.0)[:, None]
    clean = cut_gaps(x, t)
    assert clean.dt == pytest.approx(0.1)
    assert [len(each) for each in clean.trajectories] == [6, 2]
    for limit, lengths in ((0.3, [6, 2]), (0.5, [8]), (0.12, [4, 2, 2])):
        clean = cut_gaps(x, t, max_gap=limit)
        assert [len(each) for each in clean.trajectories] == lengths
    assert len(cut_gaps(x, t.astype(np.float32)).trajectories) == 2
    whole = cut_gaps(x, np.array([0, 1, 2, 3, 200, 201, 202, 203], np.uint8))
    assert [len(each) for each in whole.trajectories] == [4, 4]
    stamps = np.datetime64("2020-01-01") + np.r_[0:5, 9:12].astype("timedelta64[h]")
    clean = cut_gaps(x, stamps)
    assert clean.dt == np.timedelta64(1, "h")
    assert [len(each) for each in clean.trajectories] == [5, 3]


def test_without_times():
    x = np.arange(12.0).reshape(6, 2)
    x[2, 1] = np.nan
    clean = cut_gaps(x)
    np.testing.assert_array_equal(clean.trajectories[0], [[0, 1], [2, 3]])
    np.testing.assert_array_equal(clean.trajectories[1], [[6, 7], [8, 9], [10, 11]])
    assert clean.times is None
    assert clean.dt is None
    np.testing.assert_array_equal(clean.dropped_rows, [2])
    assert repr(clean) == "CleanTrajectories(2 trajectories of 2 to 3 rows, 1 dropped)"
    kept = cut_gaps(x, drop_nan=False)
    np.testing.assert_array_equal(kept.trajectories[0], x)
    assert kept.dropped_rows.size == 0
    x[3:] = 0
    assert (clean.trajectories[1] != 0).all(), "the stretches are copies"


def test_frames():
    pd = pytest.importorskip("pandas")
    hours = np.r_[0:10, 20:32]
    x = np.random.default_rng(0).standard_normal((22, 2)).cumsum(axis=0)
    for index in (
        pd.to_datetime("2020-01-01") + pd.to_timedelta(hours, unit="h"),
        (pd.to_datetime("2020-01-01") + pd.to_timedelta(hours, unit="h")).tz_localize(
            "Europe/Brussels"
        ),
        pd.to_timedelta(hours, unit="h"),
        pd.PeriodIndex(
            pd.to_datetime("2020-01-01") + pd.to_timedelta(hours, unit="h"), freq="h"
        ),
    ):
        frame = pd.DataFrame(x.copy(), columns=["a", "b"], index=index)
        frame.iloc[14, 0] = np.nan
        clean = cut_gaps(frame)
        assert [len(each) for each in clean.trajectories] == [10, 4, 7]
        assert list(clean.trajectories[1].columns) == ["a", "b"]
        for part, times in zip(clean.trajectories, clean.times):
            assert part.index.equals(times)
        assert pd.Timedelta(clean.dt) == pd.Timedelta("1h")
        np.testing.assert_array_equal(clean.dropped_rows, [14])
        assert len(cut_gaps(frame, max_gap="11h").trajectories) == 2
        assert len(cut_gaps(frame, max_gap=pd.Timedelta("11h")).trajectories) == 2
        # The estimators take it, and cut at the same gaps by themselves.
        assert len(DMD().fit(clean.trajectories).predict(3)) == 3
        full = frame.dropna()
        got = Persistence().fit(full).predict(full)
        assert len(got) == 21
    numbered = pd.DataFrame(x, columns=["a", "b"])
    assert cut_gaps(numbered).times is None
    assert len(cut_gaps(numbered, t=hours).trajectories) == 2
    with pytest.raises(ValueError, match="needs times, got none"):
        cut_gaps(numbered, max_gap=3)


def test_business_days_are_neighbours():
    pd = pytest.importorskip("pandas")
    days = pd.bdate_range("2024-01-01", periods=30)
    frame = pd.DataFrame(np.arange(30.0)[:, None], index=days)
    assert len(cut_gaps(frame).trajectories) == 1
    assert len(cut_gaps(frame, max_gap="1D").trajectories) == 6


def test_polars():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"a": [0.0, 1, None, 3, 4, 5]})
    clean = cut_gaps(frame, t=[0, 1, 2, 3, 4, 50], min_rows=1)
    assert [len(each) for each in clean.trajectories] == [2, 2, 1]
    assert clean.trajectories[0].columns == ["a"]


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"t": [0, 1, 1, 2, 3, 4]}, r"strictly increasing times, got 1 at row 2"),
        (
            {"t": [0, 1, np.nan, 2, 3, 4]},
            r"strictly increasing times, got nan at row 2",
        ),
        ({"t": [0, 1, 2]}, r"a time for each of 6 rows"),
        ({"t": list("abcdef")}, r"numbers or numpy datetimes"),
        ({"min_rows": 0}, r"min_rows needs an integer of at least 1"),
        ({"min_rows": 7}, r"at least 7 rows without a gap, got at most 6"),
        ({"max_gap": 2}, r"needs times, got none"),
    ],
)
def test_bad_calls_say_what_to_do(kwargs, words):
    x = np.arange(6.0)[:, None]
    with pytest.raises(ValueError, match=words):
        cut_gaps(x, **kwargs)


def test_one_recording_at_a_time():
    x = np.arange(6.0)[:, None]
    with pytest.raises(ValueError, match="one recording, got a list of 2"):
        cut_gaps([x, x])
    with pytest.raises(ValueError, match="one recording, got 2 in an array"):
        cut_gaps(np.stack([x, x]))
    with pytest.raises(ValueError, match="got at most 0"):
        cut_gaps(np.full((6, 1), np.nan))

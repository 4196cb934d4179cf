"""The door: accepted forms, refusals, inputs, times, gaps."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from skdyn.utils._trajectories import (
    as_trajectories,
    check_inputs,
    check_times,
    is_scalar,
    mark_lost,
)

finite = st.floats(-1e6, 1e6)


@st.composite
def ragged(draw):
    d = draw(st.integers(1, 4))
    lengths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    return [draw(arrays(np.float64, (n, d), elements=finite)) for n in lengths]


@given(ragged())
def test_a_list_goes_in_and_out(X):
    data = as_trajectories(X)
    assert data.form == "list"
    assert len(data) == len(X)
    for got, want in zip(data.join(data.split(data.rows())), X, strict=True):
        np.testing.assert_array_equal(got, want)
    before, after = data.pairs()
    assert len(before) == len(after) == sum(len(x) - 1 for x in X)
    np.testing.assert_array_equal(
        after, np.concatenate([x[1:] for x in X]) if len(after) else after
    )


@given(arrays(np.float64, st.tuples(*[st.integers(1, 5)] * 3), elements=finite))
def test_a_3d_array_is_a_list(X):
    one, other = as_trajectories(X), as_trajectories(list(X))
    assert one.form == "array"
    np.testing.assert_array_equal(one.rows(), other.rows())
    for a, b in zip(one.pairs(), other.pairs(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.join(one.split(one.rows())).shape == X.shape
    np.testing.assert_array_equal(one.tails(2).pieces, X[:, -2:])


def test_pairs_of_one_trajectory_are_views():
    X = np.ones((10, 2))
    before, after = as_trajectories(X).pairs()
    assert np.shares_memory(before, X)
    assert np.shares_memory(after, X)


def test_dtypes():
    X = np.ones((4, 2))
    assert as_trajectories(X.astype(np.float32)).dtype == np.float32
    assert as_trajectories(X.astype(int)).dtype == np.float64
    assert as_trajectories([X.astype(np.float32), X]).dtype == np.float64
    for kind in (np.complex64, np.complex128):
        assert as_trajectories(X.astype(kind), allow_complex=True).dtype == kind
    with pytest.raises(ValueError, match=r"Complex"):
        as_trajectories(X.astype(complex))
    assert as_trajectories(X.astype(object)).dtype == np.float64


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (np.ones(5), r"x\[:, None\]"),
        ([1.0, 2.0], r"x\[:, None\]"),
        ([np.ones(5), np.ones(5)], r"list of 1-D series.*x\[:, None\] for x in X"),
        ([], "at least one trajectory"),
        (np.ones((0, 3, 2)), "at least one trajectory"),
        ([np.ones((2, 2, 2))], "Concatenate"),
        (np.ones((2, 3, 4, 5)), "dim"),
        (np.ones((3, 0)), "0 feature"),
        (np.ones((2, 3, 0)), "at least one feature"),
        ([np.ones((3, 2)), np.ones((3, 1))], r"\[1, 2\] columns"),
        (np.ones((0, 2)), r"0 sample\(s\)"),
    ],
)
def test_refusals_say_what_to_do(X, words):
    with pytest.raises(ValueError, match=f"(?s){words}"):
        as_trajectories(X)


def test_sparse_is_refused():
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        as_trajectories(sparse.csr_array(np.ones((3, 2))))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_bad_value_is_named(value):
    pd = pytest.importorskip("pandas")
    X = np.ones((6, 3))
    X[4, 2] = value
    word = "NaN at row 4" if np.isnan(value) else "inf at row 4"
    with pytest.raises(ValueError, match=f"X contains.*{word}, column 2"):
        as_trajectories(X)
    with pytest.raises(ValueError, match=rf"X\[1\] contains.*{word}"):
        as_trajectories([np.ones((3, 3)), X])
    with pytest.raises(ValueError, match=rf"X\[1\] contains.*{word}"):
        as_trajectories(np.stack([np.ones((6, 3)), X]))
    with pytest.raises(ValueError, match=f"{word}, column 'c'"):
        as_trajectories(pd.DataFrame(X, columns=list("abc")))
    assert as_trajectories(X, allow_nan=True).n_features == 3


def test_large_numbers_are_not_taken_for_infinite():
    as_trajectories(np.full((10, 2), 1e308))  # whose sum overflows


@pytest.mark.parametrize("X", [None, "my.csv", {"a": 1}, iter([1])])
def test_what_is_no_data_is_named(X):
    with pytest.raises(ValueError, match=f"got {type(X).__name__}"):
        as_trajectories(X)


@pytest.mark.parametrize(
    "value", [3, 2.5, True, np.int64(3), np.bool_(0), np.array(3), "5", None]
)
def test_single_values_are_horizons(value):
    assert is_scalar(value)
    assert not is_scalar([value])


class TestInputs:
    X = np.ones((10, 2))
    u = np.arange(10.0)[:, None]

    def check(self, u, X, n_inputs=None):
        return check_inputs(u, as_trajectories(X), who="Model", n_inputs=n_inputs)

    def test_same_length_is_taken(self):
        np.testing.assert_array_equal(self.check(self.u, self.X)[0], self.u)
        got = self.check(np.stack([self.u] * 2), np.stack([self.X] * 2))
        assert got.shape == (2, 10, 1)
        got = self.check([self.u, self.u[:4]], [self.X, self.X[:4]])
        assert [len(rows) for rows in got] == [10, 4]

    def test_marked_data_is_aligned_by_its_last_row(self):
        got = self.check(self.u, mark_lost(self.X[3:], 3))
        np.testing.assert_array_equal(got[0], self.u[3:])
        marked = [mark_lost(x, 3) for x in (self.X[3:], self.X[3:9])]
        got = self.check([self.u, self.u[:9]], marked)
        np.testing.assert_array_equal(got[1], self.u[3:9])

    def test_the_mark_survives_what_data_goes_through(self):
        marked = mark_lost(self.X[3:], 3)
        assert type(marked) is np.ndarray
        assert marked.dtype == np.float64
        for copy in (pickle.loads(pickle.dumps(marked)), marked.copy(), marked[:]):
            assert as_trajectories(copy).origin(0) == (10, (10,))
        assert as_trajectories(mark_lost(marked, 0)).origin(0) == (7, (7,))
        # What comes out of the door carries no mark of what went in.
        assert as_trajectories(marked).rows().dtype.metadata is None

    @pytest.mark.parametrize("n", [9, 11, 13])
    def test_unmarked_mismatch_is_refused(self, n):
        u = np.ones((n, 1))
        with pytest.raises(ValueError, match=f"needed 10 rows in u, got {n}"):
            self.check(u, self.X)

    def test_forms_and_widths(self):
        with pytest.raises(ValueError, match="list of 1 trajectories, got one 2-D"):
            self.check(self.u, [self.X])
        with pytest.raises(
            ValueError, match="a list of 2 trajectories, got a list of 1"
        ):
            self.check([self.u], [self.X, self.X])
        with pytest.raises(ValueError, match="2 input columns in u, as in fit, got 1"):
            self.check(self.u, self.X, n_inputs=2)
        with pytest.raises(ValueError, match="u contains NaN"):
            self.check(self.u * np.nan, self.X)


class TestTimes:
    X = np.ones((4, 2))

    def test_times_go_with_rows(self):
        data = as_trajectories([self.X, self.X[:2]])
        got = check_times([[0, 1, 2.5, 3], [5, 6]], data)
        np.testing.assert_array_equal(got[0], [0, 1, 2.5, 3])
        assert got[1].dtype == np.float64

    @pytest.mark.parametrize(
        ("t", "words"),
        [
            ([0, 1, 1, 2], "strictly increasing.*row 2"),
            ([0, 1, 2], "each of 4 rows, got 3"),
            ([0, 1, 2, np.nan], "increasing"),
            ([[0], [1], [2], [3]], "1-D"),
        ],
    )
    def test_bad_times_are_refused(self, t, words):
        with pytest.raises(ValueError, match=words):
            check_times(t, as_trajectories(self.X))


class TestGaps:
    @pytest.fixture
    def pd(self):
        return pytest.importorskip("pandas")

    def frame(self, pd, index):
        return pd.DataFrame({"a": np.arange(float(len(index)))}, index=index)

    def test_a_missing_day_cuts(self, pd):
        index = pd.date_range("2020-01-01", periods=10).delete(4)
        data = as_trajectories(self.frame(pd, index))
        assert data.lengths == [4, 5]
        assert len(data) == 1
        assert data.form == "single"
        assert data.join([np.ones((1, 2)), np.zeros((3, 2))]).shape == (4, 2)
        assert data.last_pieces().lengths == [5]

    def test_calendars_do_not_cut(self, pd):
        for index in (
            pd.date_range("2020-01-01", periods=30, freq="MS"),
            pd.bdate_range("2020-01-01", periods=30),
            pd.DatetimeIndex(list(pd.bdate_range("2020-01-01", periods=30))),
            pd.period_range("2020-01", periods=30, freq="M"),
            pd.RangeIndex(30).delete(5),
        ):
            assert len(as_trajectories(self.frame(pd, index)).pieces) == 1

    def test_missing_periods_and_durations_cut(self, pd):
        periods = pd.period_range("2020-01", periods=30, freq="M").delete(7)
        assert as_trajectories(self.frame(pd, periods)).lengths == [7, 22]
        hours = pd.to_timedelta(np.delete(np.arange(20), [3, 4, 11]), unit="h")
        assert as_trajectories(self.frame(pd, hours)).lengths == [3, 6, 8]

    def test_times_out_of_order_are_refused(self, pd):
        index = pd.date_range("2020-01-01", periods=10)[::-1]
        with pytest.raises(ValueError, match="sort_index"):
            as_trajectories(self.frame(pd, index))

    def test_short_pieces_are_left_out_with_a_warning(self, pd):
        index = pd.date_range("2020-01-01", periods=20).delete([2, 5, 12])
        with pytest.warns(UserWarning, match=r"2 piece\(s\) of X.*4 row\(s\) in all"):
            data = as_trajectories(self.frame(pd, index), min_rows=4)
        assert data.lengths == [6, 7]
        np.testing.assert_array_equal(data.pieces[0][:, 0], np.arange(4.0, 10))
        u = np.arange(100.0, 117)[:, None]
        got = check_inputs(u, data, who="Model")
        np.testing.assert_array_equal(got[0], data.pieces[0] + 100)
        np.testing.assert_array_equal(got[1], data.pieces[1] + 100)

    def test_the_last_piece_is_needed_where_a_forecast_starts(self, pd):
        frame = self.frame(pd, pd.date_range("2020-01-01", periods=10).delete(8))
        with pytest.raises(ValueError, match=r"stretch.*has 1 sample.*at least 4"):
            as_trajectories(frame, min_rows=4)
        with pytest.warns(UserWarning, match="1 row"):
            assert as_trajectories(frame, min_rows=4, needs_last=False).lengths == [8]
        with pytest.raises(ValueError, match=r"stretch.*at least 40"):
            as_trajectories(frame, min_rows=40, needs_last=False)

    def test_times_with_a_zone(self, pd):
        hours = pd.date_range("2020-03-28", periods=72, freq="h", tz="Europe/Paris")
        assert len(as_trajectories(self.frame(pd, hours)).pieces) == 1
        for frame in (hours.delete([30, 31]), hours.tz_convert("UTC").delete([30, 31])):
            assert as_trajectories(self.frame(pd, frame)).lengths == [30, 40]

    def test_panels_and_text_indexes(self, pd):
        frame = self.frame(pd, pd.date_range("2020-01-01", periods=10))
        with pytest.raises(ValueError, match="groupby"):
            as_trajectories(pd.concat({"a": frame, "b": frame}))
        frame.index = frame.index.astype(str)
        with pytest.warns(UserWarning, match="parse_dates"):
            as_trajectories(frame)

    def test_columns_of_dates_or_text_are_named(self, pd):
        frame = self.frame(pd, pd.RangeIndex(5))
        when = pd.date_range("2020-01-01", periods=5)
        for values in (when, when - when[0], list("abcde"), when.tz_localize("UTC")):
            with pytest.raises(ValueError, match=r"\['when'\].*the index"):
                as_trajectories(frame.assign(when=values))
        frame = frame.assign(b=pd.array([1, 2, 3, 4, 5], dtype="Int64"), c=[True] * 5)
        assert as_trajectories(frame.astype({"a": object})).n_features == 3
        pl = pytest.importorskip("polars")
        with pytest.raises(ValueError, match=r"\['when'\]"):
            as_trajectories(pl.DataFrame({"when": when.to_numpy(), "a": [1.0] * 5}))
        with pytest.raises(ValueError, match="array of dates"):
            as_trajectories(when.to_numpy()[:, None])

    def test_hours_and_business_days(self, pd):
        # Gaps of 17 and 65 hours look like business hours to pandas' own inference.
        for gap in (16, 17, 18, 65):
            hours = np.r_[np.arange(50), 49 + gap + np.arange(50)]
            index = pd.to_datetime("2020-01-01") + pd.to_timedelta(hours, unit="h")
            assert as_trajectories(self.frame(pd, index)).lengths == [50, 50]
        # A holiday cuts where it is, and not at every weekend.
        days = pd.bdate_range("2020-01-01", periods=60).delete(25)
        assert as_trajectories(self.frame(pd, days)).lengths == [25, 34]
        objects = pd.Index(list(days.to_pydatetime()), dtype=object)
        assert as_trajectories(self.frame(pd, objects)).lengths == [25, 34]
        few = pd.to_datetime("2020-01-01") + pd.to_timedelta([0, 2, 3], unit="h")
        assert as_trajectories(self.frame(pd, few)).lengths == [1, 2]

"""Even grids and unit time, against functions that are known everywhere."""

import numpy as np
import pytest

from skdyn.koopman import DMD
from skdyn.pipeline import make_pipeline
from skdyn.preprocessing import DelayEmbedding, resample_even, resample_period

KINDS = ["cubic", "pchip", "linear"]


def uneven(n, seed=0):
    return np.cumsum(np.random.default_rng(seed).uniform(0.05, 0.15, n))


@pytest.mark.parametrize("kind", KINDS)
def test_even_times_come_back_as_they_are(kind):
    # Also where t / dt is a whole number but for rounding.
    for n, dt in ((50, 0.1), (300, 1 / 3), (20, 1e-9), (20, 1e9)):
        t = 7 * dt + dt * np.arange(n)
        x = np.random.default_rng(0).standard_normal((n, 2))
        even = resample_even(x, t, kind=kind)
        assert even.dt == pytest.approx(dt)
        np.testing.assert_allclose(even.times, t, rtol=1e-9)
        np.testing.assert_allclose(even.trajectories, x, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "degree"), [("cubic", 3), ("pchip", 1), ("linear", 1)]
)
def test_polynomials_are_met_exactly(kind, degree):
    t = uneven(60)
    x = np.column_stack([t**degree, 5 - t])
    even = resample_even(x, t, dt=0.07, kind=kind)
    s = even.times
    np.testing.assert_allclose(
        even.trajectories, np.column_stack([s**degree, 5 - s]), atol=1e-9
    )
    np.testing.assert_allclose(np.diff(s), 0.07)
    # The grid ends at the last row, and starts less than a step after the first.
    assert s[-1] == t[-1]
    assert 0 <= s[0] - t[0] < 0.07


def test_the_spline_is_of_fourth_order():
    errors = []
    for n in (80, 160, 320):
        t = np.linspace(0, 6, n)
        t += 0.1 * np.sin(3 * t)
        even = resample_even(np.sin(t)[:, None], t, dt=0.0371)
        error = even.trajectories[:, 0] - np.sin(even.times)
        errors.append(np.abs(error[(even.times > 1) & (even.times < 5)]).max())
    slope = np.polyfit(np.log([80, 160, 320]), np.log(errors), 1)[0]
    assert slope == pytest.approx(-4, abs=0.4)


def test_forms_and_types():
    T = [uneven(50), uneven(40, 1)]
    X = [np.column_stack([np.sin(t), np.cos(t)]) for t in T]
    listed = resample_even(X, T, dt=0.1)
    for got, times, x, t in zip(listed.trajectories, listed.times, X, T):
        alone = resample_even(x, t, dt=0.1)
        np.testing.assert_array_equal(got, alone.trajectories)
        np.testing.assert_array_equal(times, alone.times)
    stack = resample_even(np.stack([X[0], 2 * X[0]]), [T[0], T[0]], dt=0.1)
    np.testing.assert_allclose(stack.trajectories[1], 2 * listed.trajectories[0])
    assert stack.trajectories.ndim == 3
    with pytest.raises(ValueError, match=r"one length.*list\(X\)"):
        resample_even(
            np.stack([X[0][:40], X[1]]), [T[0][:40], 2 * T[1]], dt=0.1, max_gap=1
        )
    single = resample_even(X[0].astype(np.float32), T[0], dt=0.1).trajectories
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, listed.trajectories[0], atol=1e-6)
    assert repr(listed).startswith("Resampled(2 trajectories, ")


def test_an_uneven_time_index_is_not_taken_for_gaps():
    pd = pytest.importorskip("pandas")
    t = uneven(50)
    x = np.sin(t)[:, None]
    frame = pd.DataFrame(x, columns=["a"], index=pd.to_timedelta(t, unit="s"))
    want = resample_even(x, t, dt=0.1).trajectories
    np.testing.assert_array_equal(resample_even(frame, t, dt=0.1).trajectories, want)
    got = resample_even([frame], [t], dt=0.1).trajectories[0]
    np.testing.assert_array_equal(got, want)


def test_gaps_are_refused_where_they_are():
    t = np.r_[np.arange(5.0), 8.0 + np.arange(5.0)]
    x = t[:, None]
    with pytest.raises(ValueError, match=r"t has a step of 4 at row 5.*max_gap=3"):
        resample_even(x, t)
    with pytest.raises(ValueError, match=r"t\[1\] has a step of 4 at row 5"):
        resample_even([x[:5], x], [t[:5], t])
    for limit in (4, np.inf):
        even = resample_even(x, t, max_gap=limit)
        np.testing.assert_allclose(even.trajectories, even.times[:, None])


def test_a_forecast_in_the_new_rows_is_read_at_the_old_times():
    # Recorded every 0.1, modelled every 0.25, read every 0.1 again.
    t = 0.1 * np.arange(400)
    x = np.sin(t)[:, None]
    new = resample_even(x[:300], t[:300], dt=0.25)
    ahead = make_pipeline(DelayEmbedding(2), DMD()).fit(new.trajectories).predict(40)
    rows = np.vstack([new.trajectories, ahead])
    times = new.times[-1] + 0.25 * np.arange(1 - len(new.times), 41)
    back = resample_even(rows, times, dt=0.1)
    np.testing.assert_allclose(back.trajectories[:, 0], np.sin(back.times), atol=1e-3)
    np.testing.assert_allclose(back.times[-1], t[299] + 10)


@pytest.mark.parametrize("kind", KINDS)
def test_unit_time(kind):
    pieces = [
        np.sin(2 * np.pi * np.arange(n) / p + 1)[:, None]
        for n, p in ((900, 90), (901, 15.3), (640, 40))
    ]
    same = resample_period(pieces, 50, kind=kind)
    np.testing.assert_allclose(same.dt, np.array([90, 15.3, 40]) / 50, rtol=1e-3)
    known = resample_period(pieces, 50, period=[90, 15.3, 40], kind=kind)
    for z, clock, n, p in zip(
        known.trajectories, known.times, (900, 901, 640), (90, 15.3, 40)
    ):
        want = np.sin(2 * np.pi * clock / p + 1)[:, None]
        np.testing.assert_allclose(z, want, atol=0.03)
        assert clock[-1] == n - 1
        # A period later is fifty rows later.
        np.testing.assert_allclose(z[50:], z[:-50], atol=0.03)
    one = resample_period(pieces[2], 50, period=40, kind=kind)
    assert one.dt == 0.8
    np.testing.assert_array_equal(one.trajectories, known.trajectories[2])


def test_what_is_no_period_is_refused():
    walk = np.random.default_rng(0).standard_normal((500, 1)).cumsum(axis=0)
    with pytest.raises(ValueError, match=r"of X needs to come back at least 3 times"):
        resample_period(walk)
    with pytest.raises(ValueError, match=r"of X\[1\] needs.*got one of nan rows in 50"):
        resample_period([np.sin(np.arange(50.0))[:, None], np.ones((50, 1))])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x, t: resample_even(x, t, kind="quintic"), "kind needs one of 'cubic'"),
        (lambda x, t: resample_even(x, t, dt=0), "dt needs a number greater than 0"),
        (lambda x, t: resample_even(x, t, max_gap=-1), "max_gap needs"),
        (lambda x, t: resample_even(x, t, dt=100), "at least 2 rows after resampling"),
        (lambda x, t: resample_even(x, t[::-1]), "strictly increasing"),
        (lambda x, t: resample_even(x, t[:-1]), "a time for each of 20 rows"),
        (lambda x, t: resample_even(x[:1], t[:1]), "at least 2 are needed"),
        (lambda x, t: resample_even(x[:, 0], t), "x\\[:, None\\]"),
        (lambda x, t: resample_period(x, 2), "rows_per_period needs more than 2"),
        (lambda x, t: resample_period(x, period="daily"), "numbers or 'auto'"),
        (lambda x, t: resample_period(x, period=[5, 6]), "each of 1 trajectories"),
        (lambda x, t: resample_period(x, 5, period=-5), "period needs a number"),
    ],
)
def test_bad_calls_say_what_to_do(call, words):
    t = np.arange(20.0)
    with pytest.raises(ValueError, match=words):
        call(np.sin(t)[:, None], t)

"""Trends by their definition, and the ways in which they continue."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial import Polynomial

from skdyn.baselines import Persistence
from skdyn.koopman import DMD
from skdyn.pipeline import make_pipeline
from skdyn.preprocessing import DelayEmbedding, Detrend, Difference


@given(st.integers(0, 3), st.integers(0, 25), st.integers(0, 1000))
def test_the_error_of_the_fit_through_the_rows_before(degree, more, seed):
    window = degree + 1 + more
    x = np.random.default_rng(seed).standard_normal((window + 6, 1))
    z = Detrend(degree, window=window).fit_transform(x)
    for i, row in enumerate(z):
        fit = Polynomial.fit(
            np.arange(window), x[i : i + window, 0], degree, domain=[0, window]
        )
        np.testing.assert_allclose(row[0], x[i + window, 0] - fit(window), atol=1e-8)


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_the_shortest_window_is_differencing(degree):
    x = np.random.default_rng(0).standard_normal((30, 2))
    one = Detrend(degree, window=degree + 1).fit(x)
    other = Difference(degree + 1).fit(x)
    np.testing.assert_allclose(one.weights_, other.weights_, atol=1e-12)
    np.testing.assert_allclose(one.transform(x), other.transform(x), atol=1e-12)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_polynomials_disappear_and_come_back(degree):
    k = np.arange(400)[:, None] / 100
    x = 5 + sum((-1.0) ** j * k**j for j in range(1, degree + 1)) + 0 * k
    est = Detrend(degree, window=40).fit(x[:200])
    np.testing.assert_allclose(est.transform(x), 0, atol=1e-11)
    # What is left is nothing, and nothing is continued as the polynomial.
    pipe = make_pipeline(est, Persistence()).fit(x[:200])
    np.testing.assert_allclose(pipe.predict(200), x[200:], rtol=1e-7)


def test_a_trend_and_linear_dynamics(rotation):
    k = np.arange(100)[:, None]
    X = rotation + [3.0, -1.0] + k * [0.2, 0.5]
    pipe = make_pipeline(Detrend(window=25), DMD()).fit(X[:60])
    np.testing.assert_allclose(pipe.predict(40), X[60:], atol=1e-9)
    # The eigenvalues are those of the dynamics, with nothing of the trend.
    found = np.sort_complex(pipe[-1].spectrum_.eigenvalues)
    true = 0.98 * np.exp([-0.3j, 0.3j])
    np.testing.assert_allclose(found, np.sort_complex(true), atol=1e-9)
    # Every context has a trend of its own, and its length does not matter.
    other = 2 * rotation + 100 - 7 * k
    for start in (0, 10, 34):
        got = pipe.forecast(40, context=other[start:60])
        np.testing.assert_allclose(got, other[60:], atol=1e-7)
    both = make_pipeline(Detrend(window=25), DMD()).fit([X[:60], other[:70]])
    np.testing.assert_allclose(both.predict(30)[1], other[70:], atol=1e-7)


@pytest.mark.parametrize("window", [20, 60, 100])
def test_noise_in_the_slope(window):
    # Where nothing is left, forecasts are linear in the past and become a line: how its
    # slope depends on each row of the past gives its error under unit noise. The line
    # through the window alone would have sqrt(12), 3.46.
    est = Detrend(window=window).fit(np.zeros((300, 1)))
    each_row = np.eye(window)[:, :, None]
    rows = est.inverse_forecast(np.zeros((window, 20 * window, 1)), each_row)
    slopes = (rows[:, -1] - rows[:, -1 - window]) / window
    error = np.linalg.norm(slopes) * window**1.5
    assert error == pytest.approx(4.3, rel=0.03)


def test_auto_window():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((200, 1))
    assert len(Detrend().fit(noise).weights_) == 40
    assert len(Detrend().fit([noise, noise[:60]]).weights_) == 12
    assert len(Detrend().fit(np.tile(noise, (10, 1))[:1900]).weights_) <= 100
    assert len(Detrend(3).fit(noise[:10]).weights_) == 4
    season = np.tile(rng.standard_normal((12, 1)), (20, 1))[:200]
    assert len(Detrend().fit(season + 0.1 * np.arange(200)[:, None]).weights_) == 36


def test_auto_window_is_not_set_by_a_scrap_between_gaps():
    pd = pytest.importorskip("pandas")
    x = np.random.default_rng(0).standard_normal((200, 1))
    hours = np.r_[np.arange(97), 200 + np.arange(3), 300 + np.arange(100)]
    index = pd.to_datetime("2020-01-01") + pd.to_timedelta(hours, unit="h")
    frame = pd.DataFrame(x, index=index)
    with pytest.warns(UserWarning, match="1 piece"):
        assert len(Detrend().fit(frame).weights_) == 19


def test_waves_stay_and_are_forecast():
    k = np.arange(400)[:, None]
    x = 1e-3 * k + np.sin(0.2 * k) + 0.5 * np.cos(0.51 * k)
    pipe = make_pipeline(Detrend(), DelayEmbedding(4), DMD()).fit(x[:300])
    np.testing.assert_allclose(pipe.predict(100), x[300:], atol=1e-6)


@pytest.mark.parametrize("params", [{"degree": -1}, {"window": 0}, {"window": "long"}])
def test_bad_parameters_are_refused(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        Detrend(**params).fit(np.ones((9, 1)))
    with pytest.raises(ValueError, match=r"at least 3 rows, got 2.*lower degree"):
        Detrend(2, window=2).fit(np.ones((9, 1)))

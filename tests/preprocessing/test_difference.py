"""Differences by their definition, and of series whose answer is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skdyn.baselines import Persistence
from skdyn.koopman import DMD
from skdyn.pipeline import make_pipeline
from skdyn.preprocessing import Difference


@given(st.integers(0, 3), st.integers(1, 6), st.integers(1, 40), st.integers(0, 1000))
def test_integers_come_back_to_the_last_bit(order, period, more, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-1000, 1000, (order * period + more, 2)).astype(float)
    est = Difference(order, period=period).fit(x)
    assert est.min_context_ == 1 + order * period
    z = x
    for _ in range(order):
        z = z[period:] - z[:-period]
    np.testing.assert_array_equal(est.transform(x), z)
    head = x[: order * period] if order else x[:1]
    np.testing.assert_array_equal(est.inverse_forecast(z, head), x[order * period :])


def test_known_differences():
    k = np.arange(20.0)[:, None]
    np.testing.assert_array_equal(
        Difference(2).fit_transform(k**2), np.full((18, 1), 2)
    )
    season = np.tile([5.0, 1.0, 7.0, 3.0], 5)[:, None]
    est = Difference(period=4).fit(season)
    np.testing.assert_array_equal(est.transform(season), np.zeros((16, 1)))
    steps = np.random.default_rng(0).standard_normal((500, 1))
    walk = steps.cumsum(axis=0)
    np.testing.assert_allclose(Difference().fit_transform(walk), steps[1:], atol=1e-13)


def test_weights_are_the_binomial_ones():
    np.testing.assert_array_equal(
        Difference(3).fit(np.ones((9, 1))).weights_, [3, -3, 1]
    )
    est = Difference(2, period=2).fit(np.ones((9, 1)))
    np.testing.assert_array_equal(est.weights_, [0, 2, 0, -1])


def test_forecasts_with_known_answers():
    rng = np.random.default_rng(0)
    walk = rng.standard_normal((60, 2)).cumsum(axis=0)
    # A constant difference is a straight line through the last row ...
    pipe = make_pipeline(Difference(), Persistence()).fit(walk)
    slope = walk[-1] - walk[-2]
    want = walk[-1] + np.arange(1, 8)[:, None] * slope
    np.testing.assert_allclose(pipe.predict(7), want, atol=1e-12)
    # ... and a season that repeats is repeated, from wherever the context ends.
    season = np.tile(rng.standard_normal((5, 2)), (8, 1))
    pipe = make_pipeline(Difference(period=5), Persistence()).fit(season)
    np.testing.assert_allclose(pipe.predict(12), season[:12], atol=1e-12)
    for n in (6, 8, 23):
        got = pipe.forecast(12, context=season[:n])
        np.testing.assert_allclose(got, season[n : n + 12], atol=1e-12)


def test_a_trend_and_linear_dynamics(rotation):
    k = np.arange(100)[:, None]
    X = rotation + [3.0, -1.0] + k * [0.2, 0.5]
    pipe = make_pipeline(Difference(2), DMD()).fit(X[:60])
    np.testing.assert_allclose(pipe.predict(40), X[60:], atol=1e-8)
    # A trend and a level that training has not seen.
    other = X + 100 - 7 * k
    got = pipe.forecast(40, context=[other[:30], other[20:60]])
    np.testing.assert_allclose(got[0], other[30:70], atol=1e-6)
    np.testing.assert_allclose(got[1], other[60:], atol=1e-6)


def test_names():
    x = np.ones((30, 2))
    assert list(Difference().fit(x).get_feature_names_out()) == ["x0_diff", "x1_diff"]
    names = Difference(2, period=12).fit(x).get_feature_names_out(["a", "b"])
    assert list(names) == ["a_diff12_2x", "b_diff12_2x"]


@pytest.mark.parametrize("params", [{"order": -1}, {"period": 0}, {"order": 1.5}])
def test_bad_parameters_are_refused(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        Difference(**params).fit(np.ones((9, 1)))

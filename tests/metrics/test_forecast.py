"""Metrics by hand, at their bounds, and under what must not change them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skdyn.metrics import (
    cumulative_max_error,
    forecast_scale,
    mase,
    mase_scale,
    normalized_error,
    nrmse,
    smape,
    valid_prediction_time,
)

ALL = [nrmse, smape, valid_prediction_time, cumulative_max_error, mase]


def test_by_hand():
    truth = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    guess = np.array([[0.0, 0.0], [0.0, 4.0], [0.0, 3.0]])
    np.testing.assert_allclose(normalized_error(truth, guess, scale=10), [0, 0.5, 0.1])
    assert nrmse(truth, guess, scale=10) == pytest.approx(np.sqrt(0.26 / 3))
    assert valid_prediction_time(truth, guess, scale=10) == 1
    assert valid_prediction_time(truth, guess, scale=10, threshold=0.5) == 3
    assert cumulative_max_error(truth, guess, scale=10) == pytest.approx(1 - 1 / 3)
    # smape by feature and step: 0, 0 | 1, 1 | 0, 1/7
    assert smape(truth, guess) == pytest.approx(200 * (2 + 1 / 7) / 6)
    assert forecast_scale([[1.0, 0], [-1, 0], [0, 2], [0, -2]]) == pytest.approx(
        np.sqrt(10 / 4)
    )


def test_units_of_the_valid_prediction_time():
    truth, guess = np.zeros((9, 1)), np.r_[np.zeros(6), np.ones(3)][:, None]
    assert valid_prediction_time(truth, guess, scale=1.0) == 6
    assert valid_prediction_time(truth, guess, scale=1.0, dt=0.5) == 3
    got = valid_prediction_time(truth, guess, scale=1.0, dt=0.5, lyapunov_exponent=0.9)
    assert got == pytest.approx(2.7)


@pytest.mark.parametrize("metric", ALL)
def test_windows_are_a_loop(metric):
    rng = np.random.default_rng(0)
    truth, guess = rng.standard_normal((2, 5, 8, 3))
    kwargs = {} if metric is smape else {"scale": 2.0}
    got = metric(truth, guess, **kwargs)
    assert got.shape == (5,)
    want = [metric(y, p, **kwargs) for y, p in zip(truth, guess, strict=True)]
    np.testing.assert_allclose(got, want)
    assert isinstance(want[0], float)


def test_perfect_and_worst():
    truth = np.random.default_rng(0).standard_normal((10, 2))
    nothing = np.full_like(truth, np.nan)
    bests, worsts = [0, 0, 10, 1, 0], [10, 200, 0, 0, 1000]
    for metric, best, worst in zip(ALL, bests, worsts, strict=True):
        assert metric(truth, truth) == best
        assert metric(truth, nothing) == worst
        assert metric(truth, np.full_like(truth, np.inf)) == worst
    assert nrmse(truth, nothing, worst=3.0) == 3.0
    assert mase(truth, nothing, worst=3.0) == mase(truth, truth + 99, worst=3.0) == 3.0
    half = truth.copy()
    half[5:] = np.nan
    assert valid_prediction_time(truth, half) == 5
    assert cumulative_max_error(truth, half) == 0.5


def test_constant_truth_has_no_scale():
    flat = np.ones((6, 1))
    assert nrmse(flat, flat) == 0.0
    assert nrmse(flat, flat + 1) == 10.0
    assert mase(flat, flat) == 0.0
    assert mase(flat, flat + 1) == 1000.0
    assert cumulative_max_error(flat, flat) == 1.0
    assert valid_prediction_time(flat, flat) == 6


def test_mase_by_hand():
    series = np.array([[0.0, 5.0], [1.0, 5.0], [4.0, 9.0], [4.0, 1.0]])
    np.testing.assert_allclose(mase_scale(series), [4 / 3, 4])
    np.testing.assert_allclose(mase_scale(series, seasonal_lag=2), [3.5, 4])
    truth, guess = series[2:], np.array([[5.0, 9.0], [4.0, 5.0]])
    assert mase(truth, guess, scale=[4 / 3, 4]) == pytest.approx((3 / 4 + 1) / 4)
    assert mase(truth, guess, scale=2.0) == pytest.approx((0.5 + 2) / 4)
    got = mase(series, series + np.array([1.0, 0.0]), seasonal_lag=2)
    assert got == pytest.approx(1 / 3.5 / 2)


def test_persistence_has_mase_1_by_definition():
    x = np.cumsum(np.random.default_rng(0).standard_normal((50, 3)), axis=0)
    for lag in (1, 7):
        scale = mase_scale(x, seasonal_lag=lag)
        assert mase(x[lag:], x[:-lag], scale=scale) == pytest.approx(1)


def test_no_season_reaches_into_another_trajectory():
    x = np.cumsum(np.random.default_rng(0).standard_normal((50, 2)), axis=0)
    parts = [x[:20], x[20:]]
    steps = np.concatenate([np.abs(part[3:] - part[:-3]) for part in parts])
    want = steps.mean(axis=0)
    np.testing.assert_allclose(mase_scale(parts, seasonal_lag=3), want)
    windows = x[:40].reshape(2, 20, 2)
    got = mase(windows, windows + 1, seasonal_lag=3)
    want = (1 / mase_scale(windows, seasonal_lag=3)).mean()
    np.testing.assert_allclose(got, [want, want])


def test_mase_refuses_what_it_cannot_scale():
    x = np.ones((5, 2))
    with pytest.raises(ValueError, match="more than seasonal_lag=5 rows, got 5"):
        mase_scale(x, seasonal_lag=5)
    for bad in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="positive whole number"):
            mase_scale(x, seasonal_lag=bad)
    with pytest.raises(ValueError, match=r"each of 2 features, got shape \(3,\)"):
        mase(x, x, scale=[1.0, 2.0, 3.0])


def test_smape_of_zeros_is_zero():
    assert smape(np.zeros((3, 1)), np.zeros((3, 1))) == 0.0


@given(st.floats(0.01, 100), st.floats(-50, 50), st.integers(0, 100))
def test_normalised_metrics_do_not_know_the_units(factor, offset, seed):
    rng = np.random.default_rng(seed)
    truth, guess = rng.standard_normal((2, 12, 2))
    for metric in (nrmse, valid_prediction_time, cumulative_max_error, mase):
        got = metric(factor * truth + offset, factor * guess + offset)
        assert got == pytest.approx(metric(truth, guess), rel=1e-6)


def test_complex_rows_count_both_parts():
    truth, guess = np.zeros((2, 1), complex), np.full((2, 1), 3 + 4j)
    np.testing.assert_allclose(normalized_error(truth, guess, scale=10), 0.5)


def test_shapes_are_compared():
    with pytest.raises(ValueError, match="one shape"):
        nrmse(np.ones((3, 1)), np.ones((4, 1)))
    with pytest.raises(ValueError, match="one shape"):
        smape(np.ones(3), np.ones(3))

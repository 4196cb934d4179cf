"""Seasons are found where there are any, and not where there are none."""

import numpy as np
import pytest

from skdyn.datasets import load_sunspots
from skdyn.utils._seasonality import dominant_period, seasonal_period


def sine(n, period, phase=0.3):
    return np.sin(2 * np.pi * np.arange(n) / period + phase)[:, None]


def autoregression(rng, n, coefficient):
    x, noise = np.zeros(n), rng.standard_normal(n)
    for i in range(1, n):
        x[i] = coefficient * x[i - 1] + noise[i]
    return x[:, None]


@pytest.mark.parametrize("period", [2, 3, 7, 12, 30, 52])
def test_a_pure_season_is_found(period):
    profile = np.random.default_rng(period).standard_normal(period)
    x = np.tile(profile, max(5, 20 // period))[:, None]
    assert seasonal_period([x]) == period
    # Scale, level and sign of a trend do not matter.
    slope = np.arange(len(x))[:, None]
    assert seasonal_period([1e200 * (x - 0.5 * slope + 7)]) == period
    if period > 2:
        assert seasonal_period([sine(5 * period, period)]) == period


def test_a_season_upon_other_things():
    rng = np.random.default_rng(0)
    k = np.arange(144)[:, None]
    season = sine(144, 12)
    assert seasonal_period([0.001 * k**2 + season]) == 12
    assert seasonal_period([np.exp(0.02 * k) * (1 + 0.2 * season)]) == 12
    assert seasonal_period([season + 0.3 * rng.standard_normal(k.shape)]) == 12
    walk = rng.standard_normal(k.shape).cumsum(axis=0)
    assert seasonal_period([walk + 3 * season]) == 12
    # A profile of its own for each month upon a random walk.
    profile = np.tile(rng.standard_normal(12), 12)[:, None]
    assert seasonal_period([walk + 3 * profile]) == 12
    assert seasonal_period([load_sunspots().data]) == 11


def test_false_seasons_are_rare():
    rng = np.random.default_rng(0)
    for coefficient in (0.0, 0.5, 0.9, 1.0):
        found = [
            seasonal_period([autoregression(rng, 120, coefficient)]) > 1
            for _ in range(100)
        ]
        # A chance of 0.05 exceeds 12 in 100 once in a thousand.
        assert np.sum(found) <= 12


def test_no_pair_is_formed_across_pieces():
    # Pieces that end in the middle of a season: glued together they have another one.
    rng = np.random.default_rng(0)
    x = np.tile(rng.standard_normal(7), 20)[:, None]
    pieces = [x[s : s + 31] for s in (0, 2, 4, 1)]
    assert seasonal_period(pieces) == 7
    assert seasonal_period(pieces[::-1]) == 7
    assert seasonal_period(np.stack(pieces)) == 7
    # Each has a level of its own.
    assert seasonal_period([100 * i + piece for i, piece in enumerate(pieces)]) == 7


def test_features_count_alike_whatever_their_units():
    rng = np.random.default_rng(0)
    season, noise = sine(120, 12), rng.standard_normal((120, 1))
    for scale in (1e-6, 1.0, 1e6):
        assert seasonal_period([np.hstack([season, scale * noise])]) == 12
    # Constant features, and straight lines, say nothing.
    rest = [np.full((120, 1), 0.1), 1e5 * np.arange(120.0)[:, None]]
    assert seasonal_period([np.hstack([season, *rest])]) == 12
    assert seasonal_period([np.hstack(rest)]) == 1


def test_limits():
    x = np.tile([1.0, 2.0, -1.0, 0.0, 5.0, -3.0, 2.5], 10)[:, None]
    assert seasonal_period([x], max_period=7) == 7
    assert seasonal_period([x], max_period=6) != 7
    assert seasonal_period([x.astype(np.float32)]) == 7
    for n in range(1, 8):
        assert seasonal_period([x[:n]]) == 1
    assert type(seasonal_period([x])) is int


@pytest.mark.parametrize("period", [7.77, 10.5, 20.3, 61.0])
def test_dominant_period_is_no_whole_number(period):
    x = sine(1000, period) + 0.001 * np.arange(1000)[:, None]
    assert dominant_period([x]) == pytest.approx(period, rel=1e-3)
    pieces = [x[:400], x[450:]]
    assert dominant_period(pieces) == pytest.approx(period, rel=2e-3)
    # The stronger of two, wherever it stands.
    other = 0.3 * sine(1000, 1.7 * period)
    assert dominant_period([x + other]) == pytest.approx(period, rel=1e-2)


def test_dominant_period_of_what_does_not_move():
    assert np.isnan(dominant_period([np.ones((50, 2))]))
    assert np.isnan(dominant_period([np.arange(50.0)[:, None]]))
    assert np.isnan(dominant_period([np.arange(3.0)[:, None] ** 2]))

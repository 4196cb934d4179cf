"""SeasonalNaive."""

import numpy as np
import pytest

from skdyn.baselines import Persistence, SeasonalNaive
from skdyn.datasets import load_sunspots


def test_it_is_its_formula():
    # Hyndman & Athanasopoulos (2021), section 5.2: the forecast of row T + h is row
    # T + h - m (k + 1) with k = floor((h - 1) / m), all counted from 1.
    X = np.random.default_rng(0).standard_normal((50, 2))
    m, T = 7, len(X)
    rows = [X[T + h - m * ((h - 1) // m + 1) - 1] for h in range(1, 31)]
    model = SeasonalNaive(m).fit(X)
    np.testing.assert_array_equal(model.predict(30), rows)
    np.testing.assert_array_equal(model.predict(X), X[: -m + 1])
    assert model.min_context_ == m


@pytest.mark.parametrize("period", [2, 5, 12])
def test_a_periodic_signal_is_continued_exactly(period):
    profile = np.random.default_rng(period).standard_normal((period, 2))
    X = np.tile(profile, (40, 1))
    model = SeasonalNaive().fit(X[: 8 * period + 1])
    assert model.period_ == period
    n = 25 * period + 1
    np.testing.assert_array_equal(model.predict(n), X[8 * period + 1 :][:n])


def test_a_period_of_one_is_persistence():
    X = np.random.default_rng(0).standard_normal((80, 2)).cumsum(axis=0)
    walk = SeasonalNaive().fit(X)
    assert walk.period_ == 1
    np.testing.assert_array_equal(walk.predict(5), Persistence().fit(X).predict(5))


def test_the_sunspots_return():
    model = SeasonalNaive().fit(load_sunspots().data)
    assert model.period_ == model.min_context_ == 11


def test_the_shortest_trajectory_bounds_the_period():
    X = np.sin(2 * np.pi * np.arange(200) / 20)[:, None]
    assert SeasonalNaive().fit([X, X[:25]]).period_ == 20
    capped = SeasonalNaive().fit([X, X[:12]])
    assert capped.period_ <= 12
    assert [len(rows) for rows in capped.predict(3)] == [3, 3]


def test_the_longest_period_can_be_given():
    X = np.sin(2 * np.pi * np.arange(300) / 60)[:, None]
    assert SeasonalNaive().fit(X).period_ == 60
    assert SeasonalNaive(max_period=60).fit(X).period_ == 60
    assert SeasonalNaive(max_period=48).fit(X).period_ <= 48
    assert SeasonalNaive(70, max_period=2).fit(X).period_ == 70


def test_too_little_for_a_season_is_refused():
    X = np.arange(10.0)[:, None]
    with pytest.raises(ValueError, match=r"10 sample\(s\).*at least 11"):
        SeasonalNaive(11).fit(X)
    with pytest.raises(ValueError, match=r"2 sample\(s\).*at least 3"):
        SeasonalNaive(3).fit(X).forecast(2, context=X[:2])

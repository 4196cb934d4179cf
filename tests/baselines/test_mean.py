"""Mean."""

import numpy as np
import pytest

from skdyn.baselines import Mean


def test_it_forecasts_the_mean_whatever_came_last():
    X = np.array([[1.0, 0.0], [2.0, 4.0], [6.0, 5.0]])
    model = Mean().fit(X)
    np.testing.assert_allclose(model.predict(2), [[3.0, 3.0], [3.0, 3.0]])
    np.testing.assert_allclose(model.predict(X), np.full((3, 2), 3.0))
    np.testing.assert_allclose(model.forecast(1, context=[[9.0, 9.0]]), [[3.0, 3.0]])


def test_rows_count_the_same_whatever_their_trajectory():
    short, long = np.zeros((2, 1)), np.ones((8, 1))
    assert Mean().fit([short, long]).mean_ == pytest.approx(0.8)


def test_its_score_is_that_of_a_constant():
    # R² of the mean of all rows, on all rows but the first.
    X = np.array([[0.0], [1.0], [2.0], [3.0]])
    rows = X[1:]
    want = 1 - ((rows - 1.5) ** 2).sum() / ((rows - rows.mean()) ** 2).sum()
    assert Mean().fit(X).score(X) == pytest.approx(want)


def test_many_small_parts_are_the_whole():
    X = 1e6 + np.random.default_rng(0).standard_normal((1000, 2))
    model = Mean()
    for part in np.split(X, 100):
        model.partial_fit(part)
    assert model.n_rows_seen_ == 1000
    np.testing.assert_allclose(model.mean_, X.mean(axis=0), rtol=1e-14)
    np.testing.assert_array_equal(model.fit(X[:5]).mean_, Mean().fit(X[:5]).mean_)


def test_single_precision_is_summed_in_double():
    X = np.full((3_000_000, 1), 0.1, dtype=np.float32)
    got = Mean().fit(X).predict(1)
    assert got.dtype == np.float32
    assert got[0, 0] == np.float32(0.1)

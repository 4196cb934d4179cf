"""Persistence."""

import numpy as np
import pytest

from skdyn.baselines import Persistence


def test_it_repeats_the_last_row():
    X = np.arange(12.0).reshape(6, 2)
    est = Persistence().fit(X)
    np.testing.assert_array_equal(est.predict(3), np.tile(X[-1], (3, 1)))
    np.testing.assert_array_equal(est.predict(X), X)
    np.testing.assert_array_equal(est.forecast(2, context=X[:1]), np.tile(X[0], (2, 1)))


def test_its_score_on_a_random_walk_is_the_walks():
    X = np.cumsum(np.random.default_rng(0).standard_normal((5000, 1)), axis=0)
    steps, rows = np.diff(X, axis=0), X[1:]
    want = 1 - (steps**2).sum() / ((rows - rows.mean()) ** 2).sum()
    assert Persistence().fit(X).score(X) == pytest.approx(want)


def test_complex_data_is_refused():
    with pytest.raises(ValueError, match="Complex"):
        Persistence().fit(np.ones((5, 1)) * 1j)

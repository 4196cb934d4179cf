"""Drift."""

import numpy as np

from skdyn.baselines import Drift


def test_it_is_the_line_through_the_first_and_the_last_row():
    # Hyndman & Athanasopoulos (2021), section 5.2.
    X = np.random.default_rng(0).standard_normal((30, 2)).cumsum(axis=0)
    h = np.arange(1, 13)[:, None]
    want = X[-1] + h * (X[-1] - X[0]) / (len(X) - 1)
    np.testing.assert_allclose(Drift().fit(X).predict(12), want)


def test_a_line_is_continued_exactly():
    t = np.arange(100.0)[:, None]
    X = np.hstack([3 - 0.5 * t, 1e6 + 2 * t])
    model = Drift().fit(X[:40])
    np.testing.assert_allclose(model.predict(60), X[40:], rtol=1e-14)
    np.testing.assert_allclose(model.predict(X)[:-1], X[1:], rtol=1e-14)


def test_increments_are_pooled_and_none_is_formed_across():
    a, b = np.array([[0.0], [1.0]]), np.array([[100.0], [100.0], [106.0]])
    model = Drift().fit([a, b])
    np.testing.assert_allclose(model.slope_, [7 / 3])
    assert model.n_pairs_seen_ == 3
    np.testing.assert_allclose(model.predict(1)[1], [[106 + 7 / 3]])
    parts = Drift().partial_fit(a).partial_fit(b)
    np.testing.assert_allclose(parts.slope_, [7 / 3])


def test_a_context_is_continued_from_its_own_end():
    model = Drift().fit([[0.0], [2.0]])
    got = model.forecast(2, context=np.array([[[5.0]], [[-1.0]]]))
    np.testing.assert_allclose(got[..., 0], [[7.0, 9.0], [1.0, 3.0]])

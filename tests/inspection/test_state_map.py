"""Derivatives by differences: as exact as the noise of the rule allows."""

import numpy as np
import pytest

from skdyn.baselines import Persistence
from skdyn.datasets import Flow, Map, henon, lorenz63
from skdyn.inspection._state_map import constant_jacobian, resolve, spread_of


def dynamics(system, starts=None, **options):
    rng = np.random.RandomState(0)
    return resolve(system, starts=starts, rng=rng, who="test", **options)


def errors(found, known, n=20):
    """Errors of derivatives near the starts, relative to their size."""
    x = found.starts[:1] + 0.1 * np.random.default_rng(0).standard_normal((n, 2))
    t = np.zeros(n)
    truth = known.jacobian(x)
    return np.abs(found.jacobian(t, x) - truth).max() / np.abs(truth).max()


@pytest.mark.parametrize(
    ("noise", "least", "most"), [(0.0, 1e-16, 2e-15), (1e-8, 3e-9, 1e-7)]
)
def test_noise_is_measured(noise, least, most):
    rng, step = np.random.default_rng(0), henon().step

    def noisy(x):
        return step(x) + noise * rng.standard_normal(x.shape)

    starts = np.random.default_rng(1).standard_normal((30, 2))
    assert least < dynamics(noisy, starts).noise < most


def test_single_precision_is_noticed_and_differentiated():
    starts = np.random.default_rng(1).standard_normal((30, 2))

    def single(x):
        return henon().step(x.astype(np.float32))

    exact, rough = dynamics(henon().step, starts), dynamics(single, starts)
    assert exact.noise < 1e-14
    assert 1e-9 < rough.noise < 1e-6
    assert errors(exact, henon()) < 1e-9
    assert errors(rough, henon()) < 1e-3
    # What a step for double precision would have given.
    x = starts[:5] + 0.1
    bad = rough.jacobian(np.zeros(5), x, exact.step) - henon().jacobian(x)
    assert np.abs(bad).max() > 3e-3


def test_differences_along_few_directions():
    known = lorenz63()
    blind = dynamics(Flow(known.velocity, 3, start=known.start))
    x, t = blind.starts, np.zeros(16)
    Q = np.random.default_rng(0).standard_normal((16, 3, 2))
    value, along = blind.push(t, x, Q)
    np.testing.assert_array_equal(value, known.velocity(t, x))
    np.testing.assert_allclose(along, known.jacobian(t, x) @ Q, atol=1e-7)
    np.testing.assert_array_equal(blind.push(t, x, 0 * Q)[1], 0.0)


def test_parts_that_fit_memory_are_the_whole(monkeypatch):
    found = dynamics(henon().step, np.random.default_rng(1).standard_normal((30, 2)))
    whole = found.jacobian(np.zeros(30), found.starts)
    monkeypatch.setattr("skdyn.inspection._state_map._LARGEST_BATCH", 25)
    np.testing.assert_array_equal(found.jacobian(np.zeros(30), found.starts), whole)


def test_a_constant_derivative_is_found_only_where_there_is_one():
    rng, starts = np.random.RandomState(0), np.random.default_rng(0).random((9, 2))
    A = np.array([[0.5, 1.0], [-2.0, 0.3]])

    def tent(x):
        return np.where(x < 0.5, 2 * x, 2 - 2 * x)

    def narrow(x):
        # Steep on a thousandth of the interval, which orbits find.
        z = (x / 0.999) % 1.0
        return np.where(x < 0.999, z, 1000 * (x - 0.999)) % 1.0

    def steepness(x):
        J = np.zeros((len(x), 2, 2))
        J[:, [0, 1], [0, 1]] = np.where(x < 0.999, 1 / 0.999, 1000)
        return J

    def cat(x):
        return (x @ np.array([[2.0, 1.0], [1.0, 1.0]])) % 1.0

    def torn(t, x):
        return x @ A + np.cos(t)[:, None] * x

    found = constant_jacobian(dynamics(lambda x: x @ A + 7.0, starts), rng)
    np.testing.assert_allclose(found, A.T, atol=1e-14)
    forced = Flow(lambda t, x: x @ A + np.cos(t)[:, None], 2)
    found = constant_jacobian(dynamics(forced, starts), rng)
    np.testing.assert_allclose(found, A.T, atol=1e-14)
    steep = Map(narrow, 2, jacobian=steepness)
    for rule in (
        tent,
        cat,
        narrow,
        steep,
        Flow(torn, 2),
        lambda x: x @ A + 1e-9 * x**2,
    ):
        assert constant_jacobian(dynamics(rule, starts), rng) is None
    # What the cat does is nowhere affine, but its derivative is the same everywhere.
    known = Map(
        cat,
        2,
        jacobian=lambda x: np.tile([[2.0, 1.0], [1.0, 1.0]], (len(x), 1, 1)),
    )
    np.testing.assert_array_equal(
        constant_jacobian(dynamics(known, starts), rng), [[2.0, 1.0], [1.0, 1.0]]
    )
    assert constant_jacobian(dynamics(henon()), rng) is None


def test_spreads():
    states = np.array([[0.0, 5.0, 0.0], [4.0, 5.0, 0.0]])
    np.testing.assert_array_equal(spread_of(states), [2.0, 5.0, 5.0])
    np.testing.assert_array_equal(spread_of(np.zeros((1, 2))), [1.0, 1.0])


class Remembers(Persistence):
    """A stand-in for a reservoir: all rows of a context make the state."""

    _uses_whole_context = True

    def _begin(self, contexts, u):
        return np.stack(
            [contexts.sum(axis=(1, 2)), [contexts.shape[1]] * len(contexts)], 1
        )

    def _step(self, state, u):
        return 0.5 * state, 0.5 * state[:, :1]


def test_windows_are_spread_evenly_and_long_where_rows_are_remembered():
    X = np.arange(2000.0)[:, None]
    rng = np.random.RandomState(0)
    given = {"n_starts": 5, "rng": rng, "who": "test"}
    found = resolve(Persistence().fit(X), context=X, **given)
    np.testing.assert_array_equal(found.starts[:, 0], np.linspace(0, 1999, 5).round())
    assert found.share_orbits
    found = resolve(Persistence().fit(X), context=[X[:10], X[:20], X[:30]], **given)
    np.testing.assert_array_equal(found.starts[:, 0], [0, 5, 0, 14, 29])
    found = resolve(Persistence().fit(X), context=X.reshape(5, 400, 1), **given)
    assert len(found.starts) == 5
    long = resolve(Remembers().fit(X), context=X, **given)
    np.testing.assert_array_equal(long.starts[:, 1], 500)
    np.testing.assert_array_equal(
        long.starts[[0, -1], 0], [X[:500].sum(), X[-500:].sum()]
    )
    short = resolve(Remembers().fit(X), context=[X[:10], X[:3]], **given)
    np.testing.assert_array_equal(short.starts[:, 1], [5, 5, 5, 5, 3])

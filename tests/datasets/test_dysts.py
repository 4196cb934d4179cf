"""The systems of dysts, where it is installed."""

import pickle
import sys

import numpy as np
import pytest

from skdyn.datasets import load_dysts, lorenz63, make_trajectories


@pytest.fixture(scope="module")
def dysts():
    # Whatever is missing, dysts itself or what it needs, is the reason to skip.
    return pytest.importorskip(
        "dysts.flows",
        reason="dysts is not importable: pip install 'skdyn[bench]'",
        exc_type=ImportError,
    )


def names(flows):
    return [
        name
        for name, kind in vars(flows).items()
        if isinstance(kind, type)
        and issubclass(kind, flows.DynSys)
        and kind is not flows.DynSys
    ]


def test_without_dysts_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "dysts.flows", None)
    with pytest.raises(ImportError, match=r"needs the package dysts.*skdyn\[bench\]"):
        load_dysts("Lorenz")


def test_a_known_system(dysts):
    system = load_dysts("Lorenz")
    ours = lorenz63(beta=2.667)
    assert dict(system.parameters) == {"beta": 2.667, "rho": 28, "sigma": 10}
    x, t = 10 * np.random.RandomState(0).standard_normal((6, 3)), np.zeros(6)
    np.testing.assert_allclose(system.velocity(t, x), ours.velocity(t, x), rtol=1e-13)
    np.testing.assert_allclose(system.jacobian(t, x), ours.jacobian(t, x), rtol=1e-13)
    assert system.dt == system.period / 100
    assert "Lorenz" in system.reference
    raw = dysts.Lorenz()
    assert system.lyapunov_exponents == (raw.maximum_lyapunov_estimated,)


def test_every_system_is_a_flow(dysts):
    every = names(dysts)
    assert len(every) > 100
    for name in every:
        system, raw = load_dysts(name), getattr(dysts, name)()
        d = system.n_features
        assert len(system.feature_names) == d == len(raw.ic)
        rng = np.random.RandomState(1)
        for n in (1, 3, d + 1):
            x, t = system.start(rng, n), rng.uniform(size=n)
            v = system.velocity(t, x)
            assert v.shape == (n, d), name
            expected = [raw.rhs(each, now) for each, now in zip(x, t, strict=True)]
            np.testing.assert_allclose(v, np.array(expected, dtype=float), rtol=1e-12)
        if system.jacobian is not None:
            h = 1e-6 * np.maximum(1.0, np.abs(x))
            columns = [
                (system.velocity(t, x + h * e) - system.velocity(t, x - h * e))
                / (2 * h @ e)[:, None]
                for e in np.eye(d)
            ]
            J = system.jacobian(t, x)
            error = np.abs(J - np.stack(columns, axis=-1)).max()
            assert error < 1e-7 * max(1.0, np.abs(J).max()), name


def test_trajectories_are_those_of_dysts(dysts):
    for name in ("Halvorsen", "Lorenz96", "ForcedVanDerPol"):
        raw = getattr(dysts, name)()
        system = load_dysts(name, spread=0.0)
        start = system.start(np.random.RandomState(0), 2)
        np.testing.assert_array_equal(start, [raw.ic, raw.ic])
        X = make_trajectories(system, 60, starts=raw.ic, dt=raw.period / 99)
        expected = raw.make_trajectory(
            60, pts_per_period=60 * 99 / 59, postprocess=False, rtol=1e-10, atol=1e-10
        )
        np.testing.assert_allclose(X, expected, rtol=1e-4, atol=1e-4)


def test_a_batch_from_random_starts(dysts):
    system = load_dysts("Rossler")
    X = make_trajectories(system, 50, n_trajectories=3)
    assert X.shape == (3, 50, 3)
    assert np.ptp(X[:, 0], axis=0).min() > 0
    copy = pickle.loads(pickle.dumps(system))
    np.testing.assert_array_equal(make_trajectories(copy, 50, n_trajectories=3), X)


def test_what_is_refused(dysts):
    with pytest.raises(ValueError, match=r"got 'lorenz'\. .* such as Lorenz, "):
        load_dysts("lorenz")
    with pytest.raises(ValueError, match="MackeyGlass is a delay equation"):
        load_dysts("MackeyGlass")
    with pytest.raises(ValueError, match="spread needs a number of at least 0"):
        load_dysts("Lorenz", spread=-1.0)

"""Sparsity-promoting DMD: which modes it keeps, and that they are the optimum."""

import numpy as np
import pytest

from skdyn.koopman import DMD, SparseDMD
from skdyn.koopman._sparse import _pairs, _Problem, _Solver

DT = 0.1
LARGE, TINY = np.array([1.0, 2.3, 4.1]), np.array([3.1, 5.5])


def oscillations(n=400, noise=0.01, seed=0):
    """Three large oscillations and two tiny ones in 30 features."""
    rng, t = np.random.default_rng(seed), DT * np.arange(n)
    X = noise * rng.standard_normal((n, 30))
    for w, size in [*((w, 1.0) for w in LARGE), *((w, 0.03) for w in TINY)]:
        wave = np.column_stack([np.cos(w * t), np.sin(w * t)])
        X += size * wave @ rng.standard_normal((2, 30))
    return X


def test_the_large_oscillations_are_kept():
    X = oscillations()
    model = SparseDMD(rank=20, n_modes=6, dt=DT).fit(X)
    assert model.rank_ == 20
    got = np.sort(model.rates_.imag)
    np.testing.assert_allclose(got, np.sort([*LARGE, *-LARGE]), atol=1e-3)
    np.testing.assert_allclose(model.rates_.real, 0, atol=1e-3)
    # All of the DMD's modes: more than the five oscillations that there are.
    assert len(SparseDMD(rank=20, penalty=0.0).fit(X).rates_) == 20


def test_the_tiny_ones_come_next():
    model = SparseDMD(rank=20, n_modes=10, dt=DT).fit(oscillations())
    want = np.sort([*LARGE, *-LARGE, *TINY, *-TINY])
    np.testing.assert_allclose(np.sort(model.rates_.imag), want, atol=2e-2)


def test_few_modes_forecast_better_than_all():
    X, truth = oscillations(600, noise=0.1), oscillations(600, noise=0.0)[500:]
    errors = [
        np.abs(model.fit(X[:500]).predict(100) - truth).mean()
        for model in (
            SparseDMD(12, total_least_squares=True),
            DMD(12, total_least_squares=True),
        )
    ]
    assert errors[0] < 0.8 * errors[1]


def test_clean_data_is_continued():
    X = oscillations(300, noise=0.0)
    model = SparseDMD(n_modes=10, dt=DT).fit(X[:200])
    np.testing.assert_allclose(model.predict(100), X[200:], atol=1e-6)
    assert model.path_.loss[-1] < 1e-6
    # Amplitudes and modes of the first row make up that row.
    spectrum = model.spectrum_
    row = spectrum.amplitudes @ spectrum.modes
    np.testing.assert_allclose(row.real, X[:1], atol=1e-7)
    np.testing.assert_allclose(spectrum.residuals, 0, atol=1e-5)


def test_the_path_is_one():
    X = oscillations()
    model = SparseDMD(rank=20, n_modes=6, dt=DT).fit(X)
    path = model.path_
    assert (np.diff(path.penalties) < 0).all()
    assert path.n_modes[0] <= 6
    assert path.n_modes[-1] == 20
    # More modes explain more.
    order = np.argsort(path.n_modes, kind="stable")
    assert (np.diff(path.loss[order]) < 1e-3).all()
    spectrum = model.spectrum_
    powers = spectrum.eigenvalues ** np.arange(len(X))[:, None]
    rest = X - ((powers * spectrum.amplitudes[0]) @ spectrum.modes).real
    at_six = path.loss[path.n_modes == 6][0]
    assert at_six == pytest.approx(np.linalg.norm(rest) / np.linalg.norm(X), rel=1e-4)


def test_units_decide_nothing():
    X = oscillations()
    plain = SparseDMD(rank=20, penalty=0.05).fit(X)
    scaled = SparseDMD(rank=20, penalty=0.05).fit(1e6 * X)
    np.testing.assert_allclose(scaled.rates_, plain.rates_, atol=1e-9)
    np.testing.assert_allclose(scaled.path_.loss, plain.path_.loss, atol=1e-6)


def test_pairs_stay_together():
    X = np.random.default_rng(0).standard_normal((100, 8))
    for n_modes in range(1, 9):
        model = SparseDMD(n_modes=n_modes).fit(X)
        rates = model.rates_[np.abs(np.exp(model.rates_).imag) > 1e-12]
        np.testing.assert_array_equal(
            np.sort_complex(rates), np.sort_complex(rates.conj())
        )
        assert 1 <= len(model.rates_) <= max(n_modes, 2)
        assert np.isrealobj(model.predict(3))


def test_amplitudes_are_the_optimum():
    rng = np.random.default_rng(0)
    rates = np.array([-0.1 + 1j, -0.1 - 1j, -0.2, 0.02])
    modes = rng.standard_normal((4, 5)) + 1j * rng.standard_normal((4, 5))
    modes[1], modes[2:] = modes[0].conj(), modes[2:].real
    X = rng.standard_normal((2, 40, 5))
    times = [np.arange(40.0)] * 2
    problem = _Problem.of(rates, modes, _pairs(rates, False), X, times)
    largest = 2 * problem.sizes(problem.q).max()
    for fraction in (0.9, 0.5, 0.1):
        a = _Solver.of(problem).amplitudes(fraction * largest)
        slope = 2 * (a @ problem.P[0].T - problem.q)
        sizes = problem.sizes(a)
        # Where a mode is in, slope and penalty balance; where not, the slope is less.
        inside = sizes > 0
        balance = slope[:, inside] + fraction * largest * a[:, inside] / sizes[inside]
        np.testing.assert_allclose(balance, 0, atol=1e-3 * largest)
        assert (problem.sizes(slope) <= fraction * largest * (1 + 1e-3)).all()
        np.testing.assert_allclose(a[:, 1], a[:, 0].conj(), atol=1e-6 * largest)
    assert problem.sizes(_Solver.of(problem).amplitudes(1.001 * largest)).max() == 0


def test_the_quadratic_function_is_the_misfit():
    rng = np.random.default_rng(0)
    rates = np.array([-0.1 + 1j, -0.3 - 0.5j])
    modes = rng.standard_normal((2, 3)) + 1j * rng.standard_normal((2, 3))
    x, t = rng.standard_normal((20, 3)) + 0j, np.arange(20.0)
    problem = _Problem.of(rates, modes, _pairs(rates, True), [x], [t])
    a = rng.standard_normal(2) + 1j * rng.standard_normal(2)
    rest = x - (np.exp(np.multiply.outer(t, rates)) * a) @ modes
    q, P = problem.q[0], problem.P[0]
    got = np.vdot(a, P @ a) - 2 * np.vdot(q, a).real + problem.s
    assert got.real == pytest.approx(np.linalg.norm(rest) ** 2)


def test_trajectories_share_their_modes():
    X = oscillations(500)
    parts = [X[:200], X[200:320], X[320:]]
    model = SparseDMD(rank=20, n_modes=6, dt=DT).fit(parts)
    got = np.sort(model.rates_.imag)
    np.testing.assert_allclose(got, np.sort([*LARGE, *-LARGE]), atol=2e-3)
    assert model.spectrum_.amplitudes.shape == (3, 6)
    ahead = model.predict(10)
    np.testing.assert_allclose(ahead[0], X[200:210], atol=0.4)


def test_complex_data():
    t = DT * np.arange(200)
    rng = np.random.default_rng(0)
    modes = rng.standard_normal((3, 6)) + 1j * rng.standard_normal((3, 6))
    waves = np.exp(1j * np.multiply.outer(t, [1.0, -2.0, 3.0])) * [1, 1, 0.05]
    X = waves @ modes + 1e-3 * rng.standard_normal((200, 6))
    model = SparseDMD(n_modes=2, dt=DT).fit(X)
    np.testing.assert_allclose(np.sort(model.rates_.imag), [-2, 1], atol=1e-2)
    assert np.iscomplexobj(model.predict(2))


def test_data_of_zeros():
    model = SparseDMD().fit(np.zeros((20, 3)))
    np.testing.assert_array_equal(model.predict(4), 0)

"""HiPPOMemory against the equations that it solves."""

import warnings

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline as stock_pipeline
from sklearn.preprocessing import StandardScaler

from skdyn.base import min_context
from skdyn.koopman import DMD
from skdyn.neural import HiPPOMemory, hippo_matrices
from skdyn.pipeline import make_pipeline


def _harmonics(window, n_rows, seed, fall=0.0):
    """Ten harmonics of the window, amplitudes 1 / k^fall, phases at random."""
    k, t = np.arange(1, 11), np.arange(n_rows)[:, None]
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, 10)
    waves = np.sin(2 * np.pi * k * t / window + phases)
    return (waves / k**fall).sum(axis=1)[:, None]


def _window_error(memory, X):
    memory.fit(X)
    past = memory.reconstruct(memory.transform(X))[-1]
    truth = X[::-1][: memory.window]
    return np.linalg.norm(past - truth) / np.linalg.norm(truth)


@pytest.mark.parametrize("measure", ["legt", "legs", "fourier"])
@pytest.mark.parametrize("interpolation", ["constant", "linear", "cubic"])
def test_steps_are_exact(measure, interpolation):
    # The differential equation, solved row by row with the interpolant as its input.
    n, window = 5, 7
    u = np.random.default_rng(0).standard_normal(12)
    A, B = hippo_matrices(measure, n, window=window)
    past = np.r_[np.full(3, u[0]), u]
    x, want = np.eye(n)[0] * u[0], []
    for k in range(len(u)):
        if k:
            nodes = {"constant": [0], "linear": [0, 1], "cubic": [-2, -1, 0, 1]}
            at = np.array(nodes[interpolation])
            p = np.polynomial.Polynomial.fit(at, past[k + 2 + at], len(at) - 1)
            x = solve_ivp(
                lambda t, x, p=p: A @ x + B * p(t), (0, 1), x, rtol=1e-10, atol=1e-12
            ).y[:, -1]
        want.append(x)
    memory = HiPPOMemory(
        n, window=window, measure=measure, interpolation=interpolation, washout=0
    )
    Z = memory.fit_transform(u[:, None])
    np.testing.assert_array_equal(Z[:, 0], u)
    np.testing.assert_allclose(Z[:, 1:], want, atol=1e-7)


def test_blocks_are_a_loop():
    X = np.random.default_rng(1).standard_normal((131, 2))
    for interpolation in ("constant", "linear", "cubic"):
        memory = HiPPOMemory(6, window=20, interpolation=interpolation, washout=0)
        Z = memory.fit_transform(X)
        F, T = memory.transition_, memory.inputs_
        for i in range(2):
            x, u = np.eye(6)[0] * X[0, i], np.r_[np.full(3, X[0, i]), X[:, i]]
            for k in range(1, len(X)):
                x = F @ x + sum(T[j] * u[k + 3 - j] for j in range(len(T)))
                np.testing.assert_allclose(Z[k, 2 + 6 * i : 8 + 6 * i], x, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_window_of_ten_harmonics_comes_back(seed):
    X = _harmonics(1000, 4000, seed)
    assert _window_error(HiPPOMemory(64, window=1000, recurrent=False), X) <= 1e-10
    # The recurrence learns from its coefficients what leaves the window.
    assert _window_error(HiPPOMemory(64, window=1000), X) <= 5e-4
    cubic = HiPPOMemory(64, window=1000, interpolation="cubic")
    assert _window_error(cubic, X) <= 1e-6
    falling = _harmonics(1000, 4000, seed, fall=1.0)
    assert _window_error(HiPPOMemory(32, window=1000), falling) <= 0.08
    # Whole waves are a Fourier series.
    fourier = HiPPOMemory(21, window=1000, measure="fourier", recurrent=False)
    assert _window_error(fourier, X) <= 1e-10


def test_windows_by_least_squares_are_projections():
    X = np.random.default_rng(2).standard_normal((60, 2))
    memory = HiPPOMemory(5, window=20, recurrent=False).fit(X)
    past = memory.reconstruct(memory.transform(X))
    assert past.shape == (41, 20, 2)
    lag = np.arange(20.0)
    for k in (0, 17, 40):
        window = X[k : k + 20][::-1]
        fit = np.polynomial.polynomial.polyfit(lag / 20, window, 4)
        want = np.polynomial.polynomial.polyval(lag / 20, fit).T
        np.testing.assert_allclose(past[k], want, atol=1e-8)


def test_fading_memory_of_a_wave():
    # The state of LegS is the answer of its transfer function.
    t = np.arange(3000)
    X = np.sin(0.01 * t + 0.3)[:, None]
    memory = HiPPOMemory(20, window=50, measure="legs", interpolation="cubic")
    z = memory.fit_transform(X)[-1, 1:]
    A, B = hippo_matrices("legs", 20, window=50)
    G = np.linalg.solve(0.01j * np.eye(20) - A, B)
    np.testing.assert_allclose(
        z, (G * np.exp(1j * (0.01 * t[-1] + 0.3))).imag, atol=1e-8
    )
    past = memory.reconstruct(memory.transform(X), lags=[0.0, 30.5])[-1, :, 0]
    want = np.sin(0.01 * (t[-1] - np.array([0.0, 30.5])) + 0.3)
    np.testing.assert_allclose(past, want, atol=0.02)


def test_forecasts_through_every_pipeline():
    t = np.arange(400.0)[:, None]
    X = 3 + np.sin(0.11 * t) + np.cos(0.23 * t)
    for make in (make_pipeline, stock_pipeline):
        model = make(HiPPOMemory(window=60), DMD()).fit(X[:300])
        assert min_context(model) == 60
        np.testing.assert_allclose(model.predict(100), X[300:], atol=0.02)
    model = make_pipeline(StandardScaler(), HiPPOMemory(window=60), DMD())
    np.testing.assert_allclose(model.fit(X[:300]).predict(100), X[300:], atol=0.02)


def test_features_for_a_regressor():
    # The mean of the last fifty rows is the first coefficient.
    X = np.cumsum(np.random.default_rng(3).standard_normal((600, 1)), axis=0)
    y = np.convolve(X[:, 0], np.full(50, 1 / 50))[:600]
    memory = HiPPOMemory(12, window=50, washout=49)
    model = stock_pipeline(memory, Ridge(1e-6)).fit(X[:400], y[49:400])
    assert model.score(X[400:], y[449:600]) > 0.99


def test_the_start_is_held():
    X = np.full((40, 2), 3.5)
    Z = HiPPOMemory(5, window=10, washout=0).fit_transform(X)
    want = np.r_[3.5, 3.5, 3.5, np.zeros(4), 3.5, np.zeros(4)]
    np.testing.assert_allclose(Z, np.tile(want, (40, 1)), atol=1e-12)


def test_washout_and_names():
    X = np.random.default_rng(4).standard_normal((100, 1))
    assert HiPPOMemory(window=30).fit(X).min_context_ == 30
    assert HiPPOMemory(window=30).fit([X, X[:20]]).min_context_ == 11
    assert HiPPOMemory(window=30, washout=4).fit(X).min_context_ == 5
    memory = HiPPOMemory(3, window=6, recurrent=False).fit(X)
    assert memory.min_context_ == 6
    names = ["x0", "x0_legt0", "x0_legt1", "x0_legt2"]
    assert list(memory.get_feature_names_out()) == names


def test_reconstruct_keeps_the_form():
    X = np.random.default_rng(5).standard_normal((3, 40, 2))
    memory = HiPPOMemory(4, window=8).fit(X)
    Z = memory.transform(X)
    past = memory.reconstruct(Z)
    assert past.shape == (3, 33, 8, 2)
    for got, want in zip(memory.reconstruct(list(Z)), past, strict=True):
        np.testing.assert_array_equal(got, want)
    np.testing.assert_allclose(memory.reconstruct(Z[0], lags=[3]), past[0][:, [3]])
    assert memory.reconstruct(Z.astype(np.float32)).dtype == np.float32


def test_interpolants_are_causal():
    # What comes later changes nothing before.
    X = np.random.default_rng(6).standard_normal((50, 1))
    for interpolation in ("constant", "linear", "cubic"):
        memory = HiPPOMemory(4, window=8, interpolation=interpolation).fit(X)
        np.testing.assert_allclose(
            memory.transform(X[:30]), memory.transform(X)[:23], atol=1e-12
        )


def test_cubic_beats_linear_on_smooth_rows():
    t = np.arange(300)
    spline = CubicSpline(np.arange(0, 301, 10), np.sin(np.arange(31) * 1.3))
    X = spline(t)[:, None]
    errors = [
        _window_error(HiPPOMemory(40, window=60, interpolation=kind), X)
        for kind in ("linear", "cubic")
    ]
    assert errors[1] < errors[0]


def test_refusals():
    X = np.zeros((30, 1))
    with pytest.raises(ValueError, match=r"odd n_coefficients.*Pass 9"):
        HiPPOMemory(measure="fourier").fit(X)
    with pytest.raises(ValueError, match="has no end"):
        HiPPOMemory(measure="legs", recurrent=False).fit(X)
    with pytest.raises(ValueError, match="Raise window"):
        HiPPOMemory(20, recurrent=False).fit(X)
    with pytest.raises(ValueError, match="lower washout"):
        HiPPOMemory(washout=40).fit(X)
    with pytest.raises(ValueError, match="lower window"):
        HiPPOMemory(window=40, recurrent=False).fit(X)
    memory = HiPPOMemory().fit(X)
    with pytest.raises(ValueError, match="needs the 9 columns"):
        memory.reconstruct(X)
    with pytest.raises(ValueError, match="from 0 to 16"):
        memory.reconstruct(memory.transform(X), lags=[17])
    with pytest.raises(ValueError, match="1-D array"):
        memory.reconstruct(memory.transform(X), lags=3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"window": 301}, "window=301 rows, but the longest trajectory has 300: .*150"),
        ({"window": 301, "measure": "legs"}, "no row has such a past"),
        ({"n_coefficients": 17}, "=17 for a past that counts 16 rows.* to 16 at most"),
        ({"n_coefficients": 49, "measure": "legs"}, "counts 48 rows, with window=16"),
        (
            {"n_coefficients": 160, "window": 290},
            "=160 columns of each feature, but 150 rows come out",
        ),
    ],
)
def test_sizes_out_of_proportion_are_told(given, message):
    X = np.random.default_rng(7).standard_normal((300, 1))
    with pytest.warns(UserWarning, match=message) as told:
        HiPPOMemory(**given).fit(X)
    assert len(told) == 1


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"window": 300},
        {"n_coefficients": 16},
        {"n_coefficients": 48, "measure": "legs"},
        {"n_coefficients": 150, "window": 300},
    ],
)
def test_sizes_in_proportion_are_not_remarked_on(given):
    X = np.random.default_rng(7).standard_normal((300, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # The longest trajectory is what has to have the past.
        HiPPOMemory(**given, washout=0 if "n_coefficients" in given else "auto").fit(
            [X, X[:40]]
        )

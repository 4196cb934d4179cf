"""Memory and exponents against closed forms of linear networks."""

import numpy as np
import pytest

from skdyn.datasets import make_lorenz63
from skdyn.reservoir import (
    ESN,
    OnlineESN,
    ReservoirFeatures,
    conditional_lyapunov_exponent,
    memory_capacity,
)
from skdyn.reservoir._states import advance

QUIET = {"bias_scaling": 0.0, "input_scaling": 1e-5}


def noise(n=2000, d=1, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


# -- memory ----------------------------------------------------------------------------


def linear_memory(weights, max_delay):
    """MC_k of a linear network: b' A'^k C^-1 A^k b, with the covariance C of states."""
    leak = weights.leak
    A = (1 - leak) * np.eye(weights.n_units) + leak * weights.recurrent.toarray()
    echoes = [leak * weights.drive[:, 0]]
    for _ in range(2000):
        echoes.append(A @ echoes[-1])
    echoes = np.array(echoes)
    C = echoes.T @ echoes
    inner = np.einsum("ki,ki->k", echoes, np.linalg.solve(C, echoes.T).T)
    assert np.isclose(inner.sum(), weights.n_units)
    return inner[1 : max_delay + 1]


@pytest.mark.parametrize("leak", [1.0, 0.6])
def test_linear_memory_is_that_of_theory(leak):
    reservoir = ReservoirFeatures(6, leak_rate=leak, spectral_radius=0.9).fit(noise())
    got = memory_capacity(reservoir, linear=True, n_test=20_000, max_delay=30)
    want = linear_memory(reservoir.weights_, 30)
    np.testing.assert_allclose(got.by_delay, want, atol=0.02)
    assert got.total == got.by_delay.sum()
    np.testing.assert_array_equal(got.delays, np.arange(1, 31))


def test_memory_of_a_linear_ring():
    ring = ReservoirFeatures(50, topology="ring", spectral_radius=0.9)
    assert 47.5 <= memory_capacity(ring, linear=True).total <= 50
    # A drive so weak that tanh does not bend.
    weak = ReservoirFeatures(50, topology="ring", spectral_radius=0.9, **QUIET)
    np.testing.assert_allclose(
        memory_capacity(weak).by_delay,
        memory_capacity(weak, linear=True).by_delay,
        atol=1e-3,
    )


def test_memory_is_at_most_the_number_of_units_and_lost_in_bends():
    totals = []
    for scaling in (0.01, 0.1, 1.0):
        reservoir = ReservoirFeatures(30, topology="ring", input_scaling=scaling)
        totals.append(memory_capacity(reservoir).total)
    assert 30 > totals[0] > totals[1] > totals[2] > 1


def test_nothing_is_remembered_that_is_not_there():
    # Without a way from unit to unit, of the row before nothing is left.
    deaf = ReservoirFeatures(10, spectral_radius=0.0)
    assert memory_capacity(deaf).total < 0.02


@pytest.mark.parametrize("estimator", [ESN(25), OnlineESN(25)])
def test_memory_of_fitted_models_is_of_one_column(estimator):
    X = make_lorenz63(400)
    scaled = estimator.set_params(input_scaling=[0.1, 0.0, 0.1]).fit(X)
    assert memory_capacity(scaled).total > 5
    assert memory_capacity(scaled, column=1).total < 0.05
    with pytest.raises(ValueError, match="one of the 3 columns"):
        memory_capacity(scaled, column=3)


def test_bad_questions_about_memory_are_refused():
    loud = ReservoirFeatures(10, spectral_radius=1.5)
    with pytest.raises(ValueError, match="unstable"):
        memory_capacity(loud, linear=True)
    for name in ("max_delay", "n_train", "n_test"):
        with pytest.raises(ValueError, match=f"{name} needs a whole number"):
            memory_capacity(loud, **{name: 0})
    with pytest.raises(ValueError, match="alpha needs"):
        memory_capacity(loud, alpha=-1.0)
    with pytest.raises(TypeError, match="Needed an ESN"):
        memory_capacity(object())


# -- exponents -------------------------------------------------------------------------


@pytest.mark.parametrize("leak", [1.0, 0.4])
def test_exponent_of_a_linear_network_is_the_log_of_its_radius(leak):
    X = noise(4000)
    reservoir = ReservoirFeatures(40, leak_rate=leak, **QUIET).fit(X)
    W = reservoir.weights_.recurrent.toarray()
    radius = np.abs(np.linalg.eigvals((1 - leak) * np.eye(40) + leak * W)).max()
    got = conditional_lyapunov_exponent(reservoir, X, washout=500)
    np.testing.assert_allclose(got, np.log(radius), atol=1e-3)
    per_time = conditional_lyapunov_exponent(reservoir, X, washout=500, dt=0.1)
    np.testing.assert_allclose(per_time, 10 * got)


def test_exponent_of_a_ring_is_the_log_of_its_weight():
    X = noise(500)
    ring = ReservoirFeatures(20, topology="ring", spectral_radius=0.7, **QUIET).fit(X)
    got = conditional_lyapunov_exponent(ring, [X, X[:300]])
    np.testing.assert_allclose(got, np.log(0.7), atol=1e-6)


def test_a_delay_line_forgets_altogether():
    X = noise(100)
    line = ReservoirFeatures(20, topology="delay_line").fit(X)
    assert conditional_lyapunov_exponent(line, X) == -np.inf


@pytest.mark.parametrize("radius", [0.9, 3.0])
def test_exponent_is_the_rate_at_which_near_states_part(radius):
    X = noise(700)
    esn = ESN(30, spectral_radius=radius, bias_scaling=0.3, alpha=1.0).fit(X)
    weights, drive = esn.weights_, (X - esn.mean_) / esn.scale_
    one = np.zeros((30, 1))
    other, growth = one, []
    for k, v in enumerate(drive):
        one = advance(weights, one, v[:, None])
        other = advance(weights, other, v[:, None])
        apart = other - one if k else np.full((30, 1), 1e-8)
        if k > 100:
            growth.append(np.log(np.linalg.norm(apart) / 1e-8))
        # Brought near again at every row.
        other = one + apart * (1e-8 / np.linalg.norm(apart))
    got = conditional_lyapunov_exponent(esn, X, washout=101)
    # Of a chaotic network rounding makes another orbit.
    np.testing.assert_allclose(got, np.mean(growth), atol=1e-4 if got < 0 else 0.03)
    assert (got < 0) == (radius < 1)


def test_a_strong_drive_holds_a_network_together():
    X = noise(1500)
    exponents = []
    for scaling in (0.001, 10.0):
        reservoir = ReservoirFeatures(
            60, spectral_radius=3.0, input_scaling=scaling, bias_scaling=0.0
        )
        exponents.append(conditional_lyapunov_exponent(reservoir.fit(X), X))
    assert exponents[0] > 0 > exponents[1]


def test_inputs_drive_too():
    X, u = noise(300, 2), noise(300, 1, seed=1)
    esn = ESN(20, alpha=1.0, input_scaling=[0.0, 0.0, 2.0], spectral_radius=1.5)
    esn.fit(X, u=u)
    driven = conditional_lyapunov_exponent(esn, X, u=u)
    assert driven < conditional_lyapunov_exponent(esn, X, u=0 * u)
    with pytest.raises(ValueError, match=r"fitted with 1 input\(s\), got none"):
        conditional_lyapunov_exponent(esn, X)


def test_bad_questions_about_exponents_are_refused():
    X = noise(50)
    reservoir = ReservoirFeatures(5).fit(X)
    with pytest.raises(ValueError, match="leaves nothing to measure"):
        conditional_lyapunov_exponent(reservoir, X, washout=50)
    with pytest.raises(ValueError, match="dt needs"):
        conditional_lyapunov_exponent(reservoir, X, dt=0.0)
    with pytest.raises(ValueError, match="2 features"):
        conditional_lyapunov_exponent(reservoir, noise(50, 2))

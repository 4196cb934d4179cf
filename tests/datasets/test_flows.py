"""Flows: equilibria, symmetries, conserved quantities, known periods."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.special import ellipk

from skdyn.datasets import (
    bursting_neuron,
    chua,
    double_pendulum,
    duffing,
    hindmarsh_rose,
    lorenz63,
    lorenz96,
    lotka_volterra,
    make_trajectories,
    pendulum,
    rossler,
    sprott_m,
    van_der_pol,
)

ONCE = np.zeros(1)
seeds = st.integers(0, 2**32 - 1)


def velocity(system, state, t=0.0):
    return system.velocity(np.array([t]), np.array([state], dtype=float))[0]


def upward_crossings(x, dt, level):
    """Times, interpolated linearly, at which a series rises through a level."""
    k = np.flatnonzero((x[:-1] < level) & (x[1:] >= level))
    return dt * (k + (level - x[k]) / (x[k + 1] - x[k]))


# --- equilibria


def rossler_equilibrium(a=0.2, b=0.2, c=5.7):
    z = (c - np.sqrt(c * c - 4 * a * b)) / (2 * a)
    return [a * z, -z, z]


def sprott_m_equilibrium(a=1.7):
    # z = 0, y = -x², x² = a (1 + x).
    x = (a - np.sqrt(a * a + 4 * a)) / 2
    return [x, -x * x, 0.0]


def chua_equilibrium(m0=-1 / 7, m1=2 / 7):
    # y = 0, z = -x, h(x) = 0 beyond 1.
    x = (m1 - m0) / m1
    return [x, 0.0, -x]


LORENZ = np.sqrt(8 / 3 * 27)


@pytest.mark.parametrize(
    ("system", "state"),
    [
        (lorenz63(), [0, 0, 0]),
        (lorenz63(), [LORENZ, LORENZ, 27]),
        (lorenz63(), [-LORENZ, -LORENZ, 27]),
        (lorenz63(16.0, 45.92, 4.0), [np.sqrt(4 * 44.92)] * 2 + [44.92]),
        (lorenz96(7, forcing=3.5), [3.5] * 7),
        (rossler(), rossler_equilibrium()),
        (chua(), [0, 0, 0]),
        (chua(), chua_equilibrium()),
        (sprott_m(), sprott_m_equilibrium()),
        (sprott_m(1.5), sprott_m_equilibrium(1.5)),
        (van_der_pol(5.0), [0, 0]),
        (lotka_volterra(), [0, 0]),
        (lotka_volterra(1.0, 0.1, 1.5, 0.075), [20, 10]),
        (duffing(gamma=0.0, alpha=-1.0), [1, 0]),
        (duffing(gamma=0.0, alpha=-4.0), [-2, 0]),
        (pendulum(damping=0.3), [0, 0]),
        (pendulum(), [np.pi, 0]),
        (double_pendulum(damping=0.1), [0, np.pi, 0, 0]),
        (double_pendulum(1, 2, 3, 4), [np.pi, 0, 0, 0]),
    ],
)
def test_equilibria(system, state):
    np.testing.assert_allclose(velocity(system, state), 0.0, atol=1e-13)


@given(seed=seeds)
def test_neurons_rest_where_their_gates_do(seed):
    """Where all but the potential are at rest, only the potential moves."""
    rng = np.random.RandomState(seed)
    V = rng.uniform(-80, 0)
    gates = [1 / (1 + np.exp((half - V) / 5)) for half in (-25, -15)]
    np.testing.assert_allclose(
        velocity(bursting_neuron(), [V, *gates])[1:], 0.0, atol=1e-16
    )
    x = rng.uniform(-2, 2)
    state = [x, 1 - 5 * x * x, 4 * (x + 1.6)]
    dx, dy, dz = velocity(hindmarsh_rose(), state)
    np.testing.assert_allclose([dy, dz], 0.0, atol=1e-14)
    expected = (1 - 5 * x * x) - x**3 + 3 * x * x - 4 * (x + 1.6) + 3.25
    assert dx == pytest.approx(expected, abs=1e-12)


# --- symmetries and rates of contraction


@pytest.mark.parametrize(
    ("system", "signs", "later"),
    [
        (lorenz63(), [-1, -1, 1], 0.0),
        (chua(), [-1, -1, -1], 0.0),
        (van_der_pol(2.0), [-1, -1], 0.0),
        (duffing(0.2, -1.0, 1.0, 0.3, 1.4), [-1, -1], np.pi / 1.4),
        (pendulum(0.5, 1.2, 0.8), [-1, -1], np.pi / 0.8),
        (double_pendulum(1, 2, 3, 4, damping=0.2), [-1] * 4, 0.0),
    ],
)
@given(seed=seeds)
def test_symmetries(system, signs, later, seed):
    rng = np.random.RandomState(seed)
    x, t = 3 * rng.standard_normal((1, system.n_features)), rng.uniform(0, 10, 1)
    mirrored = system.velocity(t + later, x * signs)
    np.testing.assert_allclose(mirrored, signs * system.velocity(t, x), atol=1e-11)


@given(seed=seeds, n=st.integers(4, 12), shift=st.integers(1, 11))
def test_lorenz96_is_the_same_all_round_and_its_quadratic_terms_keep_energy(
    seed, n, shift
):
    system = lorenz96(n, forcing=8.0)
    x = 5 * np.random.RandomState(seed).standard_normal((1, n))
    v = system.velocity(ONCE, x)
    np.testing.assert_allclose(
        system.velocity(ONCE, np.roll(x, shift, axis=1)), np.roll(v, shift, axis=1)
    )
    quadratic = v + x - 8.0
    assert (x * quadratic).sum() == pytest.approx(0.0, abs=1e-9 * (x**2).sum() ** 1.5)
    # By the letter of the equation.
    i = shift % n
    expected = (x[0, (i + 1) % n] - x[0, i - 2]) * x[0, i - 1] - x[0, i] + 8.0
    assert v[0, i] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("system", "rate"),
    [
        (lorenz63(), -(10 + 1 + 8 / 3)),
        (lorenz96(9), -9.0),
        (sprott_m(), -1.0),
        (duffing(), -0.05),
        (pendulum(0.4, 1.0), -0.4),
    ],
)
@given(seed=seeds)
def test_volumes_shrink_at_a_constant_rate(system, rate, seed):
    x = 3 * np.random.RandomState(seed).standard_normal((1, system.n_features))
    assert np.trace(system.jacobian(ONCE, x)[0]) == pytest.approx(rate)


# --- conserved quantities


def lotka_volterra_invariant(X, alpha=0.55, beta=0.028, gamma=0.80, delta=0.024):
    x, y = X[..., 0], X[..., 1]
    return delta * x - gamma * np.log(x) + beta * y - alpha * np.log(y)


def double_pendulum_energy(X, m1=1.0, m2=1.0, l1=1.0, l2=1.0, g=9.81):
    """From the velocities of the two masses in the plane."""
    a, b, va, vb = np.moveaxis(X, -1, 0)
    first = l1 * va * np.array([np.cos(a), np.sin(a)])
    second = first + l2 * vb * np.array([np.cos(b), np.sin(b)])
    height1 = -l1 * np.cos(a)
    height2 = height1 - l2 * np.cos(b)
    kinetic = m1 * (first**2).sum(0) / 2 + m2 * (second**2).sum(0) / 2
    return kinetic + g * (m1 * height1 + m2 * height2)


def pendulum_energy(X):
    return X[..., 1] ** 2 / 2 - np.cos(X[..., 0])


@pytest.mark.parametrize(
    ("system", "invariant"),
    [
        (lotka_volterra(), lotka_volterra_invariant),
        (pendulum(), pendulum_energy),
        (double_pendulum(), double_pendulum_energy),
        (
            double_pendulum(1.5, 0.7, 1.2, 0.8, 9.0),
            lambda X: double_pendulum_energy(X, 1.5, 0.7, 1.2, 0.8, 9.0),
        ),
    ],
)
def test_what_is_conserved(system, invariant):
    X = make_trajectories(system, 300, dt=2 * system.dt, n_trajectories=4)
    value = invariant(X)
    assert np.ptp(X, axis=1).min() > 0.5  # it does move
    np.testing.assert_allclose(value, value[:, :1].repeat(300, 1), rtol=0, atol=1e-6)
    assert np.ptp(value[:, 0]) > 0.01  # and tells trajectories apart


@given(seed=seeds)
def test_friction_takes_energy_at_the_known_rate(seed):
    rng = np.random.RandomState(seed)
    parameters = dict(zip(("m1", "m2", "l1", "l2", "g"), rng.uniform(0.5, 2, 5)))
    friction = rng.uniform(0, 1)
    system = double_pendulum(*parameters.values(), damping=friction)
    x = rng.standard_normal((1, 4))
    # Along the flow, by the complex step.
    h = 1e-25
    ahead = x + 1j * h * system.velocity(ONCE, x)
    rate = double_pendulum_energy(ahead, **parameters).imag[0] / h
    expected = -friction * (x[0, 2] ** 2 + (x[0, 3] - x[0, 2]) ** 2)
    assert rate == pytest.approx(expected, abs=1e-10)


# --- known periods and frequencies


@pytest.mark.parametrize("amplitude", [0.1, 1.0, 2.5, 3.1])
def test_the_period_of_a_pendulum_is_an_elliptic_integral(amplitude):
    # From rest at the amplitude, the angle is back after 4 K(sin²(amplitude / 2)).
    period = 4 * ellipk(np.sin(amplitude / 2) ** 2)
    X = make_trajectories(pendulum(), 3, dt=period / 2, starts=[amplitude, 0.0])
    np.testing.assert_allclose(X[1], [-amplitude, 0.0], atol=1e-6)
    np.testing.assert_allclose(X[2], [amplitude, 0.0], atol=1e-6)


def test_the_normal_modes_of_a_double_pendulum():
    J = double_pendulum().jacobian(ONCE, np.zeros((1, 4)))[0]
    frequencies = np.sort(np.abs(np.linalg.eigvals(J).imag))[::2]
    expected = np.sqrt(9.81 * np.array([2 - np.sqrt(2), 2 + np.sqrt(2)]))
    np.testing.assert_allclose(frequencies, expected)


def test_small_cycles_of_prey_and_predators():
    system = lotka_volterra()
    x, y = 0.80 / 0.024, 0.55 / 0.028
    turn = 2 * np.pi / np.sqrt(0.55 * 0.80)
    start = [1.001 * x, y]
    X = make_trajectories(system, 3, dt=turn / 2, starts=start)
    np.testing.assert_allclose(X[2], start, rtol=1e-6)
    np.testing.assert_allclose(X[1], [0.999 * x, y], rtol=1e-6)


def test_the_cycle_of_van_der_pol():
    system = van_der_pol()
    x = make_trajectories(system, 4000, dt=0.02, n_trajectories=3)[:, :, 0]
    for each in x:
        turns = np.diff(upward_crossings(each, 0.02, 0.0))
        np.testing.assert_allclose(turns, 6.66329, atol=2e-3)
        # The amplitude at mu = 1 is 2.00862.
        assert each.max() == pytest.approx(2.0086, abs=1e-3)
    assert system.period == pytest.approx(6.66329, abs=1e-4)


def test_stiff_cycles_are_integrated():
    # For large mu the period comes to (3 - 2 log 2) mu + 3 * 2.338 mu^(-1/3).
    mu = 100.0
    system = van_der_pol(mu)
    assert system.is_stiff
    X = make_trajectories(system, 4000, dt=0.2, starts=[2.0, 0.0], rtol=1e-7, atol=1e-7)
    turn = np.diff(upward_crossings(X[:, 0], 0.2, 0.0)).mean()
    assert turn == pytest.approx((3 - 2 * np.log(2)) * mu + 7.014 / mu ** (1 / 3), 0.01)


@pytest.mark.parametrize(
    ("system", "feature", "level", "tolerance"),
    [
        (lorenz63(), 2, None, 0.02),
        (rossler(), 0, 0.0, 0.02),
        (chua(), 1, 0.0, 0.05),
        (sprott_m(), 0, None, 0.05),
    ],
)
def test_typical_periods(system, feature, level, tolerance):
    dt = system.period / 60
    x = make_trajectories(
        system, 6000, dt=dt, n_trajectories=3, observed=feature, rtol=1e-6, atol=1e-6
    )[..., 0]
    if level is None:
        # Turns about either wing of Lorenz's butterfly, or the only one: maxima.
        peaks = [np.flatnonzero((z[1:-1] > z[:-2]) & (z[1:-1] >= z[2:])) for z in x]
        turns = np.concatenate([dt * np.diff(k) for k in peaks])
    else:
        turns = np.concatenate([np.diff(upward_crossings(z, dt, level)) for z in x])
    assert turns.mean() == pytest.approx(system.period, rel=tolerance)


def test_the_neuron_bursts():
    X = make_trajectories(
        bursting_neuron(), 8000, n_trajectories=8, rtol=1e-6, atol=1e-6
    )
    V, n, h = np.moveaxis(X, -1, 0)
    assert ((n > 0) & (n < 1) & (h > 0) & (h < 1)).all()
    for potential in V:
        spikes = upward_crossings(potential, 0.05, -35.0)
        gaps = np.diff(spikes)
        # Some fifteen spikes, then silence for half of the 148 ms.
        assert np.median(gaps) < 6
        assert (gaps > 60).sum() >= 1
        assert potential.min() < -65
        bursts = upward_crossings(potential, 0.05, -57.0)
        np.testing.assert_allclose(np.diff(bursts), 148.1, atol=0.3)


# --- against another integrator


@pytest.mark.parametrize("factory", [lorenz63, hindmarsh_rose, duffing, lorenz96])
def test_trajectories_are_those_of_scipy(factory):
    system = factory()
    start = system.start(np.random.RandomState(0), 1)[0]
    X = make_trajectories(system, 6, dt=0.5, starts=start, rtol=1e-11, atol=1e-11)
    expected = solve_ivp(
        lambda t, x: system.velocity(np.array([t]), x[None])[0],
        (0.0, 2.5),
        start,
        method="Radau" if system.n_features < 5 else "DOP853",
        t_eval=0.5 * np.arange(6),
        rtol=1e-10,
        atol=1e-10,
    )
    np.testing.assert_allclose(X, expected.y.T, rtol=1e-6, atol=1e-6)

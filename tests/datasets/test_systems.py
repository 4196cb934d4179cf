"""Laws that hold of every shipped system."""

import pickle

import numpy as np
import pytest

from skdyn import datasets
from skdyn.datasets import Flow, Map, make_trajectories

# name: (system at its defaults, the same with other parameters)
SYSTEMS = {
    "lorenz63": (datasets.lorenz63(), datasets.lorenz63(rho=35.0)),
    "lorenz96": (datasets.lorenz96(), datasets.lorenz96(5, forcing=10.0)),
    "rossler": (datasets.rossler(), datasets.rossler(c=9.0)),
    "chua": (datasets.chua(), datasets.chua(alpha=8.8)),
    "sprott_m": (datasets.sprott_m(), datasets.sprott_m(a=1.5)),
    "van_der_pol": (datasets.van_der_pol(), datasets.van_der_pol(mu=3.0)),
    "lotka_volterra": (
        datasets.lotka_volterra(),
        datasets.lotka_volterra(1.0, 0.1, 1.5, 0.075),
    ),
    "duffing": (datasets.duffing(), datasets.duffing(0.3, -1.0, 1.0, 0.5, 1.2)),
    "pendulum": (datasets.pendulum(), datasets.pendulum(damping=0.5, drive=1.5)),
    "double_pendulum": (
        datasets.double_pendulum(),
        datasets.double_pendulum(1.5, 0.7, 1.2, 0.8, 9.0, damping=0.3),
    ),
    "hindmarsh_rose": (datasets.hindmarsh_rose(), datasets.hindmarsh_rose(2.0)),
    "bursting_neuron": (datasets.bursting_neuron(), datasets.bursting_neuron(9.5, 1.0)),
    "henon": (datasets.henon(), datasets.henon(a=1.3)),
    "logistic": (datasets.logistic(), datasets.logistic(r=3.8)),
    "ikeda": (datasets.ikeda(), datasets.ikeda(mu=0.83)),
    "kuramoto_sivashinsky": (
        datasets.kuramoto_sivashinsky(),
        datasets.kuramoto_sivashinsky(35.0, 96, dt=0.1, n_substeps=1),
    ),
    "mackey_glass": (datasets.mackey_glass(), datasets.mackey_glass(tau=30.0, dt=0.5)),
}
PAIRS = list(SYSTEMS.items())
BOTH = [
    pytest.param(system, id=f"{name}-{which}")
    for name, pair in PAIRS
    for which, system in zip(("default", "other"), pair, strict=True)
]


def rule(system, x, t=None):
    """The velocity or the step, as a function of the state."""
    if isinstance(system, Map):
        return system.step(x)
    return system.velocity(np.zeros(len(x)) if t is None else t, x)


def jacobian(system, x, t=None):
    if isinstance(system, Map):
        return system.jacobian(x)
    return system.jacobian(np.zeros(len(x)) if t is None else t, x)


def states(system, n, seed=0):
    rng = np.random.RandomState(seed)
    x = system.start(rng, n)
    # Off the planes in which some systems start.
    return x + 0.01 * rng.uniform(size=x.shape)


def test_every_system_is_tested():
    public = {
        name
        for name in datasets.__all__
        if isinstance(getattr(datasets, name), type(datasets.lorenz63))
        and not name.startswith(("make_", "load_"))
    }
    assert public == set(SYSTEMS)


@pytest.mark.parametrize("system", BOTH)
def test_the_jacobian_is_the_derivative(system):
    x, d = states(system, 3), system.n_features
    t = np.array([0.0, 0.3, 2.0])
    J = jacobian(system, x, t)
    assert J.shape == (3, d, d)
    columns = []
    if system.name in ("Chua", "Kuramoto-Sivashinsky"):
        # Not analytic in the complex plane: central differences.
        h, tolerance = 1e-5, 1e-8
        for unit in np.eye(d):
            ahead, behind = rule(system, x + h * unit, t), rule(system, x - h * unit, t)
            columns.append((ahead - behind) / (2 * h))
    else:
        h, tolerance = 1e-30, 1e-13
        columns = [rule(system, x + 1j * h * unit, t).imag / h for unit in np.eye(d)]
    expected = np.stack(columns, axis=-1)
    np.testing.assert_allclose(J, expected, rtol=0, atol=tolerance * abs(J).max())


@pytest.mark.parametrize("system", BOTH)
def test_a_batch_is_its_rows(system):
    x, t = states(system, 4), np.array([0.0, 0.5, 1.0, 7.0])
    together = rule(system, x, t)
    assert together.shape == x.shape
    given = x.copy()
    for i in range(4):
        alone = rule(system, x[i : i + 1], t[i : i + 1])
        np.testing.assert_allclose(alone[0], together[i], rtol=1e-14, atol=1e-14)
        alone = jacobian(system, x[i : i + 1], t[i : i + 1])
        whole = jacobian(system, x, t)[i]
        np.testing.assert_allclose(alone[0], whole, rtol=1e-13, atol=1e-13)
    np.testing.assert_array_equal(x, given)
    # As an integrator hands them over: columns contiguous.
    np.testing.assert_allclose(
        rule(system, np.asfortranarray(x), t), together, rtol=1e-14, atol=1e-14
    )


@pytest.mark.parametrize("system", BOTH)
def test_what_a_system_carries(system):
    assert system.name
    assert system.reference
    assert len(system.feature_names) == len(set(system.feature_names))
    assert len(system.feature_names) == system.n_features
    assert system.dt > 0
    copy = pickle.loads(pickle.dumps(system))
    x = states(system, 2)
    np.testing.assert_array_equal(rule(copy, x), rule(system, x))
    starts = [system.start(np.random.RandomState(3), n) for n in (1, 4, 4)]
    assert starts[1].shape == (4, system.n_features)
    np.testing.assert_array_equal(starts[1], starts[2])
    np.testing.assert_array_equal(starts[0][0], starts[1][0])
    assert isinstance(system, (Flow, Map))


@pytest.mark.parametrize(("name", "pair"), PAIRS, ids=list(SYSTEMS))
def test_figures_are_said_of_the_defaults_only(name, pair):
    usual, other = pair
    # Parameters are those of the call, and each is used.
    assert usual.parameters != other.parameters
    if name not in ("lotka_volterra", "duffing", "pendulum"):
        assert other.period is None
    if name != "lotka_volterra":  # conservative for all parameters
        assert other.lyapunov_exponents is None
    if usual.lyapunov_exponents is not None:
        exponents = usual.lyapunov_exponents
        assert list(exponents) == sorted(exponents, reverse=True)
        assert len(exponents) <= usual.n_features


@pytest.mark.parametrize("name", sorted(set(SYSTEMS) - {"lorenz96"}))
def test_parameters_have_to_be_numbers(name):
    factory = getattr(datasets, name)
    first = next(iter(SYSTEMS[name][0].parameters))
    for bad in (np.nan, np.inf, "1", None, True, [1.0]):
        with pytest.raises(ValueError, match=f"{name} needs a finite number for"):
            factory(**{first: bad})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: datasets.lorenz96(3), "at least 4 sites, an int, got 3"),
        (lambda: datasets.lorenz96(8.0), "at least 4 sites, an int, got 8.0"),
        (lambda: datasets.lotka_volterra(beta=0.0), "needs beta above zero, got 0.0"),
        (lambda: datasets.double_pendulum(length2=-1.0), "needs length2 above zero"),
        (lambda: datasets.kuramoto_sivashinsky(n_points=63), "even number .* got 63"),
        (lambda: datasets.kuramoto_sivashinsky(n_substeps=0), "whole number of sub"),
        (lambda: datasets.kuramoto_sivashinsky(dt=0.0), "needs dt above zero"),
        (lambda: datasets.mackey_glass(dt=0.3), "whole number of steps"),
        (lambda: datasets.mackey_glass(tau=1.0, dt=0.5), "at least 7, got tau=1.0"),
    ],
)
def test_parameters_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --- exponents


def exponents(system, n_exponents, h, n_steps, n_skipped, n_batch, every=5):
    """Lyapunov exponents by Benettin's method, the batch's mean and its error."""
    rng = np.random.RandomState(1)
    x, t = system.start(rng, n_batch), np.zeros(n_batch)
    Q = np.linalg.qr(rng.standard_normal((n_batch, system.n_features, n_exponents)))[0]

    def tangent(t, x, Q):
        return system.velocity(t, x), system.jacobian(t, x) @ Q

    total, count = 0.0, 0
    for k in range(n_skipped + n_steps):
        if isinstance(system, Map):
            Q, x = system.jacobian(x) @ Q, system.step(x)
        else:
            # The classical Runge-Kutta method for state and tangents together.
            a, A = tangent(t, x, Q)
            b, B = tangent(t + h / 2, x + h / 2 * a, Q + h / 2 * A)
            c, C = tangent(t + h / 2, x + h / 2 * b, Q + h / 2 * B)
            d, D = tangent(t + h, x + h * c, Q + h * C)
            x, Q = (
                x + h / 6 * (a + 2 * b + 2 * c + d),
                Q + h / 6 * (A + 2 * B + 2 * C + D),
            )
            t = t + h
        if k % every == every - 1:
            Q, R = np.linalg.qr(Q)
            if k >= n_skipped:
                total = total + np.log(np.abs(np.diagonal(R, axis1=1, axis2=2)))
                count += every
    each = total / (count * h)
    return each.mean(axis=0), each.std(axis=0) / np.sqrt(n_batch)


@pytest.mark.parametrize("name", ["henon", "logistic", "ikeda"])
def test_exponents_of_maps_are_those_of_the_literature(name):
    system = SYSTEMS[name][0]
    known = system.lyapunov_exponents
    found, error = exponents(system, len(known), 1.0, 2000, 500, 100, every=1)
    assert error.max() < 2e-3
    np.testing.assert_allclose(found, known, atol=6e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "h", "n_steps", "n_skipped", "n_batch", "tolerance"),
    [
        ("lorenz63", 0.01, 20_000, 3000, 40, 0.005),
        ("lorenz96", 0.02, 4000, 1500, 16, 0.03),
        ("hindmarsh_rose", 0.04, 100_000, 50_000, 40, 0.001),
        ("rossler", 0.04, 30_000, 6000, 40, 0.002),
        ("chua", 0.02, 30_000, 6000, 40, 0.008),
        ("sprott_m", 0.05, 30_000, 6000, 40, 0.003),
        ("van_der_pol", 0.05, 4000, 2000, 4, 0.002),
        ("duffing", 0.02, 40_000, 10_000, 40, 0.005),
        # Two turns of its cycle.
        ("bursting_neuron", 0.02, 14_810, 7400, 2, 0.003),
        ("kuramoto_sivashinsky", None, 4000, 1000, 10, 0.006),
        ("mackey_glass", None, 40_000, 10_000, 20, 0.0006),
    ],
)
def test_exponents_are_those_of_the_literature(
    name, h, n_steps, n_skipped, n_batch, tolerance
):
    system = SYSTEMS[name][0]
    known = np.array(system.lyapunov_exponents)
    h = system.dt if h is None else h
    found, error = exponents(system, len(known), h, n_steps, n_skipped, n_batch)
    assert (error < tolerance).all()
    np.testing.assert_allclose(found, known, rtol=2e-3, atol=tolerance)


@pytest.mark.parametrize("name", ["lorenz63", "rossler", "chua", "sprott_m", "duffing"])
def test_the_exponents_sum_to_the_mean_divergence(name):
    system = SYSTEMS[name][0]
    X = make_trajectories(system, 2000, n_trajectories=8, rtol=1e-6, atol=1e-6)
    x = X.reshape(-1, system.n_features)
    divergence = np.trace(jacobian(system, x), axis1=1, axis2=2)
    total = sum(system.lyapunov_exponents)
    assert divergence.mean() == pytest.approx(total, abs=0.06)

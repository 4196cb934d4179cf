"""make_trajectories: batches, seeds, noise, columns, errors."""

from dataclasses import replace

import numpy as np
import pytest

from skdyn.datasets import (
    Flow,
    duffing,
    henon,
    kuramoto_sivashinsky,
    logistic,
    lorenz63,
    lotka_volterra,
    mackey_glass,
    make_trajectories,
    pendulum,
    rossler,
    van_der_pol,
)

ROTATION = Flow(
    velocity=lambda t, x: np.stack([x[:, 1], -x[:, 0]], axis=1),
    n_features=2,
    jacobian=lambda t, x: np.tile([[0.0, 1.0], [-1.0, 0.0]], (len(x), 1, 1)),
    name="Rotation",
    feature_names=("x", "v"),
    dt=0.1,
)
REST = Flow(velocity=lambda t, x: 0.0 * x, n_features=2, name="Rest")
DECAY = Flow(velocity=lambda t, x: -x, n_features=1, name="Decay", dt=0.1)


# --- rows


def test_rows_are_the_solution_at_their_times():
    X = make_trajectories(ROTATION, 50, starts=[0.0, 1.0])
    t = 0.1 * np.arange(50)
    np.testing.assert_allclose(X, np.stack([np.sin(t), np.cos(t)], axis=1), atol=1e-7)
    X = make_trajectories(ROTATION, 50, starts=[0.0, 1.0], dt=0.3, warmup=2.0)
    t = 2.0 + 0.3 * np.arange(50)
    np.testing.assert_allclose(X, np.stack([np.sin(t), np.cos(t)], axis=1), atol=1e-7)


def test_given_starts_are_the_first_rows():
    starts = np.array([[0.1, 0.2], [0.3, -0.1]])
    for system in (henon(), van_der_pol()):
        X = make_trajectories(system, 5, starts=starts)
        np.testing.assert_array_equal(X[:, 0], starts)


def test_a_driven_system_keeps_its_clock_through_the_warm_up():
    system = duffing()
    start = [2.0, 0.5]
    whole = make_trajectories(system, 41, starts=start, dt=0.25)
    late = make_trajectories(system, 21, starts=start, dt=0.25, warmup=5.0)
    np.testing.assert_allclose(late, whole[20:], atol=1e-6)
    # The usual warm-up is whole turns of the drive: it has phase 0 at the first row.
    turns = system.warmup / system.period
    assert turns == pytest.approx(round(turns))


def test_maps_are_iterated():
    system, x = henon(), np.array([[0.1, -0.2]])
    expected = [x[0]]
    for _ in range(20):
        x = system.step(x)
        expected.append(x[0])
    start = expected[0]
    np.testing.assert_array_equal(make_trajectories(system, 21, starts=start), expected)
    np.testing.assert_array_equal(
        make_trajectories(system, 6, starts=start, dt=4.0), expected[::4]
    )
    # A warm-up between two steps is rounded up.
    np.testing.assert_array_equal(
        make_trajectories(system, 5, starts=start, dt=3.0, warmup=4.5), expected[5:18:3]
    )


def test_steps_of_a_map_have_their_time():
    system = kuramoto_sivashinsky()
    every = make_trajectories(system, 9, warmup=5.0)
    np.testing.assert_array_equal(
        make_trajectories(system, 3, dt=1.0, warmup=5.0), every[::4]
    )
    X = make_trajectories(mackey_glass(), 3, dt=0.5, observed=[0, 2])
    np.testing.assert_array_equal(X[1:, 1], X[:-1, 0])


# --- many at once


@pytest.mark.parametrize("system", [lorenz63(), pendulum(0.2, 1.0), henon(), rossler()])
def test_many_starts_are_one_by_one(system):
    starts = system.start(np.random.RandomState(0), 5)
    # Below one Lyapunov time, where rounding has not grown.
    together = make_trajectories(system, 20, starts=starts)
    assert together.shape == (5, 20, system.n_features)
    assert together.flags.c_contiguous
    for i, start in enumerate(starts):
        alone = make_trajectories(system, 20, starts=start)
        assert alone.shape == (20, system.n_features)
        np.testing.assert_allclose(alone, together[i], rtol=1e-8, atol=1e-8)


def test_one_is_the_first_of_many():
    for system in (henon(), lorenz63()):
        one = make_trajectories(system, 10, warmup=1.0)
        some = make_trajectories(system, 10, n_trajectories=4, warmup=1.0)
        np.testing.assert_allclose(some[0], one, rtol=1e-6)
        assert np.abs(some[1] - one).max() > 1e-3
    assert make_trajectories(henon(), 7, n_trajectories=1).shape == (1, 7, 2)
    assert make_trajectories(henon(), 7, starts=[[0.1, 0.1]]).shape == (1, 7, 2)
    start = [0.1, 0.1]
    assert make_trajectories(henon(), 7, n_trajectories=1, starts=start).ndim == 3


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"noise": 0.1},
        {"process_noise": 0.01},
        {"noise": 0.1, "process_noise": 0.01},
    ],
)
@pytest.mark.parametrize("system", [rossler(), henon(a=1.2)])
def test_seeds(system, options):
    def make(seed):
        return make_trajectories(
            system, 30, n_trajectories=2, warmup=3.0, random_state=seed, **options
        )

    np.testing.assert_array_equal(make(7), make(7))
    assert np.abs(make(7) - make(8)).max() > 1e-3
    np.testing.assert_array_equal(make(7), make(np.random.RandomState(7)))


# --- noise


def test_observation_noise_is_white_and_of_the_size_asked():
    options = {"n_trajectories": 5, "warmup": 20.0}
    clean = make_trajectories(lorenz63(), 1000, **options)
    noisy = make_trajectories(lorenz63(), 1000, noise=0.2, **options)
    noise = noisy - clean
    spread = clean.reshape(-1, 3).std(axis=0)
    np.testing.assert_allclose(
        noise.reshape(-1, 3).std(axis=0) / spread, 0.2, rtol=0.05
    )
    # The same for all trajectories, uncorrelated over time and features.
    np.testing.assert_allclose(noise.std(axis=1) / spread, 0.2, rtol=0.1)
    following = (noise[:, 1:] * noise[:, :-1]).mean(axis=(0, 1)) / spread**2
    assert np.abs(following).max() < 0.2**2 * 0.06
    correlation = np.corrcoef(noise.reshape(-1, 3).T) - np.eye(3)
    assert np.abs(correlation).max() < 0.06


def test_process_noise_of_a_flow_at_rest_is_brownian_motion():
    # Variance s² t, whatever the step, and independent over features.
    for dt in (0.1, 0.4):
        X = make_trajectories(
            REST,
            11,
            starts=np.zeros((2000, 2)),
            dt=dt,
            process_noise=[0.5, 0.2],
        )
        variance = X.var(axis=0)
        t = dt * np.arange(11)
        np.testing.assert_allclose(variance[:, 0], 0.25 * t, rtol=0.15)
        np.testing.assert_allclose(variance[:, 1], 0.04 * t, rtol=0.15)
        increments = np.diff(X, axis=1)
        drift = np.abs((increments[:, 1:] * increments[:, :-1]).mean(axis=(0, 1)))
        assert drift.max() < 0.02 * 0.25 * dt


def test_process_noise_of_a_decay_is_an_ornstein_uhlenbeck_process():
    # Stationary variance s² / 2 as dt goes to 0; here s² dt / (1 - exp(-2 dt)).
    X = make_trajectories(
        DECAY, 20, starts=np.zeros((2000, 1)), process_noise=1.0, warmup=4.0
    )
    expected = 0.1 / (1 - np.exp(-0.2))
    assert X.var() == pytest.approx(expected, rel=0.05)
    after = (X[:, 1:] * X[:, :-1]).mean() / X.var()
    assert after == pytest.approx(np.exp(-0.1), abs=0.02)


def test_process_noise_of_maps_is_what_the_step_does_not_explain():
    system = henon(a=1.2)
    X = make_trajectories(
        system, 4000, process_noise=[0.01, 0.0], random_state=1, warmup=50.0
    )
    rest = X[1:] - system.step(X[:-1])
    assert rest[:, 0].std() == pytest.approx(0.01, rel=0.05)
    np.testing.assert_allclose(rest[:, 1], 0.0, atol=1e-15)
    # It stays in the system, unlike observation noise.
    observed = make_trajectories(system, 4000, noise=0.01, warmup=50.0)
    seen = observed[1:] - system.step(observed[:-1])
    assert seen[:, 1].std() > 1e-3


def test_little_process_noise_is_none():
    system = van_der_pol()
    options = {"starts": [2.0, 0.0], "warmup": 1.0}
    clean = make_trajectories(system, 30, **options)
    nearly = make_trajectories(system, 30, process_noise=1e-9, **options)
    np.testing.assert_allclose(nearly, clean, atol=1e-7)


# --- columns


def test_observed_columns():
    whole = make_trajectories(lorenz63(), 20, warmup=1.0)

    def seen(observed):
        return make_trajectories(lorenz63(), 20, warmup=1.0, observed=observed)

    np.testing.assert_array_equal(seen([2, 0]), whole[:, [2, 0]])
    np.testing.assert_array_equal(seen(["z", "x"]), whole[:, [2, 0]])
    np.testing.assert_array_equal(seen("y"), whole[:, [1]])
    np.testing.assert_array_equal(seen(-1), whole[:, [2]])
    np.testing.assert_array_equal(seen(("x", 1)), whole[:, :2])


def test_noise_in_the_dynamics_and_columns_together():
    options = {"process_noise": 0.1, "warmup": 1.0, "n_trajectories": 2}
    whole = make_trajectories(rossler(), 10, **options)
    part = make_trajectories(rossler(), 10, observed="y", **options)
    np.testing.assert_array_equal(part, whole[..., 1:2])


# --- what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_samples": 0}, "n_samples needs a positive whole number, got 0"),
        ({"n_samples": 10.0}, "n_samples needs a positive whole number, got 10.0"),
        ({"n_trajectories": True}, "n_trajectories needs a positive whole number"),
        ({"dt": 0.0}, "dt needs a positive number, got 0.0"),
        ({"dt": np.nan}, "dt needs a positive number"),
        ({"warmup": -1.0}, "warmup needs a number of at least 0, got -1.0"),
        ({"noise": -0.1}, "noise needs a number of at least 0, got -0.1"),
        (
            {"process_noise": -1.0},
            "process_noise needs one number, or 3, of at least 0",
        ),
        ({"process_noise": [1.0, 1.0]}, "process_noise needs one number, or 3"),
        ({"starts": [1.0, 2.0]}, r"starts of Lorenz-63 need shape \(3,\) or"),
        ({"starts": [np.nan, 0, 0]}, "starts need to be finite"),
        ({"starts": np.ones((2, 3)), "n_trajectories": 3}, "but there are 2 starts"),
        ({"observed": []}, "observed needs at least one feature"),
        ({"observed": ["w"]}, r"names of features \(x, y, z\), got 'w'"),
        ({"observed": 3}, "observed needs numbers below 3 .* got 3"),
        ({"observed": [True]}, "got True"),
    ],
)
def test_parameters_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        make_trajectories(lorenz63(), **{"n_samples": 10, **options})


def test_systems_of_another_kind():
    with pytest.raises(TypeError, match=r"such as lorenz63\(\), got lorenz63. Call it"):
        make_trajectories(lorenz63)
    with pytest.raises(TypeError, match=r"needs a Flow or a Map, .* got str"):
        make_trajectories("lorenz63")
    with pytest.raises(ValueError, match="needs starts for Rotation, which has no ran"):
        make_trajectories(ROTATION, 10)
    with pytest.raises(
        ValueError, match=r"multiple of the time of one step, 1, got 1.5"
    ):
        make_trajectories(henon(), 10, dt=1.5)


def test_orbits_that_are_lost_are_errors():
    with pytest.raises(
        ValueError, match=r"1 of 2 trajectories of Hénon left .* start 1"
    ):
        make_trajectories(henon(), 50, starts=[[0.0, 0.0], [5.0, 5.0]])
    with pytest.raises(ValueError, match="left the range of numbers"):
        make_trajectories(logistic(), 500, process_noise=0.1)
    explosive = Flow(velocity=lambda t, x: x**2, n_features=1, name="Explosion")
    with pytest.raises(
        ValueError, match=r"Explosion could not be .* t = 2: 1 of 1 traj"
    ):
        make_trajectories(explosive, 3, starts=[1.0], dt=1.0)


def test_what_is_stiff_is_integrated_with_its_jacobian():
    # A fast direction onto a slow decay: explicit steps would number a million.
    calls = []

    def velocity(t, x):
        calls.append(len(x))
        return np.stack([-x[:, 0], -1e6 * (x[:, 1] - x[:, 0])], axis=1)

    def jacobian(t, x):
        return np.tile([[-1.0, 0.0], [1e6, -1e6]], (len(x), 1, 1))

    stiff = Flow(velocity=velocity, n_features=2, jacobian=jacobian, is_stiff=True)
    X = make_trajectories(stiff, 5, starts=[1.0, 0.0], dt=1.0)
    np.testing.assert_allclose(X[1:, 1], np.exp(-np.arange(1, 5)), rtol=1e-5)
    assert len(calls) < 5000
    assert replace(stiff, is_stiff=False).is_stiff is False


def test_conservative_starts_keep_their_own_invariant_through_a_warm_up():
    """Given starts are integrated at the caller's tolerance from the beginning."""
    system = lotka_volterra()
    start = [20.0, 30.0]

    def invariant(X):
        x, y = X[..., 0], X[..., 1]
        return 0.024 * x - 0.8 * np.log(x) + 0.028 * y - 0.55 * np.log(y)

    X = make_trajectories(system, 50, starts=start, warmup=100.0)
    np.testing.assert_allclose(invariant(X), invariant(np.array(start)), rtol=1e-7)

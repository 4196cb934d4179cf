"""Generators are make_trajectories of their system."""

import inspect

import numpy as np
import pytest

from skdyn import datasets
from skdyn.datasets import Map, make_lorenz63, make_trajectories

NAMES = [
    name.removeprefix("make_")
    for name in datasets.__all__
    if name.startswith("make_") and name != "make_trajectories"
]
SYSTEMS = [
    name
    for name in datasets.__all__
    if not name.startswith(("make_", "load_")) and name not in ("Flow", "Map")
]
COMMON = {"n_samples", "dt", "noise", "warmup", "random_state"}


def test_every_system_has_its_generator():
    assert sorted(NAMES) == sorted(SYSTEMS)


@pytest.mark.parametrize("name", NAMES)
def test_signatures(name):
    """Parameters of the system, with its defaults, and the five of every generator."""
    factory, make = getattr(datasets, name), getattr(datasets, f"make_{name}")
    system = factory()
    of_system = inspect.signature(factory).parameters
    of_make = dict(inspect.signature(make).parameters)
    kinds = {parameter.kind for parameter in of_make.values()}
    assert inspect.Parameter.VAR_KEYWORD not in kinds
    assert set(of_make) >= COMMON
    own = {key: value for key, value in of_make.items() if key not in COMMON}
    usual = {key: each.default for key, each in of_system.items()}
    if name == "mackey_glass":  # its own time step, beside that of the rows
        usual["step"] = usual["dt"]
    for key, parameter in own.items():
        assert parameter.default == usual[key], key
    assert set(of_system) - {"dt"} <= set(own)
    assert of_make["warmup"].default == pytest.approx(system.warmup)
    if name != "mackey_glass":
        assert of_make["dt"].default == pytest.approx(system.dt)
    assert of_make["random_state"].default == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_generator_is_make_trajectories_of_its_system(name):
    factory, make = getattr(datasets, name), getattr(datasets, f"make_{name}")
    of_make = inspect.signature(make).parameters
    own = [key for key in of_make if key not in COMMON]
    # Each parameter of the system, changed alone, has to arrive.
    for key in own:
        usual = of_make[key].default
        whole = {"n_features": 8, "n_points": 48, "n_substeps": 2}
        value = whole.get(key, 0.98 * usual if usual else 0.1)
        if key in ("tau", "step"):  # whole fractions of one another
            value = {"tau": 18.0, "step": 0.125}[key]
        own_options, changed = {}, {"dt" if key == "step" else key: value}
        if name == "kuramoto_sivashinsky":
            changed["dt"] = 1.0
        if key == "drive_frequency":
            own_options["drive"] = changed["drive"] = 1.0
        system = factory(**changed)
        dt = 1.0 if isinstance(system, Map) else 4 * system.dt
        lead = 40.0 if name == "mackey_glass" else 2.0  # beyond the constant history
        options = {"dt": dt, "warmup": lead, "random_state": 5, "noise": 0.1}
        observed = "x" if name == "mackey_glass" else None
        found = make(4, **options, **own_options, **{key: value})
        expected = make_trajectories(system, 4, observed=observed, **options)
        tolerance = 0 if isinstance(system, Map) else 1e-6
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
        unchanged = make(4, **options, **own_options)
        assert unchanged.shape != found.shape or (unchanged != found).any(), key


def test_lorenz():
    X = make_lorenz63(2500, dt=0.02)
    few = make_lorenz63(100, dt=0.02)
    np.testing.assert_array_equal(few, make_lorenz63(100, dt=0.02))
    assert np.abs(few - make_lorenz63(100, dt=0.02, random_state=1)).max() > 1
    # The equations hold: central differences are second order in dt.
    fine = make_lorenz63(400, dt=1e-3)
    x, y, z = fine[1:-1].T
    velocity = np.column_stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])
    got = (fine[2:] - fine[:-2]) / 2e-3
    assert np.abs(got - velocity).max() < 5e-3 * np.abs(velocity).max()
    # On the attractor, z is about 23.5 on average and x is symmetric.
    assert X[:, 2].mean() == pytest.approx(23.5, abs=1.5)
    noisy = make_lorenz63(2500, dt=0.02, noise=0.1)
    share = (noisy - X).std(axis=0) / X.std(axis=0)
    np.testing.assert_allclose(share, 0.1, rtol=0.1)


def test_the_tolerance_of_lorenz_is_what_is_documented():
    # From the first row on, a much finer integration keeps within a few 1e-8 over the
    # first unit of time, in which errors grow by about e.
    X = make_lorenz63(51, dt=0.02)
    truth = make_trajectories(
        datasets.lorenz63(), 51, dt=0.02, starts=X[0], rtol=1e-13, atol=1e-13
    )
    assert np.abs(X - truth).max() < 5e-8

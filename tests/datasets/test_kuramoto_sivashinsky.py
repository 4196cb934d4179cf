"""The Kuramoto-Sivashinsky equation: order, symmetries, growth of waves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from skdyn.datasets import kuramoto_sivashinsky, make_trajectories


@pytest.fixture(scope="module")
def on_attractor():
    system = kuramoto_sivashinsky()
    return make_trajectories(system, 1, n_trajectories=3, warmup=100.0)[:, 0]


def advance(system, u, time):
    for _ in range(round(time / system.dt)):
        u = system.step(u)
    return u


@pytest.mark.parametrize(("n_points", "least"), [(16, 3.9), (64, 3.0)])
def test_the_error_is_of_order_four(n_points, least):
    """Order 4 on a coarse grid; the stiff waves of a fine one are slow to join."""
    usual = kuramoto_sivashinsky(n_points=n_points)
    u = make_trajectories(usual, 1, n_trajectories=3, warmup=100.0)[:, 0]

    def after(n_substeps):
        system = kuramoto_sivashinsky(n_points=n_points, dt=1.0, n_substeps=n_substeps)
        return system.step(system.step(u))

    truth = after(512)
    errors = np.array([np.abs(after(n) - truth).max() for n in (16, 32, 64, 128)])
    halved = np.log2(errors[:-1] / errors[1:])
    assert (halved > least - 0.1).all()
    assert halved[-1] > least + 0.05
    assert (halved < 4.1).all()
    # The default is 16 substeps for each unit of time.
    assert np.abs(advance(usual, u, 2.0) - after(16)).max() < 1e-10
    assert errors[0] < 2e-5


def test_it_is_the_equation(on_attractor):
    """Against the method of lines, in Fourier space, by scipy's integrator."""
    n, length = 64, 22.0
    k = 2 * np.pi / length * np.arange(n // 2 + 1)
    odd = 1j * k
    odd[-1] = 0

    def velocity(t, u):
        v = np.fft.rfft(u)
        linear = np.fft.irfft((k**2 - k**4) * v, n)
        return linear - u * np.fft.irfft(odd * v, n)

    u = on_attractor[0]
    truth = solve_ivp(velocity, (0.0, 1.0), u, "Radau", rtol=1e-8, atol=1e-9).y[:, -1]
    found = advance(kuramoto_sivashinsky(dt=1 / 32), u[None], 1.0)[0]
    # u u_x and (u²/2)_x differ by what the grid does not resolve.
    np.testing.assert_allclose(found, truth, atol=1e-6)


def test_small_waves_grow_as_the_linear_terms_say():
    system = kuramoto_sivashinsky(dt=0.5)
    x = 2 * np.pi * np.arange(64) / 64
    for mode in (1, 2, 3, 4, 6):
        k = 2 * np.pi / 22.0 * mode
        u = 1e-9 * np.cos(mode * x)[None]
        grown = np.exp(0.5 * (k**2 - k**4)) * u
        np.testing.assert_allclose(system.step(u), grown, atol=1e-16)


def test_the_mean_is_conserved(on_attractor):
    system = kuramoto_sivashinsky()
    for mean in (0.0, 0.7):
        u = on_attractor - on_attractor.mean(axis=1, keepdims=True) + mean
        after = advance(system, u, 50.0)
        assert np.abs(after - u).max() > 0.1
        np.testing.assert_allclose(after.mean(axis=1), mean, atol=1e-13)
    # An even state of rest, whatever its height.
    flat = np.full((1, 64), 1.3)
    np.testing.assert_allclose(system.step(flat), flat, rtol=1e-14)


@given(shift=st.integers(0, 63), seed=st.integers(0, 1000))
def test_symmetries(shift, seed):
    system = kuramoto_sivashinsky()
    u = system.start(np.random.RandomState(seed), 1)
    after = system.step(u)
    np.testing.assert_allclose(
        system.step(np.roll(u, shift, axis=1)),
        np.roll(after, shift, axis=1),
        atol=1e-12,
    )
    # (x, u) -> (-x, -u); the point at 0 stays.
    mirrored = -np.roll(u[:, ::-1], 1, axis=1)
    expected = -np.roll(after[:, ::-1], 1, axis=1)
    np.testing.assert_allclose(system.step(mirrored), expected, atol=1e-12)


def test_the_jacobian_knows_the_symmetries(on_attractor):
    system = kuramoto_sivashinsky()
    J = system.jacobian(on_attractor)
    # The mean is conserved, to first order as well.
    np.testing.assert_allclose(J.sum(axis=1), 1.0, atol=1e-12)
    # Turning the circle turns the answer: u_x is carried to u_x.
    wave = 2j * np.pi / 22.0 * np.arange(33)
    wave[-1] = 0

    def slope(u):
        return np.fft.irfft(wave * np.fft.rfft(u, axis=-1), 64, axis=-1)

    carried = np.einsum("bij,bj->bi", J, slope(on_attractor))
    np.testing.assert_allclose(carried, slope(system.step(on_attractor)), atol=1e-9)


def test_the_grid_resolves_the_solution(on_attractor):
    spectrum = np.abs(np.fft.rfft(on_attractor, axis=1)).max(axis=0)
    assert spectrum[-1] < 1e-10 * spectrum.max()
    # Half as many points again give the same values where both have one.
    fine = np.fft.irfft(np.fft.rfft(on_attractor, axis=1), 128, axis=1) * 2
    after = advance(kuramoto_sivashinsky(n_points=128), fine, 5.0)[:, ::2]
    expected = advance(kuramoto_sivashinsky(), on_attractor, 5.0)
    np.testing.assert_allclose(after, expected, atol=1e-8)


def test_the_size_of_the_chaos():
    X = make_trajectories(kuramoto_sivashinsky(), 400, n_trajectories=4, dt=1.0)
    # Root mean square of u at L = 22 is about 1.2 to 1.3.
    assert np.sqrt((X**2).mean()) == pytest.approx(1.25, abs=0.12)
    assert np.abs(X).max() < 4

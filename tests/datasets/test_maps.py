"""Maps: fixed points, contraction of areas, known statistics."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skdyn.datasets import henon, ikeda, logistic, make_trajectories

seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("system", "determinant"),
    [(henon(), -0.3), (henon(1.1, 0.5), -0.5), (ikeda(), 0.81), (ikeda(0.7), 0.49)],
)
@given(seed=seeds)
def test_areas_shrink_by_a_constant_factor(system, determinant, seed):
    x = 2 * np.random.RandomState(seed).standard_normal((1, 2))
    assert np.linalg.det(system.jacobian(x)[0]) == pytest.approx(determinant, abs=1e-9)
    exponents = system.lyapunov_exponents
    if exponents is not None:
        assert sum(exponents) == pytest.approx(np.log(abs(determinant)), abs=1e-4)


def test_fixed_points():
    a, b = 1.4, 0.3
    x = (b - 1 + np.sqrt((1 - b) ** 2 + 4 * a)) / (2 * a)
    points = np.array([[x, b * x]])
    np.testing.assert_allclose(henon().step(points), points, rtol=1e-14)
    np.testing.assert_allclose(logistic(3.2).step(np.array([[1 - 1 / 3.2]])), 0.6875)
    # Without loss, Ikeda's light is turned and shifted: distances from 0 and 1.
    z = np.random.RandomState(0).standard_normal((5, 2))
    after = ikeda(1.0).step(z) - [1.0, 0.0]
    np.testing.assert_allclose(np.hypot(*after.T), np.hypot(*z.T))
    turn = 0.4 - 6 / (1 + (z**2).sum(1))
    ahead = 1 + 0.9 * (z[:, 0] + 1j * z[:, 1]) * np.exp(1j * turn)
    np.testing.assert_allclose(ikeda().step(z).T, [ahead.real, ahead.imag])


def test_the_logistic_map_doubles_angles():
    # x = sin²(angle) goes to sin²(2 angle).
    angle = np.random.RandomState(0).uniform(0, np.pi / 2, (50, 1))
    after = logistic().step(np.sin(angle) ** 2)
    np.testing.assert_allclose(after, np.sin(2 * angle) ** 2, atol=1e-15)


def test_the_statistics_of_the_logistic_map():
    x = make_trajectories(logistic(), 500, n_trajectories=400)[..., 0]
    # Density 1 / (pi sqrt(x (1 - x))): angles are uniform.
    assert x.mean() == pytest.approx(0.5, abs=0.005)
    assert x.var() == pytest.approx(1 / 8, abs=0.002)
    angle = np.arcsin(np.sqrt(x)) / (np.pi / 2)
    share = np.histogram(angle, bins=10, range=(0, 1))[0] / angle.size
    np.testing.assert_allclose(share, 0.1, atol=0.005)
    # Rows one step apart are uncorrelated, though one gives the other.
    centred = x - 0.5
    assert abs((centred[:, 1:] * centred[:, :-1]).mean()) < 0.002


def test_the_attractors_are_where_they_are_known():
    X = make_trajectories(henon(), 500, n_trajectories=100).reshape(-1, 2)
    assert X[:, 0].min() == pytest.approx(-1.285, abs=0.01)
    assert X[:, 0].max() == pytest.approx(1.273, abs=0.01)
    np.testing.assert_allclose(np.abs(X[:, 1]).max(), 0.3 * 1.285, atol=0.003)
    # All starts of Ikeda come to the same attractor: means agree.
    means = make_trajectories(ikeda(), 2000, n_trajectories=50).mean(axis=1)
    assert means.std(axis=0).max() < 0.05

"""Shared linear algebra against closed forms and published tables."""

import numpy as np
import pytest

from skdyn.utils._linalg import linear_orbit, optimal_hard_threshold


@pytest.mark.parametrize("n", [1, 2, 3, 63, 64, 65, 200])
@pytest.mark.parametrize("r", [1, 5, 150])
def test_orbit_is_repeated_multiplication(n, r):
    rng = np.random.default_rng(0)
    K = np.linalg.qr(rng.standard_normal((r, r)))[0]
    z = rng.standard_normal((3, r))
    got = linear_orbit(z, K, n)
    for want in got:
        np.testing.assert_allclose(want, z, atol=1e-11)
        z = z @ K


def test_orbit_of_a_defective_matrix():
    K = np.array([[0.9, 1.0], [0.0, 0.9]])
    got = linear_orbit(np.array([[1.0, 0.0]]), K, 100)[:, 0]
    k = np.arange(100)
    np.testing.assert_allclose(got[:, 0], 0.9**k, rtol=1e-12)
    np.testing.assert_allclose(got[:, 1], k * 0.9 ** (k - 1.0), rtol=1e-12)


@pytest.mark.parametrize(
    ("beta", "omega"),
    # Gavish & Donoho 2014, table IV; the last is the 2.858 of the abstract.
    [(0.05, 1.5194), (0.1, 1.6089), (0.5, 2.1711), (1.0, 2.8582)],
)
def test_hard_threshold_of_the_published_table(beta, omega):
    s = np.ones(int(100 * beta))
    got = optimal_hard_threshold(s, (int(100 * beta), 100))
    assert got == pytest.approx(omega, abs=2e-3)


def test_hard_threshold_finds_the_signal():
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.standard_normal((n, 3)))[0] for n in (300, 100))
    X = U @ np.diag([60.0, 50.0, 40.0]) @ V.T + rng.standard_normal((300, 100))
    s = np.linalg.svd(X, compute_uv=False)
    assert (s > optimal_hard_threshold(s, X.shape)).sum() == 3


def test_orbits_of_companion_matrices_keep_their_digits():
    # Three waves with a common lag polynomial: far from normal, and of modulus one.
    roots = np.exp(1j * np.array([0.1, 0.13, 0.17]))
    weights = -np.poly(np.concatenate([roots, roots.conj()])).real[1:]
    K = np.eye(6, k=1)
    K[:, 0] = weights
    k = np.arange(6)[::-1]
    start = (np.cos(0.1 * k) + np.cos(0.13 * k) + np.cos(0.17 * k))[None]
    orbit = linear_orbit(start, K, 300)
    plain = [start]
    for _ in range(299):
        plain.append(plain[-1] @ K)
    error = np.abs(orbit[:, 0, 0] - np.array(plain)[:, 0, 0]).max()
    assert error < 1e-6

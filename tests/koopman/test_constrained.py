"""DMD of a given structure: exact on its own systems, optimal on noisy ones."""

import numpy as np
import pytest
from scipy import linalg

from skdyn.koopman import DMD, ConstrainedDMD

D = 6
MASK = np.random.default_rng(3).random((D, D)) < 0.5
RING = {"circulant", "symmetric_circulant", "skew_circulant", "orthogonal_circulant"}


def project(structure, M):
    """The part of a matrix (for columns) that has the structure: the nearest one."""
    i, j = np.indices(M.shape)
    d = len(M)
    if structure == "orthogonal":
        return linalg.polar(M)[0]
    if structure in ("symmetric", "skew"):
        return (M + (1 if structure == "symmetric" else -1) * M.T) / 2
    if structure in RING:
        c = np.array([M[(i - j) % d == k].mean() for k in range(d)])
        flip = c[-np.arange(d) % d]
        c = {
            "symmetric_circulant": (c + flip) / 2,
            "skew_circulant": (c - flip) / 2,
        }.get(structure, c)
        if structure == "orthogonal_circulant":
            z = np.fft.fft(c)
            c = np.fft.ifft(z / np.abs(z)).real
        return linalg.circulant(c)
    if structure == "block_circulant":
        blocks = M.reshape(3, 2, 3, 2)
        return sum(
            np.kron(
                np.roll(np.eye(3), k, axis=0),
                np.mean([blocks[(p + k) % 3, :, p] for p in range(3)], axis=0),
            )
            for k in range(3)
        )
    labels = {
        "diagonal": np.where(i == j, i, -1),
        "tridiagonal": np.where(abs(i - j) <= 1, i * d + j, -1),
        "upper_triangular": np.where(j >= i, i * d + j, -1),
        "lower_triangular": np.where(j <= i, i * d + j, -1),
        "toeplitz": i - j + d,
        "hankel": i + j,
        "block_toeplitz": 10 * (i // 2 - j // 2) + (i % 2 - j % 2) + 50,
        "mask": np.where(MASK, i * d + j, -1),
    }[structure]
    out = np.zeros_like(M)
    for label in np.unique(labels[labels >= 0]):
        out[labels == label] = M[labels == label].mean()
    return out


CASES = [
    "orthogonal",
    "symmetric",
    "skew",
    "diagonal",
    "tridiagonal",
    "upper_triangular",
    "lower_triangular",
    "toeplitz",
    "hankel",
    "block_toeplitz",
    "block_circulant",
    "mask",
    *sorted(RING),
]


def model(structure):
    grid = (3, 2) if structure.startswith("block") else None
    return ConstrainedDMD(MASK if structure == "mask" else structure, grid=grid)


def pairs(structure, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    A = project(structure, rng.standard_normal((D, D)))
    x = rng.standard_normal((80, D))
    y = x @ A.T + noise * rng.standard_normal((80, D))
    return np.stack([x, y], axis=1), A


@pytest.mark.parametrize("structure", CASES)
def test_a_system_of_the_structure_is_recovered(structure):
    X, A = pairs(structure)
    fitted = model(structure).fit(X)
    np.testing.assert_allclose(fitted.state_matrix_.T, A, atol=1e-12)
    np.testing.assert_allclose(fitted.spectrum_.residuals, 0, atol=1e-12)


@pytest.mark.parametrize("structure", CASES)
def test_the_answer_has_the_structure_and_none_of_it_is_better(structure):
    X, _ = pairs(structure, noise=0.5)
    A = model(structure).fit(X).state_matrix_.T
    np.testing.assert_allclose(project(structure, A), A, atol=1e-12)

    def loss(A):
        return np.linalg.norm(X[:, 1] - X[:, 0] @ A.T)

    rng = np.random.default_rng(1)
    for _ in range(20):
        other = project(structure, A + 1e-3 * rng.standard_normal((D, D)))
        assert loss(other) > loss(A)
    # And the structure costs something on data that do not have it.
    free = np.linalg.lstsq(X[:, 0], X[:, 1], rcond=None)[0].T
    assert loss(A) > loss(free)


def test_plane_waves_on_a_torus():
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((4, 5)) / 5
    x = rng.standard_normal((60, 4, 5))
    y = np.fft.ifft2(np.fft.fft2(x) * np.fft.fft2(kernel)).real
    X = np.stack([x.reshape(60, 20), y.reshape(60, 20)], axis=1)
    fitted = ConstrainedDMD("circulant", grid=(4, 5)).fit(X)
    np.testing.assert_allclose(fitted.predict(X)[:, 0], X[:, 1], atol=1e-12)
    got, want = fitted.spectrum_.eigenvalues, np.fft.fft2(kernel).ravel()
    for z in want:
        assert np.abs(got - z).min() < 1e-10


def test_complex_data_keeps_hermitian_and_unitary():
    rng = np.random.default_rng(0)
    M = rng.standard_normal((4, 4)) + 1j * rng.standard_normal((4, 4))
    x = rng.standard_normal((50, 4)) + 1j * rng.standard_normal((50, 4))
    for structure, A in (
        ("orthogonal", linalg.polar(M)[0]),
        ("symmetric", M + M.conj().T),
    ):
        X = np.stack([x, x @ A.T], axis=1)
        got = ConstrainedDMD(structure).fit(X).state_matrix_.T
        np.testing.assert_allclose(got, A, atol=1e-11)


def test_energy_is_kept_where_dmd_loses_it():
    t = 0.1 * np.arange(500)
    X = np.column_stack([np.cos(t), np.sin(t)])
    X = X + 0.1 * np.random.default_rng(0).standard_normal(X.shape)
    kept = np.linalg.norm(ConstrainedDMD("orthogonal").fit(X).predict(1000), axis=1)
    np.testing.assert_allclose(kept, np.linalg.norm(X[-1]), rtol=1e-9)
    assert np.linalg.norm(DMD().fit(X).predict(1000)[-1]) < 0.1


def test_few_rows_of_many_features():
    rng = np.random.default_rng(0)
    Q = linalg.qr(rng.standard_normal((50, 4)), mode="economic")[0]
    turn = linalg.expm(
        np.array([[0, -0.3, 0, 0], [0.3, 0, 0, 0], [0, 0, 0, -1.1], [0, 0, 1.1, 0]])
    )
    z = [rng.standard_normal(4)]
    for _ in range(19):
        z.append(z[-1] @ turn)
    fitted = ConstrainedDMD("orthogonal", rank=4).fit(np.array(z[:15]) @ Q.T)
    np.testing.assert_allclose(fitted.predict(5), np.array(z[15:]) @ Q.T, atol=1e-12)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"structure": "block_circulant"}, "needs to know the blocks"),
        ({"structure": "circulant", "grid": (4, 4)}, "product is the number of feat"),
        ({"structure": "symmetric", "grid": (3, 2)}, "grid is for circulant"),
        ({"structure": np.zeros((3, 3), int)}, r"shape \(6, 6\)"),
        ({"structure": np.zeros((6, 6))}, "whole numbers"),
        ({"structure": "banded"}, "structure"),
    ],
)
def test_bad_structures(params, message):
    with pytest.raises(ValueError, match=message):
        ConstrainedDMD(**params).fit(pairs("symmetric")[0])


def test_fewer_rows_than_features_fit_exactly():
    Q = linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0]
    rows = [np.random.default_rng(1).standard_normal(6)]
    for _ in range(4):
        rows.append(rows[-1] @ Q)
    A = ConstrainedDMD("orthogonal").fit(np.array(rows)).state_matrix_
    np.testing.assert_allclose(A @ A.T, np.eye(6), atol=1e-12)
    np.testing.assert_allclose(np.array(rows[:-1]) @ A, rows[1:], atol=1e-12)
    for structure, rows in (
        ("symmetric", [[1.0, 0.0], [1.0, 1.0]]),
        ("skew", [[1.0, 0.0], [0.0, 1.0]]),
    ):
        A = ConstrainedDMD(structure).fit(rows).state_matrix_
        np.testing.assert_allclose(project(structure, A), A, atol=1e-12)
        np.testing.assert_allclose(np.array(rows[0]) @ A, rows[1], atol=1e-12)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_wavenumbers_that_hold_rounding_stay_quiet(n):
    place = 2 * np.pi * np.arange(32) / 32
    X = np.array([np.cos(place - 0.1 * k) for k in range(n)])
    got = ConstrainedDMD("circulant").fit(X).predict(300)[-1]
    np.testing.assert_allclose(got, np.cos(place - 0.1 * (n + 299)), atol=1e-9)


def test_labels_below_zero_are_refused():
    with pytest.raises(ValueError, match=r"-1, for zero, or above, got -2"):
        ConstrainedDMD([[0, -1], [-2, 1]]).fit(np.eye(2))

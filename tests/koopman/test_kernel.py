"""Kernel EDMD against known spectra and the dictionary that it stands for."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import rbf_kernel, sigmoid_kernel

from skdyn.koopman import EDMD, KernelEDMD
from skdyn.koopman._kernel import _whitener
from skdyn.preprocessing import PolynomialLift


def linear_pairs(A, n=100, seed=0):
    x = np.random.default_rng(seed).uniform(-1, 1, (n, len(A)))
    return np.stack([x, x @ A], axis=1)


def pendulum(n=400, dt=0.1, start=(2.0, 0.0)):
    X = [np.array(start)]
    for _ in range(n - 1):
        x, v = X[-1]
        for _ in range(10):  # leapfrog
            v = v - dt / 20 * np.sin(x)
            x = x + dt / 10 * v
            v = v - dt / 20 * np.sin(x)
        X.append(np.array([x, v]))
    return np.array(X)


def test_products_of_eigenvalues():
    A = np.array([[0.9, -0.1], [0.0, 0.8]])
    model = KernelEDMD("polynomial", degree=4, alpha=0).fit(linear_pairs(A))
    want = np.sort([0.9**i * 0.8**j for i in range(5) for j in range(5 - i)])
    got = np.sort(model.spectrum_.eigenvalues.real)
    np.testing.assert_allclose(got, want, atol=1e-7)
    np.testing.assert_allclose(model.spectrum_.residuals, 0, atol=1e-5)


def test_a_polynomial_kernel_is_a_polynomial_lift():
    X = pendulum(200)
    kernel = KernelEDMD("polynomial", degree=3, alpha=0).fit(X)
    lift = EDMD(PolynomialLift(3)).fit(X)
    np.testing.assert_allclose(kernel.predict(30), lift.predict(30), atol=1e-5)
    got = np.sort_complex(kernel.spectrum_.eigenvalues)
    want = np.sort_complex(lift.spectrum_.eigenvalues)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_an_rbf_kernel_forecasts_a_pendulum():
    X = pendulum(600)
    model = KernelEDMD(rank=60, alpha=1e-10).fit(X[:400])
    assert np.abs(model.predict(100) - X[400:500]).max() < 0.05
    relifted = KernelEDMD(relift=True, alpha=1e-10).fit(X[:400])
    assert np.abs(relifted.predict(100) - X[400:500]).max() < 1e-2


def test_eigenfunctions_evolve_by_their_eigenvalues():
    X = pendulum(600)
    model = KernelEDMD(rank=40).fit(X[:400])
    spectrum = model.spectrum_
    best = np.argsort(spectrum.residuals)[:3]
    phi = model.eigenfunctions(X[400:])[:, best]
    off = phi[1:] - phi[:-1] * spectrum.eigenvalues[best]
    size = np.abs(phi).mean(axis=0)
    np.testing.assert_array_less(
        np.abs(off).mean(axis=0) / size, 5 * spectrum.residuals[best] + 1e-4
    )


def test_all_rows_as_landmarks_are_the_whole_kernel():
    X = pendulum(150)
    whole = KernelEDMD(rank=20).fit(X)
    same = KernelEDMD(rank=20, n_landmarks=10**6).fit(X)
    np.testing.assert_array_equal(same.predict(5), whole.predict(5))
    some = KernelEDMD(rank=20, n_landmarks=75).fit(X)
    assert some.landmarks_.shape == (75, 2)
    np.testing.assert_allclose(some.predict(5), whole.predict(5), atol=2e-2)


def test_blocks_of_rows_are_one(monkeypatch):
    X = pendulum(150)
    whole = KernelEDMD(rank=10).fit(X).predict(5)
    monkeypatch.setattr("skdyn.koopman._kernel._CHUNK", 32)
    np.testing.assert_allclose(KernelEDMD(rank=10).fit(X).predict(5), whole, atol=1e-9)


def test_reduced_rank_predicts_better_than_a_cut():
    rng = np.random.default_rng(0)
    t = 0.3 * np.arange(600)
    X = np.column_stack([np.cos(t), np.sin(t), 3 * rng.standard_normal((600, 2))])
    scores = [
        KernelEDMD("linear", rank=2, regression=how).fit(X[:400]).score(X[400:])
        for how in ("least_squares", "reduced_rank")
    ]
    assert scores[1] > 0.4 > scores[0] + 0.1


def test_a_callable_kernel_and_the_median_scale():
    X = pendulum(80)
    named = KernelEDMD(gamma=0.7, rank=10).fit(X)

    def kernel(a, b, gamma):
        return rbf_kernel(a[None], b[None], gamma=gamma)[0, 0]

    own = KernelEDMD(kernel, kernel_params={"gamma": 0.7}, rank=10).fit(X)
    np.testing.assert_allclose(own.predict(5), named.predict(5), atol=1e-9)
    one, big = KernelEDMD(rank=10).fit(X), KernelEDMD(rank=10).fit(1000 * X)
    np.testing.assert_allclose(big.predict(5), 1000 * one.predict(5), rtol=1e-6)


def test_complex_data():
    k = np.arange(60)
    X = np.column_stack([np.exp(0.3j * k), 0.5 * np.exp(-0.7j * k)])
    model = KernelEDMD(alpha=1e-12).fit(X)
    assert model.predict(4).dtype == np.complex128
    ahead = np.arange(60, 64)
    want = np.column_stack([np.exp(0.3j * ahead), 0.5 * np.exp(-0.7j * ahead)])
    np.testing.assert_allclose(model.predict(4), want, atol=1e-2)


def test_unknown_kernels_are_refused():
    with pytest.raises(ValueError, match="kernel"):
        KernelEDMD("gaussian").fit(pendulum(20))


def test_kernels_that_are_no_inner_products_are_left_to_eigenvalues():
    rng = np.random.default_rng(0)
    kernels = sigmoid_kernel(rng.standard_normal((150, 2)), gamma=1, coef0=1)
    W = _whitener(kernels, 3)
    want = np.sort(np.linalg.eigvalsh(kernels))[::-1][:3]
    got = 1 / np.linalg.norm(W, axis=0) ** 2
    np.testing.assert_allclose(got, want, rtol=1e-8)
    smooth = rbf_kernel(rng.standard_normal((150, 2)), gamma=0.05)
    got = 1 / np.linalg.norm(_whitener(smooth, 5), axis=0) ** 2
    want = np.sort(np.linalg.eigvalsh(smooth))[::-1][:5]
    np.testing.assert_allclose(got, want, rtol=1e-8)
    zeros = np.zeros((10, 1))
    np.testing.assert_array_equal(KernelEDMD("linear", rank=1).fit(zeros).predict(2), 0)


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_the_penalty_has_no_unit(size):
    t = 0.3 * np.arange(100)
    X = size * np.column_stack([np.cos(t), np.sin(t)])
    got = KernelEDMD("linear").fit(X[:80]).predict(20)
    np.testing.assert_allclose(got, X[80:], atol=1e-4 * size)

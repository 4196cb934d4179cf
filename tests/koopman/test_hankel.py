"""Hankel DMD is the composition of delays and DMD, without the delay matrix."""

import numpy as np
import pytest

from skdyn.koopman import DMD, HankelDMD
from skdyn.koopman._hankel import _lagged_moments
from skdyn.pipeline import make_pipeline
from skdyn.preprocessing import DelayEmbedding


def waves(d, n, noise=1e-3, seed=0):
    rng, t = np.random.default_rng(seed), 0.1 * np.arange(n)
    Z = [np.sin(t), np.cos(t), np.sin(3.7 * t), 0.5 * np.cos(3.7 * t)]
    X = np.column_stack(Z) @ np.random.default_rng(9).standard_normal((4, d))
    return X + noise * rng.standard_normal((n, d))


def complex_waves(d, n):
    return waves(d, n) + 1j * waves(d, n, seed=4)


@pytest.mark.parametrize("delay", [1, 3])
@pytest.mark.parametrize(
    "X",
    [
        waves(1, 400),
        waves(60, 300),
        [waves(3, 100), waves(3, 150, seed=1)],
        [waves(60, 100), waves(60, 120, seed=1)],
        complex_waves(3, 200),
        complex_waves(60, 120),
    ],
    ids=["tall", "wide", "tall list", "wide list", "tall complex", "wide complex"],
)
def test_it_is_the_composition(X, delay):
    fast = HankelDMD(20, delay=delay, rank=4, dt=0.1).fit(X)
    slow = make_pipeline(DelayEmbedding(20, delay=delay), DMD(4, dt=0.1)).fit(X)
    want = slow[-1].spectrum_
    np.testing.assert_allclose(fast.spectrum_.eigenvalues, want.eigenvalues, atol=1e-12)
    np.testing.assert_allclose(fast.spectrum_.residuals, want.residuals, atol=1e-9)
    np.testing.assert_allclose(fast.spectrum_.frequencies, want.frequencies, atol=1e-11)
    for got, row in zip(
        np.atleast_3d(fast.predict(30)), np.atleast_3d(slow.predict(30)), strict=True
    ):
        np.testing.assert_allclose(got, row, atol=1e-10)
    context = (X[0] if isinstance(X, list) else X)[:70]
    np.testing.assert_allclose(
        fast.forecast(5, context=context), slow.forecast(5, context=context), atol=1e-10
    )


def test_a_sum_of_sines_is_continued():
    x = waves(1, 500, noise=0)
    model = HankelDMD(32).fit(x[:300])
    np.testing.assert_allclose(model.predict(200), x[300:], atol=1e-6)
    assert model.rank_ == 4


def test_modes_are_of_the_features():
    X = waves(5, 300, noise=0)
    spectrum = HankelDMD(20, rank=4).fit(X).spectrum_
    k = np.arange(300)[:, None]
    rebuilt = (spectrum.amplitudes[0] * spectrum.eigenvalues**k) @ spectrum.modes
    # Amplitudes are those of the first delayed row, whose newest block is row 19.
    np.testing.assert_allclose(rebuilt[:281].real, X[19:], atol=1e-8)


@pytest.mark.parametrize("lags", [[0, 1, 2, 3], [0, 1, 3, 4, 6, 7], [0, 5]])
def test_lagged_moments_are_those_of_the_delay_matrix(lags):
    x = complex_waves(3, 50)
    columns = np.hstack([x[max(lags) - p : 50 - p] for p in lags])
    got = _lagged_moments(x, np.array(lags)).reshape(3 * len(lags), -1)
    np.testing.assert_allclose(got, columns.conj().T @ columns, atol=1e-10)


def test_too_short():
    with pytest.raises(ValueError, match="at least 11 are needed"):
        HankelDMD(10).fit(waves(2, 10))

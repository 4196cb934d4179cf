"""Fits in parts: the batch answer to rounding, and a memory that fades."""

import numpy as np
import pytest

from skdyn.koopman import DMD, EDMD, DMDc
from skdyn.preprocessing import DelayEmbedding, PolynomialLift

MODELS = [DMD, DMDc, lambda **p: EDMD(PolynomialLift(2), **p)]


def drifting(n=600, seed=0):
    """A rotation whose rate grows from 0.2 to 0.5 per row."""
    phase = np.cumsum(np.linspace(0.2, 0.5, n))
    noise = 0.001 * np.random.default_rng(seed).standard_normal((n, 2))
    return np.column_stack([np.cos(phase), np.sin(phase)]) + noise


@pytest.mark.parametrize("forgetting", [1.0, 0.97])
@pytest.mark.parametrize("model", MODELS)
def test_parts_that_overlap_by_a_row_are_the_whole(model, forgetting):
    X = drifting()
    whole = model(forgetting=forgetting).fit(X)
    parts = model(forgetting=forgetting)
    for start, stop in ((0, 200), (199, 350), (349, 600)):
        parts.partial_fit(X[start:stop])
    np.testing.assert_allclose(parts.predict(9), whole.predict(9), rtol=1e-8)


@pytest.mark.parametrize("model", MODELS)
def test_a_fading_memory_follows_the_drift(model):
    X = drifting()
    steady = model().fit(X).spectrum_
    fading = model(forgetting=0.9).fit(X).spectrum_
    truth = 0.5  # of the last rows
    errors = [
        np.abs(np.abs(np.angle(s.eigenvalues)) - truth).min() for s in (steady, fading)
    ]
    assert errors[1] < errors[0] / 5


def test_weights_fade_by_the_row():
    X = drifting(50)
    roots = np.sqrt(0.9 ** np.arange(48, -1, -1))[:, None]
    A = np.linalg.lstsq(roots * X[:-1], roots * X[1:], rcond=None)[0]
    got = DMD(forgetting=0.9).fit(X).predict(1)
    np.testing.assert_allclose(got, X[-1:] @ A, rtol=1e-9)
    # Also where there are more columns than pairs.
    wide = X[:3] @ np.random.default_rng(0).standard_normal((2, 9))
    assert np.isfinite(DMD(forgetting=0.9).fit(wide).predict(2)).all()


@pytest.mark.parametrize("forgetting", [0.0, 1.1])
def test_bad_factors(forgetting):
    with pytest.raises(ValueError, match="forgetting"):
        DMD(forgetting=forgetting).fit(drifting(20))


def test_delays_in_a_lift_overlap_by_their_rows():
    X, lift = drifting(100), DelayEmbedding(5)
    whole = EDMD(lift, forgetting=0.95).fit(X)
    parts = EDMD(lift, forgetting=0.95).partial_fit(X[:50]).partial_fit(X[45:])
    np.testing.assert_allclose(parts.predict(5), whole.predict(5), rtol=1e-8)


@pytest.mark.parametrize("model", MODELS)
def test_rows_before_a_gap_in_time_are_older(model):
    pd = pytest.importorskip("pandas")
    phase = np.concatenate([0.3 * np.arange(20), 0.8 * np.arange(20)])
    days = np.concatenate([np.arange(20), 100 + np.arange(20)])
    frame = pd.DataFrame(
        np.column_stack([np.cos(phase), np.sin(phase)]),
        index=pd.Timestamp("2020-01-01") + pd.to_timedelta(days, unit="D"),
    )
    spectrum = model(forgetting=0.5).fit(frame).spectrum_
    assert np.abs(np.abs(np.angle(spectrum.eigenvalues)) - 0.8).min() < 1e-4

"""Recordings and generators."""

import numpy as np
import pytest

from skdyn.datasets import load_sunspots, make_lorenz63


def test_sunspots():
    sunspots = load_sunspots()
    assert sunspots.data.shape == (309, 1)
    assert sunspots.data.flags.c_contiguous
    # Known years: the deep minimum of 1810 and the highest peak, 1957.
    year = sunspots.year
    assert sunspots.data[year == 1810, 0] == 0
    assert year[sunspots.data[:, 0].argmax()] == 1957
    assert "public domain" in sunspots.DESCR
    power = np.abs(np.fft.rfft(sunspots.data[:, 0] - sunspots.data.mean()))
    period = len(year) / power.argmax()
    assert period == pytest.approx(11, abs=0.5)


def test_sunspots_as_frame():
    pytest.importorskip("pandas")
    frame = load_sunspots(as_frame=True).data
    assert list(frame.columns) == ["sunspots"]
    assert str(frame.index[-1]) == "2008"
    from skdyn.utils._trajectories import as_trajectories

    assert len(as_trajectories(frame).pieces) == 1  # leap years are no gaps


def test_lorenz():
    X = make_lorenz63(4000, dt=0.02)
    np.testing.assert_array_equal(X, make_lorenz63(4000, dt=0.02))
    assert np.abs(X - make_lorenz63(4000, dt=0.02, random_state=1)).max() > 1
    # The equations hold: central differences are second order in dt.
    fine = make_lorenz63(400, dt=1e-3)
    x, y, z = fine[1:-1].T
    velocity = np.column_stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])
    got = (fine[2:] - fine[:-2]) / 2e-3
    assert np.abs(got - velocity).max() < 5e-3 * np.abs(velocity).max()
    # On the attractor, z is about 23.5 on average and x is symmetric.
    assert X[:, 2].mean() == pytest.approx(23.5, abs=1.5)
    noisy = make_lorenz63(4000, dt=0.02, noise=0.1)
    share = (noisy - X).std(axis=0) / X.std(axis=0)
    np.testing.assert_allclose(share, 0.1, rtol=0.1)

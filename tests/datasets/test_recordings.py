"""Recordings: known years, known cycles."""

import subprocess
import sys

import numpy as np
import pytest

from skdyn.datasets import load_lynx_hare, load_nino_sst, load_sunspots
from skdyn.utils._trajectories import as_trajectories

LOADERS = [load_sunspots, load_nino_sst, load_lynx_hare]


def strongest_period(x, dt):
    power = np.abs(np.fft.rfft(x - x.mean()))
    return len(x) * dt / power.argmax()


@pytest.mark.parametrize("load", LOADERS)
def test_what_every_recording_is(load):
    recording = load()
    data = recording.data
    assert data.dtype == np.float64
    assert data.flags.c_contiguous
    assert data.shape == (len(recording.year), len(recording.feature_names))
    assert np.isfinite(data).all()
    for word in ("Source", "Licence: public domain"):
        assert word in recording.DESCR
    # Rows are at a constant step, and nothing is shared between two calls.
    when = recording.year + (recording.get("month", np.ones(1)) - 1) / 12
    np.testing.assert_allclose(np.diff(when), recording.dt, rtol=1e-9)
    data[:] = 0
    assert load().data.any()


@pytest.mark.parametrize(
    ("load", "last"),
    [(load_sunspots, "2008"), (load_nino_sst, "2010-12"), (load_lynx_hare, "1920")],
)
def test_as_frame(load, last):
    pytest.importorskip("pandas")
    frame = load(as_frame=True).data
    assert list(frame.columns) == load().feature_names
    assert str(frame.index[-1]) == last
    np.testing.assert_array_equal(frame.to_numpy(), load().data)
    assert len(as_trajectories(frame).pieces) == 1  # leap years are no gaps


def test_sunspots():
    sunspots = load_sunspots()
    year, x = sunspots.year, sunspots.data[:, 0]
    # Known years: the deep minimum of 1810 and the highest peak, 1957.
    assert x[year == 1810] == 0
    assert year[x.argmax()] == 1957
    assert strongest_period(x, sunspots.dt) == pytest.approx(11, abs=0.5)


def test_nino_sst():
    nino = load_nino_sst()
    x = nino.data[:, 0]
    assert strongest_period(x, nino.dt) == pytest.approx(1.0, abs=0.01)
    climate = np.array([x[nino.month == m].mean() for m in range(1, 13)])
    assert climate.argmax() + 1 == 3
    assert climate.argmin() + 1 == 9
    # The two great El Niño events are the years furthest above the average one.
    anomaly = x - climate[nino.month - 1]
    yearly = {y: anomaly[nino.year == y].mean() for y in set(nino.year)}
    assert set(sorted(yearly, key=yearly.get)[-2:]) == {1983, 1997}


def test_lynx_hare():
    pelts = load_lynx_hare()
    hare, lynx = pelts.data.T
    assert pelts.year[hare.argmax()] == 1903
    assert pelts.year[lynx.argmax()] == 1904
    for x in (hare, lynx):
        assert strongest_period(x, pelts.dt) == pytest.approx(10, abs=0.6)
    # Predators follow their prey by one to two years.
    lags = [np.corrcoef(hare[: 21 - k], lynx[k:])[0, 1] for k in range(5)]
    assert int(np.argmax(lags)) in (1, 2)


def test_nothing_is_read_at_import():
    code = "import numpy; numpy.loadtxt = None; import skdyn.datasets"
    subprocess.run([sys.executable, "-c", code], check=True)

"""Multiresolution DMD: what is where, on which time scale."""

import numpy as np
import pytest

from skdyn.koopman import DMD, MultiresolutionDMD
from skdyn.pipeline import make_pipeline
from skdyn.preprocessing import DelayEmbedding

N, DT = 1024, 0.01
SLOW, FAST = 0.09, 0.35  # cycles per unit time: 0.9 in all, 0.9 in a quarter


def wave(f, t, modes):
    turning = np.column_stack([np.cos(2 * np.pi * f * t), np.sin(2 * np.pi * f * t)])
    return turning @ modes


def burst(n=N, noise=0.0, seed=0):
    """A slow wave throughout and a fast one in the third quarter, in 12 features."""
    rng = np.random.default_rng(seed)
    modes, t = rng.standard_normal((2, 2, 12)), DT * np.arange(n) * N / n
    X = wave(SLOW, t, modes[0])
    there = slice(n // 2, 3 * n // 4)
    X[there] += wave(FAST, t[there], modes[1])
    return X + noise * rng.standard_normal(X.shape)


def found(model, level, start):
    return [
        node.spectrum
        for node in model.nodes_
        if (node.level, node.start) == (level, start)
    ]


def size(spectrum):
    return np.abs(spectrum.amplitudes).max()


def test_a_burst_is_found_where_it_is():
    X = burst()
    model = MultiresolutionDMD(n_levels=4, dt=DT).fit(X)
    (root,), (event,) = found(model, 0, 0), found(model, 2, N // 2)
    np.testing.assert_allclose(root.frequencies, [SLOW, -SLOW], atol=1e-9)
    np.testing.assert_allclose(root.growth_rates, 0, atol=1e-9)
    np.testing.assert_allclose(event.frequencies, [FAST, -FAST], atol=0.02)
    # Elsewhere is only what leaked: small, and of other frequencies.
    for node in model.nodes_:
        if node.spectrum is not root and node.spectrum is not event:
            assert size(node.spectrum) < 0.2 * size(event)
            assert np.abs(node.spectrum.frequencies).max() < FAST / 2
    spread = np.sqrt(np.mean(X**2))
    assert np.sqrt(np.mean((model.reconstruct() - X) ** 2)) < 0.01 * spread
    # A DMD of all rows has no place for it.
    off = DMD(dt=DT).fit(X).reconstruct(X) - X
    assert np.sqrt(np.mean(off**2)) > 0.2 * spread


def test_a_single_scale_is_exact_and_alone():
    modes, t = np.random.default_rng(0).standard_normal((2, 12)), DT * np.arange(N)
    X = wave(SLOW, t, modes)
    model = MultiresolutionDMD(dt=DT).fit(X)
    assert [(node.level, node.start, node.stop) for node in model.nodes_] == [(0, 0, N)]
    np.testing.assert_allclose(model.reconstruct(), X, atol=1e-9)
    np.testing.assert_allclose(model.nodes_[0].spectrum.residuals, 0, atol=1e-6)
    ahead = wave(SLOW, DT * np.arange(N, 2 * N), modes)
    np.testing.assert_allclose(model.predict(N), ahead, atol=1e-8)


def test_a_forecast_goes_on_with_what_is_left():
    modes = np.random.default_rng(0).standard_normal((2, 2, 12))
    ahead = wave(SLOW, DT * np.arange(N, N + 200), modes[0])
    model = MultiresolutionDMD(n_levels=4, dt=DT).fit(burst())
    # After the burst, the root and what corrects it in the last quarter.
    np.testing.assert_allclose(np.abs(model.rates_.imag), 2 * np.pi * SLOW, atol=1e-6)
    got = model.forecast(200, context=burst()[3 * N // 4 :])
    np.testing.assert_allclose(got, ahead, atol=1e-6)


def test_noise_leaves_the_scales_apart():
    X, clean = burst(noise=0.1), burst()
    model = MultiresolutionDMD(n_levels=3, rank=4, dt=DT).fit(X)
    root, event = found(model, 0, 0)[0], found(model, 2, N // 2)[0]
    slow = np.abs(np.abs(root.frequencies) - SLOW).min()
    fast = np.abs(np.abs(event.frequencies) - FAST).min()
    assert slow < 0.01
    assert fast < 0.03
    off = np.sqrt(np.mean((model.reconstruct() - clean) ** 2))
    assert off < 0.1  # less than the noise, of which most is left out


def test_every_level_takes_its_share_off():
    X = burst(noise=0.2)
    left = [
        np.linalg.norm(X - MultiresolutionDMD(n, rank=4, dt=DT).fit(X).reconstruct())
        for n in (1, 2, 3, 4)
    ]
    assert (np.diff(left) <= 1e-9).all()


def test_modes_are_slow_in_their_window():
    X = np.random.default_rng(0).standard_normal((512, 4)).cumsum(axis=0)
    model = MultiresolutionDMD(n_levels=4, max_cycles=2, dt=0.5).fit(X)
    assert {node.level for node in model.nodes_} == {0, 1, 2, 3}
    for node in model.nodes_:
        spectrum = node.spectrum
        rates = spectrum.growth_rates + 2j * np.pi * spectrum.frequencies
        lasts = 0.5 * (node.stop - node.start)
        assert np.abs(rates).max() * lasts / (2 * np.pi) <= 2 * (1 + 1e-9)


def test_fast_oscillations_are_not_aliased():
    # Every 32nd row would show this wave as a slow one: 33/32 of a turn.
    t = np.arange(1024)
    modes = np.random.default_rng(0).standard_normal((2, 2, 6))
    X = wave(1 / 1100, t, modes[0]) + wave(33 / 32 / 32, t, modes[1])
    model = MultiresolutionDMD(n_levels=1).fit(X)
    slow = wave(1 / 1100, t, modes[0])
    np.testing.assert_allclose(model.reconstruct(), slow, atol=0.15)


def test_trends_are_slow():
    t = np.linspace(0, 1, 400)
    X = np.exp(-t)[:, None] * [[1.0, -2.0]] + [[3.0, 1.0]]
    model = MultiresolutionDMD(n_levels=3, dt=t[1]).fit(X)
    assert [node.level for node in model.nodes_] == [0]
    rates = model.nodes_[0].spectrum.growth_rates
    np.testing.assert_allclose(rates, [0, -1], atol=1e-9)
    ahead = 1 + t[1] * np.arange(1, 51)
    want = np.exp(-ahead)[:, None] * [[1.0, -2.0]] + [[3.0, 1.0]]
    np.testing.assert_allclose(model.predict(50), want, atol=1e-8)


def test_trajectories_have_their_modes_in_common():
    modes, t = np.random.default_rng(0).standard_normal((2, 12)), DT * np.arange(N)
    X = [wave(SLOW, t + shift, modes) for shift in (0.0, 1.0, 3.0)]
    X[1] = X[1][: N // 2]
    model = MultiresolutionDMD(dt=DT).fit(X)
    assert [node.level for node in model.nodes_] == [0]
    spectrum = model.nodes_[0].spectrum
    np.testing.assert_allclose(np.abs(spectrum.frequencies), SLOW, atol=1e-9)
    assert spectrum.amplitudes.shape == (3, 2)
    for got, want in zip(model.reconstruct(), X, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-9)
    stacked = MultiresolutionDMD(dt=DT).fit(np.stack([X[0], X[2]]))
    assert stacked.reconstruct().shape == (2, N, 12)


def test_delays_give_a_scalar_series_its_modes():
    t = DT * np.arange(N)
    x = np.sin(2 * np.pi * SLOW * t)[:, None]
    model = make_pipeline(DelayEmbedding(2, delay=100), MultiresolutionDMD(dt=DT))
    got = model.fit(x).predict(100)[:, 0]
    ahead = DT * np.arange(N, N + 100)
    np.testing.assert_allclose(got, np.sin(2 * np.pi * SLOW * ahead), atol=1e-6)


def test_complex_and_single_precision():
    t = DT * np.arange(N)
    x = np.exp(2j * np.pi * SLOW * t)[:, None] * [[1.0, 2j]]
    model = MultiresolutionDMD(dt=DT).fit(x)
    np.testing.assert_allclose(model.rates_, [2j * np.pi * SLOW], atol=1e-9)
    np.testing.assert_allclose(model.reconstruct(), x, atol=1e-9)
    single = MultiresolutionDMD(dt=DT).fit(burst().astype(np.float32))
    assert single.reconstruct().dtype == np.float32
    double = MultiresolutionDMD(dt=DT).fit(burst())
    np.testing.assert_allclose(single.reconstruct(), double.reconstruct(), atol=0.02)
    alone = wave(SLOW, t, np.ones((2, 1)) * [1, 2, 3] + np.eye(2, 3))
    nodes = MultiresolutionDMD(dt=DT).fit(alone.astype(np.float32)).nodes_
    assert [node.level for node in nodes] == [0]


def test_levels_are_capped_by_the_data():
    model = MultiresolutionDMD(n_levels=10).fit(np.eye(20)[:, :3] + 1.0)
    assert model.n_levels_ == 2
    assert np.isfinite(model.predict(3)).all()


def test_data_of_zeros():
    model = MultiresolutionDMD().fit(np.zeros((40, 2)))
    np.testing.assert_array_equal(model.predict(3), 0)
    np.testing.assert_array_equal(model.reconstruct(), 0)


@pytest.mark.parametrize("params", [{"n_levels": 0}, {"max_cycles": 0}, {"dt": 0}])
def test_bad_parameters(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        MultiresolutionDMD(**params).fit(burst(64))


def test_the_spectrum_is_what_a_forecast_goes_on_with():
    k = np.arange(400)
    X = np.column_stack([np.cos(0.02 * k), np.sin(0.02 * k)])
    model = MultiresolutionDMD(n_levels=1, dt=0.5).fit(X)
    spectrum = model.spectrum_
    np.testing.assert_allclose(
        np.abs(spectrum.frequencies), 0.04 / 2 / np.pi, rtol=1e-6
    )
    np.testing.assert_allclose(spectrum.residuals, 0, atol=1e-6)
    now = (spectrum.amplitudes @ spectrum.modes).real
    np.testing.assert_allclose(now, X[-1:], atol=1e-6)

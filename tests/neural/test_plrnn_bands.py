"""Spread of samples: bands that cover what they say, of samples that do not."""

import numpy as np
import pytest

from skdyn.neural._plrnn_bands import (
    Windows,
    _groups,
    spread_of,
    to_come,
    windows_ahead,
)

COVERAGES = (0.5, 0.75, 0.9, 0.95)


def measured(samples, rows, n_drawn=1, factor=1.0):
    """Factors from samples (n, n_windows, n_steps, N), drawn window by window."""
    n, n_steps = rows.shape[:2]
    # The number of each window, to draw its samples by.
    which = np.arange(n)[:, None, None]
    windows = Windows(which, np.zeros((n, 0, 0)), np.zeros((n, n_steps, 0)), rows)
    return spread_of(
        lambda part: samples[:, part.contexts[:, 0, 0]], windows, n_drawn, factor
    )


def covered(samples, rows, coverage):
    tail = (1 - coverage) / 2
    lower, upper = np.quantile(samples, [tail, 1 - tail], axis=0)
    return ((lower <= rows) & (rows <= upper)).mean(axis=0)


def narrow(seed, n_windows=400, n_steps=6, law="standard_normal"):
    """What comes is wider than the samples say, more so the further ahead.

    The spread differs from window to window, and the second feature is right.
    """
    rng = np.random.default_rng(seed)
    wide = np.exp(rng.standard_normal((n_windows, 1, 1)))
    draw = getattr(rng, law)
    samples = wide * draw((100, n_windows, n_steps, 2))
    rows = wide * draw((n_windows, n_steps, 2))
    rows[..., 0] *= 1.0 + np.arange(n_steps)
    return samples, rows


@pytest.mark.parametrize("law", ["standard_normal", "standard_exponential"])
def test_bands_cover_what_they_say(law):
    spread = measured(*narrow(0, n_windows=1500, n_steps=3, law=law))
    samples, rows = narrow(1, n_windows=1500, n_steps=3, law=law)
    for coverage in COVERAGES:
        got = covered(spread.apply(samples, coverage), rows, coverage)
        # One standard deviation of the difference is 0.018 at most.
        np.testing.assert_allclose(got, coverage, atol=0.05)
        assert covered(samples, rows, coverage)[-1, 0] < coverage - 0.15


def test_factors_are_what_the_samples_lack():
    factors = measured(*narrow(2, n_windows=4000)).at(0.9, 6)
    np.testing.assert_allclose(factors[:, 0], [1, 2, 3, 4, 5, 6], rtol=0.1)
    # Quantiles of 100 samples cover 0.882 of what is like them.
    np.testing.assert_allclose(factors[:, 1], 1.0, atol=0.1)


def test_samples_that_are_too_far_apart_are_drawn_together():
    samples, rows = narrow(3)
    spread = measured(3 * samples, rows)
    assert spread.at(0.9, 6)[0, 0] == pytest.approx(1 / 3, rel=0.15)


def test_the_mean_and_the_units_do_not_matter():
    samples, rows = narrow(4)
    spread = measured(samples, rows)
    other = measured(1e-6 * samples + 7.0, 1e-6 * rows + 7.0)
    np.testing.assert_allclose(other.factors, spread.factors, rtol=1e-6)
    moved = spread.apply(samples, 0.9)
    np.testing.assert_allclose(moved.mean(axis=0), samples.mean(axis=0), atol=1e-12)


def test_batches_do_not_matter():
    samples, rows = narrow(5, n_windows=60)
    one = measured(samples, rows)
    np.testing.assert_array_equal(measured(samples, rows, 10**9).factors, one.factors)


def test_what_is_missing_or_has_diverged_does_not_count():
    samples, rows = narrow(6)
    want = measured(samples[:, :300], rows[:300])
    holes, away = rows.copy(), samples.copy()
    holes[300:350] = np.nan
    away[5, 350:] = np.inf
    got = measured(away, holes)
    np.testing.assert_array_equal(got.factors, want.factors)
    # And where nothing counts, or a sample is lost, all stays as it was.
    nothing = measured(samples, np.full_like(rows, np.nan))
    np.testing.assert_array_equal(nothing.factors, 1.0)
    lost = samples.copy()
    lost[0, 0] = np.nan
    spread = got.apply(lost, 0.9)
    np.testing.assert_array_equal(spread[:, 0], lost[:, 0])
    assert np.isfinite(spread[:, 1]).all()


def test_factors_between_and_beyond_what_was_measured():
    spread = measured(*narrow(7))
    # Up to the third, each step has factors of its own.
    np.testing.assert_array_equal(spread.at(0.9, 3), spread.factors[4, :3])
    np.testing.assert_allclose(
        spread.at(0.85, 3), (spread.factors[3] + spread.factors[4])[:3] / 2
    )
    np.testing.assert_array_equal(spread.at(0.1, 3), spread.factors[0, :3])
    np.testing.assert_array_equal(spread.at(0.999, 3), spread.factors[-1, :3])
    far = spread.at(0.9, 50)
    np.testing.assert_array_equal(far[:6], spread.at(0.9, 6))
    np.testing.assert_array_equal(far[6:], np.tile(far[5], (44, 1)))


@pytest.mark.parametrize("n_steps", [1, 2, 7, 30, 300])
def test_groups_of_steps_reach_from_end_to_end(n_steps):
    groups = _groups(n_steps)
    steps = np.concatenate(groups)
    assert (steps[0], steps[-1]) == (0, n_steps - 1)
    assert (np.diff(steps) >= 1).all()
    assert all(len(each) <= 8 for each in groups)
    assert all(each[-1] + 1 <= 1.3 * (each[0] + 1) for each in groups)
    if n_steps <= 30:
        np.testing.assert_array_equal(steps, np.arange(n_steps))


def test_errors_to_come_of_least_squares():
    # Of n rows by p parameters, many times.
    rng = np.random.default_rng(0)
    n, p = 60, 20
    X, y = rng.standard_normal((400, n, p)), rng.standard_normal((400, n, 1))
    coef = np.linalg.solve(X.swapaxes(1, 2) @ X, X.swapaxes(1, 2) @ y)
    here = np.mean((y - X @ coef) ** 2)
    there = np.mean((rng.standard_normal((400, n, 1)) - X[::-1] @ coef) ** 2)
    assert to_come(n, p) == pytest.approx(np.sqrt(there / here), rel=0.15)
    assert to_come(n, 0) == 1.0
    assert to_come(n, 30) == to_come(n, 10**6) == pytest.approx(np.sqrt(3))
    samples, rows = narrow(8)
    plain, wider = measured(samples, rows), measured(samples, rows, factor=2.0)
    np.testing.assert_array_equal(wider.factors, 2 * plain.factors)


def test_windows_are_what_a_forecast_sees():
    # Row k of piece i is 1000 i + k, and the input that acts after it minus that.
    pieces = [1000.0 * i + np.arange(n)[:, None] for i, n in enumerate((90, 300))]
    windows = windows_ahead(pieces, [-piece for piece in pieces], 3)
    assert len(windows) == 150
    # A quarter of what the longest has beside the context.
    assert windows.rows.shape == (150, 74, 1)
    rows = np.concatenate([windows.contexts, windows.rows], axis=1)[..., 0]
    np.testing.assert_array_equal(np.diff(rows), 1.0)
    acting = np.concatenate([windows.past, windows.future], axis=1)[..., 0]
    np.testing.assert_array_equal(acting, -rows[:, :-1])
    starts = rows[:, 0]
    # From one end of each trajectory to the other.
    assert (starts.min(), starts.max()) == (0.0, 1223.0)
    assert 5 < starts[starts < 1000].max() <= 13
    assert windows_ahead(pieces, None, 3).future.shape == (150, 74, 0)


def test_too_little_data_has_no_windows():
    # Of 26 rows, 20 are followed by a quarter of 25.
    assert windows_ahead([np.zeros((25, 2))], None, 1) is None
    assert len(windows_ahead([np.zeros((26, 2))], None, 1)) == 20
    assert windows_ahead([np.zeros((3, 2))] * 9, None, 1) is None


def test_large_networks_get_fewer_windows_and_steps():
    pieces = [np.zeros((5000, 1))]
    shapes = [
        windows_ahead(pieces, None, 1, n_multiplied).rows.shape[:2]
        for n_multiplied in (10**4, 3 * 10**5, 10**6, 10**9)
    ]
    assert shapes == [(150, 300), (55, 300), (40, 125), (40, 50)]


# -- of a network ------------------------------------------------------------------


def driven(n, seed, n_pieces=1):
    """A damped turn that noise keeps going, and an input: rows and inputs."""
    rng = np.random.default_rng(seed)
    turn = 0.97 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    u = rng.standard_normal((n_pieces, n, 1))
    X = np.zeros((n_pieces, n, 2))
    for k in range(n - 1):
        X[:, k + 1] = X[:, k] @ turn.T + [0.5, 0.0] * u[:, k]
        X[:, k + 1] += 0.3 * rng.standard_normal((n_pieces, 2))
    return X, u


def network(**params):
    pytest.importorskip("torch")
    pytest.importorskip("skorch")
    from skdyn.neural import PLRNN

    return PLRNN(n_hinges=8, max_epochs=5, selection="loss", **params)


def test_bands_of_a_network_cover_what_noise_drives():
    X, _ = driven(1500, 0)
    model = network(n_init=2).fit(X[0])
    ahead, _ = driven(160, 1, n_pieces=300)
    start, rows = ahead[:, :101], ahead[:, 101:]
    band = model.forecast_interval(59, 0.9, context=start)
    inside = ((band.lower <= rows) & (rows <= band.upper)).mean(axis=(0, 2))
    # Without factors: all of the first rows, and three quarters of the last.
    assert (inside > 0.84).all()
    assert (inside < 0.96).all()
    half = model.forecast_interval(59, 0.5, context=start)
    inside = ((half.lower <= rows) & (rows <= half.upper)).mean(axis=(0, 2))
    assert (np.abs(inside - 0.5) < 0.12).all()
    # The band is that of the samples.
    np.testing.assert_array_equal(np.quantile(band.samples, 0.95, axis=0), band.upper)
    np.testing.assert_allclose(band.samples.mean(axis=0), half.mean)


def test_bands_know_inputs_and_several_trajectories():
    X, u = driven(300, 2, n_pieces=4)
    model = network(n_init=2).fit(list(X), u=list(u))
    ahead, acting = driven(160, 3, n_pieces=300)
    band = model.forecast_interval(
        30, 0.9, context=ahead[:, :101], u=acting[:, 100:130]
    )
    rows = ahead[:, 101:131]
    inside = ((band.lower <= rows) & (rows <= band.upper)).mean(axis=(0, 2))
    assert (inside > 0.82).all()
    # The order of trajectories means nothing.
    other = network(n_init=2).fit(list(X[::-1]), u=list(u[::-1]))
    np.testing.assert_array_equal(other._spread.factors, model._spread.factors)


def test_one_restart_and_little_data_measure_no_bands():
    X, _ = driven(200, 4)
    assert network().fit(X[0])._spread is None
    few = network(n_init=2).fit(X[0, :20])
    assert few._spread is None
    assert np.isfinite(few.forecast_interval(5).upper).all()


def test_bands_lie_within_those_of_larger_coverage():
    t = np.arange(400)
    X = np.sin(0.1 * t)[:, None]
    X = X + 0.1 * np.random.default_rng(0).standard_normal(X.shape)
    model = network(n_init=2, random_state=0).fit(X)
    before = None
    for coverage in (0.5, 0.8, 0.9, 0.95, 0.99):
        band = model.forecast_interval(100, coverage)
        if before is not None:
            assert (band.lower <= before.lower + 1e-9).all()
            assert (band.upper >= before.upper - 1e-9).all()
        ends = np.quantile(band.samples, [(1 - coverage) / 2, (1 + coverage) / 2], 0)
        np.testing.assert_allclose(band.lower, ends[0], atol=1e-9)
        np.testing.assert_allclose(band.upper, ends[1], atol=1e-9)
        before = band


def test_many_short_trajectories_are_windows_too():
    pieces = [np.zeros((20, 1))] * 50
    assert windows_ahead(pieces, None, 1).rows.shape == (50, 19, 1)
    # Of one, windows have to lie apart.
    assert windows_ahead([np.zeros((101, 1))], None, 1).rows.shape[1] == 25
    assert windows_ahead([np.zeros((21, 1))] * 10, None, 1).rows.shape[1] == 10


def test_what_is_asked_of_bands():
    X = np.sin(0.1 * np.arange(120, dtype=np.float32))[:, None]
    model = network(n_init=2).fit(X)
    for n_samples in (1, 2.5, "all"):
        with pytest.raises(ValueError, match="integer of at least 2"):
            model.forecast_interval(3, n_samples=n_samples)
    band = model.forecast_interval(np.array(3))
    kinds = {part.dtype for part in (band.mean, band.lower, band.upper, band.samples)}
    assert kinds == {np.dtype(np.float32)}

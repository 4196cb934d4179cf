"""Dimension and exponent: by their definitions, and where they are known."""

import dataclasses

import numpy as np
import pytest

from skdyn.metrics import correlation_dimension, largest_lyapunov_exponent
from skdyn.preprocessing import DelayEmbedding

pytestmark = pytest.mark.filterwarnings("error")

EVERYTHING = (1e-12, 1e12)


def circle(n, step=0.0861):
    t = step * np.arange(n)
    return np.stack([np.cos(t), np.sin(t)], axis=1)


def noise(n, d):
    return np.random.default_rng(0).uniform(size=(n, d))


def torus():
    angles = 2 * np.pi * noise(5000, 2)
    return np.hstack([np.cos(angles), np.sin(angles)])


def memory(n, seed=0):
    """Noise with a memory of a few rows, two features."""
    shocks = np.random.default_rng(seed).standard_normal((2, n + 20))
    return np.stack([np.convolve(s, 0.8 ** np.arange(20))[20 : n + 20] for s in shocks])


def scaled(pieces):
    rows = np.concatenate(pieces)
    return [(x - rows.mean(axis=0)) / rows.std(axis=0) for x in pieces]


def rows_of(pieces):
    """All rows, with trajectory and time of each."""
    return [(i, k, row) for i, x in enumerate(pieces) for k, row in enumerate(x)]


# --- dimension: known answers


def test_lorenz_has_dimension_2_06(lorenz):
    for orbit in lorenz:
        estimate = correlation_dimension(orbit[::2])
        assert estimate.dimension == pytest.approx(2.06, abs=0.05)
        assert estimate.std_error < 0.1


def test_henon_has_dimension_1_21(henon):
    estimate = correlation_dimension(henon(10_000))
    assert estimate.dimension == pytest.approx(1.21, abs=0.04)


@pytest.mark.parametrize(
    ("make", "known", "tolerance"),
    [
        (lambda: circle(5000), 1, 0.02),
        (lambda: circle(4000, 2 * np.pi / 400), 1, 0.03),
        (lambda: circle(4000, 2 * np.pi / 100), 1, 0.1),
        (lambda: noise(5000, 1), 1, 0.02),
        (lambda: noise(5000, 2), 2, 0.05),
        (lambda: noise(5000, 3), 3, 0.12),
        (torus, 2, 0.08),
    ],
    ids=["circle", "period 400", "period 100", "line", "square", "cube", "torus"],
)
def test_smooth_sets_have_whole_dimensions(make, known, tolerance):
    estimate = correlation_dimension(make())
    assert estimate.dimension == pytest.approx(known, abs=tolerance)


def test_an_embedding_has_the_dimension_of_the_state(lorenz):
    x = lorenz[0][:20_000, :1]
    embedded = DelayEmbedding(4, delay=8).fit_transform(x)
    estimate = correlation_dimension(embedded, n_reference=2000)
    assert estimate.dimension == pytest.approx(2.06, abs=0.12)


def test_units_turns_and_flat_features_change_no_dimension(henon):
    X = henon(3000)
    plain = correlation_dimension(X)
    others = [
        X * [1024.0, 2.0**-9],
        1e200 * X,
        X[:, ::-1],
        np.hstack([X, np.full((3000, 1), 7.0)]),
        np.hstack([X, 1e-16 * noise(3000, 1)]),
    ]
    for other in others:
        got = correlation_dimension(other)
        np.testing.assert_allclose(got.radii, plain.radii)
        np.testing.assert_allclose(got.correlation_sums, plain.correlation_sums)
        assert got.dimension == pytest.approx(plain.dimension)
    short = correlation_dimension(X.astype(np.float32))
    assert short.dimension == pytest.approx(plain.dimension, abs=0.05)


# --- dimension: definition


@pytest.mark.parametrize("window", [0, 3, 25])
@pytest.mark.parametrize("cuts", [[], [150], [20, 22, 140]])
def test_the_correlation_sum_is_its_definition(window, cuts):
    pieces = np.split(memory(200).T, cuts)
    estimate = correlation_dimension(
        pieces, theiler_window=window, fit_range=EVERYTHING
    )
    rows = rows_of(scaled(pieces))
    distances = np.array(
        [
            np.linalg.norm(x - y)
            for i, k, x in rows
            for j, m, y in rows
            if i != j or abs(k - m) > window
        ]
    )
    want = [(distances < r).mean() for r in estimate.radii]
    np.testing.assert_allclose(estimate.correlation_sums, want)
    assert estimate.correlation_sums[-1] == 1
    assert (np.diff(estimate.radii) > 0).all()
    assert (np.diff(estimate.correlation_sums) > 0).all()
    slope = np.polyfit(np.log(estimate.radii), np.log(want), 1)[0]
    assert estimate.dimension == pytest.approx(slope)
    assert estimate.theiler_window == window


def test_repeated_rows_are_one_row():
    once = memory(300).T
    estimate = correlation_dimension(
        np.tile(once, (4, 1)), theiler_window=0, fit_range=EVERYTHING
    )
    alone = correlation_dimension(once, theiler_window=0, fit_range=EVERYTHING)
    np.testing.assert_allclose(estimate.radii, alone.radii)
    np.testing.assert_allclose(
        estimate.correlation_sums, alone.correlation_sums, rtol=1e-9
    )


def test_a_part_of_the_rows_speaks_for_all(henon):
    X = henon(4000)
    whole = correlation_dimension(X, n_reference=None)
    part = correlation_dimension(X, n_reference=1000)
    assert part.dimension == pytest.approx(whole.dimension, abs=0.05)
    assert part.dimension != whole.dimension
    same = correlation_dimension(X, n_reference=10**6)
    np.testing.assert_array_equal(same.correlation_sums, whole.correlation_sums)


def test_the_window_is_three_times_the_memory():
    t = np.arange(20_000)
    wave = np.cos(2 * np.pi * t / 203)[:, None]
    # cos(2 pi lag / 203) falls to 1/e at lag 38.6.
    assert correlation_dimension(wave, n_reference=100).theiler_window == 3 * 39
    assert largest_lyapunov_exponent(wave, n_steps=9).theiler_window == 3 * 39
    assert correlation_dimension(noise(500, 2)).theiler_window == 3
    slow = np.cos(np.pi * np.arange(500) / 500)[:, None]
    # At most a tenth of all rows.
    assert largest_lyapunov_exponent(slow, n_steps=5).theiler_window == 50


def test_the_region_is_found_and_can_be_told(henon):
    X = henon(3000)
    found = correlation_dimension(X)
    told = correlation_dimension(X, fit_range=found.fit_range)
    assert told.dimension == found.dimension
    assert told.fit_range == found.fit_range
    assert told.std_error < found.std_error
    assert repr(found).startswith("DimensionEstimate(1.2 +- 0.0")
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.dimension = 3


# --- exponent: known answers


def test_lorenz_loses_a_factor_e_in_1_1_time_units(lorenz):
    for orbit in lorenz:
        estimate = largest_lyapunov_exponent(orbit, dt=0.01)
        assert estimate.exponent == pytest.approx(0.906, rel=0.1)
    mean = largest_lyapunov_exponent(orbit, dt=0.01, average="mean")
    # What the docstring says of it: saturated pairs hold it back.
    assert mean.exponent < estimate.exponent
    assert mean.exponent == pytest.approx(0.906, rel=0.12)


@pytest.mark.parametrize("n", [1000, 5000])
@pytest.mark.parametrize("average", ["median", "mean"])
def test_maps_have_their_exponents(henon, logistic, n, average):
    got = largest_lyapunov_exponent(henon(n), average=average).exponent
    assert got == pytest.approx(0.419, rel=0.07)
    got = largest_lyapunov_exponent(logistic(n), average=average).exponent
    assert got == pytest.approx(np.log(2), rel=0.03)


@pytest.mark.parametrize("step", [0.0861, 2 * np.pi / 100])
def test_a_limit_cycle_has_exponent_zero(step):
    estimate = largest_lyapunov_exponent(circle(4000, step), dt=0.1)
    assert estimate.exponent == pytest.approx(0, abs=0.02)


def test_one_observable_is_enough(lorenz, henon):
    embedded = DelayEmbedding(4, delay=8).fit_transform(lorenz[0][:, :1])
    got = largest_lyapunov_exponent(embedded, dt=0.01, n_reference=2000).exponent
    assert got == pytest.approx(0.906, rel=0.1)
    embedded = DelayEmbedding(2).fit_transform(henon(3000)[:, :1])
    assert largest_lyapunov_exponent(embedded).exponent == pytest.approx(0.419, rel=0.1)


def test_time_and_units_are_units(henon):
    X = henon(2000)
    plain = largest_lyapunov_exponent(X)
    fast = largest_lyapunov_exponent(1e200 * X + 0.0, dt=0.25)
    assert fast.exponent == pytest.approx(4 * plain.exponent)
    assert fast.std_error == pytest.approx(4 * plain.std_error)
    assert fast.fit_range == tuple(0.25 * t for t in plain.fit_range)
    np.testing.assert_allclose(fast.divergence, plain.divergence)


def test_noise_has_no_exponent():
    with pytest.warns(UserWarning, match="comes to its end within 1 step"):
        estimate = largest_lyapunov_exponent(noise(2000, 3))
    assert np.isnan(estimate.exponent)
    assert np.isnan(estimate.std_error)


# --- exponent: definition


@pytest.mark.parametrize("average", ["median", "mean"])
@pytest.mark.parametrize("window", [0, 4])
@pytest.mark.parametrize("cuts", [[], [60, 64, 130]])
def test_divergence_is_its_definition(average, window, cuts):
    steps = 6
    pieces = np.split(memory(200).T, cuts)
    estimate = largest_lyapunov_exponent(
        pieces, average=average, theiler_window=window, n_steps=steps, fit_range=(0, 6)
    )
    z = scaled(pieces)
    rows = [(i, k, x) for i, k, x in rows_of(z) if k + steps < len(z[i])]
    logs = []
    for i, k, x in rows:
        _, j, m = min(
            (np.linalg.norm(x - y), j, m)
            for j, m, y in rows
            if i != j or abs(k - m) > window
        )
        ahead = np.arange(steps + 1)
        logs.append(np.log(np.linalg.norm(z[i][k + ahead] - z[j][m + ahead], axis=1)))
    want = getattr(np, average)(logs, axis=0)
    np.testing.assert_allclose(estimate.divergence, want)
    np.testing.assert_array_equal(estimate.times, np.arange(steps + 1))
    assert estimate.exponent == pytest.approx(np.polyfit(range(7), want, 1)[0])


def test_trajectories_share_neighbours_but_no_future(logistic):
    x = logistic(4000)
    whole = largest_lyapunov_exponent(x)
    pieces = largest_lyapunov_exponent(x.reshape(40, 100, 1))
    assert pieces.exponent == pytest.approx(whole.exponent, rel=0.05)
    listed = largest_lyapunov_exponent(list(x.reshape(40, 100, 1)))
    assert listed.exponent == pieces.exponent


def test_the_line_is_found_before_the_end_and_can_be_told(henon):
    X = henon(5000)
    found = largest_lyapunov_exponent(X)
    told = largest_lyapunov_exponent(X, fit_range=found.fit_range)
    assert told.exponent == found.exponent
    first, last = (int(t) for t in found.fit_range)
    assert last - first >= 4
    assert found.divergence[last] < found.saturation - 1
    slope = np.polyfit(range(first, last + 1), found.divergence[first : last + 1], 1)[0]
    assert found.exponent == pytest.approx(slope)
    assert repr(found).startswith("ExponentEstimate(0.4")
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.exponent = 3


def test_the_standard_error_is_about_the_error(henon, logistic):
    for make, known in ((henon, 0.4192), (logistic, np.log(2))):
        for n in (500, 2000, 8000):
            estimate = largest_lyapunov_exponent(make(n))
            assert abs(estimate.exponent - known) < 4 * estimate.std_error
            assert estimate.std_error < 0.1 * known


# --- refusals


@pytest.mark.parametrize("estimate", [correlation_dimension, largest_lyapunov_exponent])
def test_data_that_says_nothing_is_refused(estimate):
    with pytest.raises(ValueError, match="at least 50 rows, got 49"):
        estimate(circle(49))
    with pytest.raises(ValueError, match="needs rows that differ"):
        estimate(np.ones((100, 2)))
    with pytest.raises(ValueError, match="needs rows that differ"):
        estimate(1.0 + 1e-15 * noise(100, 2))
    with pytest.raises(ValueError, match="contains NaN"):
        estimate(np.where(np.arange(100)[:, None] == 3, np.nan, circle(100)))
    with pytest.raises(ValueError, match="1-D series"):
        estimate(circle(100)[:, 0])
    for bad in (-1, 2.5, True, "sturges"):
        with pytest.raises(ValueError, match="theiler_window needs an integer"):
            estimate(circle(100), theiler_window=bad)
    for bad in ((2, 1), (1,), 3, ("a", "b"), (1, np.nan)):
        with pytest.raises(ValueError, match="fit_range needs two increasing numbers"):
            estimate(circle(100), fit_range=bad)
    with pytest.raises(ValueError, match="n_reference needs an integer"):
        estimate(circle(100), n_reference=0)
    with pytest.raises(ValueError, match="fit_range needs to hold at least"):
        estimate(circle(100), fit_range=(1e8, 1e9))


def test_too_few_pairs_are_refused():
    with pytest.raises(ValueError, match=r"theiler_window=100 rows apart, got 0. Pass"):
        correlation_dimension(circle(100), theiler_window=100)
    with pytest.raises(ValueError, match="at least 4 radii"):
        correlation_dimension(np.tile([[0.0], [1.0]], (50, 1)), theiler_window=0)
    with pytest.raises(ValueError, match="neighbour more than theiler_window=100 rows"):
        largest_lyapunov_exponent(circle(100), theiler_window=100)
    with pytest.raises(ValueError, match="99 rows ahead of both, got 0"):
        largest_lyapunov_exponent(circle(100), n_steps=99)
    with pytest.raises(ValueError, match="n_steps needs an integer of at least 1"):
        largest_lyapunov_exponent(circle(100), n_steps=0)
    with pytest.raises(ValueError, match="dt needs a positive number, got 0"):
        largest_lyapunov_exponent(circle(100), dt=0)
    with pytest.raises(ValueError, match="average needs 'median' or 'mean', got 'max'"):
        largest_lyapunov_exponent(circle(100), average="max")

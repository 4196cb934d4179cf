"""Known answers and laws of the choice of a delay and a dimension."""

import dataclasses
import warnings

import numpy as np
import pytest

from skdyn.datasets import make_lorenz63
from skdyn.preprocessing import DelayEmbedding, choose_delay, choose_dimension

pytestmark = pytest.mark.filterwarnings("error")

METHODS = ["cao", "false_neighbors"]


def henon(n, start=0.1):
    x, y, out = start, 0.1, []
    for _ in range(n + 100):
        x, y = 1 - 1.4 * x * x + y, 0.3 * x
        out.append(x)
    return np.array(out[100:])[:, None]


def logistic(n, start=0.3):
    x, out = start, []
    for _ in range(n):
        x = 4 * x * (1 - x)
        out.append(x)
    return np.array(out)[:, None]


def sine(n, period, phase=0.3):
    return np.sin(2 * np.pi * np.arange(n) / period + phase)[:, None]


@pytest.fixture(scope="module")
def lorenz():
    return make_lorenz63(10_000, dt=0.01)


# --- the delay: known answers


@pytest.mark.parametrize("period", [42, 102, 250])
def test_the_autocorrelation_of_a_sine_crosses_zero_at_a_quarter_period(period):
    # cos(2 pi lag / period) changes sign between two lags, half a row from either.
    choice = choose_delay(sine(5000, period), method="autocorrelation", threshold=0.0)
    assert choice.delay == np.ceil(period / 4)
    assert choice.found
    n = 2 * period
    exact = np.cos(2 * np.pi * np.arange(n) / period)
    np.testing.assert_allclose(choice.curve[:n], exact, atol=0.02)


def test_the_autocorrelation_falls_to_1_over_e_at_the_time_constant_of_an_ar1():
    rng = np.random.default_rng(0)
    x = np.zeros(200_000)
    shocks = rng.standard_normal(len(x))
    for k in range(1, len(x)):
        x[k] = np.exp(-1 / 9.5) * x[k - 1] + shocks[k]
    choice = choose_delay(x[:, None], method="autocorrelation", max_delay=30)
    assert choice.delay == 10
    assert choice.threshold == pytest.approx(np.exp(-1))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_mutual_information_of_lorenz_has_its_first_minimum_where_it_is_known(seed):
    x = make_lorenz63(10_000, dt=0.01, random_state=seed)[:, [0]]
    choice = choose_delay(x, max_delay=60)
    assert 0.15 <= 0.01 * choice.delay <= 0.20
    assert choice.found
    assert choice.threshold is None


def test_the_mutual_information_is_that_of_the_counts():
    # An alternating series of two values: each says all about any other, log 2.
    x = np.tile([3.0, 5.0], 50)[:, None]
    choice = choose_delay(x, n_bins=2, max_delay=4)
    np.testing.assert_allclose(choice.curve[[0, 2, 4]], np.log(2))
    # At odd lags 99 or 97 pairs: one of the two is the earlier one once more.
    for lag in (1, 3):
        p = np.array([50 - lag // 2, 50 - lag // 2 - 1]) / (100 - lag)
        assert choice.curve[lag] == pytest.approx(-(p * np.log(p)).sum())


def test_the_mutual_information_of_gaussians_is_the_known_one():
    # I = -log(1 - rho^2) / 2 for a Gaussian pair, here with rho = 0.8 ** lag.
    rng = np.random.default_rng(1)
    x = np.zeros(200_000)
    shocks = rng.standard_normal(len(x))
    for k in range(1, len(x)):
        x[k] = 0.8 * x[k - 1] + 0.6 * shocks[k]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        curve = choose_delay(x[:, None], max_delay=5).curve
    exact = -np.log(1 - 0.8 ** (2 * np.arange(1, 6))) / 2
    np.testing.assert_allclose(curve[1:], exact, atol=0.02)


def test_a_value_that_makes_up_nearly_all_of_a_series_leaves_information():
    # Forty values beside the zeros, so that quantiles are all the same.
    x = np.zeros((4000, 1))
    x[::100, 0] = 1.0 + 0.01 * np.arange(40)
    curve = choose_delay(x, max_delay=150).curve
    assert curve[0] > 0.05
    assert curve[100] > 0.9 * curve[0]
    assert curve[1:100].max() < 0.01


# --- the delay: several trajectories and features


def pieces(seed=3):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 3, size=(n, 1)).astype(float) for n in (40, 9, 23)]


def by_hand(trajectories, lag):
    return [
        (x[k, 0], x[k + lag, 0])
        for x in trajectories
        for k in range(len(x))
        if k + lag < len(x)
    ]


def test_pairs_are_pooled_and_never_reach_into_another_trajectory():
    X = pieces()
    rows = np.concatenate(X)
    centre, variance = rows.mean(), rows.var()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        information = choose_delay(X, n_bins=3, max_delay=12).curve
        correlation = choose_delay(X, method="autocorrelation", max_delay=12).curve
        glued = choose_delay(rows, n_bins=3, max_delay=12).curve
    for lag in range(13):
        pairs = by_hand(X, lag)
        total = len(pairs)
        expected = 0.0
        for a in (0.0, 1.0, 2.0):
            for b in (0.0, 1.0, 2.0):
                both = sum(pair == (a, b) for pair in pairs) / total
                one = sum(early == a for early, _ in pairs) / total
                other = sum(late == b for _, late in pairs) / total
                if both:
                    expected += both * np.log(both / (one * other))
        assert information[lag] == pytest.approx(expected, abs=1e-12)
        product = np.mean([(a - centre) * (b - centre) for a, b in pairs]) / variance
        assert correlation[lag] == pytest.approx(product, abs=1e-12)
    assert not np.allclose(information[1:], glued[1:])


@pytest.mark.parametrize("method", ["mutual_information", "autocorrelation"])
def test_a_list_of_one_is_the_array_and_a_list_of_equals_the_3d_array(lorenz, method):
    x = lorenz[:3000, :1]
    one, many = choose_delay(x, method=method), choose_delay([x], method=method)
    assert one.delay == many.delay
    np.testing.assert_array_equal(one.curve, many.curve)
    halves = [x[:1500], x[1500:]]
    listed = choose_delay(halves, method=method)
    stacked = choose_delay(np.stack(halves), method=method)
    np.testing.assert_array_equal(listed.curve, stacked.curve)


@pytest.mark.parametrize("method", ["mutual_information", "autocorrelation"])
def test_the_curve_of_several_features_is_the_mean_of_theirs(lorenz, method):
    X = lorenz[:3000]
    kwargs = {"method": method, "max_delay": 80}
    each = [choose_delay(X[:, [j]], **kwargs).curve for j in range(3)]
    np.testing.assert_allclose(choose_delay(X, **kwargs).curve, np.mean(each, axis=0))


@pytest.mark.parametrize("method", ["mutual_information", "autocorrelation"])
def test_units_and_precision_do_not_matter_to_the_delay(lorenz, method):
    x = lorenz[:3000, :1]
    plain = choose_delay(x, method=method)
    for other in (1e-3 * x + 5.0, 1e200 * x, x.astype(np.float32)):
        choice = choose_delay(other, method=method)
        assert choice.delay == plain.delay
        np.testing.assert_allclose(choice.curve, plain.curve, atol=1e-3)


def test_the_default_looks_as_far_as_half_of_the_rows_pair_and_no_further():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3000, 1))
    assert choose_delay(x).lags[-1] == 1000
    assert choose_delay(x[:100]).lags[-1] == 50
    # 10 trajectories of 30 rows: 300 rows, 150 pairs at lag 15.
    assert choose_delay(x[:300].reshape(10, 30, 1)).lags[-1] == 15


# --- the delay: what it says


def test_lags_and_curve_go_with_each_other_and_the_choice_is_frozen(lorenz):
    choice = choose_delay(lorenz[:, :1], max_delay=40)
    np.testing.assert_array_equal(choice.lags, np.arange(41))
    assert choice.curve.shape == (41,)
    d = choice.delay
    assert choice.curve[d] < choice.curve[d - 1]
    assert choice.curve[d] <= choice.curve[d + 1]
    assert (np.diff(choice.curve[: d + 1]) < 0).all()
    assert repr(choice) == f"DelayChoice(delay={d}, by mutual information)"
    assert isinstance(choice.delay, int)
    with pytest.raises(dataclasses.FrozenInstanceError):
        choice.delay = 3


def test_no_minimum_is_said(lorenz):
    with pytest.warns(UserWarning, match="no local minimum up to lag 8.*at lag 8"):
        choice = choose_delay(lorenz[:, :1], max_delay=8)
    assert (choice.delay, choice.found) == (8, False)
    assert repr(choice).endswith("not found)")


def test_no_crossing_is_said():
    with pytest.warns(UserWarning, match="does not fall to 0 up to lag 20"):
        choice = choose_delay(
            sine(1000, 102), method="autocorrelation", threshold=0.0, max_delay=20
        )
    assert (choice.delay, choice.found) == (20, False)


# --- the dimension: known answers


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [500, 5000])
def test_henon_has_dimension_2(method, n):
    choice = choose_dimension(henon(n), method=method)
    assert choice.dimension == 2
    assert choice.found


def test_lorenz_with_its_own_delay_has_dimension_3(lorenz):
    x = lorenz[:, :1]
    delay = choose_delay(x).delay
    choice = choose_dimension(x, delay=delay, method="false_neighbors")
    assert choice.dimension == 3
    assert choose_dimension(x, delay=delay).dimension == 3
    embedding = DelayEmbedding(choice.dimension, delay=delay).fit(x)
    assert embedding.transform(x).shape == (len(x) - 2 * delay, 3)


@pytest.mark.parametrize("method", METHODS)
def test_the_whole_state_of_lorenz_needs_no_past(lorenz, method):
    X = lorenz[:5000]
    choice = choose_dimension(X, delay=10, method=method)
    assert choice.dimension == 1
    scaled = choose_dimension(X * [1.0, 1024.0, 2.0**-9], delay=10, method=method)
    np.testing.assert_allclose(scaled.curve, choice.curve)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("period", [100, 97.3])
@pytest.mark.parametrize("n", [500, 5000])
def test_a_sine_has_dimension_2_even_where_it_repeats_itself(method, period, n):
    # With period 100 each row has exact copies up to rounding: no distance of theirs
    # may enter a ratio.
    choice = choose_dimension(sine(n, period, phase=0.0), delay=24, method=method)
    assert choice.dimension == 2
    settled = 1.0 if method == "cao" else 0.0
    np.testing.assert_allclose(choice.curve[1:], settled, atol=0.03)


@pytest.mark.parametrize("method", METHODS)
def test_exact_twins_in_another_trajectory_do_no_harm(method):
    x = henon(800)
    choice = choose_dimension([x, x], method=method)
    assert choice.dimension == 2
    assert np.isfinite(choice.curve).all()


def test_what_counts_is_the_future():
    # The logistic map tells the next value from one, but not the last one: there are
    # two preimages, however long the future that is known.
    x = logistic(3000)
    assert choose_dimension(x, method="false_neighbors").dimension == 1
    with pytest.warns(UserWarning, match="is above 0.01 at any dimension up to 3"):
        back = choose_dimension(x[::-1], method="false_neighbors", max_dimension=3)
    assert not back.found
    assert (back.curve > 0.3).all()


def test_white_noise_is_told_from_chaos_by_e2():
    x = np.random.default_rng(0).standard_normal((5000, 1))
    with (
        pytest.warns(UserWarning, match="look random"),
        pytest.warns(UserWarning, match="E1 does not reach 0.9"),
    ):
        noise = choose_dimension(x, max_dimension=6)
    np.testing.assert_allclose(noise.companion, 1, atol=0.1)
    chaos = choose_dimension(henon(5000), max_dimension=6)
    assert np.abs(chaos.companion - 1).max() > 0.3


# --- the dimension: against the definitions, neighbour by neighbour


def vectors(trajectories, n_blocks, delay):
    """All delay vectors, each with its trajectory and time."""
    return [
        (i, k, np.array([x[k + j * delay] for j in range(n_blocks)]))
        for i, x in enumerate(trajectories)
        for k in range(len(x) - (n_blocks - 1) * delay)
    ]


def nearest(all_vectors, d, norm, window):
    for i, k, z in all_vectors:
        candidates = [
            (norm(z[:d] - other[:d]), other)
            for j, m, other in all_vectors
            if i != j or abs(k - m) > window
        ]
        distance, other = min(candidates, key=lambda pair: pair[0])
        yield distance, norm(z[: d + 1] - other[: d + 1]), norm(z[d] - other[d])


def maximum(v):
    return np.abs(v).max()


def euclidean(v):
    return np.sqrt((v**2).sum())


CASES = {
    "henon": ([henon(120)], 1, 0),
    "window": ([make_lorenz63(150, dt=0.05)[:, [0]]], 2, 6),
    "three": ([henon(70), henon(3, 0.2), henon(60, 0.05)], 2, 25),
    "features": ([henon(80) * [1.0, 0.0] + logistic(80) * [0.0, 9.0]], 1, 2),
}


def standardised(trajectories):
    rows = np.concatenate(trajectories)
    return [(x - rows.mean(axis=0)) / rows.std(axis=0) for x in trajectories]


@pytest.mark.parametrize("case", CASES)
def test_cao_is_its_definition(case):
    trajectories, delay, window = CASES[case]
    top = 3
    known = vectors(standardised(trajectories), top + 2, delay)
    growth, spread = [], []
    for d in range(1, top + 2):
        found = list(nearest(known, d, maximum, window))
        growth.append(np.mean([after / before for before, after, _ in found]))
        spread.append(np.mean([step for _, _, step in found]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        choice = choose_dimension(
            trajectories, delay=delay, max_dimension=top, theiler_window=window
        )
    np.testing.assert_allclose(choice.curve, np.divide(growth[1:], growth[:-1]))
    np.testing.assert_allclose(choice.companion, np.divide(spread[1:], spread[:-1]))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("tolerances", [(15.0, 2.0), (3.0, np.inf), (np.inf, 0.7)])
def test_false_neighbors_are_their_definition(case, tolerances):
    trajectories, delay, window = CASES[case]
    r_tol, a_tol = tolerances
    top = 3
    known = vectors(standardised(trajectories), top + 1, delay)
    size = np.sqrt(trajectories[0].shape[1])
    expected = [
        np.mean(
            [
                step / before > r_tol or after / size > a_tol
                for before, after, step in nearest(known, d, euclidean, window)
            ]
        )
        for d in range(1, top + 1)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        choice = choose_dimension(
            trajectories,
            delay=delay,
            method="false_neighbors",
            max_dimension=top,
            theiler_window=window,
            r_tol=r_tol,
            a_tol=a_tol,
        )
    np.testing.assert_allclose(choice.curve, expected)


def test_the_window_matters_and_is_the_delay_unless_told(lorenz):
    x = lorenz[:2000, :1]
    kwargs = {"delay": 17, "max_dimension": 3, "method": "false_neighbors"}
    plain = choose_dimension(x, **kwargs, threshold=1.0)
    told = choose_dimension(x, **kwargs, threshold=1.0, theiler_window=17)
    open_ = choose_dimension(x, **kwargs, threshold=1.0, theiler_window=0)
    np.testing.assert_array_equal(plain.curve, told.curve)
    assert not np.array_equal(plain.curve, open_.curve)


# --- the dimension: forms, cost, what it says


@pytest.mark.parametrize("method", METHODS)
def test_forms_of_the_same_data_agree(method):
    x = henon(1000)
    one, many = choose_dimension(x, method=method), choose_dimension([x], method=method)
    np.testing.assert_array_equal(one.curve, many.curve)
    halves = [x[:500], x[500:]]
    listed = choose_dimension(halves, method=method)
    stacked = choose_dimension(np.stack(halves), method=method)
    np.testing.assert_array_equal(listed.curve, stacked.curve)
    huge = choose_dimension(1e200 * x, method=method)
    np.testing.assert_allclose(huge.curve, one.curve)
    short = choose_dimension(x.astype(np.float32), method=method)
    assert short.dimension == one.dimension


@pytest.mark.parametrize("method", METHODS)
def test_trajectories_too_short_for_a_vector_take_no_part(method):
    # They do count in the scale: these have the mean and the variance of the other.
    x = henon(1000)
    stub = np.array([[x.mean() - x.std()], [x.mean() + x.std()]])
    alone = choose_dimension(x, method=method)
    with_stubs = choose_dimension([stub, x, stub], method=method)
    np.testing.assert_allclose(with_stubs.curve, alone.curve)


@pytest.mark.parametrize("method", METHODS)
def test_a_part_of_the_rows_speaks_for_all_of_them(method):
    x = make_lorenz63(4000, dt=0.05)[:, [0]]
    kwargs = {"delay": 3, "max_dimension": 3, "method": method}
    whole = choose_dimension(x, **kwargs, n_reference=None)
    same = choose_dimension(x, **kwargs, n_reference=10**6)
    np.testing.assert_array_equal(same.curve, whole.curve)
    part = choose_dimension(x, **kwargs, n_reference=1000)
    again = choose_dimension(x, **kwargs, n_reference=1000)
    np.testing.assert_array_equal(part.curve, again.curve)
    np.testing.assert_allclose(part.curve, whole.curve, rtol=0.25, atol=0.02)
    assert not np.array_equal(part.curve, whole.curve)


def test_the_rows_asked_are_not_in_step_with_the_data():
    # 4,000 vectors and a period of 100: each 100th row would be the same one, whose
    # neighbour is false or not. In all, half of the rows share their value with one
    # of the other slope.
    x = sine(4000 + 2 * 25, 100, phase=0.0)
    choice = choose_dimension(
        x, delay=25, method="false_neighbors", max_dimension=2, n_reference=40
    )
    assert 0.3 < choice.curve[0] < 0.8


@pytest.mark.parametrize("method", METHODS)
def test_the_dimension_is_the_first_that_passes_and_the_choice_is_frozen(method):
    choice = choose_dimension(henon(1000), method=method, max_dimension=7)
    np.testing.assert_array_equal(choice.dimensions, np.arange(1, 8))
    assert choice.curve.shape == (7,)
    if method == "cao":
        assert choice.companion.shape == (7,)
        assert choice.threshold == 0.9
        passes = choice.curve >= 0.9
    else:
        assert choice.companion is None
        assert choice.threshold == 0.01
        passes = choice.curve <= 0.01
    assert choice.dimension == 1 + np.argmax(passes)
    assert repr(choice).startswith("DimensionChoice(dimension=2, by ")
    with pytest.raises(dataclasses.FrozenInstanceError):
        choice.dimension = 3


@pytest.mark.parametrize("method", METHODS)
def test_no_dimension_is_said(method):
    # Three numbers are the state of Lorenz; two do not do, whatever the method.
    x = make_lorenz63(5000, dt=0.01)[:, [0]]
    with pytest.warns(UserWarning, match="at any dimension up to 2; .* was taken"):
        choice = choose_dimension(x, delay=17, method=method, max_dimension=2)
    assert not choice.found
    best = np.argmax if method == "cao" else np.argmin
    assert choice.dimension == 1 + best(choice.curve)


# --- errors


X = henon(200)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"method": "mutual"}, "method needs 'mutual_information' or"),
        ({"max_delay": 0}, "max_delay needs an integer of at least 2, got 0"),
        ({"max_delay": 1}, "at least 2, got 1"),
        ({"max_delay": 0, "method": "autocorrelation"}, "at least 1, got 0"),
        ({"max_delay": 2.5}, "got 2.5"),
        ({"max_delay": True}, "got True"),
        ({"max_delay": 191}, "at least 10 pairs .* 191 rows apart, got 9"),
        ({"n_bins": 1}, "n_bins needs an integer from 2 to 1000, got 1"),
        ({"n_bins": 10**7}, "n_bins needs an integer from 2 to 1000"),
        ({"n_bins": "sturges"}, "n_bins needs .* got 'sturges'"),
        ({"threshold": 2.0}, "threshold needs a number from -1 to 1, got 2.0"),
        ({"threshold": np.nan}, "got nan"),
    ],
)
def test_bad_parameters_of_the_delay_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        choose_delay(X, **kwargs)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"method": "fnn"}, "method needs 'cao' or 'false_neighbors', got 'fnn'"),
        ({"delay": 0}, "delay needs an integer of at least 1, got 0"),
        ({"max_dimension": 0}, "max_dimension needs .* got 0"),
        ({"max_dimension": 2.0}, "max_dimension needs .* got 2.0"),
        ({"threshold": 1.5}, "threshold needs a number from 0 to 1, got 1.5"),
        ({"theiler_window": -1}, "theiler_window needs an integer of at least 0"),
        ({"n_reference": 0}, "n_reference needs an integer of at least 1"),
        ({"r_tol": -1.0}, "r_tol needs a number from 0 to inf"),
        ({"a_tol": "2"}, "a_tol needs a number"),
        ({"delay": 18}, "at least 10 delay vectors of 199 rows each, .* got 2"),
        ({"theiler_window": 100}, "at least 190 delay vectors .* got 189"),
    ],
)
def test_bad_parameters_of_the_dimension_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        choose_dimension(X, **kwargs)


@pytest.mark.parametrize("choose", [choose_delay, choose_dimension])
def test_data_that_says_nothing_is_refused(choose):
    with pytest.raises(ValueError, match=r"got 7 in all rows of column 1. Drop"):
        choose(np.hstack([X, np.full_like(X, 7.0)]))
    with pytest.raises(ValueError, match="1-D series"):
        choose(X[:, 0])
    with pytest.raises(ValueError, match="contains NaN"):
        choose(np.where(np.arange(200)[:, None] == 3, np.nan, X))
    with pytest.raises(ValueError, match="at least"):
        choose(X[:5])


def test_data_that_repeat_a_pair_of_values_within_the_window_are_refused():
    x = np.zeros((60, 1))
    x[3] = 1.0
    # The one row asked is the first; all values outside its window equal its own.
    with pytest.raises(ValueError, match="No row has a distinct neighbour"):
        choose_dimension(x, max_dimension=1, theiler_window=8, n_reference=1)

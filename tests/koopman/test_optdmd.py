"""Optimised DMD against known exponentials, even and uneven, clean and noisy."""

import numpy as np
import pytest
from scipy import linalg
from sklearn.exceptions import ConvergenceWarning

from skdyn.koopman import BOPDMD, DMD, OptDMD
from skdyn.koopman._varpro import Block, _evaluate, fit_rates, misfit, pair_up

A = np.array([[1.0, -2.0], [1.0, -1.0]])  # x' = A x turns at 1 per unit time
X0 = np.array([1.0, 0.1])
DT = 0.01


def flow(t, A=A, x0=X0):
    values, vectors = np.linalg.eig(A)
    b = np.linalg.solve(vectors, x0)
    return ((np.exp(np.multiply.outer(t, values)) * b) @ vectors.T).real


def noisy(t, level, seed=0):
    rng = np.random.default_rng(seed)
    return flow(t) + level * rng.standard_normal((len(t), 2))


def uneven(n, end, seed=0):
    return np.sort(np.random.default_rng(seed).uniform(0, end, n))


@pytest.mark.parametrize("t", [DT * np.arange(4000), uneven(4000, 40.0)])
def test_rates_of_the_paper(t):
    # Askham & Kutz 2018, section 4.1: x' = A x has the rates +-i.
    model = OptDMD(dt=DT).fit(flow(t), t=t)
    np.testing.assert_allclose(model.rates_, [1j, -1j], atol=1e-12)
    ahead = t[-1] + DT * np.arange(1, 101)
    np.testing.assert_allclose(model.predict(100), flow(ahead), atol=1e-11)


def test_noise_leaves_the_generator():
    t = DT * np.arange(4000)
    model = OptDMD(dt=DT).fit(noisy(t, 0.01))
    modes, rates = model.spectrum_.modes, model.rates_
    got = (np.linalg.inv(modes) @ (rates[:, None] * modes)).real.T
    np.testing.assert_allclose(got, A, atol=1e-3)
    # Where DMD, which regresses rows on the rows before, loses the oscillation.
    dmd = DMD(dt=DT).fit(noisy(t, 0.1)).spectrum_
    opt = OptDMD(dt=DT).fit(noisy(t, 0.1)).spectrum_
    assert abs(opt.growth_rates[0]) < 1e-2 * abs(dmd.growth_rates[0])


def test_forty_short_trajectories_share_one_spectrum():
    rng = np.random.default_rng(3)
    z = 0.980 + 0.199j
    curves = z ** np.arange(6) * (rng.standard_normal((40, 2)) @ [1, 1j])[:, None]
    X = list(np.stack([curves.real, curves.imag + 0.3 * curves.real], axis=2))
    model = OptDMD().fit(X)
    np.testing.assert_allclose(
        model.spectrum_.eigenvalues, [z, z.conjugate()], atol=1e-12
    )
    assert model.spectrum_.amplitudes.shape == (40, 2)
    for got, curve in zip(model.predict(3), curves, strict=True):
        np.testing.assert_allclose(got[:, 0], (curve[-1] * z ** np.arange(1, 4)).real)
    stacked = np.concatenate(X)
    assert abs(OptDMD().fit(stacked).spectrum_.eigenvalues[0] - z) > 0.01


def test_trajectories_of_many_lengths_and_times():
    times = [uneven(60, 9.0, 1), DT * np.arange(300), uneven(90, 5.0, 2) + 7.0]
    starts = [[1.0, 0.1], [-0.4, 2.0], [0.3, 0.3]]
    X = [flow(t - t[0], x0=x0) for t, x0 in zip(times, starts, strict=True)]
    model = OptDMD(dt=0.05).fit(X, t=times)
    np.testing.assert_allclose(model.rates_, [1j, -1j], atol=1e-11)
    for got, t, x0 in zip(model.predict(4), times, starts, strict=True):
        ahead = t[-1] - t[0] + 0.05 * np.arange(1, 5)
        np.testing.assert_allclose(got, flow(ahead, x0=x0), atol=1e-10)


def test_more_modes_than_features():
    k = np.arange(300)
    x = np.sin(0.3 * k) + 0.98**k * np.cos(0.11 * k) + 0.95**k
    model = OptDMD(rank=5).fit(x[:, None])
    want = [0.3j, -0.3j, np.log(0.98) + 0.11j, np.log(0.98) - 0.11j, np.log(0.95)]
    np.testing.assert_allclose(model.rates_, want, atol=1e-9)
    assert model.min_context_ == 5
    np.testing.assert_allclose(model.spectrum_.residuals, 0, atol=1e-6)
    j = np.arange(300, 340)
    ahead = np.sin(0.3 * j) + 0.98**j * np.cos(0.11 * j) + 0.95**j
    np.testing.assert_allclose(model.predict(40)[:, 0], ahead, atol=1e-9)
    one = model.predict(x[:, None])[:-1, 0]
    np.testing.assert_allclose(one, x[5:], atol=1e-9)


def test_units_of_a_damped_sine():
    dt, rate, frequency = 0.05, -0.2, 1.5
    t = dt * np.arange(400)
    x = np.exp(rate * t) * np.cos(2 * np.pi * frequency * t)
    for model in (OptDMD(2, dt=dt).fit(x[:, None]), OptDMD(2).fit(x[:, None], t=t)):
        spectrum = model.spectrum_
        np.testing.assert_allclose(spectrum.growth_rates, rate, atol=1e-10)
        np.testing.assert_allclose(np.abs(spectrum.frequencies), frequency, atol=1e-10)
        factor = np.exp((rate + 2j * np.pi * frequency) * dt)
        np.testing.assert_allclose(spectrum.eigenvalues[0], factor, atol=1e-10)


def test_alternating_signs_are_half_a_turn_per_row():
    x = (-0.9) ** np.arange(30)
    model = OptDMD(1).fit(x[:, None])
    np.testing.assert_allclose(model.spectrum_.eigenvalues, [-0.9], atol=1e-10)
    np.testing.assert_allclose(model.predict(2)[:, 0], (-0.9) ** np.array([30, 31]))


def test_complex_data():
    t = 0.1 * np.arange(80)
    rates = np.array([-0.1 + 2j, 0.05 - 1j])
    X = np.exp(np.multiply.outer(t, rates)) @ np.array([[1, 2j, 0.5], [1j, 1, -1]])
    model = OptDMD(2, dt=0.1).fit(X)
    np.testing.assert_allclose(np.sort(model.rates_), np.sort(rates), atol=1e-10)
    assert model.predict(3).dtype == np.complex128


def test_constraints():
    t = 0.1 * np.arange(200)
    growing = np.exp(0.05 * t)[:, None] * np.column_stack([np.cos(t), np.sin(t)])
    X = growing + 0.05 * np.random.default_rng(0).standard_normal(growing.shape)
    free = OptDMD(dt=0.1).fit(X)
    stable = OptDMD(dt=0.1, constraint="stable").fit(X)
    imaginary = OptDMD(dt=0.1, constraint="imaginary").fit(X)

    def slow(rates):
        return np.minimum(rates.real, 0.02) + 1j * rates.imag

    custom = OptDMD(dt=0.1, constraint=slow).fit(X)
    np.testing.assert_allclose(free.rates_.real, 0.05, atol=2e-3)
    np.testing.assert_array_equal(stable.rates_.real, 0)
    np.testing.assert_array_equal(imaginary.rates_.real, 0)
    np.testing.assert_allclose(custom.rates_.real, 0.02)
    # Where growth is ruled out in both ways, the optimum is the same.
    np.testing.assert_allclose(stable.rates_.imag, imaginary.rates_.imag, rtol=1e-6)
    for model in (free, stable, imaginary, custom):
        np.testing.assert_array_equal(model.rates_[1], model.rates_[0].conj())


def random_problem(seed=0, r=3, n=40, q=2):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.uniform(0, 3, n))
    rates = -0.3 * rng.random(r) + 1j * rng.standard_normal(r)
    X = rng.standard_normal((n, q)) + 1j * rng.standard_normal((n, q))
    return rates, Block(t, X), rng


def test_gradient_and_gauss_newton_matrix():
    rates, block, rng = random_problem()
    _, hessian, gradient = _evaluate([block], rates)
    step = rng.standard_normal(3) + 1j * rng.standard_normal(3)
    direction = np.concatenate([step.real, step.imag])
    h = 1e-5

    def rest(a):
        Q = np.linalg.qr(np.exp(np.multiply.outer(block.t, a)))[0]
        return block.X - Q @ (Q.conj().T @ block.X)

    # The loss is half the sum of squares.
    slope = (misfit(rates + h * step, block) - misfit(rates - h * step, block)) / 4 / h
    np.testing.assert_allclose(gradient @ direction, slope, rtol=1e-7)
    moved = (rest(rates + h * step) - rest(rates - h * step)) / 2 / h
    curvature = np.vdot(moved, moved).real
    np.testing.assert_allclose(direction @ hessian @ direction, curvature, rtol=1e-7)


def test_blocks_add_up():
    rates, block, _ = random_problem(q=4)
    halves = [Block(block.t, block.X[:, :2]), Block(block.t, block.X[:, 2:])]
    for whole, parts in zip(
        _evaluate([block], rates), _evaluate(halves, rates), strict=True
    ):
        np.testing.assert_allclose(parts, whole, rtol=1e-10)


def test_the_optimum_is_one():
    t = 0.1 * np.arange(100)
    X = noisy(t, 0.1)
    start, basis = pair_up(np.array([0.1 + 0.8j, 0.1 - 0.8j]), conjugate=True)
    found = fit_rates([Block(t, X)], start, basis=basis)
    assert found.converged
    for step in 1e-3 * np.array([1, -1, 1j, -1j]):
        moved = found.values + np.array([step, np.conj(step)])
        assert misfit(moved, Block(t, X)) > found.loss


def test_linearised_errors_are_the_scatter():
    t = 0.05 * np.arange(200)
    fits = [OptDMD(dt=0.05).fit(noisy(t, 0.1, seed)) for seed in range(100)]
    scatter = np.std([fit.rates_[0].real for fit in fits])
    claimed = np.median([fit.spectrum_.growth_rate_errors[0] for fit in fits])
    assert 0.8 < claimed / scatter < 1.25
    turns = np.std([fit.rates_[0].imag for fit in fits]) / 2 / np.pi
    claimed = np.median([fit.spectrum_.frequency_errors[0] for fit in fits])
    assert 0.8 < claimed / turns < 1.25


def test_a_longer_context_gives_a_better_start():
    t = DT * np.arange(4000)
    model = OptDMD(dt=DT).fit(noisy(t, 0.1))
    errors = [
        np.abs(model.forecast(50, context=noisy(t[:n], 0.1, 9)) - flow(t[n : n + 50]))
        for n in (1, 1000)
    ]
    assert errors[1].max() < errors[0].max() / 5


def test_one_step_is_least_squares_of_all_rows_before():
    t = 0.1 * np.arange(60)
    model = OptDMD(dt=0.1).fit(noisy(t, 0.1))
    fresh = noisy(t, 0.1, 5)
    got = model.predict(fresh)
    for i in (0, 1, 20, 58):
        want = model.forecast(1, context=fresh[: i + 1])
        np.testing.assert_allclose(got[i : i + 1], want, atol=1e-10)


def test_fewer_exponentials_than_asked_for():
    k = np.arange(200)
    with pytest.warns(UserWarning, match=r"rank=4 is above the 2 exponentials"):
        model = OptDMD(4).fit(np.sin(0.3 * k)[:, None])
    np.testing.assert_allclose(model.rates_, [0.3j, -0.3j], atol=1e-10)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"rank": 30}, "at least 31 rows, got 30"),
        ({"rank": 2, "initial_rates": [1j]}, "needs 2 finite rates"),
        ({"rank": 2, "initial_rates": [1j, 2j]}, "conjugate pairs"),
        ({"constraint": lambda rates: rates[:1]}, "return 2 finite rates"),
        ({"constraint": "unit"}, "constraint"),
    ],
)
def test_bad_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        OptDMD(**params).fit(noisy(0.1 * np.arange(30), 0.01))


def test_bad_times():
    X = noisy(0.1 * np.arange(30), 0.01)
    with pytest.raises(ValueError, match="strictly increasing"):
        OptDMD().fit(X, t=np.zeros(30))
    with pytest.raises(ValueError, match="a time for each of 30 rows, got 29"):
        OptDMD().fit(X, t=np.arange(29.0))


def test_too_few_steps_are_told():
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        OptDMD(max_iter=1, tol=0).fit(noisy(0.1 * np.arange(30), 0.3))


def test_initial_rates_are_used():
    t = uneven(40, 40.0, 4)  # too sparse for the default start
    X = np.cos(9.0 * t)[:, None]
    model = OptDMD(2, dt=0.1, initial_rates=[8.98j, -8.98j]).fit(X, t=t)
    np.testing.assert_allclose(model.rates_, [9j, -9j], atol=1e-9)


def test_float32_is_fitted_in_double():
    t = DT * np.arange(2000)
    model = OptDMD(dt=DT).fit(flow(t).astype(np.float32))
    np.testing.assert_allclose(model.rates_, [1j, -1j], atol=1e-6)
    assert model.predict(2).dtype == np.float32


# -- bagging ---------------------------------------------------------------------------


def test_bagging_reports_the_fit_of_all_rows():
    X = noisy(0.1 * np.arange(100), 0.05)
    bagged, plain = BOPDMD(dt=0.1, n_trials=5).fit(X), OptDMD(dt=0.1).fit(X)
    np.testing.assert_array_equal(bagged.rates_, plain.rates_)
    np.testing.assert_array_equal(bagged.predict(9), plain.predict(9))
    assert bagged.rates_samples_.shape == (5, 2)
    assert 0.04 < bagged.noise_std_ < 0.06


def bagged_coverage(n_repeats, n_rows, n_trials):
    t, inside, held = 0.05 * np.arange(n_rows), [], []
    for seed in range(n_repeats):
        model = BOPDMD(dt=0.05, n_trials=n_trials).fit(noisy(t, 0.01, seed))
        spectrum = model.spectrum_
        off = np.array([model.rates_[0].real, model.rates_[0].imag - 1])
        size = [
            spectrum.growth_rate_errors[0],
            spectrum.frequency_errors[0] * 2 * np.pi,
        ]
        inside.append(np.abs(off) < 1.645 * np.array(size))
        interval = model.forecast_interval(20)
        ahead = flow(t[-1] + 0.05 * np.arange(1, 21))
        seen = ahead + 0.01 * np.random.default_rng(seed + 999).standard_normal((20, 2))
        held.append((interval.lower < seen) & (seen < interval.upper))
    return np.mean(inside), np.mean(held)


def test_bagged_intervals_cover():
    rates, rows = bagged_coverage(40, 60, 30)
    assert 0.75 < rates < 1
    assert 0.75 < rows < 1


@pytest.mark.slow
def test_bagged_intervals_cover_as_claimed():
    rates, rows = bagged_coverage(200, 400, 100)
    assert 0.85 < rates < 0.95
    assert 0.85 < rows < 0.95


def test_trial_size_is_corrected_for():
    X = noisy(0.05 * np.arange(300), 0.05)
    half, most = (
        BOPDMD(dt=0.05, trial_size=f, n_trials=100).fit(X).spectrum_ for f in (0.5, 0.8)
    )
    ratio = most.growth_rate_errors[0] / half.growth_rate_errors[0]
    assert 0.7 < ratio < 1.4
    assert half.mode_errors.shape == (2, 2)


def test_intervals_keep_the_form_and_widen_with_coverage():
    t = 0.05 * np.arange(100)
    X = [noisy(t, 0.05, 1), noisy(t[:60], 0.05, 2)]
    model = BOPDMD(dt=0.05, n_trials=10).fit(X)
    narrow = model.forecast_interval(5, coverage=0.5)
    wide = model.forecast_interval(5, coverage=0.95)
    assert isinstance(narrow.lower, list)
    for a, b in zip(narrow.lower, wide.lower, strict=True):
        assert a.shape == (5, 2)
        assert (a > b).all()
    given = model.forecast_interval(5, context=np.stack([X[0], X[0]]))
    assert given.lower.shape == (2, 5, 2)
    assert given.samples.shape == (10, 2, 5, 2)
    again = model.forecast_interval(5, coverage=0.5)
    np.testing.assert_array_equal(again.lower[0], narrow.lower[0])
    with pytest.raises(ValueError, match="between 0 and 1"):
        model.forecast_interval(5, coverage=90)


def test_stacked_rows_are_the_exact_flow():
    # The helper itself, against the matrix exponential.
    np.testing.assert_allclose(
        flow(np.array([0.7]))[0], linalg.expm(0.7 * A) @ X0, atol=1e-13
    )


# -- what once went wrong --------------------------------------------------------------


def test_real_rates_keep_real_modes_in_several_trajectories():
    # A feature that has no part in a mode left its singular vector a free phase.
    k = np.arange(60)
    X = np.column_stack([np.cos(0.3 * k), np.sin(0.3 * k), 0.9**k])
    parts = [X[:20], X[20:33], X[40:]]
    model = OptDMD().fit(parts)
    for got, stop in zip(model.predict(5), (20, 33, 60), strict=True):
        j = stop + np.arange(5)
        want = np.column_stack([np.cos(0.3 * j), np.sin(0.3 * j), 0.9**j])
        np.testing.assert_allclose(got, want, atol=1e-10)
    spectrum = model.spectrum_
    rebuilt = spectrum.amplitudes @ spectrum.modes
    np.testing.assert_allclose(rebuilt, [X[0], X[20], X[40]], atol=1e-10)


def test_samples_start_where_the_trajectory_ends():
    t = 0.1 * np.arange(100)
    X = noisy(t, 0.05)
    model = BOPDMD(2, dt=0.1).fit(X)
    known, given = model.forecast_interval(10), model.forecast_interval(10, context=X)
    for interval in (known, given):
        drawn = interval.samples.mean(axis=0)
        assert np.abs(drawn - interval.mean).max() < 0.04
    widths = [(each.upper - each.lower).mean() for each in (known, given)]
    assert 0.8 < widths[0] / widths[1] < 1.25


def test_intervals_do_not_depend_on_the_size_of_refits():
    t = 0.1 * np.arange(200)
    X, widths = noisy(t, 0.05), []
    for size in (0.3, 0.5, 0.8):
        model = BOPDMD(2, dt=0.1, constraint="imaginary", trial_size=size).fit(X)
        far = model.forecast_interval(2000, context=X).samples[:, -1]
        widths.append(far.std())
    assert max(widths) < 1.4 * min(widths)


def test_refits_of_all_rows_know_no_errors():
    model = BOPDMD(2, n_trials=3).fit(np.random.default_rng(0).standard_normal((3, 2)))
    assert np.isnan(model.spectrum_.growth_rate_errors).all()


def test_a_constraint_keeps_pairs():
    t = 0.1 * np.arange(100)
    model = OptDMD(
        2, dt=0.1, constraint=lambda r: np.where(r.imag < 0, -0.2, 0) + 1j * r.imag
    ).fit(flow(t))
    assert model.rates_[1] == model.rates_[0].conj()
    assert model.rates_[0].real == pytest.approx(-0.1)


def test_few_rows_have_a_start_too():
    model = OptDMD(4).fit(np.sin(np.arange(6.0))[:, None])
    assert np.isfinite(model.predict(3)).all()


def test_frequencies_above_those_of_the_forecast_step():
    t = uneven(200, 20.0, 1)
    model = OptDMD(2, dt=0.5, initial_rates=[18.8j, -18.8j])
    spectrum = model.fit(np.cos(6 * np.pi * t)[:, None], t=t).spectrum_
    np.testing.assert_allclose(np.abs(spectrum.frequencies), 3.0, atol=1e-9)


def test_what_the_rows_do_not_determine_is_told():
    x = np.cos(0.3 * np.arange(60)) + np.cos(0.7 * np.arange(60))
    with pytest.warns(UserWarning, match="fewer rows than the 4"):
        OptDMD(4).fit([x[:, None], x[5:7, None]])


def test_an_uneven_index_asks_for_times():
    pd = pytest.importorskip("pandas")
    t = uneven(100, 20.0)
    frame = pd.DataFrame({"x": np.cos(t)}, index=t)
    with pytest.raises(ValueError, match="needed t, got none"):
        OptDMD(2).fit(frame)
    dates = pd.date_range("2020-01-01", periods=60, freq="MS")
    monthly = pd.DataFrame({"x": np.cos(0.5 * np.arange(60))}, index=dates)
    np.testing.assert_allclose(OptDMD(2).fit(monthly).rates_.imag, [0.5, -0.5])
    with pytest.raises(ValueError, match="got dates"):
        OptDMD(2).fit(monthly, t=dates)

"""NVAR: known maps are found exactly, and published figures are reached."""

from functools import cache

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from sklearn.linear_model import Ridge
from sklearn.preprocessing import PolynomialFeatures

from skdyn.base import ForecasterMixin
from skdyn.datasets import henon, logistic, lorenz63, make_trajectories
from skdyn.exceptions import DivergenceWarning
from skdyn.inspection import lyapunov_spectrum
from skdyn.metrics import forecast_scale, normalized_error, valid_prediction_time
from skdyn.preprocessing import DelayEmbedding, PolynomialLift
from skdyn.reservoir import NVAR
from skdyn.reservoir._delayed_rows import change_of_variables

# Of Lorenz-63, per unit time.
EXPONENT = 0.9056


def by_term(model):
    return dict(zip(model.terms_, model.coef_, strict=True))


@cache
def exact_lorenz(n, dt, n_trajectories=None, seed=0):
    return make_trajectories(
        lorenz63(),
        n,
        dt=dt,
        n_trajectories=n_trajectories,
        rtol=1e-12,
        atol=1e-12,
        random_state=seed,
    )


def lyapunov_times(model, dt, X, scale):
    """Mean valid prediction time of the ends of trajectories, in Lyapunov times."""
    least = model.min_context_
    truth = X[:, least:]
    guess = model.forecast(truth.shape[1], X[:, :least])
    return (
        float(valid_prediction_time(truth, guess, scale=scale).mean()) * dt * EXPONENT
    )


def windows_of(X, n_rows, n_windows):
    starts = np.linspace(0, len(X) - n_rows, n_windows).astype(int)
    return np.stack([X[i : i + n_rows] for i in starts])


def wobbling(seed, n=60, d=2):
    rng = np.random.default_rng(seed)
    t, phase = np.arange(n)[:, None], rng.uniform(0, 6, d)
    return (1 + seed) * (np.sin(0.37 * t + phase) + 0.1 * rng.standard_normal((n, d)))


# -- what is known is found ------------------------------------------------------------


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize("target", ["next", "delta"])
def test_the_henon_map_is_found(target, standardise):
    X = make_trajectories(henon(), 60)
    model = NVAR(1, degree=3, alpha=0.0, target=target, standardise=standardise).fit(X)
    expected = {"1": [1, 0], "x0(t)": [0, 0.3], "x1(t)": [1, 0], "x0(t)^2": [-1.4, 0]}
    if target == "delta":
        expected["x0(t)"], expected["x1(t)"] = [-1, 0.3], [1, -1]
    found = by_term(model)
    assert len(found) == 10
    for term, coef in found.items():
        np.testing.assert_allclose(coef, expected.get(term, [0, 0]), atol=1e-10)


def test_the_logistic_map_is_found_from_two_rows_before():
    # x[k + 1] = 3.9 x[k] (1 - x[k]) whatever the row before was.
    X = make_trajectories(logistic(r=3.9), 80)
    found = by_term(NVAR(2, degree=2, alpha=0.0, target="next").fit(X))
    expected = {"x0(t)": 3.9, "x0(t)^2": -3.9}
    assert list(found) == [
        "1",
        "x0(t)",
        "x0(t-1)",
        "x0(t)^2",
        "x0(t) x0(t-1)",
        "x0(t-1)^2",
    ]
    # The rows before are dependent where x[k] is a polynomial of them: not here.
    prediction = NVAR(2, degree=2, alpha=0.0, target="next").fit(X).predict(X[:-1])
    np.testing.assert_allclose(prediction, X[2:], atol=1e-10)
    single = by_term(NVAR(1, degree=2, alpha=0.0, target="next").fit(X))
    for term, coef in single.items():
        np.testing.assert_allclose(coef, expected.get(term, 0), atol=1e-10)


def test_a_linear_autoregression_is_found():
    rng = np.random.default_rng(0)
    A, B, c = 0.6 * np.eye(2), np.array([[0.1, 0.2], [-0.3, 0.1]]), [3.0, -50.0]
    X = [rng.standard_normal((60, 2)) for _ in range(3)]
    for x in X:
        for k in range(4, 59):
            x[k + 1] = c + x[k] @ A + x[k - 4] @ B
    X = [x[1:] for x in X]
    model = NVAR(3, delay=2, degree=1, alpha=0.0, target="next").fit(X)
    assert model.min_context_ == 5
    found = by_term(model)
    for i in range(2):
        np.testing.assert_allclose(found[f"x{i}(t)"], A[i], atol=1e-9)
        np.testing.assert_allclose(found[f"x{i}(t-2)"], [0, 0], atol=1e-9)
        np.testing.assert_allclose(found[f"x{i}(t-4)"], B[i], atol=1e-9)
    np.testing.assert_allclose(found["1"], c, atol=1e-7)


def test_inputs_and_their_past_are_found():
    rng = np.random.default_rng(1)
    u, x = rng.standard_normal((80, 2)), np.zeros((80, 1))
    for k in range(1, 79):
        x[k + 1] = 0.4 * x[k] - 0.5 * u[k, 0] + 0.3 * u[k - 1, 1] * x[k - 1] + 2
    model = NVAR(2, degree=2, alpha=0.0, target="next").fit(x[1:60], u=u[1:60])
    expected = {"1": 2, "x0(t)": 0.4, "u0(t)": -0.5, "x0(t-1) u1(t-1)": 0.3}
    for term, coef in by_term(model).items():
        np.testing.assert_allclose(coef, expected.get(term, 0), atol=1e-9)
    ahead = model.forecast(20, u=u[59:79])
    np.testing.assert_allclose(ahead, x[60:80], atol=1e-8)
    whole = model.forecast(20, context=x[40:60], u=u[40:79])
    np.testing.assert_allclose(whole, ahead, atol=1e-12)
    with pytest.raises(ValueError, match="inputs of the context as well"):
        model.forecast(20, context=x[40:60], u=u[59:79])


def test_terms_have_the_names_of_columns():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(wobbling(0), columns=["prey", "fox"])
    terms = NVAR(degree=2, alpha=1.0).fit(frame).terms_
    assert {"prey(t)", "fox(t-1)", "prey(t) fox(t-1)"} <= set(terms)


# -- laws ------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["delta", "next"])
def test_it_is_a_scaler_an_embedding_a_lift_and_a_ridge(target):
    X, alpha = [wobbling(0, 50), wobbling(4, 70)], 1e-3
    mean, scale = np.vstack(X).mean(axis=0), np.vstack(X).std(axis=0)
    Z = [(x - mean) / scale for x in X]
    embed = DelayEmbedding(2, delay=3).fit(Z)
    lift = PolynomialLift(3, include_bias=False).fit(embed.transform(Z))
    lifted = lift.transform(embed.transform(Z))
    before = np.vstack([rows[:-1] for rows in lifted])
    after = np.vstack([z[4:] for z in Z])
    base = np.vstack([z[3:-1] for z in Z]) if target == "delta" else 0.0
    ridge = Ridge(alpha=alpha * len(before)).fit(before, after - base)
    model = NVAR(2, delay=3, degree=3, alpha=alpha, target=target).fit(X)
    got = np.vstack([rows[:-1] for rows in model.predict(X)])
    want = (base + ridge.predict(before)) * scale + mean
    np.testing.assert_allclose(got, want, atol=1e-9)


@pytest.mark.parametrize("target", ["delta", "next"])
@pytest.mark.parametrize("standardise", [True, False])
def test_partial_fit_adds_up_with_its_units(target, standardise):
    X = [wobbling(0) + 3, wobbling(4, 50), wobbling(1, 40) - 20]
    U = [wobbling(i + 7, len(x), 1) for i, x in enumerate(X)]
    model = NVAR(2, degree=2, alpha=1e-3, target=target, standardise=standardise)
    whole = model.fit(X, u=U)
    mean, scale, coef = whole.mean_, whole.scale_, whole.coef_
    parts = NVAR(**whole.get_params())
    for x, u in zip(X, U, strict=True):
        parts.partial_fit(x, u=u)
    np.testing.assert_allclose(parts.mean_, mean, atol=1e-12)
    np.testing.assert_allclose(parts.scale_, scale, rtol=1e-12)
    np.testing.assert_allclose(parts.coef_, coef, rtol=1e-8, atol=1e-10)


def test_partial_fit_needs_the_same_model():
    model = NVAR(1, degree=2, alpha=1e-3).fit(wobbling(0))
    model.set_params(degree=3)
    with pytest.raises(ValueError, match="model of the earlier data"):
        model.partial_fit(wobbling(1))
    assert not hasattr(NVAR(), "partial_fit")


def test_units_and_offsets_of_columns_do_not_matter():
    X, unit, offset = wobbling(0, 90), np.array([1e-4, 300.0]), np.array([5.0, -1e4])
    one, other = NVAR().fit(X), NVAR().fit(X * unit + offset)
    assert one.alpha_ == other.alpha_
    want = one.predict(12) * unit + offset
    np.testing.assert_allclose(other.predict(12), want, rtol=1e-6)


def test_without_standardising_auto_follows_the_units():
    X = wobbling(0, 90)
    one, other = (NVAR(1, degree=1, standardise=False).fit(c * X) for c in (1.0, 1e3))
    assert other.alpha_ == pytest.approx(1e6 * one.alpha_)
    np.testing.assert_allclose(other.predict(5), 1e3 * one.predict(5), rtol=1e-6)


@pytest.mark.parametrize("n_inputs", [0, 2])
@pytest.mark.parametrize(("n_delays", "delay"), [(1, 1), (2, 1), (3, 2)])
@pytest.mark.parametrize("target", ["delta", "next"])
def test_a_rollout_is_repeated_steps(n_delays, delay, n_inputs, target):
    X, U = [wobbling(0), wobbling(1)], None
    if n_inputs:
        U = [wobbling(i, d=n_inputs) for i in (2, 3)]
    model = NVAR(n_delays, delay=delay, degree=2, alpha=1e-2, target=target).fit(X, u=U)
    state = model._begin_all(model.context_.pieces, model._past_inputs)
    ahead = None
    if n_inputs:
        ahead = np.random.default_rng(0).standard_normal((2, 30, n_inputs))
    want = ForecasterMixin._rollout(model, state, 30, ahead)
    np.testing.assert_allclose(model._rollout(state, 30, ahead), want, atol=1e-10)


@pytest.mark.parametrize("n_inputs", [0, 2])
@pytest.mark.parametrize(("n_delays", "delay"), [(1, 1), (2, 1), (3, 2)])
@pytest.mark.parametrize("target", ["delta", "next"])
def test_the_jacobian_is_that_of_a_step(n_delays, delay, n_inputs, target):
    x, u = wobbling(0), wobbling(2, d=n_inputs) if n_inputs else None
    model = NVAR(n_delays, delay=delay, degree=3, alpha=1e-2, target=target).fit(x, u=u)
    state = model._begin_all(model.context_.pieces, model._past_inputs)
    acting = None if u is None else u[-1:]
    jacobian, h = model._jacobian(state, acting)[0], 1e-5
    for i in range(state.shape[1]):
        move = h * np.eye(state.shape[1])[i]
        up, down = (model._step(state + s * move, acting)[0][0] for s in (1, -1))
        np.testing.assert_allclose(jacobian[:, i], (up - down) / (2 * h), atol=1e-6)


def test_many_starts_at_once_are_the_starts_one_by_one():
    X = make_trajectories(henon(), 700)
    model = NVAR(1, degree=2, alpha=0.0).fit(X[:60])
    # More than one block of what goes forward together.
    starts = np.repeat(X[60:, None], 60, axis=0)
    got = model.forecast(3, starts)
    np.testing.assert_allclose(got[::60], model.forecast(3, X[60:, None]), rtol=1e-9)
    np.testing.assert_allclose(got[::60][:-3, 0], X[61:-2], atol=1e-8)


def test_lyapunov_exponents_of_what_was_learned():
    model = NVAR(1, degree=2, alpha=0.0).fit(make_trajectories(henon(), 100))
    spectrum = lyapunov_spectrum(model, n_steps=1000)
    # The area shrinks by 0.3 at each step, everywhere.
    assert spectrum.sum == pytest.approx(np.log(0.3), abs=1e-6)
    assert spectrum.exponents[0] == pytest.approx(0.419, abs=0.02)


def test_a_change_of_variables_is_linear_in_the_monomials():
    rng = np.random.default_rng(0)
    x, a, b = rng.standard_normal((50, 3)), np.array([2.0, -0.5, 1.0]), [0.3, 0.0, -2.0]
    lift = PolynomialFeatures(4).fit(x)
    T = change_of_variables(lift.powers_, a, np.array(b))
    np.testing.assert_allclose(
        lift.transform(a * x + b), lift.transform(x) @ T, atol=1e-9
    )


# -- alpha="auto" ----------------------------------------------------------------------


def test_auto_judges_closed_loops_that_were_left_out():
    X = wobbling(0, 83)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    model = NVAR(2, degree=2, standardise=False).fit(X)
    # The same by hand: rows 1 to 81 have a successor and a row before.
    folds, lead, scale = np.array_split(np.arange(1, 82), 5), 1, forecast_scale(X)
    n_steps, alpha, errors = min(len(f) for f in folds) // 2, model.alphas_[12], []
    for fold in folds:
        others = [X[: fold[0] + 1], X[fold[-1] + 1 - lead :]]
        loop = NVAR(2, degree=2, alpha=alpha, standardise=False)
        loop.fit([x for x in others if len(x) > 2])
        starts = fold[: len(fold) - n_steps + 1]
        guess = loop.forecast(n_steps, np.stack([X[i - lead : i + 1] for i in starts]))
        truth = np.stack([X[i + 1 : i + 1 + n_steps] for i in starts])
        e = np.minimum(normalized_error(truth, guess, scale=scale), 1)
        errors.append(np.maximum.accumulate(e, axis=1).mean())
    assert model.alpha_errors_[12] == pytest.approx(np.mean(errors), rel=1e-8)
    assert model.alpha_ == model.alphas_[model.alpha_errors_.argmin()]


def test_auto_keeps_a_closed_loop_stable_where_least_squares_fails():
    X, dt = exact_lorenz(1000, 0.02), 0.02
    least_squares, auto = NVAR(alpha=0.0).fit(X), NVAR().fit(X)
    # Of one step, least squares has the smaller error.
    assert least_squares.score(X) >= auto.score(X)
    with pytest.warns(DivergenceWarning):
        least_squares.predict(200)
    ahead = exact_lorenz(900, dt, 6, seed=1)
    assert lyapunov_times(auto, dt, ahead, forecast_scale(X)) > 10


def test_auto_takes_more_for_noise():
    X = exact_lorenz(1000, 0.02)
    noise = np.random.default_rng(0).standard_normal(X.shape) * X.std(axis=0)
    assert NVAR().fit(X).alpha_ < 1e-9 < NVAR().fit(X + 0.05 * noise).alpha_


@pytest.mark.parametrize("n", [3, 4, 7, 12])
def test_few_rows_are_enough(n):
    model = NVAR().fit(wobbling(0, n))
    assert np.isfinite(model.predict(3)).all()


def test_a_constant_column_is_continued():
    X = np.column_stack([wobbling(0)[:, 0], np.full(60, 7e5)])
    np.testing.assert_allclose(NVAR(degree=2).fit(X).predict(4)[:, 1], 7e5)


# -- published figures -----------------------------------------------------------------


def test_figures_of_gauthier_on_their_data():
    # That of their code: 200 rows pass, and rows 199 to 598 are moved on by one.
    def velocity(t, x):
        return (
            10 * (x[1] - x[0]),
            x[0] * (28 - x[2]) - x[1],
            x[0] * x[1] - 8 / 3 * x[2],
        )

    start = [17.67715816276679, 12.931379185960404, 43.91404334248268]
    times, dt = np.linspace(0, 135, 5401), 0.025
    X = solve_ivp(velocity, (0, 135), start, t_eval=times, method="RK23").y.T
    rows = X[198:600]
    model = NVAR(2, degree=2, alpha=2.5e-6 / 400, standardise=False).fit(rows)
    error = model.predict(rows[:-1]) - rows[2:]
    assert len(error) == 400
    # Their scale: the variance of all numbers, whichever column they are in.
    assert np.sqrt((error**2).mean() / X.var()) == pytest.approx(1.03e-4, rel=0.05)
    ahead = windows_of(X[598:], 500, 40)
    found = lyapunov_times(model, dt, ahead, forecast_scale(X))
    assert found == pytest.approx(4.8, abs=0.6)


@pytest.mark.parametrize("alpha", [1e-9 / 400, "auto"])
def test_figures_of_gauthier_on_accurate_data(alpha):
    X, dt = exact_lorenz(402, 0.025), 0.025
    model = NVAR(2, degree=3, alpha=alpha).fit(X)
    ahead = exact_lorenz(700, dt, 6, seed=1)
    assert lyapunov_times(model, dt, ahead, forecast_scale(ahead[0])) > 9.5


@pytest.mark.parametrize(
    ("n", "dt", "least"),
    [
        (1024, 2**-6, 14),
        (512, 2**-6, 12.5),
        pytest.param(256, 2**-5, 10, marks=pytest.mark.slow),
    ],
)
def test_polynomial_flow_maps(n, dt, least):
    model = NVAR(1, degree=7, alpha=0.0).fit(exact_lorenz(1024, dt)[:n])
    ahead = exact_lorenz(int(24 / dt), dt, 3, seed=1)
    assert lyapunov_times(model, dt, ahead, forecast_scale(ahead[0])) > least

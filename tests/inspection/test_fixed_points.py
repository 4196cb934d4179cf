"""Fixed points and cycles that are known in closed form, and what cannot be found."""

import numpy as np
import pytest
import sklearn.pipeline
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from skdyn.base import ForecasterMixin, Horizon
from skdyn.baselines import Persistence, RegressorForecaster
from skdyn.datasets import Flow, duffing, henon, logistic, lorenz63, make_lorenz63
from skdyn.inspection import fixed_points
from skdyn.koopman import DMD, DMDc
from skdyn.pipeline import make_pipeline
from skdyn.preprocessing import DelayEmbedding

BETA, RHO, SIGMA = 8 / 3, 28.0, 10.0
WING = np.sqrt(BETA * (RHO - 1))
LORENZ = np.array([[-WING, -WING, RHO - 1], [0, 0, 0], [WING, WING, RHO - 1]])


def lorenz_rates():
    """Eigenvalues of the velocity's derivative at the wings and at the origin."""
    cubic = [1, SIGMA + BETA + 1, BETA * (SIGMA + RHO), 2 * SIGMA * BETA * (RHO - 1)]
    root = np.sqrt((SIGMA + 1) ** 2 + 4 * SIGMA * (RHO - 1))
    origin = [(-SIGMA - 1 + root) / 2, -BETA, (-SIGMA - 1 - root) / 2]
    wing = np.roots(cubic)
    return wing[np.lexsort((-wing.imag, -wing.real))], np.array(origin)


# -- known systems -----------------------------------------------------------------


def test_lorenz():
    found = fixed_points(lorenz63())
    wing, origin = lorenz_rates()
    np.testing.assert_allclose(found.points, LORENZ, atol=1e-12)
    np.testing.assert_allclose(
        found.eigenvalues, [wing, origin, wing], atol=1e-11, rtol=1e-11
    )
    np.testing.assert_allclose(found.growth_rates, found.eigenvalues.real)
    assert not found.is_stable.any()
    assert found.is_isolated.all()
    assert found.residuals.max() < 1e-12
    assert found.is_flow
    blind = Flow(lorenz63().velocity, 3, start=lorenz63().start)
    again = fixed_points(blind)
    np.testing.assert_allclose(again.points, LORENZ, atol=1e-9)
    np.testing.assert_allclose(again.eigenvalues, found.eigenvalues, atol=1e-7)


def test_henon():
    found = fixed_points(henon())
    x = (-0.7 + np.array([-1, 1]) * np.sqrt(0.49 + 4 * 1.4)) / 2.8
    np.testing.assert_allclose(found.points, np.stack([x, 0.3 * x], 1), atol=1e-14)
    expected = -1.4 * x[:, None] + np.sqrt(1.96 * x**2 + 0.3)[:, None] * [1, -1]
    np.testing.assert_allclose(
        np.sort(found.eigenvalues.real, axis=1), np.sort(expected, axis=1), atol=1e-12
    )
    np.testing.assert_array_equal(found.states, found.points)


def test_logistic_cycle():
    r = 3.2
    found = fixed_points(logistic(r), period=2)
    root = np.sqrt((r - 3) * (r + 1))
    np.testing.assert_allclose(
        found.cycles[0, :, 0], [(r + 1 - root) / (2 * r), (r + 1 + root) / (2 * r)]
    )
    np.testing.assert_allclose(found.eigenvalues, [[4 + 2 * r - r**2]], atol=1e-12)
    assert found.is_stable.all()
    np.testing.assert_allclose(
        found.growth_rates, np.log(4 + 2 * r - r**2) / 2, atol=1e-12
    )
    one = fixed_points(logistic(r))
    np.testing.assert_allclose(one.points[:, 0], [0, 1 - 1 / r], atol=1e-15)
    np.testing.assert_allclose(one.eigenvalues[:, 0], [r, 2 - r], atol=1e-14)


@pytest.mark.parametrize(
    ("period", "n_cycles"), [(1, 2), (2, 1), (3, 2), (4, 3), (5, 6), (6, 9)]
)
def test_all_cycles_of_the_logistic_map(period, n_cycles):
    # At r = 4 all 2**p points with F^p(x) = x are real; each is sin(pi j / (2^p +- 1))
    # squared. Cycles of shorter period are left out, shifts are one cycle.
    starts = np.random.default_rng(0).uniform(size=(600, 1))
    found = fixed_points(logistic(4.0), starts=starts, period=period)
    assert len(found) == n_cycles
    moduli = np.abs(found.eigenvalues)[:, 0]
    at_zero = found.points[:, 0] < 1e-9
    np.testing.assert_allclose(moduli[~at_zero], 2.0**period, rtol=1e-6)
    angles = np.arcsin(np.sqrt(np.clip(found.cycles[:, :, 0], 0, 1))) / np.pi
    whole = np.stack([angles * (2**period - 1), angles * (2**period + 1)])
    away = np.abs(whole - np.round(whole)).max(axis=2).min(axis=0)
    np.testing.assert_allclose(away, 0, atol=1e-6)
    steps = logistic(4.0).step(found.cycles.reshape(-1, 1)).reshape(found.cycles.shape)
    np.testing.assert_allclose(steps, np.roll(found.cycles, -1, axis=1), atol=1e-9)


@pytest.mark.parametrize(("period", "n_cycles"), [(3, 0), (4, 1), (7, 4)])
def test_cycles_of_henons_map(period, n_cycles):
    # As many as interval arithmetic has proved there to be (Galias 2001, International
    # Journal of Bifurcation and Chaos 11, 2427); multipliers are (-b)^p in product.
    if n_cycles == 0:
        with pytest.warns(ConvergenceWarning, match=f"cycle of period {period}"):
            found = fixed_points(henon(), period=period)
        assert found.points.shape == (0, 2)
        assert found.cycles.shape == (0, period, 2)
        assert found.n_converged == 0
        return
    found = fixed_points(henon(), period=period, n_starts=600)
    assert len(found) == n_cycles
    np.testing.assert_allclose(
        found.eigenvalues.prod(axis=1), (-0.3) ** period, rtol=1e-5
    )


def test_a_function_and_its_starts():
    # x -> cos x: one fixed point, the Dottie number, with multiplier -sin.
    found = fixed_points(np.cos, starts=[[0.0], [1.0], [-5.0]])
    dottie = 0.7390851332151607
    np.testing.assert_allclose(found.points, [[dottie]], atol=1e-13)
    np.testing.assert_allclose(found.eigenvalues, [[-np.sin(dottie)]], atol=1e-9)
    assert found.is_stable.all()
    assert (found.n_starts, found.n_converged) == (3, 3)
    assert repr(found) == "FixedPoints(1 points, 1 stable; 3 of 3 starts converged)"


def test_units_do_not_matter():
    # The same map in coordinates of wildly different size.
    units = np.array([1e6, 1e-6])
    step = henon().step
    found = fixed_points(
        lambda x: step(x / units) * units, starts=[[0.0, 0.0]], n_starts=64
    )
    np.testing.assert_allclose(
        found.points / units, fixed_points(henon()).points, rtol=1e-9
    )


# -- degenerate ones ---------------------------------------------------------------


def test_a_line_of_fixed_points_is_told():
    def step(x):
        return np.stack([x[:, 0], 0.5 * x[:, 1]], axis=1)

    starts = np.array([[1.0, 1.0], [2.0, -1.0], [3.0, 5.0]])
    with pytest.warns(
        UserWarning, match=r"3 of 3 fixed point\(s\) of step are not iso"
    ):
        found = fixed_points(step, starts=starts)
    # The least step to the line leaves the first coordinate.
    np.testing.assert_allclose(found.points, starts * [1, 0], atol=1e-9)
    np.testing.assert_allclose(found.eigenvalues, [[1, 0.5]] * 3, atol=1e-9)
    assert not found.is_isolated.any()
    assert not found.is_stable.any()


def test_persistence_is_fixed_everywhere():
    X = np.arange(12.0).reshape(6, 2) ** 2
    with pytest.warns(UserWarning, match="Persistence are not isolated"):
        found = fixed_points(Persistence().fit(X), context=X)
    assert not found.is_isolated.any()
    np.testing.assert_array_equal(found.residuals, 0.0)
    distance = np.abs(found.points[:, None] - X).max(axis=2).min(axis=0)
    np.testing.assert_array_equal(distance, 0.0)


def test_a_double_point_is_found_and_told():
    # x -> x + x²: the fixed point 0 is about to vanish, Newton's method is slow there.
    with pytest.warns(UserWarning, match="not isolated"):
        found = fixed_points(lambda x: x + x**2, starts=[[0.5], [-0.7]])
    assert len(found) == 1
    np.testing.assert_allclose(found.points, 0.0, atol=1e-7)


def test_a_centre_is_not_stable():
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    found = fixed_points(lambda x: x @ turn, starts=[[1.0, 0.0]])
    np.testing.assert_allclose(np.abs(found.eigenvalues), 1.0, atol=1e-9)
    assert not found.is_stable.any()
    assert found.is_isolated.all()
    swing = Flow(lambda t, x: np.stack([x[:, 1], -x[:, 0]], axis=1), 2)
    assert not fixed_points(swing, starts=[[1.0, 0.0]]).is_stable.any()


def test_nothing_to_be_found():
    with pytest.warns(ConvergenceWarning, match="ended at none from 2 start"):
        found = fixed_points(lambda x: x + 1.0, starts=[[0.0], [1.0]])
    assert len(found) == 0
    assert found.eigenvalues.shape == (0, 1)
    assert found.points.shape == (0, 1)


# -- forecasters -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_model_of_lorenz_has_the_points_of_the_system(dtype):
    X = make_lorenz63(3000, dt=0.02).astype(dtype)
    regressor = sklearn.pipeline.make_pipeline(
        PolynomialFeatures(4), LinearRegression()
    )
    model = make_pipeline(StandardScaler(), RegressorForecaster(regressor)).fit(X)
    found = fixed_points(model, context=X, dt=0.02, n_starts=48)
    wing, origin = lorenz_rates()
    near = np.abs(found.points[:, None] - LORENZ).max(axis=2)
    # It may have others, farther out than what it has seen.
    np.testing.assert_array_less(near.min(axis=0)[[0, 2]], 0.01)
    rates = found.growth_rates[near.argmin(axis=0)]
    single = dtype == np.float32
    close = 1.0 if single else 0.1
    np.testing.assert_allclose(rates[[0, 2]], [wing.real] * 2, atol=close)
    if single:
        # Its regression does not know the origin, which no row is near.
        return
    assert near.min(axis=0)[1] < 0.5
    np.testing.assert_allclose(rates[1], origin, atol=0.5)
    inside = near.argmin(axis=0)
    forecast = model.forecast(3, context=found.points[inside][:, None].astype(dtype))
    np.testing.assert_allclose(
        forecast, np.repeat(found.points[inside][:, None], 3, axis=1), atol=1e-3
    )


def test_rows_come_back_through_the_pipeline():
    # A forecast that starts from a fixed row repeats it, in the units of the data.
    rng = np.random.default_rng(0)
    X = np.empty((300, 2))
    X[0] = 30.0, -1.0
    for k in range(299):
        rest = (X[k] - [30.0, -1.0]) @ [[0.5, 0.01], [1.0, 0.6]]
        X[k + 1] = [30.0, -1.0] + rest + rng.standard_normal(2) * [1.0, 0.1]
    regressor = RegressorForecaster(LinearRegression(), n_lags=2)
    for model in (
        make_pipeline(StandardScaler(), regressor),
        make_pipeline(StandardScaler(), DelayEmbedding(3), regressor),
        make_pipeline(DelayEmbedding(2), make_pipeline(StandardScaler(), regressor)),
        sklearn.pipeline.make_pipeline(DelayEmbedding(2), regressor),
    ):
        found = fixed_points(model.fit(X))
        assert found.points.shape == (1, 2)
        assert found.states.shape[1] > 2
        np.testing.assert_allclose(found.points, [[30.0, -1.0]], atol=1.0)
        context = np.repeat(found.points, 6, axis=0)
        forecast = model.predict(Horizon(4, context=context))
        np.testing.assert_allclose(forecast, context[:4], atol=1e-7)


def test_a_linear_model_rests_at_the_origin():
    k = np.arange(60)
    X = np.stack([0.9**k * np.cos(0.3 * k), 0.9**k * np.sin(0.3 * k)], axis=1)
    model = DMD(dt=0.1).fit(X)
    found = fixed_points(model)
    np.testing.assert_allclose(found.points, 0.0, atol=1e-12)
    np.testing.assert_allclose(
        found.eigenvalues[0], model.spectrum_.eigenvalues, atol=1e-9
    )
    np.testing.assert_allclose(found.growth_rates, np.log(0.9) / 0.1, atol=1e-8)
    assert found.is_stable.all()


def test_equilibria_under_a_constant_input():
    rng = np.random.default_rng(0)
    u, X = rng.standard_normal((200, 1)), np.zeros((200, 1))
    for k in range(199):
        X[k + 1] = 0.9 * X[k] + 0.5 * u[k]
    found = fixed_points(DMDc().fit(X, u=u), u=[2.0])
    np.testing.assert_allclose(found.points, [[10.0]], atol=1e-8)
    with pytest.raises(ValueError, match="got no u"):
        fixed_points(DMDc().fit(X, u=u))


def test_cycles_of_a_forecaster_are_the_rows_that_it_repeats():
    class Cycle(Persistence):
        _rollout = ForecasterMixin._rollout

        def _step(self, state, u):
            row = 3.2 * state * (1 - state)
            return row, row

    model = Cycle().fit([[0.3], [0.4]])
    found = fixed_points(model, period=2)
    row = found.cycles[0]
    np.testing.assert_allclose(model.forecast(2, context=row[:1]), row[[1, 0]])
    np.testing.assert_array_equal(found.points, row[:1])


def test_no_units_where_the_way_back_needs_the_past():
    class Differences(StandardScaler):
        def inverse_forecast(self, Y, context):
            return Y

    X = np.random.default_rng(0).standard_normal((50, 1))
    model = sklearn.pipeline.make_pipeline(Differences(), DMD()).fit(X)
    found = fixed_points(model)
    assert found.points is None
    assert found.cycles is None
    np.testing.assert_allclose(found.states, 0.0, atol=1e-9)


# -- how it is asked ---------------------------------------------------------------


def test_the_same_seed_gives_the_same_points():
    one, same = (fixed_points(henon(), period=6, random_state=3) for _ in range(2))
    np.testing.assert_array_equal(one.cycles, same.cycles)
    assert one.n_converged == same.n_converged


def test_what_is_refused():
    with pytest.raises(NotFittedError):
        fixed_points(DMD())
    with pytest.raises(ValueError, match="cycles of maps, got period=2 for the flow"):
        fixed_points(lorenz63(), period=2)
    with pytest.raises(ValueError, match="depends on t"):
        fixed_points(duffing())
    for name, value in (("period", 0), ("max_iter", 1.5), ("n_starts", 0), ("tol", 0)):
        with pytest.raises(ValueError, match=f"needs {name} "):
            fixed_points(henon(), **{name: value})

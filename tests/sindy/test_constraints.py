"""What is known beforehand holds in what is found, exactly."""

import pickle

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.linear_model import Lasso
from sklearn.model_selection import GridSearchCV, KFold

from skdyn.datasets import lorenz63, make_trajectories
from skdyn.preprocessing import FourierLift, PolynomialLift
from skdyn.sindy import (
    FROLS,
    SR3,
    SSR,
    STLSQ,
    BayesianSparse,
    BestSubset,
    Constraints,
    DiscreteSINDy,
    LinearSolver,
    SINDy,
    WeakSINDy,
)
from skdyn.sindy._library import Library
from skdyn.sindy._problem import Problem
from skdyn.sindy._relations import Relations, Restricted
from skdyn.utils._moments import Moments

TERMS = ["1", "x0", "x1", "x2", "x0^2", "x0 x1", "x0 x2", "x1^2", "x1 x2", "x2^2"]
AT = {name: i for i, name in enumerate(TERMS)}


@pytest.fixture(scope="module")
def clean():
    return make_trajectories(lorenz63(), 1000, dt=0.01, random_state=0)


@pytest.fixture(scope="module")
def noisy(clean):
    noise = np.random.default_rng(1).standard_normal(clean.shape)
    return clean + 0.02 * clean.std() * noise


def fitted(X, constraints, solver=None, **parameters):
    solver = STLSQ(0.1) if solver is None else solver
    return SINDy(solver=solver, constraints=constraints, dt=0.01, **parameters).fit(X)


def work(coef):
    """What stands before x0 x1 x2 in x.Q(x, x)."""
    return coef[0, AT["x1 x2"]] + coef[1, AT["x0 x2"]] + coef[2, AT["x0 x1"]]


def problem_of(Z, Y, **given):
    q, p = Y.shape[1], Z.shape[1]
    return Problem(
        Moments.from_rows(Z, Y),
        tuple(f"z{i}" for i in range(p)),
        tuple(f"y{j}" for j in range(q)),
        **given,
    )


def random_rows(seed, n=60, p=5, q=3):
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, p)) @ rng.standard_normal((p, p))
    return Z * 10.0 ** rng.integers(-3, 4, p), rng.standard_normal((n, q)) + Z[:, :1]


def relations(equal=(), most=(), shape=(3, 5)):
    rows = []
    for each in (equal, most):
        rows.append(np.reshape([w for w, _ in each], (-1, *shape)).astype(float))
        rows.append(np.array([t for _, t in each], dtype=float))
    return Relations(*rows, np.zeros(shape, dtype=bool))


# -- least squares under relations -----------------------------------------------------


@pytest.mark.parametrize("method", ["gram", "qr"])
@pytest.mark.parametrize("seed", range(3))
def test_equalities_solve_the_kkt_system(seed, method):
    # Stationary: the gradient of the sum of squares, each equation relative to its
    # target, is a combination of the relations.
    Z, Y = random_rows(seed)
    rng = np.random.default_rng(seed)
    size = np.sqrt(np.mean(Z**2, axis=0))
    A = rng.standard_normal((4, 3, 5)) * size
    b = rng.standard_normal(4)
    problem = problem_of(Z, Y, relations=relations(list(zip(A, b, strict=True))))
    moments = Moments.from_rows(Z, Y, method=method)
    coef = problem.of(moments).solve(np.ones((3, 5), dtype=bool))
    assert np.abs(np.tensordot(A, coef, 2) - b).max() < 1e-11
    target = np.mean(Y**2, axis=0)
    gradient = ((Z @ coef.T - Y).T @ Z / len(Z)) / target[:, None] / size
    rows = (A / size).reshape(4, -1)
    left = gradient.ravel() - np.linalg.lstsq(rows.T, gradient.ravel())[0] @ rows
    assert np.abs(gradient).max() > 1e-3
    assert np.abs(left).max() < 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_inequalities_solve_the_quadratic_programme(seed):
    rng = np.random.default_rng(seed)
    Z, Y = rng.standard_normal((60, 5)), rng.standard_normal((60, 3))
    equal = [(rng.standard_normal((3, 5)), 0.3)]
    most = [(rng.standard_normal((3, 5)), -0.5) for _ in range(3)]
    lower = np.where(rng.uniform(size=(3, 5)) < 0.5, 0.0, -np.inf)
    upper = np.full((3, 5), np.inf)
    problem = problem_of(
        Z, Y, relations=relations(equal, most), lower=lower, upper=upper
    )
    coef = problem.solve(np.ones((3, 5), dtype=bool))
    weight = 1 / np.mean(Y**2, axis=0)

    def objective(x):
        rest = Y - Z @ x.reshape(3, 5).T
        gradient = -2 * (rest * weight).T @ Z / len(Z)
        return np.sum(np.mean(rest**2, axis=0) * weight), gradient.ravel()

    rules = [{"type": "eq", "fun": lambda x: equal[0][0].ravel() @ x - 0.3}]
    rules += [
        {"type": "ineq", "fun": lambda x, w=w, t=t: t - w.ravel() @ x} for w, t in most
    ]
    bounds = [(low if np.isfinite(low) else None, None) for low in lower.ravel()]
    peer = minimize(
        objective, np.zeros(15), jac=True, bounds=bounds, constraints=rules,
        method="SLSQP", options={"ftol": 1e-14, "maxiter": 500},
    )  # fmt: skip
    assert peer.success
    assert (coef >= lower).all()
    assert all(np.sum(w * coef) <= t + 1e-12 for w, t in most)
    assert abs(np.sum(equal[0][0] * coef) - 0.3) < 1e-12
    assert abs(objective(coef.ravel())[0] - peer.fun) < 1e-8
    assert np.abs(coef.ravel() - peer.x).max() < 1e-4


def test_without_relations_it_is_least_squares():
    Z, Y = random_rows(4)
    support = np.random.default_rng(0).uniform(size=(3, 5)) < 0.6
    problem = problem_of(Z, Y)
    ours = Restricted(problem, support).solve()
    assert np.allclose(ours, problem.solve(support), rtol=1e-8, atol=0)


def test_dependent_columns_do_not_break_relations():
    Z, Y = random_rows(5)
    Z[:, 3] = 2 * Z[:, 1]
    A = np.zeros((3, 5))
    A[0, 1], A[1, 3] = 1.0, -1.0
    problem = problem_of(Z, Y, relations=relations([(A, 0.5)]))
    coef = problem.solve(np.ones((3, 5), dtype=bool))
    assert abs(coef[0, 1] - coef[1, 3] - 0.5) < 1e-9
    free = problem_of(Z, Y).solve(np.ones((3, 5), dtype=bool))
    # The two columns together can do all that is needed.
    assert np.allclose(Z @ coef.T, Z @ free.T, atol=1e-6 * np.abs(Z).max())


# -- known values ----------------------------------------------------------------------


def test_fixed_values_leave_least_squares_of_the_rest(noisy):
    model = fitted(noisy, Constraints(fixed={"x1": {"x0": 28.0}}), STLSQ(0.0))
    assert model.coef_[1, AT["x0"]] == 28.0
    # The same, from rows: the known term is taken from the target.
    free = fitted(noisy, None, STLSQ(0.0))
    Z, Y = free.problem_.rows
    others = [i for i in range(10) if i != AT["x0"]]
    rest = Y[:, 1] - 28.0 * Z[:, AT["x0"]]
    expected = np.linalg.lstsq(Z[:, others], rest)[0]
    assert np.allclose(model.coef_[1, others], expected, rtol=1e-6, atol=1e-8)
    # Equations that nothing is known of are as before.
    assert np.allclose(model.coef_[[0, 2]], free.coef_[[0, 2]], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("noise", ["clean", "noisy"])
def test_known_lorenz(noise, request):
    known = Constraints(
        fixed={"x0": {"x1": 10.0}, "x1": {"x0": 28.0}},
        equal=[({("x0", "x0"): 1, ("x0", "x1"): 1}, 0.0)],
        energy_preserving=True,
    )
    coef = fitted(request.getfixturevalue(noise), known).coef_
    # 10 (y - x): nothing is left to find.
    assert coef[0, AT["x0"]] == -10.0
    assert coef[0, AT["x1"]] == 10.0
    assert coef[1, AT["x0"]] == 28.0
    assert abs(work(coef)) < 1e-10
    assert np.abs(coef[1, AT["x0 x2"]] + 1) < (1e-3 if noise == "clean" else 0.1)


def test_relations_hold_exactly_with_noise(noisy):
    known = Constraints(
        equal=[
            ({("x0", "x0"): 1, ("x0", "x1"): 1}, 0.0),
            ({("x1", "x0"): 1, ("x0", "x1"): -2}, 8.0),
        ],
        at_most=[({("x2", "x2"): 1, ("x1", "x1"): 1}, -3.8)],
        energy_preserving=True,
    )
    free = fitted(noisy, None).coef_
    assert abs(free[0, AT["x0"]] + free[0, AT["x1"]]) > 1e-3
    coef = fitted(noisy, known).coef_
    assert abs(coef[0, AT["x0"]] + coef[0, AT["x1"]]) < 1e-10
    assert abs(coef[1, AT["x0"]] - 2 * coef[0, AT["x1"]] - 8) < 1e-10
    assert coef[2, AT["x2"]] + coef[1, AT["x1"]] <= -3.8 + 1e-10
    assert abs(work(coef)) < 1e-10


def test_energy_is_preserved_by_full_quadratics(noisy):
    # x.Q(x, x) at random points, with no term dropped.
    model = fitted(noisy, Constraints(energy_preserving=True), STLSQ(0.0))
    x = np.random.default_rng(2).standard_normal((20, 3))
    quadratic = np.zeros((3, 10))
    quadratic[:, 4:] = model.coef_[:, 4:]
    work = np.sum(x * (model.library_.values(x) @ quadratic.T), axis=1)
    assert np.abs(work).max() < 1e-12 * np.abs(quadratic).max() * 100
    assert np.count_nonzero(quadratic) == 15


def test_signs_and_bounds_are_active(noisy):
    free = fitted(noisy, None, STLSQ(0.0))
    j, i = 0, AT["x2"]
    sign = "-" if free.coef_[j, i] > 0 else "+"
    known = Constraints(signs={"x0": {"x2": sign}}, bounds={"x1": {"x0": (29.0, None)}})
    coef = fitted(noisy, known, STLSQ(0.0)).coef_
    assert coef[j, i] == 0
    assert coef[1, AT["x0"]] == 29.0
    # With a term at its bound, the others are least squares without it.
    without = fitted(noisy, Constraints(forbidden={"x0": ["x2"]}), STLSQ(0.0)).coef_
    assert np.allclose(coef[0], without[0], rtol=1e-6, atol=1e-8)


def test_forbidden_terms_do_not_come_back(noisy):
    for solver in (STLSQ(), STLSQ(0.1), SR3(0.1), SSR(), FROLS(), BestSubset()):
        model = fitted(noisy, Constraints(forbidden={"x1": ["x0 x2"]}), solver)
        assert model.coef_[1, AT["x0 x2"]] == 0, solver
        assert model.coef_[2, AT["x0 x1"]] != 0, solver


@pytest.mark.parametrize(
    "solver",
    [STLSQ(), STLSQ(0.1), SR3(0.1), SR3(0.01, penalty="l1"), SSR(), FROLS(),
     BestSubset(), LinearSolver()],
    ids=str,
)  # fmt: skip
def test_solvers_keep_relations_and_values(noisy, solver):
    known = Constraints(
        fixed={"x2": {"x2": -8 / 3}},
        equal=[({("x0", "x0"): 1, ("x0", "x1"): 1}, 0.0)],
        energy_preserving=True,
    )
    model = fitted(noisy, known, solver)
    coef = model.coef_
    assert abs(coef[0, AT["x0"]] + coef[0, AT["x1"]]) < 1e-10
    assert coef[0, AT["x1"]] > 5
    assert abs(work(coef)) < 1e-10
    assert coef[2, AT["x2"]] == -8 / 3
    # What the model keeps of its problem answers the same.
    again = model.problem_.solve(coef != 0)
    assert np.allclose(again, coef, rtol=1e-6, atol=1e-8)
    path = model.solver_.solution_.path
    if path is not None:
        assert (path.coef[:, 2, AT["x2"]] == -8 / 3).all()
        assert (np.count_nonzero(path.coef, axis=2)[:, 2] >= 1).all()


def test_bounds_are_kept_by_all_or_refused(noisy):
    known = Constraints(bounds={"x0": {"x1": (0.0, 9.0)}})
    for solver in (STLSQ(), STLSQ(0.1), SR3(0.1)):
        coef = fitted(noisy, known, solver).coef_
        assert coef[0, AT["x1"]] == 9.0
    for solver in (SSR(), FROLS(), LinearSolver(), BayesianSparse()):
        with pytest.raises(ValueError, match="bounds"):
            fitted(noisy, known, solver)


def test_bounds_and_relations_together(noisy):
    known = Constraints(
        bounds={"x0": {"x1": (0.0, 9.0)}},
        equal=[({("x0", "x0"): 1, ("x1", "x1"): -8}, 0.0)],
        energy_preserving=True,
    )
    for solver in (STLSQ(), STLSQ(0.1), SR3(0.1), SR3(0.002, penalty="l1")):
        coef = fitted(noisy, known, solver).coef_
        assert coef[0, AT["x1"]] == 9.0
        assert abs(coef[0, AT["x0"]] - 8 * coef[1, AT["x1"]]) < 1e-10
        assert abs(work(coef)) < 1e-10


def test_what_breaks_a_constraint_is_refused(noisy):
    # Without a last least squares, an adapted model knows no relations.
    solver = LinearSolver(Lasso(0.01, fit_intercept=False), refit=False)
    known = Constraints(equal=[({("x0", "x0"): 1, ("x0", "x1"): 1}, 0.0)])
    with pytest.raises(ValueError, match=r"needed x0:x0 \+ x0:x1 = 0, got"):
        fitted(noisy, known, solver)


def test_bounds_without_zero_keep_their_term(noisy):
    known = Constraints(bounds={"x0": {"x2^2": (0.01, 1.0)}})
    coef = fitted(noisy, known, STLSQ(0.1)).coef_
    assert coef[0, AT["x2^2"]] == 0.01


def test_a_relation_brings_its_terms_back(noisy):
    # A threshold drops x1's x0 x2 alone: with its partner kept it comes back.
    known = Constraints(energy_preserving=True)
    coef = fitted(noisy, known, STLSQ([0.1, 2.0, 0.1])).coef_
    assert coef[2, AT["x0 x1"]] != 0
    assert abs(work(coef)) < 1e-10


def test_relations_that_need_terms_keep_them(noisy):
    known = Constraints(equal=[({("x0", "1"): 1, ("x2", "1"): 2}, 1.0)])
    coef = fitted(noisy, known, STLSQ(5.0)).coef_
    assert abs(coef[0, 0] + 2 * coef[2, 0] - 1) < 1e-10


@pytest.mark.parametrize("factor", [1e-3, 1e4])
def test_units_of_states_do_not_matter(noisy, factor):
    # Coefficients scale by the units of their equation and term.
    scale = np.array([factor, 1.0, 1 / factor])
    weights = PolynomialLift(2).fit(noisy)._transform(scale[None])[0]
    units = scale[:, None] / weights
    equal = {("x0", "x0"): 1.0, ("x2", "x2"): -3.0}
    known = Constraints(equal=[(equal, -2.0)], signs={"x1": {"x1": "-"}})
    rescaled = {
        (state, term): weight / units[int(state[1]), AT[term]]
        for (state, term), weight in equal.items()
    }
    other = Constraints(equal=[(rescaled, -2.0)], signs={"x1": {"x1": "-"}})
    solver = SR3(0.02, scale="relative")
    one = fitted(noisy, known, solver, differentiation="finite").coef_
    two = fitted(noisy * scale, other, solver, differentiation="finite").coef_
    assert ((one != 0) == (two != 0)).all()
    assert np.allclose(two / units, one, rtol=1e-6, atol=1e-9)


def test_all_known_leaves_nothing(clean):
    truth = np.zeros((3, 10))
    truth[0, [1, 2]] = -10, 10
    fixed = {"x0": {"x0": -10.0, "x1": 10.0}}
    known = Constraints(fixed=fixed)
    x_dot = lorenz63().velocity(0.0, clean)
    model = SINDy(constraints=known).fit(clean, x_dot=x_dot)
    assert (model.coef_[0] == truth[0]).all()
    assert model.n_terms_.tolist() == [2, 3, 2]


def test_weak_and_discrete_models_take_them(noisy):
    known = Constraints(
        fixed={"x0": {"x1": 10.0}},
        equal=[({("x0", "x0"): 1, ("x0", "x1"): 1}, 0.0)],
        energy_preserving=True,
    )
    coef = WeakSINDy(solver=STLSQ(0.1), constraints=known, dt=0.01).fit(noisy).coef_
    assert coef[0, AT["x0"]] == -10
    assert abs(work(coef)) < 1e-10
    x = [0.3]
    for _ in range(100):
        x.append(3.7 * x[-1] * (1 - x[-1]))
    opposite = Constraints(equal=[({("x0", "x0"): 1, ("x0", "x0^2"): 1}, 0.0)])
    rows = np.array(x)[:, None]
    rows += 0.01 * np.random.default_rng(0).standard_normal(rows.shape)
    model = DiscreteSINDy(solver=STLSQ(0.1), constraints=opposite).fit(rows)
    assert abs(model.coef_[0, 1] + model.coef_[0, 2]) < 1e-10


def test_partial_fit_is_fit(clean):
    known = Constraints(fixed={"x0": {"x1": 10.0}}, energy_preserving=True)
    halves = [clean[:500], clean[500:]]
    whole = fitted(halves, known)
    parts = SINDy(solver=STLSQ(0.1), constraints=known, dt=0.01)
    parts.partial_fit(halves[0]).partial_fit(halves[1])
    assert np.allclose(parts.coef_, whole.coef_, rtol=1e-10)


# -- as a parameter --------------------------------------------------------------------


def test_they_are_a_parameter_like_any_other(clean):
    known = Constraints(fixed={"x0": {"x1": 10.0}}, energy_preserving=True)
    model = SINDy(solver=STLSQ(0.1), constraints=known, dt=0.01)
    copy = clone(model)
    assert copy.constraints is not known
    assert copy.constraints.fixed == known.fixed
    copy.set_params(constraints__fixed=None)
    assert known.fixed is not None
    assert "energy_preserving=True" in repr(copy)
    model.fit(clean)
    again = pickle.loads(pickle.dumps(model))
    assert (again.coef_ == model.coef_).all()
    search = GridSearchCV(
        model,
        {
            "constraints": [None, Constraints(forbidden={"x1": ["x0 x2"]})],
        },
        cv=KFold(2),
    ).fit([clean[:500], clean[500:]])
    assert search.best_params_["constraints"] is None
    nested = GridSearchCV(
        model, {"constraints__energy_preserving": [False, True]}, cv=KFold(2)
    ).fit([clean[:500], clean[500:]])
    assert np.isfinite(nested.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        (Constraints(fixed={"y": {"x1": 1.0}}), "name of an equation, got 'y'"),
        (Constraints(fixed={"x0": {"x1 x0": 1.0}}), "Near it are 'x0 x1'"),
        (Constraints(forbidden=["x0"]), "forbidden needs the form"),
        (Constraints(fixed={"x0": 3.0}), "fixed needs the form"),
        (Constraints(fixed={"x0": {"x1": np.nan}}), "finite numbers, got nan"),
        (Constraints(signs={"x0": {"x1": 1}}), r"'\+' or '-', got 1"),
        (Constraints(bounds={"x0": {"x1": 1.0}}), "bounds needs the form"),
        (Constraints(bounds={"x0": {"x1": (2.0, 1.0)}}), "at least 2 and at most 1"),
        (Constraints(equal=[{("x0", "x1"): 1}]), "equal needs the form"),
        (Constraints(equal=[({"x1": 1}, 0.0)]), "equal needs the form"),
        (
            Constraints(fixed={"x0": {"x1": 1.0}}, forbidden={"x0": ["x1"]}),
            "both forbidden and fixed",
        ),
        (
            Constraints(fixed={"x0": {"x1": 1.0}}, signs={"x0": {"x1": "-"}}),
            "x0:x1 is 1 and has the bound 0",
        ),
        (
            Constraints(
                fixed={"x0": {"x1": 1.0, "x0": 1.0}},
                equal=[({("x0", "x0"): 1, ("x0", "x1"): 1}, 0.0)],
            ),
            r"needed x0:x0 \+ x0:x1 = 0, got 2",
        ),
        (
            Constraints(
                equal=[
                    ({("x0", "x0"): 1, ("x0", "x1"): 1}, 0.0),
                    ({("x0", "x0"): 1, ("x0", "x1"): 1}, 1.0),
                ]
            ),
            "contradict each other",
        ),
    ],
)
def test_what_cannot_be_is_refused(clean, constraints, message):
    with pytest.raises(ValueError, match=message):
        fitted(clean[:200], constraints)


def test_energy_needs_a_flow_of_monomials(clean):
    with pytest.raises(ValueError, match="library of monomials"):
        fitted(clean[:200], Constraints(energy_preserving=True), lift=FourierLift())
    with pytest.raises(ValueError, match="of a map"):
        DiscreteSINDy(constraints=Constraints(energy_preserving=True)).fit(clean)


def test_known_values_reduce_relations(clean):
    # Without x0 x2 in the second equation, x0 x1 in the third can do no work alone.
    known = Constraints(energy_preserving=True, forbidden={"x1": ["x0 x2"]})
    coef = fitted(clean, known, STLSQ(0.0)).coef_
    assert abs(coef[0, AT["x1 x2"]] + coef[2, AT["x0 x1"]]) < 1e-10
    assert coef[1, AT["x0 x2"]] == 0
    assert isinstance(fitted(clean, known).library_, Library)

"""Best subsets against brute force, and what is said of proofs."""

from itertools import combinations

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skdyn.datasets import lorenz63, make_trajectories
from skdyn.preprocessing import PolynomialLift, differentiate
from skdyn.sindy import BestSubset
from skdyn.sindy._problem import Problem
from skdyn.utils._moments import Moments


def loss_of(Z, y, columns, alpha=0.0):
    """Mean square with the ridge on columns of unit size, by stacked rows."""
    size = np.sqrt(np.mean(Z**2, axis=0))
    rows = Z[:, columns] / size[list(columns)]
    n, k = rows.shape
    rows = np.vstack([rows, np.sqrt(alpha * n) * np.eye(k)])
    target = np.append(y, np.zeros(k))
    coef = np.linalg.lstsq(rows, target, rcond=None)[0]
    return np.sum((target - rows @ coef) ** 2) / n


def brute_force(Z, y, k, alpha=0.0):
    sets = combinations(range(Z.shape[1]), k)
    return min(loss_of(Z, y, each, alpha) for each in sets)


def random_problem(seed, p, mixing, noise, n=40):
    rng = np.random.default_rng(seed)
    mix = np.eye(p) + mixing * rng.standard_normal((p, p)) / np.sqrt(p)
    Z = rng.standard_normal((n, p)) @ mix * 10.0 ** rng.uniform(-2, 2, p)
    true = rng.standard_normal(p) * (rng.random(p) < 0.5)
    y = Z / np.sqrt(np.mean(Z**2, axis=0)) @ true
    return Z, y + noise * rng.standard_normal(n)


@pytest.mark.parametrize("mixing", [0.0, 1.0, 5.0])
@pytest.mark.parametrize("noise", [0.1, 1.0])
@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_brute_force(mixing, noise, alpha):
    for seed, p in enumerate((3, 7, 10)):
        Z, y = random_problem(seed, p, mixing, noise)
        for k in range(1, p + 1):
            solver = BestSubset(n_terms=k, alpha=alpha).fit(Z, y)
            columns = np.flatnonzero(solver.coef_)
            assert len(columns) == k
            got = loss_of(Z, y, columns, alpha)
            assert got == pytest.approx(brute_force(Z, y, k, alpha), rel=1e-9)
            assert solver.solution_.gap == 0


def test_coefficients_are_ridge_on_the_support():
    Z, y = random_problem(0, 8, 1.0, 0.5)
    coef = BestSubset(n_terms=3, alpha=0.2).fit(Z, y).coef_
    columns = np.flatnonzero(coef)
    size = np.sqrt(np.mean(Z[:, columns] ** 2, axis=0))
    rows = Z[:, columns] / size
    n = len(Z)
    want = np.linalg.solve(rows.T @ rows / n + 0.2 * np.eye(3), rows.T @ y / n) / size
    np.testing.assert_allclose(coef[columns], want, rtol=1e-10)


def lookalikes(seed=0, n=300):
    """Sums of three columns, and columns that look like the sums: growth goes wrong."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, 12))
    y = Z[:, 0] + Z[:, 1] + Z[:, 2]
    Z[:, 3] = y + 0.3 * rng.standard_normal(n)
    Z[:, 4] = Z[:, 0] + Z[:, 1] + 0.3 * rng.standard_normal(n)
    return Z, y + 0.01 * rng.standard_normal(n)


def test_it_is_not_trapped_by_lookalikes():
    Z, y = lookalikes()
    assert np.abs(Z.T @ y).argmax() == 3
    solver = BestSubset().fit(Z, y)
    assert set(np.flatnonzero(solver.coef_)) == {0, 1, 2}
    assert solver.solution_.gap == 0


def hard_problem():
    """Many columns with equal, small shares: no bound is of use."""
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((200, 1)) + rng.standard_normal((200, 40))
    return Z, Z.sum(axis=1) + 10 * rng.standard_normal(200)


def test_a_proof_that_ended_early_says_so():
    Z, y = hard_problem()
    with pytest.warns(ConvergenceWarning, match=r"not proven .* y0 \(.*Raise max_sets"):
        stopped = BestSubset(n_terms=6, max_sets=1000).fit(Z, y)
    again = BestSubset(n_terms=3).fit(Z, y)
    assert again.solution_.gap == 0
    # The gap is a bound: the full set is no worse than what it leaves.
    full = loss_of(Z, y, range(40))
    loss = loss_of(Z, y, np.flatnonzero(stopped.coef_))
    assert stopped.solution_.gap[0] == pytest.approx(1 - full / loss, rel=1e-6)


@pytest.mark.parametrize("n_terms", ["auto", 2])
def test_units_do_not_matter(n_terms):
    Z, y = random_problem(3, 8, 2.0, 0.3)
    units = 10.0 ** np.arange(-4, 4)
    plain = BestSubset(n_terms).fit(Z, y).coef_
    scaled = BestSubset(n_terms).fit(Z * units, 1e3 * y).coef_
    np.testing.assert_allclose(scaled * units, 1e3 * plain, rtol=1e-8)


def test_refits_are_equal():
    Z, y = random_problem(4, 12, 5.0, 1.0)
    a, b = (BestSubset().fit(Z, y).coef_ for _ in range(2))
    np.testing.assert_array_equal(a, b)


@pytest.mark.filterwarnings("ignore:.*removed every term")
def test_a_size_for_each_equation():
    Z, y = random_problem(5, 6, 1.0, 1.0)
    Y = np.column_stack([y, y, y])
    solver = BestSubset(n_terms=[0, 1, 4]).fit(Z, Y)
    np.testing.assert_array_equal((solver.coef_ != 0).sum(axis=1), [0, 1, 4])
    np.testing.assert_array_equal(solver.solution_.gap, 0)
    for k in (1, 4):
        alone = BestSubset(n_terms=k).fit(Z, y).coef_
        row = solver.coef_[[0, 1, 4].index(k)]
        np.testing.assert_array_equal(row != 0, alone != 0)


@pytest.mark.parametrize("n_terms", [7, [1, 2, 3], 1.5, [1.5, 2.5], [-1, 2], "some"])
def test_bad_sizes_are_refused(n_terms):
    Z, y = random_problem(0, 6, 0.0, 1.0)
    with pytest.raises(ValueError, match="n_terms"):
        BestSubset(n_terms).fit(Z, np.column_stack([y, y]))


def test_forbidden_terms_and_bounds():
    Z, y = random_problem(1, 8, 1.0, 0.3)
    moments = Moments.from_rows(Z, y[:, None])
    names = tuple(f"z{i}" for i in range(8))
    free = Problem(moments, names, ("y",))
    best = BestSubset(n_terms=3)._solve(free)
    allowed = best.coef == 0
    other = Problem(moments, names, ("y",), allowed=allowed)
    solution = BestSubset(n_terms=3)._solve(other)
    assert (solution.coef[~allowed] == 0).all()
    columns = np.flatnonzero(allowed[0])
    assert free.loss(solution.coef)[0] == pytest.approx(
        brute_force(Z[:, columns], y, 3)
    )
    # A bound that binds: the gap is to the model without it.
    lower = np.where(best.coef > 0, -np.inf, 0.5 * best.coef)
    upper = np.where(best.coef > 0, 0.5 * best.coef, np.inf)
    bounded = Problem(moments, names, ("y",), lower=lower, upper=upper)
    kept = BestSubset(n_terms=3)._solve(bounded)
    assert ((kept.coef >= lower) & (kept.coef <= upper)).all()
    want = 1 - free.loss(best.coef)[0] / free.loss(kept.coef)[0]
    assert kept.gap[0] == pytest.approx(want)


def test_copies_and_empty_columns():
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((60, 5))
    Z = np.hstack([Z, Z[:, :2], np.zeros((60, 1))])
    solver = BestSubset(n_terms=2).fit(Z, Z[:, 0] - 2 * Z[:, 3])
    got = solver.coef_[:7]
    assert got[0] + got[5] == pytest.approx(1.0)
    assert got[3] == pytest.approx(-2.0)
    assert (BestSubset().fit(Z, np.zeros(60)).coef_ == 0).all()


def test_the_path_is_what_it_says():
    Z, y = random_problem(2, 9, 1.0, 0.5)
    path = BestSubset(max_terms=6).fit(Z, y).solution_.path
    np.testing.assert_array_equal(path.n_terms[:, 0], np.arange(7))
    losses = [np.mean((y - Z @ coef) ** 2) for coef in path.coef[:, 0]]
    np.testing.assert_allclose(path.loss[:, 0], losses, rtol=1e-9)
    assert (np.diff(path.loss[:, 0]) < 0).all()


@pytest.mark.parametrize(("noise", "n_terms"), [(0.0, "auto"), (0.01, [2, 3, 2])])
def test_lorenz_of_degree_four(noise, n_terms):
    x = make_trajectories(lorenz63(), 2001, dt=0.01, rtol=1e-10)
    rng = np.random.default_rng(0)
    x = x + noise * np.sqrt(np.mean(x**2)) * rng.standard_normal(x.shape)
    found = differentiate(x, 0.01, method="spline")
    lift = PolynomialLift(4).fit(found.x)
    solver = BestSubset(n_terms).fit(lift.transform(found.x), found.x_dot)
    names = lift.get_feature_names_out(["x", "y", "z"])
    terms = [set(names[row != 0]) for row in solver.coef_]
    assert terms == [{"x", "y"}, {"x", "y", "x z"}, {"z", "x y"}]
    np.testing.assert_array_equal(solver.solution_.gap, 0)

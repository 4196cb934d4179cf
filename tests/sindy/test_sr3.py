"""SR3 against its objective, and the limits that it has."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skdyn.datasets import lorenz63, make_trajectories
from skdyn.sindy import SR3, STLSQ, Constraints, SINDy


def rows(seed, n=300, p=12, q=2, noise=0.3):
    """Correlated columns of several sizes, and few true coefficients."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, p)) @ (np.eye(p) + 0.3 * rng.standard_normal((p, p)))
    Z = Z * 10.0 ** rng.uniform(-1, 1, p)
    coef = np.where(rng.uniform(size=(q, p)) < 0.3, rng.choice([-1, 1], (q, p)), 0.0)
    coef = coef / np.sqrt(np.mean(Z**2, axis=0))
    return Z, Z @ coef.T + noise * rng.standard_normal((n, q))


def in_units(Z, Y):
    """Mean products of terms, and with targets, all of unit size."""
    Z, Y = (each / np.sqrt(np.mean(each**2, axis=0)) for each in (Z, Y))
    return Z.T @ Z / len(Z), Z.T @ Y / len(Z)


def alternated(G, b, kappa, shrink, n_rounds):
    """The algorithm of the paper as it stands: from W to X and back."""
    W = shrink(np.linalg.solve(G, b))
    for _ in range(n_rounds):
        X = np.linalg.solve(G + kappa * np.eye(len(G)), b + kappa * W)
        W = shrink(X)
    return X, W


def objective(G, b, X, W, kappa, cut, penalty):
    fit = np.einsum("ij,ik,kj->", X, G, X) - 2 * np.sum(b * X)
    weight = {"l0": cut**2 * (W != 0), "l1": 2 * cut * np.abs(W)}[penalty]
    return fit + kappa * np.sum((X - W) ** 2) + kappa * np.sum(weight)


@pytest.mark.parametrize("relaxation", [0.03, 0.3, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_l0_is_no_worse_than_alternation(seed, relaxation):
    Z, Y = rows(seed)
    G, b = in_units(Z, Y)
    kappa, cut = 1 / relaxation, 0.15
    X, W = alternated(G, b, kappa, lambda x: np.where(np.abs(x) >= cut, x, 0.0), 4_000)
    peer = objective(G, b, X, W, kappa, cut, "l0")
    solver = SR3(cut, relaxation=relaxation, scale="relative").fit(Z, Y)
    # The best X and W on the support that was chosen.
    support = (solver.coef_ != 0).T
    ours = 0.0
    for j in range(2):
        off = np.diag(kappa * ~support[:, j])
        x = np.linalg.solve(G + off, b[:, j])
        w = np.where(support[:, j], x, 0.0)
        # A fixed point of the alternation.
        assert ((np.abs(x) >= cut) == support[:, j]).all()
        ours += objective(G, b[:, j : j + 1], x[:, None], w[:, None], kappa, cut, "l0")
    assert ours <= peer + 1e-9


@pytest.mark.parametrize("relaxation", [0.1, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_l1_is_the_convex_minimum(seed, relaxation):
    Z, Y = rows(seed)
    G, b = in_units(Z, Y)
    cut = 0.05 * relaxation

    def shrink(x):
        return np.sign(x) * np.maximum(np.abs(x) - cut, 0.0)

    _, W = alternated(G, b, 1 / relaxation, shrink, 4_000)
    assert 0 < np.count_nonzero(W) < W.size
    solver = SR3(cut, relaxation=relaxation, penalty="l1", scale="relative", tol=1e-12)
    assert ((solver.fit(Z, Y).coef_ != 0) == (W != 0).T).all()


@pytest.mark.parametrize("seed", range(5))
def test_without_relaxation_it_drops_as_stlsq(seed):
    Z, Y = rows(seed)
    thresholds = [0.3, 0.1]
    one = SR3(np.array(thresholds)[:, None], relaxation=1e-10).fit(Z, Y)
    two = STLSQ(thresholds).fit(Z, Y)
    assert ((one.coef_ != 0) == (two.coef_ != 0)).all()
    assert np.allclose(one.coef_, two.coef_, rtol=1e-9)


def test_with_all_relaxation_it_cuts_least_squares_once():
    Z, Y = rows(1)
    solver = SR3(0.15, relaxation=1e10, scale="relative").fit(Z, Y)
    full = np.linalg.solve(*in_units(Z, Y)).T
    assert ((solver.coef_ != 0) == (np.abs(full) >= 0.15)).all()


@pytest.mark.parametrize(("penalty", "cut"), [("l0", 0.1), ("l1", 0.01)])
def test_the_answer_is_least_squares_on_its_terms(penalty, cut):
    Z, Y = rows(2)
    solver = SR3(cut, penalty=penalty, scale="relative").fit(Z, Y)
    for j, coef in enumerate(solver.coef_):
        terms = np.flatnonzero(coef)
        assert 0 < len(terms) < 12
        assert np.allclose(coef[terms], np.linalg.lstsq(Z[:, terms], Y[:, j])[0])


def test_thresholds_may_be_one_for_each():
    Z, Y = rows(3)
    full = SR3(0.0).fit(Z, Y).coef_
    cut = np.zeros((2, 12))
    cut[1, 4] = np.inf
    coef = SR3(cut).fit(Z, Y).coef_
    assert coef[1, 4] == 0
    assert np.allclose(coef[0], full[0])
    with pytest.raises(ValueError, match=r"2 target\(s\) and 12 terms, got shape"):
        SR3([0.1, 0.2, 0.3]).fit(Z, Y)


@pytest.mark.parametrize("scale", ["absolute", "relative"])
def test_units(scale):
    Z, Y = rows(4)
    units = 10.0 ** np.linspace(-5, 5, 12)
    cut = np.full((2, 12), 0.1)
    one = SR3(cut, scale=scale).fit(Z, Y).coef_
    if scale == "absolute":
        cut = cut / units
    two = SR3(cut, scale=scale).fit(Z * units, Y).coef_
    assert np.allclose(two * units, one, rtol=1e-7)
    if scale == "relative":
        three = SR3(cut, scale=scale).fit(Z, Y * [1e6, 1e-6]).coef_
        assert np.allclose(three / [[1e6], [1e-6]], one, rtol=1e-7)


def test_constraints_take_part_in_the_choice():
    X = make_trajectories(lorenz63(), 2000, dt=0.01, random_state=0)
    X = X + 0.03 * X.std() * np.random.default_rng(0).standard_normal(X.shape)
    known = Constraints(
        equal=[({("x0", "x0"): 1, ("x0", "x1"): 1}, 0.0)], energy_preserving=True
    )
    for penalty, threshold in (("l0", 0.3), ("l1", 1e-3)):
        solver = SR3(threshold, penalty=penalty, scale="absolute")
        model = SINDy(solver=solver, constraints=known, dt=0.01).fit(X)
        assert abs(model.coef_[0, 1] + model.coef_[0, 2]) < 1e-10
        names = [term for term in model.equations_.terms if term.equation == "x0"]
        assert {"x0", "x1"} <= {each.term for each in names}


def test_it_says_when_it_has_not_come_to_rest():
    Z, Y = rows(5)
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        SR3(0.05, penalty="l1", scale="relative", max_iter=2).fit(Z, Y)

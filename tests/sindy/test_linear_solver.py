"""Linear models on few rows against the same models on all rows."""

import numpy as np
import pytest
from sklearn.linear_model import (
    ElasticNet,
    Lasso,
    LassoCV,
    LinearRegression,
    OrthogonalMatchingPursuit,
    Ridge,
)

from skdyn.sindy import LinearSolver


def data(n=2000, p=6):
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((n, p)) * np.array([1, 2, 5, 0.1, 1, 1])
    coef = np.array([[1.0, 0, -2.0, 0, 0, 0.3], [0, 0, 0, 4.0, 0, 0]])
    return Z, Z @ coef.T + 0.2 * rng.standard_normal((n, 2)), coef


MODELS = [
    Lasso(alpha=0.05, fit_intercept=False, tol=1e-12, max_iter=10_000),
    ElasticNet(alpha=0.05, fit_intercept=False, tol=1e-12, max_iter=10_000),
    OrthogonalMatchingPursuit(n_nonzero_coefs=2, fit_intercept=False),
    LinearRegression(fit_intercept=False),
]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("n", [2000, 9])
def test_few_rows_with_the_moments_of_all_give_the_same(model, n):
    Z, Y, _ = data(n)
    got = LinearSolver(model, unit=False, refit=False).fit(Z, Y)
    for j in range(2):
        want = model.fit(Z, Y[:, j]).coef_
        np.testing.assert_allclose(got.coef_[j], want, atol=1e-8)


def test_units_do_not_matter_unless_asked():
    Z, Y, _ = data()
    scale = np.array([1e3, 1, 1e-3, 1, 7, 1])
    for unit, same in ((True, True), (False, False)):
        solver = LinearSolver(MODELS[0], unit=unit, refit=False)
        one, other = solver.fit(Z, Y).coef_, solver.fit(Z * scale, 5 * Y).coef_
        assert np.allclose(other * scale / 5, one, atol=1e-6) == same


def test_refit_takes_the_shrinkage_away():
    Z, Y, true = data()
    shrunk = LinearSolver(MODELS[0], refit=False).fit(Z, Y).coef_
    free = LinearSolver(MODELS[0]).fit(Z, Y).coef_
    np.testing.assert_array_equal(free != 0, shrunk != 0)
    error, before = np.abs(free - true), np.abs(shrunk - true)
    assert (error[free != 0] < before[free != 0] / 5).all()
    assert LinearSolver().fit(Z, Y).coef_[1, 3] == pytest.approx(4, abs=0.1)


def test_the_model_given_is_not_touched():
    Z, Y, _ = data()
    model = Lasso(fit_intercept=False)
    LinearSolver(model).fit(Z, Y)
    assert not hasattr(model, "coef_")


def test_what_depends_on_more_than_moments_is_refused():
    Z, Y, _ = data()
    with pytest.raises(ValueError, match=r"fit_intercept=False\)"):
        LinearSolver(Ridge()).fit(Z, Y)
    with pytest.raises(ValueError, match="cross-validates"):
        LinearSolver(LassoCV(fit_intercept=False)).fit(Z, Y)

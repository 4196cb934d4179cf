"""Problems on moments against least squares on the rows themselves."""

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from skdyn.sindy._problem import Problem
from skdyn.utils._moments import Moments

N, P, Q = 300, 6, 2


def data(seed=0):
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((N, P)) * np.array([1, 10, 0.1, 1, 1e3, 1e-3])
    Y = Z @ rng.standard_normal((P, Q)) + 0.3 * rng.standard_normal((N, Q))
    return Z, Y


def problem(Z, Y, method="auto", weight=None, **known):
    return Problem(
        Moments.from_rows(Z, Y, weight, method=method),
        tuple(f"t{i}" for i in range(Z.shape[1])),
        tuple(f"y{j}" for j in range(Y.shape[1])),
        **known,
    )


SUPPORT = np.array([[1, 0, 1, 1, 0, 1], [0, 1, 1, 0, 0, 0]], dtype=bool)


@pytest.mark.parametrize("method", ["gram", "qr"])
def test_solve_is_least_squares_on_each_support(method):
    Z, Y = data()
    coef = problem(Z, Y, method).solve(SUPPORT)
    assert (coef[~SUPPORT] == 0).all()
    for j, terms in enumerate(SUPPORT):
        want = np.linalg.lstsq(Z[:, terms], Y[:, j], rcond=None)[0]
        np.testing.assert_allclose(coef[j, terms], want, rtol=1e-9)


@pytest.mark.parametrize("method", ["gram", "qr"])
def test_loss_is_the_mean_square_of_the_residual(method):
    Z, Y = data()
    weight = np.random.default_rng(1).uniform(0.5, 2, N)
    given = problem(Z, Y, method, weight)
    coef = given.solve(SUPPORT)
    want = np.average((Y - Z @ coef.T) ** 2, axis=0, weights=weight)
    np.testing.assert_allclose(given.loss(coef), want, rtol=1e-9)
    sizes = np.sqrt(np.average(Z**2, axis=0, weights=weight))
    np.testing.assert_allclose(given.term_size, sizes, rtol=1e-12)


@pytest.mark.parametrize("method", ["gram", "qr"])
@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_units_do_not_matter(method, alpha):
    Z, Y = data()
    scale, unit = np.array([3.0, 1e4, 1e-5, 2.0, 1.0, 7.0]), np.array([1e3, 0.2])
    one = problem(Z, Y, method).solve(SUPPORT, alpha)
    other = problem(Z * scale, Y * unit, method).solve(SUPPORT, alpha)
    np.testing.assert_allclose(other * scale / unit[:, None], one, rtol=1e-8)


def test_a_ridge_is_relative_to_the_data():
    # One term of unit size: least squares over 1 + alpha, whatever the number of rows.
    z = np.ones((50, 1))
    for rows in (z, np.vstack([z, z])):
        coef = problem(rows, 2 * rows).solve(np.array([[True]]), alpha=0.25)
        assert coef[0, 0] == pytest.approx(2 / 1.25)


def test_contributions_are_shares_of_the_target():
    Z = np.column_stack([np.full(10, 2.0), np.tile([3.0, -3.0], 5)])
    given = problem(Z, Z @ np.array([[1.0], [2.0]]))
    target = np.sqrt(2.0**2 + 6.0**2)
    np.testing.assert_allclose(
        given.contributions(np.array([[1.0, 2.0]])), [[2 / target, 6 / target]]
    )


@pytest.mark.parametrize("method", ["auto", "qr"])
def test_dependent_terms_share_and_zero_terms_stay_out(method):
    Z, Y = data()
    twice = np.hstack([Z, Z[:, :1], np.zeros((N, 1))])
    given = problem(twice, Y, method)
    support = given.full_support()
    assert not support[:, -1].any()
    assert support[:, :-1].all()
    coef = given.solve(support)
    # Of all equal fits the one of least norm: the twins are alike.
    np.testing.assert_allclose(coef[:, 0], coef[:, P], rtol=1e-8)
    want = problem(Z, Y).solve(np.ones((Q, P), dtype=bool))
    np.testing.assert_allclose(coef[:, 0] + coef[:, P], want[:, 0], rtol=1e-8)


def test_what_is_allowed_and_bounds():
    Z, Y = data()
    given = problem(
        Z, Y, allowed=SUPPORT, lower=np.zeros((Q, P)), upper=np.full((Q, P), np.inf)
    )
    np.testing.assert_array_equal(given.full_support(), SUPPORT)
    coef = given.solve(SUPPORT)
    assert (coef >= 0).all()
    for j, terms in enumerate(SUPPORT):
        size = np.sqrt((Z[:, terms] ** 2).mean(axis=0))
        want = lsq_linear(Z[:, terms] / size, Y[:, j], (0, np.inf), tol=1e-14)
        np.testing.assert_allclose(coef[j, terms], want.x / size, atol=1e-6)


def test_moments_that_are_not_definite_have_a_loss():
    # Moments that were corrected for noise may be of no rows at all.
    Z, Y = data()
    gram = np.hstack([Z, Y]).T @ np.hstack([Z, Y])
    gram[P:, P:] *= 0.1
    moments = Moments(P, Q, N, float(N), gram=gram)
    given = Problem(moments, tuple("abcdef"), tuple("yz"))
    coef = given.solve(np.ones((Q, P), dtype=bool))
    assert (given.loss(coef) >= 0).all()

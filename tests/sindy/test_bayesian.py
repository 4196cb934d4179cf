"""Sparse Bayesian regression against closed forms, and its intervals against truth."""

import numpy as np
import pytest
from scipy import stats

from skdyn.datasets import lorenz63, make_trajectories
from skdyn.preprocessing import PolynomialLift, SmoothingSpline, differentiate
from skdyn.sindy import BayesianSparse
from skdyn.sindy._bayesian import maximise_evidence, posterior
from skdyn.sindy._problem import Problem
from skdyn.sindy._subsets import Target, inverse
from skdyn.utils._moments import Moments


def sparse_problem(seed=0, n=500, p=8, noise=0.3):
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, p)) @ (np.eye(p) + 0.5 * rng.standard_normal((p, p)))
    Z /= np.sqrt(np.mean(Z**2, axis=0))
    true = np.zeros(p)
    true[[1, 4]] = [2.0, -0.7]
    return Z, Z @ true + noise * rng.standard_normal(n), true


def target_of(Z, y):
    H = Z.T @ Z / len(Z)
    return Target(H, Z.T @ y / len(Z), float(np.mean(y**2)), inverse(H))


def log_evidence(Z, y, alpha, noise):
    """log N(y; 0, noise I + Z A^-1 Z'), the long way round."""
    kept = np.isfinite(alpha)
    covariance = noise * np.eye(len(y)) + (Z[:, kept] / alpha[kept]) @ Z[:, kept].T
    return stats.multivariate_normal(np.zeros(len(y)), covariance).logpdf(y)


def test_the_posterior_of_a_full_support_in_closed_form():
    Z, y, _ = sparse_problem(n=60, p=5)
    alpha, noise = np.array([0.1, 1.0, 3.0, 0.5, 10.0]), 0.2
    mean, covariance = posterior(target_of(Z, y), 60.0, np.arange(5), alpha, noise)
    # As Gaussian conditioning of y and the coefficients has it.
    prior = np.diag(1 / alpha)
    gain = prior @ Z.T @ np.linalg.inv(Z @ prior @ Z.T + noise * np.eye(60))
    np.testing.assert_allclose(mean, gain @ y, rtol=1e-9)
    np.testing.assert_allclose(covariance, prior - gain @ Z @ prior, atol=1e-12)


def test_no_single_change_raises_the_evidence():
    Z, y, _ = sparse_problem(n=80, p=6, noise=1.0)
    log_odds = -1.0
    found = maximise_evidence(
        target_of(Z, y), 80.0, np.array([0, 1]), log_odds, 1e-12, 1000
    )
    assert found.converged
    alpha = np.full(6, np.inf)
    alpha[found.support] = found.alpha

    def value(alpha, noise):
        return log_evidence(Z, y, alpha, noise) + log_odds * np.isfinite(alpha).sum()

    best = value(alpha, found.noise)
    for j in range(6):
        for other in (np.inf, *(10.0 ** np.arange(-3, 7))):
            moved = alpha.copy()
            moved[j] = other
            if other == np.inf and np.isinf(alpha).sum() == 5 and np.isfinite(alpha[j]):
                continue
            assert value(moved, found.noise) <= best + 1e-5
    for factor in (0.98, 1.02):
        assert value(alpha, factor * found.noise) <= best + 1e-5


def test_the_threshold_of_orthogonal_columns():
    # With t = coefficient / standard error, a column stays where
    # (t² - 1 - log t²) / 2 > log odds against it.
    n, p = 256, 8
    Z = np.linalg.qr(np.random.default_rng(0).standard_normal((n, p)))[0] * np.sqrt(n)
    noise, log_odds = 0.5, -2.0
    t = np.linspace(0.5, 5, p)
    coef = t * np.sqrt(noise / n)
    # A target of known noise: the noise is held from below, and no rest is above it.
    y = Z @ coef
    target = target_of(Z, y)
    found = maximise_evidence(target, n, np.zeros(0, int), log_odds, noise, 1000)
    stays = (t**2 > 1) & ((t**2 - 1 - np.log(t**2)) / 2 > 2.0)
    np.testing.assert_array_equal(found.support, np.flatnonzero(stays))
    # Shrunk as alpha = s² / (q² - s) says: by 1 - 1 / t².
    want = (coef * (1 - 1 / t**2))[stays]
    np.testing.assert_allclose(found.mean, want, rtol=1e-6)
    assert ((found.inclusion > 0.5) == stays).all()


def test_terms_and_intervals_of_independent_errors():
    held = []
    for seed in range(40):
        Z, y, true = sparse_problem(seed)
        solver = BayesianSparse().fit(Z, y)
        np.testing.assert_array_equal(solver.coef_ != 0, true != 0)
        assert (solver.inclusion_[true != 0] > 0.99).all()
        assert (solver.inclusion_[true == 0] < 0.5).all()
        lower, upper = solver.interval(0.9)
        held.append(((lower <= true) & (true <= upper))[true != 0])
    # 80 trials of .9 stay within these limits but once in a thousand times.
    assert 0.77 <= np.mean(held) <= 1.0


def test_units_do_not_matter():
    Z, y, _ = sparse_problem()
    units = 10.0 ** np.arange(-4, 4)
    plain, scaled = BayesianSparse().fit(Z, y), BayesianSparse().fit(Z * units, 9 * y)
    np.testing.assert_allclose(scaled.coef_ * units, 9 * plain.coef_, rtol=1e-6)
    np.testing.assert_allclose(scaled.std_ * units, 9 * plain.std_, rtol=1e-6)
    np.testing.assert_allclose(scaled.inclusion_, plain.inclusion_, rtol=1e-6)


def test_refits_are_equal_and_shapes_follow_the_target():
    Z, y, _ = sparse_problem()
    one, again = BayesianSparse().fit(Z, y), BayesianSparse().fit(Z, y)
    np.testing.assert_array_equal(one.coef_, again.coef_)
    np.testing.assert_array_equal(one.std_, again.std_)
    two = BayesianSparse().fit(Z, np.column_stack([y, -y]))
    assert one.std_.shape == one.inclusion_.shape == one.coef_.shape == (8,)
    assert two.std_.shape == two.interval()[0].shape == two.coef_.shape == (2, 8)
    np.testing.assert_allclose(two.coef_, [one.coef_, -one.coef_])


def test_bounds_are_refused():
    Z, y, _ = sparse_problem()
    moments = Moments.from_rows(Z, y[:, None])
    names = tuple(f"z{i}" for i in range(8))
    bounded = Problem(moments, names, ("y",), lower=np.zeros((1, 8)))
    with pytest.raises(ValueError, match="takes no bounds"):
        BayesianSparse()._solve(bounded)
    # Without blocks, the deviations of the posterior itself.
    plain = BayesianSparse()._solve(Problem(moments, names, ("y",)))
    columns = np.flatnonzero(plain.coef[0])
    rest = y - Z @ plain.coef[0]
    noise = rest @ rest / (len(y) - len(columns))
    want = np.sqrt(np.diag(np.linalg.inv(Z[:, columns].T @ Z[:, columns])) * noise)
    np.testing.assert_allclose(plain.std[0, columns], want, rtol=1e-2)


LIFT = PolynomialLift(2).fit(np.zeros((2, 3)))
TRUE = np.zeros((3, 10))
for row, powers, value in [
    (0, (1, 0, 0), -10),
    (0, (0, 1, 0), 10),
    (1, (1, 0, 0), 28),
    (1, (0, 1, 0), -1),
    (1, (1, 0, 1), -1),
    (2, (0, 0, 1), -8 / 3),
    (2, (1, 1, 0), 1),
]:
    TRUE[row, LIFT.powers_.tolist().index(list(powers))] = value


def held_by_intervals(noise, n_repeats):
    """Which true coefficients of Lorenz (n_repeats, 7) stand in 90% intervals."""
    many = make_trajectories(
        lorenz63(), 2001, dt=0.01, n_trajectories=n_repeats, rtol=1e-9
    )
    rng = np.random.default_rng(0)
    held = []
    for clean in many:
        x = clean + noise * np.sqrt(np.mean(clean**2)) * rng.standard_normal((2001, 3))
        first = differentiate(x, 0.01, method="spline").smoothing
        # Lengths of 0.7 of what is best for the curve, or coefficients are biased.
        parts = [
            differentiate(x[:, [j]], 0.01, method=SmoothingSpline(0.7**6 * first[j]))
            for j in range(3)
        ]
        states = np.hstack([part.x for part in parts])
        slopes = np.hstack([part.x_dot for part in parts])
        solver = BayesianSparse().fit(LIFT.transform(states), slopes)
        lower, upper = solver.interval(0.9)
        held.append(((lower <= TRUE) & (upper >= TRUE))[TRUE != 0])
    return np.array(held)


def test_intervals_of_lorenz_in_short():
    # 70 coefficients, not all of them independent.
    assert 0.75 <= held_by_intervals(0.01, 10).mean() <= 1.0


@pytest.mark.slow
def test_intervals_of_lorenz():
    assert 0.85 <= held_by_intervals(0.01, 200).mean() <= 0.95

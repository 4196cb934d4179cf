"""DiscreteSINDy against maps whose equations are known."""

import numpy as np
import pytest

from skdyn.datasets import henon, make_trajectories
from skdyn.exceptions import DivergenceWarning
from skdyn.inspection import fixed_points, lyapunov_spectrum
from skdyn.preprocessing import PolynomialLift
from skdyn.sindy import STLSQ, DiscreteSINDy


def orbit(f, start, n, u=None):
    x = [np.array(start, dtype=float)]
    for k in range(n - 1):
        x.append(np.array(f(x[-1]) if u is None else f(x[-1], u[k])))
    return np.array(x)


def logistic(x):
    return 3.6 * x * (1 - x)


@pytest.mark.parametrize("degree", [2, 4])
def test_the_logistic_map(degree):
    X = orbit(logistic, [0.5], 400)
    model = DiscreteSINDy(PolynomialLift(degree), STLSQ(0.1)).fit(X)
    want = np.zeros((1, degree + 1))
    want[0, 1:3] = [3.6, -3.6]
    np.testing.assert_allclose(model.coef_, want, atol=1e-6)
    np.testing.assert_allclose(model.predict(X)[:-1], X[1:], atol=1e-9)
    np.testing.assert_allclose(model.predict(8), orbit(logistic, X[-1], 9)[1:], 1e-6)


def test_a_map_with_inputs():
    rng = np.random.default_rng(0)

    def f(x, u):
        return [0.8 * x[0] + 0.2 * x[1] * u[0], 0.5 * x[1] - 0.3 * x[0] + u[1] ** 2]

    U = [rng.uniform(-1, 1, (n, 2)) for n in (60, 90)]
    X = [orbit(f, [0.3, -0.2], len(u), u) for u in U]
    model = DiscreteSINDy(solver=STLSQ(0.05)).fit(X, u=U)
    assert model.terms_[1:5].tolist() == ["x0", "x1", "u0", "u1"]
    np.testing.assert_allclose(
        model.coef_[model.coef_ != 0], [0.8, 0.2, -0.3, 0.5, 1.0], rtol=1e-10
    )
    future = [rng.uniform(-1, 1, (10, 2)) for _ in U]
    got = model.forecast(10, u=future)
    for rows, x, u, v in zip(got, X, U, future, strict=True):
        # The last row of the training inputs has not acted; the forecast's first does.
        want = orbit(f, x[-1], 11, v)[1:]
        np.testing.assert_allclose(rows, want, rtol=1e-9)
        again = model.forecast(10, context=x, u=np.vstack([u[:-1], v]))
        np.testing.assert_allclose(again, want, rtol=1e-9)


def test_parts_are_the_whole_and_pairs_stay_within_trajectories():
    X = [orbit(logistic, [s], n) for s, n in ((0.2, 50), (0.7, 80), (0.4, 2))]
    whole = DiscreteSINDy(solver=STLSQ(0.1)).fit(X)
    parts = DiscreteSINDy(solver=STLSQ(0.1))
    for x in X:
        parts.partial_fit(x)
    np.testing.assert_allclose(parts.coef_, whole.coef_, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(whole.coef_, [[0, 3.6, -3.6]], atol=1e-10)


def test_weights_count_for_the_pair_that_begins_there():
    X = np.concatenate([orbit(logistic, [0.5], 50), orbit(logistic, [0.9], 50)])
    w = np.ones(100)
    w[49] = 0
    model = DiscreteSINDy(solver=STLSQ(0.1)).fit(X, weights=w)
    np.testing.assert_allclose(model.coef_, [[0, 3.6, -3.6]], atol=1e-10)


def test_inspection_takes_the_map():
    X = make_trajectories(henon(), 500)
    model = DiscreteSINDy(solver=STLSQ(0.05)).fit(X)
    got = lyapunov_spectrum(model, n_steps=500).exponents
    assert got.sum() == pytest.approx(np.log(0.3), rel=1e-6)
    assert got[0] == pytest.approx(0.419, abs=0.05)
    J = model._jacobian(X[:5], None)
    np.testing.assert_allclose(J, henon().jacobian(X[:5]), atol=1e-8)
    found = fixed_points(model).points
    np.testing.assert_allclose(found, fixed_points(henon()).points, rtol=1e-6)


def test_an_orbit_that_escapes_ends_in_nan():
    model = DiscreteSINDy(solver=STLSQ(0.1)).fit(orbit(logistic, [0.5], 200))
    with pytest.warns(DivergenceWarning, match="1 of 2"):
        got = model.forecast(50, context=[[[1.5]], [[0.3]]])
    assert np.isnan(got[0][-1]).all()
    assert np.isfinite(got[1]).all()

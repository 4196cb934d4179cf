"""Regressors of scikit-learn as one-step maps."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline as stock_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeRegressor

from skdyn.baselines import LinearAutoregression, Persistence, RegressorForecaster
from skdyn.exceptions import DivergenceWarning
from skdyn.koopman import DMD, DMDc
from skdyn.model_selection import RollingOriginSplit, forecast_scorer

BOTH = pytest.mark.parametrize("target", ["delta", "next"])


def walk(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)).cumsum(axis=0)


@BOTH
def test_least_squares_is_dmd(rotation, target):
    linear = LinearRegression(fit_intercept=False)
    model = RegressorForecaster(linear, target=target).fit(rotation[:80])
    want = DMD().fit(rotation[:80])
    np.testing.assert_allclose(model.predict(20), want.predict(20), atol=1e-9)
    np.testing.assert_allclose(model.predict(20), rotation[80:], atol=1e-9)


@BOTH
def test_least_squares_with_lags_is_autoregression(target):
    X = [walk(60, 2, seed) for seed in range(3)]
    model = RegressorForecaster(LinearRegression(), target=target, n_lags=3).fit(X)
    want = LinearAutoregression(3).fit(X)
    assert model.min_context_ == 3
    for got, rows in zip(model.predict(30), want.predict(30)):
        np.testing.assert_allclose(got, rows, rtol=1e-7, atol=1e-7)


def test_inputs_are_the_last_columns():
    X, u = walk(80, 2), walk(80, 1, 9)
    linear = LinearRegression(fit_intercept=False)
    model = RegressorForecaster(linear).fit(X, u=u)
    future = walk(15, 1, 5)
    want = DMDc().fit(X, u=u).predict(15, u=future)
    np.testing.assert_allclose(model.predict(15, u=future), want, atol=1e-8)
    assert model.regressor_.n_features_in_ == 3
    lagged = RegressorForecaster(linear, n_lags=2).fit(X, u=u)
    by_hand = np.hstack([X[1:-1], X[:-2], u[1:-1]])
    rows = X[1:-1] + lagged.regressor_.predict(by_hand)
    np.testing.assert_allclose(lagged.predict(X, u=u)[:-1], rows)


@BOTH
def test_one_step_is_the_regressors_answer(target):
    X = walk(60, 3)
    tree = DecisionTreeRegressor(random_state=0)
    got = RegressorForecaster(tree, target=target).fit(X).predict(X)
    # A tree grown to the end knows its training rows.
    np.testing.assert_allclose(got[:-1], X[1:])


def test_no_regressor_is_ridge():
    X = walk(60, 2)
    got = RegressorForecaster().fit(X)
    assert isinstance(got.regressor_, Ridge)
    np.testing.assert_array_equal(
        got.predict(5), RegressorForecaster(Ridge()).fit(X).predict(5)
    )


def test_single_outputs_are_fitted_feature_by_feature():
    X = walk(60, 2)
    model = RegressorForecaster(SVR(), target="next").fit(X)
    assert isinstance(model.regressor_, MultiOutputRegressor)
    for j in (0, 1):
        want = SVR().fit(X[:-1], X[1:, j]).predict(X)
        np.testing.assert_allclose(model.predict(X)[:, j], want)
    # One feature needs no wrapping, and several outputs neither where they are known.
    assert isinstance(RegressorForecaster(SVR()).fit(X[:, :1]).regressor_, SVR)
    piped = stock_pipeline(StandardScaler(), KNeighborsRegressor(2))
    assert RegressorForecaster(piped).fit(X).regressor_[-1].n_neighbors == 2


def test_the_regressor_given_is_left_alone():
    forest = RandomForestRegressor(5, random_state=0)
    model = RegressorForecaster(forest).fit(walk(60, 2))
    assert not hasattr(forest, "estimators_")
    assert model.regressor_ is not forest


def test_its_parameters_are_searched():
    X = np.sin(0.3 * np.arange(200))[:, None]
    search = GridSearchCV(
        RegressorForecaster(Ridge(), target="next", n_lags=2),
        {"regressor__alpha": [1e4, 1e-6], "n_lags": [1, 2]},
        cv=RollingOriginSplit(3, horizon=10, context=4),
        scoring=forecast_scorer("cme", 10),
    ).fit(X)
    assert search.best_params_ == {"n_lags": 2, "regressor__alpha": 1e-6}


def test_what_is_no_regressor_is_refused():
    X = walk(30, 1)
    for bad in (LogisticRegression(), Persistence(), DMD(), StandardScaler()):
        with pytest.raises((TypeError, ValueError), match="regressor"):
            RegressorForecaster(bad).fit(X)
    with pytest.raises(TypeError, match=r"got Persistence.*needs no wrapping"):
        RegressorForecaster(Persistence()).fit(X)


def test_divergence_is_said_and_ends_in_nan():
    # x[k + 1] = x[k]² from beyond 1, and a start that stays. Regressors raise on what
    # is not finite; a forecast does not.
    X = [1.01 ** (2.0 ** np.arange(9))[:, None], np.zeros((5, 1))]
    cubic = stock_pipeline(PolynomialFeatures(3), LinearRegression())
    model = RegressorForecaster(cubic, target="next").fit(X)
    contexts = np.array([[[1.5]], [[0.0]]])
    with pytest.warns(DivergenceWarning, match="1 of 2"):
        got = model.forecast(30, context=contexts)
    assert np.isnan(got[0, -1]).all()
    np.testing.assert_allclose(got[1], 0.0, atol=1e-3)


def test_single_precision_reaches_the_regressor():
    X = walk(60, 2).astype(np.float32)
    model = RegressorForecaster(LinearRegression()).fit(X)
    assert model.regressor_.coef_.dtype == np.float32
    assert model.forecast(3, context=X.astype(np.float64)).dtype == np.float64

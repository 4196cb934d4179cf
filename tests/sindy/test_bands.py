"""Intervals of coefficients and bands of forecasts."""

import warnings

import numpy as np
import pytest

from skdyn.base import Horizon
from skdyn.datasets import lorenz63, lotka_volterra, make_trajectories
from skdyn.exceptions import DivergenceWarning
from skdyn.preprocessing import PolynomialLift
from skdyn.sindy import (
    DiscreteSINDy,
    Ensemble,
    ImplicitSINDy,
    PDESINDy,
    SINDy,
    WeakSINDy,
)
from skdyn.sindy._bands import drawn_coefficients, forecasts_of
from skdyn.sindy._cv import _with
from skdyn.sindy._uncertainty import CoefficientCovariance


@pytest.fixture(scope="module")
def noisy():
    X = make_trajectories(lorenz63(), 2300, dt=0.01, rtol=1e-10)
    return X, X + 0.01 * X.std() * np.random.default_rng(0).standard_normal(X.shape)


def samples_of(model, coefs, n_steps, context=None, u=None):
    horizon = Horizon(n_steps, context=context, u=u)
    starts, past, future = model._resolved(horizon)
    states = model._begin_all(starts.pieces, past)
    return forecasts_of(model, coefs, states, n_steps, future)


@pytest.mark.parametrize("model", [SINDy(dt=0.01), WeakSINDy(dt=0.01, intervals=True)])
def test_a_band_of_lorenz_grows_and_holds_the_truth(noisy, model):
    X, Y = noisy
    model.fit(Y[:2000])
    lower, upper = model.coef_interval(0.999)
    assert (lower[model.coef_ == 0] == 0).all()
    assert (upper > lower)[model.coef_ != 0].all()
    np.testing.assert_allclose(upper + lower, 2 * model.coef_)
    assert 0.5 < model.coef_std_[1, 1] / 0.05 < 2
    band = model.forecast_interval(150, context=X[:2000])
    inside = (band.lower <= X[2000:2150]) & (X[2000:2150] <= band.upper)
    assert inside.mean() > 0.85
    width = (band.upper - band.lower).mean(axis=1)
    assert width[-20:].mean() > 5 * width[:20].mean()
    np.testing.assert_array_equal(band.mean, model.forecast(150, context=X[:2000]))
    assert band.samples.shape == (100, 150, 3)


def test_models_together_are_models_one_by_one(noisy):
    _, Y = noisy
    model = SINDy(dt=0.01).fit(Y[:1000])
    coefs = model.coef_ * np.array([1.0, 1.01, 0.99])[:, None, None]
    contexts = [Y[:5], Y[100:200]]
    samples = samples_of(model, coefs, 20, contexts)
    for coef, sample in zip(coefs, samples, strict=True):
        rows = _with(model, coef).forecast(20, context=contexts)
        np.testing.assert_allclose(sample, rows, rtol=1e-6)


def test_bands_under_an_input_of_time():
    t = 0.05 * np.arange(400)
    rng = np.random.default_rng(0)

    def push(t):
        return np.sin(np.asarray(t))[..., None]

    # The solution of x' = -x + u from x(0) = 1.
    x = (1.5 * np.exp(-t) + (np.sin(t) - np.cos(t)) / 2)[:, None]
    X = x + 1e-3 * rng.standard_normal(x.shape)
    model = SINDy(PolynomialLift(1), dt=0.05).fit(X[:300], u=push)
    band = model.forecast_interval(50, u=push, n_models=20)
    np.testing.assert_array_equal(band.mean, model.forecast(50, u=push))
    assert np.abs(band.mean - x[300:350]).max() < 0.02
    assert (band.lower < band.upper).all()
    coefs = np.array([model.coef_, 0.9 * model.coef_])
    samples = samples_of(model, coefs, 20, u=push)
    for coef, sample in zip(coefs, samples, strict=True):
        rows = _with(model, coef).forecast(20, u=push)
        np.testing.assert_allclose(sample[0], rows, rtol=1e-6)


def test_draws_have_the_covariance_and_the_tails_of_student():
    rng = np.random.RandomState(0)
    part = np.array([[4.0, 1.8e-3], [1.8e-3, 1e-6]])
    covariance = np.zeros((1, 3, 3))
    covariance[0][np.ix_([0, 2], [0, 2])] = part
    coef = np.array([[1.0, 0.0, 5.0]])
    drawn = drawn_coefficients(
        coef, CoefficientCovariance(tuple(covariance), np.array([10.0])), 40000, rng
    )[:, 0]
    assert (drawn[:, 1] == 0).all()
    np.testing.assert_allclose(drawn.mean(axis=0), coef[0], atol=0.03)
    # The variance of Student's t is f / (f - 2).
    np.testing.assert_allclose(np.cov(drawn[:, [0, 2]].T), part * 10 / 8, rtol=0.06)


def test_ensembles_make_their_own_band(noisy):
    _, Y = noisy
    solver = Ensemble(n_models=15, random_state=0)
    model = SINDy(solver=solver, dt=0.01).fit(Y[:1500])
    band = model.forecast_interval(30)
    assert band.samples.shape == (15, 30, 3)
    samples = samples_of(model, model.solver_.solution_.ensemble, 30)
    np.testing.assert_array_equal(samples[:, 0], band.samples)


def test_maps_inputs_and_forms():
    rng = np.random.default_rng(0)
    u = rng.uniform(-1, 1, (300, 1))
    x = np.zeros((300, 1))
    for k in range(299):
        x[k + 1] = 0.8 * x[k] + 0.5 * u[k]
    x += 0.01 * rng.standard_normal(x.shape)
    model = DiscreteSINDy(PolynomialLift(1)).fit(x, u=u)
    future = [u[:4], u[4:8]]
    band = model.forecast_interval(4, context=[x[:3], x[3:9]], u=future)
    assert isinstance(band.mean, list)
    assert np.shape(band.lower[1]) == (4, 1)
    assert np.shape(band.samples[0]) == (100, 4, 1)
    assert (band.lower[0] <= band.mean[0]).all()
    assert (band.mean[0] <= band.upper[0]).all()
    with pytest.raises(ValueError, match="Pass its values"):
        model.forecast_interval(4, u=np.sin)
    with pytest.raises(ValueError, match="coverage needs to be between 0 and 1"):
        model.forecast_interval(4, 90, u=u[:4])


def test_what_diverges_has_infinite_ends():
    # x' = c x²: from 1, some models blow up before the end, and others do not.
    t = np.linspace(0, 0.5, 200)
    noise = np.random.default_rng(0).standard_normal((200, 1))
    X = (1 / (1 - t))[:, None] + 1e-3 * noise
    model = SINDy(PolynomialLift(2), dt=t[1]).fit(X)
    assert model.terms_[model.coef_[0] != 0].tolist() == ["x0^2"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DivergenceWarning)
        band = model.forecast_interval(400, context=X[:1])
    assert np.isinf(band.upper[-1, 0])
    assert np.isfinite(band.upper[50, 0])


def test_who_has_none():
    rows = make_trajectories(lotka_volterra(), 60, dt=0.1)
    for model in (ImplicitSINDy(), PDESINDy()):
        assert not hasattr(model, "coef_interval")
        assert not hasattr(model, "forecast_interval")
    wide = SINDy(PolynomialLift(10), dt=0.1).fit(rows)
    weak = WeakSINDy(PolynomialLift(1), dt=0.1).fit(rows)
    for model in (wide, weak):
        with pytest.raises(ValueError, match="need moments of blocks of rows"):
            model.coef_interval()

"""Seasons by their definition, and what is left once they are gone."""

import numpy as np
import pytest
from sklearn.preprocessing import FunctionTransformer

from skdyn.baselines import Persistence
from skdyn.exceptions import DivergenceWarning
from skdyn.koopman import DMD
from skdyn.pipeline import make_pipeline
from skdyn.preprocessing import DelayEmbedding, Deseasonalise, Detrend

YEAR = np.array([3.0, 1, 0, 0, -2, 5, 9, -9, 4, -8, -4, 1])[:, None]


def test_the_mean_of_the_same_rows_less_the_mean_of_all():
    x = np.random.default_rng(0).standard_normal((40, 2))
    z = Deseasonalise(5, n_seasons=3).fit_transform(x)
    for i, row in enumerate(z):
        k = i + 15
        season = x[[k - 5, k - 10, k - 15]].mean(axis=0) - x[k - 15 : k].mean(axis=0)
        np.testing.assert_allclose(row, x[k] - season, atol=1e-12)


@pytest.mark.parametrize("period", [2, 3, 4, 7, 12])
@pytest.mark.parametrize("n_seasons", [1, 2, 3])
def test_harmonics_of_a_whole_period_are_the_profile(period, n_seasons):
    x = np.random.default_rng(0).standard_normal((50, 1))
    one = Deseasonalise(period, n_seasons=n_seasons).fit(x)
    other = Deseasonalise(
        period, n_seasons=n_seasons, n_harmonics=max(period // 2, 1)
    ).fit(x)
    np.testing.assert_allclose(one.weights_, other.weights_, atol=1e-12)


@pytest.mark.parametrize("period", [7, 12, 12.42, 5.3])
def test_a_season_disappears_and_level_and_slope_stay(period):
    k = np.arange(100)[:, None]
    angle = 2 * np.pi * k / period
    season = np.sin(angle + 1) + 0.5 * np.cos(2 * angle)
    est = Deseasonalise(period, n_seasons=2).fit(season)
    np.testing.assert_allclose(est.transform(season), 0, atol=1e-12)
    np.testing.assert_allclose(est.transform(season + 50), 50, atol=1e-11)
    line = est.transform(season + 0.3 * k)
    np.testing.assert_allclose(np.diff(line, axis=0), 0.3, atol=1e-12)


def test_a_season_and_linear_dynamics():
    k = np.arange(120)[:, None]
    decay = 20 * 0.98**k * np.cos(0.4 * k)
    X = np.tile(YEAR, (10, 1)) + decay
    pipe = make_pipeline(Deseasonalise(12), DelayEmbedding(2), DMD()).fit(X[:70])
    np.testing.assert_allclose(pipe.predict(50), X[70:], atol=1e-8)
    # The phase is that of the context: any, and any profile.
    for start in (0, 5, 11):
        other = np.tile(YEAR[::-1], (10, 1)) + 3 * decay
        got = pipe.forecast(40, context=other[start:60])
        np.testing.assert_allclose(got, other[60:100], atol=1e-7)


def test_trend_season_and_dynamics_together():
    k = np.arange(200)[:, None]
    X = np.tile(YEAR, (17, 1))[:200] + 100 + 0.7 * k + 5 * 0.99**k * np.cos(0.4 * k)
    for steps in (
        (Detrend(window=24), Deseasonalise(12)),
        (Deseasonalise(12), Detrend(window=24)),
    ):
        pipe = make_pipeline(*steps, DelayEmbedding(2), DMD()).fit(X[:150])
        np.testing.assert_allclose(pipe.predict(50), X[150:], atol=1e-6)


def test_multiplicative_seasons():
    k = np.arange(96)[:, None]
    X = np.exp(0.1 * np.tile(YEAR, (8, 1))) * 3 * 1.02**k
    est = Deseasonalise(12, model="multiplicative").fit(X)
    left = est.transform(X)
    np.testing.assert_allclose(left[1:] / left[:-1], 1.02, rtol=1e-10)
    pipe = make_pipeline(Deseasonalise(12, model="multiplicative"), DMD()).fit(X[:60])
    np.testing.assert_allclose(pipe.predict(36), X[60:], rtol=1e-8)
    log = FunctionTransformer(np.log, inverse_func=np.exp)
    additive = make_pipeline(log, Deseasonalise(12), Persistence()).fit(X)
    other = make_pipeline(est, Persistence()).fit(X)
    np.testing.assert_allclose(additive.predict(9), other.predict(9), rtol=1e-9)
    with pytest.raises(ValueError, match=r"positive values, got -2.*additive"):
        Deseasonalise(12, model="multiplicative").fit(X - X.min() - 2)
    with pytest.raises(ValueError, match="positive values"):
        est.inverse_forecast(left, -X)


def test_a_forecast_below_zero_has_no_logarithm():
    k = np.arange(60)[:, None]
    X = np.exp(0.1 * np.tile(YEAR, (5, 1))) * (2 + np.cos(0.4 * k))
    pipe = make_pipeline(Deseasonalise(12, model="multiplicative"), Fall()).fit(X)
    with pytest.warns(DivergenceWarning):
        rows = pipe.predict(300)
    assert np.isfinite(rows[0]).all()
    assert np.isnan(rows[-1]).all()


class Fall(Persistence):
    """One less with every row."""

    def _step(self, state, u):
        return state - 1, state - 1

    def _rollout(self, state, n_steps, u):
        down = np.arange(1, n_steps + 1)[None, :, None]
        return state[:, None] + 1 - 0.1 * down


def test_auto():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((240, 1))
    X = np.tile(YEAR, (20, 1)) + noise
    est = Deseasonalise().fit(X)
    assert est.period_ == 12
    # Four seasons fit in a fifth of the data.
    assert est.min_context_ == 1 + 4 * 12
    assert Deseasonalise().fit([X, X[:60]]).min_context_ == 1 + 12
    with pytest.warns(UserWarning, match="no significant season"):
        est = Deseasonalise().fit(noise)
    assert est.period_ == 1
    assert est.min_context_ == 1
    np.testing.assert_array_equal(est.transform(noise), noise)
    pipe = make_pipeline(est, Persistence())
    with pytest.warns(UserWarning, match="no significant season"):
        pipe.fit(noise[:60])
    np.testing.assert_array_equal(pipe.predict(2), noise[[59, 59]])


def test_more_seasons_less_noise():
    # y is x less a mean of q seasons: of variance 1 + 1/q - 1/(q m) of the noise's.
    noise = np.random.default_rng(0).standard_normal((20000, 1))
    for q in (1, 4):
        z = Deseasonalise(12, n_seasons=q).fit_transform(noise)
        assert z.var() == pytest.approx(1 + 1 / q - 1 / (12 * q), rel=0.05)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"period": 1}, "period"),
        ({"period": "yearly"}, "period"),
        ({"model": "both"}, "model"),
        ({"n_seasons": 0}, "n_seasons"),
        ({"period": 12, "n_harmonics": 7}, "has 6 harmonics, got n_harmonics=7"),
        ({"period": 2.1, "n_seasons": 1}, "Raise n_seasons"),
        ({"period": 30, "n_seasons": 2}, r"50 sample.*at least 61.*n_seasons"),
    ],
)
def test_bad_parameters_are_refused(params, words):
    with pytest.raises(ValueError, match=words):
        Deseasonalise(**params).fit(np.random.default_rng(0).random((50, 1)))

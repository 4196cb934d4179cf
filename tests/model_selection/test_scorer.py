"""Scores of whole forecasts, by hand and through every composition."""

import pickle

import numpy as np
import pytest
import sklearn
from sklearn import pipeline as stock
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score

from skdyn.base import Horizon
from skdyn.baselines import Persistence
from skdyn.exceptions import DivergenceWarning
from skdyn.koopman import DMD, DMDc
from skdyn.metrics import d_hellinger, d_stsp, mase, mase_scale, mmd, nrmse
from skdyn.model_selection import RollingOriginSplit, forecast_scorer
from skdyn.pipeline import make_pipeline
from skdyn.preprocessing import DelayEmbedding

METRICS = ["nrmse", "smape", "mase", "vpt", "cme", "d_stsp", "d_hellinger", "mmd"]


@pytest.fixture
def series():
    rng = np.random.default_rng(0)
    return 3 + np.cumsum(rng.standard_normal((300, 2)), axis=0)


def test_windows_by_hand(series):
    est = Persistence().fit(series)
    scale = np.sqrt(np.mean(np.sum((series - series.mean(0)) ** 2, axis=1)))
    scorer = forecast_scorer("nrmse", 7, context=3, stride=11)
    origins = range(300 - 7, 2, -11)
    want = [
        nrmse(series[o : o + 7], np.tile(series[o - 1], (7, 1)), scale=scale)
        for o in sorted(origins)
    ]
    np.testing.assert_allclose(scorer.windows(est, series), -np.array(want))
    assert scorer(est, series) == pytest.approx(-np.mean(want))
    median = forecast_scorer("nrmse", 7, context=3, stride=11, aggregate="median")
    assert median(est, series) == pytest.approx(-np.median(want))


def test_origins(series):
    def count(**kwargs):
        return len(forecast_scorer("cme", 10, **kwargs).windows(est, series))

    est = Persistence().fit(series)
    assert count() == 1
    assert count(context=20) == 28  # every 10th of 271 origins
    assert count(context=20, stride=1) == 271
    assert count(context=20, n_origins=50) == 50
    assert count(context=20, n_origins=5, stride=2) == 5
    assert count(context=20, n_origins=10**6) == 271
    listed = forecast_scorer("cme", 10, context=20).windows(est, [series, series[:40]])
    assert len(listed) == 28 + 2


@pytest.mark.parametrize("metric", METRICS)
def test_one_number_for_every_composition(series, metric):
    scorer = forecast_scorer(metric, 8, context=12, n_origins=40)
    pipes = [
        stock.make_pipeline(DelayEmbedding(5), DMD()),
        make_pipeline(DelayEmbedding(5), DMD()),
    ]
    pipes += [GridSearchCV(p, {}, cv=RollingOriginSplit(2, horizon=8)) for p in pipes]
    scores = [scorer(pipe.fit(series), series) for pipe in pipes]
    np.testing.assert_allclose(scores, scores[0], rtol=1e-12)
    bare = DMD().fit(series)
    search = GridSearchCV(DMD(), {}, cv=RollingOriginSplit(2, horizon=8)).fit(series)
    assert scorer(bare, series) == scorer(search, series)
    assert scorer(bare, [series]) == pytest.approx(scorer(bare, series))
    assert scorer(bare, series[None]) == pytest.approx(scorer(bare, series))


def test_the_default_context_is_a_fold(series):
    cv = RollingOriginSplit(4, horizon=15, context=30)
    pipe = make_pipeline(DelayEmbedding(5), DMD())
    got = cross_val_score(pipe, series, cv=cv, scoring=forecast_scorer("nrmse", 15))
    for value, (train, test) in zip(got, cv.split(series), strict=True):
        fold = series[test]
        forecast = pipe.fit(series[train]).forecast(15, context=fold[:30])
        scale = np.sqrt(np.mean(np.sum((fold - fold.mean(0)) ** 2, axis=1)))
        assert value == pytest.approx(-nrmse(fold[30:], forecast, scale=scale))


@pytest.mark.filterwarnings("ignore:One or more of the test scores:UserWarning")
def test_a_candidate_that_needs_more_context_loses_by_error_score(series):
    search = GridSearchCV(
        make_pipeline(DelayEmbedding(), DMD()),
        {"delayembedding__n_delays": [2, 12]},
        cv=RollingOriginSplit(2, horizon=5, context=8),
        scoring=forecast_scorer("cme", 5, context=8),
    )
    with pytest.warns(UserWarning, match=r"Raise `context`"):
        search.fit(series)
    assert search.best_params_ == {"delayembedding__n_delays": 2}
    assert np.isnan(search.cv_results_["mean_test_score"][1])


def test_diverged_forecasts_get_the_worst_value():
    grow = 10.0 ** np.arange(300)[:, None]
    est = DMD().fit(grow[:20])
    test = np.concatenate([grow[200:250], grow[: 350 - 250]])
    worst = {"nrmse": -10, "smape": -200, "mase": -1000, "vpt": 0.0, "cme": 0.0}
    for metric, value in worst.items():
        scorer = forecast_scorer(metric, 20, context=2, n_origins=1, stride=1)
        X = (
            np.concatenate([1e300 * np.ones((2, 1)), np.zeros((20, 1))])
            + 0.0 * test[:22]
        )
        with pytest.warns(RuntimeWarning):
            got = scorer(est, X)
        assert got == pytest.approx(value, abs=1e-9)


def test_errors_are_in_terms_of_the_whole_fold(series):
    est = DMD().fit(series)
    whole = [series, series[:80] + 5]
    rows = np.concatenate(whole)
    contexts = [series[300 - k * 40 - 10 : 300 - k * 40] for k in range(7, 0, -1)]
    truth = [series[300 - k * 40 : 340 - k * 40] for k in range(7, 0, -1)]
    contexts.append(whole[1][30:40])
    truth.append(whole[1][40:])
    runs = est.forecast(40, context=contexts)
    pairs = list(zip(truth, runs, strict=True))
    wants = {
        "mase": [mase(y, p, scale=mase_scale(whole)) for y, p in pairs],
        "d_stsp": [d_stsp(y, p, reference=rows) for y, p in pairs],
        "d_hellinger": [d_hellinger(y, p) for y, p in pairs],
        "mmd": [mmd(y, p, reference=rows) for y, p in pairs],
    }
    for metric, want in wants.items():
        got = forecast_scorer(metric, 40, context=10).windows(est, whole)
        np.testing.assert_allclose(got, -np.array(want), rtol=1e-6)


def test_a_free_run_that_is_lost_gets_the_worst_value():
    class Lost(Persistence):
        def _rollout(self, state, n_steps, u=None):
            return np.full((len(state), n_steps, 2), np.nan)

    X = np.random.default_rng(0).standard_normal((400, 2))
    for metric, worst in {"d_hellinger": -1.0, "mmd": -2.0, "d_stsp": None}.items():
        scorer = forecast_scorer(metric, 100, context=2)
        with pytest.warns(DivergenceWarning):
            lost = scorer(Lost().fit(X), X)
        assert np.isfinite(lost)
        if worst is not None:
            assert lost == worst
        assert lost <= scorer(Persistence().fit(X), X)


def test_censoring(series):
    flat = np.ones((50, 1)) + 1e-3 * np.arange(50)[:, None] % 2
    scorer = forecast_scorer("vpt", 5, context=1)
    assert scorer.censored(DMD().fit(series), series) < 1
    assert scorer.censored(Persistence().fit(flat), np.vstack([flat, flat + 9])) > 0.8
    with pytest.raises(ValueError, match="Only 'vpt'"):
        forecast_scorer("cme", 5).censored(DMD().fit(series), series)


def test_own_metrics(series):
    def worst_row(y_true, y_pred):
        return -np.abs(y_true - y_pred).max(axis=(1, 2))

    got = forecast_scorer(worst_row, 5, context=2)(Persistence().fit(series), series)
    assert got < 0


def test_inputs_reach_the_forecast():
    rng = np.random.default_rng(0)
    u = rng.standard_normal((200, 1))
    X = np.zeros((200, 1))
    for k in range(199):
        X[k + 1] = 0.5 * X[k] + u[k]
    est = DMDc().fit(X, u=u)
    for kwargs in ({}, {"context": 3}, {"context": 9, "n_origins": 7}):
        scorer = forecast_scorer("nrmse", 10, **kwargs)
        assert scorer(est, X, u=u) == pytest.approx(0.0, abs=1e-9)
        assert scorer(est, [X, X[:50]], u=[u, u[:50]]) == pytest.approx(0.0, abs=1e-9)
        assert scorer(est, X, u=rng.permutation(u)) < -0.1
    with pytest.raises(ValueError, match="enable_metadata_routing"):
        scorer(est, X)
    with sklearn.config_context(enable_metadata_routing=True):
        got = cross_val_score(
            DMDc(), [X, X], cv=KFold(2), scoring=scorer, params={"u": [u, u]}
        )
    np.testing.assert_allclose(got, 0.0, atol=1e-9)


def test_refusals(series):
    for bad, words in (
        ({"metric": "rmse"}, "'cme', 'd_hellinger', 'd_stsp', 'mase', 'mmd'"),
        ({"horizon": 0}, "positive whole"),
        ({"context": 0}, "context"),
        ({"stride": 2}, "pass context"),
        ({"context": 3, "n_origins": True}, "n_origins"),
        ({"aggregate": "max"}, "median"),
    ):
        with pytest.raises(ValueError, match=words):
            forecast_scorer(**{"metric": "cme", "horizon": 5, **bad})
    with pytest.raises(ValueError, match=r"at least 25.*20 rows of context"):
        forecast_scorer("cme", 5, context=20)(Persistence().fit(series), series[:24])


def test_it_is_picklable_and_says_what_it_is(series):
    scorer = forecast_scorer("vpt", 9, context=4)
    again = pickle.loads(pickle.dumps(scorer))
    est = DMD().fit(series)
    assert again(est, series) == scorer(est, series)
    assert repr(again) == repr(scorer)
    assert "forecast_scorer('vpt', horizon=9, context=4" in repr(scorer)


def test_contexts_are_asked_in_one_call(series):
    calls = []

    class Counting(DMD):
        def predict(self, X, *, u=None):
            calls.append(X)
            return super().predict(X, u=u)

    forecast_scorer("cme", 5, context=3, n_origins=100)(Counting().fit(series), series)
    (horizon,) = calls
    assert isinstance(horizon, Horizon)
    assert horizon.context.shape == (100, 3, 2)

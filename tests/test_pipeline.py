"""Pipelines, stock and ours, alone and inside scikit-learn's searches."""

import numpy as np
import pytest
import sklearn
from sklearn import pipeline as stock
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_score,
    cross_validate,
)
from sklearn.preprocessing import (
    FunctionTransformer,
    Normalizer,
    OneHotEncoder,
    QuantileTransformer,
    StandardScaler,
)

from skdyn.base import Horizon, TransformMixin, min_context
from skdyn.baselines import Persistence
from skdyn.exceptions import DivergenceWarning
from skdyn.koopman import BOPDMD, DMD, DMDc
from skdyn.model_selection import RollingOriginSplit, forecast_scorer
from skdyn.neural import PLRNN
from skdyn.pipeline import Pipeline, make_pipeline
from skdyn.preprocessing import DelayEmbedding, PolynomialLift, RowWise
from skdyn.sindy import DiscreteSINDy, SINDy


class Differencing(TransformMixin, BaseEstimator):
    """A transformer whose way back needs the past."""

    min_context_ = 2
    _parameter_constraints = {}

    def fit(self, X, y=None):
        self._last = self._check_fit(X).tails(1)
        return self

    def _transform(self, x):
        return np.diff(x, axis=-2)

    def get_feature_names_out(self, input_features=None):
        return np.array([f"d{j}" for j in range(self.n_features_in_)])

    def inverse_forecast(self, Y, context):
        from skdyn.utils._trajectories import as_trajectories

        ends = (self._last if context is None else as_trajectories(context)).pieces
        rows = [
            x[-1] + np.cumsum(y, axis=0)
            for x, y in zip(ends, as_trajectories(Y).pieces, strict=True)
        ]
        return as_trajectories(Y).join(rows)


def delay_dmd(kind=stock.make_pipeline, n=32):
    return kind(DelayEmbedding(n), DMD())


SCORER = forecast_scorer("cme", 20)
CV = RollingOriginSplit(3, horizon=20, context=40)


@pytest.mark.parametrize("kind", [stock.make_pipeline, make_pipeline])
def test_waves_are_continued(waves, kind):
    train, truth = waves[:800], waves[800:]
    pipe = delay_dmd(kind).fit(train)
    assert np.abs(pipe.predict(200) - truth).max() < 1e-9
    assert min_context(pipe) == 32
    search = GridSearchCV(
        pipe, {"delayembedding__n_delays": [2, 32]}, cv=CV, scoring=SCORER
    ).fit(train)
    assert search.best_params_ == {"delayembedding__n_delays": 32}
    assert np.abs(search.predict(200) - truth).max() < 1e-9
    assert min_context(search) == 32
    got = search.predict(Horizon(200, context=train[-32:]))
    assert np.abs(got - truth).max() < 1e-9


@pytest.mark.parametrize("kind", [stock.make_pipeline, make_pipeline])
def test_searches_and_cross_validation(waves, kind, tmp_path):
    train = waves[:300]
    pipe = kind(DelayEmbedding(16), DMD(), memory=str(tmp_path))
    grid = {"dmd__rank": [2, 6]}
    for search in (
        GridSearchCV(pipe, grid, cv=CV, scoring=SCORER, n_jobs=2),
        RandomizedSearchCV(pipe, grid, n_iter=2, cv=CV, scoring=SCORER),
        HalvingGridSearchCV(
            pipe,
            {"dmd__exact": [True, False]},
            resource="delayembedding__n_delays",
            min_resources=8,
            max_resources=16,
            cv=CV,
            scoring=SCORER,
        ),
    ):
        search.fit(train)
        assert np.abs(search.predict(20) - waves[300:320]).max() < 1e-8
    scores = cross_val_score(pipe, train, cv=CV, scoring=SCORER, n_jobs=2)
    assert scores.shape == (3,)
    assert scores.min() > 0.999
    found = cross_validate(pipe, train, cv=CV, scoring=SCORER, return_estimator=True)
    assert [len(est.predict(5)) for est in found["estimator"]] == [5, 5, 5]


@pytest.mark.parametrize("kind", [stock.make_pipeline, make_pipeline])
def test_memory_keeps_the_answer(waves, kind, tmp_path):
    want = kind(DelayEmbedding(8), DMDc()).fit(waves).predict(5)
    for _ in range(2):  # the second time from the cache
        pipe = kind(DelayEmbedding(8), DMDc(), memory=str(tmp_path)).fit(waves)
        np.testing.assert_array_equal(pipe.predict(5), want)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("kind", [stock.make_pipeline, make_pipeline])
def test_set_output_does_not_stop_a_forecast(waves, kind, library):
    pytest.importorskip(library)
    steps = (RowWise(StandardScaler()), DelayEmbedding(8), DMD(rank=6))
    want = kind(*steps).fit(waves).predict(5)
    pipe = kind(*map(clone, steps)).set_output(transform=library).fit(waves)
    np.testing.assert_allclose(pipe.predict(5), want)
    np.testing.assert_allclose(pipe.predict(Horizon(5, context=waves)), want)
    with sklearn.config_context(transform_output=library):
        pipe = kind(*map(clone, steps)).fit(waves)
        np.testing.assert_allclose(pipe.predict(5), want)
    listed = kind(*map(clone, steps)).set_output(transform=library)
    np.testing.assert_allclose(listed.fit([waves, waves]).predict(5)[1], want)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_set_output_frames_of_foreign_steps(waves):
    pd = pytest.importorskip("pandas")
    pipe = make_pipeline(StandardScaler(), DelayEmbedding(3)).set_output(
        transform="pandas"
    )
    frame = pipe.fit(pd.DataFrame(waves, columns=["x"])).transform(
        pd.DataFrame(waves, columns=["x"])
    )
    assert list(frame.columns) == ["x", "x_lag1", "x_lag2"]
    assert frame.index[0] == 2
    pipe.set_output(transform="default")
    assert isinstance(pipe.transform(pd.DataFrame(waves, columns=["x"])), np.ndarray)


def test_lists_arrays_and_frames(waves):
    pd = pytest.importorskip("pandas")
    halves = [waves[:400], waves[400:900]]
    stacked = np.stack([waves[:400], waves[400:800]])
    for kind in (stock.make_pipeline, make_pipeline):
        pipe = delay_dmd(kind)
        got = pipe.fit(halves).predict(10)
        np.testing.assert_allclose(got[1], waves[900:910], atol=1e-9)
        got = pipe.fit(stacked).predict(10)
        np.testing.assert_allclose(got[0], waves[400:410], atol=1e-9)
        frames = [pd.DataFrame(x, columns=["x"]) for x in halves]
        np.testing.assert_allclose(
            pipe.fit(frames).predict(10)[0], waves[400:410], atol=1e-9
        )
        search = GridSearchCV(
            pipe,
            {"dmd__rank": [2, 6]},
            cv=KFold(2),
            scoring=forecast_scorer("nrmse", 10, context=32),
        ).fit(halves)
        assert search.best_params_ == {"dmd__rank": 6}


def test_foreign_steps_answer_in_original_units(waves):
    X = 1000 + 50 * np.hstack([waves, np.roll(waves, 3, axis=0)])[3:]
    for foreign in (
        StandardScaler(),
        PCA(),
        QuantileTransformer(n_quantiles=50),
        FunctionTransformer(np.log, inverse_func=np.exp),
    ):
        pipe = make_pipeline(foreign, DelayEmbedding(4), Persistence()).fit(X)
        np.testing.assert_allclose(pipe.predict(3), np.tile(X[-1], (3, 1)), rtol=1e-6)
        np.testing.assert_allclose(pipe.predict(X), X[3:], rtol=1e-5)
        assert pipe.named_steps[type(foreign).__name__.lower()].n_features_in_ == 2
        got = pipe.forecast(2, context=[X[:10], X[:20]])
        np.testing.assert_allclose(got[1][0], X[19], rtol=1e-6)
    scaled = make_pipeline(StandardScaler(), DelayEmbedding(16), DMD()).fit(X)
    assert scaled.score(X) > 0.99


def test_score_is_in_original_units_here_and_not_in_a_stock_pipeline():
    rng = np.random.default_rng(0)
    X = np.cumsum(rng.standard_normal((200, 2)), axis=0) * [1, 1000]
    truth, least = X[2:], 3
    pipe = make_pipeline(DelayEmbedding(least), DMD()).fit(X)
    from sklearn.metrics import r2_score

    want = r2_score(X[least:], pipe.predict(X)[:-1])
    assert pipe.score(X) == pytest.approx(want, abs=1e-12)
    assert len(pipe.predict(X)) == len(truth)
    other = stock.make_pipeline(DelayEmbedding(least), DMD()).fit(X)
    assert other.predict(X).shape == (198, 6)


def test_a_way_back_that_needs_the_past():
    t = np.arange(300.0)
    X = (0.5 * t + np.sin(0.3 * t))[:, None]
    for kind in (stock.make_pipeline, make_pipeline):
        pipe = kind(Differencing(), DelayEmbedding(8), DMD()).fit(X[:250])
        np.testing.assert_allclose(pipe.predict(50), X[250:], atol=1e-7)
        got = pipe.predict(Horizon(40, context=[X[:100], X[:150]]))
        np.testing.assert_allclose(got[1], X[150:190], atol=1e-7)
        assert min_context(pipe) == 9
    one_step = pipe.predict(X)
    np.testing.assert_allclose(one_step[:-1], X[9:], atol=1e-7)
    assert pipe.score(X) > 0.999999
    nested = make_pipeline(make_pipeline(Differencing()), DelayEmbedding(8), DMD())
    np.testing.assert_allclose(nested.fit(X[:250]).predict(50), X[250:], atol=1e-7)
    np.testing.assert_allclose(nested.predict(X)[:-1], X[9:], atol=1e-7)


def test_nested_pipelines(waves):
    inner = make_pipeline(StandardScaler(), DelayEmbedding(8))
    pipe = make_pipeline(inner, DelayEmbedding(4), DMD()).fit(waves[:800])
    assert min_context(pipe) == pipe.min_context_ == 11
    np.testing.assert_allclose(pipe.predict(20), waves[800:820], atol=1e-6)
    natively = stock.make_pipeline(
        stock.make_pipeline(DelayEmbedding(8), DelayEmbedding(4)), DMD()
    ).fit(waves[:800])
    np.testing.assert_allclose(natively.predict(20), waves[800:820], atol=1e-6)
    with pytest.raises(TypeError, match=r"stock scikit-learn Pipeline.*make_pipeline"):
        make_pipeline(stock.make_pipeline(DelayEmbedding(8)), DMD()).fit(waves)
    with pytest.raises(TypeError, match="stock scikit-learn Pipeline"):
        make_pipeline(StandardScaler(), delay_dmd(stock.make_pipeline)).fit(waves)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Normalizer(), "no inverse_transform.*original units"),
        (VarianceThreshold(), "drops columns.*before the pipeline"),
        (FunctionTransformer(np.log1p), "no inverse_func"),
    ],
)
def test_a_step_without_a_way_back_is_refused_by_name(waves, step, words):
    with pytest.raises(TypeError, match=f"(?s)'culprit'.*{words}"):
        Pipeline([("culprit", step), ("model", DMD())]).fit(waves)


def test_sparse_output_is_refused(waves):
    with pytest.raises(TypeError, match="dense output"):
        make_pipeline(OneHotEncoder(), DMD()).fit(np.round(waves))


def test_a_horizon_at_a_foreign_step_says_what_to_do(waves):
    pipe = stock.make_pipeline(StandardScaler(), DMD()).fit(waves)
    with pytest.raises(TypeError, match=r"skdyn\.pipeline\.make_pipeline"):
        pipe.predict(Horizon(5))


def test_inputs_with_and_without_routing():
    rng = np.random.default_rng(1)
    u = rng.standard_normal((200, 1))
    X = np.zeros((200, 1))
    for k in range(199):
        X[k + 1] = 0.8 * X[k] + 0.5 * u[k]
    train, future = X[:150], u[149:199]
    # A mean taken off would act as a constant input, which DMDc does not have.
    scale = StandardScaler(with_mean=False)
    for pipe in (
        make_pipeline(scale, DMDc()),
        make_pipeline(clone(scale), DelayEmbedding(3), DMDc()),
        make_pipeline(DelayEmbedding(3), clone(scale), DMDc()),
    ):
        pipe.fit(train, u=u[:150])
        np.testing.assert_allclose(pipe.predict(50, u=future), X[150:], atol=1e-9)
        got = pipe.forecast(50, context=X[:150], u=u[:199])
        np.testing.assert_allclose(got, X[150:], atol=1e-9)
        assert pipe.score(X, u=u) > 0.999999
        with pytest.raises(ValueError, match="needed u, got none"):
            pipe.predict(5)
    bare = make_pipeline(DelayEmbedding(3), DMDc()).fit(train, u=u[:150])
    np.testing.assert_allclose(bare.predict(50, u=future), X[150:], atol=1e-9)
    # A stock Pipeline without routing takes inputs by the name of the step.
    plain = stock.make_pipeline(DelayEmbedding(3), DMDc())
    plain.fit(train, dmdc__u=u[:150])
    np.testing.assert_allclose(plain.predict(Horizon(50, u=future)), X[150:], atol=1e-9)
    search_scorer = forecast_scorer("nrmse", 10, context=8)
    with sklearn.config_context(enable_metadata_routing=True):
        for kind in (stock.make_pipeline, make_pipeline):
            search = GridSearchCV(
                kind(DelayEmbedding(3), DMDc()),
                {"dmdc__rank": [1, None]},
                cv=RollingOriginSplit(3, horizon=10, context=8),
                scoring=search_scorer,
                error_score="raise",
            ).fit(train, u=u[:150])
            assert search.best_params_ == {"dmdc__rank": None}
            got = search.predict(Horizon(50, u=future))
            np.testing.assert_allclose(got, X[150:], atol=1e-9)
            again = kind(DelayEmbedding(3), DMDc()).fit(train, u=u[:150])
            assert again.score(X, u=u) > 0.99
    with pytest.raises(ValueError, match="no step of the pipeline takes inputs"):
        make_pipeline(StandardScaler(), DMD()).fit(train, u=u[:150])


def test_foreign_steps_keep_the_mark_for_inputs():
    rng = np.random.default_rng(1)
    u, X = rng.standard_normal((60, 1)), rng.standard_normal((60, 2))
    # Two shortenings with a foreign step between: u still has all rows.
    pipe = make_pipeline(DelayEmbedding(3), StandardScaler(), DelayEmbedding(2), DMDc())
    pipe.fit([X, X[:50]], u=[u, u[:50]])
    assert pipe.min_context_ == 4
    with pytest.raises(ValueError, match="needed 60 rows in u"):
        pipe.fit([X, X], u=[u[:57], u])


def test_gaps_survive_the_steps_in_between():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X = np.cumsum(rng.standard_normal((80, 2)), axis=0)
    X[40:] += 1e3
    hours = np.r_[np.arange(40), 100 + np.arange(40)]
    index = pd.to_datetime("2020-01-01") + pd.to_timedelta(hours, unit="h")
    frame = pd.DataFrame(X, columns=["a", "b"], index=index)
    pipe = make_pipeline(StandardScaler(), DelayEmbedding(3), DMD())
    want = clone(pipe).fit([X[:40], X[40:]])
    np.testing.assert_allclose(pipe.fit(frame).predict(5), want.predict(5)[1])
    u = rng.standard_normal((80, 1))
    pipe = make_pipeline(StandardScaler(), DelayEmbedding(3), DMDc())
    want = clone(pipe).fit([X[:40], X[40:]], u=[u[:40], u[40:]])
    np.testing.assert_allclose(
        pipe.fit(frame, u=u).predict(5, u=u[:5]),
        want.predict(5, u=[u[:5], u[:5]])[1],
    )


def test_a_final_step_that_is_no_forecaster(waves):
    pipe = make_pipeline(StandardScaler(), Ridge()).fit(waves[:-1], waves[1:, 0])
    assert pipe.predict(waves).shape == (1000,)
    assert pipe.score(waves[:-1], waves[1:, 0]) > 0.9
    assert not hasattr(pipe, "forecast")
    only = make_pipeline(StandardScaler(), DelayEmbedding(3))
    Z = only.fit_transform([waves, waves])
    np.testing.assert_allclose(only.inverse_transform(Z)[0], waves[2:])
    assert not hasattr(only, "predict")


def test_slices_and_passthrough(waves):
    pipe = make_pipeline(StandardScaler(), "passthrough", DelayEmbedding(3), DMD())
    pipe.fit(waves)
    assert isinstance(pipe[:-1], Pipeline)
    np.testing.assert_allclose(
        pipe[:-1].inverse_transform(pipe[:-1].transform(waves)), waves[2:]
    )
    assert isinstance(pipe[-1], DMD)
    assert len(pipe.predict(4)) == 4


def test_a_search_at_the_end_of_a_pipeline(waves):
    search = GridSearchCV(DMD(), {"rank": [2, 6]}, cv=CV, scoring=SCORER)
    pipe = make_pipeline(DelayEmbedding(16), search).fit(waves[:800])
    np.testing.assert_allclose(pipe.predict(20), waves[800:820], atol=1e-7)
    assert pipe.score(waves) > 0.999


def test_gaps_are_carried_and_not_inferred_again():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    # Five pieces of ten rows: embedded in ten delays, each becomes one row, and the
    # gaps become the usual step.
    hours = np.concatenate([1000 * i + np.arange(10) for i in range(5)])
    index = pd.to_datetime("2020-01-01") + pd.to_timedelta(hours, unit="h")
    frame = pd.DataFrame(rng.standard_normal((50, 1)), index=index)
    with pytest.raises(ValueError, match=r"1 sample.*at least 2"):
        make_pipeline(DelayEmbedding(10), DMD()).fit(frame)
    longer = frame.iloc[:-1]
    assert len(DelayEmbedding(9).fit_transform(longer)) == 2 * 4 + 1
    with pytest.raises(ValueError, match="cannot carry the gaps"):
        DelayEmbedding(2).set_output(transform="polars").fit_transform(frame)


def test_inputs_find_their_rows_past_gaps_and_short_stretches():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X, u = rng.standard_normal((200, 1)), rng.standard_normal((200, 1))
    hours = np.r_[np.arange(100), 200, 201, 300 + np.arange(98)]
    index = pd.to_datetime("2020-01-01") + pd.to_timedelta(hours, unit="h")
    frame = pd.DataFrame(X, columns=["a"], index=index)
    scale = StandardScaler(with_mean=False)
    for kind, steps in (
        (stock.make_pipeline, (DelayEmbedding(3), DMDc())),
        (make_pipeline, (DelayEmbedding(3), DMDc())),
        (make_pipeline, (scale, DelayEmbedding(2), DelayEmbedding(2), DMDc())),
    ):
        pipe, cut = kind(*map(clone, steps)), kind(*map(clone, steps))
        name = "u" if kind is make_pipeline else "dmdc__u"
        with pytest.warns(UserWarning, match="1 piece"):
            pipe.fit(frame, **{name: u})
        cut.fit([X[:100], X[102:]], **{name: [u[:100], u[102:]]})
        got = pipe.predict(Horizon(4, u=u[:4]))
        want = cut.predict(Horizon(4, u=[u[:4], u[:4]]))[1]
        if scale not in steps:
            np.testing.assert_allclose(got, want)
        else:
            np.testing.assert_allclose(got, want, rtol=0.1)


def test_a_way_back_that_needs_the_past_with_gaps_and_inputs():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X, u = rng.standard_normal((90, 1)), rng.standard_normal((90, 1))
    hours = np.r_[np.arange(40), 100 + np.arange(50)]
    index = pd.to_datetime("2020-01-01") + pd.to_timedelta(hours, unit="h")
    frame = pd.DataFrame(X, columns=["a"], index=index)
    pipe = make_pipeline(Differencing(), DMDc()).fit(frame, u=u)
    cut = [X[:40], X[40:]], [u[:40], u[40:]]
    want = clone(pipe).fit(cut[0], u=cut[1]).predict(cut[0], u=cut[1])
    np.testing.assert_allclose(pipe.predict(frame, u=u), np.concatenate(want))


def test_a_step_replaced_after_fit_is_seen(waves):
    pipe = make_pipeline(StandardScaler(), DMD()).fit(waves)
    pipe.set_params(dmd=Persistence())
    with pytest.raises(NotFittedError):
        pipe.predict(2)
    pipe.fit(waves).set_params(standardscaler=QuantileTransformer())
    with pytest.raises(NotFittedError):
        pipe.predict(waves)


def test_transformers_that_write_into_their_input(waves):
    X = 5 * waves + 3
    kept = X.copy()
    pipe = make_pipeline(StandardScaler(copy=False), DelayEmbedding(8), DMD()).fit(X)
    np.testing.assert_array_equal(X, kept)
    want = make_pipeline(StandardScaler(), DelayEmbedding(8), DMD()).fit(X).predict(9)
    np.testing.assert_array_equal(pipe.predict(9), want)
    pipe.predict(X)
    np.testing.assert_array_equal(X, kept)


def test_parameters_of_foreign_steps(waves):
    weight = np.r_[np.ones(500), np.zeros(500)]
    want = StandardScaler().fit(waves[:500]).mean_
    pipe = make_pipeline(StandardScaler(), DMD())
    pipe.fit(waves, standardscaler__sample_weight=weight)
    np.testing.assert_allclose(pipe[0].mean_, want)
    with sklearn.config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=True)
        pipe = make_pipeline(scaler, DMD()).fit(waves, sample_weight=weight)
    np.testing.assert_allclose(pipe[0].mean_, want)


def test_stock_pipelines_of_foreign_steps(waves):
    sinh = FunctionTransformer(np.sinh, inverse_func=np.arcsinh)
    inner = stock.make_pipeline(StandardScaler(), sinh)
    pipe = make_pipeline(inner, DelayEmbedding(3), Persistence()).fit(waves)
    np.testing.assert_allclose(pipe.predict(1), waves[-1:])
    inner = stock.make_pipeline(VarianceThreshold(), StandardScaler())
    with pytest.raises(TypeError, match="drops columns"):
        make_pipeline(inner, DMD()).fit(waves)
    search = GridSearchCV(delay_dmd(stock.make_pipeline), {})
    with pytest.raises(TypeError, match="stock scikit-learn Pipeline"):
        make_pipeline(StandardScaler(), search).fit(waves)


def test_a_search_with_inputs_at_the_end(waves):
    u = np.random.default_rng(0).standard_normal((1000, 1))
    search = GridSearchCV(
        DMDc(), {"rank": [1, None]}, cv=RollingOriginSplit(2, context=9)
    )
    with sklearn.config_context(enable_metadata_routing=True):
        pipe = make_pipeline(StandardScaler(with_mean=False), search).fit(waves, u=u)
        assert len(pipe.predict(waves, u=u)) == 1000
        assert pipe.score(waves, u=u) > 0.9
        assert pipe.forecast(3, u=u[:3]).shape == (3, 1)


def test_an_inverse_that_overflows_is_a_divergence():
    X = np.exp(np.arange(1.0, 9.0))[:, None]
    pipe = make_pipeline(FunctionTransformer(np.log, inverse_func=np.exp), DMDc())
    pipe.fit(X)
    with pytest.warns(DivergenceWarning) as record:
        rows = pipe.predict(900)
    assert len(record) == 1
    assert np.isnan(rows[-1]).all()
    assert np.isfinite(rows[:3]).all()


@pytest.mark.parametrize("kind", [stock.make_pipeline, make_pipeline])
def test_a_diverging_model_says_so_once(kind):
    X = 10.0 ** np.arange(10)[:, None]
    pipe = kind(DelayEmbedding(2), DMD()).fit([X, X])
    with pytest.warns(DivergenceWarning) as record:
        rows = pipe.predict(400)
    assert len(record) == 1
    assert np.isnan(rows[1][-1]).all()


def test_imputers_are_refused_by_name(waves):
    with pytest.raises(TypeError, match=r"simpleimputer.*interpolate"):
        make_pipeline(SimpleImputer(), DMD()).fit(waves)


# -- intervals -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def turning():
    t = 0.2 * np.arange(400)
    noise = 0.01 * np.random.default_rng(0).standard_normal((400, 2))
    return 5 + np.column_stack([np.sin(t), 3 * np.cos(t)]) + noise


def parts(band):
    return band.mean, band.lower, band.upper, band.samples


@pytest.mark.parametrize(
    "model",
    [
        BOPDMD(n_trials=10),
        SINDy(PolynomialLift(1), dt=0.2),
        PLRNN(n_hinges=4, max_epochs=2, n_init=2),
    ],
)
def test_an_interval_in_units_of_the_data(turning, model):
    if isinstance(model, PLRNN):
        pytest.importorskip("skorch")
    scaler = StandardScaler().fit(turning)
    pipe = make_pipeline(StandardScaler(), model).fit(turning)
    band = pipe.forecast_interval(12, 0.8)
    own = pipe[-1].forecast_interval(12, 0.8)
    for got, inner in zip(parts(band), parts(own), strict=True):
        want = scaler.inverse_transform(inner.reshape(-1, 2)).reshape(inner.shape)
        np.testing.assert_allclose(got, want, rtol=1e-9)
    if not isinstance(model, PLRNN):
        np.testing.assert_array_equal(band.mean, pipe.predict(12))


def test_an_interval_is_made_of_samples_that_have_come_back(turning):
    logs = FunctionTransformer(np.log, inverse_func=np.exp)
    pipe = make_pipeline(logs, BOPDMD(n_trials=20)).fit(np.exp(turning - 5))
    band, inner = (each.forecast_interval(6, 0.5) for each in (pipe, pipe[-1]))
    np.testing.assert_allclose(band.samples, np.exp(inner.samples))
    np.testing.assert_allclose(band.mean, np.exp(inner.mean))
    ends = np.quantile(np.exp(inner.samples), [0.25, 0.75], axis=0)
    np.testing.assert_allclose([band.lower, band.upper], ends)


def test_intervals_after_steps_that_change_the_rows(turning):
    steps = PCA(2), Differencing(), DelayEmbedding(3), BOPDMD(4, n_trials=5)
    pipe = make_pipeline(*steps).fit([turning[:150], turning[150:]])
    listed = pipe.forecast_interval(7)
    assert [each.shape for each in listed.samples] == [(5, 7, 2)] * 2
    for mean, rows in zip(listed.mean, pipe.predict(7), strict=True):
        np.testing.assert_array_equal(mean, rows)
    contexts = np.stack([turning[:30], turning[50:80]])
    band = pipe.forecast_interval(7, context=contexts)
    assert band.samples.shape == (5, 2, 7, 2)
    ends = np.quantile(band.samples, [0.05, 0.95], axis=0)
    np.testing.assert_allclose([band.lower, band.upper], ends)
    np.testing.assert_array_equal(band.mean, pipe.forecast(7, context=contexts))
    alone = pipe.forecast_interval(Horizon(7, context=turning[:30]))
    np.testing.assert_array_equal(alone.mean, band.mean[0])
    with pytest.raises(ValueError, match="starts from 4 row"):
        pipe.forecast_interval(7, context=turning[:3])
    with pytest.raises(ValueError, match="got context or u beside it"):
        pipe.forecast_interval(Horizon(7), context=turning[:30])


def test_intervals_of_nested_pipelines_with_inputs(turning):
    rng = np.random.default_rng(0)
    u, x = rng.uniform(-1, 1, (200, 1)), np.zeros((200, 1))
    for k in range(199):
        x[k + 1] = 0.8 * x[k] + 0.5 * u[k]
    x += 0.01 * rng.standard_normal(x.shape)
    model = DiscreteSINDy(PolynomialLift(1))
    flat = make_pipeline(StandardScaler(), PCA(), model)
    nested = make_pipeline(StandardScaler(), make_pipeline(PCA(), model))
    future = u[:4]
    bands = [
        each.fit(x, u=u).forecast_interval(4, u=future, n_models=7)
        for each in (flat, nested)
    ]
    assert bands[0].samples.shape == (7, 4, 1)
    np.testing.assert_array_equal(bands[0].mean, flat.predict(4, u=future))
    for one, other in zip(*map(parts, bands), strict=True):
        np.testing.assert_allclose(one, other)


def test_ends_are_infinite_where_samples_overflow_on_their_way_back():
    k = np.arange(40)
    logs = FunctionTransformer(np.log, inverse_func=np.exp)
    noise = 1e-3 * np.random.default_rng(0).standard_normal(40)
    X = np.exp(1.1**k + noise)[:, None]
    pipe = make_pipeline(logs, DiscreteSINDy(PolynomialLift(1))).fit(X)
    with pytest.warns(DivergenceWarning) as record:
        band = pipe.forecast_interval(60)
    assert len(record) == 1
    assert np.isnan(band.mean[-1, 0])
    assert np.isinf(band.upper[-1, 0])
    assert np.isfinite(band.upper[5, 0])


def test_who_has_intervals(turning):
    search = GridSearchCV(
        BOPDMD(n_trials=4), {"rank": [2, 3]}, scoring=SCORER, cv=CV, refit=True
    )
    pipe = make_pipeline(StandardScaler(), search)
    assert hasattr(pipe, "forecast_interval")
    band = pipe.fit(turning).forecast_interval(3)
    np.testing.assert_array_equal(band.mean, pipe.predict(3))
    for model in (DMD(), PLRNN(n_init=1), StandardScaler(), "passthrough"):
        assert not hasattr(make_pipeline(StandardScaler(), model), "forecast_interval")

"""What Difference, Detrend and Deseasonalise have in common: exact ways back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import pipeline as stock
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skdyn.base import Horizon, min_context
from skdyn.baselines import Persistence
from skdyn.exceptions import DivergenceWarning
from skdyn.koopman import DMD, DMDc
from skdyn.model_selection import RollingOriginSplit, forecast_scorer
from skdyn.pipeline import make_pipeline
from skdyn.preprocessing import DelayEmbedding, Deseasonalise, Detrend, Difference
from skdyn.preprocessing._trailing import put_back, take_off

STEPS = [
    Difference(),
    Difference(3),
    Difference(2, period=5),
    Difference(0),
    Detrend(0, window=1),
    Detrend(1, window=9),
    Detrend(3, window=20),
    Detrend(),
    Deseasonalise(7, n_seasons=2),
    Deseasonalise(6, n_seasons=1, n_harmonics=3),
    Deseasonalise(5.3, n_seasons=2),
    Deseasonalise(7, model="multiplicative"),
]
each_step = pytest.mark.parametrize("step", STEPS, ids=str)


def recording(n=120, d=2, seed=0):
    """A positive trajectory with a wandering level, a season and noise."""
    rng = np.random.default_rng(seed)
    k = np.arange(n)[:, None]
    waves = 3 * np.sin(2 * np.pi * k / 7 + rng.uniform(0, 6, d))
    return 50 + waves + rng.standard_normal((n, d)).cumsum(axis=0)


@each_step
def test_the_inverse_is_exact_in_every_form(step):
    X = [recording(120, seed=0), recording(90, seed=1)]
    est = clone(step).fit(X)
    lead = est.min_context_ - 1
    assert len(est.weights_) == lead
    heads, Z = [x[: max(lead, 1)] for x in X], est.transform(X)
    for got, x in zip(est.inverse_forecast(Z, heads), X):
        np.testing.assert_allclose(got, x[lead:], rtol=1e-9)
    single = est.inverse_forecast(Z[0], heads[0])
    np.testing.assert_allclose(single, X[0][lead:], rtol=1e-9)
    stack = np.stack([X[0][:80], X[1][:80]])
    back = est.inverse_forecast(est.transform(stack), stack[:, : max(lead, 1)])
    np.testing.assert_allclose(back, stack[:, lead:], rtol=1e-9)


@each_step
def test_what_follows_the_training_data_comes_back(step):
    x = recording()
    est = clone(step).fit(x[:80])
    after = est.transform(x)[-40:]
    want = est.inverse_forecast(after)
    np.testing.assert_allclose(want, x[80:], rtol=1e-9)
    # The training data as a context, and any end of it, say the same.
    for context in (x[:80], x[80 - est.min_context_ : 80]):
        got = est.inverse_forecast(after, context)
        np.testing.assert_allclose(got, want, rtol=1e-9)
    several = est.inverse_forecast(np.stack([after, after[::-1]]), x[:80])
    np.testing.assert_allclose(several[0], want, rtol=1e-9)
    assert several.shape == (2, 40, 2)


@each_step
@pytest.mark.parametrize("kind", [stock.make_pipeline, make_pipeline])
def test_forecasts_of_pipelines(step, kind):
    X = [recording(110, seed=0), recording(100, seed=1)]
    pipe = kind(clone(step), DelayEmbedding(2), Persistence()).fit(X)
    lead = min_context(pipe) - 1
    assert lead == min_context(pipe[0])
    got = pipe.predict(12)
    for forecast, x in zip(got, X):
        # Persistence says that what is left stays as it is.
        y = pipe[0].transform(x)[-1:]
        want = pipe[0].inverse_forecast(np.repeat(y, 12, axis=0), x)
        np.testing.assert_allclose(forecast, want, rtol=1e-9)
    for forecast, want in zip(pipe.predict(Horizon(12, context=X)), got):
        np.testing.assert_allclose(forecast, want, rtol=1e-9)
    ends = np.stack([x[-lead - 1 :] for x in X])
    np.testing.assert_allclose(
        pipe.predict(Horizon(12, context=ends)), np.stack(got), rtol=1e-9
    )
    swapped = clone(pipe).fit(X[::-1]).predict(12)
    np.testing.assert_allclose(swapped[::-1], got, rtol=1e-9)
    # A prefix to the last bit: the way back is one row after the other.
    for forecast, longer in zip(pipe.predict(5), got):
        np.testing.assert_array_equal(forecast, longer[:5])


@each_step
def test_one_step_predictions_are_in_original_units(step):
    x = recording()
    pipe = make_pipeline(clone(step), DelayEmbedding(2), DMD()).fit(x)
    rows, least = pipe.predict(x), pipe.min_context_
    assert rows.shape == (len(x) - least + 1, 2)
    for i in (0, 17, len(rows) - 1):
        want = pipe.forecast(1, context=x[: least + i])
        np.testing.assert_allclose(rows[i : i + 1], want, rtol=1e-9)
    assert pipe.score(x) > 0.5


@given(
    st.integers(0, 3), st.integers(0, 12), st.integers(1, 30), st.integers(0, 2**32 - 1)
)
def test_any_weights_are_undone(d, w, n, seed):
    rng = np.random.default_rng(seed)
    weights = rng.uniform(-1, 1, w) / max(w, 1)
    x = rng.standard_normal((2, w + n, d + 1))
    y = take_off(x, weights)
    want = x[:, w:] - sum(
        weights[j] * x[:, w - 1 - j : w + n - 1 - j] for j in range(w)
    )
    np.testing.assert_allclose(y, want, atol=1e-13)
    np.testing.assert_allclose(put_back(y, x[:, :w], weights), x[:, w:], atol=1e-12)


@each_step
def test_the_inverse_damps_or_keeps(step):
    # Zeros of multiplicity m are found to the m-th root of the rounding.
    weights = clone(step).fit(recording()).weights_
    zeros = np.roots(np.r_[1.0, -weights])
    multiplicity = 4
    assert np.abs(zeros).max(initial=0) < 1 + 1e-14 ** (1 / multiplicity)


@given(st.integers(0, 4), st.integers(0, 60))
def test_trends_are_continued_and_the_rest_is_damped(degree, more):
    est = Detrend(degree, window=degree + 1 + more).fit(np.zeros((200, 1)))
    zeros = np.sort(np.abs(np.roots(np.r_[1.0, -est.weights_])))
    own = degree + 1
    np.testing.assert_allclose(zeros[-own:], 1, atol=0.02)
    assert np.all(zeros[:-own] < 0.99)


@given(
    st.one_of(st.integers(2, 20), st.floats(2.6, 20)),
    st.integers(2, 4),
)
def test_seasons_are_continued_and_the_rest_is_damped(period, n_seasons):
    est = Deseasonalise(period, n_seasons=n_seasons).fit(np.zeros((200, 1)))
    zeros = np.roots(np.r_[1.0, -est.weights_])
    assert np.abs(zeros).max() < 1 + 1e-6
    # The level is neither removed nor changed.
    assert est.weights_.sum() == pytest.approx(0, abs=1e-12)


@each_step
def test_float32_stays_and_is_summed_in_double(step):
    x = recording().astype(np.float32)
    est = clone(step).fit(x)
    lead = est.min_context_ - 1
    z = est.transform(x)
    back = est.inverse_forecast(z, x[: max(lead, 1)])
    assert z.dtype == back.dtype == np.float32
    want = clone(step).fit(x).transform(x.astype(np.float64))
    np.testing.assert_allclose(z, want, atol=1e-4)
    np.testing.assert_allclose(back, x[lead:], rtol=0.05)
    pipe = make_pipeline(clone(step), Persistence()).fit(x)
    assert pipe.predict(3).dtype == np.float32


@pytest.mark.parametrize("step", [Difference(2), Detrend(1, window=8)], ids=str)
def test_complex_trajectories(step):
    k = np.arange(80)[:, None]
    x = (1 + 2j) * k + np.exp(0.3j * k)
    pipe = make_pipeline(clone(step), DMD()).fit(x[:50])
    np.testing.assert_allclose(pipe.predict(30), x[50:], rtol=1e-8)
    assert min_context(make_pipeline(Detrend(), DMD()).fit(x)) > 3
    with pytest.raises(ValueError, match="Complex data not supported"):
        Deseasonalise(7).fit(x)


@each_step
def test_frames_with_gaps_and_names(step):
    pd = pytest.importorskip("pandas")
    X = [recording(80, seed=0), recording(70, seed=1)]
    hours = np.r_[np.arange(80), 500 + np.arange(70)]
    index = pd.to_datetime("2020-01-01") + pd.to_timedelta(hours, unit="h")
    frame = pd.DataFrame(np.concatenate(X), index=index, columns=["a", "b"])
    pipe = make_pipeline(clone(step), DelayEmbedding(2), DMD()).fit(frame)
    want = make_pipeline(clone(step), DelayEmbedding(2), DMD()).fit(X)
    np.testing.assert_allclose(pipe.predict(6), want.predict(6)[1], rtol=1e-9)
    np.testing.assert_allclose(
        pipe.forecast(6, context=frame), pipe.predict(6), rtol=1e-9
    )
    est = clone(step).set_output(transform="pandas").fit(frame)
    out = est.transform(frame)
    lead = est.min_context_ - 1
    assert list(out.index) == [*index[lead:80], *index[80 + lead :]]
    assert [name[0] for name in out.columns] == ["a", "b"]
    with pytest.raises(ValueError, match="feature names"):
        est.inverse_forecast(out.iloc[-5:], frame.rename(columns={"a": "z"}))


def test_the_end_of_a_diverging_forecast_stays_nan():
    x = recording()
    for step in STEPS:
        est = clone(step).fit(x)
        rows = est.transform(x)[-9:].copy()
        rows[4:, 0] = np.nan
        back = est.inverse_forecast(rows, x[:-9])
        np.testing.assert_allclose(back[:4], x[-9:-5], rtol=1e-9)
        assert np.isnan(back[4:, 0]).all()
        np.testing.assert_allclose(back[:, 1], x[-9:, 1], rtol=1e-9)


def test_an_unstable_model_behind_is_announced_once():
    x = 10.0 ** np.arange(30)[:, None]
    pipe = make_pipeline(Difference(), DMD()).fit(x)
    with pytest.warns(DivergenceWarning) as record:
        rows = pipe.predict(400)
    assert len(record) == 1
    assert np.isnan(rows[-1]).all()


def test_steps_commute_and_compose():
    x = recording(200)
    one = make_pipeline(Detrend(1, window=21), Deseasonalise(7), DelayEmbedding(2))
    two = make_pipeline(Deseasonalise(7), Detrend(1, window=21), DelayEmbedding(2))
    fixed = {"deseasonalise__n_seasons": 3}
    z = one.set_params(**fixed).fit_transform(x)
    np.testing.assert_allclose(two.set_params(**fixed).fit_transform(x), z, atol=1e-10)
    pipe = make_pipeline(*map(clone, (one, DMD()))).fit(x)
    np.testing.assert_allclose(pipe.forecast(5, context=x), pipe.predict(5), rtol=1e-9)


@pytest.mark.parametrize("step", [Difference(2), Detrend(window=20)], ids=str)
def test_inputs_filtered_alike_act_on_what_is_left(step):
    rng = np.random.default_rng(0)
    u, x = rng.standard_normal((2, 200, 1))
    for i in range(199):
        x[i + 1] = 0.9 * x[i] + 0.5 * u[i]
    x += 4 - 0.3 * np.arange(200)[:, None]
    left = clone(step).fit_transform(u)
    left = np.vstack([np.zeros((200 - len(left), 1)), left])
    pipe = make_pipeline(clone(step), DMDc()).fit(x[:150], u=left[:150])
    rows = pipe.predict(50, u=left[149:199])
    np.testing.assert_allclose(rows, x[150:], atol=1e-6)
    got = pipe.forecast(50, context=x[100:150], u=left[149:199])
    np.testing.assert_allclose(got, rows, atol=1e-8)


def test_searches_choose_among_them():
    k = np.arange(300.0)[:, None]
    x = 0.5 * k + np.sin(0.3 * k)
    pipe = stock.Pipeline(
        [("prepare", "passthrough"), ("delays", DelayEmbedding(2)), ("model", DMD())]
    )
    search = GridSearchCV(
        pipe,
        {"prepare": ["passthrough", Difference(), Detrend(window=30)]},
        cv=RollingOriginSplit(3, horizon=30, context=40),
        scoring=forecast_scorer("nrmse", 30),
        error_score="raise",
    ).fit(x[:250])
    assert isinstance(search.best_params_["prepare"], Detrend)
    np.testing.assert_allclose(search.predict(50), x[250:], atol=1e-6)


@each_step
def test_rows_alone_have_no_way_back(step):
    est = clone(step).fit(recording())
    with pytest.raises(TypeError, match=r"inverse_forecast\(Y, context"):
        est.inverse_transform(est.transform(recording()))


def test_what_does_not_fit_is_refused():
    x = recording()
    est = Difference(2).fit([x, x])
    with pytest.raises(ValueError, match="each of 2 trajectories, got 1 in Y"):
        est.inverse_forecast(x)
    with pytest.raises(ValueError, match=r"needs the 2 columns.*got 1"):
        est.inverse_forecast(x[:, :1], x)
    with pytest.raises(ValueError, match=r"context has 1 sample.*at least 2"):
        est.inverse_forecast(x, x[:1])
    with pytest.raises(ValueError, match="context contains NaN"):
        est.inverse_forecast(x, np.full((4, 2), np.nan))
    with pytest.raises(ValueError, match=r"120 sample.*at least 201.*shorten window"):
        Detrend(window=200).fit(x)

"""Linear autoregression against systems whose coefficients are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from skdyn.baselines import LinearAutoregression
from skdyn.exceptions import DivergenceWarning
from skdyn.koopman import DMD
from skdyn.pipeline import make_pipeline
from skdyn.preprocessing import DelayEmbedding


def stable(n_lags, d, seed=0, radius=0.95):
    """Coefficients whose companion matrix has this spectral radius."""
    rng = np.random.default_rng(seed)
    coef = rng.standard_normal((n_lags, d, d))
    K = np.eye(n_lags * d, k=d)
    K[:, :d] = coef.reshape(-1, d)
    ratio = radius / np.abs(np.linalg.eigvals(K)).max()
    return coef * ratio ** np.arange(1, n_lags + 1)[:, None, None]


def simulate(coef, n, seed=0, constant=0.0, noise=0.0, B=None, u=None):
    n_lags, d, _ = coef.shape
    rng = np.random.default_rng(seed)
    rows = list(rng.standard_normal((n_lags, d)))
    for k in range(n_lags - 1, n - 1):
        row = constant + sum(rows[-1 - j] @ coef[j] for j in range(n_lags))
        if u is not None:
            row = row + u[k] @ B
        rows.append(row + noise * rng.standard_normal(d))
    return np.array(rows)


def lagged(X, p):
    """The same regression, row by row."""
    Z = [np.concatenate([X[k - j] for j in range(p)]) for k in range(p - 1, len(X) - 1)]
    return np.array(Z), X[p:]


@pytest.mark.parametrize("constant", [0.0, 3.0])
@pytest.mark.parametrize("n_lags", [1, 2, 4])
def test_coefficients_are_recovered(n_lags, constant):
    coef = stable(n_lags, 3)
    many = [simulate(coef, 25, seed, constant) for seed in range(8)]
    model = LinearAutoregression(n_lags, fit_intercept=constant != 0).fit(many)
    np.testing.assert_allclose(model.coef_, coef, atol=1e-9)
    np.testing.assert_allclose(model.intercept_, constant, atol=1e-9)
    truth = simulate(coef, 80, 99, constant)
    got = model.forecast(55, context=truth[:25])
    np.testing.assert_allclose(got, truth[25:], atol=1e-9)


def test_inputs_are_recovered():
    rng = np.random.default_rng(0)
    coef, B, u = (
        stable(2, 2),
        rng.standard_normal((3, 2)),
        rng.standard_normal((120, 3)),
    )
    X = simulate(coef, 120, constant=1.0, B=B, u=u)
    model = LinearAutoregression(2).fit(X[:100], u=u[:100])
    np.testing.assert_allclose(model.coef_, coef, atol=1e-10)
    np.testing.assert_allclose(model.input_coef_, B, atol=1e-10)
    # The first row of future inputs acts on the last row of the context.
    np.testing.assert_allclose(model.predict(20, u=u[99:119]), X[100:], atol=1e-10)
    parts = LinearAutoregression(2).partial_fit(X[:40], u=u[:40])
    parts.partial_fit(X[40:], u=u[40:])
    np.testing.assert_allclose(parts.input_coef_, B, atol=1e-10)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("alpha", [0.0, 7.0])
def test_it_is_ridge_regression_on_lagged_rows(alpha, fit_intercept):
    rng = np.random.default_rng(0)
    X = 20 + np.array([1.0, 100.0]) * rng.standard_normal((300, 2)).cumsum(axis=0)
    Z, Y = lagged(X, 3)
    ridge = Ridge(alpha, fit_intercept=fit_intercept, solver="svd").fit(Z, Y)
    model = LinearAutoregression(3, alpha=alpha, fit_intercept=fit_intercept).fit(X)
    np.testing.assert_allclose(model.coef_.reshape(6, 2), ridge.coef_.T, atol=1e-9)
    np.testing.assert_allclose(model.predict(X)[:-1], ridge.predict(Z), atol=1e-7)


def test_sums_of_waves_are_continued(waves):
    # Three sines obey a recurrence over six rows; more lags leave least norm to decide.
    # Six rows of slow waves have a condition number of 1e8, which costs eight digits,
    # where squares of the companion matrix would cost all of them.
    for n_lags, error in ((6, 1e-5), (20, 1e-8)):
        model = LinearAutoregression(n_lags).fit(waves[:800])
        np.testing.assert_allclose(model.predict(200), waves[800:], atol=error)


def test_it_is_dmd_behind_a_delay_embedding(waves):
    rng = np.random.default_rng(0)
    X = waves + 0.1 * rng.standard_normal(waves.shape)
    hankel = make_pipeline(DelayEmbedding(10), DMD()).fit(X)
    model = LinearAutoregression(10, fit_intercept=False).fit(X)
    np.testing.assert_allclose(model.predict(50), hankel.predict(50), atol=1e-8)


def test_the_order_is_found():
    clean = [simulate(stable(3, 2), 40, seed, 1.0) for seed in range(5)]
    model = LinearAutoregression().fit(clean)
    assert model.n_lags_ == model.min_context_ == 3
    assert model.criterion_.argmin() == 2
    found = [
        LinearAutoregression().fit(simulate(stable(3, 2), 1500, s, noise=1.0)).n_lags_
        for s in range(10)
    ]
    # Akaike's criterion takes too few lags rarely, and now and then one too many.
    assert min(found) == 3
    assert found.count(3) >= 7


def test_the_criterion_is_its_definition():
    X = simulate(stable(2, 2), 200, constant=5.0, noise=1.0)
    criterion = LinearAutoregression().fit(X).criterion_
    most = len(criterion)
    values = []
    for p in range(1, most + 1):
        # All orders on the rows that the largest leaves.
        Z, Y = lagged(X[most - p :], p)
        Z = np.hstack([np.ones((len(Z), 1)), Z])
        rest = Y - Z @ np.linalg.lstsq(Z, Y, rcond=None)[0]
        S = rest.T @ rest / len(Y)
        n, k = len(Y), 1 + 2 * p
        values.append(np.linalg.slogdet(S)[1] + 2 * (n + k) / (n - k - 2 - 1))
    np.testing.assert_allclose(np.diff(criterion), np.diff(values), atol=1e-9)


def test_auto_is_capped_by_the_data():
    X = np.random.default_rng(0).standard_normal((400, 2))
    short = LinearAutoregression().fit([X, X[:4]])
    assert len(short.criterion_) == 3
    assert len(LinearAutoregression().fit(X[:2]).criterion_) == 1
    wide = np.random.default_rng(0).standard_normal((3000, 200))
    assert len(LinearAutoregression().fit(wide).criterion_) == 1


def test_a_short_stretch_between_gaps_does_not_bound_the_order():
    pd = pytest.importorskip("pandas")
    X = simulate(stable(3, 1), 150, noise=1.0)
    hours = np.r_[np.arange(60), 100, 101, 200 + np.arange(88)]
    index = pd.Timestamp("2020-01-01") + pd.to_timedelta(hours, unit="h")
    frame = pd.DataFrame(X, columns=["x"], index=index)
    with pytest.warns(UserWarning, match=r"2 row\(s\) in all"):
        model = LinearAutoregression().fit(frame)
    cut = LinearAutoregression().fit([X[:60], X[62:]])
    np.testing.assert_allclose(model.predict(5), cut.predict(5)[1])


def test_constant_and_dependent_features_do_no_harm():
    wave = np.sin(0.3 * np.arange(100))[:, None]
    X = np.hstack([wave, np.full((100, 1), 1e3), 2 * wave + 5])
    model = LinearAutoregression(4).fit(X[:80])
    np.testing.assert_allclose(model.predict(20), X[80:], atol=1e-9)
    assert np.abs(model.coef_).max() < 10
    still = LinearAutoregression().fit(np.full((30, 2), 7.0))
    np.testing.assert_allclose(still.predict(5), 7.0)


def test_a_large_level_costs_no_digits():
    wave = np.sin(0.3 * np.arange(300))[:, None]
    model = LinearAutoregression(2).fit(1e6 + wave[:200])
    np.testing.assert_allclose(model.predict(100) - 1e6, wave[200:], atol=1e-6)


def test_a_rollout_is_its_steps():
    coef = stable(3, 2, radius=1.0)
    X = simulate(coef, 60, constant=0.1)
    model = LinearAutoregression(3).fit(X)
    contexts = np.random.default_rng(0).standard_normal((40, 3, 2))
    states = model._begin(contexts, None)
    steps = super(LinearAutoregression, model)._rollout(states, 90, None)
    np.testing.assert_allclose(model.forecast(90, context=contexts), steps, atol=1e-10)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 5))
def test_a_prefix_is_a_prefix(n, more, batch):
    model = LinearAutoregression(2).fit(simulate(stable(2, 2), 50, constant=1.0))
    contexts = np.random.default_rng(n).standard_normal((batch, 2, 2))
    short, long = (model.forecast(k, context=contexts) for k in (n, n + more))
    np.testing.assert_allclose(short, long[:, :n], atol=1e-12)


def test_an_unstable_model_spoils_only_what_it_excites():
    X = [np.array([[1.0, 0], [10.0, 0], [100.0, 0]]), np.array([[0, 1.0], [0, 0.5]])]
    model = LinearAutoregression(1, fit_intercept=False).fit(X)
    contexts = np.zeros((5, 1, 2))
    contexts[:, 0, 1] = 1.0
    got = model.forecast(400, context=contexts)
    np.testing.assert_allclose(got[:, :, 1], np.tile(0.5 ** np.arange(1, 401), (5, 1)))
    contexts[3, 0, 0] = 1.0
    with pytest.warns(DivergenceWarning, match="step 309, for 1 of 5"):
        got = model.forecast(400, context=contexts)
    assert np.isfinite(got[[0, 1, 2, 4]]).all()


def test_long_data_in_chunks_is_the_whole(monkeypatch):
    coef = stable(2, 2)
    X = [simulate(coef, n, n, 1.0, noise=0.3) for n in (500, 7, 4, 90)]
    u = [np.random.default_rng(len(x)).standard_normal((len(x), 1)) for x in X]
    whole = LinearAutoregression(3).fit(X, u=u)
    monkeypatch.setattr("skdyn.baselines._autoregression._CHUNK", 20)
    parts = LinearAutoregression(3).fit(X, u=u)
    assert parts._moments.n_rows == whole._moments.n_rows == sum(map(len, X)) - 12
    np.testing.assert_allclose(parts.coef_, whole.coef_, atol=1e-12)
    np.testing.assert_allclose(parts.input_coef_, whole.input_coef_, atol=1e-12)


def test_partial_fit_keeps_the_model():
    X = simulate(stable(2, 2), 100, noise=1.0)
    assert not hasattr(LinearAutoregression(), "partial_fit")
    model = LinearAutoregression(2).fit(X)
    with pytest.raises(ValueError, match=r"needed.*\(2, True\), got \(3, True\)"):
        model.set_params(n_lags=3).partial_fit(X)


def test_single_precision():
    X = simulate(stable(2, 2), 300, constant=1.0, noise=0.1).astype(np.float32)
    got = LinearAutoregression(2).fit(X)
    want = LinearAutoregression(2).fit(X.astype(float))
    np.testing.assert_allclose(got.coef_, want.coef_, atol=1e-12)
    assert got.predict(3).dtype == np.float32
    # Waves stored in single precision: their rounding is no reason for more lags.
    wave = (np.sin(0.3 * np.arange(300))[:, None]).astype(np.float32)
    assert LinearAutoregression().fit(wave).n_lags_ == 2

"""OnlineESN against ridge regression of all rows, and against the rules in a loop."""

import numpy as np
import pytest
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingGridSearchCV

from skdyn.base import Horizon
from skdyn.datasets import make_lorenz63
from skdyn.model_selection import RollingOriginSplit, forecast_scorer
from skdyn.reservoir import ESN, OnlineESN
from skdyn.reservoir._states import advance
from skdyn.testing import forecaster_checks


def series(n=150, d=2, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(n)[:, None]
    waves = np.sin(np.array([0.21, 0.47])[:d] * t + rng.uniform(0, 6, d))
    return 5 + 2 * waves + 0.1 * rng.standard_normal((n, d))


def inputs(n=150, q=1, seed=0):
    return np.random.default_rng(50 + seed).standard_normal((n, q))


def driven(esn, X):
    """Features z and standardised rows, from the equations, in a plain loop."""
    V = (X - esn.mean_) / esn.scale_
    r, rows = np.zeros((esn.n_units, 1)), []
    for v in V:
        r = advance(esn.weights_, r, v[:, None])
        rows.append(np.r_[r[:, 0], v, 1.0])
    return np.array(rows), V


def weighted_ridge(Z, Y, weights, alpha):
    """Coefficients, the last of which is the constant, not penalised."""
    penalty = np.full(Z.shape[1], alpha)
    penalty[-1] = 0.0
    moments = Z.T @ (weights[:, None] * Z) + np.diag(penalty)
    return np.linalg.solve(moments, Z.T @ (weights[:, None] * Y))


# -- recursive least squares -----------------------------------------------------------


@pytest.mark.parametrize("alpha", [1.0, 1e-2, 1e-4])
def test_least_squares_is_ridge_of_all_rows(alpha):
    X = [make_lorenz63(700), make_lorenz63(500, random_state=1)]
    online = OnlineESN(60, alpha=alpha).fit(X)
    n_rows = sum(len(x) - 1 - len(x) // 10 for x in X)
    assert online.n_rows_seen_ == n_rows
    ridge = ESN(60, alpha=alpha / n_rows).fit(X)
    size = np.abs(ridge.coef_).max()
    np.testing.assert_allclose(online.coef_, ridge.coef_, atol=1e-8 * size)
    for got, want in zip(online.predict(X), ridge.predict(X)):
        np.testing.assert_allclose(got, want, atol=1e-8)


def test_the_constant_is_not_penalised():
    # What is far from zero and still is forecast by the constant alone.
    X = np.full((60, 1), 7.0)
    esn = OnlineESN(5, alpha=1e3, target="next", standardise=False, washout=3).fit(X)
    np.testing.assert_allclose(esn.predict(5), 7.0, rtol=1e-12)


@pytest.mark.parametrize("forgetting", [0.97, 0.8])
def test_forgetting_is_ridge_with_fading_weights(forgetting):
    X = series(120)
    esn = OnlineESN(12, forgetting=forgetting, alpha=1.0, washout=10).fit(X)
    Z, V = driven(esn, X)
    Z, Y = Z[10:-1], V[11:] - V[10:-1]
    n = len(Z)
    weights = forgetting ** np.arange(n - 1, -1, -1)
    want = weighted_ridge(Z, Y, weights, forgetting**n)
    np.testing.assert_allclose(esn.coef_, want, atol=1e-7 * np.abs(want).max())


def test_what_is_forgotten_no_longer_counts():
    # A change of the dynamics: the old slows down who does not forget.
    t = np.arange(1500)
    X = np.sin(np.where(t < 750, 0.2 * t, 0.35 * t))[:, None]
    errors = []
    for forgetting in (1.0, 0.98):
        esn = OnlineESN(20, forgetting=forgetting, alpha=1e-3).fit(X)
        errors.append(np.abs(esn.predict(X)[-51:-1] - X[-50:]).max())
    assert errors[1] < 0.2 * errors[0]


# -- other rules -----------------------------------------------------------------------


def test_least_mean_squares_is_its_formula():
    X = series(80)
    esn = OnlineESN(10, rule="lms", learning_rate=0.3, alpha=0.1, washout=5).fit(X)
    Z, V = driven(esn, X)
    C = np.zeros((Z.shape[1], 2))
    for k in range(5, 79):
        error = V[k + 1] - V[k] - Z[k] @ C
        C += 0.3 * np.outer(Z[k], error) / (0.1 + Z[k] @ Z[k])
    np.testing.assert_allclose(esn.coef_, C, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("forgetting", [1.0, 0.99])
def test_force_is_least_squares_of_what_it_heard(forgetting):
    X, w, alpha = series(60), 6, 0.5
    esn = OnlineESN(
        8, rule="force", target="next", alpha=alpha, washout=w, forgetting=forgetting
    ).fit(X)
    V = (X - esn.mean_) / esn.scale_
    r = np.zeros((8, 1))
    for v in V[:w]:
        r = advance(esn.weights_, r, v[:, None])
    heard, Z, Y = V[w], [], []
    for k in range(w, 59):
        r = advance(esn.weights_, r, heard[:, None])
        Z.append(np.r_[r[:, 0], heard, 1.0])
        Y.append(V[k + 1])
        n = len(Z)
        fade = forgetting ** np.arange(n - 1, -1, -1)
        C = weighted_ridge(np.array(Z), np.array(Y), fade, alpha * forgetting**n)
        heard = Z[-1] @ C
    np.testing.assert_allclose(esn.coef_, C, rtol=1e-6, atol=1e-8)


def test_force_closes_the_loop_of_a_restless_network():
    # By itself the network is chaotic (Sussillo & Abbott 2009). What is trained on the
    # rows fails in the loop; what is trained in the loop goes on.
    def wave(t):
        return (np.sin(2 * np.pi * t / 60) + 0.5 * np.sin(4 * np.pi * t / 60 + 1))[
            :, None
        ]

    X, truth = wave(np.arange(3000)), wave(np.arange(3000, 4000))
    params = {
        "spectral_radius": 1.5,
        "target": "next",
        "input_to_readout": False,
        "alpha": 1.0,
    }
    wrong = {
        rule: np.abs(OnlineESN(200, rule=rule, **params).fit(X).predict(1000) - truth)
        for rule in ("force", "rls")
    }
    assert wrong["force"].max() < 0.3 < 1.0 < wrong["rls"].max()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("rule", ["lms", "force"])
def test_other_rules_keep_the_contract_but_for_the_order_of_rows(rule):
    esn = OnlineESN(15, rule=rule, alpha=1.0, standardise=False, washout=3)
    names = []
    for name, check in forecaster_checks(esn):
        if name != "order_of_trajectories_is_irrelevant":
            check()
            names.append(name)
    assert "partial_fit_adds_up" in names


# -- going on --------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["rls", "lms", "force"])
@pytest.mark.parametrize("with_inputs", [False, True])
def test_row_by_row_is_all_at_once(rule, with_inputs):
    X, U = series(150), inputs(150)
    given = (np.array([5.0, 5.0, 0.0])[: 2 + with_inputs],) * 2
    given = (given[0], np.ones(2 + with_inputs))
    params = {"rule": rule, "alpha": 0.1, "washout": 8, "standardise": given}

    def u(*rows):
        return {"u": U[slice(*rows)]} if with_inputs else {}

    whole = OnlineESN(15, forgetting=0.99, **params).fit(X, **u(150))
    parts = OnlineESN(15, forgetting=0.99, **params).partial_fit(X[:40], **u(40))
    for start, stop in ((40, 41), (41, 42), (42, 100), (100, 150)):
        assert parts.update(X[start:stop], **u(start, stop)) is parts
        assert len(parts.context_.pieces[0]) == parts.min_context_ == 9
    assert parts.n_rows_seen_ == whole.n_rows_seen_ == 141
    np.testing.assert_allclose(parts.coef_, whole.coef_, rtol=1e-9, atol=1e-12)
    future = {"u": inputs(7, seed=3)} if with_inputs else {}
    ahead = whole.predict(Horizon(7, **future))
    np.testing.assert_allclose(parts.predict(Horizon(7, **future)), ahead, rtol=1e-9)
    if not with_inputs:
        np.testing.assert_allclose(parts.forecast(7, context=X), ahead, rtol=1e-9)


def test_update_keeps_the_form_and_the_standardisation():
    X = series(100)
    for wrap, unwrap in (
        (lambda x: [x], lambda y: y[0]),
        (lambda x: x[None], lambda y: y[0]),
        (lambda x: x, lambda y: y),
    ):
        esn = OnlineESN(10).fit(wrap(X[:90]))
        mean = esn.mean_.copy()
        esn.update(wrap(X[90:]))
        np.testing.assert_array_equal(esn.mean_, mean)
        got = esn.predict(3)
        assert type(got) is type(wrap(X))
        want = esn.forecast(3, context=X)
        np.testing.assert_allclose(unwrap(got), want, rtol=1e-9)


def test_what_cannot_go_on_is_refused():
    X = series(60)
    with pytest.raises(ValueError, match="got 2 trajectories"):
        OnlineESN(5).fit([X, X]).update(X)
    with pytest.raises(ValueError, match="got 2 trajectories"):
        OnlineESN(5).fit(X).update([X, X])
    # Statistics of all rows are not those of the first: sums would not add up.
    assert not hasattr(OnlineESN(5), "partial_fit")
    assert hasattr(OnlineESN(5, standardise=False), "partial_fit")


@pytest.mark.parametrize("rule", ["rls", "force", "lms"])
def test_rows_beyond_reach_are_refused(rule):
    X = series(100) * 1e200
    with pytest.raises(ValueError, match="moderate size"):
        OnlineESN(5, rule=rule, standardise=False).fit(X)


@pytest.mark.filterwarnings("ignore")
def test_forgetting_everything_is_refused():
    X = np.full((3000, 1), 7.0)
    with pytest.raises(ValueError, match=r"forgetting=0.5 has forgotten all"):
        OnlineESN(5, forgetting=0.5).fit(X)
    assert OnlineESN(5).fit(X).predict(3).ravel() == pytest.approx(7.0)


def test_a_halving_search_over_units():
    search = HalvingGridSearchCV(
        OnlineESN(),
        {"alpha": [1e-6, 1e3]},
        resource="n_units",
        min_resources=20,
        max_resources=40,
        factor=2,
        cv=RollingOriginSplit(2, horizon=150, context=110),
        scoring=forecast_scorer("cme", horizon=40, context=105),
    )
    search.fit(make_lorenz63(800))
    assert search.best_params_ == {"alpha": 1e-6, "n_units": 40}

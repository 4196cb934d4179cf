"""S4D: one network in two libraries, states, bases, and what it learns."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

torch = pytest.importorskip("torch")
pytest.importorskip("skorch")

from skdyn.datasets import make_lorenz63  # noqa: E402
from skdyn.koopman import DMD  # noqa: E402
from skdyn.neural import S4D, S4DClassifier, S4DRegressor  # noqa: E402
from skdyn.neural._s4d import _go_on, _settle  # noqa: E402
from skdyn.neural._s4d_base import (  # noqa: E402
    Held,
    PolynomialRidge,
    Starts,
    choose,
    delayed,
    free_run,
)
from skdyn.neural._s4d_module import (  # noqa: E402
    Hold,
    Monomials,
    S4DNet,
    Training,
    discrepancy,
)
from skdyn.preprocessing import DelayEmbedding, PolynomialLift  # noqa: E402
from skdyn.reservoir import ESN, NVAR  # noqa: E402


def _net(n_in=3, d=2, seed=0, **how):
    given = {"burn_in": 4, **how}
    net = S4DNet(
        n_in,
        d,
        n_layers=2,
        d_model=5,
        d_state=6,
        init="lin",
        disc="zoh",
        dt_min=0.05,
        dt_max=0.5,
        scale=np.array([0.3, 0.2])[:d],
        base=Hold(d),
        n_rows=1,
        training=Training(**given),
        dropout=0.0,
        rng=seed,
    )
    with isolated(seed), torch.no_grad():
        net.head.weight.normal_(std=0.3)
        net.head.bias.normal_(std=0.1)
        net.double()
    return net


def isolated(seed):
    from skdyn.neural._torch import isolated_rng

    return isolated_rng(seed)


def _rows(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def _quick(**kwargs):
    given = {"max_epochs": 1, "batch_size": 4, "device": "cpu", **kwargs}
    return S4D(1, 8, 4, **given)


# -- the network -----------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 31, 32, 33, 100])
def test_numpy_is_pytorch(length):
    net, z = _net(), _rows(3, length, 3)
    network = net.network()
    features, after = network.run(z)
    with torch.no_grad():
        want, states = net.features(torch.tensor(z))
        answer = net(torch.tensor(z)).numpy()
    np.testing.assert_allclose(features, want.numpy(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(network.readout(features), answer, atol=1e-10)
    # The state of NumPy is that of PyTorch before its input's factor.
    for x, state, block in zip(after, states, net.blocks, strict=True):
        factor = block.layer.discrete()[1].detach().numpy()
        np.testing.assert_allclose(
            np.moveaxis(x, -1, 0) * factor, state.numpy(), rtol=1e-9, atol=1e-9
        )


def test_steps_are_the_run_and_cuts_do_not_matter():
    network, z = _net().network(), _rows(3, 90, 3)
    features, after = network.run(z)
    state = network.zero(3)
    for k in range(90):
        row = network.step(z[:, k], state)
        np.testing.assert_allclose(row, features[:, k], rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(state, after, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(network.settle(z), after, rtol=1e-11, atol=1e-11)
    first, state = network.run(z[:, :37])
    second, state = network.run(z[:, 37:], state)
    joined = np.concatenate([first, second], axis=1)
    np.testing.assert_allclose(joined, features, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(state, after, rtol=1e-11, atol=1e-11)
    np.testing.assert_array_equal(network.unpack(network.pack(state)), state)


def test_batches_larger_than_a_block_are_each_alone(monkeypatch):
    network, z = _net().network(), _rows(7, 20, 3)
    want, after = network.run(z)
    monkeypatch.setattr("skdyn.neural._s4d_core._BLOCK", 2 * 20 * 5)
    got, state = network.run(z)
    np.testing.assert_allclose(got, want, atol=1e-13)
    np.testing.assert_allclose(state, after, atol=1e-13)


def test_monomials_in_pytorch_are_those_of_the_lift():
    lift = PolynomialLift(3).fit(np.zeros((1, 4)))
    coef = _rows(lift.n_output_features_, 2)
    low, high, o = np.full(4, -0.5), np.full(4, 0.75), _rows(9, 4, seed=1)
    base = PolynomialRidge(lift, coef, 2, low, high)
    module = Monomials(lift._monomials.products, coef, low, high).double()
    module.coef = torch.tensor(coef)
    np.testing.assert_allclose(module(torch.tensor(o)), base.ahead(o), atol=1e-12)
    np.testing.assert_array_equal(Held(2).ahead(o), Hold(2)(torch.tensor(o)))


def test_student_forcing_is_the_free_run():
    # The loss of steps 1 to 6, against the forecasts of NumPy.
    net = _net(rollout=6, rollout_from=0.0)
    x, u = _rows(3, 21, 2), _rows(3, 21, 1, seed=2)
    left = np.zeros((3, 21, 2))
    batch = tuple(torch.tensor(each) for each in (x, u, left))
    with torch.no_grad():
        both = net.loss(batch, 0.5)
        net.how = Training(burn_in=4)
        one_step = net.loss(tuple(each[:, :15] for each in batch), 0.5)
    z = np.concatenate([x, u], axis=2)
    state = _settle(net.network(), 1, z[:, :14])
    rows, _ = _go_on(net.network(), Held(2), net.scale.numpy(), state, 7, u[:, 13:20])
    # Rows 14 to 20 are forecast; the last row of the window is the last of them.
    error = (((rows - x[:, 14:]) / net.scale.numpy()) ** 2).mean(-1)
    assert abs(float(both - one_step) - (error / (1 + error)).mean()) < 1e-6


def test_noise_on_rows_moves_the_target_back_to_the_truth():
    # A head that undoes the noise exactly has no loss: x' = x, held, and the answer
    # (mean - row) / scale for rows that do not move.
    net = _net(n_in=2, noise=0.5)
    with torch.no_grad():
        net.head.weight.zero_()
        net.head.bias.zero_()
        net.head.weight[:, -2:] = -torch.diag(1 / net.scale)
        still = torch.zeros(3, 21, 2, dtype=torch.float64)
        assert float(net.loss((still, None, still), 0.0)) < 1e-20


def test_discrepancy_tells_distributions_apart():
    x, y = (torch.tensor(_rows(400, 2, seed=s)) for s in (0, 1))
    assert abs(float(discrepancy(x, x))) < 1e-12
    assert float(discrepancy(x, y)) < 0.1 * float(discrepancy(x, y + 1.0))


# -- bases -----------------------------------------------------------------------------


def test_choose_finds_a_polynomial_map():
    # The Henon map in one variable: two delayed rows, degree two.
    x = np.zeros(300)
    for k in range(1, 299):
        x[k + 1] = 1 - 1.4 * x[k] ** 2 + 0.3 * x[k - 1]
    z = x[10:, None]
    contexts = np.stack([z[k - 8 : k] for k in (200, 230)])
    truth = np.stack([z[k : k + 10] for k in (200, 230)])
    starts = Starts(contexts, truth, np.zeros((2, 10, 0)), float(z.std()))
    base, error = choose([z[:200]], 1, starts)
    assert base.n_rows >= 2
    assert error < 1e-4
    assert abs(starts.error(free_run(base, starts)) - error) < 1e-15
    np.testing.assert_allclose(
        base.ahead(delayed(z[:-1], base.n_rows)), z[base.n_rows :], atol=1e-6
    )


@pytest.mark.parametrize("inputs", [False, True])
@pytest.mark.parametrize("base", [NVAR(2, degree=1, alpha=1e-6), DMD()])
def test_another_forecaster_as_base_is_its_one_step(base, inputs):
    X, u = _rows(120, 2), _rows(120, 1, seed=1) if inputs else None
    if inputs and isinstance(base, DMD):
        pytest.skip("takes no inputs")
    s4d = _quick(base=base, refit=False, held_back=0.0, lr=1e-12).fit(X, u=u)
    # The head starts at zero, so that the model is its base.
    given = {} if u is None else {"u": u}
    want = clone(base).fit(X, **given)
    lead = s4d.min_context_ - want.min_context_
    np.testing.assert_allclose(
        s4d.predict(X, **given), want.predict(X, **given)[lead:], atol=1e-6
    )


def test_a_base_needs_a_fixed_number_of_rows():
    X = _rows(100, 2)
    with pytest.raises(ValueError, match="fixed number of last rows"):
        _quick(base=ESN(20)).fit(X)
    with pytest.raises(ValueError, match=r"got the class DMD. Pass base=DMD\(\)"):
        _quick(base=DMD).fit(X)
    with pytest.raises(ValueError, match="no pipeline"):
        _quick(base=make_pipeline(DelayEmbedding(2), DMD())).fit(X)


# -- the estimator ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def lorenz():
    X = make_lorenz63(900)
    return X, S4D(1, 12, 8, max_epochs=3, device="cpu").fit(X[:600])


def test_the_model_is_never_worse_than_its_base_where_that_is_judged(lorenz):
    _, s4d = lorenz
    assert s4d.error_ <= s4d.base_error_
    assert s4d.history_[-1]["error"] >= s4d.error_


def test_the_new_head_is_kept_only_if_free_runs_are_better(lorenz):
    X, _ = lorenz
    given = {"max_epochs": 2, "base": None, "device": "cpu"}
    plain = S4D(1, 16, 8, refit=False, **given).fit(X[:600])
    anew = S4D(1, 16, 8, **given).fit(X[:600])
    assert not plain.refitted_
    assert anew.error_ <= plain.error_
    same = np.array_equal(plain.network_.head, anew.network_.head)
    assert same != anew.refitted_
    # Two epochs of gradients are far from what least squares finds.
    assert anew.refitted_
    assert anew.error_ < plain.error_


def test_refits_are_bitwise_equal_and_restarts_differ(lorenz):
    X, s4d = lorenz
    again = clone(s4d).fit(X[:600])
    np.testing.assert_array_equal(again.predict(50), s4d.predict(50))
    other = clone(s4d).set_params(random_state=1).fit(X[:600])
    assert not np.array_equal(other.predict(50), s4d.predict(50))


def test_streaming_is_the_batch(lorenz):
    X, s4d = lorenz
    state = s4d.begin(X[:700])
    before = state.copy()
    for row in X[700:760]:
        after = s4d.update(state, row)
        assert after is not state
        state = after
    want = s4d.forecast(30, context=X[:760])
    np.testing.assert_allclose(s4d.forecast_from(state, 30)[0], want, rtol=1e-9)
    np.testing.assert_allclose(s4d.begin(X[:760]), state, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(s4d.begin(X[:700]), before)
    np.testing.assert_array_equal(s4d.forecast_from(s4d.begin(), 9)[0], s4d.predict(9))


def test_streaming_with_inputs_and_several_trajectories():
    rng = np.random.default_rng(0)
    U = rng.standard_normal((2, 90, 2))
    X = np.zeros((2, 90, 1))
    for k in range(89):
        X[:, k + 1] = 0.8 * X[:, k] + U[:, k, :1] - 0.5 * U[:, k - 1, 1:]
    s4d = _quick().fit(X[:, :60], u=U[:, :60])
    state = s4d.begin(X[:, :60], u=U[:, :60])
    for k in range(60, 80):
        state = s4d.update(state, X[:, k], u=U[:, k - 1])
    got = s4d.forecast_from(state, 10, u=U[:, 79:89])
    want = s4d.forecast(10, context=X[:, :80], u=U[:, :89])
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match="x of shape"):
        s4d.update(state, X[0, 80], u=U[:, 79])
    with pytest.raises(ValueError, match="u of shape"):
        s4d.forecast_from(state, 10, u=U[0, 79:89])
    with pytest.raises(ValueError, match="remembers past inputs"):
        s4d.forecast(2, context=X[:, :80], u=U[:, 79:81])


def test_inputs_of_the_past_are_remembered():
    # Each row is what the input was four rows before: nothing that the last row says.
    u = _rows(900, 1)
    X = np.vstack([np.zeros((4, 1)), u[:-4]]) + 1e-3 * _rows(900, 1, seed=1)
    s4d = S4D(1, 32, 16, base=None, max_epochs=4, dt_min=0.2, device="cpu")
    assert s4d.fit(X[:700], u=u[:700]).score(X[700:], u=u[700:]) > 0.9
    assert (
        NVAR(2, degree=1, alpha=1e-6).fit(X[:700], u=u[:700]).score(X[700:], u=u[700:])
        < 0.1
    )


def test_a_range_of_steps_beyond_the_window_warns():
    X = make_lorenz63(400)
    with pytest.warns(UserWarning, match="slowest modes of S4D forget within 2000"):
        _quick(dt_min=1e-3).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        s4d = _quick().fit(X)
    # The slowest modes of "auto", of rate 1/2, last for half a window.
    assert 1 / (0.5 * s4d.dt_min_) == pytest.approx(s4d.window_ / 2)
    assert 1 / (0.5 * s4d.dt_max_) == pytest.approx(1)
    with pytest.raises(ValueError, match="dt_min <= dt_max"):
        _quick(dt_min=0.5, dt_max=0.1).fit(X)


def test_warnings_point_at_the_line_that_fits(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    X = make_lorenz63(400)
    sequences = [X[i : i + 20] for i in range(0, 400, 20)]
    y = X[::20, 0]
    fits = [
        lambda: _quick(device="cuda").fit(X),
        lambda: make_pipeline(StandardScaler(), _quick(device="cuda")).fit(X),
        lambda: S4DClassifier(1, 4, device="cuda", max_epochs=1).fit(sequences, y > 0),
        lambda: S4DRegressor(1, 4, device="cuda", max_epochs=1).fit(sequences, y),
        lambda: make_pipeline(StandardScaler(), _quick(dt_min=1e-3)).fit(X),
    ]
    for fit, said in zip(fits, [*["no GPU"] * 4, "slowest modes"], strict=True):
        with pytest.warns(UserWarning, match=said) as caught:
            fit()
        assert [each.filename for each in caught] == [__file__]


def test_windows_that_do_not_fit_are_refused():
    X = make_lorenz63(100)
    with pytest.raises(ValueError, match="window=95 needs trajectories of 96 rows"):
        _quick(window=95).fit(X)
    with pytest.raises(ValueError, match="burn_in needs to be below window=20"):
        _quick(window=20, burn_in=20).fit(X)
    with pytest.raises(ValueError, match="needed rollout of at least 1"):
        _quick(attractor=0.1).fit(X)


def test_warm_start_goes_on():
    X = make_lorenz63(300)
    s4d = _quick(warm_start=True, refit=False, base=None).fit(X)
    before, base = s4d.net_.module_.encoder.weight.clone(), s4d.base_
    s4d.fit(X)
    assert s4d.base_ is base
    assert [record["epoch"] for record in s4d.history_] == [1, 2]
    assert not torch.equal(before, s4d.net_.module_.encoder.weight)
    with pytest.raises(ValueError, match="X has 2 features, but S4D is expecting 3"):
        s4d.fit(X[:, :2])
    assert s4d.predict(3).shape == (3, 3)


@pytest.mark.slow
def test_lorenz_from_one_coordinate():
    # Memory does what one coordinate of three cannot: some five times the memoryless.
    X = make_lorenz63(5000)[:, :1]
    found = {}
    for name, given in (
        ("memory", {}),
        ("none", {"dt_min": 20.0, "dt_max": 20.0, "init": "real"}),
    ):
        s4d = S4D(2, 32, 8, base=None, device="cpu", max_epochs=20, **given).fit(X)
        found[name] = 1 - s4d.error_
    assert found["memory"] > 2 * found["none"]

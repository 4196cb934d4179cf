"""S4DClassifier and S4DRegressor: what they learn, and what they must not see."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

pytest.importorskip("torch")

import torch

from skdyn.neural import S4DClassifier, S4DRegressor
from skdyn.neural._sequence_module import SequenceNet, _padded
from skdyn.testing import check_forecaster

SMALL = {"n_layers": 1, "d_model": 8, "d_state": 8}


def _order(n, seed=0):
    """Sequences of 24 to 32 rows, and which of two waves comes first."""
    rng = np.random.default_rng(seed)
    fast, slow = (np.sin(w * np.arange(16))[:, None] for w in (1.0, 0.4))
    kinds = rng.integers(2, size=n)
    return [
        np.concatenate([slow, fast] if kind else [fast, slow])[rng.integers(9) :]
        for kind in kinds
    ], np.array(["fast", "slow"])[kinds]


def _net(**kwargs):
    defaults = {
        "n_layers": 2,
        "d_model": 6,
        "d_state": 4,
        "init": "lin",
        "disc": "zoh",
        "dt_min": 0.01,
        "dt_max": 0.5,
        "dropout": 0.5,
        "pool": "mean",
        "classify": True,
        "ssm_lr": 0.5,
        "rng": 0,
    }
    return SequenceNet(3, 2, **{**defaults, **kwargs}).double().eval()


@pytest.mark.parametrize("pool", ["mean", "last", "max"])
def test_filled_up_rows_are_not_seen(pool):
    rng = np.random.default_rng(0)
    sequences = [rng.standard_normal((n, 3)) for n in (5, 12, 9)]
    net = _net(pool=pool)
    x, lengths = _padded(sequences, np.float64)
    with torch.no_grad():
        together = net(x, lengths)
        for i, each in enumerate(sequences):
            alone = net(*_padded([each], np.float64))[0]
            torch.testing.assert_close(together[i], alone, rtol=1e-12, atol=1e-12)
        # Whatever stands there.
        x[0, 5:] = 1e3
        torch.testing.assert_close(net(x, lengths), together, rtol=1e-9, atol=1e-9)


def test_last_row_sees_the_first():
    net = _net(pool="last")
    x = torch.zeros(1, 20, 3, dtype=torch.float64, requires_grad=True)
    net(x, torch.tensor([20])).sum().backward()
    assert (x.grad[0].abs().sum(1) > 0).all()


def test_state_spaces_have_their_own_rate_and_no_decay():
    net = _net()
    rest, ssm = net.parameter_groups(0.01, 0.1)
    assert rest["lr"] == 0.01
    assert ssm["lr"] == 0.005
    assert ssm["weight_decay"] == 0
    held = sum(p.numel() for group in (rest, ssm) for p in group["params"])
    assert held == sum(p.numel() for p in net.parameters())


def test_order_of_two_waves_in_ragged_sequences():
    X, y = _order(60)
    model = S4DClassifier(**SMALL, max_epochs=60, lr=0.02).fit(X[:40], y[:40])
    assert list(model.classes_) == ["fast", "slow"]
    assert model.score(X[40:], y[40:]) == 1.0
    odds = model.predict_proba(X[40:])
    np.testing.assert_allclose(odds.sum(1), 1)
    np.testing.assert_array_equal(model.classes_[odds.argmax(1)], model.predict(X[40:]))
    # The scale and the unit of features do not matter.
    other = clone(model).fit([1e3 * x - 5 for x in X[:40]], y[:40])
    np.testing.assert_allclose(
        other.predict_proba([1e3 * x - 5 for x in X[40:]]), odds, atol=1e-3
    )


def test_several_targets():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 12, 2))
    y = np.stack([X[:, :, 0].mean(1), 100 * X[:, :, 1].mean(1)], axis=1)
    model = S4DRegressor(**SMALL, max_epochs=40, dropout=0.0).fit(X[:90], y[:90])
    assert model.predict(X).shape == (120, 2)
    assert model.score(X[90:], y[90:]) > 0.8
    one = S4DRegressor(**SMALL, max_epochs=2).fit(X, y[:, 0])
    assert one.predict(X).shape == (120,)


def test_held_out_loss_chooses_the_epoch():
    X, y = _order(60)
    model = S4DClassifier(**SMALL, max_epochs=12, validation_fraction=0.25).fit(X, y)
    errors = [record["error"] for record in model.history_]
    assert len(errors) == 12
    assert model.restarts_[0].error == min(errors)
    assert model.restarts_[0].best_epoch == 1 + int(np.argmin(errors))
    patient = clone(model).set_params(max_epochs=200, patience=2, lr=0.05).fit(X, y)
    assert patient.n_epochs_ < 200


def test_warm_start_goes_on():
    X, y = _order(40)
    model = S4DClassifier(**SMALL, max_epochs=3, warm_start=True).fit(X, y)
    before = model.mean_
    model.fit([x + 1 for x in X], y)
    assert model.n_epochs_ == 6
    assert model.mean_ is before
    with pytest.raises(ValueError, match="warm_start needs the classes"):
        model.fit(X, np.where(y == "fast", "a", "b"))


def test_range_of_steps():
    X, y = np.random.default_rng(0).standard_normal((10, 40)), np.arange(10) % 2
    model = S4DClassifier(**SMALL, max_epochs=1).fit(X, y)
    assert (model.dt_min_, model.dt_max_) == (1 / 40, 0.5)
    with pytest.warns(UserWarning, match="Raise dt_min to about"):
        model.set_params(dt_min=1e-4).fit(X, y)
    with pytest.raises(ValueError, match="dt_min <= dt_max"):
        model.set_params(dt_min=0.4, dt_max=0.2).fit(X, y)


class _Leaky(S4DClassifier):
    """Says something else of a sequence where others stand beside it."""

    def predict(self, X):
        return (super().predict(X) + len(X)) % 2


def test_the_contract_finds_what_leaks():
    with pytest.raises(AssertionError, match="sequences_are_answered_alone"):
        check_forecaster(_Leaky(**SMALL, max_epochs=1))


def test_refusals():
    X, y = np.random.default_rng(0).standard_normal((10, 12, 2)), np.arange(10) % 2
    with pytest.raises(ValueError, match=r"even d_state.*Pass 6"):
        S4DClassifier(d_state=5).fit(X, y)
    with pytest.raises(ValueError, match="Set validation_fraction"):
        S4DClassifier(patience=3).fit(X, y)
    with pytest.raises(ValueError, match="dim 3"):
        S4DRegressor().fit(X, X)


@pytest.fixture(scope="module")
def fitted():
    """Models of two features, of one, and of 2-D data, 20 steps each."""
    X = np.random.default_rng(0).standard_normal((12, 20, 2))
    small, y = {**SMALL, "max_epochs": 1}, np.arange(12) % 2
    forms = {"two": X, "one": X[..., :1], "flat": X[..., 0]}
    return X, {form: S4DClassifier(**small).fit(x, y) for form, x in forms.items()}


@pytest.mark.parametrize(
    ("form", "change", "message"),
    [
        ("two", lambda X: X[0], r"shape \(20, 2\). Pass \[X\] if it is one sequence"),
        ("two", lambda X: X[..., 0], r"list of arrays of shape \(n_steps, 2\)"),
        ("one", lambda X: X[..., 0], r"\(12, 20\). Pass X\[..., None\]"),
        ("one", lambda X: X[0, :, :1], r"Pass \[X\] if it is one sequence of 20 steps"),
        (
            "one",
            lambda X: X[0, :, 0],
            r"1-D array of 20 .* data: X\[None, :, None\] is",
        ),
        ("one", lambda X: [x[:5, 0] for x in X], r"\[x\[:, None\] for x in X\]"),
        ("flat", lambda X: X[0, :, 0], r"1-D array of 20 numbers.*data: X\[None\] is"),
        ("flat", lambda X: X[..., :1], r"fitted on 2-D data.* Pass X\[..., 0\]"),
        ("flat", lambda X: list(X[..., :1]), r"Pass np.stack\(X\)\[..., 0\]"),
        ("flat", lambda X: X, "Fit on 3-D data for sequences of several features"),
        ("flat", lambda X: X[:, :9, 0], r"expecting 20 .* fit on X\[..., None\]"),
        ("two", lambda X: X.swapaxes(1, 2), r"2 steps: .* Pass X.swapaxes\(1, 2\)"),
        ("two", lambda X: [x.T for x in X], r"Pass \[x.T for x in X\]"),
        ("two", lambda X: X[..., [0, 1, 0]], "X has 3 features, but S4DClassifier is"),
        ("two", lambda X: X[None], r"got dim 4, of shape \(1, 12, 20, 2\)"),
        ("two", lambda X: [X[0], X[1, :, 0]], "arrays of 1 and of 2 dimensions"),
        ("two", lambda X: [], "at least one sequence, got an empty list"),
    ],
)
def test_what_is_asked_in_another_form(fitted, form, change, message):
    X, models = fitted
    with pytest.raises(ValueError, match=message):
        models[form].predict(change(X))


def test_advice_of_the_messages_is_good(fitted):
    X, models = fitted
    want = {
        form: model.predict_proba(each)
        for (form, model), each in zip(
            models.items(), (X, X[..., :1], X[..., 0]), strict=True
        )
    }
    one = {"rtol": 1e-4, "atol": 1e-6}
    np.testing.assert_allclose(
        models["two"].predict_proba([X[0]]), want["two"][:1], **one
    )
    swapped = X.swapaxes(1, 2)
    np.testing.assert_allclose(
        models["two"].predict_proba(swapped.swapaxes(1, 2)), want["two"], **one
    )
    flat = X[..., 0]
    np.testing.assert_allclose(
        models["one"].predict_proba(flat[..., None]), want["one"], **one
    )
    np.testing.assert_allclose(
        models["one"].predict_proba([x[:, None] for x in flat]), want["one"], **one
    )
    series = flat[0]
    np.testing.assert_allclose(
        models["one"].predict_proba(series[None, :, None]), want["one"][:1], **one
    )
    np.testing.assert_allclose(
        models["flat"].predict_proba(series[None]), want["flat"][:1], **one
    )


def test_an_array_of_objects_is_a_list():
    X, y = _order(12)
    held = np.empty(len(X), dtype=object)
    held[:] = X
    model = S4DClassifier(**SMALL, max_epochs=1)
    want = clone(model).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(model.fit(held, y).predict_proba(held), want)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.zeros(12), np.zeros(12), r"1-D array of 12 numbers.*: X\[None\] is one"),
        ([np.zeros(5), np.zeros(4)], [0, 1], r"pass \[x\[:, None\] for x in X\]"),
        (np.zeros((20, 2)), [0], r"each of 20 sequences, got 1.* \[X\] is one"),
        (np.zeros((4, 5, 2)), [1, 1, 1, 1], "at least 2 classes in y, got one.* 1. P"),
        (np.zeros((4, 5, 2)), None, "requires y to be passed"),
    ],
)
def test_what_cannot_be_learned_from(X, y, message):
    with pytest.raises(ValueError, match=message):
        S4DClassifier(**SMALL).fit(X, y)


def test_text_is_no_target_of_a_regressor():
    with pytest.raises(ValueError, match=r"got text\. Use S4DClassifier"):
        S4DRegressor(**SMALL).fit(np.zeros((4, 5, 2)), list("abab"))


def test_more_features_than_steps_may_be_swapped_axes():
    X, y = np.random.default_rng(0).standard_normal((8, 3, 12)), np.arange(8) % 2
    model = S4DClassifier(**SMALL, max_epochs=1)
    with pytest.warns(UserWarning, match=r"at most 3 .* 12 .* X.swapaxes\(1, 2\)"):
        model.fit(X, y)
    with pytest.warns(UserWarning, match=r"\[x.T for x in X\]"):
        model.fit(list(X), y)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_hole_is_filled_or_its_sequence_dropped(value):
    pd = pytest.importorskip("pandas")
    X, y = np.zeros((4, 5, 2)), np.arange(4) % 2
    X[2, 3, 1] = value
    frames = [pd.DataFrame(x, columns=["a", "b"]) for x in X]
    name = "NaN" if np.isnan(value) else "inf"
    for each, where in [
        (X, r"X\[2\] .* row 3, column 1"),
        (frames, r"X\[2\] .* row 3, column 'b'"),
        (X[..., 1], "X .* row 2, column 3"),
    ]:
        with pytest.raises(ValueError, match=f"{where}.* fill .* drop the seq") as told:
            S4DClassifier(**SMALL).fit(each, y)
        assert name + " at" in str(told.value)
        assert "cut" not in str(told.value)


def test_without_torch(monkeypatch):
    import builtins

    found = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.split(".")[0] in ("torch", "skorch"):
            raise ImportError(f"No module named {name!r}")
        return found(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"S4DClassifier needs.*skdyn\[neural\]"):
        S4DClassifier().fit(np.zeros((4, 5)), [0, 1, 0, 1])


@pytest.mark.slow
def test_digits_as_sequences_of_pixels():
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    train, test, seen, asked = train_test_split(X, y, random_state=0, stratify=y)
    pixels = LogisticRegression(max_iter=2000).fit(train / 16, seen)
    assert 0.92 <= pixels.score(test / 16, asked) <= 0.97
    assert S4DClassifier().fit(train, seen).score(test, asked) >= 0.97

"""The training ground, under a toy: a net of one hidden layer says the next change."""

import copy
import pickle
import sys
import warnings
from multiprocessing.pool import ThreadPool
from numbers import Integral

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.utils import check_random_state
from sklearn.utils.estimator_checks import check_estimator

from skdyn.model_selection import forecast_scorer
from skdyn.neural._forecaster import NeuralForecaster, in_order
from skdyn.testing import check_forecaster, expected_failed_checks
from skdyn.utils._sklearn import Interval

torch = pytest.importorskip("torch")
callbacks = pytest.importorskip("skorch.callbacks")

from skdyn.neural._torch import isolated_rng, one_thread, resolve_device  # noqa: E402
from skdyn.neural._training import Recipe, WindowDraws, train  # noqa: E402


class Change(torch.nn.Module):
    """x[k+1] = x[k] + W2 tanh(W1 x[k] + b1) + b2."""

    def __init__(self, d, n_hidden):
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(d, n_hidden),
            torch.nn.Tanh(),
            torch.nn.Linear(n_hidden, d),
        )

    def loss(self, batch, progress):
        x = batch[0]
        return ((x[:, 1:] - x[:, :-1] - self.net(x[:, :-1])) ** 2).mean()


class Toy(NeuralForecaster):
    """Forecast by a net of one hidden layer."""

    _parameter_constraints = {
        "n_hidden": [Interval(Integral, 1, None, closed="left")],
        **NeuralForecaster._training_constraints,
    }

    def __init__(
        self,
        n_hidden=8,
        *,
        max_epochs="auto",
        batch_size=8,
        lr=1e-2,
        lr_schedule=None,
        n_init=1,
        patience=None,
        device="auto",
        callbacks=None,
        warm_start=False,
        verbose=0,
        random_state=None,
    ):
        self.n_hidden = n_hidden
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.n_init = n_init
        self.patience = patience
        self.device = device
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

    def fit(self, X, y=None):
        trajectories, _ = self._check_fit(X)
        self._require_torch()
        pieces, _ = in_order(trajectories.pieces)
        rows, d = np.concatenate(pieces), trajectories.n_features
        if not self._goes_on:
            scale = rows.std(axis=0)
            self.mean_, self.scale_ = rows.mean(axis=0), np.where(scale > 0, scale, 1)
        draw = WindowDraws(
            [(piece - self.mean_) / self.scale_ for piece in pieces],
            2,
            4,
            self.batch_size,
        )
        recipe = self._recipe(len(rows), most_epochs=50, check_every=5)
        self._train(lambda seed: Change(d, self.n_hidden), draw, recipe)
        state = self.net_.module_.state_dict()
        self._weights = [value.double().numpy() for value in state.values()]
        self._remember(trajectories)
        return self

    def _begin(self, contexts, u):
        return (contexts[:, -1] - self.mean_) / self.scale_

    def _step(self, state, u):
        w1, b1, w2, b2 = self._weights
        after = state + np.tanh(state @ w1.T + b1) @ w2.T + b2
        return after, after * self.scale_ + self.mean_


def _rotation(n=200, seed=0):
    rng = np.random.default_rng(seed)
    t = 0.1 * np.arange(n)
    return np.c_[np.sin(t), np.cos(t)] + 1e-3 * rng.standard_normal((n, 2))


def _weights(est):
    return np.concatenate([each.ravel() for each in est._weights])


# -- scikit-learn's and skdyn's contract -----------------------------------------------


@pytest.mark.filterwarnings("ignore")
def test_contract_of_both_kinds():
    toy = Toy(max_epochs=2, random_state=0)
    check_estimator(toy, expected_failed_checks=expected_failed_checks(toy))
    check_forecaster(toy)


def test_it_learns():
    x = _rotation(400)
    toy = Toy(16, max_epochs=150, lr_schedule="cosine", random_state=0).fit(x)
    assert toy.score(x) > 0.999
    assert toy.history_[-1]["loss"] < 1e-2 * toy.history_[0]["loss"]


def test_refits_are_bitwise_equal_and_seeds_differ():
    x = _rotation()
    toy = Toy(max_epochs=3, random_state=4)
    first = _weights(toy.fit(x))
    np.testing.assert_array_equal(first, _weights(toy.fit(x)))
    np.testing.assert_array_equal(first, _weights(clone(toy).fit(x)))
    assert np.abs(first - _weights(Toy(max_epochs=3, random_state=5).fit(x))).max() > 0


def test_the_order_of_trajectories_changes_no_bit():
    X = [_rotation(60, seed) for seed in range(3)]
    one = Toy(max_epochs=3, random_state=0).fit(X)
    other = Toy(max_epochs=3, random_state=0).fit([X[2], X[0], X[1]])
    np.testing.assert_array_equal(_weights(one), _weights(other))


def test_what_goes_together_stays_together_in_order():
    x = np.zeros((4, 1))
    # Equal trajectories under different inputs: the inputs decide.
    inputs = [np.full((4, 1), k) for k in (2.0, 0.0, 1.0)]
    _, one = in_order([x, x, x], inputs)
    _, other = in_order([x, x, x], inputs[::-1])
    np.testing.assert_array_equal(one, other)
    pieces, acting = in_order([x + k[:, :1] for k in inputs], inputs)
    np.testing.assert_array_equal(pieces, acting)


def test_global_generators_threads_and_grad_mode_are_untouched():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    theirs = joblib.hash(check_random_state(None).get_state())
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with torch.no_grad():
            Toy(max_epochs=2, random_state=0).fit(_rotation())
            assert not torch.is_grad_enabled()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), before)
    assert joblib.hash(check_random_state(None).get_state()) == theirs


def test_fits_in_several_threads_do_not_mix():
    x = _rotation()
    toys = [Toy(max_epochs=20, random_state=seed) for seed in range(4)]
    want = [_weights(clone(toy).fit(x)) for toy in toys]
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    with ThreadPool(4) as pool:
        fitted = pool.map(lambda toy: toy.fit(x), toys)
    for toy, weights in zip(fitted, want):
        np.testing.assert_array_equal(_weights(toy), weights)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_generators_and_threads_are_put_back_after_an_error():
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    with pytest.raises(RuntimeError), isolated_rng(0), one_thread():
        torch.rand(3) @ torch.rand(4)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_pickle_joblib_and_deepcopy(tmp_path):
    x = _rotation()
    toy = Toy(max_epochs=2, random_state=0, callbacks=[callbacks.EpochTimer()]).fit(x)
    want = toy.predict(5)
    joblib.dump(toy, tmp_path / "toy.joblib")
    for other in (
        pickle.loads(pickle.dumps(toy)),
        joblib.load(tmp_path / "toy.joblib"),
        copy.deepcopy(toy),
    ):
        np.testing.assert_array_equal(other.predict(5), want)
        got = other.net_.module_.state_dict()
        for name, value in toy.net_.module_.state_dict().items():
            assert torch.equal(got[name], value)
        assert other.net_.history[:, "train_loss"] == toy.net_.history[:, "train_loss"]


def test_search_in_two_processes():
    X = [_rotation(60, seed) for seed in range(3)]
    search = GridSearchCV(
        Toy(max_epochs=2, random_state=0),
        {"n_hidden": [2, 4]},
        cv=KFold(3),
        scoring=forecast_scorer("cme", 5, context=10),
        n_jobs=2,
        error_score="raise",
    ).fit(X)
    alone = Toy(search.best_params_["n_hidden"], max_epochs=2, random_state=0).fit(X)
    np.testing.assert_allclose(search.predict(4)[1], alone.predict(4)[1], rtol=1e-12)


# -- what is held ----------------------------------------------------------------------


def test_the_net_is_skorchs():
    from skorch import NeuralNet

    toy = Toy(max_epochs=4, random_state=0).fit(_rotation())
    net = toy.net_
    assert isinstance(net, NeuralNet)
    assert net.initialized_
    assert len(net.history) == toy.n_epochs_ == 4
    assert net.history[:, "train_loss"] == [each["loss"] for each in toy.history_]
    x = torch.zeros(1, 2, 2)
    assert float(net.module_.loss((x,), 0.0).detach()) >= 0
    assert net.optimizer_.param_groups[0]["lr"] == 1e-2


def test_auto_epochs_follow_the_data():
    epochs = [Toy(random_state=0).fit(_rotation(n)).n_epochs_ for n in (20, 400)]
    assert epochs == [5, 20]


def test_warm_start_goes_on():
    x = _rotation()
    toy = Toy(max_epochs=5, warm_start=True, random_state=0).fit(x)
    first = _weights(toy)
    assert toy.history_[-1]["epoch"] == 5
    toy.set_params(max_epochs=1, lr=1e-7).fit(x)
    # A tiny rate hardly moves what was learned; a fresh start would be elsewhere.
    assert 0 < np.abs(_weights(toy) - first).max() < 1e-4
    assert [each["epoch"] for each in toy.history_] == [1, 2, 3, 4, 5, 6]
    with pytest.raises(ValueError, match="same shape"):
        toy.set_params(n_hidden=3).fit(x)
    cold = Toy(max_epochs=5, random_state=0).fit(x)
    cold.set_params(max_epochs=1).fit(x)
    assert cold.history_[-1]["epoch"] == 1


# -- callbacks, progress, schedules ----------------------------------------------------


def test_what_is_no_callback_is_refused_before_training():
    with pytest.raises(ValueError, match=r"needs callables .* got 'progress'"):
        Toy(max_epochs=1, callbacks=["progress"]).fit(_rotation())
    # As skorch takes them: with a name, in a list too.
    Toy(max_epochs=1, callbacks=[["timer", callbacks.EpochTimer()]]).fit(_rotation())


def test_skorch_callbacks_run_on_copies():
    class Count(callbacks.Callback):
        def __init__(self):
            self.calls = []

        def on_train_begin(self, net, X=None, y=None, **kwargs):
            self.calls.append("train")

        def on_batch_end(self, net, batch=None, training=None, **kwargs):
            assert batch[0].shape == (8, 2, 2)
            self.calls.append("batch")

        def on_grad_computed(self, net, named_parameters, **kwargs):
            names = [name for name, p in named_parameters if p.grad is not None]
            assert "net.0.weight" in names

    count = Count()
    toy = Toy(max_epochs=3, callbacks=[count, ("named", Count)], random_state=0)
    toy.fit(_rotation())
    assert count.calls == []
    held = dict(toy.net_.callbacks_)
    assert held["Count"].calls == held["named"].calls == ["train", *["batch"] * 12]


def test_skorchs_own_early_stopping_and_schedule():
    stop = callbacks.EarlyStopping("train_loss", patience=2, threshold=10.0)
    schedule = callbacks.LRScheduler("StepLR", step_size=1, gamma=0.5)
    toy = Toy(max_epochs=30, callbacks=[stop, schedule], random_state=0)
    toy.fit(_rotation())
    assert toy.n_epochs_ == 3
    rates = [each["lr"] for each in toy.history_]
    np.testing.assert_allclose(rates, [1e-2, 5e-3, 2.5e-3])


def test_callbacks_of_skorch_that_look_at_batches(tmp_path, capsys):
    several = [
        callbacks.ProgressBar(),
        callbacks.TrainEndCheckpoint(dirname=tmp_path),
        callbacks.LRScheduler("StepLR", step_every="batch", step_size=4, gamma=0.1),
    ]
    toy = Toy(max_epochs=2, callbacks=several, random_state=0).fit(_rotation())
    assert (tmp_path / "train_end_params.pt").exists()
    np.testing.assert_allclose([each["lr"] for each in toy.history_], [1e-3, 1e-4])
    # Of the batches only the last of each epoch is on record.
    assert [len(each) for each in toy.net_.history[:, "batches"]] == [1, 1]


def test_plain_callables_hear_and_stop():
    heard = []

    def listen(epoch, record):
        heard.append((epoch, record["loss"]))
        return epoch == 4

    toy = Toy(max_epochs=9, callbacks=[listen], random_state=0).fit(_rotation())
    assert heard == [(each["epoch"], each["loss"]) for each in toy.history_]
    assert len(heard) == 4


@pytest.mark.parametrize(
    ("schedule", "last"),
    [
        (None, 1.0),
        ("exponential", 0.01**0.75),
        ("cosine", 0.5 * (1 + np.cos(0.75 * np.pi))),
        (lambda progress: 1 - progress, 0.25),
    ],
)
def test_learning_rate_schedules(schedule, last):
    toy = Toy(max_epochs=4, lr_schedule=schedule, random_state=0).fit(_rotation())
    rates = [each["lr"] for each in toy.history_]
    np.testing.assert_allclose([rates[0], rates[-1]], [1e-2, 1e-2 * last])


def test_verbose_shows_progress(capsys):
    x = _rotation()
    Toy(max_epochs=2, random_state=0).fit(x)
    assert capsys.readouterr() == ("", "")
    Toy(max_epochs=2, n_init=2, verbose=1, random_state=0).fit(x)
    shown = capsys.readouterr().err
    assert "Change 1/2" in shown
    assert "Change 2/2" in shown
    assert "loss=" in shown
    Toy(max_epochs=2, verbose=2, random_state=0).fit(x)
    assert "train_loss" in capsys.readouterr().out


# -- restarts and checkpoints ----------------------------------------------------------


class Walk(torch.nn.Module):
    """A weight that walks by one at each batch, so that all is known beforehand."""

    def __init__(self, start=0.0, fail_at=None):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(float(start)))
        self.fail_at, self.epochs = fail_at, []

    def before_epoch(self, epoch, progress):
        self.epochs.append((epoch, progress))

    def loss(self, batch, progress):
        failed = self.fail_at is not None and self.epochs[-1][0] >= self.fail_at
        # A gradient of 1 and a value of the weight's: SGD-like steps of -lr.
        return self.weight * (float("nan") if failed else 1.0)

    def parameter_groups(self, lr, weight_decay):
        return [{"params": [self.weight], "lr": lr, "weight_decay": weight_decay}]


class OneBatch:
    def epoch(self, rng, epoch):
        return [(torch.zeros(1),)]


def _recipe(**kw):
    return Recipe(**{"max_epochs": 10, "lr": 1.0, "check_every": 2, **kw})


def test_the_best_checkpoint_is_restored():
    # Adam's first steps are of size lr: the weight is -k after epoch k.
    trained = train(
        lambda seed: Walk(),
        OneBatch(),
        _recipe(),
        seeds=[0],
        error=lambda module: abs(module.weight.item() + 4),
    )
    assert trained.restarts[0].best_epoch == 4
    assert trained.net.module_.weight.item() == pytest.approx(-4, abs=1e-4)
    assert len(trained.history) == 10
    checked = [each["epoch"] for each in trained.history if "error" in each]
    assert checked == [2, 4, 6, 8, 10]
    progress = [part for _, part in trained.net.module_.epochs]
    np.testing.assert_allclose(progress, np.arange(10) / 10)


def test_patience_ends_a_restart():
    trained = train(
        lambda seed: Walk(),
        OneBatch(),
        _recipe(max_epochs=100, patience=3),
        seeds=[0],
        error=lambda module: abs(module.weight.item() + 4),
    )
    assert len(trained.history) == 4 + 3 * 2


def test_check_before_the_first_epoch():
    trained = train(
        lambda seed: Walk(),
        OneBatch(),
        _recipe(check_first=True),
        seeds=[0],
        error=lambda module: -module.weight.item(),
    )
    assert trained.restarts[0].best_epoch == 0
    assert trained.net.module_.weight.item() == 0


def test_without_error_the_last_weights_and_the_least_loss():
    trained = train(
        lambda seed: Walk(start=seed), OneBatch(), _recipe(), seeds=[5, 1, 2]
    )
    assert [each.seed for each in trained.restarts] == [5, 1, 2]
    assert trained.net.module_.weight.item() == pytest.approx(-9, abs=1e-3)


def test_restarts_are_chosen_by_error_and_nan_is_worst():
    trained = train(
        lambda seed: Walk(start=seed),
        OneBatch(),
        _recipe(max_epochs=2),
        seeds=[0, 1, 2],
        error=lambda m: [np.nan, 3.0, 1.0][round(m.weight.item() + 2)],
    )
    assert [each.error for each in trained.restarts] == [np.inf, 3.0, 1.0]
    assert trained.error == 1.0
    assert trained.net.module_.weight.item() == pytest.approx(0, abs=1e-3)


def test_on_check_adds_to_the_record():
    trained = train(
        lambda seed: Walk(),
        OneBatch(),
        _recipe(),
        seeds=[0],
        error=lambda module: 1.0,
        on_check=lambda module, record: record.update(seen=module.weight.item()),
    )
    seen = [each["seen"] for each in trained.history if "seen" in each]
    np.testing.assert_allclose(seen, [-2, -4, -6, -8, -10], atol=1e-3)


def test_more_restarts_begin_with_those_of_fewer():
    few, more = Toy(n_init=2, random_state=1), Toy(n_init=5, random_state=1)
    assert more._seeds()[:2] == few._seeds()
    toy = Toy(n_init=3, max_epochs=5, random_state=1).fit(_rotation())
    errors = [each.error for each in toy.restarts_]
    assert len(set(errors)) == 3
    assert toy.history_[-1]["loss"] == min(errors)


def test_a_fused_epoch_takes_the_place_of_autograd():
    class Fused(Walk):
        def train_epoch(self, batches, lr, progress):
            with torch.no_grad():
                self.weight -= 2 * lr
            return self.weight.item()

        def loss(self, batch, progress):
            raise AssertionError("autograd was used")

    recipe = _recipe(lr_schedule=lambda progress: 0.5)
    trained = train(lambda seed: Fused(), OneBatch(), recipe, seeds=[0])
    losses = [each["loss"] for each in trained.history]
    np.testing.assert_allclose(losses, -np.arange(1, 11))

    assert trained.net.optimizer_ is None

    class Declines(Walk):
        def train_epoch(self, batches, lr, progress):
            return NotImplemented

    recipe = _recipe(lr_schedule=lambda progress: 0.5)
    trained = train(lambda seed: Declines(), OneBatch(), recipe, seeds=[0])
    assert trained.net.module_.weight.item() == pytest.approx(-5, abs=1e-3)
    assert trained.net.optimizer_.param_groups[0]["lr"] == 0.5


def test_gradients_are_clipped():
    norms = []

    class Steep(Walk):
        def loss(self, batch, progress):
            return 1e6 * self.weight

    recipe = _recipe(max_epochs=1, gradient_clip=0.5, callbacks=(_Norms(norms),))
    train(
        lambda seed: Steep(),
        OneBatch(),
        recipe,
        seeds=[0],
    )
    assert norms == pytest.approx([0.5])


class _Norms(callbacks.Callback):
    def __init__(self, norms):
        self.norms = norms

    def __deepcopy__(self, memo):
        return self

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self.norms.extend(float(p.grad) for _, p in named_parameters)


# -- what goes wrong -------------------------------------------------------------------


def test_a_diverged_restart_warns_and_keeps_its_checkpoint():
    with pytest.warns(ConvergenceWarning, match="diverged in epoch 6.*after epoch 4"):
        trained = train(
            lambda seed: Walk(fail_at=5),
            OneBatch(),
            _recipe(),
            seeds=[0],
            error=lambda module: 1.0,
        )
    assert trained.net.module_.weight.item() == pytest.approx(-4, abs=1e-3)


def test_weights_that_are_not_finite_are_seen():
    class Explodes(Walk):
        def train_epoch(self, batches, lr, progress):
            with torch.no_grad():
                self.weight.fill_(float("inf"))
            return 0.0

    with (
        pytest.warns(ConvergenceWarning, match="weights are not finite"),
        pytest.raises(FloatingPointError, match=r"Lower lr=1\b"),
    ):
        train(lambda seed: Explodes(), OneBatch(), _recipe(), seeds=[0])


def test_one_good_restart_saves_the_fit():
    with pytest.warns(ConvergenceWarning, match="seed 0.*came to nothing"):
        trained = train(
            lambda seed: Walk(fail_at=0 if seed == 0 else None),
            OneBatch(),
            _recipe(),
            seeds=[0, 1],
        )
    assert [each.seed for each in trained.restarts] == [1]


def test_no_finite_error_at_all_warns():
    with pytest.warns(ConvergenceWarning, match="every free run diverged"):
        trained = train(
            lambda seed: Walk(),
            OneBatch(),
            _recipe(),
            seeds=[0],
            error=lambda module: np.nan,
        )
    # Of equally bad ones that of the least training loss.
    assert trained.restarts[0].best_epoch == 10


def test_interruption_keeps_what_was_reached():
    class Interrupted(Walk):
        def loss(self, batch, progress):
            if len(self.epochs) == 6:
                raise KeyboardInterrupt
            return super().loss(batch, progress)

    with pytest.warns(ConvergenceWarning, match="interrupted.*after epoch 4"):
        trained = train(lambda seed: Interrupted(), OneBatch(), _recipe(), seeds=[0, 1])
    assert len(trained.restarts) == 1
    with pytest.raises(KeyboardInterrupt):
        train(
            lambda seed: Interrupted(),
            OneBatch(),
            _recipe(check_every=10),
            seeds=[0],
        )


def test_missing_torch_names_the_extra(monkeypatch):
    # What is None cannot be imported. (scipy asks whether torch has been.)
    monkeypatch.setitem(sys.modules, "skorch", None)
    with pytest.raises(ImportError, match=r"Toy needs PyTorch.*skdyn\[neural\]"):
        Toy().fit(_rotation())


def test_a_gpu_that_is_not_there_warns_and_trains_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    toy = Toy(max_epochs=1, device="cuda", random_state=0)
    with pytest.warns(UserWarning, match="no GPU: training runs on the CPU"):
        toy.fit(_rotation())
    assert toy.device_ == "cpu"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve_device("auto", "Toy") == "cpu"
    for bad in ("gpu", "meta"):
        with pytest.raises(ValueError, match="needs device"):
            Toy(device=bad).fit(_rotation())


# -- windows ---------------------------------------------------------------------------


def test_windows_lie_within_one_piece_and_all_occur():
    pieces = [np.arange(5.0)[:, None], 100 + np.arange(7.0)[:, None]]
    inputs = [10 * piece for piece in pieces]
    masks = [piece > 2 for piece in pieces]
    draw = WindowDraws(pieces, 3, 40, 8, inputs, masks)
    batches = draw.epoch(np.random.default_rng(0), 0)
    assert len(batches) == 40
    firsts = set()
    for x, u, m in batches:
        assert x.shape == (8, 3, 1)
        assert x.dtype == torch.float32
        assert m.dtype == torch.bool
        assert (x.diff(dim=1) == 1).all()
        assert torch.equal(u, 10 * x)
        assert torch.equal(m, x > 2)
        firsts |= set(x[:, 0, 0].tolist())
    assert firsts == {0, 1, 2, 100, 101, 102, 103, 104}


def test_windows_longer_than_trajectories_are_refused():
    with pytest.raises(ValueError, match=r"sequences of 9 rows.*at most 7"):
        WindowDraws([np.zeros((5, 1)), np.zeros((7, 1))], 9, 1, 1)
    with pytest.warns(UserWarning, match="1 of 2 trajectories are shorter"):
        WindowDraws([np.zeros((5, 1)), np.zeros((7, 1))], 6, 1, 1)

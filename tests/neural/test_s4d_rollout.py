"""S4D's free runs in PyTorch: NumPy's answers, row by row, captured or not."""

import pickle
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("skorch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from skdyn.exceptions import DivergenceWarning  # noqa: E402
from skdyn.koopman import DMD  # noqa: E402
from skdyn.neural import S4D, _s4d, _s4d_rollout  # noqa: E402
from skdyn.neural._s4d_base import PolynomialRidge, free_run  # noqa: E402
from skdyn.neural._s4d_rollout import FreeRun, known_base, roll_out  # noqa: E402
from skdyn.neural._torch import gpu_at_hand  # noqa: E402
from skdyn.preprocessing import PolynomialLift  # noqa: E402
from skdyn.reservoir import NVAR  # noqa: E402

BASES = {
    "ridge": "ridge",
    "none": None,
    "nvar": NVAR(3, delay=2, degree=2, alpha=1e-4),
    "nvar, next": NVAR(2, degree=2, alpha=1e-4, target="next"),
    "nvar, raw": NVAR(1, degree=1, alpha=1e-4, standardise=False),
}
# More than two graphs' rows, and no whole number of them.
STEPS = 40


def _data(inputs):
    """Two damped pendulums, forced or not, far from the origin."""
    rng = np.random.default_rng(0)
    u = rng.standard_normal((2, 200, 1)) if inputs else None
    X = np.zeros((2, 200, 2))
    X[:, 0] = [[1.0, 0.0], [0.0, 0.5]]
    for k in range(199):
        x, v = X[:, k].T
        force = 0.0 if u is None else u[:, k, 0]
        X[:, k + 1, 1] = 0.98 * v - 0.3 * np.sin(x) + 0.1 * force
        X[:, k + 1, 0] = x + 0.3 * X[:, k + 1, 1]
    return 50.0 + 3.0 * X, u


def _fitted(base, inputs=False):
    X, u = _data(inputs)
    s4d = S4D(2, 6, 4, base=base, max_epochs=1, batch_size=4, device="cpu")
    s4d.fit(X[:, :150], u=None if u is None else u[:, :150])
    # Whatever training came to: a head that matters.
    head = s4d.network_.head
    head += 0.03 * np.random.default_rng(1).standard_normal(head.shape)
    return s4d


@pytest.fixture(scope="module", params=[False, True], ids=["alone", "inputs"])
def inputs(request):
    return request.param


@pytest.fixture(scope="module", params=BASES.values(), ids=BASES.keys())
def model(request, inputs):
    return _fitted(request.param, inputs)


@pytest.fixture(scope="module")
def plain():
    return _fitted("ridge")


def _starts(s4d, n=7):
    """n contexts, and the inputs of these and of a forecast."""
    X, u = _data(bool(s4d.n_inputs_))
    cuts = np.linspace(s4d.min_context_, 150, n).astype(int)
    pieces = [X[i % 2, :cut] for i, cut in enumerate(cuts)]
    if u is None:
        return pieces, None
    return pieces, [u[i % 2, : cut - 1 + STEPS] for i, cut in enumerate(cuts)]


@pytest.fixture
def on_torch(monkeypatch):
    """Forecasts run as they do on a GPU, but on the CPU."""
    monkeypatch.setattr(_s4d, "_PAYS_ON_GPU", 0)
    monkeypatch.setattr(_s4d, "gpu_at_hand", lambda device: "cpu")
    used = []

    def counted(*args):
        used.append(roll_out(*args))
        return used[-1]

    monkeypatch.setattr(_s4d_rollout, "roll_out", counted)
    return used


def _size(rows):
    return np.std(np.stack(rows), axis=(0, 1)).max()


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_monomials_are_those_of_the_lift(degree):
    lift = PolynomialLift(degree).fit(np.zeros((1, 4)))
    rng = np.random.default_rng(degree)
    coef = rng.standard_normal((lift.n_output_features_, 2))
    base = PolynomialRidge(lift, coef, 2, np.full(4, -0.5), np.full(4, 0.75))
    o = rng.standard_normal((9, 4))
    got = known_base(base, "cpu")(torch.tensor(o)).numpy()
    np.testing.assert_allclose(got, base.ahead(o), rtol=1e-12, atol=1e-12)


def test_rows_are_numpys(model, on_torch, monkeypatch):
    contexts, u = _starts(model)
    got = model.forecast(STEPS, contexts, u)
    assert len(on_torch) == 1
    monkeypatch.setattr(_s4d, "_PAYS_ON_GPU", np.inf)
    want = model.forecast(STEPS, contexts, u)
    assert len(on_torch) == 1
    assert _size(want) > 0.1
    assert np.abs(np.stack(got) - want).max() < 1e-10 * _size(want)


def test_the_net_is_part_of_it(plain, on_torch):
    # Else the test above, to 1e-10, would be one of the base alone.
    contexts, _ = _starts(plain)
    with_net = plain.forecast(STEPS, contexts)
    state = plain._unpack(plain.begin(contexts))
    starts = _s4d.Starts(
        state.past[:, ::-1], np.empty((7, STEPS, 2)), np.empty((7, STEPS, 0)), 1.0
    )
    alone = plain._in_units(free_run(plain.base_, starts))
    assert np.abs(np.stack(with_net) - alone).max() > 1e-4 * _size(with_net)


def test_fewer_steps_are_the_first_rows_bit_for_bit(plain, on_torch):
    contexts, _ = _starts(plain)
    want = np.stack(plain.forecast(STEPS, contexts))
    for n in (1, 15, 16, 17, 32):
        got = np.stack(plain.forecast(n, contexts))
        np.testing.assert_array_equal(got, want[:, :n])
    # From states as well, which stay as they are.
    state = plain.begin(contexts)
    before = state.copy()
    np.testing.assert_array_equal(plain.forecast_from(state, STEPS), want)
    np.testing.assert_array_equal(state, before)


def test_large_batches_go_in_parts(model, on_torch, monkeypatch):
    contexts, u = _starts(model)
    whole = np.stack(model.forecast(STEPS, contexts, u))
    # Three, three, and one, beside what is left of the three before.
    monkeypatch.setattr(_s4d_rollout, "_NUMBERS", 3 * model.network_.n_state)
    parts = np.stack(model.forecast(STEPS, contexts, u))
    assert np.abs(parts - whole).max() < 1e-10 * _size(whole)


def test_what_diverges_does_so_alone(on_torch):
    s4d = _fitted(None)
    contexts, _ = _starts(s4d)
    state = s4d.begin(contexts)
    want = s4d.forecast_from(state, STEPS)
    state[2] = np.inf
    with pytest.warns(DivergenceWarning, match="at step 1, for 1 of 7"):
        got = s4d.forecast_from(state, STEPS)
    assert np.isnan(got[2]).all()
    others = np.arange(7) != 2
    np.testing.assert_array_equal(got[others], want[others])


class _Halved(NVAR):
    def _step(self, state, u):
        state, row = super()._step(state, u)
        return state, row / 2


@pytest.mark.parametrize("base", [DMD(), _Halved(1, degree=1, alpha=1e-4)])
def test_bases_that_pytorch_does_not_know_stay_in_numpy(base, on_torch, monkeypatch):
    s4d = _fitted(base)
    contexts, _ = _starts(s4d)
    got = s4d.forecast(STEPS, contexts)
    assert on_torch == [None]
    monkeypatch.setattr(_s4d, "_PAYS_ON_GPU", np.inf)
    np.testing.assert_array_equal(got, s4d.forecast(STEPS, contexts))


def test_models_hold_nothing_of_it(plain, on_torch):
    contexts, _ = _starts(plain)
    before = set(vars(plain))
    want = plain.forecast(STEPS, contexts)
    assert set(vars(plain)) == before
    again = pickle.loads(pickle.dumps(plain))
    np.testing.assert_array_equal(again.forecast(STEPS, contexts), want)


# -- when ------------------------------------------------------------------------------


def test_a_gpu_is_asked_for_by_the_batch(plain, monkeypatch):
    asked = []
    monkeypatch.setattr(_s4d, "gpu_at_hand", asked.append)
    enough = -(-_s4d._PAYS_ON_GPU // plain.network_.n_state)
    contexts, _ = _starts(plain, 1)
    state = np.repeat(plain.begin(contexts), enough, axis=0)
    plain.forecast_from(state[1:], 2)
    assert asked == []
    plain.forecast_from(state, 2)
    assert asked == ["cpu"]


def test_a_gpu_that_is_not_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [gpu_at_hand(d) for d in ("auto", "cpu", "cuda", "cuda:1")] == [None] * 4
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    found = [gpu_at_hand(d) for d in ("auto", "cpu", "cuda", "cuda:0", "cuda:1")]
    assert found == ["cuda", None, "cuda", "cuda:0", None]
    with monkeypatch.context() as forked:
        forked.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
        assert gpu_at_hand("cuda") is None
    monkeypatch.setitem(sys.modules, "torch", None)
    assert gpu_at_hand("auto") is None


# -- as a graph ------------------------------------------------------------------------


class _Recorded(TorchDispatchMode):
    """A graph as CUDA has it: the same operations on the same memory, no Python."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        made = out if isinstance(out, (tuple, list)) else (out,)
        # Numbers that Python sees, or brings, would be frozen or refused.
        assert all(isinstance(each, torch.Tensor) for each in made), func
        assert func is not torch.ops.aten.lift_fresh.default
        self.calls.append((func, args, kwargs or {}, made))
        return out

    def replay(self):
        for func, args, kwargs, made in self.calls:
            out = func(*args, **kwargs)
            again = out if isinstance(out, (tuple, list)) else (out,)
            for old, new in zip(made, again, strict=True):
                if new.data_ptr() != old.data_ptr():
                    old.copy_(new)


def test_rows_can_be_captured(model, monkeypatch):
    # What a graph repeats has to be in its buffers, and these where they were.
    def captured(free):
        with _Recorded() as graph:
            free._some_rows()
        return graph

    monkeypatch.setattr(FreeRun, "_captured", captured)
    contexts, u = _starts(model)
    past = acting = None
    if u is not None:
        past = [rows[: len(x) - 1] for rows, x in zip(u, contexts, strict=True)]
        acting = model._acting(np.stack([rows[-STEPS:] for rows in u]))
    start = model._unpack(model._begin_all(contexts, past))
    base = known_base(model.base_, "cpu")
    made = []
    with torch.no_grad():
        for graph in (False, True):
            free = FreeRun(
                model.network_,
                base,
                model.left_scale_,
                model.base_.n_rows,
                model.n_inputs_,
                len(contexts),
                "cpu",
                graph,
            )
            # A second run of other starts goes on from nothing of the first.
            free.run(start.layers[..., ::-1].copy(), start.past[::-1].copy(), 3, acting)
            made.append(free.run(start.layers, start.past, STEPS, acting))
    np.testing.assert_array_equal(*made)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU to capture a graph")
def test_a_cuda_graph_is_numpy(model, monkeypatch):
    contexts, u = _starts(model)
    want = np.stack(model.forecast(STEPS, contexts, u))
    monkeypatch.setattr(_s4d, "_PAYS_ON_GPU", 0)
    monkeypatch.setattr(model, "device", "cuda")
    got = np.stack(model.forecast(STEPS, contexts, u))
    assert np.abs(got - want).max() < 1e-10 * _size(want)
    first = np.stack(model.forecast(9, contexts, u and [r[: 9 - STEPS] for r in u]))
    np.testing.assert_array_equal(first, got[:, :9])
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(np.stack(again.forecast(STEPS, contexts, u)), got)

"""The fast loops of a reservoir are its equation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skdyn.reservoir import _states
from skdyn.reservoir._closed_loop import free_run
from skdyn.reservoir._readout import Layout
from skdyn.reservoir._states import Weights, advance, run, settle
from skdyn.reservoir._topology import make_weights


def reservoir(n_units=23, n_drive=2, leak=1.0, seed=0):
    rng = np.random.RandomState(seed)
    return make_weights(n_units, np.ones(n_drive), leak_rate=leak, rng=rng)


def naive(weights, drive):
    """States after each row, from the equation in dense arrays."""
    W, r, states = weights.recurrent.toarray(), np.zeros(weights.n_units), []
    for v in drive:
        pre = W @ r + weights.drive @ v + weights.bias
        r = (1 - weights.leak) * r + weights.leak * np.tanh(pre)
        states.append(r)
    return np.array(states)


def states_of(weights, drives, **kwargs):
    """All states that `run` shows, put together again."""
    whole = [np.full((len(d), weights.n_units), np.nan) for d in drives]
    for block in run(weights, drives, **kwargs):
        for lane, i in enumerate(block.members):
            whole[i][block.start :][: len(block.states)] = block.states[:, lane]
    return whole


def drives_of(lengths, n_drive=2, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((n, n_drive)) for n in lengths]


@pytest.mark.parametrize("leak", [1.0, 0.3])
def test_run_is_the_naive_loop(leak):
    weights = reservoir(leak=leak)
    (drive,) = drives_of([1300])
    (got,) = states_of(weights, [drive])
    np.testing.assert_allclose(got, naive(weights, drive), rtol=0, atol=1e-13)


def test_run_with_a_leak_for_each_unit():
    weights = reservoir(leak=1.0)
    leak = np.linspace(0.1, 1.0, weights.n_units)
    weights = Weights(weights.recurrent, weights.drive, weights.bias, leak)
    drives = drives_of([40, 40])
    for got, drive in zip(states_of(weights, drives), drives):
        np.testing.assert_allclose(got, naive(weights, drive), rtol=0, atol=1e-13)


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 70), min_size=1, max_size=9),
    rows=st.integers(10, 50),
    leak=st.sampled_from([1.0, 0.4]),
)
def test_a_batch_is_a_loop_whatever_the_lengths_and_blocks(lengths, rows, leak):
    weights = reservoir(leak=leak)
    drives = drives_of(lengths)
    ends = np.zeros((weights.n_units, len(drives)))
    buffer = np.empty((rows, weights.n_units + 3))
    got = states_of(weights, drives, states=ends, buffer=buffer)
    for each, end, drive in zip(got, ends.T, drives):
        want = naive(weights, drive)
        np.testing.assert_allclose(each, want.reshape(each.shape), rtol=0, atol=1e-13)
        if len(drive):
            np.testing.assert_allclose(end, want[-1], rtol=0, atol=1e-13)


def test_more_trajectories_than_run_together():
    weights = reservoir(n_units=5)
    drives = np.stack(drives_of([7] * (2 * _states.LANES + 3)))
    ends = settle(weights, drives)
    for i in (0, _states.LANES, len(drives) - 1):
        want = naive(weights, drives[i])[-1]
        np.testing.assert_allclose(ends[:, i], want, rtol=0, atol=1e-13)


def test_a_run_goes_on_where_another_ended():
    weights = reservoir()
    (drive,) = drives_of([30])
    ends = settle(weights, [drive[:11]])
    (rest,) = states_of(weights, [drive[11:]], states=ends)
    np.testing.assert_allclose(rest, naive(weights, drive)[11:], rtol=0, atol=1e-13)


def test_advance_is_one_step():
    weights = reservoir(leak=0.6)
    (drive,) = drives_of([5])
    state = np.zeros((weights.n_units, 1))
    for v, want in zip(drive, naive(weights, drive)):
        state = advance(weights, state, v[:, None])
        np.testing.assert_allclose(state[:, 0], want, rtol=0, atol=1e-14)


def test_saturated_units_stay_finite_and_silent(recwarn):
    weights = reservoir()
    for size in (1e3, 1e200):
        drive = np.full((4, 2), size)
        (got,) = states_of(weights, [drive])
        np.testing.assert_array_equal(np.abs(got[-1]).round(12), 1.0)
    assert not recwarn.list


def test_single_precision_is_near():
    weights = reservoir(leak=0.5)
    (drive,) = drives_of([60])
    (got,) = states_of(weights.astype(np.float32), [drive.astype(np.float32)])
    assert weights.astype(np.float32).recurrent.dtype == np.float32
    np.testing.assert_allclose(got, naive(weights, drive), rtol=0, atol=1e-5)


def test_without_scipys_kernels_the_answer_is_the_same(monkeypatch):
    weights = reservoir(leak=0.5)
    drives = drives_of([30, 20])
    want = states_of(weights, drives)
    monkeypatch.setattr(_states, "csr_matvec", None)
    for got, expected in zip(states_of(weights, drives), want):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("quadratic", [False, True])
@pytest.mark.parametrize("n_direct", [0, 3])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_free_run_is_the_equation_with_its_output_fed_back(
    quadratic, n_direct, batch
):
    rng = np.random.default_rng(0)
    weights = reservoir(n_units=21, n_drive=3, leak=0.7)
    layout = Layout(21, n_direct, quadratic)
    coef = 0.1 * rng.standard_normal((2, layout.n_features, 2))
    which = rng.integers(0, 2, batch)
    states = 0.1 * rng.standard_normal((21, batch))
    rows, u = rng.standard_normal((batch, 2)), rng.standard_normal((batch, 9, 1))
    for delta in (False, True):
        got, ends = free_run(
            weights, layout, coef, states, rows, 9, u, delta=delta, which=which
        )
        for b in range(batch):
            r, x = states[:, b], rows[b]
            for k in range(9):
                v = np.r_[x, u[b, k]]
                r = advance(weights, r[:, None], v[:, None])[:, 0]
                squares = r[1::2] ** 2 if quadratic else []
                z = np.r_[r, squares, v if n_direct else [], 1.0]
                x = z @ coef[which[b]] + (x if delta else 0)
                np.testing.assert_allclose(got[b, k], x, rtol=1e-11, atol=1e-12)
            np.testing.assert_allclose(ends[:, b], r, rtol=1e-11, atol=1e-12)
    # One readout for all is the same as a choice among equals.
    alone, _ = free_run(weights, layout, coef[0], states, rows, 9, u)
    chosen, _ = free_run(
        weights, layout, coef, states, rows, 9, u, which=np.zeros(batch, int)
    )
    np.testing.assert_allclose(alone, chosen, rtol=1e-11, atol=1e-12)

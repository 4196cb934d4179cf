"""Layers: states that are carried, resets, uneven steps, training."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from skdyn.neural._s4_layers import (  # noqa: E402
    S4Block,
    S4DLayer,
    S5Layer,
    make_blocks,
    parameter_groups,
)

LAYERS = [(S4DLayer, "zoh"), (S4DLayer, "bilinear"), (S5Layer, "zoh")]


@pytest.fixture(autouse=True)
def _double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    with torch.no_grad():
        yield
    torch.set_default_dtype(before)


def _off(got, want):
    return float((got - want).abs().max() / want.abs().max())


def _make(kind, disc="zoh", **kwargs):
    given = {"dt_min": 1e-2, "dt_max": 0.3, "rng": 0, **kwargs}
    return kind(4, 16, disc=disc, **given)


def _modes(kind):
    return ("scan", "recurrent") + (("fft", "chunked") if kind is S4DLayer else ())


def _rows(batch, length, seed=0):
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.standard_normal((batch, length, 4)))


@pytest.mark.parametrize(("kind", "disc"), LAYERS)
def test_split_anywhere_and_carry_the_state(kind, disc):
    layer, u = _make(kind, disc), _rows(2, 100)
    for mode in _modes(kind):
        want, end = layer(u, mode=mode)
        for cut in (1, 37, 99):
            first, state = layer(u[:, :cut], mode=mode)
            second, state = layer(u[:, cut:], state, mode=mode)
            assert _off(torch.cat([first, second], dim=1), want) < 1e-12
            assert _off(state, end) < 1e-12


@pytest.mark.parametrize(("kind", "disc"), LAYERS)
def test_packed_with_resets_is_each_alone(kind, disc):
    layer = _make(kind, disc)
    lengths, parts = (30, 1, 69), [_rows(2, n, seed=n) for n in (30, 1, 69)]
    u = torch.cat(parts, dim=1)
    resets = torch.zeros(2, 100, dtype=torch.bool)
    resets[:, np.cumsum((0, *lengths[:-1]))] = True
    # The second sequence of the batch has one reset less.
    resets[1, 30] = False
    start = layer.initial_state(2) + 1.0
    for mode in _modes(kind):
        got, after = layer(u, start, resets=resets, mode=mode)
        alone = [layer(part, mode=mode) for part in parts]
        want = torch.cat([y for y, _ in alone], dim=1)
        assert _off(got[0], want[0]) < 1e-12, mode
        assert _off(got[1, 31:], want[1, 31:]) < 1e-12, mode
        joined, _ = layer(u[:, :31], mode=mode)
        assert _off(got[1, :31], joined[1]) < 1e-12, mode
        assert _off(after, alone[-1][1]) < 1e-12, mode


@pytest.mark.parametrize(("kind", "disc"), LAYERS)
def test_the_state_before_goes_on_to_the_first_reset_and_not_beyond(kind, disc):
    layer, u = _make(kind, disc), _rows(2, 60)
    resets = torch.zeros(2, 60, dtype=torch.bool)
    resets[0, 25] = True
    start = layer.initial_state(2) + (1.0 - 0.5j)
    for mode in _modes(kind):
        got, after = layer(u, start, resets=resets, mode=mode)
        carried, end = layer(u, start, mode=mode)
        fresh, anew = layer(u[:, 25:], mode=mode)
        assert _off(got[0, :25], carried[0, :25]) < 1e-12, mode
        assert _off(got[0, 25:], fresh[0]) < 1e-12, mode
        assert _off(got[1], carried[1]) < 1e-12, mode
        assert _off(after[0], anew[0]) < 1e-12, mode
        assert _off(after[1], end[1]) < 1e-12, mode


@pytest.mark.parametrize("kind", [S4DLayer, S5Layer])
def test_an_input_held_twice_as_often_at_half_the_step(kind):
    layer, u = _make(kind), _rows(2, 80)
    held = u.repeat_interleave(2, dim=1)
    for mode in _modes(kind):
        want, end = layer(u, mode=mode)
        got, after = layer(held, steps=0.5, mode=mode)
        assert _off(got[:, 1::2], want) < 1e-12, mode
        assert _off(after, end) < 1e-12, mode
    state = layer.initial_state(2)
    for k in range(160):
        y, state = layer.step(held[:, k], state, rate=0.5)
    assert _off(y, want[:, -1]) < 1e-12


@pytest.mark.parametrize("kind", [S4DLayer, S5Layer])
def test_uneven_steps_are_a_fine_grid_of_held_inputs(kind):
    layer, u = _make(kind), _rows(2, 90)
    rng = np.random.default_rng(3)
    lasting = torch.tensor(rng.integers(1, 6, 90))
    fine = u.repeat_interleave(lasting, dim=1)
    at = lasting.cumsum(0) - 1
    want, end = layer(fine, steps=0.25)
    got, after = layer(u, steps=lasting * 0.25)
    assert _off(got, want[:, at]) < 1e-12
    assert _off(after, end) < 1e-12
    each = (lasting * 0.25).expand(2, 90)
    assert _off(layer(u, steps=each)[0], got) == 0


def test_s5_is_the_equations():
    layer, u = _make(S5Layer), _rows(1, 20)
    A, B, C = (
        each.numpy()
        for each in (
            layer.modes,
            torch.view_as_complex(layer.B),
            torch.view_as_complex(layer.C),
        )
    )
    step, D = layer.step_sizes.numpy(), layer.D.numpy()
    x, rows = np.zeros(8, complex), []
    for row in u[0].numpy():
        x = np.exp(A * step) * x + (np.exp(A * step) - 1) / A * (B @ row)
        rows.append(2 * (C @ x).real + D * row)
    assert _off(layer(u)[0][0], torch.tensor(np.array(rows))) < 1e-12


def test_a_layer_is_its_real_system_of_twice_the_modes():
    # One of each conjugate pair and 2 Re stand for both.
    layer, u = _make(S4DLayer), _rows(1, 30)
    a, b, c = (each.numpy() for each in layer.discrete())
    a, b, c = (np.concatenate([each, each.conj()], axis=1) for each in (a, b, c))
    lags = a[..., None] ** np.arange(30)
    k = np.einsum("hn,hnl->hl", c * b, lags)
    assert np.abs(k.imag).max() < 1e-12
    want = np.stack([np.convolve(k.real[h], u[0, :, h])[:30] for h in range(4)], 1)
    want += layer.D.numpy() * u[0].numpy()
    assert _off(layer(u)[0][0], torch.tensor(want)) < 1e-12


def test_steps_span_the_range_that_is_asked_for():
    layer = S4DLayer(64, 4, dt_min=1e-3, dt_max=1e-1, rng=1)
    steps = np.sort(layer.step_sizes.numpy())
    assert 1e-3 < steps[0] < 1.1e-3
    assert 0.09 < steps[-1] < 1e-1
    np.testing.assert_allclose(np.diff(np.log(steps)), np.log(100) / 64)


def test_modes_stay_stable_whatever_is_learned():
    layer = _make(S4DLayer)
    for parameter in layer.parameters():
        parameter += 3 * torch.randn_like(parameter)
    assert bool((layer.discrete()[0].abs() < 1).all())


def test_the_state_space_has_its_own_rate_and_no_decay():
    net = torch.nn.Sequential(S4Block(_make(S4DLayer), 4), torch.nn.Linear(4, 1))
    groups = parameter_groups(net, 1e-2, 0.1, 1e-3)
    assert [(g["lr"], g["weight_decay"]) for g in groups] == [(1e-2, 0.1), (1e-3, 0.0)]
    found = {id(p) for p in groups[1]["params"]}
    assert found == {id(p) for p in net[0].layer.parameters()}
    assert sum(len(g["params"]) for g in groups) == len(list(net.parameters()))
    net[0].layer.log_step.requires_grad_(False)
    assert len(parameter_groups(net, 1e-2, 0.1, 1e-3)[1]["params"]) == len(found) - 1


@pytest.mark.parametrize("kind", [S4DLayer, S5Layer])
def test_a_block_steps_as_it_runs(kind):
    block, u = S4Block(_make(kind), 4), _rows(2, 20)
    want, end = block(u)
    state = block.initial_state(2)
    rows = []
    for k in range(20):
        y, state = block.step(u[:, k], state)
        rows.append(y)
    assert _off(torch.stack(rows, dim=1), want) < 1e-12
    assert _off(state, end) < 1e-12


@pytest.mark.parametrize("kind", [S4DLayer, S5Layer])
def test_training_recovers_a_filter(kind):
    # A damped oscillation as impulse response, one hundred times the modes' start.
    with torch.enable_grad():
        u = _rows(8, 60)
        lag = torch.arange(60.0)
        k = torch.exp(-0.15 * lag) * torch.cos(0.5 * lag)
        want = torch.stack(
            [(u[:, : t + 1] * k[: t + 1].flip(0)[:, None]).sum(1) for t in range(60)], 1
        )
        layer = _make(kind, dt_min=0.1, dt_max=0.4)
        trained = torch.optim.Adam(layer.parameters(), lr=0.02)
        losses = []
        for _ in range(150):
            loss = (layer(u)[0] - want).square().mean() / want.square().mean()
            trained.zero_grad()
            loss.backward()
            trained.step()
            losses.append(float(loss.detach()))
    assert losses[-1] < 0.02 * losses[0]


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="even d_state"):
        S4DLayer(2, 3)
    with pytest.raises(ValueError, match="dt_min <= dt_max"):
        S4DLayer(2, 4, dt_min=1.0, dt_max=0.1)
    with pytest.raises(ValueError, match="mode needs"):
        _make(S4DLayer)(_rows(1, 3), mode="slow")
    with pytest.raises(ValueError, match="mode needs"):
        _make(S5Layer)(_rows(1, 3), mode="fft")


def test_blocks_are_seeded_one_by_one():
    blocks = make_blocks([3, [3, 1]], 4, 16, dropout=0.0, dt_min=1e-2, dt_max=0.3)
    for block, seed in zip(blocks, (3, [3, 1]), strict=True):
        alone = S4DLayer(4, 16, dt_min=1e-2, dt_max=0.3, rng=seed)
        for got, want in zip(block.layer.parameters(), alone.parameters(), strict=True):
            assert torch.equal(got, want)
    assert not torch.equal(blocks[0].layer.C, blocks[1].layer.C)

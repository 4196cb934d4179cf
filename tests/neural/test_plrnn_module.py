"""Gradients by hand against autograd, fused epochs, and time in parallel."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("skorch")

from skdyn.datasets import make_lorenz63  # noqa: E402
from skdyn.neural import _plrnn_module as module  # noqa: E402
from skdyn.neural import _plrnn_parallel as parallel  # noqa: E402
from skdyn.neural._plrnn_cell import Layout  # noqa: E402
from skdyn.neural._plrnn_module import (  # noqa: E402
    PLRNNModule,
    Weights,
    arrays,
    forced_loss,
)
from skdyn.neural._plrnn_start import start  # noqa: E402
from skdyn.neural._training import Windows  # noqa: E402

MODES = ["loop", "parallel"]
if module.kernels is not None:
    MODES.append("kernel")


def layout_of(variant, n_latent, linear=False, n_inputs=0):
    n_hinges = {"dendritic": 2 * n_latent, "almost_linear": 2}.get(variant, 20)
    return Layout(variant, 3, n_latent, n_hinges, n_inputs, linear)


def by_autograd(layout, theta, x, u, at, skip=0):
    """The loss as one would write it, on a tape."""
    A, W1, W2, h1, h2, C, E, B, P = arrays(layout, theta)
    A = torch.diag(A) if A.ndim == 1 else A
    y, total, count = x[:, 0] @ E.T, 0.0, 0
    for t in range(x.shape[1] - 1):
        q = y @ W2.T
        phi = torch.relu(q + h2)
        if layout.variant == "clipped":
            phi = phi - torch.relu(q)
        z = y @ A.T + phi @ W1.T + h1 + u[:, t] @ C.T
        seen = ~torch.isnan(x[:, t + 1])
        e = torch.where(seen, torch.nan_to_num(x[:, t + 1]) - z @ B.T, 0.0)
        if t >= skip:
            total, count = total + (e**2).sum(), count + seen.sum()
        y = z + at[t + 1] * (e @ P.T)
    return total / count


def problem(layout, T, dtype=torch.float64, seed=0, missing=True):
    rng = np.random.default_rng(seed)
    theta = 0.3 * rng.standard_normal(layout.n_parameters)
    x = rng.standard_normal((4, T + 1, layout.n_features))
    if missing and T > 8:
        x[1, 1], x[2, 3:9, 0] = np.nan, np.nan
    u = rng.standard_normal((4, T + 1, layout.n_inputs))
    theta, x, u = (torch.tensor(each, dtype=dtype) for each in (theta, x, u))
    return theta.requires_grad_(), x, u, torch.full((T + 1,), 0.5, dtype=dtype)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("variant", "n_latent", "linear", "n_inputs"),
    [
        ("shallow", 3, False, 0),
        ("shallow", 5, True, 2),
        ("clipped", 3, False, 0),
        ("clipped", 5, True, 2),
        ("dendritic", 5, False, 2),
        ("dendritic", 3, True, 0),
        ("almost_linear", 5, False, 2),
        ("almost_linear", 4, True, 0),
    ],
)
def test_backward_by_hand_is_autograd(variant, n_latent, linear, n_inputs, mode):
    layout = layout_of(variant, n_latent, linear, n_inputs)
    theta, *rest = problem(layout, 20)
    want = by_autograd(layout, theta, *rest)
    got = forced_loss(layout, theta, *rest, mode)
    torch.testing.assert_close(got, want, rtol=1e-11, atol=0)
    (want,) = torch.autograd.grad(want, theta)
    (got,) = torch.autograd.grad(3 * got, theta)
    torch.testing.assert_close(got, 3 * want, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("linear", [False, True])
def test_steps_that_are_skipped_force_but_do_not_count(mode, linear):
    layout = layout_of("clipped", 4, linear)
    theta, *rest = problem(layout, 12)
    want = by_autograd(layout, theta, *rest, skip=5)
    got = forced_loss(layout, theta, *rest, mode, skip=5)
    torch.testing.assert_close(got, want, rtol=1e-11, atol=0)
    (want,) = torch.autograd.grad(want, theta)
    (got,) = torch.autograd.grad(got, theta)
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-10)


@pytest.mark.skipif(module.kernels is None, reason="numba is not installed")
@pytest.mark.parametrize("variant", ["shallow", "clipped"])
@pytest.mark.parametrize("n_latent", [3, 5])
@pytest.mark.parametrize("T", [1, 50, 200])
def test_compiled_gradient_in_single_precision(variant, n_latent, T):
    layout = layout_of(variant, n_latent)
    theta, *rest = problem(layout, T)
    theta = (0.3 * theta).detach().requires_grad_()
    (want,) = torch.autograd.grad(by_autograd(layout, theta, *rest), theta)
    single = theta.detach().float().requires_grad_()
    loss = forced_loss(layout, single, *(each.float() for each in rest), "kernel")
    (got,) = torch.autograd.grad(loss, single)
    assert (got.double() - want).norm() <= 1e-5 * want.norm()


@pytest.mark.skipif(module.kernels is None, reason="numba is not installed")
@pytest.mark.parametrize("optimizer", ["radam", "adam", "adamw"])
@pytest.mark.parametrize("variant", ["shallow", "almost_linear"])
def test_a_fused_epoch_is_an_epoch_of_pytorch(optimizer, variant):
    layout = layout_of(variant, 4, n_inputs=1)
    rng = np.random.default_rng(0)
    theta = 0.2 * rng.standard_normal(layout.n_parameters)
    towards = np.array([0.1, 0.0, 0.3, 0.0])
    options = {
        "optimizer": optimizer,
        "weight_decay": 0.01,
        "gradient_clip": 0.5,
        "dtype": torch.float64,
    }

    def forcing(progress, cell):
        return np.full(9, 0.3)

    one, other = (
        PLRNNModule(layout, theta, forcing, towards, **options) for _ in range(2)
    )
    rows = torch.tensor(rng.standard_normal((60, 3)))
    inputs = torch.tensor(rng.standard_normal((60, 1)))
    batches = Windows(rows, inputs, None, rng.integers(50, size=(8, 5)), 9)
    kind = {"radam": "RAdam", "adam": "Adam", "adamw": "AdamW"}[optimizer]
    steps = getattr(torch.optim, kind)(
        other.parameters(), lr=0.01, weight_decay=options["weight_decay"]
    )
    for _ in range(2):
        loss = one.train_epoch(batches, 0.01, 0.0)
        losses = []
        for batch in batches:
            steps.zero_grad()
            each = other.loss(batch, 0.0)
            each.backward()
            torch.nn.utils.clip_grad_norm_(other.parameters(), 0.5)
            steps.step()
            losses.append(each.item())
        np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-9)
    torch.testing.assert_close(one.theta, other.theta, rtol=1e-7, atol=1e-9)


@pytest.mark.skipif(module.kernels is None, reason="numba is not installed")
def test_a_batch_that_diverges_changes_nothing():
    layout = layout_of("shallow", 3)
    theta = np.full(layout.n_parameters, 1e4)
    net = PLRNNModule(layout, theta, lambda progress, cell: np.zeros(51))
    rows = torch.ones(60, 3)
    loss = net.train_epoch(Windows(rows, None, None, np.zeros((1, 2), int), 51), 1.0, 0)
    assert not np.isfinite(loss)
    np.testing.assert_array_equal(net.theta.detach().numpy(), theta.astype(np.float32))


def test_scan_is_the_recursion():
    g = torch.Generator().manual_seed(0)
    for n in (1, 2, 7, 16):
        J = torch.randn(n, 2, 3, 3, generator=g, dtype=torch.float64)
        b = torch.randn(n, 2, 3, generator=g, dtype=torch.float64)
        y = torch.randn(2, 3, generator=g, dtype=torch.float64)
        got, want = parallel.scan(J, b, y), []
        for t in range(n):
            y = (J[t] @ y[..., None])[..., 0] + b[t]
            want.append(y)
        torch.testing.assert_close(got, torch.stack(want), rtol=1e-10, atol=1e-10)


@pytest.fixture(scope="module")
def long_orbit():
    X = make_lorenz63(20_001)
    rng = np.random.default_rng(0)
    X = (X - X.mean(0)) / X.std(0) + 0.05 * rng.standard_normal(X.shape)
    layout = Layout("shallow", 3, 3, 50)
    pairs = X[:-1], X[1:], np.zeros((20_000, 0))
    theta = start(layout, pairs, np.random.RandomState(0))
    return layout, torch.tensor(theta), torch.tensor(X)[None]


@pytest.mark.parametrize("alpha", [0.1, 0.3])
def test_newton_solves_20000_steps_in_8(long_orbit, alpha):
    layout, theta, x = long_orbit
    A, W1, W2, h1, h2, _, E, B, P = arrays(layout, theta)
    at = torch.full((20_001,), alpha, dtype=torch.float64)
    net = Weights(*(each[None] for each in (torch.diag(A), W1, W2, h2, B, P)), False)
    given = (x[:, :1] @ E.T, h1.expand(1, 1, 20_000, 3), x[None], at[None], net)
    Y, wrong, n_steps = parallel.newton(*given)
    want, errors = module.forward_loop(*given)
    assert n_steps <= 8
    torch.testing.assert_close(Y, want, rtol=0, atol=1e-6)
    torch.testing.assert_close(wrong, errors, rtol=0, atol=1e-6)


def test_where_newton_fails_the_loop_takes_over(long_orbit):
    layout, theta, x = long_orbit
    # Unstable, and not forced at all.
    theta = theta.clone()
    theta[:3] = 1.5
    x, at = x[:, :400], torch.zeros(400, dtype=torch.float64)
    u = torch.zeros(1, 400, 0, dtype=torch.float64)
    got, want = (forced_loss(layout, theta, x, u, at, m) for m in ("parallel", "loop"))
    torch.testing.assert_close(got, want, rtol=1e-6, atol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("mode", ["loop", "parallel", "auto"])
@pytest.mark.parametrize("variant", ["shallow", "clipped"])
def test_gradient_on_a_gpu(variant, mode):
    layout = layout_of(variant, 5, n_inputs=1)
    theta, *rest = problem(layout, 60, dtype=torch.float32)
    (want,) = torch.autograd.grad(by_autograd(layout, theta, *rest), theta)
    there = theta.detach().cuda().requires_grad_()
    loss = forced_loss(layout, there, *(each.cuda() for each in rest), mode)
    (got,) = torch.autograd.grad(loss, there)
    assert (got.cpu() - want).norm() <= 1e-4 * want.norm()


def test_newton_is_not_deceived_by_closed_hinges():
    def real(x):
        return torch.tensor(x, dtype=torch.float64)

    B = real([[[1.0, 0.0]]])
    given = (
        real([[[0.0, 0.0]]]),
        real([0.0, 5.0]).expand(1, 1, 6, 2).contiguous(),
        torch.zeros(1, 1, 7, 1, dtype=torch.float64),
        torch.full((1, 7), 0.1, dtype=torch.float64),
        Weights(
            real([[[0.0, 0.0], [0.0, 0.0]]]),
            real([[[0.0], [1.0]]]),
            real([[[0.0, 1.0]]]),
            real([[-1.0]]),
            B,
            B.mT.contiguous(),
            False,
        ),
    )
    found, _ = parallel.forward_loop(*given)
    want, _ = module.forward_loop(*given)
    torch.testing.assert_close(found, want)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("variant", "n_latent", "linear"),
    [
        ("shallow", 5, True),
        ("clipped", 3, False),
        ("dendritic", 3, True),
        ("almost_linear", 4, False),
    ],
)
def test_models_at_once_are_each_alone(variant, n_latent, linear, mode):
    layout = layout_of(variant, n_latent, linear, n_inputs=2)
    problems = [problem(layout, 20, seed=seed) for seed in range(3)]
    want, gradients = [], []
    for k, (theta, x, u, at) in enumerate(problems):
        problems[k] = (theta, x, u, (k + 1) / 4 * at)
        want.append(forced_loss(layout, *problems[k], mode, skip=2))
        gradients += torch.autograd.grad((k + 1) * want[-1], theta)
    theta, *rest = (torch.stack(each).detach() for each in zip(*problems, strict=True))
    theta.requires_grad_()
    got = forced_loss(layout, theta, *rest, mode, skip=2)
    torch.testing.assert_close(got, torch.stack(want), rtol=1e-12, atol=0)
    (got,) = torch.autograd.grad((torch.arange(1, 4) * got).sum(), theta)
    torch.testing.assert_close(got, torch.stack(gradients), rtol=1e-9, atol=1e-11)

"""PLRNN: gradients beside eager PyTorch, time in parallel, an attractor.

Speed, one thread, in interleaved order within one run. The peer is a PLRNN as one
writes it in PyTorch, an ``nn.Module`` whose step is a few tensor operations, with
generalized teacher forcing, differentiated by autograd:

* forward and backward of one batch of 16 windows: eager, our autograd function in its
  loop of tensor operations, and in its compiled loop;
* a whole epoch of 50 batches with RAdam: eager and ``torch.optim.RAdam``, and the one
  compiled call;
* one window of 200, 2,000 and 20,000 steps: the compiled loop, and Newton's method in
  parallel in time (on a CPU it is not meant to win), with its number of steps and how
  far its states are from the loop's;
* many networks of one shape at once, the axis of models: one loop of tensor operations
  over all of them, beside one after the other (on a CPU also the compiled loop, one
  after the other, which is what a CPU trains with).

On a GPU, where there is one, the last two are timed there as well, with the loop,
Triton's and the parallel mode, beside eager PyTorch and eager PyTorch in a CUDA graph.

Attractor (``--case attractor``; reference recordings, in the folder that the
environment variable SKDYN_REFERENCE_DATA names, or where the tests look for them): fits
to Lorenz-63 with 5% noise at default settings, a free run of 100,000 rows against the
test file: D_stsp, D_H, the mean squared error 20 steps ahead (in standard deviations),
CPU seconds, and the first two exponents. `bench_plrnn_recordings.py` has the ECG and
the EEG, `bench_plrnn_contexts.py` short contexts.

Targets: a gradient 20 times as fast as eager on the small networks, an epoch 40 times;
Newton within 1e-6 in 8 steps at T = 20,000; Lorenz-63 median D_stsp .33, D_H .09, error
8e-4, none above 1, in 15 CPU seconds each.

Run: ``python benchmarks/bench_plrnn.py [--quick] [--threads N] [--case NAME]``, NAME
one of speed, attractor.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _harness import (
    interleaved,
    limit_threads,
    middle,
    middle_ratio,
    parser,
    print_environment,
    print_table,
)

from skdyn.datasets import make_trajectories
from skdyn.inspection import lyapunov_spectrum
from skdyn.metrics import d_hellinger, d_hellinger_floor, d_stsp, d_stsp_floor
from skdyn.neural import PLRNN
from skdyn.neural import _plrnn_module as module
from skdyn.neural import _plrnn_parallel as parallel
from skdyn.neural._plrnn_cell import Layout
from skdyn.neural._plrnn_module import PLRNNModule, arrays, forced_loss
from skdyn.neural._training import Windows

# (latent units, hinges, steps), the sizes of the published networks.
SIZES = ((3, 50, 200), (3, 100, 200), (5, 250, 200), (16, 512, 50))
SMALL = 2


class Eager(torch.nn.Module):
    """The peer: a shallow PLRNN on autograd's tape."""

    def __init__(self, M: int, L: int) -> None:
        super().__init__()
        self.A = torch.nn.Parameter(0.5 * torch.ones(M))
        self.W1 = torch.nn.Parameter(0.1 * torch.randn(M, L) / L**0.5)
        self.W2 = torch.nn.Parameter(torch.randn(L, M) / M**0.5)
        self.h1 = torch.nn.Parameter(torch.zeros(M))
        self.h2 = torch.nn.Parameter(torch.zeros(L))

    def step(self, z: torch.Tensor) -> torch.Tensor:
        """One step of the recursion."""
        hidden = torch.relu(z @ self.W2.T + self.h2)
        return self.A * z + hidden @ self.W1.T + self.h1

    def forward(self, x: torch.Tensor, alpha: float) -> torch.Tensor:
        """The loss of windows (batch, T + 1, M)."""
        z, rows = x[:, 0], []
        for t in range(x.shape[1] - 1):
            z = self.step(z)
            rows.append(z)
            z = alpha * x[:, t + 1] + (1 - alpha) * z
        return torch.nn.functional.mse_loss(torch.stack(rows, 1), x[:, 1:])


def speed(repeats: int) -> bool:
    """Gradients and epochs; tell whether the targets are met."""
    table, met = [], True
    for i, (M, L, T) in enumerate(SIZES):
        torch.manual_seed(0)
        eager, layout = Eager(M, L), Layout("shallow", M, M, L)
        names = ("A", "W1", "W2", "h1", "h2")
        same = {name: getattr(eager, name).detach().numpy() for name in names}
        theta = torch.tensor(layout.flat(same), dtype=torch.float32)
        theta.requires_grad_()
        x, at = torch.randn(16, T + 1, M), torch.full((T + 1,), 0.2)
        u = torch.zeros(16, T + 1, 0)

        def by_eager(eager: Any = eager, x: Any = x) -> None:
            eager.zero_grad()
            eager(x, 0.2).backward()

        given = layout, theta, x, u, at

        def by(mode: str, given: Any = given) -> None:
            given[1].grad = None
            forced_loss(*given, mode).backward()

        by_eager()
        by("kernel")
        parts = layout.split(theta.grad)
        for name in names:
            torch.testing.assert_close(
                parts[name], getattr(eager, name).grad, rtol=1e-3, atol=1e-6
            )
        seconds = interleaved(
            {
                "eager": by_eager,
                "loop": lambda by=by: by("loop"),
                "compiled": lambda by=by: by("kernel"),
            },
            repeats,
        )
        ratio = middle_ratio(seconds, "eager", "compiled")
        epoch = whole_epoch(eager, layout, theta, T, max(repeats // 3, 2))
        row = [1e3 * value for value in middle(seconds).values()]
        table.append((f"M{M} L{L} T{T} B16", *row, ratio, *epoch))
        if i < SMALL:
            met &= ratio >= 20 and epoch[2] >= 40
    print_table(
        "Forward and backward of one batch, ms; an epoch of 50 batches with RAdam, ms",
        [
            "",
            "eager",
            "our loop",
            "compiled",
            "eager / compiled",
            "epoch, eager",
            "epoch, compiled",
            "ratio",
        ],
        table,
    )
    return met


def whole_epoch(
    eager: Eager, layout: Layout, theta: torch.Tensor, T: int, repeats: int
) -> tuple[float, float, float]:
    """Milliseconds of an epoch, eager (of a few batches, scaled up) and fused."""
    rng = np.random.default_rng(0)
    rows = torch.tensor(rng.standard_normal((2000, layout.n_features))).float()
    batches = Windows(rows, None, None, rng.integers(2000 - T, size=(50, 16)), T + 1)
    few = Windows(rows, None, None, batches.starts[:5], T + 1)
    optimiser = torch.optim.RAdam(eager.parameters(), lr=1e-6)
    net = PLRNNModule(
        layout, theta.detach().numpy(), lambda progress, cell: np.full(T + 1, 0.2)
    )

    def loop() -> None:
        for x, _, _ in few:
            optimiser.zero_grad()
            eager(x, 0.2).backward()
            optimiser.step()

    seconds = interleaved(
        {"eager": loop, "fused": lambda: net.train_epoch(batches, 1e-6, 0.0)}, repeats
    )
    found = middle(seconds)
    ratio = 10 * middle_ratio(seconds, "eager", "fused")
    return 1e4 * found["eager"], 1e3 * found["fused"], ratio


def in_parallel(repeats: int, device: str) -> bool:
    """Long windows; tell whether Newton's target is met."""
    table, met = [], True
    layout = Layout("shallow", 3, 3, 50)
    for T in (200, 2_000, 20_000):
        X = lorenz(T + 1, 0.01, 0)
        X = (X - X.mean(0)) / X.std(0)
        X = X + 0.05 * np.random.default_rng(0).standard_normal(X.shape)
        from skdyn.neural._plrnn_start import start

        pairs = X[:-1], X[1:], np.zeros((T, 0))
        flat = start(layout, pairs, np.random.RandomState(0))
        theta = torch.tensor(flat, device=device)
        x = torch.tensor(X, device=device)[None]
        at = torch.full((T + 1,), 0.1, dtype=torch.float64, device=device)
        A, W1, W2, h1, h2, _, E, B, P = arrays(layout, theta)
        drawn = (each[None] for each in (torch.diag(A), W1, W2, h2, B, P))
        net = module.Weights(*drawn, clipped=False)
        given = (x[:, :1] @ E.T, h1.expand(1, 1, T, 3), x[None], at[None], net)
        found = parallel.newton(*given)
        assert found is not None
        off = float((found[0] - module.forward_loop(*given)[0]).abs().max())
        u = x.new_zeros((1, T + 1, 0))
        modes = ["kernel", "parallel"] if device == "cpu" else ["loop", "parallel"]
        if device != "cpu" and module._triton() is not None:
            modes.append("triton")
        theta = theta.requires_grad_()

        def by(mode: str, t: Any = theta, x: Any = x, u: Any = u, at: Any = at) -> None:
            t.grad = None
            forced_loss(layout, t, x, u, at, mode).backward()
            if device != "cpu":
                torch.cuda.synchronize()

        for mode in modes:
            by(mode)
        seconds = interleaved({mode: lambda m=mode: by(m) for mode in modes}, repeats)
        row = [1e3 * middle(seconds)[mode] for mode in modes]
        table.append((f"T {T}", found[2], off, *row))
        met &= off <= 1e-6 and found[2] <= 8
    name = "CPU" if device == "cpu" else torch.cuda.get_device_name()
    print_table(
        f"One window, forward and backward, double precision, {name}; ms",
        ["", "Newton steps", "off the loop", *modes],
        table,
    )
    return met


def at_once(repeats: int, device: str) -> None:
    """Gradients of many networks: together, and one after the other."""
    table = []
    layout, T = Layout("shallow", 3, 3, 50), 200
    rng = np.random.default_rng(0)
    modes = ["loop"] if device == "cpu" or module._triton() is None else ["triton"]
    for n_models in (1, 8, 64):
        flat = 0.1 * rng.standard_normal((n_models, layout.n_parameters))
        theta = torch.tensor(flat, dtype=torch.float32, device=device).requires_grad_()
        x = torch.randn(n_models, 16, T + 1, 3, device=device)
        u = x.new_zeros((n_models, 16, T + 1, 0))
        at = x.new_full((n_models, T + 1), 0.2)

        def together(mode: str, given: Any = (layout, theta, x, u, at)) -> None:
            forced_loss(*given, mode).sum().backward()
            if device != "cpu":
                torch.cuda.synchronize()

        def in_turn(mode: str, given: Any = (theta, x, u, at)) -> None:
            for one in zip(*given, strict=True):
                forced_loss(layout, *one, mode).backward()
            if device != "cpu":
                torch.cuda.synchronize()

        ways = {f"{m}, at once": lambda m=m, f=together: f(m) for m in modes}
        ways |= {f"{m}, in turn": lambda m=m, f=in_turn: f(m) for m in modes}
        if device == "cpu":
            ways["compiled, in turn"] = lambda f=in_turn: f("kernel")
        for way in ways.values():
            way()
        seconds = interleaved(ways, repeats)
        row = [1e3 * value for value in middle(seconds).values()]
        ratio = middle_ratio(seconds, f"{modes[0]}, in turn", f"{modes[0]}, at once")
        table.append((f"{n_models} networks", *row, ratio))
    name = "CPU" if device == "cpu" else torch.cuda.get_device_name()
    print_table(
        f"Networks M3 L50 T200 B16 each, forward and backward, {name}; ms",
        ["", *ways, "in turn / at once"],
        table,
    )


def on_gpu(repeats: int) -> None:
    """One batch on a GPU: eager PyTorch, the same as a CUDA graph, and ours."""
    table = []
    M, L = 3, 50
    for T in (200, 2_000):
        eager, x = Eager(M, L).cuda(), torch.randn(16, T + 1, M, device="cuda")
        theta = torch.zeros(Layout("shallow", M, M, L).n_parameters, device="cuda")
        theta.requires_grad_()
        u, at = x.new_zeros((16, T + 1, 0)), x.new_full((T + 1,), 0.2)

        def by_eager(eager: Any = eager, x: Any = x) -> None:
            eager.zero_grad(set_to_none=False)
            eager(x, 0.2).backward()

        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                by_eager()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            by_eager()

        def ours(mode: str, given: Any = (theta, x, u, at)) -> None:
            forced_loss(Layout("shallow", M, M, L), *given, mode).backward()

        modes = ["loop", "parallel"] + (["triton"] if module._triton() else [])
        ways: dict[str, Any] = {"eager": by_eager, "CUDA graph": graph.replay}
        ways |= {mode: lambda m=mode, f=ours: f(m) for mode in modes}

        def timed(way: Any) -> Any:
            def run() -> None:
                way()
                torch.cuda.synchronize()

            return run

        ways = {name: timed(way) for name, way in ways.items()}
        for way in ways.values():
            way()
        seconds = interleaved(ways, repeats)
        row = [1e3 * value for value in middle(seconds).values()]
        table.append((f"M{M} L{L} T{T} B16", *row))
    print_table(
        f"Forward and backward of one batch, {torch.cuda.get_device_name()}; ms",
        ["", *ways],
        table,
    )


def lorenz(n: int, dt: float, seed: int) -> np.ndarray:
    """Rows on the attractor of Lorenz-63."""
    from skdyn.datasets import lorenz63

    return make_trajectories(lorenz63(), n, dt=dt, random_state=seed)


def recordings() -> tuple[np.ndarray, np.ndarray] | None:
    """Training rows with 5% noise and clean test rows, where the recordings are."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SKDYN_REFERENCE_DATA", beside))
    files = "lorenz63_on0.05_train.npy", "lorenz63_test.npy"
    if not all((folder / file).exists() for file in files):
        return None
    train, test = (np.load(folder / file).astype(float) for file in files)
    return train, test


def attractor(n_seeds: int) -> bool:
    """Lorenz-63 from noisy rows; tell whether the targets are met."""
    data = recordings()
    if data is None:
        print("Lorenz-63: no reference recordings")
        return True
    train, test = data
    table = []
    for seed in range(n_seeds):
        began = time.process_time()
        model = PLRNN(random_state=seed).fit(train)
        seconds = time.process_time() - began
        run = model.forecast(len(test), test[:1])
        at = np.linspace(0, len(test) - 21, 2000).astype(int)
        ahead = model.forecast(20, test[at][:, None])[:, -1]
        error = float((((ahead - test[at + 20]) / model.scale_) ** 2).mean())
        exponents = lyapunov_spectrum(model, dt=0.01).exponents[:2]
        row = [d_stsp(test, run), d_hellinger(test, run), error, seconds, *exponents]
        table.append((f"seed {seed}", *row))
    middle_row = np.median([row[1:] for row in table], axis=0)
    table.append(("median", *middle_row))
    floors = d_stsp_floor(test), d_hellinger_floor(test)
    print_table(
        f"Lorenz-63 from 100,000 rows with 5% noise, defaults, free runs of 100,000 "
        f"rows; halves of the test file are {floors[0]:.2f} and {floors[1]:.3f} apart",
        ["", "D_stsp", "D_H", "error at 20", "CPU seconds", "exponent 1", "2"],
        table,
    )
    worst = max(row[1] for row in table)
    return bool((middle_row[:4] <= [0.33, 0.09, 8e-4, 15]).all() and worst < 1)


def main() -> None:
    """Print all tables."""
    frame = parser(__doc__)
    frame.add_argument("--case", choices=["speed", "attractor"], default=None)
    arguments = frame.parse_args()
    repeats = arguments.repeats or (5 if arguments.quick else 15)
    torch.set_num_threads(arguments.threads)
    met = True
    with limit_threads(arguments.threads), np.errstate(all="ignore"):
        print_environment(arguments.threads)
        print(f"torch {torch.__version__}")
        if arguments.case in (None, "speed"):
            met &= speed(repeats)
            met &= in_parallel(max(repeats // 3, 2), "cpu")
            at_once(max(repeats // 3, 2), "cpu")
            if torch.cuda.is_available():
                on_gpu(repeats)
                in_parallel(repeats, "cuda")
                at_once(repeats, "cuda")
        if arguments.case in (None, "attractor"):
            met &= attractor(2 if arguments.quick else 5)
    print(f"\ntargets: {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    main()

"""Speed of the state-space layers and of S4D's forecasts.

Tables:

* the kernel, by its two tables of sqrt(L) powers, beside the naive Vandermonde product
  (exp of all N x L exponents, then a sum), forward and with its gradient;
* a layer forward and backward, with this kernel and with the naive one, and in chunks;
* the associative scan of S5 beside the loop over rows;
* 1000 forecasts of 500 steps in one call, beside a loop over origins;
* steps of free runs in a second, in NumPy and in PyTorch.

With a GPU that PyTorch sees, the first three are printed for it as well, from L = 1k to
64k, in milliseconds, with the device's name, and the steps in PyTorch are those of the
GPU, launched one by one and as a CUDA graph.

Targets on a CPU: the kernel 10 times faster than the naive one at L = 4096 and 20 times
at 16384; a layer forward and backward 3 times at 4096.

Run: ``python benchmarks/bench_s4d.py [--quick] [--threads N]``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
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
from torch import Tensor

from skdyn.datasets import make_lorenz63
from skdyn.neural import S4D, _ssm
from skdyn.neural._s4_layers import S4DLayer, S5Layer
from skdyn.neural._s4d_rollout import FreeRun, known_base


def naive_kernel(c: Tensor, a: Tensor, length: int) -> Tensor:
    """The Vandermonde product as it is written."""
    table = torch.exp(torch.log(a)[..., None] * torch.arange(length, device=a.device))
    return 2 * torch.einsum("hn,hnl->hl", c, table).real


def naive_layer(layer: S4DLayer, u: Tensor) -> Tensor:
    """A layer with the naive kernel, by FFT."""
    a, b, c = layer.discrete()
    k = naive_kernel(c * b, a, u.shape[1])
    y = _ssm.convolve(u.transpose(1, 2), k).transpose(1, 2)
    return y + layer.D * u


def timed(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Timings in turn, after one call of each to warm up."""
    for call in calls.values():
        call()
    return interleaved(calls, repeats)


def kernels(repeats: int, lengths: list[int], channels: int, d_state: int) -> bool:
    """Kernels; tell whether the targets are met."""
    layer = S4DLayer(channels, d_state, dt_min=1e-3, dt_max=1e-1, rng=0)
    a, b, c = (each.detach() for each in layer.discrete())
    table, met = [], True
    for length in lengths:
        ours, naive = _ssm.kernel(c * b, a, length), naive_kernel(c * b, a, length)
        off = float((ours - naive).abs().max() / naive.abs().max())

        def both(kernel: Callable[..., Tensor], length: int = length) -> None:
            a, b, c = layer.discrete()
            kernel(c * b, a, length).square().sum().backward()

        seconds = timed(
            {
                "ours": lambda n=length: _ssm.kernel(c * b, a, n),
                "naive": lambda n=length: naive_kernel(c * b, a, n),
                "ours, with gradient": lambda: both(_ssm.kernel),
                "naive, with gradient": lambda: both(naive_kernel),
            },
            repeats,
        )
        ratio = middle_ratio(seconds, "naive", "ours")
        ms = {name: 1e3 * value for name, value in middle(seconds).items()}
        both_ratio = middle_ratio(
            seconds, "naive, with gradient", "ours, with gradient"
        )
        table.append((f"L = {length}", *ms.values(), ratio, both_ratio, off))
        met &= ratio >= {4096: 10, 16384: 20}.get(length, 0)
    print_table(
        f"Kernel, H = {channels}, N = {d_state}, single precision; ms",
        [
            "",
            "ours",
            "naive",
            "ours, grad",
            "naive, grad",
            "naive / ours",
            "with gradient",
            "difference",
        ],
        table,
    )
    return met


def layers(repeats: int, lengths: list[int], batch: int, d_model: int) -> bool:
    """A layer forward and backward; tell whether the target is met."""
    layer = S4DLayer(d_model, 64, dt_min=1e-3, dt_max=1e-1, rng=0)
    table, met = [], True
    for length in lengths:
        u = torch.randn(batch, length, d_model)
        calls = {
            "fft": lambda u=u: layer(u, mode="fft")[0].square().mean().backward(),
            "chunked": lambda u=u: (
                layer(u, mode="chunked")[0].square().mean().backward()
            ),
            "naive": lambda u=u: naive_layer(layer, u).square().mean().backward(),
        }
        seconds = timed(calls, repeats)
        ratios = [middle_ratio(seconds, "naive", name) for name in ("fft", "chunked")]
        ms = [1e3 * value for value in middle(seconds).values()]
        table.append((f"L = {length}", *ms, *ratios))
        met &= length != 4096 or max(ratios) >= 3
    print_table(
        f"S4D layer forward and backward, batch {batch}, H = {d_model}, N = 64, single "
        f"precision; ms",
        ["", "fft", "chunked", "naive", "naive / fft", "naive / chunked"],
        table,
    )
    return met


def scans(repeats: int, lengths: list[int]) -> None:
    """S5 by the associative scan and row by row."""
    layer, table = S5Layer(64, 64, rng=0), []
    for length in lengths:
        u = torch.randn(4, length, 64)
        calls = {
            mode: lambda u=u, mode=mode: (
                layer(u, mode=mode)[0].square().mean().backward()
            )
            for mode in ("scan", "recurrent")
        }
        seconds = timed(calls, repeats)
        ms = [1e3 * value for value in middle(seconds).values()]
        ratio = middle_ratio(seconds, "recurrent", "scan")
        table.append((f"L = {length}", *ms, ratio))
    print_table(
        "S5 layer forward and backward, batch 4, H = 64, N = 64; ms",
        ["", "scan", "row by row", "row by row / scan"],
        table,
    )


def generation(repeats: int, n_origins: int, n_steps: int) -> None:
    """Forecasts from many origins as one batch."""
    X = make_lorenz63(3000)
    s4d = S4D(max_epochs=1, device="cpu").fit(X[:1000])
    starts = np.linspace(200, 3000, n_origins).astype(int)
    contexts = np.stack([X[i - 200 : i] for i in starts])
    some = contexts[: max(n_origins // 50, 1)]
    share = len(contexts) / len(some)
    calls: dict[str, Callable[[], Any]] = {
        "one call": lambda: s4d.forecast(n_steps, contexts),
        "loop over origins (1/50)": lambda: [s4d.forecast(n_steps, c) for c in some],
        "contexts alone": lambda: s4d.begin(contexts),
    }
    np.testing.assert_allclose(
        calls["one call"]()[: len(some), :20],
        np.stack(calls["loop over origins (1/50)"]())[:, :20],
        rtol=1e-6,
        atol=1e-6,
    )
    seconds = interleaved(calls, repeats)
    table = []
    for name, value in middle(seconds).items():
        times = share if "1/50" in name else 1.0
        ratio = middle_ratio(seconds, name, "one call") * times
        table.append((name, times * value, ratio))
    print_table(
        f"{n_origins} forecasts of {n_steps} steps after 200 rows, 2 layers, H = 64, "
        f"N = 16, base of {s4d.base_.n_rows} rows, double precision; seconds (parts "
        f"multiplied up)",
        ["", "seconds", "/ one call"],
        table,
    )


def steps(repeats: int, batches: list[int], n_steps: int) -> None:
    """Steps of free runs in NumPy and PyTorch, on a GPU where there is one."""
    X = make_lorenz63(1500)
    s4d = S4D(max_epochs=1, device="cpu").fit(X[:1000])
    gpu = torch.cuda.is_available()
    device = "cuda" if gpu else "cpu"
    names = ["eager", "graph"] if gpu else ["PyTorch"]
    table = []
    for batch in batches:
        starts = np.linspace(100, 1500, batch).astype(int)
        state = s4d.begin(np.stack([X[i - 100 : i] for i in starts]))
        start = s4d._unpack(state)
        base = known_base(s4d.base_, device)
        assert base is not None
        calls: dict[str, Callable[[], Any]] = {
            "NumPy": lambda state=state: s4d._rollout(state, n_steps, None)
        }
        making = None
        for name in names:
            before = time.perf_counter()
            free = FreeRun(
                s4d.network_,
                base,
                s4d.left_scale_,
                s4d.base_.n_rows,
                0,
                batch,
                device,
                captured=name == "graph",
            )
            making = 1e3 * (time.perf_counter() - before)
            calls[name] = lambda free=free, start=start: free.run(
                start.layers, start.past, n_steps, None
            )
        seconds = timed(calls, repeats)
        want = calls["NumPy"]()
        off = max(
            float(np.abs(s4d._in_units(calls[name]()) - want)[:, :20].max())
            for name in names
        )
        row = [n_steps / value for value in middle(seconds).values()]
        ratios = [middle_ratio(seconds, "NumPy", name) for name in names]
        table.append(
            (f"{batch} starts", *row, *ratios, *([making] if gpu else []), off)
        )
    print_table(
        f"Free runs of {n_steps} steps, 2 layers, H = 64, N = 16, base of "
        f"{s4d.base_.n_rows} rows, double precision, PyTorch on "
        f"{torch.cuda.get_device_name() if gpu else 'the CPU'}; steps in a second",
        [
            "",
            "NumPy",
            *names,
            *[f"{name} / NumPy" for name in names],
            *(["capture, ms"] if gpu else []),
            "difference, 20 rows",
        ],
        table,
    )


def on_gpu(repeats: int) -> None:
    """Kernel, layer and scan on a GPU, in milliseconds."""
    print(f"\n{torch.cuda.get_device_name()}")

    def ms(call: Callable[[], Any]) -> float:
        for _ in range(3):
            call()
        found = []
        for _ in range(repeats):
            torch.cuda.synchronize()
            start = time.perf_counter()
            call()
            torch.cuda.synchronize()
            found.append(1e3 * (time.perf_counter() - start))
        return float(np.median(found))

    table = []
    layer = S4DLayer(256, 64, rng=0).cuda()
    s5 = S5Layer(256, 64, rng=0).cuda()
    with torch.no_grad():
        a, b, c = layer.discrete()
        for length in (1024, 4096, 16384, 65536):
            u = torch.randn(16, length, 256, device="cuda")
            table.append(
                (
                    f"L = {length}",
                    ms(lambda n=length: _ssm.kernel(c * b, a, n)),
                    ms(lambda n=length: naive_kernel(c * b, a, n))
                    if length <= 16384
                    else None,
                    ms(lambda u=u: layer(u, mode="fft")),
                    ms(lambda u=u: layer(u, mode="chunked")),
                    ms(lambda u=u: s5(u)),
                )
            )
    print_table(
        "Forward, batch 16, H = 256, N = 64, single precision; ms",
        ["", "kernel", "naive kernel", "layer, fft", "layer, chunked", "S5 scan"],
        table,
    )


def main() -> None:
    """Print all tables."""
    arguments = parser(__doc__).parse_args()
    quick = arguments.quick
    repeats = arguments.repeats or (3 if quick else 7)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    with limit_threads(arguments.threads):
        print_environment(arguments.threads)
        print(f"torch {torch.__version__}")
        lengths = [1024, 4096] if quick else [1024, 4096, 16384]
        met = kernels(repeats, lengths, 16, 64)
        met &= layers(repeats, [1024, 4096], 4, 64)
        scans(max(repeats // 2, 1), [256, 1024])
        generation(max(repeats // 2, 1), 200 if quick else 1000, 100 if quick else 500)
        with torch.no_grad():
            steps(repeats, [1, 32, 256] if quick else [1, 32, 256, 2048], 160)
    if torch.cuda.is_available():
        on_gpu(repeats)
    print(f"\ntargets: {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    main()

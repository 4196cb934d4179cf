"""Echo state networks: how far they forecast, and how fast, beside reservoirpy.

Forecasts (Lorenz-63, dt 0.02, 10,000 training rows integrated at rtol 1e-12, 40 starts
after 200 rows of context, 3 seeds): mean valid prediction time in Lyapunov times
(0.9056 per unit time, threshold 0.4), untuned and at ``alpha=1e-12``; without biases;
with the other topologies, layers and readouts; of reservoirpy at its defaults. With it
the climate at N = 500: 15 free runs of 8000 steps.

Speed, in interleaved order within one run:

* a driven step in microseconds, beside the floor, which is scipy's bare CSR product and
  numpy's bare exp of the same sizes; beside reservoirpy as it comes (a tenth of all
  connections) and with 10 connections for each unit;
* ``fit`` at a given penalty, beside the symmetric rank-k update of its Gram alone, and
  beside this and the floor of driving the rows;
* ``alpha="auto"`` (8 penalties, 5 folds) beside 40 fits;
* 1000 forecasts of 500 steps as one batch, beside a loop over origins (of skdyn, and of
  reservoirpy's ``step``, with its default connections and with 10 for each unit; timed
  on a few and scaled up); beside the same in single precision; beside its floor, bare
  products and exps of 32 states at a time;
* the spectral radius of 5000 units beside ARPACK at full tolerance (not with --quick).

Memory: the peak that ``fit`` adds, beside 8 bytes for each entry of its Gram.

Targets: untuned at N = 500 at least 9; at alpha 1e-12, N = 300, 500, 1000 at least 8.5,
9.7, 10.5; a step within 1.5 times the floor; fit within 1.3 times the Gram; a search 50
times faster than refits; a batch 20 times faster than the loop.

Run: ``python benchmarks/bench_esn.py [--quick] [--threads N] [--case NAME]``, NAME one
of forecasts, speed, memory. reservoirpy is left out where it is not installed.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import Any

import numpy as np
from _harness import (
    interleaved,
    limit_threads,
    middle,
    middle_ratio,
    parser,
    peak_memory,
    print_environment,
    print_table,
    report_peak,
    timed,
)
from scipy.linalg import blas
from scipy.sparse.linalg import eigs

from skdyn.base import Horizon
from skdyn.datasets import lorenz63, make_trajectories
from skdyn.metrics import forecast_scale, valid_prediction_time
from skdyn.reservoir import ESN
from skdyn.reservoir._states import add_product, run
from skdyn.reservoir._topology import make_weights, recurrent_matrix, spectral_radius

try:
    from reservoirpy.nodes import Reservoir, Ridge
except ImportError:
    Reservoir = Ridge = None

LYAPUNOV = 0.9056
CONTEXT = 200


def lorenz(n_train: int, n_steps: int, n_tests: int) -> tuple[np.ndarray, np.ndarray]:
    """A training trajectory, and test trajectories of another seed."""
    make = partial(make_trajectories, lorenz63(), dt=0.02, rtol=1e-12, atol=1e-12)
    train = make(n_train, random_state=1)
    tests = make(CONTEXT + n_steps, n_trajectories=n_tests, random_state=2)
    return train, tests


def valid_time(T: np.ndarray, forecast: np.ndarray) -> float:
    """Mean valid prediction time in Lyapunov times."""
    times = valid_prediction_time(
        T[:, CONTEXT:],
        forecast,
        scale=forecast_scale(T.reshape(-1, T.shape[2])),
        dt=0.02,
        lyapunov_exponent=LYAPUNOV,
    )
    return float(np.mean(times))


def forecasts(quick: bool) -> bool:
    """Valid times and climate; tell whether the targets are met."""
    X, T = lorenz(10_000, 1200, 10 if quick else 40)
    seeds = range(1 if quick else 3)
    cases: list[tuple[str, dict[str, Any], float | None]] = [
        ("N=300, untuned", {"n_units": 300}, None),
        ("N=500, untuned", {}, 9.0),
        ("N=1000, untuned", {"n_units": 1000}, None),
        ("N=300, alpha 1e-12", {"n_units": 300, "alpha": 1e-12}, 8.5),
        ("N=500, alpha 1e-12", {"alpha": 1e-12}, 9.7),
        ("N=1000, alpha 1e-12", {"n_units": 1000, "alpha": 1e-12}, 10.5),
        ("N=1000, alpha 1e-14", {"n_units": 1000, "alpha": 1e-14}, None),
        ("N=500, no bias", {"bias_scaling": 0.0}, None),
        ("N=500, no bias, alpha 1e-12", {"bias_scaling": 0.0, "alpha": 1e-12}, None),
        ("N=500, ring", {"topology": "ring"}, None),
        ("N=500, delay line", {"topology": "delay_line"}, None),
        ("N=500, small world", {"topology": "small_world"}, None),
        ("N=500, 2 layers", {"n_layers": 2}, None),
        ("N=500, squares", {"quadratic_readout": True}, None),
        ("N=500, target next", {"target": "next"}, None),
        ("N=500, float32", {"dtype": "float32"}, None),
    ]
    table, met = [], True
    for name, params, least in cases[:6] if quick else cases:
        times, alphas = [], set()
        for seed in seeds:
            esn = ESN(random_state=seed, **params).fit(X)
            alphas.add(esn.alpha_)
            request = Horizon(T.shape[1] - CONTEXT, context=T[:, :CONTEXT])
            times.append(valid_time(T, esn.predict(request)))
        mean = float(np.mean(times))
        met &= least is None or mean >= least
        chosen = " ".join(f"{a:.0e}" for a in sorted(alphas))
        table.append((name, mean, min(times), max(times), chosen, least))
    if Reservoir is not None:
        mean = float(np.mean([valid_time(T, peer_forecast(X, T, s)) for s in seeds]))
        table.append(("reservoirpy, N=500, defaults", mean, None, None, "0", None))
    print_table(
        f"Lorenz-63, {len(X)} rows, {len(T)} starts, {len(seeds)} seed(s): valid time "
        f"in Lyapunov times",
        ["", "mean", "worst seed", "best seed", "alpha", "target"],
        table,
    )
    esn = ESN().fit(X)
    free = esn.predict(Horizon(8000, context=T[:15, :CONTEXT]))
    spread = free[:, 500:].reshape(-1, 3).std(axis=0) / T.reshape(-1, 3).std(axis=0)
    bounded = int((np.abs(free) < 1.5 * np.abs(X).max(axis=0)).all(axis=(1, 2)).sum())
    print(
        f"climate at N = 500: {bounded} of {len(free)} runs of 8000 steps bounded, "
        f"standard deviations {', '.join(f'{s:.4f}' for s in spread)} of the truth"
    )
    return met


def peer_forecast(X: np.ndarray, T: np.ndarray, seed: int) -> np.ndarray:
    """What reservoirpy's defaults forecast of standardised rows, in a loop."""
    mean, scale = X.mean(axis=0), X.std(axis=0)
    rows = (X - mean) / scale
    model = Reservoir(500, seed=seed) >> Ridge()
    model.fit(rows[:-1], rows[1:], warmup=100)
    forecast = np.empty_like(T[:, CONTEXT:])
    for truth, out in zip((T - mean) / scale, forecast, strict=True):
        model.reset()
        row = model.run(truth[:CONTEXT])[-1]
        for k in range(len(out)):
            out[k] = row
            row = model.step(row)
    return forecast * scale + mean


def speed(quick: bool, repeats: int) -> bool:
    """Steps, fits, searches and batches; tell whether the targets are met."""
    X, T = lorenz(3000 if quick else 10_000, 50, 8)
    drive = (X - X.mean(axis=0)) / X.std(axis=0)
    sizes = (500,) if quick else (300, 500, 1000)
    steps, fits, batches = [], [], []
    met = True
    for n in sizes:
        weights = make_weights(n, np.full(3, 0.2), rng=np.random.RandomState(0))
        some = drive[:1000]
        state, pre, out = np.full(n, 0.1), np.zeros(n), np.empty(n)

        def drive_all(weights: Any = weights, some: np.ndarray = some) -> None:
            for _ in run(weights, [some]):
                pass

        def floor(
            W: Any = weights.recurrent, a: Any = state, b: Any = pre, c: Any = out
        ) -> None:
            for _ in range(1000):
                add_product(W, a, b)
                np.exp(a, out=c)

        calls = {"ours": drive_all, "floor": floor}
        single = weights.astype(np.float32)
        calls["float32"] = partial(drive_all, single, some.astype(np.float32))
        if Reservoir is not None:
            for name, density in (("peer", 0.1), ("peer, 10", 10 / n)):
                node = Reservoir(n, rc_connectivity=density, seed=0)
                node.run(some[:2])
                calls[name] = partial(node.run, some)
        seconds = interleaved(calls, repeats)
        us = {name: 1e6 * s / len(some) for name, s in middle(seconds).items()}
        to_floor = middle_ratio(seconds, "ours", "floor")
        met &= to_floor < 1.5
        peers = ["peer", "peer, 10"]
        faster = [
            middle_ratio(seconds, p, "ours") if p in seconds else None for p in peers
        ]
        steps.append(
            (
                n,
                *(us.get(c) for c in ("ours", "floor", "float32", *peers)),
                to_floor,
                *faster,
            )
        )

        width = n + 4 + 3
        rows = np.random.default_rng(0).standard_normal((512, width))
        moments = np.zeros((width, width), order="F")

        def gram(rows: Any = rows, moments: Any = moments) -> None:
            for _ in range(len(X) // len(rows)):
                blas.dsyrk(1.0, rows.T, 1.0, moments, lower=True, overwrite_c=True)

        seconds = interleaved(
            {
                "fit": partial(ESN(n, alpha=1e-12).fit, X),
                "auto": partial(ESN(n).fit, X),
                "gram": gram,
            },
            max(repeats // 3, 1),
        )
        to_gram = middle_ratio(seconds, "fit", "gram")
        least = middle(seconds)["gram"] + 1e-6 * us["floor"] * len(X)
        faster_search = 40 * middle_ratio(seconds, "fit", "auto")
        met &= to_gram < 1.3 and faster_search > 50
        to_least = middle(seconds)["fit"] / least
        fits.append((n, *middle(seconds).values(), to_gram, to_least, faster_search))

        esn = ESN(n, alpha=1e-12).fit(X)
        contexts = np.repeat(T[:, -(esn.min_context_) :], 125, axis=0)
        request = Horizon(500, context=contexts)
        _, batch = timed(partial(esn.predict, request))
        start = time.perf_counter()
        for context in contexts[::100]:
            esn.predict(Horizon(500, context=context))
        loop = 100 * (time.perf_counter() - start)
        half = ESN(n, alpha=1e-4, dtype="float32").fit(X)
        _, single_batch = timed(partial(half.predict, request))
        many, sums, some_out = (
            np.full((n, 32), 0.1),
            np.zeros((n, 32)),
            np.empty((n, 32)),
        )
        n_blocks = 1000 * (500 + esn.min_context_ - 1) // 32
        start = time.perf_counter()
        for _ in range(n_blocks // 20):
            add_product(weights.recurrent, many, sums)
            np.exp(many, out=some_out)
        bare = 20 * (time.perf_counter() - start)
        looped: list[float | None] = [None, None]
        if Reservoir is not None:
            for i, density in enumerate((0.1, 10 / n)):
                node = Reservoir(n, rc_connectivity=density, seed=0)
                model = node >> Ridge(ridge=1e-6)
                model.fit(drive[:1000], drive[1:1001], warmup=100)
                row = drive[0]
                start = time.perf_counter()
                for _ in range(500):
                    row = model.step(row)
                looped[i] = 1000 * (time.perf_counter() - start)
        met &= loop / batch > 20
        times = (batch, single_batch, bare, loop, *looped)
        ratios = [each and each / batch for each in (loop, *looped)]
        batches.append((n, *times, *ratios))
    print_table(
        f"One driven step of N units, 3 features, {repeats} repeats; microseconds, and "
        f"ratios within one round",
        [
            "N",
            "ours",
            "floor",
            "float32",
            "reservoirpy",
            "with 10",
            "ours / floor",
            "rpy /",
            "with 10 /",
        ],
        steps,
    )
    print_table(
        f"fit of {len(X)} rows; seconds",
        [
            "N",
            "alpha given",
            "alpha auto",
            "syrk",
            "fit / syrk",
            "fit / (syrk + drive)",
            "40 fits / auto",
        ],
        fits,
    )
    print_table(
        "1000 forecasts of 500 steps; seconds",
        [
            "N",
            "batch",
            "float32",
            "floor",
            "loop",
            "reservoirpy",
            "with 10",
            "loop /",
            "rpy /",
            "with 10 /",
        ],
        batches,
    )
    if not quick:
        W = recurrent_matrix("random", 5000, rng=np.random.RandomState(0))
        estimate, ours = timed(partial(spectral_radius, W))
        how = {"k": 1, "return_eigenvectors": False, "v0": np.ones(5000)}
        values, theirs = timed(partial(eigs, W, which="LM", **how))
        exact = float(np.abs(values).max())
        print(
            f"\nspectral radius of 5000 units: {estimate:.4f} in {ours:.3f} s; ARPACK "
            f"{exact:.4f} in {theirs:.1f} s"
        )
    return met


def memory() -> None:
    """Peak memory of a fit, in a fresh process."""
    table = []
    for n in (500, 1000, 2000):
        gram = 8e-6 * (n + 7) ** 2
        for alpha in ("1e-12", "auto"):
            peak = peak_memory(__file__, ["--measure", str(n), alpha])
            ratio = None if peak is None else peak / gram
            table.append((f"N={n}, alpha {alpha}", peak, gram, ratio))
    print_table(
        "Peak memory of fit, 10,000 rows of 3 features; MB",
        ["", "peak", "one Gram", "peak / Gram"],
        table,
    )


def measure(n_units: int, alpha: str) -> None:
    """Report the peak of one fit."""
    X = np.cumsum(np.random.default_rng(0).standard_normal((10_000, 3)), axis=0)
    esn = ESN(n_units, alpha="auto" if alpha == "auto" else float(alpha))
    # BLAS takes its buffers at the first large product.
    ESN(600, alpha=1e-6).fit(X[:1000])
    report_peak(lambda: esn.fit(X))


def main() -> None:
    """Print all tables."""
    if sys.argv[1:2] == ["--measure"]:
        measure(int(sys.argv[2]), sys.argv[3])
        return
    options = parser(__doc__)
    options.add_argument("--case", choices=["forecasts", "speed", "memory"])
    arguments = options.parse_args()
    case, met = arguments.case, True
    with limit_threads(arguments.threads):
        print_environment(arguments.threads)
        if case in (None, "forecasts"):
            met &= forecasts(arguments.quick)
        if case in (None, "speed"):
            met &= speed(arguments.quick, arguments.repeats or 9)
        if case == "memory" or (case is None and not arguments.quick):
            memory()
    print(f"\ntargets: {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    main()

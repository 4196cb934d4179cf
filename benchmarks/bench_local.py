"""Local reservoirs: how far they forecast chaotic fields, beside one global network.

* Lorenz-96 (40 sites, F = 8), a row every 0.025, exponent 1.69 per unit time.
* Kuramoto-Sivashinsky (L = 22, 64 points), a row every 0.25, exponent 0.048.

Mean valid prediction time in Lyapunov times (threshold 0.4) over starts after 150 rows
of context, of `LocalReservoir` untuned, for 3 seeds; and, for one seed, with squares in
the readout, with a separate readout for each patch, and of `ESN` of the same number of
units, untuned and with the same target (the next row). All choose their penalty
themselves. Seconds of the fit and of all forecasts beside them.

Then 200 forecasts of 100 steps of Lorenz-96 as one batch, beside a loop over origins.

Targets: Lorenz-96 at least 3.2 and Kuramoto-Sivashinsky at least 3.5 Lyapunov times.

Run: ``python benchmarks/bench_local.py [--quick] [--threads N]``.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
from _harness import limit_threads, parser, print_environment, print_table, timed

from skdyn.base import Horizon
from skdyn.datasets import kuramoto_sivashinsky, lorenz96, make_trajectories
from skdyn.metrics import forecast_scale, valid_prediction_time
from skdyn.reservoir import ESN, LocalReservoir

CONTEXT = 150
# Lyapunov times that are forecast.
LONGEST = 10.0
# System, time between rows, exponent, training rows (quick and not), target.
SYSTEMS: dict[str, tuple[Any, float, float, tuple[int, int], float]] = {
    "Lorenz-96": (lorenz96(), 0.025, 1.69, (2000, 5000), 3.2),
    "Kuramoto-Sivashinsky": (
        kuramoto_sivashinsky(),
        0.25,
        0.048,
        (5000, 10_000),
        3.5,
    ),
}


def forecasts(quick: bool) -> bool:
    """Valid times; tell whether the targets are met."""
    met = True
    n_starts, n_seeds = (8, 1) if quick else (24, 3)
    for name, (system, dt, exponent, sizes, least) in SYSTEMS.items():
        n_rows, n_steps = sizes[not quick], round(LONGEST / exponent / dt)
        made = {"dt": dt, "rtol": 1e-8, "atol": 1e-8}
        X = make_trajectories(system, n_rows, random_state=1, **made)
        T = make_trajectories(
            system, CONTEXT + n_steps, n_trajectories=n_starts, random_state=2, **made
        )
        scale = forecast_scale(T.reshape(-1, T.shape[2]))
        cases: list[tuple[str, Any, float | None]] = [
            ("local, untuned", LocalReservoir(), least),
            ("global, untuned", ESN(), None),
            ("global, target next", ESN(target="next"), None),
        ]
        if not quick:
            squares = LocalReservoir(quadratic_readout=True)
            cases.insert(1, ("local, squares too", squares, None))
            cases.insert(2, ("local, separate", LocalReservoir(shared=False), None))
        table = []
        for case, model, target in cases:
            times, fit, run, alphas = [], 0.0, 0.0, set()
            seeds = range(n_seeds if target is not None else 1)
            for seed in seeds:
                model.set_params(random_state=seed)
                fit += timed(partial(model.fit, X))[1]
                request = Horizon(n_steps, context=T[:, :CONTEXT])
                rows, seconds = timed(partial(model.predict, request))
                run += seconds
                alphas.add(model.alpha_)
                valid = valid_prediction_time(
                    T[:, CONTEXT:],
                    rows,
                    scale=scale,
                    dt=dt,
                    lyapunov_exponent=exponent,
                )
                times.append(float(np.mean(valid)))
            mean = float(np.mean(times))
            met &= target is None or mean >= target
            chosen = " ".join(f"{a:.0e}" for a in sorted(alphas))
            seconds = (fit / len(seeds), run / len(seeds))
            spread = (len(seeds), mean, min(times), max(times))
            row = (case, *spread, target, chosen, *seconds)
            table.append(row)
        local = cases[0][1]
        print_table(
            f"{name}: {n_rows} rows every {dt}, {n_starts} starts, N = 500, "
            f"{local.n_patches_} patches of {local.patch_[0]} with "
            f"a halo of {local.halo_[0]}; valid time in Lyapunov times",
            [
                "",
                "seeds",
                "mean",
                "worst",
                "best",
                "target",
                "alpha",
                "fit s",
                "forecasts s",
            ],
            table,
        )
    return met


def batches(quick: bool) -> None:
    """Many origins at once beside one after the other."""
    n_origins, n_steps = (20, 50) if quick else (200, 100)
    X = make_trajectories(lorenz96(), 2000, dt=0.025, rtol=1e-7, atol=1e-7)
    model = LocalReservoir(200, alpha=1e-8).fit(X)
    n = model.min_context_
    contexts = np.stack([X[k : k + n] for k in range(0, 5 * n_origins, 5)])
    _, batch = timed(lambda: model.predict(Horizon(n_steps, context=contexts)))
    start = time.perf_counter()
    for context in contexts[::10]:
        model.predict(Horizon(n_steps, context=context))
    loop = 10 * (time.perf_counter() - start)
    print_table(
        f"{n_origins} forecasts of {n_steps} steps, N = 200, 40 patches; seconds",
        ["", "batch", "loop", "loop / batch"],
        [("Lorenz-96", batch, loop, loop / batch)],
    )


def main() -> None:
    """Print all tables."""
    arguments = parser(__doc__).parse_args()
    with limit_threads(arguments.threads):
        print_environment(arguments.threads)
        met = forecasts(arguments.quick)
        batches(arguments.quick)
    print(f"\ntargets: {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    main()

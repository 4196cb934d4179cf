"""Metrics of attractors: what truth scores against truth, and what a metric costs.

Measured, on Lorenz-63 at dt = 0.01 with runs of 1,000, 10,000 and 50,000 rows:

* the distance between two orbits of the true system from different starts, six pairs of
  four orbits: least, mean and greatest. Below this floor no model can be told from the
  truth. Beside it, runs that are wrong: a fixed point, Gaussian noise of the truth's
  mean and variance, the true rows in random order, and a true orbit at half the speed;
* the correlation dimension (known: 2.06) and the largest Lyapunov exponent (known:
  0.906) of the four orbits;
* the median seconds of one call, all metrics in turn.

With the published test orbit in the folder that SKDYN_REFERENCE_DATA names, also D_stsp
of that orbit from its own first rows, which is 12, 0.5 and 0.0 at 1,000, 10,000 and all
100,000.

Targets: D_stsp of a fixed point above 15 at 50,000 rows; of truth from truth 0.5 at
10,000 rows and 0.1 at 50,000, to a factor of 2; dimension within 0.05 and exponent
within 10 % at 50,000 rows.

Run: ``python benchmarks/bench_metrics.py [--quick] [--threads N]``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from _harness import (
    interleaved,
    limit_threads,
    middle,
    parser,
    print_environment,
    print_table,
)

from skdyn.datasets import make_lorenz63
from skdyn.metrics import (
    autocorrelation_distance,
    correlation_dimension,
    d_hellinger,
    d_stsp,
    largest_lyapunov_exponent,
    mmd,
    sliced_wasserstein,
    spectral_distance,
)

DT = 0.01
DISTANCES: dict[str, Callable[..., float]] = {
    "d_stsp": d_stsp,
    "d_hellinger": d_hellinger,
    "mmd": mmd,
    "mmd, energy": lambda x, y: mmd(x, y, kernel="energy"),
    "sliced_wasserstein": sliced_wasserstein,
    "spectral_distance": lambda x, y: spectral_distance(x, y, dt=DT),
    "autocorrelation, 100 lags": lambda x, y: autocorrelation_distance(
        x, y, max_lag=100
    ),
}


def wrong_runs(truth: np.ndarray, other: np.ndarray) -> dict[str, np.ndarray]:
    """Runs that a metric should tell from the truth."""
    rng = np.random.default_rng(0)
    n = len(truth)
    noise = rng.standard_normal(truth.shape)
    return {
        "fixed point": np.tile(truth[n // 2], (n, 1)),
        "noise": truth.mean(axis=0) + truth.std(axis=0) * noise,
        "shuffled": rng.permutation(other),
        "half speed": np.repeat(other[: n // 2], 2, axis=0),
    }


def truth_against_truth(orbits: list[np.ndarray], n: int) -> dict[str, float]:
    """Print the table for runs of `n` rows; return the means over pairs."""
    cut = [orbit[:n] for orbit in orbits]
    wrong = wrong_runs(cut[0], cut[1])
    rows, means = [], {}
    for name, distance in DISTANCES.items():
        values = [distance(x, y) for x, y in combinations(cut, 2)]
        means[name] = float(np.mean(values))
        others = [distance(cut[0], run) for run in wrong.values()]
        rows.append((name, min(values), means[name], max(values), *others))
    print_table(
        f"truth from truth, {n} rows, 6 pairs; and wrong runs from truth",
        ["", "least", "mean", "greatest", *wrong],
        rows,
    )
    means["fixed point"] = d_stsp(cut[0], wrong["fixed point"])
    return means


def invariants(orbits: list[np.ndarray], n: int) -> tuple[float, float]:
    """Print dimension and exponent of each orbit; return the greatest errors."""
    rows, dimensions, exponents = [], [], []
    for i, orbit in enumerate(orbits):
        dimension = correlation_dimension(orbit[:n])
        exponent = largest_lyapunov_exponent(orbit[:n], DT)
        mean = largest_lyapunov_exponent(orbit[:n], DT, average="mean")
        dimensions.append(dimension.dimension)
        exponents.append(exponent.exponent)
        rows.append(
            (
                f"orbit {i}",
                dimension.dimension,
                dimension.std_error,
                exponent.exponent,
                exponent.std_error,
                mean.exponent,
            )
        )
    print_table(
        f"invariants, {n} rows (known: 2.06 and 0.906)",
        ["", "dimension", "error", "exponent", "error", "by the mean"],
        rows,
    )
    return (
        float(np.abs(np.array(dimensions) - 2.06).max()),
        float(np.abs(np.array(exponents) / 0.906 - 1).max()),
    )


def times(orbits: list[np.ndarray], lengths: list[int], repeats: int) -> None:
    """Print the seconds of one call of each metric."""
    table: dict[str, list[Any]] = {}
    for n in lengths:
        x, y = orbits[0][:n], orbits[1][:n]
        calls: dict[str, Callable[[], Any]] = {
            name: lambda f=distance, x=x, y=y: f(x, y)
            for name, distance in DISTANCES.items()
        }
        calls["correlation_dimension"] = lambda x=x: correlation_dimension(x)
        calls["largest_lyapunov_exponent"] = lambda x=x: largest_lyapunov_exponent(
            x, DT
        )
        for name, seconds in middle(interleaved(calls, repeats)).items():
            table.setdefault(name, []).append(1e3 * seconds)
    print_table(
        f"ms of one call, median of {repeats}",
        ["", *[f"{n} rows" for n in lengths]],
        [(name, *values) for name, values in table.items()],
    )


def published(lengths: list[int]) -> None:
    """D_stsp of the published test orbit, where it is at hand."""
    path = Path(os.environ.get("SKDYN_REFERENCE_DATA", ".")) / "lorenz63_test.npy"
    if not path.exists():
        print("\npublished test orbit: absent (set SKDYN_REFERENCE_DATA)")
        return
    truth = np.load(path).astype(float)
    rows = [
        (
            f"{n} rows",
            d_stsp(truth, truth[:n]),
            d_stsp(truth[:n], truth[n : 2 * n]) if 2 * n <= len(truth) else None,
            d_hellinger(truth[:n], truth[n : 2 * n]) if 2 * n <= len(truth) else None,
            d_stsp(truth[:n], np.tile(truth[0], (n, 1))),
        )
        for n in [*lengths, len(truth)]
    ]
    print_table(
        "published test orbit (100,000 rows): D_stsp of its first n rows from all; of "
        "its next n rows from them, and d_hellinger; of a fixed point",
        ["", "from all", "next", "hellinger", "fixed point"],
        rows,
    )


def main() -> None:
    """Print all tables and whether the targets are met."""
    arguments = parser(__doc__).parse_args()
    lengths = [1000, 5000] if arguments.quick else [1000, 10_000, 50_000]
    repeats = arguments.repeats or (3 if arguments.quick else 7)
    orbits = [make_lorenz63(lengths[-1], dt=DT, random_state=i) for i in range(4)]
    with limit_threads(arguments.threads):
        print_environment(arguments.threads)
        means = {n: truth_against_truth(orbits, n) for n in lengths}
        published(lengths)
        errors = {n: invariants(orbits, n) for n in lengths[1:]}
        times(orbits, lengths, repeats)
    if arguments.quick:
        return
    targets = {
        "fixed point above 15": means[50_000]["fixed point"] > 15,
        "truth about 0.5 at 10,000 rows": 0.25 < means[10_000]["d_stsp"] < 1.0,
        "truth about 0.1 at 50,000 rows": 0.05 < means[50_000]["d_stsp"] < 0.2,
        "dimension within 0.05": errors[50_000][0] < 0.05,
        "exponent within 10 %": errors[50_000][1] < 0.1,
    }
    print()
    for name, met in targets.items():
        print(f"{name}: {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    main()

"""How many of the rows to come bands of the PLRNN cover, by steps ahead.

Three restarts of 60 epochs on 5,000 or 800 rows of Lorenz-63 with a step of 0.02, with
and without 5% of noise, and on 2,000 rows of a damped turn that noise keeps going.
Bands of 90% from 200 contexts of four other series, and those of the same samples as
they are, without the factors that ``fit`` measures. Then the mean widths of the bands,
in standard deviations of the rows, and what the factors cost.

Target: 85 to 95% at every step.

Run: ``python benchmarks/bench_plrnn_bands.py [--quick] [--threads N]``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from _harness import limit_threads, parser, print_environment, print_table

from skdyn.datasets import make_lorenz63
from skdyn.neural import PLRNN

STEPS = (1, 2, 5, 10, 30, 100, 200, 300)
N_AHEAD, N_CONTEXTS, APART = 300, 50, 24


def lorenz(noise: float) -> Callable[[int, int], np.ndarray]:
    """Rows by their number and a seed."""

    def rows(n: int, seed: int) -> np.ndarray:
        X = make_lorenz63(n, random_state=seed)
        rng = np.random.RandomState(seed)
        return np.asarray(X + noise * X.std(axis=0) * rng.standard_normal(X.shape))

    return rows


def turn(n: int, seed: int) -> np.ndarray:
    """A damped turn, kept going by noise."""
    rng = np.random.RandomState(seed)
    R = 0.98 * np.array([[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]])
    X = np.zeros((n, 2))
    X[0] = 1.0, 0.0
    for k in range(n - 1):
        X[k + 1] = R @ X[k] + 0.05 * rng.standard_normal(2)
    return np.asarray(X + 0.05 * X.std(axis=0) * rng.standard_normal(X.shape))


CASES: dict[str, tuple[Callable[[int, int], np.ndarray], int]] = {
    "Lorenz-63, 5,000 rows, 5% noise": (lorenz(0.05), 5000),
    "Lorenz-63, 5,000 rows, no noise": (lorenz(0.0), 5000),
    "Lorenz-63, 800 rows, 5% noise": (lorenz(0.05), 800),
    "a damped turn, 2,000 rows": (turn, 2000),
}


def ahead(
    make: Callable[[int, int], np.ndarray], least: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Contexts of other series, and what came after them."""
    contexts, rows = [], []
    for seed in range(77, 81):
        Y = make(200 + N_CONTEXTS * APART + N_AHEAD, seed)
        for at in 200 + APART * np.arange(N_CONTEXTS):
            contexts.append(Y[at - least : at])
            rows.append(Y[at : at + N_AHEAD])
    return contexts, np.stack(rows)


def bands(model: Any, contexts: list[np.ndarray], rows: np.ndarray) -> list[np.ndarray]:
    """Share covered and mean width, at each step."""
    band = model.forecast_interval(N_AHEAD, 0.9, context=contexts)
    lower, upper = np.stack(band.lower), np.stack(band.upper)
    inside = (lower <= rows) & (rows <= upper)
    width = (upper - lower) / rows.std(axis=(0, 1))
    return [each.mean(axis=(0, 2)) for each in (inside, width)]


def main() -> None:
    """Print the tables."""
    arguments = parser(__doc__).parse_args()
    repeats = arguments.repeats or (1 if arguments.quick else 5)
    at = np.array(STEPS) - 1
    shares, widths, costs = [], [], []
    with limit_threads(arguments.threads):
        print_environment(arguments.threads)
        for name, (make, n_rows) in CASES.items():
            found = []
            for seed in range(repeats):
                X = make(n_rows, seed)
                start = time.perf_counter()
                model = PLRNN(max_epochs=60, n_init=3, random_state=seed).fit(X)
                whole = time.perf_counter() - start
                start = time.perf_counter()
                model._measured_spread(model._check_context(X), None)
                costs.append((name, seed, whole, time.perf_counter() - start))
                contexts, rows = ahead(make, model.min_context_)
                spread = bands(model, contexts, rows)
                model._spread = None
                found.append([spread, bands(model, contexts, rows)])
            mean = np.mean(found, axis=0)[..., at]
            for label, (share, width) in zip((name, "  as drawn"), mean, strict=True):
                shares.append([label, *(f"{100 * each:.0f}%" for each in share)])
                widths.append([label, *(f"{each:.2f}" for each in width)])
    print_table(
        f"Rows covered by bands of 90%, by steps ahead, means of {repeats} fits",
        ["", *map(str, STEPS)],
        shares,
    )
    print_table("Widths", ["", *map(str, STEPS)], widths)
    print_table(
        "Cost, in seconds",
        ["", "seed", "fit", "of it factors"],
        [[name, seed, f"{a:.1f}", f"{b:.2f}"] for name, seed, a, b in costs],
    )


if __name__ == "__main__":
    main()

"""Errors and times of the differentiators.

Errors are root mean squares over all rows and features, relative to the standard
deviation of the true derivative; noise is white, relative to the standard deviation of
the data, feature by feature; each number is the median of several seeds. Signals:

* Lorenz-63, 2000 rows at dt = 0.01: smooth, three features, true derivative from the
  equations;
* zigzag: a piecewise linear series of 1000 rows whose slope jumps nine times;
* waves: six sines over one period, 500 rows, on which a spectral derivative is exact.

Beside the differentiators of skdyn stand numpy.gradient (the floor), scipy's smoothing
spline with its own search of the smoothing, "fails" where that raises, and, as what no
method can know, the best smoothing of a grid ("oracle").

Times are of one feature, with noise of 0.01, on even and on uneven rows; the median of
several runs in interleaved order.

Run: ``python benchmarks/bench_differentiation.py [--quick] [--threads N]``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from statistics import median
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
from scipy.integrate import solve_ivp
from scipy.interpolate import make_smoothing_spline

from skdyn.preprocessing import (
    Differentiator,
    FiniteDifference,
    SavitzkyGolay,
    SmoothingSpline,
    Spectral,
    TotalVariation,
)

NOISES = [0.0, 1e-4, 1e-3, 1e-2, 1e-1]
METHODS: dict[str, Differentiator] = {
    "FiniteDifference(2)": FiniteDifference(),
    "FiniteDifference(4)": FiniteDifference(4),
    "FiniteDifference(8)": FiniteDifference(8),
    "SavitzkyGolay(11)": SavitzkyGolay(11),
    "SavitzkyGolay(31)": SavitzkyGolay(31),
    "SmoothingSpline(degree=3)": SmoothingSpline(degree=3),
    "SmoothingSpline()": SmoothingSpline(),
    "TotalVariation()": TotalVariation(),
}


def lorenz() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    def field(_: float, s: np.ndarray) -> list[Any]:
        x, y, z = s
        return [10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z]

    t = 0.01 * np.arange(2000)
    x = solve_ivp(
        field, (0, t[-1]), [-8, 8, 27], "DOP853", t, rtol=1e-11, atol=1e-11
    ).y.T
    return t, x, np.stack(field(0.0, x.T), axis=1)


def zigzag() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    t = np.linspace(0, 10, 1000)
    slopes = rng.uniform(-2, 2, 10)
    u = slopes[np.minimum(t.astype(int), 9)]
    corners = np.concatenate([[0.0], np.cumsum(slopes)])
    return t, np.interp(t, np.arange(11.0), corners)[:, None], u[:, None]


def waves() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    t = np.arange(500) / 500
    x, dot = np.zeros_like(t), np.zeros_like(t)
    for k in range(1, 7):
        size, phase = rng.uniform(0.5, 1), rng.uniform(0, 6)
        x += size * np.sin(2 * np.pi * k * t + phase)
        dot += size * 2 * np.pi * k * np.cos(2 * np.pi * k * t + phase)
    return t, x[:, None], dot[:, None]


def scipys(x: np.ndarray, t: np.ndarray) -> np.ndarray | None:
    """Slopes of scipy's spline; None where it raises."""
    try:
        splines = [make_smoothing_spline(t, each) for each in x.T]
    except ValueError:
        return None
    return np.stack([spline(t, 1) for spline in splines], axis=1)


def oracle(x: np.ndarray, t: np.ndarray, dot: np.ndarray) -> np.ndarray:
    """Slopes of the spline whose smoothing, on a grid, is best for each feature."""
    step = t[1] - t[0]
    tried = [
        SmoothingSpline((length * step) ** 6 / step).differentiate(x, t=t).x_dot
        for length in 10 ** np.arange(-1.25, 2.5, 0.125)
    ]
    best = np.argmin([((each - dot) ** 2).sum(axis=0) for each in tried], axis=0)
    return np.stack([tried[i][:, j] for j, i in enumerate(best)], axis=1)


def errors(
    signal: tuple[np.ndarray, np.ndarray, np.ndarray],
    methods: dict[str, Differentiator],
    seeds: int,
) -> list[list[Any]]:
    t, clean, dot = signal
    found: dict[str, list[float | None]] = {}
    calls: dict[str, Callable[[np.ndarray], np.ndarray | None]] = {
        "numpy.gradient": lambda x: np.gradient(x, t, axis=0),
        "scipy's smoothing spline": lambda x: scipys(x, t),
        "SmoothingSpline, oracle": lambda x: oracle(x, t, dot),
    }
    for name, method in methods.items():
        calls[name] = lambda x, method=method: method.differentiate(x, t=t).x_dot
    for name, call in calls.items():
        for noise in NOISES:
            values: list[float] = []
            for seed in range(seeds if noise else 1):
                rng = np.random.default_rng(seed)
                extra = noise * clean.std(axis=0) * rng.standard_normal(clean.shape)
                got = call(clean + extra)
                if got is None:
                    break
                values.append(
                    float(np.sqrt(np.mean(((got - dot) / dot.std(axis=0)) ** 2)))
                )
            found.setdefault(name, []).append(median(values) if values else None)
    order = [
        "numpy.gradient",
        *methods,
        "SmoothingSpline, oracle",
        "scipy's smoothing spline",
    ]
    return [
        [name, *("fails" if v is None else v for v in found[name])] for name in order
    ]


def times(n: int, repeats: int, with_scipy: bool) -> list[list[Any]]:
    rng = np.random.default_rng(0)
    even = 0.01 * np.arange(n)
    uneven = np.sort(even + 0.004 * rng.uniform(-1, 1, n))
    rows: dict[str, list[float | None]] = {}
    for t in (even, uneven):
        x = np.sin(t) + np.sin(2.7 * t) + 0.01 * rng.standard_normal(n)
        x = x[:, None]
        calls: dict[str, Callable[[], Any]] = {
            "numpy.gradient": lambda x=x, t=t: np.gradient(x, t, axis=0)
        }
        for name, method in METHODS.items():
            calls[name] = lambda x=x, t=t, method=method: method.differentiate(x, t=t)
        if t is even:
            calls["Spectral()"] = lambda x=x, t=t: Spectral().differentiate(x, t=t)
        if with_scipy:
            calls["scipy's smoothing spline"] = lambda x=x, t=t: scipys(x, t)
        seconds = middle(interleaved(calls, repeats))
        medians = {name: 1e3 * value for name, value in seconds.items()}
        for name in list(rows) or medians:
            rows.setdefault(name, []).append(medians.get(name))
    return [[name, *values] for name, values in rows.items()]


def main() -> None:
    arguments = parser(__doc__).parse_args()
    seeds = 1 if arguments.quick else 5
    sizes = [1_000] if arguments.quick else [1_000, 10_000, 100_000]
    print_environment(arguments.threads)
    warnings.simplefilter("ignore")  # the spectral derivative of noise at the seam
    columns = ["error of the derivative, noise:", *(f"{each:g}" for each in NOISES)]
    spectral = {"Spectral()": Spectral(), "Spectral(cutoff=6.5)": Spectral(cutoff=6.5)}
    with limit_threads(arguments.threads):
        for title, signal, methods in (
            ("Lorenz-63", lorenz(), METHODS),
            ("zigzag", zigzag(), METHODS),
            ("waves", waves(), METHODS | spectral),
        ):
            print_table(title, columns, errors(signal, methods, seeds))
        for n in sizes:
            repeats = arguments.repeats or (5 if n < 5_000 else 2)
            print_table(
                f"{n} rows, one feature",
                ["ms", "even", "uneven"],
                times(n, repeats, with_scipy=n <= 10_000),
            )


if __name__ == "__main__":
    main()

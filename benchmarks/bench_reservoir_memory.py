"""Reservoirs as features, their memory, online readouts and searches.

* Memory capacity of 50 units by topology: linear units, and tanh under weak and strong
  drives. Target: the linear ring at radius 0.9 has 47.5 to 50.
* NARMA-10 (Atiya & Parlos 2000; u uniform within [0, 0.5], 4000 rows to train, 4000 of
  another seed to test, 200 rows before each left out), NRMSE of a ridge readout, mean
  over seeds. Targets: N = 100 at most 0.33, N = 200 at most 0.22, without squares and
  without any past y. Inputs under which the system runs away, as it does for some, are
  drawn anew. Beside it reservoirpy's Reservoir at its defaults and with the same
  settings (its own weights and biases).
* Online least squares: how far its predictions and coefficients are from ridge
  regression of the same rows, and microseconds for a row, beside reservoirpy's RLS node
  on the same states: with the constant as a column, against ridge that penalises it,
  and with its own bias, which is a running mean of errors. Target: 1e-8.
* A search over 8 ridge penalties by 5 folds at N = 1000: ESN's alpha="auto" beside
  GridSearchCV over the same penalties and rows, which drives the reservoir 40 times.
  Target: 50 times faster.

Run: ``python benchmarks/bench_reservoir_memory.py [--quick] [--threads N]
[--case NAME]``, NAME one of memory, narma, online, search. reservoirpy is left out
where it is not installed.
"""

from __future__ import annotations

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
    print_environment,
    print_table,
    timed,
)
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline

from skdyn.datasets import lorenz63, make_trajectories
from skdyn.model_selection import forecast_scorer
from skdyn.reservoir import ESN, ReservoirFeatures, memory_capacity
from skdyn.reservoir._online import _LeastSquares

try:
    from reservoirpy.nodes import RLS, Reservoir
except ImportError:
    RLS = Reservoir = None

ALPHAS = [float(a) for a in 10.0 ** np.arange(-14, 1, 2)]


def memory() -> bool:
    """Memory capacities; tell whether the target is met."""
    table, ring = [], 0.0
    for topology in ("ring", "delay_line", "random", "small_world"):
        params = {"topology": topology, "spectral_radius": 0.9, "bias_scaling": 0.0}
        units = ReservoirFeatures(50, **params)
        found, seconds = timed(partial(memory_capacity, units, linear=True))
        linear = found.total
        bent = [
            memory_capacity(ReservoirFeatures(50, input_scaling=s, **params)).total
            for s in (0.001, 0.01, 0.1, 1.0)
        ]
        ring = linear if topology == "ring" else ring
        table.append((topology, linear, *bent, seconds))
    print_table(
        "Memory capacity of 50 units, radius 0.9: linear, and tanh by input_scaling",
        ["", "linear", "0.001", "0.01", "0.1", "1", "seconds (linear)"],
        table,
    )
    return 47.5 <= ring <= 50


def narma(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs u[t], and what they make of y[t + 1]."""
    rng = np.random.default_rng(seed)
    while True:
        u, y = rng.uniform(0, 0.5, n + 50), np.zeros(n + 51)
        for t in range(9, n + 50):
            past = y[t - 9 : t + 1].sum()
            y[t + 1] = 0.3 * y[t] + 0.05 * y[t] * past + 1.5 * u[t - 9] * u[t] + 0.1
            if y[t + 1] > 10:
                break
        else:
            return u[50:, None], y[51:]


def narma_errors(quick: bool) -> bool:
    """NRMSE by size and settings; tell whether the targets are met."""
    seeds = range(2 if quick else 10)
    data = [(narma(4200, 10 + s), narma(4200, 100 + s)) for s in seeds]
    weak = {"input_scaling": 0.01, "spectral_radius": 0.95, "bias_scaling": 0.3}
    ring = {**weak, "spectral_radius": 0.8, "topology": "ring"}
    cases: list[tuple[str, dict[str, Any], dict[int, float]]] = [
        ("random, radius 0.95, input 0.01, bias 0.3", weak, {100: 0.33, 200: 0.22}),
        ("the same with squares", {**weak, "quadratic": True}, {}),
        ("ring, weight 0.8, input 0.01, bias 0.3", ring, {100: 0.33, 200: 0.22}),
        ("the same with squares", {**ring, "quadratic": True}, {}),
        ("defaults", {}, {}),
        ("no bias", {**weak, "bias_scaling": 0.0}, {}),
    ]
    table, reached = [], {100: False, 200: False}
    for name, params, targets in cases:
        for n in (100, 200):
            errors = []
            for seed, ((u, y), (v, z)) in zip(seeds, data, strict=True):
                features = ReservoirFeatures(
                    n, washout=200, random_state=seed, **params
                )
                model = make_pipeline(features, Ridge(1e-8, solver="svd"))
                guess = model.fit(u, y[200:]).predict(v)
                errors.append(np.sqrt(np.mean((guess - z[200:]) ** 2)) / z[200:].std())
            least = targets.get(n)
            if least is not None:
                reached[n] |= bool(np.mean(errors) <= least)
            table.append((f"N={n}, {name}", float(np.mean(errors)), max(errors), least))
    if Reservoir is not None:
        for n in (100, 200):
            for name, peer in (
                ("defaults", {}),
                (
                    "radius 0.95, input 0.01, bias 0.3, 10 connections",
                    {
                        "sr": 0.95,
                        "input_scaling": 0.01,
                        "bias": np.random.default_rng(1).uniform(-0.3, 0.3, n),
                        "rc_connectivity": 10 / n,
                        "input_connectivity": 1.0,
                    },
                ),
            ):
                errors = []
                for seed, ((u, y), (v, z)) in zip(seeds, data, strict=True):
                    node = Reservoir(n, seed=seed, **peer)
                    mean, scale = u.mean(), u.std()
                    driven = []
                    for rows in (u, v):
                        node.reset() if node.initialized else None
                        states = node.run((rows - mean) / scale)
                        driven.append(np.hstack([rows, states])[200:])
                    model = Ridge(1e-8, solver="svd").fit(driven[0], y[200:])
                    wrong = model.predict(driven[1]) - z[200:]
                    errors.append(np.sqrt(np.mean(wrong**2)) / z[200:].std())
                table.append(
                    (
                        f"N={n}, reservoirpy, {name}",
                        float(np.mean(errors)),
                        max(errors),
                        None,
                    )
                )
    print_table(
        f"NARMA-10, NRMSE over {len(data)} seeds",
        ["", "mean", "worst", "target"],
        table,
    )
    return all(reached.values())


def online(quick: bool) -> bool:
    """Digits and time of recursive least squares; tell whether the target is met."""
    X = make_trajectories(lorenz63(), 2000 if quick else 5000, dt=0.02, random_state=1)
    table, met = [], True
    for n in (100, 300) if quick else (100, 300, 1000):
        rows = X[:2000] if n == 1000 else X
        features = ReservoirFeatures(
            n, spectral_radius=0.8, input_scaling=0.3, bias_scaling=1.0
        )
        Z = features.fit_transform(rows)[100:-1, 3:]
        Y = np.diff(rows, axis=0)[100:] / rows.std(axis=0)
        for alpha in (1e-2, 1e-4, 1e-6):
            ours = _LeastSquares.of_nothing(n, 3, alpha, 1.0)
            whole = np.column_stack([Z, np.ones(len(Z))])
            start = time.perf_counter()
            for z, y in zip(whole, Y, strict=True):
                ours.learn(z, y)
            micro = 1e6 * (time.perf_counter() - start) / len(Z)
            guess = whole @ ours.coefficients()
            exact = exact_ridge(Z - Z.mean(axis=0), Y - Y.mean(axis=0), alpha)
            wanted = (Z - Z.mean(axis=0)) @ exact + Y.mean(axis=0)
            error = float(np.abs(guess - wanted).max() / Y.std())
            of_coef = float(np.abs(ours.coef - exact).max() / np.abs(exact).max())
            met &= error < 1e-8
            peer_error = peer_bias = peer_micro = None
            if RLS is not None:
                node = RLS(alpha=alpha, fit_bias=False)
                learn = partial(node.partial_fit, whole, Y)
                peer_micro = 1e6 * timed(learn)[1] / len(Z)
                theirs = whole @ exact_ridge(whole, Y, alpha)
                off = np.abs(whole @ node.Wout - theirs).max()
                peer_error = float(off / Y.std())
                node = RLS(alpha=alpha)
                node.partial_fit(Z, Y)
                off = np.abs(Z @ node.Wout + node.bias - wanted).max()
                peer_bias = float(off / Y.std())
            table.append(
                (
                    f"N={n}, {alpha:.0e}",
                    error,
                    of_coef,
                    peer_error,
                    peer_bias,
                    micro,
                    peer_micro,
                )
            )
    print_table(
        "Recursive least squares: largest error of predictions and coefficients "
        "against ridge, microseconds for a row",
        ["", "error", "of coef", "rpy, column", "rpy, bias", "us", "rpy, us"],
        table,
    )
    return met


def exact_ridge(Z: np.ndarray, Y: np.ndarray, alpha: float) -> np.ndarray:
    """Ridge regression from a singular value decomposition of the rows."""
    left, sizes, right = np.linalg.svd(Z, full_matrices=False)
    return right.T @ ((sizes / (sizes**2 + alpha))[:, None] * (left.T @ Y))


def search(quick: bool, repeats: int) -> bool:
    """One pass beside 40 refits; tell whether the target is met."""
    n = 300 if quick else 1000
    X = make_trajectories(lorenz63(), 10_000, dt=0.02, random_state=1)
    pieces = list(np.array_split(X, 5))
    grid = GridSearchCV(
        ESN(n),
        {"alpha": ALPHAS},
        cv=KFold(5),
        scoring=forecast_scorer("cme", horizon=300, context=200, n_origins=4),
        refit=False,
    )
    seconds = interleaved(
        {
            "auto": partial(ESN(n).fit, X),
            "fit": partial(ESN(n, alpha=1e-12).fit, X),
            "grid": partial(grid.fit, pieces),
        },
        repeats,
    )
    mid = middle(seconds)
    ratio = middle_ratio(seconds, "grid", "auto")
    print_table(
        f"8 penalties by 5 folds, N={n}, {len(X)} rows; seconds",
        ["", "auto", "one fit", "GridSearchCV", "grid / auto", "40 fits / auto"],
        [
            (
                f"N={n}",
                mid["auto"],
                mid["fit"],
                mid["grid"],
                ratio,
                40 * middle_ratio(seconds, "fit", "auto"),
            )
        ],
    )
    return ratio >= 50


def main() -> None:
    """Print all tables."""
    options = parser(__doc__)
    options.add_argument("--case", choices=["memory", "narma", "online", "search"])
    arguments = options.parse_args()
    cases = {
        "memory": memory,
        "narma": partial(narma_errors, arguments.quick),
        "online": partial(online, arguments.quick),
        "search": partial(search, arguments.quick, arguments.repeats or 1),
    }
    with limit_threads(arguments.threads):
        print_environment(arguments.threads)
        for name, case in cases.items():
            if arguments.case in (None, name):
                print(f"{name}: target {'met' if case() else 'MISSED'}")


if __name__ == "__main__":
    main()

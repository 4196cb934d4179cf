"""Which terms are found under noise: SINDy and WeakSINDy as they come, beside PySINDy.

* Noise ladder: Lorenz-63 from [-8, 8, 27], dt 0.01, T 20, degree 2, white noise as a
  fraction of the root mean square of the whole array, and of each column. Exact
  supports out of the seeds, and the median of |coefficients - truth| / |truth|. Ours
  are the defaults, one set for all. PySINDy has no way to choose its threshold, so it
  is given the one of five that does best against the truth, at each level anew, for
  finite differences, smoothed ones (SmoothedFiniteDifference), and its weak form.
* Solvers: the same problems (spline derivatives, ten rows dropped at each end) for
  every way of choosing terms that is here.
* Systems: exact supports of several systems with polynomial right-hand sides, 2000
  rows, 100 per period, degree 3.
* The cost of a path: all thresholds at once beside one fit, from 10 to 861 terms.

Targets: exact support of 10 seeds on 10, 10, 8 and 4 at 0.1, 1, 5 and 10% of noise, and
errors up to 2e-4, 1.6e-3, 2e-2 and 8e-2, by one of the two estimators; a path at most
the cost of a fit at 861 terms.

Run: ``python benchmarks/bench_sindy_noise.py [--quick] [--threads N]``.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from _harness import limit_threads, parser, print_environment, print_table

from skdyn.datasets import (
    Flow,
    lorenz63,
    lorenz96,
    lotka_volterra,
    make_trajectories,
    rossler,
    sprott_m,
    van_der_pol,
)
from skdyn.preprocessing import PolynomialLift, differentiate
from skdyn.sindy import FROLS, SSR, STLSQ, LinearSolver, SINDy, WeakSINDy
from skdyn.sindy._problem import Problem
from skdyn.utils._moments import Moments

try:
    import pysindy
except ImportError:
    pysindy = None

NOISES = [0.001, 0.01, 0.05, 0.1]
TARGETS = [(10, 2e-4), (10, 1.6e-3), (8, 2e-2), (4, 8e-2)]
THRESHOLDS = [0.05, 0.1, 0.2, 0.4, 0.8]


def truth_of(flow: Flow, degree: int, rows: np.ndarray) -> np.ndarray:
    """Coefficients of a polynomial right-hand side, by interpolation."""
    rng = np.random.default_rng(0)
    points = rows.mean(axis=0) + rows.std(axis=0) * rng.standard_normal(
        (2000, rows.shape[1])
    )
    Theta = PolynomialLift(degree).fit_transform(points)
    size = np.sqrt((Theta**2).mean(axis=0))
    velocity = flow.velocity(np.zeros(len(points)), points)
    coef = np.linalg.lstsq(Theta / size, velocity, rcond=None)[0]
    coef[np.abs(coef) < 1e-9 * np.abs(velocity).max(axis=0)] = 0
    return np.asarray((coef / size[:, None]).T)


def noisy(x: np.ndarray, noise: float, seed: int, size: Any) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.asarray(x + noise * size * rng.standard_normal(x.shape))


def is_exact(coef: np.ndarray, truth: np.ndarray) -> bool:
    return np.array_equal(coef != 0, truth != 0)


def error(coef: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(coef - truth) / np.linalg.norm(truth))


def problem_of(x: np.ndarray, dt: float, degree: int) -> Problem:
    """Spline derivatives on polynomials, away from the ends."""
    found = differentiate(x, dt, method="spline")
    lift = PolynomialLift(degree).fit(x)
    names = (
        tuple(lift.get_feature_names_out()),
        tuple(str(i) for i in range(x.shape[1])),
    )
    inner = slice(10, -10)
    moments = Moments.from_rows(lift.transform(found.x[inner]), found.x_dot[inner])
    return Problem(moments, *names)


def peers(dt: float, degree: int, n: int) -> dict[str, Callable[..., np.ndarray]]:
    """PySINDy's ways, as functions of data and threshold."""
    if pysindy is None:
        return {}
    clock = dt * np.arange(n)

    def strong(method: Any) -> Callable[..., np.ndarray]:
        def fit(x: np.ndarray, threshold: float) -> np.ndarray:
            model = pysindy.SINDy(
                optimizer=pysindy.STLSQ(threshold=threshold),
                feature_library=pysindy.PolynomialLibrary(degree),
                differentiation_method=method(),
            )
            model.fit(x, t=dt)
            return np.asarray(model.coefficients())

        return fit

    def weak(x: np.ndarray, threshold: float) -> np.ndarray:
        np.random.seed(0)  # noqa: NPY002 (the subdomains are drawn so)
        library = pysindy.WeakPDELibrary(
            pysindy.PolynomialLibrary(degree, include_bias=True),
            spatiotemporal_grid=clock,
            K=500,
            H_xt=[20 * dt],
        )
        model = pysindy.SINDy(
            optimizer=pysindy.STLSQ(threshold=threshold, alpha=1e-12),
            feature_library=library,
        )
        model.fit(x, t=dt)
        return np.asarray(model.coefficients())

    return {
        "PySINDy": strong(pysindy.FiniteDifference),
        "PySINDy, smoothed": strong(pysindy.SmoothedFiniteDifference),
        "PySINDy, weak": weak,
    }


def best_threshold(
    fit: Callable[..., np.ndarray], data: list[np.ndarray], truth: np.ndarray
) -> tuple[int, float]:
    """Exact supports and median error by the threshold that does best."""
    found = []
    for threshold in THRESHOLDS:
        coefs = [fit(x, threshold) for x in data]
        exact = sum(is_exact(coef, truth) for coef in coefs)
        found.append((exact, median(error(coef, truth) for coef in coefs)))
    return max(found, key=lambda pair: (pair[0], -pair[1]))


def ladder(seeds: int) -> bool:
    """The noise ladder; tell whether the targets are met."""
    flow = lorenz63()
    start = [-8.0, 8.0, 27.0]
    x = make_trajectories(
        flow, 2000, dt=0.01, starts=start, warmup=0.0, rtol=1e-11, atol=1e-11
    )
    truth = truth_of(flow, 2, x)
    met = True
    for title, size in (
        ("the whole array", np.sqrt(np.mean(x**2))),
        ("each column", np.sqrt(np.mean(x**2, axis=0))),
    ):
        rows: dict[str, list[Any]] = {}
        solvers: dict[str, list[Any]] = {}
        for noise, target in zip(NOISES, TARGETS, strict=True):
            data = [noisy(x, noise, seed, size) for seed in range(seeds)]
            passed = False
            for name, model in (
                ("SINDy()", SINDy(dt=0.01)),
                ("WeakSINDy()", WeakSINDy(dt=0.01)),
            ):
                coefs = [model.fit(each).coef_ for each in data]
                exact = sum(is_exact(coef, truth) for coef in coefs)
                off = median(error(coef, truth) for coef in coefs)
                rows.setdefault(name, []).extend([exact, off])
                passed |= exact * 10 >= target[0] * seeds and off <= target[1]
            met &= passed
            for name, fit in peers(0.01, 2, len(x)).items():
                rows.setdefault(name, []).extend(best_threshold(fit, data, truth))
            problems = [problem_of(each, 0.01, 2) for each in data]
            for name, solver in (
                ("true terms", None),
                ("STLSQ()", STLSQ()),
                ("STLSQ(min_gain=0)", STLSQ(min_gain=0)),
                (
                    "STLSQ(min_gain=0, criterion='aicc')",
                    STLSQ(min_gain=0, criterion="aicc"),
                ),
                ("SSR()", SSR()),
                ("FROLS()", FROLS()),
                ("LinearSolver()", LinearSolver()),
                ("STLSQ(0.3)", STLSQ(0.3)),
                ("STLSQ(0.1, scale='relative')", STLSQ(0.1, scale="relative")),
            ):
                coefs = [
                    each.solve(truth != 0)
                    if solver is None
                    else solver._solve(each).coef
                    for each in problems
                ]
                exact = sum(is_exact(coef, truth) for coef in coefs)
                off = median(error(coef, truth) for coef in coefs)
                solvers.setdefault(name, []).extend([exact, off])
        columns = [f"{100 * noise:g}%" for noise in NOISES]
        heads = [head for column in columns for head in (column, "error")]
        what = f"Lorenz, noise relative to {title}: exact of {seeds}, median error"
        print_table(
            what, ["", *heads], [[name, *values] for name, values in rows.items()]
        )
        print_table(
            f"Solvers on the same derivatives, {what}",
            ["", *heads],
            [[name, *values] for name, values in solvers.items()],
        )
    return met


def systems(seeds: int) -> None:
    """Several systems, exact supports."""
    table = []
    for factory in (lorenz63, rossler, van_der_pol, lotka_volterra, sprott_m):
        flow = factory()
        assert flow.period is not None
        dt = flow.period / 100
        x = make_trajectories(flow, 2000, dt=dt, rtol=1e-11, atol=1e-11)
        truth = truth_of(flow, 3, x)
        size = np.sqrt(np.mean(x**2, axis=0))
        row: list[Any] = [flow.name]
        for noise in (0.0, 0.001, 0.01, 0.05):
            data = [
                noisy(x, noise, seed, size) for seed in range(seeds if noise else 1)
            ]
            for model in (
                SINDy(PolynomialLift(3), dt=dt),
                WeakSINDy(PolynomialLift(3), dt=dt),
            ):
                right = [is_exact(model.fit(each).coef_, truth) for each in data]
                row.append(f"{sum(right)}/{len(right)}")
        table.append(row)
    heads = [f"{kind} {noise}" for noise in ("0", ".1%", "1%", "5%") for kind in "SW"]
    print_table(
        "Systems, degree 3, 2000 rows, 100 a period, noise relative to each column: "
        "exact supports of SINDy (S) and WeakSINDy (W)",
        ["", *heads],
        table,
    )


def path_cost(quick: bool) -> bool:
    """All thresholds at once beside one fit."""
    table, met = [], True
    flow = lorenz63()
    x = make_trajectories(flow, 10_000, dt=0.01)
    cases = [("Lorenz, degree 2", x, 2), ("Lorenz, degree 5", x, 5)]
    for d in (20,) if quick else (20, 40):
        y = make_trajectories(lorenz96(d), 10_000, dt=0.01)
        cases.append((f"Lorenz-96, {d} dimensions", y, 2))
    for name, rows, degree in cases:
        found = differentiate(rows, 0.01)
        lift = PolynomialLift(degree).fit(rows)
        Theta = lift.transform(found.x)
        names = (
            tuple(lift.get_feature_names_out()),
            tuple(map(str, range(rows.shape[1]))),
        )
        clock = [time.process_time()]
        moments = Moments.from_rows(Theta, found.x_dot)
        clock.append(time.process_time())
        found_terms = []
        for solver in (STLSQ(0.1), STLSQ(), SSR(), FROLS()):
            coef = solver._solve(Problem(moments, *names)).coef
            clock.append(time.process_time())
            found_terms.append(int(np.count_nonzero(coef)))
        seconds = [1e3 * s for s in np.diff(clock)]
        ratio = seconds[2] / (seconds[0] + seconds[1])
        met &= Theta.shape[1] < 500 or ratio < 1
        table.append([name, Theta.shape[1], *seconds, ratio, found_terms[1]])
    print_table(
        "10,000 clean rows; CPU ms of the moments and of solvers on them",
        [
            "",
            "p",
            "moments",
            "STLSQ(0.1)",
            "auto",
            "SSR",
            "FROLS",
            "auto / fit",
            "terms",
        ],
        table,
    )
    return met


def main() -> None:
    """Print all tables."""
    arguments = parser(__doc__).parse_args()
    seeds = arguments.repeats or (3 if arguments.quick else 10)
    warnings.simplefilter("ignore")
    with limit_threads(arguments.threads):
        print_environment(arguments.threads)
        met = ladder(seeds)
        systems(seeds)
        met &= path_cost(arguments.quick)
    print(f"\ntargets: {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    main()

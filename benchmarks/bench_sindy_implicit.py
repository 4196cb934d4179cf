"""ImplicitSINDy on rational laws with known answers, beside PySINDy's SINDy-PI.

Measured:

* for an enzyme, x' = 0.6 - 1.5 x / (0.3 + x), x' = x / (1 + x²), and a predator that is
  sated (Holling type II), from runs without noise, and with 0.1% and 1% of the standard
  deviation of each run (derivatives by our default spline): how many of the seeds give
  the terms of the truth and no others, the median of the largest relative error of
  their coefficients, the worst of N / D over the rows relative to x', and CPU seconds;
* seconds of ``fit`` beside PySINDy's SINDyPI (needs cvxpy), for the enzyme without
  noise, the same rows and derivatives: all left sides once, at one penalty. Its answer
  is given every help: the best left side, penalty and cut-off are chosen by the truth;
* beside PySINDy's ordinary SINDy (a cubic): the error of a forecast from outside
  the training data, and the seconds of forecasts of 800 rows.

Targets: terms exact on clean data with coefficients within 1e-6, and at 0.1%.

Run: ``python benchmarks/bench_sindy_implicit.py [--quick] [--threads N]``.
Peers that are not installed are left out.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from _harness import (
    interleaved,
    limit_threads,
    middle,
    parser,
    print_environment,
    print_table,
    timed,
)
from scipy.integrate import solve_ivp

from skdyn.preprocessing import PolynomialLift
from skdyn.sindy import ImplicitSINDy

NOISE = (0.0, 0.001, 0.01)
PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
CUTS = (1e-4, 1e-3, 1e-2, 1e-1)


def enzyme(x: np.ndarray) -> np.ndarray:
    return 0.6 - 1.5 * x / (0.3 + x)


def hump(x: np.ndarray) -> np.ndarray:
    return x / (1 + x**2)


def predator_prey(x: np.ndarray) -> np.ndarray:
    prey, predator = x[..., 0], x[..., 1]
    eaten = 1.5 * prey * predator / (1 + 0.6 * prey)
    return np.stack([prey * (1 - prey / 5) - eaten, 0.6 * eaten - 0.4 * predator], -1)


# Law, starts, end, dt, degree, and for each equation coefficients above and below.
CASES: dict[str, Any] = {
    "enzyme": (
        enzyme,
        [[0.05], [0.5], [1.5], [3.0]],
        4.0,
        0.01,
        4,
        [({"1": 0.6, "x0": -3.0}, {"1": 1.0, "x0": 1 / 0.3})],
    ),
    "x / (1 + x²)": (
        hump,
        [[0.1], [-0.2], [2.0]],
        8.0,
        0.02,
        4,
        [({"x0": 1.0}, {"1": 1.0, "x0^2": 1.0})],
    ),
    "predator and prey": (
        predator_prey,
        [[1.0, 0.5], [3.0, 1.0]],
        30.0,
        0.05,
        3,
        [
            (
                {"x0": 1.0, "x0^2": 0.4, "x0 x1": -1.5, "x0^3": -0.12},
                {"1": 1.0, "x0": 0.6},
            ),
            ({"x1": -0.4, "x0 x1": 0.66}, {"1": 1.0, "x0": 0.6}),
        ],
    ),
}


def runs(f: Callable, starts: Any, end: float, dt: float) -> list[np.ndarray]:
    t = np.arange(0.0, end + dt / 2, dt)
    return [
        solve_ivp(
            lambda _, x: f(x), t[[0, -1]], x0, "DOP853", t, rtol=1e-11, atol=1e-13
        ).y.T
        for x0 in starts
    ]


def error_of(model: ImplicitSINDy, j: int, truth: Any) -> float | None:
    """The largest relative error of a coefficient; None where terms are not those."""
    errors = []
    for row, known in zip((model.coef_[j], model.denominator_[j]), truth, strict=True):
        found = {model.terms_[i]: row[i] for i in np.flatnonzero(row)}
        if set(found) != set(known):
            return None
        errors += [abs(found[term] / value - 1) for term, value in known.items()]
    return float(max(errors))


def recovery(n_seeds: int) -> bool:
    """Print what is recovered from noise; tell whether the targets are met."""
    table, met = [], True
    for name, (f, starts, end, dt, degree, truths) in CASES.items():
        clean = runs(f, starts, end, dt)
        x = np.concatenate(clean)
        for noise in NOISE:
            seeds = n_seeds if noise else 1
            errors: list[list[float]] = [[] for _ in truths]
            worst, seconds = [], []
            for seed in range(seeds):
                rng = np.random.default_rng(seed)
                data = [
                    each + noise * each.std(axis=0) * rng.standard_normal(each.shape)
                    for each in clean
                ]
                model = ImplicitSINDy(PolynomialLift(degree), dt=dt)
                seconds.append(timed(partial(model.fit, data), cpu=True)[1])
                off = np.abs(model.equations_(x) - f(x)).max(axis=0)
                worst.append((off / np.sqrt(np.mean(f(x) ** 2, axis=0))).max())
                for j, truth in enumerate(truths):
                    error = error_of(model, j, truth)
                    if error is not None:
                        errors[j].append(error)
            exact = [len(each) for each in errors]
            middle_error = max(float(np.median(e)) if e else np.inf for e in errors)
            if noise < 0.01:
                met &= all(count >= 0.9 * seeds for count in exact)
            if noise == 0:
                met &= middle_error < 1e-6
            table.append(
                (
                    f"{name}, degree {degree}",
                    f"{noise:.1%}",
                    " ".join(f"{count}/{seeds}" for count in exact),
                    middle_error,
                    float(np.median(worst)),
                    float(np.median(seconds)),
                )
            )
    print_table(
        "Recovery from runs alone: exact terms by equation, median error",
        ["law", "noise", "exact", "coefficient", "N / D", "CPU s"],
        table,
    )
    return met


def beside_sindy_pi(repeats: int) -> None:
    """Time all left sides, and look for the truth among the peer's answers."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            from pysindy.optimizers import SINDyPI
    except ImportError:
        print("\nPySINDy's SINDyPI is left out: it needs pysindy and cvxpy.")
        return
    f, starts, end, dt, _, _ = CASES["enzyme"]
    x = np.concatenate(runs(f, starts, end, dt))
    y = f(x)
    table = []
    for degree in (1, 2, 3, 4):
        powers = np.hstack([x**k for k in range(degree + 1)])
        rows = np.hstack([powers, y * powers])

        def theirs(penalty: float, rows: np.ndarray = rows) -> np.ndarray:
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                return SINDyPI(penalty, tol=1e-8).fit(rows, y).coef_

        def ours(degree: int = degree) -> ImplicitSINDy:
            return ImplicitSINDy(PolynomialLift(degree)).fit(x, x_dot=y)

        ms = middle(
            interleaved({"ours": ours, "SINDyPI": lambda: theirs(1e-4)}, repeats)
        )
        found, least = False, np.inf
        for penalty in PENALTIES:
            for left, coef in enumerate(theirs(penalty)):
                # left = sum of the others: coefficients of theta, and of y theta.
                whole = -np.nan_to_num(coef)
                whole[left] = 1.0
                for cut in CUTS:
                    kept = np.where(np.abs(whole) > cut, whole, 0.0)
                    N, D = -kept[: degree + 1], kept[degree + 1 :]
                    if (N[2:] == 0).all() and (D[2:] == 0).all() and D[0] != 0:
                        found |= bool(N[0] and N[1] and D[1])
                        got = np.r_[N[:2], D[1]] / D[0]
                        errors = np.abs(got / [0.6, -3.0, 1 / 0.3] - 1)
                        least = min(least, float(errors.max()))
        model = ours()
        error = error_of(model, 0, CASES["enzyme"][5][0])
        table.append(
            (
                f"degree {degree}, {rows.shape[1]} columns",
                1e3 * ms["ours"],
                1e3 * ms["SINDyPI"],
                ms["SINDyPI"] / ms["ours"],
                error,
                "yes" if found else "no",
                least,
            )
        )
    print_table(
        f"All left sides of the enzyme, {len(x)} rows, exact derivatives; ms, and the "
        f"coefficients' largest error (the peer's at its best)",
        ["", "ours", "SINDyPI", "SINDyPI /", "error", "terms found", "its error"],
        table,
    )


def beside_polynomials(repeats: int) -> None:
    """Forecasts from outside of the data, beside a cubic of PySINDy's."""
    try:
        import pysindy
    except ImportError:
        print("\nPySINDy is not installed.")
        return
    f, starts, end, dt, _, _ = CASES["enzyme"]
    data = runs(f, starts, end, dt)
    ours = ImplicitSINDy(PolynomialLift(3), dt=dt).fit(data)
    theirs = pysindy.SINDy(
        optimizer=pysindy.STLSQ(threshold=1e-2),
        feature_library=pysindy.PolynomialLibrary(3),
    )
    theirs.fit(data, t=dt)
    t = dt * np.arange(801)
    truth = runs(f, [[6.0]], t[-1], dt)[0]
    calls = {
        "ours": lambda: ours.forecast(800, context=truth[:1]),
        "PySINDy, cubic": lambda: theirs.simulate(truth[0], t)[1:],
    }
    ms = middle(interleaved(calls, repeats))
    size = np.sqrt(np.mean(truth**2))
    print_table(
        "800 rows from x = 6, trained on x up to 3",
        ["", "error / size", "ms"],
        [
            (
                name,
                float(np.sqrt(np.mean((call() - truth[1:]) ** 2)) / size),
                1e3 * ms[name],
            )
            for name, call in calls.items()
        ],
    )


def main() -> None:
    """Print all tables."""
    arguments = parser(__doc__).parse_args()
    repeats = arguments.repeats or (1 if arguments.quick else 5)
    with limit_threads(arguments.threads):
        print_environment(arguments.threads)
        met = recovery(3 if arguments.quick else 10)
        beside_sindy_pi(repeats)
        beside_polynomials(repeats)
    print(f"\ntargets: {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    main()

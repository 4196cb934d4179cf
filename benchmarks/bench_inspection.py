"""Lyapunov exponents and fixed points: accuracy beside known values, and time.

Measured, first: the exponents of known systems, their standard errors, how many of
these each is off, and the seconds that it took. Second: Lorenz's system with one and
with many starts, beside the textbook loop (one orbit; scipy's DOP853 on the state and
three tangent vectors, made orthonormal every 0.5 units of time) at the same tolerance;
the time for each unit of orbit. Third: a learned one-step map of Lorenz's system,
derivatives by differences, all copies of all orbits in one call, beside the same calls
one copy at a time. Fourth: the fixed points and cycles that are found, beside the
number that there are.

Checked: exponents within 4 standard errors of the known values, and the sum of those of
Lorenz's system within 1e-4 of -(sigma + 1 + beta).

Run: ``python benchmarks/bench_inspection.py [--quick] [--threads N]``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
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
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline as stock_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from skdyn import RegressorForecaster, fixed_points, lyapunov_spectrum, make_pipeline
from skdyn.datasets import (
    henon,
    ikeda,
    logistic,
    lorenz63,
    lorenz96,
    make_lorenz63,
    rossler,
    van_der_pol,
)

RTOL, WARMUP = 1e-6, 20.0


def known_systems(n_steps: int) -> None:
    """Exponents beside those of the literature."""
    rows, worst = [], 0.0
    for system in (logistic(), henon(), ikeda(), lorenz63(), rossler()):
        found, seconds = timed(lambda s=system: lyapunov_spectrum(s, n_steps=n_steps))
        known = np.array(system.lyapunov_exponents)
        off = np.abs(found.exponents - known) / found.standard_errors
        worst = max(worst, float(off.max()))
        for i, value in enumerate(known):
            rows.append(
                (
                    system.name if i == 0 else "",
                    float(value),
                    f"{found.exponents[i]:.4f}",
                    float(found.standard_errors[i]),
                    float(off[i]),
                    seconds if i == 0 else None,
                )
            )
    large, seconds = timed(
        lambda: lyapunov_spectrum(lorenz96(), n_steps=n_steps // 4, n_exponents=1)
    )
    rows.append(
        (
            "Lorenz-96, largest of 40",
            float(lorenz96().lyapunov_exponents[0]),
            f"{large.exponents[0]:.4f}",
            float(large.standard_errors[0]),
            None,
            seconds,
        )
    )
    cycle, seconds = timed(
        lambda: lyapunov_spectrum(van_der_pol(), n_steps=n_steps, n_starts=4)
    )
    rows.append(
        (
            f"van der Pol ({cycle.averaging} averages)",
            0.0,
            f"{cycle.exponents[0]:.2e}",
            float(cycle.standard_errors[0]),
            None,
            seconds,
        )
    )
    print_table(
        f"Known systems, 16 starts, {n_steps} steps each",
        ["", "known", "found", "s.e.", "off / s.e.", "seconds"],
        rows,
    )
    print(f"within 4 standard errors: {'yes' if worst < 4 else 'NO'} ({worst:.2g})")


def textbook(total: float) -> np.ndarray:
    """Exponents of Lorenz's system by the textbook loop over one orbit."""
    system = lorenz63()

    def extended(t: float, y: np.ndarray) -> np.ndarray:
        now, x = np.array([t]), y[None, :3]
        J = system.jacobian(now, x)[0]
        return np.concatenate(
            [system.velocity(now, x)[0], (J @ y[3:].reshape(3, 3)).ravel()]
        )

    x, Q, logs = np.array([1.0, 1.0, 20.0]), np.eye(3), np.zeros(3)
    span = 0.5
    for i in range(int((WARMUP + total) / span)):
        y = np.concatenate([x, Q.ravel()])
        y = solve_ivp(extended, (0, span), y, method="DOP853", rtol=RTOL, atol=RTOL).y
        x, W = y[:3, -1], y[3:, -1].reshape(3, 3)
        Q, R = np.linalg.qr(W)
        if i * span >= WARMUP:
            logs += np.log(np.abs(np.diag(R)))
    return logs / total


def batches(total: float) -> None:
    """Lorenz's system, one orbit and many, beside the textbook loop."""
    dt, found = lorenz63().dt, {}

    def ours(n: int, span: float) -> None:
        found[n] = lyapunov_spectrum(
            lorenz63(),
            n_steps=int(span / dt / n),
            n_starts=n,
            warmup=int(WARMUP / dt),
            rtol=RTOL,
        )

    short = total / 16
    calls: dict[str, Callable[[], Any]] = {
        "textbook loop": lambda: found.update(textbook=textbook(short)),
        "1": lambda: ours(1, short),
        "16": lambda: ours(16, total),
        "64": lambda: ours(64, total),
        "256": lambda: ours(256, 4 * total),
    }
    seconds = middle(interleaved(calls, 3))
    rows: list[tuple[Any, ...]] = [
        (
            "textbook loop",
            1,
            short,
            f"{found['textbook'][0]:.3f}",
            None,
            seconds["textbook loop"],
            1e3 * seconds["textbook loop"] / (short + WARMUP),
        )
    ]
    worst = 0.0
    for n in (1, 16, 64, 256):
        each = found[n]
        worst = max(worst, abs(each.sum + 10 + 1 + 8 / 3))
        # Steps of the warm-ups are followed as well, those of the first without frames.
        span = n * each.n_steps * dt
        followed = 1.1 * span + n * WARMUP
        rows.append(
            (
                "lyapunov_spectrum",
                n,
                span,
                f"{each.exponents[0]:.3f}",
                float(each.standard_errors[0]),
                seconds[str(n)],
                1e3 * seconds[str(n)] / followed,
            )
        )
    print_table(
        f"Lorenz-63, tolerance {RTOL:g}; time for each unit that is followed",
        ["", "starts", "time", "largest", "s.e.", "seconds", "ms / unit"],
        rows,
    )
    print(f"sum as it should be: {'yes' if worst < 1e-4 else 'NO'} ({worst:.1g})")


def learned(n_steps: int) -> None:
    """A learned map, all differences in one call or one after the other."""
    dt = 0.05
    regressor = stock_pipeline(PolynomialFeatures(4), LinearRegression())
    model = make_pipeline(StandardScaler(), RegressorForecaster(regressor))
    model.fit(make_lorenz63(3000, dt=dt))
    found, seconds = timed(
        lambda: lyapunov_spectrum(model, dt=dt, n_steps=n_steps, warmup=200)
    )
    step = model[-1]._step
    state = np.tile(model[-1].context_.pieces[0], (16, 1))
    short = max(n_steps // 20, 5)

    def one_by_one() -> None:
        for _ in range(short):
            for _ in range(7):
                for row in state:
                    step(row[None], None)

    _, apart = timed(one_by_one)
    per_step, per_step_apart = seconds / (1.1 * n_steps + 400), apart / short
    print_table(
        f"A learned map, 16 starts, {n_steps} steps",
        ["", "ms / step", "largest", "s.e."],
        [
            (
                "all copies in one call",
                1e3 * per_step,
                f"{found.exponents[0]:.3f}",
                float(found.standard_errors[0]),
            ),
            ("its calls one by one", 1e3 * per_step_apart, "-", None),
        ],
    )
    print(f"one call is {per_step_apart / per_step:.0f} times as fast")


def searches() -> None:
    """Fixed points and cycles beside the number that there are."""
    cases = [
        ("Lorenz-63", lorenz63(), 1, 64, 3),
        ("Rössler", rossler(), 1, 64, 2),
        ("Hénon", henon(), 1, 64, 2),
        ("Hénon, period 7", henon(), 7, 1000, 4),
        ("Hénon, period 10", henon(), 10, 4000, 10),
        ("logistic, r = 4, period 8", logistic(4.0), 8, 2000, 30),
    ]
    rows = []
    for name, system, period, n_starts, there in cases:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found, seconds = timed(
                lambda s=system, p=period, n=n_starts: fixed_points(
                    s, period=p, n_starts=n
                )
            )
        residual = float(found.residuals.max())
        rows.append((name, n_starts, there, len(found), residual, seconds))
    print_table(
        "Fixed points and cycles",
        ["", "starts", "there", "found", "residual", "seconds"],
        rows,
    )


def main() -> None:
    """Run all."""
    arguments = parser(__doc__).parse_args()
    quick = arguments.quick
    with limit_threads(arguments.threads):
        print_environment(arguments.threads)
        known_systems(1000 if quick else 10_000)
        batches(200.0 if quick else 2000.0)
        learned(200 if quick else 2000)
        searches()


if __name__ == "__main__":
    main()

"""The batched integrator beside a loop of scipy's solve_ivp, at equal error.

Measured, in interleaved order within one run: the median seconds of one call of
``skdyn.utils._integrate.integrate`` for all starts, and of a loop of
``scipy.integrate.solve_ivp`` over them with the same method, tolerances and output
times; and the error of both against a reference: for each trajectory the largest
distance from it at any output time, of which the median and the largest are given. The
reference is ``integrate`` with DOP853 at rtol = atol = 1e-13; its own distance from
solve_ivp at the same tolerance is printed for the first starts.

The peer's right-hand side is written for one state in plain Python floats, which is the
fastest that solve_ivp takes. "same f" gives it the batched right-hand side, row by row,
which is what it has to make do with for learned models. "one system" stacks all starts
into one state: one call of solve_ivp, whose steps all trajectories then share.

Cases, starts on the Lorenz attractor, over 3 units of time (some 2.7 Lyapunov times):

* 1,000 starts, 31 and 301 output times, DOP853 and RK45, rtol = 1e-6, atol = 1e-9;
* a polynomial model as SINDy learns it (10 features, one product with coefficients);
* 1, 10, 100, 1,000 and 10,000 starts, where the loop is timed on at most 100 of them;
* fixed steps of 0.01 (rk4), beside the same formula in plain numpy over the batch.

Targets: 1,000 starts at least 50 times faster than the loop, at no more error; one
start at most 1.5 times slower with the same f.

Run: ``python benchmarks/bench_integrate.py [--quick] [--threads N]``.
"""

from __future__ import annotations

from collections.abc import Callable
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
)
from scipy.integrate import solve_ivp

from skdyn.utils._integrate import integrate

TOLERANCE = {"rtol": 1e-6, "atol": 1e-9}
TIGHT = {"rtol": 1e-13, "atol": 1e-13}
SPAN = 3.0


def lorenz(t: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The Lorenz system for a batch (m, 3)."""
    k = np.empty_like(y)
    a, b, c = y.T
    k[:, 0] = 10 * (b - a)
    k[:, 1] = a * (28 - c) - b
    k[:, 2] = a * b - 8 / 3 * c
    return k


def lorenz_one(t: float, y: np.ndarray) -> list[float]:
    """The Lorenz system for one state, in floats."""
    a, b, c = y.tolist()
    return [10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c]


PAIRS = np.triu_indices(3)
COEFFICIENTS = np.zeros((10, 3))
COEFFICIENTS[[1, 2], 0] = -10, 10
COEFFICIENTS[[1, 2, 6], 1] = 28, -1, -1
COEFFICIENTS[[3, 5], 2] = -8 / 3, 1


def polynomial(t: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The same system as a quadratic model: 1, y, y y, times coefficients."""
    features = np.empty((10, len(y)))
    features[0] = 1
    features[1:4] = y.T
    np.multiply(y.T[PAIRS[0]], y.T[PAIRS[1]], out=features[4:])
    return (COEFFICIENTS.T @ features).T


def one_of(f: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """A batched right-hand side for one state."""
    return lambda t, y: f(np.array([t]), y[None])[0]


def stacked(f: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """A batched right-hand side for the states of all trajectories in a row."""
    return lambda t, y: f(t, y.reshape(-1, 3)).ravel()


def attractor(n: int) -> np.ndarray:
    """Starts (n, 3) on the attractor."""
    rng = np.random.default_rng(0)
    y0 = rng.standard_normal((n, 3)) * 8 + np.array([0, 0, 25])
    return integrate(lorenz, y0, [0, 10]).y[:, -1]


def loop(f: Any, y0: np.ndarray, times: np.ndarray, method: str, **tol: float) -> Any:
    """One solve_ivp after the other: (n, n_times, 3)."""
    span = times[0], times[-1]
    name = method.upper()
    return np.stack(
        [
            solve_ivp(f, span, y, method=name, t_eval=times, **tol).y.T  # no dense
            for y in y0
        ]
    )


def whole(y0: np.ndarray, times: np.ndarray, method: str) -> np.ndarray:
    """All starts as one system of solve_ivp: (n, n_times, 3)."""
    found = solve_ivp(
        stacked(lorenz),
        (times[0], times[-1]),
        y0.ravel(),
        method=method.upper(),
        t_eval=times,
        **TOLERANCE,
    )
    return found.y.reshape(*y0.shape, len(times)).transpose(0, 2, 1)


def measure(calls: dict[str, Callable[[], Any]], repeats: int) -> tuple[dict, dict]:
    """Timings and answers by name."""
    answers: dict[str, Any] = {}
    kept = {
        name: lambda name=name, call=call: answers.update({name: call()})
        for name, call in calls.items()
    }
    return interleaved(kept, repeats), answers


def errors(y: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """For each trajectory the largest distance from the reference."""
    return np.linalg.norm(y - reference, axis=2).max(axis=1)


def compare(n: int, n_times: int, f: Any, fast: Any, title: str, repeats: int) -> None:
    """Both methods at n starts."""
    y0, times = attractor(n), np.linspace(0, SPAN, n_times)
    reference = integrate(lorenz, y0, times, **TIGHT).y
    check = loop(lorenz_one, y0[:5], times, "dop853", **TIGHT)
    off = errors(check, reference[:5]).max()
    for method in ("dop853", "rk45"):
        calls = {
            "skdyn integrate": lambda method=method: (
                integrate(f, y0, times, method=method, **TOLERANCE).y
            ),
            "loop of solve_ivp": lambda method=method: loop(
                fast, y0, times, method, **TOLERANCE
            ),
        }
        if f is lorenz:
            calls["one system"] = lambda method=method: whole(y0, times, method)
        seconds, answers = measure(calls, repeats)
        rows = []
        for name, y in answers.items():
            e = errors(y, reference)
            ratio = middle_ratio(seconds, name, "skdyn integrate")
            row = name, middle(seconds)[name], ratio
            rows.append((*row, float(np.median(e)), float(e.max())))
        print_table(
            f"{title}: {n} starts, {n_times} output times, {method}; {repeats} repeats "
            f"(reference and solve_ivp differ by {off:.1g})",
            ["", "median s", "/ skdyn", "median error", "largest error"],
            rows,
        )
        mine, peer = (errors(answers[k], reference) for k in list(answers)[:2])
        ratio = middle_ratio(seconds, "loop of solve_ivp", "skdyn integrate")
        equal = np.median(mine) <= 1.05 * np.median(peer)
        print(
            f"at least 50 times faster: {verdict(ratio >= 50)} ({ratio:.3g}); no more "
            f"error: {verdict(bool(equal))} ({np.median(mine) / np.median(peer):.4g} "
            f"of the peer's)",
            flush=True,
        )


def scale(sizes: list[int], repeats: int) -> None:
    """How the time grows with the batch."""
    times = np.linspace(0, SPAN, 31)
    for method in ("dop853", "rk45"):
        rows = []
        for n in sizes:
            y0 = attractor(n)
            few = y0[:100]
            rounds = 11 if n < 10 else repeats
            calls = {
                "ours": lambda y0=y0, method=method: integrate(
                    lorenz, y0, times, method=method, **TOLERANCE
                ),
                "loop": lambda few=few, method=method: loop(
                    lorenz_one, few, times, method, **TOLERANCE
                ),
            }
            if n < 100:
                calls["same"] = lambda few=few, method=method: loop(
                    one_of(lorenz), few, times, method, **TOLERANCE
                )
            seconds, answers = measure(calls, rounds)
            more = n / len(few)
            same = None
            if "same" in seconds:
                same = more * middle_ratio(seconds, "same", "ours")
            attempts = (answers["ours"].n_steps + answers["ours"].n_rejected).max()
            ours = middle(seconds)["ours"]
            rows.append(
                (
                    n,
                    ours,
                    float(1e6 * ours / attempts),
                    float(1e6 * ours / n),
                    more * middle_ratio(seconds, "loop", "ours"),
                    same,
                )
            )
        print_table(
            f"Batches, {method}: seconds of a call, microseconds of an attempted step "
            f"of all and of a trajectory, and how many times longer the loop takes",
            ["starts", "s", "us / step", "us / start", "loop", "loop, same f"],
            rows,
        )


def fixed(sizes: list[int], repeats: int) -> None:
    """Fixed steps beside the plain formula."""
    times = np.linspace(0, 5, 501)

    def plain(y: np.ndarray) -> np.ndarray:
        h, out = 0.01, [y]
        for t in times[:-1]:
            now = np.full(len(y), t)
            k1 = lorenz(now, y)
            k2 = lorenz(now + h / 2, y + h / 2 * k1)
            k3 = lorenz(now + h / 2, y + h / 2 * k2)
            k4 = lorenz(now + h, y + h * k3)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            out.append(y)
        return np.stack(out, axis=1)

    rows = []
    for n in sizes:
        y0 = attractor(n)
        calls = {
            "ours": lambda y0=y0: integrate(lorenz, y0, times, method="rk4").y,
            "plain": lambda y0=y0: plain(y0),
        }
        seconds, answers = measure(calls, repeats)
        rows.append(
            (
                n,
                1e6 * middle(seconds)["ours"] / 500,
                middle_ratio(seconds, "plain", "ours"),
                float(np.abs(answers["ours"] - answers["plain"]).max()),
            )
        )
    print_table(
        "rk4, 500 steps: microseconds of a step, and how many times longer plain numpy "
        "takes",
        ["starts", "us / step", "plain", "largest difference"],
        rows,
    )


def verdict(met: bool) -> str:
    return "met" if met else "MISSED"


def main() -> None:
    """Run all cases."""
    cli = parser(__doc__)
    arguments = cli.parse_args()
    quick = arguments.quick
    repeats = arguments.repeats or (1 if quick else 3)
    n = 50 if quick else 1000
    with limit_threads(arguments.threads):
        print_environment(arguments.threads)
        for n_times in (31, 301):
            compare(n, n_times, lorenz, lorenz_one, "Lorenz", repeats)
        compare(n // 5, 31, polynomial, one_of(polynomial), "Polynomial", repeats)
        sizes = [1, 10, 100] if quick else [1, 10, 100, 1000, 10_000]
        scale(sizes, repeats)
        fixed(sizes[:4], repeats)


if __name__ == "__main__":
    main()

"""NVAR: published figures and speed, beside reservoirpy's NVAR and our baselines.

Printed:

* the figures of Gauthier et al. (2021): k = 2, degree 2, 400 rows of Lorenz-63 at
  dt 0.025, on the RK23 data of their code (error of one step on the training rows, and
  valid prediction time) and on accurate data with degree 3;
* polynomial flow maps (Schötz & Boers 2025): one delay and a high degree, least
  squares, 256 to 1024 rows;
* Lorenz-63 at dt 0.02, 1000 and 10000 rows without and with noise (also in the
  contexts; the truth is without), of NVAR as it comes, of fixed penalties, of
  reservoirpy's NVAR with ridge 2.5e-6 (of its documentation) on raw and on standardised
  rows, and of baselines;
* seconds of a fit, of one forecast, and of 1000 forecasts of 500 steps in one call,
  beside the same in a loop over origins, a plain numpy loop over steps with
  scikit-learn's PolynomialFeatures, and reservoirpy's loop.

Valid prediction times are means, in Lyapunov times (exponent 0.9056), of the time until
the normalised error passes 0.4; 40 starts in each of 3 seeds.

Targets: training error 1.03e-4 within 5 % and VPT 4.8 within 0.6 on RK23 data; 9.5 on
accurate data; flow maps 14 (1024 rows), 12.5 (512), 10 (256); 1000 forecasts in one
call 20 times faster than a loop over origins.

Run: ``python benchmarks/bench_nvar.py [--quick] [--threads N]``. reservoirpy is left
out where it is not installed.
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
    middle_ratio,
    parser,
    print_environment,
    print_table,
)
from scipy.integrate import solve_ivp
from sklearn.preprocessing import PolynomialFeatures

from skdyn.baselines import ContextParroting, LinearAutoregression
from skdyn.datasets import lorenz63, make_trajectories
from skdyn.metrics import forecast_scale, valid_prediction_time
from skdyn.reservoir import NVAR

try:
    import reservoirpy
    from reservoirpy import nodes
except ImportError:
    reservoirpy = None

EXPONENT = 0.9056
Forecast = Callable[[np.ndarray, int], np.ndarray]


def lorenz(n: int, n_ahead: int, dt: float, seed: int) -> tuple[Any, np.ndarray]:
    """Rows to train on, and rows that follow them."""
    X = make_trajectories(
        lorenz63(), n + n_ahead, dt=dt, rtol=1e-12, atol=1e-12, random_state=seed
    )
    return X[:n], X[n:]


def vpt(
    forecast: Forecast,
    least: int,
    X: np.ndarray,
    dt: float,
    longest: float,
    seen: np.ndarray | None = None,
    n_starts: int = 40,
) -> float:
    """Mean valid prediction time over starts all along X, in Lyapunov times."""
    n = int(longest / EXPONENT / dt)
    starts = np.linspace(least, len(X) - n, n_starts).astype(int)
    rows = X if seen is None else seen
    contexts = np.stack([rows[i - least : i] for i in starts])
    truth = np.stack([X[i : i + n] for i in starts])
    guess = forecast(contexts, n)
    valid = valid_prediction_time(truth, guess, scale=forecast_scale(X))
    return float(np.mean(valid)) * dt * EXPONENT


def of(model: Any) -> Forecast:
    return lambda contexts, n: model.forecast(n, contexts)


class Peer:
    """reservoirpy's NVAR with a ridge readout of differences, and its loop."""

    def __init__(self, delay: int, order: int, ridge: float, standardise: bool) -> None:
        self.delay, self.standardise = delay, standardise
        nvar = nodes.NVAR(delay=delay, order=order)
        self.nvar, self.model = nvar, nvar >> nodes.Ridge(ridge=ridge)

    def fit(self, X: np.ndarray) -> Peer:
        """Fit to rows, as reservoirpy's documentation does."""
        self.mean = X.mean(0) if self.standardise else np.zeros(X.shape[1])
        self.scale = X.std(0) if self.standardise else np.ones(X.shape[1])
        Z = (X - self.mean) / self.scale
        self.model.fit(Z[:-1], np.diff(Z, axis=0), warmup=self.delay - 1)
        return self

    def __call__(self, contexts: np.ndarray, n: int) -> np.ndarray:
        """Forecast start by start, step by step: there is no other way."""
        answer = np.empty((len(contexts), n, contexts.shape[2]))
        for context, rows in zip(contexts, answer, strict=True):
            self.nvar.store = np.zeros_like(self.nvar.store)
            change = None
            for z in (context - self.mean) / self.scale:
                change = self.model(z)
            for k in range(n):
                z = z + change
                rows[k] = z
                change = self.model(z)
        return answer * self.scale + self.mean


def published() -> bool:
    """The figures of Gauthier et al.; tell whether the targets are met."""

    def velocity(t: float, x: np.ndarray) -> tuple[float, float, float]:
        return (
            10 * (x[1] - x[0]),
            x[0] * (28 - x[2]) - x[1],
            x[0] * x[1] - 8 / 3 * x[2],
        )

    start = [17.67715816276679, 12.931379185960404, 43.91404334248268]
    times, dt = np.linspace(0, 135, 5401), 0.025
    table, kept = [], {}
    for method, tolerance in (("RK23", {}), ("DOP853", {"rtol": 1e-12, "atol": 1e-12})):
        done = solve_ivp(
            velocity, (0, 135), start, t_eval=times, method=method, **tolerance
        )
        X = done.y.T
        rows, ahead = X[198:600], X[598:]
        models: dict[str, Any] = {
            "NVAR(degree=2, alpha=2.5e-6/400), raw": NVAR(
                2, degree=2, alpha=2.5e-6 / 400, standardise=False
            ),
            "NVAR(degree=3, alpha=1e-9/400)": NVAR(2, degree=3, alpha=1e-9 / 400),
            "NVAR(degree=3, alpha=1e-9)": NVAR(2, degree=3, alpha=1e-9),
            "NVAR()": NVAR(),
            "LinearAutoregression()": LinearAutoregression(),
            "ContextParroting()": ContextParroting(),
        }
        for name, model in models.items():
            model.fit(rows)
            least = model.min_context_
            error = model.predict(rows[:-1]) - rows[least:]
            fit = np.sqrt((error**2).mean() / X.var())
            kept[method, name] = fit, vpt(of(model), least, ahead, dt, 14)
            table.append((f"{method} {name}", *kept[method, name]))
        if reservoirpy is not None:
            for order, standardise in ((2, False), (3, True)):
                peer = Peer(2, order, 2.5e-6, standardise).fit(rows)
                kind = "standardised" if standardise else "raw"
                name = f"{method} reservoirpy (order={order}, ridge=2.5e-6), {kind}"
                table.append((name, None, vpt(peer, 2, ahead, dt, 14)))
    print_table(
        "Lorenz-63, 400 rows at dt 0.025 (Gauthier et al. 2021): NRMSE of one step on "
        "the training rows, valid prediction time",
        ["", "training NRMSE", "VPT"],
        table,
    )
    fit, time = kept["RK23", "NVAR(degree=2, alpha=2.5e-6/400), raw"]
    met = abs(fit / 1.03e-4 - 1) < 0.05 and abs(time - 4.8) < 0.6
    accurate = kept["DOP853", "NVAR(degree=3, alpha=1e-9/400)"][1]
    return met and min(accurate, kept["DOP853", "NVAR()"][1]) >= 9.5


def flow_maps(n_seeds: int) -> bool:
    """Polynomial maps of the state; tell whether the targets are met."""
    table, met = [], True
    for n, dt, least in ((1024, 2**-6, 14), (512, 2**-6, 12.5), (256, 2**-5, 10)):
        data = [lorenz(n, int(100 / dt), dt, seed) for seed in range(n_seeds)]
        for degree in (3, 5, 6, 7, 8, 9):
            row = []
            for alpha in (0.0, "auto"):
                found = []
                for X, ahead in data:
                    model = NVAR(1, degree=degree, alpha=alpha).fit(X)
                    found.append(vpt(of(model), 1, ahead, dt, 25))
                row.append(float(np.mean(found)))
            table.append((f"{n} rows at {dt}, degree {degree}", *row, float(least)))
            met &= degree != 7 or row[0] >= least
    print_table(
        "Polynomial flow maps, NVAR(1, degree=...): valid prediction time",
        ["", "alpha=0", 'alpha="auto"', "target (degree 7)"],
        table,
    )
    return met


def noise(n_seeds: int) -> None:
    """Defaults, fixed penalties and rivals, without and with noise."""
    dt, table = 0.02, []
    makers: dict[str, Callable[[], Any]] = {
        "NVAR()": NVAR,
        "NVAR(3)": lambda: NVAR(3),
        'NVAR(1, degree=7, "auto")': lambda: NVAR(1, degree=7),
        **{
            f"NVAR(alpha={alpha:g})": lambda alpha=alpha: NVAR(alpha=alpha)
            for alpha in (0.0, 1e-12, 1e-8, 1e-4)
        },
        "LinearAutoregression()": LinearAutoregression,
        "ContextParroting()": ContextParroting,
    }
    if reservoirpy is not None:
        makers["reservoirpy order 2, raw"] = lambda: Peer(2, 2, 2.5e-6, False)
        makers["reservoirpy order 3, standardised"] = lambda: Peer(2, 3, 2.5e-6, True)
    cases = [(n, share) for n in (1000, 10000) for share in (0.0, 0.01, 0.05)]
    found: dict[str, list[float]] = {name: [] for name in makers}
    chosen: dict[str, list[str]] = {}
    for n, share in cases:
        times: dict[str, list[float]] = {name: [] for name in makers}
        for seed in range(n_seeds):
            X, ahead = lorenz(n, 7500, dt, seed)
            rng, size = np.random.default_rng(seed), share * X.std(0)
            rows = X + size * rng.standard_normal(X.shape)
            seen = ahead + size * rng.standard_normal(ahead.shape)
            for name, make in makers.items():
                model = make().fit(rows)
                is_peer = not hasattr(model, "forecast")
                least = model.delay if is_peer else model.min_context_
                forecast = model if is_peer else of(model)
                # The peer's loop takes as long as all the others together.
                few = {"n_starts": 10} if is_peer else {}
                times[name].append(vpt(forecast, least, ahead, dt, 18, seen, **few))
                if getattr(model, "alphas_", None) is not None:
                    chosen.setdefault(name, []).append(f"{model.alpha_:.0e}")
        for name in makers:
            found[name].append(float(np.mean(times[name])))
    table = [(name, *row) for name, row in found.items()]
    print_table(
        "Lorenz-63 at dt 0.02, noise of 0, 1 and 5 % of each deviation: valid "
        "prediction time (reservoirpy: 10 starts in each seed)",
        ["", *(f"{n} rows, {100 * share:g} %" for n, share in cases)],
        table,
    )
    for name, alphas in chosen.items():
        print(f'alpha="auto" of {name}: {" ".join(alphas)}')


def speed(repeats: int, n: int, n_origins: int, n_steps: int) -> bool:
    """Time fits and forecasts; tell whether the target is met."""
    X, ahead = lorenz(n, 2000, 0.02, 0)
    fixed, auto = NVAR(alpha=1e-9), NVAR()
    fits: dict[str, Callable[[], Any]] = {
        "alpha=1e-9": lambda: fixed.fit(X),
        '"auto"': lambda: auto.fit(X),
    }
    peer = None
    if reservoirpy is not None:
        peer = Peer(2, 3, 2.5e-6, True).fit(X)
        fits["reservoirpy"] = lambda: Peer(2, 3, 2.5e-6, True).fit(X)
    ms = {k: 1e3 * v for k, v in middle(interleaved(fits, repeats)).items()}
    print_table(f"Fit to {n} rows, degree 3; ms", ["", *ms], [("", *ms.values())])

    fixed.fit(X)
    starts = np.linspace(2, len(ahead), n_origins).astype(int)
    contexts = np.stack([ahead[i - 2 : i] for i in starts])
    some = contexts[: max(n_origins // 50, 1)]
    calls: dict[str, Callable[[], Any]] = {
        "one call": lambda: fixed.forecast(n_steps, contexts),
        "loop over origins (1/50)": lambda: [fixed.forecast(n_steps, c) for c in some],
        "numpy, one step after the other": lambda: plain(fixed, contexts, n_steps),
    }
    if peer is not None:
        calls["reservoirpy (1/50)"] = lambda: peer(some, n_steps)
    np.testing.assert_allclose(
        calls["one call"]()[:, :50], plain(fixed, contexts, 50), rtol=1e-6, atol=1e-6
    )
    seconds = interleaved(calls, repeats)
    share = len(contexts) / len(some)
    table = []
    for name, value in middle(seconds).items():
        times = share if "1/50" in name else 1.0
        ratio = middle_ratio(seconds, name, "one call") * times
        table.append((name, times * value, ratio))
    print_table(
        f"{n_origins} forecasts of {n_steps} steps, degree 3, 2 delays; seconds (parts "
        f"multiplied up)",
        ["", "seconds", "/ one call"],
        table,
    )
    ratio = middle_ratio(seconds, "loop over origins (1/50)", "one call") * share
    one = contexts[:1]
    calls = {"NVAR": lambda: fixed.forecast(n_steps, one)}
    if peer is not None:
        calls["reservoirpy"] = lambda: peer(one, n_steps)
    us = {
        name: 1e6 * value / n_steps
        for name, value in middle(interleaved(calls, repeats)).items()
    }
    print_table("One forecast; us a step", ["", *us], [("", *us.values())])
    return ratio >= 20


def plain(model: NVAR, contexts: np.ndarray, n_steps: int) -> np.ndarray:
    """What one would write: all starts, one step after the other, in numpy."""
    lift = PolynomialFeatures(model.degree)
    d = contexts.shape[2]
    z = (contexts[:, ::-1] - model.mean_) / model.scale_
    z = z.reshape(len(z), -1)
    rows = []
    lift.fit(z)
    for _ in range(n_steps):
        y = z[:, :d] + lift.transform(z) @ model._coef
        z = np.hstack([y, z[:, :-d]])
        rows.append(y)
    return np.stack(rows, axis=1) * model.scale_ + model.mean_


def main() -> None:
    """Print all tables."""
    arguments = parser(__doc__).parse_args()
    warnings.simplefilter("ignore")
    n_seeds = 1 if arguments.quick else 3
    repeats = arguments.repeats or (3 if arguments.quick else 7)
    with limit_threads(arguments.threads), np.errstate(all="ignore"):
        print_environment(arguments.threads)
        if reservoirpy is not None:
            print(f"reservoirpy {reservoirpy.__version__}")
        met = published()
        met &= flow_maps(n_seeds)
        noise(n_seeds)
        met &= speed(repeats, 2000 if arguments.quick else 10000, 1000, 500)
    print(f"\ntargets: {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    main()

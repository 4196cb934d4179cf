"""All baselines in one table, on the sunspots and beside published errors on chaos.

Sunspots: models are fitted to all years but the last 99 and forecast 11 years from each
of these, given 48 years of context. "cme" is one minus the mean running maximum of the
normalised error (1 is perfect), NRMSE is in units of the spread of the data, sMAPE goes
from 0 to 200, "valid" is the mean number of years until the error passes 0.4 spreads.
Times are medians: of a fit, and of all forecasts together.

Chaos: one coordinate each of 131 systems (dysts; Gilpin 2021), 100 rows to a period. As
in the published benchmark, a model is fitted to rows 0 to 999 of the evaluation series
and forecasts the 199 rows after them; the error is the sMAPE. The published errors are
of 16 methods on the same rows. "default" is the model as it comes; "tuned" has its
hyper-parameters chosen, for each system by itself, by the sMAPE of two such forecasts
on the separate tuning series. The data lies outside the repository, in ../shared/data
or where SKDYN_REFERENCE_DATA points; without it this part is skipped.

Checked: the errors of Mean, Drift and Persistence are those published for NaiveMean,
NaiveDrift and NaiveSeasonal, to the four digits that were printed.

Run: ``python benchmarks/bench_baselines.py [--quick] [--threads N]``; some five minutes
of one core, half a minute with --quick.
"""

from __future__ import annotations

import csv
import os
import warnings
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
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import ParameterGrid

from skdyn.baselines import (
    ContextParroting,
    Drift,
    LinearAutoregression,
    Mean,
    Persistence,
    RegressorForecaster,
    SeasonalNaive,
)
from skdyn.datasets import load_sunspots
from skdyn.exceptions import DivergenceWarning
from skdyn.koopman import DMD
from skdyn.metrics import smape
from skdyn.model_selection import forecast_scorer
from skdyn.pipeline import make_pipeline
from skdyn.preprocessing import DelayEmbedding

CONTEXT, HORIZON, N_TEST = 48, 11, 99
N_TRAIN, N_AHEAD, TUNING_ORIGINS = 1000, 199, (800, 1000)
SHOWN = ("Lorenz", "Rossler", "Duffing", "MackeyGlass", "HenonHeiles", "Hopfield")
WINDOWS = {"window": [5, 10, 15, 20, 30, 40]}
PUBLISHED = (
    "NBEATSModel",
    "TransformerModel",
    "RNNModel",
    "RandomForest",
    "LinearRegressionModel",
    "AutoARIMA",
    "NaiveSeasonal",
    "NaiveDrift",
    "NaiveMean",
)


def hankel(n_delays: int) -> Any:
    """DMD behind a delay embedding."""
    return make_pipeline(DelayEmbedding(n_delays), DMD())


def forest(n_lags: int) -> Any:
    """A small random forest of the last rows."""
    trees = RandomForestRegressor(30, min_samples_leaf=3, random_state=0)
    return RegressorForecaster(trees, n_lags=n_lags)


def sunspots(repeats: int) -> None:
    """Print the leaderboard of the sunspots."""
    X = load_sunspots().data
    train, test = X[:-N_TEST], X[-N_TEST - CONTEXT :]
    models = {
        "Mean": Mean(),
        "Persistence": Persistence(),
        "Drift": Drift(),
        "SeasonalNaive": SeasonalNaive(),
        "LinearAutoregression": LinearAutoregression(),
        "ContextParroting": ContextParroting(),
        "ContextParroting, 5 neighbours": ContextParroting(n_neighbors=5),
        "RegressorForecaster, ridge": RegressorForecaster(
            RidgeCV(np.logspace(0, 6, 7)), n_lags=11
        ),
        "RegressorForecaster, forest": forest(11),
        "DelayEmbedding(24) + DMD": hankel(24),
    }
    rows = []
    for name, model in models.items():
        fitted = clone(model).fit(train)
        scores = [
            forecast_scorer(metric, HORIZON, context=CONTEXT, stride=1)(fitted, test)
            for metric in ("cme", "nrmse", "smape", "vpt")
        ]
        windows = np.lib.stride_tricks.sliding_window_view(test[:, 0], CONTEXT)
        contexts = windows[: N_TEST - HORIZON + 1, :, None].copy()
        seconds = interleaved(
            {
                "fit": lambda m=model: clone(m).fit(train),
                "forecast": lambda m=fitted, c=contexts: m.forecast(HORIZON, context=c),
            },
            repeats,
        )
        times = [1e3 * value for value in middle(seconds).values()]
        rows.append(
            (name, scores[0], -scores[1], -scores[2], scores[3], about(fitted), *times)
        )
    rows.sort(key=lambda row: -row[1])
    print_table(
        f"Sunspots: {len(train)} years to fit, {N_TEST - HORIZON + 1} forecasts of "
        f"{HORIZON} years",
        ["", "cme", "NRMSE", "sMAPE", "valid", "found", "fit ms", "forecasts ms"],
        rows,
    )


def about(model: Any) -> str:
    """What "auto" came to."""
    for name in ("period_", "n_lags_", "window_"):
        if hasattr(model, name):
            return f"{name[:-1]}={getattr(model, name)}"
    return "-"


def error(model: BaseEstimator, x: np.ndarray, origin: int = N_TRAIN) -> float:
    """The sMAPE of one forecast from one origin."""
    forecast = clone(model).fit(x[:origin]).predict(N_AHEAD)
    return float(smape(x[origin : origin + N_AHEAD], forecast))


def tuned(model: Any, grid: dict[str, list[Any]], x: np.ndarray) -> Any:
    """The model with the parameters that forecast the tuning series `x` best."""
    candidates = [clone(model).set_params(**each) for each in ParameterGrid(grid)]
    scores = [np.mean([error(c, x, o) for o in TUNING_ORIGINS]) for c in candidates]
    return candidates[int(np.argmin(scores))]


def chaos(folder: Path, quick: bool) -> None:
    """Print errors on the dysts series beside the published ones."""
    with np.load(folder / "dysts_univariate_clean_100.npz") as held:
        names = list(held["names"])
        evaluation, tuning = held["evaluation"][..., None], held["tuning"][..., None]
    lines = (folder / "dysts_univariate_clean_100_published.csv").read_text("utf-8")
    published = {row["system"]: row for row in csv.DictReader(lines.splitlines())}
    chosen = SHOWN if quick else names
    picked = [names.index(name) for name in chosen]
    lags = {"n_lags": [10, 30, 100, 200]}
    models: dict[str, tuple[Any, dict[str, list[Any]] | None]] = {
        "Mean": (Mean(), None),
        "Persistence": (Persistence(), None),
        "Drift": (Drift(), None),
        "SeasonalNaive": (SeasonalNaive(), None),
        "LinearAutoregression": (LinearAutoregression(), lags),
        "ContextParroting": (ContextParroting(), WINDOWS),
        "ContextParroting, 3 neighbours": (ContextParroting(n_neighbors=3), WINDOWS),
        "RegressorForecaster, forest": (forest(30), None),
        "DelayEmbedding(100) + DMD": (
            hankel(100),
            {"delayembedding__n_delays": [10, 30, 100, 200]},
        ),
    }
    errors: dict[str, np.ndarray] = {}
    rows = []
    for name, (model, grid) in models.items():
        errors[name] = np.array([error(model, evaluation[i]) for i in picked])
        best = None
        if grid is not None:
            found = [tuned(model, grid, tuning[i]) for i in picked]
            pairs = zip(found, picked, strict=True)
            best = np.array([error(each, evaluation[i]) for each, i in pairs])
        rows.append((name, errors[name], best))
    theirs = {
        method: np.array([float(published[system][method]) for system in chosen])
        for method in published[names[0]]
        if method != "system"
    }
    rows += [(f"{method} (published)", None, theirs[method]) for method in PUBLISHED]
    rows.append(("best of 16 (published)", None, np.min(list(theirs.values()), axis=0)))
    rows.sort(key=lambda row: min(np.median(e) for e in row[1:] if e is not None))
    nbeats = theirs["NBEATSModel"]

    def beats(e: np.ndarray | None) -> str | None:
        return None if e is None else f"{100 * np.mean(e < nbeats):.0f} %"

    def middle_of(e: np.ndarray | None) -> float | None:
        return None if e is None else float(np.median(e))

    print_table(
        f"Chaos: median sMAPE over {len(chosen)} systems, and the share of them on "
        f"which a model beats the published NBEATS",
        ["", "default", "tuned", "default wins", "tuned wins"],
        [(n, middle_of(a), middle_of(b), beats(a), beats(b)) for n, a, b in rows],
    )
    ours = ("ContextParroting", "LinearAutoregression", "SeasonalNaive", "Mean")
    columns = {**{n: errors[n] for n in ours}, **{m: theirs[m] for m in PUBLISHED[:5]}}
    print_table(
        "Chaos: sMAPE of models as they come, beside published ones",
        ["", *columns],
        [
            (system, *[float(e[chosen.index(system)]) for e in columns.values()])
            for system in SHOWN
        ],
    )
    same = {"Mean": "NaiveMean", "Drift": "NaiveDrift", "Persistence": "NaiveSeasonal"}
    gap = max(np.abs(errors[a] - theirs[b]).max() for a, b in same.items())
    said = "yes" if gap < 1e-4 else "NO"
    print(f"Mean, Drift and Persistence have the published errors: {said} ({gap:.1g})")


def main() -> None:
    """Print all tables."""
    arguments = parser(__doc__).parse_args()
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SKDYN_REFERENCE_DATA", beside))
    warnings.simplefilter("ignore", DivergenceWarning)
    with limit_threads(arguments.threads):
        print_environment(arguments.threads)
        sunspots(arguments.repeats or (3 if arguments.quick else 51))
        if (folder / "dysts_univariate_clean_100.npz").exists():
            chaos(folder, arguments.quick)
        else:
            print(
                "\nChaos: skipped, dysts_univariate_clean_100.npz is absent: set "
                "SKDYN_REFERENCE_DATA to the folder that holds it."
            )


if __name__ == "__main__":
    main()

"""Scoring many forecast origins beside one batched rollout of the same size.

Measured: the median seconds of ``forecast_scorer(metric, 50, context=C,
n_origins=1000)(model, X)`` on a Lorenz trajectory of 10,000 rows, beside
``model.forecast(50, context=windows)`` with the same 1,000 contexts as one 3-D array.
What the scorer adds is the cutting of windows, the scale of the test data and the
metric. Models: a bare DMD (context 1), and DelayEmbedding(8) before DMD (context 8) in
a stock sklearn Pipeline, in skdyn's, in skdyn's with a StandardScaler in front, and in
a GridSearchCV with one candidate. Also a Python loop with one forecast for each origin.

Checked: the number of the scorer is that of the metric on the batched rollout, that of
the loop, and the same through the bare pipeline and through the search.

Target: score below 3 times the rollout.

Run: ``python benchmarks/bench_scoring.py [--quick] [--threads N]``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn.pipeline
from _harness import (
    interleaved,
    limit_threads,
    middle,
    middle_ratio,
    parser,
    print_environment,
    print_table,
)
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

import skdyn.pipeline
from skdyn.base import Horizon
from skdyn.datasets import make_lorenz63
from skdyn.koopman import DMD
from skdyn.metrics import cumulative_max_error, forecast_scale
from skdyn.model_selection import RollingOriginSplit, forecast_scorer
from skdyn.preprocessing import DelayEmbedding

HORIZON = 50
METRICS = ("cme", "nrmse", "vpt", "smape")


def fitted_models(train: np.ndarray) -> dict[str, tuple[Any, int]]:
    """Fitted models with the context that they are scored with."""
    stock = sklearn.pipeline.make_pipeline(DelayEmbedding(8), DMD())
    search = GridSearchCV(
        stock,
        {"dmd__rank": [None]},
        cv=RollingOriginSplit(n_splits=2, horizon=HORIZON, context=8),
        scoring=forecast_scorer("cme", HORIZON, context=8),
    )
    ours = skdyn.pipeline.make_pipeline(DelayEmbedding(8), DMD())
    scaled = skdyn.pipeline.make_pipeline(StandardScaler(), DelayEmbedding(8), DMD())
    models = {
        "DMD": (DMD(), 1),
        "stock Pipeline": (stock, 8),
        "skdyn Pipeline": (ours, 8),
        "skdyn Pipeline, scaled": (scaled, 8),
        "GridSearchCV, stock": (search, 8),
    }
    for model, _ in models.values():
        model.fit(train)
    return models


def predict(model: Any, contexts: np.ndarray) -> np.ndarray:
    """Forecast HORIZON rows, through what has no ``forecast`` of its own too."""
    if hasattr(model, "forecast"):
        return model.forecast(HORIZON, context=contexts)
    return model.predict(Horizon(HORIZON, context=contexts))


def windows(
    X: np.ndarray, context: int, n_origins: int
) -> tuple[np.ndarray, np.ndarray]:
    """Contexts and truths of origins spread evenly, as the scorer spreads them."""
    last = len(X) - context - HORIZON
    starts = np.unique(np.linspace(0, last, n_origins).round().astype(int))
    cut = np.stack([X[i : i + context + HORIZON] for i in starts])
    return np.ascontiguousarray(cut[:, :context]), cut[:, context:]


def main() -> None:
    """Time all models and metrics."""
    arguments = parser(__doc__).parse_args()
    n_rows, n_origins = (2000, 200) if arguments.quick else (10_000, 1000)
    repeats = arguments.repeats or (11 if arguments.quick else 51)
    train = make_lorenz63(n_rows, random_state=1)
    X = make_lorenz63(n_rows, random_state=2)
    with limit_threads(arguments.threads):
        print_environment(arguments.threads)
        models = fitted_models(train)
        rows, numbers, worst = [], {}, 0.0
        for name, (model, context) in models.items():
            contexts, truth = windows(X, context, n_origins)
            scorers = {
                metric: forecast_scorer(
                    metric, HORIZON, context=context, n_origins=n_origins
                )
                for metric in METRICS
            }
            calls = {
                "rollout": lambda m=model, c=contexts: predict(m, c),
                **{
                    metric: lambda m=model, s=scorer: s(m, X)
                    for metric, scorer in scorers.items()
                },
            }
            numbers[name] = calls["cme"]()
            scale = forecast_scale(X)
            by_hand = cumulative_max_error(truth, calls["rollout"](), scale=scale)
            one_by_one = []

            def loop(m: Any = model, c: np.ndarray = contexts, out: Any = one_by_one):
                out[:] = [predict(m, window) for window in c]

            seconds = interleaved(calls, repeats)
            looped = middle(interleaved({"loop": loop}, 1))["loop"]
            by_loop = cumulative_max_error(truth, np.stack(one_by_one), scale=scale)
            medians = middle(seconds)
            ratios = {m: middle_ratio(seconds, m, "rollout") for m in METRICS}
            worst = max(worst, *ratios.values())
            rows.append(
                (
                    name,
                    context,
                    1e3 * medians["rollout"],
                    1e3 * medians["cme"],
                    *ratios.values(),
                    1e3 * looped,
                    looped / medians["rollout"],
                    numbers[name],
                    abs(numbers[name] - float(by_hand.mean())),
                    abs(numbers[name] - float(by_loop.mean())),
                )
            )
    print_table(
        f"{n_origins} origins of {n_rows} rows, horizon {HORIZON}, {repeats} repeats; "
        f"ms, and ratios to the rollout",
        [
            "",
            "context",
            "rollout ms",
            "cme ms",
            *[f"{metric} /" for metric in METRICS],
            "loop ms",
            "loop /",
            "cme",
            "- by hand",
            "- by loop",
        ],
        rows,
    )
    print(f"score / rollout below 3: {'met' if worst < 3 else 'MISSED'} ({worst:.3g})")
    same = numbers["stock Pipeline"] == numbers["GridSearchCV, stock"]
    print(f"the same number bare and through the search: {'yes' if same else 'NO'}")


if __name__ == "__main__":
    main()

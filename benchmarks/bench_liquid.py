"""Liquid state machine: digits with and without plasticity, steps, a forecast.

Measured, each in a table:

* scikit-learn's 8 x 8 digits as spike trains, in two ways: "rows", each image as eight
  rows in time, of eight channels and ten steps each; "pixels", one row of 64 channels
  and fifty steps. The firing rates of the liquid, nothing else, go to logistic
  regression; its penalty is the same for all. Compared over seeds, each with a split
  and a liquid of its own: without plasticity, with STDP, with STDP and the astrocyte,
  all from the same strong weights (0.3, activity that sustains itself), and one whose
  weights were turned down by hand (0.1) instead. Plasticity sees training images only,
  without labels. Differences are paired: mean, t-interval of 95%, Wilcoxon's p. The
  pixels themselves are the bar that no liquid is needed for.
* branching factor (bins of 4 steps) and firing rate after each.
* microseconds for each step of a sequence: many sequences together, one alone, and
  with plasticity. The floor is the time of the sparse product alone.
* forecasts of Lorenz-63 beside an ESN of as many units: valid time in Lyapunov times.

Run: ``python benchmarks/bench_liquid.py [--quick] [--threads N]``.
"""

from __future__ import annotations

from functools import partial

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
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdyn.datasets import make_lorenz63
from skdyn.metrics import forecast_scale, valid_prediction_time
from skdyn.reservoir import (
    ESN,
    LiquidForecaster,
    LiquidStateMachine,
    branching_factor,
)

# Images that plasticity sees; the readout sees all of the training set.
LEARNED = 300
VARIANTS = {
    "none, by hand": {"recurrent_scaling": 0.1},
    "none": {"recurrent_scaling": 0.3},
    "stdp": {"recurrent_scaling": 0.3, "plasticity": "stdp"},
    "astrocyte": {"recurrent_scaling": 0.3, "plasticity": "astrocyte"},
}
PAIRS = [
    ("stdp", "none"),
    ("astrocyte", "none"),
    ("astrocyte", "stdp"),
    ("astrocyte", "none, by hand"),
]


def readout() -> object:
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))


def digits(way: str, n_seeds: int, n_learned: int) -> None:
    """Accuracies of one way of presentation, and their paired differences."""
    X, y = load_digits(return_X_y=True)
    X = X.reshape(len(X), 8, 8) if way == "rows" else X.reshape(len(X), 1, 64)
    steps = 10 if way == "rows" else 50
    scores: dict[str, list[float]] = {name: [] for name in ["pixels alone", *VARIANTS]}
    rates: dict[str, list[float]] = {name: [] for name in VARIANTS}
    factors: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for seed in range(n_seeds):
        train, test = train_test_split(
            np.arange(len(X)), test_size=1 / 3, random_state=seed, stratify=y
        )
        flat = X.reshape(len(X), 64)
        model = readout().fit(flat[train], y[train])
        scores["pixels alone"].append(model.score(flat[test], y[test]))
        for name, params in VARIANTS.items():
            liquid = LiquidStateMachine(
                500,
                steps_per_row=steps,
                input_range=(0, 16),
                features="rates",
                pool="mean",
                include_state=False,
                random_state=seed,
            ).set_params(**params)
            F = liquid.fit(X[train[:n_learned]]).transform(X)
            model = readout().fit(F[train], y[train])
            scores[name].append(model.score(F[test], y[test]))
            fired = liquid.spikes(X[test[:100]])
            rates[name].append(500 * fired.mean())
            factors[name].append(branching_factor(fired, bin_steps=4))
    print_table(
        f"Digits as {way}: {n_seeds} seeds, plasticity from {n_learned} images",
        ["plasticity", "accuracy %", "sd", "spikes/step", "branching"],
        [
            [
                name,
                f"{100 * np.mean(got):.2f}",
                f"{100 * np.std(got, ddof=1):.2f}",
                f"{np.mean(rates[name]):.1f}" if name in rates else "",
                f"{np.mean(factors[name]):.3f}" if name in factors else "",
            ]
            for name, got in scores.items()
        ],
    )
    table = []
    for one, other in PAIRS:
        gaps = 100 * (np.array(scores[one]) - np.array(scores[other]))
        half = stats.t.ppf(0.975, len(gaps) - 1) * stats.sem(gaps)
        p = stats.wilcoxon(gaps).pvalue if gaps.any() else 1.0
        table.append(
            [
                f"{one} - {other}",
                f"{gaps.mean():+.2f}",
                f"[{gaps.mean() - half:+.2f}, {gaps.mean() + half:+.2f}]",
                f"{p:.3f}",
                f"{(gaps > 0).sum()}/{len(gaps)}",
            ]
        )
    print_table(
        "Paired differences of accuracy, in points",
        ["pair", "mean", "95%", "Wilcoxon p", "won"],
        table,
    )


def steps(repeats: int) -> None:
    """Microseconds of a step, and of the sparse product that it cannot do without."""
    X = load_digits().data.reshape(-1, 1, 64)
    table = []
    for n in (200, 500, 1000):
        liquid = LiquidStateMachine(
            n, steps_per_row=50, input_range=(0, 16), recurrent_scaling=0.15
        ).fit(X)
        learns = clone(liquid).set_params(plasticity="astrocyte")
        W, dense = liquid.weights_, np.ones((n, 64))
        many, one = X[:64], np.concatenate(X[:10])
        seconds = middle(
            interleaved(
                {
                    "many": lambda model=liquid, x=many: model.transform(x),
                    "one": lambda model=liquid, x=one: model.transform(x),
                    "learn": lambda model=learns, x=X[:10]: model.fit(x),
                    "draw": lambda model=liquid, x=X[:10]: clone(model).fit(x),
                },
                repeats,
            )
        )
        product = middle(interleaved({"W": lambda W=W, s=dense: W @ s}, repeats, 20))
        table.append(
            [
                n,
                f"{W.nnz / n:.1f}",
                f"{1e6 * seconds['many'] / 3200:.1f}",
                f"{1e6 * product['W'] / 64:.1f}",
                f"{1e6 * seconds['one'] / 500:.0f}",
                f"{1e6 * (seconds['learn'] - seconds['draw']) / 500:.0f}",
            ]
        )
    print_table(
        "Microseconds of a step of a sequence",
        ["neurons", "degree", "64 together", "W s alone", "one", "learning"],
        table,
    )


def forecast(n_units: int, n_starts: int) -> None:
    """Valid prediction time of the liquid and of an ESN of as many units."""
    X = make_lorenz63(8000, dt=0.02)
    train, rest, horizon = X[:5000], X[5000:], 600
    starts = np.linspace(200, len(rest) - horizon, n_starts).astype(int)
    contexts = np.stack([rest[s - 200 : s] for s in starts])
    truth = np.stack([rest[s : s + horizon] for s in starts])
    models = {
        "LiquidForecaster": LiquidForecaster(
            clone(LiquidForecaster().fit(train[:60]).liquid_).set_params(
                n_neurons=n_units
            )
        ),
        "ESN": ESN(n_units),
    }
    table = []
    for name, model in models.items():
        _, fitted = timed(partial(model.fit, train))
        guess = model.forecast(horizon, context=contexts)
        valid = valid_prediction_time(
            truth, guess, scale=forecast_scale(X), dt=0.02, lyapunov_exponent=0.9056
        )
        table.append(
            [
                name,
                f"{model.score(rest):.6f}",
                f"{np.mean(valid):.2f}",
                f"{fitted:.1f}",
            ]
        )
    print_table(
        f"Lorenz-63, {n_units} units, 5,000 rows, {n_starts} starts",
        ["model", "one-step R2", "Lyapunov times", "fit s"],
        table,
    )


def main() -> None:
    args = parser(__doc__).parse_args()
    print_environment(args.threads)
    with limit_threads(args.threads):
        steps(args.repeats or (2 if args.quick else 5))
        for way in ("rows", "pixels"):
            digits(way, 2 if args.quick else 10, 50 if args.quick else LEARNED)
        forecast(100 if args.quick else 500, 5 if args.quick else 20)


if __name__ == "__main__":
    main()

"""HiPPO memories, perturb-then-diagonalise, and models of whole sequences.

Printed:

* relative errors of a window of 1000 rows of ten harmonics (equal amplitudes, and
  amplitudes 1/k; phases at random), rebuilt from 32 and 64 coefficients: medians and
  the largest over seeds;
* condition numbers, rightmost eigenvalues and transfer-function errors of LegS with 64
  states, perturbed and then diagonalised, beside S4D-LegS and a Gaussian perturbation;
  "alternating" is the readout C_n = (-1)^n, "worst" the norm over all readouts;
* seconds to transform 10,000 rows of three features, beside a loop of numpy over the
  rows and a delay embedding of as many columns;
* accuracy on scikit-learn's digits, read as sequences of 64 pixels, a quarter held out:
  S4DClassifier, logistic regression on the pixels, and logistic regression on a memory
  without training; CPU seconds of a fit.

Targets: windows with 32 coefficients 0.08, with 64 coefficients 5e-4; PTD condition 30,
rightmost eigenvalue -0.25, error (alternating) 0.5 and a sixth of S4D-LegS's; digits
0.97 (median).

Run: ``python benchmarks/bench_hippo.py [--quick] [--threads N]``. Digits are left out
where PyTorch is not installed.
"""

from __future__ import annotations

import warnings
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
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skdyn.neural import (
    HiPPOMemory,
    S4DClassifier,
    hippo_matrices,
    perturb_then_diagonalise,
)
from skdyn.preprocessing import DelayEmbedding

WINDOW = 1000


def harmonics(seed: int, fall: float) -> np.ndarray:
    """Ten harmonics of the window with amplitudes 1 / k^fall."""
    k, t = np.arange(1, 11), np.arange(4 * WINDOW)[:, None]
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, 10)
    return (np.sin(2 * np.pi * k * t / WINDOW + phases) / k**fall).sum(1)[:, None]


def windows(n_seeds: int) -> bool:
    """Errors of the last window, rebuilt."""
    kinds: dict[str, dict[str, Any]] = {
        "least squares": {"recurrent": False},
        "recurrence, cubic": {"interpolation": "cubic"},
        "recurrence, linear": {},
        "recurrence, held": {"interpolation": "constant"},
    }
    rows, best = [], {}
    for fall, name in ((0.0, "equal"), (1.0, "1/k")):
        for kind, parameters in kinds.items():
            row: list[Any] = [f"{kind}, {name}"]
            for n in (32, 64):
                errors = []
                for seed in range(n_seeds):
                    X = harmonics(seed, fall)
                    memory = HiPPOMemory(n, window=WINDOW, **parameters).fit(X)
                    past = memory.reconstruct(memory.transform(X)[-1:])[0]
                    truth = X[::-1][:WINDOW]
                    errors.append(
                        float(np.linalg.norm(past - truth) / np.linalg.norm(truth))
                    )
                row += [float(np.median(errors)), max(errors)]
                best[kind, fall, n] = float(np.median(errors))
            rows.append(row)
    columns = ["", "N=32", "largest", "N=64", "largest"]
    print_table("window of ten harmonics, relative error (LegT)", columns, rows)
    return (
        best["least squares", 0.0, 32] <= 0.08
        and best["recurrence, linear", 1.0, 32] <= 0.08
        and best["recurrence, linear", 0.0, 64] <= 5e-4
    )


def diagonals() -> bool:
    """Guarantees of perturb-then-diagonalise at 64 states."""
    A, B = hippo_matrices("legs", 64)
    C = (-1.0) ** np.arange(64)
    cases: dict[str, dict[str, Any]] = {
        "S4D-LegS": {"strength": 1.0},
        "PTD, a = 0.3": {"strength": 0.3},
        "PTD, a = 0.1": {},
        "PTD, a = 0.05": {"strength": 0.05},
        "Gaussian, norm 0.25": {"method": "random", "strength": 0.25},
        "Gaussian, norm 2": {"method": "random", "strength": 2.0},
    }
    rows, found = [], {}
    for name, parameters in cases.items():
        one = perturb_then_diagonalise(A, B, C, random_state=0, **parameters)
        worst = perturb_then_diagonalise(A, B, random_state=0, **parameters)
        found[name] = one
        rows.append(
            [
                name,
                one.condition,
                one.max_real,
                one.max_real_bound,
                one.transfer_error,
                worst.transfer_error,
            ]
        )
    columns = ["", "condition", "max Re", "bound", "alternating", "worst"]
    print_table("LegS, 64 states", columns, rows)
    ptd, s4d = found["PTD, a = 0.1"], found["S4D-LegS"]
    return (
        ptd.condition <= 30
        and ptd.max_real <= -0.25
        and ptd.transfer_error <= min(0.5, s4d.transfer_error / 6)
    )


def speed(repeats: int) -> None:
    """Seconds to transform."""
    X = np.random.default_rng(0).standard_normal((10_000, 3))
    rows = []
    for n in (16, 64):
        fast = HiPPOMemory(n, window=100).fit(X)
        exact = HiPPOMemory(n, window=100, recurrent=False).fit(X)
        delays = DelayEmbedding(n + 1).fit(X)
        calls = {
            "recurrence": lambda m=fast: m.transform(X),
            "least squares": lambda m=exact: m.transform(X),
            "loop": lambda m=fast: loop(m.transition_, m.inputs_, X),
            "delay embedding": lambda m=delays: m.transform(X),
        }
        seconds = interleaved(calls, repeats)
        times = middle(seconds)
        for name in calls:
            ratio = middle_ratio(seconds, "loop", name)
            rows.append([f"{name}, {n}", times[name], ratio])
    print_table(
        "10,000 rows of 3 features", ["", "seconds", "times faster than a loop"], rows
    )


def loop(F: np.ndarray, taps: np.ndarray, X: np.ndarray) -> np.ndarray:
    """The recurrence, row by row."""
    x = np.zeros((len(F), X.shape[1]))
    x[0] = X[0]
    states = [x]
    for k in range(1, len(X)):
        x = F @ x + np.outer(taps[0], X[k]) + np.outer(taps[1], X[k - 1])
        states.append(x)
    return np.stack(states)


def digits(n_seeds: int) -> bool:
    """Accuracy on digits as sequences of pixels."""
    try:
        import skorch  # noqa: F401
        import torch  # noqa: F401
    except ImportError:
        print("\nPyTorch or skorch is not installed: no digits")
        return True
    X, y = load_digits(return_X_y=True)
    last = HiPPOMemory(32, window=64, washout=63)
    memory = FunctionTransformer(
        lambda rows: last.fit_transform(rows[:, :, None] / 16)[:, 0]
    )
    names = ["S4DClassifier", "pixels", "memory", "memory, squares"]
    scores: dict[str, list[float]] = {name: [] for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for seed in range(n_seeds):
        train, test, seen, asked = train_test_split(X, y, random_state=seed, stratify=y)
        models = [
            S4DClassifier(random_state=seed),
            make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
            make_pipeline(memory, StandardScaler(), LogisticRegression(max_iter=2000)),
            make_pipeline(
                memory,
                FunctionTransformer(lambda Z: np.hstack([Z, Z**2])),
                StandardScaler(),
                LogisticRegression(max_iter=2000),
            ),
        ]
        for name, model in zip(names, models, strict=True):
            fit = partial(model.fit, train, seen)
            seconds[name].append(timed(fit, cpu=True)[1])
            scores[name].append(model.score(test, asked))
    print_table(
        f"digits as sequences of 64 pixels, {n_seeds} split(s)",
        ["", "accuracy", "least", "CPU s of a fit"],
        [
            [
                name,
                float(np.median(scores[name])),
                min(scores[name]),
                float(np.median(seconds[name])),
            ]
            for name in names
        ],
    )
    return bool(np.median(scores["S4DClassifier"]) >= 0.97)


def main() -> None:
    """Print all tables."""
    arguments = parser(__doc__).parse_args()
    warnings.simplefilter("ignore")
    quick = arguments.quick
    with limit_threads(arguments.threads):
        print_environment(arguments.threads)
        met = windows(3 if quick else 20)
        met &= diagonals()
        speed(arguments.repeats or (3 if quick else 7))
        met &= digits(1 if quick else 3)
    print(f"\ntargets: {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    main()

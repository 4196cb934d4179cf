"""Lifting 100,000 rows: time and memory, polynomials beside scikit-learn's.

Measured: the median seconds of ``transform`` on random rows, through the door (all
checks included) and bare (``_transform``, what a rollout calls), of

* PolynomialLift beside sklearn.preprocessing.PolynomialFeatures, as it comes and with
  ``order="F"``, its faster layout and ours; and beside filling an array of the answer's
  size with a constant, below which no lift can come;
* the other lifts, a union and a product;
* one row alone, which is what a rollout with feedback lifts at every step;
* the Jacobian of a polynomial lift;
* the peak memory of a wide lift, beside the size of its answer.

Checked: values equal scikit-learn's, and the state comes back to the last bit.

Targets: twice as fast as scikit-learn's as it comes; at most twice the time of filling
from degree 3 on; a peak below 1.2 times the answer.

Run: ``python benchmarks/bench_lifts.py [--quick] [--threads N]``.
"""

from __future__ import annotations

import sys

import numpy as np
from _harness import (
    interleaved,
    limit_threads,
    middle,
    middle_ratio,
    parser,
    peak_memory,
    print_environment,
    print_table,
    report_peak,
)
from sklearn.kernel_approximation import Nystroem
from sklearn.preprocessing import PolynomialFeatures, SplineTransformer

from skdyn.preprocessing import (
    FeatureLift,
    FourierLift,
    FunctionLift,
    PolynomialLift,
    RadialBasisLift,
    RandomFourierLift,
)

# Variables, degree.
CASES = [(3, 2), (3, 5), (10, 3), (40, 2)]
WIDE = (40, 2)


def rows(n: int, d: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, d))


def polynomials(n: int, repeats: int) -> bool:
    """Time polynomials beside scikit-learn's; tell whether the targets are met."""
    table, met = [], True
    for d, degree in CASES:
        X = rows(n, d)
        ours = PolynomialLift(degree).fit(X)
        theirs = PolynomialFeatures(degree).fit(X)
        columns = PolynomialFeatures(degree, order="F").fit(X)
        calls = {
            "bare": lambda m=ours, x=X: m._transform(x),
            "door": lambda m=ours, x=X: m.transform(x),
            "sklearn": lambda m=theirs, x=X: m.transform(x),
            "sklearn F": lambda m=columns, x=X: m.transform(x),
            "fill": lambda shape=(n, ours.n_output_features_): np.full(shape, 1.0),
        }
        lifted = calls["door"]()
        np.testing.assert_allclose(lifted, calls["sklearn"](), rtol=1e-12)
        assert (ours.inverse_transform(lifted) == X).all()
        del lifted
        seconds = interleaved(calls, repeats)
        ms = {name: 1e3 * value for name, value in middle(seconds).items()}
        slower = [middle_ratio(seconds, f"sklearn{x}", "door") for x in ("", " F")]
        to_fill = middle_ratio(seconds, "bare", "fill")
        met &= slower[0] > 2 and (degree < 3 or to_fill < 2)
        table.append(
            (
                f"{d} variables, degree {degree}",
                ours.n_output_features_,
                *ms.values(),
                *slower,
                to_fill,
            )
        )
    print_table(
        f"PolynomialLift, {n} rows, {repeats} repeats; ms, scikit-learn's time to ours "
        f"(both with their checks), and bare to fill",
        ["", "columns", *ms, "sklearn /", "F /", "bare / fill"],
        table,
    )
    return met


def product_of_two(x: np.ndarray) -> np.ndarray:
    return x[:, 0] * x[:, 1]


def others(n: int, repeats: int) -> None:
    """Time every kind of lift, on many rows and on one."""
    X = rows(n, 3)
    lifts = {
        "FourierLift(3)": FourierLift(3),
        "RadialBasisLift(100)": RadialBasisLift(100),
        "RadialBasisLift(100, thin_plate)": RadialBasisLift(100, kernel="thin_plate"),
        "RandomFourierLift(100)": RandomFourierLift(100),
        "FunctionLift": FunctionLift([product_of_two, np.sin]),
        "FeatureLift(Spline)": FeatureLift(SplineTransformer()),
        "FeatureLift(Nystroem)": FeatureLift(Nystroem(random_state=0)),
        "Polynomial(3) + Fourier(3)": PolynomialLift(3) + FourierLift(3),
        "Polynomial(2) * Fourier(1)": PolynomialLift(2) * FourierLift(1),
    }
    table = []
    for name, lift in lifts.items():
        fitting = middle(interleaved({"fit": lambda m=lift: m.fit(X)}, 1))["fit"]
        one = X[:1]
        seconds = interleaved(
            {
                "bare": lambda m=lift: m._transform(X),
                "door": lambda m=lift: m.transform(X),
                "jacobian": lambda m=lift: m._jacobian(X[:1000]),
            },
            repeats,
        )
        single = interleaved({"one": lambda m=lift, x=one: m._transform(x)}, 7, 100)
        ms = {name: 1e3 * value for name, value in middle(seconds).items()}
        table.append(
            (
                name,
                lift.n_output_features_,
                1e3 * fitting,
                *ms.values(),
                1e6 * middle(single)["one"],
            )
        )
    print_table(
        f"All lifts, {n} rows of 3 features, {repeats} repeats; ms, one row in us; the "
        f"Jacobian at 1000 rows",
        ["", "columns", "fit", "bare", "door", "jacobian", "one row"],
        table,
    )


def one_row(repeats: int) -> None:
    """Time a single row, as a rollout lifts it."""
    table = []
    for d, degree in CASES:
        x = rows(1, d)
        ours, theirs = PolynomialLift(degree).fit(x), PolynomialFeatures(degree).fit(x)
        seconds = interleaved(
            {
                "bare": lambda m=ours, x=x: m._transform(x),
                "jacobian": lambda m=ours, x=x: m._jacobian(x),
                "sklearn": lambda m=theirs, x=x: m.transform(x),
            },
            repeats,
            200,
        )
        us = {name: 1e6 * value for name, value in middle(seconds).items()}
        ratio = middle_ratio(seconds, "sklearn", "bare")
        table.append((f"{d} variables, degree {degree}", *us.values(), ratio))
    print_table(
        "PolynomialLift of one row; microseconds",
        ["", "bare", "jacobian", "sklearn", "sklearn /"],
        table,
    )


def memory(n: int) -> bool:
    """Peak memory of a wide lift; tell whether the target is met."""
    columns = PolynomialLift(WIDE[1]).fit(rows(2, WIDE[0])).n_output_features_
    size = 8e-6 * n * columns
    peaks = {
        name: peak_memory(__file__, ["--measure", name, str(n)])
        for name in ("ours", "sklearn", "union")
    }
    print_table(
        f"Peak memory of {n} rows by {columns} columns; MB, and to the answer's "
        f"{size:.0f} MB",
        ["", "peak", "peak / answer"],
        [(name, mb, None if mb is None else mb / size) for name, mb in peaks.items()],
    )
    return peaks["ours"] is not None and peaks["ours"] < 1.2 * size


def measure(name: str, n: int) -> None:
    """Report the peak of one lift, in a process of its own."""
    d, degree = WIDE
    X = rows(n, d)
    lift = {
        "ours": PolynomialLift(degree),
        "sklearn": PolynomialFeatures(degree),
        "union": FourierLift() + PolynomialLift(degree),
    }[name].fit(X)
    report_peak(lambda: lift.transform(X))


def main() -> None:
    """Print all tables."""
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], int(sys.argv[3]))
        return
    arguments = parser(__doc__).parse_args()
    n = 10_000 if arguments.quick else 100_000
    repeats = arguments.repeats or (5 if arguments.quick else 15)
    with limit_threads(arguments.threads):
        print_environment(arguments.threads)
        met = polynomials(n, repeats)
        one_row(repeats)
        others(n, repeats)
        met &= memory(n)
    print(f"\ntargets: {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    main()

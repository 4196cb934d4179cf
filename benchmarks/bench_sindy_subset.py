"""Best subsets: seconds to find and prove them, and who misses what they find.

Measured, on libraries of monomials along trajectories with noise of 1% and 5% of the
root mean square, one equation after the other:

* seconds and sets of terms to prove the best set of each size, for libraries from 35
  to 861 terms, and by how much a set may be better where the proof was given up;
* how far stepwise answers (SSR, FROLS) of the same size are from the proven best: the
  largest excess of their loss;
* seconds of ``BestSubset()`` with its choice of the size, of all equations.

Checked: no stepwise answer is better than a proven one.

Peer: MIOSR of pysindy needs Gurobi and is left out where that is missing, as here.

Run: ``python benchmarks/bench_sindy_subset.py [--quick] [--threads N]``.
"""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
from _harness import limit_threads, parser, print_environment, print_table, timed

from skdyn.datasets import lorenz63, lorenz96, make_trajectories
from skdyn.preprocessing import PolynomialLift, differentiate
from skdyn.sindy import FROLS, SSR, BestSubset
from skdyn.sindy._best_subset import targets_of
from skdyn.sindy._problem import Problem
from skdyn.sindy._subsets import best_of_each_size, prove
from skdyn.utils._moments import Moments

# System, degree, rows, sizes to prove, equations to look at.
CASES = [
    ("Lorenz", lorenz63(), 4, 2000, (1, 2, 3, 4, 5, 6), 3),
    ("Lorenz", lorenz63(), 5, 2000, (2, 3, 4, 5), 3),
    ("Lorenz", lorenz63(), 6, 2000, (2, 3, 4, 5), 3),
    ("Lorenz-96, d = 5", lorenz96(5), 4, 4000, (3, 4, 5), 2),
    ("Lorenz-96, d = 40", lorenz96(40), 2, 10_000, (3, 4), 2),
]
NOISES = (0.01, 0.05)


def problem_of(system: object, degree: int, n: int, noise: float) -> Problem:
    """The moments of a library along a noisy trajectory."""
    x = make_trajectories(system, n, dt=0.01)
    rng = np.random.default_rng(0)
    x = x + noise * np.sqrt(np.mean(x**2)) * rng.standard_normal(x.shape)
    found = differentiate(x, 0.01, method="spline")
    lift = PolynomialLift(degree).fit(found.x)
    moments = Moments.from_rows(lift.transform(found.x), found.x_dot)
    names = tuple(map(str, lift.get_feature_names_out()))
    return Problem(moments, names, tuple(f"x{j}" for j in range(x.shape[1])))


def proofs(max_sets: float, quick: bool) -> None:
    """Time proofs of each size."""
    table = []
    for name, system, degree, n, sizes, n_equations in CASES[: 2 if quick else None]:
        for noise in NOISES:
            problem = problem_of(system, degree, n, noise)
            targets, shared = timed(partial(targets_of, problem, 0.0))
            for j in range(n_equations):
                target = targets[j][1]
                search = partial(best_of_each_size, target, max(sizes))
                sets, starts = timed(search)
                for k in sizes:
                    proof, seconds = timed(
                        partial(prove, target, sets[k - 1], max_sets)
                    )
                    gap = (proof.bound - proof.gain) / (target.size - proof.gain)
                    first = float(target.gains(sets[k - 1][None])[0])
                    table.append(
                        (
                            f"{name}, {problem.shape[1]} terms, {100 * noise:g}%, x{j}",
                            k,
                            shared,
                            starts,
                            seconds,
                            f"{proof.n_sets:.1e}",
                            "proven" if proof.bound == proof.gain else f"{gap:.1e}",
                            100 * (proof.gain - first) / (target.size - first),
                        )
                    )
    print_table(
        "Proofs; seconds of the inverse (all equations), of good starts of all sizes, "
        "of the proof, and what the proof gained on the start, % of its loss",
        ["", "terms", "inverse", "starts", "proof", "sets", "gap", "gained %"],
        table,
    )


def stepwise() -> None:
    """Compare stepwise answers of the same size with proven ones."""
    table = []
    for degree in (4, 5):
        for noise in NOISES:
            problem = problem_of(lorenz63(), degree, 2000, noise)
            for k in (2, 3, 4, 5):
                best = problem.loss(BestSubset(n_terms=k)._solve(problem).coef)
                row = []
                for solver in (SSR(n_terms=k), FROLS(n_terms=k)):
                    loss = problem.loss(solver._solve(problem).coef)
                    assert (loss >= best * (1 - 1e-9)).all()
                    row.append(float((loss / best).max() - 1) * 100)
                table.append((f"degree {degree}, {100 * noise:g}%", k, *row))
    print_table(
        "Stepwise answers on Lorenz: the largest excess of their loss over the best, %",
        ["", "terms", "SSR", "FROLS"],
        table,
    )


def choices() -> None:
    """Time the choice of sizes."""
    table = []
    for name, system, degree, n, _, _ in CASES:
        problem = problem_of(system, degree, n, 0.01)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            solve = partial(BestSubset(max_terms=8)._solve, problem)
            solution, seconds = timed(solve)
        sizes = (solution.coef != 0).sum(axis=1)
        table.append(
            (
                f"{name}, {problem.shape[1]} terms",
                len(sizes),
                seconds,
                f"{sizes.min()} to {sizes.max()}",
                int((solution.gap == 0).sum()),
            )
        )
    print_table(
        "BestSubset(max_terms=8) at noise of 1%, all equations, all rows counted as "
        "independent",
        ["", "equations", "seconds", "terms chosen", "proven"],
        table,
    )


def main() -> None:
    """Print all tables."""
    arguments = parser(__doc__).parse_args()
    with limit_threads(arguments.threads):
        print_environment(arguments.threads)
        proofs(1e6 if arguments.quick else 1e8, arguments.quick)
        stepwise()
        if not arguments.quick:
            choices()


if __name__ == "__main__":
    main()

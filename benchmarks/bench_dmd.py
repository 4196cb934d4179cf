"""DMD beside PyDMD and beside one LAPACK SVD of the same matrix.

Measured, in interleaved order within one run: the median seconds of ``DMD.fit``, of
``fit`` with ``spectrum_`` (eigenvalues and modes, which skdyn computes when first asked
for and PyDMD in its fit), of PyDMD's fit and of ``scipy.linalg.svd`` (gesdd,
``full_matrices=False``, no finite check) of the training rows; the memory that each
adds at its peak, in a fresh process (not with ``--quick``); and the error of the
eigenvalues against the known truth, as the largest distance of a true eigenvalue from
the nearest one found.

The data is a linear system with known eigenvalues in a random orthonormal basis, with
white noise of 1e-3 of its root mean square. Cases, (n_samples, n_features):

* (1000, 2000), rank 10 of 10: all singular values kept, then the 10 leading ones;
* (1000, 2000), flat: 400 undamped oscillations of equal strength without noise, whose
  800 singular values are nearly equal: all kept (800 true eigenvalues), then the 10
  leading ones, where no randomized method is sound and there is no truth to recover;
* (20000, 50), rank 50 of 50: many rows, few features, where a Gram route is sound;
* (2000, 20000), the 20 leading singular values of 20: wide data of low rank.

PyDMD takes features x time: it is given a contiguous transpose made beforehand. Its fit
begins with a condition number, another SVD; the rows "no check" are timed without that,
which is the harder comparison. Its randomized RDMD is timed on the wide case.

Targets: fit within 1.3 times the SVD; fit with spectrum never slower than PyDMD; at
least 5 times faster than the SVD where a randomized or Gram route is sound.

Run: ``python benchmarks/bench_dmd.py [--quick] [--threads N] [--case NAME]``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydmd
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
from pydmd.snapshots import Snapshots
from scipy import linalg

from skdyn.koopman import DMD


@dataclass(frozen=True)
class Case:
    """One row of data and what is asked of it."""

    title: str
    n_samples: int
    n_features: int
    n_modes: int
    rank: int | None
    noise: float = 1e-3
    flat: bool = False
    repeats: int = 3
    sound: bool = False
    randomized_peer: bool = False

    @property
    def truth(self) -> np.ndarray:
        """Eigenvalues (n_modes,), in conjugate pairs next to each other."""
        n_pairs = self.n_modes // 2
        frequencies = (np.arange(n_pairs) + 0.5) / (2 * n_pairs)
        decay = 0.0 if self.flat else 1.0
        rates = -decay * 3 * np.arange(n_pairs) / n_pairs / self.n_samples
        values = np.exp(rates + 2j * np.pi * frequencies)
        return np.column_stack([values, values.conj()]).ravel()

    def data(self, transposed: bool = False) -> np.ndarray:
        """Rows in time order, or contiguous columns; filled a block at a time."""
        rng = np.random.default_rng(0)
        n, d, r = self.n_samples, self.n_features, self.n_modes
        basis = np.linalg.qr(rng.standard_normal((d, r)))[0].T
        powers = self.truth[::2] ** np.arange(n)[:, None]
        phases = np.exp(2j * np.pi * rng.random(r // 2))
        turning = powers * phases
        states = np.stack([turning.real, turning.imag], axis=2).reshape(n, r)
        size = np.sqrt(np.mean(np.sum(states**2, axis=1)) / d)
        X = np.empty((d, n) if transposed else (n, d))
        for start in range(0, n, 100):
            part = slice(start, start + 100)
            block = states[part] @ basis
            block += self.noise * size * rng.standard_normal(block.shape)
            if transposed:
                X[:, part] = block.T
            else:
                X[part] = block
        return X


CASES = {
    "full": Case("(1000, 2000), all singular values", 1000, 2000, 10, None),
    "rank10": Case(
        "(1000, 2000), rank 10 of 10", 1000, 2000, 10, 10, repeats=9, sound=True
    ),
    "flat": Case(
        "(1000, 2000), flat, all singular values", 1000, 2000, 800, None, 0.0, flat=True
    ),
    "flat10": Case(
        "(1000, 2000), flat, rank 10 of 800", 1000, 2000, 800, 10, 0.0, flat=True
    ),
    "tall": Case(
        "(20000, 50), all singular values", 20000, 50, 50, None, repeats=25, sound=True
    ),
    "wide": Case(
        "(2000, 20000), rank 20 of 20",
        2000,
        20000,
        20,
        20,
        repeats=2,
        sound=True,
        randomized_peer=True,
    ),
}
QUICK = {
    "full": Case("(200, 400), all singular values", 200, 400, 10, None),
    "rank10": Case("(200, 400), rank 10 of 10", 200, 400, 10, 10),
    "flat": Case(
        "(200, 400), flat, all singular values", 200, 400, 160, None, 0.0, flat=True
    ),
    "flat10": Case("(200, 400), flat, rank 10", 200, 400, 160, 10, 0.0, flat=True),
    "tall": Case("(2000, 20), all singular values", 2000, 20, 20, None, sound=True),
    "wide": Case(
        "(400, 2000), rank 20 of 20",
        400,
        2000,
        20,
        20,
        sound=True,
        randomized_peer=True,
    ),
}


def peer(case: Case, S: np.ndarray, randomized: bool = False) -> Any:
    """PyDMD fitted on snapshots in columns."""
    svd_rank = -1 if case.rank is None else case.rank
    if randomized:
        return pydmd.RDMD(svd_rank=svd_rank, seed=0).fit(S)
    return pydmd.DMD(svd_rank=svd_rank, exact=True).fit(S)


def unchecked(call: Callable[[], Any]) -> Any:
    """Call PyDMD without its condition number of the snapshots."""
    check = Snapshots._check_condition_number
    Snapshots._check_condition_number = staticmethod(lambda X: None)
    try:
        return call()
    finally:
        Snapshots._check_condition_number = staticmethod(check)


def methods(
    case: Case, X: np.ndarray | None, S: np.ndarray | None
) -> dict[str, Callable[[], Any]]:
    """Calls by name; each gives eigenvalues, or None."""

    def svd() -> None:
        linalg.svd(X[:-1], full_matrices=False, check_finite=False)

    def fit() -> None:
        DMD(rank=case.rank).fit(X)

    def fit_spectrum() -> np.ndarray:
        return DMD(rank=case.rank).fit(X).spectrum_.eigenvalues

    calls: dict[str, Callable[[], Any]] = {
        "LAPACK SVD": svd,
        "skdyn fit": fit,
        "skdyn fit + spectrum_": fit_spectrum,
        "PyDMD fit": lambda: peer(case, S).eigs,
        "PyDMD fit, no check": lambda: unchecked(lambda: peer(case, S).eigs),
    }
    if case.randomized_peer:
        calls["PyDMD RDMD fit, no check"] = lambda: unchecked(
            lambda: peer(case, S, True).eigs
        )
    return calls


def eigenvalue_error(found: np.ndarray, truth: np.ndarray) -> float:
    """Largest distance of a true eigenvalue from the nearest one found."""
    return float(np.abs(truth[:, None] - found).min(axis=1).max())


def run(name: str, case: Case, arguments: Any) -> None:
    """Measure and print one case."""
    flags = ["--case", name, "--threads", str(arguments.threads)]
    flags += ["--quick"] if arguments.quick else []
    # Memory first, while this process is small.
    peaks = {
        method: peak_memory(__file__, [*flags, "--peak", method])
        for method in methods(case, None, None)
        if not arguments.quick
    }
    X, S = case.data(), case.data(transposed=True)
    answers: dict[str, Any] = {}
    calls = {
        method: lambda method=method, call=call: answers.update({method: call()})
        for method, call in methods(case, X, S).items()
    }
    seconds = interleaved(calls, arguments.repeats or case.repeats)
    errors = {
        method: eigenvalue_error(found, case.truth)
        for method, found in answers.items()
        if found is not None and (case.rank is None or case.rank >= case.n_modes)
    }
    medians = middle(seconds)
    rows = [
        (
            method,
            medians[method],
            middle_ratio(seconds, method, "LAPACK SVD"),
            middle_ratio(seconds, method, "PyDMD fit"),
            peaks.get(method),
            errors.get(method),
        )
        for method in calls
    ]
    print_table(
        f"{case.title}; {arguments.repeats or case.repeats} repeats, data "
        f"{X.nbytes / 1e6:.0f} MB",
        ["", "median s", "/ SVD", "/ PyDMD", "peak MB", "eigenvalue error"],
        rows,
    )
    to_svd = middle_ratio(seconds, "skdyn fit", "LAPACK SVD")
    to_peer = middle_ratio(seconds, "skdyn fit + spectrum_", "PyDMD fit")
    bare = middle_ratio(seconds, "skdyn fit + spectrum_", "PyDMD fit, no check")
    wanted = 0.2 if case.sound else 1.3
    print(
        f"fit / SVD at most {wanted}: {_verdict(to_svd <= wanted)} ({to_svd:.3g}); not "
        f"slower than PyDMD: {_verdict(to_peer <= 1)} ({to_peer:.3g}), without its "
        f"check: {_verdict(bare <= 1)} ({bare:.3g})",
        flush=True,
    )


def _verdict(met: bool) -> str:
    return "met" if met else "MISSED"


def main() -> None:
    """Run all cases, or one."""
    cli = parser(__doc__)
    cli.add_argument("--case", choices=list(CASES), action="append")
    cli.add_argument("--peak", help="measure the memory of one method, and print it")
    arguments = cli.parse_args()
    # PyDMD warns of condition numbers.
    warnings.simplefilter("ignore")
    cases = QUICK if arguments.quick else CASES
    chosen = arguments.case or list(cases)
    with limit_threads(arguments.threads):
        if arguments.peak:
            case = cases[chosen[0]]
            warm = Case("warm", 40, 80, 10, 4)
            for call in methods(warm, warm.data(), warm.data(True)).values():
                call()
            transposed = arguments.peak.startswith("PyDMD")
            data = case.data(transposed)
            given = (None, data) if transposed else (data, None)
            report_peak(methods(case, *given)[arguments.peak])
            return
        print_environment(arguments.threads)
        for name in chosen:
            run(name, cases[name], arguments)


if __name__ == "__main__":
    main()

"""The Koopman family beside PyDMD, kooplearn and deeptime, in one run.

Measured, in interleaved order, with one BLAS thread by default:

* Hankel DMD, 50 delays, rank 10, of (1000, 2000) and (20000, 50): seconds and peak
  memory of ``HankelDMD`` and PyDMD's; the largest difference of their eigenvalues.
* Optimised DMD of x' = [[1, -2], [1, -1]] x (4000 rows, noise 0.01), and bagged with
  100 trials of half the rows of (20000, 50) with ten modes (noise 0.01): seconds, and
  the largest error of the rates, of ``OptDMD`` and ``BOPDMD`` and of PyDMD's.
* DMD of rank 10 of (1000, 2000) beside scikit-learn's ``randomized_svd`` of it.
* Kernel EDMD of a pendulum, rank 20, with all of 2000 rows and by 300 landmarks of
  20000: seconds, R² of one step ahead, and peak memory of ``KernelEDMD`` and of
  kooplearn's kernel regressions (randomized solver); deeptime's for all rows.

Targets: Hankel 50 times faster than PyDMD in a twentieth of its memory; bagging 10
times faster at equal or smaller error; DMD within 2 times the randomized SVD; kernel
EDMD no slower than kooplearn's, and 20000 rows within 1 second and 500 MB.

Run: ``python benchmarks/bench_koopman.py [--quick] [--threads N] [--case NAME]``.
Peers that are not installed are left out.
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
    peak_memory,
    print_environment,
    print_table,
    report_peak,
)
from sklearn.utils.extmath import randomized_svd

from skdyn.koopman import BOPDMD, DMD, HankelDMD, KernelEDMD, OptDMD

CASES = (
    "hankel wide",
    "hankel tall",
    "optdmd",
    "bopdmd",
    "rank 10",
    "kernel",
    "nystrom",
)
DELAYS, RANK = 50, 10
DT = 0.01


def linear_data(n: int, d: int, n_modes: int, noise: float, seed: int = 0) -> Any:
    """Rows of undamped and slowly decaying oscillations, and their rates."""
    rng = np.random.default_rng(seed)
    t = DT * np.arange(n)
    pairs = np.arange(1, n_modes // 2 + 1)
    rates = -0.002 * pairs + 1j * (2 * np.pi * 0.21 * pairs)
    waves = np.exp(np.multiply.outer(t, rates))
    basis = np.linalg.qr(rng.standard_normal((d, n_modes)))[0].T
    X = np.hstack([waves.real, waves.imag]) @ basis
    return X + noise * rng.standard_normal(X.shape), np.hstack([rates, rates.conj()])


def pendulum(n: int) -> np.ndarray:
    """A pendulum by the leapfrog method, ten steps a row."""
    X, (x, v), h = np.empty((n, 2)), (2.0, 0.0), 0.01
    for k in range(n):
        X[k] = x, v
        for _ in range(10):
            v -= h / 2 * np.sin(x)
            x += h * v
            v -= h / 2 * np.sin(x)
    return X


def rate_error(rates: Any, truth: np.ndarray) -> float:
    """Largest distance of a true rate to the nearest that was found."""
    return max(float(np.abs(np.asarray(rates) - rate).min()) for rate in truth)


def hankel(wide: bool, quick: bool) -> tuple[np.ndarray, dict[str, Callable]]:
    shape = (1000, 2000) if wide else (20000, 50)
    if quick:
        shape = (shape[0] // 5, shape[1] // 5 if wide else shape[1] // 2)
    X, _ = linear_data(*shape, RANK, 1e-3)
    calls: dict[str, Callable] = {
        "skdyn": lambda: HankelDMD(DELAYS, rank=RANK).fit(X).spectrum_.eigenvalues
    }
    if pydmd is not None:
        rows = np.ascontiguousarray(X.T)
        calls["pydmd"] = lambda: (
            pydmd.HankelDMD(svd_rank=RANK, d=DELAYS).fit(rows)._sub_dmd.eigs
        )
    return X, calls


def optdmd() -> tuple[np.ndarray, dict[str, Callable]]:
    t = DT * np.arange(4000)
    # Known in closed form: cos and sin of t, in a skew basis.
    x = np.cos(t) + 0.8 * np.sin(t)
    X = np.column_stack([x, 0.1 * np.cos(t) + 0.9 * np.sin(t)])
    X = X + 0.01 * np.random.default_rng(0).standard_normal(X.shape)
    calls: dict[str, Callable] = {"skdyn": lambda: OptDMD(2, dt=DT).fit(X).rates_}
    if pydmd is not None:
        rows = np.ascontiguousarray(X.T)
        calls["pydmd"] = lambda: pydmd.BOPDMD(svd_rank=2).fit(rows, t).eigs
    return np.array([1j, -1j]), calls


def bopdmd(quick: bool) -> tuple[np.ndarray, dict[str, Callable]]:
    n, trials = (4000, 20) if quick else (20000, 100)
    X, truth = linear_data(n, 50, RANK, 0.01)
    t = DT * np.arange(n)
    calls: dict[str, Callable] = {
        "skdyn": lambda: BOPDMD(RANK, dt=DT, n_trials=trials).fit(X).rates_
    }
    if pydmd is not None:
        rows = np.ascontiguousarray(X.T)

        def peer() -> Any:
            np.random.seed(0)  # noqa: NPY002 (PyDMD draws from the global state)
            model = pydmd.BOPDMD(svd_rank=RANK, num_trials=trials, trial_size=0.5)
            return model.fit(rows, t).eigs

        calls["pydmd"] = peer
    return truth, calls


def kernels(n: int, landmarks: int | None) -> tuple[np.ndarray, dict[str, Callable]]:
    X = pendulum(n + 1)
    gamma = KernelEDMD(rank=2, n_landmarks=100).fit(X).gamma_
    shared = {"gamma": gamma, "alpha": 1e-9}
    calls: dict[str, Callable] = {
        "skdyn": lambda: KernelEDMD(
            rank=20, n_landmarks=landmarks, regression="reduced_rank", **shared
        ).fit(X),
        "skdyn, leading": lambda: KernelEDMD(
            rank=20, n_landmarks=landmarks, **shared
        ).fit(X),
    }
    if kooplearn is not None:
        options = {"n_components": 20, "kernel": "rbf", "random_state": 0, **shared}
        if landmarks is None:
            calls["kooplearn"] = lambda: kooplearn.KernelRidge(
                eigen_solver="randomized", **options
            ).fit(X)
        else:
            calls["kooplearn"] = lambda: kooplearn.NystroemKernelRidge(
                n_centers=landmarks, **options
            ).fit(X)
    if deeptime is not None and landmarks is None:
        from deeptime.kernels import GaussianKernel

        width = GaussianKernel(np.sqrt(1 / (2 * gamma)))
        calls["deeptime"] = lambda: deeptime.KernelEDMD(
            width, epsilon=1e-9, n_eigs=20
        ).fit((X[:-1], X[1:]))
    return X, calls


def one_step_score(model: Any, X: np.ndarray) -> float | None:
    """R² of one step ahead, on the training rows."""
    from sklearn.metrics import r2_score

    try:
        return float(r2_score(X[1:], np.asarray(model.predict(X))[:-1].reshape(-1, 2)))
    except Exception:
        return None


def build(case: str, quick: bool) -> tuple[Any, dict[str, Callable]]:
    """What a case compares: data or truth, and the calls."""
    if case.startswith("hankel"):
        return hankel(case.endswith("wide"), quick)
    if case == "optdmd":
        return optdmd()
    if case == "bopdmd":
        return bopdmd(quick)
    if case == "rank 10":
        X, _ = linear_data(1000, 2000, RANK, 1e-3)
        return X, {
            "skdyn": lambda: DMD(RANK).fit(X).spectrum_.eigenvalues,
            "randomized_svd": lambda: randomized_svd(X[:-1], RANK, random_state=0),
        }
    n = {"kernel": 2000, "nystrom": 20000}[case]
    return kernels(n // 4 if quick else n, None if case == "kernel" else 300)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--case", choices=CASES, default=None)
    arguments.add_argument("--peak", default=None, help="print the peak of one call")
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    with limit_threads(options.threads):
        if options.peak:
            _, calls = build(options.case, options.quick)
            report_peak(calls[options.peak])
            return
        print_environment(options.threads)
        for case in CASES if options.case is None else (options.case,):
            compare(case, options)


def compare(case: str, options: Any) -> None:
    """Time one case and print its table."""
    about, calls = build(case, options.quick)
    answers = {name: call() for name, call in calls.items()}
    repeats = options.repeats or (2 if options.quick else 3)
    seconds = interleaved(calls, repeats)
    rows = []
    for name in calls:
        peak = None
        if not options.quick and case not in ("optdmd", "rank 10"):
            peak = peak_memory(__file__, ["--case", case, "--peak", name])
        rows.append(
            (
                name,
                middle(seconds)[name],
                middle_ratio(seconds, name, "skdyn"),
                peak,
                quality(case, answers, name, about),
            )
        )
    title = {
        "hankel wide": "last column: largest difference of eigenvalues from skdyn's",
        "hankel tall": "last column: largest difference of eigenvalues from skdyn's",
        "optdmd": "last column: largest error of the rates",
        "bopdmd": "last column: largest error of the rates",
        "rank 10": "",
        "kernel": "last column: R² of one step ahead",
        "nystrom": "last column: R² of one step ahead",
    }[case]
    print_table(
        f"{case} ({title})" if title else case,
        ("", "median s", "/ skdyn", "peak MB", "quality"),
        rows,
    )


def quality(case: str, answers: dict[str, Any], name: str, about: Any) -> float | None:
    """The last column."""
    answer = answers[name]
    if case.startswith("hankel"):
        return rate_error(answer, np.asarray(answers["skdyn"]))
    if case in ("optdmd", "bopdmd"):
        return rate_error(answer, about)
    if case in ("kernel", "nystrom"):
        return one_step_score(answer, about)
    return None


pydmd: Any = None
kooplearn: Any = None
deeptime: Any = None
try:
    import pydmd
except ImportError:
    print("PyDMD is not installed: left out")
try:
    import kooplearn.kernel as kooplearn
except ImportError:
    print("kooplearn is not installed: left out")
try:
    import deeptime.decomposition as deeptime
except ImportError:
    print("deeptime is not installed: left out")

if __name__ == "__main__":
    main()

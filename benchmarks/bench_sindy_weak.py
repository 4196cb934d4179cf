"""WeakSINDy: accuracy on clean and noisy data, width of test functions, speed, memory.

Lorenz-63, dt = 0.01, T = 20, from [-8, 8, 27], degree 2; all settings are the defaults
unless said otherwise; errors are |coefficients - truth| / |truth|.

* Clean data: WeakSINDy and SINDy beside PySINDy's weak form with its defaults (100
  subdomains at random) and with its ridge turned off.
* Noise ladder: 10 seeds, white noise as a fraction of the root mean square of the
  whole array, and of each column; exact supports, median errors, and, as what is left
  once the terms are known, errors of least squares on the true terms, with and without
  the correction for noise.
* Width: median error on the true terms by the deviation of the test function, relative
  to the time scale of the data, for several systems; the default is 0.4.
* Speed: a fit with all windows, CPU seconds, beside a floor (FFT convolution, Gram
  matrix and thresholding in plain numpy) and PySINDy with as many subdomains.
* Memory: what a fit of many rows adds at its peak, against all terms of all rows.

Targets: 1e-10 on clean data; 10, 10, 8 and 4 exact supports of 10 with errors up to
2e-4, 1.6e-3, 2e-2 and 8e-2; at most 1.5 times the floor, at least 20 times PySINDy.

Run: ``python benchmarks/bench_sindy_weak.py [--quick] [--threads N]``.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from _harness import (
    limit_threads,
    parser,
    peak_memory,
    print_environment,
    print_table,
    report_peak,
    timed,
)
from scipy.signal import fftconvolve

from skdyn.datasets import (
    Flow,
    lorenz63,
    make_trajectories,
    rossler,
    van_der_pol,
)
from skdyn.preprocessing import PolynomialLift
from skdyn.sindy import STLSQ, SINDy, WeakSINDy
from skdyn.sindy._test_functions import noise_variance, rate_of_change

try:
    import pysindy
except ImportError:
    pysindy = None

NOISES = [0.001, 0.01, 0.05, 0.1]
TRUTH = np.zeros((3, 10))
TRUTH[0, [1, 2]] = -10, 10
TRUTH[1, [1, 2, 6]] = 28, -1, -1
TRUTH[2, [3, 5]] = -8 / 3, 1


def lorenz(n: int) -> np.ndarray:
    return make_trajectories(
        lorenz63(),
        n,
        dt=0.01,
        starts=[-8.0, 8.0, 27.0],
        warmup=0,
        rtol=1e-13,
        atol=1e-13,
    )


def error(coef: np.ndarray, truth: np.ndarray = TRUTH) -> float:
    return float(np.linalg.norm(coef - truth) / np.linalg.norm(truth))


def exact(coef: np.ndarray) -> bool:
    return bool(((coef != 0) == (TRUTH != 0)).all())


# -- PySINDy ---------------------------------------------------------------------------


def peer(n: int, n_windows: int, alpha: float | None) -> Callable[[np.ndarray], Any]:
    """A fit of PySINDy's weak form, made anew for each call."""
    options = {} if alpha is None else {"alpha": alpha}

    def fit(x: np.ndarray) -> np.ndarray:
        np.random.seed(0)  # noqa: NPY002 (the subdomains are drawn so)
        library = pysindy.WeakPDELibrary(
            pysindy.PolynomialLibrary(2, include_bias=True),
            spatiotemporal_grid=0.01 * np.arange(n),
            K=n_windows,
        )
        model = pysindy.SINDy(
            feature_library=library, optimizer=pysindy.STLSQ(threshold=0.1, **options)
        )
        model.fit(x, t=0.01)
        return np.asarray(model.coefficients())

    return fit


def floor(x: np.ndarray, reach: int, degree: int) -> np.ndarray:
    """The least that a fit with all windows can be: no checks, one test function."""
    s = np.arange(-reach, reach + 1) / (reach + 1)
    phi = (1 - s**2) ** degree
    slope = -2 * degree * s * (1 - s**2) ** (degree - 1) / (0.01 * (reach + 1))
    a, b, c = x.T
    columns = [np.ones_like(a), a, b, c, a * a, a * b, a * c, b * b, b * c, c * c]
    G = fftconvolve(np.stack(columns, axis=1), phi[:, None], "valid", axes=0)
    B = fftconvolve(x, slope[:, None], "valid", axes=0)
    gram, right = G.T @ G, G.T @ B
    size = np.sqrt(np.diagonal(gram))
    support, coef = np.ones((3, 10), dtype=bool), np.zeros((3, 10))
    while True:
        coef[:] = 0
        for j, terms in enumerate(support):
            unit = size[terms]
            some = gram[np.ix_(terms, terms)] / np.outer(unit, unit)
            coef[j, terms] = np.linalg.solve(some, right[terms, j] / unit) / unit
        kept = support & (np.abs(coef) >= 0.1)
        if (kept == support).all():
            return coef
        support = kept


# -- tables ----------------------------------------------------------------------------


def clean() -> None:
    x = lorenz(2001)
    calls: dict[str, Callable[[], np.ndarray]] = {
        "WeakSINDy()": lambda: WeakSINDy(dt=0.01).fit(x).coef_,
        "WeakSINDy(STLSQ(0.1))": lambda: (
            WeakSINDy(None, STLSQ(0.1), dt=0.01).fit(x).coef_
        ),
        "SINDy()": lambda: SINDy(dt=0.01).fit(x).coef_,
    }
    if pysindy is not None:
        calls["PySINDy, defaults"] = lambda: peer(2001, 100, None)(x)
        calls["PySINDy, alpha=0"] = lambda: peer(2001, 100, 0.0)(x)
    rows = []
    for name, call in calls.items():
        coef = call()
        rows.append([name, exact(coef), error(coef)])
    print_table("clean Lorenz, dt 0.01, T 20", ["", "exact terms", "error"], rows)


def ladder(seeds: int) -> None:
    x = lorenz(2001)
    for title, size in (
        ("the whole array", np.sqrt(np.mean(x**2))),
        ("each column", np.sqrt(np.mean(x**2, axis=0))),
    ):
        rows: dict[str, list[Any]] = {}
        for noise in NOISES:
            found: dict[str, list[tuple[bool, float]]] = {}
            for seed in range(seeds):
                rng = np.random.default_rng(seed)
                noisy = x + noise * size * rng.standard_normal(x.shape)
                weak = WeakSINDy(dt=0.01).fit(noisy)
                plain = WeakSINDy(dt=0.01, noise=0).fit(noisy)
                strong = SINDy(dt=0.01).fit(noisy)
                for name, model in (
                    ("WeakSINDy()", weak),
                    ("WeakSINDy(noise=0)", plain),
                    ("SINDy()", strong),
                ):
                    for kind, coef in (
                        ("", model.coef_),
                        (", true terms", model.problem_.solve(TRUTH != 0)),
                    ):
                        found.setdefault(name + kind, []).append(
                            (exact(coef), error(coef))
                        )
            for name, each in found.items():
                right = sum(ok for ok, _ in each)
                typical = median(value for _, value in each)
                shown = "" if "true" in name else f"{right}/{seeds}  "
                rows.setdefault(name, []).append(f"{shown}{typical:.2g}")
        print_table(
            f"exact terms and median error, noise relative to {title}",
            ["noise", *(f"{noise:g}" for noise in NOISES)],
            [[name, *values] for name, values in rows.items()],
        )


def widths(seeds: int) -> None:
    systems: dict[str, tuple[Flow, int]] = {
        "Lorenz": (lorenz63(), 2),
        "Rossler": (rossler(), 2),
        "van der Pol": (van_der_pol(), 3),
    }
    shares = [0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2]
    rows = []
    for name, (system, degree) in systems.items():
        x = make_trajectories(system, 2000, rtol=1e-11, atol=1e-11, random_state=0)
        lift = PolynomialLift(degree)
        theta = np.asarray(lift.fit_transform(x))
        slopes = system.velocity(np.zeros(len(x)), x)
        truth = np.linalg.lstsq(theta, slopes, rcond=None)[0].T
        truth[np.abs(truth) < 1e-6] = 0
        step = system.dt
        rate = rate_of_change(x, step, noise_variance(x))
        for noise in (0.01, 0.1):
            errors: dict[float, list[float]] = {share: [] for share in shares}
            for seed in range(seeds):
                rng = np.random.default_rng(seed)
                y = x + noise * x.std(axis=0) * rng.standard_normal(x.shape)
                for share in shares:
                    a = max(share / rate, 1.5 * step) * np.sqrt(2 * 10 + 3)
                    model = WeakSINDy(
                        lift, STLSQ(0.0), half_width=a, degree=10, dt=step
                    ).fit(y)
                    coef = model.problem_.solve(truth != 0)
                    errors[share].append(error(coef, truth))
            rows.append([f"{name}, {noise:g}", *map(median, errors.values())])
    print_table(
        "error on the true terms by deviation of phi times rate of change",
        ["", *(f"{share:g}" for share in shares)],
        rows,
    )


def cpu(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Least CPU seconds of each call, in turn: other work on the machine adds none."""
    least = dict.fromkeys(calls, np.inf)
    for _ in range(repeats):
        for name, call in calls.items():
            least[name] = min(least[name], timed(call, cpu=True)[1])
    return least


def speed(sizes: list[int], repeats: int) -> None:
    rows = []
    for n in sizes:
        x = lorenz(n)
        model = WeakSINDy(None, STLSQ(0.1), dt=0.01).fit(x)
        bump = model.half_widths_[0], int(model.degrees_[0])
        reach = int(np.ceil(bump[0] / 0.01)) - 1
        noisy = x + 0.1 * np.random.default_rng(0).standard_normal(x.shape)
        calls: dict[str, Callable[[], Any]] = {
            "floor": lambda x=x, r=reach, p=bump[1]: floor(x, r, p),
            "clean": lambda x=x: WeakSINDy(None, STLSQ(0.1), dt=0.01).fit(x),
            "noisy": lambda x=noisy: WeakSINDy(None, STLSQ(0.1), dt=0.01).fit(x),
        }
        least = cpu(calls, repeats)
        theirs = None
        if pysindy is not None and n <= 10_000:
            fit = peer(n, n - 2 * reach, None)
            theirs = cpu({"peer": lambda x=x, fit=fit: fit(x)}, 2)["peer"]
        rows.append(
            [
                f"{n} rows",
                *(1e3 * least[name] for name in ("floor", "clean", "noisy")),
                least["clean"] / least["floor"],
                None if theirs is None else 1e3 * theirs,
                None if theirs is None else theirs / least["clean"],
            ]
        )
    print_table(
        "all windows, CPU ms",
        ["", "floor", "clean", "noisy", "times floor", "PySINDy", "times faster"],
        rows,
    )


def memory(n: int) -> None:
    added = peak_memory(__file__, ["--peak", str(n)])
    print_table(
        f"peak memory of a fit of {n} rows, degree 5",
        ["", "MB"],
        [["all terms of all rows", 8e-6 * n * 56], ["WeakSINDy", added]],
    )


def peak(n: int) -> None:
    x = np.tile(lorenz(10_000), (-(-n // 10_000), 1))[:n]
    WeakSINDy(PolynomialLift(5), STLSQ(0.1), dt=0.01).fit(x[:20_000])
    report_peak(
        lambda: WeakSINDy(PolynomialLift(5), STLSQ(0.1), dt=0.01, noise=0).fit(x)
    )


def main() -> None:
    warnings.simplefilter("ignore")
    if "--peak" in sys.argv:
        peak(int(sys.argv[-1]))
        return
    arguments = parser(__doc__).parse_args()
    quick = arguments.quick
    print_environment(arguments.threads)
    with limit_threads(arguments.threads):
        clean()
        ladder(2 if quick else 10)
        widths(1 if quick else 5)
        speed([2_000] if quick else [2_000, 10_000, 100_000], 5 if quick else 15)
        memory(100_000 if quick else 1_000_000)


if __name__ == "__main__":
    main()

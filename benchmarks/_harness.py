"""Shared helpers of the benchmarks: timings, peak memory, tables.

* `interleaved` times several callables in the order A B C A B C ..., so that a busy
  moment of the machine hits all of them, and ratios within one run can be trusted;
  `timed` times one call and keeps its answer.
* `peak_memory` and `report_peak` measure the memory that one call adds at its peak, in
  a fresh process.
* `parser`, `limit_threads`, `print_environment` and `print_table` are the frame of a
  script.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from threadpoolctl import threadpool_limits

__all__ = [
    "interleaved",
    "limit_threads",
    "middle",
    "middle_ratio",
    "parser",
    "peak_memory",
    "print_environment",
    "print_table",
    "report_peak",
    "timed",
]


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser with the flags that all benchmarks have."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("--quick", action="store_true", help="small data, few repeats")
    result.add_argument(
        "--threads", type=int, default=1, help="threads of BLAS (default: 1)"
    )
    result.add_argument("--repeats", type=int, default=0, help="0: as the case needs")
    return result


def limit_threads(n_threads: int) -> threadpool_limits:
    """A context in which BLAS and OpenMP use so many threads."""
    return threadpool_limits(limits=n_threads)


def interleaved(
    calls: dict[str, Callable[[], Any]], repeats: int, inner: int = 1
) -> dict[str, list[float]]:
    """Seconds of each call, timed in turn: A B C A B C ...

    Parameters
    ----------
    calls : dict of str to callable
        What to time, without arguments.
    repeats : int
        Number of timings of each.
    inner : int
        Runs within one timing, whose mean is taken: above 1 for calls of microseconds.

    Returns
    -------
    dict of str to list of float
        `repeats` timings of each call; `statistics.median` is what to report.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            gc.collect()
            start = time.perf_counter()
            for _ in range(inner):
                call()
            seconds[name].append((time.perf_counter() - start) / inner)
    return seconds


def timed(call: Callable[[], Any], cpu: bool = False) -> tuple[Any, float]:
    """What a call gives, and its seconds: of the clock, or of the CPU."""
    clock = time.process_time if cpu else time.perf_counter
    start = clock()
    answer = call()
    return answer, clock() - start


def peak_memory(script: str, arguments: Sequence[str]) -> float | None:
    """Run `script` with `arguments` in a fresh process that calls `report_peak`.

    Returns
    -------
    float or None
        MB that the call added at its peak; None where the process failed.
    """
    done = subprocess.run(
        [sys.executable, script, *arguments], capture_output=True, text=True
    )
    if done.returncode:
        print(done.stderr.strip().splitlines()[-1:], file=sys.stderr)
        return None
    return float(done.stdout.strip().splitlines()[-1])


def report_peak(call: Callable[[], Any]) -> None:
    """Print the MB that `call` adds at its peak to what is held before it.

    The data is to be made before, and BLAS to be warm, since its buffers count.
    """
    gc.collect()
    _reset_peak()
    before = _peak()
    kept = call()
    print(f"{(_peak() - before) / 1e6:.3f}")
    del kept


def _reset_peak() -> None:
    # Linux: what was freed before the call is given back and forgotten, or the call
    # would reuse it unseen.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> float:
    """Peak resident bytes of this process.

    On Linux ru_maxrss of a child starts at the size of the process that made it, so the
    kernel's own high-water mark is read where there is one.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return 1024.0 * int(line.split()[1])
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return float(unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def print_environment(threads: int) -> None:
    """Print what the numbers depend on."""
    packages = ["skdyn", "numpy", "scipy", "scikit-learn", "pydmd"]
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} (none)")
    print(f"python {platform.python_version()}, {', '.join(found)}")
    print(f"{os.cpu_count()} cores, {threads} BLAS thread(s), {platform.system()}")


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Print rows under a title; the first column is left-aligned, None is a dash."""
    cells = [[_show(value) for value in row] for row in rows]
    table = [list(columns), *cells]
    widths = [max(len(row[j]) for row in table) for j in range(len(columns))]
    print(f"\n{title}")
    for i, row in enumerate(table):
        first = row[0].ljust(widths[0])
        rest = [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
        print("  ".join([first, *rest]).rstrip())
        if i == 0:
            print("  ".join("-" * width for width in widths))
    sys.stdout.flush()


def _show(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def middle(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Medians of what `interleaved` returns."""
    return {name: median(values) for name, values in seconds.items()}


def middle_ratio(seconds: dict[str, list[float]], name: str, base: str) -> float:
    """Median of the ratios of timings that were taken in the same round."""
    pairs = zip(seconds[name], seconds[base], strict=True)
    return median(a / b for a, b in pairs)

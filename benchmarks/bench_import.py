"""What it costs to import skdyn, beside scikit-learn.

Measured: seconds of one import statement in a fresh interpreter, as the median over
interleaved rounds (A B C A B C ...), with the file cache and compiled files warm; and
the ratio to ``import sklearn.linear_model``, as the median of the rounds' ratios. skdyn
stands on numpy, scipy and scikit-learn, so what it adds is what counts.

Also checked: that no import of skdyn loads torch, matplotlib or pandas.

Target: ``import skdyn`` and ``from skdyn.koopman import DMD`` within 1.5 times.

Run: ``python benchmarks/bench_import.py [--quick]``.
"""

from __future__ import annotations

import subprocess
import sys
from statistics import median

from _harness import middle_ratio, parser, print_environment, print_table

BASE = "import sklearn.linear_model"
STATEMENTS = [
    "import numpy",
    BASE,
    "import skdyn",
    "from skdyn.koopman import DMD",
    "from skdyn.pipeline import make_pipeline",
    "from skdyn.model_selection import forecast_scorer",
    "from skdyn import DMD",
]
HEAVY = ("torch", "matplotlib", "pandas")
PROGRAM = """\
import time
start = time.perf_counter()
{statement}
print(time.perf_counter() - start)
import sys
print(*[name for name in {heavy} if name in sys.modules])
"""


def import_once(statement: str) -> tuple[float, str]:
    """Seconds of the statement in a fresh interpreter, and heavy modules loaded.

    Raises
    ------
    ImportError
        If the statement fails.
    """
    program = PROGRAM.format(statement=statement, heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True
    )
    if done.returncode:
        raise ImportError(done.stderr.strip().splitlines()[-1])
    seconds, heavy = done.stdout.split("\n")[:2]
    return float(seconds), heavy


def main() -> None:
    """Time all statements in turn."""
    arguments = parser(__doc__).parse_args()
    repeats = arguments.repeats or (3 if arguments.quick else 15)
    heavy, missing = {}, []
    for statement in STATEMENTS:
        # The first import compiles and fills the file cache.
        try:
            heavy[statement] = import_once(statement)[1]
        except ImportError:
            missing.append(statement)
    seconds: dict[str, list[float]] = {name: [] for name in heavy}
    for _ in range(repeats):
        for statement in heavy:
            seconds[statement].append(import_once(statement)[0])
    print_environment(arguments.threads)
    rows = [
        (
            statement,
            median(values),
            min(values),
            middle_ratio(seconds, statement, BASE),
            heavy[statement] or "none",
        )
        for statement, values in seconds.items()
    ]
    print_table(
        f"fresh interpreters, {repeats} rounds",
        ["", "median s", "least s", "/ sklearn.linear_model", "heavy modules"],
        rows,
    )
    for statement in missing:
        print(f"{statement}: not available")
    for statement in ("import skdyn", "from skdyn.koopman import DMD"):
        ratio = middle_ratio(seconds, statement, BASE)
        print(f"{statement}: {'met' if ratio <= 1.5 else 'MISSED'} ({ratio:.3g})")


if __name__ == "__main__":
    main()

"""The table of systems in the user guide says what the systems carry."""

import math
from pathlib import Path

import pytest

from skdyn import datasets

PAGE = Path(__file__).parents[2] / "docs" / "user_guide" / "datasets.rst"
SYSTEMS = [
    name
    for name in datasets.__all__
    if not name.startswith(("make_", "load_")) and name not in ("Flow", "Map")
]


def rows():
    """The rows of the list-table: name of the factory to its other cells."""
    table = PAGE.read_text(encoding="utf-8").split(".. list-table::")[1]
    found = {}
    for row in table.split("   * - ")[2:]:
        cells = [" ".join(cell.split()) for cell in row.split("\n     -")]
        found[cells[0].strip("` ")] = cells[1:]
    return found


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_figures_of_the_table(name):
    if not PAGE.exists():
        pytest.skip("the user guide is not here")
    system = getattr(datasets, name)()
    _, _, period, exponent, _ = rows()[name]
    words = {"2π": 2 * math.pi, "log 2": math.log(2.0)}
    for cell, known in (
        (period, system.period),
        (exponent, (system.lyapunov_exponents or (None,))[0]),
    ):
        figure = cell.split("[#")[0].removesuffix(" ms").strip()
        if known is None:
            assert figure == ""
        else:
            value = words[figure] if figure in words else float(figure)
            assert value == pytest.approx(known, rel=2e-3)


def test_no_row_is_of_something_else():
    if not PAGE.exists():
        pytest.skip("the user guide is not here")
    assert set(rows()) == set(SYSTEMS)

"""Yearly sunspot numbers, 1700 to 2008."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import numpy as np
from sklearn.utils import Bunch

__all__ = ["load_sunspots"]

_DESCRIPTION = """\
Yearly mean sunspot numbers (International Sunspot Number, version 1), 1700 to 2008.

309 rows, one a year. The Schwabe cycle lasts about 11 years, with peaks of uneven
height.

Source: National Geophysical Data Center, National Oceanic and Atmospheric
Administration (USA), from the Royal Observatory of Belgium's SIDC; the same numbers are
shipped with statsmodels and, to 1988, with R as ``sunspot.year``.
Licence: public domain; the numbers are plain facts of observation.
"""


def load_sunspots(*, as_frame: bool = False) -> Bunch:
    """Load the yearly sunspot numbers.

    Parameters
    ----------
    as_frame : bool, default=False
        Whether `data` is a pandas DataFrame with the years as a time index.

    Returns
    -------
    Bunch
        ``data``: ndarray of shape (309, 1), or DataFrame; ``year``: ndarray of int of
        shape (309,); ``feature_names``; ``dt``: 1.0, in years; ``DESCR``: source and
        licence.

    Examples
    --------
    >>> from skdyn.datasets import load_sunspots
    >>> sunspots = load_sunspots()
    >>> sunspots.data.shape, int(sunspots.year[0]), int(sunspots.year[-1])
    ((309, 1), 1700, 2008)
    """
    path = files("skdyn.datasets") / "data" / "sunspots.csv"
    with path.open(encoding="utf-8") as table:
        values = np.loadtxt(table, delimiter=",", skiprows=1)
    year, data = values[:, 0].astype(int), np.ascontiguousarray(values[:, 1:])
    names = ["sunspots"]
    frame: Any = data
    if as_frame:
        import pandas as pd

        index = pd.PeriodIndex([str(y) for y in year], freq="Y", name="year")
        frame = pd.DataFrame(data, columns=names, index=index)
    return Bunch(data=frame, year=year, feature_names=names, dt=1.0, DESCR=_DESCRIPTION)

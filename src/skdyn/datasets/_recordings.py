"""Recordings shipped with skdyn: small, real, free of rights."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import numpy as np
from sklearn.utils import Bunch

__all__ = ["load_lynx_hare", "load_nino_sst", "load_sunspots"]

_SUNSPOTS = """\
Yearly mean sunspot numbers (International Sunspot Number, version 1), 1700 to 2008.

309 rows, one a year. The Schwabe cycle lasts about 11 years, with peaks of uneven
height.

Source: National Geophysical Data Center, National Oceanic and Atmospheric
Administration (USA), from the Royal Observatory of Belgium's SIDC; the same numbers are
shipped with statsmodels and, to 1988, with R as ``sunspot.year``.
Licence: public domain; the numbers are plain facts of observation.
"""

_NINO_SST = """\
Monthly mean sea surface temperature off Peru and Ecuador (the region Niño 1+2, 0 to 10
degrees south, 90 to 80 degrees west), January 1950 to December 2010, in degrees
Celsius.

732 rows, one a month. A year's cycle of some 6 degrees, and the warm El Niño events
(1982-83 and 1997-98 are the largest) that come every two to seven years.

Source: National Oceanic and Atmospheric Administration (USA), Climate Prediction
Center, from the reconstruction ERSST version 3b; the same numbers are shipped with
statsmodels as ``elnino``.
Licence: public domain; a work of the government of the USA.
"""

_LYNX_HARE = """\
Pelts of snowshoe hares and Canadian lynxes that the Hudson's Bay Company collected,
1900 to 1920, in thousands.

21 rows, one a year. Prey and predators swing together with a period of about 10 years,
the predators a year or two behind.

Source: MacLulich, "Fluctuations in the numbers of the varying hare (Lepus americanus)",
University of Toronto Studies, Biological Series 43 (1937), and Elton & Nicholson, "The
ten-year cycle in numbers of the lynx in Canada", Journal of Animal Ecology 11 (1942),
215, as tabulated in Carpenter, "Predator-prey population dynamics: the Lotka-Volterra
model in Stan" (2018).
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
    values = _read("sunspots.csv")
    year = values[:, 0].astype(int)
    return _bunch(values[:, 1:], ["sunspots"], year, None, 1.0, _SUNSPOTS, as_frame)


def load_nino_sst(*, as_frame: bool = False) -> Bunch:
    """Load the monthly sea surface temperatures of El Niño, off Peru and Ecuador.

    Parameters
    ----------
    as_frame : bool, default=False
        Whether `data` is a pandas DataFrame with the months as a time index.

    Returns
    -------
    Bunch
        ``data``: ndarray of shape (732, 1), in degrees Celsius, or DataFrame; ``year``
        and ``month``: ndarrays of int of shape (732,); ``feature_names``; ``dt``: 1/12,
        in years; ``DESCR``: source and licence.

    Examples
    --------
    >>> from skdyn.datasets import load_nino_sst
    >>> nino = load_nino_sst()
    >>> nino.data.shape, int(nino.year[0]), int(nino.year[-1])
    ((732, 1), 1950, 2010)
    """
    values = _read("nino_sst.csv")
    year, month = values[:, 0].astype(int), values[:, 1].astype(int)
    return _bunch(values[:, 2:], ["sst"], year, month, 1 / 12, _NINO_SST, as_frame)


def load_lynx_hare(*, as_frame: bool = False) -> Bunch:
    """Load the yearly pelts of hares and lynxes, the classic of prey and predators.

    Parameters
    ----------
    as_frame : bool, default=False
        Whether `data` is a pandas DataFrame with the years as a time index.

    Returns
    -------
    Bunch
        ``data``: ndarray of shape (21, 2), columns hare and lynx in thousands, or
        DataFrame; ``year``: ndarray of int of shape (21,); ``feature_names``; ``dt``:
        1.0, in years; ``DESCR``: source and licence.

    See Also
    --------
    lotka_volterra : The equations, with parameters fitted to these numbers.

    Examples
    --------
    >>> from skdyn.datasets import load_lynx_hare
    >>> pelts = load_lynx_hare()
    >>> pelts.data[:2]
    array([[30. ,  4. ],
           [47.2,  6.1]])
    """
    values = _read("lynx_hare.csv")
    year = values[:, 0].astype(int)
    names = ["hare", "lynx"]
    return _bunch(values[:, 1:], names, year, None, 1.0, _LYNX_HARE, as_frame)


def _read(name: str) -> np.ndarray:
    path = files("skdyn.datasets") / "data" / name
    with path.open(encoding="utf-8") as table:
        return np.loadtxt(table, delimiter=",", skiprows=1)


def _bunch(
    values: np.ndarray,
    names: list[str],
    year: np.ndarray,
    month: np.ndarray | None,
    dt: float,
    description: str,
    as_frame: bool,
) -> Bunch:
    data: Any = np.ascontiguousarray(values)
    if as_frame:
        import pandas as pd

        if month is None:
            index = pd.PeriodIndex([str(y) for y in year], freq="Y", name="year")
        else:
            stamps = [f"{y}-{m:02d}" for y, m in zip(year, month, strict=True)]
            index = pd.PeriodIndex(stamps, freq="M", name="month")
        data = pd.DataFrame(data, columns=names, index=index)
    when = {"year": year} if month is None else {"year": year, "month": month}
    return Bunch(data=data, **when, feature_names=names, dt=dt, DESCR=description)

"""Ready grids for searches over reservoirs, and how to search.

What is worth searching, in this order: the strength of the drive and the spectral
radius, between which nonlinearity and memory are traded; the leak rate, where the data
is slow against its step; the size. The ridge penalty is not among them: with
``alpha="auto"`` each ``fit`` chooses it, over all folds, from one pass of the reservoir
through the data, where a search would drive it anew for each value and fold.
"""

from __future__ import annotations

from typing import Any, Literal

__all__ = ["esn_grid", "nvar_grid"]

_ESN: dict[str, dict[str, list[Any]]] = {
    "small": {
        "spectral_radius": [0.2, 0.6, 0.9],
        "input_scaling": [0.1, 0.3, 1.0],
    },
    "medium": {
        "spectral_radius": [0.1, 0.4, 0.7, 0.95],
        "input_scaling": [0.03, 0.1, 0.3, 1.0],
        "leak_rate": [0.3, 1.0],
    },
    "large": {
        "spectral_radius": [0.1, 0.4, 0.7, 0.9, 1.1],
        "input_scaling": [0.03, 0.1, 0.3, 1.0],
        "leak_rate": [0.1, 0.3, 1.0],
        "bias_scaling": [0.3, 1.0],
        "quadratic_readout": [False, True],
    },
}
_NVAR: dict[str, dict[str, list[Any]]] = {
    "small": {"n_delays": [1, 2, 4], "degree": [2, 3]},
    "medium": {"n_delays": [1, 2, 3, 5], "delay": [1, 3, 5], "degree": [1, 2, 3]},
}


def esn_grid(
    size: Literal["small", "medium", "large"] = "small", *, prefix: str = ""
) -> dict[str, list[Any]]:
    """Parameters of `ESN` to search over.

    Parameters
    ----------
    size : {"small", "medium", "large"}, default="small"
        9, 32 or 240 candidates. Use the larger with a random or halving search.
    prefix : str, default=""
        What stands before each name: ``"esn__"`` for the step ``esn`` of a Pipeline.

    Returns
    -------
    dict of str to list
        For GridSearchCV and its relatives; a new one at every call.

    Raises
    ------
    ValueError
        If there is no grid of this size.

    See Also
    --------
    skdyn.model_selection.forecast_scorer : What to search by.
    skdyn.model_selection.RollingOriginSplit : How to split one trajectory.

    Notes
    -----
    Search by forecasts, not by one-step errors, and leave `alpha` at ``"auto"``.

    A halving search gives more of some resource to fewer and fewer candidates. Let this
    be the size of the network: ``HalvingGridSearchCV(..., resource="n_units",
    min_resources=50, max_resources=450)``. Its default resource, rows, picks them
    scattered over time, which leaves no trajectory.

    Examples
    --------
    >>> from sklearn.experimental import enable_halving_search_cv
    >>> from sklearn.model_selection import HalvingGridSearchCV
    >>> from skdyn.datasets import make_lorenz63
    >>> from skdyn.model_selection import RollingOriginSplit, forecast_scorer
    >>> from skdyn.reservoir import ESN, esn_grid
    >>> search = HalvingGridSearchCV(
    ...     ESN(),
    ...     esn_grid("small"),
    ...     resource="n_units",
    ...     min_resources=20,
    ...     max_resources=60,
    ...     cv=RollingOriginSplit(2, horizon=100, context=100),
    ...     scoring=forecast_scorer("cme", horizon=30, context=70),
    ... )
    >>> search.fit(make_lorenz63(600)).best_params_["n_units"]
    60
    """
    return _named(_ESN, size, prefix, "esn_grid")


def nvar_grid(
    size: Literal["small", "medium"] = "small", *, prefix: str = ""
) -> dict[str, list[Any]]:
    """Parameters of `NVAR` to search over.

    Parameters
    ----------
    size : {"small", "medium"}, default="small"
        6 or 36 candidates.
    prefix : str, default=""
        What stands before each name: ``"nvar__"`` for the step ``nvar`` of a Pipeline.

    Returns
    -------
    dict of str to list
        For GridSearchCV and its relatives; a new one at every call.

    Raises
    ------
    ValueError
        If there is no grid of this size.

    Examples
    --------
    >>> from skdyn.reservoir import nvar_grid
    >>> sorted(nvar_grid(prefix="nvar__"))
    ['nvar__degree', 'nvar__n_delays']
    """
    return _named(_NVAR, size, prefix, "nvar_grid")


def _named(
    grids: dict[str, dict[str, list[Any]]], size: str, prefix: str, who: str
) -> dict[str, list[Any]]:
    if size not in grids:
        raise ValueError(
            f"{who} needs a size among {', '.join(map(repr, grids))}, got {size!r}."
        )
    return {f"{prefix}{name}": list(values) for name, values in grids[size].items()}

"""Dynamical systems as values: a flow or a map, with what is known about it.

A `Flow` is x' = f(t, x), a `Map` is x[k + 1] = F(x[k]). Both are frozen, take whole
batches (batch, n_features), and carry what the literature says of them, so that data
generators, inspection and tests share one definition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Flow", "Map"]


@dataclass(frozen=True, eq=False)
class Flow:
    """A system in continuous time, x' = f(t, x).

    Attributes
    ----------
    velocity : callable
        ``velocity(t, x) -> x'`` with `t` of shape (batch,) and `x` of shape
        (batch, n_features).
    n_features : int
        Dimension of the state.
    jacobian : callable or None
        ``jacobian(t, x) -> (batch, n_features, n_features)``, rows by equation.
    name : str
        The name in the literature.
    feature_names : tuple of str
        Names of the coordinates.
    parameters : mapping
        Parameters of the equations, by name.
    dt : float
        A usual time between rows.
    period : float or None
        A typical time of one turn.
    lyapunov_exponents : tuple of float or None
        Known exponents per unit time, largest first (perhaps only the largest).
    start : callable or None
        ``start(rng, n) -> (n, n_features)``, random starts near the attractor.
    warmup : float
        A time after which a start has come to the attractor.
    is_stiff : bool
        Whether an implicit solver is needed.
    reference : str
        Where equations and figures come from.
    """

    velocity: Callable[[np.ndarray, np.ndarray], np.ndarray]
    n_features: int
    jacobian: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    name: str = ""
    feature_names: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    dt: float = 0.01
    period: float | None = None
    lyapunov_exponents: tuple[float, ...] | None = None
    start: Callable[[np.random.RandomState, int], np.ndarray] | None = None
    warmup: float = 0.0
    is_stiff: bool = False
    reference: str = ""


@dataclass(frozen=True, eq=False)
class Map:
    """A system in discrete time, x[k + 1] = F(x[k]).

    Attributes
    ----------
    step : callable
        ``step(x) -> x``, on arrays (batch, n_features).
    n_features : int
        Dimension of the state.
    jacobian : callable or None
        ``jacobian(x) -> (batch, n_features, n_features)``, rows by equation.
    name, feature_names, parameters, lyapunov_exponents, start, reference
        As in `Flow`; exponents are per unit time.
    dt : float
        Time of one step, 1 for a map proper.
    period : float or None
        A typical time of one turn.
    warmup : float
        A time after which a start has come to the attractor.
    """

    step: Callable[[np.ndarray], np.ndarray]
    n_features: int
    jacobian: Callable[[np.ndarray], np.ndarray] | None = None
    name: str = ""
    feature_names: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    dt: float = 1.0
    period: float | None = None
    lyapunov_exponents: tuple[float, ...] | None = None
    start: Callable[[np.random.RandomState, int], np.ndarray] | None = None
    warmup: float = 0.0
    reference: str = ""

"""Dynamical systems as values: a flow or a map, with what is known about it.

A `Flow` is x' = f(t, x), a `Map` is x[k + 1] = F(x[k]). Both are frozen, take whole
batches (batch, n_features), and carry what the literature says of them, so that data
generators, inspection and tests share one definition. The shipped ones hold functions
of modules with their parameters bound, no closures, so that they can be pickled.
"""

from __future__ import annotations

import inspect
import math
import numbers
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

    Examples
    --------
    >>> from skdyn.datasets import Flow, make_trajectories
    >>> decay = Flow(velocity=lambda t, x: -x, n_features=1, name="Decay")
    >>> make_trajectories(decay, 3, starts=[1.0], dt=1.0).ravel().round(4)
    array([1.    , 0.3679, 0.1353])
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

    Examples
    --------
    >>> from skdyn.datasets import Map, make_trajectories
    >>> halving = Map(step=lambda x: x / 2, n_features=1, name="Halving")
    >>> make_trajectories(halving, 4, starts=[1.0]).ravel()
    array([1.   , 0.5  , 0.25 , 0.125])
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


def check_parameters(
    who: str, parameters: Mapping[str, Any], positive: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the parameters of a system, each checked to be a finite number.

    Those named in `positive` must be above zero.
    """
    for name, value in parameters.items():
        real = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not (real and math.isfinite(value)):
            raise ValueError(f"{who} needs a finite number for {name}, got {value!r}.")
        if name in positive and value <= 0:
            raise ValueError(
                f"{who} needs {name} above zero, got {value!r}. Pass a positive number."
            )
    return dict(parameters)


def at_defaults(factory: Callable[..., Any], parameters: Mapping[str, Any]) -> bool:
    """Tell whether `parameters` are the defaults of `factory`.

    What the literature says of a system (period, exponents) is said of one choice of
    its parameters, and must not be handed on with another.
    """
    usual = inspect.signature(factory).parameters
    return all(usual[name].default == value for name, value in parameters.items())


def normal_start(
    rng: np.random.RandomState,
    n: int,
    *,
    center: tuple[float, ...],
    spread: tuple[float, ...],
) -> np.ndarray:
    """Draw `n` starts (n, n_features) around `center`, each row in one go."""
    return np.array(center) + np.array(spread) * rng.standard_normal((n, len(center)))


def uniform_start(
    rng: np.random.RandomState,
    n: int,
    *,
    low: tuple[float, ...],
    high: tuple[float, ...],
) -> np.ndarray:
    """Draw `n` starts (n, n_features), uniform between `low` and `high`."""
    return rng.uniform(low, high, size=(n, len(low)))

"""The chaotic systems of the dysts package, as flows."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from skdyn.datasets._system import Flow

__all__ = ["load_dysts"]


def load_dysts(name: str, *, spread: float = 0.01) -> Flow:
    """Load one of the chaotic systems that Gilpin collected, from the dysts package.

    Parameters
    ----------
    name : str
        Name in dysts, such as "Lorenz", "Halvorsen" or "HyperRossler".
    spread : float, default=0.01
        Random starts are normal around dysts's own initial condition, with this
        fraction of each feature's standard deviation; 0 gives the initial condition
        itself, and with it dysts's own trajectory.

    Returns
    -------
    Flow
        ``dt`` is a hundredth of ``period``, as in dysts's benchmarks; ``warmup`` is 10
        periods. The Jacobian is there where dysts has it. Coordinates are the raw ones
        of dysts's equations: the phases of driven systems are features and grow without
        bound. No system is stiff at the usual tolerances.

    Raises
    ------
    ImportError
        If dysts is not installed; it comes with the extra ``bench``.
    ValueError
        For names that dysts does not have, and for its delay equations.

    See Also
    --------
    make_trajectories : Data from a flow.

    Notes
    -----
    ``lyapunov_exponents`` is dysts's ``maximum_lyapunov_estimated`` alone, the scale
    of its published forecasts. Its other table, ``lyapunov_spectrum_estimated``,
    differs by more than 20% for most systems and is no better: computed anew with
    dysts's Jacobians for 46 systems, the error of either was 17 to 19% in the median
    and above 20% for nearly half. Where exponents matter, compute them, or use
    skdyn's own systems.

    Where the equations of dysts are written so that they take arrays, as most are, a
    batch is one evaluation; elsewhere it is a loop over its states.

    References
    ----------
    Gilpin, "Chaos as an interpretable benchmark for forecasting and data-driven
    modelling", NeurIPS Datasets and Benchmarks (2021).

    Examples
    --------
    >>> from skdyn.datasets import load_dysts, make_trajectories
    >>> system = load_dysts("Halvorsen") # doctest: +SKIP
    >>> make_trajectories(system, 1200).shape # doctest: +SKIP
    (1200, 3)
    """
    if not np.isfinite(spread) or spread < 0:
        raise ValueError(f"spread needs a number of at least 0, got {spread!r}.")
    system = _find(name)
    center = np.asarray(system.ic, dtype=np.float64)
    d = len(center)
    names = tuple(f"x{i}" for i in range(d))
    velocity = _Velocity.of(system, center)
    jacobian = _Jacobian(velocity) if system.has_jacobian() else None
    largest = system.metadata.get("maximum_lyapunov_estimated")
    size = spread * np.broadcast_to(np.asarray(system.std, dtype=np.float64), (d,))
    return Flow(
        velocity=velocity,
        n_features=d,
        jacobian=jacobian,
        name=name,
        feature_names=names,
        parameters=dict(system.params),
        dt=float(system.period) / 100,
        period=float(system.period),
        lyapunov_exponents=None if largest is None else (float(largest),),
        start=partial(_start, center=center, size=size),
        warmup=10 * float(system.period),
        reference=str(system.metadata.get("citation", "")),
    )


def _find(name: str) -> Any:
    """The dysts object of this name, or an error that helps."""
    try:
        with warnings.catch_warnings():
            # dysts warns at import that numba is not there.
            warnings.simplefilter("ignore")
            flows = importlib.import_module("dysts.flows")
    except ImportError as error:
        raise ImportError(
            f"load_dysts needs the package dysts, which could not be imported "
            f"({error}). Install it with: pip install 'skdyn[bench]'"
        ) from error
    kinds = {
        each: kind
        for each, kind in vars(flows).items()
        if isinstance(kind, type)
        and issubclass(kind, (flows.DynSys, flows.DynSysDelay))
        and kind.__module__ == flows.__name__
    }
    if name not in kinds:
        near = [each for each in kinds if str(name).lower() in each.lower()]
        known = ", ".join((near or sorted(kinds))[:8])
        raise ValueError(
            f"load_dysts needs the name of a system, got {name!r}. Pass one of the "
            f"{len(kinds)}, such as {known}."
        )
    if issubclass(kinds[name], flows.DynSysDelay):
        raise ValueError(
            f"{name} is a delay equation, which is no Flow. For Mackey-Glass, use "
            f"skdyn.datasets.mackey_glass."
        )
    return kinds[name]()


def _base_rhs() -> Any:
    """What evaluates the formula of a system that does not do so in its own way."""
    return importlib.import_module("dysts.flows").DynSys.rhs


def _start(
    rng: np.random.RandomState, n: int, *, center: np.ndarray, size: np.ndarray
) -> np.ndarray:
    return center + size * rng.standard_normal((n, len(center)))


@dataclass(frozen=True, eq=False)
class _Velocity:
    """Right-hand side of a dysts system, over batches.

    `is_batched` says that its formula takes arrays of coordinates.
    """

    system: Any
    is_batched: bool

    @staticmethod
    def of(system: Any, center: np.ndarray) -> _Velocity:
        # A formula with a branch, or with its own indexing, fails on arrays or gives
        # something else: it is tried on a few states.
        alone = _Velocity(system, False)
        together = _Velocity(system, True)
        rng = np.random.RandomState(0)
        size = 0.01 * np.broadcast_to(system.std, center.shape)
        x = center + size * rng.standard_normal((len(center) + 2, len(center)))
        t = rng.uniform(size=len(x))
        if type(system).rhs is not _base_rhs():
            return alone
        try:
            with np.errstate(all="ignore"):
                agrees = np.array_equal(together(t, x), alone(t, x), equal_nan=True)
        except (TypeError, ValueError, IndexError):
            return alone
        return together if agrees else alone

    def __call__(self, t: np.ndarray, x: np.ndarray) -> np.ndarray:
        if self.is_batched:
            values = self.system._rhs(*x.T, t, *self.system.param_list)
            return _stack(values, len(x)).T
        rows = [
            np.asarray(self.system.rhs(state, now), dtype=np.float64)
            for state, now in zip(x, t, strict=True)
        ]
        return np.array(rows).reshape(x.shape)


@dataclass(frozen=True, eq=False)
class _Jacobian:
    """Jacobian of a dysts system, over batches like its velocity."""

    velocity: _Velocity

    def __call__(self, t: np.ndarray, x: np.ndarray) -> np.ndarray:
        system: Any = self.velocity.system
        formula: Callable[..., Any] = system._jac
        n, d = x.shape
        J = np.empty((n, d, d))
        if self.velocity.is_batched:
            rows = formula(*x.T, t, *system.param_list)
            for i, row in enumerate(rows):
                J[:, i] = _stack(row, n).T
        else:
            for k in range(n):
                J[k] = np.array(formula(*x[k], t[k], *system.param_list))
        return J


def _stack(values: Sequence[Any], n: int) -> np.ndarray:
    """Numbers and arrays (n,) as the rows of one array."""
    return np.array([np.broadcast_to(np.asarray(each), (n,)) for each in values])

"""Data from systems: integrate or iterate, add noise, keep what is observed."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from skdyn.datasets._system import Flow, Map
from skdyn.utils._integrate import Solution, integrate

__all__ = ["make_trajectories"]

# Steps granted to the integrator on the way to the first row and between rows: a limit
# for equations that turn out to be stiff, not for long series.
_MAX_STEPS = 200_000
# Tolerance, where the caller's is finer, on the way from a random start to the first
# row: which point of the attractor it leads to does not matter.
_LOOSE = 1e-7


def make_trajectories(
    system: Flow | Map,
    n_samples: int = 2000,
    *,
    n_trajectories: int | None = None,
    dt: float | None = None,
    starts: Any = None,
    warmup: float | None = None,
    noise: float = 0.0,
    process_noise: Any = 0.0,
    observed: Sequence[int | str] | int | str | None = None,
    rtol: float = 1e-9,
    atol: float = 1e-9,
    random_state: int | np.random.RandomState | None = 0,
) -> np.ndarray:
    """Make trajectories of a system, many at once.

    Parameters
    ----------
    system : Flow or Map
        What to integrate or iterate, such as ``lorenz63()``.
    n_samples : int, default=2000
        Rows of each trajectory.
    n_trajectories : int or None, default=None
        Number of trajectories from different starts, integrated as one batch. None is
        one, returned without its axis.
    dt : float or None, default=None
        Time between rows; None takes the system's. For a map it is a multiple of the
        time of its step.
    starts : array-like of shape (n_features,) or (n_trajectories, n_features), or None
        States at time 0. None draws them with ``system.start``.
    warmup : float or None, default=None
        Time that is integrated and thrown away before the first row. None takes the
        system's, so that rows are on the attractor, or 0 where `starts` are given, so
        that they are the first rows. The way from random starts is integrated with
        tolerances of 1e-7 at the finest; in maps it is rounded up to whole steps.
    noise : float, default=0.0
        Standard deviation of white observation noise, as a fraction of the standard
        deviation of each feature over all rows of all trajectories.
    process_noise : float or array-like of shape (n_features,), default=0.0
        Size of white noise in the dynamics. For a map, the standard deviation of what
        is added after each step, in units of the state. For a flow, the s in
        ``dx = f(t, x) dt + s dW``, per square root of time: over each interval of
        length h between two rows (and during the warm-up, in intervals of at most
        `dt`) the equation is integrated without noise, then noise of standard
        deviation ``s sqrt(h)`` is added. Like Euler and Maruyama's scheme this is of
        first order in h for averages, and exact as s goes to 0.
    observed : sequence of int or str, int, str, or None, default=None
        The features to return, by number or name, in this order. None returns all.
    rtol, atol : float, default=1e-9
        Tolerances of the integration of flows.
    random_state : int, RandomState instance or None, default=0
        Seed of the starts and the noise.

    Returns
    -------
    ndarray of shape (n_samples, n_features) or (n_trajectories, n_samples, n_features)
        One trajectory where neither `n_trajectories` nor 2-D `starts` are given.

    Raises
    ------
    ValueError
        For parameters out of range, and where a trajectory leaves the range of numbers
        or cannot be integrated, with the time and the reason.

    Notes
    -----
    Flows are integrated by an adaptive method of order 8, each trajectory with its own
    steps; those marked as stiff by LSODA, one after the other. Trajectories made
    together are the same as made one by one, to rounding, which chaos magnifies.

    References
    ----------
    Hairer, Norsett & Wanner, *Solving Ordinary Differential Equations I*, 2nd ed.,
    Springer (1993), section II.5, for the integrator (DOP853).

    Kloeden & Platen, *Numerical Solution of Stochastic Differential Equations*,
    Springer (1992), chapter 14, for weak schemes of first order.

    Examples
    --------
    >>> from skdyn.datasets import henon, lorenz63, make_trajectories
    >>> make_trajectories(lorenz63(), 500).shape
    (500, 3)
    >>> make_trajectories(henon(), 100, n_trajectories=20, observed="x").shape
    (20, 100, 1)
    >>> make_trajectories(henon(), 3, starts=[0.0, 0.0])
    array([[ 0. ,  0. ],
           [ 1. ,  0. ],
           [-0.4,  0.3]])
    """
    if not isinstance(system, (Flow, Map)):
        hint = " Call it." if callable(system) else ""
        raise TypeError(
            f"make_trajectories needs a Flow or a Map, such as lorenz63(), got "
            f"{getattr(system, '__name__', type(system).__name__)}.{hint}"
        )
    n_samples = _whole(n_samples, "n_samples")
    rng = check_random_state(random_state)
    x, is_one = _starts(system, starts, n_trajectories, rng)
    step = _positive(system.dt if dt is None else dt, "dt")
    if warmup is None:
        warmup = system.warmup if starts is None else 0.0
    lead = _not_negative(warmup, "warmup")
    share = _not_negative(noise, "noise")
    shocks = _shocks(process_noise, system)
    columns = _columns(observed, system)
    if isinstance(system, Map):
        X = _iterate(system, x, n_samples, step, lead, shocks, columns, rng)
    elif shocks is None:
        times = lead + step * np.arange(n_samples)
        if lead:
            loose = _LOOSE if starts is None else 0.0
            way = np.array([0.0, lead])
            x = _solve(system, x, way, max(rtol, loose), max(atol, loose)).y[:, -1]
        X = np.ascontiguousarray(_solve(system, x, times, rtol, atol).y[:, :, columns])
    else:
        X = _diffuse(system, x, n_samples, step, lead, shocks, columns, rtol, atol, rng)
    if share:
        spread = X.reshape(-1, X.shape[-1]).std(axis=0)
        X += share * spread * rng.standard_normal(X.shape)
    return X[0] if is_one else X


def _diffuse(
    system: Flow,
    x: np.ndarray,
    n_samples: int,
    dt: float,
    warmup: float,
    shocks: np.ndarray,
    columns: np.ndarray,
    rtol: float,
    atol: float,
    rng: np.random.RandomState,
) -> np.ndarray:
    """Rows (batch, n_samples, n_columns) of a flow with noise after each interval."""
    n_lead = math.ceil(warmup / dt - 1e-9)
    lead = np.linspace(0.0, warmup, n_lead + 1)
    times = np.concatenate([lead[:-1], warmup + dt * np.arange(n_samples)])
    X = np.empty((len(x), n_samples, len(columns)))
    for k, now in enumerate(times):
        if k:
            interval = np.array([times[k - 1], now])
            length = interval[1] - interval[0]
            # One step will often do, and where to begin is not searched for again.
            x = _solve(system, x, interval, rtol, atol, first_step=length).y[:, -1]
            size = shocks * math.sqrt(length)
            x = x + size * rng.standard_normal(x.shape)
        if k >= n_lead:
            X[:, k - n_lead] = x[:, columns]
    return X


def _solve(
    system: Flow,
    x: np.ndarray,
    times: np.ndarray,
    rtol: float,
    atol: float,
    first_step: float | None = None,
) -> Solution:
    solution = integrate(
        system.velocity,
        x,
        times,
        method="lsoda" if system.is_stiff else "dop853",
        rtol=rtol,
        atol=atol,
        max_steps=_MAX_STEPS,
        first_step=first_step,
        jacobian=system.jacobian if system.is_stiff else None,
    )
    if not solution.finished:
        raise ValueError(
            f"{system.name or 'The system'} could not be integrated to t = "
            f"{times[-1]:.6g}: {solution.message}. Choose other starts or parameters; "
            f"for a stiff equation, a Flow with is_stiff=True."
        )
    return solution


def _iterate(
    system: Map,
    x: np.ndarray,
    n_samples: int,
    dt: float,
    warmup: float,
    shocks: np.ndarray | None,
    columns: np.ndarray,
    rng: np.random.RandomState,
) -> np.ndarray:
    """Rows (batch, n_samples, n_columns) of a map, with noise after each step."""
    every = round(dt / system.dt)
    if every < 1 or abs(every * system.dt - dt) > 1e-9 * dt:
        raise ValueError(
            f"dt needs to be a multiple of the time of one step, {system.dt:g}, got "
            f"{dt:g}."
        )
    n_lead = math.ceil(warmup / system.dt - 1e-9)
    X = np.empty((len(x), n_samples, len(columns)))
    with np.errstate(all="ignore"):
        for k in range(n_lead + (n_samples - 1) * every + 1):
            if k:
                x = system.step(x)
                if shocks is not None:
                    x = x + shocks * rng.standard_normal(x.shape)
            row, rest = divmod(k - n_lead, every)
            if row >= 0 and rest == 0:
                X[:, row] = x[:, columns]
    # What has left the range of numbers does not come back.
    lost = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if len(lost):
        raise ValueError(
            f"{len(lost)} of {len(x)} trajectories of {system.name or 'the map'} left "
            f"the range of numbers, the first from start {lost[0]}. Choose starts and "
            f"parameters whose orbits are bounded, or less process_noise."
        )
    return X


def _starts(
    system: Flow | Map,
    starts: Any,
    n_trajectories: int | None,
    rng: np.random.RandomState,
) -> tuple[np.ndarray, bool]:
    """The starts (batch, n_features), and whether one trajectory was asked for."""
    d, who = system.n_features, system.name or "the system"
    if n_trajectories is not None:
        n_trajectories = _whole(n_trajectories, "n_trajectories")
    if starts is None:
        if system.start is None:
            raise ValueError(
                f"make_trajectories needs starts for {who}, which has no random ones. "
                f"Pass starts of shape ({d},) or (n_trajectories, {d})."
            )
        drawn = system.start(rng, n_trajectories or 1)
        return np.asarray(drawn, dtype=np.float64), n_trajectories is None
    x = np.asarray(starts, dtype=np.float64)
    if x.ndim not in (1, 2) or x.shape[-1] != d or not x.size:
        raise ValueError(
            f"starts of {who} need shape ({d},) or (n_trajectories, {d}), got "
            f"{x.shape}."
        )
    if not np.isfinite(x).all():
        raise ValueError("starts need to be finite, got NaN or infinity among them.")
    rows = x.reshape(-1, d)
    if n_trajectories is not None and n_trajectories != len(rows):
        raise ValueError(
            f"n_trajectories is {n_trajectories}, but there are {len(rows)} starts. "
            f"Drop one of the two."
        )
    return rows, x.ndim == 1 and n_trajectories is None


def _columns(observed: Any, system: Flow | Map) -> np.ndarray:
    """Numbers of the observed features."""
    if observed is None:
        return np.arange(system.n_features)
    single = isinstance(observed, (str, numbers.Integral))
    listed = [observed] if single else list(observed)
    if not listed:
        raise ValueError("observed needs at least one feature, got none.")
    columns = []
    for each in listed:
        if isinstance(each, str) and each in system.feature_names:
            columns.append(system.feature_names.index(each))
        elif (
            isinstance(each, numbers.Integral)
            and not isinstance(each, bool)
            and -system.n_features <= int(each) < system.n_features
        ):
            columns.append(int(each) % system.n_features)
        else:
            names = ", ".join(system.feature_names[:4])
            names += ", ..." if system.n_features > 4 else ""
            raise ValueError(
                f"observed needs numbers below {system.n_features} or names of "
                f"features ({names or 'none are given'}), got {each!r}."
            )
    return np.array(columns)


def _shocks(process_noise: Any, system: Flow | Map) -> np.ndarray | None:
    """Sizes (n_features,) of the noise in the dynamics; None without any."""
    size = np.asarray(process_noise, dtype=np.float64)
    d = system.n_features
    if size.shape not in ((), (d,)) or not ((size >= 0) & np.isfinite(size)).all():
        raise ValueError(
            f"process_noise needs one number, or {d}, of at least 0, got "
            f"{process_noise!r}."
        )
    return np.broadcast_to(size, (d,)) if size.any() else None


def _whole(value: Any, name: str) -> int:
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < 1:
        raise ValueError(f"{name} needs a positive whole number, got {value!r}.")
    return int(value)


def _positive(value: Any, name: str) -> float:
    if not _is_real(value) or value <= 0:
        raise ValueError(f"{name} needs a positive number, got {value!r}.")
    return float(value)


def _not_negative(value: Any, name: str) -> float:
    if not _is_real(value) or value < 0:
        raise ValueError(f"{name} needs a number of at least 0, got {value!r}.")
    return float(value)


def _is_real(value: Any) -> bool:
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return real and math.isfinite(value)

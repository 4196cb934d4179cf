"""Fixed points and cycles of a system, and how it leaves or returns to them.

Equations: a point of a cycle of period p is a zero of G(x) = F^p(x) - x, for a flow
(and p = 1) of its velocity, G(x) = f(x). Newton's method from many starts at once,

    DG(x) d = -G(x),   x <- x + a d,

takes the longest step a in {1, 1/2, 1/4, ...} that makes |G| smaller (Nocedal & Wright
2006, section 11.2), in units of the spread of the states, until none does: at a zero,
that is rounding. Where DG is singular, d is the least step that solves the equation
best. The derivative along a cycle is the product DF(x[p-1]) ... DF(x[0]); its
eigenvalues tell whether neighbours return: of a map, all moduli are below one; of a
flow, all real parts of Df below zero.

References
----------
Nocedal & Wright, *Numerical Optimization*, 2nd ed., Springer (2006), chapter 11.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from skdyn.inspection._state_map import (
    Dynamics,
    check_whole,
    evenly,
    resolve,
    spread_of,
    with_steps,
)
from skdyn.utils._integrate import integrate

__all__ = ["FixedPoints", "fixed_points"]

# Lengths of steps that are tried, all in one call.
_LENGTHS = 0.5 ** np.arange(8)
# Points closer than this, in spreads, are the same; also, those closer than so many
# times the noise of the model, and residuals may be so many times as large.
_SAME = 1e-6
_SAME_NOISE = 1e3
_ROUNDINGS = 30.0
# An eigenvalue of G this near to zero: the point may have neighbours that are fixed.
_SINGULAR = 1e-7
# Steps of orbits along which more starts are taken, and how much wider than these the
# box is from which others are drawn.
_ORBIT = 500
_WIDER = 1.5
# Up to so many states, steps come from singular values; they cost more than solving.
_SMALL = 64


@dataclass(frozen=True, eq=False)
class FixedPoints:
    """Fixed points of a system, or its cycles of one period.

    Attributes
    ----------
    states : ndarray of shape (n_points, n_state)
        Fixed states, in the order of their first coordinate. Of each cycle, the point
        that comes first in this order.
    points : ndarray of shape (n_points, n_features) or None
        The same in the units of the data, through the pipeline's way back: rows that
        a forecaster repeats for ever. None where a step's way back needs the past.
    cycles : ndarray of shape (n_points, period, n_features) or None
        The rows of each cycle in turn, those of `points` first.
    eigenvalues : complex ndarray of shape (n_points, n_state)
        Of the derivative of `period` steps of a map, in decreasing modulus; of that of
        the velocity of a flow, in decreasing real part.
    is_stable : bool ndarray of shape (n_points,)
        Whether all neighbours return. False also where they neither return nor leave.
    is_isolated : bool ndarray of shape (n_points,)
        Whether no direction is left unchanged: else there may be a line of fixed
        points, of which those found depend on the starts.
    residuals : ndarray of shape (n_points,)
        How far a point is from being fixed: ``max |F(x) - x|``, each coordinate in
        units of its spread; for a flow ``max |f(x)|``, in spreads per unit time.
    n_starts, n_converged : int
        Starts of the search, and those that came to a point of the list.
    period : int
        Steps after which a point returns to itself.
    dt : float
        Time of a step.
    is_flow : bool
        Whether the system is a flow: eigenvalues are then rates, else multipliers.
    """

    states: np.ndarray
    points: np.ndarray | None
    cycles: np.ndarray | None
    eigenvalues: np.ndarray
    is_stable: np.ndarray
    is_isolated: np.ndarray
    residuals: np.ndarray
    n_starts: int
    n_converged: int
    period: int
    dt: float
    is_flow: bool

    @property
    def growth_rates(self) -> np.ndarray:
        """Growth (negative: decay) along each eigenvector, per unit time."""
        if self.is_flow:
            return self.eigenvalues.real
        with np.errstate(divide="ignore"):
            return np.log(np.abs(self.eigenvalues)) / (self.period * self.dt)

    def __len__(self) -> int:
        return len(self.states)

    def __repr__(self) -> str:
        n, stable = len(self), int(self.is_stable.sum())
        what = "points" if self.period == 1 else f"cycles of period {self.period}"
        return (
            f"FixedPoints({n} {what}, {stable} stable; {self.n_converged} of "
            f"{self.n_starts} starts converged)"
        )


def fixed_points(
    model: Any,
    *,
    context: Any = None,
    starts: Any = None,
    u: Any = None,
    period: int = 1,
    n_starts: int | None = None,
    tol: float = 1e-9,
    max_iter: int = 100,
    dt: float | None = None,
    random_state: int | np.random.RandomState | None = 0,
) -> FixedPoints:
    """Fixed points or cycles of a fitted forecaster or of a known system.

    The search starts from many states and finds what it comes to: more starts may find
    more. Among what it finds in a learned model, points far from the data say more of
    the model than of what it has learned.

    Parameters
    ----------
    model : forecaster, pipeline, search, Flow, Map or callable
        What `lyapunov_spectrum` takes. The points of a pipeline are those of its last
        step, brought back to the units of the data.
    context : array-like or list of array-likes, default=None
        For a forecaster, data in the form of `X`: the search starts after windows of
        it, spread evenly. None starts after the training trajectories.
    starts : array-like of shape (n_starts, n_features), default=None
        For a known system, where the search starts. None takes the system's own starts.
    u : array-like of shape (n_inputs,), default=None
        A constant input, for forecasters fitted with inputs.
    period : int, default=1
        1 for fixed points; more for cycles of this period and of no shorter one. Flows
        have only fixed points here.
    n_starts : int, default=None
        Number of starts; None takes all of `starts`, else 64. Where not all are given
        by `starts`, two thirds are taken from the data or the system's own starts and
        along their orbits, and one third at random from a box that is half as wide
        again.
    tol : float, default=1e-9
        Largest residual of a point (see `FixedPoints`); of a flow, relative to its
        usual velocity. Points have far smaller ones, unless the model itself is less
        accurate.
    max_iter : int, default=100
        Most steps of Newton's method.
    dt : float, default=None
        Time of a step. None takes that of the model or system, else 1.
    random_state : int, RandomState instance or None, default=0
        Seed of the starts.

    Returns
    -------
    FixedPoints

    Raises
    ------
    ValueError
        For a model with inputs without `u`, a flow that depends on time or with
        ``period > 1``, and parameters out of range.
    TypeError
        If `model` is none of those.
    sklearn.exceptions.NotFittedError
        If the forecaster is not fitted.

    Warns
    -----
    ConvergenceWarning
        If the search ends nowhere; the answer is empty then.
    UserWarning
        If points are not isolated.

    See Also
    --------
    lyapunov_spectrum : How fast neighbours part along whole orbits.

    References
    ----------
    Nocedal & Wright, *Numerical Optimization*, 2nd ed., Springer (2006), chapter 11.

    Examples
    --------
    The logistic map at r = 3.2 has two fixed points, both unstable, and a stable cycle:

    >>> from skdyn.inspection import fixed_points
    >>> def step(x):
    ...     return 3.2 * x * (1 - x)
    >>> fixed_points(step, starts=[[0.1], [0.6]])
    FixedPoints(2 points, 0 stable; 2 of 2 starts converged)
    >>> cycle = fixed_points(step, starts=[[0.1], [0.5]], period=2, n_starts=16)
    >>> cycle.cycles.round(4)
    array([[[0.513 ],
            [0.7995]]])
    >>> cycle.eigenvalues.real.round(6)
    array([[0.16]])
    """
    who = "fixed_points"
    check_whole(period, "period", 1, who)
    check_whole(max_iter, "max_iter", 1, who)
    if not 0 < tol < 1:
        raise ValueError(f"{who} needs tol above 0 and below 1, got {tol!r}.")
    rng = check_random_state(random_state)
    # Overflow is looked for; zeros have logarithms here.
    with np.errstate(all="ignore"):
        dynamics = resolve(
            model,
            context=context,
            starts=starts,
            u=u,
            n_starts=n_starts,
            default_starts=64,
            dt=dt,
            rng=rng,
            who=who,
        )
        if n_starts is None:
            n_starts = 64 if starts is None else len(dynamics.starts)
        if dynamics.is_flow:
            _check_flow(dynamics, period)
        x = dynamics.starts
        if starts is None or n_starts > len(x):
            x, dynamics = _gather(dynamics, n_starts, rng)
        goal = _Goal.of(dynamics, period, x)
        x, residuals = _newton(goal, x, max_iter)
        # A model is not asked for more than its own rounding allows.
        found = residuals <= max(tol, _ROUNDINGS * dynamics.noise)
        x, residuals, which = _distinct(goal, x[found], residuals[found])
        return _describe(goal, x, residuals, n_starts, len(which))


def _check_flow(dynamics: Dynamics, period: int) -> None:
    if period > 1:
        raise ValueError(
            f"fixed_points finds cycles of maps, got period={period} for the flow "
            f"{dynamics.name}. Pass period=1 for where it stands still, or the map of "
            f"its returns to a section as a function."
        )
    x = dynamics.starts
    now, later = (dynamics.rule(np.full(len(x), t), x) for t in (0.0, math.pi))
    if not np.array_equal(now, later, equal_nan=True):
        raise ValueError(
            f"fixed_points needs a flow whose velocity is the same at all times, got "
            f"one of {dynamics.name} that depends on t. Pass its map over one period "
            f"of what drives it, as a function."
        )


def _gather(
    dynamics: Dynamics, n_starts: int, rng: np.random.RandomState
) -> tuple[np.ndarray, Dynamics]:
    """States to search from: the starts, along their orbits, and around both."""
    around = n_starts // 3
    more = -(-(n_starts - around) // len(dynamics.starts)) - 1
    taken = [dynamics.starts, *_along(dynamics, max(more, 1))]
    states = np.concatenate(taken)
    # What has run away is no place to search from.
    states = states[np.isfinite(states).all(axis=1)]
    states = states[evenly(len(states), n_starts - around)]
    scale = spread_of(states)
    middle = (states.max(axis=0) + states.min(axis=0)) / 2
    box = middle + _WIDER * scale * rng.uniform(-1, 1, size=(around, len(scale)))
    return np.concatenate([states, box]), with_steps(dynamics, states, rng)


def _along(dynamics: Dynamics, n: int) -> list[np.ndarray]:
    """States at `n` times along the orbits of the starts, perhaps not finite."""
    x = dynamics.starts
    if dynamics.is_flow:
        with_jacobian = dynamics.is_stiff and dynamics.analytic is not None
        solution = integrate(
            dynamics.rule,
            x,
            np.linspace(0.0, _ORBIT * dynamics.dt, n + 1),
            method="lsoda" if dynamics.is_stiff else "rk45",
            # They are but places to search from.
            rtol=1e-3,
            atol=1e-3 * dynamics.scale,
            jacobian=dynamics.analytic if with_jacobian else None,
        )
        return list(solution.y[:, 1:].swapaxes(0, 1))
    t, states = np.zeros(len(x)), []
    every = max(1, _ORBIT // n)
    for _ in range(n):
        for _ in range(every):
            x = dynamics.rule(t, x)
        states.append(x)
    return states


@dataclass(frozen=True, eq=False)
class _Goal:
    """G, in units of spreads, and of `speed` for a flow, and its derivative."""

    dynamics: Dynamics
    period: int
    speed: float = 1.0

    @classmethod
    def of(cls, dynamics: Dynamics, period: int, x: np.ndarray) -> _Goal:
        goal = cls(dynamics, period)
        if not dynamics.is_flow:
            return goal
        sizes = np.abs(goal(x)).max(axis=1)
        sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
        return replace(goal, speed=float(np.median(sizes)) if len(sizes) else 1.0)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        scale = self.dynamics.scale * self.speed
        if self.dynamics.is_flow:
            return self.dynamics.rule(np.zeros(len(x)), x) / scale
        return (self.orbit(x, self.period + 1)[:, -1] - x) / scale

    def orbit(self, x: np.ndarray, n: int) -> np.ndarray:
        """The first `n` states (batch, n, n_state) from `x` on, itself included."""
        states = [x]
        for _ in range(n - 1):
            states.append(self.dynamics.rule(np.zeros(len(x)), states[-1]))
        return np.stack(states, axis=1)

    def jacobian(self, x: np.ndarray) -> np.ndarray:
        """Derivative of `period` steps, or of the velocity, in the units of the states.

        It comes as (batch, n_state, n_state).
        """
        t = np.zeros(len(x))
        J = self.dynamics.jacobian(t, x)
        for _ in range(self.period - 1):
            x = self.dynamics.rule(t, x)
            J = self.dynamics.jacobian(t, x) @ J
        return J

    def derivative(self, x: np.ndarray) -> np.ndarray:
        """DG in scaled coordinates."""
        scale = self.dynamics.scale
        J = self.jacobian(x) * (scale / scale[:, None]) / self.speed
        return J if self.dynamics.is_flow else J - np.eye(len(scale))


def _newton(goal: _Goal, x: np.ndarray, max_iter: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each start ends, and its residual."""
    x, scale = x.copy(), goal.dynamics.scale
    G = goal(x)
    sizes = _norm(G)
    active = np.flatnonzero(np.isfinite(sizes) & (sizes > 0))
    # Directions in which DG is within the error of its derivative are left alone.
    cut = 10 * max(goal.dynamics.error, len(scale) * np.finfo(float).eps)
    for _ in range(max_iter):
        if not len(active):
            break
        J = goal.derivative(x[active])
        usable = np.isfinite(J).all(axis=(1, 2))
        active, J = active[usable], J[usable]
        d = scale * _solve(J, -G[active], cut)
        tried = x[active] + _LENGTHS[:, None, None] * d
        values = goal(tried.reshape(-1, len(scale))).reshape(tried.shape)
        norms = _norm(values)
        better = norms < (1 - 1e-4 * _LENGTHS[:, None]) * sizes[active]
        first, moved = better.argmax(axis=0), better.any(axis=0)
        rows = np.arange(len(active))
        active, first, rows = active[moved], first[moved], rows[moved]
        x[active], G[active] = tried[first, rows], values[first, rows]
        sizes[active] = norms[first, rows]
        active = active[sizes[active] > 0]
    residuals = np.abs(G).max(axis=1)
    return x, np.where(np.isfinite(residuals), residuals, np.inf)


def _norm(G: np.ndarray) -> np.ndarray:
    size = np.linalg.norm(G, axis=-1)
    return np.where(np.isfinite(size), size, np.inf)


def _solve(J: np.ndarray, b: np.ndarray, cut: float) -> np.ndarray:
    """Solutions of J d = b, the shortest that come closest where J is singular."""
    if J.shape[1] > _SMALL:
        try:
            return np.linalg.solve(J, b[..., None])[..., 0]
        except np.linalg.LinAlgError:
            pass
    U, s, Vh = np.linalg.svd(J)
    kept = s > cut * s[:, :1]
    weights = np.where(kept, 1.0 / np.where(kept, s, 1.0), 0.0)
    inside = weights * np.einsum("bij,bi->bj", U, b)
    return np.einsum("bji,bj->bi", Vh, inside)


def _distinct(
    goal: _Goal, x: np.ndarray, residuals: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One point of each cycle, their residuals, and the rows of `x` that led to one."""
    scale, p = goal.dynamics.scale, goal.period
    # Coordinates in units in which the same is closer than one.
    scale = scale * max(_SAME, _SAME_NOISE * goal.dynamics.noise)
    orbits = x[:, None] if goal.dynamics.is_flow else goal.orbit(x, p)
    shorter = np.zeros(len(x), dtype=bool)
    for q in range(1, p):
        if p % q == 0:
            shorter |= _close(orbits[:, q], x, scale)
    rows = np.flatnonzero(~shorter)
    chosen: list[int] = []
    seen = np.empty((0, x.shape[1]))
    for i in rows[np.argsort(residuals[rows], kind="stable")]:
        if not _close(seen, x[i], scale).any():
            chosen.append(int(i))
            seen = np.concatenate([seen, orbits[i]])
    first = []
    for i in chosen:
        order = np.lexsort(np.round(orbits[i] / scale).T[::-1])
        first.append(orbits[i, order[0]])
    points = np.array(first).reshape(-1, x.shape[1])
    order = np.lexsort(np.round(points / scale).T[::-1])
    return points[order], residuals[chosen][order], rows


def _close(x: np.ndarray, y: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.abs((x - y) / scale).max(axis=1, initial=0.0) <= 1


def _describe(
    goal: _Goal,
    x: np.ndarray,
    residuals: np.ndarray,
    n_starts: int,
    n_converged: int,
) -> FixedPoints:
    dynamics, n = goal.dynamics, goal.dynamics.n_state
    eigenvalues = np.linalg.eigvals(goal.jacobian(x)).astype(complex)
    size = np.abs(eigenvalues).max(axis=1, initial=0.0)
    slack = 10 * max(dynamics.error, n * np.finfo(float).eps)
    if dynamics.is_flow:
        key = eigenvalues.real
        stable = key.max(axis=1, initial=-np.inf) < -slack * size
        isolated = np.abs(eigenvalues).min(axis=1, initial=np.inf) > _SINGULAR * size
    else:
        key = np.abs(eigenvalues)
        stable = size < 1 - slack
        isolated = np.abs(eigenvalues - 1).min(axis=1, initial=np.inf) > _SINGULAR
    # Of a pair, the one that turns forwards comes first.
    order = np.lexsort((-eigenvalues.imag, -np.round(key, 12)), axis=1)
    eigenvalues = np.take_along_axis(eigenvalues, order, axis=1)
    orbits = x[:, None] if dynamics.is_flow else goal.orbit(x, goal.period)
    cycles = _rows(dynamics, orbits)
    _warn(dynamics, goal.period, isolated, n_starts)
    return FixedPoints(
        states=x,
        points=None if cycles is None else cycles[:, 0],
        cycles=cycles,
        eigenvalues=eigenvalues,
        is_stable=stable,
        is_isolated=isolated,
        residuals=residuals * goal.speed,
        n_starts=n_starts,
        n_converged=n_converged,
        period=goal.period,
        dt=dynamics.dt,
        is_flow=dynamics.is_flow,
    )


def _rows(dynamics: Dynamics, orbits: np.ndarray) -> np.ndarray | None:
    """Cycles of states (n, period, n_state) as rows in the units of the data."""
    if dynamics.to_rows is None:
        return orbits
    n, p, width = orbits.shape
    if n == 0:
        one = dynamics.to_rows(dynamics.starts[:1])
        return None if one is None else np.empty((0, p, one.shape[1]))
    # A forecaster emits the row of a state on the way to it.
    rows = dynamics.to_rows(np.roll(orbits, 1, axis=1).reshape(-1, width))
    return None if rows is None else rows.reshape(n, p, -1)


def _warn(dynamics: Dynamics, period: int, isolated: np.ndarray, n_starts: int) -> None:
    what = "fixed point" if period == 1 else f"cycle of period {period}"
    if not len(isolated):
        warnings.warn(
            f"The search for a {what} of {dynamics.name} ended at none from "
            f"{n_starts} start(s). There may be none; else more starts (n_starts), "
            f"others, or a larger tol may find one.",
            ConvergenceWarning,
            stacklevel=4,
        )
    elif not isolated.all():
        value = "0" if dynamics.is_flow else "1"
        warnings.warn(
            f"{int((~isolated).sum())} of {len(isolated)} {what}(s) of {dynamics.name} "
            f"are not isolated (an eigenvalue of {value}): there may be a continuum of "
            f"them, of which those listed depend on the starts.",
            UserWarning,
            stacklevel=4,
        )

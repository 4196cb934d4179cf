"""Orbits of a system with frames of small deviations that are carried along.

A frame is a matrix Q (n_state, k) of orthonormal columns. It is moved by the derivative
of what moves the state, and made orthonormal again by a QR decomposition,

    W = DF(x) Q = Q' R,

where the logarithms of the diagonal of R are what the frame has grown by. `Growth` sums
them, plainly and with the weights of a weighted Birkhoff average.

Maps are iterated. Flows are integrated with the method of order 8 of Dormand and
Prince, states and frames together, so that the frame is moved by the exact derivative
of the step that moves the state. That holds for stiff flows too: an implicit method
could take longer steps, but would not see the fast decay that is asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from skdyn.inspection._state_map import Dynamics
from skdyn.utils._tableaux import DOP853, Row

__all__ = ["PARTS", "Growth", "Orbits", "advance"]


@dataclass(frozen=True, eq=False)
class Orbits:
    """States with a frame each, all at one time, and what was lost on the way.

    Attributes
    ----------
    x : ndarray of shape (batch, n_state)
        States.
    Q : ndarray of shape (batch, n_state, k)
        Frames; k may be 0.
    h : ndarray of shape (batch,)
        Steps of the integration of a flow.
    t : float
        Time since the start, of flows.
    n_done : int
        Steps since the start.
    n_lost : int
        Orbits that have left the range of numbers.
    first_lost : int or None
        The step at which the first did.
    """

    x: np.ndarray
    Q: np.ndarray
    h: np.ndarray
    t: float = 0.0
    n_done: int = 0
    n_lost: int = 0
    first_lost: int | None = None

    @classmethod
    def of(cls, x: np.ndarray, dynamics: Dynamics) -> Orbits:
        """Orbits that start at `x`, without frames."""
        return cls(x, np.empty((*x.shape, 0)), np.full(len(x), dynamics.dt))

    def without(self, bad: np.ndarray, step: int, name: str) -> Orbits:
        """Leave out those that are `bad` from `step` on; never all."""
        first = step if self.first_lost is None else self.first_lost
        if bad.all():
            raise ValueError(
                f"lyapunov_spectrum needs orbits that stay bounded: all "
                f"{len(bad) + self.n_lost} orbits of {name} ran away, the first at "
                f"step {first}, the last at step {step} (warm-up included). Start from "
                f"other states, or fit a model that is stable."
            )
        good = ~bad
        return replace(
            self,
            x=self.x[good],
            Q=self.Q[good],
            h=self.h[good],
            n_lost=self.n_lost + int(bad.sum()),
            first_lost=first,
        )


# Steps of a map that are added together.
_RUN = 64
# Weighted averages are taken over the whole, over its halves, and over ten blocks.
PARTS = (1, 2, 10)


class Growth:
    """Sums of the logarithms by which frames have grown.

    Attributes
    ----------
    counts : ndarray of shape (n_stretches,)
        Steps of each stretch.
    logs : ndarray of shape (n_stretches, batch, k)
        Plain sums over each stretch.
    weighted : dict of int to ndarray of shape (n_parts, batch, k)
        Weighted Birkhoff averages per step over each of so many equal parts.
    """

    def __init__(self, counts: np.ndarray, batch: int, k: int) -> None:
        self.counts = counts
        self._n = int(counts.sum())
        self.logs = np.zeros((len(counts), batch, k))
        self._sums = {p: np.zeros((p, batch, k)) for p in PARTS}
        self._weights = {p: np.zeros((p, batch, 1)) for p in PARTS}

    def add(
        self,
        rows: np.ndarray,
        stretch: np.ndarray,
        middle: np.ndarray,
        steps: np.ndarray,
        grown: np.ndarray,
    ) -> None:
        """Add one step of some rows, each of its own length and around its own time.

        `middle` and `steps` are in steps of `counts`, which a step may be part of.
        """
        self.logs[stretch, rows] += grown
        for p in PARTS:
            part, weight = _weights(middle, self._n, p)
            self._sums[p][part, rows] += weight[:, None] * grown
            self._weights[p][part, rows] += (weight * steps)[:, None]

    def add_run(self, stretch: int, first: int, grown: list[np.ndarray]) -> None:
        """Add whole steps of all rows within one stretch, from step `first` on."""
        run = np.stack(grown)
        self.logs[stretch] += run.sum(axis=0)
        for p in PARTS:
            parts, weights = _weights(first + np.arange(len(run)) + 0.5, self._n, p)
            for part in range(parts[0], parts[-1] + 1):
                inside = parts == part
                weight = weights[inside]
                self._sums[p][part] += np.tensordot(weight, run[inside], axes=1)
                self._weights[p][part] += weight.sum()

    @property
    def weighted(self) -> dict[int, np.ndarray]:
        return {p: self._sums[p] / self._weights[p] for p in PARTS}

    def drop(self, bad: np.ndarray) -> None:
        """Forget rows."""
        self.logs = self.logs[:, ~bad]
        for sums in (self._sums, self._weights):
            for p in PARTS:
                sums[p] = sums[p][:, ~bad]


def _weights(middle: np.ndarray, n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of `p` parts of n steps each time lies in, and its weight there."""
    at = p * middle / n
    part = np.minimum(at.astype(int), p - 1)
    at = at - part
    return part, np.exp(-1.0 / (at * (1.0 - at)))


def advance(
    orbits: Orbits, dynamics: Dynamics, counts: np.ndarray, rtol: float
) -> tuple[Orbits, Growth]:
    """Follow orbits over stretches of `counts` steps each.

    Returns
    -------
    orbits : Orbits
        Where they are then; those that ran away are left out.
    growth : Growth
        What their frames have grown by.
    """
    if dynamics.is_flow:
        orbits, growth = _integrate(orbits, dynamics, counts, rtol)
    else:
        orbits, growth = _iterate(orbits, dynamics, counts)
    done = int(counts.sum())
    t = orbits.t + done * dynamics.dt
    return replace(orbits, t=t, n_done=orbits.n_done + done), growth


def _orthonormalise(W: np.ndarray, error: float) -> tuple[np.ndarray, np.ndarray]:
    """Q of W = Q R, and the logarithms of the diagonal of R.

    What is left of a column below the error of the derivative is taken for nothing.
    """
    k = W.shape[2]
    if k == 0:
        return W, np.empty((len(W), 0))
    if k == 1:
        size = np.sqrt(np.einsum("bij,bij->bj", W, W))
        return W / np.where(size > 0, size, 1.0)[:, None], np.log(size)
    Q, R = np.linalg.qr(W)
    size = np.abs(np.diagonal(R, axis1=1, axis2=2))
    lost = size <= error * size.max(axis=1, keepdims=True)
    return Q, np.log(np.where(lost, 0.0, size))


def _iterate(
    orbits: Orbits, dynamics: Dynamics, counts: np.ndarray
) -> tuple[Orbits, Growth]:
    x, Q, k = orbits.x, orbits.Q, orbits.Q.shape[2]
    growth = Growth(counts, len(x), k)
    t, step = np.zeros(len(x)), 0
    for i, n in enumerate(counts):
        run: list[np.ndarray] = []
        for j in range(n):
            x, Q = dynamics.push(t, x, Q) if k else (dynamics.rule(t, x), Q)
            step += 1
            # Finite unless an entry is not: one pass in the usual case.
            if not math.isfinite(x.sum() + Q.sum()):
                bad = ~(np.isfinite(x).all(axis=1) & np.isfinite(Q).all(axis=(1, 2)))
                orbits = replace(orbits, x=x, Q=Q)
                orbits = orbits.without(bad, orbits.n_done + step, dynamics.name)
                x, Q, t = orbits.x, orbits.Q, t[~bad]
                growth.drop(bad)
                run = [grown[~bad] for grown in run]
            if k:
                Q, grown = _orthonormalise(Q, dynamics.error)
                run.append(grown)
                if len(run) == _RUN or j == n - 1:
                    growth.add_run(i, step - len(run), run)
                    run = []
    return replace(orbits, x=x, Q=Q), growth


# -- flows -------------------------------------------------------------------------


def _matrix(rows: tuple[Row, ...], width: int) -> np.ndarray:
    return np.array([[row.get(j, 0.0) for j in range(width)] for row in rows])


_N_STAGES = DOP853.n_stages
_STAGES = _matrix(DOP853.a[: _N_STAGES + 1], _N_STAGES)
_ERRORS = _matrix(DOP853.errors, _N_STAGES)
_POWER = -1.0 / (DOP853.error_order + 1)
# Steps shorter than this part of `dt` are those of an orbit that cannot go on.
_SHORTEST = 1e-10


def _integrate(
    orbits: Orbits, dynamics: Dynamics, counts: np.ndarray, rtol: float
) -> tuple[Orbits, Growth]:
    """Every orbit with its own steps, which end at the ends of the stretches.

    Frames are made orthonormal after each step. Orbits that have come to the end wait;
    over many stretches, most take about as many steps.
    """
    batch, n, k = orbits.Q.shape
    tolerance = rtol * np.concatenate([dynamics.scale, np.ones(n * k)])
    ends = orbits.t + dynamics.dt * np.cumsum(counts)
    x, Q, h = orbits.x.copy(), orbits.Q.copy(), orbits.h.copy()
    t, stretch = np.full(batch, orbits.t), np.zeros(batch, dtype=int)
    growth = Growth(counts, batch, k)
    ran_away = np.full(batch, -1)
    going = np.arange(batch)
    while len(going):
        left = ends[stretch[going]] - t[going]
        wish = h[going]
        # Two steps of half the rest rather than a long one and a tiny one.
        trial = np.where(left < 2 * wish, left / 2, wish)
        last = left <= 1.01 * wish
        trial[last] = left[last]
        moved, W, error = _try_step(
            dynamics, t[going], x[going], Q[going], trial, tolerance
        )
        good = error <= 1
        longer = trial * np.clip(0.9 * np.maximum(error, 1e-10) ** _POWER, 0.1, 5.0)
        # A step that was cut short to end with a stretch says little of the next.
        h[going] = np.where(good & (trial < wish), np.maximum(wish, longer), longer)
        if not good.all():
            stuck = ~good & (h[going] < _SHORTEST * dynamics.dt)
            if stuck.any():
                at = going[stuck]
                passed = np.ceil((t[at] - orbits.t) / dynamics.dt)
                ran_away[at] = orbits.n_done + np.maximum(passed, 1).astype(int)
        now = going[good]
        frames, grown = _orthonormalise(W[good], dynamics.error)
        x[now], Q[now] = moved[good], frames
        if k:
            middle = (t[now] - orbits.t + trial[good] / 2) / dynamics.dt
            steps = trial[good] / dynamics.dt
            growth.add(now, stretch[now], middle, steps, grown)
        t[now] += trial[good]
        over = going[good & last]
        t[over] = ends[stretch[over]]
        stretch[over] += 1
        going = going[(stretch[going] < len(counts)) & (ran_away[going] < 0)]
    orbits = replace(orbits, x=x, Q=Q, h=h)
    bad = ran_away >= 0
    if bad.any():
        first = int(ran_away[bad].min())
        orbits = orbits.without(bad, first, dynamics.name)
        growth.drop(bad)
    return orbits, growth


def _try_step(
    dynamics: Dynamics,
    t: np.ndarray,
    x: np.ndarray,
    Q: np.ndarray,
    h: np.ndarray,
    tolerance: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A step of states and frames, and its error (batch,), which may be up to 1."""
    batch, n, k = Q.shape
    y = np.concatenate([x, Q.reshape(batch, -1)], axis=1)
    stages = np.empty((_N_STAGES, batch, n + n * k))
    flat, size = stages.reshape(_N_STAGES, -1), h[:, None]
    for i in range(_N_STAGES):
        z = y + size * (_STAGES[i, :i] @ flat[:i]).reshape(y.shape) if i else y
        now = t + DOP853.c[i] * h
        # Velocities may rely on rows that lie together.
        state = np.ascontiguousarray(z[:, :n])
        if k:
            frame = z[:, n:].reshape(batch, n, k)
            stages[i, :, :n], turned = dynamics.push(now, state, frame)
            stages[i, :, n:] = turned.reshape(batch, -1)
        else:
            stages[i] = dynamics.rule(now, state)
    z = y + size * (_STAGES[-1] @ flat).reshape(y.shape)
    parts = size * (_ERRORS @ flat).reshape(2, *y.shape) / tolerance
    high, low = np.einsum("ebj,ebj->eb", parts, parts) / y.shape[1]
    # Both estimates together, as in the authors' code, have the order 7.
    error = np.where(high == 0, 0.0, high / np.sqrt(high + 0.01 * low))
    error = np.where(np.isfinite(error) & np.isfinite(z).all(axis=1), error, np.inf)
    return z[:, :n], z[:, n:].reshape(batch, n, k), error

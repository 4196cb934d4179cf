"""Regions of a piecewise-linear map, and cycles through sequences of them.

Equations and the idea of the search are those of `_linear_regions`; here are the
algorithms, on a map's arrays.

Cycles: a cycle of period k through the regions D_1, ..., D_k solves one linear
equation. The regions in which the points of the solution lie are the next guess, until
both agree (Eisenmann et al. 2023); guesses that go in circles are led out by steps of
random lengths. What is found is polished by solving for all points together.

Regions: they are the cells of an arrangement of hyperplanes. In general position, each
cell that is bounded below in a direction c has one lowest vertex, and each vertex is
the lowest of one cell: in it, the hinges through the vertex have the signs that rise
along c. The other cells are those of the arrangement that a plane far below cuts. So H
hinges in r dimensions in general position have as many regions as H things have subsets
of at most r, each of which is met once.

Units: a state may come in any units, and what is near, far or flat must not depend on
them. So all searching is done in units of the map itself: a state's is what offsets add
to it in a step, |h1| + |W1| |h2|, or what the other states do, and a hinge's is what it
adds up of the states in their units. A map conjugated by a change of units, z -> s z,
is the same map in these. They are powers of two, so that the change is exact.

References
----------
Eisenmann, Monfared, Göring & Durstewitz, "Bifurcations and loss jumps in RNN training",
NeurIPS (2023).

Lathrop & Kostelich, "Characterization of an experimental strange attractor by periodic
orbits", Physical Review A 40 (1989), 4028, for close returns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations, islice
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import matrix_balance

if TYPE_CHECKING:
    from skdyn.neural._linear_regions import PiecewiseLinearMap

__all__ = [
    "all_regions",
    "distinct",
    "guesses",
    "in_units",
    "natural_units",
    "runs_from_hinges",
    "search",
    "solve",
    "spread_of",
    "try_all",
    "until_away",
]

# A candidate is kept for polishing where one step misses by less than this, and taken
# for a cycle where, after it, one step misses by less than that, relative to the terms
# that the step adds up.
_CANDIDATE = 1e-6
_FIXED = 1e-11
# Rounding of a state is at least so small a share of the largest of the others.
_BESIDE = 1e-4
# Points closer than this, in spreads, are the same.
_SAME = 1e-8
# Matrices whose determinant is so small a share of Hadamard's bound are looked at more
# closely.
_FLAT = 1e-12
# Hinges are moved by so much to bring them into general position; hinges more parallel
# than that never meet.
_MOVED = 1e-8
_PARALLEL = 1e-9
# Newton's method takes so many full steps before it also takes shorter ones.
_FULL_STEPS = 10
# Numbers that one batch may hold, about.
_BATCH = 2_000_000
# Cycles of up to so many numbers are polished by one dense solution.
_DENSE = 1_000
# The same where many are solved at once.
_DENSE_TOGETHER = 100
_EPS = float(np.finfo(np.float64).eps)
# Length of orbits that are run where none are given, and how many of them.
_RUN, _N_RUNS = 1_000, 16
# An orbit so many times as large as where orbits start will not come back.
_AWAY = 100.0


# -- units -------------------------------------------------------------------------


def natural_units(plmap: PiecewiseLinearMap) -> tuple[np.ndarray, np.ndarray]:
    """Units of the states (n_state,) and of the hinges (n_hinges,), powers of two."""
    A, W1, W2 = np.abs(plmap.A), np.abs(plmap.W1), np.abs(plmap.W2)
    with np.errstate(over="ignore"):
        reach = A + W1 @ W2
    if not np.isfinite(reach).all():
        # There are no units in which its numbers are numbers.
        return np.ones(len(A)), np.ones(len(plmap.h2))
    size = _over_others(reach, np.abs(plmap.h1) + W1 @ np.abs(plmap.h2))
    # A state that no offset reaches: by what it acts on.
    for _ in range(len(size)):
        if size.all():
            break
        acts = (reach > 0) & (size[:, None] > 0)
        least = np.where(acts, size[:, None] / reach, np.inf).min(axis=0)
        size = np.where((size > 0) | np.isinf(least), size, least)
    # And those that offsets have nothing to do with have no size but one another's.
    alone = np.flatnonzero(~(size > 0))
    if len(alone):
        some = matrix_balance(reach[np.ix_(alone, alone)], permute=False, separate=True)
        size[alone] = some[1][0]
    units = _power_of_two(_over_others(reach, size))
    return units, _power_of_two(W2 @ units + np.abs(plmap.h2))


def _over_others(reach: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Sizes, at least what comes from one another but for the growth of all."""
    growth = max(float(np.abs(np.linalg.eigvals(reach)).max(initial=0.0)), 1.0)
    for _ in range(len(size)):
        grown = np.maximum(size, reach @ size / growth)
        if np.array_equal(grown, size):
            break
        size = grown
    return size


def _power_of_two(size: np.ndarray) -> np.ndarray:
    """The power of two next to each size; 1 where there is no size."""
    fine = np.isfinite(size) & (size > 0)
    return np.asarray(np.exp2(np.round(np.log2(np.where(fine, size, 1.0)))))


def in_units(
    plmap: PiecewiseLinearMap, units: np.ndarray, of_hinges: np.ndarray
) -> PiecewiseLinearMap:
    """The map of z / units: another map, whose hinges are those of this one in turn."""
    return type(plmap)(
        plmap.A * units / units[:, None],
        plmap.W1 * of_hinges / units[:, None],
        plmap.W2 * units / of_hinges[:, None],
        plmap.h1 / units,
        plmap.h2 / of_hinges,
    )


# -- orbits ------------------------------------------------------------------------


def runs_from_hinges(
    plmap: PiecewiseLinearMap, rng: np.random.RandomState
) -> list[np.ndarray]:
    """Orbits of a map of which nothing else is known."""
    return until_away(plmap, _on_hinges(plmap, _N_RUNS, rng), _RUN)


def until_away(
    plmap: PiecewiseLinearMap, starts: np.ndarray, n_steps: int
) -> list[np.ndarray]:
    """Orbits from starts (n, n_state), each up to where it runs away.

    The map and the starts are in units of the map.
    """
    states = plmap.orbit(starts, n_steps)
    size = np.abs(states).max(axis=2)
    # What has grown so much is on its way out. Its first steps may pass cycles.
    fine = size <= _AWAY * (1.0 + np.median(np.abs(starts).max(axis=1)))
    lengths = np.where(fine.all(axis=0), n_steps, np.argmin(fine, axis=0))
    return [states[:n, i] for i, n in enumerate(lengths) if n]


def _on_hinges(
    plmap: PiecewiseLinearMap, n: int, rng: np.random.RandomState
) -> np.ndarray:
    """States (n, n_state) near where as many hinges meet as can, in the map's units."""
    H, M = plmap.W2.shape
    states = np.zeros((n, M))
    if H:
        some = rng.random_sample((n, H)).argsort(axis=1)[:, :M]
        inverse = np.linalg.pinv(plmap.W2[some], rcond=1e-6)
        states = np.einsum("nij,nj->ni", inverse, -plmap.h2[some])
    # The first is at the origin.
    states[0] = 0.0
    return states + 0.1 * rng.standard_normal(states.shape) * np.abs(states).mean()


def spread_of(pieces: Sequence[np.ndarray]) -> np.ndarray:
    """Spread of each coordinate, never zero; what runs away does not decide it.

    States are in units of the map, so that 1 is a size.
    """
    states = np.concatenate([*pieces])
    middle = np.median(states, axis=0)
    away = np.abs(states - middle)
    spread = np.median(away, axis=0)
    spread = np.where(spread > 0, spread, states.std(axis=0))
    # Points are told apart in these, not finer than a solution is rounded: where all
    # orbits settle, the spread is only how far they have come. A coordinate that stands
    # still is measured by its size, or by its unit.
    size = np.maximum(np.abs(middle), 1.0)
    flat = spread <= 1e-9 * size
    return np.where(flat, size, np.maximum(spread, 1e-4 * size))


def guesses(
    plmap: PiecewiseLinearMap,
    period: int,
    pieces: Sequence[np.ndarray],
    n: int,
    regions: np.ndarray | None,
    rng: np.random.RandomState,
) -> Iterator[np.ndarray]:
    """Batches of sequences of patterns (batch, period, n_hinges) to start from.

    Half are parts of orbits, a quarter states of orbits in random order, and a quarter
    any of `regions`, or, where these are None, regions around hinges and orbits.
    """
    M = plmap.n_state
    states = np.concatenate([*pieces])
    # Rows at which a window of as many states begins.
    ends = np.cumsum([len(piece) for piece in pieces])
    left = np.concatenate([np.arange(len(piece), 0, -1) for piece in pieces])
    windows = np.flatnonzero(left > period)
    n_seen = (n + 1) // 2 if len(windows) else 0
    close = _close_returns(states, windows, period)[: n_seen // 2]
    even = windows[_evenly(len(windows), n_seen - len(close))]
    begins = np.concatenate([close, even])
    drawn = n - len(begins)
    size = max(1, _BATCH // (period * max(plmap.n_hinges, M * M)))
    for i in range(0, len(begins), size):
        rows = begins[i : i + size, None] + np.arange(period)
        yield plmap.patterns(states[rows])
    middle, spread = states[ends - 1].mean(axis=0), states.std(axis=0)
    for i in range(0, drawn, size):
        batch = min(size, drawn - i)
        some = states[rng.randint(len(states), size=(batch, period))]
        D = plmap.patterns(some)
        shape = D[1::2].shape[:2]
        if regions is not None:
            D[1::2] = regions[rng.randint(len(regions), size=shape)]
        else:
            wide = rng.standard_normal((*shape, M)) * 3.0 * spread + middle
            met = _on_hinges(plmap, shape[0] * period, rng).reshape(wide.shape)
            either = rng.random_sample((*shape, 1)) < 0.5
            D[1::2] = plmap.patterns(np.where(either, wide, met))
        yield D


def _close_returns(states: np.ndarray, windows: np.ndarray, period: int) -> np.ndarray:
    """Those of `windows` after which a state nearly returns, the closest first.

    Of neighbours in time only the best is taken.
    """
    if len(windows) < 3:
        return windows
    spread = states.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    away = np.abs((states[windows + period] - states[windows]) / spread).max(axis=1)
    inner = (away[1:-1] <= away[:-2]) & (away[1:-1] <= away[2:])
    lowest = 1 + np.flatnonzero(inner)
    return windows[lowest[np.argsort(away[lowest], kind="stable")]]


def _evenly(n: int, n_taken: int) -> np.ndarray:
    return np.linspace(0, n - 1, min(n, n_taken)).astype(int)


def search(
    plmap: PiecewiseLinearMap,
    starts: Iterator[np.ndarray],
    max_iter: int,
    rng: np.random.RandomState,
) -> list[np.ndarray]:
    """Cycles (n, period, n_state) that guesses lead to, batch by batch."""
    found = []
    for D in starts:
        U = None
        for i in range(max_iter):
            Z, _, _ = _solve_cycles(plmap, D)
            V = Z @ plmap.W2.T + plmap.h2
            fine = _misses(plmap, Z) <= _CANDIDATE
            found.append(Z[fine])
            # What is not finite, so without a solution, is given up.
            left = ~fine & np.isfinite(Z).all(axis=(1, 2))
            if not left.any():
                break
            V = V[left]
            if U is not None:
                U = U[left]
            if U is None or i < _FULL_STEPS:
                U = V
            else:
                # Guesses that go in circles are led out by steps of random lengths.
                a = rng.choice([0.25, 0.5, 1.0], size=(len(V), 1, 1))
                U = U + a * (V - U)
            D = U > 0
    return found


def _solve_cycles(
    plmap: PiecewiseLinearMap, D: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cycles of linear maps through regions, if just one each, and if to rounding.

    The regions need not be those in which the points lie. Rounding of the first point
    grows along a cycle as the maps expand. Where it might hide that the cycle closes,
    all points are solved for together, unless there are too many for that.
    """
    n, period, _ = D.shape
    J, b = plmap.region(D)
    growth = np.linalg.norm(J, axis=(2, 3)).prod(axis=1)
    P, q = J[:, 0], b[:, 0]
    for i in range(1, period):
        P = J[:, i] @ P
        q = np.einsum("bij,bj->bi", J[:, i], q) + b[:, i]
    z, sure = solve(np.eye(plmap.n_state) - P, q)
    Z = np.empty((n, period, plmap.n_state))
    for i in range(period):
        Z[:, i] = z
        z = np.einsum("bij,bj->bi", J[:, i], z) + b[:, i]
    wild = sure & ~(growth * _EPS <= 1e-3 * _CANDIDATE)
    if wild.any() and period * plmap.n_state <= _DENSE_TOGETHER:
        Z[wild] = _solve_together(J[wild], b[wild])
        wild = np.zeros_like(wild)
    return Z, sure, ~wild


def _solve_together(J: np.ndarray, b: np.ndarray) -> np.ndarray:
    """All points (batch, period, M) of cycles of maps J (batch, period, M, M), b."""
    n, p, M, _ = J.shape
    Z = np.empty((n, p, M))
    size = max(1, _BATCH // (p * M) ** 2)
    for first in range(0, n, size):
        some = slice(first, first + size)
        blocks = np.tile(np.eye(p * M).reshape(p, M, p, M), (len(J[some]), 1, 1, 1, 1))
        for i in range(p):
            blocks[:, (i + 1) % p, :, i] -= J[some, i]
        A = blocks.reshape(-1, p * M, p * M)
        rhs = np.roll(b[some], 1, axis=1).reshape(-1, p * M)
        try:
            Z[some] = np.linalg.solve(A, rhs[..., None]).reshape(-1, p, M)
        except np.linalg.LinAlgError:
            Z[some] = np.nan
    return Z


def solve(A: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solutions (batch, n) of A z = b, and whether each is the only one.

    Where A is singular: the shortest solution, nan where there is none.
    """
    finite = np.isfinite(A).all(axis=(1, 2)) & np.isfinite(b).all(axis=1)
    z = np.full(b.shape, np.nan)
    bound = np.linalg.norm(A, axis=2).prod(axis=1)
    sure = finite & (np.abs(np.linalg.det(A)) > _FLAT * bound)
    z[sure] = np.linalg.solve(A[sure], b[sure, :, None])[..., 0]
    for i in np.flatnonzero(finite & ~sure):
        u, s, vh = np.linalg.svd(A[i])
        kept = s > 1e-13 * max(s[0], 1.0)
        sure[i] = kept.all()
        inside = np.where(kept, (u.T @ b[i]) / np.where(kept, s, 1.0), 0.0)
        z[i] = inside @ vh
        if not np.abs(A[i] @ z[i] - b[i]).max() <= 1e-9 * (1.0 + np.abs(b[i]).max()):
            z[i] = np.nan
    return z, sure


def _misses(plmap: PiecewiseLinearMap, Z: np.ndarray) -> np.ndarray:
    """How far steps along Z (n, period, n_state) are from closing.

    Relative to what the steps add up in each coordinate, without regard to signs: a
    miss of less is rounding. Whether a point is one of the map, or of a linear map
    outside of its region, is decided by this, so nothing of a fixed size goes into it.
    """
    of_hinge = np.abs(Z) @ np.abs(plmap.W2).T + np.abs(plmap.h2)
    # A hinge that is closed but for rounding counts.
    is_open = Z @ plmap.W2.T + plmap.h2 > -_CANDIDATE * of_hinge
    terms = np.abs(Z) @ np.abs(plmap.A).T + np.abs(plmap.h1) + np.abs(Z)
    terms += np.where(is_open, of_hinge, 0.0) @ np.abs(plmap.W1).T
    size = terms.max(axis=1, initial=0.0)
    # A coordinate that is solved for along with larger ones is rounded as they are.
    size = size + _BESIDE * size.max(axis=1, keepdims=True)
    miss = np.abs(plmap(Z) - np.roll(Z, -1, axis=1)).max(axis=1, initial=0.0)
    ratio = np.where(miss == 0, 0.0, miss / size).max(axis=1, initial=0.0)
    return np.where(np.isfinite(ratio), ratio, np.inf)


def try_all(
    plmap: PiecewiseLinearMap, regions: np.ndarray, period: int
) -> tuple[list[np.ndarray], bool]:
    """Cycles of all sequences of regions, and whether none has many solutions."""
    n = len(regions)
    size = max(1, _BATCH // (period * max(plmap.n_hinges, plmap.n_state**2)))
    found, is_complete = [], True
    powers = n ** np.arange(period)
    for i in range(0, n**period, size):
        which = np.arange(i, min(i + size, n**period))[:, None] // powers % n
        # Of those that differ by where they begin, some of which begin lowest.
        which = which[(which[:, :1] <= which).all(axis=1)]
        Z, sure, exact = _solve_cycles(plmap, regions[which])
        is_complete &= not np.isfinite(Z[~sure]).all(axis=(1, 2)).any()
        is_complete &= bool(exact.all() and np.isfinite(Z[sure]).all())
        found.append(Z[_misses(plmap, Z) <= _CANDIDATE])
    return found, bool(is_complete)


def distinct(
    plmap: PiecewiseLinearMap, found: Sequence[np.ndarray], scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """Cycles polished and each once, how often it was found, and how many were lost.

    Lost are those that close to the tolerance of candidates, but not to rounding.
    """
    Z = np.concatenate(found)
    period = Z.shape[1]
    kept: list[np.ndarray] = []
    counts: list[int] = []
    known: dict[bytes, int | None] = {}
    seen = np.empty((0, Z.shape[2]))
    lost = 0
    for z, D in zip(Z, plmap.patterns(Z), strict=True):
        key = D.tobytes()
        if key not in known:
            known[key] = None
            polished = _polish(plmap, z)
            lost += polished is None
            if polished is not None and not _is_shorter(polished, scale):
                near = np.abs((seen - polished[0]) / scale).max(axis=1, initial=0.0)
                # Cycles of steep maps may agree in one point to any number of digits.
                same = [
                    at
                    for at in np.flatnonzero(near <= _SAME)
                    if _agree(kept[at // period], polished, int(at) % period, scale)
                ]
                if not same:
                    kept.append(polished)
                    counts.append(0)
                    seen = np.concatenate([seen, polished])
                    same = [np.intp(len(seen) - 1)]
                # It may begin anywhere.
                which = int(same[0]) // period
                for i in range(period):
                    known[np.roll(D, -i, axis=0).tobytes()] = which
        number = known[key]
        if number is not None:
            counts[number] += 1
    return *_in_order(kept, counts, scale, Z.shape[1:]), lost


def _in_order(
    kept: list[np.ndarray],
    counts: list[int],
    scale: np.ndarray,
    shape: tuple[int, ...],
) -> tuple[np.ndarray, np.ndarray]:
    """Each cycle from its lowest point on, the cycle with the lowest first."""
    if not kept:
        return np.empty((0, *shape)), np.empty(0, dtype=int)
    turned = []
    for Z in kept:
        order = np.lexsort(np.round(Z / scale / _SAME).T[::-1])
        turned.append(np.roll(Z, -int(order[0]), axis=0))
    orbits = np.stack(turned)
    order = np.lexsort(np.round(orbits[:, 0] / scale / _SAME).T[::-1])
    return orbits[order], np.array(counts)[order]


def _agree(one: np.ndarray, other: np.ndarray, k: int, scale: np.ndarray) -> bool:
    """Tell whether a cycle is another one that begins at its point k."""
    return bool((np.abs(np.roll(one, -k, axis=0) - other) / scale <= _SAME).all())


def _is_shorter(Z: np.ndarray, scale: np.ndarray) -> bool:
    """Tell whether a cycle (period, n_state) has a shorter period."""
    p = len(Z)
    return any(_agree(Z, Z, q, scale) for q in range(1, p) if p % q == 0)


def _polish(plmap: PiecewiseLinearMap, Z: np.ndarray) -> np.ndarray | None:
    """The cycle (period, n_state) near Z to rounding, None where there is none.

    All points are solved for together: a product of Jacobians would let the rounding of
    the first grow along the cycle.
    """
    p, M = Z.shape
    for _ in range(3):
        J, b = plmap.region(plmap.patterns(Z))
        if p * M > _DENSE:
            break
        blocks = np.eye(p * M).reshape(p, M, p, M)
        for i in range(p):
            blocks[(i + 1) % p, :, i] -= J[i]
        A = blocks.reshape(p * M, p * M)
        rhs = np.roll(b, 1, axis=0).ravel()
        try:
            z = np.linalg.solve(A, rhs)
            z = z + np.linalg.solve(A, rhs - A @ z)
        except np.linalg.LinAlgError:
            break
        if not np.isfinite(z).all() or np.abs(z - Z.ravel()).max() > 1e-3 * (
            1.0 + np.abs(Z).max()
        ):
            break
        Z = z.reshape(p, M)
        if _misses(plmap, Z[None])[0] <= _FIXED:
            break
    return Z if _misses(plmap, Z[None])[0] <= _FIXED else None


# -- regions -----------------------------------------------------------------------


def all_regions(
    W: np.ndarray, h: np.ndarray, most: int, seed: int = 0
) -> np.ndarray | None:
    """Patterns (n_regions, n_hinges) of all regions of W z + h, each once.

    Parameters
    ----------
    W : ndarray of shape (n_hinges, n_state)
    h : ndarray of shape (n_hinges,)
    most : int
        None is returned where there may be more regions.
    seed : int, default=0
        Seed of the directions and of the small moves into general position.

    Returns
    -------
    bool ndarray or None
        Some may be empty that come from hinges with points in common: a move into
        general position opens thin regions there.
    """
    norms = np.linalg.norm(W, axis=1)
    moving = norms > 0
    patterns = np.broadcast_to(h > 0, (1, len(h)))
    if not moving.any():
        return patterns.copy() if most >= 1 else None
    W, h = W[moving] / norms[moving, None], h[moving] / norms[moving]
    # Only the directions in which some hinge is met matter.
    _, s, vh = np.linalg.svd(W, full_matrices=False)
    r = int((s > 1e-10 * s[0]).sum())
    if sum(math.comb(len(W), j) for j in range(r + 1)) > most:
        return None
    rng = np.random.RandomState(seed)
    off = np.abs(h[h != 0])
    scale = float(np.median(off)) if len(off) else 1.0
    h = h + _MOVED * scale * rng.uniform(-1, 1, len(h))
    found = _cells(W @ vh[:r].T, h, rng)
    answer = np.repeat(patterns, len(found), axis=0)
    answer[:, moving] = found
    return answer


def _cells(W: np.ndarray, h: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Cells of an arrangement in general position (module's docstring)."""
    n, r = W.shape
    if r == 0:
        return (h > 0)[None]
    c = np.asarray(rng.standard_normal(r))
    c /= np.linalg.norm(c)
    found, lowest, widest = [], 0.0, float(np.abs(h).max())
    norms = np.linalg.norm(W, axis=1)
    tuples = combinations(range(n), r)
    size = max(1, _BATCH // max(n, r * r))
    while len(some := np.array(list(islice(tuples, size)), dtype=int)):
        A = W[some]
        bound = norms[some].prod(axis=1)
        meet = np.abs(np.linalg.det(A)) > _PARALLEL * bound
        some, A = some[meet], A[meet]
        v = np.linalg.solve(A, -h[some][:, :, None])[..., 0]
        along = np.broadcast_to(c, v.shape)[..., None]
        rising = np.linalg.solve(A.swapaxes(1, 2), along)
        cells = v @ W.T + h > 0
        np.put_along_axis(cells, some, rising[..., 0] > 0, axis=1)
        found.append(cells)
        lowest = min(lowest, float((v @ c).min(initial=0.0)))
        widest = max(widest, float(np.abs(v).max(initial=0.0)))
    # A plane below all vertices, and the cells that it cuts.
    t = lowest - widest
    across = np.linalg.svd(c[None])[2][1:]
    found.append(_cells(W @ across.T, h + t * (W @ c), rng))
    return np.concatenate(found)

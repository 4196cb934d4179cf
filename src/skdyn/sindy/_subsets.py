"""The best few of many columns: search, and proof that there is no better set.

For one target y and columns of unit size with mean products H (a ridge on its diagonal)
and b = Z'y, the gain of a set S of columns,

    gain(S) = b_S' H_SS^-1 b_S,     loss(S) = mean y² - gain(S)

(with the ridge in the loss), is to be as large as it can be with k columns. All sets
are visited once in a fixed order of the columns: a set grows by columns that come later
than its last. A set I, with the columns F that may still join it, is given up where

    gain(I and all of F) <= best gain so far,

the bound of branch and bound for subset regression (Furnival & Wilson 1974): no subset
of columns explains more than all of them do. One Cholesky factor of the products of F
given I, in reversed order, has the bounds for all tails of F at once. The order puts
first what is missed most when it goes, so that tails soon explain little. The last two
columns of a set are found by a scan of all pairs at once, in the closed form of two
columns. Columns without which even the full set is worse than the best set are in every
better set, and are fixed at the outset.

Incumbents come from elimination one column at a time (backward), from growth with
exchanges of one and of two columns, at all sizes.

References
----------
Furnival & Wilson, "Regressions by leaps and bounds", Technometrics 16 (1974), 499.

Miller, *Subset Selection in Regression*, 2nd edition, Chapman & Hall (2002).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from scipy import linalg

__all__ = ["Proof", "Target", "best_of_each_size", "prove"]

# Gains that differ by less of the mean square of the target are rounding.
ROUNDING = 1e-12
# Columns of which less is left, given others, are combinations of them.
_DEPENDENT = 1e-12
# Numbers in one batch: some MB.
_BATCH = 2**19
# Pairs that exchanges look at from one set at most.
_EXCHANGES = 2**21
# Pairs that are looked at between two looks at the limit.
_STRIDE = 2**24
# Sets that are held at a time.
_HELD = 2**17


@dataclass(frozen=True, eq=False)
class Target:
    """One regression problem.

    Attributes
    ----------
    products : ndarray of shape (p, p)
        H, mean products of the columns, with the ridge on the diagonal.
    right : ndarray of shape (p,)
        b, mean products with the target.
    size : float
        Mean square of the target.
    inverse : ndarray of shape (p, p)
        H^-1, shared by all targets with these columns.
    """

    products: np.ndarray
    right: np.ndarray
    size: float
    inverse: np.ndarray

    @property
    def rounding(self) -> float:
        """Gains that differ by less are equal."""
        return ROUNDING * self.size

    def gains(self, sets: np.ndarray) -> np.ndarray:
        """Gains (n,) of sets (n, k)."""
        if not sets.shape[1]:
            return np.zeros(len(sets))
        L = _cholesky(self.products[sets[:, :, None], sets[:, None, :]])
        w = np.linalg.solve(L, self.right[sets][..., None])[..., 0]
        return np.asarray(np.einsum("ij,ij->i", w, w))

    def given(
        self, sets: np.ndarray, free: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """What sets (n, k) leave: X (n, k, m), diagonal (n, m), b (n, m), gains (n,).

        The products of the columns `free` (m,) given a set are ``H_FF - X'X``.
        """
        L = _cholesky(self.products[sets[:, :, None], sets[:, None, :]])
        across = self.products[sets[:, :, None], free]
        both = np.concatenate([across, self.right[sets][..., None]], axis=2)
        both = np.linalg.solve(L, both)
        X, w = both[..., :-1], both[..., -1]
        diagonal = self.products[free, free] - np.einsum("ikm,ikm->im", X, X)
        right = self.right[free] - np.einsum("ikm,ik->im", X, w)
        # What is left of a combination of the set is rounding.
        gone = diagonal < _DEPENDENT
        return (
            X,
            np.where(gone, 1.0, diagonal),
            np.where(gone, 0.0, right),
            np.einsum("ij,ij->i", w, w),
        )


@dataclass(frozen=True, eq=False)
class Proof:
    """The best set that was found, and how much better another could be.

    Attributes
    ----------
    best : ndarray of int
        Columns, ascending.
    gain : float
        Its gain.
    bound : float
        No set of this size has a larger gain; equal to `gain` where that is proven.
    n_sets : int
        Sets that were looked at.
    """

    best: np.ndarray
    gain: float
    bound: float
    n_sets: int


def best_of_each_size(target: Target, most: int) -> list[np.ndarray]:
    """Good sets of 1 .. `most` columns, by elimination, growth and exchange.

    Parameters
    ----------
    target : Target
        The problem.
    most : int
        Largest size, at most p.

    Returns
    -------
    list of ndarray of int
        Columns of each, ascending; no proof that they are best.
    """
    backward = _backward(target, most)
    found: list[np.ndarray] = []
    before = np.zeros(0, dtype=int)
    for size in range(1, most + 1):
        grown = np.append(before, _best_single(target, before[None])[0][0])
        candidates = np.sort(np.stack([grown, backward[size - 1]]), axis=1)
        start = candidates[int(target.gains(candidates).argmax())]
        before = _exchange(target, start)
        found.append(before)
    return found


def prove(target: Target, start: np.ndarray, max_sets: float) -> Proof:
    """Find the best set of the size of `start`, and prove it.

    Parameters
    ----------
    target : Target
        The problem.
    start : ndarray of int
        A good set, of at least 1 column.
    max_sets : float
        Sets to look at before it gives up.

    Returns
    -------
    Proof
    """
    best, gain = start, float(target.gains(start[None])[0])
    # More than all columns together no set explains.
    coef = target.inverse @ target.right
    full = min(float(target.right @ coef), target.size)
    missed = coef**2 / np.diagonal(target.inverse)
    fixed = np.flatnonzero(full - missed <= gain + target.rounding)
    if full <= gain + target.rounding or len(fixed) > len(start):
        return Proof(best, gain, gain, 0)
    slots = len(start) - len(fixed)
    if slots == 0:
        other = float(target.gains(fixed[None])[0])
        return Proof(fixed, other, other, 1) if other > gain else _done(best, gain, 1)
    free = _order(target, fixed)
    return _Search(target, fixed, free, slots, best, gain, full, max_sets).run()


def _done(best: np.ndarray, gain: float, n_sets: int) -> Proof:
    return Proof(best, gain, gain, n_sets)


class _Search:
    """Branch and bound over the columns `free` in their order, in batches."""

    def __init__(
        self,
        target: Target,
        fixed: np.ndarray,
        free: np.ndarray,
        slots: int,
        best: np.ndarray,
        gain: float,
        full: float,
        max_sets: float,
    ) -> None:
        self.target, self.fixed, self.free, self.slots = target, fixed, free, slots
        self.best, self.gain, self.full = best, gain, full
        self.max_sets, self.n_sets = max_sets, 0

    def run(self) -> Proof:
        if self.slots == 1:
            column, _ = _best_single(self.target, self.fixed[None])
            self._take(np.append(self.fixed, column[0]))
            return _done(self.best, self.gain, len(self.free))
        # Sets of positions in `free`, ascending: the deepest are worked on first, so
        # that few are held.
        stack = [np.zeros((1, 0), dtype=np.int32)]
        while stack:
            nodes = stack.pop()
            # No more at a time than the limit can be kept with.
            some = max(1, min(_HELD, _STRIDE // len(self.free) ** 2))
            if len(nodes) > some:
                stack.append(nodes[some:])
                nodes = nodes[:some]
            if self.n_sets > self.max_sets:
                # What is open holds all that the full set explains, for all we know.
                return Proof(self.best, self.gain, self.full, self.n_sets)
            if nodes.shape[1] == self.slots - 2:
                self._close(nodes)
            else:
                children = self._grow(nodes)
                if len(children):
                    stack.append(children)
        return _done(self.best, self.gain, self.n_sets)

    def _groups(self, nodes: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Nodes by where their free columns begin."""
        if not nodes.shape[1]:
            return [(0, nodes)]
        first = nodes[:, -1] + 1
        order = np.argsort(first, kind="stable")
        starts = np.flatnonzero(np.diff(first[order], prepend=-1))
        return [
            (int(first[some[0]]), nodes[some])
            for some in np.split(order, starts[1:])
            if len(some)
        ]

    def _given(
        self, nodes: np.ndarray, first: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Products (n, m, m) of the columns from `first` on given each node, b, ..."""
        free = self.free[first:]
        held = np.hstack([np.tile(self.fixed, (len(nodes), 1)), self.free[nodes]])
        X, diagonal, right, gain = self.target.given(held, free)
        A = self.target.products[np.ix_(free, free)] - X.transpose(0, 2, 1) @ X
        return A, diagonal, right, gain

    def _grow(self, nodes: np.ndarray) -> np.ndarray:
        """Nodes with one more column each, without those that cannot be better."""
        left = self.slots - nodes.shape[1]
        m = len(self.free)
        grown = []
        for first, group in self._groups(nodes):
            n_tails = m - first - left + 1
            if n_tails < 1:
                continue
            # Bounding three columns costs as much as looking at all of them.
            worth = left > 3 or nodes.shape[1] == 0
            n_alive = np.full(len(group), n_tails)
            if worth:
                some = max(1, _BATCH // (m - first) ** 2)
                for a in range(0, len(group), some):
                    part = slice(a, a + some)
                    A, _, right, gain = self._given(group[part], first)
                    tails = _tail_gains(A, right)[:, :n_tails] + gain[:, None]
                    alive = tails > self.gain + self.target.rounding
                    # Tails only lose: those alive are the first.
                    n_alive[part] = alive.sum(axis=1)
                self.n_sets += len(group) * (m - first)
            parent = np.repeat(np.arange(len(group)), n_alive)
            within = np.arange(len(parent)) - np.repeat(
                np.cumsum(n_alive) - n_alive, n_alive
            )
            grown.append(np.column_stack([group[parent], first + within]))
        if not grown:
            return np.zeros((0, nodes.shape[1] + 1), dtype=np.int32)
        return np.concatenate(grown).astype(np.int32)

    def _close(self, nodes: np.ndarray) -> None:
        """Find the best two further columns of every node."""
        for first, group in self._groups(nodes):
            m = len(self.free) - first
            if m < 2:
                continue
            some = max(1, _BATCH // m**2)
            for a in range(0, len(group), some):
                part = group[a : a + some]
                self._pairs(part, first)
                self.n_sets += len(part) * comb(m, 2)

    def _pairs(self, nodes: np.ndarray, first: int) -> None:
        A, diagonal, right, gain = self._given(nodes, first)
        better = _pairs_above(A, diagonal, right, self.gain - gain)
        for node, i, j in better:
            columns = self.free[[*nodes[node], first + i, first + j]]
            self._take(np.concatenate([self.fixed, columns]))

    def _take(self, columns: np.ndarray) -> None:
        gain = float(self.target.gains(columns[None])[0])
        if gain > self.gain:
            self.best, self.gain = np.sort(columns), gain


def _pairs_above(
    A: np.ndarray, diagonal: np.ndarray, right: np.ndarray, least: np.ndarray
) -> list[tuple[int, int, int]]:
    """For each node, its best pair of columns, where its gain is above `least`.

    The gain of a pair is above c where, with products a and right sides g,
    (g_i² a_jj + g_j² a_ii - 2 g_i g_j a_ij) - c (a_ii a_jj - a_ij²) > 0: no division.
    """
    squares = right**2
    c = least[:, None, None]
    # a_ij (c a_ij - 2 g_i g_j) + g_i² a_jj + a_ii (g_j² - c a_jj)
    excess = A * c
    excess -= 2 * right[:, :, None] * right[:, None, :]
    excess *= A
    left = np.stack([squares, diagonal], axis=2)
    over = np.stack([diagonal, squares - least[:, None] * diagonal], axis=1)
    excess += left @ over
    m = A.shape[1]
    diagonals = np.arange(m)
    excess[:, diagonals, diagonals] = -np.inf
    flat = excess.reshape(len(A), -1)
    top = flat.argmax(axis=1)
    found = []
    for node in np.flatnonzero(flat[np.arange(len(A)), top] > 0):
        # The largest excess is some better pair, the best by gain is near: take it.
        a = diagonal[node]
        det = np.outer(a, a) - A[node] ** 2
        above = flat[node].reshape(m, m) > 0
        with np.errstate(all="ignore"):
            gains = np.where(
                above & (det > _DEPENDENT * np.outer(a, a)),
                excess[node] / det + c[node],
                -np.inf,
            )
        i, j = np.unravel_index(int(gains.argmax()), gains.shape)
        if np.isfinite(gains[i, j]):
            found.append((int(node), int(i), int(j)))
    return found


def _tail_gains(A: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Gains (n, m) of all columns from the first, the second, .. on."""
    L = _cholesky(A[:, ::-1, ::-1])
    w = np.linalg.solve(L, right[:, ::-1, None])[..., 0]
    return np.asarray(np.cumsum(w * w, axis=1)[:, ::-1])


def _cholesky(A: np.ndarray) -> np.ndarray:
    """Lower factors of (n, m, m); what is singular gets the least ridge that helps."""
    ridge = 0.0
    while True:
        try:
            moved = A + ridge * np.eye(A.shape[-1]) if ridge else A
            return np.asarray(np.linalg.cholesky(moved))
        except np.linalg.LinAlgError:
            ridge = max(100 * ridge, 1e-13)


def inverse(products: np.ndarray) -> np.ndarray:
    """The inverse of mean products, with the least ridge that makes it one."""
    lower = _cholesky(products[None])[0]
    half = linalg.solve_triangular(lower, np.eye(len(lower)), lower=True)
    return np.asarray(half.T @ half)


def _best_single(target: Target, sets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For sets (n, k), the column that adds most, and the gains with it."""
    everything = np.arange(len(target.right))
    _, diagonal, right, gain = target.given(sets, everything)
    added = right**2 / diagonal
    np.put_along_axis(added, sets, -1.0, axis=1)
    column = added.argmax(axis=1)
    return column, gain + added[np.arange(len(sets)), column]


def _exchange(target: Target, start: np.ndarray) -> np.ndarray:
    """Exchange columns, one or two at a time, until no exchange is better."""
    k, p = len(start), len(target.right)
    best, gain = start, float(target.gains(start[None])[0])
    while True:
        without = np.array([np.delete(best, i) for i in range(k)], dtype=int)
        column, gains = _best_single(target, without.reshape(k, k - 1))
        i = int(gains.argmax())
        if gains[i] > gain + target.rounding:
            # Both ways to compute a gain may differ where columns are combinations.
            other = np.sort(np.append(without[i], column[i]))
            better = float(target.gains(other[None])[0])
            if better > gain + target.rounding:
                best, gain = other, better
                continue
        if k < 2 or comb(k, 2) * p**2 > _EXCHANGES:
            return best
        search = _Search(
            target, np.zeros(0, int), np.arange(p), k, best, gain, np.inf, np.inf
        )
        rest = np.array(list(combinations(best.tolist(), k - 2)), dtype=int)
        some = max(1, _BATCH // p**2)
        for a in range(0, len(rest), some):
            search._pairs(rest[a : a + some], 0)
        if search.gain <= gain + target.rounding:
            return best
        best, gain = search.best, search.gain


def _backward(target: Target, most: int) -> list[np.ndarray]:
    """Sets of 1 .. `most` columns by elimination of the least from the full set."""
    kept = np.arange(len(target.right))
    K, right = target.inverse, target.right
    coef = K @ right
    found: dict[int, np.ndarray] = {}
    while True:
        if len(kept) <= most:
            found[len(kept)] = kept
        if len(kept) == 1:
            return [found[size] for size in range(1, most + 1)]
        missed = coef**2 / np.diagonal(K)
        # Of very many, the lesser half goes at once.
        if len(kept) > max(128, 4 * most):
            stay = np.sort(np.argsort(-missed, kind="stable")[: len(kept) // 2])
            kept = kept[stay]
            K = inverse(target.products[np.ix_(kept, kept)])
            coef = K @ right[kept]
            continue
        out = int(missed.argmin())
        column = K[out]
        stay = np.arange(len(kept)) != out
        coef = (coef - column * (coef[out] / column[out]))[stay]
        K = (K - np.outer(column, column / column[out]))[np.ix_(stay, stay)]
        kept = kept[stay]


def _order(target: Target, fixed: np.ndarray) -> np.ndarray:
    """Columns that are not fixed: each time the one that the rest misses most."""
    K, coef = target.inverse.copy(), target.inverse @ target.right
    here = np.ones(len(coef), dtype=bool)
    here[fixed] = False
    ordered = []
    # Past some hundred, tails have lost what they can lose.
    for _ in range(min(int(here.sum()), 200)):
        with np.errstate(all="ignore"):
            missed = np.where(here, coef**2 / np.diagonal(K), -1.0)
        out = int(np.nan_to_num(missed, nan=-0.5).argmax())
        ordered.append(out)
        here[out] = False
        column = K[out].copy()
        if column[out] <= 0:
            break
        coef = coef - column * (coef[out] / column[out])
        K -= np.outer(column, column / column[out])
    rest = np.flatnonzero(here)
    gains = target.right[rest] ** 2
    return np.concatenate(
        [np.array(ordered, dtype=int), rest[np.argsort(-gains, kind="stable")]]
    )

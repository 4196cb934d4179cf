"""Search for rational equations y = N(x) / D(x), sparse in numerator and denominator.

Equations. With terms theta_i (numerator) and phi_k (denominator) and the rows
y = N(x) / D(x) + e of one equation, N = sum a_i theta_i and D = sum b_k phi_k,

    N - y D = [theta, -y phi] [a; b] = -D e                                        (1)

is linear in the coefficients, which are known up to a common factor. Kaheman, Kutz &
Brunton (2020) try every candidate term as the left side, whose coefficient is then 1,
and solve a sparse regression for the others. Two things are done about its bias, since
y stands on both sides with its errors:

* Candidates are compared by the quotient

      lambda(S) = min over a, b on the support S of  |N - y D|² / |D|²,            (2)

  the smallest generalised singular value of the moments of (1): for errors of y of
  variance s², E |D e|² = s² |D|², so that the true coefficients make (2) smallest,
  whatever term is on the left (total least squares; Mangan et al. (2016) take the null
  vector without |D|).
* The candidates that remain are refined by nonlinear least squares of y - N / D on the
  rows (Gauss-Newton with Levenberg's damping), where nothing is biased.

The choice is by the extended Bayesian criterion of Chen & Chen (2008),

    n log(mean of (y - N / D)²) + k log n + 2 log binomial(P, k),

k the number of free coefficients of P, and n the number of independent rows: rows over
the autocorrelation time of the residuals.

A relation times any common factor of N and D is a relation too. Of relations of one
score the one of lower degree is taken, supports are searched in boxes of growing
denominators, so that the lowest is found where it has no multiples, and factors that
are monomials are divided out. Denominators that change sign over the rows are refused:
the equation would have had a pole between them.

References
----------
Kaheman, Kutz & Brunton, "SINDy-PI: a robust algorithm for parallel implicit sparse
identification of nonlinear dynamics", Proceedings of the Royal Society A 476 (2020),
20200279.

Mangan, Brunton, Proctor & Kutz, "Inferring biological networks by sparse identification
of nonlinear dynamics", IEEE Transactions on Molecular, Biological and Multi-Scale
Communications 2 (2016), 52.

Chen & Chen, "Extended Bayesian information criteria for model selection with large
model spaces", Biometrika 95 (2008), 759.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from math import comb, lgamma, log

import numpy as np

__all__ = ["Box", "Rational", "Search", "best_rational", "refined", "refined_on"]

# Supports of one box that are all tried; larger boxes are searched by elimination.
_EXHAUSTIVE = 2**12
# Supports of each size that go on from the moments to the rows.
_KEPT = 6
# How many times the least quotient of supports of the size and below is still near.
_NEAR = 10.0
# Terms of the largest supports, where nothing else is said.
_MOST_TERMS = 16
# Columns whose part outside the others is smaller, relative to their size, are taken to
# be combinations of the others.
_DEPENDENT = 1e-9
# A denominator comes no nearer to zero than this share of its root mean square.
_NEAR_POLE = 1e-4
# What a degree costs in the criterion: it only decides between equals.
_PER_DEGREE = 0.02
# Roots that differ by less, relative to their size, are one.
_SHARED = 1e-3
# Columns above which elimination drops several at once, and left sides are not tried
# one by one.
_MANY = 64

Support = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Rational:
    """One relation y = N / D.

    Attributes
    ----------
    numerator : ndarray of shape (p,)
        Coefficients of N.
    denominator : ndarray of shape (p,)
        Coefficients of D, that of the first term (the constant, where there is one) 1.
    n_terms : int
        Free coefficients: terms of both less one.
    error : float
        Root mean square of y - N / D relative to that of y.
    side : float
        The sign of the denominator at all rows.
    score : float
        The criterion, less is better; NaN before it is known.
    """

    numerator: np.ndarray
    denominator: np.ndarray
    n_terms: int
    error: float
    side: float = 1.0
    score: float = np.nan

    @property
    def support(self) -> Support:
        """Columns of numerator and denominator that are not zero."""
        return (
            tuple(np.flatnonzero(self.numerator).tolist()),
            tuple(np.flatnonzero(self.denominator).tolist()),
        )


@dataclass(frozen=True, eq=False)
class Box:
    """Columns that are searched together: of the numerator and of the denominator."""

    numerator: np.ndarray
    denominator: np.ndarray


@dataclass(frozen=True, eq=False)
class Search:
    """What is known of one equation.

    Attributes
    ----------
    factor : ndarray of shape (k, p + p)
        Few rows with the moments of the rows [theta, y theta].
    weight : float
        Sum of the weights of the rows that these stand for.
    theta : ndarray of shape (n, p)
        Terms at some rows, on which candidates are refined.
    y : ndarray of shape (n,)
        The derivative there.
    share : ndarray of shape (n,) or None
        Weights of these rows, of mean 1.
    numerator, denominator : ndarray of int
        The columns that may stand in each, that of the constant first in the latter.
    powers : ndarray of shape (p, d) or None
        Exponents, where all terms are monomials.
    floor : float
        Relative errors below are rounding.
    max_terms : int
        The most terms of numerator and denominator together.
    """

    factor: np.ndarray
    weight: float
    theta: np.ndarray
    y: np.ndarray
    share: np.ndarray | None
    numerator: np.ndarray
    denominator: np.ndarray
    powers: np.ndarray | None
    floor: float
    max_terms: int = _MOST_TERMS

    @cached_property
    def n_terms(self) -> int:
        return self.factor.shape[1] // 2

    @cached_property
    def _scaled(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows [theta, y theta] in terms of unit size, and the sizes (p,)."""
        p = self.n_terms
        rows = self.factor / np.sqrt(self.weight)
        size = np.linalg.norm(rows[:, :p], axis=0)
        unit = np.where(size > 0, size, 1.0)
        return rows / np.concatenate([unit, unit]), unit

    @property
    def rows(self) -> np.ndarray:
        return self._scaled[0]

    @property
    def unit(self) -> np.ndarray:
        return self._scaled[1]

    @cached_property
    def alive(self) -> np.ndarray:
        """Terms that are not zero all along, bool (p,)."""
        return np.linalg.norm(self.rows[:, : self.n_terms], axis=0) > 0

    @cached_property
    def size(self) -> float:
        """Root mean square of y over the rows for refinement."""
        return float(np.sqrt(_mean(self.y**2, self.share)))

    @cached_property
    def degrees(self) -> np.ndarray:
        """Degree of each term; 0 for the constant and 1 for all others if unknown."""
        if self.powers is not None:
            return self.powers.sum(axis=1)
        degrees = np.ones(self.n_terms, dtype=np.int64)
        degrees[self.denominator[0]] = 0
        return degrees

    def degree(self, support: Support) -> int:
        return int(sum(self.degrees[list(part)].sum() for part in support))

    def boxes(self) -> list[Box]:
        """The constant alone, then denominators of growing degree and of one feature.

        In a denominator of the degree of the truth, no multiple of it has place, so
        that the solution is unique whatever the numerator is allowed.
        """
        D, degrees = self.denominator, self.degrees
        choices = [D[degrees[D] <= g] for g in range(int(degrees[D].max()) + 1)]
        if self.powers is not None and self.powers.shape[1] > 1:
            for i in range(self.powers.shape[1]):
                others = np.delete(self.powers[D], i, axis=1).any(axis=1)
                choices.append(D[~others])
        seen, found = set(), []
        for choice in choices:
            kept = choice[self.alive[choice]]
            if kept.tobytes() not in seen and len(kept):
                seen.add(kept.tobytes())
                found.append(Box(self.numerator[self.alive[self.numerator]], kept))
        return found


def best_rational(
    search: Search,
    tolerance: float | None = None,
    only: Sequence[Support] | None = None,
    worth_of: Callable[[np.ndarray], float] | None = None,
) -> tuple[Rational, list[Rational]]:
    """The relation of the best criterion, and all that were compared.

    Parameters
    ----------
    search : Search
        The equation.
    tolerance : float or None
        None chooses by the criterion; a number takes the simplest relation whose
        relative error is at most that, or the one of least error where none is.
    only : sequence of supports or None
        Candidates, in place of those that are searched for.
    worth_of : callable or None
        From the residuals of the rows of `search` to how many independent rows they
        are worth; None takes all.

    Returns
    -------
    best : Rational
    compared : list of Rational
        In no order.
    """
    pool: dict[Support, Rational] = {}
    judged: set[Support] = set()

    def judge(support: Support) -> None:
        support = _reduced(search, support)
        if support in judged:
            return
        judged.add(support)
        found = refined(search, support)
        if found is not None:
            # Coefficients may come out as zero, where the derivative is.
            pool.setdefault(found.support, found)

    for support in candidates(search) if only is None else only:
        judge(support)
    if not pool:
        nothing = _zero(search)
        return nothing, [nothing]
    worth = worth_of or len

    def rank(each: Rational) -> tuple[float, ...]:
        if tolerance is None:
            return (criterion(search, each, n_rows),)
        return (
            max(each.error, tolerance),
            each.n_terms,
            search.degree(each.support),
            each.error,
        )

    best = min(pool.values(), key=lambda each: each.error)
    n_rows = float(len(search.y))
    tried: set[Support] = set()
    while True:
        # What errors leave of the rows is seen best in the residuals of the relation
        # of choice; a larger one has fitted some of them.
        n_rows = min(n_rows, worth(residual(search, best)))
        best = min(pool.values(), key=rank)
        if best.support in tried:
            shorter = None if only is not None else _cancelled(search, best)
            if shorter is not None:
                # The same relation without a factor, whatever its terms count.
                del pool[best.support]
                best = pool[shorter.support] = shorter
            break
        tried.add(best.support)
        for support in _neighbours(search, best) if only is None else ():
            judge(support)
    compared = [
        replace(each, score=criterion(search, each, n_rows)) for each in pool.values()
    ]
    chosen = next(each for each in compared if each.support == best.support)
    return chosen, compared


def criterion(search: Search, relation: Rational, n_rows: float) -> float:
    """The extended Bayesian criterion, for so many independent rows."""
    k, total = relation.n_terms, len(search.numerator) + len(search.denominator)
    error = max(relation.error, search.floor)
    # Few rows are no reason to take more terms than Akaike's criterion would.
    per_term = max(log(n_rows), 2.0)
    choices = lgamma(total + 1) - lgamma(k + 1) - lgamma(total - k + 1)
    return (
        2 * n_rows * log(error)
        + per_term * k
        + 2 * choices
        + _PER_DEGREE * search.degree(relation.support)
    )


# -- candidates from moments -----------------------------------------------------------


def candidates(search: Search) -> list[Support]:
    """Supports that are worth a look on the rows, from moments alone.

    Of each number of terms and for each left side the best, and what comes near the
    best of its size and below.
    """
    least = (search.floor * search.size) ** 2
    best: dict[object, tuple[float, int, Support]] = {}
    near: list[tuple[float, int, Support]] = []
    for numerators, denominators in _tried(search):
        values = np.maximum(quotients(search, numerators, denominators), least)
        degree = search.degrees[numerators].sum(axis=1)
        degree = degree + search.degrees[denominators].sum(axis=1)
        order = np.lexsort((degree, values))
        size = numerators.shape[1] + denominators.shape[1]
        for i in order[: 2 * _KEPT]:
            if not np.isfinite(values[i]):
                break
            support = tuple(numerators[i].tolist()), tuple(denominators[i].tolist())
            near.append((float(values[i]), int(degree[i]), support))
        for key, some in [(size, order), *_by_left(search, denominators, order)]:
            if len(some) and np.isfinite(values[some[0]]):
                i = some[0]
                support = tuple(numerators[i].tolist()), tuple(denominators[i].tolist())
                entry = float(values[i]), int(degree[i]), support
                best[key] = min(best.get(key, entry), entry)
    constant = int(search.denominator[0])
    kept = {entry[2]: None for entry in best.values()}
    by_size: dict[int, list[tuple[float, int, Support]]] = {}
    for entry in near:
        by_size.setdefault(sum(map(len, entry[2])), []).append(entry)
    low = np.inf
    for size in sorted(by_size):
        entries = sorted(set(by_size[size]))
        low = min(low, entries[0][0])
        close = [entry for entry in entries if entry[0] <= _NEAR * low]
        kept.update((entry[2], None) for entry in close[:_KEPT])
        lone = [entry for entry in entries if entry[2][1] == (constant,)]
        kept.update((entry[2], None) for entry in lone[:1])
    return list(kept)


def _by_left(
    search: Search, denominators: np.ndarray, order: np.ndarray
) -> Iterator[tuple[object, np.ndarray]]:
    """For each term of the denominator, the first in `order` that has it."""
    for left in search.denominator.tolist():
        has = np.flatnonzero((denominators[order] == left).any(axis=1))
        yield f"left {left}", order[has[:1]]


def _tried(search: Search) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Supports of equal numbers of terms, (K, n_a) and (K, n_b), box after box."""
    boxes = sorted(search.boxes(), key=lambda box: -len(box.denominator))
    done = 0
    for i, box in enumerate(boxes):
        n, d = len(box.numerator), len(box.denominator)
        most = min(search.max_terms, n + d, max(1, len(search.y) - 1))
        size, count = done, 0
        while size < most and count + comb(n + d, size + 1) <= _EXHAUSTIVE:
            size += 1
            count += comb(n + d, size)
        for n_b in range(1, min(size, d) + 1):
            for n_a in range(max(done + 1 - n_b, 0), min(size - n_b, n) + 1):
                yield _products(box, n_a, n_b)
        if i == 0:
            # All other boxes are parts of the first.
            done = size
        if size < most:
            yield from _grouped(search, box, size)


def _products(box: Box, n_a: int, n_b: int) -> tuple[np.ndarray, np.ndarray]:
    """All supports of a box with so many terms above and below."""
    above = np.array(list(combinations(box.numerator.tolist(), n_a)), dtype=np.intp)
    below = np.array(list(combinations(box.denominator.tolist(), n_b)), dtype=np.intp)
    return np.tile(above, (len(below), 1)), np.repeat(below, len(above), axis=0)


def _grouped(
    search: Search, box: Box, size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Supports of more than `size` terms by elimination, in groups of equal counts."""
    groups: dict[tuple[int, int], dict[Support, None]] = {}
    many = len(box.numerator) + len(box.denominator) > _MANY
    for left in box.denominator[:1] if many else box.denominator:
        for support in eliminated(search, box, int(left)):
            counts = len(support[0]), len(support[1])
            if sum(counts) > size:
                groups.setdefault(counts, {})[support] = None
    for group in groups.values():
        above = np.array([a for a, _ in group], dtype=np.intp)
        below = np.array([b for _, b in group], dtype=np.intp)
        yield above, below


def eliminated(search: Search, box: Box, left: int) -> Iterator[Support]:
    """Supports on the way down from all terms, with one term on the left side.

    In every round the term goes whose loss raises the sum of squares least:
    c_i² / [(A^T A)^-1]_ii.
    """
    p = search.n_terms
    columns = np.concatenate([box.numerator, p + box.denominator])
    active = columns[columns != p + left]
    rows = search.rows[:, np.append(active, p + left)]
    # A ridge at rounding keeps what depends on others from being drawn at random.
    rows = np.vstack([rows, _DEPENDENT * np.eye(len(active), len(active) + 1)])
    while True:
        support = _support(np.append(active, p + left), p)
        if sum(map(len, support)) <= search.max_terms:
            yield support
        if not len(active):
            return
        # Triangular rows in place of the rows: they shrink with the terms.
        rows = np.asarray(np.linalg.qr(rows, mode="r"))
        m = len(active)
        inverse = np.linalg.solve(rows[:m, :m], np.eye(m))
        coef = inverse @ rows[:m, m]
        rise = coef**2 / np.square(inverse).sum(axis=1)
        gone = np.argsort(rise)[: 1 if m <= _MANY else m // 8]
        active, rows = np.delete(active, gone), np.delete(rows, gone, axis=1)


def _support(columns: np.ndarray, p: int) -> Support:
    ordered = np.sort(columns)
    return (
        tuple(ordered[ordered < p].tolist()),
        tuple((ordered[ordered >= p] - p).tolist()),
    )


def quotients(
    search: Search, numerators: np.ndarray, denominators: np.ndarray
) -> np.ndarray:
    """The quotient (2) of many supports of equal numbers of terms, (K,).

    Parameters
    ----------
    numerators : int ndarray of shape (K, n_a)
        Columns of N.
    denominators : int ndarray of shape (K, n_b)
        Columns of D.
    """
    _, values = _reduced_factors(search, numerators, denominators)
    return values


def _reduced_factors(
    search: Search, numerators: np.ndarray, denominators: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """Triangular factors of supports, and their quotients.

    R of [theta_S, y phi_S] has in its last rows what the numerator cannot explain, and
    U is that of phi_S: the quotient is the smallest singular value of R_bb U^-1.
    """
    p, n_a = search.n_terms, numerators.shape[1]
    both = np.concatenate([numerators, p + denominators], axis=1)
    columns = search.rows.T
    R = np.asarray(np.linalg.qr(columns[both].transpose(0, 2, 1), mode="r"))
    U = np.asarray(np.linalg.qr(columns[denominators].transpose(0, 2, 1), mode="r"))
    if R.shape[1] < both.shape[1] or U.shape[1] < denominators.shape[1]:
        return (R, U, U), np.full(len(both), np.inf)
    own = np.abs(np.diagonal(R[:, :n_a, :n_a], axis1=1, axis2=2))
    below = np.abs(np.diagonal(U, axis1=1, axis2=2))
    bad = (own.min(axis=1, initial=1.0) < _DEPENDENT) | (below.min(axis=1) < _DEPENDENT)
    U[bad] = np.eye(U.shape[1])
    left = R[:, n_a:, n_a:].transpose(0, 2, 1)
    X = np.linalg.solve(U.transpose(0, 2, 1), left).transpose(0, 2, 1)
    values = np.linalg.svd(X, compute_uv=False)[:, -1] ** 2
    values[bad] = np.inf
    return (R, U, X), values


def homogeneous(search: Search, support: Support) -> tuple[np.ndarray, np.ndarray]:
    """The coefficients that minimise (2) on a support, in the units of the data."""
    a, b = (np.array(part, dtype=np.intp) for part in support)
    (R, U, X), values = _reduced_factors(search, a[None], b[None])
    if not np.isfinite(values[0]):
        return np.zeros(len(a)), np.zeros(len(b))
    below = np.linalg.solve(U[0], np.linalg.svd(X[0])[2][-1])
    n_a = len(a)
    above = np.linalg.solve(R[0, :n_a, :n_a], R[0, :n_a, n_a:] @ below)
    return above / search.unit[a], below / search.unit[b]


# -- refinement on rows ----------------------------------------------------------------


def refined(search: Search, support: Support) -> Rational | None:
    """Nonlinear least squares of y - N / D on a support; None where D has zeros."""
    a, b = (list(part) for part in support)
    above, below = homogeneous(search, support)
    return _refined(
        search,
        support,
        (above, below),
        (search.theta[:, a], search.theta[:, b]),
        search.y,
        search.share,
    )


def refined_on(
    search: Search,
    start: Rational,
    A: np.ndarray,
    B: np.ndarray,
    y: np.ndarray,
    share: np.ndarray | None,
) -> Rational | None:
    """A relation, refined on other rows: terms (n, n_a) and (n, n_b), y (n,)."""
    a, b = (list(part) for part in start.support)
    coef = start.numerator[a], start.denominator[b]
    found = _refined(search, start.support, coef, (A, B), y, share)
    return None if found is None else replace(found, score=start.score)


def _refined(
    search: Search,
    support: Support,
    coef: tuple[np.ndarray, np.ndarray],
    terms: tuple[np.ndarray, np.ndarray],
    y: np.ndarray,
    share: np.ndarray | None,
) -> Rational | None:
    (A, B), (a, b) = terms, (list(part) for part in support)
    root = None if share is None else np.sqrt(share)
    found = least_squares(A, B, y, *coef, root)
    if found is None:
        return None
    above, below, loss = found
    numerator, denominator = np.zeros((2, search.n_terms))
    # The term of least degree on the left: the constant, where there is one.
    order = np.lexsort((np.arange(len(b)), search.degrees[b]))
    unit = below[order[0]]
    if unit == 0:
        return None
    numerator[a], denominator[b] = above / unit, below / unit
    size = np.sqrt(_mean(y**2, share))
    error = float(np.sqrt(loss) / size) if size > 0 else 0.0
    side = float(np.sign(B[0] @ denominator[b]))
    return Rational(numerator, denominator, len(a) + len(b) - 1, error, side)


def least_squares(
    A: np.ndarray,
    B: np.ndarray,
    y: np.ndarray,
    above: np.ndarray,
    below: np.ndarray,
    root: np.ndarray | None = None,
    max_rounds: int = 30,
) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Minimise the mean of root² (y - A a / B b)² from a start, by Levenberg-Marquardt.

    The largest contribution to the denominator is held, since a common factor of all
    coefficients changes nothing. Steps that bring the denominator to zero at a row, or
    near it, are not taken.

    Returns
    -------
    a, b, loss, or None where the start has a denominator that is zero at a row.
    """
    w = np.ones(1) if root is None else root
    n_a = A.shape[1]
    sizes = np.sqrt(np.mean(B**2, axis=0))
    if not np.isfinite(below).all() or not below.any():
        return None
    held = int(np.argmax(np.abs(below) * sizes))
    above, below = above / below[held], below / below[held]
    free = np.delete(np.arange(B.shape[1]), held)

    def at(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, ...] | None:
        D = B @ b
        low, high = D.min(), D.max()
        if not (low > 0 or high < 0):
            return None
        if min(abs(low), abs(high)) < _NEAR_POLE * np.sqrt(np.mean(D**2)):
            return None
        f = (A @ a) / D
        return D, f, w * (y - f)

    state = at(above, below)
    if state is None:
        return None
    D, f, rest = state
    loss = float(np.mean(rest**2))
    damping = 0.0 if not len(free) else 1e-4
    for _ in range(max_rounds):
        if not n_a + len(free):
            break
        J = np.hstack([A, -f[:, None] * B[:, free]]) * (w / D)[:, None]
        # Normal equations: a step may be rough, since the next mends it.
        scale = np.sqrt(np.einsum("ij,ij->j", J, J))
        scale[scale == 0] = 1.0
        J /= scale
        G, right = J.T @ J, J.T @ rest
        better = False
        for _ in range(8):
            ridge = (damping + 1e-13) * np.eye(len(scale))
            try:
                step = np.linalg.solve(G + ridge, right) / scale
            except np.linalg.LinAlgError:
                break
            trial_a, trial_b = above + step[:n_a], below.copy()
            trial_b[free] += step[n_a:]
            state = at(trial_a, trial_b)
            if state is not None:
                trial_loss = float(np.mean(state[2] ** 2))
                if trial_loss < loss:
                    better = True
                    break
            damping = max(10 * damping, 1e-6)
        if not better:
            break
        assert state is not None
        gain = loss - trial_loss
        above, below, (D, f, rest) = trial_a, trial_b, state
        loss, damping = trial_loss, 0.1 * damping if damping > 1e-9 else 0.0
        if gain <= 1e-9 * loss or not len(free):
            break
    return above, below, loss


def residual(search: Search, found: Rational) -> np.ndarray:
    """The residuals y - N / D at the rows of a search."""
    D = search.theta @ found.denominator
    return np.asarray(search.y - (search.theta @ found.numerator) / D)


def _mean(values: np.ndarray, share: np.ndarray | None) -> float:
    return float(np.mean(values if share is None else share * values))


def _zero(search: Search) -> Rational:
    """The relation y = 0."""
    denominator = np.zeros(search.n_terms)
    denominator[search.denominator[0]] = 1.0
    return Rational(np.zeros(search.n_terms), denominator, 0, float(search.size > 0))


# -- moves -----------------------------------------------------------------------------


def _neighbours(search: Search, best: Rational) -> list[Support]:
    """Supports with a term less, and with the terms more that the residual asks for."""
    a, b = best.support
    found: list[Support] = []
    for i in a:
        found.append((tuple(j for j in a if j != i), b))
    for i in b if len(b) > 1 else ():
        found.append((a, tuple(j for j in b if j != i)))
    if len(a) + len(b) >= search.max_terms:
        return found
    # The derivative of the residual by a coefficient that is zero so far.
    D = search.theta @ best.denominator
    f = (search.theta @ best.numerator) / D
    p, rest = search.n_terms, search.y - f
    root = 1.0 if search.share is None else np.sqrt(search.share)[:, None]
    above = [i for i in search.numerator.tolist() if i not in a and search.alive[i]]
    below = [i for i in search.denominator.tolist() if i not in b and search.alive[i]]
    J = np.hstack([search.theta[:, above], -f[:, None] * search.theta[:, below]])
    own = np.hstack([search.theta[:, a], -f[:, None] * search.theta[:, b]])
    J, own = root * J / D[:, None], root * own / D[:, None]
    Q = np.linalg.qr(own)[0]
    before = np.linalg.norm(J, axis=0)
    J = J - Q @ (Q.T @ J)
    after = np.linalg.norm(J, axis=0)
    rest = rest * root[:, 0] if isinstance(root, np.ndarray) else rest
    fall = np.abs(J.T @ rest) / np.where(after > 0, after, 1.0)
    fall[after < 1e-8 * before] = 0.0
    places = [*above, *(p + i for i in below)]
    for k in np.argsort(-fall)[:4]:
        if fall[k] > 0:
            more = np.array([*a, *(p + i for i in b), places[k]])
            found.append(_support(more, p))
    return found


def _cancelled(search: Search, best: Rational) -> Rational | None:
    """A relation of powers of one feature without the roots that N and D share.

    (1 - x) / (1 - x^4) has fewer terms than 1 / (1 + x + x² + x³), and a pole that is
    none only as long as both roots agree.
    """
    a, b = best.support
    if search.powers is None or not a or len(b) < 2:
        return None
    features = np.flatnonzero(search.powers[[*a, *b]].any(axis=0))
    if len(features) != 1:
        return None
    place: dict[int, int] = {}
    for i, row in enumerate(search.powers):
        if not np.delete(row, features[0]).any():
            place[int(row[features[0]])] = i
    top = max(place)
    if len(place) <= top:
        return None
    columns = np.array([place[k] for k in range(top, -1, -1)])
    above = np.trim_zeros(best.numerator[columns], "f")
    below = np.trim_zeros(best.denominator[columns], "f")
    shared = [
        root
        for root in np.roots(below)
        if abs(root.imag) < _SHARED * abs(root)
        and (np.abs(np.roots(above) - root) < _SHARED * abs(root)).any()
    ]
    if not shared:
        return None
    for root in shared:
        above = np.polydiv(above, [1.0, -root.real])[0]
        below = np.polydiv(below, [1.0, -root.real])[0]
    unit = np.sqrt(np.mean(search.theta[:, columns] ** 2, axis=0))
    parts = []
    for row in (above, below):
        size = np.abs(row) * unit[top + 1 - len(row) :]
        kept = columns[top + 1 - len(row) :][size > _SHARED * size.max()]
        parts.append(tuple(sorted(kept.tolist())))
    support = parts[0], parts[1]
    allowed = search.numerator, search.denominator
    for part, columns in zip(support, allowed, strict=True):
        if not np.isin(part, columns).all():
            return None
    found = refined(search, support)
    if found is None or found.error > max(best.error * (1 + _SHARED), search.floor):
        return None
    return found


def _reduced(search: Search, support: Support) -> Support:
    """A support without the monomial that all terms have in common."""
    a, b = support
    if not a:
        return a, (int(search.denominator[0]),)
    if search.powers is None:
        return support
    powers = search.powers
    common = powers[[*a, *b]].min(axis=0)
    if not common.any():
        return support
    place = {tuple(row): i for i, row in enumerate(powers.tolist())}
    above = [place.get(tuple(powers[i] - common), -1) for i in a]
    below = [place.get(tuple(powers[i] - common), -1) for i in b]
    allowed_above, allowed_below = set(search.numerator), set(search.denominator)
    if not (allowed_above.issuperset(above) and allowed_below.issuperset(below)):
        return support
    return tuple(sorted(above)), tuple(sorted(below))

"""Least squares of all equations at once, under linear relations and bounds.

Equations: with the coefficients of all equations in one vector x, in units in which all
terms and targets have a root mean square of 1, so that nothing depends on units,

    minimise  sum_j |R_j x_j - z_j|²    subject to  A x = b,  C x <= d,

where R_j' R_j holds the mean products of the terms of equation j, with a penalty on the
diagonal where there is one. With v = R (x - x0) about the free least squares x0 this is
the least |v|² with A R^-1 v = b - A x0 and C R^-1 v <= d - C x0. Equalities are solved
by the pseudoinverse of A R^-1; with inequalities in its null space what is left is a
problem of least distance, which non-negative least squares solves in finitely many
steps (Lawson & Hanson, "Solving Least Squares Problems" (1974), chapter 23). Those that
hold with equality there are then solved for as equalities, and a last projection on all
of these takes away what rounding left.

Relations bind terms together. One that adds up to something else than zero needs its
terms, so that they cannot be dropped; of one that adds up to zero, a single term that
is left would have to be zero, and gets the others back.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import linalg
from scipy.optimize import nnls

if TYPE_CHECKING:
    from skdyn.sindy._problem import Problem

__all__ = ["Relations", "Restricted"]

# Singular values of relations below this, of rows of unit norm, are rounding.
_DEPENDENT = 1e-12
# A relation holds that is kept to this share of the largest that it adds up.
HOLDS = 1e-9
# Shares of the largest coefficient that rounding leaves of zero.
_NOTHING = 1e-14
# Penalty on columns that depend on each other, of unit size: the root is 1e-10.
_TIE = 1e-20


@dataclass(frozen=True, eq=False)
class Relations:
    """Linear relations between coefficients of one or several equations.

    Attributes
    ----------
    equal : ndarray of shape (m, q, p)
        Weights of the coefficients in relations that hold with equality.
    equal_to : ndarray of shape (m,)
        What they add up to.
    most : ndarray of shape (k, q, p)
        Weights in relations that hold as "at most".
    most_to : ndarray of shape (k,)
        What they add up to at most.
    kept : bool ndarray of shape (q, p)
        Terms that cannot be dropped.
    sizes : ndarray of shape (q,) or None
        What the errors of each equation are relative to where all are solved at once;
        None is the root mean squares of the targets.
    """

    equal: np.ndarray
    equal_to: np.ndarray
    most: np.ndarray
    most_to: np.ndarray
    kept: np.ndarray
    sizes: np.ndarray | None = None

    def shifted(self, fixed: np.ndarray) -> Relations:
        """Relations of what is added to given coefficients (q, p)."""
        return replace(
            self,
            equal_to=self.equal_to - np.tensordot(self.equal, fixed, 2),
            most_to=self.most_to - np.tensordot(self.most, fixed, 2),
        )

    def closed(self, support: np.ndarray, allowed: np.ndarray) -> np.ndarray:
        """A support (q, p) with the terms that relations need beside it."""
        own = (self.equal != 0) & allowed
        needs = self.equal_to != 0
        support = support | self.kept | own[needs].any(axis=0)
        # What a relation adds up to below zero cannot do without its terms either.
        below = self.most_to < 0
        support = support | (((self.most != 0) & allowed)[below]).any(axis=0)
        support = support & allowed
        while True:
            alone = np.count_nonzero(own & support, axis=(1, 2)) == 1
            wider = support | own[alone].any(axis=0)
            if (wider == support).all():
                return support
            support = wider


class _Rows(NamedTuple):
    """Linear relations of the stacked unknowns: weights (m, n) and sums (m,)."""

    weights: np.ndarray
    sums: np.ndarray

    def normed(self) -> _Rows:
        """Rows of unit norm; those of zeros stay."""
        norm = np.linalg.norm(self.weights, axis=1)
        norm = np.where(norm > 0, norm, 1.0)
        return _Rows(self.weights / norm[:, None], self.sums / norm)


class Restricted:
    """Least squares of all equations on given supports, factored once.

    Parameters
    ----------
    problem : Problem
        Moments, relations and bounds.
    support : bool ndarray of shape (q, p)
        Terms of each equation.
    penalty : ndarray of shape (q, p) or float, default=0.0
        Penalties on the squares of coefficients of terms and targets of unit size.
    """

    def __init__(
        self,
        problem: Problem,
        support: np.ndarray,
        penalty: np.ndarray | float = 0.0,
    ) -> None:
        self.problem, self.support = problem, support
        q, p = problem.shape
        term = np.where(problem.term_size > 0, problem.term_size, 1.0)
        relations = problem.relations
        target = problem.target_size
        if relations is not None and relations.sizes is not None:
            target = relations.sizes
        self.target = np.where(target > 0, target, 1.0)
        # Coefficients of unit terms and targets are those in units times this.
        self.scale = term / self.target[:, None]
        self.penalty = np.broadcast_to(np.asarray(penalty, dtype=np.float64), (q, p))
        self.terms = [np.flatnonzero(each) for each in support]
        ends = np.cumsum([0, *(len(each) for each in self.terms)])
        self.parts = [slice(a, b) for a, b in pairwise(ends.tolist())]
        self.n = int(ends[-1])
        self._factor()
        none = np.zeros((0, q, p)), np.zeros(0)
        equal = none if relations is None else (relations.equal, relations.equal_to)
        most = none if relations is None else (relations.most, relations.most_to)
        self.equal = self._stacked(*equal).normed()
        self.most = self._most(*most).normed()
        self._whole = self._white(self.equal.weights)
        self._inverse = _pseudoinverse(self._whole)

    def solve(self, pull: np.ndarray | None = None) -> np.ndarray:
        """Coefficients (q, p) in the units of the data, zero off the support.

        Parameters
        ----------
        pull : ndarray of shape (q, p) or None, default=None
            What penalties pull towards, in unit sizes; None is zero.

        Raises
        ------
        ValueError
            If no coefficients on the support keep all relations and bounds.
        """
        free = self._free(pull)
        x = free
        if len(self.equal.sums):
            x = self._onto(free, self.equal, self._whole, self._inverse)
        if len(self.most.sums):
            x = self._below(free, x)
        coef = np.zeros(self.support.shape)
        for j, (terms, part) in enumerate(zip(self.terms, self.parts, strict=True)):
            found = x[part]
            if len(self.equal.sums) or len(self.most.sums):
                # Zero by a relation is zero.
                size = np.abs(found).max(initial=0.0)
                found = np.where(np.abs(found) > _NOTHING * size, found, 0.0)
            coef[j, terms] = found / self.scale[j, terms]
        lower, upper = self.problem.lower, self.problem.upper
        if lower is not None or upper is not None:
            # To the last bit; no more is left to take away.
            for end in (lower, upper):
                if end is not None:
                    near = np.abs(coef - end) <= _NOTHING * np.abs(end)
                    coef = np.where(near & np.isfinite(end), end, coef)
            coef = np.where(self.support, np.clip(coef, lower, upper), 0.0)
        return coef

    # -- least squares -----------------------------------------------------------------

    def _factor(self) -> None:
        """R_j and z_j of every equation; those with the same terms share R_j."""
        problem, p = self.problem, self.problem.shape[1]
        moments, weight = problem.moments, problem.moments.weight or 1.0
        gram = problem.gram
        unit = np.where(problem.term_size > 0, problem.term_size, 1.0)
        shared: dict[tuple[bytes, bytes], np.ndarray] = {}
        self.R: list[np.ndarray] = []
        self.z: list[np.ndarray] = []
        rows = right = None
        for j, terms in enumerate(self.terms):
            extra = self.penalty[j, terms]
            key = terms.tobytes(), extra.tobytes()
            R = shared.get(key)
            if R is None and gram is not None:
                products = gram[np.ix_(terms, terms)] + np.diag(extra)
                with suppress(linalg.LinAlgError):
                    R = linalg.cholesky(products)
            if R is not None and gram is not None and moments.gram is not None:
                b = moments.gram[terms, p + j] / (unit[terms] * weight * self.target[j])
                shared[key] = R
                self.R.append(R)
                self.z.append(_backwards(R, b))
                continue
            if rows is None:
                Z, Y = problem.rows
                rows = Z / (unit * np.sqrt(weight))
                right = Y / (self.target * np.sqrt(weight))
            assert right is not None
            R, z = _triangle(rows[:, terms], right[:, j], extra)
            if len(R) and not np.abs(np.diagonal(R)).min() > _DEPENDENT:
                R, z = _triangle(rows[:, terms], right[:, j], extra + _TIE)
            self.R.append(R)
            self.z.append(z)

    def _free(self, pull: np.ndarray | None) -> np.ndarray:
        """Least squares (n,) without relations."""
        x = np.zeros(self.n)
        for j, (R, z, terms) in enumerate(zip(self.R, self.z, self.terms, strict=True)):
            if pull is not None:
                z = z + _backwards(R, self.penalty[j, terms] * pull[j, terms])
            x[self.parts[j]] = _solved(R, z)
        return x

    # -- relations ---------------------------------------------------------------------

    def _stacked(self, weights: np.ndarray, sums: np.ndarray) -> _Rows:
        """Relations of the stacked unknowns in unit sizes."""
        parts = [
            weights[:, j, terms] / self.scale[j, terms]
            for j, terms in enumerate(self.terms)
        ]
        return _Rows(np.concatenate([np.zeros((len(sums), 0)), *parts], axis=1), sums)

    def _most(self, weights: np.ndarray, sums: np.ndarray) -> _Rows:
        """Relations and bounds as what stacked unknowns add up to at most."""
        given = self._stacked(weights, sums)
        rows, ends = [given.weights], [given.sums]
        eye = np.eye(self.n)
        for bound, sign in ((self.problem.lower, -1.0), (self.problem.upper, 1.0)):
            if bound is None:
                continue
            unit = np.concatenate(
                [
                    (bound * self.scale)[j, terms] if len(terms) else np.zeros(0)
                    for j, terms in enumerate(self.terms)
                ]
            )
            some = np.isfinite(unit)
            rows.append(sign * eye[some])
            ends.append(sign * unit[some])
        return _Rows(np.concatenate(rows), np.concatenate(ends))

    def _white(self, weights: np.ndarray) -> np.ndarray:
        """A R^-1."""
        return np.concatenate(
            [
                np.zeros((len(weights), 0)),
                *(
                    _backwards(R, weights[:, part].T).T
                    for R, part in zip(self.R, self.parts, strict=True)
                ),
            ],
            axis=1,
        )

    def _back(self, v: np.ndarray) -> np.ndarray:
        """R^-1 v."""
        x = np.empty(self.n)
        for R, part in zip(self.R, self.parts, strict=True):
            x[part] = _solved(R, v[part])
        return x

    def _onto(
        self, free: np.ndarray, rows: _Rows, white: np.ndarray, inverse: np.ndarray
    ) -> np.ndarray:
        """Least squares (n,) that keep equalities, from the free ones."""
        x = free + self._back(inverse @ (rows.sums - rows.weights @ free))
        across = _pseudoinverse(rows.weights)
        for _ in range(2):
            x = x + across @ (rows.sums - rows.weights @ x)
        self._check(np.abs(rows.weights @ x - rows.sums), rows, x)
        return x

    def _below(self, free: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Least squares (n,) that keep inequalities as well; `x` keeps equalities."""
        rows = self.most
        slack = rows.sums - rows.weights @ x
        if (slack >= -HOLDS * _sizes(rows, x)).all():
            return x
        white = self._white(rows.weights)
        if len(self.equal.sums):
            white = white - (white @ self._inverse) @ self._whole
        norm = np.linalg.norm(white, axis=1)
        movable = norm > _DEPENDENT * max(1.0, norm.max())
        stuck = _Rows(rows.weights[~movable], rows.sums[~movable])
        self._check(-slack[~movable], stuck, x)
        active = np.zeros(len(norm), dtype=bool)
        G, h = -white[movable] / norm[movable, None], -slack[movable] / norm[movable]
        active[np.flatnonzero(movable)[self._held(G, h)]] = True
        both = _Rows(
            np.concatenate([self.equal.weights, rows.weights[active]]),
            np.concatenate([self.equal.sums, rows.sums[active]]),
        )
        whole = self._white(both.weights)
        x = self._onto(free, both, whole, _pseudoinverse(whole))
        self._check(rows.weights @ x - rows.sums, rows, x)
        return x

    @staticmethod
    def _held(G: np.ndarray, h: np.ndarray) -> np.ndarray:
        """Which of G y >= h hold with equality at the shortest y (bool)."""
        size = np.abs(h).max() or 1.0
        stacked = np.concatenate([G.T, h[None] / size])
        end = np.zeros(len(stacked))
        end[-1] = 1.0
        multipliers, rest = nnls(stacked, end)
        if rest < 1e-10:
            raise ValueError(_INFEASIBLE)
        return np.asarray(multipliers > 0)

    @staticmethod
    def _check(excess: np.ndarray, rows: _Rows, x: np.ndarray) -> None:
        if (excess > 10 * HOLDS * _sizes(rows, x)).any():
            raise ValueError(_INFEASIBLE)


_INFEASIBLE = (
    "The constraints need coefficients that the terms left cannot give: they "
    "contradict each other, or terms that they need were dropped. Lower the threshold, "
    "or leave out a constraint."
)


def _sizes(rows: _Rows, x: np.ndarray) -> np.ndarray:
    """What relations of unit norm add up, by size."""
    return np.abs(rows.sums) + np.abs(x).max(initial=0.0) + 1e-300


def _triangle(
    rows: np.ndarray, right: np.ndarray, extra: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """R and z of rows, with a penalty."""
    k = rows.shape[1]
    padded = np.concatenate([rows, np.diag(np.sqrt(extra))])
    Q, R = np.linalg.qr(padded)
    return R, Q.T @ np.concatenate([right, np.zeros(k)])


def _solved(R: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.asarray(linalg.solve_triangular(R, z)) if len(R) else z


def _backwards(R: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(linalg.solve_triangular(R, b, trans=1)) if len(R) else b


def _pseudoinverse(rows: np.ndarray) -> np.ndarray:
    if not rows.size:
        return np.zeros(rows.T.shape)
    return np.asarray(np.linalg.pinv(rows, rcond=_DEPENDENT))

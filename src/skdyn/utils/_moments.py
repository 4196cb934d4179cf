"""Additive second moments: what every model that is linear in its parameters stands on.

Least squares of targets Y (n, q) on features Z (n, p), with row weights w, needs of the
data only the joint second moments of the rows [Z Y],

    M = [Z Y]^H diag(w) [Z Y].

They add over rows, so folds, streams, bootstraps and trajectories are sums. They are
kept in one of two forms:

* ``gram``: M itself, one pass of matrix products. A least-squares solution from it has
  a relative error near eps * cond(Z)^2, so it is used only where the condition number
  of the column-equilibrated Gram of Z is below `GRAM_LIMIT`.
* ``factor``: any F with F^H F = M, by QR of one block of rows after the other (TSQR;
  Demmel, Grigori, Hoemmen & Langou, SIAM J. Sci. Comput. 34 (2012), A206). The error is
  near eps * cond(Z), at some four times the cost.

Equilibration (van der Sluis, Numer. Math. 14 (1969), 14): scaling the columns of Z to
unit norm brings the condition number within sqrt(p) of the best that scaling can do, so
units (volts or millivolts) do not decide what is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Literal

import numpy as np
from scipy import linalg

__all__ = ["GRAM_LIMIT", "Moments", "reduce_rows"]

# Condition number of the equilibrated Gram matrix up to which it is trusted: relative
# errors of coefficients then stay near 1e-11.
GRAM_LIMIT = 1e5
# Rows that are factored at once: enough for level-3 BLAS, few enough for the cache.
_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class Moments:
    """Second moments of the rows [Z Y], additive over rows.

    Build with `from_rows`; add with ``+``, take away with ``-``, weight with `scaled`,
    leave blocks out with `leave_one_out`.

    Attributes
    ----------
    n_features, n_targets : int
        Columns of Z and of Y.
    n_rows : int
        Rows that went in.
    weight : float
        Sum of their weights.
    is_single : bool
        Whether some rows came in single precision, to which they are then known.
    gram : ndarray of shape (p + q, p + q) or None
        The moments themselves, where they are well conditioned.
    factor : ndarray of shape (k, p + q) or None
        A factor of them, where they are not.
    """

    n_features: int
    n_targets: int
    n_rows: int
    weight: float
    is_single: bool = False
    gram: np.ndarray | None = None
    factor: np.ndarray | None = None

    @classmethod
    def from_rows(
        cls,
        Z: np.ndarray,
        Y: np.ndarray,
        weight: np.ndarray | None = None,
        method: Literal["auto", "gram", "qr"] = "auto",
    ) -> Moments:
        """Moments of given rows, accumulated in double precision.

        Parameters
        ----------
        Z : ndarray of shape (n, p)
            Features.
        Y : ndarray of shape (n, q)
            Targets.
        weight : ndarray of shape (n,), default=None
            Weights of the rows, not negative; None weights every row 1.
        method : {"auto", "gram", "qr"}, default="auto"
            The form to keep. "auto" keeps the Gram matrix where it is well conditioned.

        Returns
        -------
        Moments
        """
        n, p, q = len(Z), Z.shape[1], Y.shape[1]
        if weight is not None and (weight < 0).any():
            raise ValueError(f"Weights need to be at least 0, got {weight.min()}.")
        total = float(n if weight is None else weight.sum())
        single = any(np.finfo(rows.dtype).eps > 1e-10 for rows in (Z, Y))
        empty = cls(p, q, n, total, single)
        if method != "qr" and (method == "gram" or n > p + q):
            gram = np.empty((p + q, p + q), np.result_type(Z, Y, np.float64))
            gram[:p, p:] = _product(Z, Y, weight)
            if weight is None and _is_next_row(Z, Y):
                # Rows and successors share all but the first and the last.
                shared = _product(Z[1:], Z[1:])
                gram[:p, :p] = shared + _product(Z[:1], Z[:1])
                gram[p:, p:] = shared + _product(Y[-1:], Y[-1:])
            else:
                gram[:p, :p] = _product(Z, Z, weight)
                gram[p:, p:] = _product(Y, Y, weight)
            gram[p:, :p] = gram[:p, p:].conj().T
            if method == "gram" or _condition(gram[:p, :p]) < GRAM_LIMIT:
                return replace(empty, gram=gram)
        factor = np.zeros((0, p + q), np.result_type(Z, Y, np.float64))
        size = max(_CHUNK, 2 * (p + q))
        for start in range(0, n, size):
            part = slice(start, start + size)
            block = np.hstack([Z[part], Y[part]])
            if weight is not None:
                block = block * np.sqrt(weight[part])[:, None]
            factor = reduce_rows(np.vstack([factor, block]))
        return replace(empty, factor=factor)

    def __add__(self, other: Moments) -> Moments:
        """Moments of the rows of both."""
        total = replace(
            self,
            n_rows=self.n_rows + other.n_rows,
            weight=self.weight + other.weight,
            is_single=self.is_single or other.is_single,
        )
        if self.gram is not None and other.gram is not None:
            return replace(total, gram=self.gram + other.gram)
        stacked = np.vstack([self.as_factor(), other.as_factor()])
        return replace(total, gram=None, factor=reduce_rows(stacked))

    def __sub__(self, other: Moments) -> Moments:
        """Moments without the rows of `other`, which must be among the rows of self.

        The Gram matrix is subtracted; a factor F is downdated in its own coordinates:
        with W the factor to remove and F = Q R, the rest is C R, where
        C^H C = I - (W R^-1)^H (W R^-1). For folds, `leave_one_out` loses nothing and is
        to be preferred.

        Raises
        ------
        ValueError
            If what would remain is not positive definite at working precision.
        """
        rest = replace(
            self, n_rows=self.n_rows - other.n_rows, weight=self.weight - other.weight
        )
        problem = ValueError(
            "Moments can be subtracted only where what remains determines all "
            "columns; it does not at working precision. Build the rest with "
            "leave_one_out over blocks of rows."
        )
        if self.gram is not None and other.gram is not None:
            gram, p = self.gram - other.gram, self.n_features
            left = np.diagonal(gram)[:p].real / np.diagonal(self.gram)[:p].real
            if not (left > 1e-6).all() or not _condition(gram[:p, :p]) < GRAM_LIMIT:
                raise problem
            return replace(rest, gram=gram)
        whole = np.linalg.qr(self.as_factor(), mode="r")
        try:
            white = linalg.solve_triangular(whole, other.as_factor().T, trans=1).T
            keep = linalg.cholesky(np.eye(len(whole)) - white.conj().T @ white)
        except (linalg.LinAlgError, ValueError) as error:
            raise problem from error
        return replace(rest, gram=None, factor=keep @ whole)

    def scaled(self, weight: float) -> Moments:
        """Moments with every row weighted `weight` times more."""
        return replace(
            self,
            weight=self.weight * weight,
            gram=None if self.gram is None else self.gram * weight,
            factor=None if self.factor is None else self.factor * np.sqrt(weight),
        )

    def as_factor(self) -> np.ndarray:
        """A factor F (k, p + q) with F^H F the moments: rows in place of the rows.

        From a Gram matrix it is the block Cholesky factor [[R, S], [0, T]] with
        R^H R = Z^H Z, S = R^-H Z^H Y and T a root of the residual moments, whose
        singular values below about 1e-8 of Y's are rounding.
        """
        if self.factor is not None:
            return self.factor
        assert self.gram is not None
        p = self.n_features
        scale = _column_scale(self.gram)
        joint = self.gram / np.outer(scale, scale)
        R = linalg.cholesky(joint[:p, :p], check_finite=False)
        S = linalg.solve_triangular(
            R, joint[:p, p:], trans=2 if np.iscomplexobj(R) else 1, check_finite=False
        )
        rest = joint[p:, p:] - S.conj().T @ S
        try:
            T = linalg.cholesky(rest, check_finite=False)
        except linalg.LinAlgError:
            # Targets that the features explain fully leave rounding, of either sign.
            values, vectors = linalg.eigh(rest, check_finite=False)
            T = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.conj().T
        return np.block([[R, S], [np.zeros((len(T), p)), T]]) * scale

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Few rows (k, p) and (k, q) with the moments of all rows of Z and Y."""
        factor = self.as_factor()
        return factor[:, : self.n_features], factor[:, self.n_features :]

    def condition(self) -> float:
        """Condition number of Z with its columns scaled to unit norm."""
        if self.gram is not None:
            p = self.n_features
            return float(np.sqrt(_condition(self.gram[:p, :p])))
        Z, _ = self.rows()
        scale = np.linalg.norm(Z, axis=0)
        return float(np.linalg.cond(Z / np.where(scale > 0, scale, 1.0)))

    def solve(self, alpha: float = 0.0) -> np.ndarray:
        """Coefficients B (p, q) that minimise |Y - Z B|² + alpha |B|².

        With ``alpha=0`` and dependent columns, the solution of least norm in units in
        which all columns are of one size.
        """
        return self.ridge_path(np.array([alpha]))[0]

    def ridge_path(self, alphas: np.ndarray) -> np.ndarray:
        """Coefficients for many ridge penalties, from the moments alone.

        Columns are scaled to one size before they are solved for, and the penalty with
        them, so that units do not decide what is rounding.

        Parameters
        ----------
        alphas : array-like of shape (n_alphas,)
            Penalties on the squared coefficients, not negative.

        Returns
        -------
        ndarray of shape (n_alphas, p, q)
        """
        penalties = np.asarray(alphas, dtype=float)
        if (penalties < 0).any():
            raise ValueError(f"alpha needs to be at least 0, got {penalties.min()}.")
        p = self.n_features
        if self.gram is not None:
            scale = _column_scale(self.gram)[:p, None]
            scaled, right = self.gram[:p, :p] / (scale * scale.T), self.gram[:p, p:]
            lower = [
                linalg.cho_factor(scaled + np.diag(a / scale[:, 0] ** 2))
                for a in penalties
            ]
            return np.stack([linalg.cho_solve(c, right / scale) / scale for c in lower])
        Z, Y = self.rows()
        scale = np.linalg.norm(Z, axis=0)[:, None]
        scale[scale == 0] = 1.0
        eps = max(self.n_rows, p) * np.finfo(np.float64).eps
        path = []
        for a in penalties:
            # The penalty as p further rows: the condition of Z, not its square.
            ridge = np.diag(np.sqrt(a) / scale[:, 0]) if a else np.zeros((0, p))
            rows = np.vstack([Z / scale.T, ridge])
            target = np.vstack([Y, np.zeros((len(ridge), self.n_targets))])
            path.append(np.linalg.lstsq(rows, target, rcond=eps)[0] / scale)
        return np.stack(path)

    def residual(self, coef: np.ndarray) -> np.ndarray:
        """Weighted sums of squares (q,) of Y - Z B, for coefficients B (p, q)."""
        Z, Y = self.rows()
        rest = Y - Z @ coef
        return np.einsum("ij,ij->j", rest.conj(), rest).real

    @staticmethod
    def leave_one_out(blocks: Sequence[Moments]) -> list[Moments]:
        """For each block, the moments of all the others, without any subtraction.

        Sums from the front and from the back are met in the middle, so k blocks cost
        some 3 k additions.
        """
        if len(blocks) < 2:
            raise ValueError(
                f"Leaving one out needs at least 2 blocks, got {len(blocks)}."
            )
        ahead, behind = [blocks[0]], [blocks[-1]]
        for block in blocks[1:-1]:
            ahead.append(ahead[-1] + block)
        for block in blocks[-2:0:-1]:
            behind.append(behind[-1] + block)
        behind.reverse()
        inner = [a + b for a, b in zip(ahead[:-1], behind[1:], strict=True)]
        return [behind[0], *inner, ahead[-1]]

    @staticmethod
    def sum(blocks: Sequence[Moments]) -> Moments:
        """Moments of the rows of all blocks."""
        return reduce(lambda a, b: a + b, blocks)


def _product(
    A: np.ndarray, B: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    """A^H diag(weight) B, accumulated in double precision."""
    if weight is None and A.dtype.itemsize == B.dtype.itemsize and A.dtype.char in "dD":
        return np.asarray(A.conj().T @ B)
    double = np.result_type(A, B, np.float64)
    total = np.zeros((A.shape[1], B.shape[1]), double)
    for start in range(0, len(A), 16 * _CHUNK):
        part = slice(start, start + 16 * _CHUNK)
        a, b = A[part].astype(double, copy=False), B[part].astype(double, copy=False)
        total += (a if weight is None else a * weight[part, None]).conj().T @ b
    return total


def _is_next_row(Z: np.ndarray, Y: np.ndarray) -> bool:
    """Tell whether Y is Z one row later in the same memory: a trajectory's pairs."""
    if Z.shape != Y.shape or Z.strides != Y.strides or len(Z) < 2:
        return False
    ahead = Y.__array_interface__["data"][0] - Z.__array_interface__["data"][0]
    return bool(ahead == Z.strides[0] and ahead > 0 and np.shares_memory(Z[1], Y[0]))


def reduce_rows(rows: np.ndarray) -> np.ndarray:
    """As few rows with the same moments: R of QR, or the rows where they are few."""
    if len(rows) <= rows.shape[1]:
        return rows
    return np.asarray(np.linalg.qr(rows, mode="r"))


def _column_scale(gram: np.ndarray) -> np.ndarray:
    scale = np.sqrt(np.diagonal(gram).real)
    return np.where(scale > 0, scale, 1.0)


def _condition(gram: np.ndarray) -> float:
    """Condition number of a Gram matrix whose columns are scaled to unit norm."""
    scale = _column_scale(gram)
    with np.errstate(all="ignore"):
        scaled = gram / np.outer(scale, scale)
    if not np.isfinite(scaled).all():
        return np.inf
    values = linalg.eigvalsh(scaled, check_finite=False)
    return float(values[-1] / values[0]) if values[0] > 0 else np.inf

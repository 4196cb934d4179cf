"""Ridge regression on monomials of delayed rows, from moments that add up.

Least squares. With R the triangular factor of the joint rows [1 psi y], R without its
first row and column is a factor of the moments about the mean, so that the constant
needs no place in the ridge problem. One singular value decomposition serves all alphas.

Units. A change of origin and units is linear in the monomials: with x' = a x + b for
every variable,

    x'^e = sum over f <= e of (prod_i C(e_i, f_i) a_i^f_i b_i^(e_i - f_i)) x^f,

so that moments of rows in one unit are those of rows in any other.
"""

from __future__ import annotations

import numpy as np
from scipy.special import comb

from skdyn.preprocessing import PolynomialLift
from skdyn.utils._moments import Moments
from skdyn.utils._trajectories import Pieces, Trajectories

__all__ = [
    "change_of_variables",
    "first_moments",
    "joined",
    "lifted_moments",
    "mean_and_scale",
    "origin_and_unit",
    "parts",
    "solve_ridge",
]

# Numbers in the monomials of the rows that are lifted at once.
_FIT_BLOCK = 2**22


def joined(
    trajectories: Trajectories, inputs: Pieces | None, n_rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """All rows with their inputs, one piece below the other, in double precision.

    Also which of them have a successor and `n_rows` - 2 rows before, in their piece.
    """
    rows = trajectories.rows()
    if inputs is not None:
        rows = np.hstack([rows, np.concatenate(list(inputs))])
    stops = np.cumsum(trajectories.lengths)
    starts = stops - trajectories.lengths
    ends = [
        np.arange(start + n_rows - 2, stop - 1)
        for start, stop in zip(starts, stops, strict=True)
    ]
    return rows.astype(np.float64, copy=False), np.concatenate(ends)


def parts(n: int, width: int, size: int) -> list[slice]:
    """Slices of n rows, of some `size` numbers at a `width` of each."""
    some = max(size // width, 64)
    return [slice(i, min(i + some, n)) for i in range(0, n, some)]


def first_moments(rows: np.ndarray) -> Moments:
    """Counts, sums and sums of products of rows."""
    return Moments.from_rows(np.ones((len(rows), 1)), rows, method="gram")


def origin_and_unit(
    rows: np.ndarray, standardise: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of columns; what does not vary has unit 1."""
    if not standardise:
        return np.zeros(rows.shape[1]), np.ones(rows.shape[1])
    mean, unit = rows.mean(axis=0), rows.std(axis=0)
    return mean, np.where(unit > 1e-12 * np.abs(mean), unit, 1.0)


def mean_and_scale(first: Moments) -> tuple[np.ndarray, np.ndarray]:
    """The same from moments, of columns near mean 0 and deviation 1."""
    gram = first.gram
    assert gram is not None
    mean, square = gram[0, 1:] / gram[0, 0], np.diagonal(gram)[1:] / gram[0, 0]
    variance = square - mean**2
    return mean, np.sqrt(np.where(variance > 1e-24, variance, 1.0))


def lifted_moments(
    lift: PolynomialLift,
    z: np.ndarray,
    ends: np.ndarray,
    lags: tuple[int, ...],
    d: int,
    target: str,
) -> Moments:
    """Moments of the monomials of delayed rows against targets, block by block."""
    blocks = []
    for part in parts(len(ends), lift.n_output_features_, _FIT_BLOCK):
        at = ends[part]
        psi = lift._transform(np.hstack([z[at - lag] for lag in lags]))
        y = z[at + 1, :d]
        blocks.append(Moments.from_rows(psi, y - z[at, :d] if target == "delta" else y))
    return Moments.sum(blocks)


def solve_ridge(
    moments: Moments, alphas: np.ndarray, change: np.ndarray | None = None
) -> np.ndarray:
    """Coefficients (n_alphas, p, d) for penalties relative to the number of rows.

    The first column of the features is the constant, which is not penalised. With
    `change`, they are those of the features times `change`.
    """
    p, n = moments.n_features, moments.n_rows
    rows = moments.as_factor()
    if change is not None:
        rows = np.hstack([rows[:, :p] @ change, rows[:, p:]])
    R = np.asarray(np.linalg.qr(rows, mode="r"))
    # Means of all columns, and a factor of the moments about them.
    means, A, B = R[0, 1:] / R[0, 0], R[1:, 1:p], R[1:, p:]
    coefs = np.empty((len(alphas), p, B.shape[1]))
    if (alphas > 0).any():
        U, s, Vh = np.linalg.svd(A, full_matrices=False)
        along = U.T @ B
    for coef, alpha in zip(coefs, alphas, strict=True):
        if alpha > 0:
            coef[1:] = Vh.T @ ((s / (s**2 + n * alpha))[:, None] * along)
        else:
            # Columns of one size, so that units do not decide what is rounding.
            size = np.linalg.norm(A, axis=0)[:, None]
            size[size == 0] = 1.0
            eps = max(n, p) * np.finfo(np.float64).eps
            coef[1:] = np.linalg.lstsq(A / size.T, B, rcond=eps)[0] / size
        coef[0] = means[p - 1 :] - means[: p - 1] @ coef[1:]
    return coefs


def change_of_variables(powers: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """T (p, p) with psi(a x + b) = psi(x) T; see the module's equations."""
    k = np.arange(int(powers.max(initial=0)) + 1)
    # From [f, e], exponents of the old variable and of the new.
    binomial, above = comb(k, k[:, None]), np.maximum(k - k[:, None], 0)
    T = np.ones((len(powers), len(powers)))
    for e, scale, shift in zip(powers.T, a, b, strict=True):
        table = binomial * scale ** k[:, None] * shift**above
        T *= table[np.ix_(e, e)]
    return T

"""How many singular values of the data are kept, and how they are computed."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy import linalg
from sklearn.utils.extmath import randomized_svd

from skdyn.utils._linalg import optimal_hard_threshold, rank_floor
from skdyn.utils._sklearn import Interval, StrOptions

__all__ = ["RANK", "choose_rank", "truncated_svd"]

# What a parameter `rank` may be: a number, a fraction of the energy, the optimal hard
# threshold, or all that is above rounding.
RANK = [
    Interval(Integral, 1, None, closed="left"),
    Interval(Real, 0, 1, closed="neither"),
    StrOptions({"auto"}),
    None,
]

# Extra vectors and power iterations of the randomized range finder (Halko, Martinsson
# & Tropp, SIAM Review 53 (2011), 217), and the error of its subspace that is accepted.
_OVERSAMPLES = 20
_POWER_ITERATIONS = 4
_SOUND = 1e-10


def truncated_svd(
    X: np.ndarray,
    rank: int | float | str | None,
    shape: tuple[int, int],
    solver: str,
    random_state: Any,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Singular triplets that `rank` keeps, and all singular values computed."""
    small = min(X.shape)
    if isinstance(rank, Integral) and solver != "full":
        wanted = int(rank) + _OVERSAMPLES
        if solver == "randomized" or 4 * wanted < small:
            U, s, Vh = randomized_svd(
                X,
                min(wanted, small),
                n_oversamples=0,
                n_iter=_POWER_ITERATIONS,
                random_state=random_state,
            )
            # The error of the leading subspace shrinks by the ratio of the first
            # singular value outside the sketch to the last one wanted, at each pass.
            outside = s[-1] / max(s[min(int(rank), len(s)) - 1], np.finfo(s.dtype).tiny)
            sound = (
                s[-1] <= rank_floor(s, shape)
                or outside ** (2 * _POWER_ITERATIONS + 1) < _SOUND
            )
            if solver == "randomized" or sound:
                return _truncate(U, s, Vh, rank, shape)
    U, s, Vh = linalg.svd(
        X, full_matrices=False, check_finite=False, lapack_driver="gesdd"
    )
    return _truncate(U, s, Vh, rank, shape)


def _truncate(
    U: np.ndarray,
    s: np.ndarray,
    Vh: np.ndarray,
    rank: int | float | str | None,
    shape: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    r = choose_rank(s, rank, shape)
    # Data that is zero throughout keeps one mode, which maps it to zero: nothing is
    # divided by its singular value.
    kept = np.where(s[:r] > 0, s[:r], 1.0).astype(s.dtype)
    return U[:, :r], kept, Vh[:r], s


def choose_rank(
    s: np.ndarray, rank: int | float | str | None, shape: tuple[int, int]
) -> int:
    """Number of singular values to keep: at least one, none that is rounding."""
    numerical = int((s > rank_floor(s, shape)).sum())
    if numerical == 0:
        return 1
    if rank is None:
        return numerical
    if rank == "auto":
        threshold = optimal_hard_threshold(s[: min(shape)], shape)
        return max(1, min(int((s > threshold).sum()), numerical))
    if isinstance(rank, Integral):
        if rank > numerical:
            warnings.warn(
                f"rank={rank} is above the numerical rank {numerical} of the data, "
                f"which is used instead. Lower rank, or pass rank=None.",
                UserWarning,
                stacklevel=8,
            )
        return min(int(rank), numerical)
    energy = np.cumsum(s**2) / np.sum(s**2)
    return min(int(np.searchsorted(energy, float(rank)) + 1), numerical)

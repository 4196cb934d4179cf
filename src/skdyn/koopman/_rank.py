"""How many singular values of the data are kept, and how they are computed."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy import linalg
from sklearn.utils import check_random_state

from skdyn.utils._linalg import optimal_hard_threshold, rank_floor
from skdyn.utils._sklearn import Interval, StrOptions

__all__ = ["RANK", "Data", "choose_rank", "predicted_directions", "truncated_svd"]

# What a parameter `rank` may be: a number, a fraction of the energy, the optimal hard
# threshold, or all that is above rounding.
RANK = [
    Interval(Integral, 1, None, closed="left"),
    Interval(Real, 0, 1, closed="neither"),
    StrOptions({"auto"}),
    None,
]

# Extra vectors and largest number of power passes of the randomized range finder, and
# the error of its subspace that is accepted.
_OVERSAMPLES = 20
_POWER_PASSES = 4
_SOUND = 1e-12


@dataclass(frozen=True)
class Data:
    """What a matrix was before its rows were compressed: its shape and precision."""

    shape: tuple[int, int]
    dtype: np.dtype


def truncated_svd(
    X: np.ndarray,
    rank: int | float | str | None,
    data: Data,
    solver: str,
    random_state: Any,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Singular triplets that `rank` keeps, and all singular values computed."""
    if isinstance(rank, Integral) and solver != "full":
        wanted = int(rank) + _OVERSAMPLES
        if solver == "randomized" or 4 * wanted < min(X.shape):
            sketch = _sketch(X, int(rank), data, random_state, solver == "randomized")
            if sketch is not None:
                return _truncate(*sketch, rank, data)
    U, s, Vh = linalg.svd(
        X, full_matrices=False, check_finite=False, lapack_driver="gesdd"
    )
    return _truncate(U, s, Vh, rank, data)


def _sketch(
    X: np.ndarray,
    rank: int,
    data: Data,
    random_state: Any,
    trust: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Leading singular triplets by a randomized range finder, or None if not sound.

    Halko, Martinsson & Tropp, SIAM Review 53 (2011), 217, algorithm 4.4: after q power
    passes the error of the leading subspace is some (s_outside / s_rank)^(2 q + 1),
    where s_outside is the first singular value that the sketch does not hold, here
    bounded by the last that it does. Passes go on until that is small enough, and end
    at once where it cannot become so.
    """
    size = min(rank + _OVERSAMPLES, *X.shape)
    rng = check_random_state(random_state)
    start = rng.standard_normal((X.shape[1], size)).astype(X.real.dtype, copy=False)
    Q = np.linalg.qr(X @ start)[0]
    for q in range(_POWER_PASSES + 1):
        # X^H Q = P R gives the triplets of Q Q^H X without another pass.
        P, R = np.linalg.qr(X.conj().T @ Q)
        if q:
            u, s, vh = np.linalg.svd(R.conj().T)
            last = s[min(rank, size) - 1]
            ratio = s[-1] / last if last > 0 else 0.0
            sound = (
                s[-1] <= rank_floor(s, data.shape, data.dtype)
                or ratio ** (2 * q + 1) < _SOUND
            )
            if sound or (trust and q == _POWER_PASSES):
                return Q @ u, s, vh @ P.conj().T
            if not trust and ratio ** (2 * _POWER_PASSES + 1) > _SOUND:
                return None
        Q = np.linalg.qr(X @ P)[0]
    return None


def _truncate(
    U: np.ndarray,
    s: np.ndarray,
    Vh: np.ndarray,
    rank: int | float | str | None,
    data: Data,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    r = choose_rank(s, rank, data)
    # Data that is zero throughout keeps one mode, which maps it to zero: nothing is
    # divided by its singular value.
    kept = np.where(s[:r] > 0, s[:r], 1.0).astype(s.dtype)
    return U[:, :r], kept, Vh[:r], s


def predicted_directions(
    s: np.ndarray, coefficients: np.ndarray, penalty: float
) -> tuple[np.ndarray, np.ndarray]:
    """Singular values and right vectors of what ridge regression predicts.

    Reduced-rank regression keeps the leading ones. The rows that stand for the penalty
    are included.

    Parameters
    ----------
    s : ndarray of shape (r,)
        Singular values of the features.
    coefficients : ndarray of shape (r, q)
        Ridge coefficients, of the right singular vectors.
    penalty : float
        The ridge penalty.

    Returns
    -------
    sizes : ndarray of shape (min(r, q),)
    vectors : ndarray of shape (min(r, q), q)
    """
    predicted = np.sqrt(s**2 + penalty)[:, None] * coefficients
    _, sizes, vectors = np.linalg.svd(predicted, full_matrices=False)
    return sizes, vectors


def choose_rank(s: np.ndarray, rank: int | float | str | None, data: Data) -> int:
    """Number of singular values to keep: at least one, none that is rounding."""
    numerical = int((s > rank_floor(s, data.shape, data.dtype)).sum())
    if numerical == 0:
        return 1
    if rank is None:
        return numerical
    if rank == "auto":
        threshold = optimal_hard_threshold(s[: min(data.shape)], data.shape)
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
    # Relative to the largest, in double: squares of single precision may overflow.
    energy = np.cumsum((s / s[0]).astype(float) ** 2)
    energy /= energy[-1]
    return min(int(np.searchsorted(energy, float(rank)) + 1), numerical)

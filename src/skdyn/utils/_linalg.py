"""Linear algebra that several families share."""

from __future__ import annotations

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq

__all__ = ["linear_orbit", "optimal_hard_threshold", "rank_floor"]


# Powers of the one-step matrix are formed by squaring up to this one, and only of
# matrices up to this size: beyond, squaring costs more than the steps that it saves.
_LARGEST_POWER = 64
_LARGEST_SQUARED = 128
# By how much the norm squared, over the root of the size, may exceed the norm of the
# square: of matrices far from normal (companion matrices), squares are differences of
# large numbers.
_CANCELLATION = 4.0


def linear_orbit(z: np.ndarray, K: np.ndarray, n_steps: int) -> np.ndarray:
    """States z, zK, zK², ..., of many starts together.

    Rows m..2m-1 are rows 0..m-1 times K^m, so that n steps take some log2(n) matrix
    products. That keeps real systems real and needs no eigenvectors, which a defective
    K has not.

    Parameters
    ----------
    z : ndarray of shape (batch, r)
        Starts.
    K : ndarray of shape (r, r)
        One step, acting from the right.
    n_steps : int
        Number of states, the start included.

    Returns
    -------
    ndarray of shape (n_steps, batch, r)
    """
    batch, r = z.shape
    orbit = np.empty((n_steps, batch, r), dtype=np.result_type(z, K))
    orbit[0] = z
    done, stride, power = 1, 1, K
    while done < n_steps:
        more = min(stride, n_steps - done)
        head = orbit[done - stride : done - stride + more].reshape(-1, r)
        np.matmul(head, power, out=orbit[done : done + more].reshape(-1, r))
        done += more
        if done == 2 * stride and stride < _LARGEST_POWER and r <= _LARGEST_SQUARED:
            squared = power @ power
            # An unstable K may overflow where the orbit of the given start does not.
            sound = np.isfinite(squared).all()
            size = np.linalg.norm(power) ** 2 / np.sqrt(r)
            if sound and size <= _CANCELLATION * np.linalg.norm(squared):
                power, stride = squared, 2 * stride
    return orbit


def rank_floor(s: np.ndarray, shape: tuple[int, int], dtype: np.dtype) -> float:
    """The size below which singular values are rounding.

    That of the algorithm is at most max(shape) times double precision, as in
    ``numpy.linalg.matrix_rank``; that of the data, stored to the precision of `dtype`,
    is noise of that size in every entry, whose singular values relative to the largest
    are below a few times the precision.
    """
    if s.size == 0:
        return 0.0
    algorithm = max(shape) * np.finfo(np.float64).eps
    return float(s[0] * max(algorithm, 10 * np.finfo(dtype).eps))


def optimal_hard_threshold(s: np.ndarray, shape: tuple[int, int]) -> float:
    """Singular-value threshold of least asymptotic error, for unknown white noise.

    tau = median(s) * lambda(beta) / sqrt(mu(beta)), where beta is the aspect ratio (at
    most 1), lambda(beta)² = 2 (beta + 1) + 8 beta / (beta + 1 + sqrt(beta² + 14 beta +
    1)), and mu(beta) is the median of the Marchenko-Pastur distribution.

    Parameters
    ----------
    s : ndarray of shape (min(shape),)
        All singular values, in decreasing order.
    shape : tuple of int
        Shape of the matrix.

    Returns
    -------
    float

    References
    ----------
    Gavish & Donoho, "The optimal hard threshold for singular values is 4/sqrt(3)", IEEE
    Transactions on Information Theory 60 (2014), 5040, equations (11) and (13).
    """
    beta = min(shape) / max(shape)
    return float(_threshold_coefficient(beta) * np.median(s))


def _threshold_coefficient(beta: float) -> float:
    root = np.sqrt(beta**2 + 14 * beta + 1)
    known = np.sqrt(2 * (beta + 1) + 8 * beta / (beta + 1 + root))
    return float(known / np.sqrt(_marchenko_pastur_median(beta)))


def _marchenko_pastur_median(beta: float) -> float:
    low, high = (1 - np.sqrt(beta)) ** 2, (1 + np.sqrt(beta)) ** 2

    # With x = mid - half cos(theta) the density is smooth up to both ends.
    mid, half = (low + high) / 2, (high - low) / 2

    def density(theta: float) -> float:
        x = mid - half * np.cos(theta)
        if x <= 0:
            # beta = 1: the limit of sin²(theta) / x at theta = 0.
            return float(half / np.pi / beta)
        return float((half * np.sin(theta)) ** 2 / (2 * np.pi * beta * x))

    theta = brentq(lambda b: quad(density, 0, b)[0] - 0.5, 1e-9, np.pi, xtol=1e-12)
    return float(mid - half * np.cos(theta))

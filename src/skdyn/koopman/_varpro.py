"""Fit sums of exponentials to data by variable projection.

Equations (Golub & Pereyra 1973; Askham & Kutz 2018, section 2): find rates a_1, ...,
a_r that minimise

    f(a) = 1/2 min_B |X - E(a) B|²,   E(a)[k, j] = exp(a_j t_k).

With P the projector on the complement of E's columns, D_j = dE/da_j (only its column j
is not zero; call it d_j), B = E^+ X and R = P X, the derivative of the residual is

    dR = sum_j  -(P d_j) b_j da_j  -  (E^+)^H e_j (d_j^H R) conj(da_j).

The two sums are orthogonal, so that the Gram matrices that a Gauss-Newton step needs
are elementwise products of r x r matrices,

    (P D)^H (P D) o conj(B) B^T    and    E^+ (E^+)^H o conj(W) W^T,   W = D^H R,

and the gradient is -conj(b_j) . w_j. The Jacobian itself, which has as many rows as X
has numbers, is never formed. Steps are damped after Levenberg and Marquardt (Nielsen's
rule for the damping).

Trajectories have rates in common and each its own B. Those with the same times stand
side by side in one block. Scaling a column of E changes nothing above, so each is
scaled by its largest modulus, and nothing overflows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.linalg import inv
from scipy import linalg

__all__ = [
    "Block",
    "Rates",
    "exponentials",
    "fit_rates",
    "misfit",
    "pair_up",
    "solve_exponentials",
]


@dataclass(frozen=True, eq=False)
class Block:
    """Trajectories that share their times: `t` (n,), and `X` (n, q) side by side."""

    t: np.ndarray
    X: np.ndarray


@dataclass(frozen=True, eq=False)
class Rates:
    """What was fitted.

    Attributes
    ----------
    values : complex ndarray of shape (r,)
        The rates.
    errors : complex ndarray of shape (r,)
        Standard errors of their real and imaginary parts, for white noise, by the
        linearised fit; NaN where the data leaves no degree of freedom.
    loss : float
        Sum of squared residuals.
    n_iter : int
        Steps taken, rejected ones included.
    converged : bool
        Whether a stopping rule was met.
    """

    values: np.ndarray
    errors: np.ndarray
    loss: float
    n_iter: int
    converged: bool


def exponentials(rates: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns exp(a_j t - c_j), and c_j, their largest log-modulus."""
    phase = np.multiply.outer(t, rates)
    shift = phase.real.max(axis=0)
    return np.exp(phase - shift), shift


def misfit(rates: np.ndarray, block: Block) -> float:
    """Sum of squares that exponentials of given rates leave of a block."""
    Q = _orthonormal(exponentials(rates, block.t)[0])[0]
    rest = block.X - Q @ (Q.conj().T @ block.X)
    return float(np.vdot(rest, rest).real)


def fit_rates(
    blocks: Sequence[Block],
    start: np.ndarray,
    *,
    basis: np.ndarray,
    growth: tuple[float, float] = (-np.inf, np.inf),
    projection: Callable[[np.ndarray], np.ndarray] | None = None,
    max_iter: int = 100,
    tol: float = 1e-12,
) -> Rates:
    """Rates of least squared error, from a start.

    Parameters
    ----------
    blocks : sequence of Block
        The data.
    start : complex ndarray of shape (r,)
        Where to start.
    basis : ndarray of shape (2 r, m)
        The directions in which (Re a, Im a) may move, from `pair_up`.
    growth : tuple of float
        Least and largest growth rate allowed.
    projection : callable, default=None
        Applied to the rates after every step.
    max_iter : int
        Largest number of steps.
    tol : float
        Stop when a step lowers the loss by less than this fraction, or the loss is this
        fraction of the data's, squared.

    Returns
    -------
    Rates
    """

    def allowed(rates: np.ndarray) -> np.ndarray:
        rates = np.clip(rates.real, *growth) + 1j * rates.imag
        return rates if projection is None else projection(rates)

    total = sum(float(np.vdot(block.X, block.X).real) for block in blocks)
    rates = allowed(np.asarray(start, dtype=complex))
    loss, hessian, gradient = _evaluate(blocks, rates)
    damping, factor, n_iter, converged = 1e-3, 2.0, 0, False
    while n_iter < max_iter and not converged:
        n_iter += 1
        H, g = basis.T @ hessian @ basis, basis.T @ gradient
        # Directions that only push rates beyond a bound where they already are.
        up = np.concatenate([rates.real >= growth[1], np.zeros(len(rates), bool)])
        down = np.concatenate([rates.real <= growth[0], np.zeros(len(rates), bool)])
        free = ~(
            (np.abs(basis[up]).sum(axis=0) > 0) & (g < 0)
            | (np.abs(basis[down]).sum(axis=0) > 0) & (g > 0)
        )
        if not free.any():
            converged = True
            break
        size = np.maximum(np.diagonal(H), 1e-30 * max(np.abs(np.diagonal(H)).max(), 1))
        damped = (H + np.diag(damping * size))[np.ix_(free, free)]
        move = np.zeros(len(g))
        try:
            # Equilibrated: rates may be of many sizes.
            scale = np.sqrt(np.diagonal(damped))
            move[free] = -linalg.solve(
                damped / np.outer(scale, scale), g[free] / scale, assume_a="pos"
            )
            move[free] /= scale
        except linalg.LinAlgError:
            damping, factor = damping * factor, factor * 2
            continue
        step = basis @ move
        trial = allowed(rates + step[: len(rates)] + 1j * step[len(rates) :])
        with np.errstate(all="ignore"):
            new = _evaluate(blocks, trial)
        expected = -(move @ g) - 0.5 * move @ H @ move
        gain = (loss - new[0]) / (2 * expected) if expected > 0 else -1.0
        if np.isfinite(new[0]) and np.isfinite(new[1]).all() and new[0] <= loss:
            small = np.abs(trial - rates).max() <= 1e-15 * np.abs(trial).max()
            lowered = loss - new[0]
            converged = bool(small or lowered <= tol * loss or new[0] <= 1e-30 * total)
            rates, (loss, hessian, gradient) = trial, new
            damping *= max(1 / 3, 1 - (2 * gain - 1) ** 3)
            factor = 2.0
        else:
            # At the floor of rounding no step is better: that is convergence too.
            converged = bool(
                expected <= tol * loss or loss <= 1e-28 * total or damping > 1e16
            )
            damping, factor = damping * factor, factor * 2
    return Rates(
        rates, _errors(blocks, basis, hessian, loss, rates), loss, n_iter, converged
    )


def _evaluate(
    blocks: Sequence[Block], rates: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Loss, Gauss-Newton matrix (2 r, 2 r) and gradient in (Re a, Im a).

    With real data and conjugate pairs, E = C T for real columns C (cosines and sines)
    and a small complex T, so that all that has n rows is real.
    """
    r = len(rates)
    moving, turning = np.zeros((r, r), complex), np.zeros((r, r), complex)
    slope, loss = np.zeros(r, complex), 0.0
    pairs = _pairs(rates) if not any(np.iscomplexobj(b.X) for b in blocks) else None
    T = np.eye(r, dtype=complex)
    if pairs is not None:
        for j in pairs:
            T[j : j + 2, j : j + 2] = [[1, 1], [1j, -1j]]
    for block in blocks:
        if pairs is None:
            C = exponentials(rates, block.t)[0]
        else:
            C = _real_exponentials(rates, pairs, block.t)
        Q, R = _orthonormal(C)
        back = np.linalg.solve(T, np.linalg.pinv(R) if _is_singular(R) else inv(R))
        inside = Q.conj().T @ block.X
        B = back @ inside
        rest = block.X - Q @ inside
        D = block.t[:, None] * C
        W = T.conj().T @ (D.conj().T @ rest)
        D -= Q @ (Q.conj().T @ D)
        moving += (T.conj().T @ (D.conj().T @ D) @ T) * (B.conj() @ B.T)
        turning += (back @ back.conj().T) * (W.conj() @ W.T)
        slope -= np.einsum("jq,jq->j", B.conj(), W)
        loss += float(np.vdot(rest, rest).real)
    both, odd = (moving + turning).real, -(moving - turning).imag
    hessian = np.block([[both, odd], [odd.T, both]])
    return loss, hessian, np.concatenate([slope.real, slope.imag])


def _pairs(rates: np.ndarray) -> np.ndarray | None:
    """Places of the first of each conjugate pair; None where rates are not so."""
    first, j = [], 0
    while j < len(rates):
        ahead = rates[j + 1] if j + 1 < len(rates) else np.nan
        if rates[j].imag != 0 and ahead == rates[j].conj():
            first.append(j)
            j += 1
        elif rates[j].imag != 0:
            return None
        j += 1
    return np.array(first, dtype=int)


def _real_exponentials(
    rates: np.ndarray, pairs: np.ndarray, t: np.ndarray
) -> np.ndarray:
    """Real and imaginary parts of each pair's first, and the real ones between."""
    first = np.setdiff1d(np.arange(len(rates)), pairs + 1)
    C = np.empty((len(t), len(rates)))
    E = exponentials(rates[first], t)[0]
    C[:, first] = E.real
    C[:, pairs + 1] = E.imag[:, np.isin(first, pairs)]
    return C


def solve_exponentials(E: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Least-squares weights (r, q) of columns E (n, r) in X (n, q)."""
    Q, R = _orthonormal(E)
    back = np.linalg.pinv(R, rcond=1e-13) if _is_singular(R) else inv(R)
    return np.asarray(back @ (Q.conj().T @ X))


def _orthonormal(C: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """C = Q R by two Cholesky factorisations, several times as fast as QR.

    One loses orthogonality with the square of the condition number, the second restores
    it (Yamamoto, Nakatsukasa, Yanagisawa & Fukaya, ETNA 44 (2015), 306). Columns that
    lie too close together for that are left to QR: their Gram matrix has lost them.
    """
    try:
        first = np.linalg.cholesky(C.conj().T @ C).conj().T
        if np.abs(np.diagonal(first)).min() < 1e-5 * np.abs(np.diagonal(first)).max():
            return np.linalg.qr(C)
        Q = C @ inv(first)
        second = np.linalg.cholesky(Q.conj().T @ Q).conj().T
        return Q @ inv(second), second @ first
    except np.linalg.LinAlgError:
        return np.linalg.qr(C)


def _is_singular(R: np.ndarray) -> bool:
    diagonal = np.abs(np.diagonal(R))
    return bool(diagonal.min() <= 1e-14 * diagonal.max())


def _errors(
    blocks: Sequence[Block],
    basis: np.ndarray,
    hessian: np.ndarray,
    loss: float,
    rates: np.ndarray,
) -> np.ndarray:
    """Standard errors: noise variance times the inverse Gauss-Newton matrix."""
    r = len(rates)
    # Real numbers that were measured, less those that were fitted.
    parts = 2 if any(np.iscomplexobj(block.X) for block in blocks) else 1
    n = sum(parts * block.X.size for block in blocks)
    n -= basis.shape[1] + sum(parts * r * block.X.shape[1] for block in blocks)
    if n <= 0:
        return np.full(r, np.nan + 1j * np.nan)
    with np.errstate(all="ignore"):
        H = basis.T @ hessian @ basis
        covariance = basis @ np.linalg.pinv(H, hermitian=True) @ basis.T * loss / n
        deviation = np.sqrt(np.maximum(np.diagonal(covariance), 0.0))
    return np.asarray(deviation[:r] + 1j * deviation[r:])


def pair_up(
    rates: np.ndarray, *, conjugate: bool, imaginary: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Rates that are exactly conjugate pairs, and the directions that keep them so.

    Parameters
    ----------
    rates : complex ndarray of shape (r,)
        Rates, closed under conjugation to rounding where `conjugate`.
    conjugate : bool
        Whether rates are real or come in conjugate pairs. A rate without partner keeps
        its imaginary part: zero, or half a turn per row.
    imaginary : bool
        Whether growth rates are zero.

    Returns
    -------
    rates : complex ndarray of shape (r,)
        Pairs next to each other, the positive frequency first.
    basis : ndarray of shape (2 r, m)
        Columns are directions of (Re a, Im a).
    """
    r = len(rates)
    if imaginary:
        rates = 1j * rates.imag
    directions = np.eye(2 * r)
    if not conjugate:
        return rates, directions[:, r:] if imaginary else directions
    partner = _partners(rates)
    above = [j for j in range(r) if partner[j] != j and rates[j].imag > 0]
    alone = [j for j in range(r) if partner[j] == j]
    ordered: list[complex] = []
    columns = []
    for j in above:
        k = len(ordered)
        ordered += [rates[j], rates[j].conjugate()]
        if not imaginary:
            columns.append(directions[k] + directions[k + 1])
        columns.append(directions[r + k] - directions[r + k + 1])
    for j in alone:
        if not imaginary:
            columns.append(directions[len(ordered)])
        ordered.append(rates[j])
    basis = np.array(columns).T if columns else np.zeros((2 * r, 0))
    return np.array(ordered, dtype=complex), basis


def _partners(rates: np.ndarray) -> np.ndarray:
    """For each rate its conjugate's place, or its own where it has none."""
    partner = np.arange(len(rates))
    size = np.abs(rates).max(initial=0.0)
    left = [j for j in range(len(rates)) if abs(rates[j].imag) > 1e-12 * size]
    while len(left) > 1:
        j = left.pop(0)
        distances = np.abs(rates[left] - rates[j].conjugate())
        k = int(distances.argmin())
        if distances[k] <= 1e-6 * size:
            other = left.pop(k)
            partner[j], partner[other] = other, j
    return partner

"""Standard errors and intervals of coefficients whose residuals are autocorrelated.

Derivatives that come from differences or smoothing have errors that hang together over
many rows, and plain least-squares intervals, made for independent errors, cover the
truth far too rarely. The estimate on a support is, with scores summed over blocks of
consecutive rows b = 1 .. B,

    xi_hat - xi = A^-1 sum_b s_b,     A = Z'WZ,     s_b = Z_b'W_b (y_b - Z_b xi_hat),

so its covariance is A^-1 (B Omega) A^-1, with Omega the long-run variance of the
sequence s_b: the spectral density of the scores at frequency zero. Here Omega is the
average over the n lowest cosines of the squared weighted sums (the equal-weighted
cosine estimator),

    Lambda_j = sqrt(2 / B) sum_b s_b cos(pi j (b - 1/2) / B),   j = 1 .. n,
    Omega    = (1 / n) sum_j Lambda_j Lambda_j',     n = 0.4 B^(2/3),

and intervals are those of Student's t with n degrees of freedom, which makes up for how
few cosines there are (Lazarus, Lewis, Stock & Watson 2018, who recommend this n). Sums
of blocks alone (batch means) would be right for long blocks only: errors of derivatives
are differences of errors, whose sums over short blocks vary too much, and errors that
were smoothed over windows hang together over several blocks.

Where coefficients are bound by linear relations, or by bounds that they stand at, they
move along these only: with N a basis of the directions that are left, of the
coefficients of all equations at once, N (N' A N)^-1 N' takes the place of A^-1.

Only moments of the blocks are needed, no pass over data. What intervals cannot see is
bias: from states that were smoothed too much, or that hold noise in products.

References
----------
Lazarus, Lewis, Stock & Watson, "HAR inference: recommendations for practice", Journal
of Business & Economic Statistics 36 (2018), 541.

Mueller, "HAC corrections for strongly autocorrelated time series", Journal of Business
& Economic Statistics 32 (2014), 311.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg, stats

from skdyn.base import check_coverage
from skdyn.sindy._problem import Problem
from skdyn.sindy._relations import HOLDS

__all__ = ["N_BLOCKS", "CoefficientCovariance", "coefficient_covariance"]

# Ten cosines: Student's t is then no more than a tenth wider than the normal.
N_BLOCKS = 128


@dataclass(frozen=True, eq=False)
class CoefficientCovariance:
    """How far coefficients may be off, for the supports that were found.

    Attributes
    ----------
    covariance : tuple of ndarray of shape (p, p)
        For each equation, the covariance of its coefficients, zero off its support. Its
        rank is at most `freedom`.
    freedom : ndarray of shape (q,)
        Degrees of freedom of Student's t.
    """

    covariance: tuple[np.ndarray, ...]
    freedom: np.ndarray

    @cached_property
    def std(self) -> np.ndarray:
        """Standard errors of the coefficients, (q, p); zero off the support."""
        return np.sqrt([np.diagonal(each) for each in self.covariance])

    def interval(
        self, coef: np.ndarray, coverage: float = 0.9
    ) -> tuple[np.ndarray, np.ndarray]:
        """Two-sided intervals about given coefficients.

        Parameters
        ----------
        coef : ndarray of shape (q, p)
            The coefficients.
        coverage : float, default=0.9
            How often an interval is to hold the truth, between 0 and 1.

        Returns
        -------
        lower, upper : ndarray of shape (q, p)
            The ends; both are the coefficient itself, 0, off the support.
        """
        return interval(coef, self.std, self.freedom, coverage)


def interval(
    coef: np.ndarray, std: np.ndarray, freedom: np.ndarray, coverage: float
) -> tuple[np.ndarray, np.ndarray]:
    """Ends (q, p) of intervals of Student's t, with `freedom` (q,) for each equation.

    Raises
    ------
    ValueError
        If `coverage` is not between 0 and 1.
    """
    check_coverage(coverage)
    times = stats.t.ppf(0.5 + coverage / 2, freedom)
    half = np.asarray(times)[:, None] * std
    return coef - half, coef + half


def coefficient_covariance(problem: Problem, coef: np.ndarray) -> CoefficientCovariance:
    """Covariance of least-squares coefficients under autocorrelated errors.

    Parameters
    ----------
    problem : Problem
        With blocks of consecutive rows, at least 2 and better some `N_BLOCKS`, about
        equally long, in the order of time and none across two trajectories.
    coef : ndarray of shape (q, p)
        Least squares on its support, under the relations and bounds of the problem.
        Those that hold with equality are taken for certain.

    Returns
    -------
    CoefficientCovariance

    Raises
    ------
    ValueError
        For a problem with fewer than 2 blocks.
    """
    if len(problem.blocks) < 2:
        raise ValueError(
            f"Intervals need the moments of at least 2 blocks of consecutive rows, got "
            f"{len(problem.blocks)}. Build the problem with n_blocks={N_BLOCKS}."
        )
    scores = _block_scores(problem, coef)
    freedom = np.full(len(coef), float(n_cosines(len(scores))))
    held = _held(problem, coef)
    if len(held):
        return CoefficientCovariance(_joint(problem, coef, scores, held), freedom)
    unit = np.where(problem.term_size > 0, problem.term_size, 1.0)
    n_terms = problem.shape[1]
    found = []
    for j, each in enumerate(coef):
        support = np.flatnonzero(each)
        covariance = np.zeros((n_terms, n_terms))
        if len(support):
            R = _triangle(problem, support)
            s = scores[:, j, support] / unit[support]
            half = linalg.solve_triangular(R, s.T, trans=1)
            moved = linalg.solve_triangular(R, half).T / unit[support]
            covariance[np.ix_(support, support)] = long_run_variance(moved)
        found.append(covariance)
    return CoefficientCovariance(tuple(found), freedom)


def _held(problem: Problem, coef: np.ndarray) -> np.ndarray:
    """Weights (n, q, p) of coefficients in what holds with equality."""
    scale = np.abs(coef).max(initial=0.0)
    held: list[np.ndarray] = []
    if problem.relations is not None:
        known = problem.relations
        held.extend(known.equal)
        sums = np.tensordot(known.most, coef, 2)
        sizes = np.tensordot(np.abs(known.most), np.abs(coef), 2)
        held.extend(known.most[sums >= known.most_to - HOLDS * (sizes + scale)])
    for bound in (problem.lower, problem.upper):
        if bound is not None:
            at = np.isfinite(bound) & (np.abs(coef - bound) <= HOLDS * np.abs(coef))
            for place in np.argwhere(at & (coef != 0)):
                held.append(np.zeros(coef.shape))
                held[-1][tuple(place)] = 1.0
    rows = np.array(held).reshape(-1, *coef.shape) * (coef != 0)
    return np.asarray(rows[rows.any(axis=(1, 2))])


def _joint(
    problem: Problem, coef: np.ndarray, scores: np.ndarray, held: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Covariances (p, p) of each equation, all equations being bound together."""
    shape = q, p = coef.shape
    sizes = problem.target_size
    if problem.relations is not None and problem.relations.sizes is not None:
        sizes = problem.relations.sizes
    # Terms and targets of unit size, in which the equations are solved together.
    unit = np.outer(
        1.0 / np.where(sizes > 0, sizes, 1.0),
        np.where(problem.term_size > 0, problem.term_size, 1.0),
    )
    where = np.flatnonzero(coef)
    equation, term = np.unravel_index(where, shape)
    A = np.zeros((len(where), len(where)))
    for j in range(q):
        own = np.flatnonzero(equation == j)
        if len(own):
            R = _triangle(problem, term[own])
            A[np.ix_(own, own)] = R.T @ R
    scale = unit.ravel()[where]
    s = scores.reshape(len(scores), -1)[:, where] / (
        unit.ravel()[where] * np.repeat(sizes**2, p)[where]
    )
    free = linalg.null_space(held.reshape(len(held), -1)[:, where] / scale)
    if not free.shape[1]:
        return tuple(np.zeros((q, p, p)))
    half = linalg.cholesky(free.T @ A @ free)
    moved = linalg.cho_solve((half, False), free.T @ s.T)
    covariance = long_run_variance(((free @ moved) / scale[:, None]).T)
    found = np.zeros((q, p, p))
    for j in range(q):
        own = np.flatnonzero(equation == j)
        found[j][np.ix_(term[own], term[own])] = covariance[np.ix_(own, own)]
    return tuple(found)


def n_cosines(n_blocks: int) -> int:
    """How many cosines the variance of a sum is averaged over."""
    return max(1, round(0.4 * n_blocks ** (2 / 3)))


def long_run_variance(rows: np.ndarray) -> np.ndarray:
    """Covariance (k, k) of the sum of autocorrelated rows (n, k)."""
    n, few = len(rows), n_cosines(len(rows))
    angles = np.pi / n * np.outer(np.arange(1, few + 1), np.arange(n) + 0.5)
    sums = np.sqrt(2.0 / few) * (np.cos(angles) @ rows)
    return np.asarray(sums.T @ sums)


def _triangle(problem: Problem, support: np.ndarray) -> np.ndarray:
    """R of Z = Q R, for columns of unit size."""
    if problem.gram is not None:
        products = problem.gram[np.ix_(support, support)] * problem.moments.weight
        return np.asarray(linalg.cholesky(products))
    Z, _ = problem.rows
    size = problem.term_size[support]
    return np.asarray(np.linalg.qr(Z[:, support] / size, mode="r"))


def _block_scores(problem: Problem, coef: np.ndarray) -> np.ndarray:
    """Z_b'W_b (y_b - Z_b xi) for each block, (n_blocks, q, p)."""
    p = problem.shape[1]
    scores = []
    for block in problem.blocks:
        if block.gram is not None:
            scores.append(block.gram[p:, :p] - coef @ block.gram[:p, :p])
        else:
            Z, Y = block.rows()
            scores.append((Y - Z @ coef.T).T @ Z)
    return np.array(scores)


def effective_rows(problem: Problem, coef: np.ndarray) -> np.ndarray:
    """How many rows with independent errors the rows are worth, (q,).

    The number of rows over how many times larger the variances of the coefficients are
    than independent errors of one size would have them (the mean over the terms of an
    equation). Without blocks, and for equations without terms, all rows.

    Parameters
    ----------
    problem : Problem
        As for `coefficient_covariance`.
    coef : ndarray of shape (q, p)
        Least squares on its support, equation by equation.

    Returns
    -------
    ndarray of shape (q,)
        From 2 to the number of rows.
    """
    n = max(float(problem.moments.weight), 1.0)
    count = np.full(len(coef), n)
    if len(problem.blocks) < 2:
        return count
    std = coefficient_covariance(problem, coef).std
    unit = np.where(problem.term_size > 0, problem.term_size, 1.0)
    loss = problem.loss(coef)
    for j, each in enumerate(coef):
        support = np.flatnonzero(each)
        if not len(support):
            continue
        R = _triangle(problem, support)
        half = linalg.solve_triangular(R, np.eye(len(support)))
        plain = loss[j] * np.square(half).sum(axis=1) / unit[support] ** 2
        with np.errstate(all="ignore"):
            ratio = float(np.mean(std[j, support] ** 2 / plain))
        if ratio > 1:
            count[j] = max(n / ratio, min(2.0, n))
    return count

"""Sparsity-promoting DMD: the few modes that matter, chosen together.

Equations (Jovanovic, Schmid & Nichols 2014, section II), in rows: DMD gives modes phi_j
and eigenvalues lambda_j. Their amplitudes in the data minimise

    J(a) = sum_k |x_k - sum_j a_j lambda_j^k phi_j|² = a^H P a - q^H a - a^H q + s,

    P_ij = (conj(phi_i) . phi_j) sum_k conj(lambda_i)^k lambda_j^k,
    q_i  = sum_k conj(lambda_i)^k conj(phi_i) . x_k,     s = sum_k |x_k|².

A penalty on their moduli makes many of them zero,

    min_a  J(a) + gamma sum_j |a_j|,

and those that are not zero are then fitted again, without the penalty ("polished"). The
minimum is found by the alternating direction method of multipliers, with the copy b of
a and the multipliers l, in turns:

    a <- (P + rho/2)^-1 (q + rho/2 (b - l / rho)),
    b <- soft threshold of a + l / rho at gamma / rho,
    l <- l + rho (a - b).

Amplitudes of several trajectories are penalised by their root sum of squares, so that a
mode is kept in all or in none, and so are those of a conjugate pair. An amplitude is
that of the row where the mode is largest: the first where it decays, as in the paper,
and the last of the longest trajectory where it grows.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skdyn.koopman._dmd import DMD
from skdyn.koopman._modal import ModalForecasts, ModalForm, _weights, in_order
from skdyn.koopman._rank import RANK
from skdyn.koopman._spectrum import Spectrum
from skdyn.koopman._varpro import exponentials
from skdyn.utils._sklearn import Interval
from skdyn.utils._trajectories import Pieces

__all__ = ["SparseDMD", "SparsityPath"]

# An eigenvalue below this has no logarithm worth having.
_SMALLEST = 1e-8
# Penalties that are tried, in fractions of the one that leaves no mode, and how often
# the gap between two of them is halved.
_PENALTIES = np.geomspace(1, 1e-5, 26)[1:]
_HALVINGS = 20
_LEAST = 1e-9
# Steps of the search for amplitudes, and its relative error.
_MAX_ITER = 5000
_TOL = 1e-6


@dataclass(frozen=True, eq=False)
class SparsityPath:
    """How many modes each penalty leaves, and what they explain.

    Attributes
    ----------
    penalties : ndarray of shape (n,)
        In decreasing order, as fractions of the least penalty that leaves no mode.
    n_modes : int ndarray of shape (n,)
        Number of modes left.
    loss : ndarray of shape (n,)
        Root of the share of the data's sum of squares that these modes, with polished
        amplitudes, do not explain: 1 is nothing explained, 0 everything.
    """

    penalties: np.ndarray
    n_modes: np.ndarray
    loss: np.ndarray


class SparseDMD(ModalForecasts, BaseEstimator):
    """Sparsity-promoting dynamic mode decomposition.

    Of the modes of a DMD, keeps the few that together explain the data best, where the
    largest amplitudes or eigenvalues would be a poor choice: noise has strongly damped
    modes of large amplitude.

    Parameters
    ----------
    rank : int, float, "auto" or None, default=None
        Singular values kept by the DMD to choose from, as in `DMD`.
    n_modes : int, default=6
        Number of modes to keep, at most; an oscillation of real data takes two. The
        penalty is searched for. At least one mode or pair is kept.
    penalty : float or None, default=None
        Penalty to use instead, from 0 (all modes) to 1 (none), as a fraction of the
        least penalty that leaves no mode, so that units do not matter; `n_modes` then
        has no effect.
    total_least_squares : bool, default=False
        Whether the DMD takes away the bias of noise towards decay, as in `DMD`; with a
        cut `rank` only. Recommended for forecasts of noisy data: amplitudes are fitted
        to all rows of a context, which rates that decay too fast cannot follow.
    dt : float, default=1.0
        Time between rows: growth rates are per unit time, frequencies in cycles per
        unit time.

    Attributes
    ----------
    rates_ : complex ndarray of shape (n_kept,)
        Growth rate + i angular frequency of the modes kept, per unit time.
    spectrum_ : Spectrum
        Eigenvalues, growth rates, frequencies, modes, polished amplitudes and residuals
        of the modes kept.
    path_ : SparsityPath
        Penalties that were tried, the number of modes that each leaves, and their loss.
    penalty_ : float
        The penalty used.
    rank_ : int
        Number of modes of the DMD.
    n_features_in_ : int
        Number of features in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.
    min_context_ : int
        Rows of history that determine the amplitudes.
    context_ : Trajectories
        The last rows of each training trajectory. ``predict(h)`` starts from amplitudes
        fitted to all of its rows.

    Warns
    -----
    UserWarning
        If `rank` is above the numerical rank of the data, which is used instead.

    See Also
    --------
    DMD : With all modes.
    OptDMD : A few exponentials, whose rates are fitted with them.

    References
    ----------
    Jovanovic, Schmid & Nichols, "Sparsity-promoting dynamic mode decomposition",
    Physics of Fluids 26 (2014), 024103.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.koopman import SparseDMD
    >>> rng, t = np.random.default_rng(0), 0.1 * np.arange(300)
    >>> waves = np.column_stack([f(w * t) for w in (1, 3) for f in (np.cos, np.sin)])
    >>> X = waves @ rng.standard_normal((4, 20)) + 0.01 * rng.standard_normal((300, 20))
    >>> model = SparseDMD(rank=12, n_modes=4, dt=0.1).fit(X)
    >>> np.sort(np.abs(model.rates_.imag)).round(2)
    array([1., 1., 3., 3.])
    """

    _parameter_constraints: dict = {
        "rank": RANK,
        "n_modes": [Interval(Integral, 1, None, closed="left")],
        "penalty": [Interval(Real, 0, 1, closed="left"), None],
        "total_least_squares": ["boolean"],
        "dt": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        rank: int | float | Literal["auto"] | None = None,
        *,
        n_modes: int = 6,
        penalty: float | None = None,
        total_least_squares: bool = False,
        dt: float = 1.0,
    ) -> None:
        self.rank = rank
        self.n_modes = n_modes
        self.penalty = penalty
        self.total_least_squares = total_least_squares
        self.dt = dt

    def fit(self, X: Any, y: Any = None) -> SparseDMD:
        """Fit a DMD and choose modes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories of at least 2 rows each; real or complex.
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        SparseDMD
            The estimator itself.
        """
        trajectories, _ = self._check_fit(X)
        pieces = trajectories.pieces
        self._is_complex = trajectories.dtype.kind == "c"
        self._dt = float(self.dt)
        dmd = DMD(self.rank, exact=False, total_least_squares=self.total_least_squares)
        found = dmd.fit(list(pieces)).spectrum_
        self.rank_ = len(found.eigenvalues)
        sizes = np.maximum(np.abs(found.eigenvalues), _SMALLEST)
        rates = (np.log(sizes) + 1j * np.angle(found.eigenvalues)) / self._dt
        order = in_order(rates)
        rates, modes = rates[order], found.modes[order]
        pairs = _pairs(rates, self._is_complex)
        times = [self._dt * np.arange(n) for n in trajectories.lengths]
        problem = _Problem.of(rates, modes, pairs, pieces, times)
        n_modes = None if self.penalty is not None else int(self.n_modes)
        kept, self.penalty_, self.path_ = _choose(problem, n_modes, self.penalty)
        self.rates_ = rates[kept]
        curves = [exponentials(self.rates_, clock) for clock in times]
        weights = np.array(_weights(modes[kept], pieces, curves))
        with np.errstate(over="ignore"):
            weights = weights * np.exp(-np.array([shift for _, shift in curves]))
        self._form = ModalForm.of(self.rates_, modes[kept], self._dt, self._is_complex)
        self.min_context_ = self._form.rows_needed()
        residuals = self._form.residuals(pieces, times, self.min_context_)
        with np.errstate(over="ignore"):
            eigenvalues = np.exp(self.rates_ * self._dt)
        self._spectrum = Spectrum(
            eigenvalues,
            self._form.modes,
            weights[trajectories.firsts],
            residuals,
            self._dt,
        )
        self._end_states = self._states_at_ends(trajectories, times)
        self._remember(trajectories)
        return self

    @property
    def spectrum_(self) -> Spectrum:
        """Eigenvalues of the modes kept, with modes, amplitudes and residuals."""
        check_is_fitted(self)
        return self._spectrum


@dataclass(frozen=True, eq=False)
class _Problem:
    """The quadratic function of the module's equations, of several trajectories.

    Attributes
    ----------
    P : list of ndarray of shape (r, r)
        One for each length.
    which : int ndarray of shape (m,)
        The entry of `P` that belongs to each trajectory.
    q : ndarray of shape (m, r)
        One row for each trajectory.
    s : float
        Sum of squares of the data.
    partner : int ndarray of shape (r,)
        Where the conjugate of each mode is, or its own place.
    """

    P: list[np.ndarray]
    which: np.ndarray
    q: np.ndarray
    s: float
    partner: np.ndarray

    @classmethod
    def of(
        cls,
        rates: np.ndarray,
        modes: np.ndarray,
        partner: np.ndarray,
        pieces: Pieces,
        times: list[np.ndarray],
    ) -> _Problem:
        lengths = [len(piece) for piece in pieces]
        kinds, which = np.unique(lengths, return_inverse=True)
        E, _ = exponentials(rates, times[int(np.argmax(lengths))])
        overlap = modes.conj() @ modes.T
        P = [overlap * (E[:n].conj().T @ E[:n]) for n in kinds]
        q = np.array(
            [
                np.einsum("kr,kr->r", E[: len(x)].conj(), x @ modes.conj().T)
                for x in pieces
            ]
        )
        s = sum(float(np.linalg.norm(np.asarray(x, complex)) ** 2) for x in pieces)
        return cls(P, which, q, s, partner)

    def sizes(self, a: np.ndarray) -> np.ndarray:
        """Root sum of squares of amplitudes (m, r) over trajectories, as of pairs."""
        squares = (np.abs(a) ** 2).sum(axis=0)
        return np.asarray(np.sqrt((squares + squares[self.partner]) / 2))

    def loss(self, kept: np.ndarray) -> float:
        """Root of the share of squares that polished modes leave."""
        explained = 0.0
        for i, q in zip(self.which, self.q[:, kept], strict=True):
            P = self.P[i][np.ix_(kept, kept)]
            a = np.linalg.lstsq(P, q, rcond=1e-14)[0]
            explained += float((2 * np.vdot(q, a) - np.vdot(a, P @ a)).real)
        return float(np.sqrt(max(self.s - explained, 0.0) / self.s))


def _pairs(rates: np.ndarray, is_complex: bool) -> np.ndarray:
    """The place of each rate's conjugate, which is next to it, or its own."""
    partner = np.arange(len(rates))
    if is_complex:
        return partner
    j = 0
    while j + 1 < len(rates):
        if rates[j].imag > 0 and rates[j + 1] == rates[j].conj():
            partner[[j, j + 1]] = j + 1, j
            j += 1
        j += 1
    return partner


def _choose(
    problem: _Problem, n_modes: int | None, penalty: float | None
) -> tuple[np.ndarray, float, SparsityPath]:
    """Which modes are kept (r,), by what penalty, and what else was tried."""
    r = problem.q.shape[1]
    largest = 2 * float(problem.sizes(problem.q).max())
    if largest == 0:
        # Data of zeros, which every choice explains.
        nothing = SparsityPath(np.zeros(1), np.array([r]), np.zeros(1))
        return np.ones(r, bool), 0.0, nothing
    solver = _Solver.of(problem)
    tried: dict[float, np.ndarray] = {}

    def kept_at(fraction: float) -> np.ndarray:
        if fraction not in tried:
            # At no penalty there is nothing to solve.
            all_of_them = np.ones(r, bool)
            a = solver.amplitudes(fraction * largest) if fraction else all_of_them[None]
            tried[fraction] = problem.sizes(a) > 0
        return tried[fraction]

    for fraction in _PENALTIES:
        if kept_at(float(fraction)).all():
            break
    kept_at(0.0)
    if penalty is not None:
        chosen = float(penalty)
    else:
        assert n_modes is not None
        chosen = _searched(kept_at, sorted(tried, reverse=True), n_modes)
    kept = kept_at(chosen)
    if not kept.any():
        # A penalty next to 1, within the error of the search.
        kept = problem.sizes(problem.q) >= largest / 2 * (1 - 1e-9)
    fractions = sorted(tried, reverse=True)
    found = {each.tobytes(): each for each in tried.values()}
    losses = {key: problem.loss(each) for key, each in found.items()}
    path = SparsityPath(
        np.array(fractions),
        np.array([int(tried[each].sum()) for each in fractions]),
        np.array([losses[tried[each].tobytes()] for each in fractions]),
    )
    return kept, chosen, path


def _searched(kept_at: Any, fractions: list[float], n_modes: int) -> float:
    """The penalty that leaves most modes of those that leave at most `n_modes`."""
    counts = [int(kept_at(each).sum()) for each in fractions]
    over = next((i for i, n in enumerate(counts) if n > n_modes), len(counts))
    if over == len(counts):
        return fractions[-1]
    best, low = (fractions[over - 1] if over else 1.0), max(fractions[over], _LEAST)
    most = counts[over - 1] if over else 0
    high = best
    for _ in range(_HALVINGS):
        if most == n_modes:
            break
        middle = float(np.sqrt(low * high))
        n = int(kept_at(middle).sum())
        if n > n_modes:
            low = middle
        else:
            high = middle
            if n > most:
                best, most = middle, n
    # An oscillation where a single mode was asked for: better than none.
    return best if most else low


@dataclass(eq=False)
class _Solver:
    """Amplitudes for one penalty after the other, each from the last one's."""

    problem: _Problem
    scale: float
    values: list[np.ndarray]
    vectors: list[np.ndarray]
    copy: np.ndarray
    multipliers: np.ndarray
    rho: float = 1.0

    @classmethod
    def of(cls, problem: _Problem) -> _Solver:
        scale = float(np.mean([np.diagonal(P).real.mean() for P in problem.P])) or 1.0
        pairs = [np.linalg.eigh(P / scale) for P in problem.P]
        zero = np.zeros_like(problem.q, dtype=complex)
        return cls(
            problem,
            scale,
            [np.maximum(values, 0) for values, _ in pairs],
            [vectors for _, vectors in pairs],
            zero,
            zero.copy(),
        )

    def amplitudes(self, penalty: float) -> np.ndarray:
        """Amplitudes (m, r), many of them zero."""
        gamma, q = penalty / self.scale, self.problem.q / self.scale
        b, u, rho = self.copy, self.multipliers / self.rho, self.rho
        for k in range(_MAX_ITER):
            right = q + rho / 2 * (b - u)
            a = np.empty_like(right)
            for i, (values, V) in enumerate(
                zip(self.values, self.vectors, strict=True)
            ):
                rows = self.problem.which == i
                turned = right[rows] @ V.conj() / (values + rho / 2)
                a[rows] = turned @ V.T
            before, v = b, a + u
            sizes = self.problem.sizes(v)
            shrink = np.maximum(1 - gamma / rho / np.maximum(sizes, 1e-300), 0)
            b = v * shrink
            u = v - b
            primal, dual = np.linalg.norm(a - b), np.linalg.norm(b - before)
            size = max(float(np.linalg.norm(a)), float(np.linalg.norm(b)), 1e-300)
            pull = max(float(np.linalg.norm(u)), 1e-300)
            if primal <= _TOL * size and dual <= _TOL * pull:
                break
            if k % 10 == 9 and k < _MAX_ITER // 2:
                # Neither of the two errors is to lag behind (Boyd et al. 2011, 3.4.1).
                faster = 2.0 * (primal / size > 10 * dual / pull)
                factor = faster or (0.5 if dual / pull > 10 * primal / size else 1.0)
                rho, u = rho * factor, u / factor
        self.copy, self.multipliers, self.rho = b, u * rho, rho
        return b

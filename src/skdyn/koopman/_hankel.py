"""Hankel DMD that never builds the delay matrix.

Equation: with rows h[k] = (x[k], x[k - tau], ..., x[k - (D - 1) tau]), it is DMD of h,
the same as ``make_pipeline(DelayEmbedding(D, delay=tau), DMD(rank))`` (Arbabi & Mezic
2017, section 3). The delay matrix H repeats every number D times; what DMD needs of it
are inner products, and those repeat as well:

* between rows (few long rows): (H H^T)[k, l] = sum_j S[k - j tau, l - j tau] with
  S = X X^T, D shifted sums of a small matrix;
* between columns (many short rows): with lags p and q,
  M[p, q] = sum_k x[k - p]^T x[k - q] depends on p - q but for the rows at both ends, so
  one product for each difference and updates by single rows give all of them.

Both square the condition number: singular values below some 1e-7 of the largest are
rounding here, where the delay matrix itself would still resolve them. That is far below
any noise; for clean data to the last digit, compose `DelayEmbedding` and `DMD`.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from scipy import linalg
from scipy.sparse.linalg import LinearOperator, eigsh
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skdyn.base import ForecasterMixin
from skdyn.koopman._rank import RANK, Data, choose_rank
from skdyn.koopman._spectrum import Spectrum, spectrum_of
from skdyn.utils._linalg import linear_orbit
from skdyn.utils._moments import reduce_rows
from skdyn.utils._sklearn import Interval

__all__ = ["HankelDMD"]


class HankelDMD(ForecasterMixin, BaseEstimator):
    """Dynamic mode decomposition of delayed rows, without the delay matrix.

    Gives what ``make_pipeline(DelayEmbedding(n_delays), DMD(rank))`` gives, for long
    delays and large data in a fraction of the time and memory.

    Parameters
    ----------
    n_delays : int, default=10
        Number of blocks, the present one included, as in `DelayEmbedding`.
    delay : int, default=1
        Rows between neighbouring blocks.
    rank : int, float, "auto" or None, default=None
        Number of singular values kept, as in `DMD`. An int is much the fastest. None
        keeps all above some 1e-7 of the largest.
    dt : float, default=1.0
        Time between rows: growth rates are per unit time, frequencies in cycles per
        unit time.

    Attributes
    ----------
    spectrum_ : Spectrum
        Eigenvalues, growth rates, frequencies, modes (of the undelayed features),
        amplitudes and residuals (which bottom out near 1e-8).
    rank_ : int
        Number of singular values kept.
    n_features_in_ : int
        Number of features in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.
    min_context_ : int
        Rows of history that a forecast needs: ``1 + (n_delays - 1) * delay``.
    context_ : Trajectories
        The last rows of each training trajectory, where ``predict(h)`` starts.

    See Also
    --------
    skdyn.preprocessing.DelayEmbedding : The composition, to the last digit.

    References
    ----------
    Arbabi & Mezic, "Ergodic theory, dynamic mode decomposition, and computation of
    spectral properties of the Koopman operator", SIAM Journal on Applied Dynamical
    Systems 16 (2017), 2096, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.koopman import HankelDMD
    >>> t = 0.1 * np.arange(400)
    >>> x = np.sin(t) + 0.5 * np.sin(3.7 * t)
    >>> model = HankelDMD(n_delays=60, rank=4, dt=0.1).fit(x[:, None])
    >>> np.sort(2 * np.pi * model.spectrum_.frequencies).round(6)
    array([-3.7, -1. ,  1. ,  3.7])
    """

    _parameter_constraints: dict = {
        "n_delays": [Interval(Integral, 1, None, closed="left")],
        "delay": [Interval(Integral, 1, None, closed="left")],
        "rank": RANK,
        "dt": [Interval(Real, 0, None, closed="neither")],
    }
    _allow_complex = True

    def __init__(
        self,
        n_delays: int = 10,
        *,
        delay: int = 1,
        rank: int | float | Literal["auto"] | None = None,
        dt: float = 1.0,
    ) -> None:
        self.n_delays = n_delays
        self.delay = delay
        self.rank = rank
        self.dt = dt

    def fit(self, X: Any, y: Any = None) -> HankelDMD:
        """Fit the linear map of delayed rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories of more than ``min_context_`` rows each.
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        HankelDMD
            The estimator itself.
        """
        self._validate_params()
        self.min_context_ = 1 + (self.n_delays - 1) * self.delay
        trajectories, _ = self._check_fit(X, min_rows=self.min_context_ + 1)
        pieces = [
            np.asarray(piece, dtype=np.result_type(piece, np.float64))
            for piece in trajectories.pieces
        ]
        lags, self._delay = self.delay * np.arange(self.n_delays), int(self.delay)
        n_pairs = sum(len(piece) - self.min_context_ for piece in pieces)
        width = self.n_delays * self.n_features_in_
        data = Data((n_pairs, width), trajectories.dtype)
        solve = _by_rows if n_pairs <= width else _by_columns
        V, K, readout, before, after = solve(pieces, lags, self.rank, data)
        self._V, self._K, self._readout = V, K, readout
        self._before, self._after = before, after
        self._is_complex, self._dt = np.iscomplexobj(K), float(self.dt)
        self.rank_ = len(K)
        self._starts = self._begin(trajectories.heads(self.min_context_), None)
        self._spectrum: Spectrum | None = None
        self._remember(trajectories)
        return self

    @property
    def spectrum_(self) -> Spectrum:
        """Eigenvalues with modes, amplitudes and residuals."""
        check_is_fitted(self)
        if self._spectrum is None:
            self._spectrum = spectrum_of(
                self._K,
                self._readout,
                self._V[: self.n_features_in_].conj().T,
                self._starts,
                self._before,
                self._after,
                self._dt,
            )
        return self._spectrum

    def _begin(self, contexts: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        newest_first = contexts[:, :: -self._delay]
        rows = newest_first.reshape(len(contexts), -1)
        return rows.astype(np.result_type(rows, np.float64)) @ self._V

    def _step(
        self, state: np.ndarray, u: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        return state @ self._K, state @ self._readout

    def _rollout(
        self, state: np.ndarray, n_steps: int, u: np.ndarray | None
    ) -> np.ndarray:
        orbit = linear_orbit(state, self._K, n_steps)
        return (orbit @ self._readout).swapaxes(0, 1)


_Solved = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _by_rows(
    pieces: list[np.ndarray], lags: np.ndarray, rank: Any, data: Data
) -> _Solved:
    """V, K, the readout, and rows with the moments of reduced pairs; N <= D d.

    U and S come from H H^T, of the rows that have successors; with Y the successors,
    V = H^H U S^-1, K = S^-1 U^H (Y H^H) U S^-1 and the readout is S^-1 U^H x[k + 1].
    """
    lead = int(lags[-1])
    whole = np.concatenate(pieces)
    S = whole @ whole.conj().T
    # Where the delayed rows of each piece end, in rows of all pieces.
    starts = np.cumsum([0, *(len(piece) for piece in pieces)])
    ends = [
        np.arange(start + lead, start + len(piece))
        for start, piece in zip(starts, pieces, strict=False)
    ]
    rows = np.concatenate(ends)
    now = np.concatenate([each[:-1] for each in ends])
    G = np.zeros((len(rows), len(rows)), S.dtype)
    cuts = [(each[0], each[-1] + 1) for each in ends]
    for lag in lags:
        G += _shifted(S, cuts, int(lag))
    place = np.full(len(whole), -1)
    place[rows] = np.arange(len(rows))
    here, there = place[now], place[now + 1]
    sizes, U = _leading(G[np.ix_(here, here)], rank, data)
    US = U / sizes
    V = np.concatenate([whole[now - lag].conj().T @ US for lag in lags])
    after = G[np.ix_(there, here)] @ US
    K = US.conj().T @ after
    readout = US.conj().T @ whole[now + 1]
    pairs = reduce_rows(np.hstack([U * sizes, after]))
    r = len(sizes)
    return V, K, readout, pairs[:, :r], pairs[:, r:]


def _shifted(S: np.ndarray, cuts: list[tuple[int, int]], lag: int) -> np.ndarray:
    """S at the rows and columns of all pieces, `lag` rows earlier."""
    if len(cuts) == 1:
        start, stop = cuts[0]
        return S[start - lag : stop - lag, start - lag : stop - lag]
    index = np.concatenate([np.arange(start - lag, stop - lag) for start, stop in cuts])
    return S[np.ix_(index, index)]


def _by_columns(
    pieces: list[np.ndarray], lags: np.ndarray, rank: Any, data: Data
) -> _Solved:
    """The same from moments of columns, for N > D d.

    With X^H X = V S² V^H: K = S^-2 V^H (X^H Y) V, readout S^-2 V^H X^H x[k + 1].
    """
    d = pieces[0].shape[1]
    # A row is at lags 1, 1 + tau, ... of its successor.
    both = np.unique(np.concatenate([lags, lags + 1]))
    M = _lagged_moments(pieces[0], both)
    for piece in pieces[1:]:
        M += _lagged_moments(piece, both)
    old, new = np.searchsorted(both, lags + 1), np.searchsorted(both, lags)
    width = len(lags) * d

    def block(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        if len(both) == len(lags) + 1:
            # Every lag is there: a corner of the matrix, and no copy.
            top, side = i[0] * d, j[0] * d
            flat = M.reshape(width + d, width + d)
            return flat[top : top + width, side : side + width]
        picked = M[i][:, :, j]
        return picked.reshape(width, width)

    sizes, V = _leading(block(old, old), rank, data)
    cross = V.conj().T @ block(old, new)
    K = (cross @ V) / sizes[:, None] ** 2
    readout = cross[:, :d] / sizes[:, None] ** 2
    last = V.conj().T @ block(new, new) @ V
    middle = cross @ V
    joint = np.block([[np.diag(sizes**2), middle], [middle.conj().T, last]])
    values, vectors = linalg.eigh(joint)
    pairs = np.sqrt(np.maximum(values, 0))[:, None] * vectors.conj().T
    r = len(sizes)
    return V, K, readout, pairs[:, :r], pairs[:, r:]


def _lagged_moments(x: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """M[p, :, q] = sum over k of conj(x[k - lag_p])^T x[k - lag_q], (L, d, L, d).

    For one difference m of lags, moving both back by a row adds a row at the head and
    takes one off the tail.
    """
    n, d = x.shape
    last, n_lags = int(lags[-1]), len(lags)
    M = np.empty((n_lags, d, n_lags, d), x.dtype)
    left = x.conj()
    for m in np.unique(np.subtract.outer(lags, lags)).tolist():
        if m < 0:
            continue
        total, before = None, 0
        for p in lags[np.isin(lags - m, lags)].tolist():
            i, j = np.searchsorted(lags, [p, p - m])
            if total is None:
                total = left[last - p : n - p].T @ x[last - p + m : n - p + m]
            else:
                head, tail = slice(last - p, last - before), slice(n - p, n - before)
                total = total + left[head].T @ x[last - p + m : last - before + m]
                total -= left[tail].T @ x[n - p + m : n - before + m]
            before = p
            M[i, :, j] = total
            M[j, :, i] = total.conj().T
    return M


def _leading(G: np.ndarray, rank: Any, data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Singular values and vectors from a Gram matrix, as many as `rank` keeps."""
    n = len(G)
    if isinstance(rank, Integral) and 4 * int(rank) < n and n > 64:
        start = np.random.RandomState(0).standard_normal(n).astype(G.dtype)
        # As an operator: a corner of a larger matrix would be copied.
        operator = LinearOperator(G.shape, matvec=G.__matmul__, dtype=G.dtype)
        values, vectors = eigsh(operator, k=int(rank), which="LA", v0=start)
    else:
        values, vectors = linalg.eigh(G, check_finite=False)
    values, vectors = values[::-1], vectors[:, ::-1]
    # What squaring has left of the singular values.
    floor = max(data.shape) * np.finfo(np.float64).eps * max(float(values[0]), 0.0)
    sizes = np.sqrt(np.where(values > floor, values, 0.0))
    r = choose_rank(sizes, rank, data)
    return np.where(sizes[:r] > 0, sizes[:r], 1.0), vectors[:, :r]

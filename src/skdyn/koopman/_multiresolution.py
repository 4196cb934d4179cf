"""Multiresolution DMD: slow modes first, then those of halves, and so on.

Equations (Kutz, Fu & Brunton 2016, section 3): of all rows of a trajectory, DMD keeps
the modes that turn, grow or decay slowly,

    |log(lambda_j) / dt| <= 2 pi c / T,

at most c cycles in the T that the rows last. What they explain,

    sum_j b_j exp(a_j t) phi_j,       a_j = log(lambda_j) / dt,

is taken off, the rest is cut into halves, and each half is treated as the whole was.
Level l has 2^l windows and reaches frequencies up to 2^l c / T.

Slow modes need few rows. Instead of every s-th row, which shows fast modes as slow
ones, DMD is given averages of s rows: those of exponentials are exponentials of the
same rates, fast ones and noise are all but gone. Modes and amplitudes are then those of
least squares for these rates and all rows; of several trajectories, which have modes in
common, the amplitudes alone are, and the modes those of DMD. An event in one part of a
window has some overlap with its slow modes, to which it leaks by as much; the windows
within take the leak off again.

A forecast goes on with the modes of the last window of every level
(`skdyn.koopman._modal`).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skdyn.koopman._modal import (
    ModalForecasts,
    ModalForm,
    _weights,
    common_modes,
    in_order,
)
from skdyn.koopman._rank import RANK, Data, truncated_svd
from skdyn.koopman._spectrum import Spectrum, _inverse
from skdyn.koopman._varpro import exponentials
from skdyn.utils._sklearn import Interval

__all__ = ["MultiresolutionDMD", "ResolutionNode"]

# Averages that a window is reduced to, for each cycle that a slow mode may make.
_AVERAGES = 32
# Rows that a window has at least: levels beyond are left out.
_SHORTEST = 8
# Where the rest is this share of the data, it is rounding.
_ROUNDING = {True: 1e-5, False: 1e-10}
# An eigenvalue below this has no logarithm worth having.
_SMALLEST = 1e-8
# Condition up to which a context tells modes apart.
_WELL_DETERMINED = 1e6


@dataclass(frozen=True, eq=False)
class ResolutionNode:
    """The slow modes of one window.

    Attributes
    ----------
    level : int
        0 is the whole, 1 the halves, and so on.
    start, stop : int
        Rows of the window, in the longest trajectory; in shorter ones, the same part of
        the whole.
    spectrum : Spectrum
        The modes kept, with amplitudes in the window's first row of each trajectory
        (of each stretch, where a time index has gaps), and residuals in what the slower
        levels have left of the data.
    """

    level: int
    start: int
    stop: int
    spectrum: Spectrum


class MultiresolutionDMD(ModalForecasts, BaseEstimator):
    """Multiresolution dynamic mode decomposition.

    Separates processes of different time scales, such as trends, seasons and passing
    events: slow modes of the whole, then of halves, of quarters and so on. What happens
    in one window only is found there, where a single DMD would smear it over all time.

    Parameters
    ----------
    n_levels : int, default=4
        Number of levels, the whole included. Windows have at least 8 rows; levels
        beyond are left out.
    rank : int, float, "auto" or None, default=None
        Singular values that the DMD of a window keeps, as in `DMD`; at most half as
        many as it has averaged rows. For noisy data, a small number.
    max_cycles : int, default=1
        Cycles that a mode may make in its window, at most, to be slow. A growth or
        decay by a factor of exp(2 pi) counts as a cycle.
    dt : float, default=1.0
        Time between rows: growth rates are per unit time, frequencies in cycles per
        unit time.

    Attributes
    ----------
    nodes_ : list of ResolutionNode
        Windows that have slow modes, level by level.
    n_levels_ : int
        Number of levels used.
    rates_ : complex ndarray of shape (n_modes,)
        Growth rate + i angular frequency of the modes that a forecast goes on with: of
        the last window of each level. Of levels whose modes a context of a third of the
        shortest trajectory cannot tell from the slower ones, none.
    spectrum_ : Spectrum
        Of these modes: amplitudes are those after the last row of each trajectory,
        residuals those over all of the data, of which they are but the slow part.
    n_features_in_ : int
        Number of features in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.
    min_context_ : int
        Rows of history that determine the amplitudes.
    context_ : Trajectories
        The last rows of each training trajectory. ``predict(h)`` starts from amplitudes
        fitted to all of its rows.

    See Also
    --------
    DMD : One time scale.
    skdyn.preprocessing.DelayEmbedding : Before it, for fewer features than modes.

    Notes
    -----
    Several trajectories have their modes in common: windows in the same part of all are
    fitted together. Fit one estimator to each where events are not at the same place.

    The whole keeps its slowest mode or pair even where none is slow, so that there is
    something to forecast with.

    References
    ----------
    Kutz, Fu & Brunton, "Multiresolution dynamic mode decomposition", SIAM Journal on
    Applied Dynamical Systems 15 (2016), 713.

    Examples
    --------
    A slow wave, and a faster one in the third quarter:

    >>> import numpy as np
    >>> from skdyn.koopman import MultiresolutionDMD
    >>> t = np.arange(800) / 800
    >>> slow = np.column_stack([np.cos(5 * t), np.sin(5 * t)])
    >>> fast = np.column_stack([np.cos(24 * t), np.sin(24 * t)])
    >>> X = np.hstack([slow, fast * (t >= 0.5)[:, None] * (t < 0.75)[:, None]])
    >>> model = MultiresolutionDMD(n_levels=3, dt=1 / 800).fit(X)
    >>> for node in model.nodes_:
    ...     if np.abs(node.spectrum.amplitudes).max() > 0.5:
    ...         angular = 2 * np.pi * node.spectrum.frequencies
    ...         print(node.level, node.start, node.stop, angular.round())
    0 0 800 [ 5. -5.]
    2 400 600 [ 24. -24.]
    >>> bool(np.abs(model.reconstruct() - X).mean() < 0.01)
    True
    """

    _parameter_constraints: dict = {
        "n_levels": [Interval(Integral, 1, None, closed="left")],
        "rank": RANK,
        "max_cycles": [Interval(Integral, 1, None, closed="left")],
        "dt": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        n_levels: int = 4,
        *,
        rank: int | float | Literal["auto"] | None = None,
        max_cycles: int = 1,
        dt: float = 1.0,
    ) -> None:
        self.n_levels = n_levels
        self.rank = rank
        self.max_cycles = max_cycles
        self.dt = dt

    def fit(self, X: Any, y: Any = None) -> MultiresolutionDMD:
        """Find slow modes, level by level.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories of at least 2 rows each; real or complex.
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        MultiresolutionDMD
            The estimator itself.
        """
        trajectories, _ = self._check_fit(X)
        self._dt = float(self.dt)
        self._is_complex = trajectories.dtype.kind == "c"
        rest = [
            np.array(piece, dtype=np.result_type(piece, np.float64))
            for piece in trajectories.pieces
        ]
        single = bool(np.finfo(trajectories.dtype).eps > 1e-10)
        squares = sum(float(np.linalg.norm(piece) ** 2) for piece in rest)
        floor = _ROUNDING[single] * np.sqrt(squares / sum(map(len, rest)))
        longest = max(map(len, rest))
        most = 1 + int(np.log2(max(longest / _SHORTEST, 1)))
        self.n_levels_ = min(int(self.n_levels), most)
        # Of each level: the rates and modes of the last window.
        last: list[tuple[np.ndarray, np.ndarray]] = []
        self.nodes_: list[ResolutionNode] = []
        self._places: list[int] = []
        for level in range(self.n_levels_):
            for i in range(2**level):
                cuts = [_window(len(piece), level, i) for piece in rest]
                parts = [piece[cut] for piece, cut in zip(rest, cuts, strict=True)]
                slow = _slow_modes(
                    parts,
                    rank=self.rank,
                    max_cycles=int(self.max_cycles),
                    dt=self._dt,
                    data_dtype=trajectories.dtype,
                    floor=floor,
                    needs_one=level == 0,
                )
                if slow is None:
                    continue
                rates, modes, weights = slow
                if i == 2**level - 1:
                    last.append((rates, modes))
                whole = _window(longest, level, i)
                spectrum = self._spectrum_of(rates, modes, weights, parts)
                self.nodes_.append(
                    ResolutionNode(level, whole.start, whole.stop, spectrum)
                )
                self._places.append(i)
                for part, b in zip(parts, weights, strict=True):
                    part -= _curve(rates, modes, b, len(part), self._dt, part.dtype)
        shortest = min(len(x) for x in trajectories.last_pieces().pieces)
        self._form, self.min_context_ = _continued(
            last, max(shortest // 3, 1), self._dt, self._is_complex
        )
        self.rates_ = self._form.rates
        times = [self._dt * np.arange(len(piece)) for piece in rest]
        self._end_states = self._states_at_ends(trajectories, times)
        ends = [
            self._form.amplitudes_after(np.asarray(piece)[None], clock - clock[-1])
            for piece, clock in zip(
                trajectories.last_pieces().pieces,
                [group[-1] for group in trajectories.groups(times)],
                strict=True,
            )
        ]
        self.spectrum_ = Spectrum(
            np.exp(self.rates_ * self._dt),
            self._form.modes,
            np.concatenate(ends),
            self._form.residuals(trajectories.pieces, times, self.min_context_),
            self._dt,
        )
        # What reconstruct needs of the training data: its form, not its rows.
        self._training = replace(trajectories, pieces=())
        self._lengths, self._dtype = trajectories.lengths, trajectories.dtype
        self._remember(trajectories)
        return self

    def _spectrum_of(
        self,
        rates: np.ndarray,
        modes: np.ndarray,
        weights: np.ndarray,
        parts: list[np.ndarray],
    ) -> Spectrum:
        """With residuals in what the slower levels have left of the data."""
        form = ModalForm.of(rates, modes, self._dt, self._is_complex)
        clocks = [self._dt * np.arange(len(part)) for part in parts]
        residuals = form.residuals(parts, clocks, form.rows_needed())
        values = np.exp(rates * self._dt)
        return Spectrum(values, modes, weights, residuals, self._dt)

    def reconstruct(self) -> Any:
        """The training data, as the slow modes of all windows make it up.

        Returns
        -------
        ndarray, or list of ndarrays
            In the form of the training data.
        """
        check_is_fitted(self)
        kind = np.result_type(self._dtype, np.float64)
        pieces = [np.zeros((n, self.n_features_in_), kind) for n in self._lengths]
        for node, i in zip(self.nodes_, self._places, strict=True):
            spectrum = node.spectrum
            rates = 2j * np.pi * spectrum.frequencies + spectrum.growth_rates
            for piece, b in zip(pieces, spectrum.amplitudes, strict=True):
                part = piece[_window(len(piece), node.level, i)]
                part += _curve(rates, spectrum.modes, b, len(part), self._dt, kind)
        return self._training.join([piece.astype(self._dtype) for piece in pieces])


def _window(n: int, level: int, i: int) -> slice:
    """The rows of window `i` of 2^level, of n rows."""
    return slice(i * n // 2**level, (i + 1) * n // 2**level)


def _curve(
    rates: np.ndarray,
    modes: np.ndarray,
    b: np.ndarray,
    n: int,
    dt: float,
    dtype: np.dtype,
) -> np.ndarray:
    """Rows (n, d) of modes with amplitudes b in the first row."""
    rows = (np.exp(np.multiply.outer(dt * np.arange(n), rates)) * b) @ modes
    return rows if dtype.kind == "c" else rows.real


def _slow_modes(
    parts: list[np.ndarray],
    *,
    rank: Any,
    max_cycles: int,
    dt: float,
    data_dtype: np.dtype,
    floor: float,
    needs_one: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Slow rates (r,), unit modes (r, d) and amplitudes (n_parts, r); None for none."""
    longest = max(map(len, parts))
    s = max(1, longest // (_AVERAGES * max_cycles))
    series = [_averages(part, s) for part in parts if len(part) >= 2 * s]
    before = np.concatenate([rows[:-1] for rows in series])
    after = np.concatenate([rows[1:] for rows in series])
    with warnings.catch_warnings():
        # A rank is the largest: windows may hold fewer modes.
        warnings.simplefilter("ignore", UserWarning)
        shape = Data(before.shape, data_dtype)
        U, sizes, Vh, _ = truncated_svd(before, rank, shape, "auto", 0)
    above = int((sizes > floor * np.sqrt(len(before))).sum())
    r = min(above, max(1, max(map(len, series)) // 2))
    if r == 0:
        if not needs_one:
            return None
        r = 1
    U, sizes, V = U[:, :r], sizes[:r], Vh[:r].conj().T
    K = (U.conj().T @ (after @ V)) / sizes[:, None]
    values, G = np.linalg.eig(K)
    moduli = np.maximum(np.abs(values), _SMALLEST)
    rates = (np.log(moduli) + 1j * np.angle(values)) / (s * dt)
    slow = np.abs(rates) <= 2 * np.pi * max_cycles / (longest * dt)
    if not slow.any():
        if not needs_one:
            return None
        slowest = np.abs(rates).min()
        slow = np.abs(rates) <= slowest * (1 + 1e-9)
    order = np.flatnonzero(slow)[in_order(rates[slow])]
    rates = rates[order]
    some = [i for i, part in enumerate(parts) if len(part)]
    clocks = [dt * np.arange(len(parts[i])) for i in some]
    weights = np.zeros((len(parts), len(rates)), complex)
    if len(some) == 1:
        modes, weights[some] = common_modes(rates, [parts[i] for i in some], clocks)
        return rates, modes, weights
    modes = (_inverse(G) @ V.conj().T)[order].astype(complex)
    norms = np.linalg.norm(modes, axis=1)
    modes /= np.where(norms > 0, norms, 1.0)[:, None]
    curves = [exponentials(rates, clock) for clock in clocks]
    least = np.array(_weights(modes, [parts[i] for i in some], curves))
    weights[some] = least * np.exp(-np.array([shift for _, shift in curves]))
    return rates, modes, weights


def _averages(part: np.ndarray, s: int) -> np.ndarray:
    """Averages of s rows, one after the other."""
    n = len(part) // s
    return np.asarray(part[: n * s].reshape(n, s, -1).mean(axis=1))


def _continued(
    levels: Sequence[tuple[np.ndarray, np.ndarray]],
    most: int,
    dt: float,
    is_complex: bool,
) -> tuple[ModalForm, int]:
    """The modes of as many levels as `most` rows tell apart, and how many rows do."""
    for n_levels in range(len(levels), 0, -1):
        rates = np.concatenate([rates for rates, _ in levels[:n_levels]])
        modes = np.concatenate([modes for _, modes in levels[:n_levels]])
        order = in_order(rates)
        form = ModalForm.of(rates[order], modes[order], dt, is_complex)
        n = -(-len(rates) // modes.shape[1])
        while n <= most:
            columns, _ = form._observation(form.past(n))
            s = np.linalg.svd(columns, compute_uv=False)
            if s[-1] * _WELL_DETERMINED > s[0]:
                return form, n
            n = max(n + 1, n * 5 // 4)
    return form, form.rows_needed()

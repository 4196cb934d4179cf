"""A memory of the past in a few coefficients, as a transformer.

The system x' = A x + B u of `hippo_matrices` is driven by each feature u of the rows,
one row being one unit of time. Between rows u is a polynomial through the rows around
(constant: the row before, held; linear: both ends; cubic: both ends and the two rows
before, so that nothing is used that is not known yet). For such inputs the step is
exact: with u(t) = sum_i c_i t^i / i! on 0 <= t <= 1,

    x(1) = exp(A) x(0) + sum_i c_i G_i,   G_i = int_0^1 exp(A (1 - t)) B t^i / i! dt,

where exp(A) and all G_i are blocks of one matrix exponential (Van Loan 1978),

    exp [[A, B, 0], [0, 0, I], [0, 0, 0]] = [[exp(A), G_0, G_1, ...], ...].

As the c_i are linear in the rows, x[k] = F x[k-1] + sum_j T_j u[k-j]. R rows are made
at once: within a block they are one matrix product of the block's inputs, and only the
states at the ends of blocks follow one another.

Without recurrence the coefficients of a window are those of the least-squares fit of
the basis to the rows in it, one filter for each.
"""

from __future__ import annotations

import warnings
from math import factorial
from numbers import Integral
from typing import Any, Literal

import numpy as np
from scipy.linalg import expm
from scipy.signal import oaconvolve
from scipy.special import eval_legendre
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skdyn.base import TransformMixin
from skdyn.neural._hippo import hippo_matrices
from skdyn.utils._sklearn import Interval, StrOptions, feature_names_in
from skdyn.utils._trajectories import as_trajectories

__all__ = ["HiPPOMemory"]

_DEGREES = {"constant": 0, "linear": 1, "cubic": 3}
# Rows made at once. The work for a row grows with it, and the number of steps that have
# to follow one another falls.
_BLOCK = 32
# Singular values of the basis on the rows of a window below this share count as zero.
_RCOND = 1e-8


class HiPPOMemory(TransformMixin, BaseEstimator):
    """Put the coefficients of its past beside every row.

    A row becomes itself and, for each feature, the first coefficients of the past of
    that feature in an orthogonal basis. Where `DelayEmbedding` needs a column for each
    row of the past, a smooth past of hundreds of rows is told by a few coefficients.
    Nothing is learned but the number of features. The coefficients follow linear
    dynamics that the rows drive, so that what was linear stays so.

    Parameters
    ----------
    n_coefficients : int, default=8
        Coefficients for each feature; for "fourier" an odd number is needed. A wave
        needs pi coefficients for each period in the window, and a few more.
    window : int, default=16
        Rows that are remembered, the present one included; for "legs" the number of
        rows after which the weight of the past has fallen to 1/e.
    measure : {"legt", "legs", "fourier"}, default="legt"
        The weight of the past and its basis: Legendre polynomials on the window
        ("legt"), Legendre polynomials in a variable that fades exponentially ("legs"),
        or a Fourier series on the window ("fourier", which takes a past that does not
        end where it began for a jump).
    interpolation : {"linear", "constant", "cubic"}, default="linear"
        What features do between rows. "constant" holds each row until the next, which
        the coefficients therefore know only one row later; "cubic" is best for smooth
        features without noise.
    recurrent : bool, default=True
        True runs the recurrence, whose state at one row follows from that at the row
        before. The row that leaves the window is known to it from the coefficients
        only, so that a little of what is older stays. False fits every window by least
        squares, which forgets exactly and needs `window` rows for every row out; not
        for "legs", whose past has no end.
    washout : int or "auto", default="auto"
        With recurrence, rows at the start of each trajectory that are given up, as
        their past is not known: before the start, the first row is taken to have held
        for ever. "auto" is ``window - 1``, or half of the shortest training trajectory
        if that is less.

    Attributes
    ----------
    min_context_ : int
        Rows in for one row out: ``washout + 1``, or `window` without recurrence.
    transition_ : ndarray of shape (n_coefficients, n_coefficients)
        F, with recurrence.
    inputs_ : ndarray of shape (n_taps, n_coefficients)
        T_j, by which the row j rows before enters, with recurrence.
    filters_ : ndarray of shape (n_coefficients, window)
        Without recurrence: what the row j rows before counts for each coefficient.
    n_features_in_ : int
        Number of features in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.

    See Also
    --------
    skdyn.preprocessing.DelayEmbedding : The rows of the past themselves.
    hippo_matrices : The systems behind.
    skdyn.reservoir.ReservoirFeatures : A nonlinear memory that fades.

    References
    ----------
    Gu, Dao, Ermon, Rudra & Re, "HiPPO: Recurrent memory with optimal polynomial
    projections", NeurIPS 2020.

    Gu, Johnson, Timalsina, Rudra & Re, "How to train your HiPPO: State space models
    with generalized orthogonal basis projections", ICLR 2023.

    Van Loan, "Computing integrals involving the matrix exponential", IEEE Transactions
    on Automatic Control 23 (1978), 395.

    Examples
    --------
    Two waves, of which one column is seen: four numbers of the past make it linear.

    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from skdyn.koopman import DMD
    >>> from skdyn.neural import HiPPOMemory
    >>> t = np.arange(300.0)[:, None]
    >>> X = np.sin(0.11 * t) + np.cos(0.23 * t)
    >>> model = make_pipeline(HiPPOMemory(window=60), DMD()).fit(X[:200])
    >>> bool(np.abs(model.predict(100) - X[200:]).max() < 0.01)
    True

    The past, read off a row:

    >>> memory = HiPPOMemory(16, window=60).fit(X)
    >>> past = memory.reconstruct(memory.transform(X))
    >>> past.shape
    (241, 60, 1)
    >>> bool(np.abs(past[-1] - X[:-61:-1]).max() < 0.01)
    True
    """

    _parameter_constraints: dict = {
        "n_coefficients": [Interval(Integral, 1, None, closed="left")],
        "window": [Interval(Integral, 2, None, closed="left")],
        "measure": [StrOptions({"legt", "legs", "fourier"})],
        "interpolation": [StrOptions(set(_DEGREES))],
        "recurrent": ["boolean"],
        "washout": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
    }
    _uses_whole_context = True

    def __init__(
        self,
        n_coefficients: int = 8,
        *,
        window: int = 16,
        measure: Literal["legt", "legs", "fourier"] = "legt",
        interpolation: Literal["linear", "constant", "cubic"] = "linear",
        recurrent: bool = True,
        washout: int | Literal["auto"] = "auto",
    ) -> None:
        self.n_coefficients = n_coefficients
        self.window = window
        self.measure = measure
        self.interpolation = interpolation
        self.recurrent = recurrent
        self.washout = washout

    def fit(self, X: Any, y: Any = None) -> HiPPOMemory:
        """Learn the number and names of the features, and make the recurrence.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories, each of at least ``min_context_`` rows.
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        HiPPOMemory
            The transformer itself.

        Raises
        ------
        ValueError
            If the parameters do not fit one another, or a trajectory is too short.

        Warns
        -----
        UserWarning
            Where no trajectory has the rows that are to be remembered, or there are
            more coefficients than rows to tell them by: of the window, or of all that
            come out.
        """
        self._validate_params()
        n, window, measure = self.n_coefficients, int(self.window), self.measure
        if measure == "fourier" and n % 2 == 0:
            raise ValueError(
                f"HiPPOMemory(measure='fourier') needs an odd n_coefficients, a "
                f"constant and pairs of cosines and sines, got {n}. Pass {n + 1}."
            )
        if not self.recurrent:
            if measure == "legs":
                raise ValueError(
                    "HiPPOMemory(recurrent=False) needs a measure with a window, "
                    "'legt' or 'fourier', got 'legs', whose past has no end. Set "
                    "recurrent=True."
                )
            if n > window:
                raise ValueError(
                    f"HiPPOMemory(recurrent=False) needs a window of at least "
                    f"n_coefficients={n} rows, got {window}. Raise window."
                )
        fixed = 0 if self.washout == "auto" else int(self.washout)
        least = fixed + 1 if self.recurrent else window
        trajectories = self._check_fit(
            X,
            min_rows=least,
            why_min_rows=(
                f"{self!r} makes one row out of {least}; pass longer trajectories, or "
                f"lower {'washout' if self.recurrent else 'window'}."
            ),
        )
        if self.recurrent and self.washout == "auto":
            least = 1 + min(window - 1, min(trajectories.lengths) // 2)
        self.min_context_ = least
        self._warn_of_sizes(trajectories.lengths)
        if self.recurrent:
            A, B = hippo_matrices(measure, n, window=window)
            degree = _DEGREES[self.interpolation]
            self.transition_, self.inputs_ = _exact_step(A, B, degree)
        else:
            basis = _basis(measure, n, np.arange(window) / window)
            self.filters_ = np.linalg.pinv(basis.T, rcond=_RCOND)
        return self

    def _warn_of_sizes(self, lengths: list[int]) -> None:
        """Warn of a window or of coefficients that the data cannot fill."""
        n, window, longest = self.n_coefficients, int(self.window), max(lengths)
        out = sum(length - self.min_context_ + 1 for length in lengths)
        # What fades still counts for 5% after three windows.
        rows = 3 * window if self.measure == "legs" else window
        if window > longest:
            warnings.warn(
                f"HiPPOMemory remembers window={window} rows, but the longest "
                f"trajectory has {longest}: no row has such a past, and what is taken "
                f"for it is the first row, held. Lower window, to {longest // 2} at "
                f"most, or pass longer trajectories.",
                UserWarning,
                stacklevel=3,
            )
        if n > rows:
            warnings.warn(
                f"HiPPOMemory has n_coefficients={n} for a past that counts {rows} "
                f"rows, with window={window}: more numbers than it is told by. Lower "
                f"n_coefficients, to {rows} at most, or raise window.",
                UserWarning,
                stacklevel=3,
            )
        elif n > out:
            warnings.warn(
                f"HiPPOMemory makes n_coefficients={n} columns of each feature, but "
                f"{out} rows come out: whatever is fitted to them has more columns "
                f"than rows. Lower n_coefficients, or pass more rows.",
                UserWarning,
                stacklevel=3,
            )

    def reconstruct(self, Z: Any, lags: Any = None) -> Any:
        """Rebuild the past of every row from its coefficients.

        Parameters
        ----------
        Z : array-like of shape (n_rows, n_outputs), list of these, or 3-D array
            Transformed trajectories.
        lags : array-like of shape (n_lags,), default=None
            How many rows back, from 0 on, fractions allowed; up to `window` where the
            measure has one. None takes 0, 1, ..., ``window - 1``.

        Returns
        -------
        ndarray of shape (n_rows, n_lags, n_features), or list of these, or 4-D array
            In the form of `Z`: at [k, j] the row that was ``lags[j]`` rows before.

        Raises
        ------
        ValueError
            If the number of columns is not what ``transform`` gives, or a lag is out of
            range.
        """
        check_is_fitted(self)
        data = as_trajectories(Z, name="Z", allow_nan=True)
        if data.n_features != self._n_features_out:
            raise ValueError(
                f"reconstruct needs the {self._n_features_out} columns that transform "
                f"gives, got {data.n_features}."
            )
        window, d = self.window, self.n_features_in_
        lags = np.arange(window) if lags is None else np.asarray(lags, np.float64)
        last = np.inf if self.measure == "legs" else window
        if lags.ndim != 1 or not ((lags >= 0) & (lags <= last)).all():
            raise ValueError(
                f"lags needs a 1-D array of numbers from 0 to {last}, rows back from "
                f"the present, got {lags!r}."
            )
        basis = _basis(self.measure, self.n_coefficients, lags / window)
        return data.join(
            [
                np.einsum(
                    "kin,nj->kji",
                    piece[:, d:].reshape(len(piece), d, -1),
                    basis.astype(piece.dtype),
                )
                for piece in data.pieces
            ]
        )

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns: ``x0``, ..., ``x0_legt0``, ``x0_legt1``, ...

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the features; None takes those of ``fit``.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self, "n_features_in_")
        names = [str(name) for name in feature_names_in(self, input_features)]
        kept = [
            f"{name}_{self.measure}{n}"
            for name in names
            for n in range(self.n_coefficients)
        ]
        return np.array([*names, *kept], dtype=object)

    def _transform(self, x: np.ndarray) -> np.ndarray:
        *batch, n_rows, d = x.shape
        lead = self.min_context_ - 1
        # One column for each feature of each trajectory.
        u = np.moveaxis(x, -2, 0).reshape(n_rows, -1).astype(np.float64)
        if self.recurrent:
            states = _run(self.transition_, self.inputs_, u)[lead:]
        else:
            states = oaconvolve(u[:, :, None], self.filters_.T[:, None], "valid", 0)
        states = states.reshape(n_rows - lead, *batch, d * self.n_coefficients)
        states = np.moveaxis(states, 0, -2).astype(x.dtype)
        return np.concatenate([x[..., lead:, :], states], axis=-1)

    def _inverse(self, y: np.ndarray) -> np.ndarray:
        # A copy: a view would keep all the coefficients alive.
        return y[..., : self.n_features_in_].copy()


def _basis(measure: str, n: int, s: np.ndarray) -> np.ndarray:
    """The basis functions at `s`, in windows back from the present: (n, len(s))."""
    order = np.arange(n)[:, None]
    if measure == "fourier":
        angle = 2 * np.pi * ((order + 1) // 2) * s
        waves = np.sqrt(2.0) * np.where(order % 2, np.cos(angle), np.sin(angle))
        return np.where(order == 0, 1.0, waves)
    x = 1 - 2 * s if measure == "legt" else 2 * np.exp(-s) - 1
    return np.sqrt(2.0 * order + 1) * eval_legendre(order, x)


def _exact_step(
    A: np.ndarray, B: np.ndarray, degree: int
) -> tuple[np.ndarray, np.ndarray]:
    """F and T_j of x[k] = F x[k-1] + sum_j T_j u[k-j], for u a polynomial between."""
    n = len(B)
    block = np.zeros((n + degree + 1, n + degree + 1))
    block[:n, :n], block[:n, n] = A, B
    block[n:-1, n + 1 :] = np.eye(degree)
    made = expm(block)
    # Rows at times 1, 0, -1, ... of a step from 0 to 1; a constant is held from 0.
    nodes = 1.0 - np.arange(degree + 1) if degree else np.zeros(1)
    powers = [nodes**i / factorial(i) for i in range(degree + 1)]
    taps = np.linalg.solve(np.array(powers), made[:n, n:].T)
    if not degree:
        taps = np.concatenate([np.zeros((1, n)), taps])
    return made[:n, :n], taps


def _run(F: np.ndarray, taps: np.ndarray, u: np.ndarray) -> np.ndarray:
    """States x[k] = F x[k-1] + sum_j T_j u[k-j] of each column of u: (n, m, N).

    Before the first row, that row is taken to have held for ever: the state is that of
    a constant, u[0] in the first coefficient and zero in the others.
    """
    n_rows, m = u.shape
    n, past = len(F), len(taps) - 1
    size = min(_BLOCK, n_rows)
    n_blocks = -(-n_rows // size)
    powers = np.empty((size + 1, n, n))
    powers[0] = np.eye(n)
    for r in range(size):
        powers[r + 1] = powers[r] @ F
    # How row q - past of a block enters the state at its row r: what it gives at row p
    # of the block (j = p + past - q rows later), carried on by r - p rows.
    enters = np.zeros((size, n, size + past))
    answers = powers[:size] @ taps.T
    for p in range(size):
        for j in range(past + 1):
            enters[p:, :, p + past - j] += answers[: size - p, :, j]
    held = np.concatenate(
        [np.repeat(u[:1], past, axis=0), u, np.zeros((n_blocks * size - n_rows, m))]
    )
    # Of each block and column of u: its inputs, and the state that it begins with.
    inputs = np.lib.stride_tricks.sliding_window_view(held, size + past, axis=0)[::size]
    ends = inputs @ enters[-1].T
    starts = np.zeros((n_blocks, m, n))
    starts[0, :, 0] = u[0]
    for b in range(n_blocks - 1):
        starts[b + 1] = starts[b] @ powers[size].T + ends[b]
    known = np.concatenate([inputs, starts], axis=2).reshape(n_blocks * m, -1)
    onward = np.concatenate([enters, powers[1:]], axis=2).reshape(size * n, -1)
    states = (known @ onward.T).reshape(n_blocks, m, size, n).swapaxes(1, 2)
    return states.reshape(-1, m, n)[:n_rows]

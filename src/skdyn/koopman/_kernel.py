"""Kernel EDMD: as many functions as there are rows, never written down.

Equations, in rows (Williams, Rowley & Kevrekidis 2015, section 3; Kostic et al. 2022,
section 4): a kernel k(x, y) = <f(x), f(y)> stands for a lift f of perhaps infinitely
many functions. With landmarks Z, all training rows or some of them (Nystrom),
coordinates in the span of their lifts are

    z(x) = k(x, Z) W,   W = V S^-1/2  of  k(Z, Z) = V S V^H cut to its leading part,

so that z(x) z(y)^H is k(x, y) as far as the landmarks span it. On these coordinates the
map is ridge regression over N pairs, penalty alpha N |K|², or its best approximation of
rank r (reduced rank), exactly as in `skdyn.koopman.EDMD`, whose other equations hold.

A kernel whose scale is not the data's sees nothing or everything: by default it is the
median distance between rows.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from scipy import linalg
from scipy.sparse.linalg import eigsh
from sklearn.base import BaseEstimator
from sklearn.metrics import pairwise_distances
from sklearn.metrics.pairwise import PAIRWISE_KERNEL_FUNCTIONS, pairwise_kernels
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skdyn.base import ForecasterMixin
from skdyn.koopman._rank import predicted_directions
from skdyn.koopman._spectrum import Spectrum, eigenvectors, spectrum_of
from skdyn.utils._linalg import linear_orbit
from skdyn.utils._sklearn import Interval, StrOptions

__all__ = ["KernelEDMD"]

# Rows whose kernels with the landmarks are held at once.
_CHUNK = 4096
# Coordinates that reduced-rank regression chooses from, for each that it keeps.
_PER_RANK = 10
# Rows of which the median distance is taken.
_MEDIAN_ROWS = 500


class KernelEDMD(ForecasterMixin, BaseEstimator):
    """Extended dynamic mode decomposition with a kernel.

    Parameters
    ----------
    kernel : str or callable, default="rbf"
        A kernel of scikit-learn ("rbf", "polynomial", "laplacian", ...), or a function
        of two rows, as ``sklearn.metrics.pairwise.pairwise_kernels`` takes it. Complex
        data enters it as real and imaginary parts.
    gamma : float or "median", default="median"
        Scale of the kernel. "median" is one over twice the squared median distance
        between rows (one over the median distance for "laplacian"), which suits "rbf";
        kernels of products ("polynomial", "sigmoid") then take 1.
    degree : float, default=3
        Degree of the polynomial kernel.
    coef0 : float, default=1
        Offset of the polynomial and sigmoid kernels.
    kernel_params : dict or None, default=None
        Further parameters of a callable kernel.
    rank : int or None, default=None
        Number of directions kept. None keeps all that are above rounding.
    alpha : float, default=1e-7
        Ridge penalty, per row and relative to the kernel's mean diagonal. On smooth,
        clean data a smaller one forecasts better; much smaller ones let rounding
        through.
    regression : {"least_squares", "reduced_rank"}, default="least_squares"
        Whether the `rank` leading directions of the kernel matrix are kept, or those
        that are predicted best.
    n_landmarks : int or None, default=None
        Rows that functions are centred on, drawn at random. None takes all, of which
        there should be a few thousand at most.
    relift : bool, default=False
        Whether a forecast goes back to the state and lifts again at every step.
    dt : float, default=1.0
        Time between rows: growth rates are per unit time, frequencies in cycles per
        unit time.
    random_state : int, RandomState instance or None, default=0
        Seed of the choice of landmarks and rows.

    Attributes
    ----------
    landmarks_ : ndarray of shape (n_landmarks, n_features)
        The rows that functions are centred on.
    gamma_ : float
        Scale of the kernel.
    spectrum_ : Spectrum
        Eigenvalues, growth rates, frequencies, modes, amplitudes and residuals;
        computed when first asked for.
    rank_ : int
        Number of directions kept.
    n_features_in_ : int
        Number of features in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.
    min_context_ : int
        Rows of history that a forecast needs: 1.
    context_ : Trajectories
        The last row of each training trajectory, where ``predict(h)`` starts.

    See Also
    --------
    EDMD : With functions that are written down.

    References
    ----------
    Williams, Rowley & Kevrekidis, "A kernel-based method for data-driven Koopman
    spectral analysis", Journal of Computational Dynamics 2 (2015), 247.

    Kostic, Novelli, Maurer, Ciliberto, Rosasco & Pontil, "Learning dynamical systems
    via Koopman operator regression in reproducing kernel Hilbert spaces", NeurIPS 35
    (2022).

    Meanti, Chatalic, Kostic, Novelli, Pontil & Rosasco, "Estimating Koopman operators
    with sketching to provably learn large scale dynamical systems", NeurIPS 36 (2023).

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.koopman import KernelEDMD
    >>> rng = np.random.default_rng(0)
    >>> x = rng.uniform(-1, 1, (100, 1))
    >>> pairs = np.stack([x, 0.5 * x], axis=1)
    >>> model = KernelEDMD("polynomial", degree=3, alpha=0).fit(pairs)
    >>> model.spectrum_.eigenvalues.real.round(6)
    array([1.   , 0.5  , 0.25 , 0.125])
    """

    _parameter_constraints: dict = {
        "kernel": [StrOptions(set(PAIRWISE_KERNEL_FUNCTIONS)), callable],
        "gamma": [Interval(Real, 0, None, closed="neither"), StrOptions({"median"})],
        "degree": [Interval(Real, 1, None, closed="left")],
        "coef0": [Interval(Real, None, None, closed="neither")],
        "kernel_params": [dict, None],
        "rank": [Interval(Integral, 1, None, closed="left"), None],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "regression": [StrOptions({"least_squares", "reduced_rank"})],
        "n_landmarks": [Interval(Integral, 1, None, closed="left"), None],
        "relift": ["boolean"],
        "dt": [Interval(Real, 0, None, closed="neither")],
        "random_state": ["random_state"],
    }
    _allow_complex = True

    def __init__(
        self,
        kernel: str | Callable = "rbf",
        *,
        gamma: float | Literal["median"] = "median",
        degree: float = 3,
        coef0: float = 1,
        kernel_params: dict | None = None,
        rank: int | None = None,
        alpha: float = 1e-7,
        regression: Literal["least_squares", "reduced_rank"] = "least_squares",
        n_landmarks: int | None = None,
        relift: bool = False,
        dt: float = 1.0,
        random_state: Any = 0,
    ) -> None:
        self.kernel = kernel
        self.gamma = gamma
        self.degree = degree
        self.coef0 = coef0
        self.kernel_params = kernel_params
        self.rank = rank
        self.alpha = alpha
        self.regression = regression
        self.n_landmarks = n_landmarks
        self.relift = relift
        self.dt = dt
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> KernelEDMD:
        """Fit the map of rows' kernels to those of their successors.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories of at least 2 rows each; real or complex.
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        KernelEDMD
            The estimator itself.
        """
        trajectories, _ = self._check_fit(X)
        before, after = trajectories.pairs()
        double = np.result_type(before, np.float64)
        before, after = before.astype(double), after.astype(double)
        rng = check_random_state(self.random_state)
        self._is_complex = np.iscomplexobj(before)
        self._fit_kernel(before, rng)
        n_landmarks = min(self.n_landmarks or len(before), len(before))
        if n_landmarks < len(before):
            rows = np.sort(rng.permutation(len(before))[:n_landmarks])
            self.landmarks_ = before[rows]
        else:
            self.landmarks_ = before
        wanted = self.rank
        if wanted is not None and self.regression == "reduced_rank":
            wanted = _PER_RANK * wanted
        kernels = self._kernels(self.landmarks_)
        self._W = _whitener(kernels, wanted)
        every = self.landmarks_ is before
        now = kernels @ self._W if every else self._coordinates(before)
        ahead = self._coordinates(after)
        # The mean of k(x, x): one for kernels of distances.
        alpha = self.alpha * float(np.mean(np.einsum("ij,ij->i", now, now.conj()).real))
        V, L = _solve(now, ahead, self.rank, alpha, self.regression)
        self._W = self._W @ V
        self._K = L @ V
        self._before, self._after = now @ V, ahead @ V
        self.rank_ = len(self._K)
        penalty = alpha * len(before)
        _, basis, fitted = _ridge(self._before, np.hstack([after, before]), penalty)
        self._readout, self._present = np.hsplit(basis @ fitted, 2)
        self._dt = float(self.dt)
        self._starts = self._coordinates(trajectories.heads(1)[:, 0])
        self._spectrum: Spectrum | None = None
        self._remember(trajectories)
        return self

    def _fit_kernel(self, rows: np.ndarray, rng: np.random.RandomState) -> None:
        """Set the kernel's scale."""
        products = self.kernel in ("linear", "poly", "polynomial", "sigmoid", "cosine")
        if self.gamma != "median":
            self.gamma_ = float(self.gamma)
        elif products:
            self.gamma_ = 1.0
        else:
            some = rows[rng.permutation(len(rows))[:_MEDIAN_ROWS]]
            metric = "manhattan" if self.kernel == "laplacian" else "euclidean"
            apart = pairwise_distances(_real(some), metric=metric)
            apart = apart[np.triu_indices(len(some), 1)]
            apart = apart[apart > 0]
            size = float(np.median(apart)) if len(apart) else 1.0
            self.gamma_ = 1 / size if self.kernel == "laplacian" else 1 / (2 * size**2)

    def _kernels(self, rows: np.ndarray) -> np.ndarray:
        """k(rows, landmarks)."""
        if callable(self.kernel):
            params = dict(self.kernel_params or {})
        else:
            known = {"gamma": self.gamma_, "degree": self.degree, "coef0": self.coef0}
            params = {**known, **(self.kernel_params or {})}
        return np.asarray(
            pairwise_kernels(
                _real(rows),
                _real(self.landmarks_),
                metric=self.kernel,
                filter_params=not callable(self.kernel),
                **params,
            )
        )

    def _coordinates(self, rows: np.ndarray) -> np.ndarray:
        """Z of rows (n, d), block by block."""
        if len(rows) <= _CHUNK:
            return self._kernels(rows) @ self._W
        parts = [rows[i : i + _CHUNK] for i in range(0, len(rows), _CHUNK)]
        return np.concatenate([self._kernels(part) @ self._W for part in parts])

    @property
    def spectrum_(self) -> Spectrum:
        """Eigenvalues with modes, amplitudes and residuals."""
        check_is_fitted(self)
        if self._spectrum is None:
            self._spectrum = spectrum_of(
                self._K,
                self._readout,
                self._present,
                self._starts,
                self._before,
                self._after,
                self._dt,
            )
        return self._spectrum

    def eigenfunctions(self, X: Any) -> Any:
        """Eigenfunctions of the Koopman operator along trajectories.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Trajectories.

        Returns
        -------
        complex ndarray of shape (n_samples, n_modes), or list of these
            Columns in the order of ``spectrum_``; of root mean square one over the
            training data.
        """
        check_is_fitted(self)
        data = self._check_context(X, needs_last=False)
        G = eigenvectors(self._K)[1]
        size = np.sqrt(np.mean(np.abs(self._before @ G) ** 2, axis=0))
        G = G / np.where(size > 0, size, 1.0)
        return data.join([self._coordinates(piece) @ G for piece in data.pieces])

    def _begin(self, contexts: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        rows = contexts[:, -1].astype(np.result_type(contexts, np.float64))
        return rows if self.relift else self._coordinates(rows)

    def _step(
        self, state: np.ndarray, u: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        if not self.relift:
            return state @ self._K, state @ self._readout
        row = np.full_like(state, np.nan)
        alive = np.isfinite(state).all(axis=1)
        if alive.any():
            row[alive] = self._coordinates(state[alive]) @ self._readout
        return row, row

    def _rollout(
        self, state: np.ndarray, n_steps: int, u: np.ndarray | None
    ) -> np.ndarray:
        if self.relift:
            return super()._rollout(state, n_steps, u)
        orbit = linear_orbit(state, self._K, n_steps)
        return (orbit @ self._readout).swapaxes(0, 1)


def _real(rows: np.ndarray) -> np.ndarray:
    return np.hstack([rows.real, rows.imag]) if np.iscomplexobj(rows) else rows


def _whitener(kernels: np.ndarray, rank: int | None) -> np.ndarray:
    """W (m, r) with k(x, Z) W the coordinates of x; as many as are above rounding."""
    m = len(kernels)
    found = None if rank is None else _by_cholesky(kernels, rank)
    if found is not None:
        values, vectors = found
    elif rank is not None and 20 * rank < m and m > 64:
        start = np.random.RandomState(0).standard_normal(m)
        values, vectors = eigsh(kernels, k=rank, which="LA", v0=start)
    else:
        values, vectors = linalg.eigh(kernels, check_finite=False)
    order = np.argsort(values)[::-1]
    values, vectors = values[order], vectors[:, order]
    sound = values > m * np.finfo(float).eps * max(values[0], 0.0)
    keep = max(int(sound.sum()), 1)
    keep = keep if rank is None else min(rank, keep)
    size = np.sqrt(np.where(sound[:keep], values[:keep], 1.0))
    return np.asarray(vectors[:, :keep] / size)


def _by_cholesky(
    kernels: np.ndarray, rank: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Leading eigenpairs by a pivoted Cholesky factor, where few columns suffice.

    Smooth kernels have few eigenvalues above rounding. The factor takes the row of the
    largest remaining diagonal until the rest, whose trace bounds its norm, is too small
    to move the eigenvalues asked for; None where it does not become so.
    """
    m = len(kernels)
    if np.diagonal(kernels).min() <= 0:
        return None
    most = min(m, max(4 * rank, 200))
    factor = np.empty((most, m))
    rest = np.diagonal(kernels).copy()
    total, n = float(rest.sum()), 0
    floor = m * np.finfo(float).eps * total
    while n < most and rest.sum() > floor:
        i = int(rest.argmax())
        if rest[i] <= 0:
            break
        factor[n] = (kernels[i] - factor[:n, i] @ factor[:n]) / np.sqrt(rest[i])
        rest = np.maximum(rest - factor[n] ** 2, 0.0)
        n += 1
    _, sizes, rows = linalg.svd(factor[:n], full_matrices=False, check_finite=False)
    last = sizes[min(rank, n) - 1] ** 2
    if rest.sum() > max(1e-8 * last, floor):
        return None
    # A kernel that is not positive definite has no such factor.
    off = np.abs(kernels - factor[:n].T @ factor[:n]).max()
    if off > max(rest.max(), 1e-10 * total / m):
        return None
    return sizes**2, rows.T


def _ridge(
    Z: np.ndarray, Y: np.ndarray, penalty: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Singular values s and right vectors V (r, R) of Z, and L: coefficients V L."""
    U, s, Vh = linalg.svd(Z, full_matrices=False, check_finite=False)
    floor = max(Z.shape) * np.finfo(float).eps * s[0]
    weights = np.where(s > floor, s / (s**2 + penalty + (s <= floor)), 0.0)
    return s, Vh.conj().T, weights[:, None] * (U.conj().T @ Y)


def _solve(
    Z: np.ndarray, Y: np.ndarray, rank: int | None, alpha: float, regression: str
) -> tuple[np.ndarray, np.ndarray]:
    """V (R, r) and L (r, R) with Y near Z V L."""
    penalty = alpha * len(Z)
    s, V, L = _ridge(Z, Y, penalty)
    if regression == "least_squares" or rank is None:
        return np.eye(Z.shape[1]), V @ L
    right = predicted_directions(s, L, penalty)[1][:rank]
    return V @ (L @ right.conj().T), right

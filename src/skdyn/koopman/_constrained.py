"""DMD under physical constraints: the best map of a given structure.

Equation, in rows (Baddoo, Herrmann, McKeon, Kutz & Brunton 2023, equation 2.5):

    A = argmin |Y - X A|  over matrices A of a structure,

for pairs of rows X, Y (n, d). What is known of the physics becomes what the matrix
looks like: it conserves energy (orthogonal), derives from a symmetric operator
(symmetric, skew), looks the same everywhere (circulant, Toeplitz), acts locally
(diagonal, tridiagonal), or in one direction (triangular). Solutions, in their section
3:

* orthogonal: the polar factor of X^H Y (Procrustes problem);
* symmetric, skew: with X = U S V^H and C = U^H Y V, the matrix V B V^H with
  B_ij = (s_i C_ij +- s_j conj(C_ji)) / (s_i² + s_j²);
* circulant: with the discrete Fourier transform along the row, one number for each
  wavenumber, sum conj(x_k) y_k / sum |x_k|²; real, imaginary or of modulus one where
  the circulant matrix is symmetric, skew or orthogonal besides; for rows that are
  grids, in two dimensions, or along one with a small least-squares problem for each
  wavenumber;
* triangular: one QR factorisation serves all columns, as their features are nested;
* the rest are labelled: entries of A with one label are equal, and those labelled -1
  are zero, which is least squares for the labels' values.

Only second moments of the pairs matter, so that fits add up over trajectories.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy import linalg
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skdyn.base import ForecasterMixin
from skdyn.koopman._rank import Data, truncated_svd
from skdyn.koopman._spectrum import Spectrum, spectrum_of
from skdyn.utils._linalg import linear_orbit
from skdyn.utils._moments import Moments
from skdyn.utils._sklearn import Interval, StrOptions

__all__ = ["ConstrainedDMD"]

_CIRCULANT = {
    "circulant",
    "symmetric_circulant",
    "skew_circulant",
    "orthogonal_circulant",
}
_STRUCTURES = _CIRCULANT | {
    "orthogonal",
    "symmetric",
    "skew",
    "diagonal",
    "tridiagonal",
    "upper_triangular",
    "lower_triangular",
    "toeplitz",
    "hankel",
    "block_circulant",
    "block_toeplitz",
}
_ON_GRIDS = {"block_circulant", "block_toeplitz", *_CIRCULANT}


class ConstrainedDMD(ForecasterMixin, BaseEstimator):
    """Dynamic mode decomposition with a structure that physics prescribes.

    Parameters
    ----------
    structure : str or array-like of int of shape (n_features, n_features), \
default="orthogonal"
        What the matrix A of ``x[k+1] = A x[k]`` looks like, written for columns as in
        the literature: A[i, j] is the effect of feature j on feature i.

        * "orthogonal" (unitary for complex data), "symmetric" (Hermitian), "skew";
        * "diagonal", "tridiagonal", "upper_triangular" (a feature depends on itself
          and those after it), "lower_triangular";
        * "circulant" and "symmetric_circulant", "skew_circulant",
          "orthogonal_circulant", for features on a ring; "toeplitz", "hankel";
        * "block_circulant" (a ring of `grid[0]` places with `grid[1]` features each)
          and "block_toeplitz" (a plane grid without wrapping around);
        * an array of labels: entries with the same label are equal, those with -1 zero.
    grid : tuple of int or None, default=None
        Shape of the grid whose rows, one after the other, the features are. With it,
        circulant structures are so in both directions.
    rank : int or None, default=None
        For orthogonal, symmetric and skew maps: leading singular vectors of the data
        to whose span they are confined. None confines them to nothing.
    dt : float, default=1.0
        Time between rows, for growth rates and frequencies.

    Attributes
    ----------
    state_matrix_ : ndarray of shape (n_features, n_features)
        A, acting on rows from the right, so the transpose of what the structure says.
    spectrum_ : Spectrum
        Eigenvalues, growth rates, frequencies, modes, amplitudes and residuals.
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
    DMD : Without a structure.

    References
    ----------
    Baddoo, Herrmann, McKeon, Kutz & Brunton, "Physics-informed dynamic mode
    decomposition", Proceedings of the Royal Society A 479 (2023), 20220576, section 3.

    Examples
    --------
    A noisy rotation keeps its energy:

    >>> import numpy as np
    >>> from skdyn.koopman import ConstrainedDMD
    >>> t = 0.3 * np.arange(200)
    >>> noise = 0.1 * np.random.default_rng(0).standard_normal((200, 2))
    >>> X = np.column_stack([np.cos(t), np.sin(t)]) + noise
    >>> model = ConstrainedDMD("orthogonal").fit(X)
    >>> np.abs(model.spectrum_.eigenvalues).round(12)
    array([1., 1.])
    """

    _parameter_constraints: dict = {
        "structure": [StrOptions(_STRUCTURES), "array-like"],
        "grid": [tuple, None],
        "rank": [Interval(Integral, 1, None, closed="left"), None],
        "dt": [Interval(Real, 0, None, closed="neither")],
    }
    _allow_complex = True

    def __init__(
        self,
        structure: Any = "orthogonal",
        *,
        grid: tuple[int, int] | None = None,
        rank: int | None = None,
        dt: float = 1.0,
    ) -> None:
        self.structure = structure
        self.grid = grid
        self.rank = rank
        self.dt = dt

    def fit(self, X: Any, y: Any = None) -> ConstrainedDMD:
        """Fit the map of the given structure.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories of at least 2 rows each; real or complex.
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        ConstrainedDMD
            The estimator itself.

        Raises
        ------
        ValueError
            If `structure` or `grid` does not fit the number of features.
        """
        return self._fit(X, earlier=None)

    def partial_fit(self, X: Any, y: Any = None) -> ConstrainedDMD:
        """Go on with further trajectories, as if all had been fitted together.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Further trajectories. They become the context of ``predict(h)``.
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        ConstrainedDMD
            The estimator itself.
        """
        return self._fit(X, earlier=getattr(self, "_moments", None))

    def _fit(self, X: Any, earlier: Moments | None) -> ConstrainedDMD:
        trajectories, _ = self._check_fit(X, reset=earlier is None)
        solve = self._solver(self.n_features_in_)
        moments = Moments.from_rows(*trajectories.pairs(), method="qr")
        self._moments = moments if earlier is None else earlier + moments
        before, after = self._moments.rows()
        single = np.float32 if self._moments.is_single else np.float64
        data = Data((self._moments.n_rows, before.shape[1]), np.dtype(single))
        matrix = solve(before, after, data)
        real = not (np.iscomplexobj(before) or np.iscomplexobj(after))
        self.state_matrix_ = matrix.real if real else matrix
        self._is_complex, self._dt = not real, float(self.dt)
        self._starts = trajectories.heads(1)[:, 0]
        self._spectrum: Spectrum | None = None
        self._remember(trajectories)
        return self

    def _solver(self, d: int) -> Callable[[np.ndarray, np.ndarray, Data], np.ndarray]:
        """The structure's least squares (before, after, data) -> A (d, d), for rows."""
        kind, grid = self.structure, self.grid
        if not isinstance(kind, str):
            return _labelled(self._check_labels(kind, d))
        if grid is not None:
            if kind not in _ON_GRIDS:
                raise ValueError(
                    f"grid is for circulant and block structures, got "
                    f"structure={kind!r}. Pass grid=None."
                )
            sizes = tuple(grid)
            whole = all(isinstance(n, Integral) and n > 0 for n in sizes)
            if len(sizes) != 2 or not whole or sizes[0] * sizes[1] != d:
                raise ValueError(
                    f"grid needs two positive whole numbers whose product is the "
                    f"number of features, {d}, got {grid}."
                )
        elif kind.startswith("block"):
            raise ValueError(
                f"structure={kind!r} needs to know the blocks, got grid=None. Pass "
                f"grid=(n_blocks, block_size), of product {d}."
            )
        i, j = np.indices((d, d))
        if kind in _CIRCULANT:
            return _circulant(kind, grid or (1, d))
        if kind == "block_circulant":
            assert grid is not None
            return _block_circulant(grid)
        if kind in ("orthogonal", "symmetric", "skew"):
            return _in_singular_vectors(kind, self.rank)
        if kind in ("upper_triangular", "lower_triangular"):
            return _triangular(upper=kind == "upper_triangular")
        labels = {
            "diagonal": np.where(i == j, i, -1),
            "tridiagonal": np.where(abs(i - j) <= 1, i * d + j, -1),
            "toeplitz": i - j + d - 1,
            "hankel": i + j,
        }
        if kind == "block_toeplitz":
            assert grid is not None
            (a, b), (e, f) = np.divmod(i, grid[1]), np.divmod(j, grid[1])
            shift, within = a - e + grid[0] - 1, b - f + grid[1] - 1
            return _labelled(shift * (2 * grid[1] - 1) + within)
        return _labelled(labels[kind])

    @staticmethod
    def _check_labels(structure: Any, d: int) -> np.ndarray:
        labels = np.asarray(structure)
        if labels.shape != (d, d) or labels.dtype.kind not in "iub":
            raise ValueError(
                f"An array of labels needs whole numbers and shape {(d, d)}, got "
                f"{labels.dtype} and {labels.shape}. Entries with one label are equal; "
                f"-1 is zero."
            )
        if labels.min() < -1:
            raise ValueError(
                f"Labels need to be -1, for zero, or above, got {labels.min()}."
            )
        if labels.dtype.kind == "b":
            # A mask: every entry that is allowed has a value of its own.
            return np.where(labels, np.arange(d * d).reshape(d, d), -1)
        return labels

    @property
    def spectrum_(self) -> Spectrum:
        """Eigenvalues and modes of A, with amplitudes and residuals."""
        check_is_fitted(self)
        if self._spectrum is None:
            A, (before, after) = self.state_matrix_, self._moments.rows()
            unit = np.eye(len(A))
            self._spectrum = spectrum_of(
                A, unit, unit, self._starts, before, after, self._dt
            )
        return self._spectrum

    def _begin(self, contexts: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        return contexts[:, -1].astype(np.result_type(contexts, np.float64))

    def _step(
        self, state: np.ndarray, u: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        row = state @ self.state_matrix_
        return row, row

    def _rollout(
        self, state: np.ndarray, n_steps: int, u: np.ndarray | None
    ) -> np.ndarray:
        A = self.state_matrix_
        return linear_orbit(state @ A, A, n_steps).swapaxes(0, 1)


_Solver = Callable[[np.ndarray, np.ndarray, Data], np.ndarray]


def _in_singular_vectors(kind: str, rank: int | None) -> _Solver:
    """Structures that any orthonormal basis keeps: solved in that of the data."""

    def solve(X: np.ndarray, Y: np.ndarray, data: Data) -> np.ndarray:
        if kind == "orthogonal" and rank is None:
            left, _, right = linalg.svd(X.conj().T @ Y, check_finite=False)
            return np.asarray(left @ right)
        keep = None if rank is None else min(rank, *X.shape)
        U, s, Vh, _ = truncated_svd(X, keep, data, "full", None)
        V, mapped = Vh.conj().T, U.conj().T @ Y
        C = mapped @ V
        if kind == "orthogonal":
            left, _, right = linalg.svd(s[:, None] * C, check_finite=False)
            return np.asarray(V @ (left @ right) @ Vh)
        sign = 1 if kind == "symmetric" else -1
        size = s[:, None] ** 2 + s**2
        B = (s[:, None] * C + sign * (s[:, None] * C).conj().T) / size
        A = V @ B @ Vh
        if rank is None:
            # Where the data leaves the span of its rows, its mirror image goes back.
            out = V @ ((mapped - C @ Vh) / s[:, None])
            A = A + out + sign * out.conj().T
        return np.asarray(A)

    return solve


def _circulant(kind: str, grid: tuple[int, int]) -> _Solver:
    """Convolutions on a ring, or on a torus of two dimensions."""

    def solve(X: np.ndarray, Y: np.ndarray, data: Data) -> np.ndarray:
        d = X.shape[1]
        x, y = (np.fft.fft2(rows.reshape(-1, *grid)).reshape(-1, d) for rows in (X, Y))
        power = (np.abs(x) ** 2).sum(axis=0)
        product = (x.conj() * y).sum(axis=0)
        # Wavenumbers that hold only rounding say nothing.
        eps = max(data.shape) * np.finfo(data.dtype).eps
        power = np.where(power > eps**2 * power.max(initial=0.0), power, 0.0)
        if kind == "symmetric_circulant":
            product = product.real + 0j
        if kind == "skew_circulant":
            product = 1j * product.imag
        if kind == "orthogonal_circulant":
            # What the data says nothing of stays as it is.
            known = (power > 0) & (np.abs(product) > 0)
            product = np.where(known, product, 1.0)
            power = np.abs(product)
        factors = np.divide(product, power, out=np.zeros_like(product), where=power > 0)
        # The image of each unit row.
        spectra = np.fft.fft2(np.eye(d).reshape(d, *grid)) * factors.reshape(grid)
        return np.fft.ifft2(spectra).reshape(d, d)

    return solve


def _block_circulant(grid: tuple[int, int]) -> _Solver:
    """A ring of places with several features each: a matrix for each wavenumber."""

    def solve(X: np.ndarray, Y: np.ndarray, data: Data) -> np.ndarray:
        d = X.shape[1]
        x, y = (np.fft.fft(rows.reshape(-1, *grid), axis=1) for rows in (X, Y))
        eps = max(data.shape) * np.finfo(data.dtype).eps
        blocks = [
            np.linalg.lstsq(x[:, k], y[:, k], rcond=eps)[0] for k in range(grid[0])
        ]
        unit = np.fft.fft(np.eye(d).reshape(d, *grid), axis=1)
        image = np.einsum("nki,kij->nkj", unit, np.stack(blocks))
        return np.fft.ifft(image, axis=1).reshape(d, d)

    return solve


def _triangular(upper: bool) -> _Solver:
    """Each feature from itself and those on one side of it."""

    def solve(X: np.ndarray, Y: np.ndarray, data: Data) -> np.ndarray:
        d = X.shape[1]
        # A feature depends on itself and those before it in this order.
        order = np.arange(d)[::-1] if upper else np.arange(d)
        scale = np.linalg.norm(X, axis=0)
        scale[scale == 0] = 1.0
        Q, R = np.linalg.qr((X / scale)[:, order])
        target = Q.conj().T @ Y[:, order]
        eps = max(data.shape) * np.finfo(data.dtype).eps
        A = np.zeros((d, d), np.result_type(X, Y))
        for k in range(d):
            m = min(k + 1, len(R))
            solved = np.linalg.lstsq(R[:m, : k + 1], target[:m, k], rcond=eps)[0]
            A[order[: k + 1], order[k]] = solved
        return A / scale[:, None]

    return solve


def _labelled(labels: np.ndarray) -> _Solver:
    """Entries with one label are equal, those of label -1 zero."""
    # For rows: A[j, i] is the effect of feature j on feature i.
    names, places = np.unique(labels.T, return_inverse=True)
    places = places.reshape(labels.shape) - int(names[0] == -1)
    n_values = len(names) - int(names[0] == -1)

    def solve(X: np.ndarray, Y: np.ndarray, data: Data) -> np.ndarray:
        d = len(places)
        G, M = X.conj().T @ X, X.conj().T @ Y
        A = np.zeros((d, d), M.dtype)
        eps = max(data.shape) * np.finfo(data.dtype).eps
        own = np.bincount(places[places >= 0], minlength=n_values)
        if own.max(initial=0) <= 1:
            # No value is shared: each feature by itself.
            for i in range(d):
                free = np.flatnonzero(places[:, i] >= 0)
                scale = np.linalg.norm(X[:, free], axis=0)
                scale[scale == 0] = 1.0
                solved = np.linalg.lstsq(X[:, free] / scale, Y[:, i], rcond=eps)[0]
                A[free, i] = solved / scale
            return A
        N, right = np.zeros((n_values, n_values), G.dtype), np.zeros(n_values, M.dtype)
        for i in range(d):
            free = np.flatnonzero(places[:, i] >= 0)
            at = places[free, i]
            np.add.at(N, (at[:, None], at), G[np.ix_(free, free)])
            np.add.at(right, at, M[free, i])
        scale = np.sqrt(np.diagonal(N).real)
        scale = np.where(scale > 0, scale, 1.0)
        values = np.linalg.lstsq(N / np.outer(scale, scale), right / scale, rcond=eps)[
            0
        ]
        values = np.append(values / scale, 0.0)
        return values[places]

    return solve

"""Dynamic mode decomposition: the linear map that best sends rows to their successors.

Equations, in rows (features are columns): given pairs of rows X, Y (n, d), DMD finds
the map A of least norm that minimises |Y - X A|. With X = U S V^H cut to rank r,

    K = S^-1 U^H Y V                      (r, r)    reduced one-step map, z -> z K
    z = x V                               reduced state of a row x
    y = z L,   L = S^-1 U^H Y             exact DMD  (Tu et al. 2014, algorithm 2)
    y = z K V^H                           projected DMD (Schmid 2010)

so that A = V L, L V = K, and a forecast is x[k + n] = x V K^(n - 1) L, with no
eigenvectors in the way. Eigenvalues of K are the DMD eigenvalues.

Total least squares (Hemati et al. 2017, section 3.1): noise in X biases the
eigenvalues inwards. Projecting the rows of [X Y] on their r leading right singular
vectors before solving takes the bias away.

Forward-backward DMD (Dawson et al. 2016, section 2.4): with K_b fitted backwards in
time, K = (K_f K_b^-1)^(1/2), each root taken on the side of K_f.

Only moments of the pairs matter: rows may be replaced by any with the same moments.
Data with many rows is compressed so (`skdyn.utils._moments`), which also makes the fit
additive over trajectories and streams.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import numpy as np
from scipy import linalg
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skdyn.base import ForecasterMixin
from skdyn.koopman._rank import RANK, Data, choose_rank, truncated_svd
from skdyn.koopman._spectrum import Spectrum, spectrum_of
from skdyn.koopman._streaming import FORGETTING, add_to, age_weights
from skdyn.utils._linalg import linear_orbit, rank_floor
from skdyn.utils._moments import Moments, reduce_rows
from skdyn.utils._sklearn import Interval, StrOptions
from skdyn.utils._trajectories import Trajectories, check_trajectories

__all__ = ["DMD", "dmd_eigenvalues"]

# The moments of [X Y] are kept for partial_fit after fit up to this many columns.
_KEPT_COLUMNS = 2048


class DMD(ForecasterMixin, BaseEstimator):
    """Dynamic mode decomposition.

    Fits the linear map from each row to the next, forecasts by its powers and explains
    itself by its eigenvalues. Behind a `skdyn.preprocessing.DelayEmbedding` it is
    Hankel-DMD, which continues any sum of exponentials and sines.

    Parameters
    ----------
    rank : int, float, "auto" or None, default=None
        Number of singular values kept. An int keeps so many; a float in (0, 1) as many
        as hold this fraction of the energy (sum of squares); "auto" those above the
        optimal hard threshold for white noise of unknown size (Gavish & Donoho 2014),
        which needs tens of features to be meaningful; None all that are above rounding,
        which is plain least squares and the right thing for few clean features.
    exact : bool, default=True
        Whether the answer may leave the span of the leading singular vectors (exact
        DMD) or not (projected DMD). They differ only where the rank is cut.
    total_least_squares : bool, default=False
        Whether to remove the bias that noise in the data brings to the eigenvalues. For
        noisy data only together with a cut `rank`: with all singular values kept, it
        takes the noise for dynamics, which then easily grows without bound.
    forward_backward : bool, default=False
        Whether to average the fits forwards and backwards in time, another remedy for
        that bias, which needs a cut `rank` likewise. Uses projected modes.
    dt : float, default=1.0
        Time between rows: growth rates are per unit time, frequencies in cycles per
        unit time.
    forgetting : float, default=1.0
        Weight of a row relative to the next, for systems that drift: the memory is some
        ``1 / (1 - forgetting)`` rows long. 1 forgets nothing. Below 1, trajectories
        that come by ``partial_fit`` make those before count less.
    svd_solver : {"auto", "full", "randomized"}, default="auto"
        How a matrix with more features than rows is decomposed. "auto" tries the
        randomized method where `rank` is a small int and keeps its answer where the
        singular values that it finds show an error of some 1e-10; else LAPACK's.
    random_state : int, RandomState instance or None, default=0
        Seed of the randomized method; an int, so that a refit is the same.

    Attributes
    ----------
    spectrum_ : Spectrum
        Eigenvalues, growth rates, frequencies, modes, amplitudes and residuals;
        computed when first asked for.
    rank_ : int
        Number of singular values kept.
    singular_values_ : ndarray of shape (n_singular_values,)
        Singular values of the training rows, as many as were computed.
    n_features_in_ : int
        Number of features in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.
    min_context_ : int
        Rows of history that a forecast needs: 1.
    context_ : Trajectories
        The last row of each training trajectory, where ``predict(h)`` starts.

    Warns
    -----
    UserWarning
        If `rank` is above the numerical rank of the data, which is used instead.

    See Also
    --------
    DMDc : With inputs.
    skdyn.preprocessing.DelayEmbedding : Before it, for series with hidden state.

    References
    ----------
    Schmid, "Dynamic mode decomposition of numerical and experimental data", Journal of
    Fluid Mechanics 656 (2010), 5.

    Tu, Rowley, Luchtenburg, Brunton & Kutz, "On dynamic mode decomposition: theory and
    applications", Journal of Computational Dynamics 1 (2014), 391, algorithm 2.

    Hemati, Rowley, Deem & Cattafesta, "De-biasing the dynamic mode decomposition for
    applied Koopman spectral analysis of noisy datasets", Theoretical and Computational
    Fluid Dynamics 31 (2017), 349.

    Dawson, Hemati, Williams & Rowley, "Characterizing and correcting for the effect of
    sensor noise in the dynamic mode decomposition", Experiments in Fluids 57 (2016),
    42.

    Gavish & Donoho, "The optimal hard threshold for singular values is 4/sqrt(3)", IEEE
    Transactions on Information Theory 60 (2014), 5040.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.koopman import DMD
    >>> k = np.arange(100)
    >>> X = np.column_stack([0.99**k * np.cos(0.3 * k), 0.99**k * np.sin(0.3 * k)])
    >>> dmd = DMD(dt=0.1).fit(X)
    >>> dmd.predict(2).round(4)
    array([[ 0.0565, -0.3617],
           [ 0.1592, -0.3255]])
    >>> dmd.spectrum_.frequencies.round(6)
    array([ 0.477465, -0.477465])
    >>> dmd.spectrum_.growth_rates.round(6)
    array([-0.100503, -0.100503])
    """

    _parameter_constraints: dict = {
        "rank": RANK,
        "exact": ["boolean"],
        "total_least_squares": ["boolean"],
        "forward_backward": ["boolean"],
        "dt": [Interval(Real, 0, None, closed="neither")],
        "forgetting": FORGETTING,
        "svd_solver": [StrOptions({"auto", "full", "randomized"})],
        "random_state": ["random_state"],
    }
    _allow_complex = True

    def __init__(
        self,
        rank: int | float | Literal["auto"] | None = None,
        *,
        exact: bool = True,
        total_least_squares: bool = False,
        forward_backward: bool = False,
        dt: float = 1.0,
        forgetting: float = 1.0,
        svd_solver: Literal["auto", "full", "randomized"] = "auto",
        random_state: Any = 0,
    ) -> None:
        self.rank = rank
        self.exact = exact
        self.total_least_squares = total_least_squares
        self.forward_backward = forward_backward
        self.dt = dt
        self.forgetting = forgetting
        self.svd_solver = svd_solver
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> DMD:
        """Fit the linear map from each row to the next.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories of at least 2 rows each; real or complex.
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        DMD
            The estimator itself.
        """
        trajectories, _ = self._check_fit(X)
        before, after = trajectories.pairs()
        n_pairs, n_columns = len(before), 2 * before.shape[1]
        self._moments: Moments | None = None
        weights = age_weights(trajectories, self.forgetting)
        rows = before, after
        if weights is not None:
            roots = np.sqrt(weights)[:, None]
            rows = before * roots, after * roots
        if n_pairs > n_columns or n_columns <= _KEPT_COLUMNS:
            moments = Moments.from_rows(before, after, weights)
            if n_columns <= _KEPT_COLUMNS:
                self._moments = moments
            if n_pairs > n_columns:
                rows = moments.rows()
        return self._solve(*rows, trajectories, n_pairs, before.dtype)

    def partial_fit(self, X: Any, y: Any = None) -> DMD:
        """Go on with further trajectories, as if all had been fitted together.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Further trajectories, each of at least 2 rows. No pair is formed with what
            came before. They become the context of ``predict(h)``.
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        DMD
            The estimator itself.

        Raises
        ------
        ValueError
            After a ``fit`` on very many features, which keeps no moments to go on
            with.
        """
        first = not hasattr(self, "_moments")
        if not first and self._moments is None:
            raise ValueError(
                f"partial_fit needs the moments of the earlier data, which fit does "
                f"not keep for more than {_KEPT_COLUMNS // 2} features. Start with "
                f"partial_fit."
            )
        trajectories, _ = self._check_fit(X, reset=first)
        weights = age_weights(trajectories, self.forgetting)
        moments = Moments.from_rows(*trajectories.pairs(), weights)
        earlier = None if first else self._moments
        moments = add_to(earlier, moments, trajectories, self.forgetting)
        self._moments = moments
        dtype = np.dtype(np.float32 if moments.is_single else np.float64)
        return self._solve(*moments.rows(), trajectories, moments.n_rows, dtype)

    def _solve(
        self,
        before: np.ndarray,
        after: np.ndarray,
        trajectories: Trajectories,
        n_pairs: int,
        dtype: np.dtype,
    ) -> DMD:
        model = _solve_dmd(
            before,
            after,
            rank=self.rank,
            data=Data((n_pairs, before.shape[1]), dtype),
            total_least_squares=self.total_least_squares,
            forward_backward=self.forward_backward,
            svd_solver=self.svd_solver,
            random_state=self.random_state,
        )
        self._model = model
        self._is_complex = np.iscomplexobj(model.K)
        self._exact, self._dt = self._is_exact, float(self.dt)
        self._readout = model.L if self._is_exact else model.K @ model.V.conj().T
        self.singular_values_ = model.singular_values
        self.rank_ = len(model.K)
        # For the amplitudes: the first row of each trajectory in reduced coordinates.
        self._starts = trajectories.heads(1)[:, 0] @ model.V
        self._spectrum: Spectrum | None = None
        self._remember(trajectories)
        return self

    @property
    def _is_exact(self) -> bool:
        # K of forward-backward DMD is no least-squares fit, so it has no exact modes.
        return self.exact and not self.forward_backward

    @property
    def spectrum_(self) -> Spectrum:
        """Eigenvalues with modes, amplitudes and residuals."""
        check_is_fitted(self)
        if self._spectrum is None:
            model, projected = self._model, self._model.V.conj().T
            self._spectrum = spectrum_of(
                model.K,
                model.L if self._exact else projected,
                projected,
                self._starts,
                model.before,
                model.after,
                self._dt,
            )
        return self._spectrum

    def reconstruct(self, X: Any) -> Any:
        """Rebuild trajectories from their first rows alone.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Trajectories; only the first row and the length of each are used.

        Returns
        -------
        ndarray, or list of ndarrays
            In the form of `X`: the first row as the kept modes hold it, then its
            forecast.
        """
        check_is_fitted(self)
        data = check_trajectories(self, X, reset=False, allow_complex=True)
        longest = max(data.lengths)
        state = np.stack([piece[0] for piece in data.pieces]) @ self._model.V
        rows = np.empty((len(state), longest, self.n_features_in_), dtype=state.dtype)
        rows[:, 0] = state @ self._model.V.conj().T
        if longest > 1:
            with np.errstate(all="ignore"):
                rows[:, 1:] = self._rollout(state, longest - 1, None)
        rows = self._finish(rows, data.dtype)
        return data.join([rows[i, :n] for i, n in enumerate(data.lengths)])

    def _begin(self, contexts: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        return contexts[:, -1] @ self._model.V

    def _step(
        self, state: np.ndarray, u: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        return state @ self._model.K, state @ self._readout

    def _rollout(
        self, state: np.ndarray, n_steps: int, u: np.ndarray | None
    ) -> np.ndarray:
        orbit = linear_orbit(state, self._model.K, n_steps)
        rows = orbit.reshape(-1, orbit.shape[2]) @ self._readout
        return rows.reshape(n_steps, len(state), -1).swapaxes(0, 1)


@dataclass(frozen=True, eq=False)
class _Model:
    """Reduced dynamics; see the module's equations.

    `before` and `after` have the moments of the reduced training pairs.
    """

    K: np.ndarray
    L: np.ndarray
    V: np.ndarray
    before: np.ndarray
    after: np.ndarray
    singular_values: np.ndarray


def _solve_dmd(
    X: np.ndarray,
    Y: np.ndarray,
    *,
    rank: int | float | str | None,
    data: Data,
    total_least_squares: bool,
    forward_backward: bool,
    svd_solver: str,
    random_state: Any,
) -> _Model:
    """Solve for the reduced map; `data` is what X was before it was compressed."""
    fit_X, fit_Y = X, Y
    if total_least_squares:
        fit_X, fit_Y = _project_jointly(X, Y, rank, data)
        rank = None
    U, s, Vh, all_s = truncated_svd(fit_X, rank, data, svd_solver, random_state)
    V = Vh.conj().T
    L = (U.conj().T @ fit_Y) / s[:, None]
    K = L @ V
    r = len(s)
    if total_least_squares:
        pairs = reduce_rows(np.hstack([X @ V, Y @ V]))
        before, after = pairs[:, :r], pairs[:, r:]
    else:
        # In the coordinates of U, X V is S and Y V is S K with what U does not span
        # below it, which is nothing where U is square.
        before, after = np.diag(s).astype(K.dtype), s[:, None] * K
        if r < len(X):
            rest = reduce_rows(Y @ V - U @ after)
            before = np.vstack([before, np.zeros_like(rest)])
            after = np.vstack([after, rest])
    if forward_backward:
        K = _average_with_backward(K, fit_X @ V, fit_Y @ V)
    return _Model(K, L, V, before, after, all_s)


def dmd_eigenvalues(X: np.ndarray, Y: np.ndarray, rank: int) -> np.ndarray:
    """Eigenvalues of total-least-squares DMD of pairs of rows, at most `rank` of them.

    Parameters
    ----------
    X, Y : ndarray of shape (n, d)
        Rows and their successors, bare.
    rank : int
        Number of directions kept, at most d.

    Returns
    -------
    complex ndarray of shape (at most rank,)
    """
    data = Data(X.shape, X.dtype)
    joint = reduce_rows(np.hstack([X, Y]))
    d = X.shape[1]
    with warnings.catch_warnings():
        # Fewer are returned where the data holds fewer.
        warnings.simplefilter("ignore", UserWarning)
        model = _solve_dmd(
            joint[:, :d],
            joint[:, d:],
            rank=rank,
            data=data,
            total_least_squares=True,
            forward_backward=False,
            svd_solver="full",
            random_state=None,
        )
    return np.asarray(linalg.eigvals(model.K, check_finite=False))


def _project_jointly(
    X: np.ndarray, Y: np.ndarray, rank: int | float | str | None, data: Data
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of X and Y within the leading right singular subspace of [X Y]."""
    d = X.shape[1]
    joint = np.hstack([X, Y])
    _, s, Vh = np.linalg.svd(joint, full_matrices=False)
    r = min(choose_rank(s, rank, Data((data.shape[0], 2 * d), data.dtype)), d)
    rows = s[:r, None] * Vh[:r]
    return rows[:, :d], rows[:, d:]


def _average_with_backward(K: np.ndarray, X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """The geometric mean of the forward map and the inverse of the backward one."""
    sizes = np.linalg.svd(Y, compute_uv=False)
    rank = int((sizes > rank_floor(sizes, Y.shape, Y.dtype)).sum())
    if rank < len(K):
        raise ValueError(
            f"forward_backward needs the map to be invertible: needed {len(K)} "
            f"independent directions in the successors of the rows, got {rank}. Pass "
            f"rank={max(rank, 1)} or lower, or forward_backward=False."
        )
    backward = linalg.lstsq(Y, X, check_finite=False)[0]
    squared, G = linalg.eig(linalg.solve(backward.T, K.T, check_finite=False).T)
    forward = np.diagonal(linalg.solve(G, K @ G))
    roots = np.sqrt(squared.astype(complex))
    if not np.iscomplexobj(K):
        # A real square that noise made negative has no real root: keep its modulus.
        lone = (squared.imag == 0) & (squared.real < 0)
        roots[lone] = np.sqrt(np.abs(squared[lone]))
    roots = np.where((roots * forward.conj()).real < 0, -roots, roots)
    mean = linalg.solve(G.T, (G * roots).T).T
    return mean if np.iscomplexobj(K) else mean.real

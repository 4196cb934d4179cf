"""Measure-preserving EDMD: the best unitary map of lifted rows.

Equations, in rows (Colbrook 2023, algorithm 1): the Koopman operator of a system that
preserves a measure is an isometry of the square-integrable functions. With q = psi W
orthonormal over the data, W = V S^-1 of the lifted rows' Psi_x = U S V^H, the unitary Q
that minimises |Psi_y W - Psi_x W Q| is the polar factor of (Psi_x W)^H (Psi_y W)
(orthogonal Procrustes problem). Eigenvalues lie on the unit circle exactly, forecasts
neither grow nor decay, and spectral measures converge, where least squares pulls
eigenvalues into the disc.

With Q = Z Lambda Z^H, the spectral measure of an observable g = q a has the atoms
|z_j^H a|² at the angles of lambda_j; they sum to the mean square of g, and with delays
of g in the lift they converge weakly to the measure of the true operator (section 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from scipy import linalg
from sklearn.utils.validation import check_is_fitted

from skdyn.koopman._lifted import LiftedModel, unit_columns
from skdyn.koopman._rank import RANK, Data, truncated_svd
from skdyn.utils._sklearn import HasMethods, Interval

__all__ = ["MPEDMD", "SpectralMeasure"]


@dataclass(frozen=True, eq=False)
class SpectralMeasure:
    """Which frequencies an observable is made of.

    Attributes
    ----------
    frequencies : ndarray of shape (n_modes,)
        Places of the atoms, in cycles per unit time, increasing.
    weights : ndarray of shape (n_modes,)
        Their masses, in squared units of the observable; their sum is the mean square
        of the observable over the data.
    """

    frequencies: np.ndarray
    weights: np.ndarray

    def __repr__(self) -> str:
        return f"SpectralMeasure({len(self.weights)} atoms, {self.weights.sum():.4g})"


class MPEDMD(LiftedModel):
    """Measure-preserving extended dynamic mode decomposition.

    For Hamiltonian systems, and for dynamics on an attractor seen long enough: all
    eigenvalues lie on the unit circle.

    Parameters
    ----------
    lift : transformer, default=None
        Functions of the state, as in `EDMD`. None is ``PolynomialLift(2)``.
    rank : int, float, "auto" or None, default=None
        Singular values of the lifted rows that are kept, as in `DMD`. None keeps all
        that are above rounding.
    dt : float, default=1.0
        Time between rows: frequencies are in cycles per unit time.

    Attributes
    ----------
    lift_ : transformer
        The fitted clone.
    spectrum_ : Spectrum
        Eigenvalues, frequencies, modes, amplitudes and residuals; computed when first
        asked for.
    koopman_matrix_ : ndarray of shape (n_lifted, n_lifted)
        K, acting on lifted rows from the right.
    rank_ : int
        Rank of the map.
    n_features_in_ : int
        Number of features in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.
    min_context_ : int
        Rows of history that a forecast needs: those of the lift.
    context_ : Trajectories
        The last rows of each training trajectory, where ``predict(h)`` starts.

    See Also
    --------
    EDMD : Least squares, with inputs.

    References
    ----------
    Colbrook, "The mpEDMD algorithm for data-driven computations of measure-preserving
    dynamical systems", SIAM Journal on Numerical Analysis 61 (2023), 1585.

    Examples
    --------
    A noisy rotation, of which least squares makes a decay:

    >>> import numpy as np
    >>> from skdyn.koopman import DMD, MPEDMD
    >>> from skdyn.preprocessing import DelayEmbedding
    >>> t = 0.3 * np.arange(500)
    >>> X = np.sin(t)[:, None] + 0.3 * np.random.default_rng(0).normal(size=(500, 1))
    >>> spectrum = MPEDMD(DelayEmbedding(20)).fit(X).spectrum_
    >>> bool(np.allclose(np.abs(spectrum.eigenvalues), 1))
    True
    """

    _parameter_constraints: dict = {
        "lift": [HasMethods(["fit", "transform"]), None],
        "rank": RANK,
        "dt": [Interval(Real, 0, None, closed="neither")],
    }
    __metadata_request__fit = {"weights": True}
    __metadata_request__partial_fit = {"weights": True}

    def __init__(
        self,
        lift: Any = None,
        *,
        rank: int | float | Literal["auto"] | None = None,
        dt: float = 1.0,
    ) -> None:
        self.lift = lift
        self.rank = rank
        self.dt = dt

    def fit(self, X: Any, y: Any = None, *, weights: Any = None) -> MPEDMD:
        """Fit the lift and the unitary map of lifted rows to their successors.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories, each one row longer than the lift needs at least.
        y : ignored
            For scikit-learn's signature.
        weights : array-like of shape (n_samples,), or list of these, default=None
            Weights of rows, as in `EDMD.fit`.

        Returns
        -------
        MPEDMD
            The estimator itself.
        """
        fitted: MPEDMD = self._fit(X, None, weights, earlier=None)
        return fitted

    def partial_fit(self, X: Any, y: Any = None, *, weights: Any = None) -> MPEDMD:
        """Go on with further trajectories, as if all had been fitted together.

        Parameters
        ----------
        X, y, weights
            As in `fit`. The lift is fitted to the first call's trajectories and kept.

        Returns
        -------
        MPEDMD
            The estimator itself.
        """
        earlier = getattr(self, "_moments", None)
        fitted: MPEDMD = self._fit(X, None, weights, earlier=earlier)
        return fitted

    def spectral_measure(self, observable: int | Any = 0) -> SpectralMeasure:
        """The spectral measure of an observable.

        Parameters
        ----------
        observable : int or array-like of shape (n_lifted,), default=0
            A feature of the state, by its column, or coefficients of a function in the
            lift: ``lift_.transform(X) @ observable``.

        Returns
        -------
        SpectralMeasure

        Raises
        ------
        ValueError
            If there is no such feature, or not one coefficient for each lifted column.

        Examples
        --------
        >>> import numpy as np
        >>> from skdyn.koopman import MPEDMD
        >>> from skdyn.preprocessing import PolynomialLift
        >>> t = 2 * np.pi / 20 * np.arange(201)
        >>> X = np.column_stack([3 * np.cos(t), 3 * np.sin(t)])
        >>> lift = PolynomialLift(1, include_bias=False)
        >>> measure = MPEDMD(lift).fit(X).spectral_measure(0)
        >>> measure.frequencies.round(6), measure.weights.round(6)
        (array([-0.05,  0.05]), array([2.25, 2.25]))
        """
        check_is_fitted(self)
        p, d = self._readout.shape
        if isinstance(observable, Integral):
            if not -d <= observable < d:
                raise ValueError(
                    f"observable needs a column of the {d} features, got {observable}."
                )
            coefficients = self._readout[:, int(observable)]
        else:
            coefficients = np.asarray(observable)
            if coefficients.shape != (p,):
                raise ValueError(
                    f"observable needs a coefficient for each of {p} lifted columns, "
                    f"got shape {coefficients.shape}."
                )
        # Coordinates in the orthonormal functions q = psi W, over the data.
        q = self._before @ self._W
        a = np.linalg.lstsq(q, self._before @ coefficients, rcond=None)[0]
        # A unitary matrix has orthonormal eigenvectors: its Schur vectors.
        T, Z = linalg.schur(self._K, output="complex")
        weights = np.abs(Z.conj().T @ a) ** 2 / self._moments.weight
        frequencies = np.angle(np.diagonal(T)) / (2 * np.pi * self._dt)
        order = np.argsort(frequencies)
        return SpectralMeasure(frequencies[order], weights[order])

    def _solve_map(
        self, Z: np.ndarray, Y: np.ndarray, data: Data
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        Zs, scale = unit_columns(Z)
        U, s, Vh, _ = truncated_svd(Zs, self.rank, data, "full", None)
        W = Vh.conj().T / s / scale[:, None]
        left, _, right = linalg.svd(U.conj().T @ (Y @ W), check_finite=False)
        L = (left @ right) @ (s[:, None] * Vh * scale)
        return W, L, np.zeros((0, Y.shape[1]), Y.dtype)

"""Dynamic mode decomposition with control: linear dynamics under known inputs.

Equations, in rows (Proctor, Brunton & Kutz 2016, section 3): given pairs of rows X, Y
and the inputs U that acted between them,

    y = x A + u B,   [A; B] = [X U]^+ Y.

With [X U] = P S V^H cut to rank r and V = [V_x; V_u], the map is kept in factors,
w = x V_x + u V_u and y = w L with L = S^-1 P^H Y, so that A = V_x L and B = V_u L are
never formed for many features. Where B is known, Y - U B is fitted on X alone (their
section 3.1).
"""

from __future__ import annotations

from numbers import Real
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, check_is_fitted

from skdyn.base import ForecasterMixin
from skdyn.koopman._rank import RANK, Data, truncated_svd
from skdyn.koopman._spectrum import Spectrum, spectrum_of
from skdyn.koopman._streaming import FORGETTING, add_to, age_weights
from skdyn.utils._moments import Moments
from skdyn.utils._sklearn import Interval
from skdyn.utils._trajectories import Pieces, Trajectories

__all__ = ["DMDc"]


class DMDc(ForecasterMixin, BaseEstimator):
    """Dynamic mode decomposition with control.

    Fits ``x[k+1] = x[k] A + u[k] B`` and forecasts under new inputs. Fitted without
    inputs, it is plain least squares of each row on the row before.

    Parameters
    ----------
    rank : int, float, "auto" or None, default=None
        Number of singular values of [X U] kept: see `DMD`. None keeps all that are
        above rounding.
    input_matrix : array-like of shape (n_inputs, n_features), default=None
        B, where it is known. None estimates it.
    dt : float, default=1.0
        Time between rows, for growth rates and frequencies.
    forgetting : float, default=1.0
        Weight of a row relative to the next, for systems that drift: the memory is some
        ``1 / (1 - forgetting)`` rows long. 1 forgets nothing. Below 1, trajectories
        that come by ``partial_fit`` make those before count less.

    Attributes
    ----------
    state_matrix_ : ndarray of shape (n_features, n_features)
        A, acting on rows from the right; formed when asked for.
    input_matrix_ : ndarray of shape (n_inputs, n_features)
        B.
    spectrum_ : Spectrum
        Eigenvalues and modes of A; computed when first asked for.
    rank_ : int
        Number of singular values kept.
    n_features_in_, n_inputs_ : int
        Number of features and inputs in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.
    min_context_ : int
        Rows of history that a forecast needs: 1.
    context_ : Trajectories
        The last row of each training trajectory, where ``predict(h)`` starts.

    See Also
    --------
    DMD : Without inputs, with remedies for noise.

    References
    ----------
    Proctor, Brunton & Kutz, "Dynamic mode decomposition with control", SIAM Journal on
    Applied Dynamical Systems 15 (2016), 142, sections 3.1 and 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.koopman import DMDc
    >>> u = np.sin(np.arange(50.0))[:, None]
    >>> X = np.zeros((50, 1))
    >>> for k in range(49):
    ...     X[k + 1] = 0.9 * X[k] + 0.5 * u[k]
    >>> dmdc = DMDc().fit(X, u=u)
    >>> dmdc.state_matrix_.round(6), dmdc.input_matrix_.round(6)
    (array([[0.9]]), array([[0.5]]))
    >>> dmdc.predict(3, u=np.zeros((3, 1))).shape
    (3, 1)
    """

    _parameter_constraints: dict = {
        "rank": RANK,
        "input_matrix": ["array-like", None],
        "dt": [Interval(Real, 0, None, closed="neither")],
        "forgetting": FORGETTING,
    }
    __metadata_request__fit = {"u": True}
    __metadata_request__partial_fit = {"u": True}
    _allow_complex = True

    def __init__(
        self,
        rank: int | float | Literal["auto"] | None = None,
        *,
        input_matrix: Any = None,
        dt: float = 1.0,
        forgetting: float = 1.0,
    ) -> None:
        self.rank = rank
        self.input_matrix = input_matrix
        self.dt = dt
        self.forgetting = forgetting

    def fit(self, X: Any, y: Any = None, *, u: Any = None) -> DMDc:
        """Fit the state and input matrices.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories of at least 2 rows each; real or complex.
        y : ignored
            For scikit-learn's signature.
        u : array-like of shape (n_samples, n_inputs), or list of these, default=None
            Inputs; row k acts between rows k and k+1 of `X`.

        Returns
        -------
        DMDc
            The estimator itself.
        """
        trajectories, inputs = self._check_fit(X, u)
        return self._fit_moments(None, trajectories, inputs)

    def partial_fit(self, X: Any, y: Any = None, *, u: Any = None) -> DMDc:
        """Go on with further trajectories, as if all had been fitted together.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Further trajectories. They become the context of ``predict(h)``.
        y : ignored
            For scikit-learn's signature.
        u : array-like of shape (n_samples, n_inputs), or list of these, default=None
            Their inputs.

        Returns
        -------
        DMDc
            The estimator itself.
        """
        first = not hasattr(self, "_moments")
        trajectories, inputs = self._check_fit(X, u, reset=first)
        earlier = None if first else self._moments
        return self._fit_moments(earlier, trajectories, inputs)

    def _fit_moments(
        self,
        earlier: Moments | None,
        trajectories: Trajectories,
        inputs: Pieces | None,
    ) -> DMDc:
        before, after = trajectories.pairs()
        known = self._check_input_matrix()
        if inputs is not None:
            acting = np.concatenate([rows[:-1] for rows in inputs])
            if known is None:
                before = np.hstack([before, acting])
            else:
                after = after - acting @ known
        weights = age_weights(trajectories, self.forgetting)
        moments = Moments.from_rows(before, after, weights)
        self._moments = add_to(earlier, moments, trajectories, self.forgetting)
        Z, Y = self._moments.rows()
        dtype = np.dtype(np.float32 if self._moments.is_single else np.float64)
        data = Data((self._moments.n_rows, Z.shape[1]), dtype)
        P, s, Vh, _ = truncated_svd(Z, self.rank, data, "full", None)
        d = self.n_features_in_
        self._is_complex, self._dt = np.iscomplexobj(Z), float(self.dt)
        self._L = (P.conj().T @ Y) / s[:, None]
        self._V = Vh.conj().T[:d]
        self._V_inputs = Vh.conj().T[d:]
        self.input_matrix_ = self._V_inputs @ self._L if known is None else known
        self.rank_ = len(s)
        self._starts = trajectories.heads(1)[:, 0]
        self._spectrum: Spectrum | None = None
        self._remember(trajectories, inputs)
        return self

    def _check_input_matrix(self) -> np.ndarray | None:
        if self.input_matrix is None:
            return None
        if not self.n_inputs_:
            raise ValueError(
                "input_matrix needs inputs to act on: needed u in fit, got none. Pass "
                "fit(X, u=u), or input_matrix=None."
            )
        known = check_array(self.input_matrix, input_name="input_matrix")
        if known.shape != (self.n_inputs_, self.n_features_in_):
            raise ValueError(
                f"input_matrix needs shape (n_inputs, n_features) = "
                f"{(self.n_inputs_, self.n_features_in_)}, got {known.shape}."
            )
        return known

    @property
    def state_matrix_(self) -> np.ndarray:
        """A, with ``x[k+1] = x[k] A + u[k] B``."""
        check_is_fitted(self)
        return self._V @ self._L

    @property
    def spectrum_(self) -> Spectrum:
        """Eigenvalues and modes of A, with amplitudes and residuals."""
        check_is_fitted(self)
        if self._spectrum is None:
            d, (Z, Y) = self.n_features_in_, self._moments.rows()
            # What the inputs did is not the eigenvalues' to explain.
            free = Y - Z[:, d:] @ self.input_matrix_ if Z.shape[1] > d else Y
            if self.rank_ < d:
                basis, K = self._V, self._L @ self._V
                projected, exact = np.linalg.pinv(self._V), self._L
            else:
                basis = projected = np.eye(d)
                K = exact = self.state_matrix_
            self._spectrum = spectrum_of(
                K,
                exact,
                projected,
                self._starts @ basis,
                Z[:, :d] @ basis,
                free @ basis,
                self._dt,
            )
        return self._spectrum

    def _begin(self, contexts: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        return contexts[:, -1]

    def _step(
        self, state: np.ndarray, u: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        row = (state @ self._V) @ self._L
        if u is not None:
            row = row + u @ self.input_matrix_
        return row, row

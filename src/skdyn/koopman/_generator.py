"""Generator EDMD: rates of functions of the state, from derivatives.

Equations, in rows (Klus, Nuske, Peitz, Niemann, Clementi & Schutte 2020, section 3, the
deterministic case): along x' = f(x), functions psi of the state change by the chain
rule, and the Koopman generator is the linear map that says so of all of them,

    d/dt psi(x) = D psi(x) . x',        psi' = psi G,

fitted by least squares. Its eigenvalues are rates: psi g evolves as exp(a t) where
G g = a g. Nothing is said of a time step, so that rows need not follow each other, and
uneven times are no different from even ones. A forecast is

    x(t + dt) = psi(x(t)) expm(G dt) C,

with C the way back from functions to states (`skdyn.koopman._lifted`). Where the rank
of G is cut, G = W L, what W leaves out of psi(x) stays as it is.
"""

from __future__ import annotations

from numbers import Real
from typing import Any, Literal

import numpy as np
from scipy import linalg
from sklearn.utils.validation import check_is_fitted

from skdyn.base import min_context
from skdyn.koopman._lifted import LiftedModel, _way_back, fitted_lift, unit_columns
from skdyn.koopman._modal import in_order
from skdyn.koopman._rank import RANK, Data, truncated_svd
from skdyn.koopman._spectrum import Spectrum, _inverse
from skdyn.utils._differentiation import METHODS, Differentiator, derivatives
from skdyn.utils._linalg import linear_orbit
from skdyn.utils._moments import Moments
from skdyn.utils._sklearn import HasMethods, Interval, StrOptions
from skdyn.utils._trajectories import Trajectories

__all__ = ["GeneratorEDMD"]

# Numbers of a block of Jacobians.
_BLOCK = 2**20


class GeneratorEDMD(LiftedModel):
    """Extended dynamic mode decomposition of the generator, for continuous time.

    Fits how functions of the state change in time, by their derivatives along the data.
    Eigenvalues are rates per unit time, free of the aliasing of a time step, and
    derivatives may be measured ones or come from unevenly sampled data.

    Parameters
    ----------
    lift : transformer, default=None
        Functions of the state with derivatives: a lift of `skdyn.preprocessing`, or a
        scikit-learn feature transformer, whose derivatives are taken by differences.
        None is ``PolynomialLift(2)``. Scalers go in front of the estimator, in a
        Pipeline.
    rank : int, float, "auto" or None, default=None
        Singular values of the lifted rows that are kept, as in `DMD`.
    alpha : float, default=0.0
        Ridge penalty, relative to the mean square of each lifted column.
    differentiation : str or Differentiator, default="finite"
        How derivatives are taken from the data where they are not given, as in
        `skdyn.preprocessing.differentiate`: "finite" for clean data, "spline" for noisy
        data. States are those that belong to the derivatives, smoothed where the method
        smooths.
    dt : float, default=1.0
        Time between rows of the data, unless `t` says otherwise, and of forecasts.

    Attributes
    ----------
    lift_ : transformer
        The fitted clone.
    rates_ : complex ndarray of shape (n_modes,)
        Eigenvalues of the generator: growth rate + i angular frequency, per unit time.
    generator_ : ndarray of shape (n_lifted, n_lifted)
        G, acting on lifted rows from the right.
    koopman_matrix_ : ndarray of shape (n_lifted, n_lifted)
        ``expm(G dt)``.
    spectrum_ : Spectrum
        Eigenvalues ``exp(rate dt)``, growth rates, frequencies, modes, amplitudes and
        residuals, in the order of `rates_`. Residuals are
        ``|d/dt phi - rate phi| / |phi|`` of the eigenfunctions phi over the training
        data, so in units of rates, where those of `EDMD` have none. Frequencies above
        half a turn per `dt` are aliased here, and not in `rates_`.
    rank_ : int
        Rank of the map.
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
    EDMD : For pairs of rows a step apart.
    skdyn.koopman.pseudospectrum : Residuals of any complex number, here as a rate.

    Notes
    -----
    Derivatives have errors that pairs of rows have not: for clean data at a coarse step
    `EDMD` is the better choice.

    References
    ----------
    Klus, Nuske, Peitz, Niemann, Clementi & Schutte, "Data-driven approximation of the
    Koopman generator: model reduction, system identification, and control", Physica D
    406 (2020), 132416, section 3.

    Examples
    --------
    Powers of a decaying state decay at multiples of its rate:

    >>> import numpy as np
    >>> from skdyn.koopman import GeneratorEDMD
    >>> from skdyn.preprocessing import PolynomialLift
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> model = GeneratorEDMD(PolynomialLift(3)).fit(X, x_dot=-X)
    >>> model.rates_.real.round(6) + 0.0
    array([ 0., -1., -2., -3.])
    """

    _parameter_constraints: dict = {
        "lift": [HasMethods(["fit", "transform"]), None],
        "rank": RANK,
        "alpha": [Interval(Real, 0, None, closed="left")],
        "differentiation": [StrOptions(set(METHODS)), Differentiator],
        "dt": [Interval(Real, 0, None, closed="neither")],
    }
    __metadata_request__fit = {"t": True, "x_dot": True}
    # Derivatives and lifts are of real functions.
    _allow_complex = False

    def __init__(
        self,
        lift: Any = None,
        *,
        rank: int | float | Literal["auto"] | None = None,
        alpha: float = 0.0,
        differentiation: str | Differentiator = "finite",
        dt: float = 1.0,
    ) -> None:
        self.lift = lift
        self.rank = rank
        self.alpha = alpha
        self.differentiation = differentiation
        self.dt = dt

    def fit(
        self, X: Any, y: Any = None, *, t: Any = None, x_dot: Any = None
    ) -> GeneratorEDMD:
        """Fit the lift and the generator.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories. With `x_dot`, rows in any order.
        y : ignored
            For scikit-learn's signature.
        t : array-like of shape (n_samples,), or list of these, default=None
            Times of the rows, strictly increasing, for the derivatives; None is one row
            every `dt`.
        x_dot : array-like of shape (n_samples, n_features), or list, default=None
            Time derivatives of the rows, in the form of `X`; None takes them from the
            data.

        Returns
        -------
        GeneratorEDMD
            The estimator itself.

        Raises
        ------
        TypeError
            If the lift has no derivatives.
        ValueError
            If `x_dot` is not like `X`, or both `x_dot` and `t` are given.
        """
        trajectories, _ = self._check_fit(X, min_rows=2 if x_dot is None else 1)
        states, derivatives = self._derivatives(trajectories, t, x_dot)
        self.lift_ = _differentiable(fitted_lift(self.lift, trajectories))
        self.min_context_ = min_context(self.lift_)
        self._moments = self._generator_moments(states, derivatives)
        self._solve_generator()
        self._starts = self._lifted(trajectories.heads(1))
        self._spectrum: Spectrum | None = None
        self._remember(trajectories)
        return self

    def _derivatives(
        self, trajectories: Trajectories, t: Any, x_dot: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """States and their derivatives, all rows one below the other."""
        if x_dot is not None and t is not None:
            raise ValueError(
                "GeneratorEDMD takes derivatives once, got both x_dot and t. Drop t, "
                "which says how to take them from the data."
            )
        found = derivatives(
            trajectories, self.differentiation, float(self.dt), t, x_dot
        )
        return (
            np.concatenate([each.x for each in found]),
            np.concatenate([each.x_dot for each in found]),
        )

    def _generator_moments(
        self, states: np.ndarray, derivatives: np.ndarray
    ) -> Moments:
        """Moments of psi(x) against [d/dt psi(x), x], block by block."""
        d = states.shape[1]
        size = max(256, _BLOCK // (self.lift_.n_output_features_ * d))
        total: Moments | None = None
        for start in range(0, len(states), size):
            x, x_dot = (rows[start : start + size] for rows in (states, derivatives))
            psi = np.asarray(self.lift_.transform(x))
            change = np.einsum("npd,nd->np", self.lift_._jacobian(x), x_dot)
            bad = ~np.isfinite(change).all(axis=1)
            if bad.any():
                row = int(bad.argmax())
                raise ValueError(
                    f"{type(self.lift_).__name__} needs finite derivatives, got NaN or "
                    f"inf at the row {x[row]}. Leave such rows out, or choose "
                    f"functions that are smooth there."
                )
            part = Moments.from_rows(psi, np.hstack([change, x]), method="qr")
            total = part if total is None else total + part
        assert total is not None
        return total

    def _solve_generator(self) -> None:
        psi, targets = self._moments.rows()
        p = psi.shape[1]
        change, X = targets[:, :p], targets[:, p:]
        single = self._moments.is_single
        data = Data(
            (self._moments.n_rows, p), np.dtype(np.float32 if single else np.float64)
        )
        scaled, scale = unit_columns(psi)
        U, s, Vh, _ = truncated_svd(scaled, self.rank, data, "full", None)
        L = (s / (s**2 + self.alpha))[:, None] * (U.T @ (change / scale))
        self._dt = float(self.dt)
        # In scaled columns, so that units decide nothing.
        with np.errstate(all="ignore"):
            step = linalg.expm(Vh.T @ L * self._dt)
            self._one_map = step / scale[:, None] * scale
        self._W, self._L = Vh.T / scale[:, None], L * scale
        self._K = L @ Vh.T
        self.rank_ = len(s)
        self.generator_ = self._W @ self._L
        self.rates_, self._vectors = _rates(self._K)
        self._readout, self._inverts = _way_back(self.lift_, psi, X, data)
        self._before, self._after = psi, change

    @property
    def koopman_matrix_(self) -> np.ndarray:
        """``expm(G dt)``, with ``psi(x(t + dt)) = psi(x(t)) expm(G dt)``."""
        check_is_fitted(self)
        return self._one_map

    @property
    def spectrum_(self) -> Spectrum:
        """Eigenvalues ``exp(rate dt)`` with modes, amplitudes and residuals."""
        check_is_fitted(self)
        if self._spectrum is None:
            G = self._W @ self._vectors
            modes = _inverse(self._vectors) @ np.linalg.pinv(self._W) @ self._readout
            norms = np.linalg.norm(modes, axis=1)
            norms[norms == 0] = 1.0
            phi, change = self._before @ G, self._after @ G
            size = np.linalg.norm(phi, axis=0)
            off = np.linalg.norm(change - phi * self.rates_, axis=0)
            with np.errstate(over="ignore"):
                eigenvalues = np.exp(self.rates_ * self._dt)
            self._spectrum = Spectrum(
                eigenvalues,
                modes / norms[:, None],
                (self._starts @ G) * norms,
                np.where(size > 0, off / np.where(size > 0, size, 1.0), np.inf),
                self._dt,
            )
        return self._spectrum

    def _eigenvectors(self) -> np.ndarray:
        return self._vectors

    def _after_lifted(self, psi: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        return np.asarray(psi @ self._one_map)

    def _rollout(
        self, state: np.ndarray, n_steps: int, u: np.ndarray | None
    ) -> np.ndarray:
        orbit = linear_orbit(state @ self._one_map, self._one_map, n_steps)
        rows = self._to_rows(orbit.reshape(-1, orbit.shape[2]))
        return rows.reshape(n_steps, len(state), -1).swapaxes(0, 1)


def _differentiable(lift: Any) -> Any:
    if not hasattr(lift, "_jacobian"):
        raise TypeError(
            f"GeneratorEDMD needs a lift with derivatives, got {type(lift).__name__}. "
            f"Use a lift of skdyn.preprocessing (FunctionLift for functions of your "
            f"own), and put scalers and delays in front of GeneratorEDMD, in a "
            f"Pipeline."
        )
    return lift


def _rates(K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and eigenvectors of a generator, in decreasing growth."""
    rates, vectors = linalg.eig(K, check_finite=False)
    order = in_order(rates)
    return rates[order], vectors[:, order].astype(complex)

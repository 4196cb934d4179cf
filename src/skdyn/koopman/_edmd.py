"""Extended DMD: linear dynamics of functions of the state, with inputs if given.

Equations, in rows (Williams, Kevrekidis & Rowley 2015, section 2.2): a lift psi sends a
row x to a row psi(x) of p functions. Given pairs of rows (x, y) with weights w,

    psi(y) = psi(x) K + u B + (u (x) psi(x)) N,

fitted by weighted least squares. The inputs u act on the lifted state directly (Korda &
Mezic 2018) and, where asked for, in products with it (bilinear; Goswami & Paley 2017).
Two ways to keep few directions:

* a cut of the singular values of the lifted rows, which keeps the large ones;
* reduced rank (Kostic et al. 2022, section 4): the best K of rank r for the ridge
  problem, K_r = K V V^H with V the r leading right singular vectors of what ridge
  predicts, which keeps the directions that evolve predictably.

A forecast stays in the lifted space, x[k + n] = psi(x[k]) K^n C, or goes back to the
state and lifts again at every step (`relift`), which heals functions that drift away
from being functions of the state, and costs the linearity.
"""

from __future__ import annotations

from numbers import Real
from typing import Any, Literal

import numpy as np

from skdyn.koopman._lifted import LiftedModel, unit_columns
from skdyn.koopman._rank import (
    RANK,
    Data,
    choose_rank,
    predicted_directions,
    truncated_svd,
)
from skdyn.koopman._streaming import FORGETTING
from skdyn.utils._sklearn import HasMethods, Interval, StrOptions

__all__ = ["EDMD"]


class EDMD(LiftedModel):
    """Extended dynamic mode decomposition.

    Lifts rows by functions of the state and fits the linear map of lifted rows to their
    successors. What is nonlinear in the state can be linear in the lift: eigenvalues
    and eigenfunctions of the Koopman operator, with residuals that say which to
    believe.

    Parameters
    ----------
    lift : transformer, default=None
        Functions of the state: a lift of `skdyn.preprocessing`, a Pipeline of such, a
        delay embedding, or any scikit-learn feature transformer. The way back from one
        without inverse is fitted. None is ``PolynomialLift(2)``.
    rank : int, float, "auto" or None, default=None
        Singular values of the lifted rows that are kept, as in `DMD`; with
        ``regression="reduced_rank"``, an int, the rank of the map.
    alpha : float, default=0.0
        Ridge penalty, relative to the mean square of each lifted column, so that
        neither units nor the number of rows matter.
    regression : {"least_squares", "reduced_rank"}, default="least_squares"
        How the map is fitted: "reduced_rank" keeps the `rank` directions that are
        predicted best.
    bilinear : bool, default=False
        Whether inputs also act in products with the lifted state.
    relift : bool, default=False
        Whether a forecast goes back to the state and lifts again at every step.
    dt : float, default=1.0
        Time between rows: growth rates are per unit time, frequencies in cycles per
        unit time.
    forgetting : float, default=1.0
        Weight of a row relative to the next, for systems that drift: the memory is some
        ``1 / (1 - forgetting)`` rows long. 1 forgets nothing. Below 1, trajectories
        that come by ``partial_fit`` make those before count less.

    Attributes
    ----------
    lift_ : transformer
        The fitted clone.
    spectrum_ : Spectrum
        Eigenvalues, growth rates, frequencies, modes, amplitudes and residuals;
        computed when first asked for.
    koopman_matrix_ : ndarray of shape (n_lifted, n_lifted)
        K, acting on lifted rows from the right.
    input_matrix_ : ndarray of shape (n_inputs, n_lifted)
        B, with inputs.
    bilinear_matrix_ : ndarray of shape (n_inputs, n_lifted, n_lifted)
        N, one matrix for each input, where `bilinear`.
    rank_ : int
        Rank of the map.
    n_features_in_, n_inputs_ : int
        Number of features and inputs in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.
    min_context_ : int
        Rows of history that a forecast needs: those of the lift.
    context_ : Trajectories
        The last rows of each training trajectory, where ``predict(h)`` starts.

    See Also
    --------
    DMD : The same without a lift.
    MPEDMD : For systems that preserve a measure.
    skdyn.koopman.pseudospectrum : Residuals of any complex number.

    References
    ----------
    Williams, Kevrekidis & Rowley, "A data-driven approximation of the Koopman operator:
    extending dynamic mode decomposition", Journal of Nonlinear Science 25 (2015), 1307.

    Korda & Mezic, "Linear predictors for nonlinear dynamical systems: Koopman operator
    meets model predictive control", Automatica 93 (2018), 149.

    Kostic, Novelli, Maurer, Ciliberto, Rosasco & Pontil, "Learning dynamical systems
    via Koopman operator regression in reproducing kernel Hilbert spaces", NeurIPS 35
    (2022).

    Goswami & Paley, "Global bilinearization and controllability of control-affine
    nonlinear systems: a Koopman spectral approach", IEEE Conference on Decision and
    Control (2017), 6107.

    Examples
    --------
    A system that is linear in (x, y, x²):

    >>> import numpy as np
    >>> from skdyn.koopman import EDMD
    >>> from skdyn.preprocessing import FunctionLift
    >>> X = np.empty((2, 30, 2))
    >>> X[:, 0] = [[1.0, 0.5], [-0.7, 1.0]]
    >>> for k in range(29):
    ...     x, y = X[:, k].T
    ...     X[:, k + 1] = np.column_stack([0.9 * x, 0.5 * y + 0.3 * x**2])
    >>> edmd = EDMD(FunctionLift([lambda x: x[:, 0] ** 2], names=["x0^2"])).fit(X)
    >>> edmd.spectrum_.eigenvalues.real.round(6)  # 0.9, 0.9², 0.5
    array([0.9 , 0.81, 0.5 ])
    """

    _parameter_constraints: dict = {
        "lift": [HasMethods(["fit", "transform"]), None],
        "rank": RANK,
        "alpha": [Interval(Real, 0, None, closed="left")],
        "regression": [StrOptions({"least_squares", "reduced_rank"})],
        "bilinear": ["boolean"],
        "relift": ["boolean"],
        "dt": [Interval(Real, 0, None, closed="neither")],
        "forgetting": FORGETTING,
    }
    __metadata_request__fit = {"u": True, "weights": True}
    __metadata_request__partial_fit = {"u": True, "weights": True}

    def __init__(
        self,
        lift: Any = None,
        *,
        rank: int | float | Literal["auto"] | None = None,
        alpha: float = 0.0,
        regression: Literal["least_squares", "reduced_rank"] = "least_squares",
        bilinear: bool = False,
        relift: bool = False,
        dt: float = 1.0,
        forgetting: float = 1.0,
    ) -> None:
        self.lift = lift
        self.rank = rank
        self.alpha = alpha
        self.regression = regression
        self.bilinear = bilinear
        self.relift = relift
        self.dt = dt
        self.forgetting = forgetting

    def fit(self, X: Any, y: Any = None, *, u: Any = None, weights: Any = None) -> EDMD:
        """Fit the lift and the linear map of lifted rows to their successors.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories, each one row longer than the lift needs at least.
        y : ignored
            For scikit-learn's signature.
        u : array-like of shape (n_samples, n_inputs), or list of these, default=None
            Inputs; row k acts between rows k and k+1 of `X`.
        weights : array-like of shape (n_samples,), or list of these, default=None
            Weights of rows, such as those of a quadrature; that of row k counts for the
            pair of rows k and k+1. For a 3-D `X`, of shape (n_trajectories, n_samples).

        Returns
        -------
        EDMD
            The estimator itself.

        Raises
        ------
        ValueError
            If `bilinear` is asked for without inputs, and for wrong weights.
        """
        fitted: EDMD = self._fit(X, u, weights, earlier=None)
        return fitted

    def partial_fit(
        self, X: Any, y: Any = None, *, u: Any = None, weights: Any = None
    ) -> EDMD:
        """Go on with further trajectories, as if all had been fitted together.

        The lift is fitted to the first call's trajectories and kept.

        Parameters
        ----------
        X, y, u, weights
            As in `fit`. The trajectories become the context of ``predict(h)``.

        Returns
        -------
        EDMD
            The estimator itself.
        """
        earlier = getattr(self, "_moments", None)
        fitted: EDMD = self._fit(X, u, weights, earlier=earlier)
        return fitted

    def _solve_map(
        self, Z: np.ndarray, Y: np.ndarray, data: Data
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        p = Y.shape[1]
        Zs, scale = unit_columns(Z)
        reduced = self.regression == "reduced_rank"
        keep = None if reduced else self.rank
        U, s, Vh, _ = truncated_svd(Zs, keep, data, "full", None)
        W, L = Vh.conj().T, U.conj().T @ (Y / scale[:p])
        L *= (s / (s**2 + self.alpha))[:, None]
        if reduced:
            sizes, right = predicted_directions(s, L, self.alpha)
            right = right[: choose_rank(sizes, self.rank, data)]
            W, L = W @ (L @ right.conj().T), right
        W, L = W / scale[:, None], L * scale[:p]
        return W[:p], L, W[p:] @ L

"""Sparse identification of maps: x[k + 1] = f(x[k], u[k]), few terms in each equation.

Equations (Brunton, Proctor & Kutz 2016): rows and their successors, no derivatives,

    X[k + 1] = Theta(X[k], U[k]) Xi^T,        Xi (d, p) sparse.
"""

from __future__ import annotations

from numbers import Real
from typing import Any, Literal

import numpy as np

from skdyn.sindy._constraints import Constraints
from skdyn.sindy._library import Samples
from skdyn.sindy._model import SparseModel
from skdyn.utils._sklearn import HasMethods, Interval
from skdyn.utils._trajectories import check_weights

__all__ = ["DiscreteSINDy"]


class DiscreteSINDy(SparseModel):
    """Sparse identification of nonlinear dynamics, in discrete time.

    Finds equations ``x[k + 1] = f(x[k], u[k])`` with few terms each, out of a library
    of candidate terms.

    Parameters
    ----------
    lift : transformer, default=None
        The library: a lift of `skdyn.preprocessing`, sums and products of such, or a
        scikit-learn feature transformer of single rows, fitted on the columns
        [states, inputs]. None is ``PolynomialLift(2)``.
    solver : solver, default=None
        How few terms are chosen: a solver of `skdyn.sindy`, or a linear model of
        scikit-learn. None is ``STLSQ()``.
    constraints : Constraints or None, default=None
        What is known of the equations beforehand: terms, values, signs, bounds,
        relations.
    dt : float, default=1.0
        Time between rows, the unit of rates that inspection gives.

    Attributes
    ----------
    equations_ : Equations
        The equations, to print and to call.
    coef_ : ndarray of shape (n_features, n_terms)
        Coefficients, a row for each equation.
    terms_ : ndarray of shape (n_terms,)
        Names of the terms.
    n_terms_ : ndarray of shape (n_features,)
        Terms in each equation.
    library_ : Library
        The fitted terms.
    solver_ : solver
        The fitted clone; ``solver_.solution_`` has its path.
    problem_ : Problem
        Moments of terms and successors, that solvers work on.
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
    SINDy : For flows, x' = f(x, u).
    skdyn.koopman.EDMD : A linear map of lifted rows.

    Notes
    -----
    Noise in the rows is noise in the terms as well, which biases all coefficients:
    smooth the data first, or fit the flow.

    References
    ----------
    Brunton, Proctor & Kutz, "Discovering governing equations from data by sparse
    identification of nonlinear dynamical systems", PNAS 113 (2016), 3932.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.sindy import DiscreteSINDy, STLSQ
    >>> x = [0.5]
    >>> for _ in range(200):
    ...     x.append(3.6 * x[-1] * (1 - x[-1]))
    >>> model = DiscreteSINDy(solver=STLSQ(0.1)).fit(np.array(x)[:, None])
    >>> [str(term) for term in model.terms_]
    ['1', 'x0', 'x0^2']
    >>> model.coef_.round(6) + 0.0
    array([[ 0. ,  3.6, -3.6]])
    """

    _parameter_constraints: dict = {
        "lift": [HasMethods(["fit", "transform"]), None],
        "solver": [HasMethods(["fit", "predict"]), None],
        "constraints": [Constraints, None],
        "dt": [Interval(Real, 0, None, closed="neither")],
    }
    __metadata_request__fit = {"u": True, "weights": True}
    __metadata_request__partial_fit = {"u": True, "weights": True}
    _kind: Literal["flow", "map"] = "map"

    def __init__(
        self,
        lift: Any = None,
        solver: Any = None,
        *,
        constraints: Constraints | None = None,
        dt: float = 1.0,
    ) -> None:
        self.lift = lift
        self.solver = solver
        self.constraints = constraints
        self.dt = dt

    def fit(
        self, X: Any, y: Any = None, *, u: Any = None, weights: Any = None
    ) -> DiscreteSINDy:
        """Fit the library and the equations.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories of at least 2 rows each.
        y : ignored
            For scikit-learn's signature.
        u : array-like of shape (n_samples, n_inputs), or list of these, default=None
            Inputs; row k acts between rows k and k+1 of `X`.
        weights : array-like of shape (n_samples,), or list of these, default=None
            Weights of rows, at least 0; that of row k counts for the pair of rows k
            and k+1.

        Returns
        -------
        DiscreteSINDy
            The estimator itself.

        Warns
        -----
        UserWarning
            Where terms are the same on all rows, or no term is left of an equation.
        """
        return self._fit(X, u, weights, first=True)

    def partial_fit(
        self, X: Any, y: Any = None, *, u: Any = None, weights: Any = None
    ) -> DiscreteSINDy:
        """Go on with further trajectories, as if all had been fitted together.

        The library is fitted to the first call's trajectories and kept.

        Parameters
        ----------
        X, y, u, weights
            As in `fit`. The trajectories become the context of ``predict(h)``.

        Returns
        -------
        DiscreteSINDy
            The estimator itself.
        """
        return self._fit(X, u, weights, first=not hasattr(self, "_moments"))

    def _fit(self, X: Any, u: Any, weights: Any, *, first: bool) -> DiscreteSINDy:
        trajectories, inputs = self._check_fit(X, u, reset=first)
        shares = check_weights(weights, trajectories)
        samples = [
            Samples(
                piece[:-1],
                piece[1:],
                None if inputs is None else inputs[i][:-1],
                None if shares is None else shares[i][:-1],
            )
            for i, piece in enumerate(trajectories.pieces)
        ]
        self._learn(trajectories, inputs, samples, u, first=first)
        self._remember(trajectories, inputs)
        return self

    def _step(
        self, state: np.ndarray, u: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        row = np.asarray(self.equations_.function(state, u))
        return row, row

    def _jacobian(self, state: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        """Derivative (batch, d, d) of the next row by the state."""
        return np.asarray(self.equations_.jacobian(state, u))

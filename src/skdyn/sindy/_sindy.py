"""Sparse identification of flows: x' = f(x, u), few terms in each equation.

Equations (Brunton, Proctor & Kutz 2016): with derivatives X' of the rows X (n, d), and
a library Theta(X, U) (n, p) of functions of states and inputs,

    X' = Theta(X, U) Xi^T,        Xi (d, p) sparse.

Derivatives are measured, or taken from the data by a differentiator
(`skdyn.utils._differentiation`), whose states are then the smoothed ones. Only moments
of [Theta X'] are kept, summed block by block of rows, and a sparse solver works on
them. A forecast integrates the equations found.
"""

from __future__ import annotations

from functools import partial
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skdyn.datasets import Flow
from skdyn.sindy._constraints import Constraints
from skdyn.sindy._library import Samples
from skdyn.sindy._model import (
    IMPLICIT,
    FlowForecasts,
    InputFunctions,
    SparseModel,
    check_weights,
    input_clocks,
    median_step,
)
from skdyn.utils._differentiation import (
    METHODS,
    Differentiator,
    derivatives,
    resolve,
)
from skdyn.utils._sklearn import HasMethods, Interval, StrOptions
from skdyn.utils._trajectories import Trajectories, as_trajectories, check_times

__all__ = ["SINDy"]

METHOD_NAMES = {"dop853", "rk45", "rk4"} | IMPLICIT


class SINDy(FlowForecasts, SparseModel):
    """Sparse identification of nonlinear dynamics, in continuous time.

    Finds equations ``x' = f(x, u)`` with few terms each, out of a library of candidate
    terms, and forecasts by integrating them.

    Parameters
    ----------
    lift : transformer, default=None
        The library: a lift of `skdyn.preprocessing`, sums and products of such, or a
        scikit-learn feature transformer of single rows, fitted on the columns
        [states, inputs]. None is ``PolynomialLift(2)``. Scalers go in front of the
        estimator, in a Pipeline; equations are then those of scaled states.
    solver : solver, default=None
        How few terms are chosen: a solver of `skdyn.sindy`, or a linear model of
        scikit-learn. None is ``STLSQ()``.
    constraints : Constraints or None, default=None
        What is known of the equations beforehand: terms, values, signs, bounds,
        relations.
    differentiation : str or Differentiator, default="spline"
        How derivatives are taken from the data where they are not given, as in
        `skdyn.preprocessing.differentiate`. The default smooths as much as generalised
        cross-validation says: next to nothing for clean data. States are those that
        belong to the derivatives, smoothed where the method smooths. Rows near the ends
        of trajectories, where a spline's derivatives are far worse, are left out.
    dt : float or None, default=None
        Time between rows: of the data, unless `t` says otherwise, and of forecasts.
        None is the median step of `t`, or 1 without `t`.
    method : {"dop853", "rk45", "rk4", "lsoda", "radau", "bdf"}, default="dop853"
        How forecasts are integrated: "lsoda", "radau" and "bdf" for stiff equations;
        "rk4" takes one step from row to row, without error control.
    rtol : float, default=1e-8
        Relative tolerance of a step of the integrator.
    atol : float or None, default=None
        Absolute tolerance. None is a thousandth of `rtol` times the largest value of
        each state in the training data, so that units do not matter.
    max_steps : int, default=1000
        Steps that the integrator may attempt up to the first row of a forecast, and 100
        more for every further row. What needs more ends in NaN and a warning, so that
        no forecast hangs.

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
        Moments of terms and derivatives, that solvers work on.
    dt_ : float
        Time between rows of forecasts.
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
    DiscreteSINDy : For maps, x[k + 1] = f(x[k], u[k]).
    skdyn.koopman.GeneratorEDMD : Linear equations of lifted rows.

    Notes
    -----
    Rows of inputs are held from row to row in forecasts: row k acts from row k until
    row k + 1, as in all models with inputs, while ``fit`` takes row k for the input at
    the time of row k. For inputs that change smoothly between rows the two differ by
    half a step: pass a function ``u(t)``, which acts as it is.

    References
    ----------
    Brunton, Proctor & Kutz, "Discovering governing equations from data by sparse
    identification of nonlinear dynamical systems", PNAS 113 (2016), 3932.

    Brunton, Proctor & Kutz, "Sparse identification of nonlinear dynamics with control
    (SINDYc)", IFAC-PapersOnLine 49 (2016), 710.

    Examples
    --------
    >>> from skdyn.datasets import lorenz63, make_trajectories
    >>> from skdyn.sindy import SINDy, STLSQ
    >>> X = make_trajectories(lorenz63(), 5000, dt=0.002)
    >>> model = SINDy(solver=STLSQ(0.1), dt=0.002).fit(X)
    >>> model.n_terms_
    array([2, 3, 2])
    >>> model.coef_[0][model.coef_[0] != 0].round(3)
    array([-10.,  10.])
    >>> model.predict(100).shape
    (100, 3)
    """

    _parameter_constraints: dict = {
        "lift": [HasMethods(["fit", "transform"]), None],
        "solver": [HasMethods(["fit", "predict"]), None],
        "constraints": [Constraints, None],
        "differentiation": [StrOptions(set(METHODS)), Differentiator],
        "dt": [Interval(Real, 0, None, closed="neither"), None],
        "method": [StrOptions(METHOD_NAMES)],
        "rtol": [Interval(Real, 0, None, closed="neither")],
        "atol": [Interval(Real, 0, None, closed="left"), None],
        "max_steps": [Interval(Integral, 1, None, closed="left")],
    }
    __metadata_request__fit = {"u": True, "t": True, "x_dot": True, "weights": True}
    __metadata_request__partial_fit = __metadata_request__fit

    def __init__(
        self,
        lift: Any = None,
        solver: Any = None,
        *,
        constraints: Constraints | None = None,
        differentiation: str | Differentiator = "spline",
        dt: float | None = None,
        method: Literal["dop853", "rk45", "rk4", "lsoda", "radau", "bdf"] = "dop853",
        rtol: float = 1e-8,
        atol: float | None = None,
        max_steps: int = 1000,
    ) -> None:
        self.lift = lift
        self.solver = solver
        self.constraints = constraints
        self.differentiation = differentiation
        self.dt = dt
        self.method = method
        self.rtol = rtol
        self.atol = atol
        self.max_steps = max_steps

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        u: Any = None,
        t: Any = None,
        x_dot: Any = None,
        weights: Any = None,
    ) -> SINDy:
        """Fit the library and the equations.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories. With `x_dot`, rows in any order.
        y : ignored
            For scikit-learn's signature.
        u : array-like of shape (n_samples, n_inputs), list of these, or callable
            Inputs at the times of the rows, default None. A function ``u(t)`` gives
            (n_inputs,) at a time, and may take many times; its time is that of `t`, or
            0 at the first row. A list of functions has one for each trajectory.
        t : array-like of shape (n_samples,), or list of these, default=None
            Times of the rows, strictly increasing; None is one row every `dt`. Contexts
            of forecasts, and what is scored, are rows every ``dt_`` in any case.
        x_dot : array-like of shape (n_samples, n_features), or list, default=None
            Time derivatives of the rows, in the form of `X`; None takes them from the
            data.
        weights : array-like of shape (n_samples,), or list of these, default=None
            Weights of the rows, at least 0.

        Returns
        -------
        SINDy
            The estimator itself.

        Raises
        ------
        ValueError
            If times are not increasing, a trajectory is too short for the
            differentiator, or `x_dot`, `u` or `weights` do not fit `X`.

        Warns
        -----
        UserWarning
            Where terms are the same on all rows, or no term is left of an equation.
        """
        return self._fit(X, u, t, x_dot, weights, first=True)

    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        *,
        u: Any = None,
        t: Any = None,
        x_dot: Any = None,
        weights: Any = None,
    ) -> SINDy:
        """Go on with further trajectories, as if all had been fitted together.

        The library is fitted to the first call's trajectories and kept.

        Parameters
        ----------
        X, y, u, t, x_dot, weights
            As in `fit`. The trajectories become the context of ``predict(h)``.

        Returns
        -------
        SINDy
            The estimator itself.
        """
        first = not hasattr(self, "_moments")
        return self._fit(X, u, t, x_dot, weights, first=first)

    def _fit(
        self, X: Any, u: Any, t: Any, x_dot: Any, weights: Any, *, first: bool
    ) -> SINDy:
        if InputFunctions.are(u):
            u = self._sampled(X, u, t, first)
        least = 2 if x_dot is None else 1
        trajectories, inputs = self._check_fit(X, u, min_rows=least, reset=first)
        shares = check_weights(weights, trajectories)
        dt = self._step_of(trajectories, t)
        found = derivatives(trajectories, self.differentiation, dt, t, x_dot)
        if x_dot is None:
            method = resolve(self.differentiation)
            found = [
                each.without_ends(int(method._rough_ends(each).max())) for each in found
            ]
        samples = [
            Samples(
                each.x,
                each.x_dot,
                None if inputs is None else inputs[i][each.rows],
                None if shares is None else shares[i][each.rows],
            )
            for i, each in enumerate(found)
        ]
        self._learn(trajectories, inputs, samples, u, first=first)
        ends = [(x.max(axis=0), -x.min(axis=0)) for x in trajectories.pieces]
        scale = np.max(ends, axis=(0, 1)).astype(np.float64)
        self._scale = scale if first else np.maximum(self._scale, scale)
        self.dt_ = dt
        self._ends = self._end_times(trajectories, t, dt)
        self._remember(trajectories, inputs)
        return self

    def _sampled(self, X: Any, u: Any, t: Any, first: bool) -> Any:
        """Inputs u(t) at the times of the rows, in the form of X."""
        trajectories = as_trajectories(X)
        if t is None and trajectories.spans is not None:
            raise ValueError(
                "An input u(t) needs the times of rows between which there are gaps: "
                "needed t, got none. Pass t, or the inputs as rows."
            )
        step = self._step_of(trajectories, t)
        if t is None:
            times = input_clocks(trajectories, step)
        else:
            times = check_times(t, trajectories)
        width = 0 if first else self.n_inputs_
        start = float(times[0][0])
        functions = InputFunctions.of(u, len(trajectories), width, start)
        groups = trajectories.groups(times)
        return trajectories.join(
            [
                functions(clock, np.full(len(clock), i))
                for i, group in enumerate(groups)
                for clock in group
            ]
        )

    def _step_of(self, trajectories: Trajectories, t: Any) -> float:
        if self.dt is not None:
            return float(self.dt)
        return 1.0 if t is None else median_step(check_times(t, trajectories))

    def _end_times(self, trajectories: Trajectories, t: Any, dt: float) -> list[float]:
        """Time of the last row of each trajectory."""
        if t is None:
            clocks = input_clocks(trajectories, dt)
        else:
            clocks = check_times(t, trajectories)
        return [float(group[-1][-1]) for group in trajectories.groups(clocks)]

    @property
    def flow_(self) -> Flow:
        """The equations as a `skdyn.datasets.Flow`, for models without inputs.

        What takes a known system takes it: `skdyn.datasets.make_trajectories`,
        `skdyn.inspection.lyapunov_spectrum`, which integrate the flow itself.
        """
        check_is_fitted(self)
        if self.n_inputs_:
            raise ValueError(
                f"A flow is a system without inputs: {type(self).__name__} was fitted "
                f"with {self.n_inputs_}. Use forecast, or equations_ at a constant "
                f"input."
            )
        return Flow(
            velocity=partial(_velocity, self.equations_),
            n_features=self.n_features_in_,
            jacobian=partial(_jacobian, self.equations_),
            name=type(self).__name__,
            feature_names=self.library_.states,
            dt=self.dt_,
            is_stiff=self.method in IMPLICIT,
        )


def _velocity(equations: Any, t: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.asarray(equations.function(x, None))


def _jacobian(equations: Any, t: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.asarray(equations.jacobian(x, None))

"""What the models of the family share: a library, a solver, equations, forecasts.

Equations are fitted to moments (`skdyn.sindy._problem`), so that all that a model adds
is what its rows are: derivatives and the states that they belong to, successors,
integrals against test functions. Moments add over trajectories, which gives
``partial_fit``.

A flow x' = f(x, u) is forecast by the batched integrator (`skdyn.utils._integrate`).
Rows of inputs are held from row to row: row k acts between rows k and k + 1, the
convention of all models with inputs, under which a forecast needs no input of the
future and a shorter one is the beginning of a longer one. An input u(t) is taken as it
is, at every stage of the integrator.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skdyn.base import (
    ForecasterMixin,
    ForecastInterval,
    Horizon,
    as_horizon,
    check_coverage,
    interval_of,
    interval_request,
)
from skdyn.sindy._bands import drawn_coefficients, forecasts_of
from skdyn.sindy._constraints import Constraints, constrained_problem
from skdyn.sindy._equations import Equations
from skdyn.sindy._input_functions import Clocked, InputFunctions, input_clocks
from skdyn.sindy._integrated import Integrated, rows_of
from skdyn.sindy._library import Library, Samples, fit_library, library_moments
from skdyn.sindy._problem import Problem
from skdyn.sindy._single import integrate_singly, most_singly
from skdyn.sindy._solver import Solver
from skdyn.sindy._solver import warn_of_empty as _warn_of_empty
from skdyn.sindy._stlsq import STLSQ
from skdyn.sindy._uncertainty import (
    N_BLOCKS,
    CoefficientCovariance,
    coefficient_covariance,
)
from skdyn.utils._integrate import integrate
from skdyn.utils._moments import Moments
from skdyn.utils._sklearn import is_frame
from skdyn.utils._trajectories import Pieces, Trajectories
from skdyn.utils._warn import caller_level

__all__ = [
    "FlowForecasts",
    "SparseModel",
    "median_step",
]

# Terms whose cosine differs from 1 by less are one term, up to a factor.
_SAME = 1e-13
# Singular values below it, of columns of unit norm, are rounding.
_NOTHING = 1e-14
# Terms up to which moments of blocks of rows are kept, for intervals.
_FEW_TERMS = 64
# How many terms a warning names.
_TOLD = 8
# Starts that are integrated together, so that their stages stay in the cache.
_TOGETHER = 8192
# Methods for stiff equations, which use derivatives of the right-hand side.
IMPLICIT = {"lsoda", "radau", "bdf"}


def _has_intervals(model: Any) -> bool:
    return bool(model._gives_intervals)


class SparseModel(ForecasterMixin, BaseEstimator):
    """Base of models that are sparse equations: what follows once moments are known.

    Subclasses have the parameters `lift`, `solver` and `dt`, and `constraints` where
    they take these. Their ``fit`` makes `Samples` and calls ``_learn``, or
    ``_solve_for`` where they make moments of their own. Both set what models share:

    library_ : Library
        The fitted terms.
    problem_ : Problem
        Moments of terms and targets.
    solver_ : Solver
        The fitted clone; its ``solution_`` has the path.
    coef_ : ndarray of shape (n_equations, n_terms)
        Coefficients.
    equations_ : Equations
        The equations, to print and to call.
    terms_ : ndarray of shape (n_terms,)
        Names of the terms.
    n_terms_ : ndarray of shape (n_equations,)
        Terms in each equation.
    """

    _kind: Literal["flow", "map"] = "flow"
    # Whether equations are linear in their coefficients, and terms those of a library.
    _gives_intervals = True

    lift: Any
    solver: Any
    dt: float | None
    constraints: Constraints | None = None
    _moments: Moments
    _blocks: tuple[Moments, ...]

    def _resolved_solver(self) -> Solver:
        """A clone of the solver, its parameters checked; None is `STLSQ`."""
        if self.solver is None:
            return STLSQ()
        solver = clone(self.solver)
        if not isinstance(solver, Solver):
            from skdyn.sindy._linear import LinearSolver

            solver = LinearSolver(solver)
        solver._validate_params()
        return solver

    @available_if(_has_intervals)
    def coef_interval(self, coverage: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """Intervals of the coefficients, given the terms that were found.

        They account for errors that rows share with their neighbours, as derivatives
        do (`skdyn.sindy._uncertainty`), and for constraints that hold with equality:
        what is fixed has no width. They do not account for the choice of terms, for
        which see `Ensemble`, nor for bias by smoothing.

        Parameters
        ----------
        coverage : float, default=0.9
            Probability with which an interval holds the coefficient.

        Returns
        -------
        lower, upper : ndarray of shape (n_equations, n_terms)
            Ends; zero for terms that were left out.

        Raises
        ------
        ValueError
            For libraries of more than 64 columns, unless the solver asks for blocks of
            rows, as `BayesianSparse` does; and for coefficients that are not least
            squares.
        """
        return self._covariance().interval(self.coef_, coverage)

    @property
    def coef_std_(self) -> np.ndarray:
        """Standard errors of the coefficients, (n_equations, n_terms)."""
        if not self._gives_intervals:
            raise AttributeError(f"{type(self).__name__} has no standard errors.")
        return self._covariance().std

    @property
    def inclusion_(self) -> np.ndarray:
        """Probability, or share of models, of each term, (n_equations, n_terms).

        For models whose solver gives it: `Ensemble`, `BayesianSparse`.
        """
        check_is_fitted(self)
        found = self.solver_.solution_.inclusion
        if found is None:
            raise AttributeError(
                f"{type(self.solver_).__name__} gives no inclusion probabilities. Use "
                f"the solver Ensemble or BayesianSparse."
            )
        return found

    @available_if(_has_intervals)
    def forecast_interval(
        self,
        n_steps: int | Horizon,
        coverage: float = 0.9,
        context: Any = None,
        u: Any = None,
        *,
        n_models: int = 100,
        random_state: Any = 0,
    ) -> ForecastInterval:
        """A forecast with the band of what the data leaves open of the equations.

        The models of an `Ensemble` make the band where that is the solver; else
        coefficients are drawn from their distribution, given the terms.

        Parameters
        ----------
        n_steps : int or Horizon
            The number of rows, at least 1, or a request with a context of its own.
        coverage : float, default=0.9
            Share of the models' forecasts within the band, step by step.
        context : array-like or list of array-likes, default=None
            The rows to continue; None continues the trajectories of ``fit``.
        u : array-like, list of array-likes, or callable, default=None
            Inputs, for models fitted with inputs, as in ``predict``.
        n_models : int, default=100
            How many models are drawn; an `Ensemble` has its own.
        random_state : int, RandomState or None, default=0
            Seeds the draws.

        Returns
        -------
        ForecastInterval
            ``mean`` is the model's own forecast; `samples` has the models' forecasts
            along its first axis (a list of these for several trajectories). Ends are
            infinite where more models have diverged than the coverage leaves out.
            Noise of observations is not part of it.
        """
        check_is_fitted(self)
        check_coverage(coverage)
        models = self.solver_.solution_.ensemble
        if models is None:
            models = drawn_coefficients(
                self.coef_,
                self._covariance(),
                n_models,
                check_random_state(random_state),
            )
        horizon = interval_request(n_steps, context, u)
        starts, past, future = self._resolved(horizon)
        states = self._begin_all(starts.pieces, past)
        samples = forecasts_of(self, models, states, horizon.n_steps, future)
        return interval_of(
            samples,
            coverage,
            horizon,
            starts,
            who=type(self).__name__,
            mean=self._forecast_from(starts, past, future, horizon.n_steps),
            lost_beyond=True,
        )

    def _begin(self, contexts: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        return contexts[:, -1].astype(np.float64)

    def _covariance(self) -> CoefficientCovariance:
        check_is_fitted(self)
        if not self.problem_.blocks:
            raise ValueError(
                f"Intervals need moments of blocks of rows, which "
                f"{type(self).__name__} has not kept. Use a library of at most "
                f"{_FEW_TERMS} terms, with intervals=True for WeakSINDy, or a solver "
                f"that asks for blocks, such as BayesianSparse or Ensemble."
            )
        return coefficient_covariance(self.problem_, self.coef_)

    def _blocks_for(self, solver: Solver, n_terms: int) -> int:
        """Blocks of rows to keep: what the solver asks for, and for intervals."""
        cheap = n_terms <= _FEW_TERMS
        return max(solver._n_blocks, N_BLOCKS if cheap else 0)

    def _feature_names(self, u: Any) -> list[str]:
        """Names of states and inputs, those of DataFrames where there are any."""
        d, m = self.n_features_in_, self.n_inputs_
        names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(d)])
        first = u[0] if isinstance(u, (list, tuple)) and m else u
        given = list(first.columns) if is_frame(first) else range(m)
        texts = all(isinstance(name, str) for name in given)
        inputs = given if texts and m else [f"u{j}" for j in range(m)]
        return [*(str(name) for name in names), *(str(name) for name in inputs)]

    def _learn(
        self,
        trajectories: Trajectories,
        inputs: Pieces | None,
        samples: Sequence[Samples],
        u: Any,
        *,
        first: bool,
    ) -> None:
        """Fit the library (once), add the moments of `samples`, solve."""
        if first:
            names = self._feature_names(u)
            library = fit_library(self.lift, trajectories, inputs, names)
        else:
            library = self.library_
        solver = self._resolved_solver()
        moments, blocks = library_moments(
            library, samples, self._blocks_for(solver, len(library.terms))
        )
        if not first:
            moments, blocks = self._moments + moments, self._blocks + blocks
        self._solve_for(library, moments, blocks, solver=solver)
        self._moments, self._blocks = moments, blocks

    def _solve_for(
        self,
        library: Library,
        moments: Moments,
        blocks: tuple[Moments, ...] = (),
        n_effective: float | None = None,
        solver: Solver | None = None,
    ) -> None:
        """Build the problem, run a clone of the solver, set the fitted attributes."""
        problem = Problem(moments, library.terms, library.states, blocks, n_effective)
        self._solve_problem(problem, library, solver)
        self.library_ = library
        self.equations_ = Equations(self.coef_, library, self._kind)

    def _solve_problem(
        self, problem: Problem, library: Library | None, solver: Solver | None
    ) -> None:
        """Run a clone of the solver, constraints around it; set what it found."""
        warn_of_twins(problem, type(self).__name__)
        if solver is None:
            solver = self._resolved_solver()
        if self.constraints is None:
            solver.solution_ = solver._solve(problem)
        else:
            known = constrained_problem(problem, library, self.constraints, self._kind)
            solver.solution_ = known.restored(solver._solve(known.rest))
            known.check(solver.solution_.coef, solver)
            problem = known.whole
        solver.coef_, solver.intercept_ = solver.solution_.coef, 0.0
        solver.n_features_in_ = len(problem.terms)
        self.problem_, self.solver_ = problem, solver
        self.coef_ = solver.solution_.coef
        _warn_of_empty(problem, self.coef_, solver)
        self.terms_ = np.array(problem.terms, dtype=object)
        self.n_terms_ = np.count_nonzero(self.coef_, axis=1)


def warn_of_twins(problem: Problem, who: str) -> None:
    """Warn where terms are zero, or the same up to a factor, on all rows."""
    terms, size = problem.terms, problem.term_size
    zero = [repr(terms[i]) for i in np.flatnonzero(size == 0)]
    if zero:
        warnings.warn(
            f"Terms of the library of {who} are zero on all rows, so they stand in no "
            f"equation: {', '.join(zero)}. Leave them out, or drop the feature that is "
            f"zero.",
            UserWarning,
            stacklevel=caller_level(),
        )
    if problem.gram is not None:
        cosine = problem.gram
    else:
        rows = problem.rows[0]
        norm = np.linalg.norm(rows, axis=0)
        unit = rows / np.where(norm > 0, norm, 1.0)
        cosine = unit.T @ unit
    same = np.abs(cosine) > 1 - _SAME
    groups: dict[int, list[int]] = {}
    taken: set[int] = set()
    for i in np.flatnonzero(np.count_nonzero(same, axis=1) > 1).tolist():
        if i in taken or size[i] == 0:
            continue
        groups[i] = np.flatnonzero(same[i]).tolist()
        taken.update(groups[i])
    if not groups and problem.gram is None:
        _warn_of_dependence(unit[:, size > 0], np.array(terms)[size > 0], who)
    if groups:
        told = "; ".join(
            ", ".join(repr(terms[i]) for i in group) for group in groups.values()
        )
        warnings.warn(
            f"Terms of the library of {who} are the same up to a factor on all rows: "
            f"{told}. Least squares cannot tell them apart, and shares the "
            f"coefficient out. Drop a constant feature, or choose a lift without one "
            f"of them.",
            UserWarning,
            stacklevel=caller_level(),
        )


def _warn_of_dependence(unit: np.ndarray, terms: np.ndarray, who: str) -> None:
    """Warn where terms, in columns of unit norm, depend on each other linearly."""
    _, sizes, directions = np.linalg.svd(unit, full_matrices=False)
    if not sizes[-1] <= _NOTHING * sizes[0]:
        return
    share = np.abs(directions[-1])
    involved = terms[share > 0.05 * share.max()]
    told = ", ".join(repr(str(name)) for name in involved[:_TOLD])
    if len(involved) > _TOLD:
        told += f" and {len(involved) - _TOLD} more"
    warnings.warn(
        f"Terms of the library of {who} depend on each other linearly on all rows: "
        f"{told}. Least squares cannot tell them apart. Choose a lift without one of "
        f"them, or pass more varied data.",
        UserWarning,
        stacklevel=caller_level(),
    )


# -- forecasts of flows ----------------------------------------------------------------


class FlowForecasts(Integrated):
    """Forecasts of x' = f(x, u) by the batched integrator; before SparseModel.

    Subclasses have the parameters `method`, `rtol`, `atol` and `max_steps`, and set in
    ``fit`` ``dt_``, ``_scale`` (sizes (d,) of the states) and ``_ends`` (times of the
    ends of the trajectories). The right-hand side is ``_velocity``, that of
    ``equations_`` unless overridden, and its derivative ``_velocity_jacobian``.
    """

    _remedy = (
        "Where the equations are stiff, set method='lsoda'; where they move fast, "
        "raise max_steps; else they are not those of the data."
    )

    method: str
    rtol: float
    atol: float | None
    max_steps: int
    dt_: float
    _scale: np.ndarray
    _ends: list[float]
    equations_: Any

    def _velocity(self, x: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        return np.asarray(self.equations_.function(x, u))

    def _velocity_jacobian(self, x: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        return np.asarray(self.equations_.jacobian(x, u))

    def predict(self, X: Any, *, u: Any = None) -> Any:
        """Forecast: further rows for an int, one step ahead for data.

        Parameters
        ----------
        X : int, array-like of shape (n_samples, n_features), list of these, or Horizon
            An int asks for that many rows after the end of each training trajectory,
            `dt_` apart. Data asks for the row after each of its rows. A `Horizon` asks
            for rows after the end of a context of its own.
        u : array-like, list of array-likes, or callable, default=None
            Inputs, for models fitted with inputs. With data: one row for each row of
            `X`. With an int or a Horizon: see `Horizon`. Rows are held: row k acts
            from row k to row k + 1. A function ``u(t)`` (or a list of one for each
            trajectory) acts as it is; its time is 0 at the first row of data or of a
            context, and goes on after the training data where there is no context.

        Returns
        -------
        ndarray, or list of ndarrays
            In the form of the data: 2-D for one trajectory, a list for a list, 3-D for
            3-D.

        Warns
        -----
        DivergenceWarning
            When a forecast leaves the range of floating-point numbers or cannot be
            integrated on. The rows from there on are NaN.
        """
        if not InputFunctions.are(u) or as_horizon(X) is not None:
            return super().predict(X, u=u)
        check_is_fitted(self)
        trajectories = self._check_context(X, needs_last=False)
        self._check_inputs_given(u)
        functions = InputFunctions.of(u, len(trajectories), self.n_inputs_, 0.0)
        clocks = input_clocks(trajectories, self.dt_)
        groups = trajectories.groups(clocks)
        which = [
            np.full(len(clock), i) for i, group in enumerate(groups) for clock in group
        ]
        starts = trajectories.rows().astype(np.float64)
        acting = Clocked(functions, np.concatenate(clocks), np.concatenate(which))
        rows = self._rollout(starts, 1, acting)
        rows = self._finish(rows, trajectories.dtype)[:, 0]
        return trajectories.join(trajectories.split(rows))

    def _resolved(self, horizon: Horizon) -> tuple[Trajectories, Any, Any]:
        if not InputFunctions.are(horizon.u):
            return super()._resolved(horizon)
        self._check_inputs_given(horizon.u)
        starts = self._continued(horizon.context)
        n = len(starts.pieces)
        ends = self._ends
        if horizon.context is not None:
            ends = [(starts.origin(i)[0] - 1) * self.dt_ for i in range(n)]
        functions = InputFunctions.of(horizon.u, n, self.n_inputs_, ends[0])
        return starts, None, Clocked(functions, np.array(ends), np.arange(n))

    def _step(
        self, state: np.ndarray, u: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        row = self._integrated(state, 1, () if u is None else (u,))[:, 0]
        return row, row

    def _rollout(
        self, state: np.ndarray, n_steps: int, u: np.ndarray | Clocked | None
    ) -> np.ndarray:
        if u is None:
            return self._integrated(state, n_steps)
        if not isinstance(u, Clocked):
            # Inputs jump between rows, which no step may cross.
            return super()._rollout(state, n_steps, u)
        # From row to row: a step over many might not see a short pulse.
        sides, rows = self._right_side(u.functions), []
        for k in range(n_steps):
            given = u.time + k * self.dt_, u.which
            state = self._solution(*sides, state, 1, given)[:, 0]
            rows.append(state)
        return np.stack(rows, axis=1)

    def _integrated(
        self, state: np.ndarray, n_steps: int, given: tuple[np.ndarray, ...] = ()
    ) -> np.ndarray:
        """Rows (batch, n_steps, d) that follow states, under constant inputs if any.

        NaN where they cannot.
        """
        few = 0
        if type(self)._velocity is FlowForecasts._velocity:
            few = most_singly(self.equations_.function, self.method)
        return self._solution(
            *self._right_side(None), state, n_steps, given, n_singly=few
        )

    def _right_side(self, functions: InputFunctions | None) -> tuple[Any, Any]:
        """The velocity and its derivative, of times, states and what they need."""
        velocity, slope = self._velocity, self._velocity_jacobian
        if functions is None:
            return (
                lambda t, y, u=None: velocity(y, u),
                lambda t, y, u=None: slope(y, u),
            )
        return (
            lambda t, y, start, which: velocity(y, functions(start + t, which)),
            lambda t, y, start, which: slope(y, functions(start + t, which)),
        )

    def _solution(
        self,
        field: Callable[..., Any],
        slope: Callable[..., Any] | None,
        state: np.ndarray,
        n_steps: int,
        args: tuple[np.ndarray, ...],
        atol: Any = None,
        n_singly: int = 0,
    ) -> np.ndarray:
        """Integrate the finite ones of `state` over `n_steps` rows, many at a time.

        Up to `n_singly` of them go one by one, by the equations in floats.
        """
        times = self.dt_ * np.arange(n_steps + 1)
        rows = np.full((len(state), n_steps, state.shape[1]), np.nan)
        alive = np.flatnonzero(np.isfinite(state).all(axis=1))
        for start in range(0, len(alive), _TOGETHER):
            some = alive[start : start + _TOGETHER]
            how: dict[str, Any] = {
                "method": self.method,
                "rtol": self.rtol,
                "atol": self._tolerance() if atol is None else atol,
                "max_steps": self.max_steps,
                "first_step": None if self.method == "rk4" else self.dt_,
            }
            given = [arg[some] for arg in args]
            if len(some) <= n_singly:
                solution = integrate_singly(
                    self.equations_.function, state[some], times, *given, **how
                )
            else:
                jacobian = slope if self.method in IMPLICIT else None
                solution = integrate(
                    field, state[some], times, args=given, jacobian=jacobian, **how
                )
            rows[some] = rows_of(solution)
        return rows

    def _tolerance(self) -> np.ndarray:
        """Absolute tolerance of each state, by its size where none is given."""
        if self.atol is not None:
            return np.full(len(self._scale), float(self.atol))
        return 1e-3 * self.rtol * self._scale

    def _jacobian(self, state: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        """Derivative (batch, d, d) of the next row by the state.

        The flow and its tangent, x' = f(x), V' = Df(x) V with V = 1, integrated
        together.
        """
        n, d = state.shape

        def field(t: np.ndarray, y: np.ndarray, u: np.ndarray | None = None) -> Any:
            x = np.ascontiguousarray(y[:, :d])
            slopes = self._velocity_jacobian(x, u) @ y[:, d:].reshape(-1, d, d)
            return np.hstack([self._velocity(x, u), slopes.reshape(len(y), d * d)])

        eye = np.broadcast_to(np.eye(d).ravel(), (n, d * d))
        scale = np.where(self._scale > 0, self._scale, 1.0)
        weights = np.divide.outer(scale, scale).ravel()
        after = self._solution(
            field,
            None,
            np.hstack([state, eye]),
            1,
            () if u is None else (u,),
            atol=np.r_[self._tolerance(), 1e-3 * self.rtol * weights],
        )
        return after[:, 0, d:].reshape(n, d, d)


def median_step(times: Sequence[np.ndarray]) -> float:
    """The usual step of increasing times; 1 where there is none."""
    steps = [np.diff(clock) for clock in times if len(clock) > 1]
    return float(np.median(np.concatenate(steps))) if steps else 1.0

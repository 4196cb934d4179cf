"""Sparse identification of flows: x' = f(x, u), few terms in each equation.

Equations (Brunton, Proctor & Kutz 2016): with derivatives X' of the rows X (n, d), and
a library Theta(X, U) (n, p) of functions of states and inputs,

    X' = Theta(X, U) Xi^T,        Xi (d, p) sparse.

Derivatives are measured, or taken from the data by a differentiator
(`skdyn.utils._differentiation`), whose states are then the smoothed ones. Only moments
of [Theta X'] are kept, summed block by block of rows, and a sparse solver works on
them. A forecast integrates the equations found.

Noise. A spline that is smoothed as is best for the curve biases coefficients by more
than their standard errors, so ``differentiation="auto"`` smooths over 0.7 times the
length l that cross-validation finds. That leaves more noise, of high frequency: the
error of a derivative has the spectrum of omega A(omega), A = 1 / (1 + (l omega)^6). So
rows of [Theta X'] are averaged along time, by a Gaussian with transform W; the
equations, which are linear in the terms, hold for averages as they do for rows. What is
left in products of terms, noise of variance S in the states times the mean square of
A W, is taken back (`skdyn.sindy._noise`); terms and derivatives, even and odd in time,
have no common error. For criteria, n rows are worth

    n mean(f)² / mean(f²),    f = (omega A W)²,

which is n over the sum of squared correlations of the errors of derivatives.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skdyn.datasets import Flow
from skdyn.sindy._constraints import Constraints
from skdyn.sindy._input_functions import InputFunctions, input_clocks
from skdyn.sindy._library import Samples, fit_library, library_moments
from skdyn.sindy._model import IMPLICIT, FlowForecasts, SparseModel, median_step
from skdyn.sindy._noise import Sums, noise_moments, plus
from skdyn.sindy._test_functions import noise_variance
from skdyn.utils._differentiation import (
    METHODS,
    Derivative,
    Differentiator,
    SmoothingSpline,
    derivatives,
    resolve,
)
from skdyn.utils._sklearn import HasMethods, Interval, StrOptions
from skdyn.utils._trajectories import (
    Pieces,
    Trajectories,
    as_trajectories,
    check_times,
    check_weights,
)

__all__ = ["SINDy"]

METHOD_NAMES = {"dop853", "rk45", "rk4"} | IMPLICIT

# How "auto" takes derivatives; the standard deviation of the Gaussian in lengths over
# which they are smoothed, the share of a trajectory that it may cost at each end, and
# the length in rows below which nothing was smoothed.
_SPLINE = SmoothingSpline(undersmoothing=0.7)
_BLUR, _MOST_BLUR, _NO_LENGTH = 4.0, 1 / 16, 0.3
_FREQUENCIES = np.pi * (np.arange(1024) + 0.5) / 1024


class _Given(NamedTuple):
    """What ``fit`` was given, checked: weights by piece, and the time between rows."""

    trajectories: Trajectories
    inputs: Pieces | None
    u: Any
    shares: list[np.ndarray] | None
    dt: float


class _Averages(NamedTuple):
    """How rows of a stretch are averaged, and what noise is left in them.

    The standard deviation of the Gaussian, in rows; variances (d,) of noise in averaged
    states; and how many independent rows a row is worth, None where nobody knows.
    """

    blur: float = 0.0
    noise: np.ndarray | None = None
    worth: float | None = None


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
    differentiation : "auto", str or Differentiator, default="auto"
        How derivatives are taken from the data where they are not given. "auto" is for
        clean and for noisy data: ``SmoothingSpline(undersmoothing=0.7)``, which smooths
        next to nothing where data is clean; where it is not, rows of terms and
        derivatives are averaged along time over a few of its smoothing lengths, and
        coefficients are corrected for the noise that is left in products. Other names
        and instances are those of `skdyn.preprocessing.differentiate`, as they are.
        States are those that belong to the derivatives, smoothed where the method
        smooths. Rows near the ends of trajectories, where a spline's derivatives are
        far worse, are left out.
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
        "differentiation": [StrOptions({"auto", *METHODS}), Differentiator],
        "dt": [Interval(Real, 0, None, closed="neither"), None],
        "method": [StrOptions(METHOD_NAMES)],
        "rtol": [Interval(Real, 0, None, closed="neither")],
        "atol": [Interval(Real, 0, None, closed="left"), None],
        "max_steps": [Interval(Integral, 1, None, closed="left")],
    }
    __metadata_request__fit = {"u": True, "t": True, "x_dot": True, "weights": True}
    __metadata_request__partial_fit = __metadata_request__fit
    _sums: Sums

    def __init__(
        self,
        lift: Any = None,
        solver: Any = None,
        *,
        constraints: Constraints | None = None,
        differentiation: str | Differentiator = "auto",
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
        first = not hasattr(self, "_sums")
        return self._fit(X, u, t, x_dot, weights, first=first)

    def _fit(
        self, X: Any, u: Any, t: Any, x_dot: Any, weights: Any, *, first: bool
    ) -> SINDy:
        given = self._given(X, u, t, weights, 2 if x_dot is None else 1, first)
        trajectories, inputs, shares = given.trajectories, given.inputs, given.shares
        is_auto = isinstance(self.differentiation, str) and (
            self.differentiation == "auto"
        )
        method = _SPLINE if is_auto else resolve(self.differentiation)
        found = derivatives(trajectories, method, given.dt, t, x_dot)
        averages = [_Averages()] * len(found)
        if x_dot is None:
            found = [
                each.without_ends(int(method._rough_ends(each).max())) for each in found
            ]
            if is_auto:
                averages = [
                    _averages(piece, each, t is not None)
                    for piece, each in zip(trajectories.pieces, found, strict=True)
                ]
        samples = [
            Samples(
                each.x,
                each.x_dot,
                None if inputs is None else inputs[i][each.rows],
                None if shares is None else shares[i][each.rows],
                average.blur,
            )
            for i, (each, average) in enumerate(zip(found, averages, strict=True))
        ]
        if first:
            names = self._feature_names(given.u)
            library = fit_library(self.lift, trajectories, inputs, names)
        else:
            library = self.library_
        solver = self._resolved_solver()
        n_blocks = self._blocks_for(solver, len(library.terms))
        sums = _flow_sums(library, samples, averages, n_blocks)
        if not first:
            sums = self._sums + sums
        moments, blocks = sums.corrected()
        self._solve_for(library, moments, blocks, sums.n_effective, solver)
        self._sums = sums
        self._settle(given, t, first)
        return self

    def _given(
        self, X: Any, u: Any, t: Any, weights: Any, min_rows: int, first: bool
    ) -> _Given:
        """What ``fit`` was given, checked; inputs u(t) as rows."""
        if InputFunctions.are(u):
            u = self._sampled(X, u, t, first)
        trajectories, inputs = self._check_fit(X, u, min_rows=min_rows, reset=first)
        shares = check_weights(weights, trajectories)
        dt = self._step_of(trajectories, t)
        return _Given(trajectories, inputs, u, shares, dt)

    def _settle(self, given: _Given, t: Any, first: bool) -> None:
        """Keep what forecasts start from: sizes of states, times, last rows."""
        trajectories = given.trajectories
        # Along rows of memory, which is many times as fast.
        columns = [np.ascontiguousarray(x.T) for x in trajectories.pieces]
        ends = [(x.max(axis=1), -x.min(axis=1)) for x in columns]
        scale = np.max(ends, axis=(0, 1)).astype(np.float64)
        self._scale = scale if first else np.maximum(self._scale, scale)
        self.dt_ = given.dt
        self._ends = self._end_times(trajectories, t, given.dt)
        self._remember(trajectories, given.inputs)

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


def _averages(rows: np.ndarray, found: Derivative, uneven: bool) -> _Averages:
    """How derivatives of noisy rows, by `_SPLINE`, are averaged."""
    lengths = _SPLINE._lengths(found)
    length = float(np.median(lengths))
    if length < _NO_LENGTH:
        return _Averages()
    # As everywhere, a margin of three standard deviations.
    blur = min(_BLUR * length, _MOST_BLUR * len(found.x) / 3.0)
    clock = found.t if uneven else None
    noise = noise_variance(rows[found.rows], clock)
    noise = np.where(lengths < _NO_LENGTH, 0.0, noise)
    if not noise.any():
        return _Averages(blur)
    passed = np.exp(-0.5 * (blur * _FREQUENCIES) ** 2) / (
        1.0 + np.multiply.outer(lengths, _FREQUENCIES) ** 6
    )
    power = (_FREQUENCIES * passed)[noise > 0] ** 2
    worth = power.mean(axis=1) ** 2 / (power**2).mean(axis=1)
    return _Averages(blur, noise * (passed**2).mean(axis=1), float(worth.mean()))


def _flow_sums(
    library: Any, samples: list[Samples], averages: list[_Averages], n_blocks: int
) -> Sums:
    """Moments of terms and derivatives, and what noise adds to those of the terms."""
    moments, blocks = library_moments(library, samples, n_blocks)
    noise: np.ndarray | None = None
    block_noise: list[np.ndarray | None] = []
    n_effective: float | None = 0.0
    for some, average in zip(samples, averages, strict=True):
        edges = some.edges(n_blocks)
        if average.noise is None or average.worth is None:
            block_noise.extend([None] * (len(edges) - 1))
            n_effective = None
            continue
        shift = some.margin
        weight = np.ones(some.n_rows)
        if some.weight is not None:
            weight = some.weight[shift : shift + some.n_rows]
        parts = [(a + shift, weight[a:b]) for a, b in pairwise(edges)]
        each = noise_moments(library, some.x, some.u, average.noise, parts)
        noise = plus(noise, each.sum(axis=0))
        block_noise.extend(each)
        if n_effective is not None:
            n_effective += average.worth * weight.sum()
    if not n_blocks:
        block_noise = []
    return Sums(moments, blocks, noise, tuple(block_noise), n_effective)


def _velocity(equations: Any, t: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.asarray(equations.function(x, None))


def _jacobian(equations: Any, t: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.asarray(equations.jacobian(x, None))

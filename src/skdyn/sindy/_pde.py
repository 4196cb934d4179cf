"""Sparse identification of partial differential equations from fields on a grid.

Equations (Rudy, Brunton, Proctor & Kutz 2017): fields u(x, t) on a grid obey

    u_t = sum over terms of c_i theta_i(u, u_x, u_xx, ...),

few c_i other than zero. In the strong form the derivatives are taken from the data. In
the weak form (Messenger & Bortz 2021) terms are derivatives of products of fields, and
the equation is integrated against test functions phi(t) psi(x) that vanish outside a
window, with all derivatives on the test function,

    - integral phi' psi u = sum over terms of c_i (-1)^|a| integral phi D^a psi m_i(u),
    theta_i = D^a m_i(u),

so that no derivative of the data is taken: u u_x is (u²)_x / 2. Every point that has a
window is a middle; sums over windows are separable convolutions, along periodic axes by
Fourier transforms, in which

    D^a psi has the transform (i k)^a psi^(k)

without error.

Noise. For measured fields u + e, e white, terms of the weak form have moments

    E[g_i g_j] = g_i g_j + sum over points of K_i K_j dm_i dm_j noise²

to first order in noise², K = phi D^a psi, and products m are moved on the average,
which Hermite polynomials in their place take back (He_n(u) for u^n). Both are corrected
for, as in `skdyn.sindy.WeakSINDy`; products with u_t need no correction, phi phi' being
odd: what is left are terms of the ends of a trajectory, which do not grow with it.
"""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np

from skdyn.sindy._constraints import Constraints
from skdyn.sindy._field_equations import FieldEquations
from skdyn.sindy._field_windows import (
    SMOOTH,
    WIDTH,
    FieldPlan,
    Kernel,
    choose_window,
    field_noise,
    field_sums,
    rate_along,
)
from skdyn.sindy._fields import (
    FieldGrid,
    FieldTerm,
    FreeFlow,
    PeriodicFlow,
    candidate_terms,
)
from skdyn.sindy._integrated import Integrated, rows_of
from skdyn.sindy._model import SparseModel, median_step
from skdyn.sindy._noise import Sums
from skdyn.sindy._problem import Problem
from skdyn.sindy._solver import Solver
from skdyn.sindy._test_functions import between_rows
from skdyn.utils._differentiation import _even_step
from skdyn.utils._integrate import integrate
from skdyn.utils._sklearn import HasMethods, Interval, StrOptions
from skdyn.utils._trajectories import Trajectories, check_times, check_weights
from skdyn.utils._warn import caller_level

__all__ = ["PDESINDy"]

# Rows of a trajectory that give a window at all.
_MIN_ROWS = 5
_METHODS = {"auto", "etdrk4", "dop853", "rk45", "lsoda", "radau", "bdf"}


class PDESINDy(Integrated, SparseModel):
    """Sparse identification of partial differential equations from fields on a grid.

    Finds ``u_t = ...`` with few terms out of products of fields and their derivatives
    in space, and forecasts by integrating what was found on the same grid.

    A row of `X` is all fields at one time, ``X.reshape(n_samples, n_fields, *grid)``:
    field after field, the last axis of space running fastest. There are as many fields
    as the grid fits into the number of features: u, v, w, or u0, u1, ... where there
    are more than three.

    Parameters
    ----------
    grid : int, tuple of int, or None, default=None
        Points along each axis of space, x, y, z, at most three. None is one axis that
        has all features.
    solver : solver, default=None
        How few terms are chosen: a solver of `skdyn.sindy`, or a linear model of
        scikit-learn. None is ``STLSQ()``.
    constraints : Constraints or None, default=None
        What is known of the equations beforehand: terms, values, signs, bounds,
        relations. Equations are known by their fields, "u", and terms by their names in
        ``terms_``, "u u_x".
    spacing : float or tuple of float, default=1.0
        Distance of points, one for all axes or one for each.
    order : int, default=3
        Highest order of a derivative in space.
    degree : int, default=2
        Highest number of fields in a product.
    boundary : {"periodic", "free"}, default="periodic"
        Whether every axis closes on itself (its last point is followed by its first),
        or ends, with conditions that are not known.
    form : {"weak", "strong"}, default="weak"
        "weak" has derivatives of products, ``(u^m)_xx``, and takes no derivatives of
        data: right for noise. "strong" has products with a derivative, ``u^m u_xx``,
        taken from the data: by finite differences in time and along free axes, and by
        Fourier transforms along periodic ones; where there is noise, of data smoothed
        by the test functions. Both have ``u^m u_x``.
    half_width : tuple of float or "auto", default="auto"
        Half-widths of the test functions in time and along each axis, in their units.
        "auto" takes 0.6 times the scale on which the data change, as a standard
        deviation; 0.2 times where the strong form smooths.
    noise : float, array-like of shape (n_fields,) or "auto", default="auto"
        Standard deviation of the noise of each field, by whose effect coefficients of
        the weak form are corrected. "auto" finds it from differences of high order,
        and finds none in clean data.
    stride : int, default=1
        Of the middles of windows in time, every so many are used. Neighbours tell
        nearly the same: a stride of some rows saves time on large grids.
    dt : float or None, default=None
        Time between rows: of the data, unless `t` says otherwise, and of forecasts.
        None is the median step of `t`, or 1 without `t`.
    method : str, default="auto"
        How forecasts are integrated. "auto" is "etdrk4" on periodic grids, for which
        linear terms are never stiff, and "dop853" on free ones; "rk45", "lsoda",
        "radau" and "bdf" are other methods for free grids, the last three for stiff
        equations.
    rtol : float, default=1e-6
        Relative tolerance: of a row on periodic grids, of a step on free ones.
    max_steps : int, default=1024
        Steps that the integrator may take from row to row ("etdrk4"), or up to the
        first row of a forecast, and 100 more for each further one. What needs more
        ends in NaN and a warning.

    Attributes
    ----------
    equations_ : FieldEquations
        The equations, to print.
    coef_ : ndarray of shape (n_fields, n_terms)
        Coefficients, a row for each field.
    terms_ : ndarray of shape (n_terms,)
        Names of the terms.
    n_terms_ : ndarray of shape (n_fields,)
        Terms in each equation.
    field_names_ : tuple of str
        Names of the fields.
    grid_ : tuple of int
        Points along each axis.
    half_widths_ : ndarray of shape (n_trajectories, 1 + n_axes)
        Half-widths of the test functions in time and along each axis; NaN where the
        strong form did without.
    noise_ : ndarray of shape (n_trajectories, n_fields)
        Standard deviations of the noise that was found or given.
    solver_ : solver
        The fitted clone; ``solver_.solution_`` has its path.
    problem_ : Problem
        Moments of terms and derivatives, that solvers work on.
    dt_ : float
        Time between rows of forecasts.
    n_features_in_, n_inputs_ : int
        Number of features in ``fit``; 0.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.
    min_context_ : int
        Rows of history that a forecast needs: 1.
    context_ : Trajectories
        The last row of each training trajectory, where ``predict(h)`` starts.

    See Also
    --------
    WeakSINDy : Ordinary differential equations from the weak form.
    skdyn.datasets.kuramoto_sivashinsky : A field that is chaotic in space and time.

    Notes
    -----
    A forecast on a free grid has no conditions to keep at its ends: points too near
    for finite differences move like the nearest one inside, which leaves slopes at the
    ends as they are.

    Fields are of the data alone: there are no inputs u. Forcing that was recorded can
    be a further field, which then stands among the terms; a forecast needs an equation
    of it as well.

    Anti-diffusive terms that a fit may find (a negative ``u_xx`` without a fourth
    derivative) have no solution forward in time: forecasts then end in NaN.

    References
    ----------
    Rudy, Brunton, Proctor & Kutz, "Data-driven discovery of partial differential
    equations", Science Advances 3 (2017), e1602614.

    Messenger & Bortz, "Weak SINDy for partial differential equations", Journal of
    Computational Physics 443 (2021), 110525.

    Examples
    --------
    A wave packet under advection and diffusion:

    >>> import numpy as np
    >>> from skdyn.sindy import PDESINDy, STLSQ
    >>> t, x = np.arange(80)[:, None] * 0.05, np.arange(64) * np.pi / 32
    >>> X = sum(
    ...     np.exp(-0.1 * k**2 * t) * np.cos(k * (x - 0.5 * t) + k) for k in (1, 2, 3)
    ... )
    >>> model = PDESINDy(64, STLSQ(0.05), spacing=np.pi / 32, dt=0.05).fit(X)
    >>> print(model.equations_)
    u_t = -0.5 u_x + 0.1 u_xx
    >>> model.predict(20).shape
    (20, 64)
    """

    _parameter_constraints: dict = {
        "grid": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "solver": [HasMethods(["fit", "predict"]), None],
        "constraints": [Constraints, None],
        "spacing": [Interval(Real, 0, None, closed="neither"), tuple, list],
        "order": [Interval(Integral, 0, None, closed="left")],
        "degree": [Interval(Integral, 1, None, closed="left")],
        "boundary": [StrOptions({"periodic", "free"})],
        "form": [StrOptions({"weak", "strong"})],
        "half_width": [StrOptions({"auto"}), tuple, list],
        "noise": [
            Interval(Real, 0, None, closed="left"),
            StrOptions({"auto"}),
            "array-like",
        ],
        "stride": [Interval(Integral, 1, None, closed="left")],
        "dt": [Interval(Real, 0, None, closed="neither"), None],
        "method": [StrOptions(_METHODS)],
        "rtol": [Interval(Real, 0, None, closed="neither")],
        "max_steps": [Interval(Integral, 2, None, closed="left")],
    }

    __metadata_request__fit = {"t": True, "weights": True}
    __metadata_request__partial_fit = __metadata_request__fit
    _gives_intervals = False
    _remedy = (
        "Raise max_steps or rtol, choose another method, or look at equations_: they "
        "may not be those of the data."
    )

    def __init__(
        self,
        grid: int | tuple[int, ...] | None = None,
        solver: Any = None,
        *,
        constraints: Constraints | None = None,
        spacing: float | tuple[float, ...] = 1.0,
        order: int = 3,
        degree: int = 2,
        boundary: Literal["periodic", "free"] = "periodic",
        form: Literal["weak", "strong"] = "weak",
        half_width: tuple[float, ...] | Literal["auto"] = "auto",
        noise: Any = "auto",
        stride: int = 1,
        dt: float | None = None,
        method: Literal[
            "auto", "etdrk4", "dop853", "rk45", "lsoda", "radau", "bdf"
        ] = "auto",
        rtol: float = 1e-6,
        max_steps: int = 1024,
    ) -> None:
        self.grid = grid
        self.solver = solver
        self.constraints = constraints
        self.spacing = spacing
        self.order = order
        self.degree = degree
        self.boundary = boundary
        self.form = form
        self.half_width = half_width
        self.noise = noise
        self.stride = stride
        self.dt = dt
        self.method = method
        self.rtol = rtol
        self.max_steps = max_steps

    dt: float | None
    dt_: float
    _sums: Sums
    _grid: FieldGrid
    _candidates: tuple[FieldTerm, ...]
    _scale: np.ndarray

    def fit(
        self, X: Any, y: Any = None, *, t: Any = None, weights: Any = None
    ) -> PDESINDy:
        """Fit the equations.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories, of 5 rows or more: all fields on the grid, a row for
            each time.
        y : ignored
            For scikit-learn's signature.
        t : array-like of shape (n_samples,), or list of these, default=None
            Times of the rows, strictly increasing; None is one row every `dt`. Uneven
            ones are for the weak form, where windows across a step longer than half a
            half-width are left out.
        weights : array-like of shape (n_samples,), or list of these, default=None
            Weights of the rows, at least 0, like inverse variances. A window has their
            harmonic mean, weighted by the squares of its test function: none where a
            row has none.

        Returns
        -------
        PDESINDy
            The estimator itself.

        Raises
        ------
        ValueError
            If the features do not fill the grid, the grid is too coarse for `order`,
            times are not increasing, or uneven for the strong form, a trajectory is
            shorter than a window, or `weights` do not fit `X` or leave no window.

        Warns
        -----
        UserWarning
            Where terms are the same on all rows, no term is left of an equation, or
            features without a `grid` are too few for `order`.
        """
        return self._fit(X, t, weights, first=True)

    def partial_fit(
        self, X: Any, y: Any = None, *, t: Any = None, weights: Any = None
    ) -> PDESINDy:
        """Go on with further trajectories, as if all had been fitted together.

        Parameters
        ----------
        X, y, t, weights
            As in `fit`. The trajectories become the context of ``predict(h)``.

        Returns
        -------
        PDESINDy
            The estimator itself.
        """
        return self._fit(X, t, weights, first=not hasattr(self, "_sums"))

    def _fit(self, X: Any, t: Any, weights: Any, *, first: bool) -> PDESINDy:
        trajectories, _ = self._check_fit(X, min_rows=_MIN_ROWS, reset=first)
        shares = check_weights(weights, trajectories)
        clocks = None if t is None else check_times(t, trajectories)
        dt = 1.0 if clocks is None else median_step(clocks)
        dt = dt if self.dt is None else float(self.dt)
        self._check_method()
        if first:
            grid = self._resolved_grid(trajectories.n_features)
            terms = candidate_terms(
                grid, self.order, self.degree, self.form == "strong"
            )
        else:
            grid, terms = self._grid, self._candidates
        solver = self._resolved_solver()
        sums: Sums | None = None if first else self._sums
        plans = []
        for i, piece in enumerate(trajectories.pieces):
            clock = dt if clocks is None else clocks[i]
            plan = self._plan(grid, grid.unflat(piece.astype(np.float64)), clock)
            share = None if shares is None else shares[i]
            more = field_sums(plan, terms, solver._n_blocks, self.form == "weak", share)
            sums = more if sums is None else sums + more
            plans.append(plan)
        assert sums is not None
        if not sums.moments.weight > 0:
            raise ValueError(
                "weights of zero touch every window of the data, got none left over. "
                "Pass smaller half_width, or more rows around those of weight zero."
            )
        self._solve_fields(grid, terms, sums, solver)
        self._sums, self._grid, self._candidates = sums, grid, terms
        self.field_names_, self.grid_ = grid.fields, grid.shape
        self.half_widths_ = np.array(
            [
                [np.nan if each is None else each.half_width for each in plan.bumps]
                for plan in plans
            ]
        )
        self.noise_ = np.sqrt([plan.noise for plan in plans])
        self._scale = self._sizes(trajectories, first)
        self.dt_ = dt
        self._remember(trajectories)
        return self

    def _check_method(self) -> None:
        known = {"etdrk4"} if self.boundary == "periodic" else _METHODS - {"etdrk4"}
        if self.method != "auto" and self.method not in known:
            raise ValueError(
                f"Forecasts on {self.boundary} grids need a method among "
                f"{sorted({'auto', *known})}, got {self.method!r}."
            )

    def _resolved_grid(self, n_features: int) -> FieldGrid:
        """The grid, checked, that so many features are fields on."""
        if self.grid is None:
            shape: tuple[int, ...] = (n_features,)
        else:
            given: list[Any] = list(np.atleast_1d(np.asarray(self.grid, object)))
            whole = all(
                isinstance(n, Integral) and not isinstance(n, bool) and int(n) >= 1
                for n in given
            )
            if not whole or not 1 <= len(given) <= 3:
                raise ValueError(
                    f"grid needs the number of points along one to three axes, got "
                    f"{self.grid!r}."
                )
            shape = tuple(int(n) for n in given)
        size = int(np.prod(shape))
        if n_features % size:
            raise ValueError(
                f"Fields on a grid of {' x '.join(map(str, shape))} points need a "
                f"multiple of {size} features, got {n_features}. Pass the grid that X "
                f"was flattened from."
            )
        n_fields = n_features // size
        steps: Any = self.spacing
        if isinstance(steps, Real):
            steps = [steps] * len(shape)
        spacing = tuple(float(h) for h in steps)
        if len(spacing) != len(shape) or not all(
            np.isfinite(h) and h > 0 for h in spacing
        ):
            raise ValueError(
                f"spacing needs a positive number, or one for each of {len(shape)} "
                f"axes, got {self.spacing!r}."
            )
        names = tuple("uvw"[:n_fields])
        if n_fields > 3:
            names = tuple(f"u{i}" for i in range(n_fields))
        found = FieldGrid(shape, spacing, self.boundary == "periodic", names)
        if min(found.orders) < self.order:
            least = self.order + 1 + (found.periodic and self.order % 2)
            problem = (
                f"Derivatives of order {self.order} on a {self.boundary} grid need "
                f"{least} points along each axis, got {min(shape)}"
            )
            if self.grid is not None:
                raise ValueError(f"{problem}. Pass a finer grid, or lower order.")
            warnings.warn(
                f"{problem} feature(s): only orders up to {found.orders[0]} are "
                f"candidates. Pass more features, or lower order.",
                UserWarning,
                stacklevel=caller_level(),
            )
        return found

    def _plan(
        self, grid: FieldGrid, fields: np.ndarray, clock: np.ndarray | float
    ) -> FieldPlan:
        """The test functions and the noise of a trajectory."""
        n_axes, n = len(grid.shape), len(fields)
        step, t, even = _even_step(clock, n), None, fields
        if step is None:
            t = np.asarray(clock)
            if self.form == "strong":
                raise ValueError(
                    "form='strong' takes differences in time, which need even times, "
                    "got uneven ones. Use form='weak', or skdyn.preprocessing."
                    "resample_even before."
                )
            step = float(t[-1] - t[0]) / (n - 1)
            weights = between_rows(t, np.linspace(t[0], t[-1], n))
            even = (weights @ fields.reshape(n, -1)).reshape(fields.shape)
        found = noise = field_noise(fields, t)
        if not isinstance(self.noise, str):
            noise = np.square(np.asarray(self.noise, dtype=np.float64))
            if noise.shape not in ((), (1,), found.shape) or not (noise >= 0).all():
                raise ValueError(
                    f"noise needs a number of at least 0, or one for each of "
                    f"{len(found)} fields, got {self.noise!r}."
                )
            noise = np.broadcast_to(noise, found.shape)
        steps = (step, *grid.spacing)
        weak, given = self.form == "weak", not isinstance(self.half_width, str)
        widths: list[Any] = [None] * (1 + n_axes)
        if given:
            widths = [float(a) for a in self.half_width]
            wide = [a > h for a, h in zip(widths, steps, strict=False)]
            if len(widths) != 1 + n_axes or not all(wide):
                raise ValueError(
                    f"half_width needs {1 + n_axes} numbers, in time and along each "
                    f"axis, that are larger than the steps {steps}, got "
                    f"{self.half_width!r}."
                )
        kernels = []
        for axis in range(1 + n_axes):
            n = fields.shape[0 if axis == 0 else 1 + axis]
            periodic = grid.periodic and axis > 0
            order = min(self.order, grid.orders[axis - 1]) if axis else 1
            bump = None
            if weak or given or noise.any():
                level = np.maximum(found, noise)
                rate = rate_along(even, axis, steps[axis], level, periodic)
                bump = choose_window(
                    rate,
                    steps[axis],
                    n,
                    order,
                    periodic,
                    widths[axis],
                    WIDTH if weak else SMOOTH,
                )
            kernels.append(Kernel(n, steps[axis], periodic, order, bump))
        plan = FieldPlan(grid, fields, tuple(kernels), noise, int(self.stride), t)
        for axis, kernel in enumerate(kernels):
            count = plan.times if axis == 0 else kernel.count
            if count < 1:
                where = "rows" if axis == 0 else f"points along {'xyz'[axis - 1]}"
                raise ValueError(
                    f"A window needs {2 * kernel.reach + 1} {where}"
                    f"{'' if axis or t is None else ' without long gaps between them'}"
                    f", got {kernel.n}. Pass more, or smaller half_width."
                )
        return plan

    def _solve_fields(
        self,
        grid: FieldGrid,
        terms: tuple[FieldTerm, ...],
        sums: Sums,
        solver: Solver,
    ) -> None:
        # Those of the strong form have no noise to correct for.
        moments, parts = sums.corrected()
        names = tuple(term.name for term in terms)
        problem = Problem(moments, names, grid.fields, parts, sums.n_effective)
        self._solve_problem(problem, None, solver)
        self.equations_ = FieldEquations(  # type: ignore[assignment]
            self.coef_, grid.fields, names, terms
        )

    def _sizes(self, trajectories: Trajectories, first: bool) -> np.ndarray:
        """The largest value of each field, (n_fields,)."""
        sizes = [
            np.abs(self._grid.unflat(each)).max(axis=(0, *self._grid.axes))
            for each in trajectories.pieces
        ]
        scale = np.max(sizes, axis=0).astype(np.float64)
        return scale if first else np.maximum(self._scale, scale)

    # -- forecasts ---------------------------------------------------------------------

    def _step(
        self, state: np.ndarray, u: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        row = self._rollout(state, 1, None)[:, 0]
        return row, row

    def _rollout(
        self, state: np.ndarray, n_steps: int, u: np.ndarray | None
    ) -> np.ndarray:
        # Tolerance of what is next to zero.
        atol = 1e-3 * self.rtol * self._scale
        terms, coef = self._candidates, self.coef_
        if self._grid.periodic:
            flow = PeriodicFlow(self._grid, terms, coef)
            return flow.rows(state, n_steps, self.dt_, self.rtol, atol, self.max_steps)
        free = FreeFlow(self._grid, terms, coef)
        rows = np.full((len(state), n_steps, state.shape[1]), np.nan)
        alive = np.flatnonzero(np.isfinite(state).all(axis=1))
        if not len(alive):
            return rows
        solution = integrate(
            lambda t, y: free.velocity(y),
            state[alive],
            self.dt_ * np.arange(n_steps + 1),
            method="dop853" if self.method == "auto" else self.method,
            rtol=self.rtol,
            atol=np.repeat(atol, state.shape[1] // len(atol)),
            max_steps=self.max_steps,
        )
        rows[alive] = rows_of(solution)
        return rows

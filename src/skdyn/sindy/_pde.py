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
odd.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np

from skdyn.exceptions import DivergenceWarning
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
from skdyn.sindy._model import SparseModel, _warn_of_twins
from skdyn.sindy._problem import Problem
from skdyn.sindy._solver import Solver, warn_of_empty
from skdyn.sindy._weak import _Sums
from skdyn.utils._integrate import integrate
from skdyn.utils._sklearn import HasMethods, Interval, StrOptions
from skdyn.utils._trajectories import Trajectories

__all__ = ["FieldEquations", "PDESINDy"]

# Rows of a trajectory that give a window at all.
_MIN_ROWS = 5
_METHODS = {"auto", "etdrk4", "dop853", "rk45", "lsoda", "radau", "bdf"}
# Status of the integrator: left the range of floats.
_BLEW_UP = 1


@dataclass(frozen=True, eq=False)
class FieldEquations:
    """Partial differential equations: terms, coefficients, text.

    Attributes
    ----------
    coef : ndarray of shape (n_fields, n_terms)
        Coefficients.
    fields : tuple of str
        Names of the fields.
    terms : tuple of str
        Names of the terms.
    latex_terms : tuple of str
        The same as LaTeX.

    Examples
    --------
    >>> from skdyn.sindy import FieldEquations
    >>> equations = FieldEquations([[-1.0, 0.1]], ("u",), ("u u_x", "u_xx"))
    >>> print(equations)
    u_t = -u u_x + 0.1 u_xx
    >>> equations["u"]
    '-u u_x + 0.1 u_xx'
    """

    coef: Any
    fields: tuple[str, ...]
    terms: tuple[str, ...]
    latex_terms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        coef = np.array(self.coef, dtype=np.float64)
        if coef.shape != (len(self.fields), len(self.terms)):
            raise ValueError(
                f"coef needs one row for each of {len(self.fields)} field(s) and one "
                f"column for each of {len(self.terms)} terms, got shape {coef.shape}."
            )
        coef.flags.writeable = False
        object.__setattr__(self, "coef", coef)

    def __len__(self) -> int:
        return len(self.fields)

    def __iter__(self) -> Iterator[str]:
        return (self[j] for j in range(len(self)))

    def __getitem__(self, which: int | str) -> str:
        j = self.fields.index(which) if isinstance(which, str) else which
        return self._right(j, 4, self.terms)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()

    def text(self, precision: int = 4) -> str:
        """All equations, one a line.

        Parameters
        ----------
        precision : int, default=4
            Significant digits of the coefficients.

        Returns
        -------
        str
        """
        return "\n".join(
            f"{name}_t = {self._right(j, precision, self.terms)}"
            for j, name in enumerate(self.fields)
        )

    def latex(self, precision: int = 4) -> str:
        """All equations as LaTeX, aligned.

        Parameters
        ----------
        precision : int, default=4
            Significant digits of the coefficients.

        Returns
        -------
        str
        """
        terms = self.latex_terms or self.terms
        lines = [
            f"{_with_t(name)} &= {self._right(j, precision, terms)}"
            for j, name in enumerate(self.fields)
        ]
        body = " \\\\\n".join(lines)
        return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def _right(self, j: int, precision: int, terms: Sequence[str]) -> str:
        text = ""
        for i in np.flatnonzero(self.coef[j]).tolist():
            c = float(self.coef[j, i])
            size = f"{abs(c):.{precision}g}"
            if terms[i] != "1":
                size = terms[i] if size == "1" else f"{size} {terms[i]}"
            sign = "-" if c < 0 else "+"
            text += f" {sign} {size}" if text else f"{'-' if c < 0 else ''}{size}"
        return text or "0"


def _with_t(name: str) -> str:
    letter = name.rstrip("0123456789")
    digits = name[len(letter) :]
    return f"{letter}_{{{digits},t}}" if digits else f"{name}_t"


class PDESINDy(SparseModel):
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
    dt : float, default=1.0
        Time between rows, of data and forecasts.
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
        "dt": [Interval(Real, 0, None, closed="neither")],
        "method": [StrOptions(_METHODS)],
        "rtol": [Interval(Real, 0, None, closed="neither")],
        "max_steps": [Interval(Integral, 2, None, closed="left")],
    }

    _gives_intervals = False

    def __init__(
        self,
        grid: int | tuple[int, ...] | None = None,
        solver: Any = None,
        *,
        spacing: float | tuple[float, ...] = 1.0,
        order: int = 3,
        degree: int = 2,
        boundary: Literal["periodic", "free"] = "periodic",
        form: Literal["weak", "strong"] = "weak",
        half_width: tuple[float, ...] | Literal["auto"] = "auto",
        noise: Any = "auto",
        stride: int = 1,
        dt: float = 1.0,
        method: Literal[
            "auto", "etdrk4", "dop853", "rk45", "lsoda", "radau", "bdf"
        ] = "auto",
        rtol: float = 1e-6,
        max_steps: int = 1024,
    ) -> None:
        self.grid = grid
        self.solver = solver
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

    dt: float
    _sums: _Sums
    _grid: FieldGrid
    _candidates: tuple[FieldTerm, ...]
    _scale: np.ndarray

    def fit(self, X: Any, y: Any = None) -> PDESINDy:
        """Fit the equations.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories, of 5 rows or more: all fields on the grid, a row for
            each time.
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        PDESINDy
            The estimator itself.

        Raises
        ------
        ValueError
            If the features do not fill the grid, the grid is too coarse for `order`,
            or a trajectory is shorter than a window.

        Warns
        -----
        UserWarning
            Where terms are the same on all rows, no term is left of an equation, or
            features without a `grid` are too few for `order`.
        """
        return self._fit(X, first=True)

    def partial_fit(self, X: Any, y: Any = None) -> PDESINDy:
        """Go on with further trajectories, as if all had been fitted together.

        Parameters
        ----------
        X, y
            As in `fit`. The trajectories become the context of ``predict(h)``.

        Returns
        -------
        PDESINDy
            The estimator itself.
        """
        return self._fit(X, first=not hasattr(self, "_sums"))

    def _fit(self, X: Any, *, first: bool) -> PDESINDy:
        trajectories, _ = self._check_fit(X, min_rows=_MIN_ROWS, reset=first)
        self._check_method()
        if first:
            grid = self._resolved_grid(trajectories.n_features)
            terms = candidate_terms(
                grid, self.order, self.degree, self.form == "strong"
            )
        else:
            grid, terms = self._grid, self._candidates
        solver = self._resolved_solver()
        sums: _Sums | None = None if first else self._sums
        plans = []
        for piece in trajectories.pieces:
            plan = self._plan(grid, grid.unflat(piece.astype(np.float64)))
            more = field_sums(plan, terms, solver._n_blocks, self.form == "weak")
            sums = more if sums is None else sums + more
            plans.append(plan)
        assert sums is not None
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
                stacklevel=4,
            )
        return found

    def _plan(self, grid: FieldGrid, fields: np.ndarray) -> FieldPlan:
        """The test functions and the noise of a trajectory."""
        n_axes = len(grid.shape)
        found = noise = field_noise(fields, grid.periodic)
        if not isinstance(self.noise, str):
            noise = np.square(np.asarray(self.noise, dtype=np.float64))
            if noise.shape not in ((), (1,), found.shape) or not (noise >= 0).all():
                raise ValueError(
                    f"noise needs a number of at least 0, or one for each of "
                    f"{len(found)} fields, got {self.noise!r}."
                )
            noise = np.broadcast_to(noise, found.shape)
        steps = (float(self.dt), *grid.spacing)
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
            n = len(fields) if axis == 0 else grid.shape[axis - 1]
            periodic = grid.periodic and axis > 0
            order = min(self.order, grid.orders[axis - 1]) if axis else 1
            bump = None
            if weak or given or noise.any():
                level = np.maximum(found, noise)
                rate = rate_along(fields, axis, steps[axis], level, periodic)
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
        plan = FieldPlan(grid, fields, tuple(kernels), noise, int(self.stride))
        for axis, kernel in enumerate(kernels):
            if kernel.count < 1:
                where = "rows" if axis == 0 else f"points along {'xyz'[axis - 1]}"
                raise ValueError(
                    f"A window needs {2 * kernel.reach + 1} {where}, got {kernel.n}. "
                    f"Pass more, or smaller half_width."
                )
        return plan

    def _solve_fields(
        self,
        grid: FieldGrid,
        terms: tuple[FieldTerm, ...],
        sums: _Sums,
        solver: Solver,
    ) -> None:
        # Those of the strong form have no noise to correct for.
        moments, parts = sums.corrected()
        names = tuple(term.name for term in terms)
        problem = Problem(moments, names, grid.fields, parts, sums.n_effective)
        _warn_of_twins(problem, type(self).__name__)
        solver.solution_ = solver._solve(problem)
        solver.coef_, solver.intercept_ = solver.solution_.coef, 0.0
        solver.n_features_in_ = len(terms)
        self.problem_, self.solver_ = problem, solver
        self.coef_ = solver.solution_.coef
        warn_of_empty(problem, self.coef_, solver)
        self.terms_ = np.array(names, dtype=object)
        self.n_terms_ = np.count_nonzero(self.coef_, axis=1)
        latex = tuple(term.latex for term in terms)
        self.equations_ = FieldEquations(  # type: ignore[assignment]
            self.coef_, grid.fields, names, latex
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

    def _begin(self, contexts: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        return contexts[:, -1].astype(np.float64)

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
            return flow.rows(
                state, n_steps, float(self.dt), self.rtol, atol, self.max_steps
            )
        free = FreeFlow(self._grid, terms, coef)
        rows = np.full((len(state), n_steps, state.shape[1]), np.nan)
        alive = np.flatnonzero(np.isfinite(state).all(axis=1))
        if not len(alive):
            return rows
        solution = integrate(
            lambda t, y: free.velocity(y),
            state[alive],
            self.dt * np.arange(n_steps + 1),
            method="dop853" if self.method == "auto" else self.method,
            rtol=self.rtol,
            atol=np.repeat(atol, state.shape[1] // len(atol)),
            max_steps=self.max_steps,
        )
        rows[alive] = solution.y[:, 1:]
        stuck = np.flatnonzero(solution.status > _BLEW_UP)
        held = np.isnan(solution.y[stuck, 1:])
        rows[alive[stuck]] = np.where(held, -np.inf, solution.y[stuck, 1:])
        return rows

    def _finish(self, rows: np.ndarray, dtype: np.dtype) -> np.ndarray:
        stuck = np.isneginf(rows).any(axis=(1, 2))
        if not stuck.any():
            return super()._finish(rows, dtype)
        first = int(np.isneginf(rows[stuck]).any(axis=2).argmax(axis=1).min()) + 1
        with np.errstate(all="ignore"):
            rows = np.ascontiguousarray(rows, dtype=self._forecast_dtype(dtype))
        rows[np.maximum.accumulate(~np.isfinite(rows).all(axis=2), axis=1)] = np.nan
        warnings.warn(
            f"The forecast of {type(self).__name__} could not be integrated to step "
            f"{first}, for {int(stuck.sum())} of {len(rows)} start(s), in "
            f"max_steps={self.max_steps} steps; rows from there on are NaN. Raise "
            f"max_steps or rtol, choose another method, or look at equations_: they "
            f"may not be those of the data.",
            DivergenceWarning,
            stacklevel=4,
        )
        return rows

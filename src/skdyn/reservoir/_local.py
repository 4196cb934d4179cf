"""Local reservoirs: one small echo state network for each patch of a field.

A field whose parts only feel their neighbours needs no network that sees all of it. The
grid is cut into patches; each has a reservoir that is driven by the patch and a halo
around it, and forecasts the patch (Pathak, Hunt, Girvan, Lu & Ott 2018). For patch i,
with the rows v_i of the points that it sees and x_i of those that are its own,

    r_i[k] = (1 - a) r_i[k-1] + a tanh(W r_i[k-1] + W_in v_i[k] + b),
    x_i[k+1] = z_i[k] C_i,   z_i[k] = (r_i[k], v_i[k], 1),

the equations of `ESN`. In the closed loop all patches go one step, their blocks are put
together, and each patch then sees what its neighbours forecast.

W, W_in and b are the same for all patches: the state of each is a column, and a step of
all patches of all starts is one product of a sparse and a dense matrix. Where the law
is the same everywhere, so is C: the Gram matrices of all patches are one sum, and a
field of P patches has P times as many rows to learn from.

The next row is the target, not the difference as in `ESN`. A smooth field never shows
rough patterns; under a penalty what was never seen is forecast as 0 and dies out, where
with differences it would stay, and grow by what the neighbours make of it.

References: see `LocalReservoir`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from sklearn.utils.parallel import Parallel, delayed

from skdyn.reservoir._closed_loop import advance_features
from skdyn.reservoir._forecaster import DrivenForecaster, last_pieces
from skdyn.reservoir._patches import Patches, divisors, make_patches
from skdyn.reservoir._penalty import (
    ALPHA_OF_FEW,
    ALPHAS,
    LARGEST_ERROR,
    Folds,
    log_errors,
)
from skdyn.reservoir._readout import GramSum, Layout, features_at_rest, sum_of
from skdyn.reservoir._settings import (
    NETWORK,
    NOT_NEGATIVE,
    WASHOUT,
    check_leak,
    draw_weights,
    generator_of,
    mean_and_scale,
    standardisation,
)
from skdyn.reservoir._states import Stepper, Weights
from skdyn.utils._sklearn import Interval, StrOptions
from skdyn.utils._trajectories import Pieces, Trajectories

__all__ = ["LocalReservoir"]

# Patches that advance together, of some trajectories.
_LANES = 64
# Rows of features in one block, of all patches together.
_BLOCK_ROWS = 2048
# Numbers in the Gram matrices of separate readouts that are summed up side by side.
_GRAM_NUMBERS = 2**24
# Steps of a trial run between two looks at whether it goes on well, and the error
# beyond which it does not.
_LOOK, _LOST = 50, 0.9
# Penalties are as good as the best within this factor of its error: below some penalty
# only rounding tells them apart.
_AS_GOOD = 1.001
# Correlation between points below which they count as apart, the part of an axis that
# an automatic patch takes at most, its least halo, and rows that are looked at.
_APART, _PATCH_PART, _LEAST_HALO, _LOOKED_AT = 0.5, 4, 2, 1000


class LocalReservoir(DrivenForecaster):
    """Local reservoirs: an echo state network for each patch of a field.

    For fields on a grid whose points feel their neighbours only: weather on a circle,
    flames, reaction and diffusion. Each patch of the grid is forecast from itself and a
    halo around it by a network of its own; all have the same random weights and, in a
    homogeneous system, the same readout, which is learned from all patches together.

    Parameters
    ----------
    n_units : int, default=500
        Units of the network of each patch.
    grid : sequence of int or None, default=None
        Points along each axis, such as ``(n_x, n_y)``. Features are the values at the
        points in C order, ``field.reshape(n_samples, -1)``. None is one axis with all
        of them.
    patch : int, sequence of int or "auto", default="auto"
        Points of a patch, along each axis; each a divisor of that of the grid. "auto"
        is the divisor nearest to the distance at which points are no longer alike (of
        a correlation below 1/2), at most a quarter of the axis. Wider patches have
        more to learn with the same units.
    halo : int, sequence of int or "auto", default="auto"
        Points that a patch sees on both sides of it, along each axis: as far as
        anything travels in one step, and as what hidden there tells of the patch.
        "auto" is one and a half times the patch but at least 2, as far as the grid has
        them.
    boundary : {"periodic", "free"} or sequence of these, default="periodic"
        Whether an axis goes around, or has two ends with nothing beyond.
    n_fields : int, default=1
        Features of each point, which vary fastest: the last axis of an array of shape
        ``(n_samples, *grid, n_fields)``.
    shared : bool, default=True
        Whether the law is the same everywhere: all patches share one readout, learned
        from all of them, and points are standardised alike. At free ends, patches that
        miss the same part of their halo share one. False learns one for each patch,
        from its own rows only.
    spectral_radius : float or None, default=0.8
        Largest modulus of the eigenvalues of W. None takes the weights of the topology
        as they are.
    leak_rate : float, default=1.0
        a, within (0, 1]: below 1, units are slow.
    input_scaling : float or array-like of shape (n_seen + n_inputs,), default=0.3
        Strength of the drive: its standard deviation at a unit, for what a patch sees
        and for the inputs. An array gives the standard deviation of the weights of each
        column instead: patch and halo as they lie on the grid, then inputs.
    bias_scaling : float, default=1.0
        Biases are uniform within plus and minus this.
    topology : {"random", "ring", "delay_line", "small_world"}, array-like, sparse \
matrix or callable, default="random"
        Who hears whom, as in `ESN`.
    degree : int, default=10
        Units that each unit hears.
    input_to_readout : bool, default=True
        Whether the readout sees patch, halo and inputs beside the states.
    quadratic_readout : bool, default=False
        Whether the readout also sees the square of every second state.
    target : {"next", "delta"}, default="next"
        What the readout gives: the next row, or the change to it. The next row lets die
        out what the data never shows, which keeps smooth fields smooth.
    washout : int or "auto", default="auto"
        Rows at the start of each trajectory that are not learned from. "auto" is 100 /
        leak_rate, but at most a tenth of the trajectory.
    alpha : float or "auto", default="auto"
        Ridge penalty for each row of training data, and each patch that shares the
        readout. "auto" takes the best of 1e-14, 1e-12, ..., 1 in the closed loop of the
        whole field, over 5 blocks of rows that are left out in turn.
    standardise : bool or tuple (mean, scale), default=True
        Whether values are shifted by their mean and divided by their standard
        deviation: those of each field over all points where `shared`, else those of
        each point. Or what to use in their place, each of shape
        (n_features + n_inputs,).
    dtype : {"float64", "float32"}, default="float64"
        Precision of states. Gram matrices are always in double precision.
    n_jobs : int or None, default=None
        Threads that learn separate readouts side by side. One shared readout is one
        job.
    random_state : int, RandomState instance or None, default=0
        Seed of the weights.

    Attributes
    ----------
    weights_ : Weights
        The weights that all patches have: ``recurrent``, ``drive``, ``bias``, ``leak``.
    coef_ : ndarray of shape (n_readouts, n_readout_features, n_own)
        C of each readout, in standardised units; its rows belong to the states, the
        squares, what the patch sees, the inputs and the constant.
    grid_, patch_, halo_ : tuple of int
        Points along each axis of the grid, a patch and its halo.
    n_patches_ : int
        Number of patches.
    alpha_ : float
        The ridge penalty used.
    alphas_, alpha_errors_ : ndarray of shape (n_alphas,) or None
        The penalties that "auto" tried, and the geometric mean of the normalised error
        of the free runs of each, infinite where there was no solution.
    mean_, scale_ : ndarray of shape (n_features + n_inputs,)
        What rows and inputs are standardised with.
    washout_ : int
        Rows of the shortest trajectory that were not learned from.
    n_features_in_, n_inputs_ : int
        Number of features and inputs in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.
    min_context_ : int
        Rows of history that a forecast needs: ``washout_ + 1``.
    context_ : Trajectories
        The last rows of each training trajectory, where ``predict(h)`` starts.

    See Also
    --------
    ESN : One network that sees everything.

    Notes
    -----
    Inputs act on every patch alike. With a shared readout and periodic boundaries, a
    field that is shifted by whole patches has the forecast shifted likewise.

    Memory in ``fit`` is that of one Gram matrix (seven with ``alpha="auto"``) and a
    block of rows; of separate readouts, some are summed up side by side where they take
    less than 128 MB.

    References
    ----------
    Pathak, Hunt, Girvan, Lu & Ott, "Model-free prediction of large spatiotemporally
    chaotic systems from data", Physical Review Letters 120 (2018), 024102.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.datasets import lorenz96, make_trajectories
    >>> from skdyn.reservoir import LocalReservoir
    >>> X = make_trajectories(lorenz96(12), 1020, dt=0.02, rtol=1e-7)
    >>> model = LocalReservoir(150, alpha=1e-8).fit(X[:1000])
    >>> model.n_patches_, model.patch_, model.halo_
    (12, (1,), (2,))
    >>> bool(np.abs(model.predict(20) - X[1000:]).max() < 0.5)
    True
    """

    _parameter_constraints: dict = {
        **{name: NETWORK[name] for name in NETWORK if name != "n_layers"},
        "grid": [None, "array-like"],
        "patch": [
            Interval(Integral, 1, None, closed="left"),
            "array-like",
            StrOptions({"auto"}),
        ],
        "halo": [
            Interval(Integral, 0, None, closed="left"),
            "array-like",
            StrOptions({"auto"}),
        ],
        "boundary": [StrOptions({"periodic", "free"}), "array-like"],
        "n_fields": [Interval(Integral, 1, None, closed="left")],
        "shared": ["boolean"],
        "spectral_radius": [NOT_NEGATIVE, None],
        "leak_rate": [Interval(Real, 0, 1, closed="right")],
        "input_to_readout": ["boolean"],
        "quadratic_readout": ["boolean"],
        "target": [StrOptions({"next", "delta"})],
        "washout": WASHOUT,
        "alpha": [NOT_NEGATIVE, StrOptions({"auto"})],
        "dtype": [StrOptions({"float64", "float32"})],
        "n_jobs": [Integral, None],
    }
    __metadata_request__fit = {"u": True}

    def __init__(
        self,
        n_units: int = 500,
        *,
        grid: Sequence[int] | None = None,
        patch: int | Sequence[int] | Literal["auto"] = "auto",
        halo: int | Sequence[int] | Literal["auto"] = "auto",
        boundary: str | Sequence[str] = "periodic",
        n_fields: int = 1,
        shared: bool = True,
        spectral_radius: float | None = 0.8,
        leak_rate: float = 1.0,
        input_scaling: Any = 0.3,
        bias_scaling: float = 1.0,
        topology: Any = "random",
        degree: int = 10,
        input_to_readout: bool = True,
        quadratic_readout: bool = False,
        target: Literal["next", "delta"] = "next",
        washout: int | Literal["auto"] = "auto",
        alpha: float | Literal["auto"] = "auto",
        standardise: bool | tuple[Any, Any] = True,
        dtype: Literal["float64", "float32"] = "float64",
        n_jobs: int | None = None,
        random_state: Any = 0,
    ) -> None:
        self.n_units = n_units
        self.grid = grid
        self.patch = patch
        self.halo = halo
        self.boundary = boundary
        self.n_fields = n_fields
        self.shared = shared
        self.spectral_radius = spectral_radius
        self.leak_rate = leak_rate
        self.input_scaling = input_scaling
        self.bias_scaling = bias_scaling
        self.topology = topology
        self.degree = degree
        self.input_to_readout = input_to_readout
        self.quadratic_readout = quadratic_readout
        self.target = target
        self.washout = washout
        self.alpha = alpha
        self.standardise = standardise
        self.dtype = dtype
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, *, u: Any = None) -> LocalReservoir:
        """Draw the network, drive it through all patches and fit the readout.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories, each of at least ``washout + 2`` rows; their features
            are the points of the grid.
        y : ignored
            For scikit-learn's signature.
        u : array-like of shape (n_samples, n_inputs), or list of these, default=None
            Inputs, which act on all patches; row k acts between rows k and k+1 of `X`.

        Returns
        -------
        LocalReservoir
            The estimator itself.

        Raises
        ------
        ValueError
            For a grid that is not that of the features, patches that do not divide it,
            and a halo that does not fit.
        """
        trajectories, inputs = self._check_fit(X, u, min_rows=self._least_rows())
        self._draw(trajectories, inputs)
        padded = self._padded(trajectories.pieces)
        acting = self._acting(inputs, len(padded))
        washouts = self._washouts([len(rows) for rows in padded])
        plan, alphas = None, [ALPHA_OF_FEW]
        if not isinstance(self.alpha, str):
            alphas = [float(self.alpha)]
        else:
            plan = Folds.plan(padded, washouts)
            if plan is not None:
                alphas = [float(a) for a in ALPHAS]
        learned = Parallel(n_jobs=self.n_jobs, prefer="threads")(
            delayed(_learn)(
                self.weights_,
                self._layout,
                self._patches,
                kinds,
                padded,
                acting,
                washouts,
                self._delta,
                plan,
                alphas,
            )
            for kinds in _together(self._patches, self._layout.n_features, plan)
        )
        coefs, apart, starts, ends = zip(*learned, strict=True)
        self.alphas_ = self.alpha_errors_ = None
        best = 0
        if plan is not None:
            self.alphas_ = ALPHAS.copy()
            self.alpha_errors_ = _closed_loop_errors(
                self.weights_,
                self._layout,
                self._patches,
                np.concatenate(apart, axis=2),
                np.concatenate(starts, axis=1),
                padded,
                acting,
                plan,
                self._delta,
            )
            solved = np.isfinite(np.concatenate(coefs)).all(axis=(0, 2, 3))
            self.alpha_errors_[~solved] = np.inf
            # Of those that are as good, the largest.
            good = self.alpha_errors_ <= _AS_GOOD * self.alpha_errors_.min()
            best = int(np.flatnonzero(good)[-1])
        self.alpha_ = alphas[best]
        self.coef_ = np.concatenate(coefs)[:, best].copy()
        self.washout_ = min(washouts)
        self.min_context_ = self.washout_ + 1
        self._remember(trajectories, inputs)
        # The last piece of each trajectory is where it is continued.
        lasts = last_pieces(trajectories)
        self._ends = self._joined(
            np.concatenate(ends, axis=1)[lasts],
            np.stack([padded[i][-1, :-1] for i in lasts]),
        )
        return self

    def _draw(self, trajectories: Trajectories, inputs: Pieces | None) -> None:
        """Settle what is fixed: patches, standardisation, weights, features."""
        d, q = self.n_features_in_, self.n_inputs_
        rng = generator_of(self.random_state)
        check_leak(self.leak_rate)
        self.mean_, self.scale_ = standardisation(
            self.standardise, trajectories, inputs
        )
        self.grid_ = _check_grid(self.grid, d, self.n_fields)
        if self.standardise is True and self.shared:
            # The spread of all points of a field about their common mean.
            for field in range(self.n_fields):
                at = slice(field, d, self.n_fields)
                rows = trajectories.rows()[:, at].astype(np.float64)
                self.mean_[at], self.scale_[at] = mean_and_scale(rows.ravel())
        periodic = [
            each == "periodic"
            for each in _for_each_axis(self.boundary, self.grid_, "boundary")
        ]
        self.patch_, self.halo_ = self._sizes(trajectories, periodic)
        self._patches = make_patches(
            self.grid_,
            self.patch_,
            self.halo_,
            periodic,
            n_fields=self.n_fields,
            shared=bool(self.shared),
        )
        self.n_patches_ = len(self._patches.own)
        width = self._patches.seen.shape[1]
        weights = draw_weights(self, width, q, rng)
        self.weights_ = weights.astype(np.dtype(self.dtype))
        self._layout = Layout(
            self.n_units,
            width + q if self.input_to_readout else 0,
            bool(self.quadratic_readout),
        )
        self._delta = self.target == "delta"

    def _sizes(
        self, trajectories: Trajectories, periodic: list[bool]
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Points of patch and halo along each axis."""
        patches = _for_each_axis(self.patch, self.grid_, "patch")
        halos = _for_each_axis(self.halo, self.grid_, "halo")
        field = None
        sizes, beyond = [], []
        for axis, (n, patch, halo, around) in enumerate(
            zip(self.grid_, patches, halos, periodic, strict=True)
        ):
            if patch == "auto":
                if field is None:
                    field = self._some_rows(trajectories)
                near = _distance_apart(field, axis + 1, around)
                size = _nearest_divisor(n, near)
            else:
                size = _whole(patch, "patch", 1)
                if n % size:
                    raise ValueError(
                        f"patch needs a divisor of the {n} points along axis {axis} of "
                        f"the grid, got {size}. Pass one of {divisors(n)}, or "
                        f'"auto".'
                    )
            room = (n - size) // 2 if around else n - size
            if halo == "auto":
                wide = min(max(_LEAST_HALO, -(-3 * size // 2)), room)
            else:
                wide = _whole(halo, "halo", 0)
                if wide > room:
                    raise ValueError(
                        f"halo needs at most {room} points on each side of a patch of "
                        f"{size} along axis {axis} of {n} points, got {wide}: a patch "
                        f"must not see a point twice. Lower halo or patch."
                    )
            sizes.append(size)
            beyond.append(wide)
        return tuple(sizes), tuple(beyond)

    def _some_rows(self, trajectories: Trajectories) -> np.ndarray:
        """Some rows (n, *grid, n_fields), standardised."""
        rows, d = trajectories.rows(), self.n_features_in_
        rows = rows[:: -(-len(rows) // _LOOKED_AT)].astype(np.float64)
        rows = (rows - self.mean_[:d]) / self.scale_[:d]
        return rows.reshape(len(rows), *self.grid_, self.n_fields)

    def _padded(self, pieces: Pieces) -> list[np.ndarray]:
        """Standardised rows, followed by a zero for what is beyond a free end."""
        d, padded = self.n_features_in_, []
        for piece in pieces:
            rows = np.zeros((len(piece), d + 1))
            np.subtract(piece, self.mean_[:d], out=rows[:, :-1])
            rows[:, :-1] /= self.scale_[:d]
            padded.append(rows)
        return padded

    def _acting(self, inputs: Pieces | None, n: int) -> list[np.ndarray | None]:
        """Standardised inputs of each piece, or None for each."""
        if inputs is None:
            return [None] * n
        return [self._standard_inputs(rows) for rows in inputs]

    # -- the bare inside ---------------------------------------------------------------

    def _joined(self, states: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """States (batch, n_patches, n_units) and rows as one flat array."""
        flat = states.reshape(len(states), -1)
        return np.hstack([flat, rows]).astype(self.weights_.dtype, copy=False)

    def _taken_apart(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The way back, with states (n_units, n_patches, batch)."""
        d = self.n_features_in_
        states = state[:, :-d].reshape(len(state), self.n_patches_, self.n_units)
        return np.ascontiguousarray(states.transpose(2, 1, 0)), state[:, -d:]

    def _begin(self, contexts: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        self._check_past_inputs(contexts, u)
        if not self.n_inputs_:
            u = None
        n, n_patches = self.n_units, self.n_patches_
        states = np.empty((len(contexts), n_patches, n), self.weights_.dtype)
        lasts = np.empty((len(contexts), self.n_features_in_))
        size = max(_LANES // n_patches, 1)
        for first in range(0, len(contexts), size):
            some = slice(first, first + size)
            padded = np.stack(self._padded(contexts[some]))
            acting = None if u is None else self._standard_inputs(u[some])
            now = np.zeros((n, len(padded) * n_patches), self.weights_.dtype)
            stepper = Stepper(self.weights_)
            for _ in _driven(stepper, self._patches.seen, padded[:, :-1], acting, now):
                pass
            states[some] = now.T.reshape(len(padded), n_patches, n)
            lasts[some] = padded[:, -1, :-1]
        return self._joined(states, lasts)

    def _step(
        self, state: np.ndarray, u: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        future = None if u is None else u[:, None]
        states, rows = self._taken_apart(state)
        ahead, after = self._run(states, rows, 1, future)
        return self._joined(after.transpose(2, 1, 0), ahead[:, 0]), self._in_units(
            ahead[:, 0]
        )

    def _rollout(
        self, state: np.ndarray, n_steps: int, u: np.ndarray | None
    ) -> np.ndarray:
        rows = np.empty((len(state), n_steps, self.n_features_in_))
        size = max(_LANES // self.n_patches_, 1)
        for first in range(0, len(state), size):
            some = slice(first, first + size)
            future = None if u is None else u[some]
            rows[some] = self._run(*self._taken_apart(state[some]), n_steps, future)[0]
        return self._in_units(rows)

    def _run(
        self, states: np.ndarray, rows: np.ndarray, n_steps: int, u: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        return _free_run(
            self.weights_,
            self._layout,
            self._patches,
            self.coef_,
            states,
            rows,
            n_steps,
            None if u is None else self._standard_inputs(u),
            delta=self._delta,
        )

    def _one_step(self, trajectories: Trajectories, u: Pieces | None) -> Pieces:
        # One pass along each trajectory gives the states of all its rows.
        padded = self._padded(trajectories.pieces)
        patches, layout, lead = self._patches, self._layout, self.washout_
        n_patches, n = self.n_patches_, self.n_units
        stepper = Stepper(self.weights_)
        buffer = np.empty(
            (max(_BLOCK_ROWS, n_patches), layout.n_features), self.weights_.dtype
        )
        all_ahead = []
        with np.errstate(all="ignore"):
            for rows, acting in zip(padded, self._acting(u, len(padded)), strict=True):
                ahead = np.empty((len(rows), self.n_features_in_))
                states = np.zeros((n, n_patches), self.weights_.dtype)
                given = None if acting is None else acting[None]
                for block in _driven(
                    stepper, patches.seen, rows[None], given, states, buffer
                ):
                    start, out, drive = block
                    m = len(out)
                    some = buffer[: m * n_patches]
                    features = layout.fill(some, _flat(drive))
                    features = features.reshape(m, n_patches, -1)
                    part = ahead[start : start + m]
                    for kind, C in enumerate(self.coef_):
                        which = patches.members(kind)
                        part[:, patches.own[which]] = features[:, which] @ C
                    if self._delta:
                        part += rows[start : start + m, :-1]
                all_ahead.append(self._in_units(ahead[lead:]))
        return self._finished(all_ahead, trajectories)


# -- what fit makes of the parameters --------------------------------------------------


def _check_grid(grid: Any, n_features: int, n_fields: int) -> tuple[int, ...]:
    """Points along each axis."""
    if n_features % n_fields:
        raise ValueError(
            f"n_fields needs a divisor of the {n_features} features, got {n_fields}."
        )
    if grid is None:
        return (n_features // n_fields,)
    axes = tuple(_whole(n, "grid", 1) for n in np.atleast_1d(grid))
    if prod(axes) * n_fields != n_features:
        raise ValueError(
            f"grid needs as many points as X has features for each of {n_fields} "
            f"field(s): needed {n_features // n_fields}, got "
            f"{' x '.join(map(str, axes))} = {prod(axes)}. Pass the shape of the field "
            f"before it was flattened, and n_fields."
        )
    return axes


def _for_each_axis(value: Any, grid: tuple[int, ...], name: str) -> list[Any]:
    """One value for each axis of the grid."""
    if isinstance(value, str) or np.ndim(value) == 0:
        return [value] * len(grid)
    values = list(value)
    if len(values) != len(grid):
        raise ValueError(
            f"{name} needs one value, or one for each of the {len(grid)} axes of the "
            f"grid, got {len(values)}."
        )
    if name == "boundary" and not set(values) <= {"periodic", "free"}:
        raise ValueError(f'boundary needs "periodic" or "free", got {values!r}.')
    return values


def _whole(value: Any, name: str, least: int) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(
            f"{name} needs whole numbers of at least {least}, got {value!r}."
        )
    return int(value)


def _distance_apart(field: np.ndarray, axis: int, periodic: bool) -> int:
    """Points along an axis over which the correlation falls below 1/2."""
    n, whole = field.shape[axis], float((field**2).mean())
    for lag in range(1, n // _PATCH_PART + 1):
        first, second = (
            np.take(field, np.arange(k, k + n - lag), axis=axis) for k in (0, lag)
        )
        if periodic:
            first, second = field, np.roll(field, lag, axis=axis)
        if not (first * second).mean() > _APART * whole:
            return lag
    return max(n // _PATCH_PART, 1)


def _nearest_divisor(n: int, size: int) -> int:
    """The divisor of n nearest to `size` by their ratio, at most a quarter of n."""
    fitting = [k for k in divisors(n) if k <= max(n // _PATCH_PART, 1)]
    return min(fitting, key=lambda k: abs(np.log(k / size)))


# -- what fit does with arrays ---------------------------------------------------------


def _together(patches: Patches, width: int, plan: Folds | None) -> list[range]:
    """Kinds of patches that are learned side by side, as memory allows."""
    each = width**2 * (1 if plan is None else plan.n_folds)
    size, n = min(max(_GRAM_NUMBERS // each, 1), _LANES), patches.n_kinds
    return [range(k, min(k + size, n)) for k in range(0, n, size)]


def _flat(drive: np.ndarray) -> np.ndarray:
    return drive.reshape(-1, drive.shape[2])


def _driven(
    stepper: Stepper,
    seen: np.ndarray,
    rows: np.ndarray,
    inputs: np.ndarray | None,
    states: np.ndarray,
    buffer: np.ndarray | None = None,
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Drive all patches of some trajectories, block by block.

    Parameters
    ----------
    stepper : Stepper
        The reservoir.
    seen : ndarray of shape (n_patches, n_seen)
        Columns of `rows` that drive each.
    rows : ndarray of shape (batch, n_rows, n_columns)
        Trajectories.
    inputs : ndarray of shape (batch, n_rows, n_inputs) or None
        What drives all patches of each.
    states : ndarray of shape (n_units, batch * n_patches)
        Patches of one trajectory in sequence; goes on with the rows.
    buffer : ndarray or None, default=None
        Memory in whose first columns states are put, row by row: time first, then
        trajectories, then patches. Without it they are not kept.

    Yields
    ------
    start : int
        The first row of the block.
    out : ndarray of shape (n_block, batch * n_patches, n_units)
        States after each row; empty in its last axes without `buffer`.
    drive : ndarray of shape (n_block, batch * n_patches, n_seen + n_inputs)
        What drove them.
    """
    n, n_lanes = stepper.n_units, states.shape[1]
    size = max((_BLOCK_ROWS if buffer is None else len(buffer)) // n_lanes, 1)
    for start in range(0, rows.shape[1], size):
        some = rows[:, start : start + size].swapaxes(0, 1)
        drive = some[:, :, seen]
        if inputs is not None:
            acting = inputs[:, start : start + len(some)].swapaxes(0, 1)[:, :, None]
            shape = (*drive.shape[:3], acting.shape[3])
            drive = np.concatenate([drive, np.broadcast_to(acting, shape)], axis=3)
        drive = drive.reshape(len(some), n_lanes, -1)
        out = np.empty((len(some), 0, 0))
        if buffer is not None:
            out = buffer[: len(some) * n_lanes, :n].reshape(len(some), n_lanes, n)
        for first in range(0, n_lanes, _LANES):
            lanes = slice(first, min(first + _LANES, n_lanes))
            states[:, lanes] = stepper.through(
                [drive[:, i] for i in range(lanes.start, lanes.stop)],
                states[:, lanes],
                None if buffer is None else out[:, lanes],
            )
        yield start, out, drive


def _learn(
    weights: Weights,
    layout: Layout,
    patches: Patches,
    kinds: range,
    padded: Sequence[np.ndarray],
    acting: Sequence[np.ndarray | None],
    washouts: Sequence[int],
    delta: bool,
    plan: Folds | None,
    alphas: Sequence[float],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Learn the readouts of some kinds of patches, in one pass through the data.

    Returns
    -------
    coefs : ndarray of shape (n_kinds, n_alphas, n_features, n_own)
        Readouts.
    apart : ndarray of shape (n_folds, n_alphas, n_kinds, n_features, n_own)
        Those with a fold left out, NaN where there is no solution.
    starts : ndarray of shape (n_starts, n_members, n_units)
        States before the starts of the plan.
    ends : ndarray of shape (n_trajectories, n_members, n_units)
        States before the last row of each trajectory.
    """
    whole = slice(patches.members(kinds[0]).start, patches.members(kinds[-1]).stop)
    seen, own = patches.seen[whole], patches.own[whole]
    lanes_of = [
        slice(each.start - whole.start, each.stop - whole.start)
        for each in map(patches.members, kinds)
    ]
    p, c, n, n_lanes = layout.n_features, own.shape[1], layout.n_units, len(own)
    shift = features_at_rest(weights, layout)
    n_folds = 1 if plan is None else plan.n_folds
    sums = [[GramSum(p, c, shift) for _ in range(n_folds)] for _ in kinds]
    stepper = Stepper(weights)
    buffer = np.empty((max(_BLOCK_ROWS, n_lanes), p + c), weights.dtype)
    n_starts = 0 if plan is None else len(plan.starts)
    starts = np.zeros((n_starts, n_lanes, n), weights.dtype)
    ends = np.zeros((len(padded), n_lanes, n), weights.dtype)
    for i, (rows, inputs, lead) in enumerate(
        zip(padded, acting, washouts, strict=True)
    ):
        owner = np.where(np.arange(len(rows) - 1) < lead, -1, 0)
        wanted: list[tuple[int, int]] = []
        if plan is not None:
            owner = plan.owner[i]
            wanted = [(row, j) for j, (_, t, row) in enumerate(plan.starts) if t == i]
        states = np.zeros((n, n_lanes), weights.dtype)
        given = None if inputs is None else inputs[None, :-1]
        for start, out, drive in _driven(
            stepper, seen, rows[None, :-1], given, states, buffer
        ):
            m = len(out)
            # A free run from row k starts with the state after row k - 1.
            for row, j in wanted:
                if start < row <= start + m:
                    starts[j] = out[row - 1 - start]
            block = buffer[: m * n_lanes]
            layout.fill(block, _flat(drive) if layout.n_direct else None)
            ahead = rows[start + 1 : start + m + 1][:, own]
            if delta:
                ahead -= rows[start : start + m][:, own]
            block[:, p:] = ahead.reshape(m * n_lanes, c)
            block = block.reshape(m, n_lanes, p + c)
            folds = owner[start : start + m]
            for fold in range(n_folds):
                at = np.flatnonzero(folds == fold)
                if not len(at):
                    continue
                # Rows of a fold are consecutive.
                part = block[at[0] : at[-1] + 1]
                for total, lanes in zip(sums, lanes_of, strict=True):
                    total[fold].add(part[:, lanes].reshape(-1, p + c), overwrite=True)
        ends[i] = states.T
    coefs = np.empty((len(kinds), len(alphas), p, c))
    shape = (0 if plan is None else n_folds, len(alphas), len(kinds), p, c)
    apart = np.full(shape, np.nan)
    for k, each in enumerate(sums):
        grams = [one.total() for one in each]
        gram = sum_of(grams)
        for a, alpha in enumerate(alphas):
            # The way around a failed factor is dear: for the last resort only.
            last = a == len(alphas) - 1
            C = gram.solve(alpha) if last else gram.try_solve(alpha)
            coefs[k, a] = np.nan if C is None else C
        for fold in range(len(apart)):
            rest_of = gram - grams[fold]
            for a, alpha in enumerate(alphas):
                C = rest_of.try_solve(alpha)
                if C is not None:
                    apart[fold, a, k] = C
            del rest_of
    return coefs, apart, starts, ends


def _free_run(
    weights: Weights,
    layout: Layout,
    patches: Patches,
    coef: np.ndarray,
    states: np.ndarray,
    rows: np.ndarray,
    n_steps: int,
    u: np.ndarray | None = None,
    *,
    delta: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Let the patches of many fields run freely, each driven by what all forecast.

    Parameters
    ----------
    weights, layout, patches
        The reservoir, the features of the readout, who sees what.
    coef : ndarray of shape (n_kinds, n_features, n_own)
        The readouts.
    states : ndarray of shape (n_units, n_patches, batch)
        States before `rows` have driven the reservoirs.
    rows : ndarray of shape (batch, d)
        The last known rows, standardised.
    n_steps : int
        Rows to forecast.
    u : ndarray of shape (batch, n_steps, n_inputs) or None, default=None
        Inputs, standardised, the first acting on `rows`.
    delta : bool, default=False
        Whether the readout gives differences from row to row.

    Returns
    -------
    forecast : ndarray of shape (batch, n_steps, d)
        Not finite from where it left the range of floating-point numbers.
    states : ndarray of shape (n_units, n_patches, batch)
        States before the last forecast row has driven the reservoirs.
    """
    n, n_patches, batch = states.shape
    n_seen, c = patches.seen.shape[1], patches.own.shape[1]
    lanes, end = n_patches * batch, layout.n_units + layout.n_squares
    stepper = Stepper(weights)
    dtype, width = stepper.dtype, stepper.drive.shape[1]
    # Features of two steps in turn: states, squares, and the drive with its constant.
    now, then = np.empty((2, end + width, lanes), dtype)
    now[:n] = states.reshape(n, lanes)
    left = np.empty((n, lanes), dtype)
    tail = np.ones((width, lanes), dtype)
    # The last row is what lies beyond a free end.
    field = np.zeros((rows.shape[1] + 1, batch), dtype)
    field[:-1] = rows.T
    seen, own = patches.seen.T, patches.own.T
    readout = np.zeros((len(coef), c, end + width), dtype)
    readout[:, :, : end + layout.n_direct] = coef[:, :-1].transpose(0, 2, 1)
    readout[:, :, -1] = coef[:, -1]
    parts = []
    for kind, C in enumerate(readout):
        which = patches.members(kind)
        parts.append((C, slice(which.start * batch, which.stop * batch)))
    y = np.empty((c, lanes), dtype)
    forecast = np.empty((batch, n_steps, rows.shape[1]), dtype)
    window = tail[:n_seen].reshape(n_seen, n_patches, batch)
    acting = tail[n_seen:-1].reshape(-1, n_patches, batch)
    with np.errstate(all="ignore"):
        for k in range(n_steps):
            np.take(field, seen, axis=0, out=window, mode="clip")
            if u is not None:
                acting[:] = u[:, k].T[:, None]
            advance_features(stepper, layout, now, tail, left, out=then)
            for C, some in parts:
                y[:, some] = C @ then[:, some]
            if delta:
                field[own] += y.reshape(c, n_patches, batch)
            else:
                field[own] = y.reshape(c, n_patches, batch)
            forecast[:, k] = field[:-1].T
            now, then = then, now
    return forecast, now[:n].reshape(n, n_patches, batch)


def _closed_loop_errors(
    weights: Weights,
    layout: Layout,
    patches: Patches,
    apart: np.ndarray,
    starts: np.ndarray,
    padded: Sequence[np.ndarray],
    acting: Sequence[np.ndarray | None],
    plan: Folds,
    delta: bool,
) -> np.ndarray:
    """Geometric mean error (n_alphas,) of free runs in the folds left out.

    A run of which nothing is left is not followed to its end.
    """
    n_steps, n_alphas = plan.n_steps, apart.shape[1]
    logs: list[list[np.ndarray]] = [[] for _ in range(n_alphas)]
    for fold in range(plan.n_folds):
        here = plan.starts_in(fold)
        if not here:
            continue
        truth = plan.windows(padded, here, n_steps + 1)[:, :, :-1]
        given = [each for each in acting if each is not None]
        u = plan.windows(given, here, n_steps) if given else None
        begin = np.ascontiguousarray(starts[here].transpose(2, 1, 0))
        for a, coef in enumerate(apart[fold]):
            logged = np.full((len(here), n_steps), np.log(LARGEST_ERROR))
            states, at = begin, truth[:, 0]
            solved = bool(np.isfinite(coef).all())
            for first in range(0, n_steps, _LOOK) if solved else ():
                stop = min(first + _LOOK, n_steps)
                ahead, states = _free_run(
                    weights,
                    layout,
                    patches,
                    coef,
                    states,
                    at,
                    stop - first,
                    None if u is None else u[:, first:stop],
                    delta=delta,
                )
                at = ahead[:, -1]
                some = log_errors(ahead, truth[:, first + 1 : stop + 1])
                logged[:, first:stop] = some
                if (some[:, -1] > np.log(_LOST)).all():
                    break
            # Without a solution in one fold, a penalty is not to be taken.
            logs[a].append(logged if solved else np.full_like(logged, np.inf))
    return np.array([np.exp(np.concatenate(each).mean()) for each in logs])

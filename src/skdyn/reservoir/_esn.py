"""Echo state network: a fixed random recurrent network under a trained linear readout.

Equations, for N leaky units driven by rows x and inputs u, both standardised (Jaeger
2001; Jaeger, Lukoševičius, Popovici & Siewert 2007, section 2):

    r[k] = (1 - a) r[k-1] + a tanh(W r[k-1] + W_in (x[k], u[k]) + b),
    x[k+1] = x[k] + z[k] C,   z[k] = (r[k], x[k], u[k], 1).

Only C is fitted, by ridge regression from the Gram matrix of the features z; W, W_in
and b are drawn once. A forecast closes the loop: each forecast row drives the next
step.

What the parts are for: the biases b, different for each unit, break the symmetry
r -> -r of a tanh about zero, without which a system that has no such symmetry is poorly
represented; the difference as target leaves to C only what changes; the standardised
drive makes all other defaults independent of units.

The ridge penalty is chosen in the closed loop, which is what it decides: in one pass
through the data the Gram matrix of each of several consecutive blocks of rows is summed
up; for each penalty, each block is left out by subtraction, and the reservoir runs free
from states seen within it. The penalty with the least geometric mean of the normalised
error over all starts and steps is taken.

References: see `ESN`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if

from skdyn.base import ForecasterMixin
from skdyn.reservoir._closed_loop import free_run
from skdyn.reservoir._readout import Gram, GramSum, Layout, sum_of
from skdyn.reservoir._states import (
    BLOCK_ROWS,
    LANES,
    Weights,
    advance,
    run,
    settle,
)
from skdyn.reservoir._topology import TOPOLOGIES, make_weights
from skdyn.utils._sklearn import Interval, StrOptions
from skdyn.utils._trajectories import Pieces, Trajectories

__all__ = ["ESN"]

# Rows that a reservoir of unleaky units takes to forget where it began.
_WASHOUT = 100
# The part of a trajectory that "auto" gives to the washout at most.
_LARGEST_PART = 10
# The penalties and blocks of "auto"; starts within a block, and steps from each.
_ALPHAS = 10.0 ** np.arange(-14, 1, 2)
_FOLDS = 5
_STARTS = 4
_STEPS = 300
# Rows to learn from below which nothing can be left out, and what is taken then.
_FEW_ROWS = 4 * _FOLDS
_ALPHA_OF_FEW = 1e-6
# Errors, relative to the spread of the data, beyond which differences say nothing.
_LEAST_ERROR, _LARGEST_ERROR = 1e-10, 1.0

_POSITIVE = Interval(Real, 0, None, closed="left")


def _adds_up(estimator: Any) -> bool:
    if estimator.alpha == "auto" or estimator.standardise is True:
        raise AttributeError(
            "partial_fit of ESN needs what does not change with the data: a number as "
            "alpha and a given standardisation, got "
            f"alpha={estimator.alpha!r}, standardise={estimator.standardise!r}. Pass "
            "alpha=esn.alpha_ and standardise=(esn.mean_, esn.scale_) of a fit to some "
            "of the data, or standardise=False."
        )
    return True


class ESN(ForecasterMixin, BaseEstimator):
    """Echo state network.

    A large fixed random network is driven by the data and remembers its past; a linear
    readout of its states is trained to say what comes next. The defaults are meant to
    be used: rows are standardised inside, so units do not matter, and the ridge penalty
    is chosen by how well the network runs free.

    Parameters
    ----------
    n_units : int, default=500
        Units of the network, of all layers together. More are better as long as there
        are several times as many rows; cost grows with the square.
    spectral_radius : float, None or sequence of floats, default=0.8
        Largest modulus of the eigenvalues of W, the memory of the network: near 0 for
        systems whose state is fully observed, near 1 where few of many variables are.
        From 1 on the network may never forget its initial state (it has lost the echo
        state property), though a strong drive can keep it. None takes the weights of
        the topology as they are. A sequence gives one for each layer.
    leak_rate : float or sequence of floats, default=1.0
        a, within (0, 1]: below 1, units are slow. A sequence gives one for each layer.
    input_scaling : float or array-like of shape (n_features + n_inputs,), default=0.3
        Strength of the drive: its standard deviation at a unit, for the rows and for
        the inputs, when standardised, whatever their number. An array gives the
        standard deviation of the weights of each column instead, those of the rows
        first: zeros for the rows take the feedback away, so that only the inputs drive.
    bias_scaling : float, default=1.0
        Biases are uniform within plus and minus this.
    topology : {"random", "ring", "delay_line", "small_world"}, array-like, sparse \
matrix or callable, default="random"
        Who hears whom: each unit `degree` units at random; the unit before it, around a
        ring or along a line (whose weight is then `spectral_radius`); its neighbours,
        with some connections moved; W itself, of shape (n_units, n_units); or a
        function ``(n_units, random_state) -> W``.
    degree : int, default=10
        Units that each unit hears.
    n_layers : int, default=1
        Layers of the network: the data drives the first, each other hears the one
        below it one step later, and the readout sees all.
    input_to_readout : bool, default=True
        Whether the readout sees the row and the inputs beside the states.
    quadratic_readout : bool, default=False
        Whether the readout also sees the square of every second state.
    target : {"delta", "next"}, default="delta"
        What the readout gives: the change to the next row, or the next row.
    washout : int or "auto", default="auto"
        Rows at the start of each trajectory that are not learned from, since the state
        still remembers its arbitrary beginning at zero. "auto" is 100 / leak_rate, but
        at most a tenth of the trajectory.
    alpha : float or "auto", default="auto"
        Ridge penalty for each row of training data, of standardised features: the
        penalty on the sum of squared coefficients is alpha times the number of rows.
        "auto" takes the best of 1e-14, 1e-12, ..., 1 in the closed loop, over 5 blocks
        of rows that are left out in turn. Noise-free data wants 1e-12.
    noise : float, default=0.0
        Standard deviation of white noise on the rows that drive the network in ``fit``,
        relative to that of the data. It makes the free run more robust where `alpha`
        alone does not.
    standardise : bool or tuple (mean, scale), default=True
        Whether rows and inputs are shifted by the mean and divided by the standard
        deviation of the training data before they drive the network; or what to use in
        their place, each of shape (n_features + n_inputs,).
    dtype : {"float64", "float32"}, default="float64"
        Precision of states. The Gram matrix is always in double precision.
    random_state : int, RandomState instance or None, default=0
        Seed of the weights and the noise.

    Attributes
    ----------
    weights_ : Weights
        The fixed weights: ``recurrent`` (W, sparse), ``drive`` (W_in), ``bias`` and
        ``leak``.
    coef_ : ndarray of shape (n_readout_features, n_features)
        C, in standardised units; its rows belong to the states, the squares, the row,
        the inputs and the constant, as far as there are any.
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
        The last rows of each training trajectory, where ``predict(h)`` starts; the
        state of the network there is kept beside.

    See Also
    --------
    skdyn.inspection.lyapunov_spectrum : Exponents of the closed loop.
    skdyn.model_selection.forecast_scorer : For a search over the other parameters.

    Notes
    -----
    A forecast after a context drives the network through all of it from zero, and
    needs the inputs of all of it where there are inputs. A Gram matrix takes 8 bytes
    times the square of the number of readout features; memory in ``fit`` peaks at some
    two of these (ten with ``alpha="auto"``) and a block of rows beside the data.

    References
    ----------
    Jaeger, "The 'echo state' approach to analysing and training recurrent neural
    networks", GMD Report 148 (2001).

    Jaeger & Haas, "Harnessing nonlinearity: predicting chaotic systems and saving
    energy in wireless communication", Science 304 (2004), 78.

    Jaeger, Lukoševičius, Popovici & Siewert, "Optimization and applications of echo
    state networks with leaky-integrator neurons", Neural Networks 20 (2007), 335.

    Lukoševičius, "A practical guide to applying echo state networks", in *Neural
    Networks: Tricks of the Trade*, 2nd ed. (2012), 659.

    Pathak, Hunt, Girvan, Lu & Ott, "Model-free prediction of large spatiotemporally
    chaotic systems from data", Physical Review Letters 120 (2018), 024102.

    Gallicchio, Micheli & Pedrelli, "Deep reservoir computing: a critical experimental
    analysis", Neurocomputing 268 (2017), 87. There a layer hears the one below without
    delay.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.datasets import make_lorenz63
    >>> from skdyn.reservoir import ESN
    >>> X = make_lorenz63(2100)
    >>> esn = ESN(n_units=200).fit(X[:2000])
    >>> bool(np.abs(esn.predict(100) - X[2000:]).max() < 0.5)
    True
    """

    _parameter_constraints: dict = {
        "n_units": [Interval(Integral, 1, None, closed="left")],
        "spectral_radius": [_POSITIVE, None, "array-like"],
        "leak_rate": [Interval(Real, 0, 1, closed="right"), "array-like"],
        "input_scaling": [_POSITIVE, "array-like"],
        "bias_scaling": [_POSITIVE],
        "topology": [
            StrOptions(set(TOPOLOGIES)),
            "array-like",
            "sparse matrix",
            callable,
        ],
        "degree": [Interval(Integral, 1, None, closed="left")],
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "input_to_readout": ["boolean"],
        "quadratic_readout": ["boolean"],
        "target": [StrOptions({"delta", "next"})],
        "washout": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
        "alpha": [_POSITIVE, StrOptions({"auto"})],
        "noise": [_POSITIVE],
        "standardise": ["boolean", tuple],
        "dtype": [StrOptions({"float64", "float32"})],
        "random_state": ["random_state"],
    }
    __metadata_request__fit = {"u": True}
    __metadata_request__partial_fit = {"u": True}
    _uses_whole_context = True

    def __init__(
        self,
        n_units: int = 500,
        *,
        spectral_radius: float | Sequence[float] | None = 0.8,
        leak_rate: float | Sequence[float] = 1.0,
        input_scaling: Any = 0.3,
        bias_scaling: float = 1.0,
        topology: Any = "random",
        degree: int = 10,
        n_layers: int = 1,
        input_to_readout: bool = True,
        quadratic_readout: bool = False,
        target: Literal["delta", "next"] = "delta",
        washout: int | Literal["auto"] = "auto",
        alpha: float | Literal["auto"] = "auto",
        noise: float = 0.0,
        standardise: bool | tuple[Any, Any] = True,
        dtype: Literal["float64", "float32"] = "float64",
        random_state: Any = 0,
    ) -> None:
        self.n_units = n_units
        self.spectral_radius = spectral_radius
        self.leak_rate = leak_rate
        self.input_scaling = input_scaling
        self.bias_scaling = bias_scaling
        self.topology = topology
        self.degree = degree
        self.n_layers = n_layers
        self.input_to_readout = input_to_readout
        self.quadratic_readout = quadratic_readout
        self.target = target
        self.washout = washout
        self.alpha = alpha
        self.noise = noise
        self.standardise = standardise
        self.dtype = dtype
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, *, u: Any = None) -> ESN:
        """Draw the network, drive it through the data and fit the readout.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories, each of at least ``washout + 2`` rows.
        y : ignored
            For scikit-learn's signature.
        u : array-like of shape (n_samples, n_inputs), or list of these, default=None
            Inputs; row k acts between rows k and k+1 of `X`, and on the state of the
            network from there on.

        Returns
        -------
        ESN
            The estimator itself.
        """
        trajectories, inputs = self._check_fit(X, u, min_rows=self._least_rows())
        self._draw(trajectories, inputs)
        return self._fit(trajectories, inputs, None)

    @available_if(_adds_up)
    def partial_fit(self, X: Any, y: Any = None, *, u: Any = None) -> ESN:
        """Go on with further trajectories, as if all had been fitted together.

        There for a given `alpha` and a given standardisation only.

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
        ESN
            The estimator itself.
        """
        if not hasattr(self, "_gram"):
            return self.fit(X, u=u)
        trajectories, inputs = self._check_fit(
            X, u, min_rows=self._least_rows(), reset=False
        )
        return self._fit(trajectories, inputs, self._gram)

    def _least_rows(self) -> int:
        """Rows that a trajectory needs, for a washout that is given and in order."""
        given = isinstance(self.washout, Integral) and self.washout > 0
        return int(self.washout) + 2 if given else 2

    def _draw(self, trajectories: Trajectories, inputs: Pieces | None) -> None:
        """Settle what is fixed: weights, standardisation, the features' layout."""
        d, q = self.n_features_in_, self.n_inputs_
        self._rng = check_random_state(self.random_state)
        if isinstance(self.random_state, np.random.RandomState):
            # The caller's generator goes on by itself.
            self._rng = np.random.RandomState(self._rng.randint(2**31 - 1))
        if self.n_units < self.n_layers:
            raise ValueError(
                f"ESN needs a unit for each layer: needed n_units of at least "
                f"n_layers={self.n_layers}, got {self.n_units}."
            )
        _check_leak(self.leak_rate)
        self.mean_, self.scale_ = _standardisation(
            self.standardise, trajectories, inputs, d + q
        )
        weights = make_weights(
            self.n_units,
            _input_scaling(self.input_scaling, d, q),
            spectral_radius=self.spectral_radius,
            leak_rate=self.leak_rate,
            bias_scaling=self.bias_scaling,
            topology=self.topology,
            degree=self.degree,
            n_layers=self.n_layers,
            rng=self._rng,
        )
        self.weights_ = weights.astype(np.dtype(self.dtype))
        self._layout = Layout(
            self.n_units,
            d + q if self.input_to_readout else 0,
            bool(self.quadratic_readout),
        )
        self._delta = self.target == "delta"

    def _fit(
        self,
        trajectories: Trajectories,
        inputs: Pieces | None,
        earlier: Gram | None,
    ) -> ESN:
        drives = self._drives(trajectories.pieces, inputs)
        washouts = [self._washout_of(len(drive)) for drive in drives]
        plan = _Folds.plan(drives, washouts) if self.alpha == "auto" else None
        grams, starts, ends = _collect(
            self.weights_,
            self._layout,
            drives,
            washouts,
            n_features=self.n_features_in_,
            delta=self._delta,
            noise=self.noise,
            rng=self._rng,
            plan=plan,
        )
        gram = sum_of(grams)
        self.alphas_ = self.alpha_errors_ = None
        if self.alpha == "auto":
            self.alpha_ = _ALPHA_OF_FEW
            if plan is not None:
                self.alphas_ = _ALPHAS.copy()
                self.alpha_errors_ = _closed_loop_errors(
                    self.weights_,
                    self._layout,
                    grams,
                    gram,
                    starts,
                    drives,
                    plan,
                    self.n_features_in_,
                    self._delta,
                )
                # Of equals the largest.
                best = len(_ALPHAS) - 1 - int(self.alpha_errors_[::-1].argmin())
                self.alpha_ = float(_ALPHAS[best])
        else:
            assert not isinstance(self.alpha, str)
            self.alpha_ = float(self.alpha)
            gram = gram if earlier is None else earlier + gram
        self._gram = gram
        self.coef_ = gram.solve(self.alpha_)
        self.washout_: int = min(washouts)
        if earlier is not None:
            self.washout_ = min(self.washout_, self.min_context_ - 1)
        self.min_context_ = self.washout_ + 1
        self._remember(trajectories, inputs)
        # The last piece of each trajectory is where it is continued.
        lasts = np.cumsum([len(g) for g in trajectories.groups(drives)]) - 1
        self._ends = np.hstack(
            [
                ends[:, lasts].T,
                np.stack([drives[i][-1, : self.n_features_in_] for i in lasts]),
            ]
        ).astype(self.weights_.dtype, copy=False)
        return self

    def _washout_of(self, n_rows: int) -> int:
        if self.washout != "auto":
            return int(self.washout)
        slowest = float(np.min(self.leak_rate))
        return min(int(np.ceil(_WASHOUT / slowest)), n_rows // _LARGEST_PART)

    def _drives(self, pieces: Pieces, inputs: Pieces | None) -> list[np.ndarray]:
        """Standardised rows and inputs, side by side, for each piece."""
        if inputs is None:
            whole = [np.asarray(piece, dtype=np.float64) for piece in pieces]
        else:
            whole = [
                np.hstack([piece, rows], dtype=np.float64)
                for piece, rows in zip(pieces, inputs, strict=True)
            ]
        return [(rows - self.mean_) / self.scale_ for rows in whole]

    # -- the bare inside ---------------------------------------------------------------

    def _begin_all(self, pieces: Pieces, past: Any) -> np.ndarray:
        # The training data's own ends: their states are known.
        if pieces is self.context_.pieces:
            return self._ends.copy()
        return super()._begin_all(pieces, past)

    def _begin(self, contexts: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        if u is None and self.n_inputs_ and contexts.shape[1] > 1:
            raise ValueError(
                f"{type(self).__name__} remembers past inputs: needed u for the rows "
                f"of the context too, len(context) - 1 + n_steps rows with a context "
                f"of {contexts.shape[1]}, got those of the forecast only."
            )
        d = self.n_features_in_
        rows = (np.asarray(contexts, np.float64) - self.mean_[:d]) / self.scale_[:d]
        drives = rows[:, :-1]
        if u is not None:
            acted = (u - self.mean_[d:]) / self.scale_[d:]
            drives = np.concatenate([drives, acted], axis=2)
        states = settle(self.weights_, drives)
        return np.hstack([states.T, rows[:, -1]], dtype=self.weights_.dtype)

    def _step(
        self, state: np.ndarray, u: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        n, d = self.n_units, self.n_features_in_
        row, drive = state[:, n:], state[:, n:]
        if u is not None:
            drive = np.hstack([row, (u - self.mean_[d:]) / self.scale_[d:]])
        reservoir = advance(self.weights_, state[:, :n].T, drive.T).T
        features = np.empty((len(state), self._layout.n_features), state.dtype)
        features[:, :n] = reservoir
        ahead = self._layout.fill(features, drive) @ self.coef_
        if self._delta:
            ahead = row + ahead
        after = np.hstack([reservoir, ahead], dtype=state.dtype)
        return after, self._in_units(ahead)

    def _rollout(
        self, state: np.ndarray, n_steps: int, u: np.ndarray | None
    ) -> np.ndarray:
        n, d = self.n_units, self.n_features_in_
        rows, _ = free_run(
            self.weights_,
            self._layout,
            self.coef_,
            np.ascontiguousarray(state[:, :n].T),
            state[:, n:],
            n_steps,
            None if u is None else (u - self.mean_[d:]) / self.scale_[d:],
            delta=self._delta,
        )
        return self._in_units(rows)

    def _in_units(self, rows: np.ndarray) -> np.ndarray:
        d = self.n_features_in_
        return rows * self.scale_[:d] + self.mean_[:d]

    def _one_step(self, trajectories: Trajectories, u: Pieces | None) -> Pieces:
        # One pass along each trajectory gives the states of all its rows.
        drives, d, lead = (
            self._drives(trajectories.pieces, u),
            self.n_features_in_,
            self.washout_,
        )
        ahead = [np.empty((len(drive) - lead, d)) for drive in drives]
        buffer = np.empty(
            (max(BLOCK_ROWS, min(LANES, len(drives))), self._layout.n_features),
            self.weights_.dtype,
        )
        with np.errstate(all="ignore"):
            for block in run(self.weights_, drives, buffer=buffer):
                n_rows, n_lanes = block.states.shape[:2]
                acting = block.rows_of(drives)
                features = self._layout.fill(buffer[: n_rows * n_lanes], acting)
                rows = features @ self.coef_
                if self._delta:
                    rows += acting[:, :d]
                rows = self._in_units(rows).reshape(n_rows, n_lanes, d)
                skipped = max(lead - block.start, 0)
                at = max(block.start - lead, 0)
                for lane, i in enumerate(block.members):
                    some = rows[skipped:, lane]
                    ahead[i][at : at + len(some)] = some
        finished = [self._finish(rows[None], trajectories.dtype)[0] for rows in ahead]
        if isinstance(trajectories.pieces, np.ndarray):
            return np.stack(finished)
        return finished


# -- what fit does with arrays ---------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Folds:
    """Consecutive blocks of rows to leave out in turn, and starts within each.

    Attributes
    ----------
    owner : list of arrays (n_i - 1,)
        For each trajectory, the fold of each row with a successor; -1 in the washout.
    n_folds : int
        Number of folds.
    starts : list of (int, int, int)
        Fold, trajectory and row of each start of a free run.
    n_steps : int
        Steps of each free run, all within the fold.
    """

    owner: list[np.ndarray]
    n_folds: int
    starts: list[tuple[int, int, int]]
    n_steps: int

    @classmethod
    def plan(
        cls, drives: Sequence[np.ndarray], washouts: Sequence[int]
    ) -> _Folds | None:
        """Cut the rows that count into equal parts; None where they are too few."""
        counts = [len(x) - 1 - w for x, w in zip(drives, washouts, strict=True)]
        total = sum(counts)
        if total < _FEW_ROWS:
            return None
        owner, runs, seen = [], [], 0
        for i, (count, w) in enumerate(zip(counts, washouts, strict=True)):
            folds = (np.arange(seen, seen + count) * _FOLDS) // total
            owner.append(np.r_[np.full(w, -1), folds])
            for k in np.unique(folds):
                rows = np.flatnonzero(folds == k)
                runs.append((int(k), i, int(rows[0]) + w, int(rows[-1]) + 1 + w))
            seen += count
        longest = [0] * _FOLDS
        for k, _, at, stop in runs:
            longest[k] = max(longest[k], stop - at)
        n_steps = max(min(_STEPS, min(longest) // 2), 1)
        starts: list[tuple[int, int, int]] = []
        for fold in range(_FOLDS):
            places = [
                (fold, i, row)
                for k, i, at, stop in runs
                if k == fold
                for row in range(at, stop - n_steps + 1)
            ]
            chosen = np.linspace(0, len(places) - 1, min(_STARTS, len(places)))
            starts += [places[int(j)] for j in chosen.round()]
        return cls(owner, _FOLDS, starts, n_steps)


def _collect(
    weights: Weights,
    layout: Layout,
    drives: Sequence[np.ndarray],
    washouts: Sequence[int],
    *,
    n_features: int,
    delta: bool,
    noise: float = 0.0,
    rng: np.random.RandomState,
    plan: _Folds | None = None,
) -> tuple[list[Gram], np.ndarray, np.ndarray]:
    """Drive the network through the data once.

    Returns
    -------
    grams : list of Gram
        Of each fold, or one of all.
    starts : ndarray of shape (n_units, n_starts)
        States before the starts of the plan.
    ends : ndarray of shape (n_units, n_trajectories)
        States before the last row of each trajectory, without noise.
    """
    d, p = n_features, layout.n_features
    driven = [drive[:-1] for drive in drives]
    if noise:
        driven = [rows.copy() for rows in driven]
        for rows in driven:
            rows[:, :d] += noise * rng.standard_normal((len(rows), d))
    buffer = np.empty((max(BLOCK_ROWS, min(LANES, len(drives))), p + d), weights.dtype)
    # The standardised drive is 0 on average; so is, nearly, what this takes off.
    rest = np.zeros((1, p), weights.dtype)
    rest[:, : weights.n_units] = settle(
        weights, np.zeros((1, _WASHOUT, weights.n_drive))
    ).T
    shift = layout.fill(rest, np.zeros((1, layout.n_direct)))[0, :-1].astype(np.float64)
    sums = [GramSum(p, d, shift) for _ in range(1 if plan is None else plan.n_folds)]
    ends = np.zeros((weights.n_units, len(drives)), weights.dtype)
    wanted: dict[int, list[tuple[int, int]]] = {}
    starts = np.zeros(
        (weights.n_units, 0 if plan is None else len(plan.starts)), weights.dtype
    )
    if plan is not None:
        for j, (_, i, row) in enumerate(plan.starts):
            wanted.setdefault(i, []).append((row, j))
    for block in run(weights, driven, ends, buffer=buffer):
        n_rows, n_lanes = block.states.shape[:2]
        first, rows = block.start, buffer[: n_rows * n_lanes]
        # A free run from row k starts with the state after row k - 1.
        for lane, i in enumerate(block.members):
            for row, j in wanted.get(i, ()):
                if first < row <= first + n_rows:
                    starts[:, j] = block.states[row - 1 - first, lane]
        layout.fill(rows, block.rows_of(driven))
        target = block.rows_of(drives, ahead=1)[:, :d]
        if delta:
            target = target - block.rows_of(drives)[:, :d]
        rows[:, p:] = target
        if plan is not None:
            owner = block.rows_of(plan.owner)
            for fold in range(plan.n_folds):
                sums[fold].add(_select(rows, owner == fold), overwrite=True)
        elif first >= max(washouts[i] for i in block.members):
            sums[0].add(rows, overwrite=True)
        else:
            late = [
                np.arange(first, first + n_rows) >= washouts[i] for i in block.members
            ]
            chosen = np.stack(late, axis=1).ravel()
            sums[0].add(_select(rows, chosen), overwrite=True)
    if noise:
        ends = settle(weights, [drive[:-1] for drive in drives])
    return [each.total() for each in sums], starts, ends


def _select(rows: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The chosen rows, as a view where they are consecutive."""
    at = np.flatnonzero(chosen)
    if len(at) and at[-1] - at[0] + 1 == len(at):
        return rows[at[0] : at[-1] + 1]
    return rows[at]


def _closed_loop_errors(
    weights: Weights,
    layout: Layout,
    grams: Sequence[Gram],
    total: Gram,
    starts: np.ndarray,
    drives: Sequence[np.ndarray],
    plan: _Folds,
    n_features: int,
    delta: bool,
) -> np.ndarray:
    """Geometric mean error (n_alphas,) of free runs in the folds left out."""
    d, n_steps = n_features, plan.n_steps
    logs: list[list[np.ndarray]] = [[] for _ in _ALPHAS]
    for fold in range(plan.n_folds):
        here = [j for j, (k, _, _) in enumerate(plan.starts) if k == fold]
        rest = total - grams[fold]
        solved = [(a, rest.try_solve(alpha)) for a, alpha in enumerate(_ALPHAS)]
        coefs = [(a, C) for a, C in solved if C is not None]
        if not here or not coefs:
            continue
        windows = np.stack(
            [
                drives[i][row : row + n_steps + 1]
                for _, i, row in (plan.starts[j] for j in here)
            ]
        )
        several, n = len(coefs), len(here)
        forecast, _ = free_run(
            weights,
            layout,
            np.stack([C for _, C in coefs]),
            np.tile(starts[:, here], several),
            np.tile(windows[:, 0, :d], (several, 1)),
            n_steps,
            np.tile(windows[:, :-1, d:], (several, 1, 1))
            if windows.shape[2] > d
            else None,
            delta=delta,
            which=np.repeat(np.arange(several), n),
        )
        with np.errstate(all="ignore"):
            wrong = forecast.reshape(several, n, n_steps, d) - windows[None, :, 1:, :d]
            error = np.sqrt((wrong**2).mean(axis=3))
        # NaN is worse than anything.
        error = np.where(error < _LARGEST_ERROR, error, _LARGEST_ERROR)
        for (a, _), each in zip(
            coefs, np.log(np.maximum(error, _LEAST_ERROR)), strict=True
        ):
            logs[a].append(each)
    complete = max(len(each) for each in logs)
    return np.array(
        [
            np.exp(np.concatenate(each).mean())
            if each and len(each) == complete
            else np.inf
            for each in logs
        ]
    )


def _standardisation(
    given: Any, trajectories: Trajectories, inputs: Pieces | None, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scale of rows and inputs, side by side."""
    if given is False:
        return np.zeros(width), np.ones(width)
    if isinstance(given, tuple):
        if len(given) != 2 or any(np.shape(each) != (width,) for each in given):
            raise ValueError(
                f"standardise needs a tuple (mean, scale), each of shape (n_features + "
                f"n_inputs,) = ({width},), got shapes "
                f"{[np.shape(each) for each in given]}."
            )
        mean, scale = (np.array(each, dtype=np.float64) for each in given)
        if not (
            np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()
        ):
            raise ValueError(
                "standardise needs finite means and positive, finite scales."
            )
        return mean, scale
    means, scales = [], []
    for pieces in (
        [trajectories.pieces] if inputs is None else [trajectories.pieces, inputs]
    ):
        rows = np.concatenate([np.asarray(p, dtype=np.float64) for p in pieces])
        mean, scale = rows.mean(axis=0), rows.std(axis=0)
        # What is constant to rounding has no scale.
        flat = scale <= 10 * np.finfo(np.float64).eps * np.abs(mean)
        means.append(mean)
        scales.append(np.where(flat, 1.0, scale))
    return np.concatenate(means), np.concatenate(scales)


def _input_scaling(given: Any, d: int, q: int) -> np.ndarray:
    """Standard deviation of the weights of each column of the drive."""
    if np.ndim(given) == 0:
        parts = [np.full(n, float(given) / np.sqrt(n)) for n in (d, q) if n]
        return np.concatenate(parts)
    scaling = np.asarray(given, dtype=np.float64)
    if scaling.shape != (d + q,) or not (scaling >= 0).all():
        raise ValueError(
            f"input_scaling needs one number, or one of at least 0 for each of the "
            f"{d} features and {q} inputs: needed shape ({d + q},), got "
            f"{scaling.shape}."
        )
    return scaling


def _check_leak(leak_rate: Any) -> None:
    leaks = np.asarray(leak_rate, dtype=np.float64)
    if not ((leaks > 0) & (leaks <= 1)).all():
        raise ValueError(f"leak_rate needs numbers within (0, 1], got {leak_rate!r}.")

"""Liquid state machine: a reservoir of spiking neurons, for features and forecasts.

A liquid of leaky integrate-and-fire neurons, with excitatory and inhibitory ones in a
box and mostly local connections (Maass, Natschläger & Markram 2002), is driven by the
data, which is encoded as spikes; a linear readout of its activity does the rest. Its
excitatory synapses may learn beforehand, without targets, by spike-timing-dependent
plasticity (STDP), whose rate of depression an astrocyte sets from the activity, such
that the liquid settles near the edge of chaos (NALSM: Ivanov & Michmizos 2021).

The equations are in `skdyn.reservoir._spikes`. What is as in NALSM's own code: the
shares and chances of connections, the form of the pair rule and of the astrocyte's,
weights that begin at their largest, the time constants of traces (10 steps) and of the
astrocyte (100), refractory steps (2) and density of input connections (0.15). What is
not: synapses act within one step; the potential is held at rest in the refractory time
(as Maass et al. have it; there it goes on integrating); the membrane time constant is
20 steps (there 64); only synapses from excitatory neurons of the liquid learn (there
those of inhibitory neurons and of inputs too); learning ends with ``fit`` (there each
sample goes on changing the weights while it is seen, and they are reset after it).

References: see `LiquidStateMachine`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from skdyn.base import TransformMixin
from skdyn.reservoir._features import pooled
from skdyn.reservoir._forecaster import DrivenForecaster, last_pieces
from skdyn.reservoir._readout import GramSum, Layout
from skdyn.reservoir._settings import (
    NOT_NEGATIVE,
    WASHOUT,
    check_targets,
    generator_of,
    own_order,
)
from skdyn.reservoir._spikes import (
    ENCODINGS,
    LANES,
    Encoder,
    Liquid,
    Plasticity,
    connect,
    connect_inputs,
    learn,
    run,
)
from skdyn.reservoir._states import BLOCK_ROWS
from skdyn.utils._sklearn import (
    Interval,
    StrOptions,
    feature_names_in,
)
from skdyn.utils._trajectories import Pieces, Trajectories, check_trajectories

__all__ = ["LiquidForecaster", "LiquidStateMachine"]

# Rows that a liquid takes to forget.
_FORGOTTEN = 50

_POSITIVE = Interval(Real, 0, None, closed="neither")
_COUNT = Interval(Integral, 1, None, closed="left")


class LiquidStateMachine(TransformMixin, BaseEstimator):
    """Activity of a liquid of spiking neurons, as features of rows or of trajectories.

    Rows become spikes, spikes drive a random network of integrate-and-fire neurons, and
    its activity comes out: for each row, for any regressor behind, or one vector for
    each trajectory (`pool`), for any classifier of sequences.

    Time goes in steps, `steps_per_row` to a row. Weights are in units of the firing
    threshold.

    Parameters
    ----------
    n_neurons : int, default=500
        Neurons of the liquid.
    encoding : {"rate", "poisson", "latency", "delta", "current"}, default="rate"
        How a row drives the liquid, given each feature u scaled to 0 to 1. "rate": an
        evenly spaced spike train of rate `max_rate` times u; "poisson": a random one,
        drawn from `random_state` and the number of the step alone, so that the same
        rows always give the same spikes; "latency": one spike, the earlier the larger
        u, none at 0; "delta": a spike of one of two channels whenever u has risen or
        fallen by `delta_threshold`; "current": no spikes, a current 2 u - 1 flows.
        The first three saturate outside 0 to 1.
    steps_per_row : int, default=10
        Steps for which each row is shown.
    max_rate : float, default=0.3
        Spikes per step at u = 1, of "rate" and "poisson".
    delta_threshold : float, default=0.1
        Change of u for a spike of "delta".
    input_range : tuple (low, high) or None, default=None
        What is scaled to 0 and 1: two numbers or arrays of shape (n_features,). None
        takes each feature's least and largest training values.
    input_scaling : float, default=0.6
        Weight of an input spike, with random sign; with "current", standard deviation
        of the weights.
    input_density : float, default=0.15
        Part of the neurons that each channel reaches.
    bias_scaling : float, default=0.0
        Constant currents of neurons are uniform within plus and minus this. From 1 on
        some neurons fire by themselves.
    recurrent_scaling : float, default=0.1
        Weight of all synapses within the liquid, the largest there can be with
        plasticity. Around 0.15 activity begins to sustain itself; plasticity begins
        well from 0.3, beyond it.
    inhibitory_fraction : float, default=0.2
        Part of the neurons that inhibit.
    connection_length : float, default=3.0
        Distance, between neighbouring neurons 1, beyond which connections become rare.
    membrane_time : float, default=20.0
        Time constant of the neurons, in steps.
    refractory : int, default=2
        Steps that a neuron pauses after a spike.
    plasticity : {"stdp", "astrocyte"} or None, default=None
        Whether synapses from excitatory neurons learn in ``fit``, from all training
        trajectories in the order given: by plain STDP, or with the astrocyte.
    learning_rate : float, default=0.005
        Of STDP, relative to `recurrent_scaling`.
    stdp_time : float, default=10.0
        Time constant of STDP, in steps.
    astrocyte_weight : float, default=0.1
        How much a spike of the liquid raises, and one of the input lowers, what the
        rate of depression relaxes to; as a part of the rate of potentiation.
    astrocyte_time : float, default=100.0
        Time constant of the astrocyte, in steps.
    n_epochs : int, default=1
        Passes of the plasticity through the training trajectories.
    features : {"traces", "rates"}, default="traces"
        What comes out of each neuron for each row: its spikes with exponential weights
        of their age, at the end of the row; or its spikes per step within the row.
    trace_time : float, default=20.0
        Time constant of traces, in steps.
    pool : {"rows", "last", "mean"} or None, default=None
        None gives features for each row, in the form of `X`. "rows" puts the rows of
        all trajectories one below the other. "last" and "mean" make each trajectory one
        row, its last or the mean of all: ``features="rates", pool="mean"`` gives the
        firing rates.
    include_state : bool, default=True
        Whether the row itself comes first. The way back of forecasts is through it.
    random_state : int, RandomState instance or None, default=0
        Seed of connections, weights and "poisson".

    Attributes
    ----------
    weights_ : csr_array of shape (n_neurons, n_neurons)
        Synapses, learned ones as they ended; row i holds what neuron i hears.
    input_weights_ : csr_array of shape (n_neurons, n_channels)
        From the input.
    is_excitatory_ : bool ndarray of shape (n_neurons,)
        Which neurons excite.
    positions_ : ndarray of shape (n_neurons, 3)
        Where they are.
    low_, scale_ : ndarray of shape (n_features,)
        u is (x - low) / scale.
    astrocyte_ : float or None
        The rate of depression relative to potentiation where learning ended.
    n_features_in_ : int
        Number of features in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.

    See Also
    --------
    LiquidForecaster : A readout that continues trajectories.
    skdyn.reservoir.branching_factor : How near the liquid is to the critical point.

    Notes
    -----
    Each trajectory starts from a liquid at rest. With plasticity the order of the
    trajectories matters, and ``fit`` takes them one by one; without, many trajectories
    are run together, fastest as one 3-D array.

    References
    ----------
    Maass, Natschläger & Markram, "Real-time computing without stable states: a new
    framework for neural computation based on perturbations", Neural Computation 14
    (2002), 2531.

    Ivanov & Michmizos, "Increasing liquid state machine performance with edge-of-chaos
    dynamics organized by astrocyte-modulated plasticity", NeurIPS 34 (2021).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import RidgeClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from skdyn.reservoir import LiquidStateMachine
    >>> digits = load_digits(n_class=3)
    >>> X = digits.images  # trajectories of 8 rows, 8 features
    >>> liquid = LiquidStateMachine(
    ...     200, input_range=(0, 16), features="rates", pool="mean", input_scaling=1.0
    ... )
    >>> liquid.fit(X[:300]).transform(X[:300]).shape
    (300, 208)
    >>> model = make_pipeline(liquid, RidgeClassifier())
    >>> model = model.fit(X[:300], digits.target[:300])
    >>> model.score(X[300:], digits.target[300:]) > 0.8
    True
    """

    _parameter_constraints: dict = {
        "n_neurons": [_COUNT],
        "encoding": [StrOptions(set(ENCODINGS))],
        "steps_per_row": [_COUNT],
        "max_rate": [Interval(Real, 0, 1, closed="right")],
        "delta_threshold": [_POSITIVE],
        "input_range": [tuple, None],
        "input_scaling": [NOT_NEGATIVE],
        "input_density": [Interval(Real, 0, 1, closed="right")],
        "bias_scaling": [NOT_NEGATIVE],
        "recurrent_scaling": [NOT_NEGATIVE],
        "inhibitory_fraction": [Interval(Real, 0, 1, closed="both")],
        "connection_length": [_POSITIVE],
        "membrane_time": [_POSITIVE],
        "refractory": [Interval(Integral, 0, None, closed="left")],
        "plasticity": [StrOptions({"stdp", "astrocyte"}), None],
        "learning_rate": [NOT_NEGATIVE],
        "stdp_time": [_POSITIVE],
        "astrocyte_weight": [NOT_NEGATIVE],
        "astrocyte_time": [Interval(Real, 1, None, closed="left")],
        "n_epochs": [_COUNT],
        "features": [StrOptions({"traces", "rates"})],
        "trace_time": [_POSITIVE],
        "pool": [StrOptions({"rows", "last", "mean"}), None],
        "include_state": ["boolean"],
        "random_state": ["random_state"],
    }
    _uses_whole_context = True

    def __init__(
        self,
        n_neurons: int = 500,
        *,
        encoding: Literal["rate", "poisson", "latency", "delta", "current"] = "rate",
        steps_per_row: int = 10,
        max_rate: float = 0.3,
        delta_threshold: float = 0.1,
        input_range: tuple[Any, Any] | None = None,
        input_scaling: float = 0.6,
        input_density: float = 0.15,
        bias_scaling: float = 0.0,
        recurrent_scaling: float = 0.1,
        inhibitory_fraction: float = 0.2,
        connection_length: float = 3.0,
        membrane_time: float = 20.0,
        refractory: int = 2,
        plasticity: Literal["stdp", "astrocyte"] | None = None,
        learning_rate: float = 0.005,
        stdp_time: float = 10.0,
        astrocyte_weight: float = 0.1,
        astrocyte_time: float = 100.0,
        n_epochs: int = 1,
        features: Literal["traces", "rates"] = "traces",
        trace_time: float = 20.0,
        pool: Literal["rows", "last", "mean"] | None = None,
        include_state: bool = True,
        random_state: Any = 0,
    ) -> None:
        self.n_neurons = n_neurons
        self.encoding = encoding
        self.steps_per_row = steps_per_row
        self.max_rate = max_rate
        self.delta_threshold = delta_threshold
        self.input_range = input_range
        self.input_scaling = input_scaling
        self.input_density = input_density
        self.bias_scaling = bias_scaling
        self.recurrent_scaling = recurrent_scaling
        self.inhibitory_fraction = inhibitory_fraction
        self.connection_length = connection_length
        self.membrane_time = membrane_time
        self.refractory = refractory
        self.plasticity = plasticity
        self.learning_rate = learning_rate
        self.stdp_time = stdp_time
        self.astrocyte_weight = astrocyte_weight
        self.astrocyte_time = astrocyte_time
        self.n_epochs = n_epochs
        self.features = features
        self.trace_time = trace_time
        self.pool = pool
        self.include_state = include_state
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> LiquidStateMachine:
        """Draw the liquid and, with plasticity, let it learn from the trajectories.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories.
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        LiquidStateMachine
            The transformer itself.

        Raises
        ------
        ValueError
            For an `input_range` that is none, for ``plasticity="astrocyte"`` with
            ``encoding="current"``, which has no input spikes to count, and if `y` is a
            list beside several trajectories: what stands behind in a pipeline needs one
            array.
        """
        trajectories = self._check_fit(X)
        check_targets(y, trajectories, "LiquidStateMachine")
        if self.plasticity == "astrocyte" and self.encoding == "current":
            raise ValueError(
                "The astrocyte compares spikes of the liquid with spikes of the input: "
                "needed an encoding with spikes, got encoding='current'. Take another "
                "encoding, or plasticity='stdp'."
            )
        self.low_, self.scale_ = _scaling(
            self.input_range, trajectories, self.n_features_in_
        )
        rng = generator_of(self.random_state)
        encoder = Encoder(
            self.encoding,
            self.n_features_in_,
            self.steps_per_row,
            max_rate=self.max_rate,
            threshold=self.delta_threshold,
            seed=int(rng.randint(2**31 - 1)),
        )
        recurrent, self.is_excitatory_, self.positions_ = connect(
            self.n_neurons,
            self.recurrent_scaling,
            self.inhibitory_fraction,
            self.connection_length,
            rng,
        )
        drive = connect_inputs(
            self.n_neurons, encoder, self.input_scaling, self.input_density, rng
        )
        self._liquid = Liquid(
            recurrent,
            drive,
            self.bias_scaling * rng.uniform(-1, 1, self.n_neurons),
            encoder,
            decay=float(np.exp(-1 / self.membrane_time)),
            trace_decay=float(np.exp(-1 / self.trace_time)),
            refractory=self.refractory,
        )
        self.astrocyte_: float | None = None
        if self.plasticity is not None:
            rule = Plasticity(
                self.learning_rate,
                float(np.exp(-1 / self.stdp_time)),
                self.plasticity == "astrocyte",
                self.astrocyte_weight,
                self.astrocyte_time,
            )
            self._liquid, level = learn(
                self._liquid,
                self.is_excitatory_,
                [self._scaled(piece) for piece in trajectories.pieces],
                rule,
                self.n_epochs,
            )
            self.astrocyte_ = level if rule.astrocyte else None
        return self

    @property
    def weights_(self) -> Any:
        """Synapses within the liquid."""
        return self._liquid.recurrent

    @property
    def input_weights_(self) -> Any:
        """Synapses from the input."""
        return self._liquid.drive

    def spikes(self, X: Any) -> Any:
        """All spikes of the liquid.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), list of these, or 3-D array
            The data, in any accepted form.

        Returns
        -------
        bool ndarray of shape (n_samples * steps_per_row, n_neurons), list, or 3-D array
            In the form of `X`.
        """
        check_is_fitted(self)
        trajectories = check_trajectories(self, X, reset=False)
        pieces = trajectories.pieces
        if isinstance(pieces, np.ndarray):
            return self._spikes_of(self._scaled(pieces))
        return trajectories.join(
            [self._spikes_of(self._scaled(p)[None])[0] for p in pieces]
        )

    def _spikes_of(self, u: np.ndarray) -> np.ndarray:
        batch, n_rows, _ = u.shape
        steps = self.steps_per_row
        out = np.empty((batch, n_rows * steps, self.n_neurons), bool)
        for first in range(0, batch, LANES):
            lanes = slice(first, min(first + LANES, batch))
            width = lanes.stop - first
            state = self._liquid.begin(width)
            fired = np.empty((steps, self.n_neurons, width), bool)
            for t in range(n_rows):
                rows = np.ascontiguousarray(u[lanes, t].T)
                self._liquid.through_row(state, rows, spikes=fired)
                out[lanes, t * steps : (t + 1) * steps] = fired.transpose(2, 0, 1)
        return out

    def _scaled(self, x: np.ndarray) -> np.ndarray:
        return (np.asarray(x, np.float64) - self.low_) / self.scale_

    def _transform(self, x: np.ndarray) -> np.ndarray:
        u = self._scaled(x if x.ndim == 3 else x[None])
        out, _ = run(self._liquid, u, rates=self.features == "rates")
        assert out is not None
        out = out if x.ndim == 3 else out[0]
        parts = [x, out] if self.include_state else [out]
        rows = np.concatenate(parts, axis=-1)
        return rows.astype(x.dtype, copy=False)

    def _wrap(self, trajectories: Trajectories, outputs: Pieces, X: Any) -> Any:
        if self.pool is None:
            return super()._wrap(trajectories, outputs, X)
        return pooled(self, trajectories.groups(outputs))

    def _inverse(self, y: np.ndarray) -> np.ndarray:
        if self.pool is not None or not self.include_state:
            raise ValueError(
                "Spikes do not tell the row that made them: needed the row among the "
                f"features, for each row, got include_state={self.include_state}, "
                f"pool={self.pool!r}. Set include_state=True and pool=None."
            )
        # A copy: a view would keep all features alive.
        return y[..., : self.n_features_in_].copy()

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns: those of the row, then ``neuron0``, ``neuron1``, ...

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the features; None takes those of ``fit``.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self, "n_features_in_")
        names = feature_names_in(self, input_features)
        neurons = [f"neuron{i}" for i in range(self.n_neurons)]
        kept = list(map(str, names)) if self.include_state else []
        return np.array([*kept, *neurons], dtype=object)


class LiquidForecaster(DrivenForecaster):
    """Forecast by a linear readout of a liquid of spiking neurons.

    The liquid's traces, the row itself and a constant give the change to the next row
    by ridge regression; a forecast drives the liquid with its own rows. It is here for
    what spikes are, not for the best forecast: the activity of some hundred spiking
    neurons is coarse, and an `ESN` of the same size is both far more accurate and
    faster.

    Parameters
    ----------
    liquid : LiquidStateMachine or None, default=None
        The liquid, of which a clone is fitted; its `pool` and `include_state` do not
        matter. None takes ``LiquidStateMachine(encoding="current", input_scaling=3.0,
        input_density=1.0, bias_scaling=3.0, recurrent_scaling=0.02, membrane_time=3.0,
        refractory=0, trace_time=30.0)``: neurons that mostly answer to the row, fast
        and each from a level of its own.
    alpha : float, default=1e-5
        Ridge penalty for each row of training data, on traces of unit scale and rows
        scaled to 0 to 1.
    washout : int or "auto", default="auto"
        Rows at the start of each trajectory that are not learned from. "auto" is 50,
        but at most a tenth of the trajectory.

    Attributes
    ----------
    liquid_ : LiquidStateMachine
        The fitted liquid.
    coef_ : ndarray of shape (n_neurons + n_features + 1, n_features)
        The readout, in scaled units: of traces, the row, a constant.
    washout_ : int
        Rows of the shortest trajectory that were not learned from.
    n_features_in_ : int
        Number of features in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.
    min_context_ : int
        Rows of history that a forecast needs: ``washout_ + 1``.
    context_ : Trajectories
        The last rows of each training trajectory, where ``predict(h)`` starts.

    See Also
    --------
    skdyn.reservoir.ESN : What to use for a good forecast.

    Notes
    -----
    A liquid that learns (`plasticity`) is shown the trajectories in an order of their
    own, the shorter ones first, so that the order in which they are given does not
    matter.

    References
    ----------
    Maass, Natschläger & Markram, "Real-time computing without stable states: a new
    framework for neural computation based on perturbations", Neural Computation 14
    (2002), 2531.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.reservoir import LiquidForecaster
    >>> X = np.sin(0.2 * np.arange(600))[:, None]
    >>> model = LiquidForecaster().fit(X[:500])
    >>> bool(np.abs(model.predict(50) - X[500:550]).max() < 0.5)
    True
    """

    _parameter_constraints: dict = {
        "liquid": [LiquidStateMachine, None],
        "alpha": [NOT_NEGATIVE],
        "washout": WASHOUT,
    }

    def __init__(
        self,
        liquid: LiquidStateMachine | None = None,
        *,
        alpha: float = 1e-5,
        washout: int | Literal["auto"] = "auto",
    ) -> None:
        self.liquid = liquid
        self.alpha = alpha
        self.washout = washout

    def fit(self, X: Any, y: Any = None) -> LiquidForecaster:
        """Draw the liquid, drive it through the data and fit the readout.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories, each of at least ``washout + 2`` rows.
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        LiquidForecaster
            The estimator itself.
        """
        trajectories, _ = self._check_fit(X, min_rows=self._least_rows())
        liquid = LiquidStateMachine(
            encoding="current",
            input_scaling=3.0,
            input_density=1.0,
            bias_scaling=3.0,
            recurrent_scaling=0.02,
            membrane_time=3.0,
            refractory=0,
            trace_time=30.0,
        )
        if self.liquid is not None:
            liquid = clone(self.liquid)
        plain = [np.asarray(piece, np.float64) for piece in trajectories.pieces]
        in_order = [plain[i] for i in own_order(plain)]
        self.liquid_ = liquid.set_params(pool=None, include_state=True).fit(in_order)
        washouts = self._washouts(trajectories.lengths)
        d = self.n_features_in_
        self._layout = Layout(liquid.n_neurons, d)
        total = GramSum(self._layout.n_features, d)
        ends = np.empty((len(plain), self.liquid_._liquid.n_state + d))
        rows_of = [self.liquid_._scaled(piece) for piece in plain]
        for members, first, features, state in self._passes([u[:-1] for u in rows_of]):
            n_rows = features.shape[1]
            for lane, i in enumerate(members):
                at = max(washouts[i] - first, 0)
                u = rows_of[i][first + at : first + n_rows + 1]
                if len(u) > 1:
                    z = np.empty((len(u) - 1, self._layout.n_features + d))
                    z[:, : liquid.n_neurons] = features[lane, at:]
                    self._layout.fill(z, u[:-1])
                    z[:, self._layout.n_features :] = np.diff(u, axis=0)
                    total.add(z, overwrite=True)
                ends[i] = np.concatenate([state[:, lane], rows_of[i][-1]])
        self.coef_ = total.total().solve(self.alpha)
        self.washout_: int = min(washouts)
        self.min_context_ = self.washout_ + 1
        self._remember(trajectories)
        self._ends = ends[last_pieces(trajectories)]
        return self

    def _forgotten(self) -> int:
        return _FORGOTTEN

    def _passes(
        self, drives: Sequence[np.ndarray]
    ) -> Iterator[tuple[list[int], int, np.ndarray, np.ndarray]]:
        """Drive the liquid through trajectories, those of one length together.

        Yields members, the first row, features (n_members, n_rows, n_neurons) of some
        rows, and states after them (n_state, n_members).
        """
        lengths = [len(each) for each in drives]
        rates = self.liquid_.features == "rates"
        for n in sorted(set(lengths)):
            same = [i for i, length in enumerate(lengths) if length == n]
            for at in range(0, len(same), LANES):
                members = same[at : at + LANES]
                u = np.stack([drives[i] for i in members])
                size = max(BLOCK_ROWS // len(members), 1)
                state = None
                for first in range(0, n, size):
                    features, state = run(
                        self.liquid_._liquid,
                        u[:, first : first + size],
                        state,
                        rates=rates,
                    )
                    assert features is not None
                    yield members, first, features, state

    # -- the bare inside ---------------------------------------------------------------

    def _begin(self, contexts: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        rows = self.liquid_._scaled(contexts)
        _, states = run(self.liquid_._liquid, rows[:, :-1], features=False)
        return np.hstack([states.T, rows[:, -1]])

    def _step(
        self, state: np.ndarray, u: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        d, liquid = self.n_features_in_, self.liquid_._liquid
        row = state[:, -d:]
        features, after = run(
            liquid,
            row[:, None],
            np.ascontiguousarray(state[:, :-d].T),
            rates=self.liquid_.features == "rates",
        )
        assert features is not None
        ahead = row + self._read(features[:, 0], row)
        return np.hstack([after.T, ahead]), self._in_units(ahead)

    def _read(self, features: np.ndarray, rows: np.ndarray) -> np.ndarray:
        z = np.empty((len(rows), self._layout.n_features))
        z[:, : self._layout.n_units] = features
        return self._layout.fill(z, rows) @ self.coef_

    def _in_units(self, rows: np.ndarray) -> np.ndarray:
        return rows * self.liquid_.scale_ + self.liquid_.low_

    def _one_step(self, trajectories: Trajectories, u: Pieces | None) -> Pieces:
        # One pass along each trajectory gives the features of all its rows.
        drives = [self.liquid_._scaled(piece) for piece in trajectories.pieces]
        ahead = [np.empty_like(drive) for drive in drives]
        with np.errstate(all="ignore"):
            for members, first, features, _ in self._passes(drives):
                for lane, i in enumerate(members):
                    here = slice(first, first + features.shape[1])
                    now = drives[i][here]
                    ahead[i][here] = self._in_units(
                        now + self._read(features[lane], now)
                    )
        return self._finished([rows[self.washout_ :] for rows in ahead], trajectories)


def _scaling(
    given: Any, trajectories: Trajectories, n_features: int
) -> tuple[np.ndarray, np.ndarray]:
    """What is 0, and how far from it is 1, for each feature."""
    if given is None:
        pieces = trajectories.pieces
        low = np.min([np.min(p, axis=0) for p in pieces], axis=0).astype(np.float64)
        high = np.max([np.max(p, axis=0) for p in pieces], axis=0).astype(np.float64)
        # What is constant has no scale.
        return low, np.where(high > low, high - low, 1.0)
    shapes = [np.shape(each) for each in given]
    if len(given) != 2 or any(shape not in ((), (n_features,)) for shape in shapes):
        raise ValueError(
            f"input_range needs (low, high), two numbers or arrays of shape "
            f"({n_features},), got shapes {shapes}."
        )
    low, high = (
        np.broadcast_to(np.asarray(each, np.float64), (n_features,)).copy()
        for each in given
    )
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (high > low).all()):
        raise ValueError(f"input_range needs finite numbers low < high, got {given!r}.")
    return low, high - low

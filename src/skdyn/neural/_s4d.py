"""S4D: forecasts from a deep diagonal state-space network over a simple base.

Equations, for standardised rows x with inputs u, z = (x, u):

    x[t+1] = base(z[t], ..., z[t-k+1]) + sigma net(z[t], z[t-1], ...),

where sigma is the deviation of what the base leaves, and net is a stack of residual
blocks, each with H linear state spaces of N states under a gated nonlinearity
(`_s4d_core`; Gu, Goel, Gupta & Ré 2022). The state spaces are all that it remembers: a
forecast runs the context through them, and then goes on row by row, each row O(H N).

What makes it work on dynamics:

* Time scales. A mode of decay rate r and step Delta forgets within 1 / (r Delta) rows.
  Steps are spread from those that forget within a row or two up to those that last for
  half a training window; what lasts longer than that cannot be trained, and a range
  that does is warned of.
* The base, so that the net has only to learn the remainder.
* Checkpoints by free runs on rows that are held back, not by errors of one step.
* At the end the head, which is linear, is fitted anew by ridge regression in double
  precision: stochastic gradients leave one or two digits behind that least squares
  finds. The new head is taken only if free runs become better.

References: see `S4D`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from skdyn.base import ForecasterMixin, Horizon
from skdyn.neural._forecaster import NeuralForecaster
from skdyn.neural._hippo import initial_diagonal
from skdyn.neural._s4d_base import (
    Base,
    Held,
    Outside,
    PolynomialRidge,
    Starts,
    choose,
    delayed,
    free_run,
)
from skdyn.neural._s4d_core import Network
from skdyn.neural._torch import gpu_at_hand
from skdyn.utils._moments import Moments
from skdyn.utils._sklearn import HasMethods, Interval, StrOptions
from skdyn.utils._trajectories import Pieces, Trajectories, check_inputs
from skdyn.utils._warn import caller_level

__all__ = ["S4D"]

# Rows of a training window with plenty of data, and the part that fills the state.
_WINDOW = 96
_BURN_IN = 1 / 3
# Rows for each batch of an epoch, its batches at most, and epochs with plenty of data.
_ROWS_PER_BATCH = 25
_MOST_BATCHES = 40
_EPOCHS = 40
# What is held back: a part of each trajectory, at least so many rows; starts within it,
# and steps of their free runs.
_LEAST_HELD = 10
_STARTS = 16
_STEPS = 300
# Penalties of the new head, relative to the number of rows.
_ALPHAS = 10.0 ** np.arange(-12, -1, 2)
# What a base leaves, below which single precision does not see its free runs.
_SEEN = 1e-4
# Numbers in the states of a batch from which on a GPU is asked for free runs. NumPy
# needs about a millisecond for a row of so many. On a GPU a row is some forty short
# kernels, and capturing the graph costs about twenty rows launched one by one: with
# fewer starts, short forecasts would not win that back.
_PAYS_ON_GPU = 2**16
# Trajectories that go forward together: their states stay in the cache.
_LANES = 64

_POSITIVE = Interval(Real, 0, None, closed="left")
_STEP_SIZE = Interval(Real, 0, None, closed="neither")


class S4D(NeuralForecaster):
    """Deep diagonal state-space network that corrects a simple base.

    For partial observation, long memory and many trajectories: the network remembers
    the past in linear state spaces of many time scales. Where all of a clean
    low-dimensional state is observed, `skdyn.reservoir.NVAR` is faster and better.

    Parameters
    ----------
    n_layers : int, default=2
        Residual blocks.
    d_model : int, default=64
        H, channels, each with a state space of its own in every layer.
    d_state : int, default=16
        N, states of each, an even number: N / 2 modes and their conjugates.
    init : {"lin", "inv", "real", "legs", "ptd"}, default="lin"
        Modes before training; see `initial_diagonal`.
    disc : {"zoh", "bilinear"}, default="zoh"
        Discretisation: input held over a row, or trapezoidal rule.
    dt_min, dt_max : float or "auto", default="auto"
        Range of the steps Delta before training, in rows. A mode of decay rate r
        forgets within 1 / (r Delta) rows. "auto" lets the fastest forget within one
        row and the slowest within half a `window`.
    base : {"ridge"}, forecaster or None, default="ridge"
        What the net corrects: polynomial ridge regression on the last few rows, another
        forecaster that sees a fixed number of last rows (it is cloned), or None, the
        last row.
    window : int or "auto", default="auto"
        Rows that are learned from at once; "auto" is 96, or what the data has.
    burn_in : int or "auto", default="auto"
        Rows at the start of a window that only fill the state, and of a context that
        one-step forecasts leave out. "auto" is a third of the window.
    noise : float, default=0.0
        Deviation of the noise on the rows that come in while training, relative to that
        of the data. It makes free runs of clean data robust; noisy data has its own.
    rollout : int, default=0
        Steps of free runs that are trained on in the last part of training (student
        forcing), at some cost. Ignored with another forecaster as base, and where the
        base leaves less than 1e-4, which single precision cannot see in a free run.
    attractor : float, default=0.0
        Weight, in student forcing, of the maximum mean discrepancy between the rows of
        free runs and those of the data.
    refit : bool, default=True
        Whether the head is fitted anew by ridge regression at the end, and kept if free
        runs are better for it.
    held_back : float, default=0.1
        Part of each trajectory, at its end, that is not trained on: free runs within it
        choose the base, the checkpoint and the head. 0 keeps the last weights and their
        head.
    ssm_lr : float, default=0.3
        Learning rate of modes, steps, B, C and D, relative to `lr`. They have no weight
        decay.
    weight_decay : float, default=0.0
        Of all other parameters.
    dropout : float, default=0.0
        Part of the outputs of state spaces that is left out in training.
    max_epochs : int or "auto", default="auto"
        Epochs; "auto" is 40, less for small data.
    batch_size : int, default=16
        Windows in a batch.
    lr : float, default=0.005
        Learning rate.
    lr_schedule : {"cosine", "exponential"}, callable or None, default="cosine"
        Factor on the learning rate over the progress of training.
    n_init : int, default=1
        Restarts, of which the one with the best free runs is kept.
    patience : int or None, default=None
        Checks without a better free run after which training ends.
    device : str, default="auto"
        Where to train: "cpu", "cuda", or "auto", a GPU where there is one. Forecasts of
        large batches run there too, where there is one when they are asked for (see
        Notes); fitted models load everywhere.
    callbacks : list or None, default=None
        skorch's callbacks, or callables ``(epoch, record)``.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the weights, base and units of the last fit.
    verbose : int, default=0
        1 shows progress, 2 a line for each epoch.
    random_state : int, RandomState instance or None, default=0
        Seed of the weights and the windows.

    Attributes
    ----------
    network_ : Network
        The weights in NumPy, in double precision.
    net_ : skorch.NeuralNet
        The trained net, on the CPU, without the new head.
    base_ : object
        The base, with ``n_rows`` and ``ahead``.
    dt_min_, dt_max_ : float
        Range of the steps before training.
    window_, burn_in_ : int
        Rows of a window, and those that only filled the state.
    mean_, scale_ : ndarray of shape (n_features + n_inputs,)
        What rows and inputs are standardised with.
    left_scale_ : ndarray of shape (n_features,)
        sigma, in standardised units.
    error_, base_error_ : float or None
        Errors, from 0 to 1, of the free runs on held back rows, of the model and of its
        base alone: the mean over starts and steps of the running maximum of min(1, e),
        e the distance in units of the spread of the data.
    refitted_ : bool
        Whether the new head was kept.
    history_ : list of dict
        ``epoch``, ``loss`` and ``lr`` of each epoch, ``error`` at checks.
    device_, n_epochs_, restarts_
        Where training ran, how long, and what restarts came to.
    n_features_in_, n_inputs_ : int
        Number of features and inputs in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.
    min_context_ : int
        Rows of history that a forecast needs: ``burn_in_ + 1``.
    context_ : Trajectories
        The last rows of each training trajectory, where ``predict(h)`` starts; the
        state there is kept beside.

    See Also
    --------
    skdyn.reservoir.NVAR : Better on clean data of a few fully observed variables.
    skdyn.reservoir.ESN : A recurrent network that needs no gradients.

    Notes
    -----
    Data is held as windows in single precision; training costs about n_layers * H * N
    operations for each row of each window. A context is run through in chunks, a
    forecast step by step, all starts in one batch.

    Forecasts run in NumPy. Where `device` stands for a GPU, those of so many starts
    that their states have 2**16 numbers, 32 starts by default, run there by steps that
    are captured once as a CUDA graph and replayed, in double precision as well: the
    rows are NumPy's to rounding. This needs a base whose step PyTorch knows, "ridge",
    None or `NVAR`; with others, and for ``device="cpu"``, it is NumPy.

    References
    ----------
    Gu, Goel & Ré, "Efficiently modeling long sequences with structured state spaces",
    ICLR 2022.

    Gu, Goel, Gupta & Ré, "On the parameterization and initialization of diagonal state
    space models", NeurIPS 2022.

    Gu, Johnson, Timalsina, Rudra & Ré, "How to train your HiPPO: state space models
    with generalized orthogonal basis projections", ICLR 2023.

    Yu, Nigmetov, Morozov, Mahoney & Erichson, "Robustifying state-space models for long
    sequences via approximate diagonalization", ICLR 2024.

    Smith, Warrington & Linderman, "Simplified state space layers for sequence
    modeling", ICLR 2023.

    Lu, Schroecker, Gu, Parisotto, Foerster, Singh & Behbahani, "Structured state space
    models for in-context reinforcement learning", NeurIPS 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.neural import S4D
    >>> t = 0.1 * np.arange(420)[:, None]
    >>> X = np.sin(t) + 0.5 * np.sin(2.3 * t)
    >>> s4d = S4D(1, 16, 8, max_epochs=3).fit(X[:400])
    >>> bool(np.abs(s4d.predict(20) - X[400:]).max() < 0.05)
    True
    """

    _parameter_constraints: dict = {
        **NeuralForecaster._training_constraints,
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "d_model": [Interval(Integral, 1, None, closed="left")],
        "d_state": [Interval(Integral, 2, None, closed="left")],
        "init": [StrOptions({"lin", "inv", "real", "legs", "ptd"})],
        "disc": [StrOptions({"zoh", "bilinear"})],
        "dt_min": [_STEP_SIZE, StrOptions({"auto"})],
        "dt_max": [_STEP_SIZE, StrOptions({"auto"})],
        "base": [StrOptions({"ridge"}), HasMethods(["fit", "predict"]), None],
        "window": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "burn_in": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
        "noise": [_POSITIVE],
        "rollout": [Interval(Integral, 0, None, closed="left")],
        "attractor": [_POSITIVE],
        "refit": ["boolean"],
        "held_back": [Interval(Real, 0, 0.5, closed="both")],
        "ssm_lr": [_POSITIVE],
        "weight_decay": [_POSITIVE],
        "dropout": [Interval(Real, 0, 1, closed="left")],
    }
    __metadata_request__fit = {"u": True}
    _uses_whole_context = True

    mean_: np.ndarray
    scale_: np.ndarray
    left_scale_: np.ndarray
    base_: Base

    def __init__(
        self,
        n_layers: int = 2,
        d_model: int = 64,
        d_state: int = 16,
        *,
        init: Literal["lin", "inv", "real", "legs", "ptd"] = "lin",
        disc: Literal["zoh", "bilinear"] = "zoh",
        dt_min: float | Literal["auto"] = "auto",
        dt_max: float | Literal["auto"] = "auto",
        base: Any = "ridge",
        window: int | Literal["auto"] = "auto",
        burn_in: int | Literal["auto"] = "auto",
        noise: float = 0.0,
        rollout: int = 0,
        attractor: float = 0.0,
        refit: bool = True,
        held_back: float = 0.1,
        ssm_lr: float = 0.3,
        weight_decay: float = 0.0,
        dropout: float = 0.0,
        max_epochs: int | Literal["auto"] = "auto",
        batch_size: int = 16,
        lr: float = 0.005,
        lr_schedule: Any = "cosine",
        n_init: int = 1,
        patience: int | None = None,
        device: str = "auto",
        callbacks: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        random_state: Any = 0,
    ) -> None:
        self.n_layers = n_layers
        self.d_model = d_model
        self.d_state = d_state
        self.init = init
        self.disc = disc
        self.dt_min = dt_min
        self.dt_max = dt_max
        self.base = base
        self.window = window
        self.burn_in = burn_in
        self.noise = noise
        self.rollout = rollout
        self.attractor = attractor
        self.refit = refit
        self.held_back = held_back
        self.ssm_lr = ssm_lr
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.n_init = n_init
        self.patience = patience
        self.device = device
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, *, u: Any = None) -> S4D:
        """Fit the base, train the net on what it leaves, and fit the head anew.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories.
        y : ignored
            For scikit-learn's signature.
        u : array-like of shape (n_samples, n_inputs), or list of these, default=None
            Inputs; row k acts between rows k and k+1 of `X`, and is remembered.

        Returns
        -------
        S4D
            The estimator itself.

        Raises
        ------
        ImportError
            Without PyTorch and skorch.
        ValueError
            For windows, steps or a base that do not fit the data.

        Warns
        -----
        UserWarning
            For steps whose longest time scale exceeds the window.
        """
        trajectories, inputs = self._check_fit(X, u, reset=not self._goes_on)
        self._require_torch()
        goes_on = self._goes_on
        if self.attractor and not self.rollout:
            raise ValueError(
                f"attractor={self.attractor:g} is a term of student forcing: needed "
                f"rollout of at least 1, got 0. Pass rollout=16, or drop attractor."
            )
        # In one order, whatever order they came in; not that of `in_order`, as sums in
        # another order would change the last digits of what is learned.
        pieces = [np.asarray(piece, np.float64) for piece in trajectories.pieces]
        joint = pieces
        if inputs is not None:
            joint = [np.hstack(pair) for pair in zip(pieces, inputs, strict=True)]
        order = sorted(range(len(joint)), key=lambda i: joint[i].tobytes())
        joint = [joint[i].astype(np.float64) for i in order]
        if not goes_on:
            self.mean_, self.scale_ = _units(np.concatenate(joint))
        rows = [(each - self.mean_) / self.scale_ for each in joint]
        plan = _Plan.make(rows, self.n_features_in_, self.window, self.burn_in, self)
        self.window_, self.burn_in_ = plan.window, plan.burn_in
        if not goes_on:
            self.base_, self.base_error_ = self._fit_base(
                plan, trajectories, inputs, order
            )
        self.min_context_ = max(self.burn_in_, self.base_.n_rows - 1) + 1
        self._check_steps()
        left = [_left(z, self.base_, self.n_features_in_) for z in plan.trained]
        if not goes_on:
            size = np.concatenate(left).std(axis=0)
            self.left_scale_ = np.maximum(size, 1e-12)
        left = [each / self.left_scale_ for each in left]
        self._train_net(plan, left)
        self._refit_head(plan, left)
        self._remember(trajectories, inputs)
        self._remember_ends(trajectories, inputs)
        return self

    def _fit_base(
        self,
        plan: _Plan,
        trajectories: Trajectories,
        inputs: Pieces | None,
        order: list[int],
    ) -> tuple[Base, float | None]:
        """The base of the net's target, and the error of its free runs."""
        d = self.n_features_in_
        base: Base = Held(d)
        if isinstance(self.base, str):
            base, _ = choose(plan.trained, d, plan.starts)
        elif self.base is not None:
            who = type(self.base).__name__
            if isinstance(self.base, type):
                who = self.base.__name__
                raise ValueError(
                    f"base needs an instance of a forecaster, got the class {who}. "
                    f"Pass base={who}()."
                )
            if not isinstance(self.base, ForecasterMixin):
                raise ValueError(
                    f"base needs 'ridge', None or a forecaster of skdyn's that is no "
                    f"pipeline, got {who}."
                )
            if self.base._uses_whole_context or self.base._allow_complex is None:
                raise ValueError(
                    f"base needs a forecaster that sees a fixed number of last rows, "
                    f"got {who}, which uses the whole of a context. Take "
                    f"skdyn.reservoir.NVAR or skdyn.koopman.DMD."
                )
            kept = [len(each) for each in plan.trained]
            pieces = [
                trajectories.pieces[i][:n] for i, n in zip(order, kept, strict=True)
            ]
            given = {}
            if inputs is not None:
                given["u"] = [inputs[i][:n] for i, n in zip(order, kept, strict=True)]
            fitted = clone(self.base).fit(pieces, **given)
            base = Outside(fitted, self.mean_, self.scale_, d)
        if plan.starts is None:
            return base, None
        if base.n_rows > plan.starts.contexts.shape[1]:
            return base, None
        return base, plan.starts.error(free_run(base, plan.starts))

    def _check_steps(self) -> None:
        """Settle the range of steps, and warn where it exceeds what is trained."""
        decay = -initial_diagonal(self.init, self.d_state)[0].real
        # Fastest: e-fold in a row. Slowest: in half a window.
        self.dt_max_ = float(1 / decay.min() if self.dt_max == "auto" else self.dt_max)
        least = min(2 / (decay.min() * max(self.window_, 4)), self.dt_max_)
        self.dt_min_ = float(least if self.dt_min == "auto" else self.dt_min)
        if self.dt_min_ > self.dt_max_:
            raise ValueError(
                f"S4D needs dt_min <= dt_max, got dt_min={self.dt_min_:.3g}, "
                f"dt_max={self.dt_max_:.3g}."
            )
        longest = 1 / (self.dt_min_ * decay.min())
        if longest > max(self.window_, 4):
            warnings.warn(
                f"The slowest modes of S4D forget within {longest:.0f} rows, but it is "
                f"trained on windows of {self.window_}: what they do beyond is not "
                f"learned. Raise dt_min={self.dt_min_:.3g} to at least "
                f"{1 / (decay.min() * self.window_):.3g}, or lengthen window.",
                UserWarning,
                stacklevel=caller_level(),
            )

    # -- training ----------------------------------------------------------------------

    def _train_net(self, plan: _Plan, left: list[np.ndarray]) -> None:
        from skdyn.neural._s4d_module import Hold, Monomials, S4DNet, Training
        from skdyn.neural._training import WindowDraws

        d, m = self.n_features_in_, self.n_inputs_
        base = None
        if isinstance(self.base_, Held):
            base = Hold(d)
        elif isinstance(self.base_, PolynomialRidge):
            known = self.base_
            base = Monomials(
                known.lift._monomials.products, known.coef, known.low, known.high
            )
        rollout = min(self.rollout, (plan.window - plan.burn_in) // 2)
        if self.left_scale_.min() < _SEEN:
            rollout = 0
        how = Training(
            burn_in=plan.burn_in,
            noise=self.noise,
            rollout=rollout,
            attractor=self.attractor,
            ssm_lr=self.ssm_lr,
        )

        def build(seed: int) -> Any:
            return S4DNet(
                d + m,
                d,
                n_layers=self.n_layers,
                d_model=self.d_model,
                d_state=self.d_state,
                init=self.init,
                disc=self.disc,
                dt_min=self.dt_min_,
                dt_max=self.dt_max_,
                scale=self.left_scale_,
                base=base,
                n_rows=self.base_.n_rows,
                training=how,
                dropout=self.dropout,
                rng=seed,
            )

        n_rows = sum(len(z) for z in plan.trained)
        draw = WindowDraws(
            [z[:, :d] for z in plan.trained],
            plan.window + 1,
            int(np.clip(n_rows // _ROWS_PER_BATCH, 1, _MOST_BATCHES)),
            self.batch_size,
            inputs=[z[:, d:] for z in plan.trained] if m else None,
            masks=[each.astype(np.float32) for each in _padded(left, plan.trained)],
        )
        recipe = self._recipe(
            n_rows,
            most_epochs=_EPOCHS,
            optimizer="adamw",
            weight_decay=float(self.weight_decay),
            gradient_clip=1.0,
            check_every=3,
            check_first=True,
        )
        error: Callable[[Any], float] | None = None
        if plan.starts is not None:
            starts = plan.starts

            def error(module: Any) -> float:
                return self._error(module.network(), starts)

        trained = self._train(build, draw, recipe, error=error)
        self.network_: Network = trained.net.module_.network()
        self.error_ = None if plan.starts is None else float(trained.error)

    def _error(self, network: Network, starts: Starts) -> float:
        """Error of free runs of a network over the base."""
        rows, _ = _go_on(
            network,
            self.base_,
            self.left_scale_,
            _settle(network, self.base_.n_rows, starts.contexts),
            starts.truth.shape[1],
            starts.inputs,
        )
        return starts.error(rows)

    def _refit_head(self, plan: _Plan, left: list[np.ndarray]) -> None:
        """Fit the head by ridge regression, and keep it if free runs are better."""
        self.refitted_ = False
        network, starts = self.network_, plan.starts
        if not self.refit or starts is None:
            return
        lead = plan.burn_in
        features, targets = [], []
        for z, target in zip(plan.trained, left, strict=True):
            if len(target) > lead:
                rows = network.run(z[None, :-1])[0][0]
                features.append(rows[lead:])
                targets.append(target[lead:])
        if not features:
            return
        F, Y = np.concatenate(features), np.concatenate(targets)
        if len(F) < 2 * F.shape[1]:
            return
        centre, middle = F.mean(axis=0), Y.mean(axis=0)
        size = F.std(axis=0)
        size[size < 1e-12] = 1.0
        moments = Moments.from_rows((F - centre) / size, Y - middle)
        assert self.error_ is not None
        for coef in moments.ridge_path(_ALPHAS * len(F)):
            head = coef / size[:, None]
            tried = replace(network, head=head, head_bias=middle - centre @ head)
            error = self._error(tried, starts)
            if error < self.error_:
                self.network_, self.error_, self.refitted_ = tried, error, True

    # -- states ------------------------------------------------------------------------

    def _remember_ends(self, trajectories: Trajectories, inputs: Pieces | None) -> None:
        """States at the end of each training trajectory."""
        last = trajectories.last_pieces().pieces
        past: Any = None
        if inputs is not None:
            ends = replace(trajectories, pieces=inputs).last_pieces().pieces
            past = [rows[:-1] for rows in ends]
        self._ends = super()._begin_all(last, past)

    def _begin_all(self, pieces: Pieces, past: Any) -> np.ndarray:
        # The training data's own ends: their states are known.
        if pieces is self.context_.pieces:
            return self._ends.copy()
        return super()._begin_all(pieces, past)

    def _begin(self, contexts: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        """States before the last row, the last rows, and the inputs before the last."""
        if u is None and self.n_inputs_ and contexts.shape[1] > 1:
            raise ValueError(
                f"{type(self).__name__} remembers past inputs: needed u for the rows "
                f"of the context too, len(context) - 1 + n_steps rows with a context "
                f"of {contexts.shape[1]}, got those of the forecast only."
            )
        z = self._standardised(contexts, u)
        return self._pack(_settle(self.network_, self.base_.n_rows, z))

    def _standardised(self, rows: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        """Rows (batch, n, d) with inputs for all but the last, which has zeros."""
        d = self.n_features_in_
        x = (np.asarray(rows, np.float64) - self.mean_[:d]) / self.scale_[:d]
        if not self.n_inputs_:
            return x
        acted = np.zeros((*x.shape[:2], self.n_inputs_))
        if u is not None and u.shape[1]:
            acted[:, :-1] = (u - self.mean_[d:]) / self.scale_[d:]
        return np.concatenate([x, acted], axis=2)

    def _pack(self, state: _State) -> np.ndarray:
        past = state.past.reshape(len(state.past), -1)
        return np.hstack([self.network_.pack(state.layers), past])

    def _unpack(self, rows: np.ndarray) -> _State:
        n, n_in = self.network_.n_state, self.n_features_in_ + self.n_inputs_
        past = rows[:, n:].reshape(len(rows), self.base_.n_rows, n_in)
        return _State(self.network_.unpack(rows[:, :n]), past.copy())

    def _acting(self, u: np.ndarray | None) -> np.ndarray | None:
        d = self.n_features_in_
        return None if u is None else (u - self.mean_[d:]) / self.scale_[d:]

    def _step(
        self, state: np.ndarray, u: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        acting = None if u is None else u[:, None]
        rows, after = _go_on(
            self.network_,
            self.base_,
            self.left_scale_,
            self._unpack(state),
            1,
            self._acting(acting),
        )
        return self._pack(after), self._in_units(rows[:, 0])

    def _rollout(
        self, state: np.ndarray, n_steps: int, u: np.ndarray | None
    ) -> np.ndarray:
        acting = self._acting(u)
        if device := self._gpu(len(state)):
            from skdyn.neural._s4d_rollout import roll_out

            begun = self._unpack(state)
            made = roll_out(
                self.network_,
                self.base_,
                self.left_scale_,
                begun.layers,
                begun.past,
                n_steps,
                acting,
                device,
            )
            if made is not None:
                return self._in_units(made)
        answer = np.empty((len(state), n_steps, self.n_features_in_))
        for start in range(0, len(state), _LANES):
            part = slice(start, start + _LANES)
            answer[part], _ = _go_on(
                self.network_,
                self.base_,
                self.left_scale_,
                self._unpack(state[part]),
                n_steps,
                None if acting is None else acting[part],
            )
        return self._in_units(answer)

    def _gpu(self, batch: int) -> str | None:
        """The GPU for free runs of a batch, None where NumPy is as good."""
        # By the batch and not by the steps: the first rows of a forecast are then the
        # same, bit for bit, however many are asked for.
        if batch * self.network_.n_state < _PAYS_ON_GPU:
            return None
        return gpu_at_hand(self.device)

    def _in_units(self, rows: np.ndarray) -> np.ndarray:
        d = self.n_features_in_
        return rows * self.scale_[:d] + self.mean_[:d]

    def _one_step(self, trajectories: Trajectories, u: Pieces | None) -> Pieces:
        # One pass along each trajectory gives the features of all its rows.
        d, lead, k = self.n_features_in_, self.min_context_ - 1, self.base_.n_rows
        answers = []
        for i, piece in enumerate(trajectories.pieces):
            z = (np.asarray(piece, np.float64) - self.mean_[:d]) / self.scale_[:d]
            if u is not None:
                z = np.hstack([z, (u[i] - self.mean_[d:]) / self.scale_[d:]])
            with np.errstate(all="ignore"):
                features, _ = self.network_.run(z[None])
                rows = self.base_.ahead(delayed(z, k))[lead - k + 1 :]
                rows = rows + self.left_scale_ * self.network_.readout(
                    features[0, lead:]
                )
            rows = self._finish(self._in_units(rows)[None], trajectories.dtype)[0]
            answers.append(rows)
        if isinstance(trajectories.pieces, np.ndarray):
            return np.stack(answers)
        return answers

    # -- row by row --------------------------------------------------------------------

    def begin(self, X: Any = None, *, u: Any = None) -> np.ndarray:
        """The state after a context, to go on from row by row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), list of these, default=None
            Contexts, of at least ``min_context_`` rows; None is the training data.
        u : array-like or list of array-likes, default=None
            Inputs, for models fitted with inputs: one row for each row of `X`, of which
            the last is not used: it acts on what comes.

        Returns
        -------
        ndarray of shape (n_trajectories, n_state)
            A value: `update` and `forecast_from` do not change it.
        """
        check_is_fitted(self)
        if X is None:
            return self._ends.copy()
        trajectories = self._check_context(X).last_pieces()
        past: Any = None
        if self._check_inputs_given(u) is not None:
            given = check_inputs(
                u, trajectories, who=type(self).__name__, n_inputs=self.n_inputs_
            )
            past = [rows[:-1] for rows in given]
        return self._begin_all(trajectories.pieces, past)

    def update(self, state: np.ndarray, x: Any, *, u: Any = None) -> np.ndarray:
        """The state after one more observed row.

        Parameters
        ----------
        state : ndarray of shape (n_trajectories, n_state)
            From `begin` or `update`.
        x : array-like of shape (n_trajectories, n_features) or (n_features,)
            The row that followed.
        u : array-like of shape (n_trajectories, n_inputs) or (n_inputs,), default=None
            The inputs that led to it, which acted on the row before.

        Returns
        -------
        ndarray of shape (n_trajectories, n_state)
            What `begin` gives for the context with the row at its end, to rounding.
        """
        check_is_fitted(self)
        d, m = self.n_features_in_, self.n_inputs_
        row = self._row(x, len(state), d, "x")
        before = self._unpack(np.asarray(state, np.float64))
        acted = None
        if self._check_inputs_given(u) is not None:
            acted = self._row(u, len(state), m, "u")
            before.past[:, 0, d:] = (acted - self.mean_[d:]) / self.scale_[d:]
        self.network_.step(before.past[:, 0], before.layers)
        now = np.zeros((len(state), 1, d + m))
        now[:, 0, :d] = (row - self.mean_[:d]) / self.scale_[:d]
        past = np.concatenate([now, before.past[:, :-1]], axis=1)
        return self._pack(_State(before.layers, past))

    def forecast_from(
        self, state: np.ndarray, n_steps: int, *, u: Any = None
    ) -> np.ndarray:
        """Forecast from states.

        Parameters
        ----------
        state : ndarray of shape (n_trajectories, n_state)
            From `begin` or `update`.
        n_steps : int
            Rows to forecast.
        u : array-like of shape (n_trajectories, n_steps, n_inputs), default=None
            Inputs, for models fitted with inputs; the first row acts on the last row
            that was observed.

        Returns
        -------
        ndarray of shape (n_trajectories, n_steps, n_features)
        """
        check_is_fitted(self)
        n_steps = Horizon(n_steps).n_steps
        acting = None
        if self._check_inputs_given(u) is not None:
            acting = np.asarray(u, np.float64)
            shape = (len(state), n_steps, self.n_inputs_)
            if acting.shape != shape:
                raise ValueError(
                    f"forecast_from needs u of shape {shape}, got {acting.shape}."
                )
        with np.errstate(all="ignore"):
            rows = self._rollout(np.asarray(state, np.float64), n_steps, acting)
        return self._finish(rows, np.dtype(np.float64))

    def _row(self, row: Any, n: int, width: int, name: str) -> np.ndarray:
        values = np.atleast_2d(np.asarray(row, np.float64))
        if values.shape != (n, width):
            raise ValueError(
                f"update needs {name} of shape {(n, width)}, a row for each state, got "
                f"{values.shape}."
            )
        return values


# -- what runs on arrays ---------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _State:
    """Where a forecast stands.

    Attributes
    ----------
    layers : ndarray of shape (n_layers, H, N / 2, batch)
        States of the layers before the last row.
    past : ndarray of shape (batch, n_rows, n_in)
        The last rows with their inputs, the newest first, whose inputs are to come.
    """

    layers: np.ndarray
    past: np.ndarray


def _settle(network: Network, n_rows: int, z: np.ndarray) -> _State:
    """The state after contexts z (batch, n, n_in)."""
    with np.errstate(all="ignore"):
        layers = network.settle(z[:, :-1])
    return _State(layers, z[:, : -n_rows - 1 : -1].copy())


def _go_on(
    network: Network,
    base: Base,
    scale: np.ndarray,
    state: _State,
    n_steps: int,
    u: np.ndarray | None,
) -> tuple[np.ndarray, _State]:
    """Free runs (batch, n_steps, d), and the state after them; `state` is used up."""
    layers, past, d = state.layers, state.past, len(scale)
    rows = np.empty((len(past), n_steps, d))
    with np.errstate(all="ignore"):
        for k in range(n_steps):
            if u is not None and u.shape[2]:
                past[:, 0, d:] = u[:, k]
            ahead = scale * network.readout(network.step(past[:, 0], layers))
            ahead += base.ahead(past.reshape(len(past), -1))
            rows[:, k] = ahead
            past[:, 1:] = past[:, :-1].copy()
            past[:, 0, :d] = ahead
            past[:, 0, d:] = 0.0
    return rows, _State(layers, past)


def _left(z: np.ndarray, base: Base, d: int) -> np.ndarray:
    """What a base leaves of each row after the first, NaN-free: (n - 1, d).

    The first rows, which have too few before them, leave nothing.
    """
    k = base.n_rows
    left = np.zeros((len(z) - 1, d))
    if len(z) > k:
        left[k - 1 :] = z[k:, :d] - base.ahead(delayed(z[:-1], k))
    return left


def _padded(left: list[np.ndarray], rows: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Targets with one row more, which no window reads, so that they cut as rows do."""
    return [
        np.vstack([each, np.zeros((len(z) - len(each), each.shape[1]))])
        for each, z in zip(left, rows, strict=True)
    ]


def _units(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and deviations of columns; what does not vary has unit 1."""
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    return mean, np.where(scale > 1e-12 * np.maximum(np.abs(mean), 1e-300), scale, 1.0)


@dataclass(frozen=True, eq=False)
class _Plan:
    """Which rows train, in which windows, and which are held back.

    Attributes
    ----------
    trained : list of arrays (n_i, n_in)
        Rows to learn from.
    starts : Starts or None
        Contexts and truths of free runs, whose truths are held back.
    window, burn_in : int
        Rows of a window, and those of it that only fill the state.
    """

    trained: list[np.ndarray]
    starts: Starts | None
    window: int
    burn_in: int

    @classmethod
    def make(
        cls,
        rows: list[np.ndarray],
        d: int,
        window: int | str,
        burn_in: int | str,
        est: S4D,
    ) -> _Plan:
        """Hold back the end of each trajectory, and settle the window."""
        held = [int(est.held_back * len(z)) for z in rows]
        held = [n if n >= _LEAST_HELD else 0 for n in held]
        trained = [z[: len(z) - n] for z, n in zip(rows, held, strict=True)]
        lengths = np.sort([len(z) for z in trained])
        # A short trajectory among long ones does not shorten the windows of all.
        typical = int(lengths[np.searchsorted(np.cumsum(lengths), 0.1 * lengths.sum())])
        if isinstance(window, str):
            window = int(max(min(_WINDOW, (typical - 1)), 1))
        elif window > lengths[-1] - 1:
            raise ValueError(
                f"window={window} needs trajectories of {window + 1} rows to learn "
                f"from, got at most {lengths[-1]} (held_back={est.held_back:g} is kept "
                f"for choices). Lower window, or pass longer trajectories."
            )
        if isinstance(burn_in, str):
            # With the row that is forecast from, a third of the window.
            burn_in = max(int(min(_BURN_IN * window, typical // 10)) - 1, 0)
        elif burn_in >= window:
            raise ValueError(
                f"burn_in needs to be below window={window}, got {burn_in}."
            )
        return cls(trained, _starts(rows, held, d, window), window, burn_in)


def _starts(
    rows: list[np.ndarray], held: list[int], d: int, window: int
) -> Starts | None:
    """Free runs within what is held back, evenly over all of it."""
    if not any(held):
        return None
    n_steps = min(_STEPS, max(max(held) // 2, 1))
    n_context = min(
        [window, *(len(z) - n for z, n in zip(rows, held, strict=True) if n)]
    )
    places = [
        (i, k)
        for i, n in enumerate(held)
        for k in range(len(rows[i]) - n, len(rows[i]) - n_steps + 1)
        if n
    ]
    chosen = np.linspace(0, len(places) - 1, min(_STARTS, len(places)))
    some = [places[int(j)] for j in chosen.round()]
    truth = np.stack([rows[i][k : k + n_steps, :d] for i, k in some])
    size = float(np.sqrt(np.concatenate(rows)[:, :d].var(axis=0).sum())) or 1.0
    return Starts(
        np.stack([rows[i][k - n_context : k] for i, k in some]),
        truth,
        np.stack([rows[i][k - 1 : k - 1 + n_steps, d:] for i, k in some]),
        size,
    )

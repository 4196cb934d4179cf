"""Piecewise-linear recurrent networks for dynamical systems reconstruction.

Equations, for a latent state z of n_latent units, rows x (standardised) and inputs u:

    z[t+1] = A z[t] + W1 phi(W2 z[t] + h2) + h1 + C u[t],      x[t] = B z[t],

with the variants of `skdyn.neural._plrnn_cell`. It is trained on windows under
generalized teacher forcing (`skdyn.neural._teacher_forcing`),

    y[t] = z[t] + alpha P (x[t] - B z[t]),      z[t+1] = F(y[t]),

P the right inverse of B, on the mean squared error of B z[t], from a start by ridge
regression (`skdyn.neural._plrnn_start`); checkpoints and restarts are chosen by their
free run (`skdyn.neural._plrnn_selection`).

References: see `PLRNN`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skdyn.base import (
    ForecastInterval,
    Horizon,
    check_coverage,
    interval_of,
    interval_request,
)
from skdyn.neural._forecaster import NeuralForecaster, in_order
from skdyn.neural._linear_regions import LinearRegionsMixin
from skdyn.neural._plrnn_bands import Spread, Windows, spread_of, to_come, windows_ahead
from skdyn.neural._plrnn_cell import VARIANTS, Cell, Layout
from skdyn.neural._plrnn_runs import free_run
from skdyn.neural._plrnn_selection import (
    FreeRunJudge,
    residual_deviation,
    settle,
)
from skdyn.neural._plrnn_start import start
from skdyn.neural._teacher_forcing import RULES, annealed, forcing, growth, strength
from skdyn.utils._sklearn import Interval, StrOptions
from skdyn.utils._trajectories import Pieces, Trajectories

if TYPE_CHECKING:
    from skdyn.neural._training import Job, Trained

__all__ = ["PLRNN", "fit_together"]

# Epochs of "auto" where data is plenty, batches of an epoch at most, and epochs
# between checks.
_MOST_EPOCHS, _MOST_BATCHES = 500, 50
_CHECKS = 20
# What stands for a strength of forcing that is not known yet.
_USUAL_ALPHA = 0.1
# Parameters are averaged over this part of all epochs: 1 / _AVERAGED.
_AVERAGED = 50
# Rows over which a state settles that a single row does not tell.
_WARMUP = 20
# Windows of data along which the strength of forcing is estimated.
_WINDOWS = 64
# Latent units of an almost-linear network beyond the features, and its hinges.
_LINEAR_UNITS, _RELU_UNITS = 17, 4
_BASES = 10
_FEW_HINGES, _HINGES, _MOST_HINGES = 80, 50, 512
# Steps of windows from which on "auto" takes a GPU.
_LONG_WINDOW = 500
# Restarts whose error is within this of the best's make the forecast bands.
_BAND = 2.0
# Samples of each window that bands are measured by.
_SAMPLES = 100

_AT_LEAST_0 = Interval(Real, 0, None, closed="left")
_WHOLE = Interval(Integral, 1, None, closed="left")


def _has_restarts(estimator: Any) -> bool:
    if estimator.n_init < 2:
        raise AttributeError(
            "forecast_interval of PLRNN needs an ensemble of restarts: needed n_init "
            f"of at least 2, got {estimator.n_init}. Fit with n_init=5."
        )
    return True


class _Plan(NamedTuple):
    """What `fit` has made ready to train, and needs afterwards."""

    job: Job
    judge: FreeRunJudge | None
    trajectories: Trajectories
    inputs: Any
    ordered: tuple[list[np.ndarray], list[np.ndarray] | None]


class PLRNN(LinearRegionsMixin, NeuralForecaster):
    """Piecewise-linear recurrent network, trained by generalized teacher forcing.

    It reconstructs the system behind chaotic, noisy data: its free run is to have the
    attractor and the rhythm of the data, for as long as one likes, and its fixed
    points, cycles and Lyapunov exponents can be computed, since it is linear between
    hinges. The defaults are meant to be used: rows are standardised inside, training
    starts from a regression, and the checkpoint with the best free run is kept.

    Parameters
    ----------
    variant : {"clipped", "shallow", "dendritic", "almost_linear"}, default="clipped"
        What is free in the network. The shallow one is one hidden layer of hinges; the
        clipped one is the same with bounded hinges, so that its free runs stay bounded
        where the entries of A are below 1; the dendritic one has hinges on the axes of
        its units; the almost-linear one is linear but for a few units, so that it has
        few linear regions, which are symbols.
    n_latent : int or None, default=None
        Latent units, at least as many as features. None takes the features, and 17 more
        for the almost-linear network. Units beyond the features are memory, for systems
        of which not all is observed.
    n_hinges : int or "auto", default="auto"
        Hinges of the shallow and the clipped network ("auto": 80 up to 3 features, and
        50 for each feature from there, at most 512 and a quarter of the rows); hinges
        of each unit of the dendritic (10), and units with a hinge of the almost-linear
        network (4).
    observation : {"identity", "linear"}, default="identity"
        Whether the first units are the features, or rows are a trained linear function
        of all units.
    alpha : float or {"auto", "product", "arithmetic", "explog", "maximum", "bound"}, \
default=0.1
        Strength of teacher forcing in [0, 1]: the part of the state that is replaced by
        data at each step of training. The more chaotic and the more noisy, the
        larger. "auto" is 1 - 1/N, with N the growth of perturbations per step along
        the data, estimated from the derivatives of the first regression. The others
        start from full forcing and anneal towards 1 - 1/N, with N estimated anew in
        each epoch: the geometric mean of the norms of derivatives, the norm of their
        mean, that of their exp-log mean, the largest norm, and a bound from the
        parameters.
    forcing_interval : int, default=1
        Rows from one forced row to the next: sparse teacher forcing, with ``alpha=1``.
    sequence_length : int, default=50
        Steps of the windows trained on, capped by the data.
    burn_in : int or "auto", default="auto"
        Steps at the start of each window that force the state, but are not counted in
        the loss: over them it forgets the noise of the row that it began with, which
        would otherwise bias the network towards contraction. "auto" is 1 / alpha, but a
        quarter of the window at most, and 0 with sparse forcing.
    start : {"ridge", "random"}, default="ridge"
        Whether all but the hinges starts from a regression of rows on their
        predecessors, or from small random numbers.
    identity_penalty : float, default=0.0
        Penalty on the squared distance of A, W1 and h1 from those of the identity map,
        for all units.
    manifold_penalty : float, default=0.0
        The same for the second half of the units only, which pulls these towards a
        manifold of fixed points: a long memory.
    warmup : int or "auto", default="auto"
        Rows of a context over which the state settles before the last one. "auto" is 20
        where a row does not tell the state (units beyond the features, missing rows),
        capped by a quarter of the shortest trajectory, and else 0.
    allow_missing : bool, default=False
        Whether NaN in `X` is a missing entry: it is not forced and not counted in the
        loss. Else it is refused.
    optimizer : {"radam", "adam", "adamw"}, default="radam"
        RAdam needs no warm-up of the learning rate.
    weight_decay : float, default=0.0
        Of the optimizer.
    gradient_clip : float or None, default=1.0
        Largest Euclidean norm of the gradient of a batch.
    selection : {"free_run", "loss"}, default="free_run"
        Whether checkpoints and restarts are chosen by their free run against the
        training data, or the last checkpoint is kept and restarts are chosen by loss.
    max_epochs : int or "auto", default="auto"
        Epochs of at most 50 batches. "auto" is 500, less for fewer than 1000 rows.
    batch_size : int, default=16
        Windows in a batch.
    lr : float, default=5e-3
        Learning rate.
    lr_schedule : {"exponential", "cosine"}, callable or None, default="exponential"
        Factor on the learning rate: from 1 to 0.01, from 1 to 0 by half a cosine, a
        function of the fraction of training that is done, or 1.
    n_init : int, default=1
        Restarts, each with hinges of its own. On a GPU they train side by side.
    patience : int or None, default=None
        Checks without a better free run after which a restart ends. There are at most
        20 checks.
    device : {"auto", "cpu", "cuda", ...}, default="auto"
        Where to train. "auto" is the CPU for networks that fit its compiled loop, whose
        latency no GPU reaches, and a GPU, where there is one, from 512 hinges, those of
        all restarts together, or windows of 500 steps.
    callbacks : list or None, default=None
        skorch callbacks, or callables ``(epoch, record)``.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the last fit.
    verbose : int, default=0
        1 shows a progress bar, 2 a line for each epoch.
    random_state : int, RandomState instance or None, default=0
        Seed of hinges and windows.

    Attributes
    ----------
    A_, W1_, W2_, h1_, h2_ : ndarrays of shape (M, M), (M, L), (L, M), (M,), (L,)
        The network, in standardised units.
    C_ : ndarray of shape (M, n_inputs)
        How standardised inputs act.
    B_ : ndarray of shape (n_features, M)
        Rows are ``mean_ + scale_ * (B_ @ z)``.
    cell_ : Cell
        All of these, with ``step`` and ``jacobian``.
    n_latent_, n_hinges_ : int
        M, and L.
    alpha_ : float
        Strength of forcing at the end of training.
    mean_, scale_ : ndarrays of shape (n_features,)
        What rows are standardised with.
    input_mean_, input_scale_ : ndarrays of shape (n_inputs,)
        The same for inputs.
    d_stsp_, d_hellinger_ : float
        Distances of the free run from the training data, as the selection sees them:
        with noise and wider cells. NaN where there are too few rows, or with
        ``selection="loss"``.
    d_stsp_floor_, d_hellinger_floor_ : float
        What two halves of the data are apart: the least that can be asked for.
    noise_std_ : ndarray of shape (n_features,)
        Root mean square of what a step under forcing leaves of the data, in its units.
    net_ : skorch.NeuralNet
        The net that was trained, on the CPU.
    device_ : str
        Where it was.
    history_ : list of dict
        ``epoch``, ``loss`` and ``lr`` of each epoch, and ``error``, ``d_stsp`` and
        ``d_hellinger`` of each check.
    n_epochs_ : int
        Epochs done.
    restarts_ : tuple
        Seed, error, best epoch and weights of each restart.
    n_features_in_, n_inputs_ : int
        Number of features and inputs in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.
    min_context_ : int
        Rows of history that a forecast needs: 1 and the warm-up.
    context_ : Trajectories
        The last rows of each training trajectory, where ``predict(h)`` starts.

    See Also
    --------
    skdyn.inspection.lyapunov_spectrum : Exponents of the fitted map.
    skdyn.metrics.d_stsp, skdyn.metrics.d_hellinger : To judge a free run by.

    Notes
    -----
    Needs PyTorch and skorch, ``pip install 'skdyn[neural]'``, and uses numba where it
    is installed: the loops are compiled once for each machine, in some twenty seconds
    at the first fit. Forecasts need neither.

    References
    ----------
    Hess, Monfared, Brenner & Durstewitz, "Generalized teacher forcing for learning
    chaotic dynamics", ICML (2023).

    Brenner, Hess, Mikhaeil, Bereska, Monfared, Kuo & Durstewitz, "Tractable dendritic
    RNNs for reconstructing nonlinear dynamical systems", ICML (2022).

    Brenner, Hemmer, Monfared & Durstewitz, "Almost-linear RNNs yield highly
    interpretable symbolic codes in dynamical systems reconstruction", NeurIPS (2024).

    Mikhaeil, Monfared & Durstewitz, "On the difficulty of learning chaotic dynamics
    with RNNs", NeurIPS (2022).

    Schmidt, Koppe, Monfared, Beutelspacher & Durstewitz, "Identifying nonlinear
    dynamical systems with multiple time scales and long-range dependencies", ICLR
    (2021), for the manifold penalty.

    Liu, Jiang, He, Chen, Liu, Gao & Han, "On the variance of the adaptive learning rate
    and beyond", ICLR (2020), for RAdam.

    Examples
    --------
    >>> from skdyn.datasets import make_lorenz63
    >>> from skdyn.neural import PLRNN
    >>> X = make_lorenz63(1500)
    >>> plrnn = PLRNN(max_epochs=20).fit(X)
    >>> plrnn.predict(3).shape
    (3, 3)
    >>> plrnn.score(X) > 0.99
    True
    """

    _parameter_constraints: dict = {
        "variant": [StrOptions(set(VARIANTS))],
        "n_latent": [_WHOLE, None],
        "n_hinges": [_WHOLE, StrOptions({"auto"})],
        "observation": [StrOptions({"identity", "linear"})],
        "alpha": [Interval(Real, 0, 1, closed="both"), StrOptions(set(RULES))],
        "forcing_interval": [_WHOLE],
        "sequence_length": [_WHOLE],
        "burn_in": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
        "start": [StrOptions({"ridge", "random"})],
        "identity_penalty": [_AT_LEAST_0],
        "manifold_penalty": [_AT_LEAST_0],
        "warmup": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
        "allow_missing": ["boolean"],
        "optimizer": [StrOptions({"radam", "adam", "adamw"})],
        "weight_decay": [_AT_LEAST_0],
        "gradient_clip": [Interval(Real, 0, None, closed="neither"), None],
        "selection": [StrOptions({"free_run", "loss"})],
        **NeuralForecaster._training_constraints,
    }
    __metadata_request__fit = {"u": True}
    _nan_remedy = " Or fit with allow_missing=True, which learns from what is there."

    def __init__(
        self,
        variant: Literal[
            "clipped", "shallow", "dendritic", "almost_linear"
        ] = "clipped",
        *,
        n_latent: int | None = None,
        n_hinges: int | Literal["auto"] = "auto",
        observation: Literal["identity", "linear"] = "identity",
        alpha: float | str = 0.1,
        forcing_interval: int = 1,
        sequence_length: int = 50,
        burn_in: int | Literal["auto"] = "auto",
        start: Literal["ridge", "random"] = "ridge",
        identity_penalty: float = 0.0,
        manifold_penalty: float = 0.0,
        warmup: int | Literal["auto"] = "auto",
        allow_missing: bool = False,
        optimizer: Literal["radam", "adam", "adamw"] = "radam",
        weight_decay: float = 0.0,
        gradient_clip: float | None = 1.0,
        selection: Literal["free_run", "loss"] = "free_run",
        max_epochs: int | Literal["auto"] = "auto",
        batch_size: int = 16,
        lr: float = 5e-3,
        lr_schedule: Any = "exponential",
        n_init: int = 1,
        patience: int | None = None,
        device: str = "auto",
        callbacks: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        random_state: Any = 0,
    ) -> None:
        self.variant = variant
        self.n_latent = n_latent
        self.n_hinges = n_hinges
        self.observation = observation
        self.alpha = alpha
        self.forcing_interval = forcing_interval
        self.sequence_length = sequence_length
        self.burn_in = burn_in
        self.start = start
        self.identity_penalty = identity_penalty
        self.manifold_penalty = manifold_penalty
        self.warmup = warmup
        self.allow_missing = allow_missing
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.gradient_clip = gradient_clip
        self.selection = selection
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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = bool(self.allow_missing)
        tags.non_deterministic = False
        return tags

    def fit(self, X: Any, y: Any = None, *, u: Any = None) -> PLRNN:
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories, rows in time order.
        y : ignored
            For scikit-learn's signature.
        u : array-like of shape (n_samples, n_inputs), or list of these, default=None
            Inputs; row k acts between rows k and k+1.

        Returns
        -------
        PLRNN
            The estimator itself.

        Raises
        ------
        ImportError
            Without PyTorch and skorch.
        ValueError
            For data or parameters that do not fit.

        Warns
        -----
        ConvergenceWarning
            Where training diverged, or every free run did.
        """
        self._require_torch()
        from skdyn.neural._together import train_all

        plan = self._plan(X, u)
        (trained,) = train_all([plan.job])
        if isinstance(trained, BaseException):
            raise trained
        return self._conclude(plan, trained)

    # -- what fit does -----------------------------------------------------------------

    def _plan(self, X: Any, u: Any) -> _Plan:
        """All of `fit` that comes before training."""
        from skdyn.neural._plrnn_module import CompleteStarts, PLRNNModule

        self._allow_nan = self.allow_missing is True
        trajectories, acting = self._check_fit(X, u, reset=not self._goes_on)

        rows, given = in_order(trajectories.pieces, acting)
        if self.allow_missing:
            _check_missing(rows)
        pieces, inputs = self._standardised(rows, given)
        layout = self._layout(trajectories, sum(len(piece) for piece in pieces))
        lengths = [len(piece) for piece in pieces]
        n_window = _window(int(self.sequence_length), lengths)
        self.warmup_ = self._warmup(layout, min(lengths))
        self.min_context_ = self.warmup_ + 1
        self._dimensions = layout

        pairs = _pairs(pieces, inputs)
        most_batches = -(-2 * max(sum(lengths) - n_window, 1) // int(self.batch_size))
        draw = CompleteStarts(
            pieces,
            n_window + 1,
            min(_MOST_BATCHES, most_batches),
            int(self.batch_size),
            inputs=inputs if self.n_inputs_ else None,
        )
        recipe = self._recipe(
            sum(lengths),
            most_epochs=_MOST_EPOCHS,
            optimizer=self.optimizer,
            weight_decay=float(self.weight_decay),
            gradient_clip=self.gradient_clip,
        )
        recipe = replace(recipe, check_every=-(-recipe.max_epochs // _CHECKS))
        pays = _pays_on_gpu(layout, n_window, int(self.n_init))
        if self.device == "auto" and not pays:
            recipe = replace(recipe, device="cpu")
        rule = _Forcing(
            self.alpha, n_window, int(self.forcing_interval), pieces, layout
        )
        towards = np.full(layout.n_latent, float(self.identity_penalty))
        towards[layout.n_latent // 2 :] += float(self.manifold_penalty)

        def build(seed: int) -> Any:
            rng = np.random.RandomState(seed)
            theta = start(layout, pairs, rng, regress=self.start == "ridge")
            return PLRNNModule(
                layout,
                theta,
                rule.started(layout.cell(theta)),
                towards,
                optimizer=self.optimizer,
                weight_decay=self.weight_decay,
                gradient_clip=self.gradient_clip or 0.0,
                skip=self._burn_in(n_window),
                averaging=max(0.0, 1.0 - _AVERAGED / recipe.max_epochs),
            )

        judge = None
        if self.selection == "free_run":
            judge = FreeRunJudge.of(
                pieces,
                inputs,
                warmup=self.warmup_,
                n_window=n_window,
                alpha=self.alpha if isinstance(self.alpha, Real) else _USUAL_ALPHA,
            )
        error = on_check = None
        if judge is not None:
            last: list[Any] = []

            def error(module: Any) -> float:
                last[:] = [judge(module.cell)]
                return last[0].error

            def on_check(module: Any, record: dict[str, Any]) -> None:
                record["d_stsp"] = last[0].d_stsp
                record["d_hellinger"] = last[0].d_hellinger

        job = self._job(
            build, draw, recipe, error=error, on_check=on_check, together=True
        )
        return _Plan(job, judge, trajectories, acting, (rows, given))

    def _conclude(self, plan: _Plan, trained: Trained) -> PLRNN:
        """All of `fit` that comes after training."""
        self._take(plan.job, trained)
        self._keep(plan.judge)
        windows, acted = plan.job.draw.examples(200)
        self.noise_std_ = self.scale_ * residual_deviation(
            self.cell_, windows, acted, self.alpha_
        )
        self._remember(plan.trajectories, plan.inputs)
        self._spread = None
        if self.n_init > 1:
            self._spread = self._measured_spread(*plan.ordered)
        return self

    def _standardised(
        self, rows: list[np.ndarray], given: list[np.ndarray] | None
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Standardised trajectories, and inputs of no columns where there are none."""
        if not self._goes_on:
            self.mean_, self.scale_ = _moments(rows)
            self.input_mean_, self.input_scale_ = np.zeros(0), np.ones(0)
            if given is not None:
                self.input_mean_, self.input_scale_ = _moments(given)
        pieces = [(piece - self.mean_) / self.scale_ for piece in rows]
        if given is None:
            return pieces, [np.zeros((len(piece), 0)) for piece in pieces]
        return pieces, [(each - self.input_mean_) / self.input_scale_ for each in given]

    def _layout(self, trajectories: Trajectories, n_rows: int) -> Layout:
        N = trajectories.n_features
        almost = self.variant == "almost_linear"
        M = N + (_LINEAR_UNITS if almost else 0)
        if self.n_latent is not None:
            M = int(self.n_latent)
        if M < N:
            raise ValueError(
                f"PLRNN needs a latent unit for each feature: needed n_latent of at "
                f"least {N}, got {M}. Pass n_latent={N} or more, or reduce the data "
                f"first, by PCA for instance."
            )
        if self.n_hinges != "auto":
            n_hinges = int(self.n_hinges)
        elif almost:
            n_hinges = min(_RELU_UNITS, M)
        elif self.variant == "dendritic":
            n_hinges = max(min(_BASES, n_rows // 8), 1)
        else:
            most = min(_MOST_HINGES, max(n_rows // 4, 4))
            n_hinges = min(_FEW_HINGES if N <= 3 else _HINGES * N, most)
        if almost and n_hinges > M:
            raise ValueError(
                f"An almost-linear network has at most as many units with a hinge as "
                f"units: needed n_hinges of at most {M}, got {n_hinges}."
            )
        if self.variant == "dendritic":
            n_hinges *= M
        return Layout(
            self.variant, N, M, n_hinges, self.n_inputs_, self.observation == "linear"
        )

    def _warmup(self, layout: Layout, shortest: int) -> int:
        if self.warmup != "auto":
            if self.warmup > shortest - 1:
                raise ValueError(
                    f"PLRNN needs trajectories of at least warmup + 1 = "
                    f"{self.warmup + 1} sample(s) (rows), got {shortest}. Pass longer "
                    f"ones, or lower warmup."
                )
            return int(self.warmup)
        if layout.n_latent == layout.n_features and not self.allow_missing:
            return 0
        return min(_WARMUP, max(shortest // 4 - 1, 0))

    def _burn_in(self, n_window: int) -> int:
        if self.burn_in != "auto":
            return min(int(self.burn_in), n_window - 1)
        if self.forcing_interval > 1:
            return 0
        alpha = self.alpha if isinstance(self.alpha, Real) else _USUAL_ALPHA
        return min(round(1 / max(float(alpha), 1e-6)), n_window // 4)

    def _keep(self, judge: FreeRunJudge | None) -> None:
        """Plain arrays of the trained network, and what is known of its free run."""
        from skdyn.neural._plrnn_module import cell_of

        layout = self._dimensions
        self.cell_ = cell = self.net_.module_.cell
        self.A_, self.W1_, self.W2_ = cell.A, cell.W1, cell.W2
        self.h1_, self.h2_ = cell.h1, cell.h2
        self.B_, self.C_ = cell.B, cell.C
        self.n_latent_, self.n_hinges_ = layout.n_latent, len(cell.h2)
        self.alpha_ = self.net_.module_.alpha
        self._members = tuple(
            (restart.error, cell_of(layout, restart.state_dict))
            for restart in self.restarts_
        )
        self.d_stsp_ = self.d_hellinger_ = np.nan
        self.d_stsp_floor_ = self.d_hellinger_floor_ = np.nan
        if judge is not None:
            verdict = judge(cell)
            self.d_stsp_, self.d_hellinger_ = verdict.d_stsp, verdict.d_hellinger
            self.d_stsp_floor_, self.d_hellinger_floor_ = judge.floors

    # -- the bare inside ---------------------------------------------------------------

    def _check_context(self, X: Any, needs_last: bool = True) -> Trajectories:
        trajectories = super()._check_context(X, needs_last)
        if self._allow_nan:
            _check_finite_or_missing(trajectories.pieces)
        return trajectories

    def _begin(self, contexts: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        if u is None and self.n_inputs_ and contexts.shape[1] > 1:
            raise ValueError(
                f"{type(self).__name__} settles over {contexts.shape[1]} rows of its "
                f"context: needed u for these too, got that of the forecast only. Pass "
                f"len(context) - 1 + n_steps rows of u."
            )
        rows = (np.asarray(contexts, dtype=np.float64) - self.mean_) / self.scale_
        return settle(self.cell_, rows, self._in_own_units(u))

    def _step(
        self, state: np.ndarray, u: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        after = self.cell_.step(state, self._in_own_units(u))
        return after, self._in_units(after)

    def _jacobian(self, state: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        return self.cell_.jacobian(state)

    def _rollout(
        self, state: np.ndarray, n_steps: int, u: np.ndarray | None
    ) -> np.ndarray:
        return self._in_units(
            free_run(self.cell_, state, n_steps, self._in_own_units(u))
        )

    def _in_units(self, states: np.ndarray) -> np.ndarray:
        return self.mean_ + self.scale_ * self.cell_.observe(states)

    def _in_own_units(self, u: np.ndarray | None) -> np.ndarray | None:
        if u is None or not self.n_inputs_:
            return None
        return (np.asarray(u, dtype=np.float64) - self.input_mean_) / self.input_scale_

    def _piecewise_linear(self, u: Any = None) -> tuple[np.ndarray, ...]:
        """A, W1, W2, h1, h2 of z -> A z + W1 relu(W2 z + h2) + h1, input fixed."""
        cell, h1 = self.cell_.plain(), self.cell_.h1
        if u is not None and self.n_inputs_:
            acting = self._in_own_units(np.asarray(u, dtype=np.float64))
            h1 = h1 + cell.C @ np.asarray(acting)
        return cell.A, cell.W1, cell.W2, h1, cell.h2

    @available_if(_has_restarts)
    def forecast_interval(
        self,
        n_steps: int | Horizon,
        coverage: float = 0.9,
        context: Any = None,
        u: Any = None,
        *,
        n_samples: int = 100,
        random_state: Any = 0,
    ) -> ForecastInterval:
        """A forecast with the band in which the next observations lie.

        Each sample is a free run of one restart (those whose error is near the best's,
        in turn) from a state that is off by the noise, with observation noise: what one
        does not know of the model, of the state, and of the observation. Samples are
        then spread about their mean, more or less for each step ahead, until such bands
        cover the asked share of the training data (up to 300 steps ahead; from there on
        as for the last of these).

        Parameters
        ----------
        n_steps : int or Horizon
            The number of rows, at least 1, or a request with a context of its own.
        coverage : float, default=0.9
            Share of the observations within the band, step by step. Beyond 0.98 bands
            are spread as those of 0.98.
        context : array-like or list of array-likes, default=None
            The rows to continue; None continues the trajectories of ``fit``.
        u : array-like or list of array-likes, default=None
            Inputs, for models fitted with inputs, as in ``predict``.
        n_samples : int, default=100
            How many free runs.
        random_state : int, RandomState or None, default=0
            Seeds the noise.

        Returns
        -------
        ForecastInterval
            ``mean`` is the mean of the samples; `samples` has them, spread, along its
            first axis (a list of these for several trajectories).

        Raises
        ------
        ValueError
            If `coverage` is not between 0 and 1, or `n_samples` is below 2.
        """
        check_is_fitted(self)
        check_coverage(coverage)
        if not isinstance(n_samples, Integral) or n_samples < 2:
            raise ValueError(
                f"n_samples needs to be an integer of at least 2, got {n_samples!r}."
            )
        horizon = interval_request(n_steps, context, u)
        rng = check_random_state(random_state)
        starts, past, future = self._resolved(horizon)
        rows = self._drawn(starts.pieces, past, horizon.n_steps, future, n_samples, rng)
        if self._spread is not None:
            rows = self._spread.apply(rows, coverage)
        flat = rows.reshape(-1, *rows.shape[2:])
        drawn = self._finish(flat, starts.dtype, what="sample(s)")
        return interval_of(
            drawn.reshape(rows.shape),
            coverage,
            horizon,
            starts,
            who=type(self).__name__,
        )

    def _drawn(
        self,
        pieces: Pieces,
        past: Any,
        n_steps: int,
        future: np.ndarray | None,
        n_samples: int,
        rng: np.random.RandomState,
    ) -> np.ndarray:
        """Samples (n_samples, n_starts, n_steps, N) of restarts near the best."""
        least = min(error for error, _ in self._members)
        near = [cell for error, cell in self._members if error <= least + _BAND]
        # Where training has diverged, no error is a number.
        near = near or [self.cell_]
        samples = []
        for k, cell in enumerate(near):
            n = len(range(k, n_samples, len(near)))
            if n:
                member = copy.copy(self)
                member.cell_ = cell
                # The row is one; each network makes a state of its own of it.
                states = member._begin_all(pieces, past)
                samples.append(member._noisy(states, n_steps, future, n, rng))
        return np.concatenate(samples)

    def _measured_spread(
        self, rows: list[np.ndarray], acting: list[np.ndarray] | None
    ) -> Spread | None:
        """What samples are to be spread by, from windows of the training data."""
        M, L = self.cell_.W1.shape
        windows = windows_ahead(rows, acting, self.min_context_, 2 * M * L * _SAMPLES)
        if windows is None:
            return None
        rng = np.random.RandomState(0)
        n_steps = windows.rows.shape[1]

        def draw(some: Windows) -> np.ndarray:
            past = some.past if self.n_inputs_ else None
            future = some.future if self.n_inputs_ else None
            return self._drawn(some.contexts, past, n_steps, future, _SAMPLES, rng)

        n_each = self._dimensions.n_parameters / self.n_features_in_
        factor = to_come(sum(map(len, rows)), n_each)
        return spread_of(draw, windows, _SAMPLES * n_steps * M, factor)

    def _noisy(
        self,
        states: np.ndarray,
        n_steps: int,
        future: np.ndarray | None,
        n: int,
        rng: np.random.RandomState,
    ) -> np.ndarray:
        """Free runs (n, n_starts, n_steps, N) from noisy states, with noisy rows."""
        (batch, M), noise = states.shape, self.noise_std_
        off = rng.standard_normal((n, batch, len(noise))) * (noise / self.scale_)
        many = states + off @ self.cell_.gain.T
        if future is not None:
            future = np.tile(future, (n, 1, 1))
        with np.errstate(all="ignore"):
            rows = self._rollout(many.reshape(-1, M), n_steps, future)
        rows = rows.reshape(n, batch, *rows.shape[1:])
        return rows + noise * rng.standard_normal(rows.shape)


def fit_together(
    estimators: Sequence[PLRNN], X: Any, y: Any = None, *, u: Any = None
) -> list[PLRNN]:
    """Fit several networks to the same data, on a GPU side by side.

    It is ``[each.fit(X, u=u) for each in estimators]``, to rounding. On a GPU all
    restarts of all networks of one shape (variant, sizes, `sequence_length`,
    `batch_size`, `optimizer`) train in one loop, which takes little longer than one of
    them alone: a grid of learning rates, strengths of forcing, penalties and seeds in
    one go. Networks of other shapes, and those with callbacks, train on their own. On a
    CPU all train one after the other, as `fit` does; there `GridSearchCV` with
    ``n_jobs`` is the faster way.

    Parameters
    ----------
    estimators : sequence of PLRNN
        They are fitted in place. ``[PLRNN(**point) for point in ParameterGrid(grid)]``
        makes them of a grid.
    X : array-like of shape (n_samples, n_features), or list of these
        Training trajectories, rows in time order.
    y : ignored
        For scikit-learn's signature.
    u : array-like of shape (n_samples, n_inputs), or list of these, default=None
        Inputs; row k acts between rows k and k+1.

    Returns
    -------
    list of PLRNN
        The estimators.

    Raises
    ------
    TypeError
        For what is no PLRNN.
    FloatingPointError
        Where the training of one diverged before its first check. The others are
        fitted.

    See Also
    --------
    skdyn.metrics.d_stsp, skdyn.metrics.d_hellinger : To choose among them.

    Examples
    --------
    >>> from sklearn.model_selection import ParameterGrid
    >>> from skdyn.datasets import make_lorenz63
    >>> from skdyn.neural import PLRNN, fit_together
    >>> X = make_lorenz63(500)
    >>> grid = ParameterGrid({"lr": [1e-3, 5e-3], "max_epochs": [2]})
    >>> fitted = fit_together([PLRNN(**point) for point in grid], X)
    >>> [plrnn.predict(3).shape for plrnn in fitted]
    [(3, 3), (3, 3)]
    """
    fitted = list(estimators)
    for each in fitted:
        if not isinstance(each, PLRNN):
            raise TypeError(
                f"fit_together needs PLRNN estimators, got {type(each).__name__}. Fit "
                f"others by their own fit."
            )
        each._require_torch()
    if not fitted:
        return fitted
    from skdyn.neural._together import train_all

    plans = [each._plan(X, u) for each in fitted]
    trained = train_all([plan.job for plan in plans])
    failures = []
    for each, plan, found in zip(fitted, plans, trained, strict=True):
        if isinstance(found, BaseException):
            failures.append(found)
        else:
            each._conclude(plan, found)
    if failures:
        raise failures[0]
    return fitted


# -- bare functions --------------------------------------------------------------------


class _Forcing:
    """The strength of forcing while training, from what was asked for.

    Parameters
    ----------
    asked : float or str
        A strength, or one of the rules.
    n_steps, interval : int
        T of the windows, and rows from one forced row to the next.
    pieces : list of arrays (n_i, N)
        Standardised data, for the rules.
    layout : Layout
        Sizes.
    """

    def __init__(
        self,
        asked: float | str,
        n_steps: int,
        interval: int,
        pieces: list[np.ndarray],
        layout: Layout,
    ) -> None:
        self.asked, self.n_steps, self.interval = asked, n_steps, interval
        self.windows = np.zeros((0, n_steps, layout.n_features))
        if isinstance(asked, str):
            places = [
                (i, at)
                for i, piece in enumerate(pieces)
                for at in range(0, len(piece) - n_steps + 1, max(n_steps // 4, 1))
            ]
            some = np.linspace(0, len(places) - 1, min(_WINDOWS, len(places)))
            rows = [
                pieces[i][at : at + n_steps] for i, at in (places[int(k)] for k in some)
            ]
            self.windows = np.nan_to_num(np.stack(rows), nan=0.0)

    def started(self, cell: Cell) -> Callable[[float, Cell], np.ndarray]:
        """The rule for one restart: forcing at each row, by progress and network."""
        first = self._estimate(cell) if self.asked == "auto" else None

        def rule(progress: float, now: Cell) -> np.ndarray:
            if first is not None:
                alpha = first
            elif isinstance(self.asked, str):
                alpha = annealed(self._estimate(now), progress)
            else:
                alpha = float(self.asked)
            return forcing(alpha, self.n_steps, interval=self.interval)

        return rule

    def _estimate(self, cell: Cell) -> float:
        with np.errstate(all="ignore"):
            n = growth(str(self.asked), cell, self.windows @ cell.E.T)
        # A network that has left all bounds is to be held by the data.
        return strength(n) if np.isfinite(n) else 1.0


def _moments(rows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scale of each column; one that is constant has no scale."""
    whole = np.concatenate(rows)
    mean, scale = np.nanmean(whole, axis=0), np.nanstd(whole, axis=0)
    flat = scale <= 10 * np.finfo(np.float64).eps * np.abs(mean)
    return mean, np.where(flat, 1.0, scale)


def _check_finite_or_missing(rows: Pieces) -> None:
    if any(np.isinf(piece).any() for piece in rows):
        raise ValueError(
            "PLRNN takes NaN for what is missing, got inf. Pass NaN, or cut there."
        )


def _check_missing(rows: list[np.ndarray]) -> None:
    _check_finite_or_missing(rows)
    whole = np.concatenate(rows)
    empty = np.flatnonzero(np.isnan(whole).all(axis=0))
    if len(empty):
        raise ValueError(
            f"PLRNN needs values in every column, got only NaN in column {empty[0]}. "
            f"Drop it."
        )
    if np.isnan(whole).any(axis=1).all():
        raise ValueError(
            "PLRNN needs rows without missing entries to start windows from, got none."
            " Drop the columns that are missing most, or fill them."
        )


def _window(asked: int, lengths: list[int]) -> int:
    """T, for trajectories of these lengths: short ones count where they can."""
    longest, shortest = max(lengths) - 1, min(lengths) - 1
    # Half of a trajectory at most, so that there are several windows in it.
    n = min(asked, max(longest // 2, 1))
    return shortest if n // 4 <= shortest < n else n


def _pairs(
    pieces: list[np.ndarray], inputs: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Complete rows, their complete successors, and the inputs between."""
    x = np.concatenate([piece[:-1] for piece in pieces])
    after = np.concatenate([piece[1:] for piece in pieces])
    u = np.concatenate([each[:-1] for each in inputs])
    seen = np.isfinite(x).all(axis=1) & np.isfinite(after).all(axis=1)
    return x[seen], after[seen], u[seen]


def _pays_on_gpu(layout: Layout, n_window: int, n_init: int) -> bool:
    # Restarts train side by side there, and one after the other on a CPU.
    return n_init * layout.n_hinges >= _MOST_HINGES or n_window >= _LONG_WINDOW

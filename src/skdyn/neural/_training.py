"""The training ground: skorch's loop around a module that knows its own loss.

A module is handed over by ``build(seed)``, batches come from a *draw*, and `train` does
the rest, restart by restart:

    for each seed:  module = build(seed)
        for each epoch:  lr = recipe.lr * schedule(epoch / max_epochs)
            for each batch of draw.epoch(rng, epoch):
                loss = module.loss(batch, progress); loss.backward(); clip; step
            now and then:  error(module), and a checkpoint where it is the least so far

and the best checkpoint of the best restart stands in the net that is given back. The
loss of a forecaster of chaos says little about its free run, hence `error`.

What a module may have beside ``loss`` (all optional):

* ``parameter_groups(lr, weight_decay)``: a list of dicts, as PyTorch's optimisers take;
* ``train_epoch(batches, lr, progress)``: a whole epoch in one fused call, with an
  optimiser of its own, which returns the mean loss; or NotImplemented, and the epoch is
  trained by autograd;
* ``before_epoch(epoch, progress)``: called at the start of each epoch;
* ``losses(modules, batch)`` (static) and ``peers``: the losses of modules of equal
  `peers` at once, from tensors (n_models, batch, ...). On a GPU, restarts of such
  modules, and jobs of a kind, train side by side (`skdyn.neural._together`).

`progress` is the part of all epochs that is done, in [0, 1).

References
----------
Tietz, Fan, Nouri, Bossan & skorch developers, "skorch: a scikit-learn compatible neural
network library that wraps PyTorch" (2017), https://skorch.readthedocs.io.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer, PrintLog
from skorch.utils import TeeGenerator

from skdyn.neural._torch import isolated_rng, one_thread
from skdyn.utils._trajectories import Pieces
from skdyn.utils._warn import caller_level

__all__ = [
    "OPTIMISERS",
    "DynamicsNet",
    "Job",
    "Recipe",
    "Restart",
    "Run",
    "Stop",
    "Trained",
    "WindowDraws",
    "Windows",
    "begin",
    "choose",
    "to_device",
    "train",
    "train_one_by_one",
]

# What recipes name.
OPTIMISERS = {
    "radam": torch.optim.RAdam,
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
}
# What "exponential" ends at.
_LAST_FACTOR = 1e-2
_SCHEDULES: dict[str, Callable[[float], float]] = {
    "exponential": lambda progress: _LAST_FACTOR**progress,
    "cosine": lambda progress: 0.5 * (1 + math.cos(math.pi * progress)),
}


@dataclass(frozen=True)
class Recipe:
    """How to train, whatever the module.

    Attributes
    ----------
    max_epochs : int
        Epochs of each restart.
    batch_size : int
        Sequences in a batch. For the estimator's draw; `train` does not use it.
    lr : float
        Learning rate.
    optimizer : {"radam", "adamw", "adam"}
        PyTorch's optimiser.
    lr_schedule : {"exponential", "cosine"}, callable or None
        Factor on the learning rate, epoch by epoch: from 1 to 0.01, from 1 to 0 by half
        a cosine, ``f(progress) -> factor``, or 1.
    weight_decay : float
        Handed to the optimiser.
    gradient_clip : float or None
        Largest Euclidean norm of the gradient of a batch.
    patience : int or None
        Checks without a smaller error after which a restart ends.
    check_every : int
        Epochs between checks.
    check_first : bool
        Whether the module is checked before its first epoch too.
    device : str
        As PyTorch takes it.
    verbose : int
        1 shows a progress bar, 2 and more a line for each epoch.
    callbacks : tuple
        skorch's callbacks, or callables ``(epoch, record)``, which end the restart by
        returning True.
    n_threads : int or None
        Threads of PyTorch while training on a CPU; None leaves them as they are.
    """

    max_epochs: int
    batch_size: int = 32
    lr: float = 1e-3
    optimizer: str = "adam"
    lr_schedule: str | Callable[[float], float] | None = None
    weight_decay: float = 0.0
    gradient_clip: float | None = None
    patience: int | None = None
    check_every: int = 10
    check_first: bool = False
    device: str = "cpu"
    verbose: int = 0
    callbacks: tuple = ()
    n_threads: int | None = 1

    def factor(self, progress: float) -> float:
        """Factor on the learning rate when the part `progress` of all is done."""
        if self.lr_schedule is None:
            return 1.0
        if callable(self.lr_schedule):
            return float(self.lr_schedule(progress))
        return _SCHEDULES[self.lr_schedule](progress)


class Job(NamedTuple):
    """What `train` is called with.

    Attributes
    ----------
    build, draw, recipe, seeds, error, on_check, warm
        See `train`.
    together : bool
        Whether what `build` gives has ``losses`` and ``peers``, see the module.
    """

    build: Callable[[int], Any]
    draw: Any
    recipe: Recipe
    seeds: Sequence[int]
    error: Callable[[Any], float] | None = None
    on_check: Callable[[Any, dict[str, Any]], None] | None = None
    warm: dict[str, Any] | None = None
    together: bool = False


class Restart(NamedTuple):
    """What one restart came to.

    Attributes
    ----------
    seed : int
        What it was built from.
    error : float
        Error at its best checkpoint, infinite where it was NaN.
    best_epoch : int
        Epochs done by then.
    state_dict : dict
        The checkpoint, on the CPU: ``module.load_state_dict`` takes it.
    """

    seed: int
    error: float
    best_epoch: int
    state_dict: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Trained:
    """The outcome of `train`.

    Attributes
    ----------
    net : DynamicsNet
        The skorch net of the best restart, with its best checkpoint, on the CPU:
        ``net.module_``, ``net.history``, ``net.optimizer_`` (None where all epochs were
        fused).
    error : float
        Its error.
    history : list of dict
        For each of its epochs ``epoch``, ``loss`` and ``lr``; at checks ``error`` and
        what ``on_check`` added.
    restarts : tuple of Restart
        All restarts that did not come to nothing, in the order of the seeds.
    """

    net: DynamicsNet
    error: float
    history: list[dict[str, Any]]
    restarts: tuple[Restart, ...]


# -- batches ---------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Windows:
    """The batches of an epoch: runs of `length` rows from given starts.

    Iterating gives tuples (x, u, mask) of shape (batch, length, columns), None for what
    there is not. A fused path may gather from `rows` by itself.

    Attributes
    ----------
    rows : tensor of shape (n_rows, n_features)
        All pieces, one below the other.
    inputs, masks : tensors of as many rows, or None
        What goes with the rows.
    starts : ndarray of shape (n_batches, batch_size)
        First row of each window.
    length : int
        Rows of a window.
    """

    rows: torch.Tensor
    inputs: torch.Tensor | None
    masks: torch.Tensor | None
    starts: np.ndarray
    length: int

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[tuple[torch.Tensor | None, ...]]:
        within = torch.arange(self.length, device=self.rows.device)
        for starts in torch.from_numpy(self.starts).to(self.rows.device):
            at = starts[..., None] + within
            yield tuple(
                None if each is None else each[at]
                for each in (self.rows, self.inputs, self.masks)
            )


class WindowDraws:
    """Windows drawn uniformly from all that lie within one piece.

    Parameters
    ----------
    pieces : sequence of arrays (n_i, d), or array (B, n, d)
        Training trajectories.
    length : int
        Rows of a window, those of the target included.
    n_batches, batch_size : int
        Batches of an epoch, and windows of a batch.
    inputs, masks : like `pieces`, or None
        Inputs, and where rows are observed; cut together with the rows.
    dtype : numpy dtype, default=float32
        Of what batches hold. Masks keep theirs.
    """

    def __init__(
        self,
        pieces: Pieces,
        length: int,
        n_batches: int,
        batch_size: int,
        inputs: Pieces | None = None,
        masks: Pieces | None = None,
        dtype: Any = np.float32,
    ) -> None:
        lengths = np.array([len(piece) for piece in pieces])
        short = int((lengths < length).sum())
        if short == len(lengths):
            raise ValueError(
                f"Training needs sequences of {length} rows, got trajectories of at "
                f"most {lengths.max()}. Shorten the sequences, or pass longer "
                f"trajectories."
            )
        if short:
            warnings.warn(
                f"{short} of {len(lengths)} trajectories are shorter than the "
                f"sequences of {length} rows to train on and are left out. Shorten "
                f"the sequences to learn from all.",
                UserWarning,
                stacklevel=caller_level(),
            )
        firsts = np.r_[0, np.cumsum(lengths)[:-1]]
        self.length, self.n_batches, self.batch_size = length, n_batches, batch_size
        self._starts = np.concatenate(
            [
                first + np.arange(n - length + 1)
                for first, n in zip(firsts, lengths, strict=True)
                if n >= length
            ]
        )
        self._parts = [
            None
            if part is None
            else torch.from_numpy(
                np.concatenate([np.asarray(each, dtype=kind) for each in part])
            )
            for part, kind in ((pieces, dtype), (inputs, dtype), (masks, None))
        ]

    def to(self, device: str) -> WindowDraws:
        """The same draws with the rows on a device."""
        moved = copy.copy(self)
        moved._parts = [None if p is None else p.to(device) for p in self._parts]
        return moved

    def epoch(self, rng: np.random.Generator, epoch: int) -> Windows:
        """Draw the batches of an epoch."""
        chosen = rng.integers(len(self._starts), size=(self.n_batches, self.batch_size))
        rows, inputs, masks = self._parts
        assert rows is not None
        return Windows(rows, inputs, masks, self._starts[chosen], self.length)


# -- the net ---------------------------------------------------------------------------


class Stop(KeyboardInterrupt):
    """The end of a restart before its last epoch, of the kind that skorch knows."""


class DynamicsNet(NeuralNet):
    """skorch's net for a module with a loss of its own.

    The *run*, which has the draw and the checkpoints, travels as skorch's data set, so
    that nothing of it remains on the net.
    """

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        return [("epoch_timer", EpochTimer())]

    def initialize_module(self) -> DynamicsNet:
        """Take the module that was handed over."""
        self.module_ = self._handed.pop()
        return self

    def initialize_optimizer(self, triggered_directly: Any = None) -> DynamicsNet:
        """Make the optimiser over the module's own parameter groups.

        Not before it is needed: the first one makes PyTorch load its compiler, which
        takes two seconds, and a module with a fused epoch does without.
        """
        self.optimizer_: Any = None
        if self._recipe.callbacks or not hasattr(self.module_, "train_epoch"):
            self._make_optimizer()
        return self

    def _make_optimizer(self) -> None:
        recipe = self._recipe
        module, lr, decay = self.module_, recipe.lr, recipe.weight_decay
        groups = [{"params": list(module.parameters()), "weight_decay": decay}]
        if hasattr(module, "parameter_groups"):
            groups = list(module.parameter_groups(lr, decay))
        with self._current_init_context("optimizer"):
            self.optimizer_ = OPTIMISERS[recipe.optimizer](groups, lr=lr)
        for group in self.optimizer_.param_groups:
            group["initial_lr"] = group["lr"]

    @property
    def _lr(self) -> float:
        """The learning rate of this epoch, that of the first parameter group."""
        if self.optimizer_ is None:
            return float(self._recipe.lr * self._factor)
        return float(self.optimizer_.param_groups[0]["lr"])

    def _schedule(self, progress: float) -> None:
        """Set the learning rates. Without a schedule a callback may."""
        self._factor = self._recipe.factor(progress)
        if self._recipe.lr_schedule is not None and self.optimizer_ is not None:
            for group in self.optimizer_.param_groups:
                group["lr"] = self._factor * group["initial_lr"]

    def get_split_datasets(self, X: Any, y: Any = None, **params: Any) -> Any:
        """All of the data is for training."""
        return X, None

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Give the run itself: it draws the batches."""
        return dataset

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call the callbacks; a KeyboardInterrupt of theirs ends the restart."""
        run = cb_kwargs.get("dataset_train")
        try:
            super().notify(method_name, **cb_kwargs)
        except KeyboardInterrupt as error:
            # The user's, during a check, and no callback's.
            if getattr(run, "interrupted", False):
                raise
            raise Stop from error
        # Not before all callbacks have heard of the epoch.
        if method_name == "on_epoch_end" and cb_kwargs["dataset_train"].enough:
            raise Stop

    def on_epoch_begin(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kw: Any
    ) -> None:
        """Set the learning rate and tell the module."""
        super().on_epoch_begin(net, dataset_train, dataset_valid, **kw)
        dataset_train.begin(self)

    def on_epoch_end(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kw: Any
    ) -> None:
        """Check, and keep a checkpoint of the best."""
        try:
            dataset_train.end(self)
        except KeyboardInterrupt:
            dataset_train.interrupted = True
            raise

    def on_batch_begin(self, net: Any, batch: Any = None, **kw: Any) -> None:
        """Keep no record of each batch: they would make up most of a pickle."""

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **kw: Any
    ) -> None:
        """Train an epoch, fused where the module can."""
        if iterator is None:
            return
        run, module = iterator, self.module_
        epoch = len(self.history) - 1
        batches = run.draw.epoch(run.rng, epoch)
        # skorch's callbacks expect a last batch; it is the only one on record.
        self.history.new_batch()
        module.train()
        loss: Any = NotImplemented
        if hasattr(module, "train_epoch"):
            loss = module.train_epoch(batches, self._lr, run.progress(epoch))
        if loss is NotImplemented:
            if self.optimizer_ is None:
                self._make_optimizer()
                self._schedule(run.progress(epoch))
            loss = self._train_epoch(batches, run, epoch)
        self.history.record_batch("train_loss", float(loss))
        self.history.record("train_loss", float(loss))

    def _train_epoch(self, batches: Iterable[Any], run: Run, epoch: int) -> float:
        """Train an epoch by autograd; the mean loss of its batches."""
        # Losses stay on the device until the end: asking for each would make the CPU
        # wait for the GPU.
        losses = []
        heard = bool(self.callbacks)
        try:
            n_batches = len(batches)  # type: ignore[arg-type]
        except TypeError:
            n_batches = 0
        for k, batch in enumerate(batches):
            progress = run.progress(epoch + (k / n_batches if n_batches else 0.0))
            moved = tuple(_on(each, self.device) for each in batch)
            if heard:
                self.notify("on_batch_begin", batch=moved, training=True)
            self.optimizer_.zero_grad()
            loss = self.module_.loss(moved, progress)
            loss.backward()
            if run.recipe.gradient_clip is not None:
                torch.nn.utils.clip_grad_norm_(
                    self.module_.parameters(), run.recipe.gradient_clip
                )
            if heard:
                parameters = TeeGenerator(self.get_all_learnable_params())
                self.notify(
                    "on_grad_computed", named_parameters=parameters, batch=moved
                )
            self.optimizer_.step()
            losses.append(loss.detach())
            if heard:
                self.notify("on_batch_end", batch=moved, training=True, loss=loss)
        if not losses:
            raise ValueError("An epoch needs at least one batch, the draw gave none.")
        return float(torch.stack(losses).double().mean())


def _on(each: Any, device: str) -> Any:
    """A member of a batch on the device; what is no array passes as it is."""
    if isinstance(each, (np.ndarray, torch.Tensor)):
        return torch.as_tensor(each, device=device)
    return each


# -- one restart -----------------------------------------------------------------------


@dataclass
class Run:
    """One restart under way: its numbers, its best checkpoint, its patience."""

    recipe: Recipe
    draw: Any
    seed: int
    rng: np.random.Generator
    error: Callable[[Any], float] | None
    on_check: Callable[[Any, dict[str, Any]], None] | None
    best: Restart | None = None
    least: tuple[float, float] = (math.inf, math.inf)
    stale: int = 0
    enough: bool = False
    checked: int = 0
    interrupted: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)

    def __len__(self) -> int:
        """Sequences of an epoch, as skorch's progress bar asks."""
        return int(getattr(self.draw, "n_batches", 1)) * self.recipe.batch_size

    def progress(self, epochs: float) -> float:
        return epochs / self.recipe.max_epochs

    def begin(self, net: DynamicsNet) -> None:
        epoch = len(net.history) - 1
        progress = self.progress(epoch)
        net._schedule(progress)
        if hasattr(net.module_, "before_epoch"):
            net.module_.before_epoch(epoch, progress)

    def end(self, net: DynamicsNet) -> None:
        """Note the epoch, check where one is due, and tell when it is enough."""
        epoch, loss = len(net.history), net.history[-1, "train_loss"]
        record: dict[str, Any] = {"epoch": epoch, "loss": loss, "lr": net._lr}
        last = epoch == self.recipe.max_epochs
        if not math.isfinite(loss) or not _is_finite(net.module_):
            self._diverged(epoch, loss)
            self.enough = True
            self.checked = epoch
        elif last or epoch % self.recipe.check_every == 0:
            self.check(net.module_, record)
            patience = self.recipe.patience
            self.enough = patience is not None and self.stale >= patience
        self.history.append(record)
        net.history.record("lr", record["lr"])
        net.history.record("error", record.get("error"))

    def finish(self, module: Any) -> None:
        """Check what was reached where a callback ended the restart."""
        if self.history and self.checked < self.history[-1]["epoch"]:
            self.check(module, self.history[-1])

    def check(self, module: Any, record: dict[str, Any]) -> None:
        """Measure the error, and keep the weights where it is the least so far."""
        loss, epoch = float(record.get("loss", math.inf)), int(record["epoch"])
        self.checked = epoch
        error = loss
        if self.error is not None:
            module.eval()
            with torch.no_grad():
                error = float(self.error(module))
            record["error"] = error
            # NaN is worse than anything.
            error = error if math.isfinite(error) else math.inf
        if self.on_check is not None:
            self.on_check(module, record)
        better = (error, loss) < self.least
        self.stale = 0 if better else self.stale + 1
        if better:
            self.least = (error, loss)
        # The training loss is no reason to go back to earlier weights.
        if better or self.best is None or self.error is None:
            self.best = Restart(self.seed, error, epoch, _checkpoint(module))

    def _diverged(self, epoch: int, loss: float) -> None:
        kept = (
            "it came to nothing"
            if self.best is None
            else f"its weights after epoch {self.best.best_epoch} are kept"
        )
        what = "its weights are" if math.isfinite(loss) else f"the loss is {loss},"
        warnings.warn(
            f"Training (seed {self.seed}) diverged in epoch {epoch}: {what} not "
            f"finite; {kept}. Lower lr={self.recipe.lr:g}, or standardise the data.",
            ConvergenceWarning,
            stacklevel=caller_level(),
        )


def _is_finite(module: Any) -> bool:
    total = sum(p.detach().sum() for p in module.parameters())
    return bool(torch.isfinite(torch.as_tensor(total)))


def _checkpoint(module: Any) -> dict[str, torch.Tensor]:
    """A copy of the module's state on the CPU."""
    return {
        name: value.detach().to("cpu", copy=True)
        if isinstance(value, torch.Tensor)
        else copy.deepcopy(value)
        for name, value in module.state_dict().items()
    }


class _Call(Callback):
    """A plain callable as a callback of skorch."""

    def __init__(self, function: Callable[[int, dict], Any]) -> None:
        self.function = function

    def on_epoch_end(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kw: Any
    ) -> None:
        record = dataset_train.history[-1]
        if self.function(record["epoch"], dict(record)) is True:
            dataset_train.enough = True


class _Bar(Callback):
    """A progress bar over the epochs of a restart."""

    def __init__(self, about: str = "") -> None:
        self.about = about
        self.bar_: Any = None

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kw: Any) -> None:
        from tqdm.auto import tqdm

        self.bar_ = tqdm(total=net.max_epochs, desc=self.about, unit="epoch")

    def on_epoch_end(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kw: Any
    ) -> None:
        for name in ("loss", "error"):
            if name in dataset_train.history[-1]:
                self.seen_ = {
                    **getattr(self, "seen_", {}),
                    name: dataset_train.history[-1][name],
                }
        self.bar_.set_postfix(self.seen_, refresh=False)
        self.bar_.update()

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kw: Any) -> None:
        self.bar_.close()
        self.bar_ = None


def _as_callbacks(recipe: Recipe, about: str) -> list[Any]:
    """The callbacks of a restart: copies of skorch's, since training changes them."""
    found: list[Any] = []
    for each in recipe.callbacks:
        kind = each if isinstance(each, type) else type(each)
        is_skorchs = issubclass(kind, (Callback, tuple, list))
        found.append(copy.deepcopy(each) if is_skorchs else _Call(each))
    if recipe.verbose == 1:
        found.append(_Bar(about))
    elif recipe.verbose > 1:
        found.append(PrintLog())
    return found


def _make_net(module: Any, recipe: Recipe, about: str) -> DynamicsNet:
    net = DynamicsNet(
        # A stand-in for the module, which is handed over: it is an object already.
        module=type(module),
        # The module has its loss itself; skorch wants something in its place.
        criterion=torch.nn.Identity,
        optimizer=OPTIMISERS[recipe.optimizer],
        lr=recipe.lr,
        max_epochs=recipe.max_epochs,
        batch_size=recipe.batch_size,
        train_split=None,
        callbacks=_as_callbacks(recipe, about),
        device=recipe.device,
        verbose=recipe.verbose,
    )
    net._handed, net._recipe = [module], recipe
    return net.initialize()


# -- all restarts ----------------------------------------------------------------------


def train(
    build: Callable[[int], Any],
    draw: Any,
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    error: Callable[[Any], float] | None = None,
    on_check: Callable[[Any, dict[str, Any]], None] | None = None,
    warm: dict[str, Any] | None = None,
) -> Trained:
    """Train from several seeds and keep the best checkpoint of the best.

    Parameters
    ----------
    build : callable (seed) -> torch.nn.Module
        The untrained module. PyTorch's generators are seeded when it is called.
    draw : object with ``epoch(rng, epoch) -> iterable of batches``
        A batch is a tuple of tensors or arrays. Where it has ``to(device)``, this is
        called first.
    recipe : Recipe
        How to train.
    seeds : sequence of int
        One restart for each.
    error : callable (module) -> float, or None
        What checkpoints and restarts are chosen by, smaller is better, NaN is worst. It
        is called with the module in evaluation mode and without gradients. None takes
        the last weights, and of restarts that of the least training loss.
    on_check : callable (module, record), or None
        Called at each check, after `error`; it may add to `record`.
    warm : state_dict or None
        Weights to go on from, in the first restart, which is then the only one.

    Returns
    -------
    Trained

    Raises
    ------
    FloatingPointError
        Where every restart diverged before its first check.

    Warns
    -----
    ConvergenceWarning
        For a restart that diverged, and where no checkpoint had a finite error.
    """
    job = Job(build, draw, recipe, seeds, error, on_check, warm)
    return train_one_by_one(job)


def train_one_by_one(job: Job) -> Trained:
    """Train the restarts of a job one after the other."""
    recipe, seeds = job.recipe, job.seeds[: 1 if job.warm is not None else None]
    draw = to_device(job.draw, recipe)
    outcomes: list[tuple[DynamicsNet, Run]] = []
    interrupted = False
    threads = recipe.n_threads if recipe.device == "cpu" else None
    for i, seed in enumerate(seeds):
        with isolated_rng(seed, recipe.device), one_thread(threads):
            net, run = begin(job, draw, seed, f" {i + 1}/{len(seeds)}")
            interrupted = _run_once(net, run)
        outcomes.append((net, run))
        if interrupted:
            break
    return choose(job, outcomes, interrupted)


def to_device(draw: Any, recipe: Recipe) -> Any:
    """The draw with its data where training is."""
    return draw.to(recipe.device) if hasattr(draw, "to") else draw


def begin(job: Job, draw: Any, seed: int, about: str = "") -> tuple[DynamicsNet, Run]:
    """The net and the run of one restart before its first epoch.

    Parameters
    ----------
    job : Job
    draw : object
        Its draw, on the device.
    seed : int
    about : str
        What a progress bar says of it, where there are several.
    """
    module = job.build(seed)
    if job.warm is not None:
        try:
            module.load_state_dict(job.warm)
        except RuntimeError as mismatch:
            raise ValueError(
                "warm_start goes on with the fitted weights: needed parameters that "
                "give a net of the same shape, got others (see the error above). Put "
                "back what sets its size, or fit with warm_start=False."
            ) from mismatch
    rng = np.random.default_rng(seed)
    run = Run(job.recipe, draw, seed, rng, job.error, job.on_check)
    about = type(module).__name__ + (about if len(job.seeds) > 1 else "")
    net = _make_net(module, job.recipe, about)
    if job.recipe.check_first:
        run.check(net.module_, {"epoch": 0})
    return net, run


def _run_once(net: DynamicsNet, run: Run) -> bool:
    """All epochs of one restart; whether the user interrupted it."""
    interrupted = False
    with torch.enable_grad():
        net.notify("on_train_begin", X=run)
        try:
            net.fit_loop(run)
        except Stop:
            pass
        except KeyboardInterrupt:
            interrupted = True
        finally:
            net.notify("on_train_end", X=run)
    if not interrupted:
        run.finish(net.module_)
    return interrupted


def choose(
    job: Job, outcomes: Sequence[tuple[DynamicsNet, Run]], interrupted: bool = False
) -> Trained:
    """The best checkpoint of the best restart, in its net.

    Parameters
    ----------
    job : Job
    outcomes : sequence of (net, run)
        In the order of the seeds.
    interrupted : bool
        Whether the user ended the last of them.
    """
    recipe, seeds = job.recipe, job.seeds
    reached = [(net, run) for net, run in outcomes if run.best is not None]
    if not reached:
        if interrupted:
            raise KeyboardInterrupt
        raise FloatingPointError(
            f"Training diverged before its first check from every one of {len(seeds)} "
            f"seed(s): the loss or the weights are not finite. Lower "
            f"lr={recipe.lr:g}, clip the gradient, or standardise the data."
        )
    net, run = min(reached, key=lambda pair: pair[1].least)
    assert run.best is not None
    if job.error is not None and not math.isfinite(run.best.error):
        warnings.warn(
            "No checkpoint had a finite error: every free run diverged. The weights "
            "of the least training loss are kept; do not trust their forecasts. Train "
            "for longer, or lower lr.",
            ConvergenceWarning,
            stacklevel=caller_level(),
        )
    if interrupted:
        warnings.warn(
            f"Training was interrupted; the weights after epoch {run.best.best_epoch} "
            f"are kept.",
            ConvergenceWarning,
            stacklevel=caller_level(),
        )
    _bring_home(net)
    net.module_.load_state_dict(run.best.state_dict)
    net.module_.eval()
    restarts = tuple(run.best for _, run in reached if run.best is not None)
    return Trained(net, run.best.error, run.history, restarts)


def _bring_home(net: DynamicsNet) -> None:
    """Move a net to the CPU, so that pickles of it load everywhere."""
    net.module_.to("cpu")
    if net.optimizer_ is not None:
        for state in net.optimizer_.state.values():
            for name, value in state.items():
                if isinstance(value, torch.Tensor):
                    state[name] = value.to("cpu")
    net.device = "cpu"
    # A schedule or callback of the user's may be a function that no pickle takes.
    net._recipe = None

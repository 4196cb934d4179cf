"""What all estimators that train a net share: parameters, recipe, restarts, warm start.

An estimator holds a skorch net and is none itself. Its ``__init__`` has flat parameters
by these names, with defaults of its own::

    max_epochs, batch_size, lr, lr_schedule, n_init, patience, device, callbacks,
    warm_start, verbose, random_state

and its ``fit`` is::

    trajectories, inputs = self._check_fit(X, u)
    self._require_torch()
    pieces, acting = in_order(trajectories.pieces, inputs)
    recipe = self._recipe(n_rows, most_epochs=400, optimizer="radam", check_every=20)
    self._train(build, draw, recipe, error=...)       # sets net_ and its like
    ...                                               # weights into plain arrays
    self._remember(trajectories, inputs)
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from skdyn.base import ForecasterMixin
from skdyn.neural._torch import require_torch, resolve_device
from skdyn.utils._sklearn import Interval, StrOptions
from skdyn.utils._trajectories import Pieces

if TYPE_CHECKING:
    from skdyn.neural._training import Job, Recipe, Trained

__all__ = ["NetMixin", "NeuralForecaster", "in_order"]

# Rows from which on "auto" trains for as many epochs as it ever does; below, for as
# many as there are rows in proportion, but never fewer than the least.
_MANY_ROWS = 1000
_LEAST_EPOCHS = 5

_COUNT = Interval(Integral, 1, None, closed="left")


def in_order(
    pieces: Pieces, inputs: Pieces | None = None
) -> tuple[list[np.ndarray], list[np.ndarray] | None]:
    """Put trajectories into an order that does not depend on the one they came in.

    Training at random is chaotic: a sum in another order, or other windows drawn, and
    the net is another one. The order of trajectories means nothing, so that it must not
    matter.

    Parameters
    ----------
    pieces, inputs : sequences of arrays, or None
        Trajectories, and what goes with them.

    Returns
    -------
    pieces, inputs : lists of arrays, or None
        float64, ordered by length and by a digest of their numbers.
    """

    def doubles(each: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(each, dtype=np.float64)

    rows = [doubles(piece) for piece in pieces]
    acting = None if inputs is None else [doubles(each) for each in inputs]
    keys = [
        (len(x), *(hashlib.blake2b(part).digest() for part in parts))
        for x, *parts in zip(rows, rows, *([acting] if acting else []), strict=True)
    ]
    order = sorted(range(len(rows)), key=keys.__getitem__)
    return [rows[i] for i in order], None if acting is None else [
        acting[i] for i in order
    ]


class NetMixin:
    """What an estimator needs to hold a net and train it, forecaster or not."""

    # What subclasses put into their _parameter_constraints.
    _training_constraints: ClassVar[dict[str, Any]] = {
        "max_epochs": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "lr_schedule": [StrOptions({"exponential", "cosine"}), callable, None],
        "n_init": [_COUNT],
        "patience": [_COUNT, None],
        "device": [str],
        "callbacks": ["array-like", None],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    net_: Any
    device_: str
    history_: list[dict[str, Any]]
    n_epochs_: int
    restarts_: tuple[Any, ...]

    def _require_torch(self) -> Any:
        """PyTorch, or the error that names the extra."""
        return require_torch(type(self).__name__)

    @property
    def _goes_on(self) -> bool:
        """Whether this fit continues the last one: its scales are then to be kept."""
        return bool(self.warm_start) and hasattr(self, "net_")  # type: ignore[attr-defined]

    def _recipe(self, n_rows: int, *, most_epochs: int = 200, **own: Any) -> Recipe:
        """The recipe of this fit.

        Parameters
        ----------
        n_rows : int
            Rows of training data, which ``max_epochs="auto"`` is scaled by.
        most_epochs : int
            What "auto" is where data is plenty.
        **own : dict
            Further fields of `Recipe`: optimizer, gradient_clip, check_every, ...
        """
        from skorch.callbacks import Callback

        from skdyn.neural._training import Recipe

        est: Any = self
        for each in est.callbacks or ():
            # As skorch takes them, with a name or without, or a function.
            named = isinstance(each, (tuple, list)) and len(each) == 2
            if not (named or callable(each) or isinstance(each, Callback)):
                raise ValueError(
                    f"callbacks needs callables (epoch, record) or callbacks of "
                    f"skorch, got {each!r}."
                )
        epochs = est.max_epochs
        if epochs == "auto":
            scaled = math.ceil(most_epochs * min(1.0, n_rows / _MANY_ROWS))
            epochs = min(max(scaled, _LEAST_EPOCHS), most_epochs)
        shared = {
            "max_epochs": int(epochs),
            "batch_size": int(est.batch_size),
            "lr": float(est.lr),
            "lr_schedule": est.lr_schedule,
            "patience": est.patience,
            "device": resolve_device(est.device, type(self).__name__),
            "verbose": int(est.verbose),
            "callbacks": tuple(est.callbacks or ()),
        }
        return Recipe(**{**shared, **own})

    def _seeds(self) -> list[int]:
        """One seed for each restart; more restarts begin with those of fewer."""
        rng = check_random_state(self.random_state)  # type: ignore[attr-defined]
        n_init = int(self.n_init)  # type: ignore[attr-defined]
        return [int(seed) for seed in rng.randint(np.iinfo(np.int32).max, size=n_init)]

    def _train(
        self,
        build: Callable[[int], Any],
        draw: Any,
        recipe: Recipe,
        *,
        error: Callable[[Any], float] | None = None,
        on_check: Callable[[Any, dict[str, Any]], None] | None = None,
    ) -> Trained:
        """Train, and set ``net_`` and what is declared beside it."""
        from skdyn.neural._training import train_one_by_one

        job = self._job(build, draw, recipe, error=error, on_check=on_check)
        return self._take(job, train_one_by_one(job))

    def _job(
        self, build: Callable[[int], Any], draw: Any, recipe: Recipe, **more: Any
    ) -> Job:
        """What `train` is called with: the seeds, and the weights to go on from."""
        from skdyn.neural._training import Job

        seeds, warm = self._seeds(), None
        if self._goes_on:
            warm = self.net_.module_.state_dict()
            # Not the batches of the first fit again.
            seeds = [(seeds[0] + self._epochs_done) % np.iinfo(np.int32).max]
        return Job(build, draw, recipe, seeds, warm=warm, **more)

    def _take(self, job: Job, trained: Trained) -> Trained:
        """Keep what was trained: ``net_`` and what is declared beside it."""
        done = self._epochs_done
        before = self.history_ if done else []
        self.net_ = trained.net
        self.device_ = job.recipe.device
        self.history_ = before + [
            {**record, "epoch": done + record["epoch"]} for record in trained.history
        ]
        self.n_epochs_ = len(self.history_)
        self.restarts_ = trained.restarts
        return trained

    @property
    def _epochs_done(self) -> int:
        """Epochs of the fit that this one goes on from."""
        before = self.history_ if self._goes_on else []
        return before[-1]["epoch"] if before else 0


class NeuralForecaster(NetMixin, ForecasterMixin, BaseEstimator):
    """A forecaster that trains a net in ``fit`` and forecasts from plain arrays."""

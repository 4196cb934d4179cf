"""Classifiers and regressors of whole sequences, by layers of S4D.

A sequence of rows is answered by one class or number. Rows pass a stack of diagonal
state spaces (`skdyn.neural.S4D` has their equations), each with its own memory from one
row to the whole sequence, are pooled over time and read by a linear map.

References: see `S4DClassifier`.
"""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_array, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from skdyn.neural._forecaster import NetMixin
from skdyn.utils._sklearn import Interval, StrOptions
from skdyn.utils._trajectories import check_trajectories

__all__ = ["S4DClassifier", "S4DRegressor"]

# Steps of gradient descent that "auto" aims at, within limits to the epochs.
_STEPS = 1500
_EPOCHS = (20, 100)
_POSITIVE = Interval(Real, 0, None, closed="neither")


class _Sequences(NetMixin, BaseEstimator):
    """What both share: the forms of sequences, the net, its training and answers."""

    # testing.py: neither forecaster nor transformer.
    _is_sequence_model = True
    _classify: bool
    # Whether each sequence came as a 2-D array, rather than as a row.
    _many: bool

    _parameter_constraints: dict = {
        **NetMixin._training_constraints,
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "d_model": [Interval(Integral, 1, None, closed="left")],
        "d_state": [Interval(Integral, 2, None, closed="left")],
        "init": [StrOptions({"lin", "inv", "real", "legs", "ptd"})],
        "disc": [StrOptions({"zoh", "bilinear"})],
        "dt_min": [_POSITIVE, StrOptions({"auto"})],
        "dt_max": [_POSITIVE, StrOptions({"auto"})],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "pool": [StrOptions({"mean", "last", "max"})],
        "ssm_lr": [_POSITIVE],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither"), None],
    }

    def __init__(
        self,
        n_layers: int = 2,
        d_model: int = 32,
        d_state: int = 32,
        *,
        init: Literal["lin", "inv", "real", "legs", "ptd"] = "lin",
        disc: Literal["zoh", "bilinear"] = "zoh",
        dt_min: float | Literal["auto"] = "auto",
        dt_max: float | Literal["auto"] = "auto",
        dropout: float = 0.1,
        pool: Literal["mean", "last", "max"] = "mean",
        max_epochs: int | Literal["auto"] = "auto",
        batch_size: int = 32,
        lr: float = 1e-2,
        ssm_lr: float = 0.25,
        lr_schedule: Any = "cosine",
        weight_decay: float = 0.01,
        validation_fraction: float | None = None,
        patience: int | None = None,
        n_init: int = 1,
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
        self.dropout = dropout
        self.pool = pool
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.ssm_lr = ssm_lr
        self.lr_schedule = lr_schedule
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.n_init = n_init
        self.device = device
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _fit(self, sequences: list[np.ndarray], y: np.ndarray, n_outputs: int) -> None:
        """Train on sequences (n_i, d) and classes by number, or targets."""
        self._validate_shape_parameters()
        self._require_torch()
        from skdyn.neural._sequence_module import SequenceBatches, SequenceNet

        going_on = self._goes_on and hasattr(self, "mean_")
        if not going_on:
            rows = np.concatenate(sequences)
            self.mean_ = rows.mean(axis=0)
            scale = rows.std(axis=0)
            self.scale_ = np.where(scale > 0, scale, 1.0)
        scaled = self._scaled(sequences)
        train, held = self._split(y)
        n_steps = max(len(each) for each in sequences)
        self.dt_min_, self.dt_max_ = self._steps(n_steps)
        net: dict[str, Any] = {
            "n_layers": self.n_layers,
            "d_model": self.d_model,
            "d_state": self.d_state,
            "init": self.init,
            "disc": self.disc,
            "dt_min": self.dt_min_,
            "dt_max": self.dt_max_,
            "dropout": self.dropout,
            "pool": self.pool,
            "classify": self._classify,
            "ssm_lr": self.ssm_lr,
        }
        n_inputs = scaled[0].shape[1]
        batches = SequenceBatches([scaled[i] for i in train], y[train], self.batch_size)
        error = None
        if held is not None:
            beside = SequenceBatches([scaled[i] for i in held], y[held], 256)

            def error(module: Any) -> float:
                return _mean_loss(module, beside)

        own: dict[str, Any] = {
            "optimizer": "adamw",
            "weight_decay": float(self.weight_decay),
            "gradient_clip": 1.0,
            "check_every": 1,
        }
        if self.max_epochs == "auto":
            least, most = _EPOCHS
            own["max_epochs"] = min(max(-(-_STEPS // batches.n_batches), least), most)
        recipe = self._recipe(len(sequences), **own)
        self._train(
            lambda seed: SequenceNet(n_inputs, n_outputs, rng=seed, **net),
            batches,
            recipe,
            error=error,
        )

    def _validate_shape_parameters(self) -> None:
        if self.d_state % 2:
            raise ValueError(
                f"{type(self).__name__} needs an even d_state, since modes come in "
                f"conjugate pairs, got {self.d_state}. Pass {self.d_state + 1}."
            )
        if self.patience is not None and self.validation_fraction is None:
            raise ValueError(
                f"{type(self).__name__} needs a validation_fraction for patience="
                f"{self.patience} to go by, got None. Set validation_fraction=0.1."
            )

    def _steps(self, n_steps: int) -> tuple[float, float]:
        """The range of Delta, in rows."""
        high = 0.5 if self.dt_max == "auto" else float(self.dt_max)
        low = 1 / max(n_steps, 2) if self.dt_min == "auto" else float(self.dt_min)
        if self.dt_min == "auto":
            low = min(low, high)
        if self.dt_max == "auto":
            high = max(low, high)
        if low > high:
            raise ValueError(
                f"{type(self).__name__} needs dt_min <= dt_max, got {low} and {high}."
            )
        slowest = 2.0 / low
        if self.dt_min != "auto" and slowest > 20 * n_steps:
            warnings.warn(
                f"dt_min={low:g} makes memories of about {slowest:.0f} rows, but the "
                f"longest sequence has {n_steps}: most of the net will not move. "
                f"Raise dt_min to about {1 / n_steps:.2g}.",
                UserWarning,
                stacklevel=4,
            )
        return low, high

    def _split(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Which sequences train, and which are held out."""
        every = np.arange(len(y))
        if self.validation_fraction is None:
            return every, None
        by = y if self._classify and np.bincount(y).min() > 1 else None
        rng = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        kwargs = {"test_size": self.validation_fraction, "random_state": rng}
        try:
            train, held = train_test_split(every, stratify=by, **kwargs)
        except ValueError:
            # Fewer sequences than classes on one side.
            train, held = train_test_split(every, **kwargs)
        return np.sort(train), np.sort(held)

    def _scaled(self, sequences: list[np.ndarray]) -> list[np.ndarray]:
        return [(each - self.mean_) / self.scale_ for each in sequences]

    def _answers(self, X: Any) -> np.ndarray:
        """What the net says of sequences, (n_sequences, n_outputs), float64."""
        check_is_fitted(self, "net_")
        sequences = self._sequences(X, reset=False)
        from skdyn.neural._sequence_module import answers

        return answers(self.net_.module_, self._scaled(sequences))

    def _sequences(self, X: Any, *, reset: bool) -> list[np.ndarray]:
        """The door: sequences (n_i, d) in float64, and the form they came in."""
        X, many = self._formed(X, reset)
        if many:
            data = check_trajectories(
                self, X, reset=reset, needs_last=False, allow_nan=True
            )
            found = [
                np.asarray(data.whole(i), dtype=np.float64) for i in range(len(data))
            ]
        else:
            found = self._rows(X, reset)
        _check_finite(found, X if many else None)
        if reset:
            if many:
                _warn_of_axes(found, isinstance(X, (list, tuple)))
            self._many = many
        return found

    def _rows(self, X: Any, reset: bool) -> list[np.ndarray]:
        """Sequences of one feature, a row of `X` each."""
        try:
            rows = validate_data(
                self,
                X,
                dtype=[np.float64, np.float32],
                reset=reset,
                ensure_all_finite=False,
            )
        except ValueError as error:
            if "is expecting" not in str(error):
                raise
            raise ValueError(
                f"{error} The columns of 2-D data are steps, of which it has as many "
                f"as in fit: fit on X[..., None] for sequences of any length."
            ) from None
        return list(rows.astype(np.float64)[:, :, None])

    def _formed(self, X: Any, reset: bool) -> tuple[Any, bool]:
        """X in a form to be checked further, and whether each sequence is 2-D."""
        who = type(self).__name__
        if _n_dim(X) == 1 and _kind(X) == "O":
            X = list(X)
        n_dim = _n_dim(X)
        if isinstance(X, (list, tuple)):
            if not len(X):
                raise ValueError(
                    f"{who} needs at least one sequence, got an empty "
                    f"{type(X).__name__}, that is 0 sample(s)."
                )
            dims = sorted({_n_dim(each) for each in X})
            if len(dims) > 1 or dims[0] > 2:
                raise ValueError(
                    f"{who} needs a list of 2-D arrays (n_steps, n_features), got a "
                    f"list of arrays of {' and of '.join(map(str, dims))} dimensions. "
                    f"Pass x[:, None] for a series of one feature."
                )
            n_dim = dims[0] + 1
            if n_dim == 2 and (
                len({len(each) for each in X}) > 1 or (not reset and self._many)
            ):
                raise ValueError(
                    f"{who} needs a list of 2-D arrays (n_steps, n_features), got a "
                    f"list of 1-D series. Reshape your data: pass "
                    f"[x[:, None] for x in X] for sequences of one feature."
                )
        if n_dim == 1:
            one = "X[None]" if reset or not self._many else "X[None, :, None]"
            raise ValueError(
                f"{who} needs sequences: an array of shape (n_sequences, n_steps, "
                f"n_features), a list of 2-D arrays, or a 2-D array of sequences of "
                f"one feature, got a 1-D array of {_shape(X)[0]} numbers. Reshape your "
                f"data: {one} is one sequence of one feature."
            )
        if n_dim > 3:
            raise ValueError(
                f"{who} needs an array of shape (n_sequences, n_steps, n_features), "
                f"got dim {n_dim}, of shape {_shape(X)}. Reshape your data: all that "
                f"a step has goes into the last axis."
            )
        if not reset:
            self._check_form(X, n_dim == 3)
        return X, n_dim == 3

    def _check_form(self, X: Any, many: bool) -> None:
        """Raise where data has not the form of ``fit``, and say what would have it."""
        who, d = type(self).__name__, self.n_features_in_
        listed = isinstance(X, (list, tuple))
        shapes = {_shape(each) for each in X} if listed else {_shape(X)[1:]}
        if many and self._many:
            # Of other widths than these, as_trajectories tells.
            if all(width != d and n_steps == d for n_steps, width in shapes):
                swapped = "[x.T for x in X]" if listed else "X.swapaxes(1, 2)"
                width = next(iter(shapes))[1]
                raise ValueError(
                    f"X has {width} features, but {who} is expecting {d} features as "
                    f"input, and it has {d} steps: steps come first, features last. "
                    f"Pass {swapped}."
                )
        elif many:
            fix = "Fit on 3-D data for sequences of several features."
            if all(width == 1 for _, width in shapes):
                fix = f"Pass {'np.stack(X)' if listed else 'X'}[..., 0]."
            raise ValueError(
                f"{who} was fitted on 2-D data, sequences of one feature, got several "
                f"rows of features for each sequence. {fix}"
            )
        elif self._many:
            n_rows, width = _shape(X)
            if width == d:
                fix = f"Pass [X] if it is one sequence of {n_rows} steps."
            elif d == 1:
                fix = "Pass X[..., None] for sequences of one feature."
            else:
                fix = f"Pass a list of arrays of shape (n_steps, {d})."
            raise ValueError(
                f"{who} was fitted on 3-D (or a list of 2-D) data of {d} feature(s), "
                f"got a 2-D array of shape ({n_rows}, {width}). {fix}"
            )


def _shape(X: Any) -> tuple[int, ...]:
    return tuple(X.shape) if hasattr(X, "shape") else np.asarray(X).shape


def _n_dim(X: Any) -> int:
    if isinstance(X, (list, tuple)):
        # Elements may differ in length, so that they are no array.
        return 1 + (_n_dim(X[0]) if len(X) else 0)
    return len(_shape(X))


def _kind(X: Any) -> str | None:
    return getattr(getattr(X, "dtype", None), "kind", None)


def _warn_of_axes(sequences: list[np.ndarray], listed: bool) -> None:
    """Warn where steps and features are likely to be swapped."""
    n_steps, d = max(map(len, sequences)), sequences[0].shape[1]
    if d > n_steps:
        swapped = "[x.T for x in X]" if listed else "X.swapaxes(1, 2)"
        warnings.warn(
            f"Sequences of at most {n_steps} steps have {d} features: steps come "
            f"first, features last. If they are the other way round, pass {swapped}.",
            UserWarning,
            stacklevel=4,
        )


def _check_finite(sequences: list[np.ndarray], members: Any) -> None:
    """Raise at the first NaN or infinity; `members` is None for 2-D data."""
    for i, each in enumerate(sequences):
        bad = ~np.isfinite(each)
        if not bad.any():
            continue
        row, column = np.unravel_index(bad.argmax(), bad.shape)
        value = "NaN" if np.isnan(each[row, column]) else "inf"
        where = f"row {i}, column {row}"
        label = "X"
        if members is not None:
            names = getattr(members[i], "columns", range(each.shape[1]))
            label, where = f"X[{i}]", f"row {row}, column {names[column]!r}"
        raise ValueError(
            f"{label} contains NaN or inf: {value} at {where}. A sequence is read as a "
            f"whole: fill the gap before (df.interpolate()), or drop the sequence and "
            f"its target."
        )


def _mean_loss(module: Any, batches: Any) -> float:
    where = next(module.parameters()).device
    rng = np.random.default_rng(0)
    total, n = 0.0, 0
    for batch in batches.epoch(rng, 0):
        moved = tuple(part.to(where) for part in batch)
        total += float(module.loss(moved, 1.0)) * len(batch[0])
        n += len(batch[0])
    return total / n


class S4DClassifier(ClassifierMixin, _Sequences):
    """Classify whole sequences by a stack of diagonal state-space layers.

    Parameters
    ----------
    n_layers : int, default=2
        Residual blocks, each of a state-space layer and a gate.
    d_model : int, default=32
        Channels H of each layer.
    d_state : int, default=32
        Real states N of each channel, an even number.
    init : {"lin", "inv", "real", "legs", "ptd"}, default="lin"
        The modes before training; see `initial_diagonal`.
    disc : {"zoh", "bilinear"}, default="zoh"
        Discretisation.
    dt_min, dt_max : float or "auto", default="auto"
        Range of the steps Delta before training, in rows. A channel forgets within
        about 2 / Delta rows. "auto" is from one over the number of rows of the longest
        sequence to 0.5: memories from a few rows to the whole sequence.
    dropout : float, default=0.1
        Share of a layer's outputs that are dropped in training.
    pool : {"mean", "last", "max"}, default="mean"
        What is read of the rows: their mean, the last one, or the largest of each
        channel.
    max_epochs : int or "auto", default="auto"
        Times that every sequence is seen. "auto" makes some 1,500 steps, but from 20 to
        100 epochs.
    batch_size : int, default=32
        Sequences of a step.
    lr : float, default=0.01
        Learning rate of AdamW.
    ssm_lr : float, default=0.25
        Learning rate of the state spaces, as a share of `lr`; they are not decayed.
    lr_schedule : {"exponential", "cosine"}, callable or None, default="cosine"
        Factor on the learning rate from epoch to epoch.
    weight_decay : float, default=0.01
        Of everything else.
    validation_fraction : float or None, default=None
        Share of the sequences that is held out; the weights of the epoch with the least
        loss on it are kept. None trains on all and keeps the last weights.
    patience : int or None, default=None
        Epochs without less loss on what is held out after which training ends.
    n_init : int, default=1
        Restarts, of which the best is kept.
    device : str, default="auto"
        Where to train: "auto" takes a GPU where there is one. Answers are given on the
        CPU.
    callbacks : list or None, default=None
        skorch's callbacks, or callables ``(epoch, record)``.
    warm_start : bool, default=False
        Whether a further ``fit`` goes on from the weights of the last.
    verbose : int, default=0
        1 shows a progress bar, 2 a line for each epoch.
    random_state : int, RandomState instance or None, default=0
        Seed of the weights and of the order of sequences.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    mean_, scale_ : ndarray of shape (n_features,)
        What rows are standardised with, over all rows of all sequences.
    dt_min_, dt_max_ : float
        The range of steps.
    net_ : skorch.NeuralNet
        The trained net, on the CPU; ``net_.module_`` is PyTorch's module.
    device_ : str
        Where it was trained.
    history_ : list of dict
        For each epoch its number, ``loss`` and ``lr``, and ``error``, the loss on what
        is held out.
    n_epochs_ : int
        Epochs trained.
    restarts_ : tuple
        Seed, error, best epoch and weights of each restart.
    n_features_in_ : int
        Features of a row; for 2-D data the number of columns, which are steps.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.

    See Also
    --------
    S4DRegressor : The same for numbers.
    HiPPOMemory : Memory without training, before any model.
    skdyn.reservoir.ReservoirFeatures : Features of a random network, pooled.

    Notes
    -----
    Needs PyTorch and skorch: ``pip install 'skdyn[neural]'``.

    References
    ----------
    Gu, Goel, Gupta & Re, "On the parameterization and initialization of diagonal state
    space models", NeurIPS 2022.

    Yu, Nigmetov, Morozov, Mahoney & Erichson, "Robustifying state-space models for long
    sequences via approximate diagonalization", ICLR 2024.

    Examples
    --------
    Which of two waves comes first, of sequences of different lengths:

    >>> import numpy as np
    >>> from skdyn.neural import S4DClassifier
    >>> rng = np.random.default_rng(0)
    >>> fast, slow = (np.sin(w * np.arange(20))[:, None] for w in (1.0, 0.4))
    >>> kinds = np.tile(["fast first", "slow first"], 30)
    >>> X = [
    ...     np.concatenate([fast, slow] if kind == "fast first" else [slow, fast])[
    ...         rng.integers(8) :
    ...     ]
    ...     for kind in kinds
    ... ]
    >>> model = S4DClassifier(n_layers=1, d_model=8, d_state=8)
    >>> float(model.fit(X[:40], kinds[:40]).score(X[40:], kinds[40:]))
    1.0
    """

    _classify = True
    classes_: np.ndarray

    def fit(self, X: Any, y: Any) -> S4DClassifier:
        """Train the net.

        Parameters
        ----------
        X : array-like of shape (n_sequences, n_steps[, n_features]), or list of 2-D
            The sequences. 2-D data are sequences of one feature; a list (or an array
            of objects) has arrays of shape (n_steps_i, n_features), which may differ in
            length.
        y : array-like of shape (n_sequences,)
            The class of each.

        Returns
        -------
        S4DClassifier
            The classifier itself.

        Raises
        ------
        ImportError
            Without PyTorch or skorch.
        ValueError
            If shapes or parameters do not fit, if `X` is not finite, or if there is one
            class only.

        Warns
        -----
        UserWarning
            Where sequences have more features than steps: axes may be swapped.
        """
        self._validate_params()
        sequences = self._sequences(X, reset=True)
        y = _check_labels(y, len(sequences), self._many)
        encoder = LabelEncoder().fit(y)
        if len(encoder.classes_) < 2:
            raise ValueError(
                f"S4DClassifier needs at least 2 classes in y, got one class only: "
                f"{encoder.classes_[0]}. Pass sequences of others, too; in "
                f"cross-validation, stratify the folds."
            )
        if self._goes_on and not np.array_equal(encoder.classes_, self.classes_):
            raise ValueError(
                f"warm_start needs the classes of the last fit, {self.classes_}, got "
                f"{encoder.classes_}. Fit with warm_start=False."
            )
        self.classes_ = encoder.classes_
        self._fit(sequences, encoder.transform(y).astype(np.int64), len(self.classes_))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Give the probabilities of the classes.

        Parameters
        ----------
        X : as in ``fit``
            The sequences.

        Returns
        -------
        ndarray of shape (n_sequences, n_classes)
        """
        scores = self._answers(X)
        scores -= scores.max(axis=1, keepdims=True)
        odds = np.exp(scores)
        return odds / odds.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """Give the likeliest class of each sequence.

        Parameters
        ----------
        X : as in ``fit``
            The sequences.

        Returns
        -------
        ndarray of shape (n_sequences,)
        """
        likeliest = self._answers(X).argmax(axis=1)
        return self.classes_[likeliest]


class S4DRegressor(RegressorMixin, _Sequences):
    """Tell numbers from whole sequences by a stack of diagonal state-space layers.

    Parameters
    ----------
    n_layers, d_model, d_state, init, disc, dt_min, dt_max, dropout, pool
        The net; as in `S4DClassifier`.
    max_epochs, batch_size, lr, ssm_lr, lr_schedule, weight_decay, \
validation_fraction, patience, n_init, device, callbacks, warm_start, verbose, \
random_state
        Its training; as in `S4DClassifier`. The loss is the mean squared error of
        standardised targets.

    Attributes
    ----------
    mean_, scale_ : ndarray of shape (n_features,)
        What rows are standardised with, over all rows of all sequences.
    y_mean_, y_scale_ : ndarray of shape (n_outputs,)
        What targets are standardised with.
    dt_min_, dt_max_ : float
        The range of steps.
    net_, device_, history_, n_epochs_, restarts_
        As of `S4DClassifier`.
    n_features_in_ : int
        Features of a row; for 2-D data the number of columns, which are steps.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.

    See Also
    --------
    S4DClassifier : The same for classes.
    HiPPOMemory : Memory without training, before any model.

    Notes
    -----
    Needs PyTorch and skorch: ``pip install 'skdyn[neural]'``.

    References
    ----------
    Gu, Goel, Gupta & Re, "On the parameterization and initialization of diagonal state
    space models", NeurIPS 2022.

    Examples
    --------
    How far apart two pulses are:

    >>> import numpy as np
    >>> from skdyn.neural import S4DRegressor
    >>> rng = np.random.default_rng(0)
    >>> first, apart = rng.integers(0, 8, 200), rng.integers(2, 16, 200)
    >>> X = np.zeros((200, 24))
    >>> X[np.arange(200), first] = X[np.arange(200), first + apart] = 1
    >>> model = S4DRegressor(n_layers=1, d_model=16, d_state=16)
    >>> bool(model.fit(X[:150], apart[:150]).score(X[150:], apart[150:]) > 0.9)
    True
    """

    _classify = False

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any) -> S4DRegressor:
        """Train the net.

        Parameters
        ----------
        X : array-like of shape (n_sequences, n_steps[, n_features]), or list of 2-D
            The sequences. 2-D data are sequences of one feature; a list (or an array
            of objects) has arrays of shape (n_steps_i, n_features), which may differ in
            length.
        y : array-like of shape (n_sequences,) or (n_sequences, n_outputs)
            The targets of each.

        Returns
        -------
        S4DRegressor
            The regressor itself.

        Raises
        ------
        ImportError
            Without PyTorch or skorch.
        ValueError
            If shapes or parameters do not fit, or if `X` or `y` is not finite.

        Warns
        -----
        UserWarning
            Where sequences have more features than steps: axes may be swapped.
        """
        self._validate_params()
        sequences = self._sequences(X, reset=True)
        targets = _check_targets(y, len(sequences), self._many)
        self._flat = targets.ndim == 1
        targets = targets.reshape(len(targets), -1)
        if not self._goes_on or not hasattr(self, "y_mean_"):
            self.y_mean_ = targets.mean(axis=0)
            scale = targets.std(axis=0)
            self.y_scale_ = np.where(scale > 0, scale, 1.0)
        scaled = ((targets - self.y_mean_) / self.y_scale_).astype(np.float32)
        self._fit(sequences, scaled, targets.shape[1])
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Give the targets of each sequence.

        Parameters
        ----------
        X : as in ``fit``
            The sequences.

        Returns
        -------
        ndarray of shape (n_sequences,) or (n_sequences, n_outputs)
        """
        answers = self._answers(X)
        made = self.y_mean_ + self.y_scale_ * answers
        return made[:, 0] if self._flat else made


def _check_labels(y: Any, n: int, many: bool) -> np.ndarray:
    if y is None:
        raise ValueError(
            "S4DClassifier requires y to be passed, but the target y is None."
        )
    labels = column_or_1d(y, warn=True)
    check_classification_targets(labels)
    _check_count(len(labels), n, many)
    return labels


def _check_targets(y: Any, n: int, many: bool) -> np.ndarray:
    if y is None:
        raise ValueError(
            "S4DRegressor requires y to be passed, but the target y is None."
        )
    if np.asarray(y).dtype.kind in "US":
        raise ValueError(
            "S4DRegressor needs targets that are numbers, got text. Use S4DClassifier "
            "for classes."
        )
    targets = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    _check_count(len(targets), n, many)
    return targets


def _check_count(got: int, n: int, many: bool) -> None:
    if got != n:
        hint = "" if many else " In 2-D data each row is a sequence: [X] is one."
        raise ValueError(
            f"y needs a target for each of {n} sequences, got {got}: inconsistent "
            f"numbers of samples.{hint}"
        )

"""The forecasting protocol: what every skdyn estimator is and how a forecast travels.

* `Horizon` is a forecast request: how many steps, after which context, under which
  inputs, and the way back through the transformers that it has passed.
* `ForecasterMixin` gives a model ``predict``, ``forecast`` and ``score`` around three
  bare, batched functions that the model writes: ``_begin``, ``_step`` and, where a
  closed form or a fused loop is faster, ``_rollout``.
* `TransformMixin` gives a transformer every accepted form of data, DataFrame output
  and the passage of a Horizon.
* `ForecastInterval` is the one form that uncertainty takes.
"""

from __future__ import annotations

import numbers
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from skdyn.exceptions import DivergenceWarning
from skdyn.utils._sklearn import create_frame, is_pandas, output_container
from skdyn.utils._trajectories import (
    Pieces,
    Trajectories,
    as_trajectories,
    check_future_inputs,
    check_inputs,
    check_trajectories,
    is_scalar,
    mark_lost,
    mark_origin,
    windows,
)
from skdyn.utils._warn import caller_level

__all__ = [
    "ForecastInterval",
    "ForecasterMixin",
    "Horizon",
    "TransformMixin",
    "check_coverage",
    "interval_of",
    "interval_request",
    "min_context",
]


@dataclass(frozen=True, eq=False, repr=False)
class Horizon:
    """A forecast request, as it travels through a Pipeline to the model.

    Parameters
    ----------
    n_steps : int
        The number of rows to forecast, at least 1.
    context : array-like or list of array-likes, default=None
        The rows after whose end the forecast starts, in the form of `X`. None means the
        trajectories that the model was fitted on.
    u : array-like or list of array-likes, default=None
        Inputs, for models that were fitted with inputs: `n_steps` rows, of which the
        first acts on the last row of the context, or ``len(context) - 1 + n_steps``
        rows that include the inputs of the context.
    way_back : tuple, default=()
        The transformers that the request has passed, each with the context that it
        was handed. `through` fills it and `restore` follows it.

    Examples
    --------
    >>> from skdyn.base import Horizon
    >>> Horizon(50)
    Horizon(50)
    >>> Horizon(0)
    Traceback (most recent call last):
        ...
    ValueError: A horizon needs a positive whole number of steps, got 0. ...
    """

    n_steps: int
    context: Any = None
    u: Any = None
    way_back: tuple[tuple[Any, Any], ...] = ()

    def __post_init__(self) -> None:
        n = self.n_steps
        whole = isinstance(n, numbers.Integral) and not isinstance(n, (bool, np.bool_))
        if not whole or n < 1:
            got = repr(n) if is_scalar(n) else type(n).__name__
            raise ValueError(
                f"A horizon needs a positive whole number of steps, got {got}. Pass "
                f"predict(50) for the 50 rows after the end, or 2-D data for one step "
                f"ahead of each row."
            )
        object.__setattr__(self, "n_steps", int(n))

    def __repr__(self) -> str:
        parts = [str(self.n_steps)]
        for name in ("context", "u"):
            value = getattr(self, name)
            if value is not None:
                shape = getattr(value, "shape", None)
                listed = isinstance(value, (list, tuple))
                about = f"{len(value)} members" if listed else type(value).__name__
                about = f"shape {shape}" if shape else about
                parts.append(f"{name}=<{about}>")
        if self.way_back:
            steps = " > ".join(type(step).__name__ for step, _ in self.way_back)
            parts.append(f"through {steps}")
        return f"Horizon({', '.join(parts)})"

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError(
            "A Horizon (a forecast request) reached a step that expected an array: a "
            "transformer that is not skdyn's cannot pass it on. Build the pipeline "
            "with skdyn.pipeline.make_pipeline, or wrap the step in "
            "skdyn.preprocessing.RowWise."
        )

    def through(self, step: Any) -> Horizon:
        """Pass the request through a fitted transformer.

        Parameters
        ----------
        step : transformer
            Its ``transform`` is applied to the context; its ``inverse_forecast`` or
            ``inverse_transform`` is noted for the way back.

        Returns
        -------
        Horizon
        """
        context = None if self.context is None else step.transform(self.context)
        return replace(
            self, context=context, way_back=(*self.way_back, (step, self.context))
        )

    def restore(self, forecast: Any) -> Any:
        """Bring a forecast back to the units that the request started from."""
        for step, context in reversed(self.way_back):
            if hasattr(step, "inverse_forecast"):
                forecast = step.inverse_forecast(forecast, context)
            else:
                forecast = step.inverse_transform(forecast)
        return forecast


def as_horizon(request: Any) -> Horizon | None:
    """Return the Horizon that a number or a Horizon stands for; None for data."""
    if isinstance(request, Horizon):
        return request
    if not is_scalar(request):
        return None
    return Horizon(request.item() if isinstance(request, np.ndarray) else request)


@dataclass(frozen=True, eq=False)
class ForecastInterval:
    """A forecast with its uncertainty.

    Attributes
    ----------
    mean : ndarray of shape (n_steps, n_features)
        The central forecast (with a leading axis, or a list, for several
        trajectories).
    lower, upper : ndarray, of the shape of `mean`
        The ends of the interval, feature by feature and step by step.
    samples : ndarray of shape (n_samples, n_steps, n_features) or None
        Forecasts drawn from the predictive distribution, where there are any.
    """

    mean: Any
    lower: Any
    upper: Any
    samples: Any = None

    def __post_init__(self) -> None:
        shapes = [np.shape(each) for each in (self.mean, self.lower, self.upper)]
        if isinstance(self.mean, np.ndarray) and len(set(shapes)) > 1:
            raise ValueError(
                f"mean, lower and upper need one shape, got {shapes[0]}, {shapes[1]} "
                f"and {shapes[2]}."
            )

    def __repr__(self) -> str:
        several = isinstance(self.mean, list)
        about = f"{len(self.mean)} trajectories" if several else np.shape(self.mean)
        drawn = "no samples" if self.samples is None else "with samples"
        return f"ForecastInterval({about}, {drawn})"


def check_coverage(coverage: Any) -> None:
    """Raise ValueError unless `coverage` is a number between 0 and 1."""
    if not (isinstance(coverage, numbers.Real) and 0 < float(coverage) < 1):
        raise ValueError(
            f"coverage needs to be between 0 and 1, got {coverage!r}. Pass 0.9 for 90%."
        )


def interval_request(n_steps: Any, context: Any, u: Any) -> Horizon:
    """The Horizon that ``forecast_interval`` is asked for, and where it came through.

    A Pipeline hands its own in place of the number of steps.
    """
    if not isinstance(n_steps, Horizon):
        asked = as_horizon(n_steps)
        n_steps = n_steps if asked is None else asked.n_steps
        return Horizon(n_steps, context=context, u=u)
    if context is not None or u is not None:
        raise ValueError(
            "A Horizon has the context and the inputs of its own, got context or u "
            "beside it. Pass Horizon(n_steps, context=..., u=...)."
        )
    return n_steps


def interval_of(
    samples: np.ndarray,
    coverage: float,
    horizon: Horizon,
    starts: Trajectories,
    *,
    who: str,
    mean: Any = None,
    lost_beyond: bool = False,
) -> ForecastInterval:
    """The interval that samples make, in the units that the request started from.

    Samples are brought back one by one, before anything is made of them: the inverse
    of a transformer need not be linear, and may need the past.

    Parameters
    ----------
    samples : ndarray of shape (n_samples, n_starts, n_steps, n_features)
        Forecasts in the model's units, NaN from where they diverged.
    coverage : float
        Share of the samples between the ends, at each step and in each feature.
    horizon : Horizon
        The request.
    starts : Trajectories
        What it continues: the interval has their form.
    who : str
        The model, for the warning where an inverse overflows.
    mean : ndarray or list, default=None
        The model's own forecast, in that form. None is the mean of the samples.
    lost_beyond : bool, default=False
        Whether a sample that diverged lies beyond both ends, which are then infinite
        where more are lost than the coverage leaves out. Else they are NaN there.
    """
    if horizon.way_back:
        # Of the model's own forecast `restored` tells.
        warn = mean is None and not np.isnan(samples).any()
        with np.errstate(all="ignore"):
            back = [horizon.restore(starts.join(each)) for each in samples]
        samples = np.stack([_batch(rows) for rows in back])
        flat = samples.reshape(-1, *samples.shape[2:])
        _end_where_diverged(flat, who, warn=warn, what="sample(s)")
    tail = (1 - coverage) / 2
    if lost_beyond:
        lost = np.isnan(samples)
        below = np.where(lost, -np.inf, samples)
        above = np.where(lost, np.inf, samples)
        # Not between two samples, of which one may be infinite.
        lower = np.quantile(below, tail, axis=0, method="lower")
        upper = np.quantile(above, 1 - tail, axis=0, method="higher")
    else:
        with np.errstate(all="ignore"):
            lower, upper = np.quantile(samples, [tail, 1 - tail], axis=0)
    if mean is None:
        with np.errstate(all="ignore"):
            mean = starts.join(samples.mean(axis=0))
    else:
        mean = restored(mean, horizon, who)
    with np.errstate(all="ignore"):
        lower, upper, samples = (
            each.astype(starts.dtype, copy=False) for each in (lower, upper, samples)
        )
    in_array = starts.form == "array"
    drawn = samples if in_array else starts.join(samples.swapaxes(0, 1))
    return ForecastInterval(mean, starts.join(lower), starts.join(upper), drawn)


def restored(rows: Any, horizon: Horizon, who: str) -> Any:
    """Rows in the units that a request started from, NaN where they overflow there."""
    if not horizon.way_back:
        return rows
    said = bool(np.isnan(_batch(rows)).any())
    with np.errstate(all="ignore"):
        rows = horizon.restore(rows)
    # An inverse such as exp may overflow where the model did not.
    for each in rows if isinstance(rows, list) else [rows]:
        _end_where_diverged(_batch(each), who, warn=not said)
    return rows


def _batch(rows: Any) -> np.ndarray:
    """Forecasts in any form as one array (batch, n_steps, n_features)."""
    if isinstance(rows, list):
        return np.stack(rows)
    return rows if rows.ndim == 3 else rows[None]


def min_context(estimator: Any) -> int:
    """Rows of history that a forecast of a fitted estimator needs.

    Parameters
    ----------
    estimator : estimator
        A forecaster, a transformer (rows in for one row out), a Pipeline of these or a
        search over one. What does not say is taken to work row by row.

    Returns
    -------
    int

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from skdyn.base import min_context
    >>> from skdyn.koopman import DMD
    >>> from skdyn.preprocessing import DelayEmbedding
    >>> X = np.sin(0.1 * np.arange(100))[:, None]
    >>> min_context(make_pipeline(DelayEmbedding(8), DMD()).fit(X))
    8
    """
    if hasattr(estimator, "best_estimator_"):
        return min_context(estimator.best_estimator_)
    if hasattr(estimator, "steps"):
        return 1 + sum(min_context(step) - 1 for _, step in estimator.steps)
    return int(getattr(estimator, "min_context_", 1))


def one_step_r2(estimator: Any, X: Any, u: Any, allow_complex: bool) -> float:
    """R² of `estimator`'s one-step predictions of `X`, all rows pooled."""
    least = min_context(estimator)
    data = as_trajectories(
        X,
        allow_complex=allow_complex,
        allow_nan=getattr(estimator, "_allow_nan", False),
        min_rows=least,
        why_min_rows=f"{type(estimator).__name__} starts from these; pass more rows.",
        needs_last=False,
    )
    predicted = estimator.predict(X) if u is None else estimator.predict(X, u=u)
    # Rows in the form of X, cut as its pieces were (a gap in time costs its context).
    forms = [predicted] if data.form == "single" else predicted
    guesses, truths = [], []
    for rows, group in zip(forms, data.groups(data.pieces), strict=True):
        ends = np.cumsum([len(piece) - least + 1 for piece in group])
        for part, piece in zip(np.split(rows, ends[:-1]), group, strict=True):
            guesses.append(part[:-1])
            truths.append(piece[least:])
    truth, guess = np.concatenate(truths), np.concatenate(guesses)
    if getattr(estimator, "_allow_nan", False):
        # What is missing cannot be scored.
        seen = ~np.isnan(truth).any(axis=1)
        truth, guess = truth[seen], guess[seen]
    if len(truth) < 2:
        raise ValueError(
            f"R² needs at least 2 rows to predict, each after {least} row(s) of "
            f"context, got {len(truth)}. Pass longer trajectories, of at least "
            f"{least + 2} rows."
        )
    if truth.dtype.kind == "c" or guess.dtype.kind == "c":
        truth = np.hstack([truth.real, truth.imag])
        guess = np.hstack([guess.real, guess.imag])
    if not np.isfinite(guess).all():
        # What diverges within one step is as bad as can be; ``predict`` has warned.
        return -np.inf
    return float(r2_score(truth, guess))


class ForecasterMixin:
    """Everything that a forecaster has beside its ``fit``.

    A model subclasses ``ForecasterMixin, BaseEstimator`` and writes

    * ``fit``, which begins with ``self._check_fit(X, u)`` and ends with
      ``self._remember(trajectories, u)``;
    * ``_begin(contexts, u) -> state``, from arrays (batch, n_rows, n_features) and the
      inputs of all context rows but the last, or None, to a flat array
      (batch, n_state);
    * ``_step(state, u) -> (state, y)``, one row further for the whole batch, where `u`
      is (batch, n_inputs) or None;
    * ``min_context_``, unless it is 1;
    * ``_rollout(state, n_steps, u) -> Y`` of shape (batch, n_steps, n_features) where
      a closed form or a fused loop is faster than repeated steps.

    State is a value and never an attribute, so that a forecast is pure. Everything is
    batched over trajectories.
    """

    # Inputs reach every stage of a Pipeline or search when routing is enabled. A stock
    # Pipeline's score always offers sample_weight, which must be known to be unused.
    __metadata_request__predict = {"u": True}
    __metadata_request__score = {"u": True, "sample_weight": None}

    min_context_: int = 1
    # Whether complex trajectories are accepted, and whether all rows of a context
    # matter (a reservoir's memory) rather than the last `min_context_` only.
    _allow_complex = False
    _uses_whole_context = False
    # Whether NaN marks missing entries of rows; may be a property of a parameter.
    _allow_nan: bool = False
    # What such a model, with the parameter off, tells who has NaN.
    _nan_remedy = ""
    # Set in fit by models of complex data, whose forecasts are then complex.
    _is_complex = False

    n_features_in_: int
    n_inputs_: int
    context_: Trajectories

    def predict(self, X: Any, *, u: Any = None) -> Any:
        """Forecast: further rows for an int, one step ahead for data.

        Parameters
        ----------
        X : int, array-like of shape (n_samples, n_features), list of these, or Horizon
            An int asks for that many rows after the end of each training trajectory.
            Data asks for the row after each of its rows, given the rows before. A
            `Horizon` asks for rows after the end of a context of its own.
        u : array-like or list of array-likes, default=None
            Inputs, for models fitted with inputs. With data: one row for each row of
            `X`. With an int or a Horizon: see `Horizon`.

        Returns
        -------
        ndarray, or list of ndarrays
            In the form of the data: 2-D for one trajectory, a list for a list, 3-D for
            3-D. For an int or a Horizon, `n_steps` rows for each trajectory. For data
            of n rows, ``n - min_context_ + 1`` rows, aligned with its end.

        Raises
        ------
        ValueError
            For a horizon that is no positive integer, and for data that is too short,
            of another width, not finite, or without its inputs.

        Warns
        -----
        DivergenceWarning
            When a forecast leaves the range of floating-point numbers. The rows from
            there on are NaN.
        """
        check_is_fitted(self)
        horizon = as_horizon(X)
        if horizon is not None:
            if u is not None:
                if horizon.u is not None:
                    raise ValueError(
                        "Inputs are needed once, got u both in the Horizon and in "
                        "predict. Drop one of them."
                    )
                horizon = replace(horizon, u=u)
            return restored(self._forecast(horizon), horizon, type(self).__name__)
        trajectories = self._check_context(X, needs_last=False)
        inputs = self._check_inputs_given(u)
        if inputs is not None:
            inputs = check_inputs(
                u, trajectories, who=type(self).__name__, n_inputs=self.n_inputs_
            )
        return trajectories.join(self._one_step(trajectories, inputs))

    def forecast(self, n_steps: int, context: Any = None, u: Any = None) -> Any:
        """Forecast the rows after the end of a context.

        Parameters
        ----------
        n_steps : int
            The number of rows, at least 1.
        context : array-like or list of array-likes, default=None
            The rows to continue, at least ``min_context_`` of them. None continues the
            trajectories of ``fit``.
        u : array-like or list of array-likes, default=None
            Inputs, for models fitted with inputs: `n_steps` rows for each trajectory,
            the first acting on the last row of the context, or
            ``len(context) - 1 + n_steps`` rows.

        Returns
        -------
        ndarray of shape (n_steps, n_features), or list of these, or 3-D array
            In the form of the context.
        """
        return self.predict(Horizon(n_steps, context=context, u=u))

    def set_params(self, **params: Any) -> Any:
        """Set parameters, those of parts as ``part__parameter``.

        Parameters
        ----------
        **params : dict
            Parameters and their values.

        Returns
        -------
        self : estimator
            The estimator itself.

        Raises
        ------
        ValueError
            For parameters that do not exist, and for those of a part that is None.
        """
        for key in params:
            part, nested, name = key.partition("__")
            if nested and part not in params and getattr(self, part, params) is None:
                raise ValueError(
                    f"{key} needs a {part} that has the parameter {name!r}, got "
                    f"{type(self).__name__}({part}=None). Pass the {part} itself, such "
                    f"as the one that the documentation says None stands for."
                )
        return super().set_params(**params)  # type: ignore[misc]

    def score(self, X: Any, y: Any = None, *, u: Any = None) -> float:
        """R² of one-step-ahead predictions, all rows pooled.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Data to predict one step ahead.
        y : ignored
            For scikit-learn's signature.
        u : array-like or list of array-likes, default=None
            Inputs, for models fitted with inputs: one row for each row of `X`.

        Returns
        -------
        float
            1 is perfect; 0 is as good as each feature's mean; averaged over features.
            Minus infinity where a prediction is no number: within one step it diverged,
            which is as bad as can be. See `skdyn.model_selection.forecast_scorer` for
            scores of whole forecasts.
        """
        check_is_fitted(self)
        return one_step_r2(self, X, u, self._allow_complex)

    # -- what a model's fit calls ------------------------------------------------------

    def _check_fit(
        self, X: Any, u: Any = None, *, min_rows: int = 2, reset: bool = True
    ) -> tuple[Trajectories, Pieces | None]:
        """Validate parameters, data and inputs; set ``n_features_in_``, ``n_inputs_``.

        `min_rows` is the least that a trajectory must have: a context and a row.
        """
        who = type(self).__name__
        if hasattr(self, "_parameter_constraints"):
            self._validate_params()  # type: ignore[attr-defined]
        trajectories = check_trajectories(
            self,
            X,
            reset=reset,
            allow_complex=self._allow_complex,
            allow_nan=self._allow_nan,
            nan_remedy=self._nan_remedy,
            min_rows=min_rows,
            why_min_rows=(
                f"{who} learns from rows and their successors, within one trajectory; "
                f"pass longer trajectories."
            ),
        )
        width = None if reset else self.n_inputs_
        if u is None:
            if not reset:
                self._check_inputs_given(None)
            self.n_inputs_ = 0
            return trajectories, None
        if width == 0:
            self._check_inputs_given(u)
        inputs = check_inputs(u, trajectories, who=who, n_inputs=width)
        self.n_inputs_ = int(inputs[0].shape[1])
        return trajectories, inputs

    def _remember(
        self, trajectories: Trajectories, u: Pieces | None = None, n_rows: int = 0
    ) -> None:
        """Keep the last rows of each training trajectory, where predict(h) starts."""
        n_rows = n_rows or self.min_context_
        self.context_ = trajectories.tails(n_rows)
        self._past_inputs: np.ndarray | list[np.ndarray] | None = None
        if u is not None:
            ends = replace(trajectories, pieces=u).last_pieces().pieces
            self._past_inputs = [
                rows[max(len(rows) - n_rows, 0) : -1].copy() for rows in ends
            ]

    # -- the bare inside ---------------------------------------------------------------

    def _begin(self, contexts: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        raise NotImplementedError(
            f"{type(self).__name__} needs _begin(contexts, u) -> state, from contexts "
            f"(batch, n_rows, n_features) to a flat state (batch, n_state)."
        )

    def _step(
        self, state: np.ndarray, u: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError(
            f"{type(self).__name__} needs _step(state, u) -> (state, y): one row."
        )

    def _rollout(
        self, state: np.ndarray, n_steps: int, u: np.ndarray | None
    ) -> np.ndarray:
        rows = []
        for k in range(n_steps):
            state, y = self._step(state, None if u is None else u[:, k])
            rows.append(y)
        return np.stack(rows, axis=1)

    def _check_context(self, X: Any, needs_last: bool = True) -> Trajectories:
        return check_trajectories(
            self,
            X,
            reset=False,
            needs_last=needs_last,
            allow_complex=self._allow_complex,
            allow_nan=self._allow_nan,
            nan_remedy=self._nan_remedy,
            min_rows=self.min_context_,
            why_min_rows=(
                f"A forecast of {type(self).__name__} starts from "
                f"{self.min_context_} row(s) of the past; pass a longer context."
            ),
        )

    def _check_inputs_given(self, u: Any) -> Any:
        """Raise where inputs are missing, or given to a model that has none."""
        who = type(self).__name__
        if u is None and self.n_inputs_:
            raise ValueError(
                f"{who} was fitted with {self.n_inputs_} input(s): needed u, got none. "
                f"Pass u=... to predict, forecast or score, and to a search "
                f"predict(Horizon(n_steps, u=...)). Searches and cross-validation hand "
                f"u to scorers only after "
                f"sklearn.set_config(enable_metadata_routing=True)."
            )
        if u is not None and not self.n_inputs_:
            raise ValueError(
                f"{who} was fitted without inputs, got u. Drop u, or fit a model that "
                f"takes inputs, such as skdyn.koopman.DMDc, with fit(X, u=u)."
            )
        return u

    def _forecast(self, horizon: Horizon) -> Any:
        return self._forecast_from(*self._resolved(horizon), horizon.n_steps)

    def _resolved(self, horizon: Horizon) -> tuple[Trajectories, Any, Any]:
        """Where a forecast starts: trajectories, and inputs before and after their end.

        Inputs are None, or for each trajectory those of all rows but the last, and an
        array (batch, n_steps, n_inputs).
        """
        starts = self._continued(horizon.context)
        past, future = None, None
        if self._check_inputs_given(horizon.u) is not None:
            past, future = check_future_inputs(
                horizon.u,
                starts,
                horizon.n_steps,
                who=type(self).__name__,
                n_inputs=self.n_inputs_,
                past_allowed=horizon.context is not None,
            )
        if horizon.context is None:
            past = self._past_inputs
        return starts, past, future

    def _continued(self, context: Any) -> Trajectories:
        """What a forecast continues: the ends of a context, or of the training data."""
        if context is None:
            return self.context_
        return self._check_context(context).last_pieces()

    def _forecast_from(
        self, starts: Trajectories, past: Any, future: Any, n_steps: int
    ) -> Any:
        """Rows after what `_resolved` gives, in the form of the trajectories."""
        states = self._begin_all(starts.pieces, past)
        with np.errstate(all="ignore"):
            rows = self._rollout(states, n_steps, future)
        return starts.join(self._finish(rows, starts.dtype))

    def _finish(
        self, rows: np.ndarray, dtype: np.dtype, what: str = "start(s)"
    ) -> np.ndarray:
        """Rows (batch, n_steps, d) in the context's type, NaN where they diverged."""
        with np.errstate(all="ignore"):
            rows = np.ascontiguousarray(rows, dtype=self._forecast_dtype(dtype))
        _end_where_diverged(rows, type(self).__name__, what=what)
        return rows

    def _forecast_dtype(self, dtype: np.dtype) -> np.dtype:
        """The context's own type, complex where the model is."""
        if self._is_complex and dtype.kind != "c":
            return np.result_type(dtype, np.complex64)
        return dtype

    def _begin_all(self, pieces: Pieces, past: Any) -> np.ndarray:
        """States after the ends of all contexts, those of one length in one call."""
        if not self._uses_whole_context:
            least = self.min_context_
            if isinstance(pieces, np.ndarray):
                contexts = pieces[:, -least:]
            else:
                contexts = np.stack([piece[-least:] for piece in pieces])
            if past is not None:
                past = np.stack([rows[len(rows) - least + 1 :] for rows in past])
            return self._begin(contexts, past)
        lengths = [len(piece) for piece in pieces]
        states: np.ndarray | None = None
        for n in sorted(set(lengths)):
            members = [i for i, length in enumerate(lengths) if length == n]
            some = self._begin(
                np.stack([pieces[i] for i in members]),
                None if past is None else np.stack([past[i] for i in members]),
            )
            if states is None:
                states = np.empty((len(lengths), *some.shape[1:]), some.dtype)
            states[members] = some
        assert states is not None
        return states

    def _one_step(self, trajectories: Trajectories, u: Pieces | None) -> Pieces:
        """The row after each row that has enough history, all in one batch."""
        least = self.min_context_
        contexts = _windows(trajectories.pieces, least)
        past = now = None
        if u is not None:
            inputs = _windows(u, least)
            past, now = inputs[:, :-1], inputs[:, -1]
        with np.errstate(all="ignore"):
            _, rows = self._step(self._begin(contexts, past), now)
        rows = self._finish(rows[:, None], trajectories.dtype)[:, 0]
        if isinstance(trajectories.pieces, np.ndarray):
            return rows.reshape(len(trajectories.pieces), -1, rows.shape[1])
        ends = np.cumsum([n - least + 1 for n in trajectories.lengths])
        return np.split(rows, ends[:-1])


def _windows(pieces: Pieces, n_rows: int) -> np.ndarray:
    """All runs of `n_rows` rows within the pieces, as one array (n, n_rows, d)."""
    if n_rows == 1 and isinstance(pieces, np.ndarray):
        return pieces.reshape(-1, 1, pieces.shape[2])
    views = [windows(piece, n_rows) for piece in pieces]
    return views[0] if len(views) == 1 else np.concatenate(views)


def _end_where_diverged(
    rows: np.ndarray, who: str, warn: bool = True, what: str = "start(s)"
) -> None:
    """Set rows (batch, n_steps, d) to NaN from the first not finite, and warn."""
    with np.errstate(all="ignore"):
        if np.isfinite(rows.sum()):
            return
    bad = ~np.isfinite(rows).all(axis=2)
    hit = bad.any(axis=1)
    if not hit.any():
        return
    rows[np.maximum.accumulate(bad, axis=1)] = np.nan
    if not warn:
        return
    first = int(bad[hit].argmax(axis=1).min()) + 1
    warnings.warn(
        f"The forecast of {who} left the range of floating-point numbers at step "
        f"{first}, for {int(hit.sum())} of {len(rows)} {what}; rows from there on "
        f"are NaN. The fitted dynamics is unstable: forecast fewer steps, regularise, "
        f"or lower the rank or degree of the model.",
        DivergenceWarning,
        stacklevel=caller_level(),
    )


class _PlainTransform:
    """``transform`` and ``fit_transform`` that scikit-learn does not wrap.

    scikit-learn wraps what stands in the ``__dict__`` of a subclass of
    TransformerMixin, and the wrapper turns a Horizon or a list into a DataFrame under
    ``set_output``. These stand in the ``__dict__`` of a class that is none.
    """

    min_context_: int = 1
    _allow_complex = False

    if TYPE_CHECKING:
        # Declared, not defined: set_output looks whether the subclass has the names.
        def fit(self, X: Any, y: Any = None) -> Any: ...
        def get_feature_names_out(self, input_features: Any = None) -> Any: ...

    def transform(self, X: Any) -> Any:
        """Transform each trajectory, or pass a forecast request on.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), list of these, int or Horizon
            The data, in any accepted form, or a forecast request.

        Returns
        -------
        ndarray, DataFrame, list of these, or Horizon
            In the form of `X`. A DataFrame whose time index has gaps comes out as a
            DataFrame, so that the gaps are still seen.
        """
        check_is_fitted(self)
        horizon = as_horizon(X)
        if horizon is not None:
            return horizon.through(self)
        least = self.min_context_
        trajectories = check_trajectories(
            self,
            X,
            reset=False,
            allow_complex=self._allow_complex,
            min_rows=least,
            why_min_rows=(
                f"{type(self).__name__} makes one row out of {least}; pass more rows, "
                f"or lower its parameters."
            ),
        )
        if isinstance(trajectories.pieces, np.ndarray):
            outputs: Pieces = self._transform(trajectories.pieces)
        else:
            outputs = [self._transform(piece) for piece in trajectories.pieces]
        return self._wrap(trajectories, outputs, X)

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Fit, then transform the same data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            The data, in any accepted form.
        y : ignored
            For scikit-learn's signature.
        **fit_params : dict
            Passed to ``fit``.

        Returns
        -------
        ndarray, DataFrame, or list of these
            In the form of `X`.
        """
        fitted = self.fit(X, y, **fit_params)
        return fitted.transform(X)

    def _check_fit(self, X: Any, **kwargs: Any) -> Trajectories:
        """Validate parameters and data; set ``n_features_in_`` and the names."""
        if hasattr(self, "_parameter_constraints"):
            self._validate_params()  # type: ignore[attr-defined]
        return check_trajectories(
            self, X, reset=True, allow_complex=self._allow_complex, **kwargs
        )

    def _wrap(self, trajectories: Trajectories, outputs: Pieces, X: Any) -> Any:
        """Give outputs the form of the input, a DataFrame's index, and the notes."""
        container, names = output_container(self), self.get_feature_names_out()
        cut = trajectories.spans is not None
        if cut and container == "default":
            # Columns by number, since without gaps there are no names either.
            container, names = "pandas", list(range(len(names)))
        if cut and container != "pandas":
            raise ValueError(
                f"A {container} DataFrame cannot carry the gaps in the time index of "
                f"the data. Use set_output(transform='pandas'), or pass the stretches "
                f"between the gaps as a list."
            )
        if container == "default" and isinstance(outputs, np.ndarray):
            return mark_lost(outputs, trajectories.origin(0)[0] - outputs.shape[1])
        if container == "default" or trajectories.form == "array":
            return trajectories.join(
                [
                    mark_lost(rows, trajectories.origin(i)[0] - len(rows))
                    for i, rows in enumerate(outputs)
                ]
            )
        members = [X] if trajectories.form == "single" else X
        frames = []
        for i, (member, group) in enumerate(
            zip(members, trajectories.groups(outputs), strict=True)
        ):
            index = None
            if is_pandas(member):
                kept = [
                    np.arange(stop - len(rows), stop)
                    for (_, stop), rows in zip(trajectories.runs(i), group, strict=True)
                ]
                index = member.index[np.concatenate(kept)]
            values = np.concatenate(group) if len(group) > 1 else group[0]
            frame = create_frame(container, values, names, index)
            if container == "pandas":
                mark_origin(
                    frame, [len(rows) for rows in group], trajectories.origin(i)
                )
            frames.append(frame)
        return frames[0] if trajectories.form == "single" else frames

    def inverse_transform(self, X: Any) -> Any:
        """Bring transformed rows back, one row for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_outputs), list of these, or 3-D array
            Transformed rows; NaN passes through.

        Returns
        -------
        ndarray, or list of ndarrays
            In the form of `X`.

        Raises
        ------
        ValueError
            If the number of columns is not what ``transform`` gives.
        """
        check_is_fitted(self)
        data = as_trajectories(X, allow_complex=self._allow_complex, allow_nan=True)
        if data.n_features != self._n_features_out:
            raise ValueError(
                f"inverse_transform of {type(self).__name__} needs the "
                f"{self._n_features_out} columns that transform gives, got "
                f"{data.n_features}."
            )
        if isinstance(data.pieces, np.ndarray):
            return self._inverse(data.pieces)
        return data.join([self._inverse(piece) for piece in data.pieces])

    @property
    def _n_features_out(self) -> int:
        return len(self.get_feature_names_out())

    def _transform(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _inverse(self, y: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class TransformMixin(_PlainTransform, TransformerMixin):
    """Everything that a transformer has beside its ``fit``.

    A transformer subclasses ``TransformMixin, BaseEstimator`` and writes ``fit``, which
    begins with ``self._check_fit(X)``, ``get_feature_names_out``, ``_transform(x)`` on
    arrays (..., n_samples, n_features) and ``_inverse(y)`` on arrays
    (..., n_rows, n_outputs), one row out for each row in.
    Where the inverse needs the past (differencing), it writes
    ``inverse_forecast(Y, context)`` beside, with `context` None for the training data.
    """

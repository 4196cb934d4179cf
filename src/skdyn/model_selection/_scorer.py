"""Scores of whole forecasts, for scikit-learn's searches and cross-validation."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any, Literal

import numpy as np
from sklearn.utils.metadata_routing import MetadataRequest

from skdyn.base import Horizon, min_context
from skdyn.metrics import (
    cumulative_max_error,
    forecast_scale,
    nrmse,
    smape,
    valid_prediction_time,
)
from skdyn.utils._trajectories import (
    Pieces,
    as_trajectories,
    check_inputs,
    windows,
)

__all__ = ["ForecastScorer", "forecast_scorer"]

# name: (function of truth, forecast and scale; whether greater is better)
_METRICS: dict[str, tuple[Callable[..., Any], bool]] = {
    "nrmse": (lambda y, p, scale: nrmse(y, p, scale=scale), False),
    "smape": (lambda y, p, scale: smape(y, p), False),
    "vpt": (lambda y, p, scale: valid_prediction_time(y, p, scale=scale), True),
    "cme": (lambda y, p, scale: cumulative_max_error(y, p, scale=scale), True),
}


class ForecastScorer:
    """A scorer of whole forecasts; build it with `forecast_scorer`.

    Called as ``scorer(estimator, X, y=None, *, u=None)``, it returns one number, the
    greater the better, so errors come negated, as with scikit-learn's scorers.
    `windows` returns the score of each window.
    """

    def __init__(
        self,
        metric: str | Callable[..., Any],
        horizon: int,
        *,
        context: int | None = None,
        stride: int | None = None,
        n_origins: int | None = None,
        aggregate: Literal["mean", "median"] = "mean",
    ) -> None:
        if not callable(metric) and metric not in _METRICS:
            raise ValueError(
                f"A forecast metric needs to be one of {sorted(_METRICS)} or a "
                f"function, got {metric!r}."
            )
        if aggregate not in ("mean", "median"):
            raise ValueError(f"aggregate needs 'mean' or 'median', got {aggregate!r}.")
        Horizon(horizon)
        whole = {"context": context, "stride": stride, "n_origins": n_origins}
        for name, value in whole.items():
            if value is not None and (
                not isinstance(value, Integral) or isinstance(value, bool) or value < 1
            ):
                raise ValueError(
                    f"{name} needs a positive whole number or None, got {value!r}."
                )
        if context is None and (stride is not None or n_origins is not None):
            raise ValueError(
                "Several origins need a context of fixed length: pass context=..., the "
                "largest min_context_ of all candidates."
            )
        self.metric = metric
        self.horizon = horizon
        self.context = context
        self.stride = stride
        self.n_origins = n_origins
        self.aggregate = aggregate

    def __call__(
        self, estimator: Any, X: Any, y: Any = None, *, u: Any = None
    ) -> float:
        """Score a fitted forecaster, Pipeline or search on test trajectories.

        Parameters
        ----------
        estimator : forecaster, Pipeline or search
            Fitted.
        X : array-like of shape (n_samples, n_features), or list of these
            Test trajectories.
        y : ignored
            For scikit-learn's signature.
        u : array-like or list of array-likes, default=None
            Inputs, for models fitted with inputs.

        Returns
        -------
        float
            The greater the better.
        """
        values = self.windows(estimator, X, u=u)
        value = np.mean(values) if self.aggregate == "mean" else np.median(values)
        return float(value)

    def windows(self, estimator: Any, X: Any, *, u: Any = None) -> np.ndarray:
        """Score of each forecast window, the greater the better.

        Parameters
        ----------
        estimator, X, u
            As in a call of the scorer.

        Returns
        -------
        ndarray of shape (n_windows,)
        """
        contexts, truth, inputs, scale = self._cut(X, u)
        least, shortest = min_context(estimator), min(map(len, contexts))
        if shortest < least:
            raise ValueError(
                f"The model forecasts from {least} row(s) of context, but the windows "
                f"have {shortest}. Raise `context` of the RollingOriginSplit, or of "
                f"the forecast_scorer where it has one, to at least {least}."
            )
        if isinstance(contexts, np.ndarray):
            forecast = estimator.predict(Horizon(self.horizon, contexts, inputs))
        else:
            forecast = np.stack(
                estimator.predict(Horizon(self.horizon, contexts, inputs))
            )
        if callable(self.metric):
            return np.asarray(self.metric(truth, forecast))
        function, greater_is_better = _METRICS[self.metric]
        values = function(truth, forecast, scale)
        return values if greater_is_better else -values

    def censored(self, estimator: Any, X: Any, *, u: Any = None) -> float:
        """Fraction of windows that the forecast outlived, for the metric "vpt".

        Parameters
        ----------
        estimator, X, u
            As in a call of the scorer.

        Returns
        -------
        float
            Where it is large, the valid prediction time is a lower bound only: lengthen
            the horizon.
        """
        if self.metric != "vpt":
            raise ValueError(f"Only 'vpt' is censored, not {self.metric!r}.")
        return float(np.mean(self.windows(estimator, X, u=u) == self.horizon))

    def _cut(
        self, X: Any, u: Any
    ) -> tuple[np.ndarray | list[np.ndarray], np.ndarray, Any, float]:
        """Contexts, truth, inputs, and the scale of the whole test fold."""
        lead = self.context or 1
        data = as_trajectories(
            X,
            allow_complex=True,
            min_rows=lead + self.horizon,
            why_min_rows=(
                f"A window has {lead} rows of context and {self.horizon} of horizon; "
                f"pass longer test trajectories, or lower context or horizon."
            ),
            needs_last=False,
        )
        scale = forecast_scale(data.rows())
        inputs = None if u is None else check_inputs(u, data, who=repr(self))
        if self.context is None:
            ends = [len(piece) - self.horizon for piece in data.pieces]
            contexts: Any = [p[:end] for p, end in zip(data.pieces, ends, strict=True)]
            truth = np.stack(
                [p[end:] for p, end in zip(data.pieces, ends, strict=True)]
            )
            if inputs is not None:
                inputs = [rows[:-1] for rows in inputs]
            if len(set(ends)) == 1:
                # Equal windows travel as one array.
                contexts = np.stack(contexts)
                inputs = None if inputs is None else np.stack(inputs)
            return contexts, truth, inputs, scale
        cut = self._windows(data.pieces, lead + self.horizon)
        future = None
        if inputs is not None:
            # The last row of inputs acts after the last row of truth.
            future = self._windows(inputs, lead + self.horizon)[:, :-1]
        return cut[:, :lead], cut[:, lead:], future, scale

    def _windows(self, pieces: Pieces, length: int) -> np.ndarray:
        """Windows of all pieces, (n_windows, length, d); the origins are the data's."""
        stride = self.stride or self.horizon
        cut = []
        for piece in pieces:
            view = windows(piece, length)
            if self.n_origins is None:
                # Counted from the end, so that the last row is always forecast.
                picked = np.arange(len(view) - 1, -1, -stride)[::-1]
            elif self.stride is not None:
                picked = np.arange(len(view) - 1, -1, -stride)[: self.n_origins][::-1]
            else:
                n = min(self.n_origins, len(view))
                picked = np.unique(np.linspace(0, len(view) - 1, n).round().astype(int))
            cut.append(view[picked])
        return cut[0] if len(cut) == 1 else np.concatenate(cut)

    def get_metadata_routing(self) -> MetadataRequest:
        """Ask for inputs `u`, so that searches hand them over where routing is on."""
        request = MetadataRequest(owner=self)
        request.score.add_request(param="u", alias=True)
        return request

    def __repr__(self) -> str:
        return (
            f"forecast_scorer({self.metric!r}, horizon={self.horizon}, "
            f"context={self.context}, stride={self.stride}, "
            f"n_origins={self.n_origins}, aggregate={self.aggregate!r})"
        )


def forecast_scorer(
    metric: str | Callable[..., Any],
    horizon: int,
    *,
    context: int | None = None,
    stride: int | None = None,
    n_origins: int | None = None,
    aggregate: Literal["mean", "median"] = "mean",
) -> ForecastScorer:
    """Make a scorer of whole forecasts for ``scoring=`` of scikit-learn's tools.

    Each test trajectory is cut into windows of `context` rows and the `horizon` rows
    after them; one batched forecast answers for all; the metric compares it with the
    truth, in the units of the data. Origins and contexts depend on the data only, so
    that every candidate of a search is asked the same; one that needs a longer context
    raises, and the search's ``error_score`` takes over.

    Parameters
    ----------
    metric : {"nrmse", "smape", "vpt", "cme"} or callable
        What to compare by: see `skdyn.metrics`. Errors come negated. "cme" is the
        recommended objective. "vpt" is in steps. A function takes truth and forecast
        of shape (n_windows, horizon, n_features) and returns a score for each window,
        the greater the better.
    horizon : int
        Rows to forecast from each origin.
    context : int, default=None
        Rows of context of each window. None makes one window of each test trajectory,
        with all rows before the last `horizon` as context, which is what the folds of
        `RollingOriginSplit` are made for.
    stride : int, default=None
        Rows between origins, counted back from the last; None takes `horizon`.
    n_origins : int, default=None
        Number of origins in each trajectory: the last ones at the given `stride`, or
        spread evenly where there is none. None takes as many as fit.
    aggregate : {"mean", "median"}, default="mean"
        How the windows' scores become one.

    Returns
    -------
    ForecastScorer
        Picklable, called as ``scorer(estimator, X, y=None, *, u=None)``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import cross_val_score
    >>> from skdyn.koopman import DMD
    >>> from skdyn.model_selection import RollingOriginSplit, forecast_scorer
    >>> X = 0.9 ** np.arange(60)[:, None]
    >>> cv = RollingOriginSplit(n_splits=3, horizon=5)
    >>> scores = cross_val_score(DMD(), X, cv=cv, scoring=forecast_scorer("cme", 5))
    >>> scores.round(6)
    array([1., 1., 1.])
    """
    return ForecastScorer(
        metric,
        horizon,
        context=context,
        stride=stride,
        n_origins=n_origins,
        aggregate=aggregate,
    )

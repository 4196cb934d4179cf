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
    d_hellinger,
    d_stsp,
    forecast_scale,
    mase,
    mase_scale,
    mmd,
    nrmse,
    smape,
    valid_prediction_time,
)
from skdyn.utils._trajectories import (
    Pieces,
    Trajectories,
    as_trajectories,
    check_inputs,
    windows,
)

__all__ = ["ForecastScorer", "forecast_scorer"]


def _scale(fold: Trajectories) -> float:
    return forecast_scale(fold.rows())


def _each(
    distance: Callable[..., float], truth: Any, forecast: Any, **kwargs: Any
) -> np.ndarray:
    """A distance between two runs, window by window."""
    pairs = zip(truth, forecast, strict=True)
    return np.array([distance(y, p, **kwargs) for y, p in pairs])


# name: (function of truth, forecast and the test fold; whether greater is better)
_METRICS: dict[str, tuple[Callable[[Any, Any, Trajectories], Any], bool]] = {
    "nrmse": (lambda y, p, fold: nrmse(y, p, scale=_scale(fold)), False),
    "smape": (lambda y, p, fold: smape(y, p), False),
    "mase": (lambda y, p, fold: mase(y, p, scale=mase_scale(list(fold.pieces))), False),
    "vpt": (lambda y, p, fold: valid_prediction_time(y, p, scale=_scale(fold)), True),
    "cme": (lambda y, p, fold: cumulative_max_error(y, p, scale=_scale(fold)), True),
    "d_stsp": (lambda y, p, fold: _each(d_stsp, y, p, reference=fold.rows()), False),
    "d_hellinger": (lambda y, p, fold: _each(d_hellinger, y, p), False),
    "mmd": (lambda y, p, fold: _each(mmd, y, p, reference=fold.rows()), False),
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
        contexts, truth, inputs, fold = self._cut(X, u)
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
        values = function(truth, forecast, fold)
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
    ) -> tuple[np.ndarray | list[np.ndarray], np.ndarray, Any, Trajectories]:
        """Contexts, truth, inputs, and the whole test fold."""
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
            return contexts, truth, inputs, data
        cut = self._windows(data.pieces, lead + self.horizon)
        future = None
        if inputs is not None:
            # The last row of inputs acts after the last row of truth.
            future = self._windows(inputs, lead + self.horizon)[:, :-1]
        return cut[:, :lead], cut[:, lead:], future, data

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
    metric : str or callable
        What to compare by: a name from the table in the Notes, of which "cme" is the
        recommended objective. A function takes truth and forecast of shape (n_windows,
        horizon, n_features) and returns a score for each window, the greater the
        better.
    horizon : int
        Rows to forecast from each origin. For "d_stsp", "d_hellinger" and "mmd" it is
        the length of the free run: thousands of rows.
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

    Notes
    -----
    Errors come negated. Their scale is that of the whole test fold, so that it does not
    depend on the window. A forecast that is not finite gets the worst value.

    =============  =======================================  ======================
    metric         scale, from the whole test fold          score, worst to best
    =============  =======================================  ======================
    "cme"          spread of the rows (`forecast_scale`)    0 to 1
    "nrmse"        spread of the rows                       -10 to 0, clipped
    "vpt"          spread of the rows; threshold 0.4        0 to horizon, in steps
    "smape"        none                                     -200 to 0
    "mase"         mean size of a step (`mase_scale`)       -1000 to 0, clipped
    "d_stsp"       box of the histogram                     about -20 to 0
    "d_hellinger"  none: its own variance on either side    -1 to 0
    "mmd"          standard deviations, kernel's bandwidth  -2 to 0
    =============  =======================================  ======================

    The last three compare each free run with the truth of the same window as sets of
    rows, or as signals; their pages in `skdyn.metrics` say which run lengths they need.
    Above 5 features "d_stsp" is the estimate by mixtures, from -1000.

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

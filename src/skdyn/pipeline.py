"""Pipelines that forecast in original units through any invertible transformer.

`Pipeline` extends scikit-learn's of the same name by one idea: a step that is not
skdyn's works row by row, so it is run inside `skdyn.preprocessing.RowWise`, which lets
it take lists of trajectories and lets a forecast request pass. A stock
``sklearn.pipeline.Pipeline`` of skdyn's own transformers forecasts as well; its
``score`` and one-step ``predict(X)`` are in the units of the last step, those here in
the units of the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sklearn import get_config
from sklearn import pipeline as _stock
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skdyn.base import (
    ForecasterMixin,
    ForecastInterval,
    Horizon,
    TransformMixin,
    as_horizon,
    interval_request,
    min_context,
    one_step_r2,
)
from skdyn.preprocessing._rowwise import RowWise, check_way_back
from skdyn.utils._trajectories import (
    as_trajectories,
    check_inputs,
    check_trajectories,
    windows,
)

__all__ = ["Pipeline", "make_pipeline"]


def _ends_in_forecaster(pipeline: Pipeline) -> bool:
    return _is_forecaster(pipeline._final_estimator)


def _ends_in_transformer(pipeline: Pipeline) -> bool:
    final = pipeline._final_estimator
    return final == "passthrough" or hasattr(final, "transform")


def _ends_in_predictor(pipeline: Pipeline) -> bool:
    return hasattr(pipeline._final_estimator, "predict")


def _ends_in_scorer(pipeline: Pipeline) -> bool:
    return hasattr(pipeline._final_estimator, "score")


def _ends_in_intervals(pipeline: Pipeline) -> bool:
    final: Any = pipeline._final_estimator
    # Of a search: what it has found, or what it searches over.
    final = getattr(final, "best_estimator_", getattr(final, "estimator", final))
    # A model that has none says why.
    return final.forecast_interval is not None


def _is_forecaster(step: Any) -> bool:
    if hasattr(step, "estimator"):
        # A search forecasts if what it searches over does.
        return _is_forecaster(step.estimator)
    if isinstance(step, Pipeline):
        return _is_forecaster(step.steps[-1][1])
    return isinstance(step, ForecasterMixin)


def _is_native(step: Any) -> bool:
    """Tell whether a step takes trajectories and forecast requests by itself."""
    return isinstance(step, (TransformMixin, Pipeline))


class Pipeline(_stock.Pipeline):
    """A sequence of transformers before a forecaster, in the units of the data.

    Any scikit-learn transformer with an ``inverse_transform`` can be a step: it is
    fitted on the rows of all trajectories together and applied to each. Parameters are
    those of ``sklearn.pipeline.Pipeline``.

    Parameters
    ----------
    steps : list of (str, estimator) tuples
        Names and transformers, the last a forecaster (or a transformer).
    transform_input : list of str, default=None
        See ``sklearn.pipeline.Pipeline``.
    memory : str or joblib.Memory, default=None
        Where to cache fitted transformers.
    verbose : bool, default=False
        Whether to print the time that each step took.

    Attributes
    ----------
    named_steps : Bunch
        The steps by name.
    min_context_ : int
        Rows of history that a forecast needs, all steps composed.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skdyn.koopman import DMD
    >>> from skdyn.pipeline import make_pipeline
    >>> from skdyn.preprocessing import DelayEmbedding
    >>> t = 0.1 * np.arange(200)
    >>> X = np.column_stack([np.sin(t), 5 + np.cos(2 * t)])
    >>> pipe = make_pipeline(StandardScaler(), DelayEmbedding(5), DMD()).fit(X)
    >>> forecast = pipe.predict(20)
    >>> s = 0.1 * np.arange(200, 220)
    >>> truth = np.column_stack([np.sin(s), 5 + np.cos(2 * s)])
    >>> bool(np.abs(forecast - truth).max() < 1e-9)
    True
    """

    steps: list[tuple[str, Any]]

    def fit(self, X: Any, y: Any = None, *, u: Any = None, **params: Any) -> Pipeline:
        """Fit all transformers in turn, then the forecaster.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories.
        y : ignored by forecasters
            For scikit-learn's signature.
        u : array-like or list of array-likes, default=None
            Inputs, one row for each row of `X`, handed to every step whose ``fit``
            takes them. Works with metadata routing on and off.
        **params : dict
            Further parameters of the steps, as in ``sklearn.pipeline.Pipeline``.

        Returns
        -------
        Pipeline
            The pipeline itself, fitted.

        Raises
        ------
        TypeError
            If a step has no way back for a forecast, naming it.
        ValueError
            If `u` is given and no step takes inputs.
        """
        inner = self._fit_inner("fit", X, y, u, params)[0]
        self._take_fitted(inner)
        return self

    @available_if(_ends_in_transformer)
    def fit_transform(
        self, X: Any, y: Any = None, *, u: Any = None, **params: Any
    ) -> Any:
        """Fit all transformers and transform the same data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories.
        y : ignored by skdyn's transformers
            For scikit-learn's signature.
        u : array-like or list of array-likes, default=None
            Inputs, for steps that take them.
        **params : dict
            Further parameters of the steps.

        Returns
        -------
        ndarray, or list of ndarrays
            In the form of `X`.
        """
        inner, Xt = self._fit_inner("fit_transform", X, y, u, params)
        self._take_fitted(inner)
        return Xt

    def _fit_inner(
        self, method: str, X: Any, y: Any, u: Any, params: dict
    ) -> tuple[_stock.Pipeline, Any]:
        """Fit a stock Pipeline of the same steps with the foreign ones wrapped."""
        self._validate_steps()
        if u is not None:
            # The steps see data that is shortened, and could not tell.
            self._check_inputs(X, u)
        last = len(self.steps) - 1
        wrapped = []
        for i, (name, step) in enumerate(self.steps):
            if step is None or step == "passthrough" or _is_native(step):
                if i < last and _is_native(step):
                    check_way_back(step, name)
                wrapped.append((name, step))
            elif i == last and not hasattr(step, "transform"):
                _check_not_stock(step, name)
                wrapped.append((name, step))
            else:
                _check_foreign(step, name)
                wrapped.append((name, _wrap(step)))
        inner = _stock.Pipeline(
            wrapped,
            transform_input=self.transform_input,
            memory=self.memory,
            verbose=self.verbose,
        )
        if u is not None:
            params = {**params, **self._inputs_for_steps(u)}
        return inner, getattr(inner, method)(X, y, **params)

    def _check_inputs(self, X: Any, u: Any) -> None:
        data = as_trajectories(X, allow_complex=True, allow_nan=True)
        check_inputs(u, data, who=type(self).__name__)

    def _inputs_for_steps(self, u: Any) -> dict:
        takers = [
            name
            for name, step in self.steps
            if step not in (None, "passthrough")
            and get_routing_for_object(step).consumes("fit", ["u"])
        ]
        if not takers:
            raise ValueError(
                f"Inputs u were given, but no step of the pipeline takes inputs in "
                f"fit: {[name for name, _ in self.steps]}. Drop u, or end in a model "
                f"with inputs, such as skdyn.koopman.DMDc."
            )
        if get_config()["enable_metadata_routing"]:
            return {"u": u}
        return {f"{name}__u": u for name in takers}

    def _take_fitted(self, inner: _stock.Pipeline) -> None:
        fitted = []
        for (name, step), (_, own) in zip(inner.steps, self.steps, strict=True):
            unwrap = isinstance(step, RowWise) and not isinstance(own, RowWise)
            fitted.append((name, step.transformer_ if unwrap else step))
        self.steps = fitted
        self._fitted_steps = inner.steps

    def _native_steps(self, with_final: bool = False) -> Iterator[Any]:
        """The fitted steps, the foreign ones wrapped."""
        steps = self._current_steps()
        steps = steps if with_final else steps[:-1]
        return (step for step in steps if step not in (None, "passthrough"))

    def _current_steps(self) -> list[Any]:
        """The fitted steps; where one was replaced since, the one that stands there."""
        check_is_fitted(self)
        current = []
        for (_, step), (_, fitted) in zip(self.steps, self._fitted_steps, strict=True):
            same = step is fitted or step is getattr(fitted, "transformer_", None)
            current.append(fitted if same else step)
        return current

    def set_output(self, *, transform: Any = None) -> Pipeline:
        """Set what ``transform`` gives, for all steps.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None
            The container; None leaves it.

        Returns
        -------
        Pipeline
            The pipeline itself.
        """
        super().set_output(transform=transform)
        for _, step in getattr(self, "_fitted_steps", []):
            if isinstance(step, RowWise):
                step.set_output(transform=transform)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_fitted_steps")

    def __getitem__(self, ind: Any) -> Any:
        """Return a sub-pipeline for a slice, one step for an index or a name."""
        part = super().__getitem__(ind)
        if isinstance(ind, slice) and hasattr(self, "_fitted_steps"):
            part._fitted_steps = self._fitted_steps[ind]
        return part

    @property
    def min_context_(self) -> int:
        """Rows of history that a forecast needs, or rows in for one row out."""
        return 1 + sum(min_context(step) - 1 for step in self._native_steps(True))

    @property
    def _allow_complex(self) -> bool:
        return all(
            getattr(step, "_allow_complex", False) for step in self._native_steps(True)
        )

    @available_if(_ends_in_transformer)
    def transform(self, X: Any) -> Any:
        """Transform trajectories, or pass a forecast request on.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), list of these, int or Horizon
            The data, or a forecast request.

        Returns
        -------
        ndarray, DataFrame, list of these, or Horizon
            In the form of `X`.
        """
        for step in self._native_steps(with_final=True):
            X = step.transform(X)
        return X

    @available_if(_ends_in_transformer)
    def inverse_transform(self, X: Any) -> Any:
        """Bring transformed rows back, one row for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_outputs), list of these, or 3-D array
            Transformed rows.

        Returns
        -------
        ndarray, or list of ndarrays
            In the form of `X`.
        """
        for step in reversed(list(self._native_steps(with_final=True))):
            X = step.inverse_transform(X)
        return X

    @available_if(_ends_in_predictor)
    def predict(self, X: Any, *, u: Any = None, **params: Any) -> Any:
        """Forecast, in the units of the data.

        Parameters
        ----------
        X : int, array-like of shape (n_samples, n_features), list of these, or Horizon
            What to forecast: see `skdyn.base.ForecasterMixin.predict`.
        u : array-like or list of array-likes, default=None
            Inputs, for models fitted with inputs.
        **params : dict
            Further parameters of the last step's ``predict``.

        Returns
        -------
        ndarray, or list of ndarrays
            Rows in the form of the data.
        """
        final = self._fitted_final()
        if u is not None:
            params = {**params, "u": u}
        Xt: Any = X
        horizon = as_horizon(X)
        if horizon is not None:
            if u is not None and horizon.u is None:
                horizon = replace(horizon, u=params.pop("u"))
            Xt = horizon
            if _is_forecaster(final):
                self._check_history(horizon)
        elif u is not None:
            self._check_inputs(X, u)
        if horizon is None and _is_forecaster(final) and self._inverse_needs_past():
            return self._one_step_by_windows(X, u)
        for step in self._native_steps():
            Xt = step.transform(Xt)
        rows = final.predict(Xt, **params)
        if horizon is None and _is_forecaster(final):
            for step in reversed(list(self._native_steps())):
                rows = step.inverse_transform(rows)
        return rows

    @available_if(_ends_in_forecaster)
    def forecast(self, n_steps: int, context: Any = None, u: Any = None) -> Any:
        """Forecast the rows after the end of a context, in the units of the data.

        Parameters
        ----------
        n_steps : int
            The number of rows, at least 1.
        context : array-like or list of array-likes, default=None
            The rows to continue, at least ``min_context_`` of them. None continues the
            trajectories of ``fit``.
        u : array-like or list of array-likes, default=None
            Inputs, for models fitted with inputs: see `skdyn.base.Horizon`.

        Returns
        -------
        ndarray of shape (n_steps, n_features), or list of these, or 3-D array
            In the form of the context.
        """
        return self.predict(Horizon(n_steps, context=context, u=u))

    @available_if(_ends_in_intervals)
    def forecast_interval(
        self,
        n_steps: int | Horizon,
        coverage: float = 0.9,
        context: Any = None,
        u: Any = None,
        **params: Any,
    ) -> ForecastInterval:
        """A forecast with its uncertainty, in the units of the data.

        Samples of the forecaster are brought back through the steps, and the interval
        is that of what they then are. So it is right for steps whose inverse is not
        linear, or adds the past.

        Parameters
        ----------
        n_steps : int or Horizon
            The number of rows, at least 1, or a request with a context of its own.
        coverage : float, default=0.9
            Share within the interval: see the forecaster.
        context : array-like or list of array-likes, default=None
            The rows to continue, at least ``min_context_`` of them. None continues the
            trajectories of ``fit``.
        u : array-like or list of array-likes, default=None
            Inputs, for models fitted with inputs: see `skdyn.base.Horizon`.
        **params : dict
            Further parameters of the forecaster's ``forecast_interval``.

        Returns
        -------
        ForecastInterval
            In the form of the context.
        """
        horizon = interval_request(n_steps, context, u)
        final = self._fitted_final()
        self._check_history(horizon)
        for step in self._native_steps():
            horizon = step.transform(horizon)
        return final.forecast_interval(horizon, coverage, **params)

    def _check_history(self, horizon: Horizon) -> None:
        """Raise where a context is too short for all steps together.

        Each of them would ask for its own rows only.
        """
        if horizon.context is None:
            return
        as_trajectories(
            horizon.context,
            allow_complex=self._allow_complex,
            min_rows=self.min_context_,
            why_min_rows=(
                f"A forecast of this Pipeline starts from {self.min_context_} "
                f"row(s) of the past; pass a longer context."
            ),
        )

    @available_if(_ends_in_scorer)
    def score(self, X: Any, y: Any = None, *, u: Any = None, **params: Any) -> float:
        """R² of one-step-ahead predictions, in the units of the data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Data to predict one step ahead.
        y : ignored by forecasters
            For scikit-learn's signature.
        u : array-like or list of array-likes, default=None
            Inputs, for models fitted with inputs.
        **params : dict
            Further parameters of the last step's ``score``, where it is no forecaster.

        Returns
        -------
        float
        """
        final = self._fitted_final()
        if _is_forecaster(final):
            return one_step_r2(self, X, u, self._allow_complex)
        for step in self._native_steps():
            X = step.transform(X)
        return float(final.score(X, y, **params))

    def _fitted_final(self) -> Any:
        final = self._current_steps()[-1]
        # What a search has found takes inputs; the search's own predict does not.
        return (
            getattr(final, "best_estimator_", final) if _is_forecaster(final) else final
        )

    def _inverse_needs_past(self) -> bool:
        return any(_needs_past(step) for step in self._native_steps())

    def _one_step_by_windows(self, X: Any, u: Any) -> Any:
        """One-step predictions where a way back needs the rows before each row."""
        least = self.min_context_
        # With the names of columns, which the first step was fitted with.
        data = check_trajectories(
            next(self._native_steps()),
            X,
            reset=False,
            allow_complex=self._allow_complex,
            min_rows=least,
        )
        # Cut as the data is, where its time index has gaps.
        inputs = None if u is None else check_inputs(u, data, who=type(self).__name__)
        rows = []
        for i, piece in enumerate(data.pieces):
            past = None if inputs is None else windows(inputs[i], least)
            forecast = self.forecast(1, context=windows(piece, least), u=past)
            rows.append(forecast[:, 0])
        return data.join(rows)


def _needs_past(step: Any) -> bool:
    if isinstance(step, Pipeline):
        return any(_needs_past(each) for each in step._native_steps(with_final=True))
    return hasattr(step, "inverse_forecast")


def _wrap(step: Any) -> RowWise:
    wrapped = RowWise(step)
    config = getattr(step, "_sklearn_output_config", {})
    return wrapped.set_output(transform=config.get("transform"))


def _check_foreign(step: Any, name: str) -> None:
    check_way_back(step, name)
    _check_not_stock(step, name)


def _check_not_stock(step: Any, name: str) -> None:
    if hasattr(step, "estimator"):
        _check_not_stock(step.estimator, name)
    nested = [] if isinstance(step, Pipeline) else getattr(step, "steps", [])
    if any(isinstance(each, (TransformMixin, ForecasterMixin)) for _, each in nested):
        raise TypeError(
            f"Step {name!r} is a stock scikit-learn Pipeline of skdyn's estimators, "
            f"which works in other units than the data's. Build it with "
            f"skdyn.pipeline.make_pipeline, or put its steps in this pipeline."
        )


def make_pipeline(
    *steps: Any, memory: Any = None, transform_input: Any = None, verbose: bool = False
) -> Pipeline:
    """Build a `Pipeline` and name its steps by their types.

    Parameters
    ----------
    *steps : estimators
        Transformers, the last a forecaster.
    memory : str or joblib.Memory, default=None
        Where to cache fitted transformers.
    transform_input : list of str, default=None
        See ``sklearn.pipeline.Pipeline``.
    verbose : bool, default=False
        Whether to print the time that each step took.

    Returns
    -------
    Pipeline

    Examples
    --------
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skdyn.baselines import Persistence
    >>> from skdyn.pipeline import make_pipeline
    >>> list(make_pipeline(StandardScaler(), Persistence()).named_steps)
    ['standardscaler', 'persistence']
    """
    stock = _stock.make_pipeline(*steps)
    return Pipeline(
        stock.steps, transform_input=transform_input, memory=memory, verbose=verbose
    )

"""Any scikit-learn transformer that works row by row, inside a forecasting pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.feature_selection import SelectorMixin
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import check_is_fitted

from skdyn.base import TransformMixin
from skdyn.utils._sklearn import (
    HasMethods,
    create_frame,
    frame_library,
)

__all__ = ["RowWise"]


class RowWise(TransformMixin, BaseEstimator):
    """Let a scikit-learn transformer work on trajectories and pass forecasts back.

    The transformer is fitted on the rows of all trajectories together and applied to
    each trajectory. ``skdyn.pipeline.Pipeline`` wraps foreign steps in it unasked; in a
    stock ``sklearn.pipeline.Pipeline``, write it yourself.

    Parameters
    ----------
    transformer : transformer
        It has ``transform`` and ``inverse_transform``, and gives one dense row for each
        row: StandardScaler, PCA, QuantileTransformer, FunctionTransformer with
        ``inverse_func``.

    Attributes
    ----------
    transformer_ : transformer
        The fitted clone.
    min_context_ : int
        Rows in for one row out: 1.
    n_features_in_ : int
        Number of features in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skdyn.koopman import DMD
    >>> from skdyn.preprocessing import RowWise
    >>> X = 100 * 0.9 ** np.arange(20)[:, None]
    >>> make_pipeline(RowWise(StandardScaler(with_mean=False)), DMD()).fit(X).predict(1)
    array([[12.15766546]])
    """

    _parameter_constraints: dict = {"transformer": [HasMethods(["fit", "transform"])]}

    def __init__(self, transformer: Any) -> None:
        self.transformer = transformer

    def fit(self, X: Any, y: Any = None, **params: Any) -> RowWise:
        """Fit the transformer on all rows together.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories.
        y : ignored
            For scikit-learn's signature.
        **params : dict
            Passed to the transformer's ``fit``; what goes with rows goes with all rows
            of all trajectories, one below the other.

        Returns
        -------
        RowWise
            The transformer itself.

        Raises
        ------
        TypeError
            If the transformer has no way back.
        """
        self._validate_params()
        check_way_back(self.transformer)
        trajectories = self._check_fit(X)
        first = X[0] if trajectories.form == "list" else X
        self._container = frame_library(first)
        rows = self._named(trajectories.rows())
        self.transformer_ = clone(self.transformer).fit(rows, **params)
        width = self._apply(trajectories.pieces[0][:1]).shape[1]
        try:
            names = self.transformer_.get_feature_names_out(self._input_names())
        except AttributeError:
            # It has no names, or a step inside it has none.
            prefix = type(self.transformer_).__name__.lower()
            names = [f"{prefix}{j}" for j in range(width)]
        self._names = np.asarray(names, dtype=object)
        return self

    def get_metadata_routing(self) -> Any:
        """Ask for what the transformer asks for.

        Returns
        -------
        MetadataRequest or MetadataRouter
        """
        return get_routing_for_object(self.transformer)

    def _input_names(self) -> Any:
        if hasattr(self, "feature_names_in_"):
            return self.feature_names_in_
        return [f"x{j}" for j in range(self.n_features_in_)]

    def _apply(self, rows: np.ndarray) -> np.ndarray:
        out = self.transformer_.transform(self._named(rows))
        if hasattr(out, "toarray"):
            raise TypeError(
                f"RowWise needs a transformer with dense output, got a sparse matrix "
                f"from {type(self.transformer_).__name__}. Set sparse_output=False."
            )
        return np.asarray(out)

    def _named(self, rows: np.ndarray) -> Any:
        """Rows as the transformer saw them in fit: with names if it had them.

        They are a copy, since some transformers can be told to write into their input.
        """
        rows = rows.copy()
        if self._container is None or not hasattr(self, "feature_names_in_"):
            return rows
        return create_frame(self._container, rows, self.feature_names_in_)

    def _transform(self, x: np.ndarray) -> np.ndarray:
        rows = self._apply(x.reshape(-1, x.shape[-1]))
        return rows.reshape(*x.shape[:-1], rows.shape[1])

    def _inverse(self, y: np.ndarray) -> np.ndarray:
        rows = y.reshape(-1, y.shape[-1])
        finite = np.isfinite(rows).all(axis=1)
        back = np.full((len(rows), self.n_features_in_), np.nan, dtype=rows.dtype)
        if finite.any():
            # The rows after a divergence are NaN, which few transformers accept.
            back[finite] = np.asarray(self.transformer_.inverse_transform(rows[finite]))
        return back.reshape(*y.shape[:-1], self.n_features_in_)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns, as the transformer gives them.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the features; None takes those of ``fit``.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self)
        if input_features is None or not hasattr(
            self.transformer_, "get_feature_names_out"
        ):
            return self._names
        names = self.transformer_.get_feature_names_out(input_features)
        return np.asarray(names, dtype=object)


def check_way_back(transformer: Any, name: str | None = None) -> None:
    """Raise TypeError, naming the step, unless forecasts can come back through it."""
    for part, each in getattr(transformer, "steps", []):
        if each is not None and each != "passthrough":
            check_way_back(each, f"{name}: {part}" if name else part)
    kind = type(transformer).__name__
    step = f"Step {name!r} ({kind})" if name else kind
    if not hasattr(transformer, "transform"):
        raise TypeError(
            f"{step} needs a transform method to stand before a forecaster."
        )
    if type(transformer).__module__.startswith("sklearn.impute"):
        raise TypeError(
            f"{step} fills holes, which skdyn's estimators refuse before it is asked. "
            f"Fill them before the pipeline (df.interpolate()), or cut the recording "
            f"there (df.dropna() with a time index, or a list of trajectories)."
        )
    if not hasattr(transformer, "inverse_transform"):
        raise TypeError(
            f"{step} has no inverse_transform, so a forecast cannot come back to the "
            f"original units. Use a transformer that has one (StandardScaler, PCA, "
            f"QuantileTransformer, FunctionTransformer with inverse_func), or apply "
            f"{kind} to the data before the pipeline."
        )
    if isinstance(transformer, SelectorMixin):
        raise TypeError(
            f"{step} drops columns, which its inverse_transform fills with zeros: a "
            f"forecast of them would be made up. Select the columns before the "
            f"pipeline."
        )
    if (
        isinstance(transformer, FunctionTransformer)
        and transformer.func is not None
        and transformer.inverse_func is None
    ):
        raise TypeError(
            f"{step} has a func but no inverse_func, which scikit-learn inverts by the "
            f"identity. Pass FunctionTransformer(func, inverse_func=...)."
        )

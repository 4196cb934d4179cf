"""The one door to what scikit-learn keeps private, and to optional DataFrames.

Everything that skdyn needs of scikit-learn beyond its documented interface is imported
here and nowhere else, so that a new release breaks one file.
"""

import sys
from typing import Any

from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils._set_output import ADAPTERS_MANAGER, _get_output_config
from sklearn.utils.validation import _check_feature_names_in as feature_names_in
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

__all__ = [
    "HasMethods",
    "Interval",
    "StrOptions",
    "check_sample_weight",
    "create_frame",
    "feature_names_in",
    "frame_library",
    "is_frame",
    "is_pandas",
    "output_container",
]


def output_container(estimator: Any) -> str:
    """Return ``"default"``, ``"pandas"`` or ``"polars"``: what ``set_output`` asked."""
    return str(_get_output_config("transform", estimator)["dense"])


def create_frame(container: str, values: Any, columns: Any, index: Any = None) -> Any:
    """Build a DataFrame of the kind that `container` names around `values`.

    `index` is taken where the container has one (pandas).
    """
    frame = ADAPTERS_MANAGER.adapters[container].create_container(
        values, values, columns=columns
    )
    if index is not None and container == "pandas":
        frame.index = index
    return frame


def is_pandas(X: Any) -> bool:
    """Tell whether `X` is a pandas DataFrame, without importing pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(X, pandas.DataFrame)


def is_polars(X: Any) -> bool:
    """Tell whether `X` is a polars DataFrame, without importing polars."""
    polars = sys.modules.get("polars")
    return polars is not None and isinstance(X, polars.DataFrame)


def frame_library(X: Any) -> str | None:
    """Return the library whose DataFrame `X` is, or None."""
    return "pandas" if is_pandas(X) else "polars" if is_polars(X) else None


def is_frame(X: Any) -> bool:
    """Tell whether `X` is a pandas or polars DataFrame, without importing either."""
    return frame_library(X) is not None

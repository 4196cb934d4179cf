"""Metrics of forecasts."""

from skdyn.metrics._forecast import (
    cumulative_max_error,
    forecast_scale,
    normalized_error,
    nrmse,
    smape,
    valid_prediction_time,
)

__all__ = [
    "cumulative_max_error",
    "forecast_scale",
    "normalized_error",
    "nrmse",
    "smape",
    "valid_prediction_time",
]

"""Metrics of forecasts, of attractors, and of chaos."""

from skdyn.metrics._attractor import (
    autocorrelation_distance,
    autocorrelation_distance_floor,
    d_hellinger,
    d_hellinger_floor,
    d_stsp,
    d_stsp_floor,
    mmd,
    mmd_floor,
    sliced_wasserstein,
    sliced_wasserstein_floor,
    spectral_distance,
    spectral_distance_floor,
)
from skdyn.metrics._chaos import (
    DimensionEstimate,
    ExponentEstimate,
    correlation_dimension,
    largest_lyapunov_exponent,
)
from skdyn.metrics._forecast import (
    cumulative_max_error,
    forecast_scale,
    mase,
    mase_scale,
    normalized_error,
    nrmse,
    smape,
    valid_prediction_time,
)

__all__ = [
    "DimensionEstimate",
    "ExponentEstimate",
    "autocorrelation_distance",
    "autocorrelation_distance_floor",
    "correlation_dimension",
    "cumulative_max_error",
    "d_hellinger",
    "d_hellinger_floor",
    "d_stsp",
    "d_stsp_floor",
    "forecast_scale",
    "largest_lyapunov_exponent",
    "mase",
    "mase_scale",
    "mmd",
    "mmd_floor",
    "normalized_error",
    "nrmse",
    "sliced_wasserstein",
    "sliced_wasserstein_floor",
    "smape",
    "spectral_distance",
    "spectral_distance_floor",
    "valid_prediction_time",
]

"""Splitters and scorers for series, used with scikit-learn's own search objects."""

from skdyn.model_selection._scorer import ForecastScorer, forecast_scorer
from skdyn.model_selection._split import RollingOriginSplit

__all__ = ["ForecastScorer", "RollingOriginSplit", "forecast_scorer"]

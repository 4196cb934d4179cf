"""Baselines that every honest table needs."""

from skdyn.baselines._autoregression import LinearAutoregression
from skdyn.baselines._drift import Drift
from skdyn.baselines._mean import Mean
from skdyn.baselines._parroting import ContextParroting
from skdyn.baselines._persistence import Persistence
from skdyn.baselines._regressor import RegressorForecaster
from skdyn.baselines._seasonal_naive import SeasonalNaive

__all__ = [
    "ContextParroting",
    "Drift",
    "LinearAutoregression",
    "Mean",
    "Persistence",
    "RegressorForecaster",
    "SeasonalNaive",
]

"""skdyn: learn the rule behind a time series, the scikit-learn way.

Estimators are found in their families (``from skdyn.koopman import DMD``) and, loaded
when first asked for, here (``from skdyn import DMD``).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skdyn.base import ForecastInterval, Horizon, min_context
    from skdyn.baselines import Persistence
    from skdyn.exceptions import DivergenceWarning
    from skdyn.koopman import DMD, DMDc
    from skdyn.model_selection import RollingOriginSplit, forecast_scorer
    from skdyn.pipeline import Pipeline, make_pipeline
    from skdyn.preprocessing import (
        DelayEmbedding,
        RowWise,
        choose_delay,
        choose_dimension,
    )

__version__ = "0.1.0.dev0"

# Where each name lives. Nothing is imported before it is asked for, so that
# ``import skdyn`` costs next to nothing.
_HOMES = {
    "DMD": "skdyn.koopman",
    "DMDc": "skdyn.koopman",
    "DelayEmbedding": "skdyn.preprocessing",
    "DivergenceWarning": "skdyn.exceptions",
    "ForecastInterval": "skdyn.base",
    "Horizon": "skdyn.base",
    "Persistence": "skdyn.baselines",
    "Pipeline": "skdyn.pipeline",
    "RollingOriginSplit": "skdyn.model_selection",
    "RowWise": "skdyn.preprocessing",
    "choose_delay": "skdyn.preprocessing",
    "choose_dimension": "skdyn.preprocessing",
    "forecast_scorer": "skdyn.model_selection",
    "make_pipeline": "skdyn.pipeline",
    "min_context": "skdyn.base",
}
_MODULES = {
    "base",
    "baselines",
    "datasets",
    "exceptions",
    "koopman",
    "metrics",
    "model_selection",
    "pipeline",
    "preprocessing",
    "testing",
}

__all__ = [
    "DMD",
    "DMDc",
    "DelayEmbedding",
    "DivergenceWarning",
    "ForecastInterval",
    "Horizon",
    "Persistence",
    "Pipeline",
    "RollingOriginSplit",
    "RowWise",
    "__version__",
    "choose_delay",
    "choose_dimension",
    "forecast_scorer",
    "make_pipeline",
    "min_context",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"skdyn.{name}")
    raise AttributeError(f"module 'skdyn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})

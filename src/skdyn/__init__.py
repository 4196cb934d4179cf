"""skdyn: learn the rule behind a time series, the scikit-learn way.

Estimators are found in their families (``from skdyn.koopman import DMD``) and, loaded
when first asked for, here (``from skdyn import DMD``).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skdyn.base import ForecastInterval, Horizon, min_context
    from skdyn.baselines import (
        ContextParroting,
        Drift,
        LinearAutoregression,
        Mean,
        Persistence,
        RegressorForecaster,
        SeasonalNaive,
    )
    from skdyn.exceptions import DivergenceWarning
    from skdyn.inspection import fixed_points, lyapunov_spectrum
    from skdyn.koopman import (
        BOPDMD,
        DMD,
        EDMD,
        MPEDMD,
        ConstrainedDMD,
        DMDc,
        GeneratorEDMD,
        HankelDMD,
        KernelEDMD,
        MultiresolutionDMD,
        OptDMD,
        SparseDMD,
        koopman_spectrum,
        pseudospectrum,
    )
    from skdyn.model_selection import RollingOriginSplit, forecast_scorer
    from skdyn.pipeline import Pipeline, make_pipeline
    from skdyn.preprocessing import (
        DelayEmbedding,
        Deseasonalise,
        Detrend,
        Difference,
        FeatureLift,
        FourierLift,
        FunctionLift,
        LiftProduct,
        LiftUnion,
        PolynomialLift,
        RadialBasisLift,
        RandomFourierLift,
        RowWise,
        choose_delay,
        choose_dimension,
        cut_gaps,
        resample_even,
        resample_period,
    )

__version__ = "0.1.0.dev0"

# Where each name lives. Nothing is imported before it is asked for, so that
# ``import skdyn`` costs next to nothing.
_HOMES = {
    "BOPDMD": "skdyn.koopman",
    "ConstrainedDMD": "skdyn.koopman",
    "ContextParroting": "skdyn.baselines",
    "DMD": "skdyn.koopman",
    "DMDc": "skdyn.koopman",
    "DelayEmbedding": "skdyn.preprocessing",
    "Deseasonalise": "skdyn.preprocessing",
    "Detrend": "skdyn.preprocessing",
    "Difference": "skdyn.preprocessing",
    "DivergenceWarning": "skdyn.exceptions",
    "Drift": "skdyn.baselines",
    "EDMD": "skdyn.koopman",
    "FeatureLift": "skdyn.preprocessing",
    "ForecastInterval": "skdyn.base",
    "FourierLift": "skdyn.preprocessing",
    "FunctionLift": "skdyn.preprocessing",
    "GeneratorEDMD": "skdyn.koopman",
    "HankelDMD": "skdyn.koopman",
    "Horizon": "skdyn.base",
    "KernelEDMD": "skdyn.koopman",
    "LiftProduct": "skdyn.preprocessing",
    "LiftUnion": "skdyn.preprocessing",
    "LinearAutoregression": "skdyn.baselines",
    "MPEDMD": "skdyn.koopman",
    "Mean": "skdyn.baselines",
    "MultiresolutionDMD": "skdyn.koopman",
    "OptDMD": "skdyn.koopman",
    "Persistence": "skdyn.baselines",
    "Pipeline": "skdyn.pipeline",
    "PolynomialLift": "skdyn.preprocessing",
    "RadialBasisLift": "skdyn.preprocessing",
    "RandomFourierLift": "skdyn.preprocessing",
    "RegressorForecaster": "skdyn.baselines",
    "RollingOriginSplit": "skdyn.model_selection",
    "RowWise": "skdyn.preprocessing",
    "SeasonalNaive": "skdyn.baselines",
    "SparseDMD": "skdyn.koopman",
    "choose_delay": "skdyn.preprocessing",
    "choose_dimension": "skdyn.preprocessing",
    "cut_gaps": "skdyn.preprocessing",
    "fixed_points": "skdyn.inspection",
    "forecast_scorer": "skdyn.model_selection",
    "koopman_spectrum": "skdyn.koopman",
    "lyapunov_spectrum": "skdyn.inspection",
    "make_pipeline": "skdyn.pipeline",
    "min_context": "skdyn.base",
    "pseudospectrum": "skdyn.koopman",
    "resample_even": "skdyn.preprocessing",
    "resample_period": "skdyn.preprocessing",
}
_MODULES = {
    "base",
    "baselines",
    "datasets",
    "exceptions",
    "inspection",
    "koopman",
    "metrics",
    "model_selection",
    "pipeline",
    "preprocessing",
    "testing",
}

__all__ = [
    "BOPDMD",
    "DMD",
    "EDMD",
    "MPEDMD",
    "ConstrainedDMD",
    "ContextParroting",
    "DMDc",
    "DelayEmbedding",
    "Deseasonalise",
    "Detrend",
    "Difference",
    "DivergenceWarning",
    "Drift",
    "FeatureLift",
    "ForecastInterval",
    "FourierLift",
    "FunctionLift",
    "GeneratorEDMD",
    "HankelDMD",
    "Horizon",
    "KernelEDMD",
    "LiftProduct",
    "LiftUnion",
    "LinearAutoregression",
    "Mean",
    "MultiresolutionDMD",
    "OptDMD",
    "Persistence",
    "Pipeline",
    "PolynomialLift",
    "RadialBasisLift",
    "RandomFourierLift",
    "RegressorForecaster",
    "RollingOriginSplit",
    "RowWise",
    "SeasonalNaive",
    "SparseDMD",
    "__version__",
    "choose_delay",
    "choose_dimension",
    "cut_gaps",
    "fixed_points",
    "forecast_scorer",
    "koopman_spectrum",
    "lyapunov_spectrum",
    "make_pipeline",
    "min_context",
    "pseudospectrum",
    "resample_even",
    "resample_period",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"skdyn.{name}")
    raise AttributeError(f"module 'skdyn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES})

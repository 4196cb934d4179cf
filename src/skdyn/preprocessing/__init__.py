"""Transformers of trajectories, with the way back for forecasts."""

from skdyn.preprocessing._delay import DelayEmbedding
from skdyn.preprocessing._deseasonalise import Deseasonalise
from skdyn.preprocessing._detrend import Detrend
from skdyn.preprocessing._difference import Difference
from skdyn.preprocessing._embedding_choice import (
    DelayChoice,
    DimensionChoice,
    choose_delay,
    choose_dimension,
)
from skdyn.preprocessing._gaps import CleanTrajectories, cut_gaps
from skdyn.preprocessing._lift_basis import (
    FourierLift,
    RadialBasisLift,
    RandomFourierLift,
)
from skdyn.preprocessing._lift_compose import LiftProduct, LiftUnion
from skdyn.preprocessing._lift_custom import FeatureLift, FunctionLift
from skdyn.preprocessing._lift_polynomial import PolynomialLift
from skdyn.preprocessing._resample import Resampled, resample_even, resample_period
from skdyn.preprocessing._rowwise import RowWise
from skdyn.utils._differentiation import (
    Derivative,
    Differentiator,
    FiniteDifference,
    SavitzkyGolay,
    SmoothingSpline,
    Spectral,
    TotalVariation,
    differentiate,
)

__all__ = [
    "CleanTrajectories",
    "DelayChoice",
    "DelayEmbedding",
    "Derivative",
    "Deseasonalise",
    "Detrend",
    "Difference",
    "Differentiator",
    "DimensionChoice",
    "FeatureLift",
    "FiniteDifference",
    "FourierLift",
    "FunctionLift",
    "LiftProduct",
    "LiftUnion",
    "PolynomialLift",
    "RadialBasisLift",
    "RandomFourierLift",
    "Resampled",
    "RowWise",
    "SavitzkyGolay",
    "SmoothingSpline",
    "Spectral",
    "TotalVariation",
    "choose_delay",
    "choose_dimension",
    "cut_gaps",
    "differentiate",
    "resample_even",
    "resample_period",
]

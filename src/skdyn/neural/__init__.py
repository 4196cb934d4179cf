"""Neural forecasters, and memories and layers of state-space kind."""

from skdyn.neural._hippo import (
    PerturbedDiagonalisation,
    hippo_matrices,
    initial_diagonal,
    perturb_then_diagonalise,
    transfer_function,
)
from skdyn.neural._linear_regions import (
    LinearRegions,
    PiecewiseLinearCycles,
    PiecewiseLinearMap,
)
from skdyn.neural._memory import HiPPOMemory
from skdyn.neural._plrnn import PLRNN, fit_together
from skdyn.neural._s4d import S4D
from skdyn.neural._sequence import S4DClassifier, S4DRegressor

__all__ = [
    "PLRNN",
    "S4D",
    "HiPPOMemory",
    "LinearRegions",
    "PerturbedDiagonalisation",
    "PiecewiseLinearCycles",
    "PiecewiseLinearMap",
    "S4DClassifier",
    "S4DRegressor",
    "fit_together",
    "hippo_matrices",
    "initial_diagonal",
    "perturb_then_diagonalise",
    "transfer_function",
]

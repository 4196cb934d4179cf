"""Reservoir computing: fixed random or delayed features under a trained readout."""

from skdyn.reservoir._diagnostics import (
    MemoryCapacity,
    conditional_lyapunov_exponent,
    memory_capacity,
)
from skdyn.reservoir._esn import ESN
from skdyn.reservoir._features import ReservoirFeatures
from skdyn.reservoir._grids import esn_grid, nvar_grid
from skdyn.reservoir._liquid import LiquidForecaster, LiquidStateMachine
from skdyn.reservoir._local import LocalReservoir
from skdyn.reservoir._nvar import NVAR
from skdyn.reservoir._online import OnlineESN
from skdyn.reservoir._spikes import branching_factor

__all__ = [
    "ESN",
    "NVAR",
    "LiquidForecaster",
    "LiquidStateMachine",
    "LocalReservoir",
    "MemoryCapacity",
    "OnlineESN",
    "ReservoirFeatures",
    "branching_factor",
    "conditional_lyapunov_exponent",
    "esn_grid",
    "memory_capacity",
    "nvar_grid",
]

"""Transformers of trajectories, with the way back for forecasts."""

from skdyn.preprocessing._delay import DelayEmbedding
from skdyn.preprocessing._embedding_choice import (
    DelayChoice,
    DimensionChoice,
    choose_delay,
    choose_dimension,
)
from skdyn.preprocessing._rowwise import RowWise

__all__ = [
    "DelayChoice",
    "DelayEmbedding",
    "DimensionChoice",
    "RowWise",
    "choose_delay",
    "choose_dimension",
]

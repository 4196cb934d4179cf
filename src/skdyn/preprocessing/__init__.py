"""Transformers of trajectories, with the way back for forecasts."""

from skdyn.preprocessing._delay import DelayEmbedding
from skdyn.preprocessing._rowwise import RowWise

__all__ = ["DelayEmbedding", "RowWise"]

"""Baselines that every honest table needs."""

from skdyn.baselines._persistence import Persistence

__all__ = ["Persistence"]

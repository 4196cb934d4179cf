"""Recordings shipped with skdyn, and generators of known systems."""

from skdyn.datasets._lorenz import make_lorenz63
from skdyn.datasets._sunspots import load_sunspots

__all__ = ["load_sunspots", "make_lorenz63"]

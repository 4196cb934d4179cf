"""Sparse identification of nonlinear dynamics: equations, found in data."""

from skdyn.sindy._stlsq import STLSQ

__all__ = ["STLSQ"]

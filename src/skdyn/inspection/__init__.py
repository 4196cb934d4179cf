"""What a model's dynamics is like: its exponents, and where it stands still."""

from skdyn.inspection._fixed_points import FixedPoints, fixed_points
from skdyn.inspection._lyapunov import LyapunovSpectrum, lyapunov_spectrum

__all__ = ["FixedPoints", "LyapunovSpectrum", "fixed_points", "lyapunov_spectrum"]

"""Dynamic mode decomposition and its kin: linear models and their spectra."""

from skdyn.koopman._dmd import DMD
from skdyn.koopman._dmdc import DMDc
from skdyn.koopman._spectrum import Spectrum

__all__ = ["DMD", "DMDc", "Spectrum"]

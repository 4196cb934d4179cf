"""Koopman operator methods: linear models of the dynamics and their spectra."""

from skdyn.koopman._bopdmd import BOPDMD
from skdyn.koopman._constrained import ConstrainedDMD
from skdyn.koopman._dmd import DMD
from skdyn.koopman._dmdc import DMDc
from skdyn.koopman._edmd import EDMD
from skdyn.koopman._generator import GeneratorEDMD
from skdyn.koopman._hankel import HankelDMD
from skdyn.koopman._kernel import KernelEDMD
from skdyn.koopman._mpedmd import MPEDMD, SpectralMeasure
from skdyn.koopman._multiresolution import MultiresolutionDMD, ResolutionNode
from skdyn.koopman._optdmd import OptDMD
from skdyn.koopman._residuals import (
    Pseudospectrum,
    koopman_spectrum,
    pseudospectrum,
)
from skdyn.koopman._sparse import SparseDMD, SparsityPath
from skdyn.koopman._spectrum import Spectrum

__all__ = [
    "BOPDMD",
    "DMD",
    "EDMD",
    "MPEDMD",
    "ConstrainedDMD",
    "DMDc",
    "GeneratorEDMD",
    "HankelDMD",
    "KernelEDMD",
    "MultiresolutionDMD",
    "OptDMD",
    "Pseudospectrum",
    "ResolutionNode",
    "SparseDMD",
    "SparsityPath",
    "SpectralMeasure",
    "Spectrum",
    "koopman_spectrum",
    "pseudospectrum",
]

"""What a linear model of the dynamics says about it: eigenvalues and their modes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

__all__ = ["Spectrum", "eigenvectors", "spectrum_of"]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues of a linear model with their modes, in decreasing modulus.

    The model says that a trajectory is a sum of modes, each growing and turning at its
    own rate: ``x[k] = sum_j amplitudes[i, j] * eigenvalues[j] ** k * modes[j]``.

    Attributes
    ----------
    eigenvalues : complex ndarray of shape (n_modes,)
        Factors per step.
    modes : complex ndarray of shape (n_modes, n_features)
        Unit vectors; features are columns, as in the data.
    amplitudes : complex ndarray of shape (n_trajectories, n_modes)
        Weights of the modes in the first row of each trajectory of the last ``fit`` or
        ``partial_fit``.
    residuals : ndarray of shape (n_modes,)
        Relative errors ``|phi(x[k+1]) - lambda phi(x[k])| / |phi(x[k])|`` of the
        eigenfunctions phi over the training data (Colbrook & Townsend 2024): 0 where
        the data evolves exactly as the eigenvalue says, near 1 where it is spurious.
        On long, well-conditioned data they bottom out near 1e-8. With fewer pairs of
        rows than features every fit interpolates, and they say nothing.
    dt : float
        Time between rows.
    rates : complex ndarray of shape (n_modes,) or None
        Rates of growth and i times angular frequencies per unit time, where the method
        gives them; else those of the eigenvalues, whose frequencies are known up to
        turns per row.
    growth_rate_errors, frequency_errors : ndarray of shape (n_modes,) or None
        Standard errors, where the method gives them.
    mode_errors : complex ndarray of shape (n_modes, n_features) or None
        Standard errors of the real and imaginary parts of modes, where the method
        gives them.

    References
    ----------
    Colbrook & Townsend, "Rigorous data-driven computation of spectral properties of
    Koopman operators for dynamical systems", Communications on Pure and Applied
    Mathematics 77 (2024), 221.
    """

    eigenvalues: np.ndarray
    modes: np.ndarray
    amplitudes: np.ndarray
    residuals: np.ndarray
    dt: float
    rates: np.ndarray | None = None
    growth_rate_errors: np.ndarray | None = None
    frequency_errors: np.ndarray | None = None
    mode_errors: np.ndarray | None = None

    @property
    def growth_rates(self) -> np.ndarray:
        """log|lambda| / dt: growth (negative: decay) per unit time."""
        if self.rates is not None:
            return self.rates.real
        with np.errstate(divide="ignore"):
            return np.log(np.abs(self.eigenvalues)) / self.dt

    @property
    def frequencies(self) -> np.ndarray:
        """arg(lambda) / (2 pi dt): cycles per unit time, signed."""
        if self.rates is not None:
            return self.rates.imag / (2 * np.pi)
        return np.angle(self.eigenvalues) / (2 * np.pi * self.dt)

    def trusted(self, max_residual: float = 0.01) -> Spectrum:
        """The eigenvalues that the data bears out.

        Parameters
        ----------
        max_residual : float, default=0.01
            Largest residual: the eigenfunction evolves as the eigenvalue says, to
            this fraction of its size.

        Returns
        -------
        Spectrum
            Without the others (residual DMD: Colbrook & Townsend 2024, algorithm 2).
        """
        keep = self.residuals <= max_residual
        further = (
            self.rates,
            self.growth_rate_errors,
            self.frequency_errors,
            self.mode_errors,
        )
        return Spectrum(
            self.eigenvalues[keep],
            self.modes[keep],
            self.amplitudes[:, keep],
            self.residuals[keep],
            self.dt,
            *(None if each is None else each[keep] for each in further),
        )

    def __repr__(self) -> str:
        n = len(self.eigenvalues)
        if n == 0:
            return f"Spectrum(0 modes, dt={self.dt:g})"
        top = np.abs(self.eigenvalues[0])
        return f"Spectrum({n} modes, largest modulus {top:.6g}, dt={self.dt:g})"


def spectrum_of(
    K: np.ndarray,
    exact: np.ndarray,
    projected: np.ndarray,
    starts: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    dt: float,
) -> Spectrum:
    """Spectrum of reduced dynamics z -> z K, read out by y = z K P, or y = z L.

    With K G = G Lambda, the rows b = z G evolve as b Lambda^k. Projected modes are
    G^-1 P, exact ones Lambda^-1 G^-1 L (Tu et al. 2014, definition 1), where
    an eigenvalue of zero has only the first.

    Parameters
    ----------
    K : ndarray of shape (r, r)
        Reduced one-step map.
    exact : ndarray of shape (r, n_features)
        L.
    projected : ndarray of shape (r, n_features)
        P.
    starts : ndarray of shape (n_trajectories, r)
        Reduced first rows.
    before, after : ndarray of shape (k, r)
        Rows with the moments of the reduced training pairs, for the residuals.
    dt : float
        Time between rows.

    Returns
    -------
    Spectrum
    """
    eigenvalues, G = eigenvectors(K)
    modulus = np.abs(eigenvalues)
    inverse = _inverse(G)
    nonzero = modulus > len(K) * np.finfo(float).eps * modulus.max(initial=0.0)
    if exact is projected or not nonzero.all():
        modes = inverse @ projected
    if exact is not projected:
        lifted = inverse @ exact
        lifted[nonzero] /= eigenvalues[nonzero, None]
        modes = lifted if nonzero.all() else np.where(nonzero[:, None], lifted, modes)
    norms = np.linalg.norm(modes, axis=1)
    norms[norms == 0] = 1.0
    now = before @ G
    size = np.linalg.norm(now, axis=0)
    residuals = np.linalg.norm(after @ G - now * eigenvalues, axis=0)
    residuals = np.where(size > 0, residuals / np.where(size > 0, size, 1.0), np.inf)
    return Spectrum(
        eigenvalues, modes / norms[:, None], (starts @ G) * norms, residuals, dt
    )


def eigenvectors(K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of K and the columns G with K G = G Lambda, in a spectrum's order.

    That is by decreasing modulus, then slow before fast, the positive frequency first.
    """
    eigenvalues, G = linalg.eig(K, check_finite=False)
    modulus = np.abs(eigenvalues)
    order = np.lexsort((-eigenvalues.imag, np.abs(np.angle(eigenvalues)), -modulus))
    return eigenvalues[order], G[:, order].astype(complex)


def _inverse(G: np.ndarray) -> np.ndarray:
    """The inverse of eigenvectors, or of what they span where K is defective."""
    try:
        inverse = np.linalg.inv(G)
    except np.linalg.LinAlgError:
        return np.linalg.pinv(G)
    condition = np.linalg.norm(G, 1) * np.linalg.norm(inverse, 1)
    return inverse if condition < 1e14 else np.linalg.pinv(G)

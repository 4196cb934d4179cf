"""Which spectrum to believe: pseudospectra, and spectra of any forecaster.

Equations (Colbrook & Townsend 2024, section 4): the residual of a complex number z and
a function g in the span of a dictionary, over data pairs (x, y),

    res(z, g) = |g(y) - z g(x)| / |g(x)|,

is the distance by which (z, g) fails to be an eigenpair of the Koopman operator itself,
not of its compression to the dictionary. Its least value over g,

    tau(z) = min_g res(z, g) = sigma_min((Psi_y - z Psi_x) R^-1),   Psi_x = Q R,

converges to the true distance to the spectrum from above as the dictionary grows:
where tau(z) is small, there is spectrum. Rows of [Psi_x Psi_y] are compressed by QR
before, which keeps all norms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skdyn.base import as_horizon, min_context
from skdyn.koopman._edmd import EDMD
from skdyn.koopman._lifted import LiftedModel, fitted_lift, unit_columns
from skdyn.koopman._spectrum import Spectrum
from skdyn.utils._linalg import rank_floor
from skdyn.utils._trajectories import as_trajectories

__all__ = ["Pseudospectrum", "koopman_spectrum", "pseudospectrum"]


@dataclass(frozen=True, eq=False)
class Pseudospectrum:
    """How near complex numbers are to the spectrum of the Koopman operator.

    Attributes
    ----------
    points : complex ndarray of any shape
        Where it was asked for.
    residuals : ndarray of the shape of `points`
        tau(z), the least residual of z over all functions in the dictionary.
    vectors : complex ndarray of shape (shape of `points`, n_lifted)
        For each point the coefficients of the function that has it, of root mean square
        one over the data: ``lift.transform(X) @ vectors[i]``.
    """

    points: np.ndarray
    residuals: np.ndarray
    vectors: np.ndarray

    def __repr__(self) -> str:
        low, high = self.residuals.min(), self.residuals.max()
        return f"Pseudospectrum({self.points.size} points, {low:.3g} to {high:.3g})"


def pseudospectrum(model: Any, points: Any) -> Pseudospectrum:
    """Least residuals of complex numbers over a fitted model's dictionary.

    Parameters
    ----------
    model : EDMD or MPEDMD
        Fitted; its lift is the dictionary, its training data the pairs.
    points : complex array-like of any shape
        Numbers to ask for, such as a grid around the unit circle.

    Returns
    -------
    Pseudospectrum

    Raises
    ------
    TypeError
        If `model` has no dictionary.

    References
    ----------
    Colbrook & Townsend, "Rigorous data-driven computation of spectral properties of
    Koopman operators for dynamical systems", Communications on Pure and Applied
    Mathematics 77 (2024), 221, algorithm 3.

    Examples
    --------
    The spectrum of a rotation lies on the unit circle, at multiples of its angle:

    >>> import numpy as np
    >>> from skdyn.koopman import EDMD, pseudospectrum
    >>> t = 0.5 * np.arange(200)
    >>> X = np.column_stack([np.cos(t), np.sin(t)])
    >>> edmd = EDMD().fit(X)
    >>> pseudospectrum(edmd, [np.exp(0.5j), np.exp(0.7j)]).residuals.round(2)
    array([0. , 0.2])
    """
    check_is_fitted(model)
    if not isinstance(model, LiftedModel):
        raise TypeError(
            f"pseudospectrum needs a model with a dictionary, EDMD or MPEDMD, got "
            f"{type(model).__name__}. For another forecaster see koopman_spectrum."
        )
    asked = np.asarray(points, dtype=complex)
    before, scale = unit_columns(model._before)
    after = model._after / scale
    # Functions of unit norm over the data: q = psi scale^-1 V S^-1.
    _, s, Vh = np.linalg.svd(before, full_matrices=False)
    keep = s > rank_floor(s, (model._moments.n_rows, len(scale)), np.dtype(np.float64))
    white = Vh[keep].conj().T / s[keep]
    now, ahead = before @ white, after @ white
    residuals = np.empty(asked.size)
    vectors = np.empty((asked.size, len(scale)), complex)
    for i, z in enumerate(asked.ravel()):
        _, sizes, rows = np.linalg.svd(ahead - z * now, full_matrices=False)
        residuals[i] = sizes[-1]
        vectors[i] = (white @ rows[-1].conj()) / scale
    vectors *= np.sqrt(model._moments.weight)
    shape = asked.shape
    return Pseudospectrum(
        asked, residuals.reshape(shape), vectors.reshape(*shape, len(scale))
    )


def koopman_spectrum(
    model: Any, X: Any, lift: Any = None, *, dt: float | None = None
) -> Spectrum:
    """Koopman spectrum of what any fitted forecaster has learned.

    The model is asked where each row goes in one step, and a dictionary is fitted to
    the pairs: the eigenvalues are those of the learned dynamics, whatever family it
    comes from, and their residuals tell which of them the dictionary resolves. Whether
    the model is right about the data, they do not tell.

    Parameters
    ----------
    model : forecaster
        Fitted, Markov in the rows of `X` (``min_context_`` of 1) and without inputs:
        for others, put delays into the rows.
    X : array-like of shape (n_samples, n_features), or list of these
        Rows to start from; they need not be in order, nor seen in training.
    lift : transformer, default=None
        The dictionary, as in `EDMD`.
    dt : float or None, default=None
        Time of one step. None takes the model's own, or 1 where it has none.

    Returns
    -------
    Spectrum

    Raises
    ------
    ValueError
        If the model needs more than one row of the past, or takes inputs.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.koopman import DMD, koopman_spectrum
    >>> from skdyn.preprocessing import PolynomialLift
    >>> X = 0.9 ** np.arange(20)[:, None]
    >>> lift = PolynomialLift(3)
    >>> koopman_spectrum(DMD().fit(X), X, lift).eigenvalues.real.round(6)
    array([1.   , 0.9  , 0.81 , 0.729])
    """
    check_is_fitted(model)
    if as_horizon(X) is not None:
        raise ValueError(
            "koopman_spectrum needs rows to start from, got a horizon. Pass the data."
        )
    least, n_inputs = min_context(model), getattr(model, "n_inputs_", 0)
    if least > 1 or n_inputs:
        raise ValueError(
            f"koopman_spectrum needs a model that goes from row to row, got one that "
            f"needs {least} row(s) of the past and {n_inputs} "
            f"input(s). Put delays into the rows with DelayEmbedding, and fit without "
            f"inputs."
        )
    data = as_trajectories(X, allow_complex=True)
    if min_context(fitted_lift(lift, data)) > 1:
        raise ValueError(
            "koopman_spectrum needs a lift of single rows, got one that takes delays: "
            "it asks the model for pairs of rows. Put the delays into the rows."
        )
    ahead = as_trajectories(model.predict(X), allow_complex=True)
    pairs = np.stack([data.rows(), ahead.rows()], axis=1)
    fitted = EDMD(lift, dt=_step_of(model) if dt is None else dt).fit(pairs)
    return fitted.spectrum_


def _step_of(model: Any) -> float:
    """The time of a step of a fitted model, through searches and Pipelines."""
    model = getattr(model, "best_estimator_", model)
    if hasattr(model, "steps"):
        model = model.steps[-1][1]
    return float(getattr(model, "dt_", None) or getattr(model, "dt", None) or 1.0)

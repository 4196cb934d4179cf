"""Lorenz's 1963 equations of convection, the fruit fly of chaos.

x' = sigma (y - x),  y' = x (rho - z) - y,  z' = x y - beta z

With sigma = 10, rho = 28, beta = 8/3 the attractor has Lyapunov exponents 0.9056, 0 and
-14.572 per unit time (Sprott, *Chaos and Time-Series Analysis*, 2003, table A.5), and a
typical time of one turn of about 0.75.
"""

from __future__ import annotations

import numpy as np
from scipy.integrate import solve_ivp
from sklearn.utils import check_random_state

__all__ = ["make_lorenz63"]


def make_lorenz63(
    n_samples: int = 2000,
    *,
    dt: float = 0.02,
    sigma: float = 10.0,
    rho: float = 28.0,
    beta: float = 8.0 / 3.0,
    noise: float = 0.0,
    warmup: float = 50.0,
    random_state: int | np.random.RandomState | None = 0,
) -> np.ndarray:
    """Integrate the Lorenz-63 system from a random start on its attractor.

    Parameters
    ----------
    n_samples : int, default=2000
        Number of rows.
    dt : float, default=0.02
        Time between rows.
    sigma, rho, beta : float
        Parameters of the equations; the defaults are Lorenz's.
    noise : float, default=0.0
        Standard deviation of white observation noise, as a fraction of each feature's
        standard deviation.
    warmup : float, default=50.0
        Time integrated and thrown away before the first row.
    random_state : int, RandomState instance or None, default=0
        Seed of the start and the noise.

    Returns
    -------
    ndarray of shape (n_samples, 3)
        Columns x, y, z, integrated at relative and absolute tolerance 1e-10.

    References
    ----------
    Lorenz, "Deterministic nonperiodic flow", Journal of the Atmospheric Sciences 20
    (1963), 130, equations (25) to (27).

    Examples
    --------
    >>> from skdyn.datasets import make_lorenz63
    >>> make_lorenz63(1000).shape
    (1000, 3)
    """

    def velocity(t: float, s: np.ndarray) -> list[float]:
        x, y, z = s
        return [sigma * (y - x), x * (rho - z) - y, x * y - beta * z]

    rng = check_random_state(random_state)
    times = warmup + dt * np.arange(n_samples)
    solution = solve_ivp(
        velocity,
        (0.0, times[-1]),
        rng.standard_normal(3) + np.array([0.0, 0.0, 20.0]),
        method="DOP853",
        t_eval=times,
        rtol=1e-10,
        atol=1e-10,
    )
    X = np.ascontiguousarray(solution.y.T)
    if noise:
        X += noise * X.std(axis=0) * rng.standard_normal(X.shape)
    return X

"""Systems in discrete time, as values.

Each factory returns a `Map`: one step and its exact Jacobian, both batched, with random
starts and the Lyapunov exponents that are known for the default parameters.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from skdyn.datasets._system import (
    Map,
    at_defaults,
    check_parameters,
    normal_start,
    uniform_start,
)

__all__ = ["henon", "ikeda", "logistic"]


def henon(a: float = 1.4, b: float = 0.3) -> Map:
    """Hénon's map of the plane.

    ::

        x[k + 1] = 1 - a x[k]² + y[k]
        y[k + 1] = b x[k]

    Every step shrinks areas by the factor b and turns them over: the determinant of the
    Jacobian is -b everywhere.

    Parameters
    ----------
    a, b : float, default=1.4, 0.3
        Parameters of the equations; the defaults are Hénon's.

    Returns
    -------
    Map
        Features x, y. At the defaults the exponents are 0.4192 and -1.6232 per step.

    References
    ----------
    Hénon, "A two-dimensional mapping with a strange attractor", Communications in
    Mathematical Physics 50 (1976), 69.

    Sprott, *Chaos and Time-Series Analysis*, Oxford University Press (2003),
    appendix A, for the exponents.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.datasets import henon
    >>> henon().step(np.array([[1.0, 0.5]])).round(6)
    array([[0.1, 0.3]])
    """
    parameters = check_parameters("henon", {"a": a, "b": b})
    known = at_defaults(henon, parameters)
    return Map(
        step=partial(_henon, **parameters),
        n_features=2,
        jacobian=partial(_henon_jacobian, **parameters),
        name="Hénon",
        feature_names=("x", "y"),
        parameters=parameters,
        lyapunov_exponents=(0.41922, -1.62319) if known else None,
        start=partial(normal_start, center=(0.0, 0.0), spread=(0.05, 0.05)),
        warmup=100.0,
        reference=(
            "Hénon, Communications in Mathematical Physics 50 (1976), 69; exponents: "
            "Sprott, Chaos and Time-Series Analysis (2003), appendix A"
        ),
    )


def _henon(s: np.ndarray, *, a: float, b: float) -> np.ndarray:
    x, y = s[..., 0], s[..., 1]
    after = np.empty_like(s)
    after[..., 0] = 1.0 - a * x * x + y
    after[..., 1] = b * x
    return after


def _henon_jacobian(s: np.ndarray, *, a: float, b: float) -> np.ndarray:
    J = np.zeros((*s.shape, 2), dtype=s.dtype)
    J[..., 0, 0] = -2.0 * a * s[..., 0]
    J[..., 0, 1] = 1.0
    J[..., 1, 0] = b
    return J


def logistic(r: float = 4.0) -> Map:
    """Logistic map: ``x[k + 1] = r x[k] (1 - x[k])`` on [0, 1].

    At r = 4 it is the tent map in other coordinates: the exponent is log 2, and x is
    distributed with density ``1 / (pi sqrt(x (1 - x)))``, mean 1/2 and variance 1/8.

    Parameters
    ----------
    r : float, default=4.0
        Growth; the interval [0, 1] is kept for 0 <= r <= 4.

    Returns
    -------
    Map
        Feature x. At the default the exponent is log 2 per step, exactly.

    References
    ----------
    May, "Simple mathematical models with very complicated dynamics", Nature 261 (1976),
    459.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.datasets import logistic
    >>> logistic().step(np.array([[0.25]]))
    array([[0.75]])
    """
    parameters = check_parameters("logistic", {"r": r})
    known = at_defaults(logistic, parameters)
    return Map(
        step=partial(_logistic, **parameters),
        n_features=1,
        jacobian=partial(_logistic_jacobian, **parameters),
        name="Logistic",
        feature_names=("x",),
        parameters=parameters,
        lyapunov_exponents=(math.log(2.0),) if known else None,
        start=partial(uniform_start, low=(0.1,), high=(0.9,)),
        warmup=100.0,
        reference="May, Nature 261 (1976), 459",
    )


def _logistic(x: np.ndarray, *, r: float) -> np.ndarray:
    return r * x * (1.0 - x)


def _logistic_jacobian(x: np.ndarray, *, r: float) -> np.ndarray:
    return (r * (1.0 - 2.0 * x))[..., None]


def ikeda(mu: float = 0.9, a: float = 0.4, b: float = 6.0) -> Map:
    """Ikeda's map: light that goes round a ring with a nonlinear crystal.

    ::

        x[k + 1] = 1 + mu (x[k] cos t - y[k] sin t)
        y[k + 1] = mu (x[k] sin t + y[k] cos t),   t = a - b / (1 + x[k]² + y[k]²)

    Every step shrinks areas by the factor mu².

    Parameters
    ----------
    mu : float, default=0.9
        Part of the light that comes round.
    a, b : float, default=0.4, 6.0
        Turn of the phase, linear and by the crystal.

    Returns
    -------
    Map
        Features x, y. At the defaults the exponents are 0.5076 and -0.7183 per step.

    References
    ----------
    Ikeda, "Multiple-valued stationary state and its instability of the transmitted
    light by a ring cavity system", Optics Communications 30 (1979), 257.

    Hammel, Jones & Moloney, "Global dynamical behavior of the optical field in a ring
    cavity", Journal of the Optical Society of America B 2 (1985), 552, for this form.

    Sprott, *Chaos and Time-Series Analysis*, Oxford University Press (2003),
    appendix A, for the exponents.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.datasets import ikeda
    >>> ikeda().step(np.zeros((1, 2)))
    array([[1., 0.]])
    """
    parameters = check_parameters("ikeda", {"mu": mu, "a": a, "b": b})
    known = at_defaults(ikeda, parameters)
    return Map(
        step=partial(_ikeda, **parameters),
        n_features=2,
        jacobian=partial(_ikeda_jacobian, **parameters),
        name="Ikeda",
        feature_names=("x", "y"),
        parameters=parameters,
        lyapunov_exponents=(0.50760, -0.71832) if known else None,
        start=partial(uniform_start, low=(0.0, -0.5), high=(0.5, 0.5)),
        warmup=100.0,
        reference=(
            "Ikeda, Optics Communications 30 (1979), 257; Hammel, Jones & Moloney, "
            "Journal of the Optical Society of America B 2 (1985), 552; exponents: "
            "Sprott, Chaos and Time-Series Analysis (2003), appendix A"
        ),
    )


def _ikeda(s: np.ndarray, *, mu: float, a: float, b: float) -> np.ndarray:
    x, y = s[..., 0], s[..., 1]
    t = a - b / (1.0 + x * x + y * y)
    cosine, sine = mu * np.cos(t), mu * np.sin(t)
    after = np.empty_like(s)
    after[..., 0] = 1.0 + x * cosine - y * sine
    after[..., 1] = x * sine + y * cosine
    return after


def _ikeda_jacobian(s: np.ndarray, *, mu: float, a: float, b: float) -> np.ndarray:
    x, y = s[..., 0], s[..., 1]
    size = 1.0 + x * x + y * y
    t = a - b / size
    cosine, sine = mu * np.cos(t), mu * np.sin(t)
    # The turn of the point by dt is (-y, x) of the new point, about (1, 0).
    turn_x, turn_y = -(x * sine + y * cosine), x * cosine - y * sine
    t_x, t_y = 2.0 * b * x / size**2, 2.0 * b * y / size**2
    J = np.empty((*s.shape, 2), dtype=s.dtype)
    J[..., 0, 0] = cosine + turn_x * t_x
    J[..., 0, 1] = -sine + turn_x * t_y
    J[..., 1, 0] = sine + turn_y * t_x
    J[..., 1, 1] = cosine + turn_y * t_y
    return J

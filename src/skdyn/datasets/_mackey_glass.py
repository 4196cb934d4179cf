"""The Mackey-Glass delay equation, as a map on its history.

x' = g(t) - gamma x with g(t) = beta y / (1 + y^n), y = x(t - tau). Over one step
h <= tau the term g is known from the history, and variation of constants gives

    x(t + h) = exp(-gamma h) x(t) + integral_0^h exp(-gamma (h - s)) g(t + s) ds

exactly. The integral is taken of the polynomial through g at the q = 8 grid points
t, t + h, ..., t + 7 h, which all lie in the history: with the Lagrange polynomials l_j
of the nodes 0, ..., 7,

    x(t + h) = exp(-gamma h) x(t) + h sum_j w_j g(t + j h),
    w_j = integral_0^1 exp(-gamma h (1 - r)) l_j(r) dr.

There are no stages, and values between grid points are never needed. The method is of
order 8 where the history is smooth, as it is on the attractor; a kink in a start is
passed on, smoother with every delay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from skdyn.datasets._system import Map, at_defaults, check_parameters

__all__ = ["mackey_glass"]

_ORDER = 8


def mackey_glass(
    beta: float = 0.2,
    gamma: float = 0.1,
    n: float = 10.0,
    tau: float = 17.0,
    dt: float = 0.25,
) -> Map:
    """The Mackey-Glass equation: blood cells made after a delay.

    ::

        x'(t) = beta x(t - tau) / (1 + x(t - tau)^n) - gamma x(t)

    as the map over one time step of the history ``x(t), x(t - dt), ..., x(t - tau)``,
    newest first. `make_mackey_glass` gives the series x alone.

    Parameters
    ----------
    beta, gamma, n : float, default=0.2, 0.1, 10.0
        Growth, decay and the steepness of the feedback.
    tau : float, default=17.0
        Delay. At the defaults the equation is chaotic from about 16.8 on, with more
        and more dimensions as the delay grows.
    dt : float, default=0.25
        Time of one step, a whole fraction of `tau`, at most ``tau / 7``. The error of
        the method is of order ``dt**8``; at the defaults it is 1e-9 after two delays.

    Returns
    -------
    Map
        Features x, x_lag1, x_lag2, ...; ``tau / dt + 1`` of them. At the defaults the
        largest exponent is 0.0052 per unit time, computed with the Jacobian.

    References
    ----------
    Mackey & Glass, "Oscillation and chaos in physiological control systems", Science
    197 (1977), 287.

    Farmer, "Chaotic attractors of an infinite-dimensional dynamical system", Physica D
    4 (1982), 366.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.datasets import mackey_glass
    >>> system = mackey_glass()
    >>> system.n_features
    69
    >>> bool(np.allclose(system.step(np.ones((1, 69))), 1.0)) # an equilibrium
    True
    """
    parameters = check_parameters(
        "mackey_glass",
        {"beta": beta, "gamma": gamma, "n": n, "tau": tau, "dt": dt},
        positive=("tau", "dt"),
    )
    n_lags = round(tau / dt)
    if abs(n_lags * dt - tau) > 1e-9 * tau or n_lags < _ORDER - 1:
        raise ValueError(
            f"mackey_glass needs a delay of a whole number of steps, at least "
            f"{_ORDER - 1}, got tau={tau} and dt={dt}. Pass dt=tau / k for a whole k."
        )
    at_usual = {"beta": beta, "gamma": gamma, "n": n, "tau": tau}
    # The choice of the step does not change what is known.
    known = at_defaults(mackey_glass, at_usual)
    # The step that the grid has, where tau / dt is whole to rounding only.
    stepper = _Stepper.of(float(beta), float(gamma), float(n), tau / n_lags, n_lags)
    return Map(
        step=stepper,
        n_features=n_lags + 1,
        jacobian=stepper.jacobian,
        name="Mackey-Glass",
        feature_names=("x", *(f"x_lag{i}" for i in range(1, n_lags + 1))),
        parameters=parameters,
        dt=float(dt),
        period=48.0 if known else None,
        lyapunov_exponents=(0.0052,) if known else None,
        start=partial(_constant_history, n_features=n_lags + 1),
        warmup=100.0 * tau,
        reference=(
            "Mackey & Glass, Science 197 (1977), 287; Farmer, Physica D 4 (1982), 366; "
            "exponent: computed for skdyn"
        ),
    )


def _constant_history(
    rng: np.random.RandomState, n: int, *, n_features: int
) -> np.ndarray:
    return np.repeat(rng.uniform(0.5, 1.3, size=(n, 1)), n_features, axis=1)


def _weights(decay: float) -> np.ndarray:
    """The weights w_j (8,) of the module, for gamma h = `decay`.

    By Gauss-Legendre quadrature, exact to rounding.
    """
    nodes, weights = np.polynomial.legendre.leggauss(24)
    r, weights = (nodes + 1) / 2, weights / 2 * np.exp(-decay * (1 - nodes) / 2)
    answer = np.empty(_ORDER)
    for j in range(_ORDER):
        others = np.delete(np.arange(_ORDER), j)
        answer[j] = weights @ np.prod((r[:, None] - others) / (j - others), axis=1)
    return answer


@dataclass(frozen=True, eq=False)
class _Stepper:
    """The step on histories (..., n_lags + 1), newest first; see the module."""

    beta: float
    exponent: float
    # exp(-gamma h), and h w_j in the order of the last columns of the history.
    decay: float
    weights: np.ndarray

    @staticmethod
    def of(beta: float, gamma: float, n: float, h: float, n_lags: int) -> _Stepper:
        weights = h * _weights(gamma * h)[::-1]
        return _Stepper(beta, n, math.exp(-gamma * h), weights.copy())

    def __call__(self, history: np.ndarray) -> np.ndarray:
        """Histories one step later."""
        oldest = history[..., -_ORDER:]
        made = self.beta * oldest / (1.0 + oldest**self.exponent)
        after = np.empty_like(history)
        after[..., 1:] = history[..., :-1]
        after[..., 0] = self.decay * history[..., 0] + (made * self.weights).sum(-1)
        return after

    def jacobian(self, history: np.ndarray) -> np.ndarray:
        """Derivative (..., n, n) of the step."""
        n = history.shape[-1]
        oldest = history[..., -_ORDER:]
        power = oldest**self.exponent
        slope = self.beta * (1.0 + (1.0 - self.exponent) * power) / (1.0 + power) ** 2
        J = np.zeros((*history.shape, n), dtype=history.dtype)
        J[..., np.arange(1, n), np.arange(n - 1)] = 1.0
        J[..., 0, 0] = self.decay
        J[..., 0, -_ORDER:] += self.weights * slope
        return J

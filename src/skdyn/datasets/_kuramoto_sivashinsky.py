"""The Kuramoto-Sivashinsky equation, stepped by ETDRK4.

u_t = -u u_x - u_xx - u_xxxx on a circle of length L. In Fourier space v' = c v + N(v)
with c = k² - k⁴ and N(v) = -(i k / 2) F(u²). With step h, e = exp(h c), s = exp(h c/2)
and q = (s - 1) / c, the fourth-order exponential Runge-Kutta scheme of Cox & Matthews
as Kassam & Trefethen (2005) write it is

    a = s v + q N(v),  b = s v + q N(a),  w = s a + q (2 N(b) - N(v))
    v(t + h) = e v + f1 N(v) + 2 f2 (N(a) + N(b)) + f3 N(w)

    f1 = h (-4 - z + e (4 - 3 z + z²)) / z³,  f2 = h (2 + z + e (z - 2)) / z³,
    f3 = h (-4 - 3 z - z² + e (4 - z)) / z³,   z = h c

The coefficients suffer from cancellation for small z and are therefore computed as
means over a circle around z in the complex plane, which is what they add to it.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from functools import partial

import numpy as np

from skdyn.datasets._system import Map, at_defaults, check_parameters

__all__ = ["kuramoto_sivashinsky"]

# Points on the contour; the mean of a periodic function converges geometrically.
_CONTOUR = 32


def kuramoto_sivashinsky(
    length: float = 22.0,
    n_points: int = 64,
    dt: float = 0.25,
    n_substeps: int = 4,
) -> Map:
    """The Kuramoto-Sivashinsky equation on a circle: flames, films, chaos in space.

    ::

        u_t = -u u_x - u_xx - u_xxxx,   u(x + L, t) = u(x, t)

    as the map over one time step of the values at equally spaced points. The mean of u
    is conserved; shifts along the circle and (x, u) -> (-x, -u) carry solutions into
    solutions.

    Parameters
    ----------
    length : float, default=22.0
        L, the only parameter of the equation. The number of positive exponents grows in
        proportion to it.
    n_points : int, default=64
        Points of the grid, even and at least 8. Three for each unit of length resolve
        the solution to rounding.
    dt : float, default=0.25
        Time of one step of the map.
    n_substeps : int, default=4
        Steps of the method within one of the map. Its error falls with their fourth
        power once they resolve the damping of all waves that matter, with the third
        before; at the defaults it is some 1e-5 after 2 units of time, and a hundred
        times that with one substep.

    Returns
    -------
    Map
        Features u0, u1, ..., the values at ``x = i * length / n_points``. At the
        defaults the largest exponent is 0.048 per unit time. Starts have mean 0.

    References
    ----------
    Kuramoto & Tsuzuki, "Persistent propagation of concentration waves in dissipative
    media far from thermal equilibrium", Progress of Theoretical Physics 55 (1976), 356.

    Sivashinsky, "Nonlinear analysis of hydrodynamic instability in laminar flames",
    Acta Astronautica 4 (1977), 1177.

    Kassam & Trefethen, "Fourth-order time-stepping for stiff PDEs", SIAM Journal on
    Scientific Computing 26 (2005), 1214, for the method.

    Cvitanović, Davidchack & Siminos, "On the state space geometry of the
    Kuramoto-Sivashinsky flow in a periodic domain", SIAM Journal on Applied Dynamical
    Systems 9 (2010), 1, for the exponent at L = 22.

    Edson, Bunder, Mattner & Roberts, "Lyapunov exponents of the Kuramoto-Sivashinsky
    PDE", ANZIAM Journal 61 (2019), 270, for other lengths.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.datasets import kuramoto_sivashinsky
    >>> system = kuramoto_sivashinsky()
    >>> system.step(system.start(np.random.RandomState(0), 3)).shape
    (3, 64)
    """
    n = n_points
    if not _is_whole(n) or n < 8 or n % 2:
        raise ValueError(
            f"kuramoto_sivashinsky needs an even number of at least 8 points, got "
            f"{n!r}."
        )
    if not _is_whole(n_substeps) or n_substeps < 1:
        raise ValueError(
            f"kuramoto_sivashinsky needs a positive whole number of substeps, got "
            f"{n_substeps!r}."
        )
    parameters = check_parameters(
        "kuramoto_sivashinsky",
        {"length": length, "n_points": int(n), "dt": dt, "n_substeps": int(n_substeps)},
        positive=("length", "dt"),
    )
    # The choice of grid and step does not change the exponent.
    known = at_defaults(kuramoto_sivashinsky, {"length": length})
    stepper = _ETDRK4.of(float(length), int(n), dt / n_substeps, int(n_substeps))
    return Map(
        step=stepper,
        n_features=int(n),
        jacobian=stepper.jacobian,
        name="Kuramoto-Sivashinsky",
        feature_names=tuple(f"u{i}" for i in range(n)),
        parameters=parameters,
        dt=float(dt),
        lyapunov_exponents=(0.048,) if known else None,
        start=partial(_long_waves, n_points=int(n)),
        warmup=250.0,
        reference=(
            "Kassam & Trefethen, SIAM Journal on Scientific Computing 26 (2005), 1214; "
            "exponent: Cvitanović, Davidchack & Siminos, SIAM Journal on Applied "
            "Dynamical Systems 9 (2010), 1"
        ),
    )


def _is_whole(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _long_waves(
    rng: np.random.RandomState, n: int, *, n_points: int, n_waves: int = 3
) -> np.ndarray:
    """Starts of mean zero: the longest waves, with random amplitudes and phases."""
    angle = 2.0 * np.pi * np.arange(n_points) / n_points
    waves = np.arange(1, n_waves + 1)[:, None] * angle
    basis = np.concatenate([np.cos(waves), np.sin(waves)])
    sizes = rng.standard_normal((n, len(basis)))
    # No matrix product, whose rounding depends on n.
    return (sizes[:, :, None] * basis).sum(axis=1)


@dataclass(frozen=True, eq=False)
class _ETDRK4:
    """The step, with its coefficients, (n_points / 2 + 1,) each; see the module."""

    n: int
    n_substeps: int
    # The nonlinear term is `slope` times the transform of u².
    slope: np.ndarray
    e: np.ndarray
    s: np.ndarray
    q: np.ndarray
    f1: np.ndarray
    f2: np.ndarray
    f3: np.ndarray

    @staticmethod
    def of(length: float, n: int, h: float, n_substeps: int) -> _ETDRK4:
        k = 2.0 * np.pi / length * np.arange(n // 2 + 1)
        z = h * (k**2 - k**4)
        # Half a circle: the other half adds the conjugates.
        circle = np.exp(1j * np.pi * (np.arange(1, _CONTOUR + 1) - 0.5) / _CONTOUR)
        w = z[:, None] + circle
        grown = np.exp(w)

        def mean(values: np.ndarray) -> np.ndarray:
            return h * values.mean(axis=1).real

        # The derivative of the shortest wave vanishes on the grid.
        slope = -0.5j * k
        slope[-1] = 0.0
        return _ETDRK4(
            n,
            n_substeps,
            slope,
            np.exp(z),
            np.exp(z / 2),
            mean((np.exp(w / 2) - 1) / w),
            mean((-4 - w + grown * (4 - 3 * w + w**2)) / w**3),
            mean((2 + w + grown * (w - 2)) / w**3),
            mean((-4 - 3 * w - w**2 + grown * (4 - w)) / w**3),
        )

    def _to_grid(self, v: np.ndarray) -> np.ndarray:
        return np.fft.irfft(v, n=self.n, axis=-1)

    def _nonlinear(self, u: np.ndarray) -> np.ndarray:
        return self.slope * np.fft.rfft(u * u, axis=-1)

    def __call__(self, u: np.ndarray) -> np.ndarray:
        """One step of the grid values u (..., n)."""
        v = np.fft.rfft(u, axis=-1)
        for _ in range(self.n_substeps):
            half = self.s * v
            N_v = self._nonlinear(u)
            a = half + self.q * N_v
            N_a = self._nonlinear(self._to_grid(a))
            N_b = self._nonlinear(self._to_grid(half + self.q * N_a))
            N_w = self._nonlinear(self._to_grid(self.s * a + self.q * (2 * N_b - N_v)))
            v = self.e * v + self.f1 * N_v + self.f3 * N_w
            v += 2 * self.f2 * (N_a + N_b)
            u = self._to_grid(v)
        return u

    def jacobian(self, u: np.ndarray) -> np.ndarray:
        """Derivative (..., n, n) of the step: the linearised scheme on unit vectors."""

        def linear(u: np.ndarray, d: np.ndarray) -> np.ndarray:
            # N is quadratic: dN = 2 slope F(u du).
            return 2 * self.slope * np.fft.rfft(u[..., None, :] * d, axis=-1)

        v, d = np.fft.rfft(u, axis=-1), np.eye(self.n)
        d_v = np.fft.rfft(d, axis=-1)
        for _ in range(self.n_substeps):
            half, d_half = self.s * v, self.s * d_v
            N_v, dN_v = self._nonlinear(u), linear(u, d)
            a, d_a = half + self.q * N_v, d_half + self.q * dN_v
            u_a = self._to_grid(a)
            N_a, dN_a = self._nonlinear(u_a), linear(u_a, self._to_grid(d_a))
            u_b = self._to_grid(half + self.q * N_a)
            d_b = self._to_grid(d_half + self.q * dN_a)
            N_b, dN_b = self._nonlinear(u_b), linear(u_b, d_b)
            u_w = self._to_grid(self.s * a + self.q * (2 * N_b - N_v))
            d_w = self._to_grid(self.s * d_a + self.q * (2 * dN_b - dN_v))
            N_w, dN_w = self._nonlinear(u_w), linear(u_w, d_w)
            v = self.e * v + self.f1 * N_v + 2 * self.f2 * (N_a + N_b) + self.f3 * N_w
            d_v = self.e * d_v + self.f1 * dN_v + self.f3 * dN_w
            d_v += 2 * self.f2 * (dN_a + dN_b)
            u, d = self._to_grid(v), self._to_grid(d_v)
        # Row j is the derivative by u[j]; rows by equation are the transpose.
        return np.swapaxes(d, -1, -2)

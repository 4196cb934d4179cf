"""Orbits with known invariants, made once."""

import numpy as np
import pytest


def _lorenz(n, start, dt=0.01):
    """Lorenz-63 by the classical Runge-Kutta method, in plain Python floats."""

    def velocity(x, y, z):
        return 10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z

    s, rows = start, []
    for _ in range(n + 2000):
        a = velocity(*s)
        b = velocity(*(u + dt / 2 * v for u, v in zip(s, a, strict=True)))
        c = velocity(*(u + dt / 2 * v for u, v in zip(s, b, strict=True)))
        d = velocity(*(u + dt * v for u, v in zip(s, c, strict=True)))
        s = tuple(
            u + dt / 6 * (p + 2 * q + 2 * r + w)
            for u, p, q, r, w in zip(s, a, b, c, d, strict=True)
        )
        rows.append(s)
    return np.array(rows[2000:])


@pytest.fixture(scope="session")
def lorenz():
    """Two orbits of Lorenz-63, 50,000 rows each, dt = 0.01."""
    return _lorenz(50_000, (1.0, 1.0, 20.0)), _lorenz(50_000, (-3.0, 2.0, 25.0))


@pytest.fixture(scope="session")
def henon():
    """Make an orbit of the Hénon map, both coordinates, of so many rows."""

    def make(n, start=0.1):
        x, y, rows = start, 0.1, []
        for _ in range(n + 100):
            x, y = 1 - 1.4 * x * x + y, 0.3 * x
            rows.append((x, y))
        return np.array(rows[100:])

    return make


@pytest.fixture(scope="session")
def logistic():
    """Make an orbit of the logistic map at r = 4, of so many rows."""

    def make(n):
        x, rows = 0.3, []
        for _ in range(n):
            x = 4 * x * (1 - x)
            rows.append((x,))
        return np.array(rows)

    return make

"""Generators of known systems: one trajectory on the attractor, as an array.

Each is `make_trajectories` of one system with its parameters spelled out. For many
trajectories, chosen starts, noise in the dynamics or other tolerances, pass the system
itself: ``make_trajectories(rossler(), n_trajectories=100)``.
"""

from __future__ import annotations

import math

import numpy as np

from skdyn.datasets._flows import (
    bursting_neuron,
    chua,
    double_pendulum,
    duffing,
    hindmarsh_rose,
    lorenz63,
    lorenz96,
    lotka_volterra,
    pendulum,
    rossler,
    sprott_m,
    van_der_pol,
)
from skdyn.datasets._kuramoto_sivashinsky import kuramoto_sivashinsky
from skdyn.datasets._mackey_glass import mackey_glass
from skdyn.datasets._maps import henon, ikeda, logistic
from skdyn.datasets._simulate import make_trajectories

__all__ = [
    "make_bursting_neuron",
    "make_chua",
    "make_double_pendulum",
    "make_duffing",
    "make_henon",
    "make_hindmarsh_rose",
    "make_ikeda",
    "make_kuramoto_sivashinsky",
    "make_logistic",
    "make_lorenz63",
    "make_lorenz96",
    "make_lotka_volterra",
    "make_mackey_glass",
    "make_pendulum",
    "make_rossler",
    "make_sprott_m",
    "make_van_der_pol",
]


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

    See Also
    --------
    lorenz63 : The system: equations, Jacobian, figures, references.
    make_trajectories : Many trajectories, chosen starts, noise in the dynamics.

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
    return make_trajectories(
        lorenz63(sigma, rho, beta),
        n_samples,
        dt=dt,
        warmup=warmup,
        noise=noise,
        random_state=random_state,
        rtol=1e-10,
        atol=1e-10,
    )


def make_lorenz96(
    n_samples: int = 2000,
    *,
    dt: float = 0.05,
    n_features: int = 40,
    forcing: float = 8.0,
    noise: float = 0.0,
    warmup: float = 50.0,
    random_state: int | np.random.RandomState | None = 0,
) -> np.ndarray:
    """Integrate the Lorenz-96 system from a random start on its attractor.

    Parameters
    ----------
    n_samples : int, default=2000
        Number of rows.
    dt : float, default=0.05
        Time between rows.
    n_features : int, default=40
        Number of sites on the circle, at least 4.
    forcing : float, default=8.0
        The drive F; 8 is chaotic.
    noise : float, default=0.0
        Standard deviation of white observation noise, as a fraction of each feature's
        standard deviation.
    warmup : float, default=50.0
        Time integrated and thrown away before the first row.
    random_state : int, RandomState instance or None, default=0
        Seed of the start and the noise.

    Returns
    -------
    ndarray of shape (n_samples, n_features)
        Columns x0, x1, ..., the sites in order.

    See Also
    --------
    lorenz96 : The system: equations, Jacobian, figures, references.
    make_trajectories : Many trajectories, chosen starts, noise in the dynamics.

    Examples
    --------
    >>> from skdyn.datasets import make_lorenz96
    >>> make_lorenz96(500, n_features=8).shape
    (500, 8)
    """
    return make_trajectories(
        lorenz96(n_features, forcing),
        n_samples,
        dt=dt,
        warmup=warmup,
        noise=noise,
        random_state=random_state,
    )


def make_rossler(
    n_samples: int = 2000,
    *,
    dt: float = 0.1,
    a: float = 0.2,
    b: float = 0.2,
    c: float = 5.7,
    noise: float = 0.0,
    warmup: float = 200.0,
    random_state: int | np.random.RandomState | None = 0,
) -> np.ndarray:
    """Integrate the Rössler system from a random start on its attractor.

    Parameters
    ----------
    n_samples : int, default=2000
        Number of rows.
    dt : float, default=0.1
        Time between rows.
    a, b, c : float
        Parameters of the equations, see `rossler`.
    noise : float, default=0.0
        Standard deviation of white observation noise, as a fraction of each feature's
        standard deviation.
    warmup : float, default=200.0
        Time integrated and thrown away before the first row.
    random_state : int, RandomState instance or None, default=0
        Seed of the start and the noise.

    Returns
    -------
    ndarray of shape (n_samples, 3)
        Columns x, y, z.

    See Also
    --------
    rossler : The system: equations, Jacobian, figures, references.
    make_trajectories : Many trajectories, chosen starts, noise in the dynamics.

    Examples
    --------
    >>> from skdyn.datasets import make_rossler
    >>> make_rossler(500).shape
    (500, 3)
    """
    return make_trajectories(
        rossler(a, b, c),
        n_samples,
        dt=dt,
        warmup=warmup,
        noise=noise,
        random_state=random_state,
    )


def make_chua(
    n_samples: int = 2000,
    *,
    dt: float = 0.05,
    alpha: float = 9.0,
    beta: float = 100.0 / 7.0,
    m0: float = -1.0 / 7.0,
    m1: float = 2.0 / 7.0,
    noise: float = 0.0,
    warmup: float = 100.0,
    random_state: int | np.random.RandomState | None = 0,
) -> np.ndarray:
    """Integrate Chua's circuit from a random start on its attractor.

    Parameters
    ----------
    n_samples : int, default=2000
        Number of rows.
    dt : float, default=0.05
        Time between rows.
    alpha, beta, m0, m1 : float
        Parameters of the equations, see `chua`.
    noise : float, default=0.0
        Standard deviation of white observation noise, as a fraction of each feature's
        standard deviation.
    warmup : float, default=100.0
        Time integrated and thrown away before the first row.
    random_state : int, RandomState instance or None, default=0
        Seed of the start and the noise.

    Returns
    -------
    ndarray of shape (n_samples, 3)
        Columns x, y, z.

    See Also
    --------
    chua : The system: equations, Jacobian, figures, references.
    make_trajectories : Many trajectories, chosen starts, noise in the dynamics.

    Examples
    --------
    >>> from skdyn.datasets import make_chua
    >>> make_chua(500).shape
    (500, 3)
    """
    return make_trajectories(
        chua(alpha, beta, m0, m1),
        n_samples,
        dt=dt,
        warmup=warmup,
        noise=noise,
        random_state=random_state,
    )


def make_sprott_m(
    n_samples: int = 2000,
    *,
    dt: float = 0.1,
    a: float = 1.7,
    noise: float = 0.0,
    warmup: float = 300.0,
    random_state: int | np.random.RandomState | None = 0,
) -> np.ndarray:
    """Integrate Sprott's case M from a random start on its attractor.

    Parameters
    ----------
    n_samples : int, default=2000
        Number of rows.
    dt : float, default=0.1
        Time between rows.
    a : float, default=1.7
        Parameter of the equations, see `sprott_m`.
    noise : float, default=0.0
        Standard deviation of white observation noise, as a fraction of each feature's
        standard deviation.
    warmup : float, default=300.0
        Time integrated and thrown away before the first row.
    random_state : int, RandomState instance or None, default=0
        Seed of the start and the noise.

    Returns
    -------
    ndarray of shape (n_samples, 3)
        Columns x, y, z.

    See Also
    --------
    sprott_m : The system: equations, Jacobian, figures, references.
    make_trajectories : Many trajectories, chosen starts, noise in the dynamics.

    Examples
    --------
    >>> from skdyn.datasets import make_sprott_m
    >>> make_sprott_m(500).shape
    (500, 3)
    """
    return make_trajectories(
        sprott_m(a),
        n_samples,
        dt=dt,
        warmup=warmup,
        noise=noise,
        random_state=random_state,
    )


def make_van_der_pol(
    n_samples: int = 2000,
    *,
    dt: float = 0.1,
    mu: float = 1.0,
    noise: float = 0.0,
    warmup: float = 50.0,
    random_state: int | np.random.RandomState | None = 0,
) -> np.ndarray:
    """Integrate the Van der Pol oscillator on its limit cycle.

    Parameters
    ----------
    n_samples : int, default=2000
        Number of rows.
    dt : float, default=0.1
        Time between rows.
    mu : float, default=1.0
        Strength of the nonlinear damping; stiff for large values.
    noise : float, default=0.0
        Standard deviation of white observation noise, as a fraction of each feature's
        standard deviation.
    warmup : float, default=50.0
        Time integrated and thrown away before the first row.
    random_state : int, RandomState instance or None, default=0
        Seed of the start and the noise.

    Returns
    -------
    ndarray of shape (n_samples, 2)
        Columns x, v.

    See Also
    --------
    van_der_pol : The system: equations, Jacobian, figures, references.
    make_trajectories : Many trajectories, chosen starts, noise in the dynamics.

    Examples
    --------
    >>> from skdyn.datasets import make_van_der_pol
    >>> make_van_der_pol(500).shape
    (500, 2)
    """
    return make_trajectories(
        van_der_pol(mu),
        n_samples,
        dt=dt,
        warmup=warmup,
        noise=noise,
        random_state=random_state,
    )


def make_lotka_volterra(
    n_samples: int = 2000,
    *,
    dt: float = 0.1,
    alpha: float = 0.55,
    beta: float = 0.028,
    gamma: float = 0.80,
    delta: float = 0.024,
    noise: float = 0.0,
    warmup: float = 0.0,
    random_state: int | np.random.RandomState | None = 0,
) -> np.ndarray:
    """Integrate prey and predators of Lotka and Volterra from a random start.

    Parameters
    ----------
    n_samples : int, default=2000
        Number of rows.
    dt : float, default=0.1
        Time between rows.
    alpha, beta, gamma, delta : float
        Parameters of the equations, see `lotka_volterra`.
    noise : float, default=0.0
        Standard deviation of white observation noise, as a fraction of each feature's
        standard deviation.
    warmup : float, default=0.0
        Time integrated and thrown away before the first row.
    random_state : int, RandomState instance or None, default=0
        Seed of the start and the noise.

    Returns
    -------
    ndarray of shape (n_samples, 2)
        Columns prey, predator.

    See Also
    --------
    lotka_volterra : The system: equations, Jacobian, figures, references.
    make_trajectories : Many trajectories, chosen starts, noise in the dynamics.

    Examples
    --------
    >>> from skdyn.datasets import make_lotka_volterra
    >>> make_lotka_volterra(500).shape
    (500, 2)
    """
    return make_trajectories(
        lotka_volterra(alpha, beta, gamma, delta),
        n_samples,
        dt=dt,
        warmup=warmup,
        noise=noise,
        random_state=random_state,
    )


def make_duffing(
    n_samples: int = 2000,
    *,
    dt: float = math.pi / 50,
    delta: float = 0.05,
    alpha: float = 0.0,
    beta: float = 1.0,
    gamma: float = 7.5,
    omega: float = 1.0,
    noise: float = 0.0,
    warmup: float = 100 * math.pi,
    random_state: int | np.random.RandomState | None = 0,
) -> np.ndarray:
    """Integrate Duffing's driven oscillator from a random start on its attractor.

    Parameters
    ----------
    n_samples : int, default=2000
        Number of rows.
    dt : float, default=pi / 50
        Time between rows; the default is 100 rows for each turn of the usual drive.
    delta, alpha, beta, gamma, omega : float
        Parameters of the equations, see `duffing`.
    noise : float, default=0.0
        Standard deviation of white observation noise, as a fraction of each feature's
        standard deviation.
    warmup : float, default=100 pi
        Time integrated and thrown away before the first row; 50 turns of the usual
        drive.
    random_state : int, RandomState instance or None, default=0
        Seed of the start and the noise.

    Returns
    -------
    ndarray of shape (n_samples, 2)
        Columns x, v. The drive is ``gamma cos(omega (warmup + k dt))`` at row k.

    See Also
    --------
    duffing : The system: equations, Jacobian, figures, references.
    make_trajectories : Many trajectories, chosen starts, noise in the dynamics.

    Examples
    --------
    >>> from skdyn.datasets import make_duffing
    >>> make_duffing(500).shape
    (500, 2)
    """
    return make_trajectories(
        duffing(delta, alpha, beta, gamma, omega),
        n_samples,
        dt=dt,
        warmup=warmup,
        noise=noise,
        random_state=random_state,
    )


def make_pendulum(
    n_samples: int = 2000,
    *,
    dt: float = 0.1,
    damping: float = 0.0,
    drive: float = 0.0,
    drive_frequency: float = 2.0 / 3.0,
    frequency: float = 1.0,
    noise: float = 0.0,
    warmup: float = 0.0,
    random_state: int | np.random.RandomState | None = 0,
) -> np.ndarray:
    """Integrate a pendulum from rest at a random angle.

    Parameters
    ----------
    n_samples : int, default=2000
        Number of rows.
    dt : float, default=0.1
        Time between rows.
    damping, drive, drive_frequency, frequency : float
        Parameters of the equations, see `pendulum`.
    noise : float, default=0.0
        Standard deviation of white observation noise, as a fraction of each feature's
        standard deviation.
    warmup : float, default=0.0
        Time integrated and thrown away before the first row; a driven pendulum needs
        some 50 turns of its drive.
    random_state : int, RandomState instance or None, default=0
        Seed of the start and the noise.

    Returns
    -------
    ndarray of shape (n_samples, 2)
        Columns theta, omega.

    See Also
    --------
    pendulum : The system: equations, Jacobian, figures, references.
    make_trajectories : Many trajectories, chosen starts, noise in the dynamics.

    Examples
    --------
    >>> from skdyn.datasets import make_pendulum
    >>> make_pendulum(500).shape
    (500, 2)
    """
    return make_trajectories(
        pendulum(damping, drive, drive_frequency, frequency),
        n_samples,
        dt=dt,
        warmup=warmup,
        noise=noise,
        random_state=random_state,
    )


def make_double_pendulum(
    n_samples: int = 2000,
    *,
    dt: float = 0.02,
    mass1: float = 1.0,
    mass2: float = 1.0,
    length1: float = 1.0,
    length2: float = 1.0,
    gravity: float = 9.81,
    damping: float = 0.0,
    noise: float = 0.0,
    warmup: float = 0.0,
    random_state: int | np.random.RandomState | None = 0,
) -> np.ndarray:
    """Integrate a double pendulum from rest at random angles.

    Parameters
    ----------
    n_samples : int, default=2000
        Number of rows.
    dt : float, default=0.02
        Time between rows.
    mass1, mass2, length1, length2, gravity, damping : float
        Masses, rods, gravity and friction, see `double_pendulum`.
    noise : float, default=0.0
        Standard deviation of white observation noise, as a fraction of each feature's
        standard deviation.
    warmup : float, default=0.0
        Time integrated and thrown away before the first row.
    random_state : int, RandomState instance or None, default=0
        Seed of the start and the noise.

    Returns
    -------
    ndarray of shape (n_samples, 4)
        Columns theta1, theta2, omega1, omega2.

    See Also
    --------
    double_pendulum : The system: equations, Jacobian, figures, references.
    make_trajectories : Many trajectories, chosen starts, noise in the dynamics.

    Examples
    --------
    >>> from skdyn.datasets import make_double_pendulum
    >>> make_double_pendulum(500).shape
    (500, 4)
    """
    return make_trajectories(
        double_pendulum(mass1, mass2, length1, length2, gravity, damping),
        n_samples,
        dt=dt,
        warmup=warmup,
        noise=noise,
        random_state=random_state,
    )


def make_hindmarsh_rose(
    n_samples: int = 2000,
    *,
    dt: float = 0.1,
    current: float = 3.25,
    a: float = 1.0,
    b: float = 3.0,
    c: float = 1.0,
    d: float = 5.0,
    r: float = 0.006,
    s: float = 4.0,
    rest: float = -1.6,
    noise: float = 0.0,
    warmup: float = 1000.0,
    random_state: int | np.random.RandomState | None = 0,
) -> np.ndarray:
    """Integrate the Hindmarsh-Rose neuron from a random start on its attractor.

    Parameters
    ----------
    n_samples : int, default=2000
        Number of rows.
    dt : float, default=0.1
        Time between rows.
    current, a, b, c, d, r, s, rest : float
        Parameters of the equations, see `hindmarsh_rose`.
    noise : float, default=0.0
        Standard deviation of white observation noise, as a fraction of each feature's
        standard deviation.
    warmup : float, default=1000.0
        Time integrated and thrown away before the first row.
    random_state : int, RandomState instance or None, default=0
        Seed of the start and the noise.

    Returns
    -------
    ndarray of shape (n_samples, 3)
        Columns x, y, z.

    See Also
    --------
    hindmarsh_rose : The system: equations, Jacobian, figures, references.
    make_trajectories : Many trajectories, chosen starts, noise in the dynamics.

    Examples
    --------
    >>> from skdyn.datasets import make_hindmarsh_rose
    >>> make_hindmarsh_rose(500).shape
    (500, 3)
    """
    return make_trajectories(
        hindmarsh_rose(current, a, b, c, d, r, s, rest),
        n_samples,
        dt=dt,
        warmup=warmup,
        noise=noise,
        random_state=random_state,
    )


def make_bursting_neuron(
    n_samples: int = 2000,
    *,
    dt: float = 0.05,
    g_nmda: float = 10.2,
    current: float = 0.0,
    noise: float = 0.0,
    warmup: float = 600.0,
    random_state: int | np.random.RandomState | None = 0,
) -> np.ndarray:
    """Integrate Durstewitz's bursting neuron from a random start.

    Parameters
    ----------
    n_samples : int, default=2000
        Number of rows.
    dt : float, default=0.05
        Time between rows, in ms.
    g_nmda, current : float
        Parameters of the equations, see `bursting_neuron`.
    noise : float, default=0.0
        Standard deviation of white observation noise, as a fraction of each feature's
        standard deviation.
    warmup : float, default=600.0
        Time integrated and thrown away before the first row.
    random_state : int, RandomState instance or None, default=0
        Seed of the start and the noise.

    Returns
    -------
    ndarray of shape (n_samples, 3)
        Columns V, n, h.

    See Also
    --------
    bursting_neuron : The system: equations, Jacobian, figures, references.
    make_trajectories : Many trajectories, chosen starts, noise in the dynamics.

    Examples
    --------
    >>> from skdyn.datasets import make_bursting_neuron
    >>> make_bursting_neuron(500).shape
    (500, 3)
    """
    return make_trajectories(
        bursting_neuron(g_nmda, current),
        n_samples,
        dt=dt,
        warmup=warmup,
        noise=noise,
        random_state=random_state,
    )


def make_henon(
    n_samples: int = 2000,
    *,
    dt: float = 1.0,
    a: float = 1.4,
    b: float = 0.3,
    noise: float = 0.0,
    warmup: float = 100.0,
    random_state: int | np.random.RandomState | None = 0,
) -> np.ndarray:
    """Iterate the Hénon map from a random start on its attractor.

    Parameters
    ----------
    n_samples : int, default=2000
        Number of rows.
    dt : float, default=1.0
        Time between rows, a whole number of steps.
    a, b : float
        Parameters of the equations, see `henon`.
    noise : float, default=0.0
        Standard deviation of white observation noise, as a fraction of each feature's
        standard deviation.
    warmup : float, default=100.0
        Steps made and thrown away before the first row.
    random_state : int, RandomState instance or None, default=0
        Seed of the start and the noise.

    Returns
    -------
    ndarray of shape (n_samples, 2)
        Columns x, y.

    See Also
    --------
    henon : The system: equations, Jacobian, figures, references.
    make_trajectories : Many trajectories, chosen starts, noise in the dynamics.

    Examples
    --------
    >>> from skdyn.datasets import make_henon
    >>> make_henon(500).shape
    (500, 2)
    """
    return make_trajectories(
        henon(a, b),
        n_samples,
        dt=dt,
        warmup=warmup,
        noise=noise,
        random_state=random_state,
    )


def make_logistic(
    n_samples: int = 2000,
    *,
    dt: float = 1.0,
    r: float = 4.0,
    noise: float = 0.0,
    warmup: float = 100.0,
    random_state: int | np.random.RandomState | None = 0,
) -> np.ndarray:
    """Iterate the logistic map from a random start on its attractor.

    Parameters
    ----------
    n_samples : int, default=2000
        Number of rows.
    dt : float, default=1.0
        Time between rows, a whole number of steps.
    r : float, default=4.0
        Growth, from 0 to 4.
    noise : float, default=0.0
        Standard deviation of white observation noise, as a fraction of each feature's
        standard deviation.
    warmup : float, default=100.0
        Steps made and thrown away before the first row.
    random_state : int, RandomState instance or None, default=0
        Seed of the start and the noise.

    Returns
    -------
    ndarray of shape (n_samples, 1)
        Column x.

    See Also
    --------
    logistic : The system: equations, Jacobian, figures, references.
    make_trajectories : Many trajectories, chosen starts, noise in the dynamics.

    Examples
    --------
    >>> from skdyn.datasets import make_logistic
    >>> make_logistic(500).shape
    (500, 1)
    """
    return make_trajectories(
        logistic(r),
        n_samples,
        dt=dt,
        warmup=warmup,
        noise=noise,
        random_state=random_state,
    )


def make_ikeda(
    n_samples: int = 2000,
    *,
    dt: float = 1.0,
    mu: float = 0.9,
    a: float = 0.4,
    b: float = 6.0,
    noise: float = 0.0,
    warmup: float = 100.0,
    random_state: int | np.random.RandomState | None = 0,
) -> np.ndarray:
    """Iterate the Ikeda map from a random start on its attractor.

    Parameters
    ----------
    n_samples : int, default=2000
        Number of rows.
    dt : float, default=1.0
        Time between rows, a whole number of steps.
    mu, a, b : float
        Parameters of the equations, see `ikeda`.
    noise : float, default=0.0
        Standard deviation of white observation noise, as a fraction of each feature's
        standard deviation.
    warmup : float, default=100.0
        Steps made and thrown away before the first row.
    random_state : int, RandomState instance or None, default=0
        Seed of the start and the noise.

    Returns
    -------
    ndarray of shape (n_samples, 2)
        Columns x, y.

    See Also
    --------
    ikeda : The system: equations, Jacobian, figures, references.
    make_trajectories : Many trajectories, chosen starts, noise in the dynamics.

    Examples
    --------
    >>> from skdyn.datasets import make_ikeda
    >>> make_ikeda(500).shape
    (500, 2)
    """
    return make_trajectories(
        ikeda(mu, a, b),
        n_samples,
        dt=dt,
        warmup=warmup,
        noise=noise,
        random_state=random_state,
    )


def make_kuramoto_sivashinsky(
    n_samples: int = 2000,
    *,
    dt: float = 0.25,
    length: float = 22.0,
    n_points: int = 64,
    n_substeps: int = 4,
    noise: float = 0.0,
    warmup: float = 250.0,
    random_state: int | np.random.RandomState | None = 0,
) -> np.ndarray:
    """Integrate the Kuramoto-Sivashinsky equation from a random start of mean 0.

    Parameters
    ----------
    n_samples : int, default=2000
        Number of rows.
    dt : float, default=0.25
        Time between rows.
    length : float, default=22.0
        Length of the circle.
    n_points : int, default=64
        Points of the grid, even; three for each unit of length resolve everything.
    n_substeps : int, default=4
        Steps of the method between two rows, see `kuramoto_sivashinsky`.
    noise : float, default=0.0
        Standard deviation of white observation noise, as a fraction of each feature's
        standard deviation.
    warmup : float, default=250.0
        Time integrated and thrown away before the first row.
    random_state : int, RandomState instance or None, default=0
        Seed of the start and the noise.

    Returns
    -------
    ndarray of shape (n_samples, n_points)
        Columns u0, u1, ..., the values around the circle.

    See Also
    --------
    kuramoto_sivashinsky : The system: equations, Jacobian, figures, references.
    make_trajectories : Many trajectories, chosen starts, noise in the dynamics.

    Examples
    --------
    >>> from skdyn.datasets import make_kuramoto_sivashinsky
    >>> make_kuramoto_sivashinsky(100).shape
    (100, 64)
    """
    return make_trajectories(
        kuramoto_sivashinsky(length, n_points, dt, n_substeps),
        n_samples,
        dt=dt,
        warmup=warmup,
        noise=noise,
        random_state=random_state,
    )


def make_mackey_glass(
    n_samples: int = 2000,
    *,
    dt: float = 1.0,
    beta: float = 0.2,
    gamma: float = 0.1,
    n: float = 10.0,
    tau: float = 17.0,
    step: float = 0.25,
    noise: float = 0.0,
    warmup: float = 1700.0,
    random_state: int | np.random.RandomState | None = 0,
) -> np.ndarray:
    """Integrate the Mackey-Glass delay equation from a random constant history.

    Parameters
    ----------
    n_samples : int, default=2000
        Number of rows.
    dt : float, default=1.0
        Time between rows.
    beta, gamma, n, tau : float
        Parameters of the equations, see `mackey_glass`.
    step : float, default=0.25
        Time of one step of the method, a whole fraction of `tau` and of `dt`.
    noise : float, default=0.0
        Standard deviation of white observation noise, as a fraction of each feature's
        standard deviation.
    warmup : float, default=1700.0
        Time integrated and thrown away before the first row.
    random_state : int, RandomState instance or None, default=0
        Seed of the start and the noise.

    Returns
    -------
    ndarray of shape (n_samples, 1)
        Column x. The history between rows is not returned.

    See Also
    --------
    mackey_glass : The system: equations, Jacobian, figures, references.
    make_trajectories : Many trajectories, chosen starts, noise in the dynamics.

    Examples
    --------
    >>> from skdyn.datasets import make_mackey_glass
    >>> make_mackey_glass(500).shape
    (500, 1)
    """
    return make_trajectories(
        mackey_glass(beta, gamma, n, tau, step),
        n_samples,
        dt=dt,
        warmup=warmup,
        noise=noise,
        random_state=random_state,
        observed="x",
    )

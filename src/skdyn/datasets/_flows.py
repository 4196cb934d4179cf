"""Systems in continuous time, as values.

Each factory returns a `Flow`: the velocity and its exact Jacobian, both batched, with
random starts, a usual time step, and the typical period and Lyapunov exponents where
they are known for the default parameters. Equations stand in the docstrings of the
factories, sources in their references.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from skdyn.datasets._system import (
    Flow,
    at_defaults,
    check_parameters,
    normal_start,
    uniform_start,
)

__all__ = [
    "bursting_neuron",
    "chua",
    "double_pendulum",
    "duffing",
    "hindmarsh_rose",
    "lorenz63",
    "lorenz96",
    "lotka_volterra",
    "pendulum",
    "rossler",
    "sprott_m",
    "van_der_pol",
]


def _zeros(x: np.ndarray) -> np.ndarray:
    """Zeros for the Jacobians of the states `x`."""
    return np.zeros((*x.shape, x.shape[-1]), dtype=x.dtype)


def _coordinates(s: np.ndarray) -> Any:
    """The coordinates of the states `s` (batch, d): d arrays (batch,).

    Of a single state, d plain numbers: one trajectory is the usual case, and numpy
    takes many times as long over one number. The arithmetic is the same.
    """
    return s[0].tolist() if len(s) == 1 else s.T


def _states(values: tuple[Any, ...], s: np.ndarray) -> np.ndarray:
    """Put d coordinates together, (batch, d), in the dtype of `s`."""
    return np.array(values, dtype=s.dtype).reshape(len(values), -1).T


# --- convection and weather


def lorenz63(sigma: float = 10.0, rho: float = 28.0, beta: float = 8.0 / 3.0) -> Flow:
    """Lorenz's 1963 equations of convection, the fruit fly of chaos.

    ::

        x' = sigma (y - x)
        y' = x (rho - z) - y
        z' = x y - beta z

    The system is unchanged under (x, y, z) -> (-x, -y, z) and shrinks volumes at the
    constant rate sigma + 1 + beta.

    Parameters
    ----------
    sigma, rho, beta : float
        Prandtl number, relative Rayleigh number and a geometric factor; the defaults
        are Lorenz's.

    Returns
    -------
    Flow
        Features x, y, z. At the defaults: period 0.75, exponents 0.9056, 0, -14.572.

    References
    ----------
    Lorenz, "Deterministic nonperiodic flow", Journal of the Atmospheric Sciences 20
    (1963), 130, equations (25) to (27).

    Sprott, *Chaos and Time-Series Analysis*, Oxford University Press (2003),
    appendix A, for the exponents.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.datasets import lorenz63
    >>> system = lorenz63()
    >>> system.velocity(np.zeros(1), np.array([[1.0, 2.0, 3.0]]))
    array([[10., 23., -6.]])
    """
    parameters = check_parameters(
        "lorenz63", {"sigma": sigma, "rho": rho, "beta": beta}
    )
    known = at_defaults(lorenz63, parameters)
    return Flow(
        velocity=partial(_lorenz63, **parameters),
        n_features=3,
        jacobian=partial(_lorenz63_jacobian, **parameters),
        name="Lorenz-63",
        feature_names=("x", "y", "z"),
        parameters=parameters,
        dt=0.02,
        period=0.754 if known else None,
        lyapunov_exponents=(0.9056, 0.0, -14.5723) if known else None,
        start=partial(normal_start, center=(0.0, 0.0, 20.0), spread=(1.0, 1.0, 1.0)),
        warmup=50.0,
        reference=(
            "Lorenz, Journal of the Atmospheric Sciences 20 (1963), 130; exponents: "
            "Sprott, Chaos and Time-Series Analysis (2003), appendix A"
        ),
    )


def _lorenz63(
    t: np.ndarray, s: np.ndarray, *, sigma: float, rho: float, beta: float
) -> np.ndarray:
    x, y, z = _coordinates(s)
    return _states((sigma * (y - x), x * (rho - z) - y, x * y - beta * z), s)


def _lorenz63_jacobian(
    t: np.ndarray, s: np.ndarray, *, sigma: float, rho: float, beta: float
) -> np.ndarray:
    x, y, z = s[..., 0], s[..., 1], s[..., 2]
    J = _zeros(s)
    J[..., 0, 0] = -sigma
    J[..., 0, 1] = sigma
    J[..., 1, 0] = rho - z
    J[..., 1, 1] = -1.0
    J[..., 1, 2] = -x
    J[..., 2, 0] = y
    J[..., 2, 1] = x
    J[..., 2, 2] = -beta
    return J


def lorenz96(n_features: int = 40, forcing: float = 8.0) -> Flow:
    """Lorenz's 1996 weather on a circle of latitude.

    ::

        x_i' = (x_{i+1} - x_{i-2}) x_{i-1} - x_i + F,   indices modulo n

    The quadratic terms conserve the energy sum x_i² / 2, the linear ones damp, `F`
    drives. One unit of time stands for five days. 40 variables make weather; 8 make a
    quick test.

    Parameters
    ----------
    n_features : int, default=40
        Number of sites on the circle, at least 4.
    forcing : float, default=8.0
        F; 8 is chaotic.

    Returns
    -------
    Flow
        Features x0, x1, ... With ``forcing=8.0`` the largest exponent is 1.69 for 40
        sites and 1.59 for 8, computed with the Jacobian.

    References
    ----------
    Lorenz, "Predictability: a problem partly solved", Seminar on Predictability, ECMWF
    (1996), volume 1, 1.

    Lorenz & Emanuel, "Optimal sites for supplementary weather observations: simulation
    with a small model", Journal of the Atmospheric Sciences 55 (1998), 399, where small
    errors double in 2.1 days, an exponent of 1.65.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.datasets import lorenz96
    >>> system = lorenz96(8)
    >>> np.abs(system.velocity(np.zeros(1), np.full((1, 8), 8.0))).max()
    np.float64(0.0)
    """
    n = n_features
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 4:
        raise ValueError(f"lorenz96 needs at least 4 sites, an int, got {n!r}.")
    parameters = check_parameters(
        "lorenz96", {"n_features": int(n), "forcing": forcing}
    )
    largest = {40: 1.69, 8: 1.59}.get(n) if forcing == 8 else None
    return Flow(
        velocity=partial(_lorenz96, forcing=forcing),
        n_features=int(n),
        jacobian=_lorenz96_jacobian,
        name="Lorenz-96",
        feature_names=tuple(f"x{i}" for i in range(n)),
        parameters=parameters,
        dt=0.05,
        lyapunov_exponents=None if largest is None else (largest,),
        start=partial(
            normal_start, center=(float(forcing),) * int(n), spread=(1.0,) * int(n)
        ),
        warmup=50.0,
        reference=(
            "Lorenz, Seminar on Predictability, ECMWF (1996), 1; Lorenz & Emanuel, "
            "Journal of the Atmospheric Sciences 55 (1998), 399; exponent: computed "
            "for skdyn"
        ),
    )


def _lorenz96(t: np.ndarray, x: np.ndarray, *, forcing: float) -> np.ndarray:
    n = x.shape[-1]
    # A ring with one site more after its end and two before its beginning: one copy
    # instead of three shifted ones.
    ring = np.empty((*x.shape[:-1], n + 3), dtype=x.dtype)
    ring[..., 2:-1] = x
    ring[..., :2] = x[..., -2:]
    ring[..., -1] = x[..., 0]
    v = ring[..., 3:] - ring[..., :n]
    v *= ring[..., 1 : n + 1]
    v -= x
    v += forcing
    return v


def _lorenz96_jacobian(t: np.ndarray, x: np.ndarray) -> np.ndarray:
    n = x.shape[-1]
    i = np.arange(n)
    before = x[..., i - 1]
    J = _zeros(x)
    J[..., i, i] = -1.0
    J[..., i, (i + 1) % n] = before
    J[..., i, i - 2] = -before
    J[..., i, i - 1] = x[..., (i + 1) % n] - x[..., i - 2]
    return J


# --- small chaotic flows


def rossler(a: float = 0.2, b: float = 0.2, c: float = 5.7) -> Flow:
    """Rössler's band, chaos by stretching and one fold.

    ::

        x' = -y - z
        y' = x + a y
        z' = b + z (x - c)

    Parameters
    ----------
    a, b, c : float
        Parameters of the equations; the defaults are Rössler's.

    Returns
    -------
    Flow
        Features x, y, z. At the defaults: period 5.86, exponents 0.0714, 0, -5.394.

    References
    ----------
    Rössler, "An equation for continuous chaos", Physics Letters A 57 (1976), 397.

    Sprott, *Chaos and Time-Series Analysis*, Oxford University Press (2003),
    appendix A, for the exponents.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.datasets import rossler
    >>> rossler().velocity(np.zeros(1), np.array([[1.0, 2.0, 3.0]])).round(6)
    array([[ -5. ,   1.4, -13.9]])
    """
    parameters = check_parameters("rossler", {"a": a, "b": b, "c": c})
    known = at_defaults(rossler, parameters)
    return Flow(
        velocity=partial(_rossler, **parameters),
        n_features=3,
        jacobian=partial(_rossler_jacobian, **parameters),
        name="Rössler",
        feature_names=("x", "y", "z"),
        parameters=parameters,
        dt=0.1,
        period=5.855 if known else None,
        lyapunov_exponents=(0.0714, 0.0, -5.3943) if known else None,
        start=partial(uniform_start, low=(-4.0, -4.0, 0.0), high=(4.0, 4.0, 0.1)),
        warmup=200.0,
        reference=(
            "Rössler, Physics Letters A 57 (1976), 397; exponents: Sprott, Chaos and "
            "Time-Series Analysis (2003), appendix A"
        ),
    )


def _rossler(
    t: np.ndarray, s: np.ndarray, *, a: float, b: float, c: float
) -> np.ndarray:
    x, y, z = _coordinates(s)
    return _states((-y - z, x + a * y, b + z * (x - c)), s)


def _rossler_jacobian(
    t: np.ndarray, s: np.ndarray, *, a: float, b: float, c: float
) -> np.ndarray:
    J = _zeros(s)
    J[..., 0, 1] = J[..., 0, 2] = -1.0
    J[..., 1, 0] = 1.0
    J[..., 1, 1] = a
    J[..., 2, 0] = s[..., 2]
    J[..., 2, 2] = s[..., 0] - c
    return J


def chua(
    alpha: float = 9.0,
    beta: float = 100.0 / 7.0,
    m0: float = -1.0 / 7.0,
    m1: float = 2.0 / 7.0,
) -> Flow:
    """Chua's circuit, whose double scroll was seen on an oscilloscope.

    ::

        x' = alpha (y - h(x)),   h(x) = m1 x + (m0 - m1) (abs(x + 1) - abs(x - 1)) / 2
        y' = x - y + z
        z' = -beta y

    Linear within abs(x) < 1 and beyond it on either side, and unchanged under
    (x, y, z) -> (-x, -y, -z).

    Parameters
    ----------
    alpha, beta : float, default=9.0, 100/7
        Ratios of the circuit's components.
    m0, m1 : float, default=-1/7, 2/7
        Slopes of h within and beyond abs(x) = 1. (Authors who write
        ``x' = alpha (y - x - f(x))`` have slopes smaller by 1: -8/7 and -5/7.)

    Returns
    -------
    Flow
        Features x, y, z. At the defaults: period 2.25, exponents 0.327, 0, -2.520.

    References
    ----------
    Matsumoto, Chua & Komuro, "The double scroll", IEEE Transactions on Circuits and
    Systems 32 (1985), 797.

    Sprott, *Chaos and Time-Series Analysis*, Oxford University Press (2003),
    appendix A, for the exponents.

    Examples
    --------
    >>> from skdyn.datasets import chua
    >>> chua().feature_names
    ('x', 'y', 'z')
    """
    parameters = check_parameters(
        "chua", {"alpha": alpha, "beta": beta, "m0": m0, "m1": m1}
    )
    known = at_defaults(chua, parameters)
    return Flow(
        velocity=partial(_chua, **parameters),
        n_features=3,
        jacobian=partial(_chua_jacobian, **parameters),
        name="Chua",
        feature_names=("x", "y", "z"),
        parameters=parameters,
        dt=0.05,
        period=2.25 if known else None,
        lyapunov_exponents=(0.3271, 0.0, -2.5197) if known else None,
        start=partial(uniform_start, low=(-0.5, -0.1, -0.5), high=(0.5, 0.1, 0.5)),
        warmup=100.0,
        reference=(
            "Matsumoto, Chua & Komuro, IEEE Transactions on Circuits and Systems 32 "
            "(1985), 797; exponents: Sprott, Chaos and Time-Series Analysis (2003), "
            "appendix A"
        ),
    )


def _chua(
    t: np.ndarray, s: np.ndarray, *, alpha: float, beta: float, m0: float, m1: float
) -> np.ndarray:
    x, y, z = _coordinates(s)
    h = m1 * x + 0.5 * (m0 - m1) * (abs(x + 1.0) - abs(x - 1.0))
    return _states((alpha * (y - h), x - y + z, -beta * y), s)


def _chua_jacobian(
    t: np.ndarray, s: np.ndarray, *, alpha: float, beta: float, m0: float, m1: float
) -> np.ndarray:
    J = _zeros(s)
    J[..., 0, 0] = -alpha * np.where(np.abs(s[..., 0]) < 1.0, m0, m1)
    J[..., 0, 1] = alpha
    J[..., 1, 0] = J[..., 1, 2] = 1.0
    J[..., 1, 1] = -1.0
    J[..., 2, 1] = -beta
    return J


def sprott_m(a: float = 1.7) -> Flow:
    """Sprott's case M, one of the simplest chaotic flows: a single quadratic term.

    ::

        x' = -z
        y' = -x² - y
        z' = a (1 + x) + y

    It shrinks volumes at the constant rate 1.

    Parameters
    ----------
    a : float, default=1.7
        Parameter of the equations; the default is Sprott's.

    Returns
    -------
    Flow
        Features x, y, z. At the default: period 5.4, exponents 0.044, 0, -1.044.

    References
    ----------
    Sprott, "Some simple chaotic flows", Physical Review E 50 (1994), R647, table I.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.datasets import sprott_m
    >>> sprott_m().velocity(np.zeros(1), np.array([[1.0, 2.0, 3.0]]))
    array([[-3. , -3. ,  5.4]])
    """
    parameters = check_parameters("sprott_m", {"a": a})
    known = at_defaults(sprott_m, parameters)
    return Flow(
        velocity=partial(_sprott_m, **parameters),
        n_features=3,
        jacobian=partial(_sprott_m_jacobian, **parameters),
        name="Sprott M",
        feature_names=("x", "y", "z"),
        parameters=parameters,
        dt=0.1,
        period=5.37 if known else None,
        lyapunov_exponents=(0.044, 0.0, -1.044) if known else None,
        start=partial(normal_start, center=(0.0, -1.0, 0.0), spread=(0.1, 0.1, 0.1)),
        warmup=300.0,
        reference="Sprott, Physical Review E 50 (1994), R647, table I",
    )


def _sprott_m(t: np.ndarray, s: np.ndarray, *, a: float) -> np.ndarray:
    x, y, z = _coordinates(s)
    return _states((-z, -x * x - y, a + a * x + y), s)


def _sprott_m_jacobian(t: np.ndarray, s: np.ndarray, *, a: float) -> np.ndarray:
    J = _zeros(s)
    J[..., 0, 2] = -1.0
    J[..., 1, 0] = -2.0 * s[..., 0]
    J[..., 1, 1] = -1.0
    J[..., 2, 0] = a
    J[..., 2, 1] = 1.0
    return J


# --- oscillators


def van_der_pol(mu: float = 1.0) -> Flow:
    """Van der Pol's self-excited oscillator, the model of a limit cycle.

    ::

        x' = v
        v' = mu (1 - x²) v - x

    All starts but the origin come to one cycle. It is nearly a circle of radius 2 for
    small `mu`, and jumps between slow branches, stiffly, for large.

    Parameters
    ----------
    mu : float, default=1.0
        Strength of the nonlinear damping. From 10 on, the flow is marked as stiff.

    Returns
    -------
    Flow
        Features x, v. At the default the period is 6.6633; the largest exponent is 0.

    References
    ----------
    Van der Pol, "On relaxation-oscillations", Philosophical Magazine 2 (1926), 978.

    Examples
    --------
    >>> from skdyn.datasets import van_der_pol
    >>> van_der_pol().is_stiff, van_der_pol(mu=1000.0).is_stiff
    (False, True)
    """
    parameters = check_parameters("van_der_pol", {"mu": mu})
    known = at_defaults(van_der_pol, parameters)
    return Flow(
        velocity=partial(_van_der_pol, **parameters),
        n_features=2,
        jacobian=partial(_van_der_pol_jacobian, **parameters),
        name="Van der Pol",
        feature_names=("x", "v"),
        parameters=parameters,
        dt=0.1,
        period=6.6633 if known else None,
        lyapunov_exponents=(0.0,) if known else None,
        start=partial(normal_start, center=(2.0, 0.0), spread=(0.5, 0.5)),
        warmup=50.0,
        is_stiff=mu >= 10.0,
        reference="Van der Pol, Philosophical Magazine 2 (1926), 978",
    )


def _van_der_pol(t: np.ndarray, s: np.ndarray, *, mu: float) -> np.ndarray:
    x, v = _coordinates(s)
    return _states((v, mu * (1.0 - x * x) * v - x), s)


def _van_der_pol_jacobian(t: np.ndarray, s: np.ndarray, *, mu: float) -> np.ndarray:
    x, y = s[..., 0], s[..., 1]
    J = _zeros(s)
    J[..., 0, 1] = 1.0
    J[..., 1, 0] = -2.0 * mu * x * y - 1.0
    J[..., 1, 1] = mu * (1.0 - x * x)
    return J


def lotka_volterra(
    alpha: float = 0.55, beta: float = 0.028, gamma: float = 0.80, delta: float = 0.024
) -> Flow:
    """Prey and predators after Lotka and Volterra.

    ::

        x' = alpha x - beta x y
        y' = delta x y - gamma y

    Every start with both above zero stays on its own closed curve, on which

        V = delta x - gamma log x + beta y - alpha log y

    is constant. The defaults were fitted to the pelts of `load_lynx_hare`: time is in
    years, x and y are thousands of hares and lynxes.

    Parameters
    ----------
    alpha, beta : float, default=0.55, 0.028
        Growth of the prey, and the loss of it to one unit of predators.
    gamma, delta : float, default=0.80, 0.024
        Death of the predators, and the growth of them on one unit of prey.

    Returns
    -------
    Flow
        Features prey, predator. The exponents are 0, 0. The period grows from
        ``2 pi / sqrt(alpha gamma)``, 9.5 years, with the size of the swings.

    References
    ----------
    Lotka, *Elements of Physical Biology*, Williams & Wilkins (1925).

    Volterra, "Fluctuations in the abundance of a species considered mathematically",
    Nature 118 (1926), 558.

    Carpenter, "Predator-prey population dynamics: the Lotka-Volterra model in Stan"
    (2018), Stan case studies, for the defaults (posterior means).

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.datasets import lotka_volterra
    >>> system = lotka_volterra(alpha=1.0, beta=0.1, gamma=1.5, delta=0.075)
    >>> system.velocity(np.zeros(1), np.array([[20.0, 10.0]])) # the equilibrium
    array([[0., 0.]])
    """
    parameters = check_parameters(
        "lotka_volterra",
        {"alpha": alpha, "beta": beta, "gamma": gamma, "delta": delta},
        positive=("alpha", "beta", "gamma", "delta"),
    )
    known = at_defaults(lotka_volterra, parameters)
    x, y = gamma / delta, alpha / beta
    return Flow(
        velocity=partial(_lotka_volterra, **parameters),
        n_features=2,
        jacobian=partial(_lotka_volterra_jacobian, **parameters),
        name="Lotka-Volterra",
        feature_names=("prey", "predator"),
        parameters=parameters,
        dt=0.1,
        period=9.9 if known else None,
        lyapunov_exponents=(0.0, 0.0),
        start=partial(uniform_start, low=(0.9 * x, 0.25 * y), high=(1.1 * x, 0.5 * y)),
        reference=(
            "Lotka, Elements of Physical Biology (1925); Volterra, Nature 118 (1926), "
            "558; parameters: Carpenter, Stan case studies (2018)"
        ),
    )


def _lotka_volterra(
    t: np.ndarray,
    s: np.ndarray,
    *,
    alpha: float,
    beta: float,
    gamma: float,
    delta: float,
) -> np.ndarray:
    x, y = _coordinates(s)
    return _states((x * (alpha - beta * y), y * (delta * x - gamma)), s)


def _lotka_volterra_jacobian(
    t: np.ndarray,
    s: np.ndarray,
    *,
    alpha: float,
    beta: float,
    gamma: float,
    delta: float,
) -> np.ndarray:
    x, y = s[..., 0], s[..., 1]
    J = _zeros(s)
    J[..., 0, 0] = alpha - beta * y
    J[..., 0, 1] = -beta * x
    J[..., 1, 0] = delta * y
    J[..., 1, 1] = delta * x - gamma
    return J


def duffing(
    delta: float = 0.05,
    alpha: float = 0.0,
    beta: float = 1.0,
    gamma: float = 7.5,
    omega: float = 1.0,
) -> Flow:
    """Duffing's oscillator, a hardening spring driven by a sine.

    ::

        x' = v
        v' = -delta v - alpha x - beta x³ + gamma cos(omega t)

    The velocity depends on time: the phase of the drive is no feature. The defaults are
    Ueda's single well, the best measured one. Two wells are, for example,
    ``duffing(delta=0.3, alpha=-1.0, beta=1.0, gamma=0.5, omega=1.2)``.

    Parameters
    ----------
    delta : float, default=0.05
        Damping.
    alpha, beta : float, default=0.0, 1.0
        Linear and cubic stiffness.
    gamma, omega : float, default=7.5, 1.0
        Amplitude and angular frequency of the drive.

    Returns
    -------
    Flow
        Features x, v. At the defaults the largest exponent is about 0.1; the exponents
        sum to -delta.

    References
    ----------
    Ueda, "Randomly transitional phenomena in the system governed by Duffing's
    equation", Journal of Statistical Physics 20 (1979), 181.

    Sprott, *Chaos and Time-Series Analysis*, Oxford University Press (2003),
    appendix A, for the exponents.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.datasets import duffing
    >>> duffing().velocity(np.zeros(1), np.array([[1.0, 2.0]]))
    array([[2. , 6.4]])
    """
    parameters = check_parameters(
        "duffing",
        {"delta": delta, "alpha": alpha, "beta": beta, "gamma": gamma, "omega": omega},
        positive=("omega",),
    )
    known = at_defaults(duffing, parameters)
    turn = 2.0 * np.pi / omega
    return Flow(
        velocity=partial(_duffing, **parameters),
        n_features=2,
        jacobian=partial(_duffing_jacobian, **parameters),
        name="Duffing",
        feature_names=("x", "v"),
        parameters=parameters,
        dt=turn / 100,
        period=turn,
        lyapunov_exponents=(0.1034, -0.1534) if known else None,
        start=partial(normal_start, center=(2.0, 0.0), spread=(0.5, 0.5)),
        # Whole turns, so that the drive has the same phase at the first row.
        warmup=50 * turn,
        reference=(
            "Ueda, Journal of Statistical Physics 20 (1979), 181; exponents: Sprott, "
            "Chaos and Time-Series Analysis (2003), appendix A"
        ),
    )


def _duffing(
    t: np.ndarray,
    s: np.ndarray,
    *,
    delta: float,
    alpha: float,
    beta: float,
    gamma: float,
    omega: float,
) -> np.ndarray:
    x, y = s[..., 0], s[..., 1]
    v = np.empty_like(s)
    v[..., 0] = y
    v[..., 1] = gamma * np.cos(omega * t) - delta * y - x * (alpha + beta * x * x)
    return v


def _duffing_jacobian(
    t: np.ndarray,
    s: np.ndarray,
    *,
    delta: float,
    alpha: float,
    beta: float,
    gamma: float,
    omega: float,
) -> np.ndarray:
    x = s[..., 0]
    J = _zeros(s)
    J[..., 0, 1] = 1.0
    J[..., 1, 0] = -alpha - 3.0 * beta * x * x
    J[..., 1, 1] = -delta
    return J


def pendulum(
    damping: float = 0.0,
    drive: float = 0.0,
    drive_frequency: float = 2.0 / 3.0,
    frequency: float = 1.0,
) -> Flow:
    """Pendulum, free by default, with damping and a drive at wish.

    ::

        theta' = omega
        omega' = -damping omega - frequency² sin theta + drive cos(drive_frequency t)

    Free, it conserves ``omega² / 2 - frequency² cos theta``. With a drive, the velocity
    depends on time; ``pendulum(damping=0.5, drive=1.5)`` is chaotic. The angle is not
    wrapped.

    Parameters
    ----------
    damping : float, default=0.0
        Rate at which friction slows the pendulum.
    drive, drive_frequency : float, default=0.0, 2/3
        Amplitude and angular frequency of the driving torque.
    frequency : float, default=1.0
        Angular frequency of small swings, sqrt(g / length).

    Returns
    -------
    Flow
        Features theta, omega. Starts swing by 1 to 2.5 radians. Free, the exponents
        are 0, 0, and small swings have the period ``2 pi / frequency``.

    References
    ----------
    Baker & Gollub, *Chaotic Dynamics: an Introduction*, 2nd ed., Cambridge
    University Press (1996).

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.datasets import pendulum
    >>> pendulum().velocity(np.zeros(1), np.array([[np.pi / 2, 0.0]]))
    array([[ 0., -1.]])
    """
    parameters = check_parameters(
        "pendulum",
        {
            "damping": damping,
            "drive": drive,
            "drive_frequency": drive_frequency,
            "frequency": frequency,
        },
        positive=("drive_frequency", "frequency"),
    )
    is_driven, is_free = drive != 0, drive == damping == 0
    turn = 2.0 * np.pi / drive_frequency
    return Flow(
        velocity=partial(_pendulum, **parameters),
        n_features=2,
        jacobian=partial(_pendulum_jacobian, **parameters),
        name="Pendulum",
        feature_names=("theta", "omega"),
        parameters=parameters,
        dt=0.1 / frequency,
        period=turn if is_driven else 2.0 * np.pi / frequency,
        lyapunov_exponents=(0.0, 0.0) if is_free else None,
        start=partial(uniform_start, low=(1.0, 0.0), high=(2.5, 0.0)),
        warmup=50 * turn if is_driven else 0.0,
        reference="Baker & Gollub, Chaotic Dynamics (1996)",
    )


def _pendulum(
    t: np.ndarray,
    s: np.ndarray,
    *,
    damping: float,
    drive: float,
    drive_frequency: float,
    frequency: float,
) -> np.ndarray:
    theta, omega = s[..., 0], s[..., 1]
    v = np.empty_like(s)
    v[..., 0] = omega
    v[..., 1] = -damping * omega - frequency**2 * np.sin(theta)
    if drive:
        v[..., 1] += drive * np.cos(drive_frequency * t)
    return v


def _pendulum_jacobian(
    t: np.ndarray,
    s: np.ndarray,
    *,
    damping: float,
    drive: float,
    drive_frequency: float,
    frequency: float,
) -> np.ndarray:
    J = _zeros(s)
    J[..., 0, 1] = 1.0
    J[..., 1, 0] = -(frequency**2) * np.cos(s[..., 0])
    J[..., 1, 1] = -damping
    return J


def double_pendulum(
    mass1: float = 1.0,
    mass2: float = 1.0,
    length1: float = 1.0,
    length2: float = 1.0,
    gravity: float = 9.81,
    damping: float = 0.0,
) -> Flow:
    """Double pendulum: one point mass hung from another by massless rods.

    With both angles measured from the vertical and d = theta1 - theta2, ::

        theta' = omega
        M omega' = torque

        M = [[(m1 + m2) l1²,    m2 l1 l2 cos d],
             [m2 l1 l2 cos d,   m2 l2²        ]]
        torque1 = -m2 l1 l2 omega2² sin d - (m1 + m2) g l1 sin theta1
                  - b omega1 + b (omega2 - omega1)
        torque2 = m2 l1 l2 omega1² sin d - m2 g l2 sin theta2 - b (omega2 - omega1)

    where b is the friction of each joint. Without it the energy

        E = omega M omega / 2 - (m1 + m2) g l1 cos theta1 - m2 g l2 cos theta2

    is conserved; with it, ``E' = -b omega1² - b (omega2 - omega1)²``. Angles are not
    wrapped.

    Parameters
    ----------
    mass1, mass2 : float, default=1.0
        Masses in kg, the upper one first.
    length1, length2 : float, default=1.0
        Lengths of the rods in m.
    gravity : float, default=9.81
        In m/s².
    damping : float, default=0.0
        Friction b of each joint, in N m s.

    Returns
    -------
    Flow
        Features theta1, theta2, omega1, omega2; time in seconds. Starts are at rest
        with both rods raised above the horizontal, which is chaotic. The exponents
        depend on the energy.

    References
    ----------
    Landau & Lifshitz, *Mechanics*, 3rd ed., Pergamon (1976), section 5, problem 1, for
    the Lagrangian.

    Shinbrot, Grebogi, Wisdom & Yorke, "Chaos in a double pendulum", American Journal of
    Physics 60 (1992), 491.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.datasets import double_pendulum
    >>> np.abs(double_pendulum().velocity(np.zeros(1), np.zeros((1, 4)))).max()
    np.float64(0.0)
    """
    parameters = check_parameters(
        "double_pendulum",
        {
            "mass1": mass1,
            "mass2": mass2,
            "length1": length1,
            "length2": length2,
            "gravity": gravity,
            "damping": damping,
        },
        positive=("mass1", "mass2", "length1", "length2"),
    )
    return Flow(
        velocity=partial(_double_pendulum, **parameters),
        n_features=4,
        jacobian=partial(_double_pendulum_jacobian, **parameters),
        name="Double pendulum",
        feature_names=("theta1", "theta2", "omega1", "omega2"),
        parameters=parameters,
        dt=0.02,
        start=partial(
            normal_start, center=(2.2, 2.2, 0.0, 0.0), spread=(0.2, 0.2, 0.0, 0.0)
        ),
        reference=(
            "Landau & Lifshitz, Mechanics (1976), section 5; Shinbrot, Grebogi, Wisdom "
            "& Yorke, American Journal of Physics 60 (1992), 491"
        ),
    )


def _double_pendulum(
    t: np.ndarray,
    s: np.ndarray,
    *,
    mass1: float,
    mass2: float,
    length1: float,
    length2: float,
    gravity: float,
    damping: float,
) -> np.ndarray:
    theta1, theta2, omega1, omega2 = (s[..., i] for i in range(4))
    d = theta1 - theta2
    coupling = mass2 * length1 * length2
    inertia1, inertia2 = (mass1 + mass2) * length1**2, mass2 * length2**2
    mixed, sine = coupling * np.cos(d), coupling * np.sin(d)
    slip = damping * (omega2 - omega1)
    weight1 = (mass1 + mass2) * gravity * length1
    torque1 = -sine * omega2**2 - weight1 * np.sin(theta1) - damping * omega1 + slip
    torque2 = sine * omega1**2 - mass2 * gravity * length2 * np.sin(theta2) - slip
    determinant = inertia1 * inertia2 - mixed**2
    v = np.empty_like(s)
    v[..., :2] = s[..., 2:]
    v[..., 2] = (inertia2 * torque1 - mixed * torque2) / determinant
    v[..., 3] = (inertia1 * torque2 - mixed * torque1) / determinant
    return v


def _double_pendulum_jacobian(
    t: np.ndarray,
    s: np.ndarray,
    *,
    mass1: float,
    mass2: float,
    length1: float,
    length2: float,
    gravity: float,
    damping: float,
) -> np.ndarray:
    # With M a = torque, da = M^-1 (d torque - dM a); of the state, M holds only d.
    theta1, theta2, omega1, omega2 = (s[..., i] for i in range(4))
    d = theta1 - theta2
    coupling = mass2 * length1 * length2
    inertia1, inertia2 = (mass1 + mass2) * length1**2, mass2 * length2**2
    mixed, sine = coupling * np.cos(d), coupling * np.sin(d)
    v = _double_pendulum(
        t,
        s,
        mass1=mass1,
        mass2=mass2,
        length1=length1,
        length2=length2,
        gravity=gravity,
        damping=damping,
    )
    # Right-hand sides for the derivatives by theta1, theta2, omega1, omega2.
    R = np.zeros((*s.shape[:-1], 2, 4), dtype=s.dtype)
    # dM / dd = -sine off the diagonal, so that -dM a is sine times the other a.
    by_d1 = -mixed * omega2**2 + sine * v[..., 3]
    by_d2 = mixed * omega1**2 + sine * v[..., 2]
    weight1 = (mass1 + mass2) * gravity * length1
    R[..., 0, 0] = by_d1 - weight1 * np.cos(theta1)
    R[..., 0, 1] = -by_d1
    R[..., 1, 0] = by_d2
    R[..., 1, 1] = -by_d2 - mass2 * gravity * length2 * np.cos(theta2)
    R[..., 0, 2] = -2.0 * damping
    R[..., 0, 3] = -2.0 * sine * omega2 + damping
    R[..., 1, 2] = 2.0 * sine * omega1 + damping
    R[..., 1, 3] = -damping
    determinant = (inertia1 * inertia2 - mixed**2)[..., None]
    mixed = mixed[..., None]
    J = _zeros(s)
    J[..., 0, 2] = J[..., 1, 3] = 1.0
    J[..., 2, :] = (inertia2 * R[..., 0, :] - mixed * R[..., 1, :]) / determinant
    J[..., 3, :] = (inertia1 * R[..., 1, :] - mixed * R[..., 0, :]) / determinant
    return J


# --- neurons


def hindmarsh_rose(
    current: float = 3.25,
    a: float = 1.0,
    b: float = 3.0,
    c: float = 1.0,
    d: float = 5.0,
    r: float = 0.006,
    s: float = 4.0,
    rest: float = -1.6,
) -> Flow:
    """Hindmarsh and Rose's neuron, which fires in bursts.

    ::

        x' = y - a x³ + b x² - z + current
        y' = c - d x² - y
        z' = r (s (x - rest) - z)

    x is the membrane potential, y the recovery from a spike, z a slow adaptation.

    Parameters
    ----------
    current : float, default=3.25
        Current into the cell: rest, regular bursts, chaotic bursts (the default) and
        spiking follow one another as it grows.
    a, b, c, d : float, default=1.0, 3.0, 1.0, 5.0
        Parameters of the spikes.
    r, s, rest : float, default=0.006, 4.0, -1.6
        Rate, strength and resting potential of the adaptation.

    Returns
    -------
    Flow
        Features x, y, z. At the defaults a burst comes every 103 units of time on
        average, and the largest exponent is 0.0136, computed with the Jacobian.

    References
    ----------
    Hindmarsh & Rose, "A model of neuronal bursting using three coupled first order
    differential equations", Proceedings of the Royal Society B 221 (1984), 87.

    Innocenti, Morelli, Genesio & Torcini, "Dynamical phases of the Hindmarsh-Rose
    neuronal model: studies of the transition from bursting to spiking chaos", Chaos 17
    (2007), 043128.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.datasets import hindmarsh_rose
    >>> hindmarsh_rose().velocity(np.zeros(1), np.array([[1.0, 0.0, 3.0]])).round(4)
    array([[ 2.25  , -4.    ,  0.0444]])
    """
    parameters = check_parameters(
        "hindmarsh_rose",
        {
            "current": current,
            "a": a,
            "b": b,
            "c": c,
            "d": d,
            "r": r,
            "s": s,
            "rest": rest,
        },
    )
    known = at_defaults(hindmarsh_rose, parameters)
    return Flow(
        velocity=partial(_hindmarsh_rose, **parameters),
        n_features=3,
        jacobian=partial(_hindmarsh_rose_jacobian, **parameters),
        name="Hindmarsh-Rose",
        feature_names=("x", "y", "z"),
        parameters=parameters,
        dt=0.1,
        period=103.0 if known else None,
        lyapunov_exponents=(0.0136,) if known else None,
        start=partial(normal_start, center=(-1.0, -4.0, 3.2), spread=(0.3, 0.3, 0.1)),
        warmup=1000.0,
        reference=(
            "Hindmarsh & Rose, Proceedings of the Royal Society B 221 (1984), 87; "
            "Innocenti, Morelli, Genesio & Torcini, Chaos 17 (2007), 043128; exponent: "
            "computed for skdyn"
        ),
    )


def _hindmarsh_rose(
    t: np.ndarray,
    state: np.ndarray,
    *,
    current: float,
    a: float,
    b: float,
    c: float,
    d: float,
    r: float,
    s: float,
    rest: float,
) -> np.ndarray:
    x, y, z = _coordinates(state)
    square = x * x
    velocities = (
        y - square * (a * x - b) - z + current,
        c - d * square - y,
        r * (s * (x - rest) - z),
    )
    return _states(velocities, state)


def _hindmarsh_rose_jacobian(
    t: np.ndarray,
    state: np.ndarray,
    *,
    current: float,
    a: float,
    b: float,
    c: float,
    d: float,
    r: float,
    s: float,
    rest: float,
) -> np.ndarray:
    x = state[..., 0]
    J = _zeros(state)
    J[..., 0, 0] = x * (2.0 * b - 3.0 * a * x)
    J[..., 0, 1] = 1.0
    J[..., 0, 2] = -1.0
    J[..., 1, 0] = -2.0 * d * x
    J[..., 1, 1] = -1.0
    J[..., 2, 0] = r * s
    J[..., 2, 2] = -r
    return J


def bursting_neuron(g_nmda: float = 10.2, current: float = 0.0) -> Flow:
    """Durstewitz's neuron with an NMDA current, which fires in bursts.

    With the activation curves ``a(V; h, k) = 1 / (1 + exp((h - V) / k))``, ::

        C V' = current - g_L (V - E_L) - g_Na a(V; h_Na, k_Na) (V - E_Na)
               - g_K n (V - E_K) - g_M h (V - E_K)
               - g_NMDA (V - E_NMDA) / (1 + 0.33 exp(-0.0625 V))
        n' = (a(V; h_K, k_K) - n) / tau_n
        h' = (a(V; h_M, k_M) - h) / tau_h

    V is the membrane potential in mV, n opens the fast potassium current, h the slow
    one that ends a burst; time is in ms, with tau_h = 200 against tau_n = 1. A test of
    models for slow and fast time scales together. At the defaults the cell fires a
    burst every 148 ms; from some starts, or after noise, it comes to steady spiking.

    Parameters
    ----------
    g_nmda : float, default=10.2
        Conductance of the NMDA current, the usual parameter of bifurcations.
    current : float, default=0.0
        Current into the cell.

    Returns
    -------
    Flow
        Features V, n, h; starts lead to bursts. The further parameters, in
        ``parameters``, are fixed: C = 6, g_L = 8, E_L = -80, g_Na = 20, E_Na = 60,
        h_Na = -20, k_Na = 15, g_K = 10, E_K = -90, h_K = -25, k_K = 5, tau_n = 1,
        g_M = 25, h_M = -15, k_M = 5, tau_h = 200, E_NMDA = 0.

    References
    ----------
    Durstewitz, "Implications of synaptic biophysics for recurrent network dynamics and
    active memory", Neural Networks 22 (2009), 1189, for the model.

    Brenner, Hess, Mikhaeil, Bereska, Monfared, Kuo & Durstewitz, "Tractable dendritic
    RNNs for reconstructing nonlinear dynamical systems", ICML (2022), for the
    parameters.

    Examples
    --------
    >>> from skdyn.datasets import bursting_neuron
    >>> bursting_neuron().feature_names
    ('V', 'n', 'h')
    """
    varied = check_parameters("bursting_neuron", {"g_nmda": g_nmda, "current": current})
    known = at_defaults(bursting_neuron, varied)
    return Flow(
        velocity=partial(_bursting_neuron, **varied),
        n_features=3,
        jacobian=partial(_bursting_neuron_jacobian, **varied),
        name="Bursting neuron",
        feature_names=("V", "n", "h"),
        parameters={**varied, **_NEURON},
        dt=0.05,
        period=148.1 if known else None,
        lyapunov_exponents=(0.0,) if known else None,
        start=partial(
            uniform_start, low=(-66.5, 2e-4, 0.051), high=(-65.5, 3e-4, 0.058)
        ),
        warmup=600.0,
        reference=(
            "Durstewitz, Neural Networks 22 (2009), 1189; parameters: Brenner et al., "
            "ICML (2022)"
        ),
    )


# Conductances in mS, potentials in mV, times in ms.
_NEURON = {
    "capacity": 6.0,
    "g_L": 8.0,
    "E_L": -80.0,
    "g_Na": 20.0,
    "E_Na": 60.0,
    "h_Na": -20.0,
    "k_Na": 15.0,
    "g_K": 10.0,
    "E_K": -90.0,
    "h_K": -25.0,
    "k_K": 5.0,
    "tau_n": 1.0,
    "g_M": 25.0,
    "h_M": -15.0,
    "k_M": 5.0,
    "tau_h": 200.0,
    "E_NMDA": 0.0,
}


def _activation(V: np.ndarray, half: float, slope: float) -> np.ndarray:
    return 1.0 / (1.0 + np.exp((half - V) / slope))


def _bursting_neuron(
    t: np.ndarray, s: np.ndarray, *, g_nmda: float, current: float
) -> np.ndarray:
    p = _NEURON
    V, n, h = s[..., 0], s[..., 1], s[..., 2]
    unblocked = 1.0 / (1.0 + 0.33 * np.exp(-0.0625 * V))
    v = np.empty_like(s)
    v[..., 0] = (
        current
        - p["g_L"] * (V - p["E_L"])
        - p["g_Na"] * _activation(V, p["h_Na"], p["k_Na"]) * (V - p["E_Na"])
        - (p["g_K"] * n + p["g_M"] * h) * (V - p["E_K"])
        - g_nmda * unblocked * (V - p["E_NMDA"])
    ) / p["capacity"]
    v[..., 1] = (_activation(V, p["h_K"], p["k_K"]) - n) / p["tau_n"]
    v[..., 2] = (_activation(V, p["h_M"], p["k_M"]) - h) / p["tau_h"]
    return v


def _bursting_neuron_jacobian(
    t: np.ndarray, s: np.ndarray, *, g_nmda: float, current: float
) -> np.ndarray:
    p = _NEURON
    V, n, h = s[..., 0], s[..., 1], s[..., 2]
    C = p["capacity"]
    # A logistic curve a with slope k has the derivative a (1 - a) / k.
    m = _activation(V, p["h_Na"], p["k_Na"])
    n_open = _activation(V, p["h_K"], p["k_K"])
    h_open = _activation(V, p["h_M"], p["k_M"])
    unblocked = 1.0 / (1.0 + 0.33 * np.exp(-0.0625 * V))
    J = _zeros(s)
    J[..., 0, 0] = (
        -p["g_L"]
        - p["g_Na"] * m * (1.0 + (1.0 - m) / p["k_Na"] * (V - p["E_Na"]))
        - (p["g_K"] * n + p["g_M"] * h)
        - g_nmda * unblocked * (1.0 + 0.0625 * (1.0 - unblocked) * (V - p["E_NMDA"]))
    ) / C
    J[..., 0, 1] = -p["g_K"] * (V - p["E_K"]) / C
    J[..., 0, 2] = -p["g_M"] * (V - p["E_K"]) / C
    J[..., 1, 0] = n_open * (1.0 - n_open) / p["k_K"] / p["tau_n"]
    J[..., 1, 1] = -1.0 / p["tau_n"]
    J[..., 2, 0] = h_open * (1.0 - h_open) / p["k_M"] / p["tau_h"]
    J[..., 2, 2] = -1.0 / p["tau_h"]
    return J

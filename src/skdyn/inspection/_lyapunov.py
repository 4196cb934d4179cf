"""Lyapunov exponents: how fast neighbouring states of a system part.

Equations: along an orbit x[k + 1] = F(x[k]), small deviations follow
w[k + 1] = DF(x[k]) w[k]; along x' = f(t, x), w' = Df(t, x) w. Exponents are the average
rates of growth of frames of such vectors (Benettin et al. 1980; Shimada & Nagashima
1979), found by keeping the frame orthonormal (Geist et al. 1990, on QR):

    DF(x[k]) Q[k] = Q[k + 1] R[k + 1],   lambda_i = mean over k of log|R_ii[k]| / dt.

The sum of all exponents is the mean of log|det DF| / dt, or of the divergence of f.

Flows are integrated with the method of order 8 of Dormand and Prince, state and frame
together, so that the frame is moved by the exact derivative of what moves the state.

Averages. Over a chaotic orbit the rates are like noise, and their plain mean is as good
as any. Over a periodic or quasi-periodic orbit, and where a linear map turns the frame,
they are smooth functions of phases that advance evenly. There the error of a plain mean
over n steps falls as 1/n, and that of the weighted Birkhoff average (Das et al. 2017)

    sum_k w(t_k) r[k] / sum_k w(t_k),   w(t) = exp(-1 / (t (1 - t))),  0 < t_k < 1,

faster than any power of 1/n. It is used where it shows: where averages over ten blocks
scatter much less with the weights than without.

A rule with the same derivative everywhere needs no orbit: its exponents are the
log-moduli of the eigenvalues (of a flow, their real parts).

The Kaplan-Yorke dimension (Frederickson et al. 1983) is
j + (lambda_1 + ... + lambda_j) / |lambda_{j+1}|, with j the largest number of exponents
whose sum is not negative.

References
----------
Benettin, Galgani, Giorgilli & Strelcyn, "Lyapunov characteristic exponents for smooth
dynamical systems and for Hamiltonian systems; a method for computing all of them",
Meccanica 15 (1980), 9 (part 1) and 21 (part 2).

Shimada & Nagashima, "A numerical approach to ergodic problem of dissipative dynamical
systems", Progress of Theoretical Physics 61 (1979), 1605.

Geist, Parlitz & Lauterborn, "Comparison of different methods for computing Lyapunov
exponents", Progress of Theoretical Physics 83 (1990), 875.

Das, Saiki, Sander & Yorke, "Quantitative quasiperiodicity", Nonlinearity 30 (2017),
4111.

Frederickson, Kaplan, Yorke & Yorke, "The Liapunov dimension of strange attractors",
Journal of Differential Equations 49 (1983), 185.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from sklearn.utils import check_random_state

from skdyn.exceptions import DivergenceWarning
from skdyn.inspection._orbits import PARTS, Growth, Orbits, advance
from skdyn.inspection._state_map import (
    Dynamics,
    check_whole,
    constant_jacobian,
    resolve,
    with_steps,
)

__all__ = ["LyapunovSpectrum", "lyapunov_spectrum"]

# Rates are kept as sums over so many bins of steps, of each start.
_N_BINS = (50, 500)
_N_BLOCKS = PARTS[-1]
# Steps of an integration between two looks, which cut them short.
_STEPS_PER_BIN = 10
# Numbers of rates that are kept at most.
_MOST_RATES = 2_000_000
# Where weights bring the scatter of blocks below this fraction, they are used.
_SMOOTH = 0.3
# Starts that share an orbit are moved by this part of the way towards another.
_APART = 1e-2
# Exponents within so many standard errors of zero count as zero for the dimension.
_ZERO = 3.0


@dataclass(frozen=True, eq=False)
class LyapunovSpectrum:
    """Lyapunov exponents of a system, with what is known of their errors.

    Attributes
    ----------
    exponents : ndarray of shape (n_exponents,)
        Per unit time, largest first. ``-inf`` where the map loses a direction (to
        within rounding), as one that does not depend on its state does.
    standard_errors : ndarray of shape (n_exponents,)
        From the scatter of the averages over ten blocks of each orbit and over the
        starts, whichever is larger; for smooth averages (see `averaging`), from the two
        halves and the starts; 0 where no average is taken. They do not hold errors of
        the integration or of a warm-up that was too short. NaN where the exponent is
        not finite.
    kaplan_yorke_dimension : float
        Dimension of the attractor by the conjecture of Kaplan and Yorke. Exponents
        within three standard errors of zero are taken for zero. NaN where too few
        exponents were asked for.
    kaplan_yorke_error : float
        Its standard error.
    averaging : {"mean", "smooth", "eigenvalues"}
        How rates became exponents: a plain mean, the weighted Birkhoff average, or not
        at all, where the derivative is the same everywhere.
    times : ndarray of shape (n_times,)
        Times from the end of the warm-up, for `running`.
    running : ndarray of shape (n_times, n_exponents)
        Plain means of the rates up to each time, over all starts: for a plot of the
        convergence.
    n_state : int
        Dimension of the state.
    n_starts : int
        Orbits that were followed.
    n_steps : int
        Steps of each orbit after the warm-up.
    dt : float
        Time of a step.
    """

    exponents: np.ndarray
    standard_errors: np.ndarray
    kaplan_yorke_dimension: float
    kaplan_yorke_error: float
    averaging: Literal["mean", "smooth", "eigenvalues"]
    times: np.ndarray
    running: np.ndarray
    n_state: int
    n_starts: int
    n_steps: int
    dt: float

    @property
    def sum(self) -> float:
        """Sum of the exponents; of all of them, the mean rate at which volumes grow."""
        return float(self.exponents.sum())

    @property
    def lyapunov_time(self) -> float:
        """Time in which a small error grows e-fold; inf where none does."""
        largest = float(self.exponents[0])
        return 1.0 / largest if largest > 0 else math.inf

    def __repr__(self) -> str:
        shown = [
            f"{value:.4g} ± {error:.1g}"
            for value, error in zip(
                self.exponents[:4], self.standard_errors[:4], strict=True
            )
        ]
        more = len(self.exponents) - len(shown)
        rest = f", and {more} more" if more else ""
        dimension = self.kaplan_yorke_dimension
        return (
            f"LyapunovSpectrum({', '.join(shown)}{rest}; Kaplan-Yorke dimension "
            f"{dimension:.4g})"
        )


def lyapunov_spectrum(
    model: Any,
    *,
    context: Any = None,
    starts: Any = None,
    u: Any = None,
    n_exponents: int | None = None,
    n_steps: int = 10_000,
    warmup: int | None = None,
    n_starts: int | None = None,
    dt: float | None = None,
    rtol: float = 1e-6,
    random_state: int | np.random.RandomState | None = 0,
) -> LyapunovSpectrum:
    """Lyapunov exponents of a fitted forecaster or of a known system.

    All orbits are followed together, so sixteen starts take little longer than one.

    Parameters
    ----------
    model : forecaster, pipeline, search, Flow, Map or callable
        A fitted forecaster stands for the map of its state from row to row; of a
        pipeline, that of the last step is taken, which has the same exponents wherever
        the steps before are smooth and invertible; of a search, its best model. A
        callable is a map ``x -> x`` of arrays (batch, n_features).
    context : array-like or list of array-likes, default=None
        For a forecaster, data in the form of `X`: orbits start after windows of it,
        spread evenly. None starts after the training trajectories.
    starts : array-like of shape (n_starts, n_features), default=None
        For a known system, where orbits start. None takes the system's own starts.
    u : array-like of shape (n_inputs,), default=None
        A constant input, for forecasters fitted with inputs.
    n_exponents : int, default=None
        How many of the largest exponents; None takes all. Few cost less: with k
        exponents, each step moves k vectors (without an analytic derivative: 2 k + 1
        states).
    n_steps : int, default=10000
        Steps (of length `dt`) over which growth is averaged.
    warmup : int, default=None
        Steps that are discarded first, so that orbits come to the attractor. None
        takes a tenth of `n_steps`, or what the system asks for if that is more. The
        vectors then align over another tenth of `n_steps`, which is not counted either.
    n_starts : int, default=None
        Number of orbits; None takes all of `starts`, else 16. Where there are fewer
        starts, more are taken along their orbits. What lies on one orbit (these, or
        windows of one trajectory) is moved after the warm-up, by a hundredth of the way
        to another such state: else all would follow the same orbit, one behind the
        other.
    dt : float, default=None
        Time of a step. None takes that of the model or system, else 1.
    rtol : float, default=1e-6
        For a `Flow`: tolerance of the integration, relative to the spread of the states
        and to the length of the vectors. Stiff flows take as many steps as their
        fastest decay needs, which is what is asked for.
    random_state : int, RandomState instance or None, default=0
        Seed of the starts and of the first vectors.

    Returns
    -------
    LyapunovSpectrum

    Raises
    ------
    ValueError
        If all orbits leave the range of floating-point numbers; for a model with inputs
        without `u`; for parameters out of range.
    TypeError
        If `model` is no such thing.
    sklearn.exceptions.NotFittedError
        If the forecaster is not fitted.

    Warns
    -----
    DivergenceWarning
        If some orbits leave the range of floating-point numbers, and are left out.

    See Also
    --------
    fixed_points : Where a system stands still, and how it leaves from there.

    Notes
    -----
    A model with memory (delays, a reservoir) has more exponents than the system that it
    has learned. Those that tell how fast states come to the attractor are the model's
    own where all of its data lies on the attractor.

    References
    ----------
    Benettin, Galgani, Giorgilli & Strelcyn, "Lyapunov characteristic exponents for
    smooth dynamical systems and for Hamiltonian systems; a method for computing all of
    them", Meccanica 15 (1980), 9.

    Geist, Parlitz & Lauterborn, "Comparison of different methods for computing Lyapunov
    exponents", Progress of Theoretical Physics 83 (1990), 875.

    Das, Saiki, Sander & Yorke, "Quantitative quasiperiodicity", Nonlinearity 30 (2017),
    4111.

    Examples
    --------
    The logistic map at r = 4, whose exponent is log 2:

    >>> from skdyn.inspection import lyapunov_spectrum
    >>> spectrum = lyapunov_spectrum(lambda x: 4 * x * (1 - x), starts=[[0.3]],
    ...                              n_starts=16)
    >>> spectrum.exponents.round(2)
    array([0.69])

    A forecaster; that of a damped wave loses one part in a hundred at each step:

    >>> import numpy as np
    >>> from skdyn.koopman import DMD
    >>> k = np.arange(100)
    >>> X = np.column_stack([0.99**k * np.cos(0.3 * k), 0.99**k * np.sin(0.3 * k)])
    >>> lyapunov_spectrum(DMD().fit(X)).exponents / np.log(0.99)
    array([1., 1.])
    """
    who = "lyapunov_spectrum"
    check_whole(n_steps, "n_steps", 2 * _N_BLOCKS, who)
    if warmup is not None:
        check_whole(warmup, "warmup", 0, who)
    if not 1e-13 <= rtol < 1:
        raise ValueError(f"{who} needs rtol from 1e-13 to below 1, got {rtol!r}.")
    rng = check_random_state(random_state)
    # Overflow is looked for and reported by name; zeros have logarithms here.
    with np.errstate(all="ignore"):
        dynamics = resolve(
            model,
            context=context,
            starts=starts,
            u=u,
            n_starts=n_starts,
            dt=dt,
            rng=rng,
            who=who,
        )
        k = _check_n_exponents(n_exponents, dynamics, who)
        known = constant_jacobian(dynamics, rng)
        if known is not None:
            return _of_eigenvalues(known, dynamics, k, n_steps)
        if warmup is None:
            own = math.ceil(dynamics.warmup / dynamics.dt)
            warmup = max(n_steps // 10, own)
        if n_starts is None:
            n_starts = 16 if starts is None else len(dynamics.starts)
        orbits, dynamics = _settle(dynamics, n_starts, warmup, rng, rtol)
        growth = _follow(orbits, dynamics, k, n_steps, rng, rtol)
        return _summarise(growth, dynamics, n_steps)


def _check_n_exponents(n_exponents: int | None, dynamics: Dynamics, who: str) -> int:
    if n_exponents is None:
        return dynamics.n_state
    check_whole(n_exponents, "n_exponents", 1, who)
    if n_exponents > dynamics.n_state:
        raise ValueError(
            f"{who} finds as many exponents as {dynamics.name} has states, "
            f"{dynamics.n_state}, got n_exponents={n_exponents}."
        )
    return n_exponents


def _of_eigenvalues(
    J: np.ndarray, dynamics: Dynamics, k: int, n_steps: int
) -> LyapunovSpectrum:
    """The exponents of a rule whose derivative is J everywhere."""
    values = np.linalg.eigvals(J)
    rates = values.real if dynamics.is_flow else np.log(np.abs(values))
    exponents = np.sort(rates)[::-1][:k] / (1.0 if dynamics.is_flow else dynamics.dt)
    errors = np.where(np.isfinite(exponents), 0.0, np.nan)
    dimension, _ = _kaplan_yorke(exponents, errors, dynamics.n_state)
    return LyapunovSpectrum(
        exponents=exponents,
        standard_errors=errors,
        kaplan_yorke_dimension=dimension,
        kaplan_yorke_error=0.0,
        averaging="eigenvalues",
        times=np.array([n_steps * dynamics.dt]),
        running=exponents[None].copy(),
        n_state=dynamics.n_state,
        n_starts=len(dynamics.starts),
        n_steps=n_steps,
        dt=dynamics.dt,
    )


# -- following orbits --------------------------------------------------------------


def _settle(
    dynamics: Dynamics,
    n_starts: int,
    warmup: int,
    rng: np.random.RandomState,
    rtol: float,
) -> tuple[Orbits, Dynamics]:
    """Let orbits come to the attractor, and take more starts along them if needed."""
    orbits = Orbits.of(dynamics.starts, dynamics)
    seen = [orbits.x]
    for count in _bins(warmup, 20):
        orbits, _ = advance(orbits, dynamics, np.array([count]), rtol)
        seen.append(orbits.x)
    # Where orbits have come from, those that have run away since left out.
    seen = [states for states in seen if len(states) == len(orbits.x)]
    more = -(-n_starts // len(dynamics.starts)) - 1
    every = max(1, warmup // max(more, 1))
    taken = [orbits.x]
    for _ in range(more):
        orbits, _ = advance(orbits, dynamics, np.array([every]), rtol)
        taken.append(orbits.x)
    states = np.concatenate(taken[::-1])[:n_starts]
    # Derivatives need the spread of the attractor, not that of the starts.
    late = np.concatenate([states, *seen[len(seen) // 2 :]])
    settled = with_steps(dynamics, late, rng)
    if more > 0 or dynamics.share_orbits:
        # Points of one orbit would follow it, one behind the other, for ever. Towards
        # each other they stay inside what bounds them.
        order = rng.permutation(len(states))
        towards = np.empty_like(states)
        towards[order] = states[np.roll(order, 1)] - states[order]
        states = np.concatenate([states[:1], (states + _APART * towards)[1:]])
    fresh = Orbits.of(states, settled)
    return replace(orbits, x=fresh.x, Q=fresh.Q, h=fresh.h), settled


def _follow(
    orbits: Orbits,
    dynamics: Dynamics,
    k: int,
    n_steps: int,
    rng: np.random.RandomState,
    rtol: float,
) -> Growth:
    """Let frames align, then sum the logarithms of their growth over bins of steps."""
    batch = len(orbits.x)
    first = rng.standard_normal((batch, dynamics.n_state, k))
    orbits = replace(orbits, Q=np.linalg.qr(first)[0])
    orbits, _ = advance(orbits, dynamics, np.array([n_steps // 10]), rtol)
    fewest, most = _N_BINS
    n_bins = max(fewest, min(most, _MOST_RATES // (batch * k)))
    if dynamics.is_flow:
        # Bins must not cut the steps of the integration short.
        width = _STEPS_PER_BIN * float(np.median(orbits.h))
        n_bins = max(fewest, min(n_bins, int(n_steps * dynamics.dt / width)))
    counts = _bins(n_steps, n_bins)
    orbits, growth = advance(orbits, dynamics, counts, rtol)
    if orbits.n_lost:
        warnings.warn(
            f"{orbits.n_lost} of {orbits.n_lost + len(orbits.x)} orbits of "
            f"{dynamics.name} ran away, the first at step {orbits.first_lost} (warm-up "
            f"included), and are left out: the exponents are those of the orbits that "
            f"stayed.",
            DivergenceWarning,
            stacklevel=3,
        )
    return growth


def _bins(n_steps: int, n_bins: int) -> np.ndarray:
    """Numbers of steps of at most `n_bins` bins, the same for all but the last."""
    if n_steps == 0:
        return np.empty(0, dtype=int)
    width = -(-n_steps // n_bins)
    n_whole, rest = divmod(n_steps, width)
    return np.array([width] * n_whole + [rest] * (rest > 0))


# -- from rates to exponents -------------------------------------------------------


def _summarise(growth: Growth, dynamics: Dynamics, n_steps: int) -> LyapunovSpectrum:
    spans = growth.counts * dynamics.dt
    mean = growth.logs.sum(axis=0) / spans.sum()
    order = np.argsort(-mean.mean(axis=0), kind="stable")
    logs, mean = growth.logs[:, :, order], mean[:, order]
    finite = np.isfinite(logs).all(axis=(0, 1))
    weighted = {
        p: rates[:, :, order][:, :, finite] / dynamics.dt
        for p, rates in growth.weighted.items()
    }
    blocks = _block_means(logs[:, :, finite], spans)
    plain, weighed = (each.std(axis=(0, 1)) for each in (blocks, weighted[_N_BLOCKS]))
    # All exponents must gain: a mean that is good for none but one is no better.
    exact = 1e-14 * np.abs(blocks).max(initial=0.0)
    smooth = bool(finite.any() and (weighed <= _SMOOTH * plain + exact).all())
    # (n_parts, n_starts, n_finite), whose scatter is that of the answer.
    if smooth:
        whole, parts = weighted[1][0], weighted[2]
    else:
        whole, parts = mean[:, finite], blocks
    exponents = np.full(logs.shape[2], -np.inf)
    errors = np.full(logs.shape[2], np.nan)
    exponents[finite] = whole.mean(axis=0)
    errors[finite] = _standard_error(parts, whole, smooth)
    dimension, gradient = _kaplan_yorke(exponents, errors, dynamics.n_state)
    slope = gradient[finite][:, None]
    error = _standard_error(parts @ slope, whole @ slope, smooth)
    sums, times = np.cumsum(logs.mean(axis=1), axis=0), np.cumsum(spans)
    return LyapunovSpectrum(
        exponents=exponents,
        standard_errors=errors,
        kaplan_yorke_dimension=dimension,
        kaplan_yorke_error=float(error[0]) if math.isfinite(dimension) else math.nan,
        averaging="smooth" if smooth else "mean",
        times=times,
        running=sums / times[:, None],
        n_state=dynamics.n_state,
        n_starts=logs.shape[1],
        n_steps=n_steps,
        dt=dynamics.dt,
    )


def _block_means(logs: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Averages (n_blocks, n_starts, k) over blocks of bins."""
    parts = np.array_split(np.arange(len(spans)), _N_BLOCKS)
    return np.stack([logs[part].sum(axis=0) / spans[part].sum() for part in parts])


def _standard_error(parts: np.ndarray, whole: np.ndarray, smooth: bool) -> np.ndarray:
    """Standard errors (k,) of the mean over starts of `whole` (n_starts, k)."""
    n_parts, n_starts, _ = parts.shape
    if smooth:
        # What is left is no noise, and does not average out over starts.
        within = np.sqrt(((parts[0] - parts[1]) ** 2).mean(axis=0)) / 2
    else:
        within = parts.std(axis=(0, 1), ddof=1) / math.sqrt(n_parts * n_starts)
    if n_starts < 4:
        return within
    # Blocks that depend on each other, or starts on several attractors.
    return np.maximum(within, whole.std(axis=0, ddof=1) / math.sqrt(n_starts))


def _kaplan_yorke(
    exponents: np.ndarray, errors: np.ndarray, n_state: int
) -> tuple[float, np.ndarray]:
    """The dimension, and its derivatives by the exponents."""
    slope = np.zeros(len(exponents))
    finite = np.isfinite(exponents)
    size = np.abs(exponents[finite]).max(initial=0.0)
    zero = finite & (np.abs(exponents) <= np.maximum(_ZERO * errors, 1e-6 * size))
    values = np.where(zero, 0.0, exponents)
    sums = np.cumsum(values)
    if not (sums < 0).any():
        # No sum is negative: volumes grow, or exponents are missing.
        whole = len(exponents) == n_state
        return float(n_state) if whole else math.nan, slope
    j = int(np.argmax(sums < 0))
    after, before = values[j], float(sums[j - 1]) if j else 0.0
    slope[:j] = np.where(zero[:j], 0.0, 1.0 / -after)
    if j and np.isfinite(after):
        slope[j] = before / after**2
    return float(j - before / after), slope

"""Invariants of an attractor from data: its dimension and how fast it forgets.

Both numbers are slopes of a curve within a *scaling region* that has to be found.

**Correlation dimension** (Grassberger & Procaccia 1983). The correlation sum

    C(r) = fraction of pairs (i, j), |i - j| > w, with |x_i - x_j| < r

grows as r^D for small r. Pairs less than Theiler's window w apart in time are left out,
since they are close by continuity alone (Theiler 1986).

**Largest Lyapunov exponent** (Rosenstein, Collins & De Luca 1993). With n(i) the
nearest neighbour of x_i more than w rows away in time,

    S(k) = average over i of log |x_{i+k} - x_{n(i)+k}|

grows as lambda k dt, once the separation has turned into the fastest direction and
until it has come to the size of the attractor.

**The scaling region** (after Deshmukh, Bradley, Garland & Meiss 2021). A line is fitted
to every interval of the curve; each fit is weighted by its length and the inverse of
its error, squared. The mode of the weighted density of slopes is where most long and
straight intervals agree; the answer is the slope of the best of those.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.spatial import cKDTree

from skdyn.metrics._attractor import _check_integer, _is_real, autocorrelations
from skdyn.utils._trajectories import Trajectories, as_trajectories

__all__ = [
    "DimensionEstimate",
    "ExponentEstimate",
    "correlation_dimension",
    "largest_lyapunov_exponent",
]

# Fewer rows say nothing about a set.
_LEAST = 50
# Theiler's window in units of the longest time of decorrelation.
_WINDOWS = 3
# The share of all rows that it may hide.
_HIDDEN = 0.1
# Bins of distances for each factor of 2 in the squared distance: 2 to this power.
_BITS = 2
# Distances below this, relative to the size of the data, are lost to rounding.
_SMALLEST = 1e-7
# Pairs that a correlation sum needs to count, and its largest value in the fit: beyond,
# the edges of the attractor are felt.
_LEAST_PAIRS = 30
_LARGEST_SUM = 0.1
# Distances at a time: 4 MB.
_BLOCK = 500_000
# Groups of reference rows that the sampling error is read off.
_GROUPS = 10
# Nodes of the curve between which lines are fitted.
_NODES = 100
# Neighbours asked for at a time.
_QUERIES = 2_000_000
# log of the share of the attractor's size at which divergence counts as saturated.
_SATURATED = 1.0
# A feature that varies less than this is constant up to rounding: relative to its own
# size, and to the feature that varies most.
_FLAT, _NOTHING = 1e-10, 1e-14


@dataclass(frozen=True, eq=False)
class DimensionEstimate:
    """A correlation dimension, and the curve that it was read off.

    Attributes
    ----------
    dimension : float
        The slope of log C(r) against log r over `fit_range`.
    std_error : float
        Its standard error: the scatter between ten parts of the reference rows, and the
        spread over other fit ranges, added in quadrature.
    radii : ndarray of shape (n_radii,)
        In standard deviations of the features.
    correlation_sums : ndarray of shape (n_radii,)
        C(r), the fraction of pairs that are closer.
    fit_range : tuple of two floats
        Smallest and largest radius of the fit.
    theiler_window : int
        Pairs of one trajectory that are at most so many rows apart were left out.
    """

    dimension: float
    std_error: float
    radii: np.ndarray
    correlation_sums: np.ndarray
    fit_range: tuple[float, float]
    theiler_window: int

    def __repr__(self) -> str:
        return (
            f"DimensionEstimate({self.dimension:.3g} +- {self.std_error:.1g}, "
            f"radii {self.fit_range[0]:.2g} to {self.fit_range[1]:.2g})"
        )


@dataclass(frozen=True, eq=False)
class ExponentEstimate:
    """A largest Lyapunov exponent, and the curve that it was read off.

    Attributes
    ----------
    exponent : float
        Per unit time: the slope of the divergence over `fit_range`. NaN where the curve
        has no part to fit.
    std_error : float
        Its standard error: the scatter between ten parts of the reference rows, and the
        spread over other fit ranges, added in quadrature.
    times : ndarray of shape (n_steps + 1,)
        Times since neighbours were close.
    divergence : ndarray of shape (n_steps + 1,)
        S(k), the average log distance, in standard deviations of the features.
    fit_range : tuple of two floats
        First and last time of the fit.
    saturation : float
        Mean log distance of two rows at random, where the divergence ends.
    theiler_window : int
        Rows of one trajectory that are at most so far apart were not neighbours.
    """

    exponent: float
    std_error: float
    times: np.ndarray
    divergence: np.ndarray
    fit_range: tuple[float, float]
    saturation: float
    theiler_window: int

    def __repr__(self) -> str:
        return (
            f"ExponentEstimate({self.exponent:.3g} +- {self.std_error:.1g}, "
            f"times {self.fit_range[0]:.2g} to {self.fit_range[1]:.2g})"
        )


def correlation_dimension(
    X: Any,
    *,
    theiler_window: int | Literal["auto"] = "auto",
    n_reference: int | None = 5000,
    fit_range: tuple[float, float] | None = None,
) -> DimensionEstimate:
    """Correlation dimension of the set that trajectories fill.

    **Run length**: about ``10 ** (1 + D)`` rows, that is 10,000 for dimension 3, which
    go around the attractor hundreds of times. For Lorenz-63, 2.06, the answer is 2.0 to
    2.13 at 10,000 rows, over starts and sampling times, and 2.05 to 2.09 at 50,000.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), list of these, or 3-D
        Trajectories of the state; of one observable, delay-embed it first
        (``DelayEmbedding(d, delay=tau).fit_transform(x)``). Features are scaled to unit
        variance, which changes no dimension. At least 50 rows.
    theiler_window : int or "auto", default="auto"
        Pairs of one trajectory that are at most so many rows apart are left out.
        ``"auto"`` is three times the lag at which the slowest feature's autocorrelation
        has fallen to 1/e, at most a tenth of all rows. 0 leaves out only a row's pair
        with itself.
    n_reference : int or None, default=5000
        At most so many rows, evenly spread, are paired with all others: it bounds the
        time on long series. None pairs all with all.
    fit_range : tuple of two floats or None, default=None
        Smallest and largest radius of the fit, in standard deviations. None finds the
        scaling region, among radii below which there are at least 30 pairs and at most
        a tenth of all.

    Returns
    -------
    DimensionEstimate
        With the dimension, its standard error and the curve: look at the curve.

    Raises
    ------
    ValueError
        For a bad parameter, too few rows or radii, or rows that are all one.

    Notes
    -----
    Noise fills all dimensions: below its size the slope is that of the space. An
    attractor has to be filled before its dimension is seen, and where rows are few in
    many dimensions the answer is too low (a cube of 3 dimensions: 2.92 at 5,000 rows).
    Rows that agree to within 1e-7 of the size of the data are taken for repetitions of
    one row and left out.

    References
    ----------
    Grassberger & Procaccia, "Measuring the strangeness of strange attractors", Physica
    D 9 (1983), 189.

    Theiler, "Spurious dimension from correlation algorithms applied to limited
    time-series data", Physical Review A 34 (1986), 2427.

    Deshmukh, Bradley, Garland & Meiss, "Toward automated extraction and
    characterization of scaling regions in dynamical systems", Chaos 31 (2021), 123102.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.metrics import correlation_dimension
    >>> t = 0.0737 * np.arange(5000)
    >>> circle = np.stack([np.cos(t), np.sin(t)], axis=1)
    >>> round(correlation_dimension(circle).dimension, 1)
    1.0
    """
    if n_reference is not None:
        _check_integer(n_reference, "n_reference", 1, "Pass None for all rows.")
    _check_range(fit_range)
    data = as_trajectories(X, needs_last=False)
    x, clock, window = _prepared(data, theiler_window, "correlation_dimension")
    reference = _spread(len(x), n_reference)
    edges, counts = _pair_counts(x, clock, window, reference)
    below = np.cumsum(counts.sum(axis=0))
    if below[-1] < 10 * _LEAST_PAIRS:
        raise ValueError(
            f"correlation_dimension needs pairs of distinct rows more than "
            f"theiler_window={window} rows apart, got {below[-1]}. Pass more rows, or "
            f"lower theiler_window."
        )
    # Each radius that no pair separates from the one before tells nothing new.
    new = np.flatnonzero(np.diff(below, prepend=0))
    radii, sums = edges[new], below[new] / below[-1]
    log_r, log_c = np.log(radii), np.log(sums)
    if fit_range is None:
        kept = (below[new] >= _LEAST_PAIRS) & (sums <= _LARGEST_SUM)
        if kept.sum() < 4:
            raise ValueError(
                f"correlation_dimension needs at least 4 radii with {_LEAST_PAIRS} "
                f"pairs or more and a tenth of all pairs or fewer below them, got "
                f"{kept.sum()}. Pass more rows, or a fit_range."
            )
        first, last, spread = _scaling_region(log_r[kept], log_c[kept])
        first, last = np.flatnonzero(kept)[[first, last]]
    else:
        inside = np.flatnonzero((radii >= fit_range[0]) & (radii <= fit_range[1]))
        if len(inside) < 3:
            raise ValueError(
                f"fit_range needs to hold at least 3 radii, got {len(inside)} between "
                f"{fit_range[0]:g} and {fit_range[1]:g}; they go from {radii[0]:.3g} "
                f"to {radii[-1]:.3g} standard deviations."
            )
        first, last, spread = inside[0], inside[-1], 0.0
    fit = slice(first, last + 1)
    parts = np.cumsum(counts, axis=1)[:, new[fit]]
    filled = parts[:, 0] > 0
    with np.errstate(divide="ignore"):
        scatter = _scatter(log_r[fit], np.log(parts[filled]))
    return DimensionEstimate(
        float(_slope(log_r[fit], log_c[fit])),
        float(np.hypot(scatter, spread)),
        radii,
        sums,
        (float(radii[first]), float(radii[last])),
        window,
    )


def largest_lyapunov_exponent(
    X: Any,
    dt: float = 1.0,
    *,
    theiler_window: int | Literal["auto"] = "auto",
    n_steps: int | Literal["auto"] = "auto",
    average: Literal["median", "mean"] = "median",
    n_reference: int | None = 5000,
    fit_range: tuple[float, float] | None = None,
) -> ExponentEstimate:
    """Largest Lyapunov exponent of the system behind trajectories, from data alone.

    **Run length**: so many rows that neighbours are much closer than the attractor is
    wide, about ``10 ** (1 + D)`` for dimension D, over hundreds of turns. For
    Lorenz-63, 0.906, it is 0.81 to 1.05 over starts and sampling times at 10,000 rows,
    and within 6 % at 50,000; for the Hénon and the logistic map it is within 6 % at
    1,000 rows and 3 % at 5,000.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), list of these, or 3-D
        Trajectories of the state; of one observable, delay-embed it first
        (``DelayEmbedding(d, delay=tau).fit_transform(x)``). Features are scaled to unit
        variance, which changes no exponent. Neighbours may lie in other trajectories.
    dt : float, default=1.0
        Time between rows.
    theiler_window : int or "auto", default="auto"
        Rows of one trajectory that are at most so far apart are not neighbours.
        ``"auto"`` is three times the lag at which the slowest feature's autocorrelation
        has fallen to 1/e, at most a tenth of all rows.
    n_steps : int or "auto", default="auto"
        Steps over which neighbours are followed. ``"auto"`` follows until they are as
        far apart as any two rows, at most a tenth of all rows and half of the rows of
        the median trajectory.
    average : {"median", "mean"}, default="median"
        Average of the log distances. Rosenstein et al. take the mean. Pairs that have
        come to the size of the attractor can go no further and hold the mean back,
        long before the average pair is there: it is 8 to 10 % too low for Lorenz-63,
        where the median is 3 % too low.
    n_reference : int or None, default=5000
        At most so many rows, evenly spread, are asked for their neighbour, which is
        sought among all. None asks all.
    fit_range : tuple of two floats or None, default=None
        First and last time of the fit, in units of `dt`. None finds the scaling region,
        before the divergence has come within a factor e of its end.

    Returns
    -------
    ExponentEstimate
        With the exponent per unit time, its standard error and the curve: look at the
        curve. Periodic data has an exponent of about 0. An exponent below 0 is not
        seen: on an attractor, there is none.

    Raises
    ------
    ValueError
        For a bad parameter, too few rows, or rows that are all one.

    Warns
    -----
    UserWarning
        Where fewer than four steps pass before the divergence has come to its end: the
        data is noise, or sampled too coarsely. The exponent is then NaN.

    See Also
    --------
    skdyn.preprocessing.DelayEmbedding : The state from one observable.
    skdyn.preprocessing.choose_dimension : How many delays.
    skdyn.inspection.lyapunov_spectrum : All exponents of a system or a fitted model,
        from its equations, to many digits.

    References
    ----------
    Rosenstein, Collins & De Luca, "A practical method for calculating largest Lyapunov
    exponents from small data sets", Physica D 65 (1993), 117.

    Deshmukh, Bradley, Garland & Meiss, "Toward automated extraction and
    characterization of scaling regions in dynamical systems", Chaos 31 (2021), 123102.

    Examples
    --------
    The logistic map at r = 4, with exponent log 2 = 0.693:

    >>> import numpy as np
    >>> from skdyn.metrics import largest_lyapunov_exponent
    >>> x = np.empty((3000, 1))
    >>> x[0] = 0.3
    >>> for k in range(2999):
    ...     x[k + 1] = 4 * x[k] * (1 - x[k])
    >>> round(largest_lyapunov_exponent(x).exponent, 1)
    0.7
    """
    if not (_is_real(dt) and 0 < dt < np.inf):
        raise ValueError(f"dt needs a positive number, got {dt!r}.")
    if average not in ("median", "mean"):
        raise ValueError(f"average needs 'median' or 'mean', got {average!r}.")
    if n_reference is not None:
        _check_integer(n_reference, "n_reference", 1, "Pass None for all rows.")
    _check_range(fit_range)
    data = as_trajectories(X, needs_last=False)
    x, clock, window = _prepared(data, theiler_window, "largest_lyapunov_exponent")
    steps = _resolved_steps(n_steps, data.lengths)
    # Rows that have all their future; the others are no one's neighbour.
    left = np.concatenate([np.arange(n)[::-1] for n in data.lengths])
    early = np.flatnonzero(left >= steps)
    asked = early[_spread(len(early), n_reference)]
    neighbour = _neighbours(x, clock, window, early, asked)
    found = neighbour >= 0
    if found.sum() < _GROUPS:
        raise ValueError(
            f"largest_lyapunov_exponent needs at least {_GROUPS} rows with a neighbour "
            f"more than theiler_window={window} rows away and {steps} rows ahead of "
            f"both, got {found.sum()}. Pass more rows, or lower theiler_window or "
            f"n_steps."
        )
    end = _mean_log_distance(x)
    to_the_end = n_steps != "auto" or fit_range is not None
    curve, parts = _divergence(
        x,
        asked[found],
        neighbour[found],
        steps,
        np.median if average == "median" else np.mean,
        np.inf if to_the_end else end,
    )
    times = float(dt) * np.arange(len(curve))
    if fit_range is None:
        past = np.flatnonzero(curve > end - _SATURATED)
        stop = int(past[0]) if past.size else len(curve)
        if stop < 4:
            warnings.warn(
                f"The divergence comes to its end within {stop} step(s), which leaves "
                f"nothing to fit a line to: the data is noise, sampled too coarsely, "
                f"or has too few rows for close neighbours. The exponent is NaN.",
                UserWarning,
                stacklevel=2,
            )
            nothing = (np.nan, np.nan)
            return ExponentEstimate(np.nan, np.nan, times, curve, nothing, end, window)
        nodes = np.arange(stop)
        if stop > _NODES:
            nodes = np.linspace(0, stop - 1, _NODES).round().astype(int)
        first, last, spread = _scaling_region(times[nodes], curve[nodes])
        first, last = nodes[first], nodes[last]
    else:
        # Times are multiples of dt, up to rounding.
        slack = 1e-9 * float(dt)
        inside = np.flatnonzero(
            (times >= fit_range[0] - slack) & (times <= fit_range[1] + slack)
        )
        if len(inside) < 2:
            raise ValueError(
                f"fit_range needs to hold at least 2 times, got {len(inside)} between "
                f"{fit_range[0]:g} and {fit_range[1]:g}; they go from 0 to "
                f"{times[-1]:g} in steps of {dt:g}."
            )
        first, last, spread = inside[0], inside[-1], 0.0
    fit = slice(first, last + 1)
    return ExponentEstimate(
        float(_slope(times[fit], curve[fit])),
        float(np.hypot(_scatter(times[fit], parts[:, fit]), spread)),
        times,
        curve,
        (float(times[first]), float(times[last])),
        end,
        window,
    )


# --- counting pairs


def _pair_counts(
    x: np.ndarray, clock: np.ndarray, window: int, reference: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of distances from reference rows to all others, in `_GROUPS` parts.

    Returns
    -------
    edges : ndarray of shape (n_bins,)
        Upper end of each bin of distances.
    counts : int ndarray of shape (_GROUPS, n_bins)
    """
    # The leading bits of a double, seen as an integer, count its logarithm in steps
    # that are equal within each factor of 2: bins without a logarithm for each pair.
    shift = 52 - _BITS
    size = float(np.sqrt(np.einsum("ij,ij->i", x, x).max())) or 1.0
    low = _code((_SMALLEST * size) ** 2, shift)
    n_bins = _code(4.1 * size**2, shift) - low + 1
    norm = np.einsum("ij,ij->i", x, x)[:, None]
    left = np.hstack([x, norm, np.ones_like(norm)])
    right = np.hstack([-2 * x, np.ones_like(norm), norm]).T.copy()
    counts = np.zeros((_GROUPS, n_bins + 1), dtype=np.int64)
    step = max(1, _BLOCK // len(x))
    for part, rows in enumerate(np.array_split(reference, _GROUPS)):
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            codes = (left[some] @ right).view(np.int64)
            codes >>= shift
            codes -= low
            # Everything below the first bin, and what rounding made negative.
            np.maximum(codes, -1, out=codes)
            codes += 1
            _hide(codes, clock, some, window)
            counts[part] += np.bincount(codes.ravel(), minlength=n_bins + 1)
    edges = (np.arange(1, n_bins + 1, dtype=np.int64) + low) << shift
    return np.sqrt(edges.view(np.float64)), counts[:, 1:]


def _code(value: float, shift: int) -> int:
    return int(np.float64(value).view(np.int64)) >> shift


def _hide(codes: np.ndarray, clock: np.ndarray, rows: np.ndarray, window: int) -> None:
    """Set what lies within the window of each row to 0, which is not counted."""
    first = np.searchsorted(clock, clock[rows] - window, side="left")
    last = np.searchsorted(clock, clock[rows] + window, side="right")
    for code, start, stop in zip(codes, first, last, strict=True):
        code[start:stop] = 0


# --- following neighbours


def _neighbours(
    x: np.ndarray,
    clock: np.ndarray,
    window: int,
    candidates: np.ndarray,
    rows: np.ndarray,
) -> np.ndarray:
    """Nearest of the candidates that is outside the window of each row; -1 for none."""
    neighbour = np.full(len(rows), -1)
    if not len(rows):
        return neighbour
    tree = cKDTree(x[candidates])
    # The window hides at most 2 window + 1 of the nearest. Most rows need but a few.
    limit = min(len(candidates), 2 * window + 2)
    pending, k = np.arange(len(rows)), min(limit, 4)
    while pending.size:
        still = []
        for start in range(0, len(pending), max(1, _QUERIES // k)):
            some = pending[start : start + max(1, _QUERIES // k)]
            found = candidates[tree.query(x[rows[some]], k=np.arange(1, k + 1))[1]]
            allowed = np.abs(clock[found] - clock[rows[some], None]) > window
            has = allowed.any(axis=1)
            best = allowed[has].argmax(axis=1)
            neighbour[some[has]] = found[has, best]
            still.append(some[~has])
        pending = np.concatenate(still)
        if k == limit:
            break
        k = min(4 * k, limit)
    return neighbour


def _divergence(
    x: np.ndarray,
    rows: np.ndarray,
    others: np.ndarray,
    n_steps: int,
    average: Any,
    end: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Average log distance of pairs of rows and of what follows them.

    Returns
    -------
    curve : ndarray of shape (n + 1,)
        For 0 to `n_steps` steps, or until it has passed `end`.
    parts : ndarray of shape (_GROUPS, n + 1)
        The same of parts of the pairs.
    """
    # Of two rows that coincide, the log is that of the rounding error.
    least = np.finfo(float).eps * np.sqrt(x.shape[1])
    size = len(rows) // _GROUPS
    curve, parts = [], []
    for k in range(n_steps + 1):
        apart = x[rows + k] - x[others + k]
        distance = np.sqrt(np.einsum("ij,ij->i", apart, apart))
        logs = np.log(np.maximum(distance, least))
        curve.append(average(logs))
        parts.append(average(logs[: size * _GROUPS].reshape(_GROUPS, size), axis=1))
        if curve[-1] > end:
            break
    return np.array(curve), np.array(parts).T


def _mean_log_distance(x: np.ndarray) -> float:
    """Mean log distance of two rows at random, from a fixed spread of pairs."""
    n, m = len(x), min(len(x), 2000)
    rows = _spread(n, m)
    total, count = 0.0, 0
    for turn in range(1, 11):
        # Other rows, some way around: the shifts are in step with nothing.
        others = np.roll(rows, int(len(rows) * (turn * 0.6180339887 % 1)))
        distance = np.linalg.norm(x[rows] - x[others], axis=1)
        distance = distance[distance > 0]
        total, count = total + float(np.log(distance).sum()), count + len(distance)
    return total / max(count, 1)


def _resolved_steps(n_steps: Any, lengths: list[int]) -> int:
    if n_steps != "auto":
        _check_integer(n_steps, "n_steps", 1, "Pass 'auto' for the default.")
        return int(n_steps)
    half = int(np.median(lengths)) // 2
    return max(1, min(sum(lengths) // 10, half))


# --- slopes


def _scaling_region(
    x: np.ndarray, y: np.ndarray, *, least: int = 4, share: float = 0.25
) -> tuple[int, int, float]:
    """Find the interval over which most long straight lines agree.

    Parameters
    ----------
    x, y : ndarray of shape (n,)
        A curve; x increases.
    least : int
        Points that an interval needs.
    share : float
        Share of the whole length that an interval needs.

    Returns
    -------
    first, last : int
        The interval, both ends included.
    spread : float
        Weighted standard deviation of the slopes of all intervals.
    """
    x, y = x - x.mean(), y - y.mean()
    # Sums up to each point, so that a fit costs a few differences.
    sums = [np.concatenate([[0.0], np.cumsum(v)]) for v in (x, y, x * x, x * y, y * y)]
    first, last = np.triu_indices(len(x), min(least, len(x)) - 1)
    length = x[last] - x[first]
    long = length >= share * (x[-1] - x[0]) * (1 - 1e-9)
    first, last, length = first[long], last[long], length[long]
    n = last - first + 1
    sx, sy, sxx, sxy, syy = (total[last + 1] - total[first] for total in sums)
    varied = sxx - sx * sx / n
    slope = (sxy - sx * sy / n) / varied
    residual = np.maximum(syy - sy * sy / n - slope * (sxy - sx * sy / n), 0.0)
    error = np.sqrt(residual / np.maximum(n - 2, 1))
    # No line is straighter than a thousandth of the curve's height: it would silence
    # all others.
    error += 1e-3 * np.ptp(y) + 1e-12
    weight = (length / error) ** 2
    weight /= weight.sum()
    mean = weight @ slope
    sd = np.sqrt(weight @ (slope - mean) ** 2)
    # Silverman's width; a weighted density on a grid of slopes.
    width = max(1.06 * sd * len(slope) ** -0.2, 1e-9 * (1 + abs(mean)))
    grid = np.linspace(mean - 3 * sd, mean + 3 * sd, 200)
    density = [weight @ np.exp(-0.5 * ((slope - g) / width) ** 2) for g in grid]
    mode = grid[int(np.argmax(density))]
    best = int(np.argmax(weight * np.exp(-0.5 * ((slope - mode) / width) ** 2)))
    return int(first[best]), int(last[best]), float(sd)


def _slope(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Slope of the least squares line through the last axis of y."""
    centred = x - x.mean()
    return (y @ centred) / (centred @ centred)


def _scatter(x: np.ndarray, parts: np.ndarray) -> float:
    """Standard error of a mean slope, from the slopes of its parts."""
    slopes = _slope(x, parts)
    slopes = slopes[np.isfinite(slopes)]
    if len(slopes) < 2:
        return float("nan")
    return float(slopes.std(ddof=1) / np.sqrt(len(slopes)))


# --- the door


def _prepared(
    data: Trajectories, theiler_window: Any, who: str
) -> tuple[np.ndarray, np.ndarray, int]:
    """Rows with unit variance, their times, and Theiler's window.

    Times of different trajectories are more than the window apart.
    """
    lengths = np.array(data.lengths)
    n = int(lengths.sum())
    if n < _LEAST:
        raise ValueError(
            f"{who} needs at least {_LEAST} rows, got {n}. Pass more rows."
        )
    rows = data.rows().astype(np.float64, copy=False)
    # Scaled by the largest value first, so that squares do not overflow.
    size = np.abs(rows).max(axis=0)
    rows = rows / np.where(size > 0, size, 1.0)
    sd = rows.std(axis=0)
    varies = (sd > _FLAT) & (sd * size > _NOTHING * (sd * size).max())
    if not varies.any():
        raise ValueError(
            f"{who} needs rows that differ, got one row, up to rounding. A fixed point "
            f"has dimension 0, and no neighbours to follow."
        )
    x = (rows[:, varies] - rows[:, varies].mean(axis=0)) / sd[varies]
    most = int(_HIDDEN * n)
    if theiler_window == "auto":
        window = _decorrelation(data.split(x), most)
    else:
        _check_integer(theiler_window, "theiler_window", 0, "Pass 'auto'.")
        window = int(theiler_window)
    piece = np.repeat(np.arange(len(lengths)), lengths)
    return x, np.arange(n) + (window + 1) * piece, window


def _decorrelation(pieces: Any, most: int) -> int:
    """Three times the lag at which every feature has fallen to 1/e, at most `most`."""
    longest = max(len(piece) for piece in pieces)
    lags = max(1, min(most, longest - 1))
    curve = autocorrelations(pieces, lags)
    below = curve <= np.exp(-1)
    first = np.where(below.any(axis=0), below.argmax(axis=0), lags)
    return int(min(_WINDOWS * first.max(), most))


def _spread(n: int, m: int | None) -> np.ndarray:
    """About `m` of `n` rows, evenly spread, but in step with no period of the data."""
    if m is None or m >= n:
        return np.arange(n)
    # Multiples of the golden ratio fill the interval evenly (three-gap theorem).
    golden = (np.sqrt(5) - 1) / 2
    return np.unique((n * (golden * np.arange(m) % 1.0)).astype(np.intp))


def _check_range(fit_range: Any) -> None:
    if fit_range is None:
        return
    pair = isinstance(fit_range, (tuple, list, np.ndarray)) and len(fit_range) == 2
    if not (pair and all(_is_real(end) for end in fit_range)) or (
        not fit_range[0] < fit_range[1]
    ):
        raise ValueError(
            f"fit_range needs two increasing numbers, got {fit_range!r}. Pass None to "
            f"find the scaling region."
        )

"""How far back, and how often: a delay and a dimension for delay embedding.

**Delay.** Rows one delay apart should be new to each other, yet still related. With
p the joint distribution of a value now and the value `lag` rows later, the average
mutual information (Fraser & Swinney 1986)

    I(lag) = sum_ab p(a, b) log[p(a, b) / (p(a) p(b))]

says how much, in nats, one tells about the other, linear or not; the delay is its
first local minimum. The linear cousin is the autocorrelation

    c(lag) = mean[(x[k] - m) (x[k + lag] - m)] / mean[(x - m)^2],

whose delay is the first lag at which it has fallen to 1/e, or to zero.

**Dimension.** Let z_i(d) = (x[i], x[i + tau], ..., x[i + (d - 1) tau]), n(i, d) the
nearest neighbour of z_i(d), and R_i(d) their distance. Where d is too small, the
attractor is folded onto itself and some neighbours are false: the next value,
x[i + d tau], tells them apart.

Cao (1997, section 2), in the maximum norm:

    a(i, d) = |z_i(d + 1) - z_n(i,d)(d + 1)| / |z_i(d) - z_n(i,d)(d)|
    E(d)    = mean_i a(i, d),                          E1(d) = E(d + 1) / E(d)
    E*(d)   = mean_i |x[i + d tau] - x[n(i,d) + d tau]|,  E2(d) = E*(d + 1) / E*(d)

E1 climbs to about 1 and stays there from the least sufficient dimension on. E2 is
about 1 for all d where the past does not tell the future (white noise), and departs
from 1 for some d where it does.

Kennel, Brown & Abarbanel (1992, section II), in the Euclidean norm: a neighbour is
false where

    |x[i + d tau] - x[n(i,d) + d tau]| / R_i(d) > R_tol,  or  R_i(d + 1) / R_A > A_tol

with R_A the standard deviation of x; the dimension is the first at which the fraction
of false ones is small.

The next value is one that lies ahead, as in both papers. A vector of `DelayEmbedding`
holds the same values in reverse order, so that "sufficient" says that the future is a
function of what the embedding holds: what a forecaster needs, and for maps that have
no inverse not the same as unfolding the past.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from scipy.spatial import cKDTree

from skdyn.utils._trajectories import Trajectories, as_trajectories

__all__ = ["DelayChoice", "DimensionChoice", "choose_delay", "choose_dimension"]

# Fewer pairs or delay vectors than this say nothing about a distribution.
_LEAST = 10
# Longest lag looked at unless told: it bounds the time on long series.
_LONGEST_LAG = 1000
# Counts per cell of the joint histogram if it were flat (Cochran's rule), and the
# limits that keep the bias (n_bins - 1)^2 / (2 n_pairs) and the blur small.
_PER_CELL = 5
_BINS = (4, 32)
# E1 from which a dimension is enough, and the fraction of false neighbours.
_THRESHOLDS = {"cao": 0.9, "false_neighbors": 0.01}
# |E2 - 1| below this for all dimensions: no sign of determinism.
_RANDOM = 0.1


@dataclass(frozen=True, eq=False)
class DelayChoice:
    """A delay, and the curve that it was read off.

    Attributes
    ----------
    delay : int
        Rows between blocks: ``delay`` of `DelayEmbedding`.
    lags : int ndarray of shape (max_delay + 1,)
        0, 1, ..., max_delay.
    curve : ndarray of shape (max_delay + 1,)
        Average mutual information in nats, or autocorrelation, at each lag: the mean
        over the features.
    method : {"mutual_information", "autocorrelation"}
        What the curve is.
    threshold : float or None
        What the autocorrelation had to fall to; None for mutual information.
    found : bool
        Whether the curve has what was looked for. If not, `delay` is where it is
        least, and a warning said so.
    """

    delay: int
    lags: np.ndarray
    curve: np.ndarray
    method: str
    threshold: float | None
    found: bool

    def __repr__(self) -> str:
        how = self.method.replace("_", " ")
        return f"DelayChoice(delay={self.delay}, by {how}{_unsure(self.found)})"


@dataclass(frozen=True, eq=False)
class DimensionChoice:
    """A number of delays, and the curve that it was read off.

    Attributes
    ----------
    dimension : int
        Blocks, the present one included: ``n_delays`` of `DelayEmbedding`.
    dimensions : int ndarray of shape (max_dimension,)
        1, 2, ..., max_dimension.
    curve : ndarray of shape (max_dimension,)
        Cao's E1, or the fraction of false neighbours, at each dimension.
    companion : ndarray of shape (max_dimension,) or None
        Cao's E2: about 1 throughout for random data; None for false neighbours.
    method : {"cao", "false_neighbors"}
        What the curve is.
    threshold : float
        What the curve had to reach: E1 from below, the fraction from above.
    found : bool
        Whether it does. If not, `dimension` is where it comes closest, and a warning
        said so.
    """

    dimension: int
    dimensions: np.ndarray
    curve: np.ndarray
    companion: np.ndarray | None
    method: str
    threshold: float
    found: bool

    def __repr__(self) -> str:
        how = "Cao's E1" if self.method == "cao" else "false neighbors"
        return (
            f"DimensionChoice(dimension={self.dimension}, by {how}"
            f"{_unsure(self.found)})"
        )


def _unsure(found: bool) -> str:
    return "" if found else ", not found"


def choose_delay(
    X: Any,
    *,
    method: Literal["mutual_information", "autocorrelation"] = "mutual_information",
    max_delay: int | None = None,
    n_bins: int | Literal["auto"] = "auto",
    threshold: float = float(np.exp(-1)),
) -> DelayChoice:
    """Choose the delay of a delay embedding from data.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), list of these, or 3-D
        Trajectories. Pairs of all trajectories are pooled; none reaches from one into
        another. With several features the curve is the mean of the features' curves,
        since an embedding has one delay for all; pass ``X[:, [j]]`` for feature j.
    method : {"mutual_information", "autocorrelation"}, default="mutual_information"
        ``"mutual_information"``: the first local minimum of the average mutual
        information. ``"autocorrelation"``: the first lag at which the autocorrelation
        is at or below `threshold`.
    max_delay : int or None, default=None
        Longest lag looked at; a minimum needs a longer lag beside it, so it is found
        up to ``max_delay - 1``. None takes the longest for which half of all rows
        still form pairs, at most 1000.
    n_bins : int or "auto", default="auto"
        Bins of the histogram for each feature, about equally filled; one for each
        value where a feature takes no more values than that. ``"auto"`` is
        sqrt(n_pairs / 5), kept within 4 and 32. Used by mutual information alone.
    threshold : float, default=1/e
        Between -1 and 1; 0.0 asks for the first zero crossing. Used by the
        autocorrelation alone.

    Returns
    -------
    DelayChoice
        With the delay and the curve.

    Raises
    ------
    ValueError
        For a bad parameter, a constant feature, or trajectories too short.

    Warns
    -----
    UserWarning
        Where the curve has no local minimum, or stays above the threshold: the delay
        is then the lag at which it is least.

    See Also
    --------
    choose_dimension : The number of delays.
    DelayEmbedding : The transformer that both are for.

    Notes
    -----
    Mutual information is for data that fill a region of the plane: chaos, or noise
    upon anything. The joint distribution of an exactly periodic series is a curve, on
    which the histogram shows little but its own bins: use the autocorrelation. For
    maps (Henon, logistic) mutual information falls steadily and the delay that does
    good is 1.

    References
    ----------
    Fraser & Swinney, "Independent coordinates for strange attractors from mutual
    information", Physical Review A 33 (1986), 1134. Their adaptive partition is
    replaced by equally filled bins, the same at all lags.

    Kantz & Schreiber, "Nonlinear Time Series Analysis", 2nd edition, Cambridge
    University Press (2004), chapter 9.2.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.preprocessing import choose_delay
    >>> x = np.sin(2 * np.pi * np.arange(1000) / 102)
    >>> choice = choose_delay(x[:, None], method="autocorrelation", threshold=0.0)
    >>> choice
    DelayChoice(delay=26, by autocorrelation)
    >>> from skdyn.datasets import make_lorenz63
    >>> choose_delay(make_lorenz63(5000, dt=0.01)[:, [0]]).delay in (16, 17, 18)
    True
    """
    _check_method(method, ("mutual_information", "autocorrelation"))
    if n_bins != "auto":
        _check_integer(n_bins, "n_bins", 2, 'Pass "auto" for the default.', 1000)
    _check_real(threshold, "threshold", -1.0, 1.0, "Pass 1/e, or 0.0 for a crossing.")
    data = as_trajectories(X)
    x, _ = _standardised(data)
    lengths = np.array(data.lengths)
    longest = _longest_lag(lengths, max_delay, method)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    if method == "autocorrelation":
        curve = _autocorrelation(x, owner, longest)
        below = np.flatnonzero(curve[1:] <= threshold) + 1
        missed = f"The autocorrelation does not fall to {threshold:.4g}"
        other = "raise threshold"
    else:
        if n_bins == "auto":
            pairs = _n_pairs(lengths, longest)
            n_bins = int(np.clip(np.sqrt(pairs / _PER_CELL), *_BINS))
        codes = np.stack([_binned(column, n_bins) for column in x.T], axis=1)
        curve = _mutual_information(codes, owner, longest)
        # A plateau counts from its first lag.
        falls, rises = curve[1:-1] < curve[:-2], curve[1:-1] <= curve[2:]
        below = np.flatnonzero(falls & rises) + 1
        missed = "The mutual information has no local minimum"
        other = 'pass method="autocorrelation"'
    found = below.size > 0
    delay = int(below[0]) if found else int(np.argmin(curve[1:])) + 1
    if not found:
        warnings.warn(
            f"{missed} up to lag {longest}; its least value, at lag {delay}, was taken "
            f"instead. Raise max_delay, or {other}, or choose by the curve.",
            UserWarning,
            stacklevel=2,
        )
    return DelayChoice(
        delay,
        np.arange(longest + 1),
        curve,
        method,
        float(threshold) if method == "autocorrelation" else None,
        found,
    )


def choose_dimension(
    X: Any,
    *,
    delay: int = 1,
    method: Literal["cao", "false_neighbors"] = "cao",
    max_dimension: int = 10,
    threshold: float | None = None,
    theiler_window: int | None = None,
    n_reference: int | None = 2000,
    r_tol: float = 15.0,
    a_tol: float = 2.0,
) -> DimensionChoice:
    """Choose the number of delays of a delay embedding from data.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), list of these, or 3-D
        Trajectories. No delay vector reaches from one into another, while neighbours
        may lie in another. With several features a block is a whole row, each feature
        scaled to unit variance. Trajectories too short for one vector,
        ``1 + max_dimension * delay`` rows (Cao: ``max_dimension + 1``), take no part.
    delay : int, default=1
        Rows between blocks, as from `choose_delay`.
    method : {"cao", "false_neighbors"}, default="cao"
        ``"cao"``: the first dimension at which E1 is at or above `threshold`.
        ``"false_neighbors"``: the first at which the fraction of false nearest
        neighbours is at or below it.
    max_dimension : int, default=10
        Largest dimension looked at.
    threshold : float or None, default=None
        Between 0 and 1. None takes 0.9 for Cao and 0.01 for false neighbours.
    theiler_window : int or None, default=None
        Rows of one trajectory that are at most so far apart in time are not taken as
        neighbours, since they are close by continuity alone. 0 excludes nothing but
        the row itself. None takes `delay`.
    n_reference : int or None, default=2000
        At most this many rows, spread evenly over the data, are asked for their
        nearest neighbour, which is sought among all. It bounds the time on long
        series and the error of the fraction: 0.2 % at a fraction of 1 %. None asks
        all rows.
    r_tol, a_tol : float, default=15.0 and 2.0
        Kennel's tolerances: of the growth of a distance in its own size, and of the
        distance in the size of the attractor. Used by false neighbours alone.

    Returns
    -------
    DimensionChoice
        With the dimension and the curve.

    Raises
    ------
    ValueError
        For a bad parameter, a constant feature, or trajectories too short.

    Warns
    -----
    UserWarning
        Where no dimension reaches the threshold: the one that comes closest is then
        given. Also where Cao's E2 is within 0.1 of 1 at all dimensions: the data then
        look random, and no dimension means much.

    See Also
    --------
    choose_delay : The delay.
    DelayEmbedding : The transformer that both are for.

    Notes
    -----
    All dimensions are judged on the same vectors, those that have every block asked
    for: the papers use for each all that it has, a few more at the low ones.

    The nearest *distinct* neighbour is taken, as Cao does: rows that agree in all
    blocks up to rounding (periodic or coarsely recorded data) count as one point, or
    every distance ratio would be one of rounding errors. Data that repeat a handful of
    values have no near neighbours then, and false neighbours call them all false.

    E1 climbs smoothly, and 0.9 is on the safe side: noise, or a delay far from the
    chosen one, adds a dimension or two. False neighbours need a delay that is not too
    short: where a delay changes little, so does the next value, and too few dimensions
    pass.

    Observation noise raises both estimates; noise alone gets many dimensions and, from
    false neighbours, more false ones as the dimension grows past the number that the
    data can fill.

    References
    ----------
    Cao, "Practical method for determining the minimum embedding dimension of a scalar
    time series", Physica D 110 (1997), 43, section 2.

    Kennel, Brown & Abarbanel, "Determining embedding dimension for phase-space
    reconstruction using a geometrical construction", Physical Review A 45 (1992),
    3403, section II.

    Theiler, "Spurious dimension from correlation algorithms applied to limited
    time-series data", Physical Review A 34 (1986), 2427.

    Examples
    --------
    >>> from skdyn.datasets import make_lorenz63
    >>> from skdyn.preprocessing import choose_dimension
    >>> x = make_lorenz63(5000, dt=0.01)[:, [0]]
    >>> choose_dimension(x, delay=17, method="false_neighbors", max_dimension=5)
    DimensionChoice(dimension=3, by false neighbors)
    """
    _check_method(method, ("cao", "false_neighbors"))
    _check_integer(delay, "delay", 1, "Pass the rows between blocks.")
    _check_integer(max_dimension, "max_dimension", 1, "Pass a number of blocks.")
    level = _THRESHOLDS[method] if threshold is None else threshold
    _check_real(level, "threshold", 0.0, 1.0, "Pass None for the default.")
    window = delay if theiler_window is None else theiler_window
    _check_integer(window, "theiler_window", 0, "Pass None for the default.")
    if n_reference is not None:
        _check_integer(n_reference, "n_reference", 1, "Pass None for all rows.")
    _check_real(r_tol, "r_tol", 0.0, np.inf, "Kennel et al. take 15.")
    _check_real(a_tol, "a_tol", 0.0, np.inf, "Kennel et al. take 2.")
    data = as_trajectories(X)
    x, rounding = _standardised(data)
    # E1 at the last dimension compares it with the next one.
    top = max_dimension + 1 if method == "cao" else max_dimension
    starts, clock = _starts(np.array(data.lengths), 1 + top * delay, window)
    n = len(starts)
    asked = n if n_reference is None else min(n, int(n_reference))
    reference = _spread(n, asked)
    rows = starts[:, None] + delay * np.arange(top + 1)
    walk = _Neighbours(x[rows], _ranks(x, rounding)[rows], clock, window, reference)
    curve: np.ndarray
    companion: np.ndarray | None
    if method == "cao":
        curve, companion = _cao(walk, top)
        enough = curve >= level
        best, name = int(np.argmax(curve)), "E1 does not reach"
    else:
        curve = _false_neighbors(walk, top, r_tol, a_tol)
        companion = None
        enough = curve <= level
        best, name = int(np.argmin(curve)), "The fraction of false neighbours is above"
    found = bool(enough.any())
    dimension = 1 + (int(np.argmax(enough)) if found else best)
    if not found:
        warnings.warn(
            f"{name} {level:g} at any dimension up to {max_dimension}; the one that "
            f"comes closest, {dimension} ({curve[dimension - 1]:.3g}), was taken "
            f"instead. Raise max_dimension, pass more rows, or choose by the curve.",
            UserWarning,
            stacklevel=2,
        )
    if companion is not None and np.all(np.abs(companion - 1) < _RANDOM):
        warnings.warn(
            f"The data look random: Cao's E2 is within {_RANDOM:g} of 1 at all "
            f"dimensions, so that neighbours do not share their futures, and dimension "
            f"{dimension} means little. Look at the curve and the companion, or pass "
            f"more rows or another delay.",
            UserWarning,
            stacklevel=2,
        )
    return DimensionChoice(
        dimension,
        np.arange(1, max_dimension + 1),
        curve,
        companion,
        method,
        float(level),
        found,
    )


def _mutual_information(
    codes: np.ndarray, owner: np.ndarray, longest: int
) -> np.ndarray:
    """Average mutual information of bins `lag` rows apart, for lags 0 to `longest`.

    Parameters
    ----------
    codes : int ndarray of shape (n_rows, n_features)
        Bin of each value.
    owner : int ndarray of shape (n_rows,)
        Trajectory of each row.
    longest : int
        Last lag.

    Returns
    -------
    ndarray of shape (longest + 1,)
        Mean over the features, in nats.
    """

    def information(early: np.ndarray, late: np.ndarray) -> float:
        # The marginals are those of the pairs, so that I is never negative.
        size = int(codes.max()) + 1
        joint = np.bincount(early * size + late, minlength=size * size)
        p = joint.reshape(size, size) / len(early)
        a, b = np.nonzero(p)
        cells = p[a, b]
        return float(cells @ np.log(cells / (p.sum(1)[a] * p.sum(0)[b])))

    return _over_lags(information, codes, owner, longest)


def _autocorrelation(x: np.ndarray, owner: np.ndarray, longest: int) -> np.ndarray:
    """Mean product of standardised values `lag` rows apart, mean over features."""
    return _over_lags(lambda a, b: float(a @ b) / len(a), x, owner, longest)


def _over_lags(
    statistic: Callable[[np.ndarray, np.ndarray], float],
    x: np.ndarray,
    owner: np.ndarray,
    longest: int,
) -> np.ndarray:
    """Mean over the features of a statistic of all pairs within a trajectory."""
    columns = np.ascontiguousarray(x.T)
    curve = np.empty(longest + 1)
    for lag in range(longest + 1):
        stop = len(x) - lag
        early, late = columns[:, :stop], columns[:, lag:]
        if owner[-1] > 0:
            same = owner[:stop] == owner[lag:]
            early, late = early[:, same], late[:, same]
        curve[lag] = np.mean(
            [statistic(a, b) for a, b in zip(early, late, strict=True)]
        )
    return curve


def _binned(column: np.ndarray, n_bins: int) -> np.ndarray:
    """Bin of each value: about equally filled bins, equal values together."""
    values = np.unique(column)
    if len(values) <= n_bins:
        return np.searchsorted(values, column)
    edges = np.unique(np.quantile(column, np.arange(1, n_bins) / n_bins))
    codes = np.searchsorted(edges, column, side="right")
    if codes.min() == codes.max():
        # One value makes up nearly all of the series: bins of equal width then.
        low, high = values[0], values[-1]
        codes = np.minimum((column - low) / (high - low) * n_bins, n_bins - 1)
    return codes.astype(np.intp)


def _cao(walk: _Neighbours, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Cao's E1 and E2 for dimensions 1 to top - 1, from E and E* for 1 to top."""
    growth, spread = np.empty(top), np.empty(top)
    for d in range(1, top + 1):
        near, step = walk.distances(d, np.inf)
        growth[d - 1] = np.mean(np.maximum(near, step) / near)
        spread[d - 1] = np.mean(step)
    with np.errstate(invalid="ignore", divide="ignore"):
        return growth[1:] / growth[:-1], spread[1:] / spread[:-1]


def _false_neighbors(
    walk: _Neighbours, top: int, r_tol: float, a_tol: float
) -> np.ndarray:
    """Fraction of false neighbours for dimensions 1 to top, by both criteria."""
    # Every feature has unit variance: R_A^2 is their number.
    size = np.sqrt(walk.n_features)
    fractions = np.empty(top)
    for d in range(1, top + 1):
        near, step = walk.distances(d, 2)
        false = (step > r_tol * near) | (np.hypot(near, step) > a_tol * size)
        fractions[d - 1] = np.mean(false)
    return fractions


class _Neighbours:
    """Nearest distinct neighbours of the reference vectors, and where they go next.

    Parameters
    ----------
    blocks : ndarray of shape (n, n_blocks, n_features)
        Delay vectors with all their blocks, in time order.
    codes : int ndarray of shape (n, n_blocks, n_features)
        Equal where the values of `blocks` are, up to rounding.
    clock : int ndarray of shape (n,)
        Time of each vector, trajectories more than `window` apart.
    window : int
        Theiler's window.
    reference : int ndarray of shape (m,)
        The vectors that are asked.
    """

    def __init__(
        self,
        blocks: np.ndarray,
        codes: np.ndarray,
        clock: np.ndarray,
        window: int,
        reference: np.ndarray,
    ) -> None:
        self.blocks, self.codes, self.clock = blocks, codes, clock
        self.window, self.reference = window, reference
        self.n_features = blocks.shape[2]
        # points[d - 1]: vectors that agree in d blocks share a number, 0, 1, ...
        self.points: list[np.ndarray] = []

    def distances(self, d: int, p: float) -> tuple[np.ndarray, np.ndarray]:
        """Distances R(d) to the nearest neighbours, and those of their next blocks."""
        near, neighbour = self._nearest(d, p)
        has = neighbour >= 0
        if not has.any():
            raise ValueError(
                f"No row has a distinct neighbour more than theiler_window="
                f"{self.window} rows away: the data repeat too few values. Pass more "
                f"rows, or lower theiler_window."
            )
        after = self.blocks[self.reference[has], d] - self.blocks[neighbour[has], d]
        return near[has], np.linalg.norm(after, ord=p, axis=1)

    def _nearest(self, d: int, p: float) -> tuple[np.ndarray, np.ndarray]:
        n = len(self.blocks)
        point = self._points(d)
        # One vector stands for all that agree with it: the tree never has to count
        # through a thousand repetitions to come to another point. Vectors are in time
        # order, so that where the window hides the first and the last, it hides all.
        first = np.unique(point, return_index=True)[1]
        last = n - 1 - np.unique(point[::-1], return_index=True)[1]
        vectors = self.blocks[:, :d].reshape(n, -1)
        tree = cKDTree(vectors[first])
        near = np.full(len(self.reference), np.nan)
        neighbour = np.full(len(self.reference), -1)
        # Of the nearest 2 window + 3 points, the window can hide 2 window + 1, and
        # the row's own point is one more: one is left. Most rows need but a few.
        limit = min(len(first), 2 * self.window + 3)
        pending, k = np.arange(len(self.reference)), min(limit, 3)
        while True:
            rows = self.reference[pending]
            distance, found = tree.query(vectors[rows], k=np.arange(1, k + 1), p=p)
            early = self._apart(first[found], rows)
            candidate = np.where(early, first[found], last[found])
            allowed = (early | self._apart(candidate, rows)) & (
                found != point[rows, None]
            )
            has = allowed.any(axis=1)
            best = allowed[has].argmax(axis=1)
            near[pending[has]] = distance[has, best]
            neighbour[pending[has]] = candidate[has, best]
            pending = pending[~has]
            if not pending.size or k == limit:
                return near, neighbour
            k = min(4 * k, limit)

    def _apart(self, candidate: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.abs(self.clock[candidate] - self.clock[rows, None]) > self.window

    def _points(self, d: int) -> np.ndarray:
        n = len(self.blocks)
        while len(self.points) < d:
            point = self.points[-1] if self.points else np.zeros(n, dtype=np.int64)
            for code in self.codes[:, len(self.points)].T:
                # Once all differ, more blocks cannot make them agree.
                if point.max() == n - 1:
                    break
                pair = point * (code.max() + 1) + code
                point = np.unique(pair, return_inverse=True)[1].reshape(n)
            self.points.append(point)
        return self.points[d - 1]


def _standardised(data: Trajectories) -> tuple[np.ndarray, np.ndarray]:
    """All rows with mean 0 and variance 1 by feature; and what counts as rounding."""
    rows = data.rows()
    low, high = rows.min(axis=0), rows.max(axis=0)
    flat = np.flatnonzero(low == high)
    if flat.size:
        raise ValueError(
            f"Every feature needs values that change, got {low[flat[0]]:g} in all rows "
            f"of column {flat[0]}. Drop constant columns."
        )
    # Scaled first, so that the squares of huge numbers do not overflow.
    x = rows / np.maximum(np.abs(low), np.abs(high)).astype(np.float64)
    scale = x.std(axis=0)
    # The same phase of a periodic series comes out a little different each time: by
    # the rounding of the values, and by that of the angles they were computed from.
    rounding = np.maximum(2 * float(np.finfo(rows.dtype).eps) / scale, 1e-10)
    return (x - x.mean(axis=0)) / scale, rounding


def _ranks(x: np.ndarray, rounding: np.ndarray) -> np.ndarray:
    """Ranks of the values of each feature; values that agree to rounding share one."""
    order = np.argsort(x, axis=0)
    steps = np.diff(np.take_along_axis(x, order, axis=0), axis=0) > rounding
    ranks = np.zeros(x.shape, dtype=np.int64)
    np.put_along_axis(ranks, order[1:], np.cumsum(steps, axis=0), axis=0)
    return ranks


def _spread(n: int, m: int) -> np.ndarray:
    """About `m` of `n` rows, evenly spread, but in step with no period of the data."""
    if m >= n:
        return np.arange(n)
    # Multiples of the golden ratio fill the interval evenly (three-gap theorem).
    golden = (np.sqrt(5) - 1) / 2
    return np.unique((n * (golden * np.arange(m) % 1.0)).astype(np.intp))


def _longest_lag(lengths: np.ndarray, max_delay: int | None, method: str) -> int:
    """Resolve the longest lag to look at, and check it against the data."""
    # A local minimum needs a lag on either side.
    least = 2 if method == "mutual_information" else 1
    if max_delay is not None:
        _check_integer(max_delay, "max_delay", least, "Pass None for the default.")
        longest = int(max_delay)
    else:
        longest = least
        half = lengths.sum() / 2
        while longest < _LONGEST_LAG and _n_pairs(lengths, longest + 1) >= half:
            longest += 1
    pairs = _n_pairs(lengths, longest)
    if pairs < _LEAST:
        raise ValueError(
            f"choose_delay needs at least {_LEAST} pairs of rows that are "
            f"{longest} rows apart, got {pairs} from trajectories of up to "
            f"{lengths.max()} rows. Pass longer trajectories, or lower max_delay."
        )
    return longest


def _n_pairs(lengths: np.ndarray, lag: int) -> int:
    return int(np.maximum(lengths - lag, 0).sum())


def _starts(
    lengths: np.ndarray, span: int, window: int
) -> tuple[np.ndarray, np.ndarray]:
    """First rows of all delay vectors of `span` rows, and their times."""
    counts = np.maximum(lengths - span + 1, 0)
    first = np.cumsum(lengths) - lengths
    piece = np.repeat(np.arange(len(lengths)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = first[piece] + within
    # A row must have a candidate outside its own window, wherever it stands.
    hidden = min(int(counts.max()), 2 * window + 1)
    needed = max(_LEAST, hidden + 1)
    if counts.sum() < needed:
        raise ValueError(
            f"choose_dimension needs at least {needed} delay vectors of {span} rows "
            f"each, with theiler_window={window}, got {counts.sum()} from trajectories "
            f"of up to {lengths.max()} rows. Pass longer trajectories, or lower "
            f"max_dimension, delay or theiler_window."
        )
    return starts, starts + (window + 1) * piece


def _check_method(method: Any, allowed: tuple[str, ...]) -> None:
    if method not in allowed:
        names = " or ".join(repr(name) for name in allowed)
        raise ValueError(f"method needs {names}, got {method!r}. Pass one of them.")


def _check_integer(
    value: Any, name: str, least: int, advice: str, most: float = np.inf
) -> None:
    integer = isinstance(value, Integral) and not isinstance(value, bool)
    if not (integer and least <= value <= most):
        limit = f"of at least {least}" if most == np.inf else f"from {least} to {most}"
        raise ValueError(f"{name} needs an integer {limit}, got {value!r}. {advice}")


def _check_real(value: Any, name: str, low: float, high: float, advice: str) -> None:
    real = isinstance(value, Real) and not isinstance(value, bool)
    if not (real and low <= value <= high):
        raise ValueError(
            f"{name} needs a number from {low:g} to {high:g}, got {value!r}. {advice}"
        )

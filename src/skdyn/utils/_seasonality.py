"""Whether a series repeats, and after how many rows.

With a linear trend taken off every piece and all features brought to one variance, the
autocorrelation, pooled over the N rows of all pieces and averaged over features, is

    r[p] = sum_k x[k] x[k + p] / sum_k x[k]^2.

A season of p rows shows as a local maximum at p. Under the hypothesis that whatever
correlation there is ends before lag p, the variance of r[p] is about

    var r[p] = (1 + 2 sum_{i < p} r[i]^2) / N                          (Bartlett 1946)

so that slowly changing series, whose every autocorrelation is large, do not pass for
seasonal. A maximum counts where r[p] / sqrt(var r[p]) exceeds the one-sided 5 % point
of the normal distribution, divided among all maxima that were looked at (Bonferroni),
and where it rises from the lowest r at shorter lags by as much times sqrt(2), the
deviation of a difference: a bump upon the slow decline of a wandering series does not.
The same is asked of the first differences, from which a wandering level or a parabola
has gone; where both answer, the higher correlation has it.

Of those that count, the period is the shortest whose r is within a tenth, or half a
deviation, of the greatest (2 p, 3 p, ... repeat as well as p does). It is then set to
the row: its neighbours p' compete by the mean of r at p', 2 p', 3 p', ..., where a
period that is off by one is off by two, three, ...
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.special import ndtri

__all__ = ["dominant_period", "seasonal_period"]

# The chance of a false season in each of two tries. Measured on white noise,
# autoregressions and random walks: 1 to 3 % for both together (Bonferroni is cautious),
# up to 8 % on many short pieces.
_LEVEL = 0.05
# Multiples of the period come about as high as the period itself: to this fraction,
# or to this many deviations.
_ALIKE, _DEVIATIONS_ALIKE = 0.9, 0.5
# What is left of a feature below this fraction of its size is rounding.
_ROUNDING = 1e-9


def seasonal_period(
    pieces: Sequence[np.ndarray] | np.ndarray, max_period: int | None = None
) -> int:
    """Rows after which the series repeats; 1 where nothing says that they do.

    Parameters
    ----------
    pieces : sequence of arrays of shape (n_i, n_features), or one 3-D array
        Finite rows in time order. No two pieces are compared.
    max_period : int or None, default=None
        The longest period looked at. None takes a third of the longest piece; more
        than half of it is never looked at.

    Returns
    -------
    int
        At least 2 where a season is significant, else 1.

    Notes
    -----
    About four periods of a pure sinusoid are needed to tell it from a slow wandering,
    three of a profile with sharp features. Whatever repeats at a steady pace counts:
    the cycle of a chaotic oscillation too, which is no calendar.

    References
    ----------
    Bartlett, "On the theoretical specification and sampling properties of
    autocorrelated time-series", Supplement to the Journal of the Royal Statistical
    Society 8 (1946), 27.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.utils._seasonality import seasonal_period
    >>> k = np.arange(120)
    >>> seasonal_period([(0.1 * k + np.sin(2 * np.pi * k / 12))[:, None]])
    12
    >>> walk = np.random.default_rng(0).standard_normal((120, 1)).cumsum(axis=0)
    >>> seasonal_period([walk])
    1
    """
    rows = max(len(piece) for piece in pieces)
    longest = rows // 3 if max_period is None else min(int(max_period), rows // 2)
    if longest < 2:
        return 1
    found = []
    for order in (0, 1):
        rests = _without_trend(pieces, order)
        lags = np.arange(longest + 2)
        lengths = np.array([len(rest) for rest in rests])
        pairs = np.maximum(lengths[:, None] - lags, 0).sum(axis=0)
        found.append(_season(_autocorrelation(rests, longest + 1), pairs))
    # Of equals the first: noise weighs less in the values than in their differences.
    return max(found, key=lambda season: season[1])[0]


def dominant_period(pieces: Sequence[np.ndarray] | np.ndarray) -> float:
    """Rows in one turn of the strongest Fourier component, not a whole number.

    The periodograms of all features of all pieces, without their linear trends, under
    a Hann window and padded to four times their length, are added up, every feature
    with the same variance; a parabola through the logarithm of the highest point and
    its neighbours sets the peak between grid points. It is not asked whether the peak
    is significant.

    Parameters
    ----------
    pieces : sequence of arrays of shape (n_i, n_features), or one 3-D array
        Finite rows in time order.

    Returns
    -------
    float
        From 2 to the length of the longest piece; NaN where no feature changes other
        than linearly.
    """
    rests = _without_trend(pieces, 0)
    longest = max(len(rest) for rest in rests)
    if not rests[0].shape[1] or longest < 4:
        return np.nan
    n_fft = next_fast_len(4 * longest, real=True)
    power = np.zeros(n_fft // 2 + 1)
    for rest in rests:
        # The periodic window: a symmetric one is zero at both ends.
        window = np.sin(np.pi * (np.arange(len(rest)) + 0.5) / len(rest))[:, None] ** 2
        power += (np.abs(rfft(rest * window, n_fft, axis=0)) ** 2).sum(axis=1)
    # A component of less than one turn is a trend.
    low = int(np.ceil(n_fft / longest))
    peak = low + int(power[low:].argmax())
    if low < peak < n_fft // 2 and power[peak - 1 : peak + 2].min() > 0:
        before, here, after = np.log(power[peak - 1 : peak + 2])
        bend = before - 2 * here + after
        shift = 0.5 * (before - after) / bend if bend < 0 else 0.0
    else:
        shift = 0.0
    return float(n_fft / (peak + shift))


def _without_trend(
    pieces: Sequence[np.ndarray] | np.ndarray, order: int
) -> list[np.ndarray]:
    """Pieces, or their differences, each without its straight line, of unit variance.

    Features that nothing is left of are dropped.
    """
    rests = []
    size = 0.0
    for piece in pieces:
        x = np.asarray(piece, dtype=np.float64)
        size = np.maximum(size, np.abs(x).max(axis=0, initial=0.0))
        if order:
            x = np.diff(x, axis=0)
        if len(x):
            x = x - x.mean(axis=0)
        if len(x) > 1:
            clock = np.arange(len(x)) - (len(x) - 1) / 2
            x = x - np.outer(clock, clock @ x / (clock @ clock))
        rests.append(x)
    n_rows = sum(len(x) for x in rests)
    # Scaled first: the squares of huge numbers overflow.
    scale = np.maximum(size, np.finfo(np.float64).tiny)
    spread = np.sqrt(sum(((x / scale) ** 2).sum(axis=0) for x in rests) / n_rows)
    kept = spread > _ROUNDING
    return [(x / scale)[:, kept] / spread[kept] for x in rests]


def _autocorrelation(rests: list[np.ndarray], n_lags: int) -> np.ndarray:
    """Autocorrelations at lags 0 to `n_lags`, pooled over pieces."""
    n_rows = sum(len(x) for x in rests)
    curve = np.zeros((n_lags + 1, rests[0].shape[1]))
    for x in rests:
        n_fft = next_fast_len(len(x) + min(n_lags, len(x)), real=True)
        spectrum = rfft(x, n_fft, axis=0)
        products = irfft(np.abs(spectrum) ** 2, n_fft, axis=0)
        n = min(n_lags + 1, len(x))
        curve[:n] += products[:n]
    if not curve.shape[1]:
        return np.zeros(n_lags + 1)
    return (curve / n_rows).mean(axis=1)


def _season(curve: np.ndarray, pairs: np.ndarray) -> tuple[int, float]:
    """The period that autocorrelations show and how high they are there; or 1, 0.

    `pairs` has the number of pairs at each lag, that at 0 being the number of rows.
    """
    lags = np.arange(2, len(curve) - 1)
    peaks = lags[
        (curve[lags] > curve[lags - 1])
        & (curve[lags] >= curve[lags + 1])
        & (curve[lags] > 0)
    ]
    if not peaks.size:
        return 1, 0.0
    before = 2 * np.cumsum(curve[1:] ** 2)[peaks - 2]
    deviations = np.sqrt((1 + before) / pairs[0])
    rises = curve[peaks] - np.minimum.accumulate(curve)[peaks]
    heights = np.minimum(curve[peaks], rises / np.sqrt(2)) / deviations
    counts = heights > -ndtri(_LEVEL / len(peaks))
    if not counts.any():
        return 1, 0.0
    peaks, deviations = peaks[counts], deviations[counts]
    top = curve[peaks].argmax()
    highest = curve[peaks[top]]
    alike = min(_ALIKE * highest, highest - _DEVIATIONS_ALIKE * deviations[top])
    period = int(peaks[curve[peaks] >= alike][0])
    reach = max(1, period // 10)
    rivals = range(max(2, period - reach), min(period + reach, len(curve) - 1) + 1)
    # Means over pairs, since sums favour the shorter lags, and as many multiples for
    # each, or the longer periods would have fewer of low value.
    means = curve * pairs[0] / np.maximum(pairs, 1)
    j = np.arange(1, (len(curve) - 1) // rivals[-1] + 1)
    best = int(np.argmax([means[rival * j].mean() for rival in rivals]))
    return rivals[best], float(highest)

"""Series with a piecewise constant derivative: total-variation regularisation.

Chartrand (2011) looks for the derivative u of data f as the minimiser of
``alpha * TV(u) + |integral of u - f|² / 2``. With u constant between the rows, and the
constant of integration left free, that is a problem in the smoothed rows x,

    minimise  |x - y|² / 2 + alpha |D x|_1,     (D x)[k] = u[k + 1] - u[k],
    u[k] = (x[k + 1] - x[k]) / h[k],

known as l1 trend filtering (Kim, Koh, Boyd & Gorinevsky 2009). It is convex, and its
dual is a quadratic program in a box,

    minimise  |y - alpha D'z|² / 2    over  |z| <= 1,     x = y - alpha D'z,

which a primal-dual interior-point method with predictor and corrector (Mehrotra 1992)
solves in some 10 to 40 steps, each a pentadiagonal Cholesky factorisation. The gap
between both problems at the end is a bound of the error, and is checked.

From ``alpha_max = max |cumsum(h cumsum(y - line))|`` on, x is the line of least
squares.

The number of kinks plus 2 is an unbiased estimate of the degrees of freedom (Tibshirani
& Taylor 2011), so that ``|x - y|² + 2 sigma² (kinks + 2)`` is, up to a constant,
Stein's unbiased estimate of the squared error, and alpha is taken where it is least.
The size sigma of the noise is taken from high-order differences by their median, which
neither a smooth signal nor a few kinks move.

References
----------
Chartrand, "Numerical differentiation of noisy, nonsmooth data", ISRN Applied
Mathematics (2011), 164564.

Kim, Koh, Boyd & Gorinevsky, "l1 trend filtering", SIAM Review 51 (2009), 339.

Mehrotra, "On the implementation of a primal-dual interior point method", SIAM Journal
on Optimization 2 (1992), 575.

Tibshirani & Taylor, "The solution path of the generalized lasso", Annals of Statistics
39 (2011), 1335.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_solve_banded, cholesky_banded

from skdyn.utils._stencils import stencil_weights

__all__ = ["Trend", "choose_alpha", "fit_trend", "noise_level"]

_TOLERANCE = 1e-6
# A fit whose error bound is above this has not been solved.
_ACCEPTED = 1e-3
_MAX_STEPS = 60
# Noise below this share of the data is rounding.
_CLEAN = 1e-10
_PER_DECADE = 3
_ROUNDS = 2
# Median of |N(0, 1)|.
_HALF_NORMAL = 0.6744897501960817


@dataclass(frozen=True, eq=False)
class Trend:
    """A piecewise linear fit.

    Attributes
    ----------
    values : ndarray of shape (n_rows,)
        x at the rows.
    slopes : ndarray of shape (n_rows - 1,)
        u between them.
    n_kinks : int
        Rows at which u changes.
    gap : float
        Bound of how far the objective is from its minimum, relative to it.
    """

    values: np.ndarray
    slopes: np.ndarray
    n_kinks: int
    gap: float

    @property
    def solved(self) -> bool:
        """Whether the minimum was found."""
        return self.gap <= _ACCEPTED


def fit_trend(y: np.ndarray, steps: np.ndarray, alpha: float) -> Trend:
    """Minimise |x - y|² / 2 + alpha |D x|_1.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        At least 3 rows.
    steps : ndarray of shape (n_rows - 1,)
        Times between rows.
    alpha : float
        Weight of the kinks, not negative. Below some 1e-10 of the data times the step,
        where it would not move a row by as much, it is taken for 0.

    Returns
    -------
    Trend
    """
    line = _line(y, steps)
    rest = y - line
    size = np.abs(rest).max()
    slope = np.diff(line) / steps
    if alpha >= _alpha_max(rest, steps) or size <= 1e-14 * np.abs(y).max():
        return Trend(line, slope, 0, 0.0)
    # Without units: steps in their mean, data in their largest value.
    step = steps.mean()
    h, rest, alpha = steps / step, rest / size, alpha / (size * step)
    if alpha < _CLEAN:
        return Trend(y.copy(), np.diff(y) / steps, len(y) - 2, 0.0)
    with np.errstate(all="ignore"):  # where it fails, the gap says so
        kinks, z, n_kinks = _interior_point(rest, h, alpha)
    # Integrating the kinks gives slopes that are constant to the last bit between them.
    slopes = np.concatenate([[0.0], np.cumsum(kinks)])
    values = np.concatenate([[0.0], np.cumsum(h * slopes)])
    off = _line(values, h)
    values, slopes = values - off, slopes - np.diff(off) / h
    gap = _gap(rest, values, kinks, alpha, alpha * _transposed(z, h))
    values, slopes = line + size * values, slope + (size / step) * slopes
    return Trend(values, slopes, n_kinks, gap)


def _interior_point(
    y: np.ndarray, steps: np.ndarray, alpha: float
) -> tuple[np.ndarray, np.ndarray, int]:
    """The kinks D x of the solution, its z, and how many kinks are not zero."""
    a, c = 1 / steps[:-1], 1 / steps[1:]
    b = -(a + c)
    m = len(a)

    def jumps(x: np.ndarray) -> np.ndarray:
        return a * x[:-2] + b * x[1:-1] + c * x[2:]

    # alpha D D', upper bands.
    gram = np.zeros((3, m))
    gram[2] = a * a + b * b + c * c
    gram[1, 1:] = b[:-1] * a[1:] + c[:-1] * b[1:]
    gram[0, 2:] = c[:-2] * a[2:]
    gram *= alpha
    # Of the size of its rounding; it bends the steps, never the solution.
    gram[2] += 1e-15 * gram[2].max()

    z = np.zeros(m)
    up = down = np.full(m, np.abs(jumps(y)).mean() + 1e-300)
    # What is left of kinks - up + down: every step takes its share. Measured, it would
    # be drowned by the rounding of kinks where the rows are many.
    infeasible = 1.0
    for _ in range(_MAX_STEPS):
        below, above = 1 - z, 1 + z
        x = y - alpha * _transposed(z, steps)
        kinks = jumps(x)
        slack = up @ below + down @ above
        if max(slack / (up + down).sum(), infeasible) <= _TOLERANCE:
            break
        bands = gram.copy()
        bands[2] += up / below + down / above
        try:
            factor = cholesky_banded(bands, overwrite_ab=True, check_finite=False)
        except LinAlgError:
            break
        # Straight for the solution first, to see how far that leads.
        dz = cho_solve_banded((factor, False), kinks, check_finite=False)
        d_up, d_down = up * (dz / below - 1), -down * (dz / above + 1)
        far = _longest((below, -dz), (above, dz), (up, d_up), (down, d_down))
        ahead = (up + far * d_up) @ (below - far * dz)
        ahead += (down + far * d_down) @ (above + far * dz)
        centre = (ahead / slack) ** 3 * slack / (2 * m)
        pull_up, pull_down = (
            (centre + d_up * dz) / below,
            (centre - d_down * dz) / above,
        )
        dz = cho_solve_banded(
            (factor, False), kinks - pull_up + pull_down, check_finite=False
        )
        if not np.isfinite(dz).all():
            break
        d_up = pull_up + up * (dz / below - 1)
        d_down = pull_down - down * (dz / above + 1)
        far = _longest((below, -dz), (above, dz), (up, d_up), (down, d_down))
        far *= 0.995
        infeasible *= 1 - far
        z, up, down = z + far * dz, up + far * d_up, down + far * d_down
    # Of slack and multiplier one goes to zero: a kink is where the slack does.
    typical = (up + down).mean()
    active = (up > typical * (1 - z)) | (down > typical * (1 + z))
    return up - down, z, int(active.sum())


def _longest(*pairs: tuple[np.ndarray, np.ndarray]) -> float:
    """The longest step, at most 1, that keeps all values positive."""
    return 1.0 / max(1.0, *(float((-step / value).max()) for value, step in pairs))


def _gap(
    y: np.ndarray, x: np.ndarray, kinks: np.ndarray, alpha: float, removed: np.ndarray
) -> float:
    """Primal objective of x minus dual objective of z, relative to the primal."""
    primal = 0.5 * ((y - x) ** 2).sum() + alpha * np.abs(kinks).sum()
    dual = removed @ y - 0.5 * (removed @ removed)
    return float((primal - dual) / primal)


def _transposed(z: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """D'z."""
    result = np.zeros(len(z) + 2)
    result[:-2] += z / steps[:-1]
    result[1:-1] -= z * (1 / steps[:-1] + 1 / steps[1:])
    result[2:] += z / steps[1:]
    return result


def _integrated(residual: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The z of D'z = residual, for a residual without a linear part."""
    return np.cumsum(steps * np.cumsum(residual)[:-1])[:-1]


def _alpha_max(rest: np.ndarray, steps: np.ndarray) -> float:
    return float(np.abs(_integrated(rest, steps)).max())


def _line(y: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The line of least squares."""
    t = np.concatenate([[0.0], np.cumsum(steps)])
    t -= t.mean()
    return y.mean() + t * ((t @ y) / (t @ t))


def choose_alpha(y: np.ndarray, steps: np.ndarray) -> float:
    """The alpha of least estimated squared error.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        At least 3 rows.
    steps : ndarray of shape (n_rows - 1,)
        Times between rows.

    Returns
    -------
    float
        0 where the data has no noise. Where the search ran into an alpha for which
        `fit_trend` fails, that alpha, so that the caller sees it fail.
    """
    rest = y - _line(y, steps)
    noise = noise_level(y, steps)
    if noise <= max(_CLEAN * np.abs(rest).max(), 1e-14 * np.abs(y).max()):
        return 0.0
    variance, low, top = noise**2, 0.1 * noise * steps.mean(), _alpha_max(rest, steps)

    def risk(log_alpha: float) -> tuple[float, float]:
        fit = fit_trend(y, steps, 10**log_alpha)
        if not fit.solved:
            return -np.inf, np.inf
        rss = float(((fit.values - y) ** 2).sum())
        return rss + 2 * variance * (fit.n_kinks + 2), rss

    grid = np.arange(np.log10(low), np.log10(top), 1 / _PER_DECADE)
    best, least = grid[0], np.inf
    for tried in grid:
        value, rss = risk(tried)
        if value < least:
            best, least = tried, value
        if rss >= least:
            break  # the residual only grows
    width = 1 / _PER_DECADE
    for _ in range(_ROUNDS):
        width /= 2
        for tried in (best - width, best + width):
            value, _ = risk(tried)
            if value < least:
                best, least = tried, value
    return float(10**best)


def noise_level(y: np.ndarray, steps: np.ndarray) -> float:
    """Standard deviation of white noise on a smooth or piecewise smooth series.

    The least of the estimates from differences of order 2, 3 and 4, each by the median
    of its modulus: low orders see the signal where it is sampled sparsely.
    """
    t = np.concatenate([[0.0], np.cumsum(steps)])
    found = []
    for order in (2, 3, 4):
        if len(y) < order + 3:
            break
        n = len(y) - order
        nodes = np.stack([t[j : j + n] for j in range(order + 1)])
        weights = stencil_weights(nodes, nodes[0], order)
        weights /= np.sqrt((weights**2).sum(axis=0))
        difference = sum(w * y[j : j + n] for j, w in enumerate(weights))
        found.append(np.median(np.abs(difference)) / _HALF_NORMAL)
    return float(min(found, default=0.0))

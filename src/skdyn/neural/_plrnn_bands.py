"""How wide bands have to be: the spread of samples, corrected by what the data shows.

Samples of a forecast differ by what is known not to be known: the network, of a few
restarts; the state, off by the noise; the observation. They are too close together
where restarts share an error, or where noise drives the system itself, which no
deterministic network has, and too far apart where one error is counted twice. Both
shows on windows of the training data, which are forecast as anything else is. With the
mean m of the samples and the ends l and u of their band,

    e = max((m - x) / (m - l), (x - m) / (u - m))

is the factor by which the band has to be widened about m to reach just what came, x. Of
n such factors, the one that ceil((n + 1) c) are no greater than makes bands cover the
share c of what comes, if windows to come are like these: split conformal prediction,
with e as the score. It is taken for steps ahead in turn, neighbours together, and
samples are moved away from their mean, or towards it, by it.

The windows are those that the network was trained on: to hold some out would cost it
more than the bands gain. It knows them better than what is to come. How much better, of
n rows by p parameters for each feature, is known of least squares: errors to come have
(n + p) / (n - p) times the variance of errors on the data (Akaike's final prediction
error), and factors grow by its root.

References
----------
Akaike, "Fitting autoregressive models for prediction", Annals of the Institute of
Statistical Mathematics 21 (1969), 243, for the final prediction error.

Romano, Patterson & Candès, "Conformalized quantile regression", NeurIPS (2019), for
split conformal prediction from bands that differ in width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Spread", "Windows", "spread_of", "to_come", "windows_ahead"]

# Coverages that factors are measured for; between them they are interpolated.
_COVERAGES = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98])
# Windows at most, and at least what makes a factor; steps ahead at most.
_MOST, _LEAST, _STEPS = 150, 20, 300
# Multiplications that all of it may take, about, but for so many windows and steps.
_WORK, _FEWEST, _NEAREST = 5e9, 40, 50
# Steps up to so many times the first of them are taken together, so many of them.
_WIDER, _TOGETHER = 1.3, 8
# A side of a band counts for so much of the whole at least.
_SIDE = 1e-3
# Numbers that the samples of one batch of windows may hold, about.
_BATCH = 5_000_000


@dataclass(frozen=True, eq=False)
class Windows:
    """Parts of trajectories to forecast, and what came.

    Attributes
    ----------
    contexts : ndarray of shape (n_windows, n_context, N)
    past : ndarray of shape (n_windows, n_context - 1, K)
        Inputs between the rows of the contexts.
    future : ndarray of shape (n_windows, n_steps, K)
        Inputs from the last row of the context on.
    rows : ndarray of shape (n_windows, n_steps, N)
        What came; NaN is missing.
    """

    contexts: np.ndarray
    past: np.ndarray
    future: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, first: int, stop: int) -> Windows:
        """Some of the windows."""
        some = slice(first, stop)
        return Windows(
            self.contexts[some], self.past[some], self.future[some], self.rows[some]
        )


@dataclass(frozen=True, eq=False)
class Spread:
    """Factors on the distance of samples from their mean.

    Attributes
    ----------
    coverages : ndarray of shape (n_coverages,)
    steps : ndarray of shape (n_groups,)
        Steps ahead, the middle of those that were taken together.
    factors : ndarray of shape (n_coverages, n_groups, N)
    """

    coverages: np.ndarray
    steps: np.ndarray
    factors: np.ndarray

    def at(self, coverage: float, n_steps: int) -> np.ndarray:
        """Factors (n_steps, N) of one coverage, interpolated.

        Beyond what was measured, the nearest is taken.
        """
        last = len(self.coverages) - 1
        i = int(np.clip(np.searchsorted(self.coverages, coverage), 1, last))
        low, high = self.coverages[i - 1 : i + 1]
        part = float(np.clip((coverage - low) / (high - low), 0.0, 1.0))
        known = (1 - part) * self.factors[i - 1] + part * self.factors[i]
        asked, measured = np.log(np.arange(1.0, n_steps + 1)), np.log(self.steps)
        return np.stack([np.interp(asked, measured, each) for each in known.T], axis=1)

    def apply(self, samples: np.ndarray, coverage: float) -> np.ndarray:
        """Samples (n_samples, ..., n_steps, N), spread about their mean."""
        n_steps = samples.shape[-2]
        with np.errstate(all="ignore"):
            mean = samples.mean(axis=0)
            off = samples - mean
            inner: np.ndarray = np.zeros(())
            for share in (*self.coverages[self.coverages < coverage], coverage):
                tail = (1 - share) / 2
                lower, upper = np.quantile(off, [tail, 1 - tail], axis=0)
                sides = np.stack([-lower, upper])
                factor = self.at(share, n_steps)
                # A band has those of smaller coverage within it.
                least = np.where(sides > 0, inner / sides, factor).max(axis=0)
                factor = np.maximum(factor, least)
                inner = factor * sides
            spread = mean + factor * off
        # Where one has diverged, there is no mean.
        return np.where(np.isfinite(mean), spread, samples)


def windows_ahead(
    pieces: list[np.ndarray],
    inputs: list[np.ndarray] | None,
    n_context: int,
    n_multiplied: int = 0,
) -> Windows | None:
    """Evenly spread windows to forecast, None where the data has too few.

    Parameters
    ----------
    pieces : list of ndarrays of shape (n_i, N)
        Trajectories; NaN is missing.
    inputs : list of ndarrays of shape (n_i, K), or None
        Their inputs.
    n_context : int
        Rows that a forecast starts from.
    n_multiplied : int, default=0
        Multiplications of a step of all samples of a window: where these are many,
        there are fewer windows, and fewer steps.
    """
    if inputs is None:
        inputs = [np.zeros((len(piece), 0)) for piece in pieces]
    affordable = _WORK / max(n_multiplied, 1)
    most = int(np.clip(affordable / _STEPS, _FEWEST, _MOST))
    n_steps = int(np.clip(affordable / most, _NEAREST, _STEPS))
    after = np.array([max(len(piece) - n_context, 0) for piece in pieces])
    n_steps = min(n_steps, int(after.max()))
    # Windows have to differ: a quarter of the longest trajectory at most, or so many
    # steps that enough windows lie apart.
    while n_steps > after.max() // 4 and (after // n_steps).sum() < _LEAST:
        n_steps -= 1
    places = [(i, at) for i, n in enumerate(after) for at in range(n - n_steps + 1)]
    if n_steps < 1 or len(places) < _LEAST:
        return None
    some = np.linspace(0, len(places) - 1, min(most, len(places)))
    chosen = [places[int(k)] for k in some]

    def cut(of: list[np.ndarray], first: int, stop: int) -> np.ndarray:
        return np.stack([of[i][at + first : at + stop] for i, at in chosen])

    last = n_context - 1
    return Windows(
        cut(pieces, 0, n_context),
        cut(inputs, 0, last),
        cut(inputs, last, last + n_steps),
        cut(pieces, n_context, n_context + n_steps),
    )


def spread_of(
    draw: Callable[[Windows], np.ndarray],
    windows: Windows,
    n_drawn: int,
    factor: float = 1.0,
) -> Spread:
    """Factors by which samples of forecasts are to be spread to cover what came.

    Parameters
    ----------
    draw : callable
        Of some of the windows, samples (n_samples, n_windows, n_steps, N), with noise.
    windows : Windows
        What is forecast.
    n_drawn : int
        Numbers that `draw` holds at once for each window: they are drawn in batches.
    factor : float, default=1.0
        Factor on the factors: how much larger errors to come are than these.
    """
    size = max(1, _BATCH // max(n_drawn, 1))
    some = [windows.part(first, first + size) for first in range(0, len(windows), size)]
    groups = _groups(windows.rows.shape[1])
    steps = np.concatenate(groups)
    scores = np.concatenate(
        [_scores(draw(part)[:, :, steps], part.rows[:, steps]) for part in some], axis=1
    )
    factors = np.ones((len(_COVERAGES), len(groups), scores.shape[3]))
    for i, j, k in np.ndindex(factors.shape):
        known = scores[i][:, np.isin(steps, groups[j]), k]
        known = np.sort(known[np.isfinite(known)])
        if len(known) >= _LEAST:
            # The least that as many are no greater than as are to be covered.
            rank = int(np.ceil((len(known) + 1) * _COVERAGES[i]))
            factors[i, j, k] = known[min(rank, len(known)) - 1] * factor
    middle = np.array([np.sqrt((each[0] + 1.0) * (each[-1] + 1)) for each in groups])
    return Spread(_COVERAGES, middle, factors)


def to_come(n_rows: int, n_parameters: float) -> float:
    """How much larger errors to come are than errors on the data, of least squares.

    Parameters
    ----------
    n_rows : int
        Rows that were learned from.
    n_parameters : float
        Parameters for each feature; they count as half of the rows at most.
    """
    p = min(n_parameters, n_rows / 2)
    return float(np.sqrt((n_rows + p) / (n_rows - p)))


def _scores(samples: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """By how much bands are to be widened to reach rows (n_windows, n_steps, N).

    One for each coverage, along a first axis; NaN where it cannot be said.
    """
    tails = (1 - _COVERAGES) / 2
    with np.errstate(all="ignore"):
        mean = samples.mean(axis=0)
        ends = np.quantile(samples, [*tails, *(1 - tails)], axis=0)
        lower, upper = np.split(ends, 2)
        least = _SIDE * (upper - lower)
        below = (mean - rows) / np.maximum(mean - lower, least)
        above = (rows - mean) / np.maximum(upper - mean, least)
        score: np.ndarray = np.maximum(below, above)
    return score


def _groups(n_steps: int) -> list[np.ndarray]:
    """Steps, from 0 on, in groups that grow in proportion; not all of large groups."""
    groups, first = [], 0
    while first < n_steps:
        stop = min(max(first + 1, int((first + 1) * _WIDER)), n_steps)
        few = np.linspace(first, stop - 1, min(_TOGETHER, stop - first))
        groups.append(np.round(few).astype(int))
        first = stop
    return groups

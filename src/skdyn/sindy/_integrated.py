"""Forecasts by an integrator, and what is said where it cannot go on.

Rows that left the range of floats are NaN, as in every forecast. Rows that the
integrator could not come to, for want of steps, carry another mark until they are
given out: minus infinity.
"""

from __future__ import annotations

import warnings

import numpy as np

from skdyn.base import ForecasterMixin
from skdyn.exceptions import DivergenceWarning
from skdyn.utils._integrate import BLEW_UP, Solution
from skdyn.utils._warn import caller_level

__all__ = ["Integrated", "rows_of"]


class Integrated(ForecasterMixin):
    """Forecasts whose rows may be marked as out of the integrator's reach.

    Subclasses have the parameter `max_steps` and say in ``_remedy`` what to do.
    """

    max_steps: int
    _remedy = ""

    def _finish(
        self, rows: np.ndarray, dtype: np.dtype, what: str = "start(s)"
    ) -> np.ndarray:
        stuck = np.isneginf(rows).any(axis=(1, 2))
        if not stuck.any():
            return super()._finish(rows, dtype, what)
        first = int(np.isneginf(rows[stuck]).any(axis=2).argmax(axis=1).min()) + 1
        with np.errstate(all="ignore"):
            rows = np.ascontiguousarray(rows, dtype=self._forecast_dtype(dtype))
        rows[np.maximum.accumulate(~np.isfinite(rows).all(axis=2), axis=1)] = np.nan
        warnings.warn(
            f"The forecast of {type(self).__name__} could not be integrated to step "
            f"{first}, for {int(stuck.sum())} of {len(rows)} {what}: it needed more "
            f"than max_steps={self.max_steps} steps, or steps below the resolution of "
            f"time; rows from there on are NaN. {self._remedy}",
            DivergenceWarning,
            stacklevel=caller_level(),
        )
        return rows


def rows_of(solution: Solution) -> np.ndarray:
    """Rows (batch, n_steps, d) after the starts, marked where they are out of reach."""
    rows = solution.y[:, 1:]
    stuck = np.flatnonzero(solution.status > BLEW_UP)
    rows[stuck] = np.where(np.isnan(rows[stuck]), -np.inf, rows[stuck])
    return rows

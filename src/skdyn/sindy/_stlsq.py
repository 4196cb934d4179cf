"""Sequentially thresholded least squares.

Equations (Brunton, Proctor & Kutz, PNAS 113 (2016), 3932): least squares on all terms
of the library; then, until nothing changes, terms whose coefficients are below the
threshold are dropped, and least squares is solved on the rest,

    Xi <- argmin |Y - Theta Xi^T|² + alpha |Xi|²   on   {(j, i) : |xi_ji| >= threshold}.

Every equation has a support of its own. It converges in at most as many rounds as there
are terms, each of which drops one or more (Zhang & Schaeffer, Multiscale Modeling &
Simulation 17 (2019), 948). Only moments are needed (`skdyn.sindy._problem`).
"""

from __future__ import annotations

from numbers import Real

import numpy as np

from skdyn.sindy._problem import Problem
from skdyn.sindy._solver import Solution, Solver
from skdyn.utils._sklearn import Interval

__all__ = ["STLSQ", "thresholded"]


class STLSQ(Solver):
    _parameter_constraints: dict = {
        "threshold": [Interval(Real, 0, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, threshold: float = 0.1, *, alpha: float = 0.0) -> None:
        self.threshold = threshold
        self.alpha = alpha

    def _solve(self, problem: Problem) -> Solution:
        cut = np.full(problem.shape, float(self.threshold))
        return Solution(thresholded(problem, cut, self.alpha))


def thresholded(problem: Problem, cut: np.ndarray, alpha: float = 0.0) -> np.ndarray:
    """Coefficients (q, p) whose sizes are all at least `cut` (q, p), or zero."""
    support = problem.full_support()
    while True:
        coef = problem.solve(support, alpha)
        kept = support & (np.abs(coef) >= cut)
        if (kept == support).all():
            return coef
        support = kept

"""Sequentially thresholded least squares.

Equations (Brunton, Proctor & Kutz, PNAS 113 (2016), 3932): least squares on all terms
of the library; then, until nothing changes, terms whose coefficients are below the
threshold are dropped, and least squares is solved on the rest,

    Xi <- argmin |Y - Theta Xi^T|² + alpha |Xi|²   on   {(j, i) : |xi_ji| >= threshold}.

Every equation has a support of its own. It converges in at most as many rounds as there
are terms, each of which drops one or more (Zhang & Schaeffer, Multiscale Modeling &
Simulation 17 (2019), 948). Only moments are needed (`skdyn.sindy._problem`).

With ``threshold="auto"`` all levels are gone through at once. The models between "all
terms" and "none" that matter are the best of each size; single steps from one to the
next and exchanges of single terms find them (`skdyn.sindy._stepwise`), and a criterion
chooses one (`skdyn.sindy._criteria`).
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Literal

import numpy as np

from skdyn.sindy._criteria import CHOICE, Choice
from skdyn.sindy._problem import Problem
from skdyn.sindy._solver import Solution, Solver, for_each_equation
from skdyn.sindy._stepwise import best_models
from skdyn.utils._sklearn import Interval, StrOptions

__all__ = ["STLSQ", "of_contributions", "thresholded"]


class STLSQ(Solver):
    """Sequentially thresholded least squares: drop what is small, solve again.

    The default chooses the terms of each equation by itself and has nothing to tune:
    among the best models of every size, the one whose every term is worth having. A
    number drops terms below it, as in the original algorithm.

    Parameters
    ----------
    threshold : "auto", float or sequence of float, default="auto"
        What the coefficient of a term needs to stay in an equation; a sequence has one
        threshold for each equation. "auto" chooses the terms by `criterion` and
        `min_gain`; see Notes.
    scale : {"absolute", "relative"}, default="absolute"
        What a threshold is compared to: the size of a coefficient, in its units, or
        its contribution to the equation, ``|coefficient| rms(term) / rms(target)``,
        which has no units. For given thresholds only.
    alpha : float, default=0.0
        Ridge penalty on coefficients of terms of unit size: 1 weighs as much as the
        data itself.
    criterion : {"ebic", "bic", "aic", "aicc"}, default="ebic"
        With "auto": what a term has to earn at least. The extended Bayesian criterion
        asks more the more terms there are to choose from.
    min_gain : "auto" or float, default="auto"
        With "auto" terms: by how much each of them has to lower the log of the mean
        square residual, about the share of the residual that it explains. "auto" is
        0.1, or nothing where the model knows how many independent rows its rows are
        worth, as `WeakSINDy` does. 0 is the plain criterion, which keeps too many terms
        where errors are correlated from row to row, as those of derivatives are.
    resolution : float, default=1e-6
        With "auto" terms: losses are told apart down to this fraction of the mean
        square of the target. On data without noise, what remains is the error of the
        derivative, which further terms could be fitted to; the default takes a residual
        of a thousandth of the derivative for none.

    Attributes
    ----------
    coef_ : ndarray of shape (n_terms,) or (n_targets, n_terms)
        Coefficients, zero for the terms that were left out.
    intercept_ : float
        0: a constant is a term of the library.
    path_ : Path or None
        With "auto", the best models of every size that was looked at, with losses,
        criteria and the relative thresholds that they belong to.
    solution_ : Solution
        Coefficients and path.
    n_features_in_ : int
        Number of terms in ``fit``.
    feature_names_in_ : ndarray of shape (n_terms,)
        Their names, where `X` has string column names.

    Warns
    -----
    UserWarning
        If no term of an equation is left.

    See Also
    --------
    BestSubset : The best terms of given number, with a proof.
    SSR : Backward elimination alone.
    FROLS : Forward selection alone.

    Notes
    -----
    With "auto", for each equation, supports of every size are found by backward
    elimination, forward selection and exchanges of single terms, until no single step
    makes any of them better. The one taken has the least
    ``log(loss) + cost * n_terms``, with the loss relative to the mean square of the
    target (told apart down to `resolution`) and the cost per term the largest of what
    `criterion` asks, `min_gain`, and, unless that is 0, a fortieth of the range of
    log(loss), or an eightieth where the number of independent rows is known. This
    keeps terms out that describe errors of derivatives where data is clean. In
    libraries with more than 100 terms, backward elimination starts from the 100 that
    matter most in the fit of all. Where coefficients have bounds, the terms are dropped
    by contribution, one after the other, instead.

    Everything works on moments: the number of rows does not matter.

    References
    ----------
    Brunton, Proctor & Kutz, "Discovering governing equations from data by sparse
    identification of nonlinear dynamical systems", PNAS 113 (2016), 3932.

    Zhang & Schaeffer, "On the convergence of the SINDy algorithm", Multiscale Modeling
    & Simulation 17 (2019), 948.

    Mangan, Kutz, Brunton & Proctor, "Model selection for dynamical systems via sparse
    regression and information criteria", Proceedings of the Royal Society A 473 (2017),
    20170009.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.sindy import STLSQ
    >>> rng = np.random.default_rng(0)
    >>> Theta = rng.standard_normal((200, 10))
    >>> y = 2 * Theta[:, 1] - 0.3 * Theta[:, 7] + 0.1 * rng.standard_normal(200)
    >>> STLSQ().fit(Theta, y).coef_.round(2)
    array([ 0.  ,  2.  ,  0.  ,  0.  ,  0.  ,  0.  ,  0.  , -0.31,  0.  ,
            0.  ])
    >>> STLSQ(0.5).fit(Theta, y).coef_.nonzero()[0]
    array([1])
    """

    _parameter_constraints: dict = {
        "threshold": [
            StrOptions({"auto"}),
            Interval(Real, 0, None, closed="left"),
            "array-like",
        ],
        "scale": [StrOptions({"absolute", "relative"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        **CHOICE,
    }

    def __init__(
        self,
        threshold: float | Sequence[float] | Literal["auto"] = "auto",
        *,
        scale: Literal["absolute", "relative"] = "absolute",
        alpha: float = 0.0,
        criterion: Literal["ebic", "bic", "aic", "aicc"] = "ebic",
        min_gain: float | Literal["auto"] = "auto",
        resolution: float = 1e-6,
    ) -> None:
        self.threshold = threshold
        self.scale = scale
        self.alpha = alpha
        self.criterion = criterion
        self.min_gain = min_gain
        self.resolution = resolution

    def _solve(self, problem: Problem) -> Solution:
        if isinstance(self.threshold, str):
            choice = Choice(self.criterion, self.min_gain, self.resolution)
            return best_models(problem, self.alpha, choice)
        cut = np.broadcast_to(self._thresholds(problem)[:, None], problem.shape)
        if self.scale == "relative":
            cut = of_contributions(problem, cut)
        return Solution(thresholded(problem, cut, self.alpha))

    def _thresholds(self, problem: Problem) -> np.ndarray:
        """One threshold for each equation."""
        given = np.asarray(self.threshold, dtype=float)
        thresholds = for_each_equation(given, problem.shape[0], "threshold")
        if not (thresholds >= 0).all():
            raise ValueError(
                f"threshold needs to be at least 0, got {self.threshold!r}."
            )
        return thresholds


def of_contributions(problem: Problem, cut: np.ndarray) -> np.ndarray:
    """Thresholds (q, p) of contributions, as those of coefficients."""
    size = np.where(problem.term_size > 0, problem.term_size, np.inf)
    return np.asarray(cut * problem.target_size[:, None] / size)


def thresholded(problem: Problem, cut: np.ndarray, alpha: float = 0.0) -> np.ndarray:
    """Coefficients (q, p) whose sizes are all at least `cut` (q, p), or zero."""
    support = problem.full_support()
    while True:
        coef = problem.solve(support, alpha)
        kept = support & (np.abs(coef) >= cut)
        if (kept == support).all():
            return coef
        support = kept

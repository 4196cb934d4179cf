"""Information criteria of sparse equations, from losses alone.

With n independent rows, a mean square residual L, and k of p terms (Schwarz 1978; Chen
& Chen 2008, with gamma = 1; Akaike 1974; Hurvich & Tsai 1989),

    BIC = n log L + k log n,           EBIC = BIC + 2 k log p,
    AIC = n log L + 2 k,               AICc = AIC + 2 k (k + 1) / (n - k - 1).

They take errors for independent of the terms and of each other. Derivatives of data
have errors that are neither: neighbouring rows share them, and errors of the states are
in the terms as well. What is left over then is never white, and any further term finds
something to explain, the surer the more rows there are. So in `Choice` a term has to
earn more than the criterion asks: it has to lower log L by `min_gain` at least, and by
a share of what all terms together lower it, which is what keeps terms out that describe
the error of a differentiator where data is clean. Where a model knows how many
independent rows its rows are worth (the weak form does), the criterion is right about
noise, and half that share is enough. And losses below `resolution` are no different:
a residual of a thousandth of a derivative is the error of taking it.

References
----------
Schwarz, "Estimating the dimension of a model", Annals of Statistics 6 (1978), 461.

Chen & Chen, "Extended Bayesian information criteria for model selection with large
model spaces", Biometrika 95 (2008), 759.

Akaike, "A new look at the statistical model identification", IEEE Transactions on
Automatic Control 19 (1974), 716.

Hurvich & Tsai, "Regression and time series model selection in small samples",
Biometrika 76 (1989), 297.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Literal

import numpy as np

from skdyn.sindy._problem import Problem
from skdyn.utils._sklearn import Interval, StrOptions

__all__ = ["CHOICE", "FLOOR", "Choice", "criterion_value", "independent_rows"]

# Losses are told apart down to here by default, relative to the mean square of the
# target.
FLOOR = 1e-6
# By how much a term has to lower log L where errors are correlated nobody knows how,
# and the share of what all terms lower it by; of the latter half where it is known.
_MIN_GAIN = 0.1
_SHARE = 0.025
# Constraints of the parameters of solvers that choose by a criterion.
CHOICE: dict = {
    "criterion": [StrOptions({"ebic", "bic", "aic", "aicc"})],
    "min_gain": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
    "resolution": [Interval(Real, 0, 1, closed="left")],
}


def criterion_value(
    loss: np.ndarray,
    n_terms: np.ndarray,
    n: float,
    n_candidates: int,
    criterion: str = "ebic",
) -> np.ndarray:
    """A criterion of models, less is better; shapes are broadcast.

    Parameters
    ----------
    loss : ndarray
        Mean squares of residuals.
    n_terms : ndarray
        Numbers of terms.
    n : float
        Number of independent rows.
    n_candidates : int
        Terms that were to choose from.
    criterion : {"ebic", "bic", "aic", "aicc"}, default="ebic"
        Which.
    """
    with np.errstate(divide="ignore"):
        fit = n * np.log(np.asarray(loss, dtype=float))
    return np.asarray(fit + _penalty(n_terms, n, n_candidates, criterion))


def independent_rows(problem: Problem) -> float:
    """Rows that criteria count; where nobody knows, a row of weight 2 is two rows."""
    if problem.n_effective is not None:
        return max(float(problem.n_effective), 1.0)
    return max(float(problem.moments.weight), 1.0)


@dataclass(frozen=True)
class Choice:
    """How a model is chosen among models of different sizes.

    Attributes
    ----------
    criterion : {"ebic", "bic", "aic", "aicc"}
        The least that a term has to earn.
    min_gain : "auto" or float
        By how much each term has to lower log(loss) as well; 0 is the plain criterion.
    resolution : float
        Losses are told apart down to here, relative to the mean square of the target.
    """

    criterion: str
    min_gain: float | Literal["auto"]
    resolution: float

    def scores(
        self, loss: np.ndarray, n_terms: np.ndarray, problem: Problem
    ) -> np.ndarray:
        """What models of one equation are compared by, less is better.

        Parameters
        ----------
        loss : ndarray of shape (n_models,)
            Mean squares of residuals over that of the target.
        n_terms : ndarray of shape (n_models,)
            Terms in each.
        problem : Problem
            For the numbers of independent rows and of terms to choose from.

        Returns
        -------
        ndarray of shape (n_models,)
            ``log(loss + resolution)`` and what the terms cost; infinite for more terms
            than a third of the rows.
        """
        n, k = independent_rows(problem), np.asarray(n_terms)
        # Below the last digit there is nothing, whatever the resolution.
        floor = max(self.resolution, np.finfo(float).eps)
        fit = np.log(np.maximum(loss, 0.0) + floor)
        cost = _penalty(k, n, problem.shape[1], self.criterion) / n
        if self.min_gain != 0:
            known = problem.n_effective is not None
            share = _SHARE / 2 if known else _SHARE
            least = share * float(fit.max() - fit.min())
            if self.min_gain != "auto":
                least = max(least, self.min_gain)
            elif not known:
                least = max(least, _MIN_GAIN)
            cost = np.maximum(cost, least * k)
        return np.where(k > max(n // 3, 1), np.inf, fit + cost)


def _penalty(
    n_terms: np.ndarray, n: float, n_candidates: int, criterion: str
) -> np.ndarray:
    k = np.asarray(n_terms, dtype=float)
    if criterion == "ebic":
        return k * (np.log(max(n, 1.0)) + 2 * np.log(n_candidates))
    if criterion == "bic":
        return k * np.log(max(n, 1.0))
    if criterion == "aic":
        return 2 * k
    with np.errstate(divide="ignore"):
        more = np.where(n - k > 1, 2 * k * (k + 1) / np.maximum(n - k - 1, 0), np.inf)
    return np.asarray(2 * k + more)

"""The number of terms that forecasts best: sparse equations chosen by held-out rows.

A solver's path has, for each equation, models of k = 0, 1, 2, ... terms with mean
square residuals L_k (relative to the target's mean square). A price c per term chooses

    k_j(c) = argmin_k  log(L_jk + floor) + c k,

which changes with c only at the corners of the lower convex hull of (k, log L_jk): one
list of prices, from dear to cheap, goes through all sets of equations that matter, few
terms to many. Each price is judged on rows that were held out: the path is found anew
without them, its choice at that price forecasts them in closed loop, and the error is
one minus `skdyn.metrics.cumulative_max_error`. The fewest terms within one standard
error of the least are taken (Breiman, Friedman, Olshen & Stone 1984, section 3.4.3);
the standard error is that of the difference, as all forecast the same rows.

Forecasts of held-out rows are what a residual is not: they see every equation at once,
and small errors that do not matter to the dynamics do not count.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from skdyn.base import ForecasterMixin, Horizon
from skdyn.exceptions import DivergenceWarning
from skdyn.metrics import cumulative_max_error, forecast_scale
from skdyn.sindy._criteria import FLOOR
from skdyn.sindy._equations import Equations
from skdyn.sindy._model import SparseModel
from skdyn.sindy._sindy import SINDy
from skdyn.sindy._solver import Path
from skdyn.utils._sklearn import Interval, StrOptions
from skdyn.utils._trajectories import Pieces
from skdyn.utils._warn import caller_level

__all__ = ["CVTable", "SINDyCV"]

# Rows of a stretch below which there is nothing to learn from or to forecast.
_LEAST_ROWS = 12
# The longest horizon of "auto", and the most steps that a candidate may take: one that
# is slow to integrate is not the law.
_LONGEST = 500
_MAX_STEPS = 200
# Errors that differ by less than this share are the same.
_SAME = 0.01


@dataclass(frozen=True, eq=False)
class CVTable:
    """Sets of equations that were compared, from few terms to many.

    Attributes
    ----------
    price : ndarray of shape (n_candidates,)
        What a term costs, in the log of the mean square residual.
    n_terms : ndarray of shape (n_candidates,)
        Terms of all equations together, fitted to all rows.
    error : ndarray of shape (n_candidates, n_splits)
        Error of forecasts of the rows that were held out, from 0 (perfect) to 1.
    chosen : int
        The one that was taken.
    """

    price: np.ndarray
    n_terms: np.ndarray
    error: np.ndarray
    chosen: int

    @property
    def mean_error(self) -> np.ndarray:
        """Mean over the splits, (n_candidates,)."""
        return np.asarray(self.error.mean(axis=1))

    @property
    def standard_error(self) -> np.ndarray:
        """Standard error of the mean, (n_candidates,)."""
        n = self.error.shape[1]
        return np.asarray(self.error.std(axis=1, ddof=1) / np.sqrt(n))

    def __repr__(self) -> str:
        lines = ["terms  error   (standard error)"]
        rows = zip(self.n_terms, self.mean_error, self.standard_error, strict=True)
        for i, (n, mean, spread) in enumerate(rows):
            mark = "  <- chosen" if i == self.chosen else ""
            lines.append(f"{n:5d}  {mean:.4f}  ({spread:.4f}){mark}")
        return "\n".join(lines)


class SINDyCV(ForecasterMixin, BaseEstimator):
    """Sparse equations whose number of terms is chosen by forecasts of held-out rows.

    Fits a model of the family, goes along the path of its solver, and takes the fewest
    terms whose forecasts, over stretches of rows that were left out, are as good as the
    best.

    Parameters
    ----------
    model : SINDy, DiscreteSINDy or WeakSINDy, default=None
        The model, with a solver that has a path: ``STLSQ("auto")``, `SSR`, `FROLS`,
        `BestSubset`. None is ``SINDy()``.
    n_splits : int, default=5
        Into how many parts the rows are cut, each of which is left out once: whole
        trajectories where there are that many, else stretches of each.
    horizon : int or "auto", default="auto"
        Rows of each forecast. "auto" takes twice the time in which rows become as far
        from each other as rows are in general, within the length of a part.
    n_starts : int, default=10
        Forecasts in each part of a trajectory, from starts spread over it.
    n_candidates : int, default=30
        How many sets of equations are compared at most.
    rule : {"one_standard_error", "least"}, default="one_standard_error"
        Take the fewest terms whose error is above the least by no more than one
        standard error of the difference (or a hundredth), or those of the least error.

    Attributes
    ----------
    best_estimator_ : forecaster
        The model, fitted to all rows, with the terms that were chosen.
    table_ : CVTable
        What was compared.
    price_ : float
        What a term costs in the choice.
    horizon_ : int
        Rows of each forecast.
    coef_, equations_, terms_, n_terms_
        Those of ``best_estimator_``.
    n_features_in_, n_inputs_ : int
        Number of features and inputs in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.
    min_context_ : int
        Rows of history that a forecast needs: 1.
    context_ : Trajectories
        The last row of each training trajectory, where ``predict(h)`` starts.

    Warns
    -----
    UserWarning
        Where there are too few rows to leave any out; the solver's own choice is taken.

    See Also
    --------
    STLSQ : Chooses the terms by a criterion, without held-out rows.
    skdyn.model_selection.forecast_scorer : For `GridSearchCV` over any parameter.

    Notes
    -----
    Terms, and not only coefficients, are found anew without the rows that are left out.
    Parts are consecutive rows, so what is held out is not between rows that are
    learned from.

    References
    ----------
    Mangan, Kutz, Brunton & Proctor, "Model selection for dynamical systems via sparse
    regression and information criteria", Proceedings of the Royal Society A 473 (2017),
    20170009.

    Breiman, Friedman, Olshen & Stone, "Classification and regression trees", Wadsworth
    (1984), section 3.4.3.

    Examples
    --------
    >>> from skdyn.datasets import make_trajectories, van_der_pol
    >>> from skdyn.sindy import SINDy, SINDyCV
    >>> from skdyn.preprocessing import PolynomialLift
    >>> X = make_trajectories(van_der_pol(), 1000, dt=0.02)
    >>> model = SINDyCV(SINDy(PolynomialLift(3), dt=0.02)).fit(X)
    >>> print(model.equations_.text(2))
    x0' = x1
    x1' = -x0 + x1 - x0^2 x1
    """

    _parameter_constraints: dict = {
        "model": [SparseModel, None],
        "n_splits": [Interval(Integral, 2, None, closed="left")],
        "horizon": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "n_starts": [Interval(Integral, 1, None, closed="left")],
        "n_candidates": [Interval(Integral, 2, None, closed="left")],
        "rule": [StrOptions({"one_standard_error", "least"})],
    }
    __metadata_request__fit = {"u": True}

    best_estimator_: Any

    def __init__(
        self,
        model: Any = None,
        *,
        n_splits: int = 5,
        horizon: int | Literal["auto"] = "auto",
        n_starts: int = 10,
        n_candidates: int = 30,
        rule: Literal["one_standard_error", "least"] = "one_standard_error",
    ) -> None:
        self.model = model
        self.n_splits = n_splits
        self.horizon = horizon
        self.n_starts = n_starts
        self.n_candidates = n_candidates
        self.rule = rule

    def fit(self, X: Any, y: Any = None, *, u: Any = None) -> SINDyCV:
        """Choose the terms, and fit the equations to all rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories, rows every `dt` of the model.
        y : ignored
            For scikit-learn's signature.
        u : array-like of shape (n_samples, n_inputs), or list of these, default=None
            Inputs at the times of the rows.

        Returns
        -------
        SINDyCV
            The estimator itself.

        Raises
        ------
        ValueError
            If the solver has no path.
        """
        trajectories, inputs = self._check_fit(X, u)
        model = SINDy() if self.model is None else clone(self.model)
        best = model.fit(X) if u is None else model.fit(X, u=u)
        path = _path_of(best)
        pieces = [np.asarray(piece) for piece in trajectories.pieces]
        parts = _parts(pieces, inputs, trajectories.firsts, self.n_splits)
        rows = trajectories.rows()
        self.horizon_ = self._rows_ahead(pieces, rows, parts)
        prices = _prices(best, path, self.n_candidates)
        if not parts:
            warnings.warn(
                f"SINDyCV needs at least {2 * _LEAST_ROWS} rows to leave some out, got "
                f"{len(rows)}. The terms are those of the solver's own choice.",
                UserWarning,
                stacklevel=caller_level(),
            )
            chosen, error, prices = 0, np.zeros((1, 1)), np.zeros(1)
            coefs = [best.coef_]
        else:
            scale = forecast_scale(rows)
            error = np.array([self._errors(part, prices, scale) for part in parts]).T
            coefs = [_choice(best, path, price) for price in prices]
            chosen = _chosen(error, self.rule)
        self.table_ = CVTable(
            prices, np.array([np.count_nonzero(c) for c in coefs]), error, chosen
        )
        self.price_ = float(prices[chosen])
        self.best_estimator_ = _with(best, coefs[chosen])
        self._remember(trajectories, inputs)
        return self

    def _rows_ahead(
        self, pieces: list[np.ndarray], rows: np.ndarray, parts: Sequence[_Part]
    ) -> int:
        if self.horizon != "auto":
            return int(self.horizon)
        longest = max((len(x) for part in parts for x in part.test), default=2)
        return min(2 * _decorrelation(pieces, rows), max(longest // 2, 1), _LONGEST)

    def _errors(self, part: _Part, prices: np.ndarray, scale: float) -> np.ndarray:
        """Error of the choice at each price, without a part, in forecasts of it."""
        model = SINDy() if self.model is None else clone(self.model)
        with warnings.catch_warnings():
            # What is odd about the rows was said when all were fitted.
            warnings.simplefilter("ignore", UserWarning)
            if part.train_inputs is None:
                model.fit(part.train)
            else:
                model.fit(part.train, u=part.train_inputs)
        path = _path_of(model)
        starts, truth, inputs = part.windows(self.horizon_, self.n_starts)
        errors: list[float] = []
        known: dict[bytes, float] = {}
        for price in prices:
            coef = _choice(model, path, price)
            key = (coef != 0).tobytes()
            if key not in known:
                candidate = _with(model, coef)
                if hasattr(candidate, "max_steps"):
                    candidate.max_steps = min(candidate.max_steps, _MAX_STEPS)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DivergenceWarning)
                    ahead = candidate.predict(
                        Horizon(truth.shape[1], context=starts, u=inputs)
                    )
                lost = np.where(np.isnan(ahead), np.inf, ahead)
                score = cumulative_max_error(truth, lost, scale=scale)
                known[key] = 1.0 - float(np.mean(score))
            errors.append(known[key])
        return np.array(errors)

    # -- what the chosen model says ----------------------------------------------------

    def predict(self, X: Any, *, u: Any = None) -> Any:
        """Forecast with the chosen equations, as ``best_estimator_.predict`` does.

        Parameters
        ----------
        X : int, array-like of shape (n_samples, n_features), list of these, or Horizon
            Rows to forecast, or data to predict one step ahead.
        u : array-like, list of array-likes, or callable, default=None
            Inputs, for models fitted with inputs.

        Returns
        -------
        ndarray, or list of ndarrays
            In the form of the data.
        """
        check_is_fitted(self)
        return self.best_estimator_.predict(X, u=u)

    def score(self, X: Any, y: Any = None, *, u: Any = None) -> float:
        """R² of one-step-ahead predictions, as ``best_estimator_.score`` gives it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Data to predict one step ahead.
        y : ignored
            For scikit-learn's signature.
        u : array-like, list of array-likes, or callable, default=None
            Inputs, for models fitted with inputs.

        Returns
        -------
        float
            1 is perfect; 0 is as good as each feature's mean.
        """
        check_is_fitted(self)
        return float(self.best_estimator_.score(X, u=u))

    @property
    def coef_(self) -> np.ndarray:
        """Coefficients of the chosen equations, (n_equations, n_terms)."""
        check_is_fitted(self)
        return np.asarray(self.best_estimator_.coef_)

    @property
    def equations_(self) -> Equations:
        """The chosen equations, to print and to call."""
        check_is_fitted(self)
        return self.best_estimator_.equations_

    @property
    def terms_(self) -> np.ndarray:
        """Names of the terms."""
        check_is_fitted(self)
        return np.asarray(self.best_estimator_.terms_)

    @property
    def n_terms_(self) -> np.ndarray:
        """Terms in each of the chosen equations."""
        check_is_fitted(self)
        return np.asarray(self.best_estimator_.n_terms_)

    def _begin(self, contexts: np.ndarray, u: np.ndarray | None) -> np.ndarray:
        return np.asarray(self.best_estimator_._begin(contexts, u))

    def _step(
        self, state: np.ndarray, u: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        return self.best_estimator_._step(state, u)

    def _rollout(
        self, state: np.ndarray, n_steps: int, u: np.ndarray | None
    ) -> np.ndarray:
        return np.asarray(self.best_estimator_._rollout(state, n_steps, u))


@dataclass(frozen=True, eq=False)
class _Part:
    """Rows to learn from and rows to forecast, as lists of stretches."""

    train: list[np.ndarray]
    test: list[np.ndarray]
    train_inputs: list[np.ndarray] | None
    test_inputs: list[np.ndarray] | None

    def windows(
        self, n_steps: int, n_starts: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Starts (n, 1, d), the rows that followed (n, n_steps, d), and their inputs.

        Where stretches are shorter than a forecast, all are shortened.
        """
        n_steps = min(n_steps, max(len(x) for x in self.test) - 1)
        starts, truth, inputs = [], [], []
        for i, x in enumerate(self.test):
            last = len(x) - n_steps - 1
            if last < 0:
                continue
            for k in np.unique(np.linspace(0, last, n_starts).astype(int)):
                starts.append(x[k : k + 1])
                truth.append(x[k + 1 : k + 1 + n_steps])
                if self.test_inputs is not None:
                    inputs.append(self.test_inputs[i][k : k + n_steps])
        return np.stack(starts), np.stack(truth), np.stack(inputs) if inputs else None


def _parts(
    pieces: list[np.ndarray], inputs: Pieces | None, firsts: list[int], n_splits: int
) -> list[_Part]:
    """Each part of the rows beside all others; none where there are too few rows."""
    lengths = [len(x) for x in pieces]
    if len(firsts) >= n_splits:
        # Whole trajectories, with all that a gap has cut them into.
        owner = np.searchsorted(firsts, np.arange(len(pieces)), side="right") - 1
        cuts = [[(i, 0, n, owner[i] % n_splits)] for i, n in enumerate(lengths)]
    else:
        n_splits = min(n_splits, max(lengths) // _LEAST_ROWS)
        if n_splits < 2:
            return []
        cuts = []
        for i, n in enumerate(lengths):
            edges = np.linspace(0, n, n_splits + 1).astype(int)
            cuts.append([(i, edges[k], edges[k + 1], k) for k in range(n_splits)])
    parts = []
    for k in range(n_splits):
        train: list[tuple[int, int, int]] = []
        test: list[tuple[int, int, int]] = []
        for stretches in cuts:
            # Neighbours that stay are one stretch.
            run: tuple[int, int, int] | None = None
            for i, start, stop, part in stretches:
                if part == k:
                    test.append((i, start, stop))
                    if run is not None:
                        train.append(run)
                    run = None
                else:
                    run = (i, start if run is None else run[1], stop)
            if run is not None:
                train.append(run)
        kept, held = (
            [each for each in some if each[2] - each[1] >= _LEAST_ROWS]
            for some in (train, test)
        )
        if not kept or not held:
            return []

        def cut(some: Any, where: list[tuple[int, int, int]]) -> list[np.ndarray]:
            return [np.asarray(some[i][start:stop]) for i, start, stop in where]

        parts.append(
            _Part(
                cut(pieces, kept),
                cut(pieces, held),
                None if inputs is None else cut(inputs, kept),
                None if inputs is None else cut(inputs, held),
            )
        )
    return parts


def _decorrelation(pieces: list[np.ndarray], rows: np.ndarray) -> int:
    """Rows after which the state is as far from where it was as 1 - 1/e of chance."""
    spread = rows.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    longest = max(len(x) for x in pieces)
    for lag in np.unique(np.geomspace(1, max(longest // 2, 1), 60).astype(int)):
        moved = [
            np.square((x[lag:] - x[:-lag]) / spread).mean(axis=0)
            for x in pieces
            if len(x) > lag
        ]
        if moved and np.mean(moved) > 2 * (1 - np.exp(-1)):
            return int(lag)
    return max(longest // 2, 1)


def _path_of(model: Any) -> Path:
    path = model.solver_.solution_.path if hasattr(model, "solver_") else None
    if path is None or not isinstance(model.equations_, Equations):
        raise ValueError(
            f"SINDyCV needs a model of the kind of SINDy, whose solver has a path from "
            f"few terms to many, got {model!r}. Pass a solver such as STLSQ('auto'), "
            f"SSR() or FROLS()."
        )
    return path


def _log_losses(model: Any, path: Path) -> np.ndarray:
    """Logs of losses relative to the targets' mean squares, (n_models, q)."""
    size = np.square(model.problem_.target_size)
    return np.log(path.loss / np.where(size > 0, size, 1.0) + FLOOR)


def _prices(model: Any, path: Path, most: int) -> np.ndarray:
    """Prices that go through all choices, from dear to cheap; `most` of them."""
    log_loss = _log_losses(model, path)
    corners: set[float] = set()
    for j in range(log_loss.shape[1]):
        corners.update(_hull_slopes(path.n_terms[:, j], log_loss[:, j]))
    slopes = np.array(sorted(corners, reverse=True))
    slopes = slopes[slopes > 0]
    if not len(slopes):
        return np.array([1.0])
    # Between the corners, where the choice does not hang on rounding.
    between = np.sqrt(slopes[:-1] * slopes[1:])
    prices = np.r_[2 * slopes[0], between, slopes[-1] / 2]
    if len(prices) > most:
        kept = np.linspace(0, len(prices) - 1, most).round().astype(int)
        prices = prices[kept]
    return np.asarray(prices)


def _hull_slopes(n_terms: np.ndarray, log_loss: np.ndarray) -> list[float]:
    """How much a term lowers the log loss along the lower convex hull, per term."""
    best: dict[int, float] = {}
    for k, value in zip(n_terms.tolist(), log_loss.tolist(), strict=True):
        best[k] = min(value, best.get(k, np.inf))
    hull: list[tuple[int, float]] = []
    for point in sorted(best.items()):
        while len(hull) > 1:
            (a, fa), (b, fb), (c, fc) = hull[-2], hull[-1], point
            if (fb - fa) * (c - b) < (fc - fb) * (b - a):
                break
            hull.pop()
        hull.append(point)
    return [(fa - fb) / (b - a) for (a, fa), (b, fb) in pairwise(hull)]


def _choice(model: Any, path: Path, price: float) -> np.ndarray:
    """Coefficients (q, p) that the path has at a price per term."""
    cost = _log_losses(model, path) + price * path.n_terms
    # Of equal costs that of the fewest terms.
    order = np.lexsort((path.n_terms.sum(axis=1),))
    best = order[np.argmin(cost[order], axis=0)]
    coef = path.coef[best, np.arange(path.coef.shape[1])]
    if model.problem_.relations is not None:
        # They hold between equations of one size of model; these may have several.
        coef = model.problem_.solve(coef != 0)
    return np.asarray(coef)


def _chosen(error: np.ndarray, rule: str) -> int:
    """The candidate, in order of the number of terms, that a rule takes."""
    mean = error.mean(axis=1)
    least = int(np.argmin(mean))
    if rule == "least":
        return least
    # Of differences, part by part: all candidates forecast the same rows.
    worse = error - error[least]
    spread = worse.std(axis=1, ddof=1) / np.sqrt(error.shape[1])
    same = worse.mean(axis=1) <= spread + _SAME * (mean[least] + _SAME)
    return int(np.flatnonzero(same)[0])


def _with(model: Any, coef: np.ndarray) -> Any:
    """The fitted model with other coefficients."""
    other = copy.copy(model)
    other.coef_ = coef
    other.n_terms_ = np.count_nonzero(coef, axis=1)
    other.equations_ = Equations(coef, model.library_, model._kind)
    return other

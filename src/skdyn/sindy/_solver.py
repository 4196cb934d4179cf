"""What all solvers share: the door for arrays, and what they answer.

A solver is an estimator in its own right, a sparse linear regressor of scikit-learn's
kind (``fit(Theta, Y)``, ``coef_``, ``predict``), and inside a model it is handed the
moments alone: ``_solve(problem) -> Solution``.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import (
    check_is_fitted,
    validate_data,
)

from skdyn.sindy._criteria import criterion_value
from skdyn.sindy._problem import Problem
from skdyn.utils._moments import Moments
from skdyn.utils._sklearn import check_sample_weight, feature_names_in
from skdyn.utils._warn import caller_level

__all__ = [
    "Path",
    "Solution",
    "Solver",
    "for_each_equation",
    "numbers_of_terms",
    "warn_of_empty",
]


@dataclass(frozen=True, eq=False)
class Path:
    """Models that a solver went through, from many terms to few or the other way.

    Attributes
    ----------
    values : ndarray of shape (n_models,)
        The threshold, penalty or number of terms that each belongs to.
    coef : ndarray of shape (n_models, q, p)
        Their coefficients.
    n_terms : ndarray of shape (n_models, q)
        Terms in each equation.
    loss : ndarray of shape (n_models, q)
        Mean square of the residual of each equation.
    score : ndarray of shape (n_models, q) or None
        The criterion that the choice was made by, less is better; None where no choice
        was made.
    threshold : ndarray of shape (n_models, q) or None
        The smallest contribution of a term to each equation, ``|coefficient| rms(term)
        / rms(target)``: what a relative threshold would have to be to go on from here.
    n_rows : float or None
        The number of independent rows that criteria count.
    """

    values: np.ndarray
    coef: np.ndarray
    n_terms: np.ndarray
    loss: np.ndarray
    score: np.ndarray | None = None
    threshold: np.ndarray | None = None
    n_rows: float | None = None

    def criterion(
        self, name: Literal["ebic", "bic", "aic", "aicc"] = "ebic"
    ) -> np.ndarray:
        """A Bayesian or Akaike's criterion of each model, (n_models, q).

        Parameters
        ----------
        name : {"ebic", "bic", "aic", "aicc"}, default="ebic"
            Which; `skdyn.sindy._criteria` has the formulas. Less is better.
        """
        if self.n_rows is None:
            raise ValueError(
                "criterion needs to know how many rows there were, which this path "
                "does not. Use a solver that chooses by a criterion, such as "
                "STLSQ('auto')."
            )
        p = self.coef.shape[2]
        return criterion_value(self.loss, self.n_terms, self.n_rows, p, name)


@dataclass(frozen=True, eq=False)
class Solution:
    """What a solver answers.

    Attributes
    ----------
    coef : ndarray of shape (q, p)
        Coefficients, zero where a term is left out.
    path : Path or None
        The models on the way, for solvers that have a path.
    std : ndarray of shape (q, p) or None
        Standard deviations of the coefficients, for solvers that give them.
    gap : ndarray of shape (q,) or None
        Upper bounds of how much less the best loss could be, relative to the loss: 0
        is a proof that the answer is the best of its size.
    inclusion : ndarray of shape (q, p) or None
        Probability, or share of models, with which each term is part of an equation.
    ensemble : ndarray of shape (n_models, q, p) or None
        Coefficients of all models, for solvers that have many.
    """

    coef: np.ndarray
    path: Path | None = None
    std: np.ndarray | None = None
    gap: np.ndarray | None = None
    inclusion: np.ndarray | None = None
    ensemble: np.ndarray | None = None


class Solver(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Base of sparse solvers: a subclass writes ``_solve(problem) -> Solution``.

    ``_n_blocks`` says how many blocks of consecutive rows it wants the moments of, 0
    for none.
    """

    _parameter_constraints: dict = {}
    _n_blocks = 0
    # A regressor of columns on columns: the laws of forecasters are not for it.
    _is_solver = True

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Fit sparse coefficients of targets on given columns.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_terms)
            Values of the terms; no constant is added.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Values of the targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, at least 0.

        Returns
        -------
        self : solver
            The solver itself.
        """
        self._validate_params()
        X, y = validate_data(
            self, X, y, multi_output=True, y_numeric=True, dtype=np.float64
        )
        weight = None
        if sample_weight is not None:
            weight = check_sample_weight(
                sample_weight, X, dtype=np.float64, ensure_non_negative=True
            )
        targets = y.reshape(len(y), -1).astype(np.float64, copy=False)
        parts = [slice(None)]
        if self._n_blocks:
            edges = np.linspace(0, len(X), min(self._n_blocks, len(X)) + 1).astype(int)
            parts = [slice(a, b) for a, b in pairwise(edges)]
        blocks = [
            Moments.from_rows(
                X[part], targets[part], None if weight is None else weight[part]
            )
            for part in parts
        ]
        problem = Problem(
            Moments.sum(blocks),
            tuple(str(name) for name in feature_names_in(self, None)),
            tuple(f"y{j}" for j in range(targets.shape[1])),
            tuple(blocks) if self._n_blocks else (),
        )
        self.solution_ = self._solve(problem)
        self.coef_ = self.solution_.coef.reshape((*y.shape[1:], X.shape[1]))
        self.intercept_ = 0.0
        warn_of_empty(problem, self.coef_.reshape(problem.shape), self)
        return self

    @property
    def path_(self) -> Path | None:
        """The models on the way, for solvers that have a path."""
        check_is_fitted(self, "solution_")
        return self.solution_.path

    def predict(self, X: Any) -> np.ndarray:
        """Values of the targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_terms)
            Values of the terms.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return np.asarray(X @ self.coef_.T)

    def _solve(self, problem: Problem) -> Solution:
        raise NotImplementedError


def for_each_equation(given: Any, n_equations: int, name: str) -> np.ndarray:
    """The numbers (q,) that one number, or one for each equation, stand for."""
    numbers = np.asarray(given)
    if numbers.ndim and numbers.shape != (n_equations,):
        raise ValueError(
            f"{name} needs one number for each of the {n_equations} equations, got "
            f"shape {numbers.shape}. Pass a single number to use it for all."
        )
    return np.broadcast_to(numbers, (n_equations,))


def numbers_of_terms(n_terms: Any, n_equations: int) -> list[int]:
    """How many terms each equation is to have."""
    numbers = for_each_equation(n_terms, n_equations, "n_terms")
    if numbers.dtype.kind not in "iu" or (numbers < 0).any():
        raise ValueError(f"n_terms needs whole numbers of at least 0, got {n_terms!r}.")
    return [int(k) for k in numbers]


def warn_of_empty(problem: Problem, coef: np.ndarray, solver: Any) -> None:
    """Warn where no term is left of an equation that has something to say."""
    empty = ~coef.any(axis=1) & (problem.target_size > 0)
    if not empty.any():
        return
    full = problem.solve(problem.full_support())
    share = problem.contributions(full)
    for j in np.flatnonzero(empty):
        i = int(share[j].argmax())
        size = float(share[j, i])
        about = f"{size:.0%} of" if size < 1 else f"{size:.3g} times"
        warnings.warn(
            f"The equation of {problem.equations[j]!r} is empty: {solver} removed "
            f"every term. In least squares on all terms, {problem.terms[i]!r} matters "
            f"most: its coefficient is {full[j, i]:.3g}, and it is {about} the size of "
            f"the target. Lower the threshold, penalty or min_gain below that, raise "
            f"n_terms, or offer other terms.",
            UserWarning,
            stacklevel=caller_level(),
        )

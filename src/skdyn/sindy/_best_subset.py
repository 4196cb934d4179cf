"""Best subset: the k terms that explain a target best, with a proof.

Equation: for each target, with columns of unit size and a ridge alpha,

    minimise  mean (y - Z xi)² + alpha |xi|²   over all xi with at most k terms,

exactly, by branch and bound on the moments (`skdyn.sindy._subsets`). Thresholds and
stepwise choices can be trapped, since monomials of the same trajectory are nearly
collinear; that here no better k terms exist is known, or by how much they might be
better. The same problem is solved by mixed-integer programming in MIOSR (Bertsimas &
Gurnee, Nonlinear Dynamics 111 (2023), 6585) and by branch and bound in OKRidge (Liu,
Rosen, Zhong & Rudin, NeurIPS 2023); no such solver is needed here.

The number of terms is given, or chosen for each equation by a criterion among the best
models of all sizes (`skdyn.sindy._criteria`).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Literal

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skdyn.sindy._criteria import CHOICE, FLOOR, Choice
from skdyn.sindy._problem import Problem
from skdyn.sindy._solver import Path, Solution, Solver, numbers_of_terms
from skdyn.sindy._subsets import Proof, Target, best_of_each_size, inverse, prove
from skdyn.utils._sklearn import Interval, StrOptions
from skdyn.utils._warn import caller_level

__all__ = ["BestSubset", "Sizes", "targets_of"]


class BestSubset(Solver):
    """The best equations with a given number of terms, and a proof that they are.

    Parameters
    ----------
    n_terms : "auto", int or sequence of int, default="auto"
        Terms in each equation: one number for all or one for each. "auto" chooses for
        each equation by `criterion` and `min_gain`.
    max_terms : int, default=10
        Largest number that "auto" tries.
    alpha : float, default=0.0
        Ridge penalty on coefficients of terms of unit size: 1 weighs as much as the
        data itself. The proof includes it.
    criterion : {"ebic", "bic", "aic", "aicc"}, default="ebic"
        With "auto": what a term has to earn at least, as in `STLSQ`.
    min_gain : "auto" or float, default="auto"
        With "auto": by how much a term has to lower the logarithm of the loss as well,
        as in `STLSQ`; 0 is the plain criterion.
    resolution : float, default=1e-6
        With "auto": losses are told apart down to this fraction of the mean square of
        the target.
    max_sets : int, default=10**7
        Sets of terms to look at for each proof, some 1 to 5 seconds. Where they do not
        suffice, the best set found is taken, with a warning that says how much better
        another may be.

    Attributes
    ----------
    coef_ : ndarray of shape (n_terms,) or (n_targets, n_terms)
        Coefficients, zero where a term is left out.
    intercept_ : float
        0: a constant is a term like others.
    solution_ : Solution
        Coefficients; ``path``, the best models found of all sizes tried (with one size
        given, that one alone); ``gap``, for each equation by how much, relative to its
        loss, another set of as many terms may be better: 0 is a proof of none.
    n_features_in_ : int
        Number of columns in ``fit``.
    feature_names_in_ : ndarray of shape (n_terms,)
        Their names, where `X` has string column names.

    Raises
    ------
    ValueError
        In ``fit``, if `n_terms` is larger than the number of terms, or is not one
        number for each equation.

    Warns
    -----
    ConvergenceWarning
        Where `max_sets` ended a proof.

    Notes
    -----
    Proofs of 4 terms of up to 126 columns of noisy trajectories take under a second, of
    5 terms up to some seconds; of 4 terms of 861 columns under a second with noise of
    1% and more than the default of `max_sets` with 5%.
    What makes proofs quick is that terms stand out: many small terms that can replace
    each other are the hard case. The proof holds up to rounding: losses that differ by
    less than 1e-12 of the mean square of the target are equal.

    Only the size that is chosen is proven; other sizes of the path are the best found
    by elimination, growth and exchanges. Bounds on coefficients are kept, by bounded
    least squares on the best set without them; the gap says what that may cost.

    References
    ----------
    Bertsimas & Gurnee, "Learning sparse nonlinear dynamics via mixed-integer
    optimization", Nonlinear Dynamics 111 (2023), 6585.

    Liu, Rosen, Zhong & Rudin, "OKRidge: scalable optimal k-sparse ridge regression",
    Advances in Neural Information Processing Systems 36 (2023).

    Furnival & Wilson, "Regressions by leaps and bounds", Technometrics 16 (1974), 499.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.sindy import BestSubset
    >>> rng = np.random.default_rng(0)
    >>> Z = rng.standard_normal((200, 8))
    >>> y = 2.0 * Z[:, 1] - Z[:, 6] + 0.1 * rng.standard_normal(200)
    >>> solver = BestSubset(n_terms=2).fit(Z, y)
    >>> solver.coef_.round(1)
    array([ 0.,  2.,  0.,  0.,  0.,  0., -1.,  0.])
    >>> solver.solution_.gap
    array([0.])
    >>> int((BestSubset().fit(Z, y).coef_ != 0).sum())
    2
    """

    _parameter_constraints: dict = {
        "n_terms": [
            StrOptions({"auto"}),
            Interval(Integral, 0, None, closed="left"),
            "array-like",
        ],
        "max_terms": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        **CHOICE,
        "max_sets": [Interval(Real, 1, None, closed="left")],
    }

    def __init__(
        self,
        n_terms: Literal["auto"] | int | Sequence[int] = "auto",
        *,
        max_terms: int = 10,
        alpha: float = 0.0,
        criterion: Literal["ebic", "bic", "aic", "aicc"] = "ebic",
        min_gain: float | Literal["auto"] = "auto",
        resolution: float = FLOOR,
        max_sets: int = 10**7,
    ) -> None:
        self.n_terms = n_terms
        self.max_terms = max_terms
        self.alpha = alpha
        self.criterion = criterion
        self.min_gain = min_gain
        self.resolution = resolution
        self.max_sets = max_sets

    def _solve(self, problem: Problem) -> Solution:
        q, p = problem.shape
        targets = targets_of(problem, self.alpha)
        if isinstance(self.n_terms, str):
            path, chosen = self._choose(problem, targets)
        else:
            path, chosen = None, []
            for j, size in enumerate(self._sizes(problem, targets)):
                target = targets[j][1]
                start = np.zeros(0, dtype=int)
                if size:
                    start = best_of_each_size(target, size)[-1]
                chosen.append(prove(target, start, self.max_sets))
        support = np.zeros((q, p), dtype=bool)
        for j, proof in enumerate(chosen):
            support[j, targets[j][0][proof.best]] = True
        coef = problem.solve(support, self.alpha)
        gap = self._gap(problem, targets, chosen, coef)
        if path is None:
            path = Path(
                support.sum(axis=1).max(keepdims=True).astype(float),
                coef[None],
                support.sum(axis=1)[None],
                problem.loss(coef)[None],
            )
        return Solution(coef, path, gap=gap)

    def _sizes(
        self, problem: Problem, targets: list[tuple[np.ndarray, Target]]
    ) -> list[int]:
        sizes = numbers_of_terms(self.n_terms, problem.shape[0])
        for name, size, (columns, _) in zip(
            problem.equations, sizes, targets, strict=True
        ):
            if size > len(columns):
                raise ValueError(
                    f"n_terms needs to be from 0 to {len(columns)}, the terms that "
                    f"may stand in the equation of {name}, got {size}. Lower n_terms."
                )
        return sizes

    def _choose(
        self, problem: Problem, targets: list[tuple[np.ndarray, Target]]
    ) -> tuple[Path, list[Proof]]:
        """Models of all sizes, and for each equation the proven best by criterion."""
        choice = Choice(self.criterion, self.min_gain, self.resolution)
        sizes = Sizes(problem, targets, self.max_terms, self.alpha, choice)
        chosen = []
        for j, (_, target) in enumerate(targets):
            proven: dict[int, Proof] = {}
            # A proof may come upon something better, after which another size may be.
            while (i := int(sizes.score()[:, j].argmin())) not in proven:
                proven[i] = prove(target, sizes.sets[j][i], self.max_sets)
                sizes.put(i, j, proven[i].best)
            chosen.append(proven[i])
        return sizes.path(), chosen

    def _gap(
        self,
        problem: Problem,
        targets: list[tuple[np.ndarray, Target]],
        chosen: list[Proof],
        coef: np.ndarray,
    ) -> np.ndarray:
        gap = np.zeros(len(chosen))
        bounded = problem.lower is not None or problem.upper is not None
        losses = problem.loss(coef)
        for j, ((_, target), proof) in enumerate(zip(targets, chosen, strict=True)):
            loss, least = target.size - proof.gain, target.size - proof.bound
            if bounded and not self.alpha:
                loss = float(losses[j])
            if loss - least > target.rounding:
                gap[j] = (loss - least) / loss
        open_ = [j for j, proof in enumerate(chosen) if proof.bound > proof.gain]
        if open_:
            about = ", ".join(
                f"{problem.equations[j]} ({100 * gap[j]:.2g}%)" for j in open_
            )
            warnings.warn(
                f"BestSubset looked at max_sets={self.max_sets:g} sets of terms and "
                f"has not proven that its own are best for: {about}, in parentheses by "
                f"how much less the loss could be. Raise max_sets, lower n_terms, or "
                f"take a smaller library.",
                ConvergenceWarning,
                stacklevel=caller_level(),
            )
        return gap


def targets_of(problem: Problem, alpha: float) -> list[tuple[np.ndarray, Target]]:
    """For each equation the columns that may stand in it, and the problem on them.

    Equations that share their columns share the inverse of the products.
    """
    moments, p = problem.moments, problem.shape[1]
    weight = moments.weight or 1.0
    unit = np.where(problem.term_size > 0, problem.term_size, 1.0)
    products = problem.gram
    if products is not None and moments.gram is not None:
        right = moments.gram[:p, p:] / (unit[:, None] * weight)
    else:
        Z, Y = problem.rows
        Z = Z / unit
        products, right = Z.T @ Z / weight, Z.T @ Y / weight
    allowed = problem.full_support()
    shared: dict[bytes, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    found = []
    for j, terms in enumerate(allowed):
        key = terms.tobytes()
        if key not in shared:
            columns = np.flatnonzero(terms)
            H = products[np.ix_(columns, columns)] + alpha * np.eye(len(columns))
            shared[key] = columns, H, inverse(H)
        columns, H, K = shared[key]
        size = float(problem.target_size[j] ** 2)
        found.append((columns, Target(H, right[columns, j], size, K)))
    return found


class Sizes:
    """Good models of 0, 1, .. terms for each equation, and what they are worth.

    Parameters
    ----------
    problem : Problem
        The problem.
    targets : list of tuple
        As of `targets_of`.
    most : int
        Largest number of terms.
    alpha : float
        Ridge penalty.
    choice : Choice
        How models are compared.

    Attributes
    ----------
    sets : list of list of ndarray
        For each equation, the columns of its models.
    coef, loss, n_terms : ndarray of shape (n_models, q, p) or (n_models, q)
        The models. Where an equation has fewer, its largest is repeated.
    """

    def __init__(
        self,
        problem: Problem,
        targets: list[tuple[np.ndarray, Target]],
        most: int,
        alpha: float,
        choice: Choice,
    ) -> None:
        self.problem, self.targets = problem, targets
        self.alpha, self.choice = alpha, choice
        q, p = problem.shape
        most = min(most, p, max(1, problem.moments.n_rows - 1))
        support = np.zeros((most + 1, q, p), dtype=bool)
        self.sets: list[list[np.ndarray]] = []
        for j, (columns, target) in enumerate(targets):
            sets = [np.zeros(0, dtype=int)]
            if len(columns) and target.size > 0:
                sets += best_of_each_size(target, min(most, len(columns)))
            sets += sets[-1:] * (most + 1 - len(sets))
            self.sets.append(sets)
            for i, each in enumerate(sets):
                support[i, j, columns[each]] = True
        self.coef = np.stack([problem.solve(each, alpha) for each in support])
        self.loss = np.stack([problem.loss(each) for each in self.coef])
        self.n_terms = support.sum(axis=2)
        # What all terms leave: a term is measured by its share of what they explain.
        everything = problem.full_support()
        self._least = problem.loss(problem.solve(everything, alpha))
        self._most = everything.sum(axis=1)

    def score(self) -> np.ndarray:
        """What models are compared by (n_models, q), less is better."""
        score = np.zeros(self.loss.shape)
        for j, (_, target) in enumerate(self.targets):
            size = target.size if target.size > 0 else 1.0
            loss = np.append(self.loss[:, j], self._least[j]) / size
            n_terms = np.append(self.n_terms[:, j], self._most[j])
            score[:, j] = self.choice.scores(loss, n_terms, self.problem)[:-1]
        return score

    def put(self, i: int, j: int, columns: np.ndarray) -> None:
        """Take other columns for model i of equation j."""
        if np.array_equal(columns, self.sets[j][i]):
            return
        self.sets[j][i] = columns
        support = self.coef[i] != 0
        support[j] = False
        support[j, self.targets[j][0][columns]] = True
        self.coef[i] = self.problem.solve(support, self.alpha)
        self.loss[i] = self.problem.loss(self.coef[i])

    def path(self) -> Path:
        """All models, by the number of terms."""
        values = np.arange(len(self.coef), dtype=float)
        return Path(values, self.coef, self.n_terms, self.loss, self.score())

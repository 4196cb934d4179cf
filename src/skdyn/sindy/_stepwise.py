"""Stepwise choice of terms: backward, forward, and both with exchanges.

One equation at a time is y = Z b + error, with columns Z of unit length and few rows
that have the moments of all rows (`skdyn.sindy._problem`). For a support S with
Z_S = Q R, let B = Q^T Z and w = Q^T y. Then

    b = R^-1 w,         loss = |y|² - |w|²,
    h = row sums of squares of R^-1,         A = R^-1 B,
    c = Z^T y - B^T w,  d = diag(Z^T Z) - column sums of squares of B,

and what each single step would do to the loss is known at once:

    leave r out:           + b_r² / h_r
    take i in:             - c_i² / d_i
    put i for r:           + b_r² / h_r - (c_i + A_ri b_r / h_r)² / (d_i + A_ri² / h_r)

* Backward (stepwise sparse regression: Boninsegna, Nueske & Clementi, Journal of
  Chemical Physics 148 (2018), 241723): leave out one term after the other.
* Forward (orthogonal least squares: Chen, Billings & Luo, International Journal of
  Control 50 (1989), 1873; "FROLS" in Billings 2013): take in the term with the largest
  error reduction ratio, c_i² / (d_i |y|²), one after the other.
* Both with exchanges (sequential replacement: Miller, "Subset Selection in Regression",
  2nd ed. (2002), chapter 3): after each step exchange single terms until no exchange
  lowers the loss. Supports of neighbouring sizes are tried from each other as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from numbers import Integral, Real
from typing import Literal, NamedTuple

import numpy as np
from scipy import linalg
from scipy.linalg.lapack import dpotrf, dtrtri

from skdyn.sindy._criteria import CHOICE, Choice, independent_rows
from skdyn.sindy._problem import Problem
from skdyn.sindy._solver import Path, Solution, Solver, numbers_of_terms
from skdyn.utils._sklearn import Interval, StrOptions

__all__ = ["FROLS", "SSR", "best_models", "refuse_bounds"]

# A column of unit length whose part off the others has less than this square depends
# on them.
_DEPENDENT = 1e-12
# An exchange has to lower the loss by this share.
_LESS = 1e-6
# Terms from which backward elimination starts at most.
_MOST_BACKWARD = 100
# The largest size that forward selection and exchanges come to.
_MOST_FORWARD = 40
# An inverse is computed anew after a diagonal entry as large as this, or so many steps.
_HIDING = 30.0
_ANEW = 10
# Losses that are rounding: no step is taken from there to larger supports.
_NOTHING = 1e-13
# Sizes that are looked at beyond the best.
_PATIENCE = 4


class Found(NamedTuple):
    """A support (indices, sorted) and its loss, relative to the sum of squares."""

    support: tuple[int, ...]
    loss: float


Supports = dict[int, Found]


class _Stepwise(Solver):
    """What backward and forward selection share: how many terms are taken."""

    _parameter_constraints: dict = {
        "n_terms": [
            StrOptions({"auto"}),
            Interval(Integral, 0, None, closed="left"),
            "array-like",
        ],
        "alpha": [Interval(Real, 0, None, closed="left")],
        **CHOICE,
    }

    def __init__(
        self,
        n_terms: int | Sequence[int] | Literal["auto"] = "auto",
        *,
        alpha: float = 0.0,
        criterion: Literal["ebic", "bic", "aic", "aicc"] = "ebic",
        min_gain: float | Literal["auto"] = "auto",
        resolution: float = 1e-6,
    ) -> None:
        self.n_terms = n_terms
        self.alpha = alpha
        self.criterion = criterion
        self.min_gain = min_gain
        self.resolution = resolution

    def _solve(self, problem: Problem) -> Solution:
        sizes = self._sizes(problem)
        refuse_bounds(problem, type(self).__name__)
        found = [
            each if each is None else each.on_all(self._supports(each, size))
            for each, size in zip(_equations(problem, self.alpha), sizes, strict=True)
        ]
        choice = Choice(self.criterion, self.min_gain, self.resolution)
        return _solution(problem, self.alpha, found, choice, sizes)

    def _sizes(self, problem: Problem) -> list[int | None]:
        """Terms wanted in each equation; None leaves it to the criterion."""
        q = problem.shape[0]
        if isinstance(self.n_terms, str):
            return [None] * q
        return list(numbers_of_terms(self.n_terms, q))

    def _supports(self, equation: _Equation, size: int | None) -> Supports:
        raise NotImplementedError


class SSR(_Stepwise):
    """Stepwise sparse regression: leave out one term after the other.

    Starts from all terms and leaves out, in each step, the one whose loss costs least.

    Parameters
    ----------
    n_terms : "auto", int or sequence of int, default="auto"
        Terms in each equation: one number for all or one for each. "auto" chooses by
        `criterion` and `min_gain`.
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
    path_ : Path
        The models of every size.
    solution_ : Solution
        Coefficients and path.
    n_features_in_ : int
        Number of terms in ``fit``.
    feature_names_in_ : ndarray of shape (n_terms,)
        Their names, where `X` has string column names.

    See Also
    --------
    FROLS : The other way, from no terms to many.
    STLSQ : Both ways and exchanges, by default.

    Notes
    -----
    The term left out is the one without which least squares on the rest is best, which
    does not depend on units; Boninsegna et al. leave out the smallest coefficient.
    Terms that depend on others are left out first. Of more than 100 terms, the 100 that
    matter most in the fit of all are kept in one step.

    References
    ----------
    Boninsegna, Nueske & Clementi, "Sparse learning of stochastic dynamical equations",
    Journal of Chemical Physics 148 (2018), 241723.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.sindy import SSR
    >>> rng = np.random.default_rng(0)
    >>> Theta = rng.standard_normal((200, 10))
    >>> y = 2 * Theta[:, 1] - 0.3 * Theta[:, 7] + 0.1 * rng.standard_normal(200)
    >>> SSR().fit(Theta, y).coef_.nonzero()[0]
    array([1, 7])
    >>> SSR(n_terms=1).fit(Theta, y).coef_.nonzero()[0]
    array([1])
    """

    def _supports(self, equation: _Equation, size: int | None) -> Supports:
        last = 0 if size is None else min(size, len(equation.start))
        return backward(equation.terms, equation.start, last)


class FROLS(_Stepwise):
    """Forward regression by orthogonal least squares: take in one term after the other.

    Starts from no term and takes in, in each step, the one that lowers the loss most:
    the one with the largest error reduction ratio.

    Parameters
    ----------
    n_terms : "auto", int or sequence of int, default="auto"
        Terms in each equation: one number for all or one for each. "auto" goes up to 40
        and chooses by `criterion` and `min_gain`.
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
    path_ : Path
        The models of every size.
    solution_ : Solution
        Coefficients and path.
    n_features_in_ : int
        Number of terms in ``fit``.
    feature_names_in_ : ndarray of shape (n_terms,)
        Their names, where `X` has string column names.

    See Also
    --------
    SSR : The other way, from all terms to few.
    STLSQ : Both ways and exchanges, by default.

    References
    ----------
    Chen, Billings & Luo, "Orthogonal least squares methods and their application to
    non-linear system identification", International Journal of Control 50 (1989), 1873.

    Billings, "Nonlinear System Identification: NARMAX Methods in the Time, Frequency,
    and Spatio-Temporal Domains", Wiley (2013), chapter 3.

    Examples
    --------
    >>> import numpy as np
    >>> from skdyn.sindy import FROLS
    >>> rng = np.random.default_rng(0)
    >>> Theta = rng.standard_normal((200, 10))
    >>> y = 2 * Theta[:, 1] - 0.3 * Theta[:, 7] + 0.1 * rng.standard_normal(200)
    >>> FROLS().fit(Theta, y).coef_.nonzero()[0]
    array([1, 7])
    >>> FROLS(n_terms=1).fit(Theta, y).coef_.nonzero()[0]
    array([1])
    """

    def _supports(self, equation: _Equation, size: int | None) -> Supports:
        most = min(_MOST_FORWARD, equation.n_terms) if size is None else size
        return forward(equation.terms, min(most, equation.n_terms))


def best_models(problem: Problem, alpha: float, choice: Choice) -> Solution:
    """The best model of each equation: steps both ways, exchanges, and a criterion."""
    if problem.lower is not None or problem.upper is not None:
        return _by_contribution(problem, alpha, choice)

    def best_size(found: Supports) -> int:
        sizes = np.array(sorted(found))
        loss = np.array([found[size].loss for size in sizes])
        return int(sizes[choice.scores(loss, sizes, problem).argmin()])

    found = [
        each if each is None else each.on_all(each.tellable(exchanged(each, best_size)))
        for each in _equations(problem, alpha)
    ]
    sizes: list[int | None] = [None] * problem.shape[0]
    return _solution(problem, alpha, found, choice, sizes)


def _solution(
    problem: Problem,
    alpha: float,
    found: list[Supports | None],
    choice: Choice,
    sizes: list[int | None],
) -> Solution:
    """Choose a size for each equation, and put the models of all sizes in a path."""
    q, p = problem.shape
    chosen = np.zeros((q, p), dtype=bool)
    models: list[list[Found]] = []
    values: list[np.ndarray] = []
    last = 0
    for j, (supports, size) in enumerate(zip(found, sizes, strict=True)):
        supports = {0: Found((), 0.0)} if supports is None else supports
        steps = [supports[k] for k in sorted(supports)]
        loss = np.array([each.loss for each in steps])
        n_terms = np.array([len(each.support) for each in steps])
        score = choice.scores(loss, n_terms, problem)
        if size is None:
            best = int(score.argmin())
        else:
            best = int(np.abs(n_terms - size).argmin())
        chosen[j, list(steps[best].support)] = True
        last = max(last, n_terms[best] + _PATIENCE)
        models.append(steps)
        values.append(score)
    lengths = [each[-1].support for each in models]
    last = min(last, max(len(each) for each in lengths))
    return Solution(
        problem.solve(chosen, alpha), _path(problem, alpha, models, values, last)
    )


def _path(
    problem: Problem,
    alpha: float,
    models: list[list[Found]],
    values: list[np.ndarray],
    last: int,
) -> Path:
    """Models of 0, 1, 2, ... terms; an equation without a size has the one below."""
    first = min(len(each[0].support) for each in models)
    coefs, losses, score = [], [], []
    for size in range(first, last + 1):
        support = np.zeros(problem.shape, dtype=bool)
        row, value = [], []
        for j, steps in enumerate(models):
            at = max(
                (i for i, each in enumerate(steps) if len(each.support) <= size),
                default=0,
            )
            support[j, list(steps[at].support)] = True
            row.append(steps[at].loss * problem.target_size[j] ** 2)
            value.append(values[j][at])
        coefs.append(problem.solve(support, alpha))
        losses.append(row)
        score.append(value)
    coef = np.array(coefs)
    return Path(
        np.arange(first, last + 1, dtype=float),
        coef,
        np.count_nonzero(coef, axis=2),
        np.array(losses),
        np.array(score),
        np.array([_smallest(problem, each) for each in coefs]),
        independent_rows(problem),
    )


def _smallest(problem: Problem, coef: np.ndarray) -> np.ndarray:
    """The smallest contribution to each equation, 0 where there is none."""
    sizes = problem.contributions(coef)
    least = np.where(coef != 0, sizes, np.inf).min(axis=1)
    return np.where(np.isfinite(least), least, 0.0)


def _by_contribution(problem: Problem, alpha: float, choice: Choice) -> Solution:
    """Drop the smallest contribution of each equation, one after the other.

    Slower, and for coefficients with bounds, for which single steps have no formula.
    """
    support = problem.full_support()
    squares = np.maximum(problem.target_size**2, np.finfo(float).tiny)
    coefs, losses = [], []
    while True:
        coef = problem.solve(support, alpha)
        coefs.append(coef)
        losses.append(problem.loss(coef) / squares)
        support = support & (coef != 0)
        if not support.any():
            break
        size = np.where(support, problem.contributions(coef), np.inf)
        for j in np.flatnonzero(support.any(axis=1)):
            support[j, size[j].argmin()] = False
    coefs.reverse()
    path, loss = np.array(coefs), np.array(losses[::-1])
    n_terms = np.count_nonzero(path, axis=2)
    score = np.column_stack(
        [
            choice.scores(loss[:, j], n_terms[:, j], problem)
            for j in range(problem.shape[0])
        ]
    )
    best = score.argmin(axis=0)
    coef = path[best, np.arange(problem.shape[0])]
    if problem.relations is not None:
        # They are of equations of one size of model; these may have several.
        coef = problem.solve(coef != 0, alpha)
    smallest = np.array([_smallest(problem, each) for each in coefs])
    sizes = n_terms.max(axis=1).astype(float)
    return Solution(
        coef,
        Path(
            sizes,
            path,
            n_terms,
            loss * squares,
            score,
            smallest,
            independent_rows(problem),
        ),
    )


def refuse_bounds(problem: Problem, name: str) -> None:
    """Raise where coefficients have bounds, for a solver that keeps none."""
    if problem.lower is not None or problem.upper is not None:
        raise ValueError(
            f"{name} does not know bounds of coefficients. Use STLSQ, which does."
        )


@dataclass(frozen=True, eq=False)
class _Equation:
    """What may stand in one equation, of which the target is number `target`."""

    terms: Terms
    columns: np.ndarray
    target: int
    ranks: Callable[[], np.ndarray]

    @cached_property
    def start(self) -> tuple[int, ...]:
        """Independent terms that backward elimination starts from."""
        some = np.arange(self.n_terms)
        if self.n_terms > _MOST_BACKWARD:
            ranks = self.ranks()[self.columns, self.target]
            some = np.sort(np.argsort(-ranks, kind="stable")[:_MOST_BACKWARD])
        return independent(self.terms, some)

    @property
    def n_terms(self) -> int:
        return len(self.columns)

    def tellable(self, supports: Supports) -> Supports:
        """Supports that few rows can tell apart from others of their size.

        Far more terms than independent rows fit anything, whatever weights the rows
        have; a third as many terms as rows are then the most.
        """
        if len(self.start) > min(self.n_terms, _MOST_BACKWARD) // 2:
            return supports
        most = max(len(self.start) // 3, 1)
        return {size: each for size, each in supports.items() if size <= most}

    def on_all(self, supports: Supports) -> Supports:
        """Supports in the numbering of all terms of the library."""
        return {
            size: Found(tuple(self.columns[list(each.support)].tolist()), each.loss)
            if each.support
            else each
            for size, each in supports.items()
        }


def _equations(problem: Problem, alpha: float) -> list[_Equation | None]:
    """Each equation by itself; None where the target is zero or nothing may stand."""
    q, p = problem.shape
    allowed = problem.full_support()
    gram, cross = problem.gram, problem.cross
    Z, Y = np.zeros((0, p)), np.zeros((0, q))
    if gram is None or cross is None:
        gram = cross = None
        Z, Y = problem.unit_rows
        if alpha:
            Z = np.vstack([Z, np.sqrt(alpha) * np.eye(p)])
            Y = np.vstack([Y, np.zeros((p, q))])
        if p > _MOST_BACKWARD:
            # Supports are small against the library: their products are good enough,
            # and many times as fast.
            gram, cross = Z.T @ Z, Z.T @ Y
    elif alpha:
        gram = gram + alpha * np.eye(p)
    ranks = cache(partial(_ranks, Z, Y, gram, cross))
    equations: list[_Equation | None] = []
    for j in range(q):
        columns = np.flatnonzero(allowed[j])
        if not len(columns) or not problem.target_size[j] > 0:
            equations.append(None)
            continue
        every = len(columns) == p
        if gram is not None and cross is not None:
            among = gram if every else gram[np.ix_(columns, columns)]
            terms = Terms(Z[:0], Y[:0, j], among, cross[columns, j])
        else:
            terms = Terms(Z if every else Z[:, columns], Y[:, j])
        equations.append(_Equation(terms, columns, j, ranks))
    return equations


def _ranks(
    Z: np.ndarray, Y: np.ndarray, gram: np.ndarray | None, cross: np.ndarray | None
) -> np.ndarray:
    """What leaving out each term would cost the fit of all terms, (p, q)."""
    if len(Z):
        R, w = Z, Y
        if len(Z) >= Z.shape[1]:
            Q, R = np.linalg.qr(Z)
            w = Q.T @ Y
        size = np.abs(np.diagonal(R))
        if len(R) == R.shape[1] and size.min() > np.sqrt(_DEPENDENT):
            inverse = linalg.solve_triangular(R, np.eye(len(R)), check_finite=False)
        else:
            inverse = np.linalg.pinv(R)
        b, h = inverse @ w, np.square(inverse).sum(axis=1)
    else:
        assert gram is not None
        try:
            inverse = linalg.cho_solve(linalg.cho_factor(gram), np.eye(len(gram)))
        except linalg.LinAlgError:
            inverse = np.linalg.pinv(gram, hermitian=True)
        b, h = inverse @ cross, np.diagonal(inverse)
    return np.asarray(b**2 / np.where(h > 0, h, np.inf)[:, None])


class Terms:
    """Columns and one target, of unit length, in rows or in inner products."""

    def __init__(
        self,
        rows: np.ndarray,
        target: np.ndarray,
        gram: np.ndarray | None = None,
        cross: np.ndarray | None = None,
    ) -> None:
        self.rows, self.target, self.gram = rows, target, gram
        self._states: dict[tuple[int, ...], State] = {}
        if gram is not None and cross is not None:
            self.cross, self.squares = cross, np.diagonal(gram)
            self.total = 1.0
        else:
            self.cross = target @ rows
            self.squares = np.einsum("ij,ij->j", rows, rows)
            self.total = float(target @ target)

    def triangle(self, support: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """R^-1 (k, k), and what gives B of it: Q (rows) or nothing."""
        chosen = list(support)
        if not chosen:
            return np.zeros((0, 0)), np.zeros((len(self.rows), 0))
        # LAPACK itself: for a few terms, what is around it would take most of the time.
        if self.gram is not None:
            R, failed = dpotrf(self.gram[chosen][:, chosen], clean=True)
            Q = np.zeros((0, 0))
        else:
            Q, R = np.linalg.qr(self.rows[:, chosen])
            failed = 0
        inverse, singular = dtrtri(R)
        if failed or singular:
            raise linalg.LinAlgError("terms depend on each other")
        return inverse, Q

    def state(self, support: tuple[int, ...]) -> State:
        """Least squares on a support, computed once."""
        if support not in self._states:
            self._states[support] = State(self, support)
        return self._states[support]


class State:
    """Least squares on a support, and what each step from it would do to the loss."""

    def __init__(self, terms: Terms, support: tuple[int, ...]) -> None:
        self.terms, self.support = terms, support
        self.inverse, self._Q = terms.triangle(support)
        if terms.gram is not None:
            self.w = self.inverse.T @ terms.cross[list(support)]
        else:
            self.w = self._Q.T @ terms.target
        self.b = self.inverse @ self.w
        self.h = np.einsum("ij,ij->i", self.inverse, self.inverse)
        self.loss = max(float(terms.total - self.w @ self.w), 0.0)

    @cached_property
    def _around(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A, c, d of the module's equations; d is infinite for what cannot be taken."""
        terms, chosen = self.terms, list(self.support)
        if terms.gram is not None:
            B = self.inverse.T @ terms.gram[chosen]
        else:
            B = self._Q.T @ terms.rows
        d = terms.squares - np.einsum("ij,ij->j", B, B)
        d = np.where(d > _DEPENDENT, d, np.inf)
        d[chosen] = np.inf
        return self.inverse @ B, terms.cross - self.w @ B, d

    def costs(self) -> np.ndarray:
        """By how much the loss rises without each term of the support, (k,)."""
        return self.b**2 / self.h

    def gains(self) -> np.ndarray:
        """By how much the loss falls with each further term, (p,)."""
        _, c, d = self._around
        return np.asarray(c**2 / d)

    def without(self, position: int) -> tuple[int, ...]:
        """The support without its term at a position."""
        return self.support[:position] + self.support[position + 1 :]

    def shrunk(self) -> tuple[int, ...]:
        """The support without the term that costs least."""
        return self.without(int(self.costs().argmin()))

    @cached_property
    def exchange(self) -> tuple[tuple[int, ...], float]:
        """The best exchange of one term, and by how much the loss falls with it."""
        A, c, d = self._around
        per = 1.0 / self.h
        falls = (c + A * (self.b * per)[:, None]) ** 2 / (d + A**2 * per[:, None])
        falls -= self.costs()[:, None]
        r, i = divmod(int(falls.argmax()), falls.shape[1])
        new = tuple(sorted((*self.without(r), i)))
        return new, float(falls[r, i])


def improved(state: State) -> State:
    """Exchange single terms while that lowers the loss."""
    for _ in range(10 + len(state.support)):
        if not state.support or state.loss <= _NOTHING:
            break
        support, fall = state.exchange
        if fall <= _LESS * state.loss:
            break
        new = state.terms.state(support)
        if new.loss >= state.loss:
            break
        state = new
    return state


def independent(terms: Terms, start: np.ndarray) -> tuple[int, ...]:
    """Terms of `start` (indices) that do not depend on others of them.

    Of terms that depend on each other, those that go better with the target stay, and
    of those that go equally well the first.
    """
    if terms.gram is not None:
        gram = terms.gram[np.ix_(start, start)]
    else:
        gram = terms.rows[:, start].T @ terms.rows[:, start]
    # To the digits that are no matter of rounding.
    order = np.argsort(-np.abs(terms.cross[start]).round(9), kind="stable")
    left = np.diagonal(gram).copy()
    basis = np.zeros((0, len(start)))
    kept = []
    for i in order:
        if left[i] <= _DEPENDENT:
            continue
        row = (gram[i] - basis[:, i] @ basis) / np.sqrt(left[i])
        basis = np.vstack([basis, row])
        left = left - row**2
        kept.append(int(start[i]))
    if terms.gram is None:
        kept = kept[: len(terms.rows)]
    # Rounding may leave one too many.
    while kept:
        try:
            terms.triangle(tuple(sorted(kept)))
            break
        except linalg.LinAlgError:
            kept.pop()
    return tuple(sorted(kept))


def backward(terms: Terms, start: tuple[int, ...], last: int = 0) -> Supports:
    """Leave out one term after the other, down to `last` of them.

    Without term r, the inverse H of the products is H - H_r H_r^T / H_rr on the others,
    so that a step costs k². Where H_rr is large, nearly all digits of the others were
    hidden behind it, and H is computed anew; as it is every now and then.
    """
    state = State(terms, start)
    found = {len(start): Found(start, state.loss)}
    support, b, loss = np.array(start, dtype=int), state.b, state.loss
    H, steps = state.inverse @ state.inverse.T, 0
    while len(support) > last:
        h = np.diagonal(H)
        r = int((b**2 / h).argmin())
        kept = np.arange(len(support)) != r
        column, large = H[kept, r], h[r] > _HIDING
        loss += float(b[r] ** 2 / h[r])
        b, support = (b - H[:, r] * (b[r] / h[r]))[kept], support[kept]
        H = H[kept][:, kept] - column[:, None] * (column / h[r])
        steps += 1
        if large or steps % _ANEW == 0 or len(support) <= _ANEW:
            state = State(terms, tuple(support.tolist()))
            b, loss = state.b, state.loss
            H = state.inverse @ state.inverse.T
        found[len(support)] = Found(tuple(support.tolist()), loss)
    return found


def forward(terms: Terms, most: int) -> Supports:
    """Take in one term after the other, `most` at most, while any lowers the loss."""
    state = terms.state(())
    found = {0: Found((), state.loss)}
    while len(state.support) < most:
        gains = state.gains()
        best = int(gains.argmax())
        if gains[best] <= 0:
            break
        state = terms.state(tuple(sorted((*state.support, best))))
        found[len(state.support)] = Found(state.support, state.loss)
    return found


def exchanged(equation: _Equation, best_size: Callable[[Supports], int]) -> Supports:
    """The best supports that single steps find, of each size that may matter.

    Parameters
    ----------
    equation : _Equation
        With the terms that backward elimination starts from.
    best_size : callable
        ``best_size(supports) -> int``: which size of these is best. What is larger by
        more than a few terms is not looked at closely.

    Returns
    -------
    dict of int to Found
        By size.
    """
    terms, most = equation.terms, min(_MOST_FORWARD, len(equation.start))
    found = backward(terms, equation.start)
    state = terms.state(())
    while len(state.support) < min(best_size(found) + _PATIENCE, most):
        larger = _grown(state)
        if larger is None:
            break
        state = larger
        _note(found, state)
    top = min(best_size(found) + _PATIENCE, most)
    for _ in range(3):
        changed = False
        for size in range(top):
            larger = _grown(terms.state(found[size].support))
            changed |= larger is not None and _note(found, larger)
        for size in range(top, 0, -1):
            state = terms.state(found[size].support)
            shrunk = terms.state(state.shrunk())
            changed |= _note(found, improved(shrunk))
        if not changed:
            break
    return found


def _grown(state: State) -> State | None:
    """With the best further term, and the best exchanges after it."""
    if state.loss <= _NOTHING:
        return None
    gains = state.gains()
    best = int(gains.argmax())
    if gains[best] <= 0:
        return None
    support = tuple(sorted((*state.support, best)))
    return improved(state.terms.state(support))


def _note(found: Supports, state: State) -> bool:
    """Keep a state if it is better than what was found of its size."""
    size = len(state.support)
    if size in found and state.loss >= found[size].loss * (1 - _LESS):
        return False
    found[size] = Found(state.support, state.loss)
    return True

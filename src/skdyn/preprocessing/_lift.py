"""Lifts: functions of the state beside the state, so that forecasts come back.

Equation: a lift is a dictionary of functions of one row (Koopman's observables),

    z = psi(x) = (psi_1(x), ..., psi_m(x)),

in which the dynamics may be linear though it is not in x. Where the state itself is
among the functions, x is a selection of the columns of z, and the inverse is exact. The
Jacobian, which turns derivatives of x into those of z and tells how a model bends, is

    D psi(x)[j, i] = d psi_j / d x_i.

Functions are kept by what they are, products of powers of factors, not by their names
alone: so a sum or product of lifts knows which columns are the same, and holds each
once.

Lifted rows are computed column by column into a buffer (n_outputs, n_rows), whose
transpose is the answer: every operation then runs along memory, and nothing is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skdyn.base import TransformMixin, as_horizon
from skdyn.utils._sklearn import feature_names_in
from skdyn.utils._trajectories import Trajectories, check_trajectories

if TYPE_CHECKING:
    from skdyn.preprocessing._lift_compose import LiftProduct, LiftUnion

__all__ = [
    "Factor",
    "Lift",
    "StateAndMore",
    "Term",
    "column_name",
    "row_blocks",
    "state_term",
]

# Numbers that are worked on at once where a block is computed and then moved: 1 MB.
_BLOCK = 2**17


class Factor(NamedTuple):
    """A function that products are made of.

    `kind` says what its name means: a feature, a formula that is the same function in
    every lift, or something of one lift's own, such as a kernel around a centre.
    """

    name: str
    kind: Literal["state", "formula", "own"]


# A product of powers of factors; the empty one is the constant.
Term = tuple[tuple[Factor, int], ...]


def column_name(term: Term) -> str:
    """The column's name, as scikit-learn's PolynomialFeatures writes it."""
    return " ".join(f.name if p == 1 else f"{f.name}^{p}" for f, p in term) or "1"


def _has_state(lift: Lift) -> bool:
    return lift._carries_state


class _WayBack:
    """``transform`` that refuses a forecast request which could not come back.

    It stands in a class of its own, for the reason that `TransformMixin` gives.
    """

    _checks_values = False

    if TYPE_CHECKING:
        n_output_features_: int

        @property
        def _carries_state(self) -> bool: ...
        def get_feature_names_out(self, input_features: Any = None) -> Any: ...

    def transform(self, X: Any) -> Any:
        """Lift each trajectory, or pass a forecast request on.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), list of these, int or Horizon
            The data, in any accepted form, or a forecast request.

        Returns
        -------
        ndarray, DataFrame, list of these, or Horizon
            In the form of `X`, with ``n_output_features_`` columns.

        Raises
        ------
        TypeError
            For a forecast request through a lift that leaves the state out.
        ValueError
            If a function of the caller's gives a value that is not finite.
        """
        if as_horizon(X) is not None and not self._carries_state:
            raise TypeError(
                f"{type(self).__name__} leaves the state out, so a forecast cannot "
                f"come back through it. Set include_state=True, or join it to a lift "
                f"that holds the state (LiftUnion)."
            )
        lifted = super().transform(X)  # type: ignore[misc]
        if self._checks_values and as_horizon(X) is None:
            self._check_values(lifted)
        return lifted

    def _check_values(self, lifted: Any) -> None:
        """Raise at the first value that is not finite, naming its column."""
        listed = isinstance(lifted, list)
        for i, member in enumerate(lifted if listed else [lifted]):
            rows = np.asarray(member)
            with np.errstate(all="ignore"):
                if np.isfinite(rows.sum()):
                    continue
            bad = ~np.isfinite(rows.reshape(-1, self.n_output_features_))
            if not bad.any():
                continue
            row, column = np.argwhere(bad)[0]
            raise ValueError(
                f"{type(self).__name__} needs finite values, got NaN or inf in column "
                f"{self.get_feature_names_out()[column]!r} at row {row}"
                f"{f' of X[{i}]' if listed else ''}. Restrict the function to where it "
                f"is defined, or leave such rows out."
            )


class Lift(_WayBack, TransformMixin, BaseEstimator):
    """What all lifts share: names, the way back, Jacobians, ``+`` and ``*``.

    A lift writes

    * ``_learn(trajectories, X)``, what it takes from the training data;
    * ``_terms(names)``, its columns as products of powers of `Factor`;
    * ``_fill(x, out)``, the columns of rows x (n, d) into out (n_outputs, n);
    * ``_jacobian(x)``, of shape (n, n_outputs, d).
    """

    n_features_in_: int
    n_output_features_: int

    def fit(self, X: Any, y: Any = None) -> Any:
        """Learn the features and whatever the functions take from the data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories; all rows are used together.
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        self : lift
            The lift itself.
        """
        trajectories = self._check_fit(X)
        self._learn(trajectories, X)
        features = [str(name) for name in feature_names_in(self, None)]
        terms = self._terms(features)
        names = [column_name(term) for term in terms]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(
                f"{type(self).__name__} needs different names for its columns, got "
                f"{twice!r} for two. Rename the features or functions."
            )
        self._names = np.array(names, dtype=object)
        self.n_output_features_ = len(names)
        place = {term: column for column, term in enumerate(terms)}
        state = [place.get(state_term(name), -1) for name in features]
        self._state = np.array([] if -1 in state else state, dtype=np.intp)
        return self

    @available_if(_has_state)
    def inverse_transform(self, X: Any) -> Any:
        """Give the state back: a selection of the columns.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_outputs), list of these, or 3-D array
            Lifted rows; NaN passes through.

        Returns
        -------
        ndarray, or list of ndarrays
            In the form of `X`, with ``n_features_in_`` columns.
        """
        return super().inverse_transform(X)

    def jacobian(self, X: Any) -> Any:
        """Derivatives of every column by every feature, at every row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            The rows at which to differentiate.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs, n_features)
            A list of these for a list, and one more axis in front for a 3-D array.
        """
        check_is_fitted(self)
        data = check_trajectories(
            self, X, reset=False, allow_complex=self._allow_complex
        )
        if isinstance(data.pieces, np.ndarray):
            return data.split(self._jacobian(data.rows()))
        return data.join([self._jacobian(piece) for piece in data.pieces])

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the features; None takes those of ``fit``.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self)
        if input_features is None:
            return self._names.copy()
        features = [str(name) for name in feature_names_in(self, input_features)]
        return np.array(
            [column_name(term) for term in self._terms(features)], dtype=object
        )

    def __add__(self, other: Any) -> LiftUnion:
        """Both side by side: a `LiftUnion` with automatic names."""
        from skdyn.preprocessing._lift_compose import LiftUnion, joined

        return joined(LiftUnion, self, other)

    def __mul__(self, other: Any) -> LiftProduct:
        """All products of their columns: a `LiftProduct` with automatic names."""
        from skdyn.preprocessing._lift_compose import LiftProduct, joined

        return joined(LiftProduct, self, other)

    @property
    def _carries_state(self) -> bool:
        if hasattr(self, "_state"):
            return len(self._state) > 0
        return self._promises_state

    @property
    def _promises_state(self) -> bool:
        """Whether the state will be among the columns, by the parameters."""
        return bool(getattr(self, "include_state", True))

    @property
    def _n_features_out(self) -> int:
        return self.n_output_features_

    def _transform(self, x: np.ndarray) -> np.ndarray:
        rows = x.reshape(-1, x.shape[-1])
        out = np.empty((self.n_output_features_, len(rows)), dtype=x.dtype.type)
        self._fill(rows, out)
        return out.T.reshape(*x.shape[:-1], self.n_output_features_)

    def _inverse(self, y: np.ndarray) -> np.ndarray:
        return y[..., self._state]

    def _learn(self, trajectories: Trajectories, X: Any) -> None:
        pass

    def _terms(self, names: list[str]) -> list[Term]:
        raise NotImplementedError

    def _fill(self, x: np.ndarray, out: np.ndarray) -> None:
        raise NotImplementedError

    def _jacobian(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class StateAndMore(Lift):
    """A lift whose columns are [the constant], [the state], and functions of its own.

    It writes ``_factors(names)``, ``_fill_own(x, out)`` and ``_jacobian_own(x)``.
    """

    _lead: tuple[bool, bool]

    def _learn(self, trajectories: Trajectories, X: Any) -> None:
        # As fitted: parameters that are set later wait for the next fit.
        self._lead = getattr(self, "include_bias", False), self._promises_state

    @property
    def _n_lead(self) -> int:
        bias, state = self._lead
        return bias + state * self.n_features_in_

    def _terms(self, names: list[str]) -> list[Term]:
        bias, state = self._lead
        lead: list[Term] = [()] * bias
        if state:
            lead += [state_term(name) for name in names]
        return lead + [((factor, 1),) for factor in self._factors(names)]

    def _fill(self, x: np.ndarray, out: np.ndarray) -> None:
        bias, state = self._lead
        if bias:
            out[0] = 1
        if state:
            out[bias : self._n_lead] = x.T
        self._fill_own(x, out[self._n_lead :])

    def _jacobian(self, x: np.ndarray) -> np.ndarray:
        bias, state = self._lead
        shape = len(x), self.n_output_features_, self.n_features_in_
        jacobian = np.zeros(shape, dtype=x.dtype.type)
        if state:
            jacobian[:, bias : self._n_lead] = np.eye(self.n_features_in_)
        jacobian[:, self._n_lead :] = self._jacobian_own(x)
        return jacobian

    def _factors(self, names: list[str]) -> list[Factor]:
        raise NotImplementedError

    def _fill_own(self, x: np.ndarray, out: np.ndarray) -> None:
        raise NotImplementedError

    def _jacobian_own(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError


def state_term(name: str) -> Term:
    return ((Factor(name, "state"), 1),)


def row_blocks(n_rows: int, width: int) -> Iterator[slice]:
    """Slices of rows that, `width` numbers each, stay in the cache."""
    size = max(256, _BLOCK // max(width, 1))
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def feature_scale(rows: np.ndarray) -> np.ndarray:
    """Typical size of changes of each feature: deviation, else size, else 1."""
    with np.errstate(all="ignore"):
        rows = rows.astype(np.float64)
        spread, size = rows.std(axis=0), np.abs(rows).max(axis=0)
    flat = ~(spread > 1e-12 * size)
    return np.where(flat, np.where(size > 0, size, 1.0), spread)


def central_differences(
    function: Callable[[np.ndarray], np.ndarray], x: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """Jacobian (n, k, d) of a function from rows (n, d) to (n, k).

    (f(x + h e_i) - f(x - h e_i)) / 2h with h = eps^(1/3) scale_i, which balances the
    error of the formula, of order h², with rounding, of order eps / h: relative errors
    near 1e-10. In double precision whatever `x` is.
    """
    points = x.astype(np.float64)
    columns = []
    for i, size in enumerate(scale):
        above, below = points.copy(), points.copy()
        step = np.finfo(np.float64).eps ** (1 / 3) * size
        above[:, i] += step
        below[:, i] -= step
        # What the sums made of the step, not the step that was meant.
        width = above[:, i] - below[:, i]
        columns.append((function(above) - function(below)) / width[:, None])
    return np.stack(columns, axis=2)

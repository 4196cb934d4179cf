"""Lifts made of lifts: side by side, and products.

Equations, for lifts psi and phi with columns psi_1 ... psi_m and phi_1 ... phi_n:

    union     (psi_1, ..., psi_m, phi_1, ..., phi_n)
    product   (psi_1 phi_1, psi_1 phi_2, ..., psi_m phi_n)
    D(psi_i phi_j) = phi_j D psi_i + psi_i D phi_j

each function kept once, where it first stands. Two columns are one function if they are
the same product of powers of features and formulas; what is of one lift's own (kernels
around its centres, the caller's functions) is never taken for another's.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, TypeVar

import numpy as np
from sklearn.base import clone

from skdyn.preprocessing._lift import (
    Factor,
    Lift,
    Term,
    column_name,
    row_blocks,
    state_term,
)
from skdyn.utils._sklearn import feature_names_in
from skdyn.utils._trajectories import Trajectories

__all__ = ["LiftProduct", "LiftUnion", "joined"]


class _Composition(Lift):
    """What unions and products share: the parts, and their parameters by name."""

    _parameter_constraints: dict = {"lifts": [list, tuple]}

    def __init__(self, lifts: Any) -> None:
        self.lifts = lifts

    def fit(self, X: Any, y: Any = None) -> Any:
        """Fit a clone of each lift.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Training trajectories.
        y : ignored
            For scikit-learn's signature.

        Returns
        -------
        self : lift
            The lift itself.

        Raises
        ------
        ValueError, TypeError
            If `lifts` is no list of pairs of a name and a lift.
        """
        self._validate_params()
        self._check_lifts()
        return super().fit(X, y)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters, those of the lifts as ``name__parameter``.

        Parameters
        ----------
        deep : bool, default=True
            Whether to go into the lifts.

        Returns
        -------
        dict
        """
        params: dict[str, Any] = {"lifts": self.lifts}
        for name, lift in self._pairs() if deep else []:
            params[name] = lift
            for key, value in lift.get_params(deep=True).items():
                params[f"{name}__{key}"] = value
        return params

    def set_params(self, **params: Any) -> Any:
        """Set parameters: ``lifts``, a lift by its name, or ``name__parameter``.

        Parameters
        ----------
        **params : dict
            What to set.

        Returns
        -------
        self : lift
            The lift itself.
        """
        if "lifts" in params:
            self.lifts = params.pop("lifts")
        names = {name for name, _ in self._pairs()}
        whole = {name: params.pop(name) for name in names & set(params)}
        if whole:
            self.lifts = [(name, whole.get(name, lift)) for name, lift in self._pairs()]
        super().set_params(**params)
        return self

    def _pairs(self) -> list[tuple[str, Any]]:
        """The lifts by name; none where `lifts` is nothing of the kind."""
        if not isinstance(self.lifts, (list, tuple)):
            return []
        pairs = [pair for pair in self.lifts if isinstance(pair, (list, tuple))]
        return [
            (pair[0], pair[1])
            for pair in pairs
            if len(pair) == 2 and hasattr(pair[1], "get_params")
        ]

    def _check_lifts(self) -> None:
        who = type(self).__name__
        pairs = self._pairs()
        names = [name for name, _ in pairs]
        if not pairs or len(pairs) != len(self.lifts) or len(set(names)) < len(names):
            raise ValueError(
                f"lifts of {who} needs pairs (name, lift) with different names, at "
                f"least one, got {self.lifts!r}."
            )
        for name, lift in pairs:
            if not isinstance(name, str) or "__" in name or name == "lifts":
                raise ValueError(
                    f"A lift in {who} needs a name that is a str without '__' and not "
                    f"'lifts', got {name!r}."
                )
            if not isinstance(lift, Lift):
                raise TypeError(
                    f"{who} needs lifts, got {type(lift).__name__} for {name!r}. Wrap "
                    f"a scikit-learn transformer as FeatureLift(...)."
                )

    @property
    def _allow_complex(self) -> bool:  # type: ignore[override]
        return all(getattr(lift, "_allow_complex", False) for _, lift in self._pairs())

    @property
    def _checks_values(self) -> bool:  # type: ignore[override]
        return any(getattr(lift, "_checks_values", False) for _, lift in self.lifts_)

    def _learn(self, trajectories: Trajectories, X: Any) -> None:
        self.lifts_ = [(name, clone(lift).fit(X)) for name, lift in self.lifts]

    def _part_terms(self, names: list[str]) -> list[list[Term]]:
        """Columns of each lift; what is its own is told apart from another's."""
        parts = [lift._terms(names) for _, lift in self.lifts_]
        own = [{f.name for term in terms for f in _own(term)} for terms in parts]
        owners = Counter(name for part in own for name in part)
        shared = {column_name(t) for terms in parts for t in terms if not _own(t)}
        return [
            [_prefixed(term, name) for term in terms]
            if any(owners[each] > 1 or each in shared for each in part)
            else terms
            for (name, _), terms, part in zip(self.lifts_, parts, own, strict=True)
        ]


class LiftUnion(_Composition):
    """Several lifts side by side, columns that are the same kept once.

    Also written ``PolynomialLift(2) + FourierLift()``.

    Parameters
    ----------
    lifts : list of (str, lift)
        Names and lifts. Their parameters are ``name__parameter``, in grids as well.

    Attributes
    ----------
    lifts_ : list of (str, lift)
        The fitted clones.
    n_output_features_ : int
        Number of columns.
    n_features_in_ : int
        Number of features in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.
    min_context_ : int
        Rows in for one row out: 1.

    See Also
    --------
    LiftProduct : Products of the columns of lifts.

    Notes
    -----
    The state, the constant and formulas that several lifts have are columns once, where
    they first stand. There is a way back if any lift has the state. Columns of the
    lifts' own that have one name (``rbf0``) get the name of the lift in front
    (``wide__rbf0``).

    Examples
    --------
    >>> from skdyn.preprocessing import FourierLift, PolynomialLift
    >>> lift = PolynomialLift(2) + FourierLift()
    >>> lift
    LiftUnion(lifts=[('polynomiallift', PolynomialLift()),
                     ('fourierlift', FourierLift())])
    >>> lift.fit([[0.5], [1.0]]).get_feature_names_out()
    array(['1', 'x0', 'x0^2', 'sin(x0)', 'cos(x0)'], dtype=object)
    """

    @property
    def _promises_state(self) -> bool:
        return any(getattr(lift, "_promises_state", False) for _, lift in self._pairs())

    def _learn(self, trajectories: Trajectories, X: Any) -> None:
        super()._learn(trajectories, X)
        seen: set[Any] = set()
        self._kept = []
        for terms in self._part_terms([str(n) for n in feature_names_in(self, None)]):
            self._kept.append(_first_seen(terms, seen))

    def _terms(self, names: list[str]) -> list[Term]:
        parts = zip(self._part_terms(names), self._kept, strict=True)
        return [terms[column] for terms, kept in parts for column in kept]

    def _fill(self, x: np.ndarray, out: np.ndarray) -> None:
        stop = 0
        for (_, lift), kept in zip(self.lifts_, self._kept, strict=True):
            start, stop = stop, stop + len(kept)
            if len(kept) == lift.n_output_features_:
                lift._fill(x, out[start:stop])
            elif len(kept):
                _fill_some(lift, kept, x, out[start:stop])

    def _jacobian(self, x: np.ndarray) -> np.ndarray:
        parts = [
            lift._jacobian(x)[:, kept]
            for (_, lift), kept in zip(self.lifts_, self._kept, strict=True)
        ]
        return np.concatenate(parts, axis=1)


class LiftProduct(_Composition):
    """All products of a column of each lift, products that are the same kept once.

    Also written ``PolynomialLift(1) * FourierLift()``.

    Parameters
    ----------
    lifts : list of (str, lift)
        Names and lifts. Their parameters are ``name__parameter``, in grids as well. If
        one has the constant (as `PolynomialLift` has unless told otherwise), the
        columns of the others are among the products.

    Attributes
    ----------
    lifts_ : list of (str, lift)
        The fitted clones.
    n_output_features_ : int
        Number of columns.
    n_features_in_ : int
        Number of features in ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` has string column names.
    min_context_ : int
        Rows in for one row out: 1.

    See Also
    --------
    LiftUnion : Several lifts side by side.

    Notes
    -----
    There is always a way back: where the state is not among the products, it is put in
    front of them.

    Examples
    --------
    >>> from skdyn.preprocessing import FourierLift, PolynomialLift
    >>> lift = PolynomialLift(1) * FourierLift(include_state=False)
    >>> lift.fit([[0.5], [1.0]]).get_feature_names_out()
    array(['x0', 'sin(x0)', 'cos(x0)', 'x0 sin(x0)', 'x0 cos(x0)'], dtype=object)
    """

    @property
    def _promises_state(self) -> bool:
        return True

    def _learn(self, trajectories: Trajectories, X: Any) -> None:
        super()._learn(trajectories, X)
        names = [str(name) for name in feature_names_in(self, None)]
        state, order = {_key(state_term(name)) for name in names}, _order(names)
        terms, *others = self._part_terms(names)
        # Of each further lift: which columns of the product so far, and of that lift,
        # make the columns of the next product.
        self._stages: list[tuple[np.ndarray, np.ndarray]] = []
        for i, other in enumerate(others):
            products = [_product(a, b, order) for a in terms for b in other]
            seen: set[Any] = set()
            if i == len(others) - 1 and not state <= {_key(t) for t in products}:
                # It is put in front.
                seen = set(state)
            kept = _first_seen(products, seen)
            self._stages.append(np.divmod(kept, len(other)))
            terms = [products[k] for k in kept]
        self._state_in_front = not state <= {_key(term) for term in terms}

    def _terms(self, names: list[str]) -> list[Term]:
        order = _order(names)
        terms, *others = self._part_terms(names)
        for other, (left, right) in zip(others, self._stages, strict=True):
            pairs = zip(left, right, strict=True)
            terms = [_product(terms[a], other[b], order) for a, b in pairs]
        state = [state_term(name) for name in names]
        return state + terms if self._state_in_front else terms

    def _fill(self, x: np.ndarray, out: np.ndarray) -> None:
        lead = self.n_features_in_ if self._state_in_front else 0
        out[:lead] = x.T[:lead]
        widths = [lift.n_output_features_ for _, lift in self.lifts_]
        for part in row_blocks(len(x), sum(widths) + len(out)):
            rows = x[part]
            blocks = [
                np.empty((width, len(rows)), dtype=x.dtype.type) for width in widths
            ]
            for (_, lift), block in zip(self.lifts_, blocks, strict=True):
                lift._fill(rows, block)
            product, *others = blocks
            for other, (left, right) in zip(others, self._stages, strict=True):
                product = product[left]
                product *= other[right]
            out[lead:, part] = product

    def _jacobian(self, x: np.ndarray) -> np.ndarray:
        parts = [(lift._transform(x), lift._jacobian(x)) for _, lift in self.lifts_]
        (value, slope), *others = parts
        for (a, da), (left, right) in zip(others, self._stages, strict=True):
            slope = (
                slope[:, left] * a[:, right, None] + value[:, left, None] * da[:, right]
            )
            value = value[:, left] * a[:, right]
        if self._state_in_front:
            d = self.n_features_in_
            state = np.broadcast_to(np.eye(d, dtype=slope.dtype), (len(x), d, d))
            slope = np.concatenate([state, slope], axis=1)
        return slope


def _fill_some(lift: Lift, kept: np.ndarray, x: np.ndarray, out: np.ndarray) -> None:
    """Fill in some of the columns of a lift, block by block of rows."""
    width = lift.n_output_features_
    for part in row_blocks(len(x), width):
        block = np.empty((width, part.stop - part.start), dtype=x.dtype.type)
        lift._fill(x[part], block)
        out[:, part] = block[kept]


def _own(term: Term) -> list[Factor]:
    return [factor for factor, _ in term if factor.kind == "own"]


def _prefixed(term: Term, lift: str) -> Term:
    return tuple(
        (f._replace(name=f"{lift}__{f.name}") if f.kind == "own" else f, power)
        for f, power in term
    )


def _key(term: Term) -> frozenset[tuple[Factor, int]]:
    """What a product is, whatever the order of its factors."""
    return frozenset(term)


def _first_seen(terms: list[Term], seen: set[Any]) -> np.ndarray:
    """Places of the terms that are not among `seen`, which they join."""
    kept = []
    for place, term in enumerate(terms):
        if _key(term) not in seen:
            seen.add(_key(term))
            kept.append(place)
    return np.array(kept, dtype=np.intp)


def _product(a: Term, b: Term, order: dict[Factor, int]) -> Term:
    """The product of two terms: features first and in order, as in polynomials."""
    powers: dict[Factor, int] = {}
    for factor, power in (*a, *b):
        powers[factor] = powers.get(factor, 0) + power
    last = len(order)
    return tuple(sorted(powers.items(), key=lambda each: order.get(each[0], last)))


def _order(names: list[str]) -> dict[Factor, int]:
    return {Factor(name, "state"): i for i, name in enumerate(names)}


C = TypeVar("C", bound=_Composition)


def joined(kind: type[C], left: Any, right: Any) -> C:
    """Join two lifts by an operator; what is of that kind already is continued."""
    if not isinstance(left, Lift) or not isinstance(right, Lift):
        return NotImplemented
    pairs: list[tuple[str, Lift]] = []
    for side in (left, right):
        own = [(type(side).__name__.lower(), side)]
        for name, lift in side.lifts if type(side) is kind else own:
            taken = {each for each, _ in pairs}
            number, free = 1, name
            while free in taken:
                number += 1
                free = f"{name}-{number}"
            pairs.append((free, lift))
    return kind(pairs)

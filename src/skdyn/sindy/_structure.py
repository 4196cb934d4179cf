"""What the columns of a library are: products of powers of a few functions.

Equation: every column of a lift is

    theta_i(v) = a_1(v)^p_1 a_2(v)^p_2 ...,        v = [states, inputs],

where an atom a is a column of v, a sine or cosine of one, or a function of one lift's
own. So equations over any lift are polynomials in their atoms, which is how they are
compiled (`skdyn.sindy._compiled`) and written (`skdyn.sindy._equations`). Atoms know
columns by their number: names of features play no part in it.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from skdyn.preprocessing import (
    FunctionLift,
    LiftProduct,
    LiftUnion,
    RadialBasisLift,
)
from skdyn.preprocessing._lift import Factor, Lift, StateAndMore
from skdyn.sindy._library import Library

__all__ = ["Atom", "Product", "Structure", "structure_of"]

# What `skdyn.preprocessing.FourierLift` calls the waves of a feature v<number>.
_WAVE = re.compile(r"(sin|cos)\((?:(\d+)(pi)? )?v(\d+)(?:/([^)]+))?\)")


class Atom(NamedTuple):
    """A function of v = [states, inputs] that terms are products of.

    "column" is v[column]; "sin" and "cos" are of ``2 pi harmonic v[column] / period``;
    "own" is the column `column` of what the lift `leaf` has of its own, and "slope" its
    derivative by v[by].
    """

    kind: Literal["column", "sin", "cos", "own", "slope"]
    column: int
    harmonic: int = 0
    period: float = 0.0
    leaf: int = -1
    by: int = -1

    @property
    def frequency(self) -> float:
        """Radians per unit of the column, rounded as `FourierLift` rounds it."""
        return self.harmonic * (2 * math.pi / self.period)


# Atoms and their powers; the empty one is the constant.
Product = tuple[tuple[Atom, int], ...]


@dataclass(frozen=True, eq=False)
class Structure:
    """The columns of a library.

    Attributes
    ----------
    products : tuple of Product
        What each column is.
    leaves : tuple
        Lifts with functions of their own, by the number that atoms know them by.
    names : dict of Atom to str
        Names of the atoms that are a lift's own.
    n_states, n_inputs : int
        How the columns of v are divided.
    """

    products: tuple[Product, ...]
    leaves: tuple[Any, ...]
    names: dict[Atom, str]
    n_states: int
    n_inputs: int

    def values(self, leaf: int, columns: Sequence[int]) -> Callable:
        """A function from v (n, d + m) to the columns (k, n) of a lift's own."""
        lift, chosen = _restricted(self.leaves[leaf], columns)
        if isinstance(lift, Library):
            d = self.n_states

            def of_library(v: np.ndarray) -> np.ndarray:
                return lift.values(v[:, :d], v[:, d:] if v.shape[1] > d else None).T[
                    chosen
                ]

            return of_library
        if not isinstance(lift, StateAndMore):
            return lambda v: lift._transform(v).T[chosen]
        width = lift.n_output_features_ - lift._n_lead
        if isinstance(lift, RadialBasisLift):
            width = len(chosen)

        def own(v: np.ndarray) -> np.ndarray:
            out = np.empty((width, len(v)))
            lift._fill_own(v, out)
            return out[chosen]

        if isinstance(lift, FunctionLift):
            return _chosen_functions(lift, chosen)
        return own

    def slopes(self, leaf: int, columns: Sequence[int]) -> Callable:
        """A function from v (n, d + m) to derivatives (n, k, d) by the states."""
        lift, chosen = _restricted(self.leaves[leaf], columns)
        d = self.n_states
        if isinstance(lift, Library):
            return lambda v: lift.jacobian(
                v[:, :d], v[:, d:] if v.shape[1] > d else None
            )[:, chosen]
        own = lift._jacobian_own if isinstance(lift, StateAndMore) else lift._jacobian
        return lambda v: own(v)[:, chosen, :d]


# Structures are made once for all equations over a library.
_KNOWN: WeakKeyDictionary[Library, Structure] = WeakKeyDictionary()


def structure_of(library: Library) -> Structure:
    """Take a library apart."""
    if not isinstance(library.lift, Lift):
        # Its own leaf, by which it would be kept alive.
        return _structure(library)
    if library not in _KNOWN:
        _KNOWN[library] = _structure(library)
    return _KNOWN[library]


def _structure(library: Library) -> Structure:
    names = [*library.states, *library.inputs]
    leaves: list[Any] = []
    own: dict[Atom, str] = {}
    if isinstance(library.lift, Lift):
        products = _products(library.lift, len(names), leaves)
        # Both lists of factors are in one order, so that what is own has its name.
        for product, term in zip(products, library.lift._terms(names), strict=True):
            atoms = [atom for atom, _ in product]
            if len(atoms) == len(term):
                for atom, (factor, _) in zip(atoms, term, strict=True):
                    if atom.kind == "own":
                        own[atom] = factor.name
    else:
        # Nothing is known of it but its values.
        leaves.append(library)
        products = [((Atom("own", i, leaf=0), 1),) for i in range(len(library.terms))]
    for i, product in enumerate(products):
        if len(product) == 1 and product[0][0].kind == "own":
            own.setdefault(product[0][0], library.terms[i])
    return Structure(
        tuple(products),
        tuple(leaves),
        own,
        len(library.states),
        len(library.inputs),
    )


def _products(lift: Any, n_columns: int, leaves: list[Any]) -> list[Product]:
    """The columns of a lift; lifts with functions of their own join `leaves`."""
    if isinstance(lift, LiftUnion):
        parts = [_products(part, n_columns, leaves) for _, part in lift.lifts_]
        return [
            part[i]
            for part, kept in zip(parts, lift._kept, strict=True)
            for i in kept.tolist()
        ]
    if isinstance(lift, LiftProduct):
        products, *others = (
            _products(part, n_columns, leaves) for _, part in lift.lifts_
        )
        for other, (left, right) in zip(others, lift._stages, strict=True):
            products = [
                _times(products[i], other[j])
                for i, j in zip(left.tolist(), right.tolist(), strict=True)
            ]
        if lift._state_in_front:
            state = range(lift.n_features_in_)
            products = [((Atom("column", i), 1),) for i in state] + products
        return products
    leaf = len(leaves)
    leaves.append(lift)
    lead = lift._n_lead if isinstance(lift, StateAndMore) else 0
    found: list[Product] = []
    known: dict[Factor, Atom | None] = {}
    for i, term in enumerate(lift._terms([f"v{j}" for j in range(n_columns)])):
        product = []
        for factor, power in term:
            if factor not in known:
                known[factor] = _atom(factor)
            product.append((known[factor], power))
        if any(atom is None for atom, _ in product):
            found.append(((Atom("own", i - lead, leaf=leaf), 1),))
        else:
            found.append(tuple(product))  # type: ignore[arg-type]
    return found


def _atom(factor: Factor) -> Atom | None:
    """A factor whose features are named v0, v1, ...; None for a lift's own."""
    if factor.kind == "state":
        return Atom("column", int(factor.name[1:]))
    wave = _WAVE.fullmatch(factor.name) if factor.kind == "formula" else None
    if wave is None:
        return None
    kind, number, turns, column, length = wave.groups()
    harmonic, period = int(number or 1), 2 * math.pi
    if turns:
        harmonic, period = harmonic // 2, float(length or 1)
    return Atom(kind, int(column), harmonic, period)  # type: ignore[arg-type]


def _times(a: Product, b: Product) -> Product:
    """The product of two, in the order that `LiftProduct` keeps: columns first."""
    powers: dict[Atom, int] = {}
    for atom, power in (*a, *b):
        powers[atom] = powers.get(atom, 0) + power

    def place(each: tuple[Atom, int]) -> float:
        return each[0].column if each[0].kind == "column" else math.inf

    return tuple(sorted(powers.items(), key=place))


def _restricted(lift: Any, columns: Sequence[int]) -> tuple[Any, np.ndarray]:
    """A lift that computes little beside some of its own columns, and their places."""
    chosen = np.asarray(columns, dtype=np.intp)
    if isinstance(lift, RadialBasisLift):
        lift = copy.copy(lift)
        lift.centers_ = lift.centers_[chosen]
        return lift, np.arange(len(chosen))
    return lift, chosen


def _chosen_functions(lift: FunctionLift, chosen: np.ndarray) -> Callable:
    """Some columns of functions of the caller's, of which only those are called."""
    ends = np.cumsum(lift._widths)
    which = np.searchsorted(ends, chosen, side="right")
    called = np.unique(which)
    starts = np.cumsum([0, *(lift._widths[i] for i in called)])
    first = ends - lift._widths
    place = starts[np.searchsorted(called, which)] + chosen - first[which]

    def some(v: np.ndarray) -> np.ndarray:
        found = [lift._call(i, v) for i in called.tolist()]
        return np.concatenate(found, axis=1).T[place]

    return some

"""Sparse equations as a value: to read, to call, to differentiate, to hand on.

Equations: coefficients Xi (q, p) of the terms of a library say

    x_j' = sum_i Xi[j, i] theta_i(x, u)        of a flow,
    x_j[k+1] = sum_i Xi[j, i] theta_i(x[k], u[k])        of a map,

and with coefficients D (q, p) of denominators, where a row of them is not zero,

    x_j' = N_j / D_j,    dN_j/dx = (dN_j - f_j dD_j) / D_j        (the quotient rule).

What terms are made of (`skdyn.sindy._structure`) gives text, LaTeX and sympy
expressions; what they compute is compiled (`skdyn.sindy._compiled`).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np

from skdyn.sindy._compiled import Compiled, Polynomials, derivatives, polynomials
from skdyn.sindy._library import Library
from skdyn.sindy._structure import Atom, Structure, structure_of
from skdyn.sindy._texts import (
    EquationTexts,
    aligned_latex,
    check_precision,
    frame_of,
    imported_sympy,
    latex_number,
    signed_sum,
    weighted_term,
)

__all__ = ["EquationTerm", "Equations"]

# Coefficients of derivatives that are held at once; what has more is differentiated
# term by term.
_MOST_DERIVATIVES = 2**22


class EquationTerm(NamedTuple):
    """One active term: whose, of what part of the equation, and how much of it."""

    equation: str
    part: Literal["numerator", "denominator"]
    term: str
    coefficient: float


@dataclass(frozen=True, eq=False, repr=False)
class Equations(EquationTexts):
    """Sparse equations of a flow or map, as a value.

    Parameters
    ----------
    coef : array-like of shape (n_equations, n_terms)
        Coefficients; what is zero is no part of the equations. They are copied.
    library : Library
        The terms: ``model.library_``.
    kind : {"flow", "map"}, default="flow"
        Whether the equations give velocities or successors.
    units : mapping of str to str or None, default=None
        Units of states, inputs and, under the name "t", of time (of a flow), such as
        ``{"x": "m", "v": "m/s", "t": "s"}``. LaTeX and tables then have units of the
        coefficients, where those of all factors are known.
    denominator : array-like of shape (n_equations, n_terms) or None, default=None
        Coefficients of denominators in the same terms. An equation whose row is zero
        has none.
    targets : sequence of str or None, default=None
        What the equations are of; None is the states.

    See Also
    --------
    skdyn.sindy.SINDy : Finds such equations in data, as ``equations_``.

    Notes
    -----
    Equations are read with ``print``, ``equations[0]``, ``equations["x"]`` and
    `text`; LaTeX shows itself in notebooks. They are functions of arrays. They are
    equal only to themselves: `same_terms` compares what stands in them.

    Code is compiled when it is first needed, and not pickled.

    Examples
    --------
    A model finds its equations:

    >>> import numpy as np
    >>> from skdyn import SINDy
    >>> X = np.random.default_rng(0).uniform(1, 2, (40, 2))
    >>> x, y = X.T
    >>> X_dot = np.column_stack([1.5 * x - x * y, x * y - 3 * y])
    >>> model = SINDy().fit(X, x_dot=X_dot)
    >>> equations = model.equations_
    >>> print(equations)
    x0' = 1.5 x0 - x0 x1
    x1' = -3 x1 + x0 x1
    >>> equations["x1"]
    '-3 x1 + x0 x1'
    >>> equations([2.0, 1.0]).round(9)
    array([ 1., -1.])
    >>> equations.jacobian([2.0, 1.0]).round(9)
    array([[ 0.5, -2. ],
           [ 1. , -1. ]])
    """

    coef: Any
    library: Library
    kind: Literal["flow", "map"] = "flow"
    units: Mapping[str, str] | None = None
    denominator: Any = None
    targets: Any = None

    def __post_init__(self) -> None:
        if self.kind not in ("flow", "map"):
            raise ValueError(f"kind needs to be 'flow' or 'map', got {self.kind!r}.")
        targets = self.library.states if self.targets is None else self.targets
        names = tuple(str(name) for name in targets)
        shape = len(names), len(self.library.terms)
        object.__setattr__(self, "targets", names)
        for part in ("coef", "denominator"):
            given = getattr(self, part)
            if given is None and part == "denominator":
                continue
            values = np.array(given, dtype=np.float64)
            if values.shape != shape:
                raise ValueError(
                    f"{part} needs one row for each of {shape[0]} equation(s) and one "
                    f"column for each of {shape[1]} terms, got shape {values.shape}."
                )
            values.flags.writeable = False
            object.__setattr__(self, part, values)
        if self.units is not None:
            self._check_units(self.units)

    def _check_units(self, units: Mapping[str, str]) -> None:
        known = {*self.library.states, *self.library.inputs, *self.targets, "t"}
        unknown = [name for name in units if name not in known]
        if unknown:
            raise ValueError(
                f"units needs names among {sorted(known)}, got {unknown[0]!r}."
            )
        for unit in units.values():
            _parsed_unit(unit)

    def __getstate__(self) -> dict[str, Any]:
        # Not what is compiled: it is made anew.
        return {each.name: self.__dict__[each.name] for each in fields(self)}

    # -- what stands in them -----------------------------------------------------------

    @property
    def support(self) -> np.ndarray:
        """Which terms are active, bool (n_equations, n_terms)."""
        return np.asarray(self.coef != 0)

    @property
    def terms(self) -> list[EquationTerm]:
        """The active terms, equation by equation: a table of four columns."""
        return [
            EquationTerm(
                self.targets[j], part, self.library.terms[i], float(matrix[j, i])
            )
            for j in range(len(self))
            for part, matrix in self._parts(j)
            for i in np.flatnonzero(matrix[j]).tolist()
        ]

    def _parts(self, j: int) -> list[tuple[Any, np.ndarray]]:
        parts: list[tuple[Any, np.ndarray]] = [("numerator", self.coef)]
        if self._divides(j):
            parts.append(("denominator", self.denominator))
        return parts

    def _divides(self, j: int) -> bool:
        return self.denominator is not None and bool(self.denominator[j].any())

    def to_frame(self, intervals: tuple[np.ndarray, np.ndarray] | None = None) -> Any:
        """The active terms as a DataFrame.

        Parameters
        ----------
        intervals : tuple of two ndarrays of shape (n_equations, n_terms), default=None
            Ends of intervals of the coefficients, as ``model.coef_interval()`` gives
            them, to stand beside these; not for rational equations.

        Returns
        -------
        pandas.DataFrame
            Columns equation, part (of rational equations), term, coefficient and, where
            they are given, lower, upper and unit.

        Raises
        ------
        ImportError
            Without pandas.
        """
        frame = frame_of(self.terms, list(EquationTerm._fields))
        if self.denominator is None:
            frame = frame.drop(columns="part")
        if intervals is not None:
            if self.denominator is not None:
                raise ValueError(
                    "Rational equations have no intervals. Leave them out."
                )
            active = np.nonzero(self.coef)
            for name, ends in zip(("lower", "upper"), intervals, strict=True):
                if np.shape(ends) != self.coef.shape:
                    raise ValueError(
                        f"intervals needs two arrays of shape {self.coef.shape}, got "
                        f"{np.shape(ends)}. Pass model.coef_interval()."
                    )
                frame[name] = np.asarray(ends)[active]
        if self.units is not None:
            frame["unit"] = [
                _unit_text(self._unit(j, i, part))
                for j in range(len(self))
                for part, matrix in self._parts(j)
                for i in np.flatnonzero(matrix[j]).tolist()
            ]
        return frame

    def same_terms(self, other: Equations) -> bool:
        """Tell whether other equations have the same terms, by their names.

        Parameters
        ----------
        other : Equations
            Equations over this library or another.

        Returns
        -------
        bool
        """
        own, others = ({each[:3] for each in both.terms} for both in (self, other))
        return self.targets == other.targets and own == others

    def with_units(self, units: Mapping[str, str]) -> Equations:
        """The same equations with units.

        Parameters
        ----------
        units : mapping of str to str
            Units of states and inputs, and of time as "t": "m", "m/s^2", "kg m s^-2".

        Returns
        -------
        Equations

        Raises
        ------
        ValueError
            For a name that is no state, input or "t", and for what is not read as a
            unit.
        """
        return replace(self, units=dict(units))

    # -- text --------------------------------------------------------------------------

    @property
    def _left_names(self) -> tuple[str, ...]:
        return tuple(self.targets)

    def _left(self, name: str) -> str:
        return _plain_name(name) + ("'" if self.kind == "flow" else "[k+1]")

    def _right(self, j: int, precision: int) -> str:
        sums = []
        for _, matrix in self._parts(j):
            row = matrix[j]
            active = np.flatnonzero(row).tolist()
            shown = [
                weighted_term(row[i], self._term_text(i), precision) for i in active
            ]
            sums.append(signed_sum(row[active], shown))
        if len(sums) == 1:
            return sums[0]
        above, below = sums
        several = np.count_nonzero(self.coef[j]) > 1
        return f"{f'({above})' if several else above} / " + (
            f"({below})" if " " in below else below
        )

    def _term_text(self, i: int) -> str:
        """A term; empty for the constant."""
        return " ".join(
            name if power == 1 else f"{name}^{power}"
            for name, power in (
                (self._atom_text(atom), power)
                for atom, power in self._structure.products[i]
            )
        )

    def _atom_text(self, atom: Atom) -> str:
        if atom.kind == "own":
            return self._own_name(atom)
        name = _plain_name(self._names[atom.column])
        if atom.kind == "column":
            return name
        return f"{atom.kind}({_turns(atom, 'pi ')}{name}{_length(atom, '/')})"

    def _own_name(self, atom: Atom) -> str:
        return self._structure.names.get(atom, f"f{atom.leaf}_{atom.column}")

    @property
    def _names(self) -> tuple[str, ...]:
        return (*self.library.states, *self.library.inputs)

    # -- LaTeX -------------------------------------------------------------------------

    def latex(self, precision: int = 4) -> str:
        r"""All equations as a LaTeX ``aligned`` environment.

        Parameters
        ----------
        precision : int, default=4
            Significant digits of the coefficients.

        Returns
        -------
        str
            Without the dollar signs around it. Names of Greek letters become letters,
            digits at the end and what follows an underscore subscripts.

        Examples
        --------
        >>> import numpy as np
        >>> from skdyn import SINDy
        >>> x = np.linspace(1, 2, 20)[:, None]
        >>> model = SINDy().fit(x, x_dot=1.5 * x - x**2)
        >>> print(model.equations_.latex())
        \begin{aligned}
        \dot{x}_{0} &= 1.5 \, x_{0} - x_{0}^{2}
        \end{aligned}
        """
        check_precision(precision)
        lines = [
            f"{_latex_left(name, self.kind)} &= {self._latex_right(j, precision)}"
            for j, name in enumerate(self.targets)
        ]
        return aligned_latex(lines)

    def _repr_latex_(self) -> str:
        return f"$$\n{self.latex()}\n$$"

    def _latex_right(self, j: int, precision: int) -> str:
        sums = []
        for part, matrix in self._parts(j):
            row, shown = matrix[j], []
            active = np.flatnonzero(row).tolist()
            for i in active:
                factors = [
                    self._latex_power(*each) for each in self._structure.products[i]
                ]
                size = latex_number(abs(float(row[i])), precision)
                unit = _unit_latex(self._unit(j, i, part))
                if unit:
                    size += f"\\,{unit}"
                both = [*([] if size == "1" and factors else [size]), *factors]
                shown.append(" \\, ".join(both))
            sums.append(signed_sum(row[active], shown))
        return sums[0] if len(sums) == 1 else f"\\frac{{{sums[0]}}}{{{sums[1]}}}"

    def _latex_power(self, atom: Atom, power: int) -> str:
        raised = "" if power == 1 else f"^{{{power}}}"
        if atom.kind == "own":
            return f"{_latex_word(self._own_name(atom))}{raised}"
        base, below = _latex_name(self._names[atom.column])
        if atom.kind == "column":
            return f"{base}{below}{raised}"
        turns, length = _turns(atom, " \\pi "), _length(atom, " / ")
        return f"\\{atom.kind}{raised}({turns}{base}{below}{length})"

    def _unit(self, j: int, i: int, part: str) -> dict[str, int] | None:
        """The unit of a coefficient by symbols; None where it is not known."""
        if self.units is None:
            return None
        total: dict[str, int] = {}

        def times(name: str, power: int) -> bool:
            if name not in self.units:  # type: ignore[operator]
                return False
            for symbol, exponent in _parsed_unit(self.units[name]).items():  # type: ignore[index]
                total[symbol] = total.get(symbol, 0) + power * exponent
            return True

        known = True
        if part == "numerator":
            known = times(self.targets[j], 1)
            if self.kind == "flow":
                known = known and times("t", -1)
        for atom, power in self._structure.products[i]:
            if atom.kind == "column":
                known = known and times(self._names[atom.column], -power)
            elif atom.kind == "own":
                known = False
        return total if known else None

    # -- sympy -------------------------------------------------------------------------

    def sympy(self) -> list[Any]:
        """The right-hand sides as sympy expressions.

        Symbols have the names of the states and inputs; functions of a lift's own are
        undefined functions of all of them. Coefficients are exact floats.

        Returns
        -------
        list of sympy.Expr
            One for each equation.

        Raises
        ------
        ImportError
            Without sympy.
        """
        sympy = imported_sympy("Equations")
        symbols = [sympy.Symbol(name) for name in self._names]

        def atom_of(atom: Atom) -> Any:
            if atom.kind == "own":
                return sympy.Function(self._own_name(atom))(*symbols)
            x = symbols[atom.column]
            if atom.kind == "column":
                return x
            angle = atom.harmonic * x
            if atom.period != 2 * math.pi:
                whole = atom.period.is_integer()
                length = sympy.Integer(int(atom.period)) if whole else atom.period
                angle = 2 * sympy.pi * angle / length
            return getattr(sympy, atom.kind)(angle)

        def number(c: float) -> Any:
            return sympy.Integer(int(c)) if abs(c) == 1 else sympy.Float(c)

        def product(i: int) -> Any:
            factors = (atom_of(a) ** power for a, power in self._structure.products[i])
            return sympy.Mul(*factors)

        found = []
        for j in range(len(self)):
            sums = [
                sympy.Add(
                    *(
                        number(float(matrix[j, i])) * product(i)
                        for i in np.flatnonzero(matrix[j]).tolist()
                    )
                )
                for _, matrix in self._parts(j)
            ]
            found.append(sums[0] if len(sums) == 1 else sums[0] / sums[1])
        return found

    # -- as functions ------------------------------------------------------------------

    def __call__(self, x: Any, u: Any = None) -> np.ndarray:
        """Velocities, or successors, of states.

        Parameters
        ----------
        x : array-like of shape (n_states,) or (n, n_states)
            One state, or many.
        u : array-like of shape (n_inputs,) or (n, n_inputs), default=None
            The inputs that act on them, for equations with inputs; one row of them
            acts on all.

        Returns
        -------
        ndarray of shape (n_equations,) or (n, n_equations)

        Raises
        ------
        ValueError
            For states or inputs of other shapes, and inputs that are missing.
        """
        rows, inputs, one = self._checked(x, u)
        with np.errstate(all="ignore"):
            found = self.function(rows, inputs)
        return found[0] if one else np.ascontiguousarray(found)

    def jacobian(self, x: Any, u: Any = None) -> np.ndarray:
        """Derivatives of all equations by all states, exact.

        Those of functions of the caller's own are what their lift gives.

        Parameters
        ----------
        x : array-like of shape (n_states,) or (n, n_states)
            One state, or many.
        u : array-like of shape (n_inputs,) or (n, n_inputs), default=None
            The inputs that act on them, for equations with inputs; one row of them
            acts on all.

        Returns
        -------
        ndarray of shape (n_equations, n_states) or (n, n_equations, n_states)

        Raises
        ------
        ValueError
            For states or inputs of other shapes, and inputs that are missing.
        """
        rows, inputs, one = self._checked(x, u)
        with np.errstate(all="ignore"):
            found = self.jacobian_function(rows, inputs)
        return found[0] if one else found

    def _checked(self, x: Any, u: Any) -> tuple[np.ndarray, np.ndarray | None, bool]:
        d, m = len(self.library.states), len(self.library.inputs)
        rows = np.asarray(x)
        if rows.dtype.kind not in "fiub" or rows.shape[-1:] != (d,) or rows.ndim > 2:
            raise ValueError(
                f"Equations need real states of shape ({d},) or (n, {d}), got "
                f"{rows.dtype} of shape {rows.shape}."
            )
        one, rows = rows.ndim == 1, np.atleast_2d(rows).astype(np.float64, copy=False)
        if not m:
            if u is not None:
                raise ValueError("The equations have no inputs, got u. Drop u.")
            return rows, None, one
        if u is None:
            raise ValueError(
                f"The equations have the input(s) {', '.join(self.library.inputs)}, "
                f"got no u. Pass u of shape ({m},) or ({len(rows)}, {m})."
            )
        inputs = np.asarray(u)
        if inputs.dtype.kind not in "fiub" or inputs.shape not in (
            (m,),
            (len(rows), m),
        ):
            raise ValueError(
                f"Equations need real inputs of shape ({m},) or ({len(rows)}, {m}), "
                f"got {inputs.dtype} of shape {inputs.shape}."
            )
        inputs = inputs.astype(np.float64, copy=False)
        return rows, np.broadcast_to(inputs, (len(rows), m)), one

    @cached_property
    def function(self) -> Callable[..., np.ndarray]:
        """``function(x, u=None)``, bare: (n, d), (n, m) or None -> (n, q), compiled.

        Floats of 64 bits, unchecked. numpy may warn of overflow and division by zero.
        """
        return Compiled(self._polynomials, self._structure, self._divided)

    @cached_property
    def jacobian_function(self) -> Callable[..., np.ndarray]:
        """``jacobian_function(x, u=None)``, bare: (n, d), (n, m) -> (n, q, d)."""
        d = len(self.library.states)
        slopes = self._slopes
        if not self._divided:
            return slopes
        parts = Compiled(self._polynomials, self._structure)
        q, divided = len(self), list(self._divided)

        def quotients(x: np.ndarray, u: np.ndarray | None = None) -> np.ndarray:
            values, changes = parts(x, u), slopes(x, u)
            below = values[:, q:, None]
            f = values[:, divided, None] / below
            found = changes[:, :q].reshape(len(x), q, d)
            found[:, divided] = (found[:, divided] - f * changes[:, q:]) / below
            return found

        return quotients

    @cached_property
    def _slopes(self) -> Callable[..., np.ndarray]:
        """Derivatives (n, k, d) of all numerators and, below, denominators."""
        d, of = len(self.library.states), self._polynomials
        k = len(of.coef)
        factors = max((len(m) for m in of.monomials), default=1)
        if k * d * len(of.monomials) * factors > _MOST_DERIVATIVES:
            matrix = self._stacked
            columns = np.flatnonzero(matrix.any(axis=0))
            active = matrix[:, columns]

            def by_terms(x: np.ndarray, u: np.ndarray | None = None) -> np.ndarray:
                return np.matmul(active, self.library.jacobian(x, u)[:, columns])

            return by_terms
        changes = derivatives(of, d)
        where = np.flatnonzero(changes.coef.any(axis=1))
        compiled = Compiled(changes.rows(where), self._structure)
        places: Any = where if len(where) < k * d else slice(None)

        def scattered(x: np.ndarray, u: np.ndarray | None = None) -> np.ndarray:
            found = np.zeros((len(x), k * d))
            if len(where):
                found[:, places] = compiled(x, u)
            return found.reshape(len(x), k, d)

        return scattered

    @cached_property
    def _structure(self) -> Structure:
        return structure_of(self.library)

    @property
    def _divided(self) -> tuple[int, ...]:
        return tuple(j for j in range(len(self)) if self._divides(j))

    @property
    def _stacked(self) -> np.ndarray:
        """Coefficients of numerators and, below, of the denominators that there are."""
        if self.denominator is None:
            return np.asarray(self.coef)
        return np.vstack([self.coef, self.denominator[list(self._divided)]])

    @cached_property
    def _polynomials(self) -> Polynomials:
        return polynomials(self._structure, self._stacked)


# -- names -----------------------------------------------------------------------------


def _plain_name(name: str) -> str:
    """A name, in brackets where it might be read as more than one."""
    return name if name.isidentifier() else f"({name})"


def _turns(atom: Atom, turn: str) -> str:
    """What stands in front of the column in the angle of a wave."""
    if atom.period == 2 * math.pi:
        return "" if atom.harmonic == 1 else f"{atom.harmonic} "
    return f"{2 * atom.harmonic}{turn}"


def _length(atom: Atom, over: str) -> str:
    """What stands behind the column in the angle of a wave."""
    if atom.period in (2 * math.pi, 1.0):
        return ""
    return over + repr(atom.period).removesuffix(".0")


_GREEK_WORDS = """
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma
tau upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega
"""
_GREEK = frozenset(_GREEK_WORDS.split())
_ESCAPES = {
    "\\": "\\backslash ",
    "^": "\\wedge ",
    "~": "\\sim ",
    " ": "\\ ",
    **{each: f"\\{each}" for each in "{}_&%$#"},
}


def _latex_word(text: str) -> str:
    """A word in upright letters, its special characters escaped."""
    return "\\mathrm{" + "".join(_ESCAPES.get(each, each) for each in text) + "}"


def _latex_letter(text: str) -> str:
    """A symbol: a letter, a Greek letter by its name, or a word."""
    if len(text) == 1 and not text.isascii():
        found = re.fullmatch(
            r"GREEK (SMALL|CAPITAL) LETTER (\w+)", unicodedata.name(text, "")
        )
        if found:
            letter = found[2].lower().replace("lamda", "lambda")
            letter = letter.capitalize() if found[1] == "CAPITAL" else letter
            text = letter if letter in _GREEK else text
    if text in _GREEK:
        return f"\\{text}"
    return text if len(text) == 1 and text.isalpha() else _latex_word(text)


def _latex_name(name: str) -> tuple[str, str]:
    """A name as a symbol and its subscript, which may be empty."""
    first, *rest = name.split("_")
    found = re.fullmatch(r"([^\W\d_]+)(\d*)", first)
    if not name.isidentifier() or not found or not all(rest):
        return _latex_word(name), ""
    below = [found[2]] if found[2] else []
    below += [each if each.isdigit() else _latex_letter(each) for each in rest]
    return _latex_letter(found[1]), f"_{{{','.join(below)}}}" if below else ""


def _latex_left(name: str, kind: str) -> str:
    base, below = _latex_name(name)
    if kind == "map":
        return f"{base}{below}[k+1]"
    if base.startswith("\\mathrm"):
        return f"\\frac{{d}}{{dt}} {base}{below}"
    return f"\\dot{{{base}}}{below}"


# -- units -----------------------------------------------------------------------------


def _parsed_unit(text: str) -> dict[str, int]:
    """Exponents of symbols: "kg m/s^2" is {"kg": 1, "m": 1, "s": -2}."""
    found: dict[str, int] = {}
    sign = 1
    for part in re.findall(r"/|[^\s/*·]+", str(text)):
        if part == "/":
            sign = -1
            continue
        read = re.fullmatch(r"(1|[^\W\d_%]+|%)(?:(?:\^|\*\*)?([+-]?\d+))?", part)
        if read is None:
            raise ValueError(
                f"A unit needs symbols with whole powers, such as 'kg m/s^2', got "
                f"{text!r}."
            )
        symbol, power = read[1], int(read[2] or 1)
        if symbol != "1":
            found[symbol] = found.get(symbol, 0) + sign * power
        # Only what follows the stroke at once is below it.
        sign = 1
    return found


def _unit_text(unit: dict[str, int] | None) -> str:
    if unit is None:
        return ""
    return " ".join(s if p == 1 else f"{s}^{p}" for s, p in unit.items() if p) or "1"


def _unit_latex(unit: dict[str, int] | None) -> str:
    parts = [
        f"\\mathrm{{{_ESCAPES.get(s, s)}}}" + ("" if p == 1 else f"^{{{p}}}")
        for s, p in (unit or {}).items()
        if p
    ]
    return "\\,".join(parts)

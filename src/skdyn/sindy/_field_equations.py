"""Partial differential equations as objects: to print, and for sympy and pandas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skdyn.sindy._fields import AXES, FieldTerm, without_one_each
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

__all__ = ["FieldEquations"]


@dataclass(frozen=True, eq=False, repr=False)
class FieldEquations(EquationTexts):
    """Partial differential equations: terms, coefficients, text.

    Attributes
    ----------
    coef : ndarray of shape (n_fields, n_terms)
        Coefficients.
    fields : tuple of str
        Names of the fields.
    terms : tuple of str
        Names of the terms.
    structure : tuple of FieldTerm
        What the terms are, for `latex` and `sympy`; those of a fitted model have it.

    Examples
    --------
    >>> from skdyn.sindy import FieldEquations
    >>> equations = FieldEquations([[-1.0, 0.1]], ("u",), ("u u_x", "u_xx"))
    >>> print(equations)
    u_t = -u u_x + 0.1 u_xx
    >>> equations["u"]
    '-u u_x + 0.1 u_xx'
    """

    coef: Any
    fields: tuple[str, ...]
    terms: tuple[str, ...]
    structure: tuple[FieldTerm, ...] = ()

    def __post_init__(self) -> None:
        coef = np.array(self.coef, dtype=np.float64)
        if coef.shape != (len(self.fields), len(self.terms)):
            raise ValueError(
                f"coef needs one row for each of {len(self.fields)} field(s) and one "
                f"column for each of {len(self.terms)} terms, got shape {coef.shape}."
            )
        coef.flags.writeable = False
        object.__setattr__(self, "coef", coef)

    @property
    def support(self) -> np.ndarray:
        """Which terms are active, bool (n_fields, n_terms)."""
        return np.asarray(self.coef != 0)

    def to_frame(self) -> Any:
        """The active terms as a DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns equation, term and coefficient.

        Raises
        ------
        ImportError
            Without pandas.
        """
        rows = [
            (name, self.terms[i], float(self.coef[j, i]))
            for j, name in enumerate(self.fields)
            for i in np.flatnonzero(self.coef[j]).tolist()
        ]
        return frame_of(rows, ["equation", "term", "coefficient"])

    # -- text --------------------------------------------------------------------------

    @property
    def _left_names(self) -> tuple[str, ...]:
        return self.fields

    def _left(self, name: str) -> str:
        return f"{name}_t"

    def _right(self, j: int, precision: int) -> str:
        def shown(c: float, i: int) -> str:
            return weighted_term(
                c, "" if self.terms[i] == "1" else self.terms[i], precision
            )

        return self._sum(j, shown)

    def _sum(self, j: int, shown: Callable[[float, int], str]) -> str:
        row = self.coef[j]
        active = np.flatnonzero(row).tolist()
        return signed_sum(row[active], [shown(float(row[i]), i) for i in active])

    def latex(self, precision: int = 4) -> str:
        """All equations as LaTeX, aligned.

        Parameters
        ----------
        precision : int, default=4
            Significant digits of the coefficients.

        Returns
        -------
        str
            Without the dollar signs around it.
        """
        check_precision(precision)
        terms: Sequence[str] = self.terms
        if self.structure:
            terms = [term.latex for term in self.structure]

        def shown(c: float, i: int) -> str:
            size = latex_number(abs(c), precision)
            if terms[i] == "1":
                return size
            return terms[i] if size == "1" else f"{size} {terms[i]}"

        return aligned_latex(
            [
                f"{_with_t(name)} &= {self._sum(j, shown)}"
                for j, name in enumerate(self.fields)
            ]
        )

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    # -- sympy -------------------------------------------------------------------------

    def sympy(self) -> list[Any]:
        """The right-hand sides as sympy expressions.

        Fields are functions of the symbols t, x, y, z, as many as there are axes;
        derivatives of products stay as they are until ``.doit()``. Coefficients are
        exact floats.

        Returns
        -------
        list of sympy.Expr
            One for each field.

        Raises
        ------
        ImportError
            Without sympy.
        ValueError
            For equations that were made of names alone.

        Examples
        --------
        >>> import numpy as np
        >>> from skdyn.sindy import PDESINDy, STLSQ
        >>> t, x = np.arange(80)[:, None] * 0.05, np.arange(64) * np.pi / 32
        >>> X = sum(np.exp(-0.5 * k**2 * t) * np.cos(k * x) for k in (1, 2, 3))
        >>> model = PDESINDy(64, STLSQ(0.05), spacing=np.pi / 32, dt=0.05).fit(X)
        >>> [right] = model.equations_.sympy()  # doctest: +SKIP
        >>> right.evalf(4)  # doctest: +SKIP
        0.5*Derivative(u(t, x), (x, 2))
        """
        sympy = imported_sympy("FieldEquations")
        if not self.structure:
            raise ValueError(
                "sympy needs to know what the terms are, got their names alone. Take "
                "equations_ of a fitted PDESINDy."
            )
        axes = [sympy.Symbol(a) for a in AXES[: len(self.structure[0].outer)]]
        t = sympy.Symbol("t")
        fields = [sympy.Function(name)(t, *axes) for name in self.fields]

        def slope(what: Any, order: Sequence[int]) -> Any:
            along = [(a, n) for a, n in zip(axes, order, strict=True) if n]
            return sympy.Derivative(what, *along) if along else what

        def product(powers: Sequence[int]) -> Any:
            pairs = zip(fields, powers, strict=True)
            return sympy.Mul(*(field**power for field, power in pairs))

        def expression(term: FieldTerm) -> Any:
            if term.inner is not None:
                field, order = term.inner
                return product(term.powers) * slope(fields[field], order)
            if term.scale != 1.0:
                # (u^m)_x / m, which is known as u^(m - 1) u_x.
                field = next(f for f, power in enumerate(term.powers) if power)
                lower = product(without_one_each(term.powers))
                return lower * slope(fields[field], term.outer)
            return slope(product(term.powers), term.outer)

        return [
            sympy.Add(
                *(
                    sympy.Float(float(row[i])) * expression(self.structure[i])
                    for i in np.flatnonzero(row).tolist()
                )
            )
            for row in self.coef
        ]


def _with_t(name: str) -> str:
    letter = name.rstrip("0123456789")
    digits = name[len(letter) :]
    return f"{letter}_{{{digits},t}}" if digits else f"{name}_t"

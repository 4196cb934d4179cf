"""Equations as texts: what those of flows, maps and fields have in common."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

__all__ = [
    "EquationTexts",
    "aligned_latex",
    "check_precision",
    "frame_of",
    "imported_sympy",
    "latex_number",
    "signed_sum",
    "weighted_term",
]


class EquationTexts:
    """Equations as a sequence of texts, each known by its number or name.

    A subclass has `coef`, with a row for each equation, and writes ``_left_names``,
    ``_left(name)``, the left side, and ``_right(j, precision)``, the right side.
    """

    coef: Any

    @property
    def _left_names(self) -> tuple[str, ...]:
        raise NotImplementedError

    def _left(self, name: str) -> str:
        raise NotImplementedError

    def _right(self, j: int, precision: int) -> str:
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.coef)

    def __iter__(self) -> Iterator[str]:
        return (self[j] for j in range(len(self)))

    def __getitem__(self, which: int | str) -> str:
        return self._right(self._number(which), 4)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()

    def text(self, precision: int = 4) -> str:
        """All equations, one a line.

        Parameters
        ----------
        precision : int, default=4
            Significant digits of the coefficients.

        Returns
        -------
        str
        """
        check_precision(precision)
        return "\n".join(
            f"{self._left(name)} = {self._right(j, precision)}"
            for j, name in enumerate(self._left_names)
        )

    def _number(self, which: int | str) -> int:
        if isinstance(which, str):
            if which not in self._left_names:
                raise KeyError(
                    f"There is no equation of {which!r}, but of "
                    f"{', '.join(map(repr, self._left_names))}."
                )
            return self._left_names.index(which)
        if isinstance(which, (bool, np.bool_)) or not isinstance(
            which, numbers.Integral
        ):
            raise TypeError(
                f"Equations are known by number or name, got {type(which).__name__}."
            )
        n = len(self)
        if not -n <= which < n:
            raise IndexError(f"There are {n} equation(s), got number {which}.")
        return int(which) % n


# -- sums and numbers ------------------------------------------------------------------


def weighted_term(coef: float, term: str, precision: int) -> str:
    """A term as text with the size of its coefficient; an empty one is the constant."""
    size = f"{abs(coef):.{precision}g}"
    return term if size == "1" and term else f"{size} {term}".rstrip()


def signed_sum(coef: Sequence[float] | np.ndarray, shown: Sequence[str]) -> str:
    """What is `shown` of each term, without signs, as a sum by the signs of `coef`."""
    text = ""
    for c, each in zip(coef, shown, strict=True):
        sign = "-" if c < 0 else "+" if text else ""
        text += f" {sign} {each}" if text else f"{sign}{each}"
    return text or "0"


def aligned_latex(lines: Sequence[str]) -> str:
    """Equations in a LaTeX environment, one below the other."""
    body = " \\\\\n".join(lines)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"


def check_precision(precision: Any) -> None:
    """Raise for what is no number of significant digits."""
    if (
        isinstance(precision, bool)
        or not isinstance(precision, numbers.Integral)
        or precision < 1
    ):
        raise ValueError(
            f"precision needs to be a number of digits of at least 1, got "
            f"{precision!r}."
        )


def latex_number(value: float, precision: int) -> str:
    """A number with its power of ten."""
    text = f"{value:.{precision}g}"
    if not math.isfinite(value):
        return "\\infty" if math.isinf(value) else "\\mathrm{nan}"
    digits, _, exponent = text.partition("e")
    return f"{digits} \\times 10^{{{int(exponent)}}}" if exponent else digits


# -- optional packages -----------------------------------------------------------------


def imported_sympy(who: str) -> Any:
    """The module, or an error that says how to get it."""
    try:
        import sympy
    except ImportError as error:
        raise ImportError(
            f"{who}.sympy needs sympy. Install it with: pip install "
            f'"skdyn[symbolic]", or read the equations with print and latex().'
        ) from error
    return sympy


def frame_of(rows: Sequence[Any], columns: list[str]) -> Any:
    """Rows as a pandas.DataFrame."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            "to_frame needs pandas. Install it with: pip install 'skdyn[interop]', "
            "or use the coefficients, coef_, and their names, terms_."
        ) from error
    return pd.DataFrame(rows, columns=columns)

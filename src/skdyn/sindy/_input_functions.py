"""Inputs that are functions of time, u(t), of one trajectory or of many.

An input u(t) is taken as it is at every stage of an integrator. Its time is 0 at the
first row of the data or of a context, and goes on after the training data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skdyn.utils._trajectories import Trajectories

__all__ = ["Clocked", "InputFunctions", "input_clocks"]


class InputFunctions:
    """Inputs u(t), one function for all trajectories or one for each.

    A function is called with many times at once where that gives what it gives for
    each, and with one after the other where not.
    """

    def __init__(self, calls: Sequence[Callable[[np.ndarray], np.ndarray]]) -> None:
        self.calls = list(calls)

    @staticmethod
    def are(u: Any) -> bool:
        """Tell whether `u` is a function, or a list of functions."""
        if isinstance(u, (list, tuple)):
            return bool(u) and all(callable(each) for each in u)
        return callable(u)

    @classmethod
    def of(
        cls, u: Any, n_trajectories: int, n_inputs: int, start: float
    ) -> InputFunctions:
        """Check functions for so many trajectories; `n_inputs` 0 takes any number."""
        functions = list(u) if isinstance(u, (list, tuple)) else [u]
        if len(functions) not in (1, n_trajectories):
            raise ValueError(
                f"u needs one function of time, or one for each of {n_trajectories} "
                f"trajectories, got {len(functions)}."
            )
        found = [_batched(function, start) for function in functions]
        widths = [width for _, width in found]
        wanted = n_inputs or widths[0]
        if set(widths) != {wanted}:
            raise ValueError(
                f"u needs to give {wanted} input(s) at each time, got {widths[0]}"
                f"{f' to {widths}' if len(widths) > 1 else ''}."
            )
        return cls([call for call, _ in found])

    def __call__(self, t: np.ndarray, which: np.ndarray) -> np.ndarray:
        """Inputs (n, m) at times (n,) of the trajectories `which` (n,)."""
        if len(self.calls) == 1:
            return self.calls[0](t)
        rows: np.ndarray | None = None
        for i in np.unique(which):
            some = which == i
            values = self.calls[i](t[some])
            if rows is None:
                rows = np.empty((len(t), values.shape[1]))
            rows[some] = values
        assert rows is not None
        return rows


@dataclass(frozen=True, eq=False)
class Clocked:
    """Inputs u(t) of many states.

    Attributes
    ----------
    functions : InputFunctions
        The inputs.
    time : ndarray of shape (n,)
        Times of the states.
    which : ndarray of shape (n,)
        The trajectories that they belong to.
    """

    functions: InputFunctions
    time: np.ndarray
    which: np.ndarray


def input_clocks(trajectories: Trajectories, dt: float) -> list[np.ndarray]:
    """Times of the rows of every piece, from 0 at the first row that there was.

    Rows that transformers took off the start count.
    """
    clocks = []
    for i, group in enumerate(trajectories.groups(trajectories.pieces)):
        stops = trajectories.origin(i)[1]
        for piece, stop in zip(group, stops, strict=True):
            clocks.append(dt * np.arange(stop - len(piece), stop))
    return clocks


def _batched(
    function: Any, start: float
) -> tuple[Callable[[np.ndarray], np.ndarray], int]:
    """`function` of many times (n,), giving (n, n_inputs), and their number."""

    def together(t: np.ndarray) -> np.ndarray:
        return np.asarray(function(t), np.float64).reshape(len(t), -1)

    def turned(t: np.ndarray) -> np.ndarray:
        return np.asarray(function(t), np.float64).T

    def one_by_one(t: np.ndarray) -> np.ndarray:
        rows = [np.asarray(function(float(each)), np.float64) for each in t]
        return np.reshape(rows, (len(t), -1))

    try:
        value = np.asarray(function(start), np.float64)
    except Exception:
        # Some take arrays only.
        value = np.asarray(function(np.array([start])), np.float64)
        if value.ndim == 2 and len(value) == 1:
            return together, value.shape[1]
    if value.ndim > 1 or not value.size:
        raise ValueError(
            f"u needs to give a row of inputs, of shape (n_inputs,), at one time, or "
            f"of shape (n, n_inputs) at n times, got shape {value.shape} at time "
            f"{start}."
        )
    width = int(value.size)
    # More times than inputs, so that the shape tells which axis is which.
    probe = start + np.sqrt(2) * np.arange(width + 2)
    try:
        shape = np.shape(function(probe))
        if shape == (width, len(probe)):
            many = turned
        elif shape == (len(probe), width) or (width == 1 and shape == probe.shape):
            many = together
        else:
            return one_by_one, width
        if np.allclose(many(probe), one_by_one(probe), rtol=1e-12, atol=1e-12):
            return many, width
    except Exception:
        # What cannot take many times takes them one by one.
        pass
    return one_by_one, width

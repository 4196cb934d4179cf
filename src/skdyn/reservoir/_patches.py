"""Patches of a grid: which points a local reservoir sees, and which it answers for.

A grid is cut into blocks of equal size. Around each block lies a halo of points that
belong to its neighbours: a patch sees its block and its halo, and answers for its
block. Blocks partition the grid; what they see overlaps. On a periodic axis the halo
goes around; at a free end there is nothing to see, and the points beyond it are 0, the
mean of standardised data.

Patches that see the same pattern of missing points are alike: in a homogeneous system
they obey one law. On a periodic grid all are alike; on a free interval those in the
middle are, and each end is a kind of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Patches", "divisors", "make_patches"]


@dataclass(frozen=True, eq=False)
class Patches:
    """Which features each patch sees and answers for, patches of a kind in sequence.

    Attributes
    ----------
    seen : ndarray of shape (n_patches, n_seen)
        Features that drive the reservoir of each; `n_features` stands for a point
        beyond a free end.
    own : ndarray of shape (n_patches, n_own)
        Features that each forecasts. Every feature is there once.
    kinds : ndarray of shape (n_patches,)
        The readout that each uses, in ascending order.
    n_features : int
        Number of features of the grid.
    """

    seen: np.ndarray
    own: np.ndarray
    kinds: np.ndarray
    n_features: int

    @property
    def n_kinds(self) -> int:
        return int(self.kinds[-1]) + 1

    def members(self, kind: int) -> slice:
        """The patches of one kind."""
        first, stop = np.searchsorted(self.kinds, [kind, kind + 1])
        return slice(int(first), int(stop))


def make_patches(
    grid: Sequence[int],
    patch: Sequence[int],
    halo: Sequence[int],
    periodic: Sequence[bool],
    *,
    n_fields: int = 1,
    shared: bool = True,
) -> Patches:
    """Cut a grid into patches.

    Parameters
    ----------
    grid : sequence of int
        Points along each axis, the last of which varies fastest among the features.
    patch : sequence of int
        Points of a block along each axis, each a divisor of that of the grid.
    halo : sequence of int
        Points that are seen on both sides of it.
    periodic : sequence of bool
        Whether the axis goes around.
    n_fields : int, default=1
        Features of each point, which stand side by side.
    shared : bool, default=True
        Whether patches that see the same pattern of missing points are of one kind.

    Returns
    -------
    Patches
    """
    seen, own = np.zeros((1, 1), int), np.zeros((1, 1), int)
    gone = np.zeros((1, 1), bool)
    for n, size, beyond, around in zip(grid, patch, halo, periodic, strict=True):
        starts = np.arange(0, n, size)[:, None]
        along = starts + np.arange(-beyond, size + beyond)
        outside = (along < 0) | (along >= n)
        gone = _cross(gone, outside & (not around), np.logical_or)
        seen = _cross(seen * n, along % n, np.add)
        own = _cross(own * n, starts + np.arange(size), np.add)
    fields, total = np.arange(n_fields), int(np.prod(grid)) * n_fields
    seen = np.where(gone[..., None], total, seen[..., None] * n_fields + fields)
    seen = seen.reshape(len(seen), -1)
    own = (own[..., None] * n_fields + fields).reshape(len(own), -1)
    kinds = np.arange(len(own))
    if shared:
        kinds = np.unique(gone, axis=0, return_inverse=True)[1].ravel()
    order = np.argsort(kinds, kind="stable")
    return Patches(seen[order], own[order], kinds[order], total)


def divisors(n: int) -> list[int]:
    """All divisors of n, in order."""
    return [k for k in range(1, n + 1) if n % k == 0]


def _cross(a: np.ndarray, b: np.ndarray, combine: np.ufunc) -> np.ndarray:
    """Combine all rows of a with all of b, and their columns likewise."""
    both = combine(a[:, None, :, None], b[None, :, None, :])
    return np.asarray(both.reshape(len(a) * len(b), -1))

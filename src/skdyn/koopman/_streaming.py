"""Fits that forget: rows count less the older they are.

With a factor f in (0, 1], the pair of rows k and k + 1 of a trajectory of n rows has
the weight f^(n - 2 - k), and what came before a further trajectory counts f^(n - 1)
less. Of one trajectory, the fit is therefore the same whether it comes at once or in
parts that overlap by a row (and by those that delays in a lift take). Of several
trajectories one after the other, the earlier count less. This is recursive least
squares with forgetting (Zhang, Rowley, Deem & Cattafesta, "Online dynamic mode
decomposition for time-varying systems", SIAM Journal on Applied Dynamical Systems 18
(2019), 1586).
"""

from __future__ import annotations

from numbers import Real

import numpy as np

from skdyn.utils._moments import Moments
from skdyn.utils._sklearn import Interval
from skdyn.utils._trajectories import Trajectories

__all__ = ["FORGETTING", "add_to", "age_weights", "rows_after"]

# What a parameter `forgetting` may be.
FORGETTING = [Interval(Real, 0, 1, closed="right")]


def age_weights(trajectories: Trajectories, forgetting: float) -> np.ndarray | None:
    """Weights of all pairs of rows, in the order of ``trajectories.pairs()``."""
    if forgetting == 1:
        return None
    ages = zip(trajectories.lengths, rows_after(trajectories), strict=True)
    return np.asarray(
        forgetting ** np.concatenate([np.arange(n - 1)[::-1] + m for n, m in ages])
    )


def rows_after(trajectories: Trajectories) -> list[int]:
    """For each piece the rows of its trajectory that come after a gap in time."""
    after: list[int] = []
    for group in trajectories.groups(trajectories.pieces):
        lengths = [len(piece) for piece in group]
        after += [sum(lengths[i + 1 :]) for i in range(len(lengths))]
    return after


def add_to(
    earlier: Moments | None,
    new: Moments,
    trajectories: Trajectories,
    forgetting: float,
    lead: int = 0,
) -> Moments:
    """Moments of the earlier rows, so much older now, and of the new ones.

    `lead` rows of each trajectory, and one, are those that parts overlap by.
    """
    if earlier is None:
        return new
    if forgetting == 1:
        return earlier + new
    groups = trajectories.groups(trajectories.pieces)
    longest = max(sum(len(piece) for piece in group) for group in groups)
    return earlier.scaled(forgetting ** (longest - 1 - lead)) + new

"""Fits that forget: rows count less the older they are.

With a factor f in (0, 1], the pair of rows k and k + 1 of a trajectory of n rows has
the weight f^(n - 2 - k), and what came before a further trajectory counts f^(n - 1)
less. Of one trajectory, the fit is therefore the same whether it comes at once or in
parts that overlap by a row. This is recursive least squares with forgetting (Zhang,
Rowley, Deem & Cattafesta, "Online dynamic mode decomposition for time-varying systems",
SIAM Journal on Applied Dynamical Systems 18 (2019), 1586).
"""

from __future__ import annotations

from numbers import Real

import numpy as np

from skdyn.utils._moments import Moments
from skdyn.utils._sklearn import Interval
from skdyn.utils._trajectories import Trajectories

__all__ = ["FORGETTING", "add_to", "age_weights"]

# What a parameter `forgetting` may be.
FORGETTING = [Interval(Real, 0, 1, closed="right")]


def age_weights(trajectories: Trajectories, forgetting: float) -> np.ndarray | None:
    """Weights of all pairs of rows, in the order of ``trajectories.pairs()``."""
    if forgetting == 1:
        return None
    ages = [np.arange(n - 1)[::-1] for n in trajectories.lengths]
    return np.asarray(forgetting ** np.concatenate(ages))


def add_to(
    earlier: Moments | None,
    new: Moments,
    trajectories: Trajectories,
    forgetting: float,
) -> Moments:
    """Moments of the earlier rows, so much older now, and of the new ones."""
    if earlier is None:
        return new
    if forgetting == 1:
        return earlier + new
    return earlier.scaled(forgetting ** (max(trajectories.lengths) - 1)) + new

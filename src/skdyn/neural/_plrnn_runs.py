"""Free runs of a PLRNN from plain arrays: compiled where numba is, NumPy elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from skdyn.neural._plrnn_cell import Cell

__all__ = ["free_run"]


def free_run(
    cell: Cell, z: np.ndarray, n_steps: int, u: np.ndarray | None = None
) -> np.ndarray:
    """States (batch, n_steps, M) after states (batch, M).

    Parameters
    ----------
    cell : Cell
    z : ndarray of shape (batch, M)
    n_steps : int
    u : ndarray of shape (batch, n_steps, K), or None

    Returns
    -------
    ndarray
    """
    if u is None:
        u = np.zeros((len(z), n_steps, 0))
    # Always the same path, so that a short forecast is the beginning of a long one.
    kernels = _kernels()
    if kernels is None:
        Z = np.empty((len(z), n_steps, z.shape[1]))
        for t in range(n_steps):
            z = cell.step(z, u[:, t] if u.shape[2] else None)
            Z[:, t] = z
        return Z
    diagonal = np.diag(cell.A)
    full = not np.array_equal(np.diag(diagonal), cell.A)
    C = cell.C if u.shape[2] else cell.C[:, :0]
    return kernels.free_run(
        np.ascontiguousarray(z, dtype=np.float64),
        int(n_steps),
        np.ascontiguousarray(u, dtype=np.float64),
        full,
        cell.clipped,
        kernels.whole(
            *(cell.A if full else diagonal, cell.W1, cell.W2, cell.h1, cell.h2, C),
            *(cell.E, cell.B, cell.B.T),
        ),
    )


def _kernels() -> Any:
    try:
        from skdyn.neural import _plrnn_kernels
    except ImportError:  # numba is not installed
        return None
    return _plrnn_kernels

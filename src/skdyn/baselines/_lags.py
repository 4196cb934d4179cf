"""Rows beside the rows before them: the regression that autoregressions share."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from skdyn.utils._trajectories import Pieces, windows

__all__ = ["chunks", "lagged_pairs", "newest_first"]


def lagged_pairs(
    pieces: Pieces, n_lags: int, inputs: Pieces | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """All runs of `n_lags` rows with their successors and the inputs between them.

    Parameters
    ----------
    pieces : pieces
        Of more than `n_lags` rows each.
    n_lags : int
        Rows in a run.
    inputs : pieces or None
        One row of inputs for each row.

    Returns
    -------
    Z : ndarray of shape (n, n_lags * n_features)
        The rows of each run side by side, the newest first.
    Y : ndarray of shape (n, n_features)
        The row after each run.
    U : ndarray of shape (n, n_inputs) or None
        The inputs that act between the two.
    """
    acting = None
    if inputs is not None:
        acting = np.concatenate([rows[n_lags - 1 : -1] for rows in inputs])
    if n_lags == 1 and len(pieces) == 1:
        # Views: moments see that they share all rows but two.
        return pieces[0][:-1], pieces[0][1:], acting
    before = [newest_first(windows(piece[:-1], n_lags)) for piece in pieces]
    after = [piece[n_lags:] for piece in pieces]
    return np.concatenate(before), np.concatenate(after), acting


def chunks(
    pieces: Pieces, n_lags: int, inputs: Pieces | None, size: int
) -> Iterator[tuple[list[np.ndarray], list[np.ndarray] | None]]:
    """Pieces and their inputs, some `size` runs of `n_lags` rows at a time.

    Long pieces are cut into parts that overlap by `n_lags` rows, so that the runs of
    all chunks are those of all pieces; short ones are put together.
    """
    some: list[np.ndarray] = []
    acting: list[np.ndarray] = []
    held = 0
    for i, piece in enumerate(pieces):
        for start in range(0, len(piece) - n_lags, size):
            part = slice(start, start + size + n_lags)
            some.append(piece[part])
            if inputs is not None:
                acting.append(inputs[i][part])
            held += len(some[-1]) - n_lags
            if held >= size:
                yield some, None if inputs is None else acting
                some, acting, held = [], [], 0
    if some:
        yield some, None if inputs is None else acting


def newest_first(contexts: np.ndarray) -> np.ndarray:
    """Rows (batch, n_rows, d) side by side as (batch, n_rows * d), the newest first."""
    return contexts[:, ::-1].reshape(len(contexts), -1)

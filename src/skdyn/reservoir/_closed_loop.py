"""The closed loop: a reservoir that is driven by its own forecasts.

With the drive v = (x, u) of a row x and its inputs u, the features z of `_readout` and
coefficients C, one step is

    r <- advance(r, v),   x <- z(r, v) C   (plus x, where differences are forecast).

The sum W + W_in C^T is never formed: with d features it would turn N k sparse products
into N² dense ones, where two thin products cost 2 N d.
"""

from __future__ import annotations

import numpy as np

from skdyn.reservoir._readout import Layout
from skdyn.reservoir._states import LANES, Stepper, Weights, add_product

__all__ = ["advance_features", "free_run"]


def free_run(
    weights: Weights,
    layout: Layout,
    coef: np.ndarray,
    states: np.ndarray,
    rows: np.ndarray,
    n_steps: int,
    u: np.ndarray | None = None,
    *,
    delta: bool = True,
    which: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Let many reservoirs run freely.

    Parameters
    ----------
    weights : Weights
        The reservoir.
    layout : Layout
        The features of the readout.
    coef : ndarray of shape (n_features, d), or (n_readouts, n_features, d)
        The readout, or several of them.
    states : ndarray of shape (n_units, batch)
        States before `rows` have driven the reservoir.
    rows : ndarray of shape (batch, d)
        The last known rows, in the units of the drive.
    n_steps : int
        Rows to forecast.
    u : ndarray of shape (batch, n_steps, n_inputs) or None, default=None
        Inputs, the first acting on `rows`.
    delta : bool, default=True
        Whether the readout gives differences from row to row.
    which : ndarray of shape (batch,) or None, default=None
        The readout of each, where there are several.

    Returns
    -------
    forecast : ndarray of shape (batch, n_steps, d)
        Not finite from where it left the range of floating-point numbers.
    states : ndarray of shape (n_units, batch)
        States before the last forecast row has driven the reservoir.
    """
    forecast = np.empty((len(rows), n_steps, rows.shape[1]), weights.dtype)
    ends = np.empty_like(states)
    stepper = Stepper(weights)
    several = np.ascontiguousarray(
        np.atleast_3d(coef.T).transpose(2, 0, 1)
        if coef.ndim == 2
        else coef.transpose(0, 2, 1),
        dtype=weights.dtype,
    )
    with np.errstate(all="ignore"):
        for first in range(0, len(rows), LANES):
            lanes = slice(first, first + LANES)
            ends[:, lanes] = _run_lanes(
                stepper,
                layout,
                several,
                states[:, lanes],
                rows[lanes],
                None if u is None else u[lanes],
                delta,
                None if which is None else which[lanes],
                forecast[lanes],
            )
    return forecast, ends


def _run_lanes(
    stepper: Stepper,
    layout: Layout,
    coef: np.ndarray,
    states: np.ndarray,
    rows: np.ndarray,
    u: np.ndarray | None,
    delta: bool,
    which: np.ndarray | None,
    out: np.ndarray,
) -> np.ndarray:
    """Fill `out` (batch, n_steps, d) with what follows; return the states."""
    n, d, batch = layout.n_units, rows.shape[1], len(rows)
    end = n + layout.n_squares
    # Features of two steps in turn: states, squares, and what follows them, which is
    # the drive with its constant: [x, u, 1].
    width = stepper.drive.shape[1]
    shape = (end + width,) if batch == 1 else (end + width, batch)
    now, then = np.empty((2, *shape), stepper.dtype)
    left = np.empty((n, *shape[1:]), stepper.dtype)
    now[:n] = states[:, 0] if batch == 1 else states
    tail = np.empty((width, *shape[1:]), stepper.dtype)
    tail[:d] = rows[0] if batch == 1 else rows.T
    tail[-1] = 1.0
    readout = coef.reshape(-1, coef.shape[2])
    if not layout.n_direct:
        # Zeros in place of the drive, so that one product does.
        silent = np.zeros((len(readout), end + width), stepper.dtype)
        silent[:, :end], silent[:, -1] = readout[:, :end], readout[:, -1]
        readout = silent
    picks = None
    if which is not None:
        picks = (which * d)[None] + np.arange(d)[:, None], np.arange(batch)[None]
    for k in range(out.shape[1]):
        if u is not None:
            tail[d:-1] = u[0, k] if batch == 1 else u[:, k].T
        advance_features(stepper, layout, now, tail, left, out=then)
        y = readout @ then
        if picks is not None:
            y = y.reshape(len(readout), batch)[picks]
            y = y[:, 0] if batch == 1 else y
        if delta:
            tail[:d] += y
        else:
            tail[:d] = y
        out[:, k] = tail[:d] if batch == 1 else tail[:d].T
        now, then = then, now
    return now[:n, None] if batch == 1 else now[:n]


def advance_features(
    stepper: Stepper,
    layout: Layout,
    now: np.ndarray,
    tail: np.ndarray,
    left: np.ndarray,
    *,
    out: np.ndarray,
) -> None:
    """Features after one more step: states, their squares, and the drive.

    Parameters
    ----------
    stepper, layout
        The reservoir, and the features of the readout.
    now : ndarray of shape (n_units + ..., ...)
        Features whose states are those before.
    tail : ndarray of shape (n_drive + 1, ...)
        The drive with its constant.
    left : ndarray of shape (n_units, ...)
        Room to work in.
    out : ndarray of the shape of `now`
        Overwritten.
    """
    n, end = layout.n_units, layout.n_units + layout.n_squares
    state = out[:n]
    np.dot(stepper.drive, tail, out=state)
    add_product(stepper.recurrent, now[:n], state)
    stepper.activate(state, now[:n], left)
    if layout.quadratic:
        np.multiply(state[1::2], state[1::2], out=out[n:end])
    out[end:] = tail

"""The forced recursion solved in parallel in time, by Newton's method.

One step of a network under forcing is y[t+1] = f_t(y[t]). All steps at once are the
root of y[t+1] - f_t(y[t]), t = 0..T-1, and a Newton step for it solves

    y'[t+1] = J_t y'[t] + (f_t(y[t]) - J_t y[t]),      J_t = f_t'(y[t]),

an affine recursion, by a scan: two neighbouring affine maps are one, so half as many
steps of twice the length remain, and so on, in log2(T) rounds of batched products (Lim,
Zhu, Selfridge & Kasim 2024, who call it DEER). f_t is piecewise linear: once every y[t]
lies in the linear region of the solution, the next step is exact. Data is the first
guess, which forcing keeps the solution near. Where forcing is too weak for a chaotic
network, products of J_t grow, Newton's method fails, and the loop in time takes over.

The adjoint recursion is affine from the start: one scan backwards in time.

References
----------
Lim, Zhu, Selfridge & Kasim, "Parallelizing non-linear sequential models over the
sequence length", ICLR (2024).
"""

from __future__ import annotations

from typing import Any

import torch

from skdyn.neural._plrnn_module import Weights, hinges, slopes
from skdyn.neural._plrnn_module import forward_loop as sequential

__all__ = ["backward_loop", "forward_loop", "newton", "scan"]

# Newton steps at most, and the change, relative to the states, at which they end.
_MOST_STEPS = 30
_TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-12}


def scan(J: torch.Tensor, b: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """States after y under y[t+1] = J[t] y[t] + b[t].

    Parameters
    ----------
    J : tensor of shape (T, ..., M, M)
    b : tensor of shape (T, ..., M)
    y : tensor of shape (..., M)

    Returns
    -------
    tensor of shape (T, ..., M)
    """
    n = len(J)
    if n == 1:
        return (J[0] @ y[..., None])[..., 0][None] + b
    even = n - n % 2
    second, first = J[1:even:2], J[0:even:2]
    onto = (second @ b[0:even:2, ..., None])[..., 0] + b[1:even:2]
    every_second = scan(second @ first, onto, y)
    before = torch.cat([y[None], every_second])[: len(J[0::2])]
    others = (J[0::2] @ before[..., None])[..., 0] + b[0::2]
    out = torch.empty_like(b)
    out[0::2] = others
    out[1:even:2] = every_second
    return out


def newton(
    Y0: torch.Tensor,
    V: torch.Tensor,
    X: torch.Tensor,
    a: torch.Tensor,
    net: Weights,
    *,
    most: int = _MOST_STEPS,
) -> tuple[torch.Tensor, torch.Tensor, int] | None:
    """States and errors of forced sequences, and the Newton steps that they took.

    Parameters
    ----------
    Y0, V, X, a, net
        See `skdyn.neural._plrnn_module.forward_loop`.
    most : int
        Newton steps at most.

    Returns
    -------
    tuple of two tensors, like those of `forward_loop`, and int; or None
        None where it did not converge.
    """
    # Time comes first here: (T, n_models, batch, ...).
    A, W1, W2, h2, B, P, clipped = net
    x, h2 = X.movedim(2, 0), h2[:, None]
    seen = (~torch.isnan(x)).to(Y0.dtype)
    rows, mask = torch.nan_to_num(x), seen[1:]
    v, weight = V.movedim(2, 0), a.T[1:, :, None, None]
    # P S B, with S what is seen: the part of z that forcing takes away.
    taken = (weight[..., None] * P[:, None]) @ (mask[..., None] * B[:, None])

    def step(y: torch.Tensor, q: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        z = v + _times(y, A.mT) + _times(hinges(q, h2, clipped), W1.mT)
        wrong = mask * (rows[1:] - _times(z, B.mT))
        return z + weight * _times(wrong, P.mT), wrong

    # Of what is not observed the data says nothing: it starts at 0.
    Y = torch.cat([Y0[None], _times(rows[1:-1], P.mT)])
    q = _times(Y, W2.mT)
    ahead, _ = step(Y, q)
    tolerance = _TOLERANCE.get(Y.dtype, 1e-12)
    for n in range(1, most + 1):
        slope = slopes(q, h2, clipped)[..., None, :]
        J = A[:, None] + _times(W1[:, None] * slope, W2)
        J = J - taken @ J
        after = scan(J, ahead - (J @ Y[..., None])[..., 0], Y0)
        if not torch.isfinite(after).all():
            return None
        Y = torch.cat([Y0[None], after[:-1]])
        # Whether these are the states, not whether they have stopped moving: closed
        # hinges hide a move from the states that follow.
        q = _times(Y, W2.mT)
        ahead, wrong = step(Y, q)
        if (after - ahead).abs().max() <= tolerance * (1 + after.abs().max()):
            whole = torch.cat([Y, after[-1:]]).movedim(0, 2)
            wrong = torch.cat([torch.zeros_like(wrong[:1]), wrong]).movedim(0, 2)
            return whole.contiguous(), wrong.contiguous(), n
    return None


def _times(rows: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Products of rows (T, n_models, ..., i) with the matrix (i, j) of each model."""
    if len(matrices) == 1:
        return rows @ matrices[0]
    return torch.einsum("tk...i,kij->tk...j", rows, matrices)


def forward_loop(*given: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """`skdyn.neural._plrnn_module.forward_loop`, all times at once where that works."""
    found = newton(*given)
    return sequential(*given) if found is None else found[:2]


def backward_loop(
    Y: torch.Tensor,
    dwrong: torch.Tensor,
    X: torch.Tensor,
    a: torch.Tensor,
    net: Weights,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`skdyn.neural._plrnn_module.backward_loop` by one scan backwards in time.

    With S the mask of what is seen, g[t] = J' (K g[t+1] - B' dL/de), where
    K = I - a B' S P'.
    """
    A, W1, W2, h2, B, P, clipped = net
    y, d = Y.movedim(2, 0), dwrong.movedim(2, 0)[1:]
    mask = (~torch.isnan(X.movedim(2, 0)[1:])).to(Y.dtype)
    weight = a.T[1:, :, None, None]
    slope = slopes(_times(y[:-1], W2.mT), h2[:, None], clipped)
    J = (A[:, None] + _times(W1[:, None] * slope[..., None, :], W2)).mT
    taken = (B.mT[:, None] * mask[..., None, :]) @ (weight[..., None] * P.mT[:, None])
    onto = -_times(d, B)
    last = torch.zeros_like(onto[0])
    steps, constants = J - J @ taken, (J @ onto[..., None])[..., 0]
    g = scan(steps.flip(0), constants.flip(0), last).flip(0)
    g = torch.cat([g, last[None]])
    m = g[1:] - _times(mask * weight * _times(g[1:], P) + d, B)
    return m.movedim(0, 2).contiguous(), g.movedim(0, 2).contiguous()

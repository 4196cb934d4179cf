"""The two loops over time of the PLRNN, each as one GPU kernel.

What cannot be done for all times at once is little: forwards, the states,

    z[t+1] = A y[t] + W1 phi(W2 y[t] + h2) + v[t],
    e[t+1] = x[t+1] - B z[t+1]                 (0 where x is missing),
    y[t+1] = z[t+1] + a[t+1] P e[t+1],

and backwards their sensitivities, with g[t] = dL/dy[t] and m[t] = dL/dz[t+1],

    m[t] = g[t+1] - B' (a[t+1] P' g[t+1] + dL/de[t+1]),
    g[t] = A' m[t] + W2' (phi'(W2 y[t] + h2) * (W1' m[t])).

Every gradient by a weight is a matrix product over all times and sequences of these,
and is taken outside (`skdyn.neural._plrnn_module`). Here one program runs one sequence
of one model from end to end with all weights in registers, so that a step costs no
launch and touches memory for one row only; eager PyTorch launches some twenty kernels a
step.

The functions have the signatures of the loops in `_plrnn_module`, whose numbers they
reproduce. Triton comes with the CUDA builds of PyTorch; its interpreter
(``TRITON_INTERPRET=1``) runs them on a CPU, slowly, which is how they are tested where
there is no GPU.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import triton
import triton.language as tl

from skdyn.neural._plrnn_module import Weights

__all__ = ["backward_loop", "forward_loop"]

# Elements of the larger weight matrices that one warp keeps in registers.
_PER_WARP = 2048


@triton.jit
def _forward(
    Y0, V, X, a, A, W1, W2, h2, B, P, Y, wrong,
    batch, T, M, N, L,
    CLIPPED: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BL: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(0).to(tl.int64)
    # The weights and the forcing of this sequence's model.
    model = b // batch
    A += model * M * M
    W1 += model * M * L
    W2 += model * L * M
    h2 += model * L
    B += model * N * M
    P += model * M * N
    a += model * (T + 1)
    i, k = tl.arange(0, BM), tl.arange(0, BM)
    n, j = tl.arange(0, BN), tl.arange(0, BL)
    at_i, at_n, at_j = i < M, n < N, j < L
    # Matrices by (output, input), padded with zeros, which stay zeros.
    A_ = tl.load(
        A + i[:, None] * M + k[None, :], at_i[:, None] & (k < M)[None, :], other=0.0
    )
    W1_ = tl.load(
        W1 + i[:, None] * L + j[None, :], at_i[:, None] & at_j[None, :], other=0.0
    )
    W2_ = tl.load(
        W2 + j[:, None] * M + i[None, :], at_j[:, None] & at_i[None, :], other=0.0
    )
    B_ = tl.load(
        B + n[:, None] * M + i[None, :], at_n[:, None] & at_i[None, :], other=0.0
    )
    P_ = tl.load(
        P + i[:, None] * N + n[None, :], at_i[:, None] & at_n[None, :], other=0.0
    )
    h2_ = tl.load(h2 + j, at_j, other=0.0)
    y = tl.load(Y0 + b * M + i, at_i, other=0.0)
    tl.store(Y + b * (T + 1) * M + i, y, at_i)
    for t in range(T):
        inner = tl.sum(W2_ * y[None, :], axis=1)
        phi = tl.maximum(inner + h2_, 0.0)
        if CLIPPED:
            phi -= tl.maximum(inner, 0.0)
        v = tl.load(V + (b * T + t) * M + i, at_i, other=0.0)
        z = tl.sum(A_ * y[None, :], axis=1) + tl.sum(W1_ * phi[None, :], axis=1) + v
        row = b * (T + 1) + t + 1
        x = tl.load(X + row * N + n, at_n, other=0.0)
        e = x - tl.sum(B_ * z[None, :], axis=1)
        e = tl.where((x == x) & at_n, e, 0.0)
        y = z + tl.load(a + t + 1) * tl.sum(P_ * e[None, :], axis=1)
        tl.store(wrong + row * N + n, e, at_n)
        tl.store(Y + row * M + i, y, at_i)


@triton.jit
def _backward(
    Y, dwrong, X, a, A, W1, W2, h2, B, P, m, g,
    batch, T, M, N, L,
    CLIPPED: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BL: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(0).to(tl.int64)
    # The weights and the forcing of this sequence's model.
    model = b // batch
    A += model * M * M
    W1 += model * M * L
    W2 += model * L * M
    h2 += model * L
    B += model * N * M
    P += model * M * N
    a += model * (T + 1)
    i, k = tl.arange(0, BM), tl.arange(0, BM)
    n, j = tl.arange(0, BN), tl.arange(0, BL)
    at_i, at_n, at_j = i < M, n < N, j < L
    # The same matrices, those that act transposed by (input, output).
    A_ = tl.load(
        A + k[None, :] * M + i[:, None], at_i[:, None] & (k < M)[None, :], other=0.0
    )
    W1_ = tl.load(
        W1 + i[None, :] * L + j[:, None], at_j[:, None] & at_i[None, :], other=0.0
    )
    W2_ = tl.load(
        W2 + j[:, None] * M + i[None, :], at_j[:, None] & at_i[None, :], other=0.0
    )
    W2t = tl.load(
        W2 + j[None, :] * M + i[:, None], at_i[:, None] & at_j[None, :], other=0.0
    )
    B_ = tl.load(
        B + n[None, :] * M + i[:, None], at_i[:, None] & at_n[None, :], other=0.0
    )
    P_ = tl.load(
        P + i[None, :] * N + n[:, None], at_n[:, None] & at_i[None, :], other=0.0
    )
    h2_ = tl.load(h2 + j, at_j, other=0.0)
    into = tl.zeros((BM,), dtype=h2_.dtype)
    tl.store(g + (b * (T + 1) + T) * M + i, into, at_i)
    for back in range(T):
        t = T - 1 - back
        row = b * (T + 1) + t + 1
        x = tl.load(X + row * N + n, at_n, other=0.0)
        de = tl.load(dwrong + row * N + n, at_n, other=0.0)
        de += tl.load(a + t + 1) * tl.sum(P_ * into[None, :], axis=1)
        de = tl.where((x == x) & at_n, de, 0.0)
        out = into - tl.sum(B_ * de[None, :], axis=1)
        tl.store(m + (b * T + t) * M + i, out, at_i)
        y = tl.load(Y + (b * (T + 1) + t) * M + i, at_i, other=0.0)
        inner = tl.sum(W2_ * y[None, :], axis=1)
        slope = tl.where(inner + h2_ > 0, 1.0, 0.0)
        if CLIPPED:
            slope -= tl.where(inner > 0, 1.0, 0.0)
        q = slope.to(h2_.dtype) * tl.sum(W1_ * out[None, :], axis=1)
        into = tl.sum(A_ * out[None, :], axis=1) + tl.sum(W2t * q[None, :], axis=1)
        tl.store(g + (b * (T + 1) + t) * M + i, into, at_i)


def _launch(X: torch.Tensor, W1: torch.Tensor) -> tuple[tuple[int, ...], dict]:
    """Sizes of a problem, and the kernel's padded sizes and number of warps."""
    _, batch, n_rows, N = X.shape
    _, M, L = W1.shape
    sizes = {
        "BM": max(triton.next_power_of_2(M), 2),
        "BN": max(triton.next_power_of_2(N), 2),
        "BL": max(triton.next_power_of_2(L), 2),
    }
    wide = sizes["BM"] * max(sizes["BL"], sizes["BM"])
    warps = min(8, max(1, triton.next_power_of_2(wide // _PER_WARP)))
    return (batch, n_rows - 1, M, N, L), {**sizes, "num_warps": warps}


def _on(X: torch.Tensor) -> AbstractContextManager[Any]:
    """Launch on the GPU that a tensor is on, which need not be the current one."""
    return torch.cuda.device(X.device) if X.is_cuda else nullcontext()


def forward_loop(
    Y0: torch.Tensor, V: torch.Tensor, X: torch.Tensor, a: torch.Tensor, net: Weights
) -> tuple[torch.Tensor, torch.Tensor]:
    """`skdyn.neural._plrnn_module.forward_loop`, one program for each sequence."""
    sizes, options = _launch(X, net.W1)
    n_models, batch, n_rows, N = X.shape
    given = [each.contiguous() for each in (Y0, V, X, a, *net[:-1])]
    like = {"dtype": Y0.dtype, "device": X.device}
    Y = torch.empty(n_models, batch, n_rows, Y0.shape[2], **like)
    wrong = torch.zeros(n_models, batch, n_rows, N, **like)
    with _on(X):
        grid = (n_models * batch,)
        _forward[grid](*given, Y, wrong, *sizes, CLIPPED=net.clipped, **options)
    return Y, wrong


def backward_loop(
    Y: torch.Tensor,
    dwrong: torch.Tensor,
    X: torch.Tensor,
    a: torch.Tensor,
    net: Weights,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`skdyn.neural._plrnn_module.backward_loop`, one program for each sequence."""
    sizes, options = _launch(X, net.W1)
    n_models, batch, n_rows, M = Y.shape
    given = [each.contiguous() for each in (Y, dwrong, X, a, *net[:-1])]
    like = {"dtype": Y.dtype, "device": X.device}
    m = torch.empty(n_models, batch, n_rows - 1, M, **like)
    g = torch.empty(n_models, batch, n_rows, M, **like)
    with _on(X):
        grid = (n_models * batch,)
        _backward[grid](*given, m, g, *sizes, CLIPPED=net.clipped, **options)
    return m, g

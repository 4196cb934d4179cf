"""Compiled loops of the PLRNN: gradients, whole epochs of training, free runs.

One function differentiates every variant, because each is one recursion with other
contents (see `skdyn.neural._plrnn_cell`): for a window of rows x[0..T], inputs u and
forcing a[t],

    y[0] = E x[0],
    z[t+1] = A y[t] + W1 phi(W2 y[t] + h2) + h1 + C u[t],
    e[t+1] = x[t+1] - B z[t+1]           (0 where x is missing),
    y[t+1] = z[t+1] + a[t+1] P e[t+1],

and the loss is the mean of e**2 over the steps that count and all entries that are
not missing. With
g[t] = dL/dy[t] and m[t] = dL/dz[t], the backward pass is

    m[t] = g[t] - B' (a[t] P' g[t] + 2 e[t] / n),      entries of e missing: 0,
    q[t] = phi'(.) * (W1' m[t+1]),
    g[t] = A' m[t+1] + W2' q[t].

Rows of hinges are padded to whole vectors of the processor, and one sequence is run at
a time, so that all innermost loops run along hinges. The largest arrays, the
pre-activations, are the only thing kept from forward to backward.

Nothing here knows of PyTorch: the module (`_plrnn_module`) calls `loss_and_gradient`
from its autograd function, and `train_epoch` when nothing but numbers is needed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

__all__ = [
    "KINDS",
    "OPTIMISERS",
    "Net",
    "epoch",
    "flat_loss",
    "free_run",
    "loss_and_gradient",
    "padded",
    "whole",
]

KINDS = {"shallow": 0, "clipped": 1, "dendritic": 2, "almost_linear": 3}
OPTIMISERS = {"radam": 0, "adam": 1, "adamw": 2}

# Sums may be taken in any order; NaN and infinity stay what they are, since NaN marks
# what is missing.
_FAST = {"reassoc", "contract", "arcp", "nsz"}
# Hinges are padded to a multiple of this: 8 or 16 numbers are one vector.
_LANES = 16


def padded(n_hinges: int) -> int:
    """Number of hinges, rounded up to whole vectors."""
    return max(-(-n_hinges // _LANES), 1) * _LANES


def _compiled(function: Any) -> Any:
    options: Any = {"fastmath": _FAST, "error_model": "numpy", "nogil": True}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # there is nowhere to keep what was compiled
        return njit(**options)(function)


class Net(NamedTuple):
    """The arrays of the recursion, or what they are changed by.

    Attributes
    ----------
    A : array (M, M)
        Of a diagonal one only the first row is used.
    W1, W2 : arrays (M, L), (M, L)
        W2 transposed, both padded.
    h1, h2, C, E, B, P : arrays (M,), (L,), (M, K), (M, N), (N, M), (M, N)
        B and P are used only where the observation is linear.
    """

    A: np.ndarray
    W1: np.ndarray
    W2: np.ndarray
    h1: np.ndarray
    h2: np.ndarray
    C: np.ndarray
    E: np.ndarray
    B: np.ndarray
    P: np.ndarray


def whole(*arrays: np.ndarray) -> Net:
    """Arrays in the forms that the loops take: rows of hinges padded, all contiguous.

    Parameters
    ----------
    *arrays : ndarrays
        A of shape (M,) or (M, M), W1 (M, L), W2 (L, M), h1, h2, C, E, B, P.
    """
    A, W1, W2, h1, h2, *rest = arrays
    M, L = W1.shape

    def pad(matrix: np.ndarray) -> np.ndarray:
        wide = np.zeros((*matrix.shape[:-1], padded(L)), W1.dtype)
        wide[..., :L] = matrix
        return wide

    square = np.zeros((M, M), W1.dtype)
    square[slice(None) if A.ndim == 2 else 0] = A
    given = (square, pad(W1), pad(W2.T), h1, pad(h2), *rest)
    return Net(*(np.ascontiguousarray(each) for each in given))


@_compiled
def loss_and_gradient(
    X: np.ndarray,
    U: np.ndarray,
    forcing: np.ndarray,
    skip: int,
    full: bool,
    clipped: bool,
    linear: bool,
    net: Net,
    grad: Net,
) -> float:
    """Mean squared error over a batch of windows, and its gradient.

    Parameters
    ----------
    X : array (batch, T + 1, N)
        Windows; NaN is missing. First rows are complete.
    U : array (batch, T or more, K)
        Inputs; K may be 0.
    forcing : array (T + 1,)
        a[t]; the first is not used.
    skip : int
        Steps at the start of windows whose errors force, but are not counted.
    full, clipped, linear : bool
        Whether A is a matrix, whether phi is clipped, whether B is not [I 0].
    net : Net
    grad : Net
        Is overwritten by the gradient.

    Returns
    -------
    float
    """
    batch, n_rows, N = X.shape
    A, W1, W2, h1, h2, C, E, B, P = net
    gA, gW1, gW2, gh1, gh2, gC, gE, gB, gP = grad
    M, L = W1.shape
    K = U.shape[2]
    T = n_rows - 1
    kind = W1.dtype
    zero = W1.dtype.type(0)
    gA.fill(0)
    gW1.fill(0)
    gW2.fill(0)
    gh1.fill(0)
    gh2.fill(0)
    gC.fill(0)
    gE.fill(0)
    gB.fill(0)
    gP.fill(0)
    count = 0
    for b in range(batch):
        for t in range(skip + 1, n_rows):
            for n in range(N):
                if not np.isnan(X[b, t, n]):
                    count += 1
    scale = W1.dtype.type(2.0 / max(count, 1))
    Y = np.empty((n_rows, M), kind)
    wrong = np.empty((n_rows, N), kind)
    pre = np.empty((T, L), kind)
    phi = np.empty(L, kind)
    q = np.empty(L, kind)
    z = np.empty(M, kind)
    m = np.empty(M, kind)
    g = np.empty(M, kind)
    back = np.empty(N, kind)
    total = 0.0
    for b in range(batch):
        # -- forward
        for i in range(M):
            s = zero
            for n in range(N):
                s += E[i, n] * X[b, 0, n]
            Y[0, i] = s
        for t in range(T):
            p = pre[t]
            y = Y[t]
            if clipped:
                for j in range(L):
                    p[j] = zero
            else:
                for j in range(L):
                    p[j] = h2[j]
            for i in range(M):
                w = W2[i]
                yi = y[i]
                for j in range(L):
                    p[j] += w[j] * yi
            if clipped:
                for j in range(L):
                    phi[j] = max(p[j] + h2[j], zero) - max(p[j], zero)
            else:
                for j in range(L):
                    phi[j] = max(p[j], zero)
            for i in range(M):
                w = W1[i]
                s = h1[i]
                for j in range(L):
                    s += w[j] * phi[j]
                if full:
                    for k in range(M):
                        s += A[i, k] * y[k]
                else:
                    s += A[0, i] * y[i]
                for k in range(K):
                    s += C[i, k] * U[b, t, k]
                z[i] = s
            a = forcing[t + 1]
            ahead = Y[t + 1]
            e = wrong[t + 1]
            for i in range(M):
                ahead[i] = z[i]
            for n in range(N):
                x = X[b, t + 1, n]
                if np.isnan(x):
                    e[n] = zero
                    continue
                s = z[n]
                if linear:
                    s = zero
                    for i in range(M):
                        s += B[n, i] * z[i]
                e[n] = x - s
                if t >= skip:
                    total += e[n] * e[n]
                if not linear:
                    ahead[n] += a * e[n]
            if linear:
                for i in range(M):
                    s = zero
                    for n in range(N):
                        s += P[i, n] * e[n]
                    ahead[i] += a * s
        # -- backward
        for i in range(M):
            g[i] = zero
        for t in range(T - 1, -1, -1):
            p = pre[t]
            y = Y[t]
            e = wrong[t + 1]
            a = forcing[t + 1]
            weight = scale if t >= skip else zero
            for i in range(M):
                m[i] = g[i]
            if linear:
                for n in range(N):
                    if np.isnan(X[b, t + 1, n]):
                        back[n] = zero
                        continue
                    s = zero
                    for i in range(M):
                        s += P[i, n] * g[i]
                        gP[i, n] += a * g[i] * e[n]
                    back[n] = a * s + weight * e[n]
                # z[t+1] is the forced state without the forcing.
                for i in range(M):
                    z[i] = Y[t + 1, i]
                    for n in range(N):
                        z[i] -= a * P[i, n] * e[n]
                for n in range(N):
                    for i in range(M):
                        m[i] -= B[n, i] * back[n]
                        gB[n, i] -= back[n] * z[i]
            else:
                for n in range(N):
                    if not np.isnan(X[b, t + 1, n]):
                        m[n] -= a * g[n] + weight * e[n]
            for j in range(L):
                q[j] = zero
            for i in range(M):
                w = W1[i]
                mi = m[i]
                for j in range(L):
                    q[j] += w[j] * mi
            if clipped:
                for j in range(L):
                    above = p[j] + h2[j]
                    phi[j] = max(above, zero) - max(p[j], zero)
                    r = q[j]
                    up = r if above > zero else zero
                    gh2[j] += up
                    q[j] = up - (r if p[j] > zero else zero)
            else:
                for j in range(L):
                    phi[j] = max(p[j], zero)
                    r = q[j] if p[j] > zero else zero
                    q[j] = r
                    gh2[j] += r
            for i in range(M):
                w = W2[i]
                into1 = gW1[i]
                into2 = gW2[i]
                yi = y[i]
                mi = m[i]
                s = zero
                for j in range(L):
                    into1[j] += mi * phi[j]
                    into2[j] += yi * q[j]
                    s += w[j] * q[j]
                gh1[i] += mi
                if full:
                    for k in range(M):
                        s += A[k, i] * m[k]
                        gA[i, k] += mi * y[k]
                else:
                    s += A[0, i] * mi
                    gA[0, i] += mi * yi
                g[i] = s
                for k in range(K):
                    gC[i, k] += mi * U[b, t, k]
        for i in range(M):
            for n in range(N):
                gE[i, n] += g[i] * X[b, 0, n]
    return total / max(count, 1)


@_compiled
def _right_inverse(B: np.ndarray, S: np.ndarray, P: np.ndarray) -> None:
    """Write P = B' S, with S = (B B')^-1 by elimination, which is small and regular."""
    N, M = B.shape
    R = np.zeros((N, 2 * N), B.dtype)
    for n in range(N):
        for k in range(N):
            for i in range(M):
                R[n, k] += B[n, i] * B[k, i]
        R[n, N + n] = 1
    # B B' is positive definite: no pivots are needed.
    for n in range(N):
        top = R[n, n]
        for k in range(2 * N):
            R[n, k] /= top
        for r in range(N):
            if r != n:
                first = R[r, n]
                for k in range(2 * N):
                    R[r, k] -= first * R[n, k]
    for n in range(N):
        for k in range(N):
            S[n, k] = R[n, N + k]
    for i in range(M):
        for n in range(N):
            P[i, n] = 0
            for k in range(N):
                P[i, n] += B[k, i] * S[k, n]


@_compiled
def _through_inverse(
    gP: np.ndarray, P: np.ndarray, B: np.ndarray, S: np.ndarray, gB: np.ndarray
) -> None:
    """Add to gB what the gradient by P = B' S comes to by B.

    dP = dB' S - P dB P - P B dB' S, so that what is added is
    S gP' (I - P B) - P' gP P'.
    """
    N, M = B.shape
    SG = np.zeros((N, M), B.dtype)
    SGP = np.zeros((N, N), B.dtype)
    PG = np.zeros((N, N), B.dtype)
    for n in range(N):
        for i in range(M):
            for k in range(N):
                SG[n, i] += S[n, k] * gP[i, k]
    for n in range(N):
        for k in range(N):
            for i in range(M):
                SGP[n, k] += SG[n, i] * P[i, k]
                PG[n, k] += P[i, n] * gP[i, k]
    for n in range(N):
        for i in range(M):
            s = SG[n, i]
            for k in range(N):
                s -= SGP[n, k] * B[k, i] + PG[n, k] * P[i, k]
            gB[n, i] += s


@_compiled
def _unpack(
    theta: np.ndarray, at: np.ndarray, kind: int, linear: bool, net: Net
) -> None:
    """Arrays of the recursion from the flat parameters; see `_plrnn_cell.Layout`."""
    A, W1, W2, h1, h2, C, E, B, _ = net
    M, K = C.shape
    N = E.shape[1]
    n_hinges = at[9]
    if kind == 3:
        for i in range(M):
            for k in range(M):
                A[i, k] = theta[at[0] + i * M + k]
        # The last units have a hinge each; A acts on them by its diagonal alone.
        first = M - n_hinges
        for i in range(M):
            for k in range(first, M):
                if i != k:
                    A[i, k] = 0
            for j in range(n_hinges):
                W1[i, j] = theta[at[1] + i * n_hinges + j]
        for j in range(n_hinges):
            W2[first + j, j] = 1
    else:
        for i in range(M):
            A[0, i] = theta[at[0] + i]
        if kind == 2:
            n_bases = n_hinges // M
            for s in range(n_bases):
                slope = theta[at[2] + s]
                for k in range(M):
                    W2[k, s * M + k] = 1
                    for i in range(M):
                        W1[i, s * M + k] = slope * theta[at[1] + i * M + k]
        else:
            for i in range(M):
                for j in range(n_hinges):
                    W1[i, j] = theta[at[1] + i * n_hinges + j]
                    W2[i, j] = theta[at[2] + j * M + i]
        for j in range(n_hinges):
            h2[j] = theta[at[4] + j]
    for i in range(M):
        h1[i] = theta[at[3] + i]
        for k in range(K):
            C[i, k] = theta[at[5] + i * K + k]
    if linear:
        for i in range(M):
            for n in range(N):
                E[i, n] = theta[at[6] + i * N + n]
                B[n, i] = theta[at[7] + n * M + i]
    else:
        for n in range(N):
            E[n, n] = 1
        for i in range(N, M):
            for n in range(N):
                E[i, n] = theta[at[6] + (i - N) * N + n]


@_compiled
def _pack(
    grad: np.ndarray,
    theta: np.ndarray,
    at: np.ndarray,
    kind: int,
    linear: bool,
    change: Net,
    P: np.ndarray,
    B: np.ndarray,
    S: np.ndarray,
) -> None:
    """Gradient by the flat parameters from that by the arrays: `_unpack` transposed."""
    gA, gW1, gW2, gh1, gh2, gC, gE, gB, gP = change
    M, K = gC.shape
    N = gE.shape[1]
    n_hinges = at[9]
    for k in range(len(grad)):
        grad[k] = 0
    if kind == 3:
        first = M - n_hinges
        for i in range(M):
            for k in range(M):
                if k < first or i == k:
                    grad[at[0] + i * M + k] = gA[i, k]
            for j in range(n_hinges):
                grad[at[1] + i * n_hinges + j] = gW1[i, j]
    else:
        for i in range(M):
            grad[at[0] + i] = gA[0, i]
        if kind == 2:
            for s in range(n_hinges // M):
                slope = theta[at[2] + s]
                for k in range(M):
                    for i in range(M):
                        w = gW1[i, s * M + k]
                        grad[at[1] + i * M + k] += slope * w
                        grad[at[2] + s] += theta[at[1] + i * M + k] * w
        else:
            for i in range(M):
                for j in range(n_hinges):
                    grad[at[1] + i * n_hinges + j] = gW1[i, j]
                    grad[at[2] + j * M + i] = gW2[i, j]
        for j in range(n_hinges):
            grad[at[4] + j] = gh2[j]
    for i in range(M):
        grad[at[3] + i] = gh1[i]
        for k in range(K):
            grad[at[5] + i * K + k] = gC[i, k]
    if linear:
        _through_inverse(gP, P, B, S, gB)
        for i in range(M):
            for n in range(N):
                grad[at[6] + i * N + n] = gE[i, n]
                grad[at[7] + n * M + i] = gB[n, i]
    else:
        for i in range(N, M):
            for n in range(N):
                grad[at[6] + (i - N) * N + n] = gE[i, n]


@_compiled
def _add_penalty(
    grad: np.ndarray,
    theta: np.ndarray,
    at: np.ndarray,
    kind: int,
    towards: np.ndarray,
) -> float:
    """Add sum_i towards[i] |(row i of A, W1, h1) - (that of the identity)|^2."""
    M = len(towards)
    width = (at[2] - at[1]) // M
    total = 0.0
    for i in range(M):
        w = towards[i]
        if w == 0:
            continue
        if kind == 3:
            for k in range(M):
                if k < M - at[9] or k == i:
                    d = theta[at[0] + i * M + k] - (1 if k == i else 0)
                    grad[at[0] + i * M + k] += 2 * w * d
                    total += w * d * d
        else:
            d = theta[at[0] + i] - 1
            grad[at[0] + i] += 2 * w * d
            total += w * d * d
        for j in range(width):
            d = theta[at[1] + i * width + j]
            grad[at[1] + i * width + j] += 2 * w * d
            total += w * d * d
        d = theta[at[3] + i]
        grad[at[3] + i] += 2 * w * d
        total += w * d * d
    return total


@_compiled
def _optimise(
    theta: np.ndarray,
    grad: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    step: int,
    lr: float,
    optimiser: int,
    decay: float,
    clip: float,
) -> None:
    """One step of RAdam (Liu et al. 2020, algorithm 2), Adam or AdamW."""
    beta1, beta2, eps = 0.9, 0.999, 1e-8
    norm = 0.0
    for i in range(len(grad)):
        norm += grad[i] * grad[i]
    norm = np.sqrt(norm)
    share = 1.0
    if clip > 0:
        share = min(1.0, clip / (norm + 1e-6))
    bias1 = 1 - beta1**step
    bias2 = 1 - beta2**step
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * step * beta2**step / bias2
    rate = lr / bias1
    adaptive = True
    root = np.sqrt(bias2)
    if optimiser == 0:
        adaptive = length > 5
        if adaptive:
            rate *= np.sqrt(
                (length - 4)
                * (length - 2)
                * longest
                / ((longest - 4) * (longest - 2) * length)
            )
    for i in range(len(theta)):
        g = grad[i] * share
        if decay != 0:
            if optimiser == 2:
                theta[i] -= lr * decay * theta[i]
            else:
                g += decay * theta[i]
        first[i] = beta1 * first[i] + (1 - beta1) * g
        second[i] = beta2 * second[i] + (1 - beta2) * g * g
        if adaptive and optimiser == 0:
            theta[i] -= rate * first[i] * root / (np.sqrt(second[i]) + eps)
        elif adaptive:
            theta[i] -= rate * first[i] / (np.sqrt(second[i]) / root + eps)
        else:
            theta[i] -= rate * first[i]


@_compiled
def _zeros(M: int, n_hinges: int, K: int, N: int, dtype: Any) -> Net:
    """Arrays for a network of these sizes, rows of hinges padded."""
    L = max(-(-n_hinges // _LANES), 1) * _LANES
    return Net(
        np.zeros((M, M), dtype),
        np.zeros((M, L), dtype),
        np.zeros((M, L), dtype),
        np.zeros(M, dtype),
        np.zeros(L, dtype),
        np.zeros((M, K), dtype),
        np.zeros((M, N), dtype),
        np.zeros((N, M), dtype),
        np.zeros((M, N), dtype),
    )


@_compiled
def _flat_gradient(
    X: np.ndarray,
    U: np.ndarray,
    forcing: np.ndarray,
    skip: int,
    theta: np.ndarray,
    at: np.ndarray,
    kind: int,
    linear: bool,
    net: Net,
    change: Net,
    grad: np.ndarray,
) -> float:
    """Write the gradient by the flat parameters; the loss. The nets are room for it."""
    N = X.shape[2]
    S = np.zeros((N, N), theta.dtype)
    _unpack(theta, at, kind, linear, net)
    if linear:
        _right_inverse(net.B, S, net.P)
    loss = loss_and_gradient(
        X, U, forcing, skip, kind == 3, kind == 1, linear, net, change
    )
    _pack(grad, theta, at, kind, linear, change, net.P, net.B, S)
    return loss


@_compiled
def flat_loss(
    X: np.ndarray,
    U: np.ndarray,
    forcing: np.ndarray,
    skip: int,
    theta: np.ndarray,
    at: np.ndarray,
    n_latent: int,
    kind: int,
    linear: bool,
    grad: np.ndarray,
) -> float:
    """Mean squared error of one batch; `grad` is overwritten by its gradient.

    The arguments are those of `epoch`, with `X` and `U` of one batch.
    """
    K, N = U.shape[2], X.shape[2]
    net = _zeros(n_latent, at[9], K, N, theta.dtype)
    change = _zeros(n_latent, at[9], K, N, theta.dtype)
    return _flat_gradient(
        X, U, forcing, skip, theta, at, kind, linear, net, change, grad
    )


@_compiled
def epoch(
    X: np.ndarray,
    U: np.ndarray,
    forcing: np.ndarray,
    skip: int,
    theta: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    at: np.ndarray,
    n_latent: int,
    kind: int,
    linear: bool,
    towards: np.ndarray,
    step: int,
    lr: float,
    optimiser: int,
    decay: float,
    clip: float,
) -> float:
    """Train on all batches, one optimiser step each; the mean loss.

    Parameters
    ----------
    X, U : arrays (n_batches, batch, T + 1, N) and (n_batches, batch, T + 1, K)
    forcing : array (T + 1,)
    skip : int
        Steps of windows that are not counted.
    theta, first, second : arrays (n_parameters,)
        Parameters and the optimiser's moments; changed in place.
    at : array of int (10,)
        Where the parts of `theta` begin, and the number of hinges.
    n_latent, kind, linear : int, int, bool
        M; one of `KINDS`; whether the observation is a trained matrix.
    towards : array (M,)
        Penalty that pulls each unit towards the identity.
    step : int
        Optimiser steps taken before.
    lr, optimiser, decay, clip : float, int, float, float
        A `clip` of 0 does not clip.

    Returns
    -------
    float
        NaN where it diverged; a batch whose gradient is not finite changes nothing.
    """
    n_batches, _, _, N = X.shape
    K, dtype = U.shape[3], theta.dtype
    net = _zeros(n_latent, at[9], K, N, dtype)
    change = _zeros(n_latent, at[9], K, N, dtype)
    grad = np.zeros(len(theta), dtype)
    total = 0.0
    for i in range(n_batches):
        loss = _flat_gradient(
            X[i], U[i], forcing, skip, theta, at, kind, linear, net, change, grad
        )
        total += loss + _add_penalty(grad, theta, at, kind, towards)
        norm = 0.0
        for k in range(len(grad)):
            norm += grad[k] * grad[k]
        if not np.isfinite(norm):
            continue
        step += 1
        _optimise(theta, grad, first, second, step, lr, optimiser, decay, clip)
    return total / max(n_batches, 1)


@_compiled
def free_run(
    state: np.ndarray,
    n_steps: int,
    U: np.ndarray,
    full: bool,
    clipped: bool,
    net: Net,
) -> np.ndarray:
    """States (batch, n_steps, M) after `state` (batch, M), without forcing.

    U is (batch, n_steps, K). The step is that of `loss_and_gradient`, written out in
    both: as a function of its own it made gradients of small networks slower by half.
    """
    A, W1, W2, h1, h2, C, _, _, _ = net
    batch, M = state.shape
    L, K = W1.shape[1], U.shape[2]
    kind = W1.dtype
    zero = W1.dtype.type(0)
    Z = np.empty((batch, n_steps, M), kind)
    p = np.empty(L, kind)
    y = np.empty(M, kind)
    for b in range(batch):
        for i in range(M):
            y[i] = state[b, i]
        for t in range(n_steps):
            if clipped:
                for j in range(L):
                    p[j] = zero
            else:
                for j in range(L):
                    p[j] = h2[j]
            for i in range(M):
                w = W2[i]
                yi = y[i]
                for j in range(L):
                    p[j] += w[j] * yi
            if clipped:
                for j in range(L):
                    p[j] = max(p[j] + h2[j], zero) - max(p[j], zero)
            else:
                for j in range(L):
                    p[j] = max(p[j], zero)
            for i in range(M):
                w = W1[i]
                s = h1[i]
                for j in range(L):
                    s += w[j] * p[j]
                if full:
                    for k in range(M):
                        s += A[i, k] * y[k]
                else:
                    s += A[0, i] * y[i]
                for k in range(K):
                    s += C[i, k] * U[b, t, k]
                Z[b, t, i] = s
            for i in range(M):
                y[i] = Z[b, t, i]
    return Z

"""The PLRNN as a PyTorch module: one autograd function, with its backward by hand.

`ForcedLoss` is the mean squared error of a batch of windows under teacher forcing as
one operation. Its backward is the adjoint recursion of `_plrnn_kernels`, written out,
instead of a tape of some ten operations for each step. Where it runs is chosen by
itself:

* on a CPU with numba, the compiled loop gives loss and gradient in one pass
  (`CompiledLoss`);
* elsewhere, a loop over time of batched tensor operations, of which the adjoint loop
  needs only those that depend on each other: all gradients by parameters are one
  product at the end;
* on a GPU, for windows of `_LONG` steps and more, parallel in time: the forced
  recursion is solved by Newton's method, each step of which is a scan of affine maps
  (`skdyn.neural._plrnn_parallel`), and so is its adjoint, which is linear.

The gradient is exact in all of them, the one through the right inverse of a trained
observation included.

All arrays have a first axis of models, of which there is mostly one: restarts and grid
points of one shape train together (`skdyn.neural._together`), so that a GPU, which one
small network leaves idle, has all of their sequences at once.

All parameters of a model lie in one vector, so that `train_epoch` can hand the whole of
an epoch to the compiled optimiser, which changes them in place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from skdyn.neural._plrnn_cell import Cell, Layout
from skdyn.neural._training import WindowDraws

try:
    from skdyn.neural import _plrnn_kernels as kernels
except ImportError:  # numba is not installed: PyTorch does all
    kernels = None  # type: ignore[assignment]

__all__ = [
    "CompiledLoss",
    "CompleteStarts",
    "ForcedLoss",
    "PLRNNModule",
    "Weights",
    "cell_of",
    "forced_loss",
]

# Steps from which on a GPU solves windows in parallel in time: below, a step of the
# loop costs less than its share of the scans.
_LONG = 500


class PLRNNModule(torch.nn.Module):
    """A PLRNN that knows its loss.

    Parameters
    ----------
    layout : Layout
        Variant and sizes.
    theta : ndarray of shape (n_parameters,)
        Parameters to start from.
    forcing : callable (progress, cell) -> ndarray of shape (T + 1,)
        Strength of forcing at each row of a window.
    towards : ndarray of shape (M,)
        Penalty that pulls each unit towards the identity.
    optimizer : str
        "radam", "adam" or "adamw", for fused epochs.
    weight_decay, gradient_clip : float
        For fused epochs; a clip of 0 does not clip.
    skip : int
        Steps at the start of windows whose errors force, but are not counted.
    averaging : float
        Decay, for each epoch, of the mean of the parameters that the network is judged
        and used with. 0 takes the last ones.
    fused : bool
        Whether epochs may be fused.
    dtype : torch.dtype
        Of the parameters.
    """

    def __init__(
        self,
        layout: Layout,
        theta: np.ndarray,
        forcing: Callable[[float, Cell], np.ndarray],
        towards: np.ndarray | None = None,
        *,
        optimizer: str = "radam",
        weight_decay: float = 0.0,
        gradient_clip: float = 0.0,
        skip: int = 0,
        averaging: float = 0.0,
        fused: bool = True,
        dtype: Any = torch.float32,
    ) -> None:
        super().__init__()
        self.layout = layout
        start = np.asarray(theta, dtype=np.float64)
        self.theta = torch.nn.Parameter(torch.tensor(start, dtype=dtype))
        pull = np.zeros(layout.n_latent) if towards is None else towards
        self.register_buffer("towards", torch.tensor(pull, dtype=dtype))
        self.register_buffer("average", torch.tensor(start, dtype=dtype))
        self.register_buffer("decay", torch.tensor(float(averaging)))
        self._forcing = forcing
        self._at: np.ndarray | None = None
        self._optimizer, self._decay, self._clip = (
            optimizer,
            float(weight_decay),
            float(gradient_clip),
        )
        self._fused, self._skip = bool(fused), int(skip)
        self._pulls = bool(np.any(pull))
        self._moments: tuple[np.ndarray, np.ndarray] | None = None
        self._steps = 0

    def __getstate__(self) -> dict[str, Any]:
        # What was for training only, and may hold the data.
        return {**self.__dict__, "_forcing": None, "_moments": None}

    @property
    def alpha(self) -> float:
        """Strength of forcing, of the rows that are forced."""
        return float("nan") if self._at is None else float(self._at.max())

    @property
    def cell(self) -> Cell:
        """The arrays of the recursion, in double precision, averaged."""
        return cell_of(self.layout, self.state_dict())

    def before_epoch(self, epoch: int, progress: float) -> None:
        """Settle the strength of forcing for an epoch, and average."""
        theta = self.theta.detach()
        if epoch > 0:
            self.average.mul_(self.decay).add_((1 - self.decay) * theta)
        else:
            self.average.copy_(theta)
        now = self.layout.cell(theta.cpu().numpy())
        self._at = np.asarray(self._forcing(progress, now), dtype=np.float64)

    def loss(self, batch: Any, progress: float) -> torch.Tensor:
        """Mean squared error of windows (x, u, ...), and the penalties."""
        if self._at is None:
            self.before_epoch(0, progress)
        return self.losses(
            [self], [each if each is None else each[None] for each in batch]
        )[0]

    @staticmethod
    def losses(modules: Sequence[PLRNNModule], batch: Any) -> torch.Tensor:
        """Losses of models of one shape, each on windows of its own, all at once.

        Parameters
        ----------
        modules : sequence of PLRNNModule
            Of equal `peers`.
        batch : tuple of tensors of shape (n_models, batch, T + 1, columns), or None
            Rows and inputs.

        Returns
        -------
        tensor of shape (n_models,)
        """
        first = modules[0]
        x, u = batch[0].to(first.theta.dtype), batch[1]
        u = x.new_zeros((*x.shape[:3], 0)) if u is None else u.to(x.dtype)
        strength = np.stack([np.asarray(each._at) for each in modules])
        at = torch.as_tensor(strength, dtype=x.dtype, device=x.device)
        theta = torch.stack([each.theta for each in modules])
        loss = forced_loss(first.layout, theta, x, u, at, skip=first._skip)
        if not any(each._pulls for each in modules):
            return loss
        towards = torch.stack([each.towards for each in modules])
        return loss + _each(first.layout, _penalty)(theta, towards)

    @property
    def peers(self) -> tuple[Any, ...]:
        """What models have in common that train together."""
        return self.layout, self._skip, self.theta.dtype

    def train_epoch(self, batches: Any, lr: float, progress: float) -> Any:
        """An epoch in one compiled call, on a CPU with numba."""
        theta = self.theta.detach()
        if kernels is None or not self._fused or theta.device.type != "cpu":
            return NotImplemented
        flat = theta.numpy()
        if self._moments is None:
            self._moments = np.zeros_like(flat), np.zeros_like(flat)
        if self._at is None:
            self.before_epoch(0, progress)
        assert self._at is not None
        at = batches.starts[..., None] + np.arange(batches.length)
        X = np.ascontiguousarray(batches.rows.numpy()[at], dtype=flat.dtype)
        if batches.inputs is None:
            U = np.zeros((*X.shape[:3], 0), flat.dtype)
        else:
            U = np.ascontiguousarray(batches.inputs.numpy()[at], dtype=flat.dtype)
        loss = kernels.epoch(
            X,
            U,
            self._at.astype(flat.dtype),
            self._skip,
            flat,
            *self._moments,
            self.layout.starts,
            self.layout.n_latent,
            kernels.KINDS[self.layout.variant],
            self.layout.linear,
            self.towards.numpy(),
            self._steps,
            float(lr),
            kernels.OPTIMISERS[self._optimizer],
            self._decay,
            self._clip,
        )
        self._steps += len(X)
        return float(loss)


def cell_of(layout: Layout, state: dict[str, torch.Tensor]) -> Cell:
    """The network of a checkpoint, its parameters averaged up to there."""
    decay = float(state["decay"])
    theta, average = (
        state[name].detach().double().cpu().numpy() for name in ("theta", "average")
    )
    return layout.cell(decay * average + (1 - decay) * theta)


class CompleteStarts(WindowDraws):
    """Windows whose first row has no missing entry: the state starts from it."""

    def __init__(
        self,
        pieces: Any,
        length: int,
        n_batches: int,
        batch_size: int,
        inputs: Any = None,
    ) -> None:
        super().__init__(pieces, length, n_batches, batch_size, inputs=inputs)
        rows = self._parts[0]
        assert rows is not None
        complete = torch.isfinite(rows).all(1).numpy()
        if complete[self._starts].any():
            self._starts = self._starts[complete[self._starts]]
        else:
            raise ValueError(
                f"Training needs windows of {self.length} rows that start with a row "
                f"without missing entries, got none. Lower sequence_length, or fill "
                f"gaps at the start."
            )

    def examples(self, most: int) -> tuple[np.ndarray, np.ndarray]:
        """Evenly spread windows and their inputs, in double precision."""
        some = np.linspace(0, len(self._starts) - 1, min(most, len(self._starts)))
        at = self._starts[some.astype(int)][:, None] + np.arange(self.length)
        rows, inputs, _ = self._parts
        assert rows is not None
        x = rows.numpy()[at].astype(np.float64)
        if inputs is None:
            return x, np.zeros((*x.shape[:2], 0))
        return x, inputs.numpy()[at].astype(np.float64)


class Weights(NamedTuple):
    """What the recursion needs of networks of one shape.

    Attributes
    ----------
    A : tensor of shape (n_models, M, M)
    W1 : tensor of shape (n_models, M, L)
    W2 : tensor of shape (n_models, L, M)
    h2 : tensor of shape (n_models, L)
    B : tensor of shape (n_models, N, M)
    P : tensor of shape (n_models, M, N)
    clipped : bool
        Whether phi(W2 y + h2) is relu(W2 y + h2) - relu(W2 y).
    """

    A: torch.Tensor
    W1: torch.Tensor
    W2: torch.Tensor
    h2: torch.Tensor
    B: torch.Tensor
    P: torch.Tensor
    clipped: bool


def forced_loss(
    layout: Layout,
    theta: torch.Tensor,
    x: torch.Tensor,
    u: torch.Tensor,
    at: torch.Tensor,
    mode: str = "auto",
    skip: int = 0,
) -> torch.Tensor:
    """Mean squared error under forcing, differentiable by the flat parameters.

    Parameters
    ----------
    layout : Layout
        What `theta` means.
    theta : tensor of shape (n_parameters,) or (n_models, n_parameters)
        Of one network or more; of one, all tensors lack the first axis.
    x : tensor of shape (n_models, batch, T + 1, N)
        Windows; NaN is missing, but not in first rows.
    u : tensor of shape (n_models, batch, T + 1, K)
    at : tensor of shape (n_models, T + 1)
        Forcing.
    mode : {"auto", "kernel", "loop", "parallel", "triton"}
        Where it runs; see the module.
    skip : int
        Steps at the start of windows whose errors force, but are not counted.

    Returns
    -------
    tensor of shape () or (n_models,)
    """
    if theta.ndim == 1:
        one = forced_loss(layout, theta[None], x[None], u[None], at[None], mode, skip)
        return one[0]
    if mode == "auto":
        mode = _mode(x)
    if mode == "kernel":
        return CompiledLoss.apply(theta, x, u, at, layout, skip)
    each = _each(layout, arrays)(theta)
    return ForcedLoss.apply(*each, x, u, at, layout.variant == "clipped", mode, skip)


def arrays(layout: Layout, theta: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """A, W1, W2, h1, h2, C, E, B, P of the recursion, differentiable by `theta`."""
    p = layout.split(theta)
    M, N, L = layout.n_latent, layout.n_features, layout.n_hinges
    eye = torch.eye(M, dtype=theta.dtype, device=theta.device)
    A, W1, W2, h2 = p["A"], p["W1"], p["W2"], p["h2"]
    if layout.variant == "almost_linear":
        first = M - L
        A = torch.cat([A[:, :first], A[:, first:] * eye[:, first:]], 1)
        W2, h2 = eye[first:], theta.new_zeros(L)
    elif layout.variant == "dendritic":
        W1 = torch.cat([slope * W1 for slope in W2], 1)
        W2 = eye.repeat(L // M, 1)
    if layout.linear:
        E, B = p["E"], p["B"]
        P = torch.linalg.solve(B @ B.T, B).T
    else:
        E, B = torch.cat([eye[:N, :N], p["E"]]), eye[:N]
        P = B.T
    return A, W1, W2, p["h1"], h2, p["C"], E, B, P


def _penalty(
    layout: Layout, theta: torch.Tensor, towards: torch.Tensor
) -> torch.Tensor:
    """Sum over units of `towards` times their distance from the identity."""
    p = layout.split(theta)
    if p["A"].ndim == 1:
        away = (p["A"] - 1) ** 2
    else:
        M, first = layout.n_latent, layout.n_latent - layout.n_hinges
        eye = torch.eye(M, dtype=theta.dtype, device=theta.device)
        free = eye.clone()
        free[:, :first] = 1
        away = (free * (p["A"] - eye) ** 2).sum(1)
    away = away + (p["W1"] ** 2).sum(1) + p["h1"] ** 2
    return (towards * away).sum()


def _each(layout: Layout, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of one model's flat parameters, for all of them at once."""

    def of_all(*given: torch.Tensor) -> Any:
        if len(given[0]) > 1:
            return torch.vmap(lambda *one: function(layout, *one))(*given)
        # The same without what vmap costs.
        found = function(layout, *(each[0] for each in given))
        alone = isinstance(found, torch.Tensor)
        return found[None] if alone else tuple(each[None] for each in found)

    return of_all


class CompiledLoss(torch.autograd.Function):
    """The losses of batches and their gradients by the compiled loop, at once."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> torch.Tensor:
        """The losses of models (n_models, n_parameters)."""
        *tensors, layout, skip = inputs
        flat, *windows = (
            np.ascontiguousarray(each.detach().numpy()) for each in tensors
        )
        grads, losses = np.empty_like(flat), np.empty(len(flat), flat.dtype)
        kind = kernels.KINDS[layout.variant]
        for k, (theta, x, u, at) in enumerate(zip(flat, *windows, strict=True)):
            losses[k] = kernels.flat_loss(
                *(x, u, at, skip, theta, layout.starts),
                *(layout.n_latent, kind, layout.linear, grads[k]),
            )
        ctx.grads = torch.from_numpy(grads)
        return torch.from_numpy(losses)

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> Any:
        """The gradients by the flat parameters."""
        (factor,) = upstream
        return (factor[:, None] * ctx.grads, *[None] * 5)


class ForcedLoss(torch.autograd.Function):
    """The losses of batches as one operation, its backward by hand."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> torch.Tensor:
        """The losses, from the nine arrays."""
        tensors, (x, u, at), (clipped, mode, skip) = (
            inputs[:9],
            inputs[9:12],
            inputs[12:],
        )
        with torch.no_grad():
            A, W1, W2, h1, h2, C, E, B, P = tensors
            ctx.is_diagonal = A.ndim == 2
            A = torch.diag_embed(A) if ctx.is_diagonal else A
            net = Weights(A, W1, W2, h2, B, P, clipped)
            n_steps = x.shape[2] - 1
            drive = h1[:, None, None] + _times(u[:, :, :n_steps], C.mT)
            Y, wrong = _loops(mode)[0](_times(x[:, :, 0], E.mT), drive, x, at, net)
            seen = ~torch.isnan(x[:, :, skip + 1 :])
            count = seen.sum((1, 2, 3)).clamp(min=1).to(x.dtype)
            ctx.save_for_backward(*net[:-1], x, u, at, Y, wrong, count)
            ctx.clipped, ctx.mode, ctx.skip = clipped, mode, skip
            return (wrong[:, :, skip + 1 :] ** 2).sum((1, 2, 3)) / count

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> Any:
        """The gradients by the nine arrays."""
        (factor,) = upstream
        saved = ctx.saved_tensors
        net = Weights._make((*saved[:6], ctx.clipped))
        grads = _gradient(ctx, net, *saved[6:])
        scaled = (factor.reshape(-1, *[1] * (each.ndim - 1)) * each for each in grads)
        return (*scaled, *[None] * 6)


def _mode(x: torch.Tensor) -> str:
    """Where the recursion runs best."""
    if x.device.type == "cpu":
        return "loop" if kernels is None else "kernel"
    if x.shape[2] > _LONG:
        return "parallel"
    return "loop" if _triton() is None else "triton"


def _triton() -> Any:
    """The compiled loops for GPUs, or None where Triton is not installed."""
    try:
        from skdyn.neural import _plrnn_triton
    except ImportError:
        return None
    return _plrnn_triton


def _loops(mode: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The recursion and its adjoint: functions of the same arguments in all modes."""
    if mode == "parallel":
        from skdyn.neural import _plrnn_parallel as parallel

        return parallel.forward_loop, parallel.backward_loop
    if mode == "triton":
        triton = _triton()
        return triton.forward_loop, triton.backward_loop
    return forward_loop, backward_loop


def hinges(q: torch.Tensor, h2: torch.Tensor, clipped: bool) -> torch.Tensor:
    """Give phi of the pre-activations q without their offset."""
    phi = torch.relu(q + h2)
    return phi - torch.relu(q) if clipped else phi


def slopes(q: torch.Tensor, h2: torch.Tensor, clipped: bool) -> torch.Tensor:
    """The derivative of phi."""
    slope = (q + h2 > 0).to(q.dtype)
    return slope - (q > 0).to(q.dtype) if clipped else slope


def _times(rows: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Products of rows (n_models, ..., i) with the matrix (i, j) of each model."""
    if len(matrices) == 1:
        return rows @ matrices[0]
    return (rows.flatten(1, -2) @ matrices).unflatten(1, rows.shape[1:-1])


def forward_loop(
    Y0: torch.Tensor, V: torch.Tensor, X: torch.Tensor, a: torch.Tensor, net: Weights
) -> tuple[torch.Tensor, torch.Tensor]:
    """States and errors of forced sequences, step by step.

    Parameters
    ----------
    Y0 : tensor (n_models, batch, M)
        First states.
    V : tensor (n_models, batch, T, M)
        h1 + C u.
    X : tensor (n_models, batch, T + 1, N)
        Rows; NaN is missing.
    a : tensor (n_models, T + 1)
        Forcing; the first is not used.
    net : Weights

    Returns
    -------
    Y : tensor (n_models, batch, T + 1, M)
    wrong : tensor (n_models, batch, T + 1, N)
        e, with zeros in the first row.
    """
    zero, missing = X.new_zeros(()), torch.isnan(X)
    y, states, errors = Y0, [Y0], [torch.zeros_like(X[:, :, 0])]
    A, W1, W2, h2, B, P, clipped = net
    At, W1t, W2t, Bt, Pt, h2 = A.mT, W1.mT, W2.mT, B.mT, P.mT, h2[:, None]
    a = a[:, :, None, None]
    for t in range(X.shape[2] - 1):
        z = torch.baddbmm(V[:, :, t], y, At)
        z = torch.baddbmm(z, hinges(y @ W2t, h2, clipped), W1t)
        e = torch.where(missing[:, :, t + 1], zero, X[:, :, t + 1] - z @ Bt)
        y = torch.baddbmm(z, a[:, t + 1] * e, Pt)
        states.append(y)
        errors.append(e)
    return torch.stack(states, 2), torch.stack(errors, 2)


def backward_loop(
    Y: torch.Tensor,
    dwrong: torch.Tensor,
    X: torch.Tensor,
    a: torch.Tensor,
    net: Weights,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sensitivities of a loss to the states of forced sequences, step by step.

    Parameters
    ----------
    Y : tensor (n_models, batch, T + 1, M)
    dwrong : tensor (n_models, batch, T + 1, N)
        dL/de, 0 where missing.
    X, a, net
        See `forward_loop`.

    Returns
    -------
    m : tensor (n_models, batch, T, M)
        dL/dz[t+1].
    g : tensor (n_models, batch, T + 1, M)
        dL/dy[t]; that of the last state is 0.
    """
    A, W1, W2, h2, B, P, clipped = net
    slope = slopes(_times(Y[:, :, :-1], W2.mT), h2[:, None, None], clipped)
    weight = a[:, None, :, None] * (~torch.isnan(X)).to(Y.dtype)
    g = torch.zeros_like(Y[:, :, 0])
    ms, gs = [], [g]
    for t in range(Y.shape[2] - 2, -1, -1):
        back = torch.addcmul(dwrong[:, :, t + 1], weight[:, :, t + 1], g @ P)
        m = torch.baddbmm(g, back, B, alpha=-1)
        g = torch.baddbmm(m @ A, slope[:, :, t] * (m @ W1), W2)
        ms.append(m)
        gs.append(g)
    return torch.stack(ms[::-1], 2), torch.stack(gs[::-1], 2)


def _gradient(
    ctx: Any,
    net: Weights,
    x: torch.Tensor,
    u: torch.Tensor,
    at: torch.Tensor,
    Y: torch.Tensor,
    wrong: torch.Tensor,
    count: torch.Tensor,
) -> list[torch.Tensor]:
    """The adjoint recursion, and one product over all steps for each array."""
    dwrong = (2.0 / count)[:, None, None, None] * wrong
    dwrong[:, :, : ctx.skip + 1] = 0
    m, g = _loops(ctx.mode)[1](Y, dwrong, x, at, net)
    y = Y[:, :, :-1]
    h2 = net.h2[:, None, None]
    q = _times(y, net.W2.mT)
    r = _times(m, net.W1)

    def over(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a.flatten(1, -2).mT @ b.flatten(1, -2)

    seen = (~torch.isnan(x[:, :, 1:])).to(x.dtype)
    strength = at[:, None, 1:, None]
    forced = strength * g[:, :, 1:]
    back = seen * _times(forced, net.P) + dwrong[:, :, 1:]
    # e = x - B z, and the state is z + a P e.
    z = Y[:, :, 1:] - strength * _times(wrong[:, :, 1:], net.P.mT)
    return [
        (m * y).sum((1, 2)) if ctx.is_diagonal else over(m, y),
        over(m, hinges(q, h2, net.clipped)),
        over(slopes(q, h2, net.clipped) * r, y),
        m.sum((1, 2)),
        ((q + h2 > 0) * r).sum((1, 2)),
        over(m, u[:, :, : m.shape[2]]),
        over(g[:, :, 0], x[:, :, 0]),
        -over(back, z),
        over(forced, wrong[:, :, 1:]),
    ]

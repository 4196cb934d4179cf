"""State-space layers in PyTorch: S4D, S5, and the residual block around them.

S4D (Gu, Goel, Gupta & Ré 2022): each of H channels has a diagonal state space of its
own, with one input and one output,

    x' = A x + B u,   y = 2 Re(C x) + D u,

of N / 2 modes that stand for N, as conjugates come in pairs. S5 (Smith, Warrington &
Linderman 2023): one state space of N / 2 modes that all H channels drive and read, with
B (N / 2 x H) and C (H x N / 2).

Both discretise with a trainable step Delta, of each channel or of each mode, so that A,
whose unit of time is arbitrary, is brought to the time scales of the data. One row is
one unit of time; `steps` of other lengths stretch Delta, row by row where they differ.
With "zoh" this is exact for inputs that are held over the row.

Where the real parts of A are trained they are -exp(.), which keeps every mode stable.

The state is a value: it goes in, and comes out beside the answer, so that a sequence
can be cut anywhere. `resets` mark the rows before which the state is forgotten, so that
trajectories can be packed one after the other.

References: see `skdyn.neural.S4D`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from skdyn.neural import _ssm
from skdyn.neural._hippo import initial_diagonal
from skdyn.neural._ssm import Discretisation

__all__ = ["S4Block", "S4DLayer", "S5Layer", "make_blocks", "parameter_groups"]

Mode = Literal["auto", "fft", "chunked", "scan", "recurrent"]

# Rows and states up to which chunks are quicker than the FFT on a CPU.
_SHORT, _FEW = 512, 32
# Rows whose states are held at once where every row has another factor.
_BLOCK = 64


class _Diagonal(nn.Module):
    """What S4D and S5 share: modes, steps, and how they are trained."""

    def __init__(
        self,
        d_model: int,
        d_state: int,
        *,
        init: str,
        disc: Discretisation,
        dt_min: float,
        dt_max: float,
        rows: tuple[int, ...],
        rng: Any,
    ) -> None:
        super().__init__()
        if d_state < 2 or d_state % 2:
            raise ValueError(
                f"A diagonal state space needs an even d_state of at least 2, since "
                f"modes come in conjugate pairs, got {d_state}."
            )
        if not 0 < dt_min <= dt_max:
            raise ValueError(
                f"Steps need 0 < dt_min <= dt_max, got dt_min={dt_min}, "
                f"dt_max={dt_max}."
            )
        self.d_model, self.d_state, self.disc = d_model, d_state, disc
        self.rng = np.random.default_rng(rng)
        A, self._B = initial_diagonal(init, d_state)
        shape = (*rows, d_state // 2)
        dtype = torch.get_default_dtype()
        self.log_decay = self._own(np.broadcast_to(np.log(-A.real), shape), dtype)
        self.frequency = self._own(np.broadcast_to(A.imag, shape), dtype)
        low, high = math.log(dt_min), math.log(dt_max)
        size = rows or (d_state // 2,)
        # Evenly over the range rather than drawn: no time scale is left out.
        steps = low + (high - low) * (np.arange(size[0]) + 0.5) / size[0]
        self.log_step = self._own(self.rng.permutation(steps), dtype)

    @staticmethod
    def _own(values: Any, dtype: torch.dtype) -> nn.Parameter:
        """A parameter that begins at given values."""
        return nn.Parameter(torch.tensor(np.array(values), dtype=dtype))

    def _pair(self, values: np.ndarray) -> nn.Parameter:
        """A complex parameter as real ones, (..., 2)."""
        both = np.stack([values.real, values.imag], axis=-1)
        return self._own(both, torch.get_default_dtype())

    def _normal(self, *shape: int) -> np.ndarray:
        """Complex normal numbers of unit variance."""
        return self.rng.standard_normal((*shape, 2)).view(np.complex128)[..., 0] / (
            math.sqrt(2)
        )

    @property
    def modes(self) -> Tensor:
        """A, complex."""
        return torch.complex(-self.log_decay.exp(), self.frequency)

    @property
    def step_sizes(self) -> Tensor:
        """Delta, per row."""
        return self.log_step.exp()


class S4DLayer(_Diagonal):
    """Diagonal state spaces, one for each channel.

    Parameters
    ----------
    d_model : int
        H, the channels.
    d_state : int, default=64
        N, even: N / 2 modes and their conjugates.
    init : {"lin", "inv", "real", "legs", "ptd"}, default="lin"
        The modes before training, the same for each channel.
    disc : {"zoh", "bilinear"}, default="zoh"
        Discretisation.
    dt_min, dt_max : float, default=1e-3, 1e-1
        Range of Delta before training, in rows, evenly in its logarithm. A mode of
        decay rate r forgets within 1 / (r Delta) rows.
    rng : int, Generator or None, default=None
        Seed of C, D and which channel has which Delta.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 64,
        *,
        init: str = "lin",
        disc: Discretisation = "zoh",
        dt_min: float = 1e-3,
        dt_max: float = 1e-1,
        rng: Any = None,
    ) -> None:
        super().__init__(
            d_model,
            d_state,
            init=init,
            disc=disc,
            dt_min=dt_min,
            dt_max=dt_max,
            rows=(d_model,),
            rng=rng,
        )
        n = d_state // 2
        self.B = self._pair(np.broadcast_to(self._B, (d_model, n)))
        self.C = self._pair(self._normal(d_model, n))
        self.D = self._own(self.rng.standard_normal(d_model), torch.get_default_dtype())

    def discrete(self, rate: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
        """a, b and C of rows that last `rate`, each complex (H, N / 2)."""
        a, g = _ssm.discretise(self.modes, self.step_sizes[:, None] * rate, self.disc)
        return a, g * torch.view_as_complex(self.B), torch.view_as_complex(self.C)

    def initial_state(self, batch: int) -> Tensor:
        """The state of zero, complex (batch, H, N / 2)."""
        like = torch.view_as_complex(self.C)
        return like.new_zeros(batch, *like.shape)

    def forward(
        self,
        u: Tensor,
        state: Tensor | None = None,
        *,
        resets: Tensor | None = None,
        steps: Tensor | float = 1.0,
        mode: Mode = "auto",
    ) -> tuple[Tensor, Tensor]:
        """Run along rows.

        Parameters
        ----------
        u : Tensor of shape (batch, L, H)
        state : complex Tensor of shape (batch, H, N / 2), default=None
            Before the first row; None is zero.
        resets : bool Tensor of shape (batch, L), default=None
            True at rows before which the state is forgotten.
        steps : float or Tensor of shape (batch, L) or (L,), default=1.0
            How long each row lasts, in rows of the training data.
        mode : {"auto", "fft", "chunked", "scan", "recurrent"}, default="auto"
            How; the answer is the same. "auto" is "scan" for steps of different
            lengths, "chunked" for up to 512 rows and 32 states on a CPU, and
            "fft" else.

        Returns
        -------
        y : Tensor of shape (batch, L, H)
        state : complex Tensor of shape (batch, H, N / 2)
            After the last row.
        """
        uneven = isinstance(steps, Tensor) and steps.dim() > 0
        if mode == "auto":
            short = u.shape[1] <= _SHORT and self.d_state <= _FEW
            short = short and u.device.type == "cpu"
            mode = "scan" if uneven else "chunked" if short else "fft"
        if uneven or mode == "scan":
            y, after = self._scan(u, state, resets, steps)
        else:
            if mode not in ("fft", "chunked", "recurrent"):
                raise ValueError(
                    f"mode needs to be auto, fft, chunked, scan or recurrent, got "
                    f"{mode!r}."
                )
            a, b, c = self.discrete(float(steps))
            rows = u.transpose(1, 2)
            if resets is None:
                y, after = _even(a, b, c, rows, state, mode)
            else:
                y, after = _packed(a, b, c, rows, state, resets, mode)
            y = y.transpose(1, 2)
        return y + self.D * u, after

    def _scan(
        self,
        u: Tensor,
        state: Tensor | None,
        resets: Tensor | None,
        steps: Tensor | float,
    ) -> tuple[Tensor, Tensor]:
        """Every row with its own factors, some rows at a time."""
        batch, length, _ = u.shape
        B, C = torch.view_as_complex(self.B), torch.view_as_complex(self.C)
        x = self.initial_state(batch) if state is None else state
        lasting = torch.as_tensor(steps, dtype=u.dtype, device=u.device)
        lasting = lasting.expand(batch, length)
        outputs = []
        for start in range(0, length, _BLOCK):
            part = slice(start, start + _BLOCK)
            step = lasting[:, part, None, None] * self.step_sizes[:, None]
            a, g = _ssm.discretise(self.modes, step, self.disc)
            if resets is not None:
                a = a * ~resets[:, part, None, None]
            states = _ssm.linear_scan(a, g * B * u[:, part, :, None], x, dim=1)
            outputs.append(2 * (C * states).real.sum(-1))
            x = states[:, -1]
        return torch.cat(outputs, dim=1), x

    def step(
        self, u: Tensor, state: Tensor, rate: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """One row: from u (batch, H) and the state to y (batch, H) and the next."""
        a, b, c = self.discrete(rate)
        state = a * state + b * u[..., None]
        return 2 * (c * state).real.sum(-1) + self.D * u, state


def _even(
    a: Tensor, b: Tensor, c: Tensor, u: Tensor, state: Tensor | None, mode: Mode
) -> tuple[Tensor, Tensor]:
    """Rows of one length without resets, u and y (batch, H, L)."""
    if mode == "chunked":
        return _ssm.chunked(a, b, c, u, state)
    if mode == "recurrent":
        return _ssm.recurrent(a, b, c, u, state)
    length = u.shape[-1]
    y = _ssm.convolve(u, _ssm.kernel(c * b, a, length))
    after = _ssm.final_state(a, b, u)
    if state is not None:
        y = y + _ssm.state_response(c, a, state, length)
        after = after + _ssm.power(a, length) * state
    return y, after


def _packed(
    a: Tensor,
    b: Tensor,
    c: Tensor,
    u: Tensor,
    state: Tensor | None,
    resets: Tensor,
    mode: Mode,
) -> tuple[Tensor, Tensor]:
    """Segments, each on a line of its own; what came in goes on to the first reset."""
    line, column, last = _ssm.unpack_segments(resets)
    lines = u.new_zeros(int(line[-1, -1]) + 1, int(column.max()) + 1, u.shape[1])
    lines = lines.index_put((line, column), u.transpose(1, 2))
    y, ends = _even(a, b, c, lines.transpose(1, 2), None, mode)
    y, after = y.transpose(1, 2)[line, column].transpose(1, 2), ends[last]
    if state is not None:
        length = u.shape[-1]
        kept = (resets.cumsum(1) == 0)[:, None]
        y = y + kept * _ssm.state_response(c, a, state, length)
        after = after + kept[..., -1:] * (_ssm.power(a, length) * state)
    return y, after


class S5Layer(_Diagonal):
    """One diagonal state space that all channels drive and read.

    Parameters
    ----------
    d_model : int
        H, the channels.
    d_state : int, default=64
        N, even: N / 2 modes and their conjugates.
    init, disc, dt_min, dt_max, rng
        As in `S4DLayer`; each mode has a Delta of its own.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 64,
        *,
        init: str = "lin",
        disc: Discretisation = "zoh",
        dt_min: float = 1e-3,
        dt_max: float = 1e-1,
        rng: Any = None,
    ) -> None:
        super().__init__(
            d_model,
            d_state,
            init=init,
            disc=disc,
            dt_min=dt_min,
            dt_max=dt_max,
            rows=(),
            rng=rng,
        )
        n = d_state // 2
        drive = self._B[:, None] * self._normal(n, d_model)
        self.B = self._pair(drive / math.sqrt(d_model))
        self.C = self._pair(self._normal(d_model, n) / math.sqrt(n))
        self.D = self._own(self.rng.standard_normal(d_model), torch.get_default_dtype())

    def initial_state(self, batch: int) -> Tensor:
        """The state of zero, complex (batch, N / 2)."""
        return torch.view_as_complex(self.C).new_zeros(batch, self.d_state // 2)

    def forward(
        self,
        u: Tensor,
        state: Tensor | None = None,
        *,
        resets: Tensor | None = None,
        steps: Tensor | float = 1.0,
        mode: Literal["auto", "scan", "recurrent"] = "auto",
    ) -> tuple[Tensor, Tensor]:
        """Run along rows by the associative scan; as `S4DLayer`'s otherwise."""
        lasting = torch.as_tensor(steps, dtype=u.dtype, device=u.device)
        a, driven = self._driven(u, lasting[..., None])
        a = a.expand_as(driven)
        if resets is not None:
            a = a * ~resets[..., None]
        if mode == "recurrent":
            x, each = self.initial_state(len(u)) if state is None else state, []
            for factor, added in zip(a.unbind(1), driven.unbind(1), strict=True):
                x = factor * x + added
                each.append(x)
            states = torch.stack(each, dim=1)
        elif mode in ("auto", "scan"):
            states = _ssm.linear_scan(a, driven, state, dim=1)
        else:
            raise ValueError(f"mode needs to be auto, scan or recurrent, got {mode!r}.")
        return self._read(states) + self.D * u, states[:, -1]

    def step(
        self, u: Tensor, state: Tensor, rate: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """One row: from u (batch, H) and the state to y (batch, H) and the next."""
        a, driven = self._driven(u, rate)
        state = a * state + driven
        return self._read(state) + self.D * u, state

    def _driven(self, u: Tensor, rate: Tensor | float) -> tuple[Tensor, Tensor]:
        a, g = _ssm.discretise(self.modes, self.step_sizes * rate, self.disc)
        B = torch.view_as_complex(self.B)
        return a, g * torch.complex(u @ B.real.mT, u @ B.imag.mT)

    def _read(self, states: Tensor) -> Tensor:
        C = torch.view_as_complex(self.C)
        return 2 * (states.real @ C.real.mT - states.imag @ C.imag.mT)


class S4Block(nn.Module):
    """A residual block: u + GLU(GELU(layer(norm(u)))).

    Parameters
    ----------
    layer : S4DLayer or S5Layer
    d_model : int
        The layer's channels.
    dropout : float, default=0.0
        Share of the layer's outputs that are dropped in training.
    norm : bool, default=True
        Whether each row is normalised over its channels before the layer.
    """

    def __init__(
        self, layer: Any, d_model: int, dropout: float = 0.0, norm: bool = True
    ) -> None:
        super().__init__()
        self.layer = layer
        self.norm: nn.Module = nn.LayerNorm(d_model) if norm else nn.Identity()
        self.mix = nn.Linear(d_model, 2 * d_model)
        self.dropout = nn.Dropout(dropout)

    def initial_state(self, batch: int) -> Tensor:
        """The layer's state of zero."""
        state: Tensor = self.layer.initial_state(batch)
        return state

    def forward(
        self, u: Tensor, state: Tensor | None = None, **how: Any
    ) -> tuple[Tensor, Tensor]:
        """Run along rows, (batch, L, H); see `S4DLayer.forward`."""
        y, state = self.layer(self.norm(u), state, **how)
        return u + self._after(y), state

    def step(
        self, u: Tensor, state: Tensor, rate: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """One row, (batch, H)."""
        y, state = self.layer.step(self.norm(u), state, rate)
        return u + self._after(y), state

    def _after(self, y: Tensor) -> Tensor:
        y = self.dropout(nn.functional.gelu(y))
        return nn.functional.glu(self.mix(y), dim=-1)


def make_blocks(
    seeds: Iterable[Any],
    d_model: int,
    d_state: int,
    *,
    dropout: float,
    norm: bool = True,
    **how: Any,
) -> nn.ModuleList:
    """A stack of S4D blocks, one for each seed.

    Parameters
    ----------
    seeds : iterable
        Of the layers, as `S4DLayer` takes them.
    d_model, d_state : int
    dropout : float
    norm : bool, default=True
        As in `S4Block`.
    **how : dict
        What else `S4DLayer` takes: init, disc, dt_min, dt_max.

    Returns
    -------
    nn.ModuleList of S4Block
    """
    return nn.ModuleList(
        S4Block(S4DLayer(d_model, d_state, rng=seed, **how), d_model, dropout, norm)
        for seed in seeds
    )


def parameter_groups(
    module: nn.Module, lr: float, weight_decay: float, ssm_lr: float
) -> list[dict[str, Any]]:
    """Groups for an optimiser: state-space parameters by themselves.

    Modes, steps, B, C and D learn at `ssm_lr` and are not decayed: their zero means
    nothing.

    Parameters
    ----------
    module : nn.Module
    lr, weight_decay : float
        Of all other parameters.
    ssm_lr : float
        Of the state spaces.

    Returns
    -------
    list of dict
    """
    own = {
        id(parameter)
        for layer in module.modules()
        if isinstance(layer, _Diagonal)
        for parameter in layer.parameters()
    }
    trained = [each for each in module.parameters() if each.requires_grad]
    ssm = [each for each in trained if id(each) in own]
    rest = [each for each in trained if id(each) not in own]
    groups = [
        {"params": rest, "lr": lr, "weight_decay": weight_decay},
        {"params": ssm, "lr": ssm_lr, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]

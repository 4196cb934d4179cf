"""Free runs of `S4D` in PyTorch, on a GPU as one CUDA graph that is replayed.

The step is that of `_s4d_core.Network.step` with the base's, in double precision as
there, and in as few kernels as can be: some twenty for each row, each of which a GPU is
done with before Python has launched the next. So everything stands in buffers that stay
where they are - states, last rows, inputs, forecasts - and the step changes them in
place; a few rows are captured once as a graph, which is launched as one.

What a base adds has to be known here to be captured (`known_base`): the last row,
polynomial ridge regression, and `skdyn.reservoir.NVAR`, which are all polynomials of
delayed rows. With any other, forecasts stay in NumPy.

The same step runs uncaptured on a CPU, which is how it is tested where there is no GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skdyn.neural._s4d_base import Base, Held, Outside, PolynomialRidge
from skdyn.neural._s4d_core import Network
from skdyn.neural._torch import ALONE

__all__ = ["FreeRun", "known_base", "roll_out"]

# Rows of one graph: launching it and fetching its rows cost the less, and capturing it
# the more, the more there are.
_CHUNK = 16
# Steps before the capture, on its stream: libraries set themselves up in the first ones
# (PyTorch's notes on CUDA semantics, "CUDA Graphs").
_WARM_UP = 3
# Numbers in the states of trajectories that go forward together: 128 MiB.
_NUMBERS = 2**24


class _Polynomial:
    """psi(w) W, plus the last row where that is asked, of delayed rows o.

    w = clip(a o + b). Each monomial is a product of columns of (w, 1), as many as the
    degree: all are made at once, by a look-up and a product for each degree.

    Parameters
    ----------
    n_columns : int
        Columns of o.
    columns : ndarray of int, shape (n_variables,)
        Which of them are the variables of psi.
    powers : ndarray of int, shape (n_terms, n_variables)
        Exponents.
    coef : ndarray of shape (n_terms, d)
        W.
    added : bool
        Whether the first d columns of o are added.
    a, b, low, high : float or ndarray of shape (n_rows * n_in,)
        Units and range.
    """

    def __init__(
        self,
        n_columns: int,
        columns: np.ndarray,
        powers: np.ndarray,
        coef: np.ndarray,
        added: bool,
        device: str,
        *,
        a: Any = 1.0,
        b: Any = 0.0,
        low: Any = -np.inf,
        high: Any = np.inf,
    ) -> None:
        def here(values: Any) -> Tensor:
            return torch.tensor(values, dtype=torch.float64, device=device)

        # The constant stands behind all columns.
        degree = max(int(powers.sum(axis=1).max()), 1)
        factors = np.full((degree, len(powers)), n_columns)
        for term, exponents in enumerate(powers):
            chosen = np.repeat(columns, exponents)
            factors[: len(chosen), term] = chosen
        self.factors = [torch.tensor(each, device=device) for each in factors[::-1]]
        self.a, self.b, self.low, self.high, self.coef = map(
            here, (a, b, low, high, coef)
        )
        self.d = coef.shape[1] if added else 0

    def __call__(self, o: Tensor) -> Tensor:
        """The next row, (batch, d)."""
        w = torch.addcmul(self.b, self.a, o).clamp(self.low, self.high)
        w = torch.cat([w, torch.ones_like(w[:, :1])], dim=1)
        psi = w.index_select(1, self.factors[0])
        for factor in self.factors[1:]:
            psi = psi * w.index_select(1, factor)
        row = psi @ self.coef
        return row + o[:, : self.d] if self.d else row


def known_base(base: Base, device: str) -> Callable[[Tensor], Tensor] | None:
    """The base on a device, or None for one that is not known to PyTorch."""
    if isinstance(base, Held):
        d = base.n_features
        return lambda o: o[:, :d]
    if isinstance(base, PolynomialRidge):
        return _Polynomial(
            len(base.low),
            np.arange(len(base.low)),
            base.lift.powers_,
            base.coef,
            True,
            device,
            low=base.low,
            high=base.high,
        )
    # Families do not import each other: NVAR is known by whose step it takes.
    if isinstance(base, Outside):
        nvar = base.forecaster
        if type(nvar)._step.__qualname__ == "NVAR._step":
            return _nvar(nvar, base, device)
    return None


def _nvar(nvar: Any, base: Outside, device: str) -> _Polynomial:
    """The step of an NVAR between rows in other units than its own."""
    d, n_in = base.n_features, len(base.mean)
    lags = np.asarray(nvar._lags)[:, None]
    ratio = nvar.scale_ / base.scale
    off = (nvar.mean_ - base.mean) / base.scale
    coef = nvar._coef * ratio[:d]
    added = nvar.target == "delta"
    if not added:
        # The first monomial is the constant.
        coef[0] += off[:d]
    return _Polynomial(
        base.n_rows * n_in,
        (lags * n_in + np.arange(n_in)).ravel(),
        nvar._lift.powers_,
        coef,
        added,
        device,
        a=np.tile(1 / ratio, base.n_rows),
        b=np.tile(-off / ratio, base.n_rows),
    )


class FreeRun:
    """Free runs of up to so many trajectories at once, in buffers on a device.

    Parameters
    ----------
    network : Network
    base : callable
        From `known_base`.
    scale : ndarray of shape (d,)
        sigma.
    n_rows, n_inputs, batch : int
        Rows that the base needs, inputs, and trajectories.
    device : str
        "cpu", or a GPU, which is the current one.
    captured : bool
        Whether steps are a CUDA graph. False launches them one by one.
    """

    def __init__(
        self,
        network: Network,
        base: Callable[[Tensor], Tensor],
        scale: np.ndarray,
        n_rows: int,
        n_inputs: int,
        batch: int,
        device: str,
        captured: bool,
    ) -> None:
        def here(values: Any) -> Tensor:
            return torch.tensor(values, device=device)

        d = len(scale)
        self.base, self.scale = base, here(scale)
        self.encoder = here(network.encoder_bias), here(network.encoder)
        self.head = here(network.head_bias), here(network.head)
        self.stack = [
            (
                here(layer.a[..., None]),
                here(2 * layer.c[:, None]),
                here(layer.D[:, None]),
                here(layer.mix_bias),
                here(layer.mix),
            )
            for layer in network.layers
        ]
        self.layers = here(network.zero(batch))
        self.past = here(np.zeros((batch, n_rows, d + n_inputs)))
        self.acting = here(np.zeros((_CHUNK, batch, n_inputs)))
        self.rows = here(np.zeros((_CHUNK, batch, d)))
        self.graph = self._captured() if captured else None

    def run(
        self, layers: np.ndarray, past: np.ndarray, n_steps: int, u: np.ndarray | None
    ) -> np.ndarray:
        """Free runs (n, n_steps, d) of n trajectories, at most as many as there are.

        Parameters
        ----------
        layers : ndarray of shape (n_layers, H, N / 2, n)
        past : ndarray of shape (n, n_rows, n_in)
        n_steps : int
        u : ndarray of shape (n, n_steps, n_inputs) or None
        """
        n = len(past)
        # What else stands in the buffers runs along, and is not looked at.
        self.layers[..., :n].copy_(torch.from_numpy(layers))
        self.past[:n].copy_(torch.from_numpy(past))
        rows = np.empty((n, n_steps, len(self.scale)))
        for start in range(0, n_steps, _CHUNK):
            stop = min(start + _CHUNK, n_steps)
            if u is not None:
                given = np.ascontiguousarray(u[:, start:stop].swapaxes(0, 1))
                self.acting[: stop - start, :n].copy_(torch.from_numpy(given))
            if self.graph is None:
                self._some_rows()
            else:
                self.graph.replay()
            made = self.rows[: stop - start, :n].cpu().numpy()
            rows[:, start:stop] = made.swapaxes(0, 1)
        return rows

    def _some_rows(self) -> None:
        for k in range(_CHUNK):
            self._row(k)

    def _row(self, k: int) -> None:
        """One row further, in place; what is written is all in the buffers."""
        past, d = self.past, len(self.scale)
        past[:, 0, d:] = self.acting[k]
        z, parts = past[:, 0], []
        h = torch.addmm(self.encoder[0], z, self.encoder[1])
        for x, (a, c, D, mix_bias, mix) in zip(self.layers, self.stack, strict=True):
            drive = h.T
            x.mul_(a)
            x.real.add_(drive[:, None])
            s = torch.addcmul(torch.bmm(c, x).real[:, 0], D, drive)
            s = torch.nn.functional.gelu(s)
            both = torch.addmm(mix_bias, s.T, mix)
            parts.append(torch.nn.functional.glu(both, dim=1))
            h = h + parts[-1]
        left = torch.addmm(self.head[0], torch.cat([*parts, z], dim=1), self.head[1])
        row = torch.addcmul(self.base(past.flatten(1)), self.scale, left)
        self.rows[k] = row
        past[:, 1:] = past[:, :-1].clone()
        past[:, 0, :d] = row

    def _captured(self) -> Any:
        """The rows as a graph, made in the order that PyTorch's notes on it give."""
        # A stream of its own: the one that torch.cuda.graph keeps is one GPU's.
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                self._row(0)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            self._some_rows()
        return graph


def roll_out(
    network: Network,
    base: Base,
    scale: np.ndarray,
    layers: np.ndarray,
    past: np.ndarray,
    n_steps: int,
    u: np.ndarray | None,
    device: str,
) -> np.ndarray | None:
    """Free runs (batch, n_steps, d), as `_s4d._go_on` has them, on a device.

    Parameters
    ----------
    network : Network
    base : Base
    scale : ndarray of shape (d,)
        sigma.
    layers : ndarray of shape (n_layers, H, N / 2, batch)
        States before the last row.
    past : ndarray of shape (batch, n_rows, n_in)
        The last rows, the newest first.
    n_steps : int
    u : ndarray of shape (batch, n_steps, n_inputs) or None
    device : str

    Returns
    -------
    ndarray of shape (batch, n_steps, d), or None
        None for a base that is not known to PyTorch, or where the GPU is full.
    """
    batch, n_rows, n_in = past.shape
    n_parts = -(-batch * network.n_state // _NUMBERS)
    some = -(-batch // n_parts)
    gpu = torch.device(device).type == "cuda"
    # While a graph is captured nothing else may go on on the GPU. Where that is full,
    # NumPy, which has the computer's memory, does it.
    here = torch.cuda.device(device) if gpu else nullcontext()
    with suppress(torch.cuda.OutOfMemoryError), ALONE, torch.no_grad(), here:
        known = known_base(base, device)
        if known is None:
            return None
        n_inputs = n_in - len(scale)
        free = FreeRun(network, known, scale, n_rows, n_inputs, some, device, gpu)
        rows = np.empty((batch, n_steps, len(scale)))
        for start in range(0, batch, some):
            part = slice(start, start + some)
            rows[part] = free.run(
                np.ascontiguousarray(layers[..., part]),
                past[part],
                n_steps,
                None if u is None else u[part],
            )
        # The graph ends here, not while another thread captures one.
        del free
        return rows
    return None

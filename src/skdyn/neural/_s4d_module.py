"""The network of `S4D` in PyTorch: what is trained.

See `_s4d_core` for the equations. Of the loss, with r the target of the net (what the
base leaves, in units of its own deviation), burn-in rows left out:

* one step ahead: mean |net - r|², from rows with noise where there is any, whose
  targets lead back to the rows without;
* in the last part of training, student forcing: from the state at the end of the
  window's first part the model runs on its own forecasts, and the mean squared error
  of these, in units of r, is added; each step counts 1 / (1 + its error at no gradient)
  so that one start that is lost does not drown the others;
* where asked for, the squared maximum mean discrepancy between the rows of these free
  runs and those of the data (Gretton et al. 2012, eq. 3), over all of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skdyn.neural._s4_layers import make_blocks, parameter_groups
from skdyn.neural._s4d_core import Layer, Network
from skdyn.neural._ssm import Discretisation, discretise

__all__ = ["Hold", "Monomials", "S4DNet", "Training"]


@dataclass(frozen=True)
class Training:
    """What the loss needs beside the batch.

    Attributes
    ----------
    burn_in : int
        Rows of a window that only fill the state.
    noise : float
        Deviation of the noise on the rows that come in, in units of the data's.
    rollout : int
        Steps of student forcing; 0 is none.
    rollout_from : float
        The progress from which on it is done.
    attractor : float
        Weight of the discrepancy.
    ssm_lr : float
        Learning rate of the state spaces, relative to that of the rest.
    """

    burn_in: int
    noise: float = 0.0
    rollout: int = 0
    rollout_from: float = 0.6
    attractor: float = 0.0
    ssm_lr: float = 1.0


class S4DNet(nn.Module):
    """Encoder, residual S4D blocks and a linear head.

    Parameters
    ----------
    n_in, n_out : int
        Columns of rows with inputs, and of rows.
    n_layers, d_model, d_state, init, disc, dt_min, dt_max
        As in `skdyn.neural.S4D`.
    scale : ndarray of shape (n_out,)
        Deviation of what the base leaves, in units of standardised rows.
    base : nn.Module or None
        From delayed rows, standardised, (..., n_rows * n_in), the newest first, to the
        next row. None where that is not known to PyTorch: then noise leaves the targets
        as they are, and there is no student forcing.
    n_rows : int
        Rows that the base needs.
    training : Training
    dropout : float
    rng : int
        Seed.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        n_layers: int,
        d_model: int,
        d_state: int,
        init: str,
        disc: Discretisation,
        dt_min: float,
        dt_max: float,
        scale: np.ndarray,
        base: nn.Module | None,
        n_rows: int,
        training: Training,
        dropout: float,
        rng: int,
    ) -> None:
        super().__init__()
        seeds = np.random.SeedSequence(rng).spawn(n_layers)
        self.encoder = nn.Linear(n_in, d_model)
        self.blocks = make_blocks(
            seeds,
            d_model,
            d_state,
            dropout=dropout,
            norm=False,
            init=init,
            disc=disc,
            dt_min=dt_min,
            dt_max=dt_max,
        )
        self.head = nn.Linear(n_layers * d_model + n_in, n_out)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.base, self.n_rows, self.how = base, n_rows, training
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))

    # -- running -----------------------------------------------------------------------

    def features(self, z: Tensor, **how: Any) -> tuple[Tensor, list[Tensor]]:
        """Features (batch, L, n_features) of rows, and the states of the layers."""
        h, parts, states = self.encoder(z), [], []
        for block in self.blocks:
            y, state = block.layer(h, **how)
            parts.append(block._after(y))
            h = h + parts[-1]
            states.append(state)
        return torch.cat([*parts, z], dim=-1), states

    def forward(self, z: Tensor) -> Tensor:
        """The net's answer for rows z (batch, L, n_in), in units of `scale`."""
        out: Tensor = self.head(self.features(z)[0])
        return out

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """State spaces by themselves; see `_s4_layers.parameter_groups`."""
        return parameter_groups(self, lr, weight_decay, lr * self.how.ssm_lr)

    # -- training ----------------------------------------------------------------------

    def loss(self, batch: Any, progress: float) -> Tensor:
        """The loss of windows (x, u, left): rows, inputs, and what the base leaves."""
        x, u, left = batch
        late = progress >= self.how.rollout_from and self.base is not None
        rolled = self.how.rollout if late else 0
        n = x.shape[1] - 1 - rolled
        rows, target = x[:, :n], left[:, :n]
        if self.how.noise:
            seen = rows + self.how.noise * torch.randn_like(rows)
            if self.base is not None:
                moved = self._base(rows, u) - self._base(seen, u)
                target = target + moved / self.scale
            rows = seen
        z = rows if u is None else torch.cat([rows, u[:, :n]], dim=-1)
        features, states = self.features(z)
        burn = self.how.burn_in
        error = (self.head(features[:, burn:]) - target[:, burn:]).square()
        loss = error.mean()
        if rolled:
            loss = loss + self._free_run(x, u, n, states, features[:, -1])
        return loss

    def _base(self, rows: Tensor, u: Tensor | None) -> Tensor:
        """The base's next row for all rows of windows (batch, n, d)."""
        z = rows if u is None else torch.cat([rows, u[:, : rows.shape[1]]], dim=-1)
        z = torch.cat([z[:, :1].expand(-1, self.n_rows - 1, -1), z], dim=1)
        windows = z.unfold(1, self.n_rows, 1).flip(-1).transpose(-1, -2).flatten(-2)
        assert self.base is not None
        out: Tensor = self.base(windows)
        return out

    def _free_run(
        self,
        x: Tensor,
        u: Tensor | None,
        n: int,
        states: list[Tensor],
        features: Tensor,
    ) -> Tensor:
        """Student forcing from row n - 1 on: errors of the rows n, n + 1, ..."""
        assert self.base is not None
        z = x if u is None else torch.cat([x, u], dim=-1)
        past = [z[:, n - 1 - j] for j in range(self.n_rows)]
        discrete = [block.layer.discrete() for block in self.blocks]
        errors, rows = [], []
        for k in range(n, x.shape[1]):
            row = self.base(torch.cat(past, dim=-1)) + self.scale * self.head(features)
            error = ((row - x[:, k]) / self.scale).square().mean(-1)
            errors.append(error / (1 + error.detach()))
            rows.append(row)
            if k + 1 == x.shape[1]:
                break
            now = row if u is None else torch.cat([row, u[:, k]], dim=-1)
            past = [now, *past[:-1]]
            h, parts, after = self.encoder(now), [], []
            for block, state, (a, b, c) in zip(
                self.blocks, states, discrete, strict=True
            ):
                state = a * state + b * h[..., None]
                y = 2 * (c * state).real.sum(-1) + block.layer.D * h
                parts.append(block._after(y))
                h = h + parts[-1]
                after.append(state)
            states, features = after, torch.cat([*parts, now], dim=-1)
        loss = torch.stack(errors).mean()
        if self.how.attractor:
            free = torch.stack(rows, dim=1).flatten(0, 1)
            loss = loss + self.how.attractor * discrepancy(free, x.flatten(0, 1))
        return loss

    # -- out of PyTorch ----------------------------------------------------------------

    def network(self) -> Network:
        """The same in NumPy, in double precision."""

        def plain(value: Tensor) -> np.ndarray:
            kind = np.complex128 if value.is_complex() else np.float64
            return value.detach().cpu().numpy().astype(kind)

        layers = []
        for block in self.blocks:
            layer = block.layer
            decay, frequency, step, B, C = (
                value.detach().cpu().double()
                for value in (
                    layer.log_decay,
                    layer.frequency,
                    layer.log_step,
                    layer.B,
                    layer.C,
                )
            )
            A = torch.complex(-decay.exp(), frequency)
            a, g = discretise(A, step.exp()[:, None], layer.disc)
            b = g * torch.view_as_complex(B)
            layers.append(
                Layer(
                    plain(a),
                    plain(torch.view_as_complex(C) * b),
                    plain(layer.D),
                    plain(block.mix.weight).T.copy(),
                    plain(block.mix.bias),
                )
            )
        return Network(
            plain(self.encoder.weight).T.copy(),
            plain(self.encoder.bias),
            tuple(layers),
            plain(self.head.weight).T.copy(),
            plain(self.head.bias),
        )


class Hold(nn.Module):
    """The last row is the next.

    Parameters
    ----------
    n_out : int
        Columns of rows.
    """

    def __init__(self, n_out: int) -> None:
        super().__init__()
        self.n_out = n_out

    def forward(self, o: Tensor) -> Tensor:
        """The next row for delayed rows o (..., n_variables)."""
        return o[..., : self.n_out]


class Monomials(nn.Module):
    """Monomials of rows times coefficients, which are not trained.

    Parameters
    ----------
    products : sequence of (int, int, int, int)
        Variable, and start, stop and target of columns; see `PolynomialLift`.
    coef : ndarray of shape (n_terms, n_out)
        Coefficients of the increment of the first `n_out` columns.
    low, high : ndarray of shape (n_variables,)
        The range that monomials are taken of.
    """

    def __init__(
        self, products: Any, coef: np.ndarray, low: np.ndarray, high: np.ndarray
    ) -> None:
        super().__init__()
        self.products = tuple(products)
        for name, value in (("coef", coef), ("low", low), ("high", high)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float32))

    def forward(self, o: Tensor) -> Tensor:
        """The next row for delayed rows o (..., n_variables)."""
        within = o.clamp(self.low, self.high)
        columns = torch.cat([torch.ones_like(o[..., :1]), within], dim=-1)
        for i, start, stop, _ in self.products:
            higher = within[..., i, None] * columns[..., start:stop]
            columns = torch.cat([columns, higher], dim=-1)
        out: Tensor = o[..., : self.coef.shape[1]] + columns @ self.coef
        return out


def discrepancy(x: Tensor, y: Tensor, most: int = 512) -> Tensor:
    """Squared maximum mean discrepancy of two sets of rows, by the mean of widths.

    Gaussian kernels of 1/4, 1/2, 1, 2 and 4 times the root of the mean squared distance
    of rows of `y`; at most `most` rows of each, evenly.
    """
    x, y = x[:: -(-len(x) // most)], y[:: -(-len(y) // most)]
    within, across, among = (
        torch.cdist(a, b).square() for a, b in ((x, x), (x, y), (y, y))
    )
    unit = among.mean().clamp(min=1e-12)
    total = x.new_zeros(())
    for width in (0.25, 0.5, 1.0, 2.0, 4.0):
        of = [
            torch.exp(-d / (2 * width**2 * unit)).mean()
            for d in (within, across, among)
        ]
        total = total + of[0] - 2 * of[1] + of[2]
    return total / 5

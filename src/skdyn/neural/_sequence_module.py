"""The net of `S4DClassifier` and `S4DRegressor`, its batches and its answers.

Rows (batch, L, d) are lifted to H channels by a linear map, pass `n_layers` residual
blocks (`S4Block`), are normalised, pooled over the rows that are there, and read by a
linear map. All layers are causal: rows that fill a batch up after the end of a shorter
sequence change nothing before them, and pooling leaves them out.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skdyn.neural._s4_layers import make_blocks, parameter_groups

__all__ = ["SequenceBatches", "SequenceNet", "answers"]


class SequenceNet(nn.Module):
    """Whole sequences in, class scores or numbers out.

    Parameters
    ----------
    n_inputs, n_outputs : int
        Features of a row, and what is asked of a sequence.
    n_layers, d_model, d_state, init, disc, dt_min, dt_max, dropout
        See `S4DClassifier`; `dt_min` and `dt_max` are numbers here.
    pool : {"mean", "last", "max"}
        What the rows of a sequence are brought to one by.
    classify : bool
        Whether the loss is the cross-entropy, or the mean squared error.
    ssm_lr : float
        Learning rate of the state spaces, as a share of that of the rest.
    rng : int
        Seed of the layers.
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        *,
        n_layers: int,
        d_model: int,
        d_state: int,
        init: str,
        disc: Any,
        dt_min: float,
        dt_max: float,
        dropout: float,
        pool: str,
        classify: bool,
        ssm_lr: float,
        rng: int,
    ) -> None:
        super().__init__()
        self.pool, self.classify, self.ssm_lr = pool, classify, ssm_lr
        self.lift = nn.Linear(n_inputs, d_model)
        self.blocks = make_blocks(
            ([rng, i] for i in range(n_layers)),
            d_model,
            d_state,
            dropout=dropout,
            init=init,
            disc=disc,
            dt_min=dt_min,
            dt_max=dt_max,
        )
        self.norm = nn.LayerNorm(d_model)
        self.head = nn.Linear(d_model, n_outputs)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Scores (batch, n_outputs) of rows (batch, L, d), of which `lengths` count."""
        h = self.lift(x)
        for block in self.blocks:
            h, _ = block(h)
        h = self.norm(h)
        if self.pool == "last":
            h = h[torch.arange(len(h), device=h.device), lengths - 1]
        else:
            there = torch.arange(h.shape[1], device=h.device) < lengths[:, None]
            if self.pool == "mean":
                h = (h * there[..., None]).sum(1) / lengths[:, None]
            else:
                h = h.masked_fill(~there[..., None], -torch.inf).amax(1)
        out: Tensor = self.head(h)
        return out

    def loss(self, batch: tuple[Tensor, ...], progress: float) -> Tensor:
        """Cross-entropy, or mean squared error, of a batch (x, lengths, y)."""
        x, lengths, y = batch
        if self.classify:
            return nn.functional.cross_entropy(self(x, lengths), y)
        return nn.functional.mse_loss(self(x, lengths), y)

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """State spaces learn at a rate of their own and are not decayed."""
        return parameter_groups(self, lr, weight_decay, self.ssm_lr * lr)


class SequenceBatches:
    """Every sequence once in an epoch, in random order.

    Parameters
    ----------
    sequences : sequence of arrays (n_i, d)
        Standardised rows.
    y : ndarray of shape (n_sequences,) of int64, or (n_sequences, n_outputs)
        Classes by number, or standardised targets.
    batch_size : int
        Sequences of a batch.
    """

    def __init__(
        self, sequences: Sequence[np.ndarray], y: np.ndarray, batch_size: int
    ) -> None:
        x, lengths = _padded(sequences, np.float32)
        # Batches of nearly one size: a last one of a single sequence would weigh as
        # much as all the others.
        self.n_batches = -(-len(x) // batch_size)
        self.parts = (x, lengths, torch.from_numpy(y))

    def to(self, device: str) -> SequenceBatches:
        """The same batches from rows on a device."""
        moved = copy.copy(self)
        moved.parts = tuple(part.to(device) for part in self.parts)
        return moved

    def epoch(self, rng: np.random.Generator, epoch: int) -> _Epoch:
        """The batches of an epoch."""
        order = rng.permutation(len(self.parts[0]))
        return _Epoch(self.parts, np.array_split(order, self.n_batches))


class _Epoch:
    def __init__(self, parts: tuple[Tensor, ...], chosen: list[np.ndarray]) -> None:
        self.parts, self.chosen = parts, chosen

    def __len__(self) -> int:
        return len(self.chosen)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        for members in self.chosen:
            at = torch.from_numpy(members).to(self.parts[0].device)
            x, lengths, y = (part[at] for part in self.parts)
            yield x[:, : int(lengths.max())], lengths, y


def _padded(sequences: Sequence[np.ndarray], dtype: Any) -> tuple[Tensor, Tensor]:
    """Sequences of unequal lengths as one tensor, zeros after their ends."""
    lengths = np.array([len(each) for each in sequences])
    x = np.zeros((len(sequences), lengths.max(), sequences[0].shape[1]), dtype)
    for row, each in zip(x, sequences, strict=True):
        row[: len(each)] = each
    return torch.from_numpy(x), torch.from_numpy(lengths)


def answers(
    module: SequenceNet, sequences: Sequence[np.ndarray], *, n_rows: int = 2**16
) -> np.ndarray:
    """What a trained net says of sequences, (n_sequences, n_outputs).

    In double precision, so that what is said of one does not depend on which others
    stand beside it; about `n_rows` rows at once.
    """
    n_at_once = max(n_rows // max(len(each) for each in sequences), 1)
    exact = copy.deepcopy(module).double().eval()
    made = []
    with torch.no_grad():
        for start in range(0, len(sequences), n_at_once):
            part = sequences[start : start + n_at_once]
            made.append(exact(*_padded(part, np.float64)).numpy())
    return np.concatenate(made)

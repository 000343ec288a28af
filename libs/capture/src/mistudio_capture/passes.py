"""The two ways samples go through a decoder together, neither of which mixes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from . import attention


@dataclass(frozen=True)
class Rows:
    """Which positions of a pass are tokens: ``real`` is int64 ``[tokens]``, None for all."""

    positions: int
    real: torch.Tensor | None = None

    def of(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return ``[tokens, width]``, samples end to end, of a module's ``[…, width]``."""
        flat = hidden.reshape(-1, hidden.shape[-1])
        return flat if self.real is None else flat[self.real]

    def has(self, hidden: torch.Tensor) -> bool:
        """Return whether a tensor has a row for each position."""
        return hidden.ndim > 1 and hidden.shape[:-1].numel() == self.positions


def prepare(
    input_ids: torch.Tensor, bounds: Sequence[int], *, packed: bool
) -> tuple[dict[str, torch.Tensor], Rows]:
    """Return the decoder's inputs for samples that lie end to end, and which rows are theirs.

    Parameters
    ----------
    input_ids
        int64 ``[tokens]``, samples end to end.
    bounds
        ``samples + 1`` offsets into it.
    packed
        Whether they stay end to end or come to lie side by side.
    """
    return (packed_inputs if packed else padded_inputs)(input_ids, bounds)


def packed_inputs(
    input_ids: torch.Tensor, bounds: Sequence[int]
) -> tuple[dict[str, torch.Tensor], Rows]:
    """Return the decoder's inputs for samples end to end, ``[1, tokens]``, and their rows."""
    positions = torch.cat([torch.arange(end - start) for start, end in pairwise(bounds)])
    inputs = {
        "input_ids": input_ids[None],
        "position_ids": positions.to(input_ids.device)[None],
    }
    return inputs, Rows(len(input_ids))


def padded_inputs(
    input_ids: torch.Tensor, bounds: Sequence[int]
) -> tuple[dict[str, torch.Tensor], Rows]:
    """Return the decoder's inputs for samples side by side, ``[samples, longest]``.

    Padding stands to the right, where causal attention never looks back from a token; positions
    count from 0 in each sample.
    """
    lengths = [end - start for start, end in pairwise(bounds)]
    shape, device = (len(lengths), max(lengths)), input_ids.device
    columns = torch.arange(shape[1], device=device)
    real = columns[None, :] < torch.tensor(lengths, device=device)[:, None]
    ids = torch.zeros(shape, dtype=input_ids.dtype, device=device)
    ids[real] = input_ids
    inputs = {"input_ids": ids, "attention_mask": real.long()}
    return inputs, Rows(real.numel(), real.flatten().nonzero()[:, 0])


def forward(
    decoder: nn.Module, inputs: dict[str, torch.Tensor], bounds: Sequence[int]
) -> torch.Tensor:
    """Run a decoder and return its last hidden state, after the final norm."""
    with attention.packed(bounds):
        last: torch.Tensor = decoder(**inputs, use_cache=False).last_hidden_state
    return last

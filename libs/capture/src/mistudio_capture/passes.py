"""The two ways samples go through a decoder together, neither of which mixes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import nn

from . import attention

Pick = Callable[[torch.Tensor], torch.Tensor]
"""Takes a module's output of the pass and returns ``[tokens, width]``, samples end to end."""


def packed_inputs(
    input_ids: torch.Tensor, bounds: Sequence[int]
) -> tuple[dict[str, torch.Tensor], Pick]:
    """Return the decoder's inputs for samples end to end, ``[1, tokens]``, and how to pick rows."""
    positions = torch.cat([torch.arange(end - start) for start, end in pairwise(bounds)])
    inputs = {
        "input_ids": input_ids[None],
        "position_ids": positions.to(input_ids.device)[None],
    }
    return inputs, lambda hidden: hidden[0]


def padded_inputs(
    input_ids: torch.Tensor, bounds: Sequence[int]
) -> tuple[dict[str, torch.Tensor], Pick]:
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
    return inputs, lambda hidden: hidden[real]


def forward(
    decoder: nn.Module, inputs: dict[str, torch.Tensor], bounds: Sequence[int]
) -> torch.Tensor:
    """Run a decoder and return its last hidden state, after the final norm."""
    with attention.packed(bounds):
        last: torch.Tensor = decoder(**inputs, use_cache=False).last_hidden_state
    return last

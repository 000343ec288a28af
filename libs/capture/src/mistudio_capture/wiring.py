"""A decoder of its first block alone, without the cost of that block's weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

_STRIDE = 7919


@contextmanager
def first_alone(decoder: nn.Module, first: str) -> Iterator[None]:
    """Make the block at the path ``first`` the only one, and stand in for its linear layers.

    Each stand-in gives ``[…, out_features]`` of ``[…, in_features]`` and is linear too: a choice of
    the input's columns, no two of them scaled alike, so that no two outputs are the same.
    """
    place, name = first.rsplit(".", 1)
    parent, _, attribute = place.rpartition(".")
    owner, blocks = decoder.get_submodule(parent), decoder.get_submodule(place)
    block = blocks.get_submodule(name)
    stood_in = [module for module in block.modules() if is_linear(module)]
    setattr(owner, attribute, nn.ModuleList([block]))
    for module in stood_in:
        module.__dict__["forward"] = _stand_in(module)
    try:
        yield
    finally:
        setattr(owner, attribute, blocks)
        for module in stood_in:
            del module.__dict__["forward"]


def is_linear(module: nn.Module) -> bool:
    """Return whether a module multiplies each row with a matrix."""
    return isinstance(module, Conv1D) or hasattr(module, "in_features")


def _stand_in(module: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    width = module.nf if isinstance(module, Conv1D) else module.out_features
    assert isinstance(width, int), "linear layers know how wide they are"

    def forward(rows: torch.Tensor) -> torch.Tensor:
        chosen = torch.arange(width, device=rows.device) * _STRIDE % rows.shape[-1]
        scales = torch.linspace(0.5, 1.5, width, dtype=rows.dtype, device=rows.device)
        return rows[..., chosen] * scales

    return forward

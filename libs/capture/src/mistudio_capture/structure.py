"""What a decoder is made of: its blocks, and its bytes."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from .errors import CaptureError


def find_blocks(decoder: nn.Module, layers: int) -> nn.ModuleList:
    """Return the decoder's blocks: its one ModuleList of ``layers`` members, found by structure.

    Raises
    ------
    CaptureError
        When there is none, or more than one.
    """
    found = [m for m in decoder.modules() if isinstance(m, nn.ModuleList) and len(m) == layers]
    if len(found) != 1:
        raise CaptureError(f"found {len(found)} lists of {layers} blocks where one is needed")
    return found[0]


def storage_bytes(module: nn.Module) -> int:
    """Return the bytes of all parameters, buffers and scales, shared storage counted once."""
    tensors = [*module.parameters(), *module.buffers()]
    for child in module.modules():
        tensors += getattr(child, "state_tensors", list)()
    sizes: Mapping[int, int] = {
        t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()
        for t in tensors
        if not t.is_meta
    }
    return sum(sizes.values())


def context_length(config: object) -> int:
    """Return the most tokens of a sample; ALiBi knows no limit, so BLOOM's is that of training."""
    for name in ("max_position_embeddings", "seq_length"):
        if (found := getattr(config, name, None)) is not None:
            return int(found)
    return BLOOM_CONTEXT


BLOOM_CONTEXT = 2048
"""Tokens; BigScience, BLOOM, 2022, table 3. The family's config does not name it."""

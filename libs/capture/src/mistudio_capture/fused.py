"""Columns of a projection that gives queries, keys and values together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch

Kind = Literal["q", "k", "v"]


@dataclass(frozen=True)
class Part:
    """The queries, keys or values of a fused projection.

    ``grouped`` says how they lie: for each key head its queries, its key and its value (GPT-NeoX,
    BLOOM, Falcon), or all queries, then all keys, then all values (GPT-2, Phi 3, Falcon with one
    key head).
    """

    kind: Kind
    grouped: bool
    heads: int
    kv_heads: int
    head_dim: int

    @property
    def width(self) -> int:
        return self.head_dim * (self.heads if self.kind == "q" else self.kv_heads)

    def of(self, fused: torch.Tensor) -> torch.Tensor:
        """Return ``[tokens, width]`` of ``[tokens, (heads + 2 kv_heads) head_dim]``."""
        groups = self.kv_heads if self.grouped else 1
        queries, keys = self.heads // groups, self.kv_heads // groups
        by_head = fused.view(len(fused), groups, queries + 2 * keys, self.head_dim)
        start, count = {
            "q": (0, queries),
            "k": (queries, keys),
            "v": (queries + keys, keys),
        }[self.kind]
        return by_head[:, :, start : start + count].reshape(len(fused), self.width)


def parts_of_fused(width: int, query_width: int, heads: int) -> Iterator[dict[Kind, Part]]:
    """Yield the ways in which a projection of ``width`` may be made of its three parts.

    Parameters
    ----------
    width
        Of the projection.
    query_width
        Of the queries.
    heads
        Of attention.
    """
    head_dim = query_width // heads
    kv_heads, rest = divmod(width - query_width, 2 * head_dim)
    if rest or not kv_heads or heads % kv_heads:
        return
    kinds: tuple[Kind, ...] = ("q", "k", "v")
    for grouped in (False, True):
        yield {kind: Part(kind, grouped, heads, kv_heads, head_dim) for kind in kinds}

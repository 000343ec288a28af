"""Experts, stored one by one and computed as one tensor: each is read into its place.

transformers would read all of a checkpoint and then fuse, and so need its memory twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import torch

from .files import StoredTensor, TensorFiles

_FUSED = {"gate_up_proj": ("w1", "w3"), "down_proj": ("w2",)}
"""Mixtral's, by the parameter that holds them (``transformers.conversion_mapping``)."""

_EXPERTS = re.compile(r"^(?P<block>.*)\.mlp\.experts\.(?P<parameter>\w+)$")
_ROUTER = re.compile(r"^(?P<block>.*)\.mlp\.gate\.weight$")


@dataclass(frozen=True)
class FusedTensor:
    """``pieces[expert]``, one below the other, make the rows of an expert."""

    pieces: tuple[tuple[StoredTensor, ...], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """What it is made of."""
        return tuple(piece.name for expert in self.pieces for piece in expert)

    @property
    def path(self) -> Path:
        """Of the first piece."""
        return self.pieces[0][0].path

    @property
    def offset(self) -> int:
        """Of the first piece."""
        return self.pieces[0][0].offset

    @property
    def shape(self) -> tuple[int, ...]:
        """``(experts, rows, columns)``."""
        rows = sum(piece.shape[0] for piece in self.pieces[0])
        return len(self.pieces), rows, *self.pieces[0][0].shape[1:]

    def read(self, device: torch.device | str = "cpu") -> torch.Tensor:
        """Return the tensor, one piece of it in memory twice at a time.

        Raises
        ------
        CaptureError
            When a file ends early.
        """
        whole = torch.empty(self.shape, dtype=self.pieces[0][0].dtype, device=device)
        for rows, expert in zip(whole, self.pieces, strict=True):
            row = 0
            for piece in expert:
                rows[row : row + piece.shape[0]] = piece.read()
                row += piece.shape[0]
        return whole


def find(files: TensorFiles, name: str) -> StoredTensor | FusedTensor | None:
    """Return what is stored of a decoder's parameter; None when it, or a part of it, is missing."""
    if name in files:
        return files[name]
    if router := _ROUTER.match(name):
        stored = f"{router['block']}.block_sparse_moe.gate.weight"
        return files.get(stored)
    experts = _EXPERTS.match(name)
    if experts is None or experts["parameter"] not in _FUSED:
        return None
    pieces = []
    for index in count():
        stored = f"{experts['block']}.block_sparse_moe.experts.{index}"
        names = [f"{stored}.{part}.weight" for part in _FUSED[experts["parameter"]]]
        if not all(each in files for each in names):
            break
        pieces.append(tuple(files[each] for each in names))
    return FusedTensor(tuple(pieces)) if pieces else None

"""Names of hook points, which say where in a decoder rows are read, and their order."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from .states import BlockKind

EMBED = "embed"
FINAL_NORM = "final_norm"
OUTSIDE = (EMBED, FINAL_NORM)
"""Before the first block and after the last one."""

_KINDS = "|".join(BlockKind)
HOOK_POINT_PATTERN = rf"^({'|'.join(OUTSIDE)}|layers\.(0|[1-9]\d{{0,4}})\.({_KINDS}))$"

_HOOK_POINT = re.compile(HOOK_POINT_PATTERN)
_PLACES = {kind: place for place, kind in enumerate(BlockKind)}


def _hook_point(value: str) -> str:
    if not _HOOK_POINT.match(value):
        raise ValueError(
            "a hook point reads layers.N.resid_post, with another of "
            f"{', '.join(BlockKind)} in its place, or {EMBED}, or {FINAL_NORM}"
        )
    return value


HookPoint = Annotated[str, StringConstraints(max_length=64), AfterValidator(_hook_point)]


def hook_point(layer: int, kind: BlockKind | str = BlockKind.RESID_POST) -> str:
    """Return the name of a place in block ``layer``, such as ``layers.6.resid_post``."""
    return f"layers.{layer}.{kind}"


def layer_of(name: str) -> int | None:
    """Return the block of a hook point; None outside the blocks."""
    return None if name in OUTSIDE else int(name.split(".")[1])


def depth_of(names: Iterable[str], num_layers: int | None) -> int:
    """Return how many blocks a pass runs that ends at the last of the hook points, at least 1.

    Parameters
    ----------
    names
        Of hook points.
    num_layers
        Of the model; where it is not known, ``final_norm`` counts as one block after the last.
    """
    chosen = set(names)
    deepest = max(
        (1 + layer for each in chosen if (layer := layer_of(each)) is not None), default=1
    )
    return (num_layers or deepest + 1) if FINAL_NORM in chosen else deepest


def kind_of(name: str) -> str:
    """Return the last part of a hook point's name: ``resid_post`` of ``layers.6.resid_post``."""
    return name.rpartition(".")[2]


def in_order(names: Iterable[str]) -> list[str]:
    """Return hook points without repeats, in about the order in which a pass comes by them."""
    return sorted(set(names), key=_place)


def _place(name: str) -> tuple[int, int]:
    layer = layer_of(name)
    if layer is None:
        return (-1, 0) if name == EMBED else (1 << 30, 0)
    return layer, _PLACES[BlockKind(kind_of(name))]

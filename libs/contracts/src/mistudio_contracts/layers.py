"""What people write for several layers: ``0,6,11``, ``0-5``, ``all``, ``-1``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Discriminator, StringConstraints

_INDEX = r"-?(?:0|[1-9][0-9]{0,4})"
_ITEM = rf"(?:all|{_INDEX}(?:-{_INDEX})?)"
LAYERS_PATTERN = rf"^ *{_ITEM} *(?:, *{_ITEM} *)*$"
HOOKS_OF_LAYERS = rf"layers\.{_ITEM}"

LayersText = Annotated[str, StringConstraints(max_length=8000, pattern=LAYERS_PATTERN)]
"""Indices and ranges, separated by commas; a range holds both its ends; ``all`` is ``0--1``."""

LIST, TEXT = "(list)", "(text)"
"""Branches of a union, which are named in errors' locations and are no fields."""

ListOrText = Discriminator(lambda value: TEXT if isinstance(value, str) else LIST)
"""Of a union of a list and a text, so that an error speaks of what was given alone."""

_RANGE = re.compile(rf"({_INDEX})(?:-({_INDEX}))?")


class LayersRefused(ValueError):
    """A model has no such layers. ``layer`` is the one that it lacks, None for a range reversed."""

    def __init__(self, text: str, layer: int | None = None) -> None:
        super().__init__(text)
        self.layer = layer


@dataclass(frozen=True)
class LayerRange:
    """Layers ``first`` to ``last``, both of them included; a negative one counts from the end."""

    first: int
    last: int

    def of(self, num_layers: int) -> range:
        """Return the indices in a model of so many layers.

        Raises
        ------
        LayersRefused
            When it lacks one of the ends, or they stand in the wrong order.
        """
        for end in (self.first, self.last):
            if not -num_layers <= end < num_layers:
                raise LayersRefused(f"there is no layer {end}", end)
        first, last = self.first % num_layers, self.last % num_layers
        if last < first:
            raise LayersRefused(f"{self.first}-{self.last} ends before it begins")
        return range(first, last + 1)


ALL = LayerRange(0, -1)


def read_layers(text: str) -> list[LayerRange]:
    """Return the ranges that a text of :data:`LayersText` names; the text is taken as checked."""
    return [_read(item.strip()) for item in text.split(",")]


def layers_of(ranges: Iterable[LayerRange], num_layers: int) -> list[int]:
    """Return the layers of ranges, in order and without repeats.

    Raises
    ------
    LayersRefused
        As :meth:`LayerRange.of`.
    """
    return sorted({layer for each in ranges for layer in each.of(num_layers)})


def _read(item: str) -> LayerRange:
    if item == "all":
        return ALL
    match = _RANGE.fullmatch(item)
    if match is None:
        raise ValueError(f"{item!r} is not a layer")
    first = int(match[1])
    return LayerRange(first, first if match[2] is None else int(match[2]))

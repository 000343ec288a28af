"""What people write for layers: ``0,6,11``, ``0-5``, ``all``, ``-1``."""

from __future__ import annotations

import re

from .errors import InvalidArgument

_ITEM = re.compile(r"^(-?\d+)(?:-(-?\d+))?$")
_MOST = 1000


def parse_layers(text: str, num_layers: int | None = None) -> list[int]:
    """Return the layer indices that ``text`` names, in its order and without repeats.

    Parameters
    ----------
    text
        Indices and ranges, separated by commas. A range holds both its ends. A negative index
        counts from the last layer. ``all`` stands for every layer.
    num_layers
        How many layers the model has; None when that is not known yet.

    Raises
    ------
    InvalidArgument
        When ``text`` is not such a list, or names a layer that the model has not.
    """
    found: dict[int, None] = {}
    for item in (part.strip() for part in text.split(",")):
        for layer in _layers(item, num_layers):
            found[layer] = None
            if len(found) > _MOST:
                raise _refused(f"{text!r} names more than {_MOST} layers", "too_many")
    return list(found)


def _layers(item: str, num_layers: int | None) -> range:
    if item.lower() == "all":
        return range(_known(num_layers, item))
    match = _ITEM.match(item)
    if match is None:
        raise _refused(f"{item!r} is not a layer", "malformed")
    first = _checked(int(match[1]), num_layers)
    if match[2] is None:
        return range(first, first + 1)
    last = _checked(int(match[2]), num_layers)
    if (first < 0) != (last < 0):
        # Only the number of layers says how far a range from the front reaches to the back.
        count = _known(num_layers, item)
        first, last = first % count, last % count
    if last < first:
        raise _refused(f"{item!r} ends before it begins", "malformed")
    if last - first >= _MOST:
        raise _refused(f"{item!r} names more than {_MOST} layers", "too_many")
    return range(first, last + 1)


def _checked(layer: int, num_layers: int | None) -> int:
    if num_layers is not None and not -num_layers <= layer < num_layers:
        raise _refused(
            f"layer {layer} is outside this model, whose layers are 0 to {num_layers - 1}",
            "out_of_range",
        )
    return layer


def _known(num_layers: int | None, item: str) -> int:
    if num_layers is None:
        raise _refused(f"the model's layers are not known yet, so {item!r} says nothing", "unknown")
    return num_layers


def _refused(message: str, reason: str) -> InvalidArgument:
    return InvalidArgument(
        message[0].upper() + message[1:] + ".",
        field="layers",
        reason=reason,
        remedy="Write layers as 0,6,11 or 0-5 or all; -1 is the last one.",
    )

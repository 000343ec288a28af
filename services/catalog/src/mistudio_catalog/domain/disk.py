"""What an extraction will write, and whether the disk has room for it, before anything is run."""

from __future__ import annotations

from collections.abc import Sequence

from mistudio_contracts.errors import InsufficientStorage
from mistudio_contracts.hooks import kind_of
from mistudio_contracts.states import Dtype
from mistudio_contracts.values import HookPointFacts

from .device import DeviceState
from .extraction import ShardState

FAR = 2
"""An estimate is refused beyond so many times the room: it may be wrong by half."""


def row_bytes(hook_point: str, facts: HookPointFacts, dtype: Dtype) -> int | None:
    """Return the bytes that the store keeps of a token, None where the width is not known."""
    widths = {each.kind: each.width for each in facts.kinds}
    width = widths.get(kind_of(hook_point))
    return None if width is None else dtype.row_bytes(width)


def bytes_to_write(shards: Sequence[ShardState], facts: HookPointFacts, dtype: Dtype) -> int | None:
    """Return the bytes of the rows that the store lacks, None where a width is not known."""
    total = 0
    for shard in shards:
        for hook_point in shard.hook_points:
            size = row_bytes(hook_point, facts, dtype)
            if size is None:
                return None
            total += shard.tokens * size
    return total


def refuse_too_much(needed: int | None, devices: Sequence[DeviceState]) -> None:
    """Refuse what the disk of the stores, which the devices share, would not hold.

    Raises
    ------
    InsufficientStorage
        With the figures. Where no device has told any, each shard is checked at its capture.
    """
    free = _free(devices)
    if needed is not None and free is not None and needed > free:
        raise _too_small(needed, free)


def refuse_far_too_much(expected: int | None, devices: Sequence[DeviceState]) -> None:
    """Refuse what is only expected, where it is far beyond what the disk has.

    Raises
    ------
    InsufficientStorage
        As :func:`refuse_too_much`.
    """
    free = _free(devices)
    if expected is not None and free is not None and expected > FAR * free:
        raise _too_small(expected, free)


def _free(devices: Sequence[DeviceState]) -> int | None:
    # 0 is a device that has not looked yet; a disk that is really full fails the first shard.
    free = [each.store_free_bytes for each in devices if each.online and each.store_free_bytes]
    return max(free, default=None)


def _too_small(needed: int, free: int) -> InsufficientStorage:
    return InsufficientStorage(
        "The disk of the activation store would not hold this extraction.",
        reason="disk_too_small",
        required_bytes=needed,
        available_bytes=free,
        remedy="Take fewer samples, fewer hook points or a smaller dtype, or delete caches.",
    )

"""What an extraction will write, and whether the disk has room for it, before anything is run."""

from __future__ import annotations

from collections.abc import Sequence

from mistudio_contracts.errors import InsufficientStorage
from mistudio_contracts.hooks import kind_of
from mistudio_contracts.reports import ExtractionPlannedReport
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


def bytes_there(
    shards: Sequence[ShardState],
    hook_points: Sequence[str],
    facts: HookPointFacts,
    dtype: Dtype,
) -> int:
    """Return the bytes of the rows that the store has; where a width is not known they are 0."""
    return sum(
        shard.tokens * (row_bytes(hook_point, facts, dtype) or 0)
        for shard in shards
        for hook_point in hook_points
        if hook_point not in shard.hook_points
    )


def free_bytes(devices: Sequence[DeviceState]) -> int | None:
    """Return what the disk of the stores takes, as the devices have seen it last."""
    # 0 is a device that has not looked yet; a disk that is really full fails the first shard.
    told = [each.store_free_bytes for each in devices if each.online and each.store_free_bytes]
    return max(told, default=None)


def room(report: ExtractionPlannedReport, devices: Sequence[DeviceState]) -> int | None:
    """Return what the disk of the stores takes, as who planned or the devices have seen it last.

    None where nobody has looked: then each shard is checked at its capture.
    """
    return free_bytes(devices) if report.room_bytes is None else report.room_bytes


def refuse_too_much(needed: int, free: int | None) -> None:
    """Refuse what the disk of the stores would not hold.

    Raises
    ------
    InsufficientStorage
        With the figures.
    """
    if free is not None and needed > free:
        raise _too_small(needed, free)


def refuse_far_too_much(expected: int, free: int | None) -> None:
    """Refuse what is only expected, where it is far beyond what the disk has.

    Raises
    ------
    InsufficientStorage
        As :func:`refuse_too_much`.
    """
    if free is not None and expected > FAR * free:
        raise _too_small(expected, free)


def _too_small(needed: int, free: int) -> InsufficientStorage:
    return InsufficientStorage(
        "The disk of the activation store would not hold this extraction.",
        reason="disk_too_small",
        required_bytes=needed,
        available_bytes=free,
        remedy="Take fewer samples, fewer hook points or a smaller dtype, or delete caches.",
    )

"""What an extraction will write, and whether the disk has room for it, before anything is run."""

from __future__ import annotations

from collections.abc import Sequence

from mistudio_contracts.errors import InsufficientStorage
from mistudio_contracts.hooks import kind_of
from mistudio_contracts.reports import ExtractionPlannedReport
from mistudio_contracts.states import Dtype
from mistudio_contracts.values import HookPointFacts

from .device import DeviceState

BYTES = {Dtype.FLOAT32: 4, Dtype.FLOAT16: 2, Dtype.BFLOAT16: 2}
NORM_BYTES = 4
"""Beside each row the store keeps its norm."""


def bytes_to_write(
    report: ExtractionPlannedReport, facts: HookPointFacts, dtype: Dtype
) -> int | None:
    """Return the bytes of the rows that the store lacks, None where a width is not known."""
    widths = {each.kind: each.width for each in facts.kinds}
    total = 0
    for column in report.columns:
        width = widths.get(kind_of(column.hook_point))
        if width is None:
            return None
        rows = sum(cut.tokens for cut in report.cuts[column.shards_there :])
        total += rows * (width * BYTES[dtype] + NORM_BYTES)
    return total


def refuse_too_much(needed: int | None, devices: Sequence[DeviceState]) -> None:
    """Refuse what the disk of the stores, which the devices share, would not hold.

    Raises
    ------
    InsufficientStorage
        With the figures. Where no device has told any, each shard is checked at its capture.
    """
    # 0 is a device that has not looked yet; a disk that is really full fails the first shard.
    free = [each.store_free_bytes for each in devices if each.online and each.store_free_bytes]
    if needed is None or not free or needed <= max(free):
        return
    raise InsufficientStorage(
        "The disk of the activation store would not hold this extraction.",
        reason="disk_too_small",
        required_bytes=needed,
        available_bytes=max(free),
        remedy="Take fewer samples, fewer hook points or a smaller dtype, or delete caches.",
    )

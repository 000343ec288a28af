"""What a model takes in one format on one device, and which format to choose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .budget import CPU_TOKENS, DEVICE_TOKENS, LEAST_TOKENS
from .fitting import NEVER, NOW, Room, Verdict, decide
from .formats import Format, block_bytes, unavailable
from .parts import Batch, Parts, parts
from .shape import DecoderShape

LONGEST = 2048
"""Tokens of a sample that an estimate takes, where the model's context allows them."""

SHARE = 4
"""One part in this many of the budget is for batches, where the weights leave it."""

DISK_BYTES_PER_SECOND = 1_000_000_000
"""Of a plain solid-state disk, for the sentence that tells what offloading costs."""

GIB = 1 << 30


@dataclass(frozen=True)
class Offload:
    """Running with the last ``blocks`` of ``layers`` on the disk, read at each batch; bytes."""

    blocks: int
    layers: int
    total: int
    read_per_batch: int

    @property
    def cost(self) -> str:
        """A sentence for people."""
        seconds = self.read_per_batch / DISK_BYTES_PER_SECOND
        return (
            f"{self.blocks} of {self.layers} blocks are read from the disk at each batch: "
            f"{self.read_per_batch / GIB:.1f} GiB, about {seconds:.1f} s a batch at 1 GB/s."
        )


@dataclass(frozen=True)
class Plan:
    """A model in one format on one device.

    Attributes
    ----------
    how
        The format.
    batch
        The largest that runs beside the weights; of no samples where none does.
    parts
        Bytes with that batch; where none runs, with the shortest sample there is.
    verdict
        Whether :attr:`parts` fit.
    unavailable
        Why the format cannot be used; None where it can.
    offload
        How it would run nevertheless, where it never fits.
    """

    how: Format
    batch: Batch
    parts: Parts
    verdict: Verdict
    unavailable: str | None = None
    offload: Offload | None = None


def plan(
    shape: DecoderShape,
    how: Format,
    room: Room,
    kind: str,
    *,
    refused: str | None = None,
) -> Plan:
    """Return what a model takes in a format, and whether it fits.

    Parameters
    ----------
    shape
        Of the decoder.
    how
        The format.
    room
        Of the device.
    kind
        ``cpu``, ``cuda`` or ``tegra``.
    refused
        Why the device cannot compute with the format; None where it can.
    """
    reason = refused or unavailable(shape, how.quantization)
    batch = largest_batch(shape, how, room.budget, kind)
    if batch is None:
        least = Batch(1, _lengths(shape)[-1])
        offer = None if reason else offload(shape, how, room.budget, kind)
        nothing = Batch(0, _lengths(shape)[0])
        return Plan(how, nothing, parts(shape, how, least, kind), Verdict(NEVER), reason, offer)
    found = parts(shape, how, batch, kind)
    return Plan(how, batch, found, decide(found.total, room), reason)


def largest_batch(shape: DecoderShape, how: Format, budget: int, kind: str) -> Batch | None:
    """Return the largest batch that runs beside the weights in a budget; None where none does.

    More tokens than make a device quickest are never run at once, nor more than :data:`SHARE` of
    the budget holds but for a single sample, as the extractor has it. A sample is as long as the
    context allows, up to :data:`LONGEST`; where not even one such fits, half as long, and so on.
    """
    for length in _lengths(shape):
        for samples in range(max(1, _fastest(kind) // length), 0, -1):
            batch = Batch(samples, length)
            found = parts(shape, how, batch, kind)
            passing = found.total - found.resident
            if found.total <= budget and (samples == 1 or passing <= budget // SHARE):
                return batch
    return None


def _lengths(shape: DecoderShape) -> list[int]:
    longest = min(LONGEST, shape.context)
    return [longest, *(n for n in _halves(longest) if n >= LEAST_TOKENS)]


def _halves(length: int) -> Iterator[int]:
    while length > 1:
        length //= 2
        yield length


def offload(shape: DecoderShape, how: Format, budget: int, kind: str) -> Offload | None:
    """Return how many blocks must stay on the disk for the rest to fit, and what that costs.

    At most one of them is in memory at a time. None where not even the rest fits.
    """
    block = block_bytes(shape.layout, how).total
    for length in _lengths(shape):
        # A batch as wide as its share: each reads all those blocks anew.
        for samples in range(max(1, _fastest(kind) // length), 0, -1):
            found = parts(shape, how, Batch(samples, length), kind)
            if samples > 1 and found.total - found.resident > budget // SHARE:
                continue
            blocks = blocks_away(found.total, block, shape.layers, budget)
            if blocks is not None:
                total = found.total - (blocks - 1) * block
                return Offload(blocks, shape.layers, total, blocks * block)
    return None


def blocks_away(needed: int, block: int, layers: int, budget: int) -> int | None:
    """Return how many blocks must stay on the disk; None where not even all of them suffice.

    Parameters
    ----------
    needed
        Bytes of the whole model with a batch, more than the budget.
    block
        Bytes of a block, of which one of those on the disk is in memory at a time.
    layers
        Blocks there are.
    budget
        Bytes there may be.
    """
    blocks = max(1, -(-(needed + block - budget) // block))
    return blocks if blocks <= layers else None


def _fastest(kind: str) -> int:
    return CPU_TOKENS if kind == "cpu" else DEVICE_TOKENS


def preference(dtype: str) -> tuple[str, ...]:
    """Return the formats from the least lossy on, for a checkpoint's dtype.

    bfloat16 keeps float32's range, so it loses less than float16 but of a float16 checkpoint.
    """
    halves = ("fp16", "bf16") if dtype == "float16" else ("bf16", "fp16")
    return ("none", *halves, "int8", "int4")


def recommend(plans: Mapping[str, Plan], dtype: str) -> str | None:
    """Return the least lossy format that fits now; None where none ever does.

    Where none fits now, it is the least lossy that fits by evicting alone, and where none does so
    either, the least lossy that fits once those have left who cannot be evicted.

    Parameters
    ----------
    plans
        By format.
    dtype
        Of the checkpoint.
    """
    usable = {
        name: _wait(plans[name].verdict)
        for name in preference(dtype)
        if name in plans and plans[name].unavailable is None
    }
    fitting = {name: wait for name, wait in usable.items() if wait is not None}
    return min(fitting, key=lambda name: fitting[name], default=None)


def _wait(verdict: Verdict) -> int | None:
    if verdict.fit == NEVER:
        return None
    if verdict.fit == NOW:
        return 0
    return 2 if verdict.held_by or verdict.others else 1

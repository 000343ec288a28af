"""What must leave the device so that a model fits: a pure policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mistudio_contracts.errors import InsufficientMemory, ModelTooLarge

GB = 1e9


@dataclass(frozen=True)
class Seat:
    """A resident model. ``last_used`` only orders; ``leases`` counts who works with it now."""

    model_id: str
    bytes: int
    last_used: float
    leases: int


@dataclass(frozen=True)
class Limits:
    """What a device may hold: ``bytes`` of weights, ``models`` at once."""

    bytes: int
    models: int


def admit(needed: int, seats: Sequence[Seat], limits: Limits) -> tuple[str, ...]:
    """Return which models must leave, least recently used first; none when there is room.

    Parameters
    ----------
    needed
        Bytes of the newcomer.
    seats
        Who is there.
    limits
        Of the device.

    Raises
    ------
    ModelTooLarge
        When it would not fit an empty device.
    InsufficientMemory
        When models in use would have to leave.
    """
    if needed > limits.bytes:
        raise ModelTooLarge(
            f"The model needs {needed / GB:.2f} GB and the device's budget is "
            f"{limits.bytes / GB:.2f} GB.",
            reason="never_fits",
            required_memory_gb=round(needed / GB, 3),
            available_memory_gb=round(limits.bytes / GB, 3),
            remedy="Choose a smaller format, or raise GPU_MEMORY_LIMIT_GB.",
        )
    leaving: list[str] = []
    used, count = sum(s.bytes for s in seats), len(seats)
    idle = sorted((s for s in seats if s.leases == 0), key=lambda s: (s.last_used, s.model_id))
    for seat in idle:
        if used + needed <= limits.bytes and count < limits.models:
            break
        leaving.append(seat.model_id)
        used -= seat.bytes
        count -= 1
    if used + needed > limits.bytes or count >= limits.models:
        raise InsufficientMemory(
            "Every model that could make room is in use.",
            reason="all_in_use",
            required_memory_gb=round(needed / GB, 3),
            available_memory_gb=round(max(0, limits.bytes - used) / GB, 3),
            remedy="Wait for the running extractions, or cancel one.",
        )
    return tuple(leaving)

"""What must leave the device so that a model fits: a pure policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mistudio_contracts.errors import InsufficientMemory, ModelTooLarge

GB = 1024**3
"""The unit of ``GPU_MEMORY_LIMIT_GB`` and of every figure shown."""


@dataclass(frozen=True)
class Need:
    """Bytes that a model takes: ``weights`` while it is there, ``working`` while it runs."""

    weights: int
    working: int = 0


@dataclass(frozen=True)
class Seat:
    """A resident model. ``last_used`` only orders; ``leases`` counts who works with it now."""

    model_id: str
    need: Need
    last_used: float
    leases: int


@dataclass(frozen=True)
class Limits:
    """What a device may hold.

    Parameters
    ----------
    budget
        Bytes that are ours at most.
    models
        Models at once.
    free
        Bytes that the device has left now, whoever uses the others; None where unknown.
    """

    budget: int
    models: int
    free: int | None = None


def required(needs: Sequence[Need]) -> int:
    """Return the bytes of models together: one of them runs at a time."""
    return sum(n.weights for n in needs) + max((n.working for n in needs), default=0)


def admit(newcomer: Need, seats: Sequence[Seat], limits: Limits) -> tuple[str, ...]:
    """Return which models must leave, least recently used first; none when there is room.

    Parameters
    ----------
    newcomer
        Who wants to come in.
    seats
        Who is there.
    limits
        Of the device.

    Raises
    ------
    ModelTooLarge
        When it would not fit an empty device.
    InsufficientMemory
        When models in use would have to leave, or others on this machine have the memory.
    """
    if required([newcomer]) > limits.budget:
        raise _too_large(newcomer, limits.budget)
    idle = sorted((s for s in seats if s.leases == 0), key=lambda s: (s.last_used, s.model_id))
    for count in range(len(idle) + 1):
        leaving = idle[:count]
        if _fits(newcomer, seats, leaving, limits):
            return tuple(seat.model_id for seat in leaving)
    staying = [seat for seat in seats if seat.leases]
    if _within_budget(newcomer, staying, limits):
        raise insufficient_memory(newcomer, (limits.free or 0) + _weights(idle))
    taken = required([seat.need for seat in staying])
    available = limits.budget - taken if len(staying) < limits.models else 0
    raise InsufficientMemory(
        "Every model that could make room is in use.",
        reason="all_in_use",
        required_memory_gb=gigabytes(required([newcomer])),
        available_memory_gb=gigabytes(max(0, available)),
        resident_models=len(staying),
        remedy="Wait for the running extractions, or cancel one.",
    )


def insufficient_memory(newcomer: Need, available: int) -> InsufficientMemory:
    """Return the error of a device whose memory others have taken."""
    return InsufficientMemory(
        "The device has not enough free memory now: other programs use it.",
        reason="device_memory",
        required_memory_gb=gigabytes(required([newcomer])),
        available_memory_gb=gigabytes(max(0, available)),
        remedy="Free memory on the device, or choose a smaller format.",
    )


def gigabytes(count: int) -> float:
    """Return bytes as the figure shown."""
    return round(count / GB, 3)


def _fits(newcomer: Need, seats: Sequence[Seat], leaving: Sequence[Seat], limits: Limits) -> bool:
    staying = [seat for seat in seats if seat not in leaving]
    if not _within_budget(newcomer, staying, limits):
        return False
    return limits.free is None or required([newcomer]) <= limits.free + _weights(leaving)


def _within_budget(newcomer: Need, staying: Sequence[Seat], limits: Limits) -> bool:
    if len(staying) >= limits.models:
        return False
    return required([newcomer, *(seat.need for seat in staying)]) <= limits.budget


def _weights(seats: Sequence[Seat]) -> int:
    return sum(seat.need.weights for seat in seats)


def _too_large(newcomer: Need, budget: int) -> ModelTooLarge:
    return ModelTooLarge(
        f"The model needs {gigabytes(required([newcomer]))} GB and the device's budget is "
        f"{gigabytes(budget)} GB.",
        reason="never_fits",
        required_memory_gb=gigabytes(required([newcomer])),
        available_memory_gb=gigabytes(budget),
        remedy="Choose a smaller format, or raise GPU_MEMORY_LIMIT_GB.",
    )

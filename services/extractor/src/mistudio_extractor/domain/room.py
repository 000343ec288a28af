"""Whether there is room for a model, and who must leave for it: arithmetic without memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from mistudio_contracts.errors import MiStudioError

from .needs import Limits, Reading, required
from .refusals import all_pinned, device_memory, too_large
from .seats import Request, Seat, Stage


class Answer(Enum):
    """What to do for a request that needs room."""

    LOAD = "load"
    EVICT = "evict"
    MEASURE = "measure"
    WAIT = "wait"


@dataclass(frozen=True)
class Room:
    """An answer; ``leaving`` are the models to evict, least recently used first."""

    answer: Answer
    leaving: tuple[str, ...] = ()


WAIT = Room(Answer.WAIT)


def never(request: Request, seats: Sequence[Seat], limits: Limits) -> MiStudioError | None:
    """Return why waiting would not help a request; None when it might.

    ModelTooLarge when it would not fit an empty device; InsufficientMemory when the pinned models
    leave no room, whoever else left.
    """
    if request.need.total > limits.budget and not request.force:
        return too_large(request.need, limits.budget)
    pinned = [s for s in seats if s.pinned and s.model_id != request.model_id]
    full = len(pinned) >= limits.models
    if full or (pinned and not request.force and not _within(request, pinned, limits, 0)):
        available = 0 if full else limits.budget - required(s.need for s in pinned)
        return all_pinned(request.need, available, [s.model_id for s in pinned])
    return None


def find_room(
    request: Request, seats: Sequence[Seat], limits: Limits, reading: Reading | None
) -> Room | MiStudioError:
    """Return what to do for a request whose model is not there, or why it is refused.

    Parameters
    ----------
    request
        For which :func:`never` has found nothing.
    seats
        Every model on the device, also those that load or leave.
    limits
        Of the device.
    reading
        The device's bytes as they are with these seats; null when not read yet.
    """
    if any(s.model_id == request.model_id for s in seats):
        return WAIT  # Another artifact of the model, or the same on its way out.
    if sum(s.stage is Stage.LOADING for s in seats) >= limits.loads:
        return WAIT
    idle = sorted((s for s in seats if s.evictable), key=lambda s: (s.last_used, s.model_id))
    leaving = _fewest(request, seats, idle, limits, reading)
    if leaving is not None:
        return _go(leaving, reading)
    if any(s.stage is not Stage.RESIDENT for s in seats):
        return WAIT
    if request.force and (idle or _weights_fit(request, seats, limits, reading)):
        return _go(idle, reading)
    movable = [s for s in seats if not s.pinned]
    staying = [s for s in seats if s.pinned]
    in_use = len(movable) > len(idle)
    # Worth waiting for, unless the device would not do without them either.
    if in_use and (reading is None or _fits(request, staying, movable, limits, reading, 0)):
        return WAIT
    if reading is None:
        return Room(Answer.MEASURE)  # Only a reading says that all this is not enough.
    spare = limits.budget - required(s.need for s in staying) - excess(seats, reading)
    return device_memory(request.need, min(reading.free + _weights(movable), spare))


def _weights_fit(
    request: Request, seats: Sequence[Seat], limits: Limits, reading: Reading | None
) -> bool:
    fit = reading is None or request.need.weights <= reading.free
    return fit and len(seats) < limits.models


def _go(leaving: Sequence[Seat], reading: Reading | None) -> Room:
    if leaving:
        return Room(Answer.EVICT, tuple(s.model_id for s in leaving))
    return Room(Answer.MEASURE if reading is None else Answer.LOAD)


def excess(seats: Sequence[Seat], reading: Reading) -> int:
    """Return the bytes that this process holds beside its models and the batch that runs."""
    running = max((s.need.working for s in seats if s.leases), default=0)
    return max(0, reading.used - _weights(seats) - running)


def _fewest(
    request: Request,
    seats: Sequence[Seat],
    idle: Sequence[Seat],
    limits: Limits,
    reading: Reading | None,
) -> list[Seat] | None:
    """Return the shortest run of idle models whose leaving makes room; None when none does."""
    extra = 0 if reading is None else excess(seats, reading)
    for count in range(len(idle) + 1):
        leaving = list(idle[:count])
        staying = [s for s in seats if s not in leaving]
        if _fits(request, staying, leaving, limits, reading, extra):
            return leaving
    return None


def _fits(
    request: Request,
    staying: Sequence[Seat],
    leaving: Sequence[Seat],
    limits: Limits,
    reading: Reading | None,
    extra: int,
) -> bool:
    if not _within(request, staying, limits, extra):
        return False
    if reading is None:
        return True
    arriving = sum(s.need.weights for s in staying if s.stage is Stage.LOADING)
    return request.need.total + arriving <= reading.free + _weights(leaving)


def _within(request: Request, staying: Sequence[Seat], limits: Limits, extra: int) -> bool:
    together = required([request.need, *(s.need for s in staying)]) + extra
    return len(staying) < limits.models and together <= limits.budget


def _weights(seats: Sequence[Seat]) -> int:
    return sum(s.need.weights for s in seats)

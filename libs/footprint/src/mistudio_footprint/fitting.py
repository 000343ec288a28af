"""Whether bytes fit a device: as it is, once others have left, or never. Pure decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NOW, AFTER_EVICTION, NEVER = "now", "after_eviction", "never"

DEFAULT_BUDGET_BYTES = 6 << 30
"""Of a device that nobody has seen yet: ``GPU_MEMORY_LIMIT_GB``'s default."""


@dataclass(frozen=True)
class Resident:
    """A model in device memory. ``last_used`` only orders; a lease is work under way with it."""

    model_id: str
    bytes: int
    last_used: float = 0.0
    pinned: bool = False
    leases: int = 0

    @property
    def may_leave(self) -> bool:
        """Whether it may be evicted."""
        return not self.pinned and not self.leases


@dataclass(frozen=True)
class Room:
    """A device's memory in bytes.

    Attributes
    ----------
    budget
        Ours at most.
    used
        Of the budget, now.
    free
        What the device has left, whoever uses the rest; None where unknown.
    residents
        Who is there.
    """

    budget: int = DEFAULT_BUDGET_BYTES
    used: int = 0
    free: int | None = None
    residents: tuple[Resident, ...] = ()

    def without(self, model_id: str) -> Room:
        """Return the room as it would be without a model, when that model is asked about."""
        leaving = [each for each in self.residents if each.model_id == model_id]
        freed = sum(each.bytes for each in leaving)
        return Room(
            self.budget,
            max(0, self.used - freed),
            None if self.free is None else self.free + freed,
            tuple(each for each in self.residents if each.model_id != model_id),
        )


@dataclass(frozen=True)
class Verdict:
    """``fit`` is :data:`NOW`, :data:`AFTER_EVICTION` or :data:`NEVER`.

    Attributes
    ----------
    evict
        Who would be evicted, the least recently used first.
    held_by
        Who would have to leave too and cannot be evicted: pinned, or in use.
    others
        Whether even then other programs hold memory that is needed.
    """

    fit: str
    evict: tuple[str, ...] = ()
    held_by: tuple[str, ...] = ()
    others: bool = False


def decide(required: int, room: Room) -> Verdict:
    """Return whether so many bytes fit, and who would leave for them.

    Pinned models and those in use are never evicted. No more leave than needed, in order of use.
    What fits the empty budget fits some day, so it never is :data:`NEVER`.
    """
    if required > room.budget:
        return Verdict(NEVER)
    order = sorted(room.residents, key=lambda each: (each.last_used, each.model_id))
    idle = [each for each in order if each.may_leave]
    for count in range(len(idle) + 1):
        if _fits(required, room, idle[:count]):
            return Verdict(AFTER_EVICTION if count else NOW, _ids(idle[:count]))
    held = [each for each in order if not each.may_leave]
    for count in range(1, len(held) + 1):
        if _fits(required, room, [*idle, *held[:count]]):
            return Verdict(AFTER_EVICTION, _ids(idle), _ids(held[:count]))
    return Verdict(AFTER_EVICTION, _ids(idle), _ids(held), others=True)


def _fits(required: int, room: Room, leaving: Sequence[Resident]) -> bool:
    freed = sum(each.bytes for each in leaving)
    if required > room.budget - max(0, room.used - freed):
        return False
    return room.free is None or required <= room.free + freed


def _ids(residents: Sequence[Resident]) -> tuple[str, ...]:
    return tuple(each.model_id for each in residents)

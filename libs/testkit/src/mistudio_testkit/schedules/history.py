"""What happened, as the clients saw it, and how it all stood in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from .draw import Verb

Json = dict[str, Any]


class Outcome(str, Enum):
    """What a client knows of what it asked for. ``UNKNOWN`` may have been done, or not."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Asked:
    """One request or command, with all its repetitions.

    Parameters
    ----------
    client
        Who.
    verb
        What.
    target
        The id of the model, extraction or cache.
    begun, ended
        Seconds after the beginning.
    outcome
        What the client knows.
    told
        Status and code of the last answer, for people.
    ids
        What the answer or the command named: ``task_id``, ``extraction_id``, ``model_id``,
        ``command_id``.
    status
        HTTP status of the last answer; 0 where none came, and on the bus.
    """

    client: str
    verb: Verb
    target: str
    begun: float
    ended: float
    outcome: Outcome
    told: str
    ids: Mapping[str, str] = field(default_factory=dict)
    status: int = 0

    def __str__(self) -> str:
        ids = " ".join(f"{name}={value}" for name, value in self.ids.items())
        return (
            f"{self.begun:6.3f} – {self.ended:6.3f}  {self.client} {self.verb.value} "
            f"{self.target}: {self.outcome.value} ({self.told}) {ids}"
        )


@dataclass(frozen=True)
class Event:
    """An event with its place in the stream; ``kind`` is the frame's type."""

    sequence: int
    kind: str
    data: Json

    @property
    def place(self) -> tuple[int, str, str]:
        """What tells it from events of another stream that had the same sequence."""
        return self.sequence, self.kind, str(self.data.get("timestamp"))

    def __str__(self) -> str:
        about = {
            name: value
            for name, value in self.data.items()
            if name.endswith("_id") or name in ("status", "reason", "shard_index", "error")
        }
        return f"#{self.sequence} {self.kind} {about}"


@dataclass(frozen=True)
class Sitting:
    """One connection of a watcher, in the order of its frames.

    Parameters
    ----------
    after
        What it asked for; None for what is to come.
    newest, gap
        As the server answered: the newest sequence, and whether something is missing.
    events
        What it was told. Progress, which has no sequence, is not kept.
    """

    after: int | None
    newest: int
    gap: bool
    events: tuple[Event, ...]


@dataclass(frozen=True)
class History:
    """What happened while a schedule ran.

    Parameters
    ----------
    asked
        By all clients.
    watched
        The sittings of each watcher.
    kept
        What the stream of events holds in the end of what was said since the beginning.
    begun
        The sequence of the last event before the beginning.
    rested
        The sequence of the last event that every watcher was waited for; None for the last kept.
    lost
        When the bus lost what it held, in seconds since the beginning; None where it did not.
    """

    asked: tuple[Asked, ...]
    watched: Mapping[str, tuple[Sitting, ...]]
    kept: tuple[Event, ...]
    begun: int = 0
    rested: int | None = None
    lost: float | None = None

    @property
    def gone(self) -> tuple[Event, ...]:
        """What watchers were told of a stream that is no more, in its order."""
        if self.lost is None:
            return ()
        now = {event.place for event in self.kept}
        told = {
            event.place: event
            for sittings in self.watched.values()
            for sitting in sittings
            for event in sitting.events
        }
        old = [event for place, event in told.items() if place not in now]
        return tuple(sorted(old, key=lambda event: event.sequence))

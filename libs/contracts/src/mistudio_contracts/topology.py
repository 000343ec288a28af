"""Streams and durable consumers, declared once; provisioned by ``mistudio_servicekit``.

Services never declare a stream or a consumer themselves: the last declarer would win in silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .subjects import Kind, Subject, of_kind

DAY = 86_400.0
MIB = 1024 * 1024


@dataclass(frozen=True)
class StreamSpec:
    """A JetStream stream. ``max_age`` in seconds, 0 for ever; ``max_bytes`` bounds the disk."""

    name: str
    subjects: tuple[str, ...]
    retention: Literal["workqueue", "limits"]
    storage: Literal["file", "memory"]
    summary: str
    max_age: float = 0.0
    max_bytes: int = 256 * MIB
    discard: Literal["old", "new"] = "new"
    duplicate_window: float = 120.0
    max_msgs_per_subject: int = -1


@dataclass(frozen=True)
class ConsumerSpec:
    """A durable pull consumer: one a subject, shared by all replicas of the reader.

    ``ack_wait`` in seconds is how long a killed worker's message waits for the next; workers
    extend it while they live. ``max_ack_pending`` and ``max_waiting`` bound the workers: each has
    one message in hand, or one request for a message open.
    """

    name: str
    stream: str
    subject: str
    ack_wait: float = 15.0
    max_deliver: int = 10
    max_ack_pending: int = 10_000
    max_waiting: int = 10_000


def streams() -> tuple[StreamSpec, ...]:
    """Return every stream of the system."""
    return (
        StreamSpec(
            "COMMANDS",
            _names(Kind.COMMAND),
            "workqueue",
            "file",
            "Requests that anyone allowed may publish; refused when full.",
        ),
        StreamSpec(
            "WORK",
            ("work.>",),
            "workqueue",
            "file",
            "Work orders of the catalog's outbox.",
            max_bytes=512 * MIB,
        ),
        StreamSpec(
            "REPORTS",
            ("report.>",),
            "workqueue",
            "file",
            "What workers tell the catalog.",
            max_bytes=512 * MIB,
        ),
        StreamSpec(
            "EVENTS",
            _names(Kind.EVENT),
            "limits",
            "file",
            "Facts; seven days, the oldest dropped when full.",
            max_age=7 * DAY,
            max_bytes=512 * MIB,
            discard="old",
        ),
        StreamSpec(
            "PROGRESS",
            _names(Kind.PROGRESS),
            "limits",
            "file",
            "Live progress; one hour. In memory it would be gone, stream and all, at a restart.",
            max_age=3600.0,
            max_bytes=32 * MIB,
            discard="old",
        ),
        StreamSpec(
            "DEAD",
            ("dead.>",),
            "limits",
            "file",
            "What could not be handled, with its error; thirty days.",
            max_age=30 * DAY,
            discard="old",
        ),
    )


def consumers(pools: tuple[str, ...] = ("default",)) -> tuple[ConsumerSpec, ...]:
    """Return every durable consumer, for the given pools."""
    found: list[ConsumerSpec] = []
    for subject in of_kind(Kind.COMMAND, Kind.REPORT):
        found.append(_consumer(subject, "default"))
    for pool in pools:
        found.extend(_consumer(subject, pool) for subject in of_kind(Kind.WORK))
    return tuple(found)


def _names(kind: Kind) -> tuple[str, ...]:
    return tuple(s.pattern for s in of_kind(kind))


def _consumer(subject: Subject, pool: str) -> ConsumerSpec:
    stream = subject.stream
    if stream is None:
        raise ValueError(f"{subject.pattern} is not kept in a stream")
    return ConsumerSpec(subject.durable(pool), stream, subject.name(pool))


UPLOADS_BUCKET = "uploads"
"""The object store bucket that carries dataset uploads from gateway to loader."""

UPLOADS_MAX_BYTES = 8 * 1024 * MIB
UPLOADS_MAX_AGE = DAY

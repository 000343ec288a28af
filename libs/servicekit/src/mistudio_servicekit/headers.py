"""Message headers: CloudEvents, de-duplication, and the note a dead letter carries."""

import re
from collections.abc import Mapping

from pydantic import BaseModel

from mistudio_contracts.base import utcnow
from mistudio_contracts.subjects import Subject

MSG_ID = "Nats-Msg-Id"
ID = "ce-id"
TYPE = "ce-type"
SOURCE = "ce-source"
TIME = "ce-time"
SUBJECT = "ce-subject"
SCHEMA_VERSION = "ce-schemaversion"

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


def clean(value: str, limit: int = 1000) -> str:
    """Return ``value`` fit for a header: printable ASCII on one line, at most ``limit`` long."""
    return _UNPRINTABLE.sub("?", value)[:limit].strip()


def version_of(message: BaseModel | type[BaseModel]) -> int:
    """Return the payload's major version."""
    return int(getattr(message, "VERSION", 1))


def envelope(
    subject: Subject, message: BaseModel, *, source: str, entity_id: str, message_id: str
) -> dict[str, str]:
    """Return a message's headers: CloudEvents 1.0, binary mode, and the id to de-duplicate by."""
    return {
        "content-type": "application/json",
        "ce-specversion": "1.0",
        ID: clean(message_id),
        TYPE: subject.pattern,
        SOURCE: clean(source),
        TIME: utcnow().isoformat(),
        SUBJECT: clean(entity_id),
        SCHEMA_VERSION: str(version_of(message)),
        MSG_ID: clean(message_id),
    }


def schema_version(headers: Mapping[str, str]) -> int | None:
    """Return the payload's major version as its writer gave it; None when it gave none.

    Raises
    ------
    ValueError
        When the header is not a version.
    """
    written = headers.get(SCHEMA_VERSION)
    return None if not written else int(written.split(".", 1)[0])

"""The message base class, identifiers and the few value types that everything shares."""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timezone
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

CONTRACT_VERSION = "1.0.0"
"""Semantic version of everything under ``contracts/``; a breaking change bumps the major."""


def utcnow() -> datetime:
    """Return the present moment as an aware UTC datetime."""
    return datetime.now(timezone.utc)


def _aware(value: datetime) -> datetime:
    return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value


UtcDatetime = Annotated[datetime, AfterValidator(_aware)]
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z]+_[A-Za-z0-9_]{1,120}$")]
Fingerprint = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16,64}$")]
Pool = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}$")]
Percent = Annotated[float, Field(ge=0, le=100)]


class Value(BaseModel):
    """An immutable part of a message. Unknown fields are ignored, so older readers live on."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        use_enum_values=False,
        # Whoever reads what we send finds every field there, and its types say so.
        json_schema_serialization_defaults_required=True,
    )


class Message(Value):
    """A payload that travels alone on the bus.

    ``VERSION`` is the major version of the payload; a reader parks versions it does not know.
    """

    VERSION: ClassVar[int] = 1


def new_id(prefix: str, hint: str = "") -> str:
    """Return a fresh identifier such as ``m_gpt2_medium_3f9a1c2b7d``.

    Parameters
    ----------
    prefix
        The kind: ``m``, ``ds``, ``ext``, ``act``, ``task``, ``cmd`` or ``evt``.
    hint
        Free text whose letters and digits make the identifier readable.
    """
    slug = re.sub(r"[^a-z0-9]+", "_", hint.lower()).strip("_")[:40]
    tail = secrets.token_hex(8)
    return f"{prefix}_{slug}_{tail}" if slug else f"{prefix}_{tail}"

"""A message as its handler sees it: the payload, and what is known of its delivery."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from faststream.nats.message import NatsMessage
from nats.aio.msg import Msg
from pydantic import BaseModel, ValidationError

from mistudio_contracts.errors import InvalidInput

from .headers import ID, MSG_ID, SOURCE, schema_version, version_of
from .validation import invalid_input

P = TypeVar("P", bound=BaseModel)


@dataclass(frozen=True)
class Delivery:
    """One delivery of a message.

    Parameters
    ----------
    subject
        The concrete subject.
    message_id
        The writer's id for it, or else its place in the stream. The same at each delivery.
    attempt
        1 for the first delivery.
    source
        The service that wrote it, if it says so.
    published_at
        When the stream took it, by the clock of the bus. The same at each delivery.
    """

    subject: str
    message_id: str
    attempt: int
    source: str | None
    published_at: datetime = field(compare=False)

    def report_id(self, outcome: str) -> str:
        """Return the message id under which to report ``outcome``.

        It is the same at each delivery, so that a report is kept once. An order that is given
        again has its own: its first report was lost, and the second must not count as a duplicate.
        """
        return f"{self.message_id}.{outcome}"


def delivery_of(message: Msg) -> Delivery:
    """Return what a stream's message says of its delivery."""
    headers = message.headers or {}
    place = message.metadata
    return Delivery(
        subject=message.subject,
        message_id=headers.get(MSG_ID)
        or headers.get(ID)
        or f"{place.stream}-{place.sequence.stream}",
        attempt=place.num_delivered,
        source=headers.get(SOURCE),
        published_at=place.timestamp,
    )


def read_payload(payload: type[P], message: NatsMessage) -> P:
    """Return the payload of a message.

    Raises
    ------
    InvalidInput
        When it cannot be decoded, is not valid, or is of a version that this code does not know.
    """
    try:
        version = schema_version(message.headers)
    except ValueError as error:
        raise InvalidInput(
            "The version of the payload cannot be read.",
            field="ce-schemaversion",
            reason="unknown_version",
            remedy="Leave the header out, or give the payload's major version.",
        ) from error
    if version is not None and version != version_of(payload):
        raise InvalidInput(
            f"Version {version} of {payload.__name__} is not known here.",
            field="ce-schemaversion",
            reason="unknown_version",
            remedy=f"Send version {version_of(payload)}, or update this service.",
        )
    try:
        return payload.model_validate_json(message.body)
    except ValidationError as error:
        raise invalid_input(error) from error

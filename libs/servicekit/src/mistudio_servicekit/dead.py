"""Dead letters: a copy of what could not be handled, with the reason, before it is let go."""

from dataclasses import dataclass

from faststream.nats import NatsBroker
from nats.aio.msg import Msg

from mistudio_contracts.base import utcnow
from mistudio_contracts.errors import MiStudioError
from mistudio_contracts.subjects import dead_letter

from .bus import publish_raw
from .headers import MSG_ID, clean

STREAM = "DEAD"
ERROR = "mistudio-error"
CODE = "mistudio-error-code"
REASON = "mistudio-error-reason"
CAUSE = "mistudio-error-cause"
ATTEMPTS = "mistudio-attempts"
ORIGIN = "mistudio-origin"
SUBJECT = "mistudio-subject"
MESSAGE_ID = "mistudio-message-id"
DIED_AT = "mistudio-died-at"

_OF_THE_SERVER = ("nats-", "status", "description")


@dataclass(frozen=True)
class Death:
    """Why a message could not be handled. ``cause`` is for operators, and may say anything."""

    error: MiStudioError
    cause: BaseException | None = None


async def bury(broker: NatsBroker, message: Msg, death: Death) -> None:
    """Put a copy of a stream's message into the DEAD stream, unchanged but for headers.

    The copy's id is made of the original's place, so that a second attempt adds nothing.

    Raises
    ------
    ServiceUnavailable
        When the copy is not known to be kept.
    """
    place = message.metadata
    origin = f"{place.stream}:{place.sequence.stream}"
    original = message.headers or {}
    headers = {
        name: value
        for name, value in original.items()
        if not name.lower().startswith(_OF_THE_SERVER)
    }
    body = death.error.body()
    headers |= {
        MSG_ID: f"dead-{origin}-{int(place.timestamp.timestamp())}",
        ERROR: clean(body.model_dump_json(), 4000),
        CODE: str(body.code),
        REASON: clean(str(body.details.get("reason", "unknown"))),
        ATTEMPTS: str(place.num_delivered),
        ORIGIN: f"{origin}:{place.consumer}",
        SUBJECT: message.subject,
        DIED_AT: utcnow().isoformat(),
    }
    if original.get(MSG_ID):
        headers[MESSAGE_ID] = original[MSG_ID]
    if death.cause is not None:
        headers[CAUSE] = clean(f"{type(death.cause).__name__}: {death.cause}")
    await publish_raw(broker, dead_letter(message.subject), message.data, headers, stream=STREAM)

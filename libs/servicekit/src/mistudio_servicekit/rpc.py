"""Request and reply over core NATS."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import nats.errors
from faststream.exceptions import IncorrectState
from faststream.nats import NatsBroker, NatsResponse
from faststream.nats.message import NatsMessage
from pydantic import BaseModel, ValidationError

from mistudio_contracts.base import new_id
from mistudio_contracts.errors import (
    ErrorCode,
    MiStudioError,
    PayloadTooLarge,
    ServiceUnavailable,
)
from mistudio_contracts.rpc import Reply
from mistudio_contracts.subjects import Subject

from .consume import register
from .delivery import read_payload
from .failures import as_contract_error
from .headers import envelope
from .telemetry import metrics_of
from .tracing import failed

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Requests of one subject that a process answers at the same time."""

HEADER_ROOM = 4096
SERVER_ERROR = 500
_JSON = {"content-type": "application/json"}


def serve(
    broker: NatsBroker,
    subject: Subject,
    handler: Callable[[Any], Awaitable[BaseModel]],
    *,
    pool: str = "default",
) -> None:
    """Answer the requests of a subject; of the service's replicas one answers each.

    The reply is ``Reply`` of the contract: what the handler returns, or the error. A request
    that is not valid is answered with VALIDATION_ERROR naming the field, an exception that is not
    of the contract with INTERNAL_ERROR, and logged.

    Parameters
    ----------
    broker
        Where to register; before it starts.
    subject
        A request subject.
    handler
        Takes the payload and returns the subject's ``reply``.
    pool
        Fills ``{pool}`` of the subject.
    """
    kind = _reply_of(subject)
    name = subject.name(pool)
    answered = metrics_of(broker).requests
    for each in ("ok", ErrorCode.INTERNAL_ERROR):
        answered.labels(name, str(each))
    subscriber = broker.subscriber(
        name,
        queue=f"{subject.reader}-{pool}",
        title=name,
        description=subject.summary,
        max_workers=AT_ONCE,
    )

    async def answer(message: NatsMessage) -> NatsResponse:
        code = "ok"
        try:
            result = await handler(read_payload(subject.payload, message))
            body = kind(result=result).model_dump_json().encode()
            _check_size(broker, body)
        except Exception as error:
            known = as_contract_error(error)
            code = str(known.code)
            # As with HTTP, what the asker did wrong is no failure of who answers.
            if known.code.http_status >= SERVER_ERROR:
                failed(known)
            if known is not error:
                log.exception("A request failed.", extra={"subject": name})
            body = kind(error=known.body()).model_dump_json().encode()
        answered.labels(name, code).inc()
        return NatsResponse(body, headers=_JSON)

    register(subscriber, subject, answer)


async def call(
    broker: NatsBroker,
    subject: Subject,
    request: BaseModel,
    *,
    pool: str = "default",
    timeout: float = 5.0,
) -> BaseModel:
    """Send a request and return the answer, an instance of the subject's ``reply``.

    Parameters
    ----------
    broker
        A connected broker.
    subject
        A request subject.
    request
        An instance of ``subject.payload``.
    pool
        Fills ``{pool}`` of the subject.
    timeout
        Seconds to wait.

    Raises
    ------
    MiStudioError
        What the other side answered with, as its class.
    ServiceUnavailable
        ``reason`` is ``nobody_there``, ``timeout`` or ``bus_unavailable``.
    """
    kind = _reply_of(subject)
    if not isinstance(request, subject.payload):
        raise TypeError(f"{subject.pattern} carries {subject.payload.__name__}")
    name = subject.name(pool)
    headers = envelope(subject, request, source="caller", entity_id="", message_id=new_id("req"))
    del headers["Nats-Msg-Id"]
    try:
        answer = await broker.request(
            request.model_dump_json().encode(), name, headers=headers, timeout=timeout
        )
    except nats.errors.NoRespondersError as error:
        raise _unavailable(subject, "nobody_there") from error
    except nats.errors.MaxPayloadError as error:
        raise PayloadTooLarge(
            "The request is larger than the bus takes.", reason="message_too_large"
        ) from error
    except asyncio.TimeoutError as error:
        raise _unavailable(subject, "timeout") from error
    except (nats.errors.Error, IncorrectState) as error:
        raise _unavailable(subject, "bus_unavailable") from error
    try:
        reply = kind.model_validate_json(answer.body)
    except ValidationError as error:
        raise MiStudioError(
            f"The answer to {name} is not understood.",
            reason="unreadable_reply",
            remedy="Run the same version of every service.",
        ) from error
    result: BaseModel = reply.unwrap()
    return result


def _reply_of(subject: Subject) -> Any:
    if subject.reply is None:
        raise ValueError(f"{subject.pattern} has no reply")
    return Reply[subject.reply]  # type: ignore[name-defined]


def _check_size(broker: NatsBroker, body: bytes) -> None:
    most = broker.config.connection_state.connection.max_payload
    if len(body) + HEADER_ROOM > most:
        raise PayloadTooLarge(
            "The answer is larger than one message may be.",
            reason="reply_too_large",
            bytes=len(body),
            max_bytes=most,
            remedy="Ask for less at once.",
        )


def _unavailable(subject: Subject, reason: str) -> ServiceUnavailable:
    service = subject.reader
    return ServiceUnavailable(
        f"The {service} does not answer.",
        reason=reason,
        service=service,
        remedy=f"Try again; if it stays so, look whether the {service} runs.",
    )

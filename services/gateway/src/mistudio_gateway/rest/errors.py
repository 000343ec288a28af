"""Every error answer is the contract's ErrorResponse, whatever went wrong."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from mistudio_contracts.errors import (
    ErrorBody,
    ErrorCode,
    ErrorResponse,
    InvalidInput,
    MiStudioError,
    NotFound,
    PayloadTooLarge,
)
from mistudio_gateway.domain.text import printable
from mistudio_servicekit.validation import field_of

from .methods import methods_of
from .trace import trace_id_of

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS: dict[ErrorCode, int] = {
    ErrorCode.RATE_LIMITED: 60,
    ErrorCode.INSUFFICIENT_MEMORY: 30,
    ErrorCode.SERVICE_UNAVAILABLE: 2,
}
"""When to come back, where the error itself does not say."""

CHALLENGE = 'Bearer realm="mistudio"'
MOST_ERRORS = 20
"""Validation errors listed in one answer."""


def error_response(body: ErrorBody, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer for an error, with the headers that belong to its code."""
    answer = Response(
        ErrorResponse(error=body).model_dump_json(),
        status_code=body.code.http_status,
        media_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )
    if body.code is ErrorCode.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = CHALLENGE
    if body.code in RETRY_AFTER_SECONDS:
        answer.headers["Retry-After"] = str(_retry_after(body))
    return answer


def _retry_after(body: ErrorBody) -> int:
    told = body.details.get("retry_after_seconds")
    if isinstance(told, int | float) and math.isfinite(told) and told > 0:
        return math.ceil(told)
    return RETRY_AFTER_SECONDS[body.code]


def unexpected(trace_id: str) -> ErrorBody:
    """Return the body for an error that nobody foresaw: a number to look up, and no more."""
    return ErrorBody(
        code=ErrorCode.INTERNAL_ERROR,
        message="An unexpected error. The logs have it under the trace id.",
        details={
            "reason": "unexpected",
            "trace_id": trace_id,
            "remedy": "Try again; if it stays, give the trace id to whoever runs this server.",
        },
    )


def validation_error(errors: Sequence[Mapping[str, Any]]) -> InvalidInput:
    """Say in the contract's form what pydantic found.

    ``details.field`` is the first offending input, dotted; ``details.errors`` lists them all.
    """
    found = [_one(error) for error in errors[:MOST_ERRORS]]
    first = found[0]
    return InvalidInput(
        f"{first['field']}: {first['message']}",
        field=first["field"],
        reason=first["reason"],
        remedy=_remedy(first["reason"]),
        errors=found if len(found) > 1 else None,
    )


def _one(error: Mapping[str, Any]) -> dict[str, str]:
    location = [str(part) for part in error.get("loc", ())]
    # The first part says where (body, query, path, header); the field is what follows it.
    field = field_of(location[1:]) or (location[0] if location else "body")
    message = str(error.get("msg", "")).removeprefix("Value error, ")
    return {
        "field": printable(field),
        "reason": str(error.get("type", "invalid")),
        "message": printable(message),
    }


def _remedy(reason: str) -> str:
    if reason == "missing":
        return "Add it and send the request again."
    if reason == "extra_forbidden":
        return "Leave it out: the request does not take it."
    return "Correct it and send the request again; /api/openapi.json describes what is taken."


async def _on_mistudio_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, MiStudioError):
        raise error
    if error.code.http_status >= 500:
        logger.warning(
            "a request failed",
            extra={"code": str(error.code), "reason": error.details.get("reason")},
        )
    return error_response(error.body())


async def _on_validation_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    return error_response(validation_error(error.errors()).body())


async def _on_http_exception(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == 404:
        return error_response(
            NotFound(
                "There is no such route.",
                reason="no_route",
                remedy="/api/openapi.json lists the routes.",
            ).body()
        )
    if error.status_code == 405:
        allowed = ", ".join(methods_of(request))
        body = MiStudioError(
            "The route does not take this method.",
            code=ErrorCode.METHOD_NOT_ALLOWED,
            reason="method_not_allowed",
            remedy=f"Use {allowed}.",
        ).body()
        return error_response(body, {"Allow": allowed})
    if error.status_code == 413:
        return error_response(PayloadTooLarge("The body is too large.").body())
    if 400 <= error.status_code < 500:
        # Starlette's own refusals are all about a request that cannot be read.
        return error_response(
            InvalidInput("The request could not be read.", field="body", reason="unreadable").body()
        )
    trace_id = trace_id_of(request.scope)
    logger.error("an unexpected HTTP error", extra={"status": error.status_code})
    return error_response(unexpected(trace_id))


def install(app: FastAPI) -> None:
    """Answer every error of the application in the contract's form."""
    app.add_exception_handler(MiStudioError, _on_mistudio_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)

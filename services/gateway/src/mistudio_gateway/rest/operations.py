"""Declaring a route: its scope and the errors it can answer stand beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Message
from starlette.types import Scope as Scope_

from mistudio_contracts.errors import ErrorCode, ErrorResponse, InvalidInput, PayloadTooLarge
from mistudio_contracts.states import Scope
from mistudio_gateway.domain.text import check_text, check_tree

from .auth import authenticate, authorize
from .errors import RETRY_AFTER_SECONDS

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
SCOPE = "x-required-scope"

ALWAYS = (
    ErrorCode.VALIDATION_ERROR,
    ErrorCode.UNAUTHORIZED,
    ErrorCode.FORBIDDEN,
    ErrorCode.INTERNAL_ERROR,
    ErrorCode.SERVICE_UNAVAILABLE,
)
"""What every route of the API can answer."""


class GuardedRoute(APIRoute):
    """A route that knows the caller before it reads the body, and reads no more than allowed."""

    def matches(self, scope: Scope_) -> tuple[Match, Scope_]:
        """Leave a path that another route names literally to that route alone."""
        match, found = super().matches(scope)
        if found.get("path_params") and scope["path"] in scope["app"].state.literal_paths:
            return Match.NONE, {}
        return match, found

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        needed = Scope((self.openapi_extra or {})[SCOPE])
        takes_json = self.body_field is not None
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            gateway = request.app.state.gateway
            principal = await authenticate(
                request.headers.get("authorization"), gateway.tokens.verify
            )
            authorize(principal, needed)
            request.state.principal = principal
            check_query(request)
            if takes_json:
                body = await read_json(request, gateway.settings.max_body_bytes)
                request = Request(request.scope, replay(body))
            return await inner(request)

        return handle


@dataclass
class Operations:
    """The routes of one handler module, to be installed in an application.

    Attributes
    ----------
    tag
        Their heading in the OpenAPI document.
    """

    tag: str
    declared: list[tuple[str, str, Callable[..., Any], dict[str, Any]]] = field(
        default_factory=list
    )

    def add(
        self,
        method: str,
        path: str,
        *,
        scope: Scope,
        errors: tuple[ErrorCode, ...] = (),
        headers: dict[str, str] | None = None,
        responses: dict[int | str, dict[str, Any]] | None = None,
        openapi: dict[str, Any] | None = None,
        status: int = 200,
        **options: Any,
    ) -> Callable[[Endpoint], Endpoint]:
        """Declare a route.

        Parameters
        ----------
        method, path
            As HTTP has them; the path is complete.
        scope
            What the caller's token must hold.
        errors
            Codes it can answer beside those of every route.
        headers
            Names and descriptions of headers of the good answer.
        responses
            Further answers, as FastAPI takes them.
        openapi
            Additions to the operation in the OpenAPI document.
        status
            Of the good answer.
        **options
            What else FastAPI's ``add_api_route`` takes.
        """

        def declare(endpoint: Endpoint) -> Endpoint:
            described: dict[int | str, dict[str, Any]] = {**error_answers((*ALWAYS, *errors))}
            for number, answer in (responses or {}).items():
                described[number] = answer
            if headers:
                good = described.setdefault(status, {})
                good["headers"] = {
                    name: {"description": text, "schema": {"type": "string"}}
                    for name, text in headers.items()
                }
            extra: dict[str, Any] = {
                SCOPE: str(scope),
                "security": [{"bearer": [str(scope)]}],
                **(openapi or {}),
            }
            settings: dict[str, Any] = {
                "responses": described,
                "openapi_extra": extra,
                "status_code": status,
                "tags": [self.tag],
                "operation_id": endpoint.__name__,
                **options,
            }
            self.declared.append((method, path, endpoint, settings))
            return endpoint

        return declare

    def install(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        literal = {path for _, path, _, _ in self.declared if "{" not in path}
        app.state.literal_paths = literal | getattr(app.state, "literal_paths", set())
        for method, path, endpoint, settings in self.declared:
            app.router.add_api_route(
                path, endpoint, methods=[method], route_class_override=GuardedRoute, **settings
            )


def error_answers(codes: tuple[ErrorCode, ...]) -> dict[int | str, dict[str, Any]]:
    """Describe error answers for the OpenAPI document, one a status."""
    by_status: dict[int, list[ErrorCode]] = {}
    for code in codes:
        if code not in by_status.setdefault(code.http_status, []):
            by_status[code.http_status].append(code)
    answers: dict[int | str, dict[str, Any]] = {}
    for status, names in sorted(by_status.items()):
        text = "; ".join(f"`{code}`: {code.summary}" for code in names)
        answer: dict[str, Any] = {"model": ErrorResponse, "description": text}
        if status == HTTPStatus.UNAUTHORIZED:
            answer["headers"] = {"WWW-Authenticate": _header("How to authenticate.", "string")}
        if any(code in RETRY_AFTER_SECONDS for code in names):
            answer["headers"] = {"Retry-After": _header("Seconds to wait.", "integer")}
        answers[status] = answer
    return answers


def _header(text: str, kind: str) -> dict[str, Any]:
    return {"description": text, "schema": {"type": kind}}


def check_query(request: Request) -> None:
    """Refuse query parameters that are given twice or cannot be stored.

    Raises
    ------
    InvalidInput
        Naming the parameter.
    """
    seen: set[str] = set()
    for name, value in request.query_params.multi_items():
        check_text(name, "query")
        check_text(value, name)
        if name in seen:
            raise InvalidInput(
                f"{name} is given more than once.",
                field=name,
                reason="repeated",
                remedy="Give it once.",
            )
        seen.add(name)


async def read_json(request: Request, limit: int) -> bytes:
    """Read a JSON body of at most ``limit`` bytes, and check that it can be parsed.

    Raises
    ------
    PayloadTooLarge
        As soon as the limit is passed.
    InvalidInput
        When it is not JSON, or holds text that cannot be stored.
    """
    too_large = PayloadTooLarge(
        f"The body is larger than {limit} bytes.",
        limit_bytes=limit,
        reason="body_too_large",
        remedy="Send less in one request.",
    )
    if content_length(request) > limit:
        raise too_large
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise too_large
    if not body:
        return b""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise InvalidInput(
            "Content-Type must be application/json.",
            field="Content-Type",
            reason="unsupported_media_type",
            remedy="Send the body as JSON and say so in Content-Type.",
        )
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            "The body is not JSON.",
            field="body",
            reason="malformed_json",
            remedy="Send one JSON value in UTF-8.",
        ) from error
    check_tree(value)
    return bytes(body)


def content_length(request: Request) -> int:
    """Return what Content-Length says, 0 when it says nothing."""
    told = request.headers.get("content-length", "")
    return int(told) if told.isascii() and told.isdigit() else 0


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def replay(body: bytes) -> Callable[[], Coroutine[Any, Any, Message]]:
    """Return a receive channel that gives a body that was read already."""
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive

"""/ws: who is it, then the session."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from mistudio_contracts.base import utcnow
from mistudio_contracts.errors import ErrorBody, ErrorCode, MiStudioError, Unauthorized
from mistudio_contracts.frames import Authenticate, ErrorFrame
from mistudio_contracts.states import Scope
from mistudio_gateway.context import Gateway
from mistudio_gateway.rest.auth import authorize, identify

from .session import TRY_LATER, Session

PROTOCOL = "mistudio.v1"
BEARER = "bearer."
CLOSED_FOR = {ErrorCode.UNAUTHORIZED: 4401, ErrorCode.FORBIDDEN: 4403}
"""How a connection is closed that is not served; for anything else it may come again later."""


async def events_socket(websocket: WebSocket) -> None:
    """Serve one client.

    The token comes as the subprotocol ``bearer.<token>`` beside ``mistudio.v1``, or in the first
    message; never in the URL, where logs would keep it.
    """
    here: Gateway = websocket.app.state.gateway
    offered = websocket.scope.get("subprotocols", [])
    await websocket.accept(subprotocol=PROTOCOL if PROTOCOL in offered else None)
    try:
        token = await _token(websocket, offered, here.settings.socket_auth_seconds)
        principal = await identify(token, here.tokens.verify)
        authorize(principal, Scope.READ)
    except MiStudioError as error:
        await _refuse(websocket, error.body(), CLOSED_FOR.get(error.code, TRY_LATER))
        return
    except WebSocketDisconnect:
        return
    clients = here.sockets
    if len(clients) >= here.settings.socket_clients:
        with suppress(WebSocketDisconnect):
            await websocket.close(TRY_LATER, "too many clients")
        return
    lasts = principal.expires_at - utcnow()
    session = Session(websocket, here, max(0.0, lasts.total_seconds()))
    clients.add(session)
    here.metrics.clients.set(len(clients))
    try:
        await session.run()
    finally:
        clients.discard(session)
        here.metrics.clients.set(len(clients))


async def _token(websocket: WebSocket, offered: list[str], seconds: float) -> str:
    for protocol in offered:
        if protocol.startswith(BEARER):
            return protocol.removeprefix(BEARER)
    try:
        text = await asyncio.wait_for(websocket.receive_text(), seconds)
        return Authenticate.model_validate_json(text).token
    except asyncio.TimeoutError as error:
        raise Unauthorized(
            "No access token came in time.",
            reason="missing",
            remedy='Send {"token": "…"} as the first message.',
        ) from error
    except (ValidationError, KeyError) as error:
        raise Unauthorized(
            "The first message holds no access token.",
            reason="missing",
            remedy='Send {"token": "…"} as the first message.',
        ) from error


async def _refuse(websocket: WebSocket, body: ErrorBody, code: int) -> None:
    with suppress(WebSocketDisconnect):
        await websocket.send_text(ErrorFrame(data=body).model_dump_json())
        await websocket.close(code, body.message[:100])

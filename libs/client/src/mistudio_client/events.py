"""Events over the WebSocket, without a gap: reconnects and asks for what was missed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, stop_never
from tenacity.wait import wait_random_exponential
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from mistudio_contracts.errors import ErrorBody, ErrorCode, MiStudioError, Unauthorized
from mistudio_contracts.frames import Authenticate, Frame, Selection, Subscribe

from .address import Address
from .errors import Unreachable

if TYPE_CHECKING:
    from typing_extensions import Self

SUBSCRIBED = "subscribed"
ERROR = "error"
_ANSWER_TIMEOUT = 10.0
_FOR_GOOD = frozenset({ErrorCode.UNAUTHORIZED, ErrorCode.FORBIDDEN, ErrorCode.VALIDATION_ERROR})


class _NotConnected(Exception):
    """The connection is not there just now."""


class EventStream:
    """An iterator over frames that outlives its connections.

    After an interruption it subscribes again from the last event seen, so each event comes once
    and in order. Live progress (``frame.id`` None) is not replayed.

    Parameters
    ----------
    address
        The gateway and the token.
    selection
        What to hear of; ``after`` is where to begin, None for what happens from now on.
    """

    def __init__(self, address: Address, selection: Selection) -> None:
        self._address = address
        self._selection = selection
        self._socket: ClientConnection | None = None
        self._stream: str | None = None
        self._resources = ExitStack()
        self.last_id = selection.after
        """Id of the last event seen; give it back as ``after`` to go on from here."""
        self.newest_id: int | None = None
        """Id of the newest event when the present connection subscribed."""
        self.gap = False
        """Whether the last subscription asked for events that are no longer kept."""
        self.connections = 0
        """How many times a subscription was made."""

    @property
    def connected(self) -> bool:
        """Whether a subscription is in place, as far as is known."""
        return self._socket is not None

    def connect(self, timeout: float | None = None) -> bool:
        """Subscribe unless that is done; return whether it is.

        Parameters
        ----------
        timeout
            Seconds to try for; None to try for ever.

        Raises
        ------
        MiStudioError
            When the token or the selection is refused: trying again would not help.
        """
        retrying = Retrying(
            retry=retry_if_exception_type(_NotConnected),
            wait=wait_random_exponential(multiplier=0.1, max=5.0),
            stop=stop_never if timeout is None else stop_after_delay(timeout),
            reraise=True,
        )
        try:
            retrying(self._connect)
        except _NotConnected:
            return False
        return True

    def require(self, timeout: float) -> None:
        """Subscribe, within ``timeout`` seconds.

        Raises
        ------
        Unreachable
            When that cannot be done.
        MiStudioError
            When the token or the selection is refused.
        """
        if not self.connect(timeout):
            raise Unreachable(
                f"There are no events from {self._address.url}.",
                reason="unreachable",
                remedy="Start it with: mistudio up, or name another with --url or MISTUDIO_URL.",
            )

    def next(self, timeout: float | None = None) -> Frame | None:
        """Return the next frame, or None when none came within ``timeout`` seconds.

        Raises
        ------
        MiStudioError
            When the token or the selection is refused.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return None
            if not self.connect(left):
                return None
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                frame = self._take(left)
            except TimeoutError:
                return None
            except _NotConnected:
                self.close()
                continue
            if frame is not None:
                return frame

    def close(self) -> None:
        """Close the connection; iterating again opens a new one."""
        self._socket = None
        self._resources.close()

    def __iter__(self) -> Iterator[Frame]:
        while True:
            frame = self.next()
            if frame is not None:
                yield frame

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _connect(self) -> None:
        if self._socket is not None:
            return
        try:
            self._socket = self._open()
            self.connections += 1
        except BaseException:
            self.close()
            raise

    def _open(self) -> ClientConnection:
        try:
            socket = self._resources.enter_context(
                connect(
                    self._address.socket_url,
                    proxy=None if self._address.is_local else True,
                    open_timeout=_ANSWER_TIMEOUT,
                    close_timeout=1,
                    max_size=None,
                )
            )
            self._subscribe(socket)
        except InvalidStatus as error:
            if error.response.status_code in {401, 403}:
                raise Unauthorized(
                    "The event stream refused the access token.", reason="invalid"
                ) from error
            raise _NotConnected from error
        except (OSError, InvalidHandshake, ConnectionClosed, TimeoutError) as error:
            raise _NotConnected from error
        return socket

    def _subscribe(self, socket: ClientConnection) -> None:
        token = Authenticate(token=self._address.token or "none")
        socket.send(token.model_dump_json())
        wanted = self._selection.model_copy(update={"after": self.last_id, "stream": self._stream})
        socket.send(Subscribe(subscribe=wanted).model_dump_json(exclude_none=True))
        deadline = time.monotonic() + _ANSWER_TIMEOUT
        while True:
            kind, frame = _read(socket.recv(timeout=max(0.0, deadline - time.monotonic())))
            if kind == ERROR:
                _refuse(frame["data"])
            if kind == SUBSCRIBED:
                break
        self.newest_id, told = frame.get("id"), frame.get("data", {})
        self.gap = bool(told.get("gap", False))
        before, self._stream = self._stream, told.get("stream")
        if self.last_id is None:
            self.last_id = self.newest_id
        elif (self.newest_id or 0) < self.last_id or before not in (None, self._stream):
            # The stream was made anew: all that it holds is replayed.
            self.last_id = 0

    def _take(self, timeout: float | None) -> Frame | None:
        if self._socket is None:
            raise _NotConnected
        try:
            text = self._socket.recv(timeout=timeout)
        except ConnectionClosed as error:
            raise _NotConnected from error
        kind, content = _read(text)
        if kind == ERROR:
            _refuse(content["data"])
        if kind == SUBSCRIBED:
            return None
        frame = Frame.model_validate(content)
        if frame.id is not None:
            if self.last_id is not None and frame.id <= self.last_id:
                return None
            self.last_id = frame.id
        return frame


def select(
    *,
    after: int | None = None,
    models: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    extractions: Sequence[str] | None = None,
    devices: bool = True,
) -> Selection:
    """Return a selection; None means everything of that kind, an empty sequence nothing."""
    return Selection(
        after=after,
        models=None if models is None else list(models),
        datasets=None if datasets is None else list(datasets),
        extractions=None if extractions is None else list(extractions),
        devices=devices,
    )


def _read(text: str | bytes) -> tuple[str, dict[str, Any]]:
    try:
        content = json.loads(text)
        return str(content["type"]), content
    except (ValueError, KeyError, TypeError) as error:
        raise MiStudioError(
            "The event stream sent something that is not a frame.",
            reason="foreign_answer",
            remedy="Check that client and service have the same version.",
        ) from error


def _refuse(data: Any) -> None:
    """Raise what an error frame says: for good when no repeat would help."""
    try:
        body = ErrorBody.model_validate(data)
    except ValidationError as error:
        raise _NotConnected from error
    if body.code in _FOR_GOOD:
        raise MiStudioError.from_body(body)
    raise _NotConnected

"""HTTP to the gateway: errors as exceptions, retries of what may be repeated."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import httpx
from pydantic import BaseModel, ValidationError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_base, wait_random_exponential

from mistudio_contracts.errors import (
    ErrorResponse,
    MiStudioError,
    NotFound,
    ServiceUnavailable,
)

from .address import Address
from .errors import Unreachable

View = TypeVar("View", bound=BaseModel)
Result = TypeVar("Result")
Params = Mapping[str, Any]

ATTEMPTS = 4
LONGEST_WAIT = 10.0
"""Seconds; a service that asks for a longer pause is reported instead of waited for."""


class _Busy(Exception):
    """An answer of 503 that asks to come back soon."""

    def __init__(self, error: MiStudioError, seconds: float) -> None:
        super().__init__(str(error))
        self.error = error
        self.seconds = seconds


class _Pause(wait_base):
    """As long as the service asks for, else exponential with jitter."""

    def __init__(self) -> None:
        self._otherwise = wait_random_exponential(multiplier=0.2, max=2.0)

    def __call__(self, retry_state: RetryCallState) -> float:
        outcome = retry_state.outcome
        error = outcome.exception() if outcome is not None else None
        if isinstance(error, _Busy):
            return error.seconds
        return float(self._otherwise(retry_state))


class Transport:
    """Requests under ``/api``.

    Parameters
    ----------
    address
        Where to, and with which token.
    timeout
        Seconds of silence after which a request is given up; connecting has five.
    """

    def __init__(self, address: Address, timeout: float) -> None:
        self.address = address
        headers = {"Authorization": f"Bearer {address.token}"} if address.token else {}
        self._http = httpx.Client(
            base_url=f"{address.url}/api",
            headers=headers,
            timeout=httpx.Timeout(timeout, connect=min(timeout, 5.0)),
            trust_env=not address.is_local,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, view: type[View], path: str, **params: Any) -> View:
        """Return the resource at ``path``; parameters that are None are left out."""
        return _read(view, self._repeated(lambda: self._send("GET", path, params=_given(params))))

    def get_tagged(self, view: type[View], path: str) -> tuple[View, str]:
        """Return the resource at ``path`` and its ETag, empty when it has none."""
        answer = self._repeated(lambda: self._send("GET", path))
        return _read(view, answer), answer.headers.get("ETag", "")

    def post(self, view: type[View], path: str, body: Params | None = None, **params: Any) -> View:
        """Send a JSON body with a fresh Idempotency-Key, so that a repeat does nothing twice.

        Parameters of the query that are None are left out.
        """
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        return _read(
            view,
            self._repeated(
                lambda: self._send(
                    "POST", path, json=dict(body or {}), headers=headers, params=_given(params)
                )
            ),
        )

    def upload(self, view: type[View], path: str, make: Callable[[], dict[str, Any]]) -> View:
        """Send a multipart form; ``make`` returns httpx's arguments anew for each attempt."""
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        return _read(
            view, self._repeated(lambda: self._send("POST", path, headers=headers, **make()))
        )

    def patch(
        self, view: type[View], path: str, body: Params, headers: Mapping[str, str] | None = None
    ) -> View:
        """Change the resource at ``path``; never repeated."""
        with self._reporting():
            return _read(view, self._send("PATCH", path, json=dict(body), headers=headers))

    def delete(self, path: str) -> None:
        """Delete the resource at ``path``; never repeated."""
        with self._reporting():
            self._send("DELETE", path)

    def read(self, path: str, take: Callable[[Iterator[bytes]], None]) -> None:
        """Hand the body at ``path`` to ``take``, in pieces; from the start again if it breaks."""

        def attempt() -> None:
            with self._http.stream("GET", path) as answer:
                if answer.is_error:
                    answer.read()
                    _raise(answer)
                take(answer.iter_bytes())

        self._repeated(attempt)

    def _send(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        answer = self._http.request(method, path, **kwargs)
        if answer.is_error:
            _raise(answer)
        return answer

    def _repeated(self, send: Callable[[], Result]) -> Result:
        retrying = Retrying(
            retry=retry_if_exception(_may_pass),
            wait=_Pause(),
            stop=stop_after_attempt(ATTEMPTS),
            reraise=True,
        )
        with self._reporting():
            return retrying(send)

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except _Busy as busy:
            raise busy.error from None
        except httpx.TimeoutException as error:
            raise Unreachable(
                f"{self.address.url} did not answer in time.",
                reason="timeout",
                remedy="See whether it is overloaded with: mistudio status",
            ) from error
        except httpx.TransportError as error:
            raise Unreachable(
                f"There is no answer from {self.address.url}.",
                reason="unreachable",
                remedy="Start it with: mistudio up, or name another with --url or MISTUDIO_URL.",
            ) from error


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, httpx.TransportError | _Busy)


def _raise(answer: httpx.Response) -> NoReturn:
    error = _failure(answer)
    seconds = _retry_after(answer)
    if answer.status_code == 503 and seconds is not None and seconds <= LONGEST_WAIT:
        raise _Busy(error, seconds)
    raise error


def _given(params: Params) -> dict[str, Any]:
    return {name: str(value) for name, value in params.items() if value is not None}


def _retry_after(answer: httpx.Response) -> float | None:
    text = answer.headers.get("Retry-After", "")
    # The other form, a date, is a proxy's and hours away: not worth waiting for.
    return float(text) if text.isdecimal() else None


def _failure(answer: httpx.Response) -> MiStudioError:
    try:
        return MiStudioError.from_body(ErrorResponse.model_validate_json(answer.content).error)
    except ValidationError:
        # Not the contract's words: a proxy's page, or some other service at this address.
        message = f"The answer was HTTP {answer.status_code} {answer.reason_phrase}".rstrip() + "."
        remedy = f"Check that {answer.url.copy_with(path='/', query=None)} is a miStudio service."
        if answer.status_code in {502, 503, 504}:
            return ServiceUnavailable(message, reason="bad_gateway", remedy=remedy)
        kind = NotFound if answer.status_code == 404 else MiStudioError
        return kind(message, reason="foreign_answer", remedy=remedy)


def _read(view: type[View], answer: httpx.Response) -> View:
    try:
        return view.model_validate_json(answer.content)
    except ValidationError as error:
        raise MiStudioError(
            f"The answer could not be read as a {view.__name__}.",
            reason="foreign_answer",
            remedy="Check that client and service have the same version.",
        ) from error

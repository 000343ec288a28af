"""Which failures pass by themselves, and how long to wait for it."""

import asyncio
import socket

import nats.errors
import nats.js.errors

from mistudio_contracts.errors import MiStudioError, ServiceUnavailable

_PASSING: tuple[type[BaseException], ...] = (
    ConnectionError,
    TimeoutError,
    asyncio.TimeoutError,
    socket.gaierror,
    nats.errors.ConnectionClosedError,
    nats.errors.ConnectionReconnectingError,
    nats.errors.OutboundBufferLimitError,
    nats.errors.NoRespondersError,
    nats.errors.TimeoutError,
    nats.js.errors.ServiceUnavailableError,
)
_PASSING_SQLSTATES = ("08", "40", "53", "57")
"""Classes of SQLSTATE: connection, rolled back by a rival, out of resources, operator's doing."""

FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0


def is_transient(error: BaseException) -> bool:
    """Tell whether the same attempt may succeed later with nothing changed."""
    if isinstance(error, MiStudioError):
        return error.transient
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        return state.startswith(_PASSING_SQLSTATES)
    return isinstance(error, _PASSING)


def retry_delay(attempt: int) -> float:
    """Return the seconds to wait after the given attempt: 1, 2, 4, 8 and so on up to 60."""
    return float(min(LONGEST_DELAY, FIRST_DELAY * 2 ** (attempt - 1)))


def as_contract_error(error: BaseException) -> MiStudioError:
    """Return the error as the contract knows it, with nothing of the system's inside."""
    if isinstance(error, MiStudioError):
        return error
    if is_transient(error):
        return ServiceUnavailable(
            "Something this needs does not answer.",
            reason="connection_failed",
            remedy="Try again later.",
        )
    return MiStudioError(
        "An unexpected error; the logs have the details.",
        reason="unexpected",
        remedy="Look for this message's id in the service's log, or report it.",
    )

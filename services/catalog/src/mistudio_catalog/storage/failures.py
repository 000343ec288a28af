"""What Postgres and its driver raise, in the words of the contract."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from mistudio_contracts.errors import InvalidInput, ServiceUnavailable

log = logging.getLogger(__name__)

_PASSING_SQLSTATES = ("08", "40", "53", "57", "55P03")
"""Connection, rolled back by a rival, out of resources, operator's doing, lock not available."""

_UNSTORABLE = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)


@contextmanager
def translated() -> Iterator[None]:
    """Raise ServiceUnavailable for what passes, InvalidInput for text that cannot be stored."""
    try:
        yield
    except _UNSTORABLE as error:
        raise _unstorable() from error
    except asyncpg.DataError as error:
        # The driver's own refusal of an argument; what the server refuses has a finer class.
        if type(error) is asyncpg.DataError:
            raise _unstorable() from error
        raise
    except asyncpg.PostgresError as error:
        if (error.sqlstate or "").startswith(_PASSING_SQLSTATES):
            raise _unavailable(error) from error
        raise
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        # The latter is how the driver tells of a connection that broke between two of its states.
        raise _unavailable(error) from error
    except UnicodeEncodeError as error:
        # Of JSON, which is encoded before the driver sees it.
        raise _unstorable() from error
    except (OSError, asyncio.TimeoutError) as error:
        raise _unavailable(error) from error


def _unavailable(error: Exception) -> ServiceUnavailable:
    log.warning("The database failed.", extra={"error": repr(error)})
    return ServiceUnavailable(
        "The database does not answer.",
        reason="database_unavailable",
        retry_after_seconds=1,
        remedy="Try again; if it stays so, look whether the database runs.",
    )


def _unstorable() -> InvalidInput:
    return InvalidInput(
        "A value holds characters, or a number, that cannot be stored.",
        reason="unstorable_value",
        remedy="Leave out NUL and lone surrogate characters, and use numbers below 2^63.",
    )

"""What can go wrong with a store."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class ActivationsError(Exception):
    """Base of the errors of this package."""


class StoreNotFound(ActivationsError):
    """There is no manifest, so nothing is visible there."""

    def __init__(self, where: object) -> None:
        super().__init__(f"no activation store at {where}")


class StoreCorrupt(ActivationsError):
    """A file is missing, of another size, or of another content than was written."""


class UnknownVersion(StoreCorrupt):
    """The manifest is of a version that this code does not know, a later one as a rule."""

    def __init__(self, version: object, known: Iterable[int]) -> None:
        super().__init__(
            f"the manifest is of version {version}; this reads {', '.join(map(str, known))}: "
            "upgrade mistudio-activations"
        )


class ColumnNotFound(ActivationsError, KeyError):
    """The store has no such column; the message names those it has."""

    def __init__(self, name: str, columns: Iterable[str]) -> None:
        super().__init__(f"no column {name!r}; there are: {', '.join(columns) or 'none'}")

    def __str__(self) -> str:
        return str(self.args[0])


class StorageFull(ActivationsError):
    """The disk or a quota has no room. Nothing half-written is visible."""


class StoreUnreachable(ActivationsError):
    """Where the store lies does not answer, and did not for some time. It may later."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the bucket of the activation stores does not answer ({reason})")


class StoreDenied(ActivationsError):
    """There is no such place, or it may not be used by whoever asks; that will not pass."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the place of the activation stores cannot be used ({reason})")
        self.reason = reason


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn the operating system's words for a full disk into StorageFull."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(f"no room to write activations: {error.strerror}") from error
        raise

"""What can go wrong with the embedded stack; each error carries its remedy."""

from __future__ import annotations

from mistudio_contracts.errors import ErrorCode, MiStudioError


class StackError(MiStudioError):
    """The embedded stack cannot do what was asked; ``details['remedy']`` says how to mend it."""

    default_code = ErrorCode.SERVICE_UNAVAILABLE

    @property
    def remedy(self) -> str | None:
        """How to mend it, as one sentence."""
        remedy = self.details.get("remedy")
        return None if remedy is None else str(remedy)


class AlreadyRunning(StackError):
    """Another stack holds the data directory."""

    default_code = ErrorCode.STATUS_CONFLICT


class NotRunning(StackError):
    """No stack runs on the data directory."""


class PortTaken(StackError):
    """The requested port belongs to another process."""


class MissingBinary(StackError):
    """A server's program is not installed, or does not run here."""


class StartFailed(StackError):
    """A program of the stack did not become ready; ``log`` holds the end of its output."""

    def __init__(self, message: str, *, log: str = "", remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.log = log

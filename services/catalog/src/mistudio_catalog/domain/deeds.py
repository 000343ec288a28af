"""What somebody does, from the moment it is asked for until it is written down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from mistudio_contracts.states import Door

DONE = "done"
"""The outcome of what was not refused."""


@dataclass
class Deed:
    """A request that changes something.

    Parameters
    ----------
    actor
        Who asks.
    action
        What for, such as ``model.load``.
    door
        Where it came in.
    object_id
        What it is done to; None until it is made.
    trace_id
        Of the trace that it belongs to.
    written
        Whether nothing is left to write down: it is written, or was done by a request before.
    """

    actor: str
    action: str
    door: Door
    object_id: str | None = None
    trace_id: str | None = None
    written: bool = False

    def makes(self, answer: object) -> None:
        """Take the id of what was made from the answer that tells of it."""
        if self.object_id is None:
            made = getattr(answer, "extraction_id", None) or getattr(answer, "id", None)
            self.object_id = made if isinstance(made, str) else None


_PRESENT: ContextVar[Deed | None] = ContextVar("deed", default=None)


def present() -> Deed | None:
    """Return what is being done now, if it is to be written down."""
    return _PRESENT.get()


@contextmanager
def doing(deed: Deed) -> Iterator[None]:
    """Let what is done meanwhile be this deed."""
    token = _PRESENT.set(deed)
    try:
        yield
    finally:
        _PRESENT.reset(token)

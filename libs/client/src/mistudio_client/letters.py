"""``client.dead_letters``: messages of the bus that could not be handled, for administrators."""

from __future__ import annotations

from collections.abc import Iterator

from mistudio_contracts.views import DeadLetter, DeadLetterDetail, DeadLetterPage, Replayed

from .transport import Transport

LARGEST_PAGE = 100


class DeadLetters:
    """What could not be handled; a letter is named by its place, ``sequence``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, after: int = 0, limit: int = 50) -> DeadLetterPage:
        """Return the letters behind the place ``after``, the oldest first."""
        return self._transport.get(DeadLetterPage, "/dead-letters", after=after, limit=limit)

    def iterate(self) -> Iterator[DeadLetter]:
        """Yield every letter."""
        after: int | None = 0
        while after is not None:
            page = self.list(after=after, limit=LARGEST_PAGE)
            yield from page.dead_letters
            after = page.next

    def get(self, sequence: int) -> DeadLetterDetail:
        """Return a letter with its error and its payload."""
        return self._transport.get(DeadLetterDetail, f"/dead-letters/{sequence}")

    def replay(self, sequence: int) -> Replayed:
        """Put a letter back where it came from."""
        return self._transport.post(Replayed, f"/dead-letters/{sequence}/replay")

    def discard(self, sequence: int) -> None:
        """Take a letter away for good."""
        self._transport.delete(f"/dead-letters/{sequence}")

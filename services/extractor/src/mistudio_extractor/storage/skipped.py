"""Which dataset rows tokenisation left out, beside the token shards of a store."""

from __future__ import annotations

import json
import zlib

from mistudio_activations import Place, place_of
from mistudio_activations.places import Where
from mistudio_contracts.values import Skipped

NAME = "skipped.bin"
OLDER = "skipped.json"
"""What stores had before: the numbers of the rows, which a large dataset made long."""

KEPT, EMPTY, TOO_LONG = 0, 1, 2


class SkippedRows:
    """What became of each dataset row: a byte a row, up to the last that was left out."""

    def __init__(self, reasons: bytes = b"") -> None:
        self._reasons = bytearray(reasons)

    def empty(self, row: int) -> None:
        """Note a row without tokens."""
        self._note(row, EMPTY)

    def too_long(self, row: int) -> None:
        """Note a row of more tokens than were asked for."""
        self._note(row, TOO_LONG)

    def before(self, row: int) -> SkippedRows:
        """Return those below ``row``."""
        return SkippedRows(bytes(self._reasons[:row]))

    def counts(self) -> Skipped:
        return Skipped(empty=self._reasons.count(EMPTY), too_long=self._reasons.count(TOO_LONG))

    def to_bytes(self) -> bytes:
        """Return what :meth:`from_bytes` reads; rows in succession cost next to nothing."""
        return zlib.compress(bytes(self._reasons))

    @classmethod
    def from_bytes(cls, content: bytes) -> SkippedRows:
        return cls(zlib.decompress(content))

    def _note(self, row: int, reason: int) -> None:
        self._reasons.extend(bytes(max(0, row + 1 - len(self._reasons))))
        self._reasons[row] = reason


def load(store: Where) -> SkippedRows:
    """Return what is known of a store; nothing for a new one."""
    place = place_of(store)
    try:
        return SkippedRows.from_bytes(place.read(f"tokens/{NAME}"))
    except FileNotFoundError:
        return _older(place)


def _older(store: Place) -> SkippedRows:
    found = SkippedRows()
    try:
        document = json.loads(store.read(f"tokens/{OLDER}"))
    except FileNotFoundError:
        return found
    for row in document["empty"]:
        found.empty(row)
    for row in document["too_long"]:
        found.too_long(row)
    return found


def save(store: Where, rows: SkippedRows) -> None:
    """Write atomically, beside the token shards."""
    place_of(store).write(f"tokens/{NAME}", rows.to_bytes())

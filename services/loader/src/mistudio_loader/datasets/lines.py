"""Lines of a UTF-8 file, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .problems import bad_data, undecodable

MAX_LINE_BYTES = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


def read_lines(path: Path) -> Iterator[tuple[int, int, str]]:
    """Yield number (from 1), byte offset and text of each line, its line ending kept.

    A byte order mark is dropped.

    Raises
    ------
    InvalidInput
        ``reason`` is ``undecodable`` or ``line_too_long``, naming the line.
    """
    offset = 0
    number = 0
    with path.open("rb") as stream:
        while raw := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(raw) > MAX_LINE_BYTES:
                raise bad_data(
                    "line_too_long",
                    f"Line {number} is longer than {MAX_LINE_BYTES} bytes.",
                    "Split long samples into several lines.",
                    line=number,
                )
            skipped = len(_BOM) if number == 1 and raw.startswith(_BOM) else 0
            try:
                text = raw[skipped:].decode("utf-8")
            except UnicodeDecodeError as error:
                raise undecodable(number, offset + skipped + error.start) from None
            yield number, offset, text
            offset += len(raw)

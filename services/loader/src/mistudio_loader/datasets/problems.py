"""The errors of a dataset that its owner can mend."""

from __future__ import annotations

from typing import Any

from mistudio_contracts.errors import InvalidInput


def bad_data(reason: str, message: str, remedy: str, **facts: Any) -> InvalidInput:
    """Return the error of content that cannot be read."""
    return InvalidInput(message, field="identifier", reason=reason, remedy=remedy, **facts)


def undecodable(line: int, offset: int) -> InvalidInput:
    """Return the error of text that is not UTF-8, at a line and a byte of the file."""
    return bad_data(
        "undecodable",
        f"Line {line} is not UTF-8 text (byte {offset} of the file).",
        "Save the file as UTF-8.",
        line=line,
        byte_offset=offset,
    )

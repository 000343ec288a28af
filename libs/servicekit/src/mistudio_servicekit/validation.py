"""From pydantic's complaint to the contract's error, which names the field."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from mistudio_contracts.errors import InvalidInput

MOST_ERRORS = 20


def field_of(location: Sequence[int | str]) -> str:
    """Return a field's name; parts in parentheses are a union's branches, which are no fields."""
    return ".".join(str(part) for part in location if not str(part).startswith("("))


def invalid_input(error: ValidationError) -> InvalidInput:
    """Return the error that says which field is wrong, why, and what the others are.

    ``details`` holds ``field`` and ``reason`` of the first, and ``errors`` with up to twenty of
    them. Values are left out: they may be secrets, and may be large.
    """
    found: list[dict[str, Any]] = [
        {
            "field": field_of(each["loc"]) or "body",
            "reason": each["type"],
            "message": each["msg"].removeprefix("Value error, "),
        }
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    first = found[0]
    return InvalidInput(
        f"{first['field']}: {first['message']}",
        field=first["field"],
        reason=first["reason"],
        remedy="Correct the field and send it again.",
        errors=found[:MOST_ERRORS] if len(found) > 1 else None,
    )

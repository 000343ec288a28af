"""Text that may travel: no NUL (Postgres refuses it), no lone surrogates (UTF-8 does)."""

from __future__ import annotations

from typing import Any

from mistudio_contracts.errors import InvalidInput


def flaw_of(text: str) -> str | None:
    """Return a stable word for what is wrong with a text, or None."""
    if "\x00" in text:
        return "nul_character"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "lone_surrogate"
    return None


def printable(text: str, most: int = 300) -> str:
    """Return a text fit to be shown: cut to a length, what cannot travel replaced."""
    return text[:most].replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def check_text(text: str, field: str) -> None:
    """Refuse a text that cannot be stored.

    Raises
    ------
    InvalidInput
        With the reason ``nul_character`` or ``lone_surrogate``.
    """
    reason = flaw_of(text)
    if reason is not None:
        raise InvalidInput(
            f"{field} holds a character that cannot be stored.",
            field=field,
            reason=reason,
            remedy="Remove NUL characters and unpaired surrogates.",
        )


def check_tree(value: Any) -> None:
    """Refuse a decoded JSON value when any text in it, keys included, cannot be stored.

    Walks with a list of its own: nesting is the sender's choice, the interpreter's stack is ours.

    Raises
    ------
    InvalidInput
        Naming the field, dotted.
    """
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        path, node = waiting.pop()
        if isinstance(node, str):
            check_text(node, printable(path) or "body")
        elif isinstance(node, dict):
            for key, child in node.items():
                check_text(key, printable(_below(path, key)))
                waiting.append((_below(path, key), child))
        elif isinstance(node, list):
            waiting.extend((_below(path, str(index)), v) for index, v in enumerate(node))


def _below(path: str, name: str) -> str:
    # Cut, so that deep nesting does not grow long names at every level.
    return f"{path}.{name}".lstrip(".")[:300]

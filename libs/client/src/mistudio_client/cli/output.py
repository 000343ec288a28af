"""Results on one stream, remarks and errors on the other, so that results can be piped."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mistudio_contracts.errors import MiStudioError

_UNBOUNDED = 10_000
_STYLES = {
    "ready": "green",
    "completed": "green",
    "yes": "green",
    "loading": "yellow",
    "ingesting": "yellow",
    "queued": "yellow",
    "extracting": "yellow",
    "failed": "red",
    "no": "red",
}


def console(*, stderr: bool = False) -> Console:
    """Return a console that never breaks lines of what is piped elsewhere."""
    made = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = _UNBOUNDED
    return made


def print_json(value: BaseModel | Sequence[BaseModel] | Any) -> None:
    """Print a result for programs."""
    print_text(json.dumps(_plain(value), indent=2, ensure_ascii=False))


def print_json_line(value: BaseModel) -> None:
    """Print one of many results for programs, each on a line of its own."""
    print_text(value.model_dump_json())


def print_text(text: str) -> None:
    """Print a result as it is."""
    stream = console()
    stream.print(Text(text), soft_wrap=True)
    stream.file.flush()


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; headings that end in ``>`` are aligned to the right."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        made.add_column(
            heading.rstrip(">"),
            justify="right" if heading.endswith(">") else "left",
            overflow="fold",
        )
    for row in rows:
        made.add_row(*(_cell(value) for value in row))
    console().print(made)


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Print a line a fact."""
    made = Table(box=None, pad_edge=False, show_header=False)
    made.add_column(style="bold")
    made.add_column(overflow="fold")
    for label, value in pairs:
        made.add_row(label, _cell(value))
    console().print(made)


def note(message: str) -> None:
    """Remark on what is happening."""
    console(stderr=True).print(Text(printable(message)), soft_wrap=True)


def failure(error: MiStudioError) -> None:
    """Show what went wrong, and on a second line how to mend it."""
    err = console(stderr=True)
    err.print(Text(f"Error: {printable(error.message)}", style="red"), soft_wrap=True)
    remedy = error.details.get("remedy")
    if remedy:
        err.print(Text(printable(str(remedy))), soft_wrap=True)


def interactive() -> bool:
    """Whether somebody is there to answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def printable(text: str) -> str:
    """Return ``text`` on one line, without what a terminal would take for an order."""
    return "".join(c if c.isprintable() else " " for c in text)


def _cell(value: str) -> Text:
    return Text(printable(value), style=_STYLES.get(value, ""))


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value

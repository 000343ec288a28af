"""Options that many commands share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass(frozen=True)
class Service:
    """Which service the command line talks to; None where nothing was named."""

    url: str | None = None
    token: str | None = field(default=None, repr=False)
    timeout: float = 60.0


def group(what: str) -> typer.Typer:
    """Return a group of commands with plain help, which needs no rich to be shown."""
    return typer.Typer(
        help=what,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )

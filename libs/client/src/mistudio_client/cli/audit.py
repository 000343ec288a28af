"""``mistudio audit``: who did what."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Annotated

import typer

from . import human, output
from .options import AsJson, group
from .session import connected

app = group("")


@app.command()
def audit(
    ctx: typer.Context,
    actor: Annotated[str | None, typer.Option(help="Only what this one did.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this, such as model.delete.")] = None,
    object_id: Annotated[
        str | None, typer.Option("--object", help="Only what was done to the one with this id.")
    ] = None,
    since: Annotated[datetime | None, typer.Option(help="From this moment on, in UTC.")] = None,
    before: Annotated[datetime | None, typer.Option(help="Before this moment, in UTC.")] = None,
    most: Annotated[int, typer.Option("--most", min=1, help="Entries at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Show who changed what, the newest first; for administrators."""
    with connected(ctx) as client:
        found = list(
            islice(
                client.audit.iterate(
                    actor=actor, action=action, object_id=object_id, since=since, before=before
                ),
                most,
            )
        )
        if as_json:
            output.print_json(found)
            return
        output.table(
            ("when", "who", "what", "to what", "outcome", "by", "trace"),
            (
                (
                    entry.at.isoformat(sep=" ", timespec="seconds"),
                    entry.actor,
                    entry.action,
                    entry.object_id or human.NONE,
                    entry.outcome,
                    str(entry.door),
                    entry.trace_id or human.NONE,
                )
                for entry in found
            ),
        )

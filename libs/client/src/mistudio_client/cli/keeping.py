"""``mistudio backup`` and ``mistudio restore``: a stack in one file."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mistudio_client.embedded import Layout, default_data_dir, read_connection
from mistudio_client.errors import InvalidArgument

from . import human
from . import stack_view as view
from .options import Service
from .stack import AsJson, DataDir, reporting


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    for command in (backup, restore):
        app.command()(command)


def backup(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(help="File to write; it must not exist.")],
    with_data: Annotated[
        bool, typer.Option("--with-data", help="Take the stores' activations along.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Save catalog, events, datasets and manifests into one file; the stack may run meanwhile."""
    from mistudio_client import backups

    with reporting(), view.Waiting(quiet=as_json) as waiting:
        _require_here(ctx, data_dir)
        made = backups.backup(
            _layout(data_dir),
            path.absolute(),
            with_data=with_data,
            environ=os.environ,
            on_progress=waiting.show,
        )
        waiting.done()
        if as_json:
            view.print_json(asdict(made))
            return
        view.note(
            f"{made.path}: {human.size(made.bytes)}, {made.tables} tables, "
            f"{made.messages} messages, {made.datasets} datasets, {made.stores} stores."
        )
        for what, absent in (("store", made.absent_stores), ("dataset", made.absent_datasets)):
            for name in absent:
                view.note(f"The files of the {what} {name} are not here, and not in the backup.")


def restore(
    path: Annotated[Path, typer.Argument(help="What `mistudio backup` has written.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Put a backup into an empty stack that does not run."""
    from mistudio_client import backups

    with reporting(), view.Waiting(quiet=as_json) as waiting:
        found = backups.restore(
            _layout(data_dir), path.absolute(), environ=os.environ, on_progress=waiting.show
        )
        waiting.done()
        if as_json:
            view.print_json(asdict(found))
            return
        view.note(
            f"Restored what was saved at {found.made_at}: {found.datasets} datasets, "
            f"{found.stores} stores. Start it with: {_start(data_dir)}"
        )
        for key in found.missing_stores:
            view.note(f"The files of the store {key} are missing; its caches will say so.")


def _layout(data_dir: Path | None) -> Layout:
    return Layout.at(data_dir or default_data_dir())


def _start(data_dir: Path | None) -> str:
    return "mistudio up" if data_dir is None else f"mistudio up --data-dir {data_dir}"


def _require_here(ctx: typer.Context, data_dir: Path | None) -> None:
    """Refuse to save the stack of this machine where another's service is named."""
    url = (ctx.find_object(Service) or Service()).url
    servers = os.environ.get("DATABASE_URL") and os.environ.get("NATS_URL")
    if url is None or data_dir is not None or servers:
        return
    connection = read_connection(_layout(data_dir).root)
    if connection is None or connection.url != url.rstrip("/"):
        raise InvalidArgument(
            f"A backup is read from a stack's servers and directories, not from {url}.",
            field="url",
            reason="not_here",
            remedy="Run it on that machine with --data-dir, or name its servers by DATABASE_URL "
            "and NATS_URL.",
        )

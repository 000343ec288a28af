"""How the stack's commands show what they have to say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any
from zlib import crc32

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mistudio_client.address import Address
from mistudio_client.embedded import Connection, StartFailed
from mistudio_contracts.errors import MiStudioError

if TYPE_CHECKING:
    from rich.status import Status
    from typing_extensions import Self

    from mistudio_client.embedded.control import StackStatus
    from mistudio_client.embedded.doctor import Finding

_COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan", "bright_magenta")
_LEVELS = {"ok": "green", "warn": "yellow", "fail": "red"}

# Results go to one stream and remarks to the other, so that results can be piped.
_out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)


class Waiting:
    """Shows what is being waited for: a spinner on a terminal, else a line at each change.

    Parameters
    ----------
    quiet
        Show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._status: Status | None = None

    def show(self, what: str) -> None:
        """Say that ``what`` is being waited for."""
        message = Text(f"Waiting for {what}")
        if self._quiet:
            return
        if not _err.is_terminal:
            _err.print(message)
        elif self._status is None:
            self._status = _err.status(message)
            self._status.start()
        else:
            self._status.update(message)

    def done(self) -> None:
        """Take the spinner away."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.done()


def print_json(value: Any) -> None:
    """Print ``value`` as JSON, to be read by programs."""
    _out.print(Text(json.dumps(value, indent=2)))


def note(message: str) -> None:
    """Remark on what is happening."""
    _err.print(Text(message))


def failure(error: MiStudioError) -> None:
    """Show an error: a program's last words, the sentence, and the remedy."""
    if isinstance(error, StartFailed) and error.log:
        _err.print(Text(error.log, style="dim"))
    _err.print(Text(error.message, style="bold red"))
    remedy = error.details.get("remedy")
    if remedy:
        _err.print(Text(str(remedy)))


def welcome(connection: Connection) -> None:
    """Show where the stack is and how to get in."""
    rows = [
        ("miStudio", connection.url),
        ("data", connection.data_dir),
        ("open", Address(connection.url, connection.token).sign_in_url()),
    ]
    if connection.leaf_url:
        rows.append(("edge", f"mistudio up --centre {connection.leaf_url}"))
    if connection.centre:
        rows = [("edge of", connection.centre), ("data", connection.data_dir)]
    for label, value in rows:
        _out.print(Text.assemble((f"{label:<9}", "bold"), value))


def log_line(name: str | None, line: str) -> None:
    """Print one line of a log, after the name of its program."""
    if name is None:
        _out.print(Text(line))
        return
    colour = _COLOURS[crc32(name.encode()) % len(_COLOURS)]
    _out.print(Text.assemble((f"{name:<11}| ", colour), line))


def status_table(status: StackStatus) -> None:
    """Print a row a service."""
    if not status.running:
        note(f"miStudio is not running in {status.data_dir}; start it with: mistudio up")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("service", "state", "pid", "uptime", "ready", "port"):
        table.add_column(heading)
    for service in status.services:
        uptime = service.uptime_seconds
        table.add_row(
            service.name,
            service.state.lower(),
            str(service.pid or "-"),
            "-" if uptime is None else str(timedelta(seconds=uptime)),
            Text("yes", style="green") if service.ready else Text("no", style="red"),
            str(service.port or "-"),
        )
    _out.print(table)
    _out.print(Text(f"{status.url or 'starting'}  pid {status.pid}  {status.data_dir}"))


def findings(found: Sequence[Finding]) -> None:
    """Print a line a check, with the remedy below what needs one."""
    for finding in found:
        style = _LEVELS[finding.level]
        _out.print(
            Text.assemble((f"{finding.level:<5}", style), f"{finding.check}: {finding.detail}")
        )
        if finding.remedy:
            _out.print(Text(f"     {finding.remedy}"))

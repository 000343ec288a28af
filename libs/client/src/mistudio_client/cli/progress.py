"""Bars on stderr: moving on a terminal, a line at each change elsewhere, nothing with --json."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from . import output

if TYPE_CHECKING:
    from typing_extensions import Self

_TEXT = TextColumn("{task.description}", markup=False)


class _Bar:
    def __init__(self, label: str, columns: tuple[ProgressColumn, ...], *, quiet: bool) -> None:
        console = output.console(stderr=True)
        self._label = label
        self._said = ""
        self._moving = console.is_terminal and not quiet
        self._quiet = quiet
        self._progress = Progress(*columns, console=console, disable=not self._moving)
        self._task = self._progress.add_task(output.printable(label), total=None)

    def _say(self, what: str) -> None:
        if what == self._said or self._moving or self._quiet:
            return
        self._said = what
        output.note(f"{self._label}: {what}")

    def stop(self) -> None:
        """Leave the line as it is; what is printed next begins below it."""
        self._progress.stop()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class StepBar(_Bar):
    """Percent done, and of what."""

    def __init__(self, label: str, *, quiet: bool = False) -> None:
        columns = (_TEXT, BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        super().__init__(label, columns, quiet=quiet)

    def __call__(self, percent: float, what: str) -> None:
        """Show that ``what`` is being done and ``percent`` of it all is."""
        self._progress.update(
            self._task,
            total=100,
            completed=percent,
            description=output.printable(f"{self._label}: {what}"),
        )
        self._say(what)


class ByteBar(_Bar):
    """Bytes done of bytes in all."""

    def __init__(self, label: str, *, quiet: bool = False) -> None:
        columns = (_TEXT, BarColumn(), DownloadColumn(True), TransferSpeedColumn())
        super().__init__(label, (*columns, TimeRemainingColumn()), quiet=quiet)

    def __call__(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` bytes are done."""
        self._progress.update(self._task, total=total, completed=done)

"""From a command to the service, and from a failure to an exit status."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

import typer

from mistudio_client.errors import InvalidArgument, Unreachable
from mistudio_contracts.errors import MiStudioError

from . import output
from .options import Service

if TYPE_CHECKING:
    from mistudio_client.client import Client


class Status(IntEnum):
    """How the command ends; shown by ``mistudio --help``."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    CONFLICT = 5
    INTERRUPTED = 130


def status_of(error: MiStudioError) -> Status:
    """Return the exit status that tells of ``error``."""
    if isinstance(error, InvalidArgument):
        return Status.USAGE
    if isinstance(error, Unreachable):
        return Status.UNREACHABLE
    if error.code.http_status == 404:
        return Status.NOT_FOUND
    if error.code.http_status in {409, 412}:
        return Status.CONFLICT
    return Status.ERROR


@contextmanager
def reporting() -> Iterator[None]:
    """Show what goes wrong in a sentence or two, and leave with its status."""
    try:
        yield
    except MiStudioError as error:
        output.failure(error)
        raise typer.Exit(status_of(error)) from error
    except (KeyboardInterrupt, typer.Abort) as interrupt:
        raise typer.Exit(Status.INTERRUPTED) from interrupt


@contextmanager
def connected(ctx: typer.Context) -> Iterator[Client]:
    """Yield a client of the service that the global options name."""
    with reporting():
        # Late: importing an HTTP client takes longer than showing a command's help.
        from mistudio_client.client import Client

        service = ctx.find_object(Service) or Service()
        with Client(service.url, service.token, service.timeout) as client:
            yield client

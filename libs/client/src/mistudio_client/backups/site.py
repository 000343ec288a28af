"""The servers and directories of the stack that is backed up or restored."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mistudio_client.embedded import EmbeddedStack, Layout, control, read_connection
from mistudio_client.embedded.errors import AlreadyRunning, NotRunning, StackError
from mistudio_client.embedded.servers import PostgresServer
from mistudio_contracts.errors import ErrorBody, MiStudioError


@dataclass(frozen=True)
class Place:
    """Where one stack keeps what it has.

    Parameters
    ----------
    database_url, nats_url
        Its servers, with the right to read everything.
    activations, models, datasets
        Its directories, the first as a path or the URL of a bucket; None where they are not known.
    """

    database_url: str = field(repr=False)
    nats_url: str = field(repr=False)
    activations: str | None
    models: Path | None
    datasets: Path | None

    def run(self, folder: Path, module: str, *arguments: str) -> None:
        """Run a program of the stack against its servers.

        Raises
        ------
        MiStudioError
            What it has written into ``folder``, or that it failed.
        """
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, "DATABASE_URL": self.database_url, "NATS_URL": self.nats_url},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return
        told = folder / "error.json"
        if told.exists():
            raise MiStudioError.from_body(ErrorBody.model_validate_json(told.read_bytes()))
        raise StackError(
            f"{module} failed with exit status {done.returncode}: {_last_line(done.stderr)}",
            remedy="Look at DATABASE_URL and NATS_URL; `mistudio doctor` checks this machine.",
        )


@contextmanager
def running(layout: Layout, environ: Mapping[str, str]) -> Iterator[Place]:
    """Yield the stack: the one that runs, or its servers alone, started for as long as needed.

    Raises
    ------
    NotRunning, StartFailed
        There is no such stack, or its servers do not start.
    """
    ours = not environ.get("DATABASE_URL")
    if ours and PostgresServer(layout.root).cluster is None:
        raise NotRunning(
            f"There is no stack in {layout.root}.",
            remedy="Name the one to back up with --data-dir, or set DATABASE_URL and NATS_URL.",
        )
    connection = read_connection(layout.root)
    if _named(environ) is None and connection and control.running_supervisor(layout):
        yield _place(layout, environ, connection.database_url, connection.nats_url)
        return
    # Nothing is made or migrated on the way: it is saved as it is.
    with idle(layout, environ, setup={}) as place:
        yield place


@contextmanager
def idle(
    layout: Layout,
    environ: Mapping[str, str],
    setup: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Place]:
    """Yield a stack none of whose services runs; its servers are started where they are ours.

    ``setup`` names the steps before, where that is not migrating and provisioning.

    Raises
    ------
    AlreadyRunning
        The stack runs.
    StartFailed
        Its servers do not start.
    """
    named = _named(environ)
    if named is not None:
        yield named
        return
    try:
        stack = EmbeddedStack(layout.root, services=(), env=environ, setup=setup)
        stack.start(120.0)
    except AlreadyRunning as error:
        raise AlreadyRunning(
            error.message, remedy="Stop it with `mistudio down`, or name another --data-dir."
        ) from error
    try:
        yield _place(layout, environ, stack.database_url, stack.nats_url)
    finally:
        stack.stop()


def _named(environ: Mapping[str, str]) -> Place | None:
    database_url, nats_url = environ.get("DATABASE_URL"), environ.get("NATS_URL")
    if not database_url or not nats_url:
        return None
    models, datasets = environ.get("MODEL_CACHE_DIR"), environ.get("DATASET_CACHE_DIR")
    return Place(
        database_url=database_url,
        nats_url=nats_url,
        activations=environ.get("ACTIVATION_CACHE_DIR"),
        models=Path(models) if models else None,
        datasets=Path(datasets) if datasets else None,
    )


def _place(layout: Layout, environ: Mapping[str, str], database_url: str, nats_url: str) -> Place:
    return Place(
        database_url=database_url,
        nats_url=nats_url,
        activations=environ.get("ACTIVATION_CACHE_DIR", str(layout.activations)),
        models=Path(environ.get("MODEL_CACHE_DIR", layout.models)),
        datasets=Path(environ.get("DATASET_CACHE_DIR", layout.datasets)),
    )


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it said nothing"

"""A stack in one file: what cannot be made again, saved and put back."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from mistudio_client.embedded import Layout
from mistudio_contracts.base import utcnow

from . import files, site
from .archive import reading, within_room, writing

CATALOG = "mistudio_catalog"
KEPT = ("index.json", "catalog/", "streams/")

Progress = Callable[[str], None]


def _quiet(_: str) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class Backup:
    """What a backup holds.

    Parameters
    ----------
    path
        The file.
    bytes
        Its size.
    tables, messages
        How many tables of the catalog, and messages of its streams.
    stores, datasets
        How many were taken.
    absent_stores, absent_datasets
        Keys and fingerprints of those whose files were not there to be taken.
    """

    path: str
    bytes: int
    tables: int
    messages: int
    stores: int
    datasets: int
    absent_stores: tuple[str, ...]
    absent_datasets: tuple[str, ...]


@dataclass(frozen=True)
class Restored:
    """What came back: stores and datasets of the backup, and the stores without their files."""

    made_at: str
    stores: int
    datasets: int
    missing_stores: tuple[str, ...]


def backup(
    layout: Layout,
    target: Path,
    *,
    with_data: bool = False,
    environ: Mapping[str, str] | None = None,
    on_progress: Progress = _quiet,
) -> Backup:
    """Save a stack, running or not, into one file that appears when it is complete.

    Parameters
    ----------
    layout
        Of the embedded stack, unless ``DATABASE_URL`` and ``NATS_URL`` name servers.
    target
        The file; there is none of that name.
    with_data
        Whether the stores' activations are in it, and not just what describes them.
    environ
        The process's own by default.
    on_progress
        Told what is being done.

    Raises
    ------
    InvalidArgument
        The file exists already, or cannot be written.
    MiStudioError
        The database or the bus does not answer.
    """
    env = dict(os.environ if environ is None else environ)
    with (
        within_room("the backup"),
        writing(target) as archive,
        tempfile.TemporaryDirectory(prefix="mistudio-backup-") as scratch,
        site.running(layout, env) as place,
    ):
        on_progress("the catalog and its streams")
        folder = Path(scratch)
        place.run(folder, CATALOG, "save", str(folder))
        index = json.loads((folder / "index.json").read_bytes())
        archive.add_folder(folder)
        on_progress("the files")
        absent_stores = files.save_stores(archive, index["stores"], with_data=with_data)
        absent_datasets = files.save_datasets(archive, place.datasets, index["datasets"])
        files.save_models(archive, place.models, index["models"])
        archive.finish(
            {
                "made_at": utcnow().isoformat(),
                "made_by": f"mistudio {version('mistudio-client')}",
                "with_data": with_data,
                "revision": index["revision"],
                "messages": index["messages"],
                "absent_stores": absent_stores,
                "absent_datasets": absent_datasets,
            }
        )
    return Backup(
        path=str(target),
        bytes=target.stat().st_size,
        tables=len(index["tables"]),
        messages=sum(index["messages"].values()),
        stores=len(index["stores"]) - len(absent_stores),
        datasets=len(index["datasets"]) - len(absent_datasets),
        absent_stores=tuple(absent_stores),
        absent_datasets=tuple(absent_datasets),
    )


def restore(
    layout: Layout,
    source: Path,
    *,
    environ: Mapping[str, str] | None = None,
    on_progress: Progress = _quiet,
) -> Restored:
    """Put a backup into an empty stack whose services do not run.

    All of the file is compared with its table of contents before anything is written. The catalog
    comes last and at once: what fails before has changed nothing that a stack shows.

    Parameters
    ----------
    layout
        Of the embedded stack, unless ``DATABASE_URL`` and ``NATS_URL`` name servers.
    source
        The file.
    environ
        The process's own by default.
    on_progress
        Told what is being done.

    Raises
    ------
    InvalidArgument, Corrupted
        It is no backup, of a later version, or damaged.
    AlreadyRunning, StatusConflict
        The stack runs, or is not empty.
    MiStudioError
        The database or the bus does not answer.
    """
    env = dict(os.environ if environ is None else environ)
    on_progress("the archive to be compared")
    with (
        within_room("what is restored"),
        reading(source) as archive,
        tempfile.TemporaryDirectory(prefix="mistudio-restore-") as scratch,
        site.idle(layout, env) as place,
    ):
        folder = Path(scratch)
        place.run(folder, CATALOG, "restore", "--check", str(folder))
        on_progress("the files")
        missing = files.put_back(archive, place)
        on_progress("the catalog and its streams")
        for path in archive.paths:
            if path.startswith(KEPT):
                archive.extract(path, folder / path)
        place.run(folder, CATALOG, "restore", str(folder))
        return Restored(
            made_at=archive.contents["made_at"],
            stores=len(files.names_of(archive, files.STORES)),
            datasets=len(files.names_of(archive, files.DATASETS)),
            missing_stores=(*archive.contents["absent_stores"], *missing),
        )

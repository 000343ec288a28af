"""Datasets of the hub, streamed into a Parquet file of our own first."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mistudio_contracts.errors import InvalidInput
from mistudio_loader.hub.errors import hub_errors

from .limits import require_size
from .problems import bad_data
from .readers import BATCH_ROWS

_HOME = re.compile(r"hf://datasets/[^/@]+(/[^/@]+)?@[^/]+")
"""A repository at a commit, as the library writes it."""


def stream_dataset(
    repo_id: str,
    target: Path,
    *,
    split: str,
    subset: str | None,
    revision: str | None,
    endpoint: str,
    token: str | None,
    max_bytes: int,
) -> None:
    """Write the rows of a hub dataset's split to ``target`` as they arrive. No code is run.

    Parameters
    ----------
    target
        A Parquet file in a directory of this process's own, which also takes the hub's caches.
    max_bytes
        Most bytes of rows in memory form.

    Raises
    ------
    InvalidInput
        ``reason`` is ``not_found``, ``gated``, ``not_streamable`` or ``malformed_dataset``.
    PayloadTooLarge
        The split is larger than ``max_bytes``.
    ServiceUnavailable
        The hub does not answer.
    """
    os.environ["HF_HOME"] = str(target.parent / "hub")
    os.environ["HF_ENDPOINT"] = endpoint
    import datasets
    from datasets.exceptions import DatasetNotFoundError, DatasetsError

    datasets.disable_progress_bars()
    with hub_errors(repo_id, "identifier"), _only_of(repo_id):
        try:
            loaded: Any = datasets.load_dataset(
                repo_id,
                subset,
                split=split,
                revision=revision,
                token=token or False,
                streaming=True,
            )
            _write(loaded, target, max_bytes)
        except DatasetNotFoundError as error:
            raise _not_found(repo_id, error) from error
        except MemoryError:
            raise
        except (DatasetsError, ValueError, pa.ArrowException) as error:
            raise _unusable(repo_id, split, subset, error) from error


@contextmanager
def _only_of(repo_id: str) -> Iterator[None]:
    """Let the library read files of one repository and no others.

    A dataset's card says where its files are, and the library follows it anywhere: to a file of
    this machine, to another server, into an archive from elsewhere.
    """
    from datasets import data_files

    resolve = data_files.resolve_pattern

    def checked(pattern: str, base_path: str, *args: Any, **named: Any) -> list[str]:
        # The library's own, but for a directory that the card may add.
        home = _HOME.match(base_path)
        if home is None or not within(pattern, home[0]) or not within(base_path, home[0]):
            raise _elsewhere(repo_id)
        found: list[str] = resolve(pattern, base_path, *args, **named)
        if not all(within(path, home[0]) for path in found):
            raise _elsewhere(repo_id)
        return found

    data_files.resolve_pattern = checked
    try:
        yield
    finally:
        data_files.resolve_pattern = resolve


def within(path: str, home: str) -> bool:
    """Whether a path or a pattern, relative or not, stays in the repository at ``home``."""
    inside = path.removeprefix(home)
    rooted = inside == path and path.startswith(("/", "~"))
    return not (rooted or "://" in inside or "::" in inside or ".." in PurePosixPath(inside).parts)


def _elsewhere(repo_id: str) -> InvalidInput:
    return bad_data(
        "malformed_dataset",
        f"{repo_id} names files that are not its own.",
        "Use a dataset whose files are all in its repository.",
    )


def _write(loaded: Any, target: Path, max_bytes: int) -> None:
    writer: pq.ParquetWriter | None = None
    size = 0
    try:
        for table in loaded.with_format("arrow").iter(batch_size=BATCH_ROWS):
            plain = table.replace_schema_metadata(None)
            if writer is None:
                writer = pq.ParquetWriter(target, plain.schema)
            elif plain.schema != writer.schema:
                plain = plain.cast(writer.schema)
            size += plain.nbytes
            require_size(size, max_bytes)
            writer.write_table(plain)
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        raise bad_data("empty_dataset", "The dataset has no rows.", "Choose another split.")


def _not_found(repo_id: str, error: Exception) -> InvalidInput:
    gated = "gated" in str(error).lower()
    return InvalidInput(
        f"{repo_id} is gated: the hub refuses to show it."
        if gated
        else f"The hub has no dataset {repo_id}, or it is private.",
        field="identifier",
        reason="gated" if gated else "not_found",
        remedy="Check the spelling. If it is private or gated: set HUGGINGFACE_TOKEN.",
    )


def _unusable(repo_id: str, split: str, subset: str | None, error: Exception) -> InvalidInput:
    text = str(error)
    if split in text and ("split" in text.lower()):
        return InvalidInput(
            f"{repo_id} has no split {split}.",
            field="split",
            reason="not_found",
            remedy="Name a split of the dataset, as its page on the hub lists them.",
        )
    if "config" in text.lower():
        return InvalidInput(
            f"{repo_id} needs another subset than {subset or 'the default'}.",
            field="subset",
            reason="not_found",
            remedy="Name a subset of the dataset, as its page on the hub lists them.",
        )
    return bad_data(
        "malformed_dataset",
        f"{repo_id} cannot be read as rows.",
        "Use a dataset of Parquet, JSON Lines, CSV or text files.",
    )

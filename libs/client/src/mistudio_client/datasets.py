"""``client.datasets``: register, upload and wait for datasets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from mistudio_contracts.errors import ErrorCode, MiStudioError
from mistudio_contracts.states import DatasetFormat, DatasetSource, DatasetStatus
from mistudio_contracts.views import Dataset, DatasetPage

from .errors import InvalidArgument
from .events import EventStream, select
from .names import the_one
from .paging import every
from .transport import Transport
from .waiting import wait_until

OnBytes = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""

_ENDS = frozenset({"dataset:ready", "dataset:failed", "dataset:deleted"})


class Datasets:
    """The datasets of a service. Ids begin with ``ds_``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def add(
        self,
        identifier: str,
        *,
        source: DatasetSource | str = DatasetSource.HUGGINGFACE,
        name: str | None = None,
        format: DatasetFormat | str | None = None,
        text_column: str | None = None,
        split: str | None = None,
        subset: str | None = None,
        revision: str | None = None,
    ) -> Dataset:
        """Register a hub dataset or a file under an allowed root of the service's machine.

        Parameters
        ----------
        identifier
            The hub id, or the file's absolute path there.
        source
            ``huggingface`` or ``local``.
        name
            What people call it; the last part of the identifier by default.
        format
            Of a local file; the service reads it from the name or the content by default.
        text_column
            The column to tokenise; chosen by the service by default.
        split, subset, revision
            Of a hub dataset; ``train`` of the default subset by default.
        """
        body = {
            "name": name or PurePosixPath(identifier).name or identifier,
            "source": str(source),
            "identifier": identifier,
            "format": None if format is None else str(format),
            "text_column": text_column,
            "split": split,
            "subset": subset,
            "revision": revision,
        }
        given = {key: value for key, value in body.items() if value is not None}
        return self._transport.post(Dataset, "/datasets", given)

    def upload(
        self,
        path: Path | str,
        *,
        name: str | None = None,
        format: DatasetFormat | str | None = None,
        text_column: str | None = None,
        on_progress: OnBytes | None = None,
    ) -> Dataset:
        """Send a file of this machine to the service.

        Parameters
        ----------
        path
            A JSONL, text, CSV or Parquet file.
        name
            What people call it; the file's name without its ending by default.
        format
            The service reads it from the name or the content by default.
        text_column
            The column to tokenise; chosen by the service by default.
        on_progress
            Called with bytes sent and the file's size.

        Raises
        ------
        InvalidArgument
            When the file cannot be read.
        """
        source = Path(path)
        fields = {
            "name": name or source.stem,
            "format": None if format is None else str(format),
            "text_column": text_column,
        }
        data = {key: value for key, value in fields.items() if value is not None}
        try:
            with source.open("rb") as file:
                body = _Counted(file, on_progress)

                def form() -> dict[str, Any]:
                    body.seek(0)
                    return {"data": data, "files": {"file": (source.name, body)}}

                return self._transport.upload(Dataset, "/datasets/upload", form)
        except OSError as error:
            raise InvalidArgument(
                f"{source} cannot be read: {error.strerror}.", field="file", reason="unreadable"
            ) from error

    def list(self, *, limit: int = 50, offset: int = 0) -> DatasetPage:
        """Return a page of datasets, newest first."""
        return self._transport.get(DatasetPage, "/datasets", limit=limit, offset=offset)

    def iterate(self) -> Iterator[Dataset]:
        """Yield every dataset."""
        yield from every(self.list, lambda page: page.datasets)

    def get(self, dataset_id: str) -> Dataset:
        """Return a dataset with its columns and first rows."""
        return self._transport.get(Dataset, f"/datasets/{dataset_id}")

    def find(self, reference: str) -> Dataset:
        """Return the dataset with this id, else name, else identifier.

        Raises
        ------
        NotFound
            When there is none.
        InvalidArgument
            With reason ``ambiguous`` when there are several.
        """
        return the_one(
            reference,
            self.iterate(),
            (lambda d: d.id, lambda d: d.name, lambda d: d.identifier),
            kind="dataset",
            code=ErrorCode.DATASET_NOT_FOUND,
        )

    def delete(self, dataset_id: str) -> None:
        """Delete a dataset."""
        self._transport.delete(f"/datasets/{dataset_id}")

    def wait(self, dataset_id: str, *, timeout: float | None = None) -> Dataset:
        """Return the dataset when it is ready.

        Raises
        ------
        MiStudioError
            The reason why it could not be read.
        TimeoutError
            When ``timeout`` seconds have passed first.
        """
        dataset = wait_until(
            EventStream(
                self._transport.address,
                select(models=[], datasets=[dataset_id], extractions=[], devices=False),
            ),
            lambda: self.get(dataset_id),
            lambda found: found.status is not DatasetStatus.INGESTING,
            ends=_ENDS,
            on_state=lambda _: None,
            on_frame=lambda _: None,
            timeout=timeout,
        )
        if dataset.status is DatasetStatus.FAILED and dataset.error is not None:
            raise MiStudioError.from_body(dataset.error)
        return dataset


class _Counted:
    """A file that tells how much of it was read."""

    def __init__(self, file: BinaryIO, on_progress: OnBytes | None) -> None:
        self._file = file
        self._on_progress = on_progress
        self._total = os.fstat(file.fileno()).st_size

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        if self._on_progress is not None:
            self._on_progress(self._file.tell(), self._total)
        return piece

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        return self._file.fileno()

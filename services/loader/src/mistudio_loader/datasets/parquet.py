"""Parquet files, read a row group's batch at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mistudio_contracts.states import DatasetFormat

from .columns import MAX_TOKEN, Column
from .problems import bad_data
from .readers import BATCH_ROWS, schema_of


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise bad_data(
            "malformed_parquet",
            "The file is not readable Parquet.",
            "Write the file again, for instance with pandas or pyarrow.",
        ) from error


class ParquetReader:
    """A Parquet file. Integers and floats widen to 64 bits, token ids to 32; else types stay."""

    format = DatasetFormat.PARQUET

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _file(self) -> pq.ParquetFile:
        with _readable():
            return pq.ParquetFile(self._path, pre_buffer=False)

    @cached_property
    def columns(self) -> Sequence[Column]:
        schema = self._file.schema_arrow
        if len(set(schema.names)) != len(schema.names):
            raise bad_data(
                "malformed_parquet", "Two columns have the same name.", "Rename one of them."
            )
        return tuple(self._column(field) for field in schema)

    def batches(self) -> Iterator[pa.RecordBatch]:
        schema = schema_of(self.columns)
        with _readable():
            for batch in self._file.iter_batches(batch_size=BATCH_ROWS):
                arrays = [
                    _cast(batch.column(index), column.type)
                    for index, column in enumerate(self.columns)
                ]
                found = pa.RecordBatch.from_arrays(arrays, schema=schema)
                # Arrow trusts what the file says; text that is not UTF-8 shows only here.
                found.validate(full=True)
                yield found

    def _column(self, field: pa.Field) -> Column:
        kept = _kept(field.type)
        if pa.types.is_string(kept):
            return Column(field.name, kept, "text")
        if not _is_list(kept) or not pa.types.is_integer(kept.value_type):
            return Column(field.name, kept, "other")
        bad, nulls = self._scan_tokens(field.name)
        if nulls:
            return Column(field.name, kept, "other")
        if bad is not None:
            return Column(field.name, kept, "other", bad_token=bad)
        return Column(field.name, pa.list_(pa.int32()), "tokens")

    def _scan_tokens(self, name: str) -> tuple[tuple[int, int] | None, bool]:
        """Return the first row (from 1) and value that is no token id, and if there are nulls."""
        before = 0
        with _readable():
            for batch in self._file.iter_batches(batch_size=BATCH_ROWS, columns=[name]):
                lists = batch.column(0)
                values = lists.flatten()
                if values.null_count:
                    return None, True
                span = pc.min_max(values).as_py()
                if values and (span["min"] < 0 or span["max"] > MAX_TOKEN):
                    for row, ids in enumerate(lists, start=before + 1):
                        for value in ids.as_py() or ():
                            if not 0 <= value <= MAX_TOKEN:
                                return (row, value), False
                before += len(batch)
        return None, False


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _kept(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _kept(kind.value_type)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_integer(kind) and not pa.types.is_uint64(kind):
        return pa.int64()
    if pa.types.is_floating(kind):
        return pa.float64()
    if _is_list(kind) and pa.types.is_integer(kind.value_type):
        return pa.list_(kind.value_type if pa.types.is_uint64(kind.value_type) else pa.int64())
    return kind


def _cast(array: pa.Array, kind: pa.DataType) -> pa.Array:
    return array if array.type == kind else array.cast(kind)

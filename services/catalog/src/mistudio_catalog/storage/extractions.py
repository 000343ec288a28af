"""The tables ``extractions`` and ``extraction_shards``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from mistudio_catalog.domain.changes import Changes
from mistudio_catalog.domain.extraction import ExtractionState, Live, ShardState
from mistudio_contracts.states import ExtractionStatus
from mistudio_contracts.values import Tokenization

from .queries import queries
from .rows import Rows

_SQL = queries("extractions")
_SHARDS = queries("shards")
_ROWS = Rows(ExtractionState)
_SHARD_ROWS = Rows(ShardState)
_LIVE = Rows(Live)


class ExtractionTable:
    """Extractions, on one connection."""

    def __init__(self, connection: Any, changes: Changes) -> None:
        self._connection, self._changes = connection, changes

    async def insert(self, extraction: ExtractionState) -> None:
        await _SQL.insert_extraction(self._connection, **_ROWS.write(extraction))
        self._changes.read(extraction)

    async def save(self, extraction: ExtractionState) -> None:
        await _SQL.save_extraction(self._connection, **_ROWS.write(extraction))
        self._changes.write(extraction)

    async def get(self, extraction_id: str) -> ExtractionState | None:
        return _ROWS.maybe(await _SQL.get_extraction(self._connection, id=extraction_id))

    async def lock(self, extraction_id: str) -> ExtractionState | None:
        """Return the extraction, which no other transaction changes until this one ends."""
        extraction = _ROWS.maybe(await _SQL.lock_extraction(self._connection, id=extraction_id))
        if extraction is not None:
            self._changes.read(extraction)
        return extraction

    async def page(
        self,
        *,
        model_id: str | None,
        dataset_id: str | None,
        status: ExtractionStatus | None,
        limit: int,
        offset: int,
    ) -> tuple[list[ExtractionState], int]:
        """Return one page, newest first, and the number of all."""
        chosen = {"model_id": model_id, "dataset_id": dataset_id, "status": status}
        total = await _SQL.count_extractions(self._connection, **chosen)
        rows = _SQL.list_extractions(self._connection, **chosen, limit=limit, offset=offset)
        return [_ROWS.read(row) async for row in rows], total

    async def count_active(self) -> int:
        return int(await _SQL.count_active_extractions(self._connection))

    async def count_active_on_model(self, model_id: str) -> int:
        return int(await _SQL.count_active_on_model(self._connection, model_id=model_id))

    async def count_active_on_dataset(self, dataset_id: str) -> int:
        return int(await _SQL.count_active_on_dataset(self._connection, dataset_id=dataset_id))

    async def active_models(self) -> set[str]:
        """Return the models that extractions under way need."""
        return {row["model_id"] async for row in _SQL.active_models(self._connection)}

    async def waiting(self) -> list[tuple[str, str]]:
        """Return extraction and model of each that waits, the oldest first."""
        rows = _SQL.waiting_extractions(self._connection)
        return [(row["id"], row["model_id"]) async for row in rows]

    async def working_without_model(self) -> list[tuple[str, str | None]]:
        """Return the unloaded models that extractions under way were begun with.

        With each comes the ``traceparent`` of the oldest of them.
        """
        rows = _SQL.working_without_model(self._connection)
        return [(row["model_id"], row["traceparent"]) async for row in rows]

    async def idle(self) -> list[str]:
        """Return the extractions with shards to capture of which none is out."""
        return [row["id"] async for row in _SQL.idle_extractions(self._connection)]

    async def lock_waiting_on_model(self, model_id: str) -> list[ExtractionState]:
        rows = _SQL.lock_waiting_on_model(self._connection, model_id=model_id)
        found = [_ROWS.read(row) async for row in rows]
        for extraction in found:
            self._changes.read(extraction)
        return found

    async def running_on_store(self, store_key: str) -> bool:
        return bool(await _SQL.running_on_store(self._connection, store_key=store_key))

    async def columns_wanted(self, store_key: str) -> set[str]:
        """Return the columns that extractions under way were promised."""
        rows = _SQL.columns_wanted(self._connection, store_key=store_key)
        return {row["hook_point"] async for row in rows}

    async def silent(self, before: datetime) -> list[ExtractionState]:
        """Return the running extractions whose workers were last heard of before then."""
        rows = _SQL.silent_extractions(self._connection, before=before)
        return [_ROWS.read(row) async for row in rows]

    async def set_back(self, now: datetime, beyond: datetime) -> None:
        """Take what was heard after ``beyond``, by a clock since set back, for heard now."""
        await _SQL.set_extractions_back(self._connection, now=now, beyond=beyond)

    async def reserved_bytes(self) -> int:
        """Return the bytes that extractions under way were promised."""
        return int(await _SQL.reserved_bytes(self._connection))

    async def heard_of(self, extraction_id: str, at: datetime) -> None:
        await _SQL.heard_of_extraction(self._connection, id=extraction_id, at=at)

    async def stores_of_model(self, model_id: str) -> list[str]:
        """Return the stores that the model's extractions and caches speak of."""
        rows = _SQL.store_keys_of_model(self._connection, model_id=model_id)
        return [row["store_key"] async for row in rows]

    async def active_on_store(self, store_key: str) -> bool:
        """Return whether an extraction that is not over needs the store."""
        return bool(await _SQL.active_on_store(self._connection, store_key=store_key))

    async def work_per_second(self, model_id: str) -> float | None:
        """Return how fast devices captured the model's last shards, None where there are none."""
        found = await _SQL.work_per_second(self._connection, model_id=model_id)
        return None if found is None else float(found)

    async def tokens_of(self, dataset_id: str, how: Tokenization, rows: int) -> int | None:
        """Return the tokens of ``rows`` rows, as they were before; None where nobody knows."""
        found = await _SQL.tokens_per_row(
            self._connection, dataset_id=dataset_id, tokenization=how.model_dump(mode="json")
        )
        return None if found is None else round(float(found) * rows)


class ShardTable:
    """Shards of extractions, on one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def insert(self, extraction_id: str, shards: Sequence[ShardState]) -> None:
        rows = [{**_SHARD_ROWS.write(shard), "extraction_id": extraction_id} for shard in shards]
        await _SHARDS.insert_shards(self._connection, rows)

    async def get(self, extraction_id: str, index: int) -> ShardState | None:
        record = await _SHARDS.get_shard(self._connection, extraction_id=extraction_id, index=index)
        return _SHARD_ROWS.maybe(record)

    async def ordered(self, extraction_id: str) -> list[ShardState]:
        """Return the shards whose orders are outstanding."""
        rows = _SHARDS.ordered_shards(self._connection, extraction_id=extraction_id)
        return [_SHARD_ROWS.read(row) async for row in rows]

    async def order_next(self, extraction_id: str, window: int) -> list[ShardState]:
        """Fill the window of ``window`` outstanding orders; return the shards that join it."""
        rows = _SHARDS.order_next_shards(
            self._connection, extraction_id=extraction_id, window=window
        )
        return sorted([_SHARD_ROWS.read(row) async for row in rows], key=lambda s: s.index)

    async def captured(self, extraction_id: str, shard: ShardState) -> None:
        columns = _SHARD_ROWS.write(shard)
        kept = {key: columns[key] for key in ("index", "device_id", "seconds")}
        await _SHARDS.shard_captured(self._connection, extraction_id=extraction_id, **kept)

    async def progressed(self, extraction_id: str, index: int, samples_done: int) -> None:
        await _SHARDS.shard_progressed(
            self._connection,
            extraction_id=extraction_id,
            index=index,
            samples_done=samples_done,
        )

    async def live(self, extraction_id: str) -> Live:
        """Return what is done of the shards under way."""
        record = await _SHARDS.live_shards(self._connection, extraction_id=extraction_id)
        return _LIVE.read(record)

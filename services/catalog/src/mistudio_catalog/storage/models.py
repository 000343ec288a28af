"""The ``models`` table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from mistudio_catalog.domain.changes import Changes
from mistudio_catalog.domain.model import ModelState
from mistudio_contracts.states import ModelStatus
from mistudio_contracts.values import ResidencyWish

from .queries import queries
from .rows import Rows

_SQL = queries("models")
_ROWS = Rows(ModelState)


def like(text: str) -> str:
    """Return the ILIKE pattern of everything that holds ``text`` as it is."""
    for special in "\\%_":
        text = text.replace(special, "\\" + special)
    return f"%{text}%"


class ModelTable:
    """Models, on one connection."""

    def __init__(self, connection: Any, changes: Changes) -> None:
        self._connection, self._changes = connection, changes

    async def insert(self, model: ModelState) -> None:
        await _SQL.insert_model(self._connection, **_ROWS.write(model))

    async def save(self, model: ModelState) -> None:
        columns = _ROWS.write(model)
        await _SQL.save_model(self._connection, **columns)
        self._changes.write(model)

    async def get(self, model_id: str) -> ModelState | None:
        return _ROWS.maybe(await _SQL.get_model(self._connection, id=model_id))

    async def lock(self, model_id: str) -> ModelState | None:
        """Return the model, which no other transaction changes until this one ends."""
        return self._locked(await _SQL.lock_model(self._connection, id=model_id))

    async def page(
        self,
        *,
        status: ModelStatus | None,
        model_type: str | None,
        search: str | None,
        limit: int,
        offset: int,
    ) -> tuple[list[ModelState], int]:
        """Return one page, newest first and without configs, and the number of all."""
        chosen = {"status": status, "model_type": model_type}
        pattern = like(search) if search else None
        if pattern is None:
            total = await _SQL.count_models(self._connection, **chosen)
        else:
            total = await _SQL.count_found_models(self._connection, **chosen, pattern=pattern)
        rows = _SQL.list_models(
            self._connection, **chosen, pattern=pattern, limit=limit, offset=offset
        )
        return [_ROWS.read(row) async for row in rows], total

    async def delete(self, model_id: str) -> None:
        await _SQL.delete_model(self._connection, id=model_id)
        self._changes.delete(model_id)

    async def by_ids(self, ids: Sequence[str]) -> list[ModelState]:
        rows = _SQL.models_by_ids(self._connection, ids=list(ids))
        return [_ROWS.read(row) async for row in rows]

    async def next_waiting(self, pool: str) -> ModelState | None:
        """Lock and return the load that has waited longest for a slot."""
        return self._locked(await _SQL.next_waiting_model(self._connection, pool=pool))

    async def count_admitted_loads(self, pool: str) -> int:
        return int(await _SQL.count_admitted_loads(self._connection, pool=pool))

    async def silent(self, before: datetime) -> list[ModelState]:
        """Return the models whose workers were last heard of before then."""
        rows = _SQL.silent_models(self._connection, before=before)
        return [_ROWS.read(row) async for row in rows]

    async def set_back(self, now: datetime, beyond: datetime) -> None:
        """Take what was heard after ``beyond``, by a clock since set back, for heard now."""
        await _SQL.set_models_back(self._connection, now=now, beyond=beyond)

    async def stalled(self, before: datetime) -> list[str]:
        """Return the models whose load a worker has begun and not moved since then."""
        rows = _SQL.stalled_models(self._connection, before=before)
        return [row["id"] async for row in rows]

    async def pinned_and_nowhere(self, pool: str) -> list[str]:
        """Return the pinned models that are in no device's memory and on no way there."""
        rows = _SQL.pinned_and_nowhere(self._connection, pool=pool)
        return [row["id"] async for row in rows]

    async def releasing(self) -> list[ModelState]:
        return [_ROWS.read(row) async for row in _SQL.releasing_models(self._connection)]

    async def ready_on_device(self, device_id: str) -> list[ModelState]:
        rows = _SQL.ready_models_on_device(self._connection, device_id=device_id)
        return [_ROWS.read(row) async for row in rows]

    async def wish(self, model_id: str) -> ResidencyWish:
        """Return how the model is to be kept; as nobody wished where it is gone."""
        record = await _SQL.wish_for_model(self._connection, id=model_id)
        return ResidencyWish() if record is None else ResidencyWish(**dict(record))

    async def heard_of(self, model_id: str, at: datetime) -> None:
        await _SQL.heard_of_model(self._connection, id=model_id, at=at)

    async def touch(self, model_id: str, at: datetime) -> None:
        await _SQL.touch_model(self._connection, id=model_id, at=at)

    async def overflowed(self, model_id: str) -> None:
        """Keep in mind that the model's activations leave the range of float16."""
        await _SQL.model_overflowed(self._connection, id=model_id)

    async def artifact_bytes(self) -> int:
        """Return the bytes of all artifacts on disk."""
        return int(await _SQL.artifact_bytes(self._connection))

    async def least_recently_used_artifact(self) -> tuple[str, str] | None:
        """Return pool and fingerprint of the artifact unused for longest that nobody needs now."""
        row = await _SQL.least_recently_used_artifact(self._connection)
        return None if row is None else (row["pool"], row["fingerprint"])

    async def artifact_leaves(self, pool: str, fingerprint: str) -> None:
        """Note that an artifact is on the disk no longer; the models that it is of stay."""
        await _SQL.artifact_leaves(self._connection, pool=pool, fingerprint=fingerprint)

    def _locked(self, record: Any) -> ModelState | None:
        model = _ROWS.maybe(record)
        if model is not None:
            self._changes.read(model)
        return model

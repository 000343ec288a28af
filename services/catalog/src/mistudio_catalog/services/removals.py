"""Files of deleted models and datasets leave the disk when nobody can need them any more."""

from __future__ import annotations

from mistudio_catalog.domain.outgoing import Outgoing
from mistudio_catalog.storage.removals import Removal
from mistudio_contracts import subjects, work
from mistudio_contracts.base import new_id

from .context import Context


class Removals:
    """Removals, held back while a load or an ingestion may find the very files on the disk."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def order(self) -> None:
        """Order the removals that are safe now; forget those whose files are wanted again."""
        async with self._context.database.reading() as tx:
            settled = await tx.removals.settled()
        for removal in settled:
            async with self._context.database.transaction() as tx:
                if not await tx.removals.delete(removal):
                    continue
                if not await tx.removals.still_referred(removal):
                    await tx.send((_order(removal),))


def _order(removal: Removal) -> Outgoing:
    task_id = new_id("task")
    if removal.kind == "model":
        artifact = work.RemoveArtifact(task_id=task_id, fingerprint=removal.fingerprint)
        return Outgoing(subjects.WORK_REMOVE, artifact, removal.fingerprint, removal.pool)
    dataset = work.RemoveDataset(task_id=task_id, fingerprint=removal.fingerprint)
    return Outgoing(subjects.WORK_REMOVE_DATASET, dataset, removal.fingerprint, removal.pool)

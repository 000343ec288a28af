"""Files of deleted models and datasets leave the disk when nobody can need them any more."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from mistudio_catalog.domain.outgoing import Outgoing
from mistudio_catalog.storage.database import Transaction
from mistudio_catalog.storage.removals import Kind, Removal
from mistudio_contracts import reports, rpc, subjects, work
from mistudio_contracts.base import new_id

from .context import Context

log = logging.getLogger(__name__)


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

    async def reported(self, report: reports.DiskReport) -> rpc.Done:
        """Take what lies on a pool's disk: what nobody refers to is removed when that is safe.

        Nothing else would tell of it where the report that it was made is lost, or the order to
        remove it. This is a suspicion only, as any row of ``removals`` is: one whose report is
        under way is of a load or an ingestion in progress, which holds :meth:`order` back until
        the rows refer to it.
        """
        unknown = 0
        async with self._context.database.transaction() as tx:
            unknown += await _suspect(tx, "dataset", report.datasets, report.pool)
            unknown += await _suspect(tx, "model", report.artifacts, report.pool)
        if unknown:
            log.info("Files lie on the disk that nobody refers to.", extra={"found": unknown})
            self._context.wake()
        return rpc.Done()


async def _suspect(tx: Transaction, kind: Kind, there: Sequence[reports.OnDisk], pool: str) -> int:
    """Note which files nobody refers to; return how many."""
    since = await tx.removals.known_since()
    # Older files may be of rows that are yet to be restored into a database that was lost.
    ours = {each.fingerprint for each in there if since is not None and each.written_at >= since}
    unknown = ours - await tx.removals.referred(kind, sorted(ours))
    # In order: two reports that come together do not wait for each other in a circle.
    for fingerprint in sorted(unknown):
        await tx.removals.insert(Removal(kind, fingerprint, pool))
    return len(unknown)


def _order(removal: Removal) -> Outgoing:
    task_id = new_id("task")
    if removal.kind == "model":
        artifact = work.RemoveArtifact(task_id=task_id, fingerprint=removal.fingerprint)
        return Outgoing(subjects.WORK_REMOVE, artifact, removal.fingerprint, removal.pool)
    dataset = work.RemoveDataset(task_id=task_id, fingerprint=removal.fingerprint)
    return Outgoing(subjects.WORK_REMOVE_DATASET, dataset, removal.fingerprint, removal.pool)

"""The catalog as a whole: its parts, wired to each other."""

from __future__ import annotations

from mistudio_catalog.storage.database import Database
from mistudio_catalog.storage.outbox import Due
from mistudio_contracts import subjects
from mistudio_contracts.errors import ErrorBody, ErrorCode, MiStudioError
from mistudio_contracts.work import CaptureShard, CommitExtraction, PlanExtraction

from .audit import Audit
from .caches import Caches
from .capture import Capture
from .context import Context
from .datasets import Datasets
from .devices import Devices
from .driver import Step
from .estimates import Estimates
from .extractions import Extractions
from .forecasts import Forecasts
from .launching import Launching
from .lengths import Lengths
from .loads import Loads
from .models import Models
from .presence import CheckStore, Presence
from .quota import Quota
from .reconcile import QueuesEmpty, Reconcile
from .removals import Removals
from .retention import Retention
from .stores import Stores
from .turns import Turns

_OF_EXTRACTIONS = (PlanExtraction, CaptureShard, CommitExtraction)


class Catalog:
    """Every service of the catalog, by what it is about."""

    def __init__(
        self, context: Context, queues_empty: QueuesEmpty, check_store: CheckStore
    ) -> None:
        self.database: Database = context.database
        self.audit = Audit(context)
        self.stores = Stores(context)
        self.models = Models(context, self.stores)
        self.loads = Loads(context)
        self.estimates = Estimates(context)
        self.datasets = Datasets(context)
        self.lengths = Lengths(context)
        self.forecasts = Forecasts(context)
        self.extractions = Extractions(context, self.stores, self.forecasts)
        self.turns = Turns(context)
        self.launching = Launching(context, self.stores, self.turns)
        self.caches = Caches(context, self.stores)
        self.quota = Quota(context, self.caches)
        self.capture = Capture(context, self.stores, self.turns, self.quota)
        self.retention = Retention(context, self.caches)
        self.devices = Devices(context)
        self.removals = Removals(context)
        self.reconcile = Reconcile(context, queues_empty)
        self.presence = Presence(context, check_store)

    @property
    def movements(self) -> list[Step]:
        """What moves everything that can move, in the order in which one frees the next."""
        return [
            self.launching.advance,
            self.capture.resume,
            self.loads.admit,
            self.stores.order_evictions,
            self.devices.settle_releases,
            self.removals.order,
        ]

    async def unsendable(self, message: Due, error: MiStudioError) -> None:
        """An order can never reach the workers: what it was for fails, rather than wait."""
        payload = subjects.BY_PATTERN[message.subject].payload
        if not issubclass(payload, _OF_EXTRACTIONS):
            return
        order = payload.model_validate_json(message.payload)
        body = ErrorBody(
            code=ErrorCode.EXTRACTION_FAILED,
            message=f"An order of the extraction cannot be sent: {error.message}",
            details={
                "reason": "order_too_large",
                "remedy": "Ask for fewer samples or layers at once, or raise SHARD_TOKENS.",
            },
        )
        await self.capture.failed(order.extraction_id, order.task_id, body)

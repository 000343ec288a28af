"""Stands where the catalog is: writes orders, hears reports, answers heartbeats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from nats.aio.client import Client
from pydantic import BaseModel

from mistudio_contracts import subjects
from mistudio_contracts.reports import (
    DeviceReport,
    ExtractionCommittedReport,
    ExtractionPlannedReport,
    LoadProgressedReport,
    ShardCapturedReport,
    ShardProgressedReport,
)
from mistudio_contracts.rpc import DeviceOrders, Reply
from mistudio_contracts.subjects import Subject
from mistudio_contracts.work import PlanExtraction
from mistudio_testkit.bus import settled, until

from .support import commit_order, shard_order

R = TypeVar("R", bound=BaseModel)

REPORTS = (
    subjects.REPORT_PLACED,
    subjects.REPORT_PLACE_FAILED,
    subjects.REPORT_EVICTED,
    subjects.REPORT_PLANNED,
    subjects.REPORT_SHARD,
    subjects.REPORT_COMMITTED,
    subjects.REPORT_EXTRACTION_FAILED,
    subjects.REPORT_STORE_EVICTED,
)


class Catalog:
    """A catalog without rows."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.js = client.jetstream()
        self.reports: list[Any] = []
        self.loads: list[LoadProgressedReport] = []
        self.progress: list[ShardProgressedReport] = []
        self.beats: list[DeviceReport] = []
        self.orders = DeviceOrders()

    async def listen(self) -> None:
        for subject in REPORTS:
            await self.client.subscribe(subject.name(), cb=self._into(self.reports, subject))
        await self.client.subscribe(
            subjects.LIVE_LOAD.name(), cb=self._into(self.loads, subjects.LIVE_LOAD)
        )
        await self.client.subscribe(
            subjects.LIVE_SHARD.name(), cb=self._into(self.progress, subjects.LIVE_SHARD)
        )
        self._heartbeats = await self.client.subscribe(
            subjects.RPC_DEVICE_REPORT.name(), cb=self._beat
        )
        await self.client.flush()

    async def be_away(self) -> None:
        """Answer no heartbeat any more; reports are kept in their stream all the same."""
        await self._heartbeats.unsubscribe()
        await self.client.flush()

    def _into(self, found: list[Any], subject: Subject) -> Any:
        async def take(message: Any) -> None:
            found.append(subject.payload.model_validate_json(message.data))

        return take

    async def _beat(self, message: Any) -> None:
        self.beats.append(DeviceReport.model_validate_json(message.data))
        reply = Reply[DeviceOrders](result=self.orders)
        await message.respond(reply.model_dump_json().encode())

    async def order(self, subject: Subject, order: BaseModel) -> None:
        await self.js.publish(
            subject.name("default"),
            order.model_dump_json().encode(),
            stream=subject.stream,
            headers={"ce-schemaversion": "1"},
        )

    async def tell(self, subject: Subject, message: BaseModel) -> None:
        await self.client.publish(subject.name("default"), message.model_dump_json().encode())
        await self.client.flush()

    async def ask(self, subject: Subject, request: BaseModel) -> Any:
        answer = await self.client.request(
            subject.name("default"), request.model_dump_json().encode(), timeout=30
        )
        reply: Any = Reply[subject.reply]  # type: ignore[name-defined]
        return reply.model_validate_json(answer.data).unwrap()

    def of(self, kind: type[R], **fields: Any) -> list[R]:
        """Return the reports of a kind with the given fields, in order."""
        return [
            report
            for report in self.reports
            if isinstance(report, kind) and all(getattr(report, k) == v for k, v in fields.items())
        ]

    async def report(self, kind: type[R], **fields: Any) -> R:
        """Wait for a report."""
        await until(lambda: bool(self.of(kind, **fields)))
        return self.of(kind, **fields)[0]

    async def settled(self, subject: Subject) -> None:
        """Wait until no order of the subject is left."""
        await settled(self.js, subject)

    async def beat_after(self, condition: Callable[[DeviceReport], bool]) -> DeviceReport:
        """Wait for a heartbeat."""
        await until(lambda: any(condition(beat) for beat in self.beats))
        return next(beat for beat in self.beats if condition(beat))

    async def plan(self, order: PlanExtraction) -> ExtractionPlannedReport:
        await self.order(subjects.WORK_PLAN, order)
        return await self.report(ExtractionPlannedReport, task_id=order.task_id)

    async def shards(
        self, order: PlanExtraction, planned: ExtractionPlannedReport
    ) -> list[ShardCapturedReport]:
        due = [shard for shard in planned.shards if shard.hook_points]
        for shard in due:
            await self.order(subjects.WORK_SHARD, shard_order(order, shard))
        return [
            await self.report(ShardCapturedReport, task_id=order.task_id, shard_index=shard.index)
            for shard in due
        ]

    async def extract(self, order: PlanExtraction) -> ExtractionCommittedReport:
        planned = await self.plan(order)
        await self.shards(order, planned)
        await self.order(subjects.WORK_COMMIT, commit_order(order, planned))
        return await self.report(ExtractionCommittedReport, task_id=order.task_id)

"""A device as the catalog keeps it: what it last said, and whether it still speaks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from mistudio_contracts import events, subjects
from mistudio_contracts.reports import DeviceReport
from mistudio_contracts.states import Quantization
from mistudio_contracts.values import ResidentModel

from .outgoing import Effects, Outgoing

USED_CHANGE = 0.05
"""The part of the device's budget by which its use must change to be told."""


REPORTS_EACH_SECOND = 20.0
"""Heartbeats that the catalog takes each second, however many devices there are."""

REPORT_SECONDS = 5.0
"""Between two heartbeats of a device, where there are few."""


def report_seconds(devices: int) -> float:
    """Return the seconds between two heartbeats of each of ``devices`` devices."""
    return max(REPORT_SECONDS, devices / REPORTS_EACH_SECOND)


def silence_seconds(of_few: float, devices: int) -> float:
    """Return the seconds after which a silent device counts as offline, which are ``of_few``."""
    return of_few * report_seconds(devices) / REPORT_SECONDS


@dataclass(frozen=True)
class DeviceState:
    """One row of ``devices``; ``told_used_bytes`` is the use that was last told."""

    id: str
    pool: str
    kind: str
    name: str
    online: bool
    memory_total_bytes: int
    memory_budget_bytes: int
    memory_used_bytes: int
    told_used_bytes: int
    residents: tuple[ResidentModel, ...]
    store_bytes: int
    store_free_bytes: int
    started_at: datetime
    reported_at: datetime
    last_seen_at: datetime
    memory_free_bytes: int | None = None
    unavailable_formats: dict[Quantization, str] = field(default_factory=dict)

    @property
    def resident_ids(self) -> list[str]:
        return [each.model_id for each in self.residents]


Step = tuple[DeviceState, Effects]


def heard(known: DeviceState | None, report: DeviceReport, now: datetime) -> Step:
    """Take a heartbeat. One that was overtaken by a later one only shows that the device lives.

    Times of another start say nothing: the device's clock may have been set back between them.
    """
    if (
        known is not None
        and not restarted(known, report)
        and (report.reported_at < known.reported_at)
    ):
        return replace(known, last_seen_at=now), ()
    device = DeviceState(
        id=report.device_id,
        pool=report.pool,
        kind=report.kind,
        name=report.name,
        online=True,
        memory_total_bytes=report.memory_total_bytes,
        memory_budget_bytes=report.memory_budget_bytes,
        memory_used_bytes=report.memory_used_bytes,
        told_used_bytes=report.memory_used_bytes if known is None else known.told_used_bytes,
        residents=tuple(report.residents),
        store_bytes=report.store_bytes,
        store_free_bytes=report.store_free_bytes,
        started_at=report.started_at,
        reported_at=report.reported_at,
        last_seen_at=now,
        memory_free_bytes=report.memory_free_bytes,
        unavailable_formats=report.unavailable_formats,
    )
    if known is not None and not _changed(known, device):
        return device, ()
    return _tell(device, now)


def restarted(known: DeviceState, report: DeviceReport) -> bool:
    """Tell whether the device has started anew since it was last heard."""
    return report.started_at != known.started_at


def _changed(before: DeviceState, after: DeviceState) -> bool:
    if not before.online or before.pool != after.pool:
        return True
    if set(before.resident_ids) != set(after.resident_ids):
        return True
    if before.unavailable_formats != after.unavailable_formats:
        return True
    moved = abs(after.memory_used_bytes - before.told_used_bytes)
    return moved > USED_CHANGE * max(after.memory_budget_bytes, 1)


def lost(device: DeviceState, now: datetime) -> Step:
    """The device has been silent for too long."""
    if not device.online:
        return device, ()
    return _tell(replace(device, online=False), now)


def without(device: DeviceState, model_id: str) -> DeviceState:
    """Return the device after it let go of a model, without waiting for its heartbeat."""
    left = tuple(each for each in device.residents if each.model_id != model_id)
    return replace(device, residents=left)


def _tell(device: DeviceState, now: datetime) -> Step:
    told = replace(device, told_used_bytes=device.memory_used_bytes)
    event = events.DeviceStatus(
        device_id=told.id,
        pool=told.pool,
        name=told.name,
        kind=told.kind,
        online=told.online,
        memory_total_bytes=told.memory_total_bytes,
        memory_budget_bytes=told.memory_budget_bytes,
        memory_used_bytes=told.memory_used_bytes,
        memory_free_bytes=told.memory_free_bytes,
        unavailable_formats=told.unavailable_formats,
        resident_models=told.resident_ids,
        timestamp=now,
    )
    return told, (Outgoing(subjects.DEVICE_STATUS, event, told.id),)

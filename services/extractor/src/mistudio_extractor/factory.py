"""The extractor's only wiring."""

from __future__ import annotations

import os
from collections.abc import Callable

from faststream.nats import NatsBroker

from mistudio_contracts import subjects
from mistudio_contracts.reports import ModelEvictedReport
from mistudio_servicekit.app import ServiceApp
from mistudio_servicekit.bus import Publisher, create_broker, declare_publishers
from mistudio_servicekit.cancellation import Cancellations
from mistudio_servicekit.consume import consume, listen
from mistudio_servicekit.disks import Disks
from mistudio_servicekit.journal import keep_journal
from mistudio_servicekit.retrying import LOAD_RETRIES, tell_load_retry
from mistudio_servicekit.rpc import serve
from mistudio_servicekit.telemetry import metrics_of

from .config import ExtractorSettings
from .handlers.extractions import ExtractionHandlers
from .handlers.looking import LookingHandlers
from .handlers.models import ModelHandlers
from .handlers.stores import StoreHandlers
from .metrics import Metrics
from .services.capturing import Capturing
from .services.committing import Committing
from .services.device import Device
from .services.gauging import Gauging
from .services.heartbeat import Heartbeat
from .services.kernels import Kernels
from .services.lengths import Lengths
from .services.looking import Looking
from .services.planning import Planning
from .services.probing import Probing
from .services.reporting import Departures
from .services.residency import Residency
from .services.shards import Shards
from .services.stores import Stores
from .storage.layout import Layout
from .storage.verdicts import KeptVerdicts

SERVICE = "extractor"
PLACING_AT_ONCE = 4
"""Orders to place that are looked at: one that waits for room must not hold up the others."""

PUBLISHED = (
    subjects.REPORT_PLACED,
    subjects.REPORT_PLACE_FAILED,
    subjects.REPORT_EVICTED,
    subjects.REPORT_PLANNED,
    subjects.REPORT_SHARD,
    subjects.REPORT_COMMITTED,
    subjects.REPORT_EXTRACTION_FAILED,
    subjects.REPORT_STORE_EVICTED,
    subjects.LIVE_LOAD,
    subjects.LIVE_SHARD,
    subjects.RPC_DEVICE_REPORT,
)


def create_app(settings: ExtractorSettings, leave: Callable[[int], None] = os._exit) -> ServiceApp:
    """Return the extractor, wired and not yet started. Nothing is read or written before.

    Parameters
    ----------
    settings
        From the environment.
    leave
        Ends the process when the device can no longer be used.
    """
    broker = create_broker(settings, SERVICE)
    publisher = Publisher(broker, SERVICE)
    cancellations = Cancellations()
    meters = metrics_of(broker).meters
    metrics = Metrics(meters)
    layout = Layout(settings)
    device = Device(settings, leave)
    departures = Departures(publisher)

    def evicted(model_id: str, task_id: str, reason: str, freed_bytes: int) -> None:
        departures.tell(
            ModelEvictedReport(
                task_id=task_id,
                model_id=model_id,
                device_id=device.device_id,
                reason=reason,
                freed_bytes=freed_bytes,
            )
        )

    kept = KeptVerdicts(settings.kernel_cache_dir)
    kernels = Kernels(device, kept, settings.kernel_check_delay_seconds)
    residency = Residency(
        device, layout, settings.max_resident_models, kernels.require, evicted, metrics
    )
    cancellations.on_cancel(residency.call_off)
    models = ModelHandlers(residency, device, cancellations, publisher)
    probing = Probing(layout, device, residency)
    extractions = ExtractionHandlers(
        device,
        Planning(layout),
        Shards(device, residency, Capturing(layout, metrics), cancellations, metrics),
        Committing(layout),
        cancellations,
        publisher,
        probing,
        metrics,
    )
    stores = StoreHandlers(Stores(layout), publisher)
    looking = LookingHandlers(device, Looking(layout), Lengths(layout))
    heartbeat = Heartbeat(broker, settings.pool, device, residency, kernels, layout, cancellations)
    _subscribe(broker, settings.pool, models, extractions, stores, looking, publisher)
    declare_publishers(broker, PUBLISHED, settings.pool)

    async def stop() -> None:
        await heartbeat.stop()
        await kernels.stop()
        await residency.stop()
        await departures.stop()
        await extractions.close()
        await device.close()

    async def journal() -> None:
        own = settings.device_id_file
        keep_journal(SERVICE, own.with_name(f"{own.name}.spans"))

    async def writable() -> bool:
        return os.access(layout.disk, os.W_OK)

    return ServiceApp(
        name=SERVICE,
        broker=broker,
        on_start=[layout.create, device.identify, probing.tidy, journal, residency.start],
        on_started=[heartbeat.start, departures.start, device.warm, kernels.start],
        on_stop=[stop],
        ready={"store": writable, "heartbeat": heartbeat.alive, "residency": residency.alive},
        measures={
            "device": Gauging(device, residency, metrics).measure,
            "disks": Disks(meters, {"activations": layout.disk}).measure,
        },
    )


def _subscribe(
    broker: NatsBroker,
    pool: str,
    models: ModelHandlers,
    extractions: ExtractionHandlers,
    stores: StoreHandlers,
    looking: LookingHandlers,
    publisher: Publisher,
) -> None:
    consume(
        broker,
        subjects.WORK_PLACE,
        models.place,
        pool=pool,
        on_give_up=models.give_up,
        retries=LOAD_RETRIES,
        on_retry=tell_load_retry(publisher),
        workers=PLACING_AT_ONCE,
    )
    for subject, handler in (
        (subjects.WORK_PLAN, extractions.plan),
        (subjects.WORK_SHARD, extractions.capture),
        (subjects.WORK_COMMIT, extractions.commit),
    ):
        consume(broker, subject, handler, pool=pool, on_give_up=extractions.give_up)
    consume(broker, subjects.WORK_EVICT_STORE, stores.evict, pool=pool)
    listen(broker, subjects.CONTROL_RELEASE, models.release, pool=pool, shared=False)
    listen(broker, subjects.CONTROL_CANCEL, models.cancel, pool=pool, shared=False)
    serve(broker, subjects.RPC_PROBE, extractions.probe, pool=pool)
    serve(broker, subjects.RPC_STORE_CHECK, stores.check, pool=pool)
    serve(broker, subjects.RPC_STORE_FILES, stores.files, pool=pool)
    serve(broker, subjects.RPC_STORE_READ, stores.read, pool=pool)
    serve(broker, subjects.RPC_STORE_VERIFY, stores.verify, pool=pool)
    serve(broker, subjects.RPC_STORE_NORMS, looking.norms, pool=pool)
    serve(broker, subjects.RPC_STORE_HEAT_MAP, looking.heat_map, pool=pool)
    serve(broker, subjects.RPC_STORE_TOP_TOKENS, looking.top_tokens, pool=pool)
    serve(broker, subjects.RPC_COUNT_TOKENS, looking.count_tokens, pool=pool)

"""The loader's only wiring."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from nats.aio.client import Client

from mistudio_contracts import subjects
from mistudio_servicekit.app import ServiceApp
from mistudio_servicekit.bus import Publisher, create_broker, declare_publishers
from mistudio_servicekit.cancellation import Cancellations
from mistudio_servicekit.consume import consume, listen
from mistudio_servicekit.disks import Disks
from mistudio_servicekit.retrying import LOAD_RETRIES, tell_load_retry
from mistudio_servicekit.rpc import serve
from mistudio_servicekit.telemetry import metrics_of

from .config import LoaderSettings
from .handlers.control import ControlHandlers
from .handlers.datasets import DatasetHandlers
from .handlers.models import ModelHandlers
from .metrics import Metrics
from .services.children import Children
from .services.datasets import Datasets
from .services.inventory import Inventory
from .services.models import Models
from .services.uploads import Uploads
from .storage.done import DoneIngestions
from .storage.staging import Workshop

SERVICE = "loader"
PREPARATIONS_AT_ONCE = 2
PARTIAL_MAX_AGE = 7 * 86_400.0
PUBLISHED = (
    subjects.REPORT_PREPARED,
    subjects.REPORT_PREPARE_FAILED,
    subjects.REPORT_INGESTED,
    subjects.REPORT_INGEST_FAILED,
    subjects.LIVE_LOAD,
    subjects.RPC_DISK_REPORT,
)


def create_app(settings: LoaderSettings) -> ServiceApp:
    """Return the loader, wired and not yet started.

    The cache directories are made if they are not there.
    """
    broker = create_broker(settings, SERVICE)
    publisher = Publisher(broker, SERVICE)
    cancellations = Cancellations()
    children = Children(cancellations)
    artifacts = Workshop(settings.model_cache_dir)
    canonical = Workshop(settings.dataset_cache_dir)
    done = DoneIngestions(canonical)

    def connection() -> Client:
        state: Any = broker.config.connection_state
        found: Client = state.connection
        return found

    meters = metrics_of(broker).meters
    metrics = Metrics(meters)
    disks = Disks(
        meters, {"models": settings.model_cache_dir, "datasets": settings.dataset_cache_dir}
    )
    models = Models(settings, artifacts, children, cancellations, publisher, metrics)
    datasets = Datasets(
        settings,
        canonical,
        done,
        Uploads(connection, settings.centre or None),
        children,
        cancellations,
        metrics,
    )
    for_models = ModelHandlers(models, publisher)
    for_datasets = DatasetHandlers(datasets, publisher)
    pool = settings.pool
    # Each registration takes one order at a time.
    for _ in range(PREPARATIONS_AT_ONCE):
        consume(
            broker,
            subjects.WORK_PREPARE,
            for_models.prepare,
            pool=pool,
            on_give_up=for_models.give_up,
            retries=LOAD_RETRIES,
            on_retry=tell_load_retry(publisher),
        )
    consume(broker, subjects.WORK_REMOVE, for_models.remove, pool=pool)
    consume(
        broker,
        subjects.WORK_INGEST,
        for_datasets.ingest,
        pool=pool,
        on_give_up=for_datasets.give_up,
    )
    consume(broker, subjects.WORK_REMOVE_DATASET, for_datasets.remove, pool=pool)
    serve(broker, subjects.RPC_INSPECT, for_models.inspect, pool=pool)
    control = ControlHandlers(cancellations)
    listen(broker, subjects.CONTROL_CANCEL, control.cancel, pool=pool, shared=False)
    declare_publishers(broker, PUBLISHED, pool)
    inventory = Inventory(settings, broker)

    async def sweep() -> None:
        def work() -> None:
            artifacts.sweep()
            artifacts.forget_partials(PARTIAL_MAX_AGE)
            canonical.sweep()
            done.sweep()

        await asyncio.to_thread(work)

    async def writable() -> bool:
        roots = (settings.model_cache_dir, settings.dataset_cache_dir)
        return all(os.access(root, os.W_OK) for root in roots)

    return ServiceApp(
        name=SERVICE,
        broker=broker,
        on_start=[sweep],
        on_started=[inventory.start],
        on_stop=[inventory.stop],
        ready={"caches": writable},
        measures={"disks": disks.measure},
    )

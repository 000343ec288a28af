"""What the rows and the connections say, read when somebody looks at the metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from prometheus_client import Gauge

from mistudio_catalog.metrics import Metrics
from mistudio_catalog.storage.database import Database
from mistudio_contracts.base import utcnow
from mistudio_servicekit.metering import fresh

RETIRED_AFTER = timedelta(days=7)
"""Silence after which nobody misses a device any more."""


class Measures:
    """Sets the gauges of the catalog's state.

    Parameters
    ----------
    database
        Open by the time anything is asked.
    metrics
        The gauges.
    store_limit_bytes
        Activations that may be kept.
    now
        The clock.
    """

    def __init__(
        self,
        database: Database,
        metrics: Metrics,
        store_limit_bytes: int,
        now: Callable[[], datetime] = utcnow,
    ) -> None:
        self._database, self._metrics, self._now = database, metrics, now
        metrics.store_limit_bytes.set(store_limit_bytes)

    async def rows(self) -> None:
        """Read the tables.

        Raises
        ------
        ServiceUnavailable
            When the database does not answer.
        """
        to = self._metrics
        by_state = {
            "models": to.models,
            "loading": to.loading,
            "extracting": to.extracting,
            "devices": to.devices,
        }
        single = (to.store_bytes, to.outbox_messages, to.outbox_lag, to.outbox_parked)
        with fresh(*by_state.values(), to.waiting_seconds, *single):
            now = self._now()
            async with self._database.reading() as tx:
                counts = await tx.figures.counts(now - RETIRED_AFTER)
                waits = await tx.figures.waits(now)
                stored = await tx.caches.stored_bytes()
                messages, lag = await tx.outbox.lag()
            for what, gauge in by_state.items():
                _show(gauge, counts.get(what, {}))
            _show(to.waiting_seconds, waits)
            to.outbox_parked.set(counts.get("outbox", {}).get("parked", 0))
            to.store_bytes.set(stored)
            to.outbox_messages.set(messages)
            to.outbox_lag.set(lag)

    async def connections(self) -> None:
        """Count the database's connections."""
        with fresh(self._metrics.connections, self._metrics.connections_limit):
            idle, in_use, most = self._database.connections()
            _show(self._metrics.connections, {"idle": idle, "in_use": in_use})
            self._metrics.connections_limit.set(most)


def _show(gauge: Gauge, values: Mapping[str, float]) -> None:
    """Set a gauge's children by their one label; those without a value are 0."""
    for metric in gauge.collect():
        for sample in metric.samples:
            (value,) = sample.labels.values()
            gauge.labels(value).set(values.get(value, 0))

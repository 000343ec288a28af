"""Declares metrics with every value their labels take, so that each series is there from the start.

A rate over a series that begins with its first event misses that very event: a failure, often.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

# Else each counter has a second series, which says since when it counts: Prometheus knows that.
disable_created_metrics()  # type: ignore[no-untyped-call]

M = TypeVar("M", Counter, Gauge, Histogram)

SHORT_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Buckets of what a person waits for."""

LONG_SECONDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Buckets of what moves gigabytes."""

ELSEWHERE: tuple[str, ...] = ()
"""Values of a label that are bounded but only known later: subjects of the contract, routes."""


@dataclass(frozen=True)
class Declared:
    """A metric, as its page shows it.

    Attributes
    ----------
    name
        As Prometheus stores it; a histogram's without ``_bucket``, ``_sum`` and ``_count``.
    kind
        ``counter``, ``gauge`` or ``histogram``.
    meaning
        A sentence.
    labels
        Values by label; :data:`ELSEWHERE` where they are not told here.
    """

    name: str
    kind: str
    meaning: str
    labels: dict[str, tuple[str, ...]]

    @property
    def unit(self) -> str:
        """``seconds``, ``bytes`` or ``count``, as the name says."""
        last = self.name.removesuffix("_total").rsplit("_", 1)[-1]
        return last if last in ("seconds", "bytes") else "count"

    @property
    def series(self) -> tuple[str, ...]:
        """The names that a query finds."""
        if self.kind != "histogram":
            return (self.name,)
        return tuple(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))


class Meters:
    """Makes a service's metrics in one registry, and remembers what they are.

    Each method takes the values of each label by its name; ``only`` are the combinations that can
    occur, in the labels' order, where that is not each with each.

    Parameters
    ----------
    registry
        Where they are shown; one of their own by default.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self.declared: list[Declared] = []

    def counter(
        self,
        name: str,
        meaning: str,
        *,
        only: Iterable[Sequence[str]] | None = None,
        **labels: Sequence[str],
    ) -> Counter:
        """Declare a counter; its name ends with ``_total``."""
        return self._declare(Counter, "counter", name, meaning, only, labels)

    def gauge(
        self,
        name: str,
        meaning: str,
        *,
        only: Iterable[Sequence[str]] | None = None,
        **labels: Sequence[str],
    ) -> Gauge:
        """Declare a gauge."""
        return self._declare(Gauge, "gauge", name, meaning, only, labels)

    def histogram(
        self, name: str, meaning: str, buckets: Sequence[float], **labels: Sequence[str]
    ) -> Histogram:
        """Declare a histogram; ``buckets`` are upper bounds in its unit."""
        return self._declare(Histogram, "histogram", name, meaning, None, labels, buckets=buckets)

    def _declare(
        self,
        make: Callable[..., M],
        kind: str,
        name: str,
        meaning: str,
        only: Iterable[Sequence[str]] | None,
        labels: dict[str, Sequence[str]],
        **options: Any,
    ) -> M:
        metric = make(name, meaning, tuple(labels), registry=self.registry, **options)
        values = {label: tuple(map(str, taken)) for label, taken in labels.items()}
        self.declared.append(Declared(name, kind, meaning, values))
        for combination in () if not labels else only or product(*values.values()):
            metric.labels(*map(str, combination))
        return metric


@contextmanager
def fresh(*gauges: Gauge) -> Iterator[None]:
    """Show gauges as not a number, not as they were, where the block that reads them fails."""
    try:
        yield
    except BaseException:
        for gauge in gauges:
            for metric in gauge.collect():
                for sample in metric.samples:
                    (gauge.labels(**sample.labels) if sample.labels else gauge).set(math.nan)
        raise

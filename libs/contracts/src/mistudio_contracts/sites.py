"""A site and its edge, joined by a leaf node: what each keeps, and what moves between them.

The centre keeps the truth: commands, events, the database behind the catalog. The edge keeps the
orders of its pool and its reports on them, each until it is done with, so that it works on while
the link is cut. Messages move between the two by JetStream's own sourcing of work queues, which
takes a message from one stream once the other has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from . import topology
from .topology import ConsumerSpec, StreamSpec

CENTRE = "centre"
"""JetStream domain of a site that others are the edge of."""

_WORK, _REPORTS, _DEAD = "WORK", "REPORTS", "DEAD"

ORDERS_KEPT = 7 * topology.DAY
"""Seconds that an edge keeps an order, done or not, so that a killed server knows which came."""


@dataclass(frozen=True)
class Source:
    """A stream of another domain whose messages come into one of ours, all or of a subject."""

    stream: str
    domain: str
    subject: str | None = None

    @property
    def api(self) -> str:
        """Where the other domain's JetStream is asked."""
        return f"$JS.{self.domain}.API"


@dataclass(frozen=True)
class Site:
    """What one NATS server keeps of the topology; everything, where there is no edge.

    Parameters
    ----------
    edge
        JetStream domain in which the work of this site's pools is done; empty: here.
    centre
        JetStream domain of the site that this one is the edge of; empty: it is nobody's.
    """

    edge: str = ""
    centre: str = ""

    def __post_init__(self) -> None:
        if self.edge and self.centre:
            raise ValueError("an edge has no edge of its own")

    @property
    def keeps_uploads(self) -> bool:
        """Whether the bucket of uploads is here."""
        return not self.centre

    def streams(self, pools: Sequence[str]) -> list[tuple[StreamSpec, list[Source]]]:
        """Return the streams to make, each with what comes into it from the other site."""
        if self.centre:
            return [
                self._at_the_edge(each, pools)
                for each in topology.streams()
                if each.name in _SHARED
            ]
        return [(each, self._from_the_edge(each)) for each in topology.streams()]

    def consumers(self, pools: Sequence[str]) -> list[ConsumerSpec]:
        """Return the durable consumers to make: of orders where they are worked on."""
        found = topology.consumers(tuple(pools))
        if self.centre:
            return [each for each in found if each.stream == _WORK]
        return [each for each in found if not (self.edge and each.stream == _WORK)]

    def queues(self, pools: Sequence[str]) -> list[ConsumerSpec]:
        """Return the consumers whose stream here holds what is not done, and nothing else."""
        kept = {spec.name for spec, _ in self.streams(pools) if spec.retention == "workqueue"}
        return [each for each in self.consumers(pools) if each.stream in kept]

    def _at_the_edge(
        self, spec: StreamSpec, pools: Sequence[str]
    ) -> tuple[StreamSpec, list[Source]]:
        if spec.name != _WORK:
            return spec, []
        orders = [Source(_WORK, self.centre, f"work.{pool}.>") for pool in pools]
        # Nobody publishes an order here: it would not be the centre's. In a work queue that is
        # empty nothing would tell a killed server where it was, and orders would come again.
        kept = replace(spec, subjects=(), retention="limits", max_age=ORDERS_KEPT)
        return kept, orders

    def _from_the_edge(self, spec: StreamSpec) -> list[Source]:
        shared = self.edge and spec.name in (_REPORTS, _DEAD)
        return [Source(spec.name, self.edge)] if shared else []


_SHARED = (_WORK, _REPORTS, _DEAD)

KEPT_APART: tuple[str, ...] = tuple(
    subject for spec in topology.streams() if spec.name in _SHARED for subject in spec.subjects
)
"""Subjects that no link carries as published: both sites keep them, and sourcing moves them."""

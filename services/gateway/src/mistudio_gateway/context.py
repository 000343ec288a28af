"""What a gateway process holds: made by the factory, reached by handlers."""

from __future__ import annotations

from dataclasses import dataclass, field

from faststream.nats import NatsBroker

from .config import GatewaySettings
from .metrics import Metrics
from .services.catalog import Catalog
from .services.feed import Feed
from .services.hub import Hub
from .services.present import Present
from .services.stores import Stores
from .services.tokens import Tokens
from .services.uploads import Uploads


@dataclass(frozen=True)
class Gateway:
    """The parts of one process."""

    settings: GatewaySettings
    broker: NatsBroker
    metrics: Metrics
    tokens: Tokens
    catalog: Catalog
    stores: Stores
    uploads: Uploads
    hub: Hub
    feed: Feed
    present: Present
    sockets: set[object] = field(default_factory=set)

"""What every part of the catalog is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from mistudio_catalog.config import CatalogSettings
from mistudio_catalog.storage.database import Database
from mistudio_contracts.base import utcnow
from mistudio_contracts.looking import CountTokensRequest, TokenLengths
from mistudio_contracts.rpc import ExtractionProbe, InspectModelRequest, ProbeExtractionRequest
from mistudio_contracts.values import ModelFacts

Inspect = Callable[[InspectModelRequest], Awaitable[ModelFacts]]
Probe = Callable[[ProbeExtractionRequest], Awaitable[ExtractionProbe]]
CountTokens = Callable[[CountTokensRequest], Awaitable[TokenLengths]]


@dataclass(frozen=True)
class Context:
    """The catalog's surroundings.

    Parameters
    ----------
    database
        Open by the time anything is asked.
    settings
        Limits and the pool.
    inspect
        Asks a loader what a checkpoint is; raises ServiceUnavailable where none answers.
    probe
        Asks an extractor what an extraction would take; raises as ``inspect``.
    count_tokens
        Asks an extractor how long a dataset's rows are; raises as ``inspect``.
    wake
        Tells the driver that something may move now.
    now
        The clock.
    """

    database: Database
    settings: CatalogSettings
    inspect: Inspect
    probe: Probe
    count_tokens: CountTokens
    wake: Callable[[], None]
    now: Callable[[], datetime] = utcnow

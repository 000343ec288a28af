"""The catalog's settings, read from the environment."""

from __future__ import annotations

from pydantic import Field

from mistudio_servicekit.settings import ServiceSettings


class CatalogSettings(ServiceSettings):
    """Settings of the catalog; each is read from the variable of its name in capitals.

    Parameters
    ----------
    database_url
        Where Postgres is. Left out of ``repr`` for the password in it.
    load_requests_per_hour
        Loads that one user may ask for in an hour. The catalog's own are not counted.
    max_concurrent_loads
        Loads of a pool that run at once; the others wait for their turn.
    max_active_extractions
        Extractions, queued or running, that the system takes.
    shard_tokens
        Tokens of a shard, about.
    model_switch_max_wait_seconds
        How long extractions wait for those of another model, where the two do not fit together.
    shard_window
        Shards of an extraction that are ordered and not yet captured, at most; more where devices
        would wait for it.
    activation_cache_days
        Days after which a cache that nobody used leaves.
    activation_cache_limit_gb
        GiB of activations on disk at any moment, those being written included. The least recently
        used caches leave for what is asked for; what would not fit even so is refused.
    audit_days
        Days for which it is kept who did what.
    model_cache_limit_gb
        GiB of prepared models on disk from which on those that nobody used for longest leave, to be
        prepared anew at their next load. Those in memory, on their way there or pinned stay.
    probe_seconds
        How long an extractor may take to find out what an extraction would take.
    count_seconds
        How long an extractor may take to count the tokens of some of a dataset's rows.
    inspect_seconds
        How long a loader may take to look at a checkpoint that is registered.
    load_stall_seconds
        Seconds without progress after which a load that a worker has begun is ended.
    device_silence_seconds
        Silence after which a device counts as offline, where there are few of them.
    work_silence_seconds
        Silence after which an order whose queue is empty is given again.
    reconcile_seconds
        Seconds between two looks at everything that should move.
    edge
        JetStream domain of the edge where the pool works, from ``MISTUDIO_EDGE``; empty: here.
    """

    database_url: str = Field(default="postgresql://127.0.0.1:5432/mistudio", repr=False)
    load_requests_per_hour: int = Field(default=10, ge=1)
    max_concurrent_loads: int = Field(default=2, ge=1)
    max_active_extractions: int = Field(default=5, ge=1)
    shard_tokens: int = Field(default=65_536, ge=1)
    model_switch_max_wait_seconds: float = Field(default=60.0, gt=0)
    shard_window: int = Field(default=32, ge=1, le=1000)
    activation_cache_days: float = Field(default=30.0, gt=0)
    activation_cache_limit_gb: float = Field(default=100.0, gt=0)
    audit_days: float = Field(default=90.0, gt=0)
    model_cache_limit_gb: float = Field(default=50.0, gt=0)
    probe_seconds: float = Field(default=5.0, gt=0)
    count_seconds: float = Field(default=15.0, gt=0)
    inspect_seconds: float = Field(default=20.0, gt=0)
    load_stall_seconds: float = Field(default=300.0, gt=0)
    device_silence_seconds: float = Field(default=20.0, gt=0)
    work_silence_seconds: float = Field(default=60.0, gt=0)
    reconcile_seconds: float = Field(default=10.0, gt=0)
    edge: str = Field(default="", validation_alias="MISTUDIO_EDGE")

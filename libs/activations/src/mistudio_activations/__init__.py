"""The activation store: writer, reader and exports."""

from .batches import Batch, Batches, Keep
from .commit import commit, disk_usage, evict
from .errors import (
    ActivationsError,
    ColumnNotFound,
    StorageFull,
    StoreCorrupt,
    StoreNotFound,
)
from .export import export_npy, export_pt
from .manifest import MANIFEST_SCHEMA, ColumnEntry, Manifest, Shard, read_manifest
from .reader import ActivationStore, Column, open
from .statistics import ColumnStats
from .writer import ShardFile, ShardWriter, shard_file, token_file, write_tokens

__all__ = [
    "MANIFEST_SCHEMA",
    "ActivationStore",
    "ActivationsError",
    "Batch",
    "Batches",
    "Column",
    "ColumnEntry",
    "ColumnNotFound",
    "ColumnStats",
    "Keep",
    "Manifest",
    "Shard",
    "ShardFile",
    "ShardWriter",
    "StorageFull",
    "StoreCorrupt",
    "StoreNotFound",
    "commit",
    "disk_usage",
    "evict",
    "export_npy",
    "export_pt",
    "open",
    "read_manifest",
    "shard_file",
    "token_file",
    "write_tokens",
]

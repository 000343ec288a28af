"""The activation store: writer, reader and exports."""

from .batches import Batch, Batches, Keep
from .commit import commit, disk_usage, evict, gc
from .damage import Damage, damage_of, files_of
from .errors import (
    ActivationsError,
    ColumnNotFound,
    StorageFull,
    StoreCorrupt,
    StoreDenied,
    StoreNotFound,
    StoreUnreachable,
    UnknownVersion,
)
from .export import export_npy, export_pt
from .manifest import ColumnEntry, Manifest, Shard, read_manifest
from .places import Place, place_of
from .provenance import DatasetInfo, Info, ModelInfo
from .reader import ActivationStore, Column, Rows, open
from .saelens import Exported, Windows, export_saelens, hook_name_of
from .scaled import QuantizationError, ScaledRows, scale_rows
from .schema import MANIFEST_SCHEMA
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
    "Damage",
    "DatasetInfo",
    "Exported",
    "Info",
    "Keep",
    "Manifest",
    "ModelInfo",
    "Place",
    "QuantizationError",
    "Rows",
    "ScaledRows",
    "Shard",
    "ShardFile",
    "ShardWriter",
    "StorageFull",
    "StoreCorrupt",
    "StoreDenied",
    "StoreNotFound",
    "StoreUnreachable",
    "UnknownVersion",
    "Windows",
    "commit",
    "damage_of",
    "disk_usage",
    "evict",
    "export_npy",
    "export_pt",
    "export_saelens",
    "files_of",
    "gc",
    "hook_name_of",
    "open",
    "place_of",
    "read_manifest",
    "scale_rows",
    "shard_file",
    "token_file",
    "write_tokens",
]

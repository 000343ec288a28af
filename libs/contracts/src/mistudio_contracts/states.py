"""States, stages and the closed vocabularies of the contract."""

from __future__ import annotations

from enum import Enum


class _Str(str, Enum):
    def __str__(self) -> str:
        return str(self.value)


class ModelStatus(_Str):
    PENDING = "pending"
    LOADING = "loading"
    READY = "ready"
    UNLOADED = "unloaded"
    FAILED = "failed"


class LoadStage(_Str):
    """What a loading model is doing, in order."""

    RESOLVING = "resolving"
    DOWNLOADING = "downloading"
    VERIFYING = "verifying"
    QUANTIZING = "quantizing"
    PLACING = "placing"


class ExtractionStatus(_Str):
    QUEUED = "queued"
    EXTRACTING = "extracting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self in (self.COMPLETED, self.FAILED, self.CANCELLED)


class DatasetStatus(_Str):
    INGESTING = "ingesting"
    READY = "ready"
    FAILED = "failed"


class Source(_Str):
    """Where a model comes from. ``custom`` is a local directory with a user's own checkpoint."""

    HUGGINGFACE = "huggingface"
    LOCAL = "local"
    CUSTOM = "custom"


class DatasetSource(_Str):
    UPLOAD = "upload"
    LOCAL = "local"
    HUGGINGFACE = "huggingface"


class DatasetFormat(_Str):
    JSONL = "jsonl"
    TEXT = "text"
    CSV = "csv"
    PARQUET = "parquet"


class Quantization(_Str):
    NONE = "none"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"
    INT4 = "int4"


class Int4Type(_Str):
    """The code book of int4: ``nf4`` for weights that are normally distributed, ``fp4`` a float."""

    NF4 = "nf4"
    FP4 = "fp4"


class Fit(_Str):
    """Whether a model fits a device: as it is, once others have left, or never."""

    NOW = "now"
    AFTER_EVICTION = "after_eviction"
    NEVER = "never"


class Dtype(_Str):
    """Of stored activations. Weights and the residual stream are floats.

    ``int8`` keeps each token's row as whole numbers times a scale of its own.
    """

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"

    @property
    def floating(self) -> bool:
        return self is not Dtype.INT8

    @property
    def itemsize(self) -> int:
        """Bytes of a value."""
        return {Dtype.FLOAT32: 4, Dtype.INT8: 1}.get(self, 2)

    def row_bytes(self, width: int) -> int:
        """Return what a store keeps of a token in a column: its row, its norm, int8's scale."""
        return width * self.itemsize + (4 if self.floating else 8)


class CacheStatus(_Str):
    """Whether the files of a cache lie where its store does.

    After a restore they are ``unchecked`` until an extractor has looked; ``missing`` are those that
    did not come along. Asking for the extraction again captures them anew.
    """

    READY = "ready"
    UNCHECKED = "unchecked"
    MISSING = "missing"


class Damage(_Str):
    """What is wrong with a stored file: its ``size`` or its ``content`` is not what was written.

    ``unreadable`` is one that the disk does not give.
    """

    MISSING = "missing"
    UNREADABLE = "unreadable"
    SIZE = "size"
    CONTENT = "content"


class Scope(_Str):
    READ = "model:read"
    WRITE = "model:write"
    ADMIN = "model:admin"


class Door(_Str):
    """Where somebody came in: by the REST API, or with a command on the bus."""

    REST = "rest"
    BUS = "bus"


MODEL_TRANSITIONS: dict[ModelStatus, frozenset[ModelStatus]] = {
    ModelStatus.PENDING: frozenset({ModelStatus.LOADING}),
    ModelStatus.LOADING: frozenset(
        {ModelStatus.READY, ModelStatus.FAILED, ModelStatus.UNLOADED, ModelStatus.PENDING}
    ),
    ModelStatus.READY: frozenset({ModelStatus.UNLOADED, ModelStatus.FAILED}),
    ModelStatus.UNLOADED: frozenset({ModelStatus.LOADING}),
    ModelStatus.FAILED: frozenset({ModelStatus.LOADING}),
}
"""From each status, the statuses that may follow. A cancelled load goes back whence it came."""

EXTRACTION_TRANSITIONS: dict[ExtractionStatus, frozenset[ExtractionStatus]] = {
    ExtractionStatus.QUEUED: frozenset(
        {
            ExtractionStatus.EXTRACTING,
            ExtractionStatus.COMPLETED,
            ExtractionStatus.FAILED,
            ExtractionStatus.CANCELLED,
        }
    ),
    ExtractionStatus.EXTRACTING: frozenset(
        {ExtractionStatus.COMPLETED, ExtractionStatus.FAILED, ExtractionStatus.CANCELLED}
    ),
    ExtractionStatus.COMPLETED: frozenset(),
    ExtractionStatus.FAILED: frozenset(),
    ExtractionStatus.CANCELLED: frozenset(),
}


class BlockKind(_Str):
    """What a hook point in a block reads, about in the order of a forward pass.

    ``resid_pre``, ``resid_mid`` and ``resid_post`` are the residual stream before the block,
    between attention and MLP, and after the block; ``attn_out`` and ``mlp_out`` what the two add to
    it. ``q``, ``k`` and ``v`` are queries, keys and values as projected, before norms and rotary
    positions; ``z`` is the heads' outputs before the output projection; ``mlp_act`` the hidden
    activations of the MLP.
    """

    RESID_PRE = "resid_pre"
    Q = "q"
    K = "k"
    V = "v"
    Z = "z"
    ATTN_OUT = "attn_out"
    RESID_MID = "resid_mid"
    MLP_ACT = "mlp_act"
    MLP_OUT = "mlp_out"
    RESID_POST = "resid_post"

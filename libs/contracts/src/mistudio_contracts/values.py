"""Parts that several messages share: artifacts, datasets, tokenisation, columns, shards."""

from __future__ import annotations

import hashlib
import json
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, field_validator

from .base import Fingerprint, Identifier, Value
from .errors import ErrorBody
from .hooks import HookPoint
from .states import DatasetFormat, Dtype, Int4Type, Quantization


def _inside(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\x00" in value or "\\" in value:
        raise ValueError("a path must be relative and stay inside its root")
    return value


RelativePath = Annotated[
    str, StringConstraints(min_length=1, max_length=1024), AfterValidator(_inside)
]


def _float(dtype: Dtype) -> Dtype:
    if not dtype.floating:
        raise ValueError(f"{dtype} is a dtype of stored activations alone; see quantization")
    return dtype


FloatDtype = Annotated[Dtype, AfterValidator(_float)]
"""Of weights, and so of the residual stream."""


class ModelFacts(Value):
    """What ``config.json`` and the weight headers say, read without loading a weight."""

    model_type: str
    architecture: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    parameter_count: int | None = Field(default=None, ge=0)
    hidden_size: int | None = Field(default=None, ge=1)
    num_layers: int | None = Field(default=None, ge=1)
    vocab_size: int | None = Field(default=None, ge=1)
    context_length: int | None = Field(default=None, ge=1)
    dtype: FloatDtype | None = None
    weight_bytes: int | None = Field(default=None, ge=0)
    revision: str | None = None


class QuantizationOptions(Value):
    """How int4 is made; of no effect on the other formats.

    ``double_quant`` quantises the scales too, which saves 0.37 bits a parameter (QLoRA, section 3).
    """

    int4_type: Int4Type = Int4Type.NF4
    double_quant: bool = True


class HookKindFacts(Value):
    """One kind of hook point: rows are ``[tokens, width]``.

    ``kind`` is ``embed``, ``final_norm`` or one of :class:`~.states.BlockKind`, then in every
    layer. Where rows are of heads, ``heads`` of them lie side by side, each ``width / heads`` wide.
    """

    kind: str
    width: int = Field(ge=1)
    heads: int | None = Field(default=None, ge=1)


class HookPointFacts(Value):
    """The hook points of a model, each proven by an identity where the model was placed.

    ``refused`` says of each kind that the model lacks, why.
    """

    kinds: list[HookKindFacts]
    refused: dict[str, str] = Field(default_factory=dict)


class LayerFidelity(Value):
    """How near a quantised block's output is to the reference's, over the probe's tokens.

    ``cosine`` is the mean over tokens of the cosine of the two rows, ``relative_error`` the
    Frobenius norm of their difference over that of the reference.
    """

    hook_point: HookPoint
    cosine: float
    relative_error: float = Field(ge=0)


class Fidelity(Value):
    """What quantising changed, measured at preparation on a fixed text.

    Both models run in float32 arithmetic over the same ``probe_tokens`` tokens; perplexities are
    of the probe's next tokens.
    """

    probe_tokens: int = Field(ge=1)
    layers: list[LayerFidelity]
    reference_perplexity: float | None = None
    perplexity: float | None = None
    perplexity_change: float | None = Field(
        default=None, description="Of the quantised model over the reference's, less one."
    )


class ResidencyWish(Value):
    """How a model is to be kept in device memory.

    ``pinned`` keeps it from being evicted and brings it back when its device starts;
    ``keep_alive_seconds`` lets it go once it has been idle for so long, null never; ``offload``
    reads the blocks that do not fit from the disk at each batch.
    """

    pinned: bool = False
    keep_alive_seconds: float | None = Field(default=None, ge=0)
    offload: bool = False


class Artifact(Value):
    """A prepared artifact on the pool's shared disk, at ``models/<fingerprint>/``.

    ``dtype`` is of what is not quantised, and so of the residual stream.
    """

    fingerprint: Fingerprint
    quantization: Quantization
    dtype: FloatDtype
    bytes: int = Field(ge=0, description="Bytes of the safetensors files.")


class Tokenization(Value):
    """How text becomes ``input_ids``. Part of what identifies a cache.

    ``max_length`` null means the model's context. A longer sample is cut to ``max_length`` when
    ``truncate``, or into windows of ``max_length`` when ``stride`` is given; else it is left out
    and counted.

    Each window is a sample of its own, whose positions count from 0. The next one begins ``stride``
    tokens of the text later, or where this one ends if that is earlier: a ``stride`` of
    ``max_length`` gives windows that follow each other, a smaller one windows that overlap (what
    tokenizers call their own ``stride`` is that overlap). The last window may be shorter. With
    ``add_special_tokens`` every window has those of the tokenizer, such as a beginning of sequence,
    and ``max_length`` counts them. Ready-made ids are cut as they are.
    """

    column: str | None = Field(default=None, max_length=200)
    add_special_tokens: bool = True
    max_length: int | None = Field(default=None, ge=1, le=1_048_576)
    truncate: bool = False
    stride: int | None = Field(
        default=None,
        ge=1,
        le=1_048_576,
        description="Cut longer samples into windows that begin so many tokens apart.",
    )

    @field_validator("stride")
    @classmethod
    def _leaves_no_gap(cls, stride: int | None, info: ValidationInfo) -> int | None:
        if stride is None:
            return None
        if info.data.get("truncate"):
            raise ValueError("a sample is either truncated or cut into windows, not both")
        length = info.data.get("max_length")
        if length is not None and stride > length:
            raise ValueError(f"windows of {length} tokens, {stride} apart, would leave gaps")
        return stride


class DatasetRef(Value):
    """A canonical dataset on the pool's shared disk, at ``datasets/<fingerprint>/``."""

    dataset_id: Identifier
    fingerprint: Fingerprint
    sample_count: int = Field(ge=1)


class DatasetFacts(Value):
    """What ingestion found: ``columns`` maps each column to ``text``, ``tokens`` or ``other``."""

    fingerprint: Fingerprint
    format: DatasetFormat
    sample_count: int = Field(ge=1)
    file_size_bytes: int = Field(ge=0)
    columns: dict[str, str]
    text_column: str | None = None
    preview: list[dict[str, Any]] = Field(default_factory=list)


class ShardPlan(Value):
    """One unit of work: consecutive samples of the store, and the columns it must compute.

    ``sample_start`` counts the store's samples (those kept by tokenisation), not dataset rows.
    """

    index: int = Field(ge=0)
    sample_start: int = Field(ge=0)
    samples: int = Field(ge=1)
    tokens: int = Field(ge=1)
    hook_points: list[HookPoint]


class ShardCut(Value):
    """How much of the samples one shard takes; shards follow each other without a gap."""

    samples: int = Field(ge=1)
    tokens: int = Field(ge=1)


class PlanCursor(Value):
    """Where a plan goes on: what lies before is cut, into so many shards, samples and tokens.

    The next sample is of the dataset's ``row``, from its token ``start`` on.
    """

    row: int = Field(ge=0)
    start: int = Field(default=0, ge=0)
    shards: int = Field(ge=0)
    samples: int = Field(ge=0)
    tokens: int = Field(ge=0)


class ColumnPlan(Value):
    """A column that is asked for, of which the store has the first ``shards_there`` already."""

    hook_point: HookPoint
    shards_there: int = Field(ge=0)


class ColumnFile(Value):
    """A written shard file of one column; ``path`` is relative to the store's directory."""

    hook_point: HookPoint
    path: RelativePath
    bytes: int = Field(ge=0)
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class QuantizationError(Value):
    """How far an int8 column is from the rows that were captured, over its finite rows.

    ``relative_error`` is the Frobenius norm of the difference over that of the rows,
    ``max_row_error`` the same of the row where it is largest, ``mean_cosine`` the mean over rows of
    the cosine between a row and what it reads as.
    """

    relative_error: float = Field(ge=0)
    max_row_error: float = Field(ge=0)
    mean_cosine: float


class ColumnSummary(Value):
    """A committed column and its statistics over all tokens."""

    hook_point: HookPoint
    tokens: int = Field(ge=0)
    width: int = Field(ge=1)
    bytes: int = Field(ge=0)
    mean_norm: float | None = None
    median_norm: float | None = None
    max_abs: float | None = None
    non_finite: int = Field(default=0, ge=0)
    overflow: int = Field(
        default=0, ge=0, description="Values that left the range of float16, of a column of it."
    )
    quantization_error: QuantizationError | None = Field(
        default=None, description="Of an int8 column; null for floats."
    )


class Skipped(Value):
    """Samples that tokenisation left out."""

    empty: int = Field(default=0, ge=0)
    too_long: int = Field(default=0, ge=0)


class ResidentModel(Value):
    model_id: Identifier
    fingerprint: Fingerprint
    memory_usage_bytes: int = Field(ge=0)
    pinned: bool = False
    leases: int = Field(default=0, ge=0, description="How many extractions work with it now.")


class Failure(Value):
    """Why a piece of work ended; ``transient`` says that retries were spent on it."""

    error: ErrorBody
    transient: bool = False


def store_key(model: Fingerprint, dataset: Fingerprint, how: Tokenization, dtype: Dtype) -> str:
    """Return the directory name of the activation store for this recipe.

    Sixteen bytes of SHA-256 over the canonical JSON of what decides the values: the model's
    fingerprint (weights, config and tokenizer), the dataset's, the tokenisation and the dtype.
    The sample count is left out on purpose: fewer samples are a view of the same store.
    """
    tokenization = how.model_dump(mode="json")
    if how.stride is None:
        # Stores are older than windows: what asks for none keeps its key.
        del tokenization["stride"]
    recipe = {
        "model": model,
        "dataset": dataset,
        "tokenization": tokenization,
        "dtype": dtype.value,
    }
    canonical = json.dumps(recipe, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(canonical).hexdigest()[:32]

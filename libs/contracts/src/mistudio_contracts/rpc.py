"""Request/reply over core NATS: how the gateway reads and asks, and how workers ask."""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeVar

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
)

from .base import Fingerprint, Identifier, Message, UtcDatetime, Value
from .errors import ErrorBody, InvalidInput, MiStudioError
from .hooks import HookPoint
from .states import (
    DatasetFormat,
    DatasetSource,
    Dtype,
    ExtractionStatus,
    ModelStatus,
    Quantization,
    Source,
)
from .values import (
    Artifact,
    DatasetRef,
    QuantizationOptions,
    RelativePath,
    ResidencyWish,
    Tokenization,
)

T = TypeVar("T")
Limit = Annotated[int, Field(ge=1, le=500)]
Offset = Annotated[int, Field(ge=0, le=10_000_000)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=500, strip_whitespace=True)]
ModelIdentifier = Annotated[
    str, StringConstraints(min_length=1, max_length=1000, strip_whitespace=True)
]


class Reply(Value, Generic[T]):
    """Either a result or an error; never both."""

    result: T | None = None
    error: ErrorBody | None = None

    def unwrap(self) -> T:
        """Return the result, or raise the error as its exception class."""
        if self.error is not None:
            raise MiStudioError.from_body(self.error)
        if self.result is None:
            raise InvalidInput("the reply holds neither a result nor an error")
        return self.result


class Request(Message):
    """``actor`` is the token's subject; ``idempotency_key`` makes a repeat answer the same."""

    actor: str = Field(default="system", max_length=200)
    idempotency_key: str | None = Field(default=None, min_length=1, max_length=200)


class Done(Value):
    """An answer with nothing to say."""

    done: bool = True


class RegisterModelRequest(Request):
    name: Name
    source: Source
    model_identifier: ModelIdentifier
    model_type: str | None = Field(
        default=None, max_length=100, description="Checked against the config when given."
    )
    revision: str | None = Field(default=None, max_length=200)
    quantization: Quantization = Quantization.NONE
    quantization_options: QuantizationOptions = QuantizationOptions()
    pinned: bool = False
    keep_alive_seconds: float | None = Field(default=None, ge=0)
    offload: bool = False
    auto_load: bool = False


class ListModelsRequest(Request):
    status: ModelStatus | None = None
    model_type: str | None = None
    search: str | None = None
    limit: Limit = 50
    offset: Offset = 0


class GetModelRequest(Request):
    model_id: Identifier


class ListHookPointsRequest(Request):
    model_id: Identifier


class UpdateModelRequest(Request):
    """Change a model that is not loading. ``if_match`` is the ``updated_at`` last seen.

    What is left out stays; ``keep_alive_seconds`` given as null lets the model stay for good.
    """

    model_id: Identifier
    name: Name | None = None
    quantization: Quantization | None = None
    quantization_options: QuantizationOptions | None = None
    pinned: bool | None = None
    keep_alive_seconds: float | None = Field(default=None, ge=0)
    offload: bool | None = None
    if_match: UtcDatetime | None = None

    @model_serializer(mode="wrap")
    def _only_what_is_set(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Left out and null differ, so that what was left out must not come back as null.
        fields: dict[str, Any] = serialize(self)
        return {name: value for name, value in fields.items() if name in self.model_fields_set}


class DeleteModelRequest(Request):
    model_id: Identifier


class LoadModelRequest(Request):
    model_id: Identifier
    quantization: Quantization | None = None
    quantization_options: QuantizationOptions | None = None
    force: bool = False


class EstimateModelRequest(Request):
    """Will a registered model fit? Null ``quantization`` asks for every format."""

    model_id: Identifier
    quantization: Quantization | None = None
    quantization_options: QuantizationOptions = QuantizationOptions()


class EstimateCheckpointRequest(Request):
    """Will a checkpoint fit that nobody has registered yet? Only its config is read."""

    source: Source
    model_identifier: ModelIdentifier
    revision: str | None = Field(default=None, max_length=200)
    quantization: Quantization | None = None
    quantization_options: QuantizationOptions = QuantizationOptions()


class UnloadModelRequest(Request):
    model_id: Identifier


class CancelLoadRequest(Request):
    model_id: Identifier


class RegisterDatasetRequest(Request):
    """``identifier`` is the object's name, a path under an allowed root, or a hub id."""

    name: Name
    source: DatasetSource
    identifier: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    format: DatasetFormat | None = None
    text_column: str | None = Field(default=None, max_length=200)
    split: str = Field(default="train", min_length=1, max_length=100)
    subset: str | None = Field(default=None, max_length=200)
    revision: str | None = Field(default=None, max_length=200)


class ListDatasetsRequest(Request):
    limit: Limit = 50
    offset: Offset = 0


class GetDatasetRequest(Request):
    dataset_id: Identifier


class DeleteDatasetRequest(Request):
    dataset_id: Identifier


class ExtractionRequest(Request):
    """The command's payload travels unchanged inside."""

    command: dict[str, Any]


class ProbeExtractionRequest(Request):
    """What an extraction would compute, and how fast; asked of any extractor of the pool.

    ``measure`` lets it time a pass where nothing is known and the model is in memory, idle.
    """

    model_id: Identifier
    artifact: Artifact
    dataset: DatasetRef
    tokenization: Tokenization
    sample_count: int | None = None
    hook_points: list[HookPoint]
    dtype: Dtype
    store_key: Fingerprint
    measure: bool = True


class ExtractionProbe(Value):
    """``tokens`` of the rows asked for, and of each column those whose rows the store lacks.

    Of ``rows_sampled`` rows, drawn by a fixed seed, the tokens were counted; the others are taken
    to be like them. ``work_per_second`` counts tokens, once for each block that they go through.
    """

    tokens: int = Field(ge=0)
    rows_sampled: int = Field(default=0, ge=0)
    missing: dict[HookPoint, int] = Field(default_factory=dict)
    work_per_second: float | None = Field(default=None, gt=0)
    unknown: str | None = Field(default=None, description="Why no speed is told.")


class ListExtractionsRequest(Request):
    model_id: Identifier | None = None
    dataset_id: Identifier | None = None
    status: ExtractionStatus | None = None
    limit: Limit = 50
    offset: Offset = 0


class GetExtractionRequest(Request):
    """With ``model_id`` the extraction must belong to that model."""

    extraction_id: Identifier
    model_id: Identifier | None = None


class CancelExtractionRequest(Request):
    extraction_id: Identifier


class ListCachesRequest(Request):
    model_id: Identifier | None = None
    dataset_id: Identifier | None = None
    limit: Limit = 50
    offset: Offset = 0


class GetCacheRequest(Request):
    cache_id: Identifier


class EvictCacheRequest(Request):
    cache_id: Identifier


class ListDevicesRequest(Request):
    pass


class ListAuditRequest(Request):
    """List what was done: by one actor, of one action, to one object, from ``since`` on.

    ``before`` is the moment that it ends before.
    """

    by: str | None = Field(default=None, max_length=200)
    action: str | None = Field(default=None, max_length=100)
    object_id: str | None = Field(default=None, max_length=200)
    since: UtcDatetime | None = None
    before: UtcDatetime | None = None
    limit: Limit = 50
    offset: Offset = 0


class ListDeadLettersRequest(Request):
    """List dead letters behind the place ``after``."""

    after: int = Field(default=0, ge=0)
    limit: int = Field(default=50, ge=1, le=100)


class DeadLetterRequest(Request):
    """Show a dead letter, put it back where it came from, or take it away for good."""

    sequence: int = Field(ge=1)


class InspectModelRequest(Request):
    """Ask a loader what a checkpoint is, from its config and headers alone."""

    source: Source
    model_identifier: ModelIdentifier
    revision: str | None = None


class DeviceOrders(Value):
    """The catalog's answer to a heartbeat.

    Models that must leave, tasks that are void, how each resident model is to be kept, and when to
    report again: later where there are many devices.
    """

    release: list[Identifier] = Field(default_factory=list)
    cancelled: list[Identifier] = Field(default_factory=list)
    wishes: dict[Identifier, ResidencyWish] = Field(default_factory=dict)
    again_after_seconds: float = Field(default=5.0, gt=0)


class ReleaseModel(Message):
    """Broadcast to a pool: let go of a model. Lost messages are made good by heartbeats."""

    model_id: Identifier
    task_id: Identifier


class CancelWork(Message):
    """Broadcast to a pool: stop work on these tasks at the next safe boundary."""

    task_ids: list[Identifier]


class ListStoreFilesRequest(Request):
    store_key: Fingerprint


class ReadStoreFileRequest(Request):
    """Read at most ``length`` bytes; the reply's ``data`` is base64."""

    store_key: Fingerprint
    path: RelativePath
    offset: int = Field(default=0, ge=0)
    length: int = Field(default=1_048_576, ge=1, le=2_097_152)


class VerifyStoreRequest(Request):
    """Compare files with their checksums in the order of their paths, from behind ``after`` on.

    They are the tokens and what belongs to the hook points, all of them for null. No file is begun
    once the seconds are over, but one is always compared.
    """

    store_key: Fingerprint
    hook_points: list[HookPoint] | None = None
    after: RelativePath | None = None
    seconds: float = Field(default=2.0, ge=0, le=30)


class CheckStoreRequest(Request):
    """Ask an extractor which columns of a store lie there with all their files."""

    store_key: Fingerprint


class StoreCheck(Value):
    """Where the store is, and the columns whose every file is there, of the size it should be."""

    storage_path: str
    hook_points: list[HookPoint] = Field(default_factory=list)


class FileChunk(Value):
    data: str
    total_bytes: int
    eof: bool

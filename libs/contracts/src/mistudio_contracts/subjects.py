"""Every subject of the system: its payload, who publishes, who reads, and where it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from pydantic import BaseModel

from . import commands as c
from . import events as e
from . import looking, rpc, views
from . import reports as r
from . import work as w
from .values import ModelFacts

Service = Literal["catalog", "loader", "extractor", "gateway", "anyone"]


class Kind(str, Enum):
    COMMAND = "command"
    WORK = "work"
    REPORT = "report"
    EVENT = "event"
    PROGRESS = "progress"
    LIVE = "live"
    REQUEST = "request"
    CONTROL = "control"


STREAM_OF: dict[Kind, str] = {
    Kind.COMMAND: "COMMANDS",
    Kind.WORK: "WORK",
    Kind.REPORT: "REPORTS",
    Kind.EVENT: "EVENTS",
    Kind.PROGRESS: "PROGRESS",
}
"""The stream that keeps each kind; live, request and control travel on core NATS."""


@dataclass(frozen=True)
class Subject:
    """One row of the contract. ``pattern`` may hold ``{pool}``."""

    pattern: str
    kind: Kind
    payload: type[BaseModel]
    publisher: Service
    reader: Service
    summary: str
    reply: type[BaseModel] | None = None

    def name(self, pool: str = "default") -> str:
        """Return the concrete subject for a pool."""
        return self.pattern.replace("{pool}", pool)

    @property
    def stream(self) -> str | None:
        return STREAM_OF.get(self.kind)

    def durable(self, pool: str = "default") -> str:
        """Return the durable consumer's name, for subjects with exactly one reader service."""
        return f"{self.reader}-{self.name(pool).replace('.', '-')}"


def _s(
    pattern: str,
    kind: Kind,
    payload: type[BaseModel],
    route: tuple[Service, Service],
    summary: str,
    reply: Any = None,
) -> Subject:
    return Subject(pattern, kind, payload, route[0], route[1], summary, reply)


_IN: tuple[Service, Service] = ("anyone", "catalog")
_TO_LOADER: tuple[Service, Service] = ("catalog", "loader")
_TO_EXTRACTOR: tuple[Service, Service] = ("catalog", "extractor")
_FROM_LOADER: tuple[Service, Service] = ("loader", "catalog")
_FROM_EXTRACTOR: tuple[Service, Service] = ("extractor", "catalog")
_OUT: tuple[Service, Service] = ("catalog", "anyone")
_ASK: tuple[Service, Service] = ("gateway", "catalog")

MODEL_LOAD = _s("model.load.requested", Kind.COMMAND, c.LoadModel, _IN, "Load a model.")
MODEL_UNLOAD = _s("model.unload.requested", Kind.COMMAND, c.UnloadModel, _IN, "Unload a model.")
MODEL_LOAD_CANCEL = _s(
    "model.load.cancel.requested", Kind.COMMAND, c.CancelLoad, _IN, "Cancel a load."
)
MODEL_DELETE = _s("model.delete.requested", Kind.COMMAND, c.DeleteModel, _IN, "Delete a model.")
EXTRACTION = _s(
    "extraction.requested", Kind.COMMAND, c.RequestExtraction, _IN, "Capture activations."
)
EXTRACTION_CANCEL = _s(
    "extraction.cancel.requested", Kind.COMMAND, c.CancelExtraction, _IN, "Cancel an extraction."
)
CACHE_EVICT = _s("cache.evict.requested", Kind.COMMAND, c.EvictCache, _IN, "Delete a cache.")

WORK_PREPARE = _s(
    "work.{pool}.model.prepare", Kind.WORK, w.PrepareModel, _TO_LOADER, "Prepare an artifact."
)
WORK_REMOVE = _s(
    "work.{pool}.model.remove", Kind.WORK, w.RemoveArtifact, _TO_LOADER, "Delete an artifact."
)
WORK_INGEST = _s(
    "work.{pool}.dataset.ingest", Kind.WORK, w.IngestDataset, _TO_LOADER, "Ingest a dataset."
)
WORK_REMOVE_DATASET = _s(
    "work.{pool}.dataset.remove", Kind.WORK, w.RemoveDataset, _TO_LOADER, "Delete a dataset."
)
WORK_PLACE = _s(
    "work.{pool}.model.place", Kind.WORK, w.PlaceModel, _TO_EXTRACTOR, "Place on a device."
)
WORK_PLAN = _s(
    "work.{pool}.extraction.plan", Kind.WORK, w.PlanExtraction, _TO_EXTRACTOR, "Tokenise and cut."
)
WORK_SHARD = _s(
    "work.{pool}.extraction.shard", Kind.WORK, w.CaptureShard, _TO_EXTRACTOR, "Capture a shard."
)
WORK_COMMIT = _s(
    "work.{pool}.extraction.commit",
    Kind.WORK,
    w.CommitExtraction,
    _TO_EXTRACTOR,
    "Make captured columns visible.",
)
WORK_EVICT_STORE = _s(
    "work.{pool}.store.evict", Kind.WORK, w.EvictStore, _TO_EXTRACTOR, "Delete stored columns."
)

REPORT_PREPARED = _s(
    "report.model.prepared",
    Kind.REPORT,
    r.ModelPreparedReport,
    _FROM_LOADER,
    "An artifact is ready.",
)
REPORT_PREPARE_FAILED = _s(
    "report.model.prepare.failed",
    Kind.REPORT,
    r.ModelWorkFailedReport,
    _FROM_LOADER,
    "Preparing failed.",
)
REPORT_PLACED = _s(
    "report.model.placed", Kind.REPORT, r.ModelPlacedReport, _FROM_EXTRACTOR, "A model is resident."
)
REPORT_PLACE_FAILED = _s(
    "report.model.place.failed",
    Kind.REPORT,
    r.ModelWorkFailedReport,
    _FROM_EXTRACTOR,
    "Placing failed.",
)
REPORT_EVICTED = _s(
    "report.model.evicted",
    Kind.REPORT,
    r.ModelEvictedReport,
    _FROM_EXTRACTOR,
    "A model left a device.",
)
REPORT_INGESTED = _s(
    "report.dataset.ingested",
    Kind.REPORT,
    r.DatasetIngestedReport,
    _FROM_LOADER,
    "A dataset is ready.",
)
REPORT_INGEST_FAILED = _s(
    "report.dataset.failed", Kind.REPORT, r.DatasetFailedReport, _FROM_LOADER, "Ingestion failed."
)
REPORT_PLANNED = _s(
    "report.extraction.planned",
    Kind.REPORT,
    r.ExtractionPlannedReport,
    _FROM_EXTRACTOR,
    "An extraction is cut into shards.",
)
REPORT_SHARD = _s(
    "report.extraction.shard",
    Kind.REPORT,
    r.ShardCapturedReport,
    _FROM_EXTRACTOR,
    "A shard's files are written.",
)
REPORT_COMMITTED = _s(
    "report.extraction.committed",
    Kind.REPORT,
    r.ExtractionCommittedReport,
    _FROM_EXTRACTOR,
    "The manifest lists the columns.",
)
REPORT_EXTRACTION_FAILED = _s(
    "report.extraction.failed",
    Kind.REPORT,
    r.ExtractionWorkFailedReport,
    _FROM_EXTRACTOR,
    "Planning, capture or commit failed.",
)
REPORT_STORE_EVICTED = _s(
    "report.store.evicted",
    Kind.REPORT,
    r.StoreEvictedReport,
    _FROM_EXTRACTOR,
    "Columns are deleted.",
)

LIVE_LOAD = _s(
    "live.model.load",
    Kind.LIVE,
    r.LoadProgressedReport,
    ("anyone", "catalog"),
    "Load progress, raw.",
)
LIVE_SHARD = _s(
    "live.extraction.shard",
    Kind.LIVE,
    r.ShardProgressedReport,
    _FROM_EXTRACTOR,
    "Shard progress, raw.",
)

MODEL_LOAD_PROGRESS = _s(
    "model.load.progress", Kind.PROGRESS, e.ModelLoadProgress, _OUT, "Load progress."
)
EXTRACTION_PROGRESS = _s(
    "extraction.progress", Kind.PROGRESS, e.ExtractionProgress, _OUT, "Extraction progress."
)

MODEL_REGISTERED = _s(
    "model.registered", Kind.EVENT, e.ModelRegistered, _OUT, "A model was registered."
)
MODEL_LOADING = _s("model.loading", Kind.EVENT, e.ModelLoading, _OUT, "A load was accepted.")
MODEL_PREPARED = _s("model.prepared", Kind.EVENT, e.ModelPrepared, _OUT, "Its artifact is on disk.")
MODEL_READY = _s("model.ready", Kind.EVENT, e.ModelReady, _OUT, "It is in device memory.")
MODEL_UNLOADED = _s("model.unloaded", Kind.EVENT, e.ModelUnloaded, _OUT, "It left device memory.")
MODEL_FAILED = _s("model.failed", Kind.EVENT, e.ModelFailed, _OUT, "A load failed.")
MODEL_DELETED = _s("model.deleted", Kind.EVENT, e.ModelDeleted, _OUT, "It is gone.")
DATASET_REGISTERED = _s(
    "dataset.registered", Kind.EVENT, e.DatasetRegistered, _OUT, "Ingestion began."
)
DATASET_READY = _s("dataset.ready", Kind.EVENT, e.DatasetReady, _OUT, "It can be used.")
DATASET_FAILED = _s("dataset.failed", Kind.EVENT, e.DatasetFailed, _OUT, "Ingestion failed.")
DATASET_DELETED = _s("dataset.deleted", Kind.EVENT, e.DatasetDeleted, _OUT, "It is gone.")
EXTRACTION_QUEUED = _s(
    "extraction.queued", Kind.EVENT, e.ExtractionQueued, _OUT, "It was accepted."
)
EXTRACTION_SHARD_COMPLETED = _s(
    "extraction.shard.completed",
    Kind.EVENT,
    e.ExtractionShardCompleted,
    _OUT,
    "A shard is captured.",
)
EXTRACTION_COMPLETED = _s(
    "extraction.completed", Kind.EVENT, e.ExtractionCompleted, _OUT, "The cache is ready."
)
EXTRACTION_FAILED = _s("extraction.failed", Kind.EVENT, e.ExtractionFailed, _OUT, "It failed.")
EXTRACTION_CANCELLED = _s(
    "extraction.cancelled", Kind.EVENT, e.ExtractionCancelled, _OUT, "It was cancelled."
)
CACHE_EVICTED = _s("cache.evicted", Kind.EVENT, e.CacheEvicted, _OUT, "A cache is deleted.")
CACHE_CHECKED = _s(
    "cache.checked", Kind.EVENT, e.CacheChecked, _OUT, "Its files were looked for after a restore."
)
DEVICE_STATUS = _s("device.status", Kind.EVENT, e.DeviceStatus, _OUT, "A device changed.")
COMMAND_REFUSED = _s(
    "command.refused", Kind.EVENT, e.CommandRefused, _OUT, "A bus command was refused."
)

RPC_MODEL_REGISTER = _s(
    "rpc.catalog.model.register",
    Kind.REQUEST,
    rpc.RegisterModelRequest,
    _ASK,
    "Register a model.",
    views.Model,
)
RPC_MODEL_LIST = _s(
    "rpc.catalog.model.list",
    Kind.REQUEST,
    rpc.ListModelsRequest,
    _ASK,
    "List models.",
    views.ModelPage,
)
RPC_MODEL_GET = _s(
    "rpc.catalog.model.get", Kind.REQUEST, rpc.GetModelRequest, _ASK, "Show a model.", views.Model
)
RPC_HOOK_POINT_LIST = _s(
    "rpc.catalog.hookpoint.list",
    Kind.REQUEST,
    rpc.ListHookPointsRequest,
    _ASK,
    "List the hook points of a model.",
    views.HookPointList,
)
RPC_MODEL_UPDATE = _s(
    "rpc.catalog.model.update",
    Kind.REQUEST,
    rpc.UpdateModelRequest,
    _ASK,
    "Change a model.",
    views.Model,
)
RPC_MODEL_DELETE = _s(
    "rpc.catalog.model.delete",
    Kind.REQUEST,
    rpc.DeleteModelRequest,
    _ASK,
    "Delete a model.",
    rpc.Done,
)
RPC_MODEL_LOAD = _s(
    "rpc.catalog.model.load",
    Kind.REQUEST,
    rpc.LoadModelRequest,
    _ASK,
    "Load a model.",
    views.LoadAccepted,
)
RPC_MODEL_UNLOAD = _s(
    "rpc.catalog.model.unload",
    Kind.REQUEST,
    rpc.UnloadModelRequest,
    _ASK,
    "Unload a model.",
    views.Model,
)
RPC_MODEL_LOAD_CANCEL = _s(
    "rpc.catalog.model.load.cancel",
    Kind.REQUEST,
    rpc.CancelLoadRequest,
    _ASK,
    "Cancel a load.",
    views.Model,
)
RPC_MODEL_ESTIMATE = _s(
    "rpc.catalog.model.estimate",
    Kind.REQUEST,
    rpc.EstimateModelRequest,
    _ASK,
    "Will a model fit?",
    views.Estimate,
)
RPC_CHECKPOINT_ESTIMATE = _s(
    "rpc.catalog.checkpoint.estimate",
    Kind.REQUEST,
    rpc.EstimateCheckpointRequest,
    _ASK,
    "Will a checkpoint fit that is not registered?",
    views.Estimate,
)
RPC_DATASET_REGISTER = _s(
    "rpc.catalog.dataset.register",
    Kind.REQUEST,
    rpc.RegisterDatasetRequest,
    _ASK,
    "Register a dataset.",
    views.Dataset,
)
RPC_DATASET_LIST = _s(
    "rpc.catalog.dataset.list",
    Kind.REQUEST,
    rpc.ListDatasetsRequest,
    _ASK,
    "List datasets.",
    views.DatasetPage,
)
RPC_DATASET_GET = _s(
    "rpc.catalog.dataset.get",
    Kind.REQUEST,
    rpc.GetDatasetRequest,
    _ASK,
    "Show a dataset.",
    views.Dataset,
)
RPC_DATASET_DELETE = _s(
    "rpc.catalog.dataset.delete",
    Kind.REQUEST,
    rpc.DeleteDatasetRequest,
    _ASK,
    "Delete a dataset.",
    rpc.Done,
)
RPC_EXTRACTION_REQUEST = _s(
    "rpc.catalog.extraction.request",
    Kind.REQUEST,
    rpc.ExtractionRequest,
    _ASK,
    "Request an extraction.",
    views.ExtractionAccepted,
)
RPC_EXTRACTION_ESTIMATE = _s(
    "rpc.catalog.extraction.estimate",
    Kind.REQUEST,
    rpc.ExtractionRequest,
    _ASK,
    "Tell what an extraction would take.",
    views.ExtractionEstimate,
)
RPC_EXTRACTION_LIST = _s(
    "rpc.catalog.extraction.list",
    Kind.REQUEST,
    rpc.ListExtractionsRequest,
    _ASK,
    "List extractions.",
    views.ExtractionPage,
)
RPC_EXTRACTION_GET = _s(
    "rpc.catalog.extraction.get",
    Kind.REQUEST,
    rpc.GetExtractionRequest,
    _ASK,
    "Show an extraction.",
    views.Extraction,
)
RPC_EXTRACTION_CANCEL = _s(
    "rpc.catalog.extraction.cancel",
    Kind.REQUEST,
    rpc.CancelExtractionRequest,
    _ASK,
    "Cancel an extraction.",
    views.Extraction,
)
RPC_CACHE_LIST = _s(
    "rpc.catalog.cache.list",
    Kind.REQUEST,
    rpc.ListCachesRequest,
    _ASK,
    "List caches.",
    views.CachePage,
)
RPC_CACHE_GET = _s(
    "rpc.catalog.cache.get", Kind.REQUEST, rpc.GetCacheRequest, _ASK, "Show a cache.", views.Cache
)
RPC_CACHE_EVICT = _s(
    "rpc.catalog.cache.evict",
    Kind.REQUEST,
    rpc.EvictCacheRequest,
    _ASK,
    "Delete a cache.",
    rpc.Done,
)
RPC_TOKEN_LENGTHS = _s(
    "rpc.catalog.dataset.lengths",
    Kind.REQUEST,
    looking.TokenLengthsRequest,
    _ASK,
    "Tell how long a dataset's rows are in a model's tokens.",
    looking.TokenLengths,
)
RPC_DEVICE_LIST = _s(
    "rpc.catalog.device.list",
    Kind.REQUEST,
    rpc.ListDevicesRequest,
    _ASK,
    "List devices.",
    views.DevicePage,
)
RPC_AUDIT_LIST = _s(
    "rpc.catalog.audit.list",
    Kind.REQUEST,
    rpc.ListAuditRequest,
    _ASK,
    "List who did what.",
    views.AuditPage,
)
RPC_DEAD_LIST = _s(
    "rpc.catalog.deadletter.list",
    Kind.REQUEST,
    rpc.ListDeadLettersRequest,
    _ASK,
    "List what could not be handled.",
    views.DeadLetterPage,
)
RPC_DEAD_GET = _s(
    "rpc.catalog.deadletter.get",
    Kind.REQUEST,
    rpc.DeadLetterRequest,
    _ASK,
    "Show a message that could not be handled.",
    views.DeadLetterDetail,
)
RPC_DEAD_REPLAY = _s(
    "rpc.catalog.deadletter.replay",
    Kind.REQUEST,
    rpc.DeadLetterRequest,
    _ASK,
    "Put a message that could not be handled back.",
    views.Replayed,
)
RPC_DEAD_DISCARD = _s(
    "rpc.catalog.deadletter.discard",
    Kind.REQUEST,
    rpc.DeadLetterRequest,
    _ASK,
    "Take a message that could not be handled away.",
    rpc.Done,
)
RPC_DEVICE_REPORT = _s(
    "rpc.catalog.device.report",
    Kind.REQUEST,
    r.DeviceReport,
    _FROM_EXTRACTOR,
    "Heartbeat of a device.",
    rpc.DeviceOrders,
)
RPC_DISK_REPORT = _s(
    "rpc.catalog.disk.report",
    Kind.REQUEST,
    r.DiskReport,
    _FROM_LOADER,
    "What lies on a pool's disk.",
    rpc.Done,
)
RPC_INSPECT = _s(
    "rpc.loader.{pool}.model.inspect",
    Kind.REQUEST,
    rpc.InspectModelRequest,
    _TO_LOADER,
    "Read a checkpoint's config.",
    ModelFacts,
)
RPC_PROBE = _s(
    "rpc.extractor.{pool}.extraction.probe",
    Kind.REQUEST,
    rpc.ProbeExtractionRequest,
    ("catalog", "extractor"),
    "Find out what an extraction would compute, and how fast.",
    rpc.ExtractionProbe,
)
RPC_STORE_CHECK = _s(
    "rpc.extractor.{pool}.store.check",
    Kind.REQUEST,
    rpc.CheckStoreRequest,
    ("catalog", "extractor"),
    "Find out which columns of a store lie there.",
    rpc.StoreCheck,
)
RPC_STORE_FILES = _s(
    "rpc.store.{pool}.files",
    Kind.REQUEST,
    rpc.ListStoreFilesRequest,
    ("gateway", "extractor"),
    "List a store's files.",
    views.StoreFiles,
)
RPC_STORE_READ = _s(
    "rpc.store.{pool}.read",
    Kind.REQUEST,
    rpc.ReadStoreFileRequest,
    ("gateway", "extractor"),
    "Read a piece of a store's file.",
    rpc.FileChunk,
)
RPC_STORE_VERIFY = _s(
    "rpc.store.{pool}.verify",
    Kind.REQUEST,
    rpc.VerifyStoreRequest,
    ("gateway", "extractor"),
    "Compare some of a store's files with their checksums.",
    views.StoreVerification,
)

RPC_STORE_NORMS = _s(
    "rpc.store.{pool}.norms",
    Kind.REQUEST,
    looking.NormsRequest,
    ("gateway", "extractor"),
    "Tell mean norms by hook point and position.",
    looking.Norms,
)
RPC_STORE_HEAT_MAP = _s(
    "rpc.store.{pool}.heatmap",
    Kind.REQUEST,
    looking.HeatMapRequest,
    ("gateway", "extractor"),
    "Tell a number for each token of some samples.",
    looking.HeatMap,
)
RPC_STORE_TOP_TOKENS = _s(
    "rpc.store.{pool}.toptokens",
    Kind.REQUEST,
    looking.TopTokensRequest,
    ("gateway", "extractor"),
    "Tell the tokens where a number is largest.",
    looking.TopTokens,
)
RPC_COUNT_TOKENS = _s(
    "rpc.extractor.{pool}.dataset.count",
    Kind.REQUEST,
    looking.CountTokensRequest,
    ("catalog", "extractor"),
    "Count the tokens of a dataset's rows.",
    looking.TokenLengths,
)

CONTROL_RELEASE = _s(
    "control.{pool}.model.release",
    Kind.CONTROL,
    rpc.ReleaseModel,
    _TO_EXTRACTOR,
    "Let go of a model.",
)
CONTROL_CANCEL = _s(
    "control.{pool}.work.cancel", Kind.CONTROL, rpc.CancelWork, _OUT, "Stop void work."
)

ALL: tuple[Subject, ...] = tuple(v for v in list(globals().values()) if isinstance(v, Subject))
"""Every subject, in the order above."""

BY_PATTERN: dict[str, Subject] = {s.pattern: s for s in ALL}


def of_kind(*kinds: Kind) -> tuple[Subject, ...]:
    """Return the subjects of the given kinds."""
    return tuple(s for s in ALL if s.kind in kinds)


def dead_letter(subject: str) -> str:
    """Return where a message that could not be handled is put."""
    return f"dead.{subject}"

"""Wire models, subjects, states and error codes: the only place where services meet."""

from .base import CONTRACT_VERSION, Message, new_id, utcnow
from .errors import ErrorBody, ErrorCode, ErrorResponse, MiStudioError
from .states import (
    DatasetStatus,
    Dtype,
    ExtractionStatus,
    LoadStage,
    ModelStatus,
    Quantization,
    Scope,
    Source,
)

__all__ = [
    "CONTRACT_VERSION",
    "DatasetStatus",
    "Dtype",
    "ErrorBody",
    "ErrorCode",
    "ErrorResponse",
    "ExtractionStatus",
    "LoadStage",
    "Message",
    "MiStudioError",
    "ModelStatus",
    "Quantization",
    "Scope",
    "Source",
    "new_id",
    "utcnow",
]

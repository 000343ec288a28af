"""Error codes of the contract and the one exception hierarchy that carries them."""

from __future__ import annotations

from enum import Enum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from .base import UtcDatetime, Value, utcnow


class ErrorCode(str, Enum):
    """A code and the HTTP status it is answered with."""

    http_status: int
    summary: str

    def __new__(cls, value: str, http_status: int, summary: str) -> ErrorCode:
        member = str.__new__(cls, value)
        member._value_ = value
        member.http_status = http_status
        member.summary = summary
        return member

    def __str__(self) -> str:
        return str(self.value)

    VALIDATION_ERROR = "VALIDATION_ERROR", 400, "A field is missing, malformed or out of range."
    UNAUTHORIZED = "UNAUTHORIZED", 401, "The access token is missing, wrong or expired."
    FORBIDDEN = "FORBIDDEN", 403, "The access token lacks the scope."
    NOT_FOUND = "NOT_FOUND", 404, "There is no such route."
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND", 404, "There is no such model."
    EXTRACTION_NOT_FOUND = "EXTRACTION_NOT_FOUND", 404, "There is no such extraction."
    DATASET_NOT_FOUND = "DATASET_NOT_FOUND", 404, "There is no such dataset."
    CACHE_NOT_FOUND = "CACHE_NOT_FOUND", 404, "There is no such activation cache."
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED", 405, "The route does not take this method."
    STATUS_CONFLICT = "STATUS_CONFLICT", 409, "The present status does not allow this."
    PRECONDITION_FAILED = "PRECONDITION_FAILED", 412, "If-Match names an older version."
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE", 413, "The body is larger than allowed."
    MODEL_TOO_LARGE = "MODEL_TOO_LARGE", 422, "The model can never fit this device."
    RATE_LIMITED = "RATE_LIMITED", 429, "Too many requests; retry after the time given."
    INTERNAL_ERROR = "INTERNAL_ERROR", 500, "An unexpected error; the logs have the details."
    MODEL_LOAD_FAILED = "MODEL_LOAD_FAILED", 500, "The model could not be loaded."
    EXTRACTION_FAILED = "EXTRACTION_FAILED", 500, "The extraction could not be completed."
    INSUFFICIENT_MEMORY = "INSUFFICIENT_MEMORY", 503, "Not enough device memory now."
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE", 503, "A service needed for this does not answer."
    INSUFFICIENT_STORAGE = "INSUFFICIENT_STORAGE", 507, "Not enough disk space."


class ErrorBody(Value):
    """What went wrong, where, and how to mend it.

    ``details`` holds machine-readable facts: ``field`` (the offending input), ``reason`` (a
    stable word), ``remedy`` (a sentence), and figures such as ``required_memory_gb``.
    """

    code: ErrorCode
    message: str
    details: dict[str, Any] = Field(default_factory=dict)
    timestamp: UtcDatetime = Field(default_factory=utcnow)


class ErrorResponse(BaseModel):
    """The body of every error answer of the REST API."""

    model_config = ConfigDict(extra="ignore")
    error: ErrorBody


class MiStudioError(Exception):
    """A failure with a contract code, fit to be shown to a user.

    Parameters
    ----------
    message
        One sentence for people. Never holds a path inside the system or a stack trace.
    code
        The contract's code; subclasses give the usual one.
    transient
        Whether the same attempt may succeed later with nothing changed.
    **details
        ``field``, ``reason``, ``remedy`` and figures for :attr:`ErrorBody.details`.
    """

    default_code: ErrorCode = ErrorCode.INTERNAL_ERROR
    default_transient: bool = False

    def __init__(
        self,
        message: str,
        *,
        code: ErrorCode | None = None,
        transient: bool | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.transient = self.default_transient if transient is None else transient
        self.details = {k: v for k, v in details.items() if v is not None}

    def body(self) -> ErrorBody:
        """Return the wire form."""
        return ErrorBody(code=self.code, message=self.message, details=self.details)

    @classmethod
    def from_body(cls, body: ErrorBody) -> MiStudioError:
        """Rebuild the exception of the matching class from its wire form."""
        kind = _BY_CODE.get(body.code, MiStudioError)
        error = kind.__new__(kind)
        MiStudioError.__init__(error, body.message, code=body.code)
        error.details = dict(body.details)
        return error


class InvalidInput(MiStudioError):
    default_code = ErrorCode.VALIDATION_ERROR


class Unauthorized(MiStudioError):
    default_code = ErrorCode.UNAUTHORIZED


class Forbidden(MiStudioError):
    default_code = ErrorCode.FORBIDDEN


class NotFound(MiStudioError):
    """Use with the code of the thing: ``MODEL_NOT_FOUND`` and its like."""

    default_code = ErrorCode.NOT_FOUND


class StatusConflict(MiStudioError):
    default_code = ErrorCode.STATUS_CONFLICT


class PreconditionFailed(MiStudioError):
    default_code = ErrorCode.PRECONDITION_FAILED


class PayloadTooLarge(MiStudioError):
    default_code = ErrorCode.PAYLOAD_TOO_LARGE


class ModelTooLarge(MiStudioError):
    default_code = ErrorCode.MODEL_TOO_LARGE


class RateLimited(MiStudioError):
    """``details['retry_after_seconds']`` says when to come back."""

    default_code = ErrorCode.RATE_LIMITED


class ModelLoadFailed(MiStudioError):
    default_code = ErrorCode.MODEL_LOAD_FAILED


class ExtractionFailed(MiStudioError):
    default_code = ErrorCode.EXTRACTION_FAILED


class InsufficientMemory(MiStudioError):
    default_code = ErrorCode.INSUFFICIENT_MEMORY


class ServiceUnavailable(MiStudioError):
    default_code = ErrorCode.SERVICE_UNAVAILABLE
    default_transient = True


class InsufficientStorage(MiStudioError):
    default_code = ErrorCode.INSUFFICIENT_STORAGE


_KINDS: tuple[type[MiStudioError], ...] = (
    InvalidInput,
    Unauthorized,
    Forbidden,
    NotFound,
    StatusConflict,
    PreconditionFailed,
    PayloadTooLarge,
    ModelTooLarge,
    RateLimited,
    ModelLoadFailed,
    ExtractionFailed,
    InsufficientMemory,
    ServiceUnavailable,
    InsufficientStorage,
)
_BY_CODE: dict[ErrorCode, type[MiStudioError]] = {kind.default_code: kind for kind in _KINDS}
_BY_CODE.update({code: NotFound for code in ErrorCode if code.http_status == 404})

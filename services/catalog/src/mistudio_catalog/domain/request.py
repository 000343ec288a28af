"""From a request for an extraction to exactly what will be captured."""

from __future__ import annotations

from datetime import datetime

from mistudio_contracts.base import new_id
from mistudio_contracts.commands import RequestExtraction
from mistudio_contracts.errors import InvalidInput, StatusConflict
from mistudio_contracts.states import DatasetStatus, Dtype, ModelStatus
from mistudio_contracts.values import Tokenization

from . import hooks
from .dataset import DatasetState
from .extraction import ExtractionState
from .model import ModelState

_USABLE = ("text", "tokens")


def resolve(
    command: RequestExtraction,
    model: ModelState,
    dataset: DatasetState,
    actor: str,
    now: datetime,
) -> ExtractionState:
    """Return the extraction that a request means, with nothing left to default.

    Equal requests resolve to equal tokenisations, so that they share a store.

    Raises
    ------
    StatusConflict
        The model was never loaded, or the dataset is not ready yet.
    InvalidInput
        A layer or hook point, the column, the length or the dataset cannot be used.
    """
    _check_model(model)
    check_dataset(dataset)
    samples = dataset.sample_count or 0
    return ExtractionState(
        id=command.extraction_id or new_id("ext", model.name),
        pool=model.pool,
        model_id=model.id,
        dataset_id=dataset.id,
        actor=actor,
        hook_points=hooks.chosen(command, model),
        dtype=command.dtype or _dtype(model),
        tokenization=_tokenization(command.tokenization, model, dataset),
        rows_considered=min(command.sample_count or samples, samples),
        batch_size=command.batch_size,
        created_at=now,
        updated_at=now,
    )


def _check_model(model: ModelState) -> None:
    if model.status in (ModelStatus.PENDING, ModelStatus.FAILED):
        raise StatusConflict(
            f"The model is {model.status}.",
            field="model_id",
            reason="not_loaded",
            status=str(model.status),
            remedy="Load the model first.",
        )


def check_dataset(dataset: DatasetState) -> None:
    """Refuse a dataset whose rows cannot be read.

    Raises
    ------
    StatusConflict
        It is being ingested.
    InvalidInput
        It could not be ingested.
    """
    if dataset.status is DatasetStatus.INGESTING:
        raise StatusConflict(
            "The dataset is being ingested.",
            field="dataset_id",
            reason="not_ready",
            status=str(dataset.status),
            remedy="Wait until the dataset is ready.",
        )
    if dataset.status is DatasetStatus.FAILED:
        cause = f": {dataset.error.message}" if dataset.error else "."
        raise InvalidInput(
            f"The dataset could not be ingested{cause}",
            field="dataset_id",
            reason="dataset_failed",
            remedy="Register a dataset that can be read.",
        )


def _dtype(model: ModelState) -> Dtype:
    if model.dtype is None:
        raise StatusConflict(
            "The model's dtype is not known before it is prepared.",
            field="model_id",
            reason="facts_unknown",
            remedy="Request the extraction when the model is ready.",
        )
    # What left the range of float16 once would again; bfloat16 has the range of float32.
    overflows = model.dtype is Dtype.FLOAT16 and model.overflows_float16
    return Dtype.BFLOAT16 if overflows else model.dtype


def _tokenization(asked: Tokenization, model: ModelState, dataset: DatasetState) -> Tokenization:
    length = _max_length(asked, model)
    return Tokenization(
        column=column_of(asked.column, dataset, "tokenization.column"),
        add_special_tokens=asked.add_special_tokens,
        max_length=length,
        truncate=asked.truncate,
        stride=_stride(asked, length),
    )


def column_of(asked: str | None, dataset: DatasetState, field: str) -> str:
    """Return the column that is meant: the one asked for, else the dataset's own.

    Parameters
    ----------
    asked
        By whoever may leave it out.
    dataset
        Ready.
    field
        What the column is called in the request, for the refusal.

    Raises
    ------
    InvalidInput
        There is none, or it holds neither text nor tokens.
    """
    usable = [name for name, kind in dataset.columns.items() if kind in _USABLE]
    column = asked or dataset.text_column
    if column is None and len(usable) == 1:
        column = usable[0]
    if column is not None and column in usable:
        return column
    if column is None:
        message, reason = "The dataset has no default column.", "no_column"
    elif column in dataset.columns:
        message, reason = f"The column {column!r} holds neither text nor tokens.", "wrong_kind"
    else:
        message, reason = f"The dataset has no column {column!r}.", "unknown_column"
    there = ", ".join(dataset.columns)
    raise InvalidInput(
        f"{message} It has: {there}.",
        field=field,
        reason=reason,
        columns=dict(dataset.columns),
        remedy=f"Choose one of {', '.join(usable)}."
        if usable
        else "Register a dataset with a column of text or of token ids.",
    )


def _max_length(asked: Tokenization, model: ModelState) -> int | None:
    context = model.context_length
    if asked.max_length is not None and context is not None and asked.max_length > context:
        raise InvalidInput(
            f"The model's context is {context} tokens, less than {asked.max_length}.",
            field="tokenization.max_length",
            reason="longer_than_context",
            context_length=context,
            remedy=f"Choose at most {context}.",
        )
    return asked.max_length or context


def _stride(asked: Tokenization, length: int | None) -> int | None:
    # With a max_length of its own the request was checked when it was read.
    if asked.stride is not None and length is not None and asked.stride > length:
        raise InvalidInput(
            f"Windows of the model's context, {length} tokens, that begin {asked.stride} tokens "
            "apart would leave gaps.",
            field="tokenization.stride",
            reason="leaves_gaps",
            context_length=length,
            remedy=f"Choose at most {length}.",
        )
    return asked.stride

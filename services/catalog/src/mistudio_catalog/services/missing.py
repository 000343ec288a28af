"""The refusals of what is not there."""

from __future__ import annotations

from mistudio_contracts.errors import ErrorCode, NotFound

_KINDS = {
    "model": ErrorCode.MODEL_NOT_FOUND,
    "dataset": ErrorCode.DATASET_NOT_FOUND,
    "extraction": ErrorCode.EXTRACTION_NOT_FOUND,
    "cache": ErrorCode.CACHE_NOT_FOUND,
}


def missing(kind: str, identifier: str) -> NotFound:
    """Return the refusal for an unknown model, dataset, extraction or cache."""
    return NotFound(
        f"There is no {kind} {identifier}.",
        code=_KINDS[kind],
        field=f"{kind}_id",
        reason="unknown",
        remedy=f"List the {kind}s to see which there are.",
    )

"""Reading the manifest of a store, and what is told of one that is gone or cannot be read."""

from __future__ import annotations

from mistudio_activations import Manifest, Place, StoreCorrupt, UnknownVersion, read_manifest
from mistudio_contracts.errors import ErrorCode, ExtractionFailed, NotFound


def manifest_of(store: Place) -> Manifest:
    """Return the manifest of a store that must be there.

    Raises
    ------
    NotFound
        When nothing is visible there.
    ExtractionFailed
        When it cannot be read.
    """
    try:
        return undamaged(store)
    except StoreCorrupt as error:
        raise ExtractionFailed(
            "The store's manifest cannot be read.",
            reason="store_damaged",
            remedy="Delete the cache and ask for the extraction again.",
        ) from error


def undamaged(store: Place) -> Manifest:
    """Return the manifest of a store that must be there; damage is left to the caller.

    Raises
    ------
    NotFound
        When nothing is visible there.
    ExtractionFailed
        When it is of a later version.
    StoreCorrupt
        When it is no manifest.
    """
    try:
        manifest = read_manifest(store)
    except UnknownVersion as error:
        raise ExtractionFailed(
            "The store's manifest is of a later version.",
            reason="unknown_version",
            remedy="Run the version of the extractor that wrote the store, or a later one.",
        ) from error
    if manifest is None:
        raise gone()
    return manifest


def gone() -> NotFound:
    """Return the error of activations that were deleted, meanwhile perhaps."""
    return NotFound(
        "The activations are no longer stored.",
        code=ErrorCode.CACHE_NOT_FOUND,
        remedy="Ask for the extraction again.",
    )

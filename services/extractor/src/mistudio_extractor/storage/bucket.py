"""What a bucket refuses, or does not answer, as the contract tells it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mistudio_activations import StoreDenied, StoreUnreachable
from mistudio_contracts.errors import ExtractionFailed, ServiceUnavailable

FIELD = "ACTIVATION_CACHE_DIR"


@contextmanager
def bucket_errors() -> Iterator[None]:
    """Raise the contract's error for what a bucket does not do; the library has tried again.

    Raises
    ------
    ServiceUnavailable
        When it does not answer; the work is tried again later.
    ExtractionFailed
        When it is not there or may not be used, which no repetition mends.
    """
    try:
        yield
    except StoreUnreachable as error:
        raise ServiceUnavailable(
            "The bucket of the activation stores does not answer.",
            field=FIELD,
            reason="store_unreachable",
            remedy="See that the server which AWS_ENDPOINT_URL names runs and is reached, then ask "
            "again; what is done is kept.",
        ) from error
    except StoreDenied as error:
        raise ExtractionFailed(
            f"The bucket of the activation stores cannot be used: {error.reason}.",
            field=FIELD,
            reason="store_denied",
            remedy="Name a bucket that exists by ACTIVATION_CACHE_DIR, and by the AWS_* variables "
            "who may list, read, write and delete in it; `mistudio doctor` tries it.",
        ) from error

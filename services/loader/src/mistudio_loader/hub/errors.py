"""What the hub's failures mean to a user."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

from mistudio_contracts import MiStudioError
from mistudio_contracts.errors import InvalidInput, ServiceUnavailable

_TOKEN = "Set HUGGINGFACE_TOKEN to a token that may read it, and accept its licence on the hub."  # noqa: S105


@contextlib.contextmanager
def hub_errors(identifier: str, field: str = "model_identifier") -> Iterator[None]:
    """Translate what ``huggingface_hub`` raises.

    Parameters
    ----------
    identifier
        The hub id, for messages.
    field
        The input to blame.

    Raises
    ------
    InvalidInput
        ``reason`` is ``invalid_identifier``, ``not_found`` or ``gated``.
    ServiceUnavailable
        The hub is busy, broken or out of reach; ``retry_after_seconds`` when it says so.
    """
    import httpx2
    from huggingface_hub import errors as hf

    try:
        yield
    except MiStudioError:
        raise
    except hf.HFValidationError:
        raise InvalidInput(
            f"{identifier} is not a valid hub id.",
            field=field,
            reason="invalid_identifier",
            remedy="Write it as owner/name, as on the hub.",
        ) from None
    except hf.RevisionNotFoundError as error:
        raise InvalidInput(
            f"{identifier} has no such revision.",
            field="revision",
            reason="not_found",
            remedy="Name a branch, a tag or a commit of the repository, or leave it out.",
        ) from error
    except hf.HfHubHTTPError as error:
        raise _from_status(error, identifier, field) from error
    except (httpx2.HTTPError, hf.OfflineModeIsEnabled, json.JSONDecodeError) as error:
        # Something between us and the hub may answer with a page of its own.
        raise _unreachable() from error
    except OSError as error:
        # The library reports a body of the wrong length as an OSError without a number.
        if error.errno is not None:
            raise
        raise _unreachable() from error


def _unreachable(retry_after: float | None = None) -> ServiceUnavailable:
    return ServiceUnavailable(
        "The hub does not answer properly now.",
        reason="hub_unavailable",
        retry_after_seconds=retry_after,
        remedy="Try again later, or check the network and HF_ENDPOINT.",
    )


def _from_status(error: Exception, identifier: str, field: str) -> MiStudioError:
    from huggingface_hub import errors as hf

    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if isinstance(error, hf.GatedRepoError) or status in (401, 403):
        return InvalidInput(
            f"{identifier} is gated, private or misspelt: the hub refuses to show it.",
            field=field,
            reason="gated",
            remedy=f"Check the spelling. {_TOKEN}",
        )
    if isinstance(error, hf.DisabledRepoError) or status in (404, 410):
        return InvalidInput(
            f"The hub has no {identifier}.",
            field=field,
            reason="not_found",
            remedy=f"Check the spelling. If it is private or gated: {_TOKEN}",
        )
    after = response.headers.get("Retry-After", "") if response is not None else ""
    return _unreachable(float(after) if after.isdigit() else None)

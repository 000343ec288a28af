"""What a model or dataset may be called, before anybody tries to fetch it."""

from __future__ import annotations

import re

from mistudio_contracts.errors import InvalidInput
from mistudio_contracts.states import DatasetSource, Source

_HUB_ID = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?", re.ASCII)
_HUB_ID_LENGTH = 96


def is_hub_id(identifier: str) -> bool:
    """Return whether the hub's own rule takes ``identifier`` as ``name`` or ``owner/name``."""
    return (
        len(identifier) <= _HUB_ID_LENGTH
        and _HUB_ID.fullmatch(identifier) is not None
        and "--" not in identifier
        and ".." not in identifier
        and not identifier.endswith(".git")
        and all(part[0] not in "-." and part[-1] not in "-." for part in identifier.split("/"))
    )


def check_model_identifier(source: Source, identifier: str) -> None:
    """Raise InvalidInput, field ``model_identifier``, for what cannot name a model.

    Whether a local path lies under an allowed root is for the loader to say: it has the disk.
    """
    _check("model_identifier", source is Source.HUGGINGFACE, identifier)


def check_dataset_identifier(source: DatasetSource, identifier: str) -> None:
    """Raise InvalidInput, field ``identifier``, for what cannot name a dataset."""
    _check("identifier", source is DatasetSource.HUGGINGFACE, identifier)


def _check(field: str, hub: bool, identifier: str) -> None:
    if "\x00" in identifier:
        raise InvalidInput(
            "An identifier holds no NUL character.",
            field=field,
            reason="malformed_identifier",
            remedy="Leave the NUL character out.",
        )
    if hub and not is_hub_id(identifier):
        raise InvalidInput(
            f"{identifier[:120]!r} is no Hugging Face id.",
            field=field,
            reason="malformed_identifier",
            remedy="Write it as owner/name, for instance openai-community/gpt2, with letters, "
            "digits, '-', '_' and '.', and at most 96 characters.",
        )

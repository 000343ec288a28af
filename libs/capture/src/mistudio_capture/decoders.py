"""A family's decoder class, and the configurations of it that cannot be captured exactly."""

from __future__ import annotations

from typing import Any

from transformers import AutoModel

from .errors import CaptureError

OF_THE_LONGEST = ("dynamic", "longrope")
"""Rotary embeddings that change for every sample with the longest of the batch."""


def decoder_class(config: Any) -> Any:
    """Return the family's class without a language-model head."""
    return AutoModel._model_mapping[type(config)]


def refuse_positions_of_the_longest(config: Any) -> None:
    """Refuse rotary embeddings under which a sample's values depend on its company.

    Raises
    ------
    CaptureError
        Naming the type.
    """
    kind = (getattr(config, "rope_parameters", None) or {}).get("rope_type")
    if kind in OF_THE_LONGEST:
        raise CaptureError(f"rotary embeddings of type {kind!r} depend on the rest of a batch")

"""What identifies a prepared artifact."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from mistudio_contracts import Quantization
from mistudio_contracts.values import QuantizationOptions

RECIPE = 1
"""Raised when the same source and quantisation begin to give other bytes."""


def artifact_fingerprint(
    weights: Mapping[str, str],
    config: str,
    tokenizer: Mapping[str, str],
    quantization: Quantization,
    options: QuantizationOptions,
) -> str:
    """Return 32 hex digits over the SHA-256 of every source file and the target quantisation.

    Parameters
    ----------
    weights, tokenizer
        File name → SHA-256.
    config
        SHA-256 of the source's ``config.json``.
    options
        Count for int4 alone.
    """
    recipe: dict[str, Any] = {
        "recipe": RECIPE,
        "weights": dict(weights),
        "config": config,
        "tokenizer": dict(tokenizer),
        "quantization": quantization.value,
    }
    if quantization is Quantization.INT4:
        recipe["options"] = options.model_dump(mode="json")
    canonical = json.dumps(recipe, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(canonical).hexdigest()[:32]

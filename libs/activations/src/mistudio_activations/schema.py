"""The JSON Schema of the manifest."""

from __future__ import annotations

import re
from typing import Any

SCHEMA_VERSION = 2

DTYPES = ("float32", "float16", "bfloat16", "int8")

PATH = re.compile(r"(?!\.)[^/\\\0]+/[0-9]{5,}\.safetensors")
"""A shard's path: a directory of the store, and a file in it."""

SHA256 = re.compile(r"[0-9a-f]{64}")

_DTYPE: dict[str, Any] = {"enum": list(DTYPES)}


def _optional(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": [kind, "null"], **more}


_SHARD: dict[str, Any] = {
    "type": "object",
    "required": ["path", "tokens", "samples", "bytes", "sha256"],
    "properties": {
        "path": {"type": "string", "pattern": f"^{PATH.pattern}$"},
        "tokens": {"type": "integer", "minimum": 0},
        "samples": {"type": "integer", "minimum": 0},
        "bytes": {"type": "integer", "minimum": 0},
        "sha256": {"type": "string", "pattern": f"^{SHA256.pattern}$"},
    },
}
_SHARDS: dict[str, Any] = {"type": "array", "items": _SHARD}
_QUANTIZATION: dict[str, Any] = {
    "description": "Of int8: how far the rows are from those captured. Null for floats.",
    "anyOf": [
        {"type": "null"},
        {
            "type": "object",
            "required": ["relative_error", "max_row_error", "mean_cosine"],
            "properties": {
                "relative_error": {
                    "type": "number",
                    "minimum": 0,
                    "description": "Frobenius norm of the difference over that of the rows.",
                },
                "max_row_error": {
                    "type": "number",
                    "minimum": 0,
                    "description": "The same of the row where it is largest.",
                },
                "mean_cosine": {"type": "number", "description": "Over rows."},
            },
        },
    ],
}
_COLUMN: dict[str, Any] = {
    "type": "object",
    "required": ["width", "dtype", "quantization_error", "shards"],
    "properties": {
        "width": {"type": "integer", "minimum": 1},
        "dtype": _DTYPE,
        "quantization_error": _QUANTIZATION,
        "shards": _SHARDS,
    },
}
_FIDELITY: dict[str, Any] = {
    "description": "What quantising the weights changed, measured when they were prepared.",
    "anyOf": [
        {"type": "null"},
        {
            "type": "object",
            "required": ["probe_tokens", "layers"],
            "properties": {
                "probe_tokens": {"type": "integer", "minimum": 1},
                "layers": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["hook_point", "cosine", "relative_error"],
                        "properties": {
                            "hook_point": {"type": "string"},
                            "cosine": {"type": "number"},
                            "relative_error": {"type": "number", "minimum": 0},
                        },
                    },
                },
                "reference_perplexity": _optional("number"),
                "perplexity": _optional("number"),
                "perplexity_change": _optional("number"),
            },
        },
    ],
}
_MODEL: dict[str, Any] = _optional(
    "object",
    properties={
        "fingerprint": _optional("string"),
        "source": _optional("string"),
        "identifier": _optional("string"),
        "revision": _optional("string"),
        "quantization": _optional("string"),
        "quantization_options": _optional("object"),
        "dtype": _optional("string", description="Of the residual stream."),
        "fidelity": _FIDELITY,
    },
    additionalProperties=False,
)
_INFO: dict[str, Any] = {
    "type": "object",
    "description": "Where the activations come from.",
    "required": ["model", "dataset", "tokenization", "rows_considered", "versions", "notes"],
    "properties": {
        "model": _MODEL,
        "dataset": _optional(
            "object",
            properties={
                "fingerprint": _optional("string"),
                "sample_count": _optional("integer", minimum=0),
            },
            additionalProperties=False,
        ),
        "tokenization": _optional("object"),
        "rows_considered": _optional(
            "integer",
            minimum=0,
            description="Dataset rows that the token shards used up, those left out included.",
        ),
        "versions": {"type": "object", "additionalProperties": {"type": "string"}},
        "notes": {"type": "object"},
    },
    "additionalProperties": False,
}
MANIFEST_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "ActivationManifest",
    "description": "What of an activation store is visible. Row i of every column is token i.",
    "type": "object",
    "required": ["schema_version", "dtype", "tokens", "columns", "info"],
    "properties": {
        "schema_version": {"const": SCHEMA_VERSION},
        "dtype": _DTYPE,
        "tokens": _SHARDS,
        "columns": {"type": "object", "additionalProperties": _COLUMN},
        "info": _INFO,
    },
    "additionalProperties": False,
}

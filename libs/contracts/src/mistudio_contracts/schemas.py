"""JSON Schemas of every payload, and what would break a reader of the older ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from . import frames, subjects, views
from .base import CONTRACT_VERSION
from .errors import ErrorResponse
from .rpc import Reply

Schema = dict[str, Any]

OTHER: tuple[type[BaseModel], ...] = (
    frames.Authenticate,
    frames.Subscribe,
    frames.Subscribed,
    frames.Frame,
    frames.ErrorFrame,
    views.Model,
    views.Dataset,
    views.Extraction,
    views.Cache,
    views.Device,
    ErrorResponse,
)
"""Shapes that travel outside the bus."""


def payload_schemas() -> dict[str, Schema]:
    """Return the JSON Schema (draft 2020-12) of each payload and reply, by class name."""
    kinds: set[type[BaseModel]] = {s.payload for s in subjects.ALL}
    kinds |= {Reply[s.reply] for s in subjects.ALL if s.reply is not None}  # type: ignore[name-defined]
    kinds |= set(OTHER)
    found = {kind.__name__.replace("[", "_").rstrip("]"): _schema(kind) for kind in kinds}
    return dict(sorted(found.items()))


def frames_schema() -> Schema:
    """Return the JSON Schema of whatever the WebSocket sends, one alternative a type of frame."""
    payloads: dict[str, set[str]] = {}
    definitions: Schema = {}
    for subject, frame_type in frames.FRAME_TYPES.items():
        payload = subjects.BY_PATTERN[subject].payload
        schema = payload.model_json_schema(mode="serialization", ref_template="#/$defs/{model}")
        definitions |= schema.pop("$defs", {})
        definitions[payload.__name__] = schema
        payloads.setdefault(frame_type, set()).add(payload.__name__)
    alternatives: list[Schema] = []
    for frame_type, names in payloads.items():
        data = [{"$ref": f"#/$defs/{name}"} for name in sorted(names)]
        alternatives.append(
            {
                "type": "object",
                "title": f"{''.join(w.title() for w in re.split('[:_]', frame_type))}Frame",
                "properties": {
                    "id": {"type": ["integer", "null"]},
                    "type": {"const": frame_type},
                    "data": data[0] if len(data) == 1 else {"anyOf": data},
                },
                "required": ["id", "type", "data"],
                "additionalProperties": False,
            }
        )
    for kind in (frames.Subscribed, frames.ErrorFrame):
        schema = kind.model_json_schema(mode="serialization", ref_template="#/$defs/{model}")
        definitions |= schema.pop("$defs", {})
        definitions[kind.__name__] = schema
        alternatives.append({"$ref": f"#/$defs/{kind.__name__}"})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ServerFrame",
        "x-contract-version": CONTRACT_VERSION,
        "oneOf": alternatives,
        "$defs": dict(sorted(definitions.items())),
    }


def _schema(kind: type[BaseModel]) -> Schema:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "x-contract-version": CONTRACT_VERSION,
        **kind.model_json_schema(mode="validation"),
    }


def breaking_changes(old: dict[str, Schema], new: dict[str, Schema]) -> list[str]:
    """Return one sentence for each change that an existing writer or reader would notice.

    Breaking: a payload or a property gone, a property newly required, a type changed, an enum
    value gone. Additions of payloads and optional properties are not.
    """
    found: list[str] = []
    for name, before in old.items():
        after = new.get(name)
        if after is None:
            found.append(f"{name} is gone")
            continue
        found.extend(_compare(name, before, after))
    return found


def _compare(where: str, old: Schema, new: Schema) -> Iterator[str]:
    old_parts = {"": old, **old.get("$defs", {})}
    new_parts = {"": new, **new.get("$defs", {})}
    for part, before in old_parts.items():
        after = new_parts.get(part)
        at = f"{where}.{part}" if part else where
        if after is None:
            continue  # A part nobody refers to any more shows at the property that did.
        yield from _compare_object(at, before, after)


def _compare_object(at: str, old: Schema, new: Schema) -> Iterator[str]:
    gone_values = set(map(str, old.get("enum", []))) - set(map(str, new.get("enum", [])))
    if gone_values:
        yield f"{at} no longer takes {', '.join(sorted(gone_values))}"
    before, after = old.get("properties", {}), new.get("properties", {})
    for name, shape in before.items():
        if name not in after:
            yield f"{at}.{name} is gone"
        elif _kinds(shape) - _kinds(after[name]):
            lost = ", ".join(sorted(_kinds(shape) - _kinds(after[name])))
            yield f"{at}.{name} is no longer {lost}"
    for name in set(new.get("required", [])) - set(old.get("required", [])):
        yield f"{at}.{name} is newly required"


def _kinds(shape: Schema) -> set[str]:
    for several in ("anyOf", "oneOf"):
        if several in shape:
            return set().union(*(_kinds(each) for each in shape[several]))
    if "$ref" in shape:
        return {shape["$ref"].rsplit("/", 1)[-1]}
    kind = shape.get("type", "anything")
    return set(kind) if isinstance(kind, list) else {str(kind)}

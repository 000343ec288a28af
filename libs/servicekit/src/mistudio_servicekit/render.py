"""The topology as a file for people: ``infra/nats/streams.yaml``."""

import json
from collections.abc import Iterable
from typing import Any

from mistudio_contracts import topology

_HEAD = """\
# What the bus keeps, and who reads it. Rendered from mistudio_contracts.topology by
# `make contracts`; provisioned by `python -m mistudio_servicekit provision`.
# Work consumers are made for each pool; here for the pool "default".
"""


def render_topology() -> str:
    """Return streams, consumers and buckets as YAML, the same for the same topology."""
    streams = [
        {
            "name": each.name,
            "summary": each.summary,
            "subjects": list(each.subjects),
            "retention": each.retention,
            "storage": each.storage,
            "discard": each.discard,
            "max_age_seconds": each.max_age,
            "max_bytes": each.max_bytes,
            "max_msgs_per_subject": each.max_msgs_per_subject,
            "duplicate_window_seconds": each.duplicate_window,
        }
        for each in topology.streams()
    ]
    consumers = [
        {
            "name": each.name,
            "stream": each.stream,
            "subject": each.subject,
            "ack_policy": "explicit",
            "ack_wait_seconds": each.ack_wait,
            "max_deliver": each.max_deliver,
            "max_ack_pending": each.max_ack_pending,
            "max_waiting": each.max_waiting,
        }
        for each in topology.consumers()
    ]
    buckets = [
        {
            "name": topology.UPLOADS_BUCKET,
            "storage": "file",
            "max_age_seconds": topology.UPLOADS_MAX_AGE,
            "max_bytes": topology.UPLOADS_MAX_BYTES,
        }
    ]
    parts = [
        _HEAD,
        *_section("streams", streams),
        *_section("consumers", consumers),
        *_section("buckets", buckets),
    ]
    return "".join(parts)


def _section(name: str, rows: Iterable[dict[str, Any]]) -> Iterable[str]:
    yield f"{name}:\n"
    for row in rows:
        for position, (key, value) in enumerate(row.items()):
            lead = "  - " if position == 0 else "    "
            if isinstance(value, list):
                yield f"{lead}{key}:\n"
                yield from (f"      - {_scalar(each)}\n" for each in value)
            else:
                yield f"{lead}{key}: {_scalar(value)}\n"


def _scalar(value: Any) -> str:
    # JSON's scalars are YAML's, and quoting every string leaves nothing to interpret.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, ensure_ascii=False)

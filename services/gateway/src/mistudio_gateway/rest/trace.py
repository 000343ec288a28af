"""The trace a request belongs to."""

from __future__ import annotations

import secrets

from opentelemetry.trace import Span, format_trace_id
from starlette.types import Scope

KEY = "mistudio.trace_id"


def new_trace_id(span: Span) -> str:
    """Return the span's trace id, or a fresh number where tracing is off."""
    context = span.get_span_context()
    return format_trace_id(context.trace_id) if context.is_valid else secrets.token_hex(16)


def trace_id_of(scope: Scope) -> str:
    """Return the trace id that the outermost middleware gave this request."""
    return str(scope.get(KEY, ""))

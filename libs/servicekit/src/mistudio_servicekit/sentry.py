"""Errors on their way to Sentry; imported only where ``SENTRY_DSN`` names one.

Whoever runs that server need not be who runs this one: an event says what failed and where in the
code, and nothing of this machine, its files, its users or their credentials.
"""

import logging
import re
from typing import Any

import sentry_sdk
from opentelemetry import trace
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.utils import BadDsn

FLUSH_SECONDS = 1.5

_SECRETS = re.compile(
    r"(?<=://)[^/\s:@]*:[^@\s/]*(?=@)"  # user and password of a URL
    r"|(?<=[Bb]earer )[\w.~+/=-]+"
    r"|\beyJ[\w-]+\.[\w-]+\.[\w-]*"  # a JSON Web Token
    r"|\bhf_\w{8,}"
)
_PATHS = re.compile(r"(?<![\w/:.])(?:~|\.{1,2})?(?:/[\w.@+-]+){2,}/?|\b[A-Za-z]:\\[^\s'\"]+")
_TELLING = re.compile(r"token|secret|password|authorization|dsn|api_?key", re.IGNORECASE)
_KEPT = ("contexts", "level", "platform", "timestamp", "event_id", "release", "sdk", "logger")


def report_errors(service: str, release: str) -> None:
    """Send each error that is logged to Sentry.

    Raises
    ------
    ValueError
        When ``SENTRY_DSN`` is no address of a Sentry project.
    """
    try:
        sentry_sdk.init(
            release=release,
            server_name=service,
            # None of those that look at the machine, the environment or what is installed.
            default_integrations=False,
            integrations=[LoggingIntegration(level=None, event_level=logging.ERROR)],
            include_local_variables=False,
            include_source_context=False,
            max_breadcrumbs=0,
            before_send=_scrubbed,
        )
    except BadDsn:
        raise ValueError(
            "SENTRY_DSN is no address of a Sentry project; it looks like https://KEY@HOST/NUMBER."
        ) from None


def flush() -> None:
    """Send what is still buffered, as far as that takes no longer than a moment."""
    sentry_sdk.flush(timeout=FLUSH_SECONDS)


def _scrubbed(event: Any, hint: dict[str, Any]) -> Any:
    for error in event.get("exception", {}).get("values", ()):
        for frame in error.get("stacktrace", {}).get("frames", ()):
            # The module says where; the path would say whose machine.
            frame.pop("abs_path", None)
            frame.pop("filename", None)
            frame.pop("vars", None)
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event.setdefault("contexts", {})["trace"] = {
            "trace_id": f"{span.trace_id:032x}",
            "span_id": f"{span.span_id:016x}",
        }
    return {key: value if key in _KEPT else _clean(value) for key, value in event.items()}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _PATHS.sub("<path>", _SECRETS.sub("***", value))
    if isinstance(value, dict):
        return {
            key: "***" if isinstance(key, str) and _TELLING.search(key) else _clean(each)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [_clean(each) for each in value]
    return value

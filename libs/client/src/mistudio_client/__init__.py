"""The SDK, the mistudio command and the embedded stack."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import Client
    from .errors import Corrupted, InvalidArgument, Unreachable
    from .events import EventStream

__all__ = ["Client", "Corrupted", "EventStream", "InvalidArgument", "Unreachable"]

# The command line starts through this package: what it does not use must cost it nothing.
_WHERE = {
    "Client": ".client",
    "Corrupted": ".errors",
    "EventStream": ".events",
    "InvalidArgument": ".errors",
    "Unreachable": ".errors",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name], __name__), name)

"""The methods a path takes, for the Allow header."""

from __future__ import annotations

from starlette.requests import Request
from starlette.routing import Match, Route


def methods_of(request: Request, *, or_get: bool = True) -> list[str]:
    """Return the methods that some route takes at this request's path, sorted.

    Parameters
    ----------
    request
        Asks for the path.
    or_get
        Whether a path of no route, which a static file may have, takes GET.
    """
    found: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return sorted(found) or (["GET"] if or_get else [])

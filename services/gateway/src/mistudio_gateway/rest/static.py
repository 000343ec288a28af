"""Static files of the web UI: which there are, how long they are good for, what they may do."""

from __future__ import annotations

import mimetypes
import os
import re
from os import stat_result
from pathlib import Path

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

from .methods import methods_of

OURS = ("api", "health", "metrics", "ws")
"""First parts of paths that are never files."""

HASHED = "assets"
"""The directory of files whose names change with their content."""

ENCODINGS = {"br": ".br", "gzip": ".gz"}
"""Encodings in which the build leaves a file beside the file itself, the smallest first."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        # The component library sets its colours and sizes in style elements and attributes.
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self' ws: wss:",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)


class WebFiles(StaticFiles):
    """The files of a single-page application: a path that is no file is one of its views.

    Parameters
    ----------
    directory
        What the build wrote, with an ``index.html``.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory, html=True)

    def get_path(self, scope: Scope) -> str:
        """Return the path of a file below the directory.

        Raises
        ------
        HTTPException
            404 when it has parts that lead elsewhere, whether or not they would come back.
        """
        parts = scope["path"].split("/")
        if ".." in parts or any("\\" in part or "\0" in part for part in parts):
            raise HTTPException(404)
        return super().get_path(scope)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer with the file, else with the page for a path that may be a view's."""
        if path.split("/", 1)[0] in OURS:
            # The mount takes every path, so a route with another method is found here.
            raise HTTPException(405 if methods_of(Request(scope), or_get=False) else 404)
        try:
            return await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != 404 or Path(path).suffix or path.split("/", 1)[0] == HASHED:
                raise
            return await super().get_response("index.html", scope)

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Answer with a file, in the smallest encoding that the client reads."""
        asked = Headers(scope=scope)
        path = Path(full_path)
        encoding, stored = _stored(path, asked.get("accept-encoding", ""))
        answer = FileResponse(
            stored,
            status_code=status_code,
            stat_result=stat_result if stored == path else stored.stat(),
            media_type=mimetypes.guess_type(path)[0] or "application/octet-stream",
        )
        hashed = path.parent.name == HASHED
        answer.headers["Cache-Control"] = (
            "public, max-age=31536000, immutable" if hashed else "no-cache"
        )
        answer.headers["Vary"] = "Accept-Encoding"
        if encoding:
            answer.headers["Content-Encoding"] = encoding
        if answer.media_type == "text/html":
            answer.headers["Content-Security-Policy"] = POLICY
        if self.is_not_modified(answer.headers, asked):
            return NotModifiedResponse(answer.headers)
        return answer


def _stored(path: Path, accepted: str) -> tuple[str | None, Path]:
    """Return the encoding of the file to send, and the file."""
    offers = {}
    for offer in accepted.lower().split(","):
        name, _, quality = offer.partition(";")
        offers[name.strip()] = quality.replace(" ", "")
    for name, suffix in ENCODINGS.items():
        stored = path.with_name(path.name + suffix)
        refused = re.fullmatch(r"q=0(\.0*)?", offers.get(name, "q=0"))
        if not refused and stored.is_file():
            return name, stored
    return None, path

"""/: the web UI's files where there are some, else a page of our own."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from mistudio_gateway.rest.methods import methods_of

OURS = ("api", "health", "metrics", "ws")
"""First parts of paths that are never files."""


class WebFiles(StaticFiles):
    """Static files of a single-page application: a path that is no file is one of its views."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        if path.split("/", 1)[0] in OURS:
            # The mount takes every path, so a route with another method is found here.
            raise HTTPException(405 if methods_of(Request(scope), or_get=False) else 404)
        try:
            return await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != 404 or Path(path).suffix:
                raise
            return await super().get_response("index.html", scope)


@cache
def page() -> tuple[str, str]:
    """Return the page and the content security policy that lets it run and nothing else."""
    text = files("mistudio_gateway").joinpath("static/index.html").read_text("utf-8")
    policy = "default-src 'none'; connect-src 'self' ws: wss:; img-src data:; base-uri 'none'"
    for kind in ("script", "style"):
        source = re.search(rf"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        digest = hashlib.sha256((source.group(1) if source else "").encode()).digest()
        policy += f"; {kind}-src 'sha256-{base64.b64encode(digest).decode()}'"
    return text, policy


async def index(request: Request) -> Response:
    """Show the built-in page."""
    text, policy = page()
    return Response(text, media_type="text/html", headers={"Content-Security-Policy": policy})


def install(app: FastAPI, web_dir: Path | None) -> None:
    """Serve the files of ``web_dir`` where it exists, else the built-in page."""
    if web_dir is not None and web_dir.is_dir():
        app.mount("/", WebFiles(directory=web_dir, html=True), name="web")
    else:
        app.add_route("/", index, methods=["GET"], include_in_schema=False)

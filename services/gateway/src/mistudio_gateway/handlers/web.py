"""/: the web UI's files where there are some, else a page of our own."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from mistudio_gateway.rest.static import WebFiles


@cache
def page() -> tuple[str, str]:
    """Return the page and the content security policy that lets it run and nothing else."""
    text = files("mistudio_gateway").joinpath("static/index.html").read_text("utf-8")
    policy = "default-src 'none'; connect-src 'self' ws: wss:; img-src data:"
    policy += "; base-uri 'none'; frame-ancestors 'none'"
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
    """Serve the files of ``web_dir`` where it has a page, else the built-in page."""
    if web_dir is not None and (web_dir / "index.html").is_file():
        app.mount("/", WebFiles(web_dir), name="web")
    else:
        app.add_route("/", index, methods=["GET"], include_in_schema=False)

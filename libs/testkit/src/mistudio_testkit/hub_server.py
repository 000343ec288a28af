"""The HTTP side of :class:`~.hub.FakeHub`: routes, redirects, ranges and faults."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

LARGE_SUFFIXES = (".safetensors", ".bin", ".pt", ".parquet", ".model")
"""Files that the hub keeps outside git, with a SHA-256 and a redirect to the CDN."""


@dataclass(frozen=True)
class Seen:
    """A request as it came. ``path`` is unquoted and has no query."""

    method: str
    path: str
    range: str | None
    token: str | None


@dataclass
class Repo:
    kind: str
    repo_id: str
    files: dict[str, bytes]
    gated: bool = False
    commit: str = ""

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.repo_id.encode(), usedforsecurity=False)
        for name, content in sorted(self.files.items()):
            digest.update(name.encode() + hashlib.sha256(content).digest())
        self.commit = digest.hexdigest()


@dataclass
class Fault:
    match: str
    times: int
    skip: int = 0
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    corrupt: bool = False
    hold: threading.Event | None = None
    methods: tuple[str, ...] = ("GET", "HEAD", "POST")


class Hub(Protocol):
    """What the server asks the hub."""

    token: str
    cdn_url: str

    def note(self, seen: Seen) -> Fault | None:
        """Record a request and return the fault that meets it."""

    def find(self, kind: str, repo_id: str) -> Repo | None:
        """Return a repository."""

    def by_digest(self, sha256: str) -> bytes | None:
        """Return the content of a large file."""


class HubServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], hub: Hub) -> None:
        super().__init__(address, Handler)
        self.hub = hub


class Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the requests are recorded."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        query = parse_qs(parts.query)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        auth = self.headers.get("Authorization")
        token = auth.removeprefix("Bearer ") if auth else None
        self._fault = self.server.hub.note(Seen(method, path, self.headers.get("Range"), token))
        if self._fault is not None and self._fault.status is not None:
            self._send(self._fault.status, b'{"error":"as asked"}', dict(self._fault.headers))
            return
        if path.startswith("/cdn/"):
            content = self.server.hub.by_digest(path.rsplit("/", 1)[-1])
            if content is None:
                self._send(404, b"")
            else:
                self._file(content, {"ETag": f'"{path.rsplit("/", 1)[-1]}"'})
            return
        found = self._locate(path)
        if found is None:
            self._send(404, b'{"error":"Repository not found"}', {"X-Error-Code": "RepoNotFound"})
            return
        repo, verb, rest = found
        open_api = verb in ("info", "revision")
        if repo.gated and not open_api and token != self.server.hub.token:
            self._send(
                401 if token is None else 403,
                b'{"error":"gated"}',
                {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted."},
            )
            return
        self._repository(repo, verb, rest, query, body)

    def _locate(self, path: str) -> tuple[Repo, str, list[str]] | None:
        """Split a path into repository, verb and the rest."""
        segments = [s for s in path.split("/") if s]
        api = bool(segments) and segments[0] == "api"
        if api:
            segments = segments[1:]
        kind = "models"
        if segments and segments[0] in ("models", "datasets"):
            kind = segments.pop(0)
        for size in (2, 1):
            repo = self.server.hub.find(kind, "/".join(segments[:size]))
            if repo is not None:
                rest = segments[size:]
                return repo, rest[0] if rest else "info", rest[1:]
        return None

    def _repository(
        self, repo: Repo, verb: str, rest: list[str], query: dict[str, list[str]], body: bytes
    ) -> None:
        if verb in ("revision", "tree", "resolve", "paths-info") and (
            not rest or rest[0] not in ("main", repo.commit)
        ):
            self._send(404, b'{"error":"Invalid rev id"}', {"X-Error-Code": "RevisionNotFound"})
        elif verb in ("info", "revision"):
            self._json(_info(repo, "blobs" in query or "expand" in query))
        elif verb == "tree":
            under = "/".join(rest[1:])
            self._json(_tree(repo, under, query.get("recursive", ["false"])[0].lower() == "true"))
        elif verb == "paths-info":
            self._json(_paths_info(repo, body))
        elif verb == "resolve":
            self._resolve(repo, "/".join(rest[1:]))
        else:
            self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})

    def _resolve(self, repo: Repo, name: str) -> None:
        content = repo.files.get(name)
        head = {"X-Repo-Commit": repo.commit}
        if content is None:
            self._send(404, b"Entry not found", {**head, "X-Error-Code": "EntryNotFound"})
        elif name.endswith(LARGE_SUFFIXES):
            sha256 = hashlib.sha256(content).hexdigest()
            head |= {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(content))}
            head["Location"] = f"{self.server.hub.cdn_url}/cdn/{name}/{sha256}"
            self._send(302, b"", head)
        else:
            self._file(content, {**head, "ETag": f'"{_blob_id(content)}"'})

    def _file(self, content: bytes, headers: dict[str, str]) -> None:
        headers["Accept-Ranges"] = "bytes"
        wanted = self.headers.get("Range")
        status = 200
        if wanted:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start = int(first)
            end = min(int(last), len(content) - 1) if last else len(content) - 1
            if start >= len(content):
                self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            content, status = content[start : end + 1], 206
        self._send(status, content, headers)

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        fault = self._fault
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        content = status in (200, 206)
        if fault is not None and fault.corrupt and content:
            body = bytes(b ^ 0xFF for b in body)
        try:
            if fault is not None and fault.cut_after is not None and content:
                self.wfile.write(body[: fault.cut_after])
                self.wfile.flush()
                if fault.hold is None:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                fault.hold.wait()
                body = body[fault.cut_after :]
            self.wfile.write(body)
        except OSError:
            self.close_connection = True


def _blob_id(content: bytes) -> str:
    head = b"blob %d\x00" % len(content)
    return hashlib.sha1(head + content, usedforsecurity=False).hexdigest()


def _entry(name: str, content: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {"oid": _blob_id(content), "size": len(content)}
    if name.endswith(LARGE_SUFFIXES):
        sha256 = hashlib.sha256(content).hexdigest()
        found["lfs"] = {"oid": sha256, "sha256": sha256, "size": len(content), "pointerSize": 130}
    return found


def _info(repo: Repo, blobs: bool) -> dict[str, Any]:
    siblings = []
    for name, content in sorted(repo.files.items()):
        sibling: dict[str, Any] = {"rfilename": name}
        if blobs:
            entry = _entry(name, content)
            sibling |= {"blobId": entry.pop("oid"), **entry}
        siblings.append(sibling)
    return {
        "_id": repo.commit[:24],
        "id": repo.repo_id,
        "modelId": repo.repo_id,
        "sha": repo.commit,
        "private": False,
        "gated": "auto" if repo.gated else False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "lastModified": "2026-01-01T00:00:00.000Z",
        "createdAt": "2026-01-01T00:00:00.000Z",
        "siblings": siblings,
    }


def _tree(repo: Repo, under: str, recursive: bool) -> list[dict[str, Any]]:
    prefix = f"{under}/" if under else ""
    found: dict[str, dict[str, Any]] = {}
    for name, content in sorted(repo.files.items()):
        if not name.startswith(prefix):
            continue
        parts = name[len(prefix) :].split("/")
        for depth in range(1, len(parts)):
            path = prefix + "/".join(parts[:depth])
            if depth == 1 or recursive:
                found[path] = {"type": "directory", "path": path, "oid": "0" * 40, "size": 0}
        if len(parts) == 1 or recursive:
            found[name] = {"type": "file", "path": name, **_entry(name, content)}
    return list(found.values())


def _paths_info(repo: Repo, body: bytes) -> list[dict[str, Any]]:
    try:
        paths = json.loads(body)["paths"]
    except ValueError:
        paths = parse_qs(body.decode())["paths"]
    found: list[dict[str, Any]] = []
    for path in [paths] if isinstance(paths, str) else paths:
        if path in repo.files:
            found.append({"type": "file", "path": path, **_entry(path, repo.files[path])})
        elif any(name.startswith(f"{path}/") for name in repo.files):
            found.append({"type": "directory", "path": path, "oid": "0" * 40, "size": 0})
    return found

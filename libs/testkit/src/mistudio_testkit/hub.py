"""A hub on this machine: as much of the Hugging Face Hub's API as its client library uses.

It serves models and datasets from memory or directories, redirects large files to a "CDN" on
another port (another origin, as the real one), understands ranges, and fails on request.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
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
class _Repo:
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
class _Fault:
    match: str
    times: int
    skip: int = 0
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    corrupt: bool = False
    hold: threading.Event | None = None
    methods: tuple[str, ...] = ("GET", "HEAD", "POST")


class FakeHub:
    """The hub. Use as a context manager; ``url`` goes into ``HF_ENDPOINT``.

    Parameters
    ----------
    token
        The access token that gated repositories ask for.

    Attributes
    ----------
    requests
        Every request so far, in order.
    """

    def __init__(self, token: str = "hf_right") -> None:
        self.token = token
        self.requests: list[Seen] = []
        self._repos: dict[tuple[str, str], _Repo] = {}
        self._faults: list[_Fault] = []
        self._lock = threading.Lock()
        self._servers = [_Server(("127.0.0.1", 0), self), _Server(("127.0.0.1", 0), self)]
        self.url = f"http://127.0.0.1:{self._servers[0].server_port}"
        self.cdn_url = f"http://127.0.0.1:{self._servers[1].server_port}"

    def __enter__(self) -> FakeHub:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def add_model(
        self, repo_id: str, files: Path | Mapping[str, bytes], *, gated: bool = False
    ) -> str:
        """Publish a model and return its commit. A directory is read whole."""
        return self._add("models", repo_id, files, gated)

    def add_dataset(
        self, repo_id: str, files: Path | Mapping[str, bytes], *, gated: bool = False
    ) -> str:
        """Publish a dataset and return its commit."""
        return self._add("datasets", repo_id, files, gated)

    def fail(
        self,
        match: str,
        status: int,
        *,
        times: int = 1,
        skip: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer ``times`` requests whose path contains ``match`` with ``status``.

        As with every fault, the first ``skip`` of those requests go well.
        """
        self._faults.append(_Fault(match, times, skip, status=status, headers=headers or {}))

    def cut(self, match: str, after: int, *, times: int = 1, skip: int = 0) -> None:
        """Close the connection after ``after`` bytes of the body of a GET."""
        self._faults.append(_Fault(match, times, skip, cut_after=after, methods=("GET",)))

    def corrupt(self, match: str, *, times: int = 1, skip: int = 0) -> None:
        """Send bytes of the right number that are not the right ones."""
        self._faults.append(_Fault(match, times, skip, corrupt=True, methods=("GET",)))

    def hold(self, match: str, after: int, *, skip: int = 0) -> None:
        """Stop sending after ``after`` bytes of a GET until :meth:`release`."""
        event = threading.Event()
        fault = _Fault(match, 1, skip, cut_after=after, hold=event, methods=("GET",))
        self._faults.append(fault)

    def release(self) -> None:
        """Let held answers go on."""
        with self._lock:
            for fault in self._faults:
                if fault.hold is not None:
                    fault.hold.set()

    def seen(self, part: str, method: str = "GET") -> list[Seen]:
        """Return the requests of a method whose path contains ``part``."""
        with self._lock:
            return [r for r in self.requests if part in r.path and r.method == method]

    def _add(self, kind: str, repo_id: str, files: Path | Mapping[str, bytes], gated: bool) -> str:
        if isinstance(files, Path):
            found = {
                path.relative_to(files).as_posix(): path.read_bytes()
                for path in sorted(files.rglob("*"))
                if path.is_file()
            }
        else:
            found = dict(files)
        repo = _Repo(kind, repo_id, found, gated)
        self._repos[(kind, repo_id)] = repo
        return repo.commit

    def note(self, seen: Seen) -> _Fault | None:
        """Record a request and return the fault that meets it, used up by one."""
        with self._lock:
            self.requests.append(seen)
            for fault in self._faults:
                if fault.times <= 0 or seen.method not in fault.methods:
                    continue
                if fault.match not in seen.path:
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None

    def find(self, kind: str, repo_id: str) -> _Repo | None:
        """Return a repository."""
        return self._repos.get((kind, repo_id))

    def by_digest(self, sha256: str) -> bytes | None:
        """Return the content of a large file."""
        for repo in self._repos.values():
            for content in repo.files.values():
                if hashlib.sha256(content).hexdigest() == sha256:
                    return content
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], hub: FakeHub) -> None:
        super().__init__(address, _Handler)
        self.hub = hub


class _Handler(BaseHTTPRequestHandler):
    server: _Server
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

    def _locate(self, path: str) -> tuple[_Repo, str, list[str]] | None:
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
        self, repo: _Repo, verb: str, rest: list[str], query: dict[str, list[str]], body: bytes
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

    def _resolve(self, repo: _Repo, name: str) -> None:
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


def _info(repo: _Repo, blobs: bool) -> dict[str, Any]:
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


def _tree(repo: _Repo, under: str, recursive: bool) -> list[dict[str, Any]]:
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


def _paths_info(repo: _Repo, body: bytes) -> list[dict[str, Any]]:
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

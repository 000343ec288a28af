"""A hub on this machine: as much of the Hugging Face Hub's API as its client library uses.

It serves models and datasets from memory or directories, redirects large files to a "CDN" on
another port (another origin, as the real one), understands ranges, and fails on request.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path

from .hub_server import Fault, HubServer, Repo, Seen


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
        self._repos: dict[tuple[str, str], Repo] = {}
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._servers = [HubServer(("127.0.0.1", 0), self), HubServer(("127.0.0.1", 0), self)]
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

        As with every fault, the first ``skip`` of those requests pass it by; one that an
        earlier fault meets does not count.
        """
        self._faults.append(Fault(match, times, skip, status=status, headers=headers or {}))

    def cut(self, match: str, after: int, *, times: int = 1, skip: int = 0) -> None:
        """Close the connection after ``after`` bytes of the body of a GET."""
        self._faults.append(Fault(match, times, skip, cut_after=after, methods=("GET",)))

    def corrupt(self, match: str, *, times: int = 1, skip: int = 0) -> None:
        """Send bytes of the right number that are not the right ones."""
        self._faults.append(Fault(match, times, skip, corrupt=True, methods=("GET",)))

    def hold(self, match: str, after: int, *, skip: int = 0) -> None:
        """Stop sending after ``after`` bytes of a GET until :meth:`release`."""
        event = threading.Event()
        fault = Fault(match, 1, skip, cut_after=after, hold=event, methods=("GET",))
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
        repo = Repo(kind, repo_id, found, gated)
        self._repos[(kind, repo_id)] = repo
        return repo.commit

    def note(self, seen: Seen) -> Fault | None:
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

    def find(self, kind: str, repo_id: str) -> Repo | None:
        """Return a repository."""
        return self._repos.get((kind, repo_id))

    def by_digest(self, sha256: str) -> bytes | None:
        """Return the content of a large file."""
        for repo in self._repos.values():
            for content in repo.files.values():
                if hashlib.sha256(content).hexdigest() == sha256:
                    return content
        return None

"""Repositories of the hub: their files, their configs and the headers of their weights."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import Any

from mistudio_contracts.errors import InvalidInput, ServiceUnavailable
from mistudio_loader.domain.gguf import MAX_HEADER_BYTES, GgufHeader, parse_gguf
from mistudio_loader.domain.headers import Header, header_length, parse_header

from .errors import hub_errors

_FIRST_READ = 256 * 1024
_FIRST_GGUF_READ = 4 * 1024 * 1024


@dataclass(frozen=True)
class RemoteFile:
    """A file at the top of a repository; ``sha256`` is known for large files only."""

    name: str
    size: int
    sha256: str | None
    blob_id: str | None

    def matches(self, content: bytes) -> bool:
        """Return whether bytes in memory are this file, by size and git's or LFS's hash."""
        if len(content) != self.size:
            return False
        if self.sha256 is not None:
            return hashlib.sha256(content).hexdigest() == self.sha256
        if self.blob_id is None:
            return True
        git = hashlib.sha1(b"blob %d\x00" % len(content) + content, usedforsecurity=False)
        return git.hexdigest() == self.blob_id


@dataclass(frozen=True)
class Repository:
    """A model repository at one commit."""

    repo_id: str
    revision: str
    files: dict[str, RemoteFile]


class HubClient:
    """Reads model repositories.

    Parameters
    ----------
    endpoint
        Base URL of the hub.
    token
        Access token, None for anonymous reading.
    """

    def __init__(self, endpoint: str, token: str | None) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._token: str | bool = token or False

    def repository(self, repo_id: str, revision: str | None) -> Repository:
        """Return the commit that a revision means now, and its files.

        Raises
        ------
        InvalidInput, ServiceUnavailable
            See :func:`~.errors.hub_errors`.
        """
        from huggingface_hub import HfApi

        with hub_errors(repo_id):
            info = HfApi(endpoint=self._endpoint, token=self._token).model_info(
                repo_id, revision=revision, files_metadata=True, timeout=20
            )
        files = {
            sibling.rfilename: RemoteFile(
                sibling.rfilename,
                sibling.size or 0,
                sibling.lfs.sha256 if sibling.lfs else None,
                sibling.blob_id,
            )
            for sibling in info.siblings or []
            if "/" not in sibling.rfilename and "\\" not in sibling.rfilename
        }
        if info.sha is None:
            raise ServiceUnavailable("The hub names no commit.", reason="hub_unavailable")
        return Repository(repo_id, info.sha, files)

    def url(self, repository: Repository, name: str) -> str:
        """Return where a file's bytes are."""
        from huggingface_hub import hf_hub_url

        return hf_hub_url(
            repository.repo_id, name, revision=repository.revision, endpoint=self._endpoint
        )

    def headers(self) -> dict[str, str]:
        """Return the request headers, with the token if there is one."""
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        found: dict[str, str] = build_hf_headers(token=self._token, library_name="mistudio-loader")
        return found

    def read(self, repository: Repository, name: str) -> bytes:
        """Return the content of a small file, checked against the hub's hash.

        Raises
        ------
        ServiceUnavailable
            ``reason`` is ``checksum_mismatch`` when the bytes are not the announced ones.
        """
        from huggingface_hub.file_download import http_get

        file = repository.files[name]
        buffer = io.BytesIO()
        with hub_errors(repository.repo_id):
            http_get(
                self.url(repository, name),
                buffer,
                headers=self.headers(),
                expected_size=file.size,
                displayed_filename=name,
            )
        content = buffer.getvalue()
        if not file.matches(content):
            raise ServiceUnavailable(
                f"The hub sent a damaged {name}.",
                reason="checksum_mismatch",
                file=name,
                remedy="Try again later.",
            )
        return content

    def header(self, repository: Repository, name: str) -> Header:
        """Return the header of a weight file, read by range; no weight is transferred.

        Raises
        ------
        InvalidInput
            ``reason`` is ``corrupt_weights``.
        """
        size = repository.files[name].size
        with hub_errors(repository.repo_id):
            raw = self._range(repository, name, min(_FIRST_READ, size))
            length = header_length(raw[:8], name, size)
            if len(raw) < 8 + length:
                raw = self._range(repository, name, 8 + length)
        return parse_header(raw[8 : 8 + length], name, size)

    def gguf(self, repository: Repository, name: str) -> GgufHeader:
        """Return the header of a GGUF file, read by ranges; no weight is transferred.

        Raises
        ------
        InvalidInput
            ``reason`` is ``corrupt_weights``.
        """
        size = min(repository.files[name].size, MAX_HEADER_BYTES)
        count = min(_FIRST_GGUF_READ, size)
        while True:
            with hub_errors(repository.repo_id):
                raw = self._range(repository, name, count)
            try:
                return parse_gguf(io.BytesIO(raw).read, name)
            except InvalidInput:
                # Most of a header is the vocabulary, of a length that nothing announces.
                if count == size:
                    raise
            count = min(4 * count, size)

    def _range(self, repository: Repository, name: str, count: int) -> bytes:
        from huggingface_hub import get_session, hf_raise_for_status

        headers = {**self.headers(), "Range": f"bytes=0-{max(count - 1, 0)}"}
        headers["Accept-Encoding"] = "identity"
        session: Any = get_session()
        found = bytearray()
        url = self.url(repository, name)
        # Streamed, so that a server that ignores ranges cannot send gigabytes.
        with session.stream("GET", url, headers=headers, timeout=20) as response:
            hf_raise_for_status(response)
            for chunk in response.iter_bytes():
                found += chunk
                if len(found) >= count:
                    break
        return bytes(found[:count])

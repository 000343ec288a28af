"""Where a checkpoint lies, and how its files are read there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from mistudio_contracts import Source
from mistudio_contracts.errors import InvalidInput
from mistudio_loader.domain.checkpoint import CONFIG, WeightFormat
from mistudio_loader.domain.gguf import GgufHeader, parse_gguf
from mistudio_loader.domain.headers import Header, read_header
from mistudio_loader.hub.client import HubClient, Repository
from mistudio_loader.storage.roots import LocalRoots

_MAX_SMALL_BYTES = 256 * 1024 * 1024


class Checkpoint(Protocol):
    """Where the files of a checkpoint can be read."""

    @property
    def revision(self) -> str | None:
        """The commit, None for a directory."""

    def names(self) -> set[str]:
        """Return the names of the files at the top level."""

    def size(self, name: str) -> int:
        """Return a file's size in bytes."""

    def read(self, name: str) -> bytes:
        """Return the content of a small file."""

    def header(self, name: str) -> Header:
        """Return the header of a safetensors file."""

    def gguf(self, name: str) -> GgufHeader:
        """Return the header of a GGUF file."""


class LocalCheckpoint:
    """A directory under an allowed root, or one GGUF file in it.

    Parameters
    ----------
    only
        The name of the one file that counts; None where all do.
    """

    revision: str | None = None

    def __init__(self, directory: Path, only: str | None = None) -> None:
        self.directory = directory
        self._only = only

    def names(self) -> set[str]:
        if self._only is not None:
            return {self._only}
        return {entry.name for entry in self.directory.iterdir() if entry.is_file()}

    def size(self, name: str) -> int:
        return (self.directory / name).stat().st_size

    def read(self, name: str) -> bytes:
        if self.size(name) > _MAX_SMALL_BYTES:
            raise InvalidInput(
                f"{name} is too large to be what its name says.",
                field="model_identifier",
                reason="corrupt_config",
                file=name,
            )
        return (self.directory / name).read_bytes()

    def header(self, name: str) -> Header:
        with (self.directory / name).open("rb") as stream:
            return read_header(stream, name, self.size(name))

    def gguf(self, name: str) -> GgufHeader:
        with (self.directory / name).open("rb") as stream:
            return parse_gguf(stream.read, name)


class HubCheckpoint:
    """A repository of the hub at one commit."""

    def __init__(self, client: HubClient, repository: Repository) -> None:
        self.client = client
        self.repository = repository
        self._config: bytes | None = None

    @property
    def revision(self) -> str | None:
        return self.repository.revision

    def names(self) -> set[str]:
        return set(self.repository.files)

    def size(self, name: str) -> int:
        return self.repository.files[name].size

    def read(self, name: str) -> bytes:
        if name != CONFIG:
            return self.client.read(self.repository, name)
        if self._config is None:
            self._config = self.client.read(self.repository, name)
        return self._config

    def header(self, name: str) -> Header:
        return self.client.header(self.repository, name)

    def gguf(self, name: str) -> GgufHeader:
        return self.client.gguf(self.repository, name)


def open_checkpoint(
    source: Source,
    identifier: str,
    revision: str | None,
    roots: LocalRoots,
    hub: Callable[[], HubClient],
) -> LocalCheckpoint | HubCheckpoint:
    """Find a checkpoint by the user's words.

    Raises
    ------
    InvalidInput
        ``reason`` is ``outside_roots``, ``not_found``, ``not_a_directory``, ``gated`` or
        ``invalid_identifier``.
    ServiceUnavailable
        The hub does not answer.
    """
    if source is Source.HUGGINGFACE:
        client = hub()
        return HubCheckpoint(client, client.repository(identifier, revision))
    path = roots.resolve(identifier, "model_identifier")
    if path.is_file() and path.suffix == WeightFormat.GGUF.value:
        return LocalCheckpoint(path.parent, path.name)
    if not path.is_dir():
        raise InvalidInput(
            f"{identifier} is not a directory.",
            field="model_identifier",
            reason="not_a_directory",
            remedy="Name the directory that holds config.json and the weights, or a GGUF file.",
        )
    # A link inside the directory must not lead out of the roots either.
    for entry in path.iterdir():
        if entry.is_symlink():
            roots.resolve(str(entry), "model_identifier")
    return LocalCheckpoint(path)

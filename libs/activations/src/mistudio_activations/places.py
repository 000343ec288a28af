"""Where a store lies: what its reader and its writers ask of a directory or of a bucket.

Paths are relative to the store, with slashes, such as ``layers.6.resid_post/00000.safetensors``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from .errors import ActivationsError
from .rawfile import TensorSpec

MANIFEST = "manifest.json"
"""The file that makes the others visible."""


PATIENCE = 30.0
"""Seconds that a bucket is waited for: a restart of its server passes unseen."""


class Tensor(Protocol):
    """A tensor of a file whose rows are read when they are asked for.

    Attributes
    ----------
    shape, dtype
        Of the whole tensor.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def between(self, start: int, end: int) -> NDArray[Any]:
        """Return rows ``start`` to ``end``, which may not be written to."""

    def pick(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return rows in any order, as a copy."""

    def read_into(self, start: int, out: NDArray[Any]) -> None:
        """Fill ``out`` with the rows from ``start`` on, without keeping any of them in memory.

        Raises
        ------
        StoreCorrupt
            When the file was cut short meanwhile.
        """


class Staged(Protocol):
    """A file that is being written and has no name yet.

    Attributes
    ----------
    fd
        Open for reading and writing.
    """

    fd: int

    def publish(self) -> None:
        """Give the file its name, complete and durable."""

    def discard(self) -> None:
        """Take the file away. Harmless after :meth:`publish`."""


@dataclass(frozen=True)
class Revision:
    """What becomes of a store.

    Attributes
    ----------
    manifest
        Its new content; None takes the whole store away.
    gone
        Directories that are deleted once the manifest is there.
    """

    manifest: bytes | None
    gone: Sequence[str] = ()


@dataclass(frozen=True)
class StoredFile:
    """A file of a store: its bytes, and the seconds since the epoch when it was last written."""

    path: str
    bytes: int
    changed_at: float


class Place(Protocol):
    """A store's files. As a string it is what :func:`~.reader.open` takes.

    Attributes
    ----------
    readers
        How many reads side by side are faster than one after another.
    """

    readers: int

    def within(self, name: str) -> Place:
        """Return the place of that name below this one."""

    def check(self) -> None:
        """Try whether stores can lie here.

        Raises
        ------
        StoreDenied
            When they cannot.
        StoreUnreachable
            When nothing answers there.
        """

    def read(self, path: str) -> bytes:
        """Return a small file's content.

        Raises
        ------
        FileNotFoundError
            When there is none.
        """

    def read_range(self, path: str, start: int, length: int) -> tuple[bytes, int]:
        """Return at most ``length`` bytes from ``start`` on, and the size of the whole file.

        Raises
        ------
        FileNotFoundError
            When there is none.
        StoreCorrupt
            When it leads out of the store.
        """

    def size(self, path: str) -> int:
        """Return a file's bytes.

        Raises
        ------
        FileNotFoundError
            When there is none.
        """

    def specs(self, path: str) -> dict[str, TensorSpec]:
        """Return where each tensor of a file lies.

        Raises
        ------
        StoreCorrupt
            When the file is missing, or is not of this format.
        """

    def tensor(self, path: str, name: str) -> Tensor:
        """Return a tensor of a file, none of its rows read.

        Raises
        ------
        StoreCorrupt
            As :meth:`specs`, and when the file has no such tensor.
        """

    def sha256(self, path: str) -> str:
        """Return the SHA-256 of a file, which is read as a whole."""

    def write(self, path: str, content: bytes) -> None:
        """Write a small file, all of it or nothing."""

    def stage(self, path: str) -> Staged:
        """Return a new file, to be written and then published under ``path``."""

    def revise(self, change: Callable[[bytes | None], Revision]) -> None:
        """Replace the manifest by what ``change`` makes of it; None where there is none.

        Two who do so at the same time lose nothing of each other's, for ``change`` sees what the
        other has made, and is called again where it came too early. Whoever deletes sees to it
        that nobody writes what is deleted.
        """

    def sweep(self) -> None:
        """Remove what writers that died have left; one extraction at a time writes to a store."""

    def usage(self) -> int:
        """Return the bytes of all files."""

    def files(self) -> list[StoredFile]:
        """Return all files, those without a name of their own yet included."""

    def delete(self, paths: Sequence[str]) -> None:
        """Delete files, of which some may be gone already."""


Where = str | Path | Place
"""A directory, a URL, or a place itself."""


def parse_url(url: str) -> tuple[str, str]:
    """Return the bucket and the prefix of ``s3://bucket/prefix``.

    Raises
    ------
    ActivationsError
        When it is of another form; the message does not repeat it, for it may hold a secret.
    """
    parts = urlsplit(url)
    odd = parts.query or parts.fragment or "@" in parts.netloc or ":" in parts.netloc
    if parts.scheme != "s3" or not parts.netloc or odd:
        raise ActivationsError(
            "a bucket is named as s3://bucket/prefix, with nothing of who asks; "
            "the AWS_* variables say that"
        )
    return parts.netloc, parts.path.strip("/")


def place_of(where: Where, scratch: Path | None = None, patience: float = PATIENCE) -> Place:
    """Return the place of a store.

    Parameters
    ----------
    where
        A directory as a path or a string, or ``s3://bucket/prefix``; the usual ``AWS_*`` variables
        say where the server is, and by what right it is asked.
    scratch
        A local directory for files on their way into a bucket; the system's own for None.
    patience
        Seconds that a bucket is asked again, with back-off, which does not answer.

    Raises
    ------
    ActivationsError
        When it is a URL of another kind, or what a bucket needs is not installed.
    """
    if not isinstance(where, (str, Path)):
        return where
    if isinstance(where, Path) or "://" not in where:
        from .directory import Directory

        return Directory(Path(where))
    try:
        from .bucket import Bucket
    except ImportError as error:
        raise ActivationsError(
            "stores in a bucket need obstore: pip install 'mistudio-activations[s3]'"
        ) from error
    return Bucket(where, scratch, patience)


def whole(tensor: Tensor) -> NDArray[Any]:
    """Return all rows of a tensor, which may not be written to."""
    return tensor.between(0, tensor.shape[0])

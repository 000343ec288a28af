"""A store in a directory: mapped when read, synced and renamed when written."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from .errors import StoreCorrupt, StoreDenied
from .places import MANIFEST, Revision, StoredFile
from .rawfile import TensorSpec, fsync_directory, map_tensor, read_specs, write_atomically

CHUNK = 1 << 22

READERS = 4


class Directory:
    """A :class:`~.places.Place` on a file system, which several machines may share."""

    readers = READERS

    def __init__(self, root: Path) -> None:
        self.root = root

    def __str__(self) -> str:
        return str(self.root)

    def __repr__(self) -> str:
        return f"<Directory {self.root}>"

    def within(self, name: str) -> Directory:
        return Directory(self.root / name)

    def check(self) -> None:
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise StoreDenied("the directory is not there or may not be written")

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def read_range(self, path: str, start: int, length: int) -> tuple[bytes, int]:
        target = (self.root / path).resolve()
        if not target.is_relative_to(self.root.resolve()):
            raise StoreCorrupt(f"{path} leads out of the store")
        with target.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(start)
            return file.read(length), size

    def size(self, path: str) -> int:
        return (self.root / path).stat().st_size

    def specs(self, path: str) -> dict[str, TensorSpec]:
        return read_specs(self.root / path)

    def tensor(self, path: str, name: str) -> MappedTensor:
        return MappedTensor(self.root / path, name)

    def sha256(self, path: str) -> str:
        digest = hashlib.sha256()
        with (self.root / path).open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    def write(self, path: str, content: bytes) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, content)

    def stage(self, path: str) -> StagedFile:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        return StagedFile(target)

    def revise(self, change: Callable[[bytes | None], Revision]) -> None:
        with self._locked():
            # What an eviction that was interrupted has left.
            for gone in self.root.parent.glob(f".{self.root.name}.*.gone"):
                shutil.rmtree(gone)
            try:
                before = self.read(MANIFEST)
            except FileNotFoundError:
                before = None
            revision = change(before)
            if revision.manifest is None:
                self._remove()
                return
            self.write(MANIFEST, revision.manifest)
            for name in revision.gone:
                if (self.root / name).exists():
                    shutil.rmtree(self.root / name)

    def sweep(self) -> None:
        for path in self.root.glob("*/.*.partial"):
            path.unlink(missing_ok=True)

    def usage(self) -> int:
        return sum(file.bytes for file in self.files())

    def files(self) -> list[StoredFile]:
        found = []
        for path in self.root.rglob("*"):
            try:
                told = path.stat()
            except FileNotFoundError:
                continue  # A temporary file that got its name meanwhile.
            if stat.S_ISREG(told.st_mode):
                name = path.relative_to(self.root).as_posix()
                found.append(StoredFile(name, told.st_size, told.st_mtime))
        return found

    def delete(self, paths: Sequence[str]) -> None:
        for path in paths:
            (self.root / path).unlink(missing_ok=True)
        for parent in {(self.root / path).parent for path in paths} - {self.root}:
            if parent.exists() and not any(parent.iterdir()):
                parent.rmdir()

    def _remove(self) -> None:
        if self.root.exists():
            # Renamed first: a reader sees all of the store or none of it.
            gone = self.root.with_name(f".{self.root.name}.{secrets.token_hex(4)}.gone")
            self.root.rename(gone)
            fsync_directory(self.root.parent)
            shutil.rmtree(gone)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the store's lock, which lies beside it, so that the store can be taken away."""
        self.root.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root.parent / f".{self.root.name}.lock", thread_local=False):
            yield


class MappedTensor:
    """A tensor of a file, as a read-only memory map."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._map = map_tensor(path, name)
        self.shape, self.dtype = self._map.shape, self._map.dtype

    def between(self, start: int, end: int) -> NDArray[Any]:
        return self._map[start:end]

    def pick(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        picked: NDArray[Any] = self._map[rows]
        return picked

    def read_into(self, start: int, out: NDArray[Any]) -> None:
        if not isinstance(self._map, np.memmap):
            out[:] = self._map[start : start + len(out)]
            return
        view = out.view(np.uint8).reshape(-1).data
        at = int(self._map.offset) + start * (out.nbytes // max(1, len(out)))
        with self._path.open("rb", buffering=0) as file:
            while view:
                # Reads the file instead of the map, which a cold disk serves faster.
                read = os.preadv(file.fileno(), [view], at)
                if not read:
                    raise StoreCorrupt(f"{self._path.parent.name}/{self._path.name} is cut short")
                view, at = view[read:], at + read


class StagedFile:
    """A :class:`~.places.Staged` file beside its final name."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
        self.fd = os.open(self._temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)

    def publish(self) -> None:
        os.fsync(self.fd)
        self._close()
        try:
            self._temporary.replace(self._target)
        except FileNotFoundError:
            # Swept by a commit, which needed the shard: so somebody else has written the same.
            if not self._target.exists():
                raise
        fsync_directory(self._target.parent)

    def discard(self) -> None:
        self._close()
        self._temporary.unlink(missing_ok=True)

    def _close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

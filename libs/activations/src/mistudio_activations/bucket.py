"""A store in a bucket: read by ranges, written whole, its manifest replaced on condition.

An object appears when all of it has arrived, so nothing half-written is ever seen. The library
below retries what may pass, with back-off, so what is raised here has been tried for long. Where
the server is, and by what right it is asked, the usual ``AWS_*`` variables say; they are part of no
message.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import obstore
from numpy.typing import NDArray
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from .errors import ActivationsError, StoreCorrupt, StoreDenied, StoreUnreachable
from .places import MANIFEST, PATIENCE, Revision, StoredFile, parse_url
from .rawfile import TensorSpec, header_length, parse_specs

READERS = 16
"""A request waits for the network most of its time."""

BLOCK = 8 << 20
"""Bytes of one request: a larger read is several of them, side by side."""

WRITERS = 4
"""Parts of one object on their way at a time."""

HEAD = 4096
"""Bytes read for a header; longer ones take a second request."""

ATTEMPTS = 20
"""How often a manifest is tried to be replaced that others replace at the same time."""

GAP = 64
"""Rows further apart than this are not read for the sake of those between them."""

_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_RETRIED = {"408", "425", "429"}


class Bucket:
    """A :class:`~.places.Place` below a prefix of an S3 bucket.

    Parameters
    ----------
    url
        ``s3://bucket/prefix``.
    scratch
        A local directory for files that are being written; the system's own for None.
    patience
        Seconds that what may pass is tried again, with back-off, before it is told.
    """

    readers = READERS

    def __init__(self, url: str, scratch: Path | None = None, patience: float = PATIENCE) -> None:
        self._bucket, self._prefix = parse_url(url)
        self._scratch = scratch
        self._client = S3Store(
            self._bucket,
            retry_config={
                "max_retries": 30,
                "retry_timeout": timedelta(seconds=patience),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=3),
                    "base": 2,
                },
            },
        )

    def __str__(self) -> str:
        return "/".join(filter(None, ["s3:/", self._bucket, self._prefix]))

    def __repr__(self) -> str:
        return f"<Bucket {self}>"

    def within(self, name: str) -> Bucket:
        found = Bucket.__new__(Bucket)
        found._bucket, found._scratch, found._client = self._bucket, self._scratch, self._client
        found._prefix = "/".join(filter(None, [self._prefix, name]))
        return found

    def check(self) -> None:
        """List, write, read and delete something of no meaning, as a store would.

        Raises
        ------
        StoreDenied
            When there is no such bucket, its server does not hold to conditions, or one of these
            is not allowed.
        StoreUnreachable
            When it does not answer.
        """
        key = self._key(f".check-{secrets.token_hex(8)}")
        with _told():
            next(iter(obstore.list(self._client, self._prefix or None, chunk_size=1)), None)
            obstore.put(self._client, key, b"mistudio", use_multipart=False)
            try:
                obstore.put(self._client, key, b"other", mode="create", use_multipart=False)
            except AlreadyExistsError:
                obstore.get(self._client, key).bytes()
            else:
                raise StoreDenied("its server ignores If-None-Match")
            finally:
                obstore.delete(self._client, [key])

    def read(self, path: str) -> bytes:
        return self._get(path)[0]

    def read_range(self, path: str, start: int, length: int) -> tuple[bytes, int]:
        try:
            with _told():
                found = obstore.get(
                    self._client, self._key(path), options={"range": (start, start + length)}
                )
                return bytes(found.bytes()), int(found.meta["size"])
        except StoreDenied as error:
            if error.reason != "InvalidRange":
                raise
            return b"", self.size(path)  # It begins where the object ends.

    def size(self, path: str) -> int:
        with _told():
            return int(obstore.head(self._client, self._key(path))["size"])

    def specs(self, path: str) -> dict[str, TensorSpec]:
        name = "/".join(path.split("/")[-2:])
        try:
            head, size = self.read_range(path, 0, HEAD)
        except FileNotFoundError as error:
            raise StoreCorrupt(f"{name} is missing") from error
        missing = 8 + header_length(name, head) - len(head)
        if missing > 0:
            head += self.read_range(path, len(head), missing)[0]
        return parse_specs(name, head, size)

    def tensor(self, path: str, name: str) -> RangedTensor:
        specs = self.specs(path)
        if name not in specs:
            raise StoreCorrupt(f"{path} holds no {name!r}")
        return RangedTensor(self, path, specs[name])

    def sha256(self, path: str) -> str:
        digest, size = hashlib.sha256(), self.size(path)
        step = WRITERS * BLOCK
        for start in range(0, size, step):
            out = np.empty(min(step, size - start), np.uint8)
            self.fill(path, start, out)
            digest.update(out.data)
        return digest.hexdigest()

    def write(self, path: str, content: bytes) -> None:
        with _told():
            obstore.put(self._client, self._key(path), content, use_multipart=False)

    def stage(self, path: str) -> StagedObject:
        return StagedObject(self, path, self._scratch)

    def upload(self, path: str, file: Any) -> None:
        """Make an object of a local file, from its beginning."""
        with _told():
            obstore.put(
                self._client,
                self._key(path),
                file,
                chunk_size=BLOCK,
                max_concurrency=WRITERS,
            )

    def revise(self, change: Callable[[bytes | None], Revision]) -> None:
        for attempt in range(ATTEMPTS):
            before, version = self._manifest()
            revision = change(before)
            if revision.manifest is None:
                # The manifest first: a reader sees all of the store or none of it.
                self._delete([self._key(MANIFEST)])
                self._delete(self._keys())
                return
            if revision.manifest == before or self._replaced(revision.manifest, version):
                for name in revision.gone:
                    self._delete(self._keys(name))
                return
            time.sleep(random.uniform(0, 0.05 * 2 ** min(attempt, 5)))  # noqa: S311
        raise StoreUnreachable("others replace the store's manifest all the time")

    def sweep(self) -> None:
        """Nothing: what writers leave that died has no name, and is the bucket's to expire."""

    def usage(self) -> int:
        with _told():
            pages = obstore.list(self._client, self._prefix or None, chunk_size=1000)
            return sum(int(each["size"]) for page in pages for each in page)

    def files(self) -> list[StoredFile]:
        start = len(self._key("x")) - 1
        with _told():
            pages = obstore.list(self._client, self._prefix or None, chunk_size=1000)
            return [
                StoredFile(each["path"][start:], each["size"], each["last_modified"].timestamp())
                for page in pages
                for each in page
            ]

    def delete(self, paths: Sequence[str]) -> None:
        self._delete([self._key(path) for path in paths])

    def fill(self, path: str, start: int, out: NDArray[np.uint8]) -> None:
        """Fill ``out`` with the bytes of an object from ``start`` on, in several requests at once.

        Raises
        ------
        StoreCorrupt
            When the object is gone or ends before.
        """
        starts = range(0, len(out), BLOCK)
        if len(starts) <= 1:
            self._fill(path, start, out)
            return
        with ThreadPoolExecutor(min(READERS, len(starts))) as readers:
            done = [
                readers.submit(self._fill, path, start + at, out[at : at + BLOCK]) for at in starts
            ]
        for each in done:
            each.result()

    def _fill(self, path: str, start: int, out: NDArray[np.uint8]) -> None:
        if not len(out):
            return
        try:
            with _told():
                found = obstore.get_range(
                    self._client, self._key(path), start=start, length=len(out)
                )
        except FileNotFoundError as error:
            raise StoreCorrupt(f"{path} is missing") from error
        if len(found) != len(out):
            raise StoreCorrupt(f"{path} is cut short")
        out[:] = np.frombuffer(memoryview(found), np.uint8)

    def _get(self, path: str) -> tuple[bytes, str | None]:
        with _told():
            found = obstore.get(self._client, self._key(path))
            return bytes(found.bytes()), found.meta["e_tag"]

    def _manifest(self) -> tuple[bytes | None, str | None]:
        try:
            return self._get(MANIFEST)
        except FileNotFoundError:
            return None, None

    def _replaced(self, content: bytes, version: str | None) -> bool:
        """Replace the manifest of that version; False when there is another by now."""
        try:
            with _told():
                obstore.put(
                    self._client,
                    self._key(MANIFEST),
                    content,
                    mode="create" if version is None else {"e_tag": version},
                    use_multipart=False,
                )
        except (AlreadyExistsError, PreconditionError, FileNotFoundError):
            return False
        return True

    def _key(self, path: str) -> str:
        return "/".join(filter(None, [self._prefix, path]))

    def _keys(self, name: str = "") -> list[str]:
        with _told():
            pages = obstore.list(self._client, self._key(name) or None, chunk_size=1000)
            return [str(each["path"]) for page in pages for each in page]

    def _delete(self, keys: list[str]) -> None:
        if keys:
            with _told():
                obstore.delete(self._client, keys)


class RangedTensor:
    """A tensor of an object, read by ranges."""

    def __init__(self, bucket: Bucket, path: str, spec: TensorSpec) -> None:
        self._bucket, self._path, self._start = bucket, path, spec.start
        self.shape, self.dtype = spec.shape, spec.dtype
        self._row = spec.nbytes // max(1, spec.shape[0])

    def between(self, start: int, end: int) -> NDArray[Any]:
        start, end = min(start, self.shape[0]), min(end, self.shape[0])
        out = np.empty((max(0, end - start), *self.shape[1:]), self.dtype)
        self.read_into(start, out)
        out.flags.writeable = False
        return out

    def pick(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Read neighbours in one request, all requests side by side."""
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        order = np.argsort(rows, kind="stable")
        cuts = np.flatnonzero(np.diff(rows[order]) > GAP) + 1

        def read(chosen: NDArray[np.int64]) -> None:
            wanted = rows[chosen]
            first = int(wanted[0])
            out[chosen] = self.between(first, int(wanted[-1]) + 1)[wanted - first]

        with ThreadPoolExecutor(READERS) as readers:
            list(readers.map(read, np.split(order, cuts) if len(rows) else []))
        return out

    def read_into(self, start: int, out: NDArray[Any]) -> None:
        if out.nbytes:
            self._bucket.fill(
                self._path, self._start + start * self._row, out.view(np.uint8).reshape(-1)
            )


class StagedObject:
    """A :class:`~.places.Staged` file without a name of its own: it ends with its process."""

    def __init__(self, bucket: Bucket, path: str, scratch: Path | None) -> None:
        self._bucket, self._path = bucket, path
        if scratch is not None:
            scratch.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(buffering=0, dir=scratch)  # noqa: SIM115
        self.fd = self._file.fileno()

    def publish(self) -> None:
        self._file.seek(0)
        self._bucket.upload(self._path, self._file)
        self.discard()

    def discard(self) -> None:
        self._file.close()


@contextmanager
def _told() -> Iterator[None]:
    """Turn the library's errors into ours, which say nothing of the request.

    A server's answer to a request that it refuses may repeat the key it was signed with.
    """
    _stay_in_process()
    try:
        yield
    except (AlreadyExistsError, PreconditionError):
        raise
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise StoreDenied(_reason(error)) from None
    except FileNotFoundError as error:
        if "NoSuchBucket" in str(error):
            raise StoreDenied("NoSuchBucket") from None
        raise FileNotFoundError("there is no such object") from None
    except BaseError as error:
        status = _STATUS.search(str(error))
        lasting = status is not None and status[1][0] == "4" and status[1] not in _RETRIED
        raise (StoreDenied if lasting else StoreUnreachable)(_reason(error)) from None


_asking: list[int] = []


def _stay_in_process() -> None:
    """Refuse to ask in a fork of the process that asked first, which would wait for ever.

    The library's threads are those of its first request, and no thread survives a fork.
    """
    if not _asking:
        _asking.append(os.getpid())
    elif _asking[0] != os.getpid():
        raise ActivationsError(
            "a bucket cannot be read in a fork of a process that has read it: start workers by "
            "multiprocessing_context='forkserver' or 'spawn'"
        )


def _reason(error: Exception) -> str:
    """Return a word for what a server answered, or for that it did not."""
    text = str(error)
    code, status = _CODE.search(text), _STATUS.search(text)
    if code is not None:
        return code[1]
    return f"HTTP {status[1]}" if status is not None else "no answer"

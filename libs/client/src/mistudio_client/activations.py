"""``client.activations``: list, verify, download and delete activation caches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from mistudio_contracts.errors import MiStudioError
from mistudio_contracts.values import RelativePath
from mistudio_contracts.views import Cache, CachePage, StoreFile, StoreFiles, StoreVerification

from .datasets import OnBytes
from .errors import Corrupted, InvalidArgument
from .paging import every
from .transport import Transport

MANIFEST = "manifest.json"
_PIECE = 1 << 20
_INSIDE: TypeAdapter[str] = TypeAdapter(RelativePath)


class Activations:
    """The activation caches of a service. Ids begin with ``act_``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        model_id: str | None = None,
        dataset_id: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> CachePage:
        """Return a page of caches, newest first."""
        return self._transport.get(
            CachePage,
            "/activations",
            model_id=model_id,
            dataset_id=dataset_id,
            limit=limit,
            offset=offset,
        )

    def iterate(self, **filters: Any) -> Iterator[Cache]:
        """Yield every cache that the filters of :meth:`list` let through."""
        yield from every(self.list, lambda page: page.activations, **filters)

    def get(self, cache_id: str) -> Cache:
        """Return a cache with the statistics of its columns."""
        return self._transport.get(Cache, f"/activations/{cache_id}")

    def delete(self, cache_id: str) -> None:
        """Delete a cache; columns that another cache needs stay."""
        self._transport.delete(f"/activations/{cache_id}")

    def files(self, cache_id: str) -> StoreFiles:
        """Return the names and sizes of the store's files."""
        return self._transport.get(StoreFiles, f"/activations/{cache_id}/files")

    def verify(self, cache_id: str, *, on_progress: OnBytes | None = None) -> StoreVerification:
        """Have the cache's files read where they lie and compared with what was written.

        Parameters
        ----------
        cache_id
            Which cache.
        on_progress
            Called with bytes done and bytes in all, every few seconds; what it raises ends it.

        Returns
        -------
        StoreVerification
            Of all files. ``damaged`` names those that differ, ``remedy`` says what mends them.
        """
        files = size = 0
        damaged = []
        after = remedy = None
        while True:
            part = self._transport.post(
                StoreVerification, f"/activations/{cache_id}/verify", after=after
            )
            files += part.verified_files
            size += part.verified_bytes
            damaged += part.damaged
            remedy = remedy or part.remedy
            if on_progress is not None:
                on_progress(size, part.total_bytes)
            if part.next is None:
                found = {"verified_files": files, "verified_bytes": size}
                return part.model_copy(update={**found, "damaged": damaged, "remedy": remedy})
            after = part.next

    def download(
        self,
        cache_id: str,
        dest: Path | str,
        *,
        columns: Collection[str] | None = None,
        on_progress: OnBytes | None = None,
    ) -> Path:
        """Copy the cache's store into the directory ``dest``.

        Each file is checked against the manifest's SHA-256. The directory appears only when all
        of it is there; an interrupted download goes on where it stopped when asked for again.

        Parameters
        ----------
        cache_id
            Which cache.
        dest
            The directory to make. It must not exist, or be empty.
        columns
            Leave out the files of columns other than these, such as ``layers.6.resid_post``; the
            manifest still names them. None for all.
        on_progress
            Called with bytes done and bytes in all.

        Returns
        -------
        Path
            ``dest``.

        Raises
        ------
        InvalidArgument
            When ``dest`` holds something or cannot be written.
        Corrupted
            When a file is not what the manifest says.
        """
        target = Path(dest)
        check_free(target)
        staging = target.with_name(f".{target.name}.{cache_id}.partial")
        files = [f for f in self.files(cache_id).files if _is_wanted(f.path, columns)]
        manifest = next((f for f in files if f.path == MANIFEST), None)
        if manifest is None:
            raise Corrupted("The store has no manifest.", reason="no_manifest")
        progress = _Sum(sum(f.bytes for f in files), on_progress)
        try:
            staging.mkdir(parents=True, exist_ok=True)
            # First, and always anew: it says whether what an earlier attempt left is of any use.
            self._fetch(cache_id, manifest, staging / MANIFEST, None, progress)
            sums = checksums(json.loads((staging / MANIFEST).read_text(encoding="utf-8")))
            for file in files:
                if file.path != MANIFEST:
                    place = staging / _inside(file.path)
                    self._fetch(cache_id, file, place, sums.get(file.path), progress)
            if target.is_dir():
                target.rmdir()
            staging.rename(target)
        except OSError as error:
            raise InvalidArgument(
                f"{target} cannot be written: {error.strerror}.", field="dest", reason="unwritable"
            ) from error
        return target

    def _fetch(
        self, cache_id: str, file: StoreFile, place: Path, expected: str | None, progress: _Sum
    ) -> None:
        before = progress.done
        if expected is not None and place.is_file() and _sha256(place) == expected:
            progress.reach(before + file.bytes)
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        digest = ""

        def take(pieces: Iterator[bytes]) -> None:
            nonlocal digest
            running = hashlib.sha256()
            progress.reach(before)
            with place.open("wb") as out:
                for piece in pieces:
                    out.write(piece)
                    running.update(piece)
                    progress.reach(progress.done + len(piece))
            digest = running.hexdigest()

        self._transport.read(f"/activations/{cache_id}/files/{quote(file.path)}", take)
        if progress.done - before != file.bytes or expected not in (None, digest):
            place.unlink()
            raise Corrupted(
                f"{file.path} arrived damaged.",
                reason="checksum",
                remedy="Download again; files that arrived whole are kept.",
            )


def checksums(manifest: Any) -> Mapping[str, str]:
    """Return the SHA-256 of each file that a manifest names, by path relative to the store.

    Any object in it with a ``path`` and a ``sha256`` names a file.
    """
    found: dict[str, str] = {}
    waiting = [manifest]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("path"), str) and isinstance(value.get("sha256"), str):
                found[value["path"]] = value["sha256"]
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return found


class _Sum:
    """Bytes of all files together."""

    def __init__(self, total: int, report: OnBytes | None) -> None:
        self.done = 0
        self._total = total
        self._report = report

    def reach(self, done: int) -> None:
        self.done = done
        if self._report is not None:
            self._report(done, self._total)


def _is_wanted(path: str, columns: Collection[str] | None) -> bool:
    column = path.partition("/")[0]
    return columns is None or not column.startswith("layers.") or column in columns


def check_free(target: Path) -> None:
    """Raise InvalidArgument unless ``target`` is absent or an empty directory."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InvalidArgument(
            f"{target} already exists.",
            field="dest",
            reason="exists",
            remedy="Name a directory that does not exist yet.",
        )


def _inside(path: str) -> str:
    try:
        return _INSIDE.validate_python(path)
    except ValidationError as error:
        raise MiStudioError(
            f"The service names a file outside the store: {path!r}.", reason="foreign_answer"
        ) from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()

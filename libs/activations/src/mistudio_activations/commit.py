"""Making columns visible, and taking them away: the only writers of the manifest."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from .errors import StoreCorrupt, storage_errors
from .manifest import NAME, ColumnEntry, Manifest, Shard, read_manifest
from .rawfile import fsync_directory, read_specs, write_atomically
from .statistics import merge, written
from .writer import ShardFile, check_column, shard_name

STATS = "stats.json"
CHUNK = 1 << 22


@contextmanager
def locked(store_dir: Path) -> Iterator[None]:
    """Hold the store's lock, which lies beside it, so that the store itself can be taken away."""
    store_dir.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(store_dir.parent / f".{store_dir.name}.lock", thread_local=False):
        yield


def commit(
    store_dir: Path,
    *,
    columns: Mapping[str, Sequence[ShardFile]],
    token_shards: Sequence[ShardFile],
    info: Mapping[str, Any],
) -> Manifest:
    """Make columns visible, all of them or none.

    Shards already visible stay; those given join them. A repeat changes nothing. Rows are not read
    again: their checksums were taken while they were written, and ``verify`` compares them.

    Parameters
    ----------
    store_dir
        The store.
    columns
        Each column's shard files, new ones or all.
    token_shards
        The token shard files, new ones or all.
    info
        Merged over the manifest's info.

    Raises
    ------
    StoreCorrupt
        When a file is missing, is not the one that was written, differs from it in size, shape or
        dtype, or a shard is missing before one that is there.
    StorageFull
        When there is no room for the manifest.
    """
    with locked(store_dir), storage_errors():
        before = read_manifest(store_dir)
        tokens = _joined(store_dir, before.tokens if before else (), token_shards, None)
        for file in token_shards:
            _check(store_dir, file)
        for file in (file for files in columns.values() for file in files):
            _check(store_dir, file)
            if written(store_dir / file.path) != (file.bytes, file.sha256):
                raise StoreCorrupt(f"{file.path} has another checksum than was written")
        entries = dict(before.columns) if before else {}
        dtype = before.dtype if before else ""
        for name, files in columns.items():
            check_column(name)
            if not files:
                continue
            known = entries[name].shards if name in entries else ()
            shards = _joined(store_dir, known, files, tokens)
            first = read_specs(store_dir / shards[0].path)["activations"]
            dtype = dtype or str(first.dtype)
            _agree(store_dir, shards, first.shape[1], dtype)
            entries[name] = ColumnEntry(first.shape[1], shards)
            stats = merge([store_dir / shard.path for shard in shards])
            write_atomically(store_dir / name / STATS, json.dumps(stats.to_json()).encode() + b"\n")
        merged = {**(before.info if before else {}), **info}
        manifest = Manifest(dtype, tokens, entries, merged)
        write_atomically(store_dir / NAME, manifest.to_json())
        _sweep(store_dir)
        return manifest


def evict(store_dir: Path, columns: Sequence[str] | None) -> int:
    """Delete columns, or the whole store for None or when no column is left.

    The manifest leaves first, so a reader finds a column whole or not at all. What an eviction
    that was interrupted has left is deleted by the next.

    Parameters
    ----------
    store_dir
        The store; that it is corrupt hinders no eviction of all of it.
    columns
        Names, of which some may be gone already.

    Returns
    -------
    int
        Freed bytes; 0 when there was nothing.
    """
    for name in columns or ():
        check_column(name)
    with locked(store_dir):
        for gone in store_dir.parent.glob(f".{store_dir.name}.*.gone"):
            shutil.rmtree(gone)
        manifest = read_manifest(store_dir) if columns is not None else None
        left: dict[str, ColumnEntry] = {}
        if manifest is not None and columns is not None:
            left = {n: c for n, c in manifest.columns.items() if n not in set(columns)}
        used = disk_usage(store_dir)
        if manifest is None or not left:
            if store_dir.exists():
                # Renamed first: a reader sees all of the store or none of it.
                gone = store_dir.with_name(f".{store_dir.name}.{secrets.token_hex(4)}.gone")
                store_dir.rename(gone)
                fsync_directory(store_dir.parent)
                shutil.rmtree(gone)
            return used
        with storage_errors():
            write_atomically(
                store_dir / NAME,
                Manifest(manifest.dtype, manifest.tokens, left, manifest.info).to_json(),
            )
        for name in columns or ():
            if (store_dir / name).exists():
                shutil.rmtree(store_dir / name)
        return used - disk_usage(store_dir)


def disk_usage(store_dir: Path) -> int:
    """Return the bytes of all files of a store; 0 when there is none."""
    total = 0
    for path in store_dir.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue  # A temporary file that got its name meanwhile.
    return total


def _joined(
    store_dir: Path,
    known: Sequence[Shard],
    files: Sequence[ShardFile],
    tokens: Sequence[Shard] | None,
) -> tuple[Shard, ...]:
    by_path = {shard.path: shard for shard in known}
    for file in files:
        if file.path in by_path:
            same = by_path[file.path]
            if (same.bytes, same.sha256) != (file.bytes, file.sha256):
                raise StoreCorrupt(f"{file.path} was written again with other content")
            continue
        if tokens is None:
            samples = read_specs(store_dir / file.path)["sample_ids"].shape[0]
        else:
            samples = _covering(tokens, file)
        by_path[file.path] = Shard(file.path, file.tokens, samples, file.bytes, file.sha256)
    ordered = tuple(by_path[path] for path in sorted(by_path))
    for index, shard in enumerate(ordered):
        if Path(shard.path).name != shard_name(index):
            raise StoreCorrupt(f"shard {index} is missing before {shard.path}")
    return ordered


def _covering(tokens: Sequence[Shard], file: ShardFile) -> int:
    for shard in tokens:
        if Path(shard.path).name == Path(file.path).name:
            if shard.tokens != file.tokens:
                raise StoreCorrupt(f"{file.path} has {file.tokens} rows for {shard.tokens} tokens")
            return shard.samples
    raise StoreCorrupt(f"{file.path} has no token shard")


def _agree(store_dir: Path, shards: Sequence[Shard], width: int, dtype: str) -> None:
    for shard in shards:
        spec = read_specs(store_dir / shard.path)["activations"]
        if spec.shape != (shard.tokens, width) or str(spec.dtype) != dtype:
            raise StoreCorrupt(
                f"{shard.path} holds {spec.dtype} {list(spec.shape)}, "
                f"the store takes {dtype} [{shard.tokens}, {width}]"
            )


def _check(store_dir: Path, file: ShardFile) -> None:
    path = store_dir / file.path
    read_specs(path)
    if path.stat().st_size != file.bytes:
        raise StoreCorrupt(f"{file.path} has {path.stat().st_size} bytes, not {file.bytes}")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _sweep(store_dir: Path) -> None:
    """Remove what writers that died have left; one extraction at a time writes to a store."""
    for path in store_dir.glob("*/.*.partial"):
        path.unlink(missing_ok=True)

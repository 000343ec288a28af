"""Making columns visible, and taking them away: the only writers of the manifest."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from .errors import StoreCorrupt, storage_errors
from .manifest import ColumnEntry, Manifest, Shard, read_manifest
from .places import Place, Revision, Where, place_of
from .provenance import Info
from .statistics import beside, merge, written
from .writer import ShardFile, check_column, shard_name

STATS = "stats.json"


def commit(
    store: Where,
    *,
    columns: Mapping[str, Sequence[ShardFile]],
    token_shards: Sequence[ShardFile],
    info: Info | Mapping[str, Any],
) -> Manifest:
    """Make columns visible, all of them or none.

    Shards already visible stay; those given join them. A repeat changes nothing. Rows are not read
    again: their checksums were taken while they were written, and ``verify`` compares them.

    Parameters
    ----------
    store
        Where it lies.
    columns
        Each column's shard files, new ones or all.
    token_shards
        The token shard files, new ones or all.
    info
        Where the rows come from, or the same as plain JSON; merged over the manifest's.

    Raises
    ------
    StoreCorrupt
        When a file is missing, is not the one that was written, differs from it in size, shape or
        dtype, or a shard is missing before one that is there.
    StorageFull
        When there is no room for the manifest.
    """
    place = place_of(store)
    manifests: list[Manifest] = []

    def change(content: bytes | None) -> Revision:
        before = None if content is None else Manifest.from_json(content)
        manifests.append(_joining(place, before, columns, token_shards, info))
        return Revision(manifests[-1].to_json())

    with storage_errors():
        place.revise(change)
        place.sweep()
    return manifests[-1]


def _joining(
    place: Place,
    before: Manifest | None,
    columns: Mapping[str, Sequence[ShardFile]],
    token_shards: Sequence[ShardFile],
    info: Info | Mapping[str, Any],
) -> Manifest:
    """Check what joins a store, keep its statistics, and return the manifest that has it."""
    tokens = _joined(place, before.tokens if before else (), token_shards, None)
    for file in token_shards:
        _check(place, file)
    for file in (file for files in columns.values() for file in files):
        _check(place, file)
        if written(place, file.path) != (file.bytes, file.sha256):
            raise StoreCorrupt(f"{file.path} has another checksum than was written")
    entries = dict(before.columns) if before else {}
    dtype = before.dtype if before else ""
    for name, files in columns.items():
        check_column(name)
        if not files:
            continue
        known = entries[name].shards if name in entries else ()
        shards = _joined(place, known, files, tokens)
        first = place.specs(shards[0].path)["activations"]
        dtype = dtype or str(first.dtype)
        _agree(place, shards, first.shape[1], dtype)
        stats = merge(place, [shard.path for shard in shards])
        entries[name] = ColumnEntry(first.shape[1], dtype, stats.quantization_error, shards)
        place.write(f"{name}/{STATS}", json.dumps(stats.to_json()).encode() + b"\n")
    told = info if isinstance(info, Info) else Info.from_json(info)
    return Manifest(dtype, tokens, entries, told.over(before.info if before else Info()))


def evict(store: Where, columns: Sequence[str] | None) -> int:
    """Delete columns, or the whole store for None or when no column is left.

    The manifest leaves first, so a reader finds a column whole or not at all. What an eviction
    that was interrupted has left is deleted by the next.

    Parameters
    ----------
    store
        Where it lies; that it is corrupt hinders no eviction of all of it.
    columns
        Names, of which some may be gone already.

    Returns
    -------
    int
        Freed bytes; 0 when there was nothing.
    """
    for name in columns or ():
        check_column(name)
    place = place_of(store)
    used = place.usage()

    def change(content: bytes | None) -> Revision:
        if content is None or columns is None:
            return Revision(None)
        manifest = Manifest.from_json(content)
        left = {n: c for n, c in manifest.columns.items() if n not in set(columns)}
        if not left:
            return Revision(None)
        kept = Manifest(manifest.dtype, manifest.tokens, left, manifest.info)
        return Revision(kept.to_json(), columns)

    with storage_errors():
        place.revise(change)
    return used - place.usage()


LEASE = 24 * 3600.0
"""Seconds for which what no manifest names may still be somebody's work."""

_OWN = re.compile(r"[^/]+/(\d{5,}\.(safetensors|stats)|stats\.json|\..*\.partial)")
"""What writers put into a store, beside the manifest; anything else is not ours to delete."""


def gc(store: Where, *, lease: float = LEASE) -> int:
    """Delete what the manifest does not name: shards of extractions that did not end, and partials.

    Nothing that is visible is touched. Whoever calls sees to it that no extraction works on the
    store, or leaves the lease longer than one takes: shards wait for their commit without a name.

    Parameters
    ----------
    store
        Where it lies.
    lease
        What was written within so many seconds stays.

    Returns
    -------
    int
        Freed bytes.

    Raises
    ------
    StoreCorrupt
        When the manifest cannot be read: then nobody knows what it names.
    """
    place = place_of(store)
    # The files first: what is committed meanwhile is then named by the manifest that is read.
    files = place.files()
    manifest = read_manifest(place)
    named: set[str] = set()
    if manifest is not None:
        named = {shard.path for shard in manifest.tokens}
        for name, column in manifest.columns.items():
            named.add(f"{name}/{STATS}")
            for shard in column.shards:
                named |= {shard.path, beside(shard.path)}
    until = time.time() - lease
    unnamed = [
        file
        for file in files
        if _OWN.fullmatch(file.path) and file.path not in named and file.changed_at <= until
    ]
    place.delete([file.path for file in unnamed])
    return sum(file.bytes for file in unnamed)


def disk_usage(store: Where) -> int:
    """Return the bytes of all files of a store; 0 when there is none."""
    return place_of(store).usage()


def _joined(
    place: Place,
    known: Sequence[Shard],
    files: Sequence[ShardFile],
    tokens: Sequence[Shard] | None,
) -> tuple[Shard, ...]:
    by_path = {shard.path: shard for shard in known}
    by_name = {PurePosixPath(shard.path).name: shard for shard in tokens or ()}
    for file in files:
        if file.path in by_path:
            same = by_path[file.path]
            if (same.bytes, same.sha256) != (file.bytes, file.sha256):
                raise StoreCorrupt(f"{file.path} was written again with other content")
            continue
        if tokens is None:
            samples = place.specs(file.path)["sample_ids"].shape[0]
        else:
            samples = _covering(by_name, file)
        by_path[file.path] = Shard(file.path, file.tokens, samples, file.bytes, file.sha256)
    # Names have five digits at least: shorter ones come first.
    ordered = tuple(by_path[path] for path in sorted(by_path, key=lambda path: (len(path), path)))
    for index, shard in enumerate(ordered):
        if PurePosixPath(shard.path).name != shard_name(index):
            raise StoreCorrupt(f"shard {index} is missing before {shard.path}")
    return ordered


def _covering(tokens: Mapping[str, Shard], file: ShardFile) -> int:
    shard = tokens.get(PurePosixPath(file.path).name)
    if shard is None:
        raise StoreCorrupt(f"{file.path} has no token shard")
    if shard.tokens != file.tokens:
        raise StoreCorrupt(f"{file.path} has {file.tokens} rows for {shard.tokens} tokens")
    return shard.samples


def _agree(place: Place, shards: Sequence[Shard], width: int, dtype: str) -> None:
    for shard in shards:
        spec = place.specs(shard.path)["activations"]
        if spec.shape != (shard.tokens, width) or str(spec.dtype) != dtype:
            raise StoreCorrupt(
                f"{shard.path} holds {spec.dtype} {list(spec.shape)}, "
                f"the store takes {dtype} [{shard.tokens}, {width}]"
            )


def _check(place: Place, file: ShardFile) -> None:
    place.specs(file.path)
    size = place.size(file.path)
    if size != file.bytes:
        raise StoreCorrupt(f"{file.path} has {size} bytes, not {file.bytes}")

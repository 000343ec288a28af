"""Comparing a store's files with what was written."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable
from typing import Literal

from .commit import STATS
from .errors import StoreCorrupt
from .manifest import Manifest, Shard
from .places import Place
from .statistics import ColumnStats

Damage = Literal["missing", "unreadable", "size", "content"]

_UNREADABLE = {errno.EIO, errno.EBADMSG}


def files_of(manifest: Manifest, columns: Iterable[str] | None = None) -> dict[str, Shard | None]:
    """Return the files behind columns by path, sorted; None for statistics, whose sum none keeps.

    Parameters
    ----------
    manifest
        Of the store.
    columns
        Names; None for all. One that the manifest lacks is expected to have statistics.
    """
    names = list(manifest.columns if columns is None else columns)
    shards = [*manifest.tokens]
    for name in names:
        if name in manifest.columns:
            shards += manifest.columns[name].shards
    found: dict[str, Shard | None] = {f"{name}/{STATS}": None for name in names}
    found.update((shard.path, shard) for shard in shards)
    return dict(sorted(found.items()))


def damage_of(place: Place, path: str, shard: Shard | None) -> Damage | None:
    """Read a file as a whole and return what is wrong with it, None where nothing is.

    Parameters
    ----------
    place
        Where the store lies.
    path
        Of the file.
    shard
        What the manifest says of it; None for a column's statistics, which are only understood.

    Raises
    ------
    StoreUnreachable, StoreDenied
        When the store's place does not let the file be read, which is no damage.
    """
    try:
        if shard is None:
            ColumnStats.from_json(json.loads(place.read(path)))
            return None
        if place.size(path) != shard.bytes:
            return "size"
        return None if place.sha256(path) == shard.sha256 else "content"
    except FileNotFoundError:
        return "missing"
    except (StoreCorrupt, ValueError, TypeError, AttributeError):
        return "content"
    except OSError as error:
        if error.errno in _UNREADABLE:
            return "unreadable"
        raise

"""What a backup takes of the directories: manifests, datasets, and the stores' files if asked."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import mistudio_activations as ma
from mistudio_activations.places import MANIFEST
from mistudio_client.embedded.bucket import REMEDY, VARIABLE
from mistudio_client.embedded.errors import StackError

from .archive import CHUNK, Reader, Writer, chunks_of, sync
from .site import Place

STORES, MODELS, DATASETS = "stores", "models", "datasets"
ARTIFACT = "artifact.json"
DATASET = ("dataset.json", "data.parquet")


def save_stores(
    archive: Writer, stores: Sequence[tuple[str, str]], *, with_data: bool
) -> list[str]:
    """Add the manifest and statistics of each store, or all that it shows; return the others.

    Parameters
    ----------
    archive
        Where to.
    stores
        Key and place of each store of the catalog.
    with_data
        Whether their activations and tokens are added too.

    Raises
    ------
    StackError
        A bucket does not answer, or refuses who asks.
    """
    absent = []
    for key, where in stores:
        prefix = f"{STORES}/{key}/"
        try:
            with _usable():
                store = ma.place_of(where)
                text = store.read(MANIFEST)
                for path, shard in ma.files_of(ma.Manifest.from_json(text)).items():
                    if with_data or shard is None:
                        archive.add(prefix + path, _pieces(store, path), pack=shard is None)
            archive.add(prefix + MANIFEST, [text])
        except (FileNotFoundError, ma.StoreCorrupt):
            # Not on this machine, or it has left meanwhile: then its part is of no use.
            archive.leave_out(prefix)
            absent.append(key)
    return absent


def save_models(archive: Writer, root: Path | None, fingerprints: Sequence[str]) -> None:
    """Add what each prepared artifact says of itself; its weights are made again."""
    for fingerprint in fingerprints if root else ():
        path = Path(root or "") / fingerprint / ARTIFACT
        if path.is_file():
            archive.add(f"{MODELS}/{fingerprint}/{ARTIFACT}", chunks_of(path))


def save_datasets(archive: Writer, root: Path | None, fingerprints: Sequence[str]) -> list[str]:
    """Add each dataset, which nobody could make again of an upload; return those not there."""
    absent = []
    for fingerprint in fingerprints:
        prefix = f"{DATASETS}/{fingerprint}/"
        try:
            if root is None:
                raise FileNotFoundError
            for name in DATASET:
                pack = not name.endswith(".parquet")
                archive.add(prefix + name, chunks_of(root / fingerprint / name), pack=pack)
        except FileNotFoundError:
            archive.leave_out(prefix)
            absent.append(fingerprint)
    return absent


def put_back(archive: Reader, place: Place) -> list[str]:
    """Put the datasets and stores of a backup where they belong; what is there stays.

    A store becomes visible when all files that its manifest names are there: those of the backup,
    or those that have come to the directory in another way.

    Returns
    -------
    list of str
        The keys of the stores whose files are not there.

    Raises
    ------
    StackError
        A bucket does not answer, or refuses who asks.
    """
    if place.datasets is not None:
        for fingerprint, names in _below(archive, DATASETS).items():
            _lay(archive, DATASETS, fingerprint, names, place.datasets)
    missing = []
    for key, names in _below(archive, STORES).items():
        with _usable():
            if place.activations is None or not _store(archive, key, names, place.activations):
                missing.append(key)
    return missing


def names_of(archive: Reader, kind: str) -> list[str]:
    """Return the names of a kind that a backup has something of."""
    return sorted(_below(archive, kind))


def _store(archive: Reader, key: str, names: list[str], where: str) -> bool:
    store = ma.place_of(where).within(key)
    files = ma.files_of(ma.Manifest.from_json(archive.read(f"{STORES}/{key}/{MANIFEST}")))
    try:
        store.size(MANIFEST)
    except FileNotFoundError:
        pass
    else:
        return True
    if "://" not in where and files.keys() <= set(names):
        _lay(archive, STORES, key, names, Path(where))
        return True
    sizes = {file.path: file.bytes for file in store.files()}
    lacking = [
        path for path, shard in files.items() if shard is None or sizes.get(path) != shard.bytes
    ]
    if not set(lacking) <= set(names):
        return False
    for path in (*lacking, MANIFEST):
        _copy(archive, f"{STORES}/{key}/{path}", store, path)
    return True


def _copy(archive: Reader, entry: str, store: ma.Place, path: str) -> None:
    """Make a store's file of an entry, which may be larger than memory."""
    staged = store.stage(path)
    try:
        with os.fdopen(os.dup(staged.fd), "wb") as file:
            for chunk in archive.chunks(entry):
                file.write(chunk)
        staged.publish()
    finally:
        staged.discard()


def _lay(archive: Reader, kind: str, name: str, paths: list[str], root: Path) -> None:
    """Make a directory of entries, all of it or nothing, unless there is one."""
    target = root / name
    if (target / paths[-1]).exists():
        return
    root.mkdir(parents=True, exist_ok=True)
    building = root / f".{name}.{secrets.token_hex(4)}.restoring"
    try:
        for path in paths:
            archive.extract(f"{kind}/{name}/{path}", building / path)
        if target.exists():
            # Without what makes it whole it was half of a copy.
            shutil.rmtree(target)
        building.rename(target)
        sync(root)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _below(archive: Reader, kind: str) -> dict[str, list[str]]:
    """Return the entries of a kind by name; the one that makes the others visible comes last."""
    found: dict[str, list[str]] = {}
    for path in archive.paths:
        parts = path.split("/", 2)
        if len(parts) == 3 and parts[0] == kind:
            found.setdefault(parts[1], []).append(parts[2])
    last = (MANIFEST, "dataset.json")
    return {name: sorted(paths, key=lambda each: each in last) for name, paths in found.items()}


def _pieces(store: ma.Place, path: str) -> Iterator[bytes]:
    start, total = 0, store.size(path)
    while start < total:
        data, total = store.read_range(path, start, CHUNK)
        if not data:
            raise FileNotFoundError(path)
        yield data
        start += len(data)


@contextmanager
def _usable() -> Iterator[None]:
    """Tell what a bucket does not do from that a store is not in it.

    Raises
    ------
    StackError
        It does not answer, or refuses who asks; the library has tried again.
    """
    try:
        yield
    except ma.StoreCorrupt:
        raise
    except ma.ActivationsError as error:
        said = str(error)
        raise StackError(f"{said[0].upper()}{said[1:]}.", field=VARIABLE, remedy=REMEDY) from error

"""How everything stands once it rests: what the catalog says, what lies on the disks, and where
models are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Checksums = Mapping[str, Sequence[str]]
"""SHA-256 of each shard of each column."""


@dataclass(frozen=True)
class ModelRow:
    """A model as the catalog has it."""

    id: str
    status: str
    phase: str
    device_id: str | None
    fingerprint: str | None


@dataclass(frozen=True)
class ExtractionRow:
    """An extraction as the catalog has it; ``over`` is when it ended, as the catalog's clock
    said."""

    id: str
    model_id: str
    status: str
    cache_id: str | None
    store_key: str | None


@dataclass(frozen=True)
class CacheRow:
    """A cache as the catalog has it."""

    id: str
    store_key: str
    hook_points: tuple[str, ...]


@dataclass(frozen=True)
class StoreOnDisk:
    """What lies in a store's directory.

    Parameters
    ----------
    columns
        As the manifest names and ``verify`` found them; empty without a manifest.
    damage
        Why it could not be opened or verified; empty where it is whole.
    unnamed
        Files of writers that no manifest names.
    """

    columns: Checksums = field(default_factory=dict)
    damage: str = ""
    unnamed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Final:
    """How everything stands.

    Parameters
    ----------
    models, extractions, caches
        The catalog's rows.
    columns
        Of each store, as the catalog has them.
    stores
        What lies on the disk, by the store's key.
    artifacts
        Fingerprints on the disk, each with what is wrong with it, or nothing.
    devices
        What each device says that it holds; None where it does not answer.
    unrest
        What is still under way: rows, messages, leftovers of work. Empty at rest.
    dead
        Messages that nobody could handle.
    """

    models: tuple[ModelRow, ...] = ()
    extractions: tuple[ExtractionRow, ...] = ()
    caches: tuple[CacheRow, ...] = ()
    columns: Mapping[str, frozenset[str]] = field(default_factory=dict)
    stores: Mapping[str, StoreOnDisk] = field(default_factory=dict)
    artifacts: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, frozenset[str] | None] = field(default_factory=dict)
    unrest: tuple[str, ...] = ()
    dead: tuple[str, ...] = ()


def disagreements(final: Final, reference: Mapping[str, Checksums]) -> list[str]:
    """Return where catalog, disks and devices differ, each in a sentence; none is as it must be.

    Parameters
    ----------
    final
        How everything stands.
    reference
        The checksums of each store without faults; a store that is not in it is not compared.
    """
    return [
        *(f"it does not come to rest: {each}" for each in final.unrest),
        *(f"a message is dead: {each}" for each in final.dead),
        *_models(final),
        *_devices(final),
        *_caches(final),
        *_stores(final, reference),
        *_artifacts(final),
    ]


def _models(final: Final) -> list[str]:
    found = []
    for model in final.models:
        if model.status != "ready":
            continue
        fault = final.artifacts.get(model.fingerprint or "", "absent")
        if fault:
            found.append(f"{model.id} is ready, and its artifact is {fault}")
        held = final.devices.get(model.device_id or "")
        if held is None:
            found.append(f"{model.id} is ready on {model.device_id}, which does not answer")
        elif model.id not in held:
            found.append(f"{model.id} is ready, and {model.device_id} does not hold it")
    return found


def _devices(final: Final) -> list[str]:
    ready = {model.id for model in final.models if model.status == "ready"}
    return [
        f"{device} holds {model_id}, which is not ready"
        for device, held in final.devices.items()
        for model_id in sorted((held or frozenset()) - ready)
    ]


def _caches(final: Final) -> list[str]:
    found = []
    for cache in final.caches:
        there = final.stores.get(cache.store_key, StoreOnDisk()).columns
        missing = sorted(set(cache.hook_points) - set(there))
        if missing:
            found.append(f"{cache.id} shows {missing}, which its store lacks")
    return found


def _stores(final: Final, reference: Mapping[str, Checksums]) -> list[str]:
    found = []
    for key, store in final.stores.items():
        if store.damage:
            found.append(f"the store {key} is damaged: {store.damage}")
        if store.unnamed:
            found.append(f"the store {key} holds what nothing names: {list(store.unnamed)}")
        if set(store.columns) != final.columns.get(key, frozenset()):
            found.append(
                f"the store {key} holds {sorted(store.columns)}, "
                f"the catalog says {sorted(final.columns.get(key, ()))}"
            )
        for name, sums in store.columns.items():
            if key in reference and list(sums) != list(reference[key].get(name, ())):
                found.append(f"{name} of the store {key} is not what it is without faults")
    for key in final.columns.keys() - final.stores.keys():
        found.append(f"the catalog has a store {key}, which is not on the disk")
    return found


def _artifacts(final: Final) -> list[str]:
    wanted = {model.fingerprint for model in final.models}
    found = [
        f"the artifact {fingerprint} lies on the disk, and no model is of it"
        for fingerprint in final.artifacts
        if fingerprint not in wanted
    ]
    found += [
        f"the artifact {fingerprint} is {fault}"
        for fingerprint, fault in final.artifacts.items()
        if fault
    ]
    return found


def told(final: Final) -> str:
    """Return the catalog's rows as text, for who reads a failure."""
    rows = [*final.models, *final.extractions, *final.caches]
    held = {name: sorted(held or ()) for name, held in final.devices.items()}
    return "\n".join([*map(str, rows), f"devices: {json.dumps(held)}"])

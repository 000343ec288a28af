"""Where things lie on the pool's shared disk."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from mistudio_contracts.errors import ExtractionFailed, InsufficientStorage, ModelLoadFailed
from mistudio_contracts.values import Artifact, DatasetRef
from mistudio_extractor.config import ExtractorSettings


class Layout:
    """Paths below the cache directories, and the room that is left."""

    def __init__(self, settings: ExtractorSettings) -> None:
        self._settings = settings
        self.stores = settings.activation_cache_dir.resolve()

    async def create(self) -> None:
        """Make the stores' directory if it is not there."""
        self.stores.mkdir(parents=True, exist_ok=True)

    def artifact(self, artifact: Artifact) -> Path:
        """Return the artifact's directory.

        Raises
        ------
        ModelLoadFailed
            When it is not there.
        """
        path = self._settings.model_cache_dir / artifact.fingerprint
        if not (path / "artifact.json").is_file():
            raise ModelLoadFailed(
                "The prepared artifact is not on this pool's disk.",
                reason="artifact_missing",
                remedy="Load the model again; it is prepared anew.",
            )
        return path

    def artifact_facts(self, artifact: Artifact) -> dict[str, Any]:
        """Return what ``artifact.json`` says."""
        text = (self.artifact(artifact) / "artifact.json").read_text(encoding="utf-8")
        found: dict[str, Any] = json.loads(text)
        return found

    def dataset(self, dataset: DatasetRef) -> Path:
        """Return the canonical Parquet file.

        Raises
        ------
        ExtractionFailed
            When it is not there.
        """
        path = self._settings.dataset_cache_dir / dataset.fingerprint / "data.parquet"
        if not path.is_file():
            raise ExtractionFailed(
                "The dataset is not on this pool's disk.",
                reason="dataset_missing",
                remedy="Register the dataset again.",
            )
        return path

    def store(self, store_key: str) -> Path:
        """Return a store's directory, which may not exist."""
        return self.stores / store_key

    def free_bytes(self) -> int:
        """Return what the stores' disk has left."""
        return shutil.disk_usage(self.stores).free

    def room_bytes(self) -> int:
        """Return what may be written to the stores' disk now."""
        return max(0, self.free_bytes() - self._settings.disk_reserve_bytes)

    def require(self, needed: int) -> None:
        """Refuse work that the disk would not hold.

        Raises
        ------
        InsufficientStorage
            With the figures.
        """
        room = self.room_bytes()
        if needed > room:
            raise storage_full(needed, room)


def storage_full(needed: int | None, free: int) -> InsufficientStorage:
    """Return the error of a disk without room."""
    return InsufficientStorage(
        "The disk of the activation store has no room for this.",
        reason="disk_full",
        required_bytes=needed,
        available_bytes=free,
        remedy="Delete caches or free disk space, then ask again; what is done is kept.",
    )

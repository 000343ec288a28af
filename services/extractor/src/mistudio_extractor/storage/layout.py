"""Where things lie on the pool's shared disk."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from mistudio_activations import Place, place_of
from mistudio_contracts.errors import ExtractionFailed, InsufficientStorage, ModelLoadFailed
from mistudio_contracts.values import Artifact, DatasetRef
from mistudio_extractor.config import ExtractorSettings


class Layout:
    """Paths below the cache directories, and the room that is left."""

    def __init__(self, settings: ExtractorSettings) -> None:
        self._settings = settings
        where = settings.activation_cache_dir
        self._in_bucket = isinstance(where, str)
        self.disk = _scratch(settings) if isinstance(where, str) else where.resolve()
        """Where shards are written: the stores' own directory, or the scratch of a bucket."""
        self.stores = place_of(
            where if isinstance(where, str) else self.disk,
            self.disk,
            settings.bucket_patience_seconds,
        )

    async def create(self) -> None:
        """Make the directory that shards are written to if it is not there."""
        self.disk.mkdir(parents=True, exist_ok=True)

    def artifact(self, artifact: Artifact) -> Path:
        """Return the artifact's directory.

        Raises
        ------
        ModelLoadFailed
            When it is not there.
        """
        path = self.known_artifact(artifact.fingerprint)
        if path is None:
            raise ModelLoadFailed(
                "The prepared artifact is not on this pool's disk.",
                reason="artifact_missing",
                remedy="Load the model again; it is prepared anew.",
            )
        return path

    def known_artifact(self, fingerprint: str) -> Path | None:
        """Return the directory of the artifact with that fingerprint; None when it is not there."""
        path = self._settings.model_cache_dir / fingerprint
        return path if (path / "artifact.json").is_file() else None

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

    def store(self, store_key: str) -> Place:
        """Return where a store lies, which may not exist."""
        return self.stores.within(store_key)

    def free_bytes(self) -> int:
        """Return what the disk that shards are written to has left."""
        return shutil.disk_usage(self.disk).free

    def store_free_bytes(self) -> int:
        """Return what the stores' disk has left; 0, which means not known, for a bucket."""
        return 0 if self._in_bucket else self.free_bytes()

    def room_bytes(self) -> int:
        """Return what may be written to that disk now."""
        return max(0, self.free_bytes() - self._settings.disk_reserve_bytes)

    def store_room_bytes(self) -> int | None:
        """Return what may be written to the stores now; None for a bucket, whose end none knows."""
        return None if self._in_bucket else self.room_bytes()

    def require(self, needed: int) -> None:
        """Refuse work that the disk would not hold.

        Raises
        ------
        InsufficientStorage
            With the figures.
        """
        room = self.room_bytes()
        if needed > room:
            raise self.full(needed, room)

    def full(self, needed: int | None = None, free: int | None = None) -> InsufficientStorage:
        """Return the error of a disk without room."""
        whose, mend = ("activation store", "Delete caches or free disk space")
        if self._in_bucket:
            whose, mend = ("shards on their way", "Free space in ACTIVATION_SCRATCH_DIR")
        return InsufficientStorage(
            f"The disk of the {whose} has no room for this.",
            reason="disk_full",
            required_bytes=needed,
            available_bytes=self.free_bytes() if free is None else free,
            remedy=f"{mend}, then ask again; what is done is kept.",
        )


def _scratch(settings: ExtractorSettings) -> Path:
    return (settings.activation_scratch_dir or Path(tempfile.gettempdir())).resolve()

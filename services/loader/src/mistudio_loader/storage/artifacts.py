"""``artifact.json``: what a prepared artifact is and where it came from."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mistudio_contracts import Dtype, Quantization, Source
from mistudio_contracts.base import UtcDatetime, utcnow
from mistudio_contracts.values import Artifact, Fidelity, ModelFacts, QuantizationOptions

from .digests import canonical_json

MANIFEST = "artifact.json"
SCHEMA_VERSION = 1


class StoredFile(BaseModel):
    """A file of the artifact; ``name`` is relative to its directory."""

    model_config = ConfigDict(frozen=True)

    name: str
    bytes: int = Field(ge=0)
    sha256: str


class ArtifactManifest(BaseModel):
    """The content of ``artifact.json``. It never holds a local path."""

    schema_version: int = SCHEMA_VERSION
    fingerprint: str
    source: Source
    model_identifier: str | None = Field(
        default=None, description="The hub's id; null for a local checkpoint."
    )
    revision: str | None = None
    quantization: Quantization
    quantization_options: QuantizationOptions | None = Field(
        default=None, description="Of int4; null for the other formats."
    )
    dtype: Dtype
    bytes: int = Field(ge=0, description="Bytes of the safetensors files.")
    files: list[StoredFile]
    source_sha256: dict[str, str]
    facts: ModelFacts
    fidelity: Fidelity | None = Field(
        default=None, description="What quantising changed; null where nothing was quantised."
    )
    warnings: list[str] = Field(
        default_factory=list, description="What was odd about the checkpoint."
    )
    tools: dict[str, str]
    created_at: UtcDatetime = Field(default_factory=utcnow)

    def artifact(self) -> Artifact:
        """Return the contract's view."""
        return Artifact(
            fingerprint=self.fingerprint,
            quantization=self.quantization,
            dtype=self.dtype,
            bytes=self.bytes,
        )

    def to_bytes(self) -> builtins.bytes:
        """Return the file's content."""
        body: dict[str, Any] = self.model_dump(mode="json")
        return canonical_json(body)


def find_artifact(root: Path, fingerprint: str) -> ArtifactManifest | None:
    """Return the manifest of a complete artifact, None when it is absent or a file is damaged.

    Every file must be there with the size that the manifest says.
    """
    directory = root / fingerprint
    try:
        manifest = ArtifactManifest.model_validate_json((directory / MANIFEST).read_bytes())
        whole = all((directory / f.name).stat().st_size == f.bytes for f in manifest.files)
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
    return manifest if whole and manifest.fingerprint == fingerprint else None

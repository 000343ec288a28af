"""What the loader tells a child process, and what that answers."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from mistudio_contracts import Quantization, Source
from mistudio_contracts.states import DatasetFormat
from mistudio_contracts.values import Artifact, Fidelity, ModelFacts, QuantizationOptions


class PrepareJob(BaseModel):
    """What the child process is told."""

    task_id: str
    source: Source
    model_identifier: str
    revision: str | None = None
    quantization: Quantization
    quantization_options: QuantizationOptions = QuantizationOptions()
    root: Path
    local_roots: list[Path]
    endpoint: str
    token: str | None = None
    reserve_bytes: int = 0


class Prepared(BaseModel):
    """What the child process answers; ``options`` of what was quantised already."""

    facts: ModelFacts
    artifact: Artifact
    options: QuantizationOptions | None = None
    fidelity: Fidelity | None = None


class HubDataset(BaseModel):
    """A dataset of the hub."""

    repo_id: str
    split: str
    subset: str | None = None
    revision: str | None = None
    endpoint: str
    token: str | None = None


class IngestJob(BaseModel):
    """What the child process is told: a file, or a dataset of the hub.

    ``max_bytes`` is of the rows, ``memory_bytes`` what reading them may take at any moment.
    """

    task_id: str
    root: Path
    file: Path | None = None
    name: str
    hub: HubDataset | None = None
    format: DatasetFormat | None = None
    text_column: str | None = None
    max_bytes: int
    memory_bytes: int = 3 * 1024**3
    reserve_bytes: int = 0

"""The loader's settings, from the environment."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from mistudio_servicekit.settings import ServiceSettings

_HUB = "https://huggingface.co"
_GIB = 1024**3


class LoaderSettings(ServiceSettings):
    """Settings of ``python -m mistudio_loader``.

    ``local_roots`` is a list of directories joined as in ``PATH``; only what lies inside them can
    be named by a local model or dataset. ``centre`` is the JetStream domain of the site that this
    one is the edge of, where uploads lie; empty: they lie here.
    """

    # Deployments pass on variables that nobody has set as empty ones.
    model_config = SettingsConfigDict(env_ignore_empty=True)

    model_cache_dir: Path = Path("./models")
    dataset_cache_dir: Path = Path("./datasets")
    local_roots: str = ""
    huggingface_token: str | None = Field(default=None, repr=False)
    hf_endpoint: str = _HUB
    centre: str = Field(default="", validation_alias="MISTUDIO_CENTRE")
    dataset_max_bytes: int = Field(default=8 * _GIB, ge=1)
    dataset_memory_bytes: int = Field(
        default=3 * _GIB,
        ge=_GIB,
        description="Most memory that reading a dataset takes; a file that needs more is refused.",
    )
    disk_reserve_bytes: int = Field(
        default=256 * 1024 * 1024, ge=0, description="Stays free whatever is written."
    )
    disk_report_seconds: float = Field(
        default=3600.0,
        gt=0,
        description="Seconds between two reports of what lies on the disk; the first is at start.",
    )

    @property
    def roots(self) -> list[Path]:
        """The allowed roots."""
        return [Path(entry) for entry in self.local_roots.split(os.pathsep) if entry]

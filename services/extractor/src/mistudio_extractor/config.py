"""The extractor's settings, from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from mistudio_servicekit.settings import ServiceSettings

_GIB = 1024**3


class ExtractorSettings(ServiceSettings):
    """Settings of ``python -m mistudio_extractor``.

    ``gpu_memory_limit_gb`` holds on a CPU too, over the weights that are resident.
    """

    model_cache_dir: Path = Path("./models")
    dataset_cache_dir: Path = Path("./datasets")
    activation_cache_dir: Path = Path("./activations")
    device_id_file: Path = Path("./device-id")
    device: Literal["cpu", "cuda"] | None = Field(
        default=None,
        validation_alias="MISTUDIO_DEVICE",
        description="cpu or cuda; null takes CUDA where there is one.",
    )
    gpu_memory_limit_gb: float = Field(default=6.0, gt=0)
    max_resident_models: int = Field(default=3, ge=1)
    disk_reserve_bytes: int = Field(
        default=256 * 1024 * 1024, ge=0, description="Stays free whatever is written."
    )
    kernel_cache_dir: Path | None = Field(
        default=None,
        description="Keeps which quantised formats run here; null takes the user's cache.",
    )
    kernel_check_delay_seconds: float = Field(
        default=15.0, ge=0, description="How long after the start the formats are tried."
    )
    torch_num_threads: int | None = Field(default=None, ge=1)

    @property
    def memory_limit_bytes(self) -> int:
        """The budget that the settings allow."""
        return int(self.gpu_memory_limit_gb * _GIB)

"""The extractor's settings, from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from mistudio_activations import ActivationsError
from mistudio_activations.places import PATIENCE, parse_url
from mistudio_servicekit.settings import ServiceSettings

_GIB = 1024**3


class ExtractorSettings(ServiceSettings):
    """Settings of ``python -m mistudio_extractor``.

    ``gpu_memory_limit_gb`` holds on a CPU too, over the weights that are resident.
    """

    model_cache_dir: Path = Path("./models")
    dataset_cache_dir: Path = Path("./datasets")
    activation_cache_dir: Path | str = Field(
        default=Path("./activations"),
        description="A directory, or s3://bucket/prefix; the AWS_* variables say where and who.",
    )
    activation_scratch_dir: Path | None = Field(
        default=None,
        description="Where shards are written on their way into a bucket; null: the system's own.",
    )
    bucket_patience_seconds: float = Field(
        default=PATIENCE,
        gt=0,
        description="How long a bucket that does not answer is asked again before work is put off.",
    )
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

    @field_validator("activation_cache_dir", mode="before")
    @classmethod
    def _directory_or_bucket(cls, value: object) -> object:
        if not isinstance(value, str) or "://" not in value:
            return Path(value) if isinstance(value, str) else value
        try:
            parse_url(value)
        except ActivationsError as error:
            raise ValueError(str(error)) from None
        return value

    @property
    def memory_limit_bytes(self) -> int:
        """The budget that the settings allow."""
        return int(self.gpu_memory_limit_gb * _GIB)

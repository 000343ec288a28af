"""The settings that every service shares, read from the environment."""

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from mistudio_contracts.base import Pool

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class ServiceSettings(BaseSettings):
    """Base of a service's settings class.

    Each field is read from the environment variable of its name in capitals; ``pool`` from
    ``MISTUDIO_POOL``. Environment variables that name no field do not matter, but an unknown
    keyword argument is refused.

    Parameters
    ----------
    nats_url
        Address of the bus, credentials included, or those of a cluster's servers with commas
        between. Left out of ``repr`` for their sake.
    pool
        The group of equal devices, with a store in common, that this process belongs to.
    log_level
        One of DEBUG, INFO, WARNING, ERROR and CRITICAL.
    health_host, health_port
        Where the health and metrics pages are served; port 0 means any free one.
    """

    model_config = SettingsConfigDict(extra="forbid", populate_by_name=True, frozen=True)

    nats_url: str = Field(default="nats://127.0.0.1:4222", repr=False)
    pool: Pool = Field(default="default", validation_alias="MISTUDIO_POOL")
    log_level: str = "INFO"
    health_host: str = "127.0.0.1"
    health_port: int = Field(default=0, ge=0, le=65_535)

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        level = value.upper()
        if level not in LOG_LEVELS:
            raise ValueError(f"use one of {', '.join(LOG_LEVELS)}")
        return level

"""Everything the gateway can be told from outside."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from mistudio_gateway.domain.addresses import is_guarded
from mistudio_servicekit.settings import ServiceSettings

ASYMMETRIC = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
"""Signatures that a published key can check; with another kind the key itself would sign."""

GIB = 1024**3
MIB = 1024**2
HERE = Path(__file__).resolve().parent
BUILDS = (HERE / "web", HERE.parents[2] / "web" / "dist")
"""Where a build of the web UI may be: in a wheel that carries it, or beside us in a checkout."""


def built_ui() -> Path | None:
    """Return the directory of the web UI's files, or None when it has not been built."""
    return next((build for build in BUILDS if (build / "index.html").is_file()), None)


class GatewaySettings(ServiceSettings):
    """Settings of one gateway process, from the environment under the same names in capitals.

    ``*_bytes`` are bytes, ``*_seconds`` seconds.
    """

    gateway_host: str = "127.0.0.1"
    gateway_port: int = Field(default=8000, ge=0, le=65_535)
    jwt_secret_key: SecretStr = Field(description="At least 32 bytes; signs tokens and links.")
    oidc_issuer: str | None = Field(
        default=None,
        description="Whose tokens open the doors, in place of our own; empty for our own.",
    )
    oidc_audience: str = Field(
        default="mistudio", min_length=1, description="What the issuer's tokens call us."
    )
    oidc_algorithms: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("RS256",), min_length=1, description="Of the issuer's signatures."
    )
    oidc_scopes_claim: str = Field(
        default="scope", min_length=1, description="Where the issuer's tokens hold the scopes."
    )
    cors_origins: Annotated[list[str], NoDecode] = Field(
        default_factory=list, description="Origins of browsers' pages, comma-separated."
    )
    max_upload_bytes: int = Field(default=2 * GIB, ge=1)
    max_body_bytes: int = Field(default=MIB, ge=1024, description="Of a JSON body.")
    web_dir: Path | None = Field(
        default_factory=built_ui,
        description="The web UI's files, for /; empty for the built-in page.",
    )

    rpc_timeout_seconds: float = Field(default=5.0, gt=0)
    register_timeout_seconds: float = Field(
        default=30.0, gt=0, description="Registering a model reads its config from the hub first."
    )
    verify_timeout_seconds: float = Field(
        default=50.0, gt=0, description="Within it the largest file of a store is read."
    )
    look_timeout_seconds: float = Field(
        default=20.0, gt=0, description="Reading enough of a store for a picture of it."
    )
    socket_auth_seconds: float = Field(default=5.0, gt=0)
    socket_backlog_bytes: int = Field(
        default=MIB, ge=1024, description="A WebSocket client behind by more is sent away."
    )
    socket_clients: int = Field(default=2000, ge=1, description="Most WebSocket clients at once.")
    ring_events: int = Field(default=10_000, ge=1, description="Newest events kept in memory.")
    ring_bytes: int = Field(default=16 * MIB, ge=0, description="Most bytes of their frames.")

    @field_validator("jwt_secret_key")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value().encode()) < 32:
            raise ValueError("JWT_SECRET_KEY must have at least 32 bytes")
        return value

    @field_validator("oidc_issuer", mode="before")
    @classmethod
    def _guarded(cls, value: Any) -> Any:
        if value and not is_guarded(str(value)):
            raise ValueError("OIDC_ISSUER must be an https address, or one of this machine")
        return value or None

    @field_validator("oidc_algorithms", mode="before")
    @classmethod
    def _of_published_keys(cls, value: Any) -> Any:
        named = value.replace(",", " ").split() if isinstance(value, str) else value
        if set(named) - set(ASYMMETRIC):
            raise ValueError(f"OIDC_ALGORITHMS takes {', '.join(ASYMMETRIC)}")
        return tuple(named)

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _comma_list(cls, value: Any) -> Any:
        if isinstance(value, str):
            return [part.strip().rstrip("/") for part in value.split(",") if part.strip()]
        return value

    @field_validator("web_dir", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value or None

    @classmethod
    def ephemeral(cls, **overrides: Any) -> GatewaySettings:
        """Return settings with a secret made on the spot: nobody's token is valid.

        For what needs an application but no callers, such as rendering the OpenAPI document.
        """
        values: dict[str, Any] = {"jwt_secret_key": SecretStr(secrets.token_hex(32)), **overrides}
        return cls(**values)

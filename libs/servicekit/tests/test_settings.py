"""Settings come from the environment; what is misspelt in code is refused."""

import pytest
from pydantic import SecretStr, ValidationError

from mistudio_servicekit.settings import ServiceSettings


class Settings(ServiceSettings):
    jwt_secret_key: SecretStr = SecretStr("")
    model_limit: int = 3


def test_defaults_need_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NATS_URL", "MISTUDIO_POOL", "LOG_LEVEL", "HEALTH_HOST", "HEALTH_PORT"):
        monkeypatch.delenv(name, raising=False)
    settings = ServiceSettings()
    assert settings.nats_url == "nats://127.0.0.1:4222"
    assert settings.pool == "default"
    assert settings.log_level == "INFO"
    assert (settings.health_host, settings.health_port) == ("127.0.0.1", 0)


def test_every_field_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_URL", "nats://u:p@bus:4222")
    monkeypatch.setenv("MISTUDIO_POOL", "lab-2")
    monkeypatch.setenv("LOG_LEVEL", "debug")
    monkeypatch.setenv("HEALTH_PORT", "8081")
    monkeypatch.setenv("MODEL_LIMIT", "7")
    settings = Settings()
    assert settings.nats_url == "nats://u:p@bus:4222"
    assert settings.pool == "lab-2"
    assert settings.log_level == "DEBUG"
    assert settings.health_port == 8081
    assert settings.model_limit == 7


def test_variables_that_name_nothing_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISTUDIO_NONSENSE", "1")
    assert ServiceSettings().pool == "default"


def test_an_unknown_argument_is_refused() -> None:
    arguments = {"nats_ulr": "nats://x"}
    with pytest.raises(ValidationError, match="nats_ulr"):
        ServiceSettings(**arguments)  # type: ignore[arg-type]


def test_a_pool_can_be_given_by_name() -> None:
    assert ServiceSettings(pool="lab").pool == "lab"


@pytest.mark.parametrize("values", [{"pool": "Has.Dots"}, {"log_level": "loud"}])
def test_values_that_cannot_work_are_refused(values: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        ServiceSettings(**values)  # type: ignore[arg-type]


def test_secrets_are_not_shown() -> None:
    shown = repr(Settings(nats_url="nats://u:hidden@bus", jwt_secret_key=SecretStr("hidden")))
    assert "hidden" not in shown

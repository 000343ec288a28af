"""The compose file as Docker Compose reads it: each profile whole, hardened, in order of health."""

from __future__ import annotations

from pathlib import Path

import pytest

from mistudio_testkit.composed import PROFILES, ROOT, Service, resolved, secrets

ALWAYS = {"nats", "postgres", "setup", "catalog", "gateway"}
OF_PROFILE = {
    "cpu": {"loader", "extractor"},
    "cuda": {"loader-cuda", "extractor-cuda"},
    "jetson": {"loader-jetson", "extractor-jetson"},
    "observability": {"prometheus", "alertmanager", "grafana", "collector", "tempo", "loki"},
}
NO_CLIENT = {"collector", "tempo", "loki"}
"""Their images hold nothing that could ask them how they are."""

OTHERS = {"prometheus", "alertmanager", "grafana", *NO_CLIENT}
"""Images that run as ordinary users of their own."""


@pytest.fixture(scope="module")
def services() -> dict[str, Service]:
    return resolved(secrets(), *PROFILES)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_is_the_services_that_it_names(profile: str) -> None:
    assert set(resolved(secrets(), profile)) == ALWAYS | OF_PROFILE[profile]


def test_nothing_starts_without_its_secrets() -> None:
    some = {key: value for key, value in secrets().items() if key != "NATS_CATALOG_PASSWORD"}
    with pytest.raises(AssertionError, match="run deploy/secrets"):
        resolved(some, "cpu")


def test_no_secret_is_another() -> None:
    values = list(secrets().values())
    assert len(set(values)) == len(values) == 10
    assert all(len(value) >= 32 and value[0].isalpha() for value in values)


def test_every_container_is_locked_down_and_bounded(services: dict[str, Service]) -> None:
    for name, service in services.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        limits = service["deploy"]["resources"]["limits"]
        assert int(limits["memory"]) > 0, name
        assert limits["pids"] > 0, name
        # Ours are made with a user in the image; see test_images.py.
        assert "build" in service or service.get("user") or name in OTHERS, name


def test_what_a_service_needs_is_healthy_before_it_starts(services: dict[str, Service]) -> None:
    asked = {"setup", *NO_CLIENT}
    for name, service in services.items():
        for other, needs in service.get("depends_on", {}).items():
            if other == "setup":
                assert needs["condition"] == "service_completed_successfully"
            elif other not in NO_CLIENT:
                assert needs["condition"] == "service_healthy", (name, other)
        healthy = service.get("healthcheck", {})
        assert healthy.get("disable", False) == (name in asked), name


def test_what_is_mounted_is_the_configuration_in_the_tree(services: dict[str, Service]) -> None:
    binds = {
        Path(mount["source"]).relative_to(ROOT)
        for service in services.values()
        for mount in service.get("volumes", [])
        if mount["type"] == "bind"
    }
    configuration = binds - {Path("imports")}
    assert all((ROOT / path).exists() for path in configuration)
    assert configuration == {
        Path("infra/alertmanager"),
        Path("infra/grafana/dashboards"),
        Path("infra/grafana/provisioning"),
        Path("infra/loki/loki.yaml"),
        Path("infra/otel/collector.yaml"),
        Path("infra/prometheus"),
        Path("infra/tempo/tempo.yaml"),
    }


def test_the_metrics_of_a_worker_have_one_address_in_every_profile(
    services: dict[str, Service],
) -> None:
    for kind in ("loader", "extractor"):
        for device in ("cuda", "jetson"):
            assert services[f"{kind}-{device}"]["networks"]["default"]["aliases"] == [kind]


def test_the_bus_may_speak_tls(tmp_path: Path) -> None:
    environ = {**secrets(), "NATS_CERTS": str(tmp_path)}
    profiles = ("cpu", "cuda", "jetson")
    usual = resolved(environ, *profiles)
    found = resolved(environ, *profiles, over=["deploy/compose/tls.yaml"])
    assert found["nats"]["command"] == ["-c", "/etc/nats/tls.conf"]
    for name in set(found) - {"nats", "postgres"}:
        plain = usual[name]["environment"]["NATS_URL"]
        assert found[name]["environment"]["NATS_URL"] == plain.replace("nats://", "tls://", 1)
        trust = found[name]["environment"]["SSL_CERT_FILE"]
        assert trust in [mount["target"] for mount in found[name]["volumes"]]

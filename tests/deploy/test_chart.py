"""The Helm chart, linted and rendered by Helm itself and checked by the schemas of Kubernetes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from mistudio_contracts import topology
from mistudio_servicekit.permissions import SERVICES
from mistudio_testkit.composed import ROOT

helm = pytest.importorskip("helm_python", reason="Helm comes as a library for Linux on x86-64")

CHART = ROOT / "deploy/helm/mistudio"
KUBERNETES = "1.33"
OURS = {"catalog", "gateway", "loader", "extractor", "setup"}

Manifest = dict[str, Any]

OTHERWISE: Manifest = {
    "extractor": {"device": "cpu", "scaling": {"enabled": False}},
    "bucket": {"url": "s3://bucket/prefix", "secret": "aws"},
    "gateway": {"ingress": {"enabled": True, "host": "m.example", "tlsSecret": "tls"}},
    "catalog": {"replicas": 2},
    "otlpEndpoint": "http://collector:4318",
    "data": {"existingClaim": "there"},
    "nats": {"streamReplicas": 3},
}


def rendered(values: Manifest) -> dict[tuple[str, str], Manifest]:
    """Return the manifests of a release by kind and name."""
    with helm.Chart.load(CHART) as chart:
        files = chart.render(values, name="mistudio", namespace="prod")
    found: dict[tuple[str, str], Manifest] = {}
    for name, text in files.items():
        if name.endswith(".yaml"):
            for each in filter(None, yaml.safe_load_all(text)):
                key = (each["kind"], each["metadata"]["name"])
                assert key not in found, key
                found[key] = each
    return found


def pods(manifests: dict[tuple[str, str], Manifest]) -> dict[str, Manifest]:
    """Return the pod of each workload, by its component."""
    found = {}
    for each in manifests.values():
        template = each["spec"].get("template")
        if template:
            labels = template["metadata"]["labels"]
            found[labels["app.kubernetes.io/component"]] = template["spec"]
    return found


@pytest.fixture(scope="module")
def usual() -> dict[tuple[str, str], Manifest]:
    return rendered({})


@pytest.fixture(scope="module")
def otherwise() -> dict[tuple[str, str], Manifest]:
    return rendered(OTHERWISE)


def test_the_linter_has_nothing_to_say() -> None:
    findings = helm.lint(CHART)["messages"]
    assert [each for each in findings if "icon" not in str(each)] == []


@pytest.mark.parametrize("values", [{}, OTHERWISE], ids=["usual", "otherwise"])
def test_kubernetes_takes_every_manifest(values: Manifest) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    for each in rendered(values).values():
        # KEDA's is no kind of Kubernetes' own.
        if each["kind"] != "ScaledObject":
            kubernetes_validate.validate(each, KUBERNETES, strict=True)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"pool": "Not A Pool"}, "/pool"),
        ({"gateway": {"ingress": {"enabled": True}}}, "/gateway/ingress/host"),
        ({"bucket": {"url": "https://bucket"}}, "/bucket/url"),
        ({"nats": {"streamReplicas": 2}}, "/nats/streamReplicas"),
        ({"extractors": {}}, "extractors"),
    ],
)
def test_a_value_that_is_wrong_is_named(values: Manifest, named: str) -> None:
    with pytest.raises(helm.HelmValuesError, match=named):
        rendered(values)


def test_every_pod_is_an_ordinary_users_and_answers_its_probes(
    usual: dict[tuple[str, str], Manifest],
) -> None:
    found = pods(usual)
    assert set(found) == OURS
    for name, pod in found.items():
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["runAsUser"] == 10001, name
        assert not pod["automountServiceAccountToken"], name
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert container["resources"]["limits"]["memory"], name
        if name != "setup":
            probed = {
                kind: container[f"{kind}Probe"]["httpGet"]["path"]
                for kind in ("startup", "liveness", "readiness")
            }
            assert probed == {
                "startup": "/health/live",
                "liveness": "/health/live",
                "readiness": "/health/ready",
            }


def test_each_service_is_a_user_of_the_bus_by_itself(
    usual: dict[tuple[str, str], Manifest],
) -> None:
    found = pods(usual)
    for name in (*SERVICES, "setup"):
        env = {each["name"]: each for each in found[name]["containers"][0]["env"]}
        user = "provision" if name == "setup" else name
        assert env["NATS_URL"]["valueFrom"]["secretKeyRef"]["key"] == f"nats-{user}"
        assert ("DATABASE_URL" in env) == (name in ("catalog", "setup")), name
        assert ("JWT_SECRET_KEY" in env) == (name == "gateway"), name


def test_as_many_servers_keep_each_message_as_the_values_say(
    usual: dict[tuple[str, str], Manifest], otherwise: dict[tuple[str, str], Manifest]
) -> None:
    for manifests, replicas in ((usual, "1"), (otherwise, "3")):
        (container,) = pods(manifests)["setup"]["containers"]
        assert "python -m mistudio_servicekit provision" in container["command"][-1]
        env = {each["name"]: each.get("value") for each in container["env"]}
        assert env["MISTUDIO_STREAM_REPLICAS"] == replicas


def test_what_a_service_is_told_is_what_it_reads(
    otherwise: dict[tuple[str, str], Manifest],
) -> None:
    from mistudio_catalog.config import CatalogSettings
    from mistudio_extractor.config import ExtractorSettings
    from mistudio_gateway.config import GatewaySettings
    from mistudio_loader.config import LoaderSettings

    elsewhere = {"OTEL_EXPORTER_OTLP_ENDPOINT", "MISTUDIO_POOLS", "POD_NAME"}
    for name, settings in (
        ("catalog", CatalogSettings),
        ("extractor", ExtractorSettings),
        ("gateway", GatewaySettings),
        ("loader", LoaderSettings),
    ):
        known = {
            str(field.validation_alias or key).upper()
            for key, field in settings.model_fields.items()
        }
        told = {each["name"] for each in pods(otherwise)[name]["containers"][0]["env"]}
        assert told <= known | elsewhere, name


def test_a_gpu_is_asked_for_where_there_is_to_be_one_and_nowhere_else(
    usual: dict[tuple[str, str], Manifest], otherwise: dict[tuple[str, str], Manifest]
) -> None:
    on_gpu, on_cpu = pods(usual)["extractor"], pods(otherwise)["extractor"]
    assert on_gpu["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert on_gpu["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert "nvidia.com/gpu" not in on_cpu["containers"][0]["resources"]["limits"]
    assert "nodeSelector" not in on_cpu
    assert on_cpu["containers"][0]["image"] == "mistudio-cpu:0.1.0"


def test_extractors_are_scaled_by_the_queues_that_they_read(
    usual: dict[tuple[str, str], Manifest], otherwise: dict[tuple[str, str], Manifest]
) -> None:
    scaled = usual["ScaledObject", "mistudio-extractor"]["spec"]
    assert ("StatefulSet", scaled["scaleTargetRef"]["name"]) in usual
    assert "replicas" not in usual["StatefulSet", "mistudio-extractor"]["spec"], "KEDA sets them"
    asked = {(t["metadata"]["stream"], t["metadata"]["consumer"]) for t in scaled["triggers"]}
    provisioned = {(each.stream, each.name) for each in topology.consumers(("default",))}
    assert asked <= provisioned
    assert ("WORK", "extractor-work-default-extraction-shard") in asked
    assert all(isinstance(v, str) for t in scaled["triggers"] for v in t["metadata"].values())
    assert not [kind for kind, _ in otherwise if kind == "ScaledObject"]
    assert otherwise["StatefulSet", "mistudio-extractor"]["spec"]["replicas"] == 1


def test_the_last_of_several_is_never_drained(
    usual: dict[tuple[str, str], Manifest], otherwise: dict[tuple[str, str], Manifest]
) -> None:
    kept = {name for kind, name in usual if kind == "PodDisruptionBudget"}
    assert kept == {"mistudio-gateway", "mistudio-extractor"}
    # A budget for one catalog would keep its node from being drained for ever.
    assert ("PodDisruptionBudget", "mistudio-catalog") in otherwise


def test_a_pod_may_reach_what_it_needs_and_no_more(
    usual: dict[tuple[str, str], Manifest], otherwise: dict[tuple[str, str], Manifest]
) -> None:
    assert _reach(usual, "catalog") == {53, 4222, 5432}
    assert _reach(usual, "gateway") == {53, 4222}
    assert _reach(usual, "loader") == {53, 4222, 443}
    assert _reach(usual, "extractor") == {53, 4222}
    assert _reach(otherwise, "extractor") == {53, 4222, 443, 4318}


def _reach(manifests: dict[tuple[str, str], Manifest], component: str) -> set[int]:
    """Return the ports that the policies let a component's pods connect to."""
    found: set[int] = set()
    for (kind, _), each in manifests.items():
        if kind == "NetworkPolicy" and "Egress" in each["spec"]["policyTypes"]:
            selector = each["spec"]["podSelector"]
            named = [e["values"] for e in selector.get("matchExpressions", [])]
            if all(component in values for values in named):
                rules = each["spec"].get("egress", [])
                found |= {port["port"] for rule in rules for port in rule["ports"]}
    return found

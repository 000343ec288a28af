"""Rules, routes, dashboards and pages: taken by their programs, and of metrics that there are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana import Query
from render import brokers, declared_metrics, gateway_app

from mistudio_servicekit.metering import Declared
from mistudio_testkit.prometheus import PrometheusMissing, find_program

from .queries import Known, known_series, mistakes

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
RUNBOOKS = ROOT / "docs" / "runbooks"
SECTIONS = ("**It means:**", "## Look here first", "## Mend it", "## It is over when")

Declarations = Mapping[str, Sequence[Declared]]
Json = dict[str, Any]


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def check(program: str, *arguments: str | Path) -> None:
    ran = subprocess.run(
        [find_program(program), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


ALERTS: dict[str, Json] = {
    rule["alert"]: rule
    for path in sorted((INFRA / "prometheus" / "rules").glob("*.yml"))
    for group in read(path)["groups"]
    for rule in group["rules"]
}
DASHBOARDS: dict[str, Json] = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((INFRA / "grafana" / "dashboards").glob("*.json"))
}
PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
]


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Declarations:
    services = brokers(tmp_path_factory.mktemp("services"))
    return declared_metrics(services, gateway_app())


@pytest.fixture(scope="module")
def known(declared: Declarations) -> Known:
    return known_series(declared)


def test_prometheus_takes_its_configuration_with_the_rules() -> None:
    check("promtool", "check", "config", INFRA / "prometheus" / "prometheus.yml")


def test_alerts_fire_and_clear_as_their_tests_say() -> None:
    check("promtool", "test", "rules", *sorted((INFRA / "prometheus" / "tests").glob("*.yml")))


def test_alertmanager_takes_its_routes() -> None:
    check("amtool", "check-config", INFRA / "alertmanager" / "alertmanager.yml")


@pytest.mark.parametrize("severity", ["warning", "critical"])
def test_each_severity_has_a_receiver(severity: str) -> None:
    expected = {"warning": "morning", "critical": "now"}[severity]
    config = INFRA / "alertmanager" / "alertmanager.yml"
    routing = ("config", "routes", "test", f"--config.file={config}")
    check("amtool", *routing, f"--verify.receivers={expected}", f"severity={severity}")


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_a_test_in_which_it_fires_and_then_clears(alert: str) -> None:
    ways = [
        [bool(each["exp_alerts"]) for each in test["alert_rule_test"] if each["alertname"] == alert]
        for path in (INFRA / "prometheus" / "tests").glob("*.yml")
        for test in read(path)["tests"]
    ]
    assert any(way[:3] == [False, True, False] or way[:2] == [True, False] for way in ways)


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{alert}.md"


def test_each_alert_has_a_page_and_each_page_an_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"} == set(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_a_page_says_what_it_means_where_to_look_what_to_do_and_when_it_is_over(alert: str) -> None:
    text = (RUNBOOKS / f"{alert}.md").read_text(encoding="utf-8")
    places = [text.find(section) for section in SECTIONS]
    assert -1 not in places
    assert places == sorted(places)
    links = re.findall(r"\]\(([\w./]+)\)", text)
    assert [link for link in links if not (RUNBOOKS / link).exists()] == []


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_asks_for_what_the_services_declare(alert: str, known: Known) -> None:
    assert mistakes(ALERTS[alert]["expr"], known) == []


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_answers_a_question_with_what_the_services_declare(
    panel: Json, known: Known
) -> None:
    assert panel["description"].endswith("?") or "? " in panel["description"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    for target in panel["targets"]:
        query = Query(target["expr"]).in_prometheus()
        assert mistakes(query, known) == [], query


def test_dashboards_ask_the_source_that_is_provisioned() -> None:
    (source,) = read(INFRA / "grafana/provisioning/datasources/prometheus.yml")["datasources"]
    asked = {
        target["datasource"]["uid"]
        for dashboard in DASHBOARDS.values()
        for panel in dashboard["panels"]
        for target in panel["targets"]
    }
    assert asked == {source["uid"]}
    assert set(DASHBOARDS) == {"overview", "device", "loading", "extraction", "bus", "api"}
    assert len({dashboard["uid"] for dashboard in DASHBOARDS.values()}) == len(DASHBOARDS)


if sys.version_info >= (3, 11):  # The library is not for Python 3.10.

    @pytest.mark.parametrize("name", DASHBOARDS)
    def test_grafanas_own_model_of_a_dashboard_knows_all_that_is_in_one(name: str) -> None:
        from grafana_foundation_sdk.cog.encoder import JSONEncoder
        from grafana_foundation_sdk.models.dashboard import Dashboard

        read = Dashboard.from_json(DASHBOARDS[name])
        assert missing(DASHBOARDS[name], json.loads(JSONEncoder().encode(read))) == []


def missing(written: Any, read: Any, at: str = "") -> list[str]:
    """Return where what was read lacks something that was written; defaults may be added."""
    if isinstance(written, dict) and isinstance(read, dict):
        return [
            problem
            for key, value in written.items()
            # Nothing and an empty list are as good as left out.
            if value not in (None, [], {}) or key in read
            for problem in missing(value, read.get(key), f"{at}.{key}")
        ]
    if isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        pairs = enumerate(zip(written, read, strict=True))
        return [p for index, (a, b) in pairs for p in missing(a, b, f"{at}[{index}]")]
    return [] if written == read else [at]


def test_panels_do_not_lie_on_each_other() -> None:
    for dashboard in DASHBOARDS.values():
        taken = [
            (place["x"] + x, place["y"] + y)
            for place in (panel["gridPos"] for panel in dashboard["panels"])
            for x in range(place["w"])
            for y in range(place["h"])
        ]
        assert len(taken) == len(set(taken))
        assert max(x for x, _ in taken) < 24


def test_metrics_are_named_as_prometheus_wants(declared: Declarations) -> None:
    for metrics in declared.values():
        for metric in metrics:
            assert re.fullmatch(r"mistudio_[a-z][a-z_]*[a-z]", metric.name)
            assert (metric.kind == "counter") == metric.name.endswith("_total"), metric.name
            assert metric.kind != "histogram" or metric.unit in ("seconds", "bytes"), metric.name
            assert metric.meaning.endswith("."), metric.name


def test_no_label_holds_an_id(declared: Declarations) -> None:
    """Every label has its words declared, or takes them from a set that the contract bounds."""
    bounded_elsewhere = {"subject", "code", "measure", "method", "route", "status"}
    for metrics in declared.values():
        for metric in metrics:
            without_words = {label for label, values in metric.labels.items() if not values}
            assert without_words <= bounded_elsewhere, metric.name


@pytest.mark.parametrize(
    ("query", "mistake"),
    [
        ("mistudio_catalog_letters", "no service has mistudio_catalog_letters"),
        ('mistudio_catalog_models{state="ready"}', "mistudio_catalog_models has no label state"),
        (
            'mistudio_catalog_models{status="gone"}',
            "mistudio_catalog_models is never of status gone",
        ),
        ("sum by (device) (mistudio_catalog_models)", "no series has the label device"),
        ("1 + 1", "asks for nothing: 1 + 1"),
    ],
)
def test_a_query_for_what_there_is_not_is_found_out(query: str, mistake: str, known: Known) -> None:
    assert mistakes(query, known) == [mistake]


def test_a_program_that_was_unpacked_once_is_used_again(tmp_path: Path) -> None:
    kept = tmp_path / "prometheus" / "promtool"
    kept.parent.mkdir()
    kept.write_text("#!/bin/sh\nexit 0\n")
    kept.chmod(0o755)
    nowhere = {"PATH": str(tmp_path / "nowhere")}
    assert find_program("promtool", environ=nowhere, cache=tmp_path) == kept


def test_where_a_program_cannot_be_had_it_is_said_what_to_install(tmp_path: Path) -> None:
    nowhere = {"PATH": str(tmp_path / "nowhere")}
    with pytest.raises(PrometheusMissing, match="install the packages prometheus and"):
        find_program("promtool", environ=nowhere, cache=tmp_path)

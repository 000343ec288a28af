"""A real Prometheus with the deployed rules, at the running services: what it is asked has answers.

Dashboards and runbooks are read as they are committed. Of the deployed configuration only the
addresses and the times between two scrapes are others.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import yaml
from grafana import Query

from mistudio_client.embedded import EmbeddedStack
from mistudio_client.embedded.connection import Connection, read_connection
from mistudio_client.embedded.health import http_ok
from mistudio_client.embedded.ports import PortBook
from mistudio_client.embedded.processes import wait_until
from mistudio_testkit.models import ragged_texts, write_jsonl
from mistudio_testkit.prometheus import find_program
from mistudio_testkit.site import Json, Site

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
WINDOW = "1m"
"""Long enough for a load and an extraction, and what was before them."""

RULES = [
    rule
    for path in sorted((ROOT / "infra/prometheus/rules").glob("*.yml"))
    for group in yaml.safe_load(path.read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
QUERIES = {
    f"{path.stem}: {panel['title']} {target['refId']}": Query(target["expr"]).in_prometheus(WINDOW)
    for path in sorted((ROOT / "infra/grafana/dashboards").glob("*.json"))
    for panel in json.loads(path.read_text("utf-8"))["panels"]
    for target in panel["targets"]
}
PAGES = {path.stem: path.read_text("utf-8") for path in (ROOT / "docs/runbooks").glob("*.md")}


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    port: int

    def ask(self, query: str) -> list[Json]:
        """Return the series that a query finds now; fail where it is refused."""
        answer = httpx.get(
            f"http://127.0.0.1:{self.port}/api/v1/query", params={"query": query}, trust_env=False
        )
        body = answer.json()
        assert body["status"] == "success", f"{query}: {body.get('error')}"
        found: list[Json] = body["data"]["result"]
        return found

    def numbers(self, query: str) -> list[float]:
        """Return the values that a query finds now and that are numbers."""
        values = [float(each["value"][1]) for each in self.ask(query)]
        return [value for value in values if not math.isnan(value)]

    def until(self, query: str) -> None:
        """Wait until a query finds something."""
        assert wait_until(lambda: bool(self.numbers(query)), PATIENCE), query


def configured(targets: Mapping[str, int], home: Path) -> Path:
    """Write the deployed configuration for other addresses, and return its file."""
    shutil.copytree(ROOT / "infra/prometheus", home)
    file = home / "prometheus.yml"
    config = yaml.safe_load(file.read_text("utf-8"))
    assert [job["job_name"] for job in config["scrape_configs"]] == list(targets)
    for job in config["scrape_configs"]:
        assert job.pop("dns_sd_configs")
        job["static_configs"] = [{"targets": [f"127.0.0.1:{targets[job['job_name']]}"]}]
    config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "1s"}
    del config["alerting"]
    file.write_text(yaml.safe_dump(config), "utf-8")
    return file


@pytest.fixture(scope="module")
def connection(stack: EmbeddedStack) -> Connection:
    found = read_connection(stack.data_dir)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def prometheus(
    connection: Connection, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """Prometheus, once it has seen every service."""
    home = tmp_path_factory.mktemp("prometheus")
    ports = connection.ports
    targets = {name: ports[f"health_{name}"] for name in ("catalog", "loader", "extractor")}
    config = configured({**targets, "gateway": ports["gateway"]}, home / "etc")
    port = PortBook(home / "ports.json").claim("prometheus")
    log = home / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                find_program("prometheus"),
                f"--config.file={config}",
                f"--storage.tsdb.path={home / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=output,
            stderr=output,
        )
    try:
        assert wait_until(lambda: http_ok(port, "/-/ready"), PATIENCE), log.read_text()
        running = Prometheus(port)
        running.until("count(up == 1) == 4")
        yield running
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def after_work(
    prometheus: Prometheus,
    site: Site,
    tiny_model: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Prometheus:
    """Prometheus, once it has seen a dataset, a load and an extraction from begin to end."""
    home = tmp_path_factory.mktemp("work")
    dataset = site.upload(write_jsonl(home / "texts.jsonl", ragged_texts(8)))
    model = site.ready_model(tiny_model("gpt2"))
    done = site.extract(model["id"], dataset_id=dataset["id"], layer_indices=[0, 1])
    assert done["status"] == "completed", done["error"]
    for counted in (
        'mistudio_catalog_extractions_total{outcome="completed"}',
        "mistudio_extractor_phase_seconds_count{phase='commit'}",
        "mistudio_loader_ingestions_total{outcome='ingested'}",
        "mistudio_gateway_websocket_delay_seconds_count",
    ):
        prometheus.until(f"sum(increase({counted}[{WINDOW}])) > 0")
    return prometheus


@pytest.mark.parametrize("name", QUERIES)
def test_a_panel_has_something_to_show(name: str, after_work: Prometheus) -> None:
    # A scrape that a busy machine answers too late leaves a gap until the next.
    after_work.until(QUERIES[name])


def test_rules_are_evaluated_and_nothing_that_works_alarms_anybody(
    after_work: Prometheus,
) -> None:
    url = f"http://127.0.0.1:{after_work.port}/api/v1/rules"
    names = {rule["alert"] for rule in RULES}

    def evaluated() -> dict[str, Json]:
        groups = httpx.get(url, trust_env=False).json()["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return {rule["name"]: rule for rule in rules if rule["health"] != "unknown"}

    assert wait_until(lambda: set(evaluated()) == names, PATIENCE)
    assert {rule["health"] for rule in evaluated().values()} == {"ok"}
    # Other tests on this stack fail loads, and disks are as full as they are.
    may = {"LoadsFail", "DiskFilling", "DeviceMemoryHigh", "DeadLetters"}
    assert {name for name, rule in evaluated().items() if rule["state"] != "inactive"} <= may


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_what_an_alert_watches_is_there(rule: dict[str, Any], after_work: Prometheus) -> None:
    """Compared with nothing, each part of its expression is a number."""
    after_work.ask(rule["expr"])
    for watched in set(re.findall(r"mistudio_\w+", rule["expr"])):
        after_work.until(watched)


def test_each_service_reads_all_its_figures(after_work: Prometheus) -> None:
    read = {
        (each["metric"]["job"], each["metric"]["measure"])
        for each in after_work.ask("mistudio_measured == 1")
    }
    assert read == {
        ("catalog", "rows"),
        ("catalog", "connections"),
        ("catalog", "queues"),
        ("loader", "disks"),
        ("extractor", "device"),
        ("extractor", "disks"),
    }


def test_no_series_is_named_after_anything_that_comes_and_goes(after_work: Prometheus) -> None:
    series = [each["metric"] for each in after_work.ask('{__name__=~"mistudio_.+"}')]
    values = {value for labels in series for value in labels.values()}
    made = re.compile(r"(?:^|[^a-z])(?:m|ds|ext|act|task|dev|req|evt)_[0-9a-z]{6,}|[0-9a-f]{16,}")
    assert [value for value in values if made.search(value)] == []
    # Four processes; each more model, dataset or extraction adds none.
    assert len(series) < 4000


def test_every_queue_has_a_worker(after_work: Prometheus) -> None:
    # One is between two requests for a message now and then.
    after_work.until("min(mistudio_catalog_queue_workers) > 0")
    subjects = {
        each["metric"]["subject"] for each in after_work.ask("mistudio_catalog_queue_workers")
    }
    assert {"model.load.requested", "work.default.extraction.shard", "report.model.placed"} < (
        subjects
    )


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if "metric '" in text])
def test_the_queries_of_a_runbook_are_understood(page: str, after_work: Prometheus) -> None:
    for query in re.findall(r"metric '([^…]+?)'(?=[\s`])", PAGES[page]):
        after_work.ask(query)


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if 'sql "' in text])
async def test_the_statements_of_a_runbook_are_understood(
    page: str, connection: Connection
) -> None:
    database = await asyncpg.connect(connection.database_url)
    try:
        # What takes a process's number, or is but a sign for any statement, cannot be run.
        for statement in re.findall(r'sql "([^"]+)"', PAGES[page]):
            if "PID" not in statement and "…" not in statement and "$" not in statement:
                await database.execute(statement)
    finally:
        await database.close()

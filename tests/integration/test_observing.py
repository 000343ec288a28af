"""The configuration of collector, traces and logs, as far as it can be told without the programs.

None of the three comes from the package indexes that tests install from: docs/ARCHITECTURE.md
names these files as unproven.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

INFRA = Path(__file__).parents[2] / "infra"


def read(path: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((INFRA / path).read_text(encoding="utf-8"))
    return found


COLLECTOR = read("otel/collector.yaml")
PIPELINES: dict[str, Any] = COLLECTOR["service"]["pipelines"]


@pytest.mark.parametrize("kind", ["receivers", "processors", "exporters"])
def test_pipelines_use_what_is_declared_and_all_of_it(kind: str) -> None:
    used = {name for pipeline in PIPELINES.values() for name in pipeline[kind]}
    assert used == set(COLLECTOR[kind])


def test_extensions_run_that_are_declared() -> None:
    assert set(COLLECTOR["service"]["extensions"]) == set(COLLECTOR["extensions"])


@pytest.mark.parametrize("signal", ["traces", "logs"])
def test_memory_is_limited_first_and_batches_are_made_last(signal: str) -> None:
    processors = PIPELINES[signal]["processors"]
    assert processors[0] == "memory_limiter"
    assert processors[-1] == "batch"
    limits = COLLECTOR["processors"]["memory_limiter"]
    assert limits["spike_limit_mib"] < limits["limit_mib"]


def port_of(endpoint: str) -> int | None:
    return urlsplit(endpoint if "//" in endpoint else f"//{endpoint}").port


def test_traces_and_logs_go_where_tempo_and_loki_listen() -> None:
    tempo, loki = read("tempo/tempo.yaml"), read("loki/loki.yaml")
    to = {
        signal: urlsplit(COLLECTOR["exporters"][name]["endpoint"])
        for signal, pipeline in PIPELINES.items()
        for name in pipeline["exporters"]
    }
    listens = tempo["distributor"]["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    assert (to["traces"].hostname, to["traces"].port) == ("tempo", port_of(listens))
    assert (to["logs"].hostname, to["logs"].port, to["logs"].path) == (
        "loki",
        loki["server"]["http_listen_port"],
        "/otlp",
    )


def test_the_services_speak_to_the_receiver_for_http() -> None:
    http = COLLECTOR["receivers"]["otlp"]["protocols"]["http"]
    assert port_of(http["endpoint"]) == 4318

"""The other doors: the bus with nats-py alone, the command line, and a fuzzer at the REST door."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nats
import pytest
from typer.testing import CliRunner

from mistudio_client.cli.app import app
from mistudio_client.embedded import EmbeddedStack
from mistudio_testkit.fuzzing import fuzz_rest
from mistudio_testkit.models import ragged_texts, write_jsonl
from mistudio_testkit.site import Site

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[2]
TinyModel = Callable[[str], Path]


def test_another_service_loads_and_extracts_with_nats_alone(
    site: Site, stack: EmbeddedStack, tiny_model: TinyModel, tmp_path: Path
) -> None:
    model = site.register(tiny_model("gpt2"))
    dataset = site.upload(write_jsonl(tmp_path / "d.jsonl", ragged_texts(12)))
    ran = subprocess.run(
        [sys.executable, "examples/bus/extract_over_the_bus.py", model["id"], dataset["id"]],
        cwd=ROOT,
        env={**os.environ, "NATS_URL": stack.nats_url},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "model.ready" in ran.stdout
    assert "extraction.completed" in ran.stdout
    listed = site.ask("GET", "/extractions", params={"model_id": model["id"]})
    assert [e["status"] for e in listed["extractions"]] == ["completed"]


def test_a_refused_bus_command_is_told(site: Site, stack: EmbeddedStack, tmp_path: Path) -> None:
    dataset = site.upload(write_jsonl(tmp_path / "d.jsonl", ragged_texts(2)))
    ran = subprocess.run(
        [sys.executable, "examples/bus/extract_over_the_bus.py", "m_nowhere", dataset["id"]],
        cwd=ROOT,
        env={**os.environ, "NATS_URL": stack.nats_url},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ran.returncode == 1
    assert "refused: " in ran.stderr
    assert "m_nowhere" in ran.stderr


def mistudio(stack: EmbeddedStack, *arguments: str, code: int = 0) -> str:
    """Run the command against the stack and return what it printed on stdout.

    In this process: a start for each takes longer than what is asked for, and the client's own
    tests make them.
    """
    named = {"MISTUDIO_URL": stack.url, "MISTUDIO_TOKEN": stack.token}
    ran = CliRunner().invoke(app, list(arguments), env=named)
    assert ran.exit_code == code, ran.stdout + ran.stderr
    return ran.stdout


def test_the_command_line_walks_the_whole_way(
    stack: EmbeddedStack, tiny_model: TinyModel, tmp_path: Path
) -> None:
    path = str(tiny_model("llama"))
    texts = write_jsonl(tmp_path / "d.jsonl", ragged_texts(20))
    model = json.loads(mistudio(stack, "models", "add", path, "--name", "walked", "--json"))
    mistudio(stack, "models", "load", model["id"], "--json")
    shown = json.loads(mistudio(stack, "models", "show", "walked", "--json"))
    assert shown["status"] == "ready"
    dataset = json.loads(mistudio(stack, "datasets", "add", str(texts), "--json"))
    done = json.loads(
        mistudio(stack, "extract", model["id"], dataset["id"], "--layers", "0,2-3", "--json")
    )
    assert done["status"] == "completed"
    assert done["layer_indices"] == [0, 2, 3]
    caches = json.loads(mistudio(stack, "activations", "list", "--json"))
    assert done["cache_id"] in json.dumps(caches)
    target = tmp_path / "exported"
    mistudio(stack, "activations", "export", done["cache_id"], str(target))
    assert list(target.rglob("manifest.json"))
    assert "ready" in mistudio(stack, "models", "list")
    assert mistudio(stack, "devices", "--json")
    mistudio(stack, "models", "unload", model["id"])
    mistudio(stack, "models", "rm", model["id"], "--yes")
    mistudio(stack, "models", "show", model["id"], code=4)


def test_an_administrator_looks_after_dead_letters_and_sees_who_did_what(
    site: Site, stack: EmbeddedStack
) -> None:
    """A message that cannot be read: listed, shown, put back, dead again, and let go of."""

    async def poison() -> None:
        client = await nats.connect(stack.nats_url)
        await client.jetstream().publish(
            "model.unload.requested", b'{"model_id": "?"}', headers={"Nats-Msg-Id": "poisoned"}
        )
        await client.close()

    def newest() -> int:
        return int(json.loads(mistudio(stack, "dead", "list", "--json"))[-1]["sequence"])

    def died(after: int) -> int:
        found: list[Any] = []
        while not found:
            found = site.ask("GET", "/dead-letters", params={"after": after})["dead_letters"]
        return int(found[0]["sequence"])

    before = site.ask("GET", "/dead-letters")["dead_letters"]
    asyncio.run(poison())
    first = died(before[-1]["sequence"] if before else 0)
    assert newest() == first
    shown = mistudio(stack, "dead", "show", str(first))
    assert "model.unload.requested" in shown
    assert "poisoned" in shown
    assert '"model_id": "?"' in shown
    mistudio(stack, "dead", "replay", str(first))
    again = died(first)
    mistudio(stack, "dead", "discard", str(again), "--yes")
    mistudio(stack, "dead", "show", str(again), code=4)
    written = json.loads(mistudio(stack, "audit", "--most", "2", "--json"))
    assert [(entry["action"], entry["object_id"], entry["outcome"]) for entry in written] == [
        ("deadletter.discard", str(again), "done"),
        ("deadletter.replay", str(first), "done"),
    ]
    assert {entry["actor"] for entry in written} == {"local"}


@pytest.mark.parametrize(
    ("phases", "examples"),
    [
        pytest.param("examples,fuzzing", 1, id="short"),
        pytest.param(
            "examples,coverage,fuzzing",
            30,
            id="long",
            marks=[pytest.mark.nightly("half an hour of requests"), pytest.mark.timeout(1800)],
        ),
    ],
)
def test_a_fuzzer_finds_no_answer_outside_the_contract(
    site: Site, stack: EmbeddedStack, phases: str, examples: int
) -> None:
    fuzz_rest(
        stack, "--phases", phases, "--max-examples", str(examples), "--generation-deterministic"
    )

"""One trace from a click to the committed shard, whatever happens on the way.

The browser's part is its header, which the web UI's own tests show; here it is given.
"""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from mistudio_client.embedded import EmbeddedStack
from mistudio_testkit.collector import Collector, Sent
from mistudio_testkit.models import make_model, ragged_texts, write_jsonl
from mistudio_testkit.site import Json, Site

pytestmark = pytest.mark.stack

REQUIRED = {
    "messaging.system",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.destination.name",
}
"""Of every span of a message, by the conventions."""


class Click:
    """A trace that begins with the caller, as one does in the browser."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self.trace, self.span = secrets.token_hex(16), secrets.token_hex(8)
        self.headers = {"traceparent": f"00-{self.trace}-{self.span}-01"}

    @property
    def spans(self) -> list[Sent]:
        return self._collector.trace(self.trace)

    def loose(self) -> list[Sent]:
        """Return the spans whose parent has not come."""
        known = {span.id for span in self.spans} | {self.span}
        return [span for span in self.spans if span.parent not in known]

    def named(self, name: str) -> list[Sent]:
        return [span for span in self.spans if span.name == name]

    def wait_for(self, *names: str) -> None:
        """Wait until spans of these names are there, and the way from each to the click."""

        def whole() -> bool:
            return not self.loose() and all(self.named(name) for name in names)

        def told() -> str:
            return f"loose: {[*map(str, self.loose())]}; there: {[*map(str, self.spans)]}"

        self._collector.wait(whole, told)

    def way_to(self, name: str) -> list[str]:
        """Return the spans from the click to the first of a name, as ``service: name``."""
        by_id = {span.id: span for span in self.spans}
        at: Sent | None = self.named(name)[0]
        way: list[str] = []
        while at is not None:
            way.insert(0, str(at))
            last, at = at, by_id.get(at.parent)
        assert last.parent == self.span, "the way begins at the click"
        return way


@pytest.fixture
def click(collector: Collector) -> Click:
    return Click(collector)


def test_a_load_is_one_trace_from_the_click_to_ready(
    site: Site, click: Click, collector: Collector, home: Path
) -> None:
    # Nobody else's: it is not prepared yet.
    model = site.register(make_model(home / "traced", "gpt2", n_inner=96))
    path = f"/models/{model['id']}/load"
    with site.frames(models=[model["id"]]) as frames:
        site.ask("POST", path, json={}, headers=click.headers)
        frames.until("model:ready", model_id=model["id"])
    click.wait_for("publish model.ready", "bring in", "quantizing")

    assert click.way_to("publish model.ready") == [
        "gateway: POST /api/models/{model_id}/load",
        "gateway: request rpc.catalog.model.load",
        "catalog: process rpc.catalog.model.load",
        "catalog: publish work.default.model.prepare",
        "loader: process work.default.model.prepare",
        "loader: publish report.model.prepared",
        "catalog: process report.model.prepared",
        "catalog: publish work.default.model.place",
        "extractor: process work.default.model.place",
        "extractor: publish report.model.placed",
        "catalog: process report.model.placed",
        "catalog: publish model.ready",
    ]
    assert not [str(span) for span in click.spans if span.failed]
    assert not [str(span) for span in click.spans if "progress" in span.name]
    logged = partial(collector.lines, click.trace)
    collector.wait(lambda: bool(logged()), lambda: "no line of the log has come")
    (line,) = logged()
    assert (line.service, line.message) == ("gateway", "request")
    assert line.span == click.named("POST /api/models/{model_id}/load")[0].id


def test_an_extraction_is_one_trace_from_the_click_to_the_committed_shard(
    site: Site, click: Click, tiny_model: Callable[[str], Path], home: Path
) -> None:
    model = site.ready_model(tiny_model("gpt2"))
    dataset = site.upload(write_jsonl(home / "d.jsonl", ragged_texts(20, seed=5)))
    extraction = begin(site, click, model, dataset)
    click.wait_for("publish extraction.completed", "commit", "capture")

    asked = [
        "gateway: POST /api/models/{model_id}/extract-activations",
        "gateway: request rpc.catalog.extraction.request",
        "catalog: process rpc.catalog.extraction.request",
    ]
    # The orders belong to the request, not to the report that made room for them.
    for order, done in (("plan", "planned"), ("shard", "shard"), ("commit", "committed")):
        assert click.way_to(f"process report.extraction.{done}") == [
            *asked,
            f"catalog: publish work.default.extraction.{order}",
            f"extractor: process work.default.extraction.{order}",
            f"extractor: publish report.extraction.{done}",
            f"catalog: process report.extraction.{done}",
        ]
    assert click.way_to("publish extraction.completed")[-1:] == [
        "catalog: publish extraction.completed"
    ]
    (capture,) = click.named("capture")
    assert capture.attributes["mistudio.extraction_id"] == extraction
    assert click.way_to("capture")[-2:] == [
        "extractor: process work.default.extraction.shard",
        "extractor: capture",
    ]
    messages = [span for span in click.spans if span.kind in ("PRODUCER", "CONSUMER")]
    assert not [str(span) for span in messages if not span.attributes.keys() >= REQUIRED]
    (shard,) = click.named("process work.default.extraction.shard")
    (sent,) = click.named("publish work.default.extraction.shard")
    assert shard.kind == "CONSUMER"
    assert sent.kind == "PRODUCER"
    assert shard.attributes["messaging.operation.type"] == "process"
    assert sent.attributes["messaging.operation.type"] == "send"
    assert shard.attributes["messaging.message.id"] == sent.attributes["messaging.message.id"]
    assert shard.attributes["messaging.nats.message.delivery_count"] == 1
    assert shard.attributes["cloudevents.event_subject"] == extraction


def begin(site: Site, click: Click, model: Json, dataset: Json) -> str:
    body = {"dataset_id": dataset["id"], "layer_indices": [0, 3]}
    path = f"/models/{model['id']}/extract-activations"
    accepted = site.ask("POST", path, 202, json=body, headers=click.headers)
    return str(accepted["extraction_id"])


@pytest.mark.faults
def test_what_a_killed_extractor_was_at_is_an_error_in_the_trace(
    stack: EmbeddedStack, site: Site, click: Click, tiny_model: Callable[[str], Path], home: Path
) -> None:
    model = site.ready_model(tiny_model("gpt2"))
    dataset = site.upload(write_jsonl(home / "d.jsonl", ragged_texts(400, seed=6)))
    extraction = begin(site, click, model, dataset)
    kill_at_work(stack)
    site.ask("POST", f"/extractions/{extraction}/cancel")
    stack.wait_ready(60)
    click.wait_for("capture")

    way = [
        "extractor: process work.default.extraction.shard",
        "extractor: capture",
    ]
    assert click.way_to("capture")[-2:] == way
    died = [span for span in click.spans if span.failed]
    assert sorted(map(str, died)) == sorted(way)
    assert {span.attributes["error.type"] for span in died} == {"process_died"}
    assert {span.events for span in died} == {0}, "no stack trace goes along"


def kill_at_work(stack: EmbeddedStack) -> None:
    """Kill the extractor while it captures: it stands still while that is made sure of."""
    pid = stack.pid("extractor")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not captures(stack):
            continue
        os.kill(pid, signal.SIGSTOP)
        if captures(stack):
            os.kill(pid, signal.SIGKILL)
            return
        os.kill(pid, signal.SIGCONT)
    raise AssertionError("the extractor captured nothing")


def captures(stack: EmbeddedStack) -> bool:
    """Tell whether the extractor's journal has a capture under way."""
    own = stack.layout.device_id_of("extractor")
    return any('"capture"' in text for text in written(own.with_name(f"{own.name}.spans")))


def written(journal: Path) -> Iterator[str]:
    for file in journal.glob("*.json"):
        try:
            yield file.read_text()
        except FileNotFoundError:
            continue  # Ended between the look and the reading.

"""Secrets stay where they belong: nothing that a running system writes or says holds one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from mistudio_client.embedded import EmbeddedStack
from mistudio_client.embedded.tokens import signing_secret
from mistudio_testkit.collector import Collector
from mistudio_testkit.hub import FakeHub
from mistudio_testkit.models import ragged_texts, write_jsonl
from mistudio_testkit.site import Site
from tests.conftest import CANARIES

pytestmark = pytest.mark.stack

TinyModel = Callable[[str], Path]

BY_DESIGN = ("secrets", "run", "postgres", "connection.json")
"""What of the stack's directory holds secrets by design, and is its owner's alone."""


def secrets(stack: EmbeddedStack) -> dict[str, bytes]:
    """Return every secret of the running stack, by what it is."""
    layout = stack.layout
    found = {name: value.encode() for name, value in CANARIES.items()}
    found["JWT_SECRET_KEY"] = signing_secret(layout, {}).encode()
    found |= {path.name: path.read_bytes().strip() for path in layout.secrets.iterdir()}
    assert all(len(secret) >= 16 for secret in found.values())
    return found


def written(stack: EmbeddedStack) -> Iterator[Path]:
    for place, below, names in os.walk(stack.data_dir):
        at_the_top = Path(place) == stack.data_dir
        below[:] = [name for name in below if not (at_the_top and name in BY_DESIGN)]
        yield from (Path(place) / name for name in names if not (at_the_top and name in BY_DESIGN))


def test_no_secret_is_in_anything_that_was_written_or_said(
    site: Site,
    stack: EmbeddedStack,
    hub: FakeHub,
    collector: Collector,
    tiny_model: TinyModel,
    tmp_path: Path,
) -> None:
    model = site.ready_model(tiny_model("gpt2"))
    dataset = site.upload(write_jsonl(tmp_path / "d.jsonl", ragged_texts(4)))
    done = site.extract(model["id"], dataset_id=dataset["id"], layer_indices=[0])
    assert done["status"] == "completed", done["error"]
    # What asks the hub, is refused by it, and fails: errors say most.
    hub.add_dataset("someone/gated", {"train.jsonl": b'{"text": "a"}\n'}, gated=True)
    gated = {"name": "gated", "source": "huggingface", "identifier": "someone/gated"}
    with site.frames() as frames:
        failed = site.ask("POST", "/datasets", 201, json=gated)
        frames.until("dataset:failed", dataset_id=failed["id"])
    assert any(seen.token == CANARIES["HUGGINGFACE_TOKEN"] for seen in hub.requests)

    wanted = secrets(stack)
    said = {
        "events": str(frames.seen),
        "answers": "".join(
            site.http.get(f"/api{path}").text
            for path in (
                "/models",
                "/datasets",
                "/extractions",
                "/activations",
                "/devices",
                "/audit",
            )
        ),
        "metrics": site.http.get("/metrics").text,
        "spans and logs": collector.everything(),
        "process lists": str([p.info["cmdline"] for p in psutil.process_iter(["cmdline"])]),
    }
    found = [
        (name, place)
        for name, secret in wanted.items()
        for place, text in said.items()
        if secret in text.encode()
    ]
    read = 0
    for path in written(stack):
        try:
            content = path.read_bytes()
        except OSError:
            continue  # A socket, or what a service has taken away meanwhile.
        read += 1
        found += [(name, str(path)) for name, secret in wanted.items() if secret in content]
    assert found == []
    assert read > 20, "logs, artifacts, manifests and shards were read"
    assert stack.token not in str(said)


def test_what_holds_secrets_by_design_is_its_owners_alone(stack: EmbeddedStack) -> None:
    wanted = secrets(stack)
    for name in BY_DESIGN:
        top = stack.data_dir / name
        closed = top.is_dir() and top.stat().st_mode & 0o077 == 0
        for path in [top, *top.rglob("*")]:
            if path.is_file() and any(each in path.read_bytes() for each in wanted.values()):
                assert closed or path.stat().st_mode & 0o077 == 0, path

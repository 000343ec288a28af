"""What runs out: the disk, and a token's time."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from mistudio_client.embedded import EmbeddedStack
from mistudio_client.embedded.tokens import mint, signing_secret
from mistudio_testkit.models import make_model, ragged_texts, write_jsonl
from mistudio_testkit.site import Site

pytestmark = pytest.mark.stack

TinyModel = Callable[[str], Path]


@contextmanager
def full_disk(pid: int, file_bytes: int) -> Iterator[None]:
    """Let no file of a running process grow beyond ``file_bytes``.

    The kernel then refuses writes with EFBIG, which the services take for what it is: no room.
    Unlike a small file system, an ordinary user can set it, on a process that runs.
    """
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (file_bytes, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def visible(root: Path, name: str) -> list[Path]:
    # Not rglob: what an eviction takes away meanwhile would end it.
    return sorted(Path(at) / name for at, _, names in os.walk(root) if name in names)


def test_a_full_disk_fails_an_extraction_and_leaves_nothing_to_see(
    site: Site, stack: EmbeddedStack, tiny_model: TinyModel, tmp_path: Path
) -> None:
    model = site.ready_model(tiny_model("gpt2"))
    dataset = site.upload(write_jsonl(tmp_path / "d.jsonl", ragged_texts(40, seed=5)))
    wanted = {"dataset_id": dataset["id"], "layer_indices": [0, 1]}
    before = visible(stack.data_dir / "activations", "manifest.json")
    caches = site.ask("GET", "/activations")["total"]

    with full_disk(stack.pid("extractor"), 20_000):
        failed = site.extract(model["id"], **wanted)
    assert failed["status"] == "failed"
    assert failed["error"]["code"] == "INSUFFICIENT_STORAGE"
    assert failed["error"]["details"]["remedy"]
    assert visible(stack.data_dir / "activations", "manifest.json") == before
    assert site.ask("GET", "/activations")["total"] == caches

    done = site.extract(model["id"], **wanted)
    assert done["status"] == "completed", done["error"]


def test_a_full_disk_fails_a_load_and_leaves_no_artifact(
    site: Site, stack: EmbeddedStack, tmp_path: Path
) -> None:
    model = site.register(make_model(tmp_path / "m", "gpt2", seed=73))
    artifacts = visible(stack.data_dir / "models", "artifact.json")
    with full_disk(stack.pid("loader"), 50_000):
        failed = site.load(model["id"])
    assert failed["status"] == "failed"
    assert failed["error"]["code"] == "INSUFFICIENT_STORAGE"
    assert failed["error"]["details"]["remedy"]
    assert visible(stack.data_dir / "models", "artifact.json") == artifacts
    assert site.load(model["id"])["status"] == "ready"


def test_a_full_disk_fails_a_dataset(site: Site, stack: EmbeddedStack, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "d.jsonl", ragged_texts(20_000, seed=6))
    with full_disk(stack.pid("loader"), 4_000):
        failed = site.upload(path)
    assert failed["status"] == "failed"
    assert failed["error"]["code"] == "INSUFFICIENT_STORAGE"
    assert not (stack.data_dir / "datasets" / (failed["fingerprint"] or "none")).exists()


def test_an_expired_token_opens_neither_door(site: Site, stack: EmbeddedStack) -> None:
    secret = signing_secret(stack.layout, {})
    expired = mint(secret, subject="late", scopes=["model:read"], expires=timedelta(hours=-1))
    answer = site.http.get("/api/models", headers={"Authorization": f"Bearer {expired}"})
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert error["code"] == "UNAUTHORIZED"
    assert "expired" in error["message"].lower()
    assert error["details"]["remedy"]

    address = site.url.replace("http", "ws", 1) + "/ws"
    with connect(address) as socket:
        socket.send(f'{{"token": "{expired}"}}')
        told = json.loads(socket.recv(timeout=10))
        assert told["type"] == "error"
        assert told["data"]["code"] == "UNAUTHORIZED"
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


def test_a_token_without_the_scope_may_look_and_not_touch(site: Site, stack: EmbeddedStack) -> None:
    secret = signing_secret(stack.layout, {})
    reader = mint(secret, subject="r", scopes=["model:read"], expires=timedelta(hours=1))
    headers = {"Authorization": f"Bearer {reader}"}
    assert site.http.get("/api/models", headers=headers).status_code == 200
    refused = site.http.delete("/api/models/m_any_1", headers=headers)
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "FORBIDDEN"

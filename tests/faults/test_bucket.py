"""A store in a bucket, through every real service; and its server stopped at random points.

One file, so that its stack is started once.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import mistudio_activations
from mistudio_client.embedded import EmbeddedStack
from mistudio_client.embedded.processes import wait_until
from mistudio_testkit.faults import PATIENCE, Checksums, Undisturbed, checksums
from mistudio_testkit.models import make_model
from mistudio_testkit.s3 import S3Server
from mistudio_testkit.site import EXTRACTION_DONE, Json, Site

pytestmark = [
    pytest.mark.stack,
    pytest.mark.faults,
    pytest.mark.nightly("two stacks and five stops"),
]

ENV = {
    "LOAD_REQUESTS_PER_HOUR": "1000000",
    "SHARD_TOKENS": "1500",
    "BUCKET_PATIENCE_SECONDS": "1",
    "KERNEL_CHECK_DELAY_SECONDS": "3600",
}
"""Small shards, as the stack of the directory has them; and a bucket is soon given up."""


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server that is there to be stopped, named by the usual variables."""
    with S3Server(tmp_path_factory.mktemp("s3")) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("slim") / "gpt2", "gpt2", n_layer=8)


@pytest.fixture(scope="module")
def in_directory(site: Site, model: Path) -> Checksums:
    """What the stack of the other tests here makes of the request, in a directory."""
    return Undisturbed.run(site, model, model.parent).checksums


@pytest.fixture(scope="module")
def bucket(
    tmp_path_factory: pytest.TempPathFactory, models_root: Path, s3: S3Server
) -> Iterator[Site]:
    """A stack whose stores lie in a bucket."""
    env = {**ENV, "ACTIVATION_CACHE_DIR": s3.new_url()}
    data = tmp_path_factory.mktemp("stack")
    with EmbeddedStack(data, allow=[models_root], env=env) as running:
        opened = Site(running.url, running.token)
        yield opened
        opened.close()


@dataclass(frozen=True)
class Whole:
    """An extraction into the bucket without faults, and how many objects it wrote."""

    run: Undisturbed
    path: str
    objects: int


@pytest.fixture(scope="module")
def whole(bucket: Site, s3: S3Server, model: Path) -> Whole:
    run = Undisturbed.run(bucket, model, model.parent)
    caches = bucket.ask("GET", "/activations")["activations"]
    return Whole(run, caches[0]["storage_path"], len(s3.objects()))


def extract(site: Site, undisturbed: Undisturbed) -> Json:
    """Request the same again, and return the extraction when it has ended."""
    with site.frames() as frames:
        extraction_id = undisturbed.start(site)
        frames.until(*EXTRACTION_DONE, extraction_id=extraction_id, timeout=PATIENCE)
    return site.ask("GET", f"/extractions/{extraction_id}")


def forget(site: Site, s3: S3Server) -> None:
    """Delete every cache, and wait until no object is left."""
    for cache in site.ask("GET", "/activations")["activations"]:
        site.ask("DELETE", f"/activations/{cache['id']}", 204)
    assert wait_until(lambda: not s3.objects(), PATIENCE), s3.objects()


def test_it_is_the_store_that_a_directory_would_have(
    whole: Whole, in_directory: Checksums, bucket: Site, s3: S3Server, home: Path
) -> None:
    assert whole.path.startswith("s3://")
    assert whole.run.checksums == in_directory

    before = s3.objects()
    body = {**whole.run.body, "layer_indices": [0, 3, 7, 5]}
    more = bucket.extract(whole.run.model_id, **body)
    assert more["status"] == "completed", more["error"]
    after = s3.objects()
    changed = {path for path in before if after[path] != before[path]}
    assert {path.rsplit("/", 1)[1] for path in changed} == {"manifest.json"}
    assert all("/layers.5.resid_post/" in path for path in after.keys() - before.keys())

    for file in bucket.ask("GET", f"/activations/{more['cache_id']}/files")["files"]:
        answer = bucket.http.get(f"/api/activations/{more['cache_id']}/files/{file['path']}")
        assert len(answer.content) == file["bytes"]
        target = home / file["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(answer.content)
    assert checksums(str(home)) == checksums(more["storage_path"])

    forget(bucket, s3)
    with pytest.raises(mistudio_activations.StoreNotFound):
        mistudio_activations.open(more["storage_path"])


def stop_somewhere(s3: S3Server, objects: int, seed: int) -> None:
    """Kill the server when a random part of the objects of an extraction is there."""
    some = random.Random(seed).randrange(1, objects)
    assert wait_until(lambda: len(s3.objects()) >= some, PATIENCE)
    s3.kill()


def ends_as_if_nothing_had_been(bucket: Site, whole: Whole, extraction_id: str) -> bool:
    """Compare an extraction's store; tell whether it failed, and was complete when asked again."""
    done = bucket.ask("GET", f"/extractions/{extraction_id}")
    failed: bool = done["status"] == "failed"
    if failed:
        assert done["error"]["code"] == "SERVICE_UNAVAILABLE"
        assert done["error"]["details"]["reason"] == "store_unreachable"
        assert done["error"]["details"]["field"] == "ACTIVATION_CACHE_DIR"
        with pytest.raises(mistudio_activations.StoreNotFound):
            mistudio_activations.open(whole.path)
        done = extract(bucket, whole.run)
    assert done["status"] == "completed", done["error"]
    assert checksums(done["storage_path"]) == whole.run.checksums
    return failed


@pytest.mark.parametrize("seed", range(4))
def test_a_server_that_is_stopped_and_comes_back_changes_nothing(
    bucket: Site, s3: S3Server, whole: Whole, seed: int
) -> None:
    forget(bucket, s3)
    with bucket.frames() as frames:
        extraction_id = whole.run.start(bucket)
        stop_somewhere(s3, whole.objects, seed)
        s3.start()
        frames.until(*EXTRACTION_DONE, extraction_id=extraction_id, timeout=PATIENCE)
    ends_as_if_nothing_had_been(bucket, whole, extraction_id)


def test_a_server_that_stays_away_fails_the_extraction_and_shows_nothing_of_it(
    bucket: Site, s3: S3Server, whole: Whole
) -> None:
    forget(bucket, s3)
    with bucket.frames() as frames:
        extraction_id = whole.run.start(bucket)
        stop_somewhere(s3, whole.objects, seed=4)
        frames.until("extraction:failed", extraction_id=extraction_id, timeout=PATIENCE)
    s3.start()
    assert ends_as_if_nothing_had_been(bucket, whole, extraction_id)

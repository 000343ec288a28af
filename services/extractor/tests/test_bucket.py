"""An extraction whose store lies in a bucket, and what is told of one that cannot be used."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pydantic import ValidationError

import mistudio_activations
from mistudio_contracts import new_id
from mistudio_contracts.errors import ExtractionFailed, InsufficientStorage, ServiceUnavailable
from mistudio_contracts.looking import NormsRequest
from mistudio_contracts.rpc import ListStoreFilesRequest, ReadStoreFileRequest
from mistudio_contracts.values import Artifact
from mistudio_contracts.work import EvictStore
from mistudio_extractor.config import ExtractorSettings
from mistudio_extractor.services.committing import Committing
from mistudio_extractor.services.looking import Looking
from mistudio_extractor.services.models import unload
from mistudio_extractor.services.planning import Planning
from mistudio_extractor.services.stores import Stores
from mistudio_extractor.storage.layout import Layout
from mistudio_testkit.models import ragged_texts
from mistudio_testkit.s3 import S3Server

from .support import POINTS, Disk, commit_order, plan_order
from .test_capture import Bench


class BucketDisk(Disk):
    """A pool whose stores lie in a bucket."""

    where = "s3://activations/none"
    patience = 30.0

    @classmethod
    def beside(cls, disk: Disk, server: S3Server, monkeypatch: pytest.MonkeyPatch) -> BucketDisk:
        """Return one that has the artifacts and datasets of ``disk``."""
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        made = cls(disk.root)
        made.where = server.new_url()
        return made

    @property
    def settings(self) -> ExtractorSettings:
        changed = {
            "activation_cache_dir": self.where,
            "activation_scratch_dir": self.root / "way",
            "bucket_patience_seconds": self.patience,
        }
        return ExtractorSettings(**{**super().settings.model_dump(), **changed})


@pytest.fixture
def pool(disk: Disk, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> BucketDisk:
    return BucketDisk.beside(disk, s3_server, monkeypatch)


async def test_the_bucket_has_what_a_directory_would_have(
    disk: Disk, pool: BucketDisk, tiny: Artifact
) -> None:
    order = plan_order(tiny, disk.dataset(["", *ragged_texts(30)]), shard_tokens=400)
    here, there = Bench(disk, tiny), Bench(pool, tiny)
    await there.layout.create()
    usual, report = here.extract(order), there.extract(order)
    assert report.storage_path == f"{pool.where}/{order.store_key}"
    assert report.model_dump(exclude={"storage_path"}) == usual.model_dump(exclude={"storage_path"})
    store = mistudio_activations.open(report.storage_path)
    store.verify()
    assert store.manifest == mistudio_activations.read_manifest(disk.store(order))
    assert list(there.layout.disk.iterdir()) == [], "nothing is left on the way"
    assert here.plan(order) == there.plan(order), "with what was left out"

    stores = Stores(there.layout)
    listed = stores.files(ListStoreFilesRequest(store_key=order.store_key))
    assert listed == Stores(here.layout).files(ListStoreFilesRequest(store_key=order.store_key))
    for file in listed.files:
        chunk = stores.read(
            ReadStoreFileRequest(store_key=order.store_key, path=file.path, offset=10, length=50)
        )
        on_disk = (disk.store(order) / file.path).read_bytes()
        if not file.path.endswith(".json"):
            assert base64.b64decode(chunk.data) == on_disk[10:60]
        assert (chunk.total_bytes, chunk.eof) == (file.bytes, file.bytes <= 60)

    gone = stores.evict(EvictStore(task_id=new_id("task"), store_key=order.store_key))
    assert (gone.columns_left, gone.freed_bytes > 0) == (0, True)
    assert there.layout.stores.usage() == 0
    for bench in (here, there):
        unload(bench.model)


def test_what_lies_in_a_bucket_has_no_limit_that_is_known(pool: BucketDisk) -> None:
    pool.root.joinpath("way").mkdir()
    layout = Layout(pool.settings)
    assert layout.store_free_bytes() == 0
    with pytest.raises(InsufficientStorage) as caught:
        layout.require(1 << 60)
    assert "ACTIVATION_SCRATCH_DIR" in caught.value.details["remedy"]


def test_a_bucket_that_is_not_there_is_told_at_once_by_the_setting(
    pool: BucketDisk, tiny: Artifact
) -> None:
    pool.where = "s3://no-such-bucket/stores"
    order = plan_order(tiny, pool.dataset(ragged_texts(5)))
    with pytest.raises(ExtractionFailed) as caught:
        Planning(Layout(pool.settings)).plan(order, lambda: False)
    assert not caught.value.transient
    assert caught.value.details["field"] == "ACTIVATION_CACHE_DIR"
    assert caught.value.details["reason"] == "store_denied"
    assert "NoSuchBucket" in caught.value.message


@pytest.fixture
def away(pool: BucketDisk, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A pool whose S3 server does not answer."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    pool.patience = 0.2
    return Layout(pool.settings)


def test_a_server_that_is_away_is_tried_again_later(
    away: Layout, pool: BucketDisk, tiny: Artifact
) -> None:
    order = plan_order(tiny, pool.dataset(ragged_texts(5)))
    key = order.store_key
    planned = Planning(Layout(Disk(pool.root).settings)).plan(order, lambda: False)
    assert planned is not None
    listing = ListStoreFilesRequest(store_key=key)
    looking = NormsRequest(store_key=key, hook_points=POINTS, sample_count=5)
    attempts: list[Any] = [
        lambda: Planning(away).plan(order, lambda: False),
        lambda: Committing(away).commit(commit_order(order, planned)),
        lambda: Stores(away).files(listing),
        lambda: Looking(away).norms(looking),
        lambda: Stores(away).evict(EvictStore(task_id=new_id("task"), store_key=key)),
    ]
    for attempt in attempts:
        with pytest.raises(ServiceUnavailable) as caught:
            attempt()
        assert caught.value.transient
        assert caught.value.details["reason"] == "store_unreachable"
        assert caught.value.details["remedy"]


@pytest.mark.parametrize("url", ["s3://key:secret@bucket/a", "gs://bucket/a"])
def test_a_url_that_names_no_bucket_is_refused_before_the_start(url: str) -> None:
    with pytest.raises(ValidationError, match="s3://bucket/prefix"):
        ExtractorSettings(activation_cache_dir=url)

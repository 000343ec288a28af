"""Comparing what is stored with what was written, in a directory and in a bucket."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from mistudio_activations import Place, ShardWriter, commit, evict, place_of, write_tokens
from mistudio_contracts.errors import ErrorCode, ExtractionFailed, NotFound
from mistudio_contracts.rpc import CheckStoreRequest, VerifyStoreRequest
from mistudio_contracts.states import Damage
from mistudio_contracts.views import StoreVerification
from mistudio_extractor.services import stores as services
from mistudio_extractor.services.stores import Stores
from mistudio_extractor.storage.layout import Layout
from mistudio_testkit.s3 import S3Server

from .support import POINTS, Disk
from .test_bucket import BucketDisk

KEY = "0" * 32
FIRST, SECOND = (f"{POINTS[0]}/0000{index}.safetensors" for index in range(2))
OTHER = f"{POINTS[1]}/00000.safetensors"


@dataclass
class Stored:
    """Two columns of two shards."""

    stores: Stores
    place: Place

    def verify(self, **fields: object) -> StoreVerification:
        return self.stores.verify(
            VerifyStoreRequest.model_validate({"store_key": KEY, "seconds": 30, **fields})
        )

    def there(self) -> list[str]:
        return self.stores.check(CheckStoreRequest(store_key=KEY)).hook_points

    def flip(self, path: str) -> None:
        content = bytearray(self.place.read(path))
        content[-1] ^= 1
        self.place.write(path, bytes(content))


@pytest.fixture(params=["directory", "bucket"])
def stored(request: pytest.FixtureRequest, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Stored:
    if request.param == "bucket":
        server: S3Server = request.getfixturevalue("s3_server")
        disk = BucketDisk.beside(disk, server, monkeypatch)
        disk.root.joinpath("way").mkdir()
    layout = Layout(disk.settings)
    store = layout.store(KEY)
    tokens, columns = [], {name: [] for name in POINTS}  # type: ignore[var-annotated]
    for index in range(2):
        offsets, ids = np.array([0, 3], np.int64), np.array([index], np.int64)
        tokens.append(write_tokens(store, index, np.arange(3, dtype=np.int32), offsets, ids))
        for name, files in columns.items():
            with ShardWriter(store, name, index, 3, 4, "float32") as writer:
                writer.write(0, np.ones((3, 4), np.float32))
                files.append(writer.close())
    commit(store, columns=columns, token_shards=tokens, info={})
    return Stored(Stores(layout), place_of(store))


def test_an_intact_store_is_verified_at_once_where_there_is_time(stored: Stored) -> None:
    found = stored.verify()
    assert (found.verified_files, found.total_files) == (8, 8)
    assert found.verified_bytes == found.total_bytes > 0
    assert (found.next, found.damaged, found.remedy) == (None, [], None)


def test_a_store_is_verified_file_by_file_where_there_is_none(stored: Stored) -> None:
    stored.flip(SECOND)
    stored.place.delete([OTHER])
    parts = [stored.verify(seconds=0)]
    while parts[-1].next is not None:
        parts.append(stored.verify(seconds=0, after=parts[-1].next))
    assert [part.verified_files for part in parts] == [1] * 8
    assert sum(part.verified_bytes for part in parts) == parts[0].total_bytes
    assert [(f.path, f.reason) for part in parts for f in part.damaged] == [
        (SECOND, Damage.CONTENT),
        (OTHER, Damage.MISSING),
    ]
    assert [part.remedy is not None for part in parts] == [bool(p.damaged) for p in parts]


def test_what_another_cache_shows_is_its_own_matter(stored: Stored) -> None:
    stored.flip(OTHER)
    assert stored.verify(hook_points=POINTS[:1]).damaged == []
    assert [f.path for f in stored.verify(hook_points=POINTS[1:]).damaged] == [OTHER]


def test_no_answer_names_more_than_a_message_holds(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "MOST_DAMAGED", 1)
    stored.place.delete([FIRST, SECOND])
    found = stored.verify()
    assert ([f.path for f in found.damaged], found.next) == ([FIRST], FIRST)
    assert [f.path for f in stored.verify(after=FIRST).damaged] == [SECOND]


def test_a_damaged_manifest_is_named_and_one_of_a_later_version_is_no_damage(
    stored: Stored,
) -> None:
    stored.place.write("manifest.json", b"{")
    found = stored.verify()
    assert [(f.path, f.reason) for f in found.damaged] == [("manifest.json", Damage.CONTENT)]
    assert (found.next, found.remedy is None) == (None, False)

    stored.place.write("manifest.json", b'{"schema_version": 99}')
    with pytest.raises(ExtractionFailed) as caught:
        stored.verify()
    assert caught.value.details["reason"] == "unknown_version"


def test_a_store_that_is_deleted_meanwhile_is_gone_and_not_damaged(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_evict(*asked: object) -> object:
        evict(stored.place, None)
        return checked(*asked)  # type: ignore[arg-type]

    checked = services.damage_of
    monkeypatch.setattr(services, "damage_of", first_evict)
    for _ in range(2):
        with pytest.raises(NotFound) as caught:
            stored.verify()
        assert caught.value.code is ErrorCode.CACHE_NOT_FOUND


def test_a_column_lies_there_while_each_of_its_files_does_in_its_size(stored: Stored) -> None:
    assert stored.there() == sorted(POINTS)
    stored.flip(FIRST)
    assert stored.there() == sorted(POINTS), "what is in a file is for verifying"
    stored.place.delete([OTHER])
    assert stored.there() == [POINTS[0]]
    stored.place.write(FIRST, b"cut short")
    assert stored.there() == []


def test_nothing_lies_there_without_a_manifest(stored: Stored) -> None:
    told = stored.stores.check(CheckStoreRequest(store_key=KEY))
    assert told.storage_path == str(stored.place)
    stored.place.write("manifest.json", b"{")
    assert stored.there() == []
    evict(stored.place, None)
    assert stored.there() == []

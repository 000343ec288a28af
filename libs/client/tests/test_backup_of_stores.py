"""Stores go into a backup out of a directory or a bucket, and back into either."""

from __future__ import annotations

from pathlib import Path

import pytest

import mistudio_activations as ma
from mistudio_client.backups import files
from mistudio_client.backups.archive import reading, writing
from mistudio_client.backups.site import Place
from mistudio_client.embedded.errors import StackError
from mistudio_testkit.fixtures import s3_server
from mistudio_testkit.s3 import S3Server

from .stores import write_store

__all__ = ["s3_server"]

KEY = "0123456789abcdef"
A_SHARD = "layers.2.resid_post/00001.safetensors"


@pytest.fixture
def url(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A place in a bucket, and the variables of somebody who may use it."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server.new_url()


def saved(target: Path, where: str, *, with_data: bool) -> list[str]:
    """Save the store at ``where``; return what was not there."""
    with writing(target) as archive:
        absent = files.save_stores(archive, [(KEY, where)], with_data=with_data)
        archive.finish({})
    return absent


def put_back(source: Path, activations: str) -> list[str]:
    """Put a backup's stores below ``activations``; return those that are not there."""
    with reading(source) as archive:
        return files.put_back(archive, Place("", "", activations, None, None))


def test_all_of_a_store_goes_into_a_bucket_and_out_of_it(tmp_path: Path, url: str) -> None:
    store = write_store(tmp_path / KEY)
    assert saved(tmp_path / "whole", str(store), with_data=True) == []
    assert put_back(tmp_path / "whole", url) == []
    ma.open(f"{url}/{KEY}").verify()

    assert saved(tmp_path / "again", f"{url}/{KEY}", with_data=True) == []
    assert put_back(tmp_path / "again", str(tmp_path / "elsewhere")) == []
    found = ma.open(tmp_path / "elsewhere" / KEY)
    found.verify()
    assert found.manifest == ma.open(store).manifest


def test_what_a_bucket_lacks_is_sent_and_makes_the_store_visible(tmp_path: Path, url: str) -> None:
    saved(tmp_path / "whole", str(write_store(tmp_path / KEY)), with_data=True)
    put_back(tmp_path / "whole", url)
    there = ma.place_of(f"{url}/{KEY}")
    others = {each.path: each.changed_at for each in there.files() if each.path.endswith("tensors")}
    there.delete([A_SHARD, "manifest.json"])
    assert put_back(tmp_path / "whole", url) == []
    ma.open(there).verify()
    for each in there.files():
        if each.path in others and each.path != A_SHARD:
            assert each.changed_at == others[each.path], "what is there stays"


def test_what_only_describes_a_store_makes_none_visible(tmp_path: Path, url: str) -> None:
    saved(tmp_path / "described", str(write_store(tmp_path / KEY)), with_data=False)
    assert put_back(tmp_path / "described", url) == [KEY]
    assert ma.place_of(url).files() == []


def test_a_bucket_that_refuses_is_not_one_without_the_store(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert saved(tmp_path / "none", f"{url}/{KEY}", with_data=False) == [KEY], "it is not there"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other")
    with pytest.raises(StackError, match="SignatureDoesNotMatch") as caught:
        saved(tmp_path / "refused", f"{url}/{KEY}", with_data=False)
    assert caught.value.details["field"] == "ACTIVATION_CACHE_DIR"
    assert "AWS_ACCESS_KEY_ID" in caught.value.details["remedy"]
    assert not (tmp_path / "refused").exists()

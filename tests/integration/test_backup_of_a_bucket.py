"""A stack whose stores lie in a bucket, saved and put into buckets and directories."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import mistudio_activations
from mistudio_client.embedded import EmbeddedStack, Layout
from mistudio_testkit.bus import until
from mistudio_testkit.command import mistudio
from mistudio_testkit.faults import Checksums, checksums
from mistudio_testkit.fixtures import s3_server
from mistudio_testkit.models import make_model, ragged_texts, write_jsonl
from mistudio_testkit.s3 import S3Server
from mistudio_testkit.site import Json, Site

__all__ = ["s3_server"]

pytestmark = [pytest.mark.stack, pytest.mark.nightly("two stacks, and servers for four restores")]


@dataclass
class Saved:
    """Where the stack's stores lie, and its backups: what describes them, and all of them."""

    url: str
    key: str
    cache_id: str
    rows: Checksums
    described: Path
    whole: Path


@pytest.fixture(scope="module")
def environment(s3_server: S3Server) -> Iterator[dict[str, str]]:
    """The variables of somebody who may use the bucket, set for this process too."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment.items():
            patch.setenv(name, value)
        yield s3_server.environment


@pytest.fixture(scope="module")
def saved(
    s3_server: S3Server,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
    models_root: Path,
) -> Saved:
    home = tmp_path_factory.mktemp("saved")
    url, at = s3_server.new_url(), home / "stack"
    described, whole = home / "described", home / "whole"
    env = {"ACTIVATION_CACHE_DIR": url}
    with EmbeddedStack(at, allow=[models_root], env=env) as stack:
        site = Site(stack.url, stack.token)
        model = site.ready_model(make_model(home / "llama", "llama"))
        dataset = site.upload(write_jsonl(home / "texts.jsonl", ragged_texts(12, seed=31)))
        done = site.extract(model["id"], dataset_id=dataset["id"], layer_indices=[0, -1])
        site.close()
        for archive, more in ((described, []), (whole, ["--with-data"])):
            # Where the stores lie the catalog knows; the variables say who asks.
            ran = mistudio("backup", str(archive), "--data-dir", str(at), *more)
            assert ran.returncode == 0, ran.stderr
            assert "1 datasets, 1 stores" in ran.stderr
        refused = mistudio(
            *("backup", str(home / "refused"), "--data-dir", str(at)),
            env={"AWS_SECRET_ACCESS_KEY": "other"},
        )
    assert refused.returncode == 1
    assert "SignatureDoesNotMatch" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (home / "refused").exists(), "one without the stores would be taken for whole"
    path = done["storage_path"]
    return Saved(url, path.rsplit("/", 1)[1], done["cache_id"], checksums(path), described, whole)


def restored(archive: Path, root: Path, activations: str | None) -> Json:
    """Restore into a new directory, and return what the command says of it."""
    env = {} if activations is None else {"ACTIVATION_CACHE_DIR": activations}
    ran = mistudio("restore", str(archive), "--data-dir", str(root), "--json", env=env)
    assert ran.returncode == 0, ran.stderr
    said: Json = json.loads(ran.stdout)
    return said


def test_all_of_it_goes_into_another_bucket_and_is_ready_there(
    saved: Saved, s3_server: S3Server, home: Path, models_root: Path
) -> None:
    url = s3_server.new_url()
    assert restored(saved.whole, home / "there", url)["missing_stores"] == []
    env = {"ACTIVATION_CACHE_DIR": url, "RECONCILE_SECONDS": "0.5"}
    with EmbeddedStack(home / "there", allow=[models_root], env=env) as stack:
        site = Site(stack.url, stack.token)
        path = f"/activations/{saved.cache_id}"
        asyncio.run(until(lambda: site.ask("GET", path)["status"] != "unchecked"))
        cache = site.ask("GET", path)
        assert (cache["status"], cache["storage_path"]) == ("ready", f"{url}/{saved.key}")
        assert site.ask("GET", f"{path}/files")["files"]
        site.close()
    assert checksums(cache["storage_path"]) == saved.rows


def test_all_of_it_goes_into_a_directory(saved: Saved, home: Path) -> None:
    assert restored(saved.whole, home, None)["missing_stores"] == []
    assert checksums(str(Layout.at(home).activations / saved.key)) == saved.rows


def test_what_describes_them_finds_the_stores_of_its_bucket(saved: Saved, home: Path) -> None:
    assert restored(saved.described, home, saved.url)["missing_stores"] == []
    assert checksums(f"{saved.url}/{saved.key}") == saved.rows


def test_what_describes_them_alone_shows_nothing_in_an_empty_bucket(
    saved: Saved, s3_server: S3Server, home: Path
) -> None:
    url = s3_server.new_url()
    assert restored(saved.described, home, url)["missing_stores"] == [saved.key]
    with pytest.raises(mistudio_activations.StoreNotFound):
        mistudio_activations.open(f"{url}/{saved.key}")

"""What is particular to a bucket: conditions, ranges, a server that is away, and rights."""

from __future__ import annotations

import logging
import multiprocessing
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import mistudio_activations as ma
from mistudio_activations import Place, bucket
from mistudio_activations.bucket import Bucket
from mistudio_activations.places import MANIFEST
from mistudio_testkit.s3 import BUCKET, S3Server

from .test_store import rows_of, small_store, write_column, write_shard


@pytest.fixture
def here(s3_server: S3Server, tmp_path: Path) -> Place:
    """A place in a bucket."""
    return s3_server.new_place(tmp_path / "scratch")


class TestCommitters:
    def test_at_the_same_time_lose_nothing_of_each_other(self, place: Place) -> None:
        names = [f"layers.{n}.resid_post" for n in range(6)]
        tokens, files = write_shard(
            place, 0, [3], {n: rows_of(3, 4, "float32") for n in names}, "float32"
        )
        together = threading.Barrier(len(names))

        def commit(name: str) -> None:
            together.wait()
            ma.commit(place, columns={name: [files[name]]}, token_shards=[tokens], info={})

        with ThreadPoolExecutor(len(names)) as threads:
            list(threads.map(commit, names))
        store = ma.open(place)
        assert store.columns == names
        store.verify()

    def test_an_eviction_meanwhile_loses_nothing_either(self, place: Place) -> None:
        columns = {n: rows_of(3, 4, "float32") for n in "abc"}
        tokens, files = write_shard(place, 0, [3], columns, "float32")
        ma.commit(place, columns={n: [files[n]] for n in "ab"}, token_shards=[tokens], info={})
        with ThreadPoolExecutor(2) as threads:
            done = [
                threads.submit(ma.evict, place, ["a"]),
                threads.submit(
                    ma.commit, place, columns={"c": [files["c"]]}, token_shards=[], info={}
                ),
            ]
            for each in done:
                each.result()
        assert ma.open(place).columns == ["b", "c"]
        ma.open(place).verify()

    def test_a_manifest_that_stays_as_it_is_is_not_written(self, here: Place) -> None:
        tokens, files = write_shard(here, 0, [2], {"c": rows_of(2, 3, "float32")}, "float32")
        whole: dict[str, Any] = {"columns": {"c": [files["c"]]}, "token_shards": [tokens]}
        ma.commit(here, **whole, info={})
        assert isinstance(here, Bucket)
        _, version = here._manifest()
        ma.commit(here, **whole, info={})
        assert here._manifest()[1] == version


class TestReading:
    def test_takes_the_bytes_it_is_asked_for_and_no_more(
        self, here: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows = small_store(here)
        asked: list[int] = []
        real = Bucket.fill

        def fill(self: Bucket, path: str, start: int, out: NDArray[np.uint8]) -> None:
            asked.append(len(out))
            real(self, path, start, out)

        column = ma.open(here)["layers.0.resid_post"]
        monkeypatch.setattr(Bucket, "fill", fill)
        np.testing.assert_array_equal(column.sample(1), rows[2:3])
        np.testing.assert_array_equal(column[[0, 1, 11]], rows[[0, 1, 11]])
        assert asked == [16, 2 * 16, 16]

    def test_a_large_read_is_several_requests_and_a_large_shard_several_parts(
        self, here: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bucket, "BLOCK", 5 << 20)  # The least that S3 takes for a part.
        rows = rows_of(3072, 1024, "float32")
        tokens, files = write_shard(here, 0, [3072], {}, "float32")
        file = write_column(here, "c", 0, rows, "float32", step=1024)
        assert files == {}
        ma.commit(here, columns={"c": [file]}, token_shards=[tokens], info={})
        store = ma.open(here)
        np.testing.assert_array_equal(store["c"][:], rows)
        far = np.array([3071, 5, 2000, 6], np.int64)
        np.testing.assert_array_equal(store["c"][far], rows[far])
        store.verify()

    def test_gives_int8_rows_as_a_directory_does(self, here: Place, tmp_path: Path) -> None:
        rows, far = rows_of(90, 5, "float32"), np.array([88, 3, 4, 70], np.int64)
        for store in (here, tmp_path / "s"):
            tokens, files = write_shard(store, 0, [90], {"c": rows}, "int8")
            ma.commit(store, columns={"c": [files["c"]]}, token_shards=[tokens], info={})
        there, column = ma.open(tmp_path / "s")["c"], ma.open(here)["c"]
        np.testing.assert_array_equal(column[:], there[:])
        np.testing.assert_array_equal(column[far], there[far])
        for batch in ma.open(here).batches(["c"], 16, block_bytes=40):
            np.testing.assert_array_equal(batch.columns["c"], there[batch.rows])

    def test_a_store_that_is_gone_meanwhile_is_told(self, here: Place) -> None:
        small_store(here)
        column = ma.open(here)["layers.0.resid_post"]
        column[0]
        ma.evict(here, None)
        with pytest.raises(ma.StoreCorrupt, match="00000"):
            column[0]

    def test_a_fork_of_a_process_that_has_read_is_refused_and_does_not_hang(
        self, here: Place
    ) -> None:
        small_store(here)
        context = multiprocessing.get_context("fork")
        told = context.SimpleQueue()

        def read() -> None:
            try:
                ma.open(here)
            except ma.ActivationsError as error:
                told.put(str(error))

        child = context.Process(target=read)
        child.start()
        child.join(60)
        assert child.exitcode == 0
        assert "forkserver" in told.get()


class TestEviction:
    def test_what_an_interrupted_one_left_is_taken_by_the_next(self, here: Place) -> None:
        """It had taken the manifest away, or the column out of it, and no more."""
        small_store(here)
        manifest = here.read(MANIFEST)
        write_column(here, "layers.1.resid_post", 0, rows_of(7, 4, "float32"), "float32")
        ma.evict(here, ["layers.1.resid_post"])
        with pytest.raises(FileNotFoundError):
            here.size("layers.1.resid_post/00000.safetensors")
        assert here.read(MANIFEST) == manifest
        ma.open(here).verify()
        assert isinstance(here, Bucket)
        here._delete([here._key(MANIFEST)])
        with pytest.raises(ma.StoreNotFound):
            ma.open(here)
        assert ma.evict(here, ["layers.0.resid_post"]) > 0
        assert here.usage() == 0

    def test_of_one_store_leaves_one_whose_name_begins_alike(self, here: Place) -> None:
        first, second = here.within("ab"), here.within("abc")
        small_store(first)
        small_store(second)
        ma.evict(first, None)
        assert first.usage() == 0
        ma.open(second).verify()


class TestServer:
    @pytest.fixture
    def own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3Server:
        """A server of the test's own, not yet started."""
        server = S3Server(tmp_path / "own")
        server.layout.create()
        server.prepare()
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        return server

    def test_that_is_away_is_waited_for_and_then_told(self, own: S3Server) -> None:
        with pytest.raises(ma.StoreUnreachable, match="no answer"):
            ma.open(ma.place_of(own.new_url(), patience=0.2))

    def test_that_comes_back_is_gone_on_with(self, own: S3Server, tmp_path: Path) -> None:
        """Killed while shards are written; the store is the one of an undisturbed run."""
        here = ma.place_of(own.new_url(), tmp_path / "scratch")
        with own:
            rows = small_store(here)
            own.kill()
            with ThreadPoolExecutor(1) as thread:
                coming = thread.submit(small_store, here)
                own.start()
                np.testing.assert_array_equal(coming.result(), rows)
            ma.open(here).verify()


class TestRights:
    def test_a_bucket_that_is_not_there_is_told_at_once(self, s3: S3Server) -> None:
        nowhere = ma.place_of("s3://no-such-bucket/s")
        with pytest.raises(ma.StoreDenied, match="NoSuchBucket"):
            ma.open(nowhere)
        with pytest.raises(ma.StoreDenied, match=r"AccessDenied|NoSuchBucket"):
            nowhere.write("a", b"")

    def test_a_wrong_key_is_told_and_repeated_nowhere(
        self, s3: S3Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
        with pytest.raises(ma.StoreDenied, match="InvalidAccessKeyId") as caught:
            ma.open(f"s3://{BUCKET}/s")
        shown = "".join(traceback.format_exception(caught.value)) + caplog.text
        assert "somebody" not in shown
        assert "s3cr3t" not in shown

    def test_the_manifest_says_nothing_of_who_wrote_it(
        self, here: Place, s3_server: S3Server
    ) -> None:
        small_store(here)
        secrets = [
            s3_server.environment[name] for name in ("AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL")
        ]
        assert not any(secret in here.read(MANIFEST).decode() for secret in secrets)

    @pytest.mark.parametrize(
        "url", ["s3://", "s3:///a", "s3://key:secret@b/a", "s3://b/a?key=secret", "https://b/a"]
    )
    def test_a_url_of_another_form_is_refused_and_not_repeated(self, url: str) -> None:
        with pytest.raises(ma.ActivationsError, match="s3://bucket/prefix") as caught:
            ma.place_of(url)
        assert "secret" not in str(caught.value)


def test_a_directory_needs_nothing_of_a_bucket(tmp_path: Path) -> None:
    small_store(tmp_path / "s")
    script = f"""
import sys
sys.modules["obstore"] = None
import mistudio_activations as ma
ma.open({str(tmp_path / "s")!r}).verify()
try:
    ma.open("s3://b/s")
except ma.ActivationsError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert "mistudio-activations[s3]" in done.stdout

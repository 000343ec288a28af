"""A store holds what was written, shows what was committed, and says what is wrong."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors import safe_open

import mistudio_activations as ma
from mistudio_activations import Place
from mistudio_activations.places import Where
from mistudio_activations.rawfile import STORE_DTYPES
from mistudio_activations.statistics import QUANTILES

INFO = {"model": {"fingerprint": "0" * 32}}


def offsets_of(lengths: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def rows_of(tokens: int, width: int, dtype: str, seed: int = 0) -> NDArray[Any]:
    values = np.random.default_rng(seed).normal(size=(tokens, width))
    return values.astype(STORE_DTYPES[dtype])


def write_column(
    store: Where, name: str, index: int, rows: NDArray[Any], dtype: str, step: int = 7
) -> ma.ShardFile:
    with ma.ShardWriter(store, name, index, rows.shape[0], rows.shape[1], dtype) as writer:
        for start in range(0, rows.shape[0], step):
            writer.write(start, rows[start : start + step])
        return writer.close()


def write_shard(
    store: Where, index: int, lengths: Sequence[int], columns: dict[str, NDArray[Any]], dtype: str
) -> tuple[ma.ShardFile, dict[str, ma.ShardFile]]:
    offsets = offsets_of(lengths)
    ids = np.arange(offsets[-1], dtype=np.int32) + 1000 * index
    tokens = ma.write_tokens(store, index, ids, offsets, np.arange(len(lengths)) + 10 * index)
    return tokens, {n: write_column(store, n, index, r, dtype) for n, r in columns.items()}


def small_store(store: Where, dtype: str = "float32") -> NDArray[Any]:
    """Two shards of 3 and 2 samples, one column of width 4; returns its rows."""
    rows = rows_of(12, 4, dtype)
    first, a = write_shard(store, 0, [2, 1, 4], {"layers.0.resid_post": rows[:7]}, dtype)
    second, b = write_shard(store, 1, [3, 2], {"layers.0.resid_post": rows[7:]}, dtype)
    files = {"layers.0.resid_post": [a["layers.0.resid_post"], b["layers.0.resid_post"]]}
    ma.commit(store, columns=files, token_shards=[first, second], info=INFO)
    return rows


def test_windows_of_a_row_know_where_they_begin_and_older_shards_begin_at_0(
    place: Place,
) -> None:
    ids, offsets = np.arange(5, dtype=np.int32), offsets_of([2, 2, 1])
    whole = ma.write_tokens(place, 0, ids, offsets, np.array([0, 1, 2]))
    cut = ma.write_tokens(place, 1, ids, offsets, np.array([3, 3, 4]), np.array([0, 2, 0]))
    files = [write_column(place, "embed", n, rows_of(5, 2, "float32"), "float32") for n in (0, 1)]
    ma.commit(place, columns={"embed": files}, token_shards=[whole, cut], info=INFO)
    store = ma.open(place)
    assert store.sample_ids.tolist() == [0, 1, 2, 3, 3, 4]
    assert store.starts.tolist() == [0, 0, 0, 0, 2, 0]
    assert store.view(5).starts.tolist() == [0, 0, 0, 0, 2]
    with pytest.raises(ma.ActivationsError, match="one start a sample"):
        ma.write_tokens(place, 2, ids, offsets, np.array([5, 6, 7]), np.array([0]))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_rows_come_back_bit_for_bit(place: Place, dtype: str) -> None:
    rows = small_store(place, dtype)
    store = ma.open(place)
    column = store["layers.0.resid_post"]
    assert column.shape == (12, 4)
    assert column.dtype == STORE_DTYPES[dtype]
    np.testing.assert_array_equal(column[:], rows)
    np.testing.assert_array_equal(column[5:9], rows[5:9])  # across the shards
    np.testing.assert_array_equal(column[::-1], rows[::-1])
    np.testing.assert_array_equal(column[-1], rows[11])
    np.testing.assert_array_equal(column[[11, 0, 7]], rows[[11, 0, 7]])
    np.testing.assert_array_equal(column.sample(3), rows[7:10])
    store.verify()


def test_a_sample_has_its_tokens_beside_its_rows(place: Place) -> None:
    rows = small_store(place)
    store = ma.open(place)
    assert (store.samples, store.tokens) == (5, 12)
    assert store.sample_ids.tolist() == [0, 1, 2, 10, 11]
    sample = store.sample(-1)
    assert sample["input_ids"].tolist() == [1003, 1004]
    np.testing.assert_array_equal(sample["layers.0.resid_post"], rows[10:])


def test_a_view_shows_the_first_samples_alone(place: Place) -> None:
    small_store(place)
    view = ma.open(place).view(samples=2)
    assert (view.samples, view.tokens) == (2, 3)
    assert view["layers.0.resid_post"].shape == (3, 4)
    with pytest.raises(IndexError, match="sample 2"):
        view.sample(2)


@settings(max_examples=25, deadline=None)
@given(
    shards=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=4), min_size=1, max_size=4),
    width=st.integers(1, 5),
    dtype=st.sampled_from(["float32", "float16", "bfloat16"]),
)
def test_any_ragged_store_reads_as_one_array(
    tmp_path_factory: pytest.TempPathFactory, shards: list[list[int]], width: int, dtype: str
) -> None:
    root = tmp_path_factory.mktemp("any") / "s"
    rows = rows_of(sum(map(sum, shards)), width, dtype)
    start, tokens, files = 0, [], []
    for index, lengths in enumerate(shards):
        end = start + sum(lengths)
        token_file, written = write_shard(root, index, lengths, {"c": rows[start:end]}, dtype)
        tokens.append(token_file)
        files.append(written["c"])
        start = end
    ma.commit(root, columns={"c": files}, token_shards=tokens, info={})
    column = ma.open(root)["c"]
    np.testing.assert_array_equal(column[:], rows)
    for i, (low, high) in enumerate(
        zip(ma.open(root).offsets[:-1], ma.open(root).offsets[1:], strict=True)
    ):
        np.testing.assert_array_equal(column.sample(i), rows[low:high])


def test_other_programs_read_the_shards(tmp_path: Path) -> None:
    rows = small_store(tmp_path / "s")
    path = tmp_path / "s" / "layers.0.resid_post" / "00000.safetensors"
    with safe_open(path, framework="np") as file:
        np.testing.assert_array_equal(file.get_tensor("activations"), rows[:7])
        np.testing.assert_allclose(
            file.get_tensor("norms"), np.linalg.norm(rows[:7], axis=1), rtol=1e-6
        )


def test_statistics_are_those_of_all_rows(place: Place) -> None:
    rows = small_store(place).astype(np.float64)
    stats = ma.open(place)["layers.0.resid_post"].stats
    norms = np.linalg.norm(rows, axis=1)
    assert stats.count == 12
    np.testing.assert_allclose(stats.mean, rows.mean(axis=0), rtol=1e-6)
    assert stats.mean_norm == pytest.approx(norms.mean(), rel=1e-6)
    assert stats.quantiles["p50"] == pytest.approx(np.median(norms), rel=1e-6)
    assert stats.max_norm == pytest.approx(norms.max(), rel=1e-6)
    assert stats.max_abs == pytest.approx(np.abs(rows).max(), rel=1e-6)
    assert (stats.non_finite, stats.overflow) == (0, 0)


@settings(deadline=None, max_examples=60)
@given(
    norms=st.lists(
        st.one_of(st.floats(0, 2.0**100, width=32), st.just(float("inf")), st.integers(0, 3)),
        min_size=1,
        max_size=60,
    ),
    cut=st.integers(0, 60),
)
def test_quantiles_are_exact_whatever_the_norms(
    tmp_path_factory: pytest.TempPathFactory, norms: list[float], cut: int
) -> None:
    store = tmp_path_factory.mktemp("s")
    column = np.array(norms, np.float32)[:, None]
    parts = [part for part in (column[:cut], column[cut:]) if len(part)]
    written = [write_shard(store, i, [len(p)], {"c": p}, "float32") for i, p in enumerate(parts)]
    ma.commit(
        store,
        columns={"c": [files["c"] for _, files in written]},
        token_shards=[tokens for tokens, _ in written],
        info={},
    )
    with np.errstate(over="ignore"):
        rows = np.sqrt(np.square(column[:, 0]))
    finite = rows[np.isfinite(rows)].astype(np.float64)
    found = ma.open(store)["c"].stats.quantiles
    for name, share in QUANTILES.items():
        expected = np.quantile(finite, share) if finite.size else 0.0
        assert found[name] == pytest.approx(expected, rel=1e-12)


def test_values_that_left_the_range_of_float16_are_counted(place: Place) -> None:
    rows = np.ones((3, 2), np.float16)
    rows[1, 0] = np.inf
    rows[2, 1] = np.nan
    tokens, files = write_shard(place, 0, [3], {"c": rows}, "float16")
    ma.commit(place, columns={"c": [files["c"]]}, token_shards=[tokens], info={})
    stats = ma.open(place)["c"].stats
    assert (stats.non_finite, stats.overflow) == (2, 1)
    assert stats.max_abs == 1
    assert stats.mean_norm == pytest.approx(2**0.5)


class TestVisibility:
    """What is not in the manifest is not there."""

    def test_nothing_before_the_commit(self, place: Place) -> None:
        write_shard(place, 0, [2], {"c": rows_of(2, 3, "float32")}, "float32")
        with pytest.raises(ma.StoreNotFound):
            ma.open(place)

    def test_an_aborted_shard_leaves_no_file(self, place: Place) -> None:
        def fail() -> None:
            with ma.ShardWriter(place, "c", 0, 2, 3, "float32") as writer:
                writer.write(0, rows_of(1, 3, "float32"))
                raise RuntimeError("the forward pass failed")

        with pytest.raises(RuntimeError):
            fail()
        assert place.usage() == 0

    def test_a_process_killed_before_the_manifest_has_shown_nothing(self, tmp_path: Path) -> None:
        """Its shards have their names; the next commit takes the same files."""
        script = f"""
import importlib, os, pathlib, signal
import numpy as np
import mistudio_activations as ma
directory = importlib.import_module("mistudio_activations.directory")
store = pathlib.Path({str(tmp_path / "s")!r})
real = directory.write_atomically
def killed(path, content):
    if path.name == "manifest.json":
        os.kill(os.getpid(), signal.SIGKILL)
    real(path, content)
directory.write_atomically = killed
tokens = ma.write_tokens(store, 0, np.arange(2, dtype=np.int32), np.array([0, 2]), np.array([0]))
with ma.ShardWriter(store, "c", 0, 2, 3, "float32") as writer:
    writer.write(0, np.ones((2, 3), np.float32))
    file = writer.close()
ma.commit(store, columns={{"c": [file]}}, token_shards=[tokens], info={{}})
"""
        done = subprocess.run([sys.executable, "-c", script], check=False)
        assert done.returncode == -signal.SIGKILL
        store = tmp_path / "s"
        assert (store / "c" / "00000.safetensors").exists()
        with pytest.raises(ma.StoreNotFound):
            ma.open(store)
        tokens, files = write_shard(store, 0, [2], {"c": np.ones((2, 3), np.float32)}, "float32")
        ma.commit(store, columns={"c": [files["c"]]}, token_shards=[tokens], info={})
        ma.open(store).verify()

    @pytest.mark.parametrize("name", ["../c", "a/b", ".c", "tokens", ""])
    def test_a_column_stays_within_its_store(self, place: Place, name: str) -> None:
        with pytest.raises(ma.ActivationsError, match="cannot name a column"):
            ma.ShardWriter(place, name, 0, 2, 3, "float32")
        with pytest.raises(ma.ActivationsError, match="cannot name a column"):
            ma.evict(place, [name])

    def test_a_shard_lacking_rows_is_not_closed(self, place: Place) -> None:
        with (
            ma.ShardWriter(place, "c", 0, 2, 3, "float32") as writer,
            pytest.raises(ma.ActivationsError, match="0 of 2"),
        ):
            writer.close()

    def test_a_second_column_leaves_the_first_alone(self, tmp_path: Path) -> None:
        store = tmp_path / "s"
        small_store(store)
        before = (store / "layers.0.resid_post" / "00000.safetensors").stat()
        more = [
            write_column(store, "layers.1.resid_post", i, rows_of(n, 4, "float32", 5), "float32")
            for i, n in enumerate([7, 5])
        ]
        ma.commit(store, columns={"layers.1.resid_post": more}, token_shards=[], info={})
        assert ma.open(store).columns == ["layers.0.resid_post", "layers.1.resid_post"]
        after = (store / "layers.0.resid_post" / "00000.safetensors").stat()
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)

    def test_a_column_may_cover_the_first_samples_only(self, place: Place) -> None:
        small_store(place)
        third, _ = write_shard(place, 2, [4], {}, "float32")
        ma.commit(place, columns={}, token_shards=[third], info={})
        opened = ma.open(place)
        assert opened.samples == 6
        assert opened["layers.0.resid_post"].shape == (12, 4)
        assert set(opened.sample(5)) == {"input_ids"}

    def test_a_hole_before_a_shard_is_refused(self, place: Place) -> None:
        tokens, files = write_shard(place, 1, [2], {"c": rows_of(2, 3, "float32")}, "float32")
        with pytest.raises(ma.StoreCorrupt, match="shard 0 is missing"):
            ma.commit(place, columns={"c": [files["c"]]}, token_shards=[tokens], info={})

    def test_columns_are_sorted_by_layer(self, place: Place) -> None:
        columns = {f"layers.{n}.resid_post": rows_of(2, 3, "float32") for n in (10, 9, 0)}
        tokens, files = write_shard(place, 0, [2], columns, "float32")
        ma.commit(
            place,
            columns={n: [f] for n, f in files.items()},
            token_shards=[tokens],
            info={},
        )
        assert ma.open(place).columns == [f"layers.{n}.resid_post" for n in (0, 9, 10)]


class TestRepeats:
    """A redelivered order does the same again, to the same bytes."""

    def test_a_shard_written_again_is_the_same_file(self, place: Place) -> None:
        rows = rows_of(20, 6, "bfloat16")
        first = write_column(place.within("a"), "c", 0, rows, "bfloat16", step=3)
        second = write_column(place.within("b"), "c", 0, rows, "bfloat16", step=20)
        assert first == second
        for name in ("00000.safetensors", "00000.stats"):
            a, b = (place.within(d).read(f"c/{name}") for d in ("a", "b"))
            assert a == b

    def test_rows_out_of_order_give_the_same_file(self, place: Place) -> None:
        rows = rows_of(6, 3, "float32")
        expected = write_column(place.within("a"), "c", 0, rows, "float32")
        with ma.ShardWriter(place.within("b"), "c", 0, 6, 3, "float32") as writer:
            writer.write(3, rows[3:])
            writer.write(0, rows[:3])
            assert writer.close().sha256 == expected.sha256

    def test_a_commit_repeated_changes_nothing(self, place: Place) -> None:
        tokens, files = write_shard(place, 0, [2], {"c": rows_of(2, 3, "float32")}, "float32")
        first = ma.commit(place, columns={"c": [files["c"]]}, token_shards=[tokens], info=INFO)
        manifest = place.read("manifest.json")
        assert (
            ma.commit(place, columns={"c": [files["c"]]}, token_shards=[tokens], info=INFO) == first
        )
        assert place.read("manifest.json") == manifest


class TestDamage:
    """Damage is found and named."""

    def test_a_flipped_bit(self, place: Place) -> None:
        small_store(place)
        path = "layers.0.resid_post/00001.safetensors"
        content = bytearray(place.read(path))
        content[-1] ^= 1
        place.write(path, bytes(content))
        with pytest.raises(ma.StoreCorrupt, match="00001"):
            ma.open(place).verify()

    def test_each_kind_of_damage_is_told_apart(self, place: Place) -> None:
        small_store(place)
        manifest = ma.open(place).manifest
        files = ma.files_of(manifest)
        assert list(files) == sorted(files)
        assert {ma.damage_of(place, path, shard) for path, shard in files.items()} == {None}

        first, second, stats = (
            f"layers.0.resid_post/{name}"
            for name in ("00000.safetensors", "00001.safetensors", "stats.json")
        )
        place.write(first, place.read(first)[:-1])
        place.delete([second])
        place.write(stats, b"{}")
        found = {path: ma.damage_of(place, path, shard) for path, shard in files.items()}
        assert {path: what for path, what in found.items() if what} == {
            first: "size",
            second: "missing",
            stats: "content",
        }

    def test_a_column_that_the_manifest_lacks_is_missing(self, place: Place) -> None:
        small_store(place)
        files = ma.files_of(ma.open(place).manifest, ["layers.9.z"])
        assert [p for p, s in files.items() if ma.damage_of(place, p, s)] == [
            "layers.9.z/stats.json"
        ]

    def test_a_file_cut_short_is_not_committed(self, place: Place) -> None:
        tokens, files = write_shard(place, 0, [2], {"c": rows_of(2, 3, "float32")}, "float32")
        path = files["c"].path
        place.write(path, place.read(path)[:-1])
        with pytest.raises(ma.StoreCorrupt):
            ma.commit(place, columns={"c": [files["c"]]}, token_shards=[tokens], info={})
        assert ma.read_manifest(place) is None

    def test_a_shard_that_was_written_over_is_not_committed(self, place: Place) -> None:
        tokens, files = write_shard(place, 0, [2], {"c": rows_of(2, 3, "float32")}, "float32")
        write_shard(place, 0, [2], {"c": rows_of(2, 3, "float32", 5)}, "float32")
        with pytest.raises(ma.StoreCorrupt, match="another checksum"):
            ma.commit(place, columns={"c": [files["c"]]}, token_shards=[tokens], info={})
        assert ma.read_manifest(place) is None

    def test_rows_that_changed_on_the_disk_before_the_commit_are_found_by_verify(
        self, place: Place
    ) -> None:
        tokens, files = write_shard(place, 0, [2], {"c": rows_of(2, 3, "float32")}, "float32")
        path = files["c"].path
        content = bytearray(place.read(path))
        content[-1] ^= 1
        place.write(path, bytes(content))
        ma.commit(place, columns={"c": [files["c"]]}, token_shards=[tokens], info={})
        with pytest.raises(ma.StoreCorrupt, match="00000"):
            ma.open(place).verify()

    def test_a_shard_without_what_was_said_of_it_is_not_committed(self, tmp_path: Path) -> None:
        tokens, files = write_shard(tmp_path, 0, [2], {"c": rows_of(2, 3, "float32")}, "float32")
        (tmp_path / "c" / "00000.stats").unlink()
        with pytest.raises(ma.StoreCorrupt, match=r"00000\.stats is missing"):
            ma.commit(tmp_path, columns={"c": [files["c"]]}, token_shards=[tokens], info={})

    def test_a_column_of_another_dtype_is_not_committed(self, place: Place) -> None:
        small_store(place)
        more = [
            write_column(place, "layers.1.resid_post", i, rows_of(n, 4, "float16"), "float16")
            for i, n in enumerate([7, 5])
        ]
        with pytest.raises(ma.StoreCorrupt, match="float16"):
            ma.commit(place, columns={"layers.1.resid_post": more}, token_shards=[], info={})
        assert ma.open(place).columns == ["layers.0.resid_post"]

    def test_a_manifest_of_a_later_version(self, place: Place) -> None:
        small_store(place)
        later = {**json.loads(place.read("manifest.json")), "schema_version": 3}
        place.write("manifest.json", json.dumps(later).encode())
        with pytest.raises(ma.UnknownVersion, match=r"version 3; this reads 1, 2: upgrade"):
            ma.open(place)

    def test_an_unknown_column_is_answered_with_those_there_are(self, place: Place) -> None:
        small_store(place)
        with pytest.raises(ma.ColumnNotFound, match=r"layers\.0\.resid_post"):
            ma.open(place)["layers.9.resid_post"]

    def test_a_full_disk_leaves_nothing(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, left = os.pwrite, [3]

        def pwrite(fd: int, content: bytes, offset: int) -> int:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(fd, content, offset)

        monkeypatch.setattr(os, "pwrite", pwrite)
        with pytest.raises(ma.StorageFull):
            write_column(place, "c", 0, rows_of(40, 3, "float32"), "float32", step=5)
        assert place.usage() == 0

    def test_a_file_that_outgrows_its_limit_leaves_nothing(self, tmp_path: Path) -> None:
        """The operating system's own refusal, not a made-up one."""
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
        try:
            with pytest.raises(ma.StorageFull):
                write_column(
                    tmp_path / "s", "c", 0, np.ones((2048, 256), np.float32), "float32", step=256
                )
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert list((tmp_path / "s" / "c").iterdir()) == []


class TestEviction:
    def test_what_an_interrupted_one_left_is_taken_by_the_next(self, tmp_path: Path) -> None:
        store = tmp_path / "s"
        small_store(store)
        write_column(store, "layers.1.resid_post", 0, rows_of(7, 4, "float32"), "float32")
        gone = tmp_path / ".s.0a0b0c0d.gone"
        gone.mkdir()
        ma.evict(store, ["layers.1.resid_post"])
        assert not gone.exists()
        assert not (store / "layers.1.resid_post").exists()
        ma.open(store).verify()

    def test_of_all_needs_no_readable_manifest(self, place: Place) -> None:
        small_store(place)
        place.write("manifest.json", b"{")
        assert ma.evict(place, None) > 0
        assert place.usage() == 0

    def test_of_a_column_leaves_the_others(self, place: Place) -> None:
        columns = {"a": rows_of(2, 3, "float32"), "b": rows_of(2, 3, "float32", 1)}
        tokens, files = write_shard(place, 0, [2], columns, "float32")
        ma.commit(place, columns={n: [f] for n, f in files.items()}, token_shards=[tokens], info={})
        assert ma.evict(place, ["a"]) > 0
        assert ma.open(place).columns == ["b"]
        with pytest.raises(FileNotFoundError):
            place.size("a/00000.safetensors")
        ma.open(place).verify()

    def test_of_the_last_column_takes_the_store_away(self, place: Place) -> None:
        small_store(place)
        used = ma.disk_usage(place)
        assert ma.evict(place, ["layers.0.resid_post"]) == used
        assert place.usage() == 0

    def test_of_what_is_gone_frees_nothing(self, place: Place) -> None:
        assert ma.evict(place, None) == 0


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_exports_hold_the_same_values(place: Place, tmp_path: Path, dtype: str) -> None:
    import torch

    rows = small_store(place, dtype).astype(np.float32)
    store = ma.open(place)
    npy = np.load(ma.export_npy(store, "layers.0.resid_post", tmp_path / "c.npy"))
    np.testing.assert_array_equal(npy.astype(np.float32), rows)
    tensor = torch.load(ma.export_pt(store, "layers.0.resid_post", tmp_path / "c.pt"))
    assert str(tensor.dtype) == f"torch.{dtype}"
    np.testing.assert_array_equal(tensor.float().numpy(), rows)


def test_torch_rows_are_written_as_they_are(tmp_path: Path) -> None:
    import torch

    rows = torch.randn(4, 3).to(torch.bfloat16)
    with ma.ShardWriter(tmp_path / "s", "c", 0, 4, 3, "bfloat16") as writer:
        writer.write(0, rows)
        file = writer.close()
    with safe_open(tmp_path / "s" / file.path, framework="pt") as opened:
        assert torch.equal(opened.get_tensor("activations"), rows)


def test_who_writes_a_shard_that_another_has_committed_meanwhile_is_done(place: Place) -> None:
    rows = rows_of(3, 4, "float32")
    with ma.ShardWriter(place, "embed", 0, 3, 4, "float32") as late:
        late.write(0, rows)
        tokens, files = write_shard(place, 0, [3], {"embed": rows}, "float32")
        ma.commit(place, columns={"embed": [files["embed"]]}, token_shards=[tokens], info=INFO)
        assert late.close() == files["embed"]
    ma.open(place).verify()

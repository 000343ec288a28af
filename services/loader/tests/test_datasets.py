"""Datasets: every format to the same canonical form, every fault with its place."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mistudio_contracts import new_id
from mistudio_contracts.errors import InsufficientStorage, InvalidInput, PayloadTooLarge
from mistudio_contracts.states import DatasetFormat
from mistudio_contracts.values import DatasetFacts
from mistudio_loader.datasets.ingestion import ingest
from mistudio_loader.jobs import IngestJob

Ingest = Callable[..., DatasetFacts]


@pytest.fixture
def run(cache: Path, tmp_path: Path) -> Ingest:
    """Return a function that writes content to a file of the given name and ingests it."""

    def work(content: bytes | str, name: str = "upload-1", **fields: Any) -> DatasetFacts:
        path = tmp_path / "source"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        settings: dict[str, Any] = {"max_bytes": 2**30, "name": name, "file": path}
        return ingest(IngestJob(task_id=new_id("task"), root=cache, **{**settings, **fields}))

    return work


@pytest.fixture
def rows(cache: Path) -> Callable[[DatasetFacts], list[dict[str, Any]]]:
    def read(facts: DatasetFacts) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = pq.read_table(
            cache / facts.fingerprint / "data.parquet"
        ).to_pylist()
        return found

    return read


def parquet(table: pa.Table, tmp_path: Path) -> bytes:
    path = tmp_path / "made.parquet"
    pq.write_table(table, path, row_group_size=3)
    return path.read_bytes()


def refused(run: Ingest, *args: Any, **fields: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        run(*args, **fields)
    return caught.value


def test_jsonl_keeps_every_key_of_any_line(run: Ingest, rows: Any) -> None:
    facts = run('{"text": "a", "n": 1}\n\n{"text": "b", "extra": [true]}\n', "x.jsonl")
    assert facts.format is DatasetFormat.JSONL
    assert facts.sample_count == 2
    assert facts.columns == {"text": "text", "n": "other", "extra": "other"}
    assert facts.text_column == "text"
    assert rows(facts) == [
        {"text": "a", "n": 1, "extra": None},
        {"text": "b", "n": None, "extra": "[true]"},
    ]


def test_text_takes_each_line_that_is_not_blank(run: Ingest, rows: Any) -> None:
    facts = run("\ufeffone\r\n\n  \ntwo \n  three", "notes.txt")
    assert facts.format is DatasetFormat.TEXT
    assert [row["text"] for row in rows(facts)] == ["one", "two ", "  three"]


def test_csv_keeps_quoted_lines_and_types(run: Ingest, rows: Any) -> None:
    facts = run('text,n,zip\n"a, ""b""\nc",1,007\nd,,1\n', "x.csv")
    assert facts.columns == {"text": "text", "n": "other", "zip": "text"}
    assert rows(facts) == [
        {"text": 'a, "b"\nc', "n": 1, "zip": "007"},
        {"text": "d", "n": None, "zip": "1"},
    ]


def test_parquet_widens_numbers_and_knows_tokens(run: Ingest, rows: Any, tmp_path: Path) -> None:
    table = pa.table(
        {
            "input_ids": pa.array([[1, 2], [3]], pa.list_(pa.int64())),
            "label": pa.array([1, 2], pa.int8()),
            "kind": pa.array(["x", "y"]).dictionary_encode(),
        }
    )
    facts = run(parquet(table, tmp_path))
    assert facts.format is DatasetFormat.PARQUET
    assert facts.columns == {"input_ids": "tokens", "label": "other", "kind": "text"}
    assert facts.text_column == "input_ids"
    schema = pq.read_schema(tmp_path / "cache" / facts.fingerprint / "data.parquet")
    assert schema.field("input_ids").type == pa.list_(pa.int32())
    assert schema.field("label").type == pa.int64()


def test_the_same_rows_have_the_same_fingerprint_in_any_format(run: Ingest, tmp_path: Path) -> None:
    table = pa.table({"text": ["a", "b"], "n": [1, 2]})
    found = {
        run('{"text": "a", "n": 1}\n{"n": 2, "text": "b"}', "x.jsonl").fingerprint,
        run("text,n\na,1\nb,2\n", "x.csv").fingerprint,
        run(parquet(table, tmp_path), "x.parquet").fingerprint,
    }
    assert len(found) == 1


@pytest.mark.parametrize(
    "other",
    ['{"text": "b"}\n{"text": "a"}', '{"text": "a"}', '{"txt": "a"}\n{"txt": "b"}'],
)
def test_other_rows_have_another_fingerprint(run: Ingest, other: str) -> None:
    first = run('{"text": "a"}\n{"text": "b"}', "x.jsonl")
    assert run(other, "x.jsonl").fingerprint != first.fingerprint


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"text": "a"}\n', DatasetFormat.JSONL),
        (b"just words\n", DatasetFormat.TEXT),
        (b"{ not json\n", DatasetFormat.TEXT),
    ],
)
def test_a_nameless_file_is_known_by_its_content(
    run: Ingest, content: bytes, expected: DatasetFormat
) -> None:
    assert run(content).format is expected


def test_the_ordered_format_wins_over_the_name(run: Ingest) -> None:
    assert run("a,b\n1,2\n", "x.csv", format=DatasetFormat.TEXT).format is DatasetFormat.TEXT


class TestColumns:
    """Which column the samples are taken from."""

    @pytest.mark.parametrize(
        ("row", "chosen"),
        [
            ({"title": "t", "text": "x"}, "text"),
            ({"title": "t", "input_ids": [1]}, "input_ids"),
            ({"n": 1, "title": "t", "body": "b"}, "title"),
            ({"text": 5, "body": "b"}, "body"),
        ],
    )
    def test_one_is_chosen(self, run: Ingest, row: dict[str, Any], chosen: str) -> None:
        assert run(json.dumps(row), "x.jsonl").text_column == chosen

    def test_the_requested_one_is_taken(self, run: Ingest) -> None:
        facts = run('{"text": "a", "ids": [7, 8]}', "x.jsonl", text_column="ids")
        assert facts.text_column == "ids"

    @pytest.mark.parametrize("requested", ["body", "n"])
    def test_a_wrong_one_is_refused_and_the_others_named(self, run: Ingest, requested: str) -> None:
        error = refused(run, '{"text": "a", "n": 1}', "x.jsonl", text_column=requested)
        assert error.details["field"] == "text_column"
        assert error.details["reason"] == "wrong_column"
        assert requested in error.message
        assert "text" in error.message
        assert error.details["columns"] == {"text": "text", "n": "other"}

    def test_no_text_at_all_is_refused(self, run: Ingest) -> None:
        error = refused(run, '{"n": 1, "m": {"a": 2}}', "x.jsonl")
        assert error.details["reason"] == "no_text_column"

    @pytest.mark.parametrize("bad", [-1, 2**31])
    @pytest.mark.parametrize("form", ["jsonl", "parquet"])
    def test_what_is_no_token_id_is_refused(
        self, run: Ingest, tmp_path: Path, form: str, bad: int
    ) -> None:
        ids = [[1, 2], [], [3], [4, bad]]
        content = "\n".join(json.dumps({"input_ids": row}) for row in ids).encode()
        if form == "parquet":
            content = parquet(pa.table({"input_ids": ids}), tmp_path)
        error = refused(run, content, f"x.{form}")
        assert error.details["reason"] == "bad_token"
        assert (error.details["row"], error.details["value"]) == (4, bad)

    def test_labels_that_are_no_tokens_do_no_harm(self, run: Ingest, rows: Any) -> None:
        facts = run('{"input_ids": [1], "labels": [-100]}', "x.jsonl")
        assert facts.columns == {"input_ids": "tokens", "labels": "other"}
        assert rows(facts) == [{"input_ids": [1], "labels": [-100]}]

    def test_values_that_agree_on_no_type_are_kept_as_json(self, run: Ingest, rows: Any) -> None:
        facts = run('{"text": "a", "x": 1}\n{"text": "b", "x": "é"}', "x.jsonl")
        assert facts.columns["x"] == "other"
        assert [row["x"] for row in rows(facts)] == ["1", '"é"']

    def test_whole_and_broken_numbers_are_numbers(self, run: Ingest, rows: Any) -> None:
        facts = run('{"text": "a", "x": 1}\n{"text": "b", "x": 0.5}', "x.jsonl")
        assert [row["x"] for row in rows(facts)] == [1.0, 0.5]

    def test_numbers_too_large_for_arrow_are_kept(self, run: Ingest, rows: Any) -> None:
        facts = run(json.dumps({"text": "a", "x": 2**70}), "x.jsonl")
        assert rows(facts)[0]["x"] == str(2**70)


class TestFaults:
    """Content that cannot be read says where."""

    @pytest.mark.parametrize("name", ["x.jsonl", "x.txt", "x.csv", "x.parquet"])
    def test_an_empty_file_is_refused(self, run: Ingest, name: str, tmp_path: Path) -> None:
        content = b""
        if name.endswith("parquet"):
            content = parquet(pa.table({"text": pa.array([], pa.string())}), tmp_path)
        assert refused(run, content, name).details["reason"] == "empty_dataset"

    @pytest.mark.parametrize(
        ("name", "content"),
        [("x.jsonl", "\n \n"), ("x.txt", "\n\n"), ("x.csv", "text\n"), ("x.jsonl", "\ufeff")],
    )
    def test_a_file_without_samples_is_refused(self, run: Ingest, name: str, content: str) -> None:
        assert refused(run, content, name).details["reason"] == "empty_dataset"

    @pytest.mark.parametrize(
        ("name", "content", "line", "offset"),
        [
            ("x.txt", b"abc\nd\xffe\n", 2, 5),
            ("x.jsonl", b'\xef\xbb\xbf{"text": "\xe9"}\n', 1, 13),
            ("x.csv", b"text\na\nb\xc3(\n", 3, 8),
            ("x.txt", "wide".encode("utf-16"), 1, 0),
        ],
    )
    def test_what_is_not_utf8_is_located(
        self, run: Ingest, name: str, content: bytes, line: int, offset: int
    ) -> None:
        details = refused(run, content, name).details
        assert details["reason"] == "undecodable"
        assert (details["line"], details["byte_offset"]) == (line, offset)

    def test_half_a_surrogate_is_undecodable(self, run: Ingest) -> None:
        error = refused(run, '{"text": "a"}\n{"text": "\\ud800"}', "x.jsonl")
        assert (error.details["reason"], error.details["line"]) == ("undecodable", 2)

    @pytest.mark.parametrize("bad", ['{"text": ', "[1]", '"text"', "{}", "[" * 200_000, "null"])
    def test_a_malformed_line_is_named(self, run: Ingest, bad: str) -> None:
        error = refused(run, f'{{"text": "a"}}\n\n{bad}\n', "x.jsonl")
        assert (error.details["reason"], error.details["line"]) == ("malformed_json", 3)
        assert "Line 3" in error.message

    @pytest.mark.parametrize(
        ("content", "line"),
        [
            ("a,b\n1,2\n3\n", 3),
            ("a,b\n1,2,3\n", 2),
            ('a,b\n"1\n2",3\n4,5,6\n', 4),
            ('a,b\n1,"2', 2),
            ("a,a\n1,2\n", 1),
        ],
    )
    def test_a_ragged_line_is_named(self, run: Ingest, content: str, line: int) -> None:
        error = refused(run, content, "x.csv")
        assert (error.details["reason"], error.details["line"]) == ("malformed_csv", line)

    @pytest.mark.parametrize("name", ["x.txt", "x.jsonl", "x.csv"])
    def test_a_line_without_end_is_refused(
        self, run: Ingest, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mistudio_loader.datasets.lines.MAX_LINE_BYTES", 100)
        error = refused(run, "text\n" + "x" * 101, name, format=DatasetFormat.TEXT)
        assert (error.details["reason"], error.details["line"]) == ("line_too_long", 2)

    @pytest.mark.parametrize("content", [b"PAR1", b"PAR1" + bytes(50) + b"PAR1", b"x" * 100])
    def test_what_is_no_parquet_is_refused(self, run: Ingest, content: bytes) -> None:
        assert refused(run, content, "x.parquet").details["reason"] == "malformed_parquet"

    def test_parquet_text_that_is_not_utf8_is_refused(self, run: Ingest, tmp_path: Path) -> None:
        raw = pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())
        error = refused(run, parquet(pa.table({"text": raw}), tmp_path), "x.parquet")
        assert error.details["reason"] == "malformed_parquet"

    @pytest.mark.parametrize("name", ["x.jsonl.gz", "x.zip", "x.jsonl"])
    def test_an_archive_is_not_unpacked(self, run: Ingest, name: str) -> None:
        """A megabyte of gzip would be a gigabyte of lines."""
        zipped = gzip.compress(b'{"text": "a"}\n' * 1000)
        if name.endswith("zip"):
            whole = io.BytesIO()
            with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("x.jsonl", b'{"text": "a"}\n' * 1000)
            zipped = whole.getvalue()
        assert refused(run, zipped, name).details["reason"] == "undecodable"

    def test_a_key_of_its_own_in_each_line_is_refused(self, run: Ingest) -> None:
        lines = "\n".join(json.dumps({f"key {n}": "a"}) for n in range(1001))
        assert refused(run, lines, "x.jsonl").details["reason"] == "too_many_columns"

    def test_a_dataset_larger_than_allowed_is_refused(self, run: Ingest) -> None:
        with pytest.raises(PayloadTooLarge) as caught:
            run("line\n" * 1000, max_bytes=500)
        assert caught.value.details["max_bytes"] == 500

    def test_a_full_disk_is_told_before_reading(self, run: Ingest) -> None:
        with pytest.raises(InsufficientStorage):
            run("text", reserve_bytes=2**60)

    def test_nothing_is_left_of_a_refused_dataset(self, run: Ingest, cache: Path) -> None:
        refused(run, '{"text": "a"}\n{', "x.jsonl")
        assert [p for p in cache.rglob("*") if p.is_file()] == []


def test_the_preview_is_short(run: Ingest) -> None:
    row = {"text": "x" * 1000, "ids": list(range(100)), "more": {"a": "y" * 1000}}
    facts = run("\n".join([json.dumps(row)] * 7), "x.jsonl")
    assert len(facts.preview) == 5
    shown = facts.preview[0]
    assert shown["text"] == "x" * 300
    assert shown["ids"] == list(range(32))
    assert len(shown["more"]) == 300


def test_facts_lie_beside_the_rows(run: Ingest, cache: Path) -> None:
    facts = run("one\ntwo\n", "x.txt")
    stored = json.loads((cache / facts.fingerprint / "dataset.json").read_text())
    assert DatasetFacts.model_validate(stored) == facts
    assert facts.file_size_bytes == 8


def test_rows_come_in_groups_of_bounded_size(
    run: Ingest, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mistudio_loader.datasets.readers.BATCH_BYTES", 1000)
    facts = run("\n".join(["x" * 400] * 10), "x.txt")
    file = pq.ParquetFile(cache / facts.fingerprint / "data.parquet")
    assert file.metadata.num_row_groups == 4
    assert facts.sample_count == 10


def test_ingesting_again_finds_the_same_dataset(run: Ingest, cache: Path) -> None:
    first = run("one\n", "x.txt")
    data = cache / first.fingerprint / "data.parquet"
    before = data.stat().st_mtime_ns
    assert run("one\n", "x.txt") == first
    assert data.stat().st_mtime_ns == before

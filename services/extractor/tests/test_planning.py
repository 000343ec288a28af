"""A plan: samples of a dataset, cut into shards, each once, and only what is missing."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mistudio_activations import ShardWriter
from mistudio_activations.rawfile import map_tensor
from mistudio_contracts.errors import ExtractionFailed, InsufficientStorage, InvalidInput
from mistudio_contracts.reports import ExtractionPlannedReport
from mistudio_contracts.values import Artifact, Tokenization
from mistudio_contracts.work import PlanExtraction
from mistudio_extractor.services import planning
from mistudio_extractor.services.committing import Committing
from mistudio_extractor.services.planning import Planning
from mistudio_extractor.storage import skipped
from mistudio_extractor.storage.layout import Layout
from mistudio_testkit.models import ragged_texts

from .support import POINTS, Disk, commit_order, plan_order

Plan = Callable[[PlanExtraction], ExtractionPlannedReport]


@pytest.fixture
def plan(disk: Disk) -> Plan:
    made = Planning(Layout(disk.settings))

    def make(order: PlanExtraction) -> ExtractionPlannedReport:
        report = made.plan(order, lambda: False)
        assert report is not None
        return report

    return make


def commit_columns(disk: Disk, order: PlanExtraction, planned: ExtractionPlannedReport) -> None:
    """Write zeros where the capture would write activations, and commit them."""
    for shard in planned.shards:
        for point in shard.hook_points:
            with ShardWriter(
                disk.store(order), point, shard.index, shard.tokens, 64, "float32"
            ) as writer:
                writer.write(0, np.zeros((shard.tokens, 64), np.float32))
                writer.close()
    Committing(Layout(disk.settings)).commit(commit_order(order, planned))


def tokens_of(disk: Disk, order: PlanExtraction) -> list[bytes]:
    return [p.read_bytes() for p in sorted((disk.store(order) / "tokens").glob("*.safetensors"))]


def samples_of(disk: Disk, order: PlanExtraction, index: int) -> list[list[int]]:
    path = disk.store(order) / "tokens" / f"{index:05d}.safetensors"
    ids, offsets = map_tensor(path, "input_ids"), map_tensor(path, "offsets")
    return [ids[a:b].tolist() for a, b in itertools.pairwise(offsets)]


def refused(plan: Plan, order: PlanExtraction, reason: str) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        plan(order)
    assert caught.value.details["reason"] == reason
    assert caught.value.details["field"].startswith("tokenization")
    assert caught.value.details["remedy"]
    return caught.value


def begin_every_text(model: Path) -> None:
    """Let a tokenizer put the token 0 before each text."""
    path = model / "tokenizer.json"
    known = json.loads(path.read_text())
    begin = {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}
    known["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [begin, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}],
        "special_tokens": {
            "<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}
        },
    }
    path.write_text(json.dumps(known))


class TestTokenising:
    def test_text_becomes_what_the_models_tokenizer_makes_of_it(
        self, disk: Disk, tiny: Artifact, plan: Plan
    ) -> None:
        from transformers import AutoTokenizer

        texts = ragged_texts(30)
        order = plan_order(tiny, disk.dataset(texts))
        report = plan(order)
        tokenizer = AutoTokenizer.from_pretrained(disk.directory(tiny))
        assert samples_of(disk, order, 0) == [tokenizer(text)["input_ids"] for text in texts]
        assert (report.samples, len(report.shards)) == (30, 1)
        assert report.tokens == report.shards[0].tokens

    def test_ready_made_ids_are_taken_as_they_are(
        self, disk: Disk, tiny: Artifact, plan: Plan
    ) -> None:
        rows = [[5, 6, 7], [8], [511, 0]]
        order = plan_order(tiny, disk.dataset(rows, "input_ids"), column="input_ids")
        assert plan(order).samples == 3
        assert samples_of(disk, order, 0) == rows

    def test_special_tokens_are_added_when_asked_for(
        self, disk: Disk, tiny: Artifact, plan: Plan
    ) -> None:
        begin_every_text(disk.directory(tiny))
        dataset = disk.dataset(["one two"])
        with_them = plan_order(tiny, dataset)
        plain = plan_order(
            tiny, dataset, tokenization=Tokenization(column="text", add_special_tokens=False)
        )
        plan(with_them)
        plan(plain)
        assert samples_of(disk, with_them, 0)[0] == [0, *samples_of(disk, plain, 0)[0]]

    def test_empty_and_long_samples_are_counted_by_reason(
        self, disk: Disk, tiny: Artifact, plan: Plan
    ) -> None:
        rows = [[1], [], None, [2] * 9, [3] * 8]
        order = plan_order(
            tiny,
            disk.dataset(rows, "input_ids"),
            tokenization=Tokenization(column="input_ids", max_length=8),
        )
        report = plan(order)
        assert (report.skipped.empty, report.skipped.too_long) == (2, 1)
        assert (report.samples, report.tokens) == (2, 9)
        ids = map_tensor(disk.store(order) / "tokens" / "00000.safetensors", "sample_ids")
        assert ids.tolist() == [0, 4], "each sample knows its row of the dataset"

    def test_a_long_sample_is_cut_when_asked_for(
        self, disk: Disk, tiny: Artifact, plan: Plan
    ) -> None:
        how = Tokenization(column="text", max_length=4, truncate=True)
        order = plan_order(tiny, disk.dataset(["one two three four five six"]), tokenization=how)
        assert plan(order).skipped.too_long == 0
        assert len(samples_of(disk, order, 0)[0]) == 4

    def test_nothing_is_longer_than_the_models_context(
        self, disk: Disk, tiny: Artifact, plan: Plan
    ) -> None:
        how = Tokenization(column="input_ids", max_length=100_000, truncate=True)
        order = plan_order(tiny, disk.dataset([[1] * 300], "input_ids"), tokenization=how)
        assert plan(order).tokens == 256

    def test_only_the_first_rows_asked_for_are_considered(
        self, disk: Disk, tiny: Artifact, plan: Plan
    ) -> None:
        rows = [[], [1], [2], [], [3]]
        order = plan_order(
            tiny, disk.dataset(rows, "input_ids", group=2), column="input_ids", sample_count=3
        )
        report = plan(order)
        assert (report.samples, report.skipped.empty) == (2, 1)


class TestWindows:
    """Long rows in windows, only when asked for."""

    @pytest.mark.parametrize(
        ("stride", "expected"),
        [
            (4, [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]),
            (2, [[1, 2, 3, 4], [3, 4, 5, 6], [5, 6, 7, 8], [7, 8, 9, 10]]),
            (3, [[1, 2, 3, 4], [4, 5, 6, 7], [7, 8, 9, 10]]),
        ],
    )
    def test_windows_begin_a_stride_apart_and_the_last_is_kept(
        self, disk: Disk, tiny: Artifact, plan: Plan, stride: int, expected: list[list[int]]
    ) -> None:
        how = Tokenization(column="input_ids", max_length=4, stride=stride)
        dataset = disk.dataset([[9], list(range(1, 11)), [], [7, 8]], "input_ids")
        order = plan_order(tiny, dataset, tokenization=how)
        report = plan(order)
        assert samples_of(disk, order, 0) == [[9], *expected, [7, 8]]
        assert (report.skipped.empty, report.skipped.too_long) == (1, 0)
        path = disk.store(order) / "tokens" / "00000.safetensors"
        many = len(expected)
        assert map_tensor(path, "sample_ids").tolist() == [0, *[1] * many, 3]
        assert map_tensor(path, "starts").tolist() == [0, *(stride * n for n in range(many)), 0]

    def test_every_window_has_the_special_tokens_and_max_length_counts_them(
        self, disk: Disk, tiny: Artifact, plan: Plan
    ) -> None:
        begin_every_text(disk.directory(tiny))
        dataset = disk.dataset(["one two three four five six seven eight", "one"])
        plain = plan_order(
            tiny, dataset, tokenization=Tokenization(column="text", add_special_tokens=False)
        )
        plan(plain)
        text, short = samples_of(disk, plain, 0)
        order = plan_order(
            tiny, dataset, tokenization=Tokenization(column="text", max_length=4, stride=4)
        )
        plan(order)
        *cut, last = samples_of(disk, order, 0)
        assert last == [0, *short]
        assert all(window[0] == 0 and len(window) <= 4 for window in cut)
        assert [token for window in cut for token in window[1:]] == text, "nothing is lost or twice"
        path = disk.store(order) / "tokens" / "00000.safetensors"
        assert map_tensor(path, "starts").tolist()[:3] == [0, 3, 6], "counted in the text"

    def test_windows_of_one_row_may_lie_in_several_shards_and_fewer_rows_are_a_prefix(
        self, disk: Disk, tiny: Artifact, plan: Plan
    ) -> None:
        how = Tokenization(column="input_ids", max_length=4, stride=4)
        dataset = disk.dataset([list(range(1, 15)), [], [5], [6]], "input_ids")
        order = plan_order(tiny, dataset, tokenization=how, shard_tokens=8, sample_count=3)
        first = plan(order)
        assert [cut.samples for cut in first.cuts] == [2, 3]
        commit_columns(disk, order, first)
        part = plan(plan_order(tiny, dataset, tokenization=how, shard_tokens=8, sample_count=1))
        assert (part.samples, part.tokens) == (4, 14)
        assert all(shard.hook_points == [] for shard in part.shards)
        grown = plan(plan_order(tiny, dataset, tokenization=how, shard_tokens=8))
        assert [cut.samples for cut in grown.cuts] == [2, 3, 1], "only the new row is cut"

    def test_windows_without_room_for_text_are_refused(
        self, disk: Disk, tiny: Artifact, plan: Plan
    ) -> None:
        begin_every_text(disk.directory(tiny))
        how = Tokenization(column="text", max_length=1, stride=1)
        order = plan_order(tiny, disk.dataset(["one two"]), tokenization=how)
        assert refused(plan, order, "no_room_for_text").details["field"].endswith("max_length")

    def test_a_stride_beyond_the_models_context_is_refused(
        self, disk: Disk, tiny: Artifact, plan: Plan
    ) -> None:
        how = Tokenization(column="text", stride=257)
        order = plan_order(tiny, disk.dataset(["one two"]), tokenization=how)
        assert refused(plan, order, "leaves_gaps").details["field"] == "tokenization.stride"


class TestBadInput:
    @pytest.mark.parametrize("wrong", [512, -1, 10**6])
    def test_an_id_outside_the_vocabulary_is_named_with_its_row(
        self, disk: Disk, tiny: Artifact, plan: Plan, wrong: int
    ) -> None:
        order = plan_order(tiny, disk.dataset([[1], [2, wrong]], "input_ids"), column="input_ids")
        error = refused(plan, order, "token_out_of_range")
        assert error.details["row"] == 2
        assert str(wrong) in error.message
        assert "Row 2" in error.message

    def test_a_hole_among_the_ids_is_no_id(self, disk: Disk, tiny: Artifact, plan: Plan) -> None:
        order = plan_order(tiny, disk.dataset([[1, None]], "input_ids"), column="input_ids")
        refused(plan, order, "token_out_of_range")

    def test_a_tokenizer_of_another_model_is_found_out(
        self, disk: Disk, tiny: Artifact, plan: Plan
    ) -> None:
        path = disk.directory(tiny) / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "vocab_size": 10}))
        error = refused(plan, plan_order(tiny, disk.dataset(["one two"])), "token_out_of_range")
        assert "tokenizer" in error.details["remedy"]

    @pytest.mark.parametrize(
        "left", [(), ("tokenizer_config.json",)], ids=["nothing", "only its config"]
    )
    def test_text_needs_a_tokenizer(
        self, disk: Disk, tiny: Artifact, plan: Plan, left: tuple[str, ...]
    ) -> None:
        for path in disk.directory(tiny).glob("token*"):
            if path.name not in left:
                path.unlink()
        refused(plan, plan_order(tiny, disk.dataset(["one two"])), "no_tokenizer")

    def test_a_broken_tokenizer_is_said_to_be_one(
        self, disk: Disk, tiny: Artifact, plan: Plan
    ) -> None:
        (disk.directory(tiny) / "tokenizer.json").write_text('{"version": "1.0"}')
        error = refused(plan, plan_order(tiny, disk.dataset(["one two"])), "no_tokenizer")
        assert "cannot be read" in error.message

    def test_a_wrong_column_is_named_with_those_there_are(
        self, disk: Disk, tiny: Artifact, plan: Plan
    ) -> None:
        error = refused(
            plan, plan_order(tiny, disk.dataset(["a"], "body"), column="text"), "wrong_column"
        )
        assert "text" in error.message
        assert "body" in error.message

    @pytest.mark.parametrize(
        ("values", "kind"),
        [([1, 2], None), ([[0.5, 2.0]], None), ([[["a"]]], None), ([[True]], None)],
    )
    def test_a_column_of_something_else_is_refused(
        self, disk: Disk, tiny: Artifact, plan: Plan, values: list[Any], kind: Any
    ) -> None:
        order = plan_order(tiny, disk.dataset(values, "x", kind), column="x")
        refused(plan, order, "wrong_column_type")

    def test_no_column_at_all(self, disk: Disk, tiny: Artifact, plan: Plan) -> None:
        order = plan_order(tiny, disk.dataset(["a"]), tokenization=Tokenization())
        refused(plan, order, "no_column")

    @pytest.mark.parametrize(
        ("values", "kind", "counts"),
        [
            (["word " * 600], None, (0, 1)),
            (["", None], None, (2, 0)),
            ([None, None], pa.null(), (2, 0)),
        ],
    )
    def test_no_sample_left_tells_why_and_what_to_do(
        self,
        disk: Disk,
        tiny: Artifact,
        plan: Plan,
        values: list[Any],
        kind: Any,
        counts: tuple[int, int],
    ) -> None:
        order = plan_order(tiny, disk.dataset(values, "text", kind))
        error = refused(plan, order, "no_samples")
        assert (error.details["empty"], error.details["too_long"]) == counts
        assert "truncate=true" in error.details["remedy"]
        assert not disk.store(order).exists(), "nothing is left of it"

    def test_a_damaged_dataset_is_said_to_be_one(
        self, disk: Disk, tiny: Artifact, plan: Plan
    ) -> None:
        dataset = disk.dataset(["a b c"] * 50)
        path = disk.root / "datasets" / dataset.fingerprint / "data.parquet"
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(ExtractionFailed) as caught:
            plan(plan_order(tiny, dataset))
        assert caught.value.details["reason"] == "dataset_damaged"

    def test_a_dataset_that_is_not_there(self, disk: Disk, tiny: Artifact, plan: Plan) -> None:
        dataset = disk.dataset(["a"])
        shutil.rmtree(disk.root / "datasets" / dataset.fingerprint)
        with pytest.raises(ExtractionFailed) as caught:
            plan(plan_order(tiny, dataset))
        assert caught.value.details["reason"] == "dataset_missing"
        assert str(disk.root) not in caught.value.message


class TestShards:
    def test_shards_are_cut_at_samples_in_order(
        self, disk: Disk, tiny: Artifact, plan: Plan
    ) -> None:
        rows = [[1] * n for n in (40, 30, 50, 120, 10, 60)]
        order = plan_order(
            tiny, disk.dataset(rows, "input_ids"), column="input_ids", shard_tokens=100
        )
        report = plan(order)
        assert [(s.sample_start, s.samples, s.tokens) for s in report.shards] == [
            (0, 2, 70),
            (2, 1, 50),
            (3, 1, 120),
            (4, 2, 70),
        ]
        assert all(s.hook_points == POINTS for s in report.shards)

    def test_the_same_order_again_writes_the_same_bytes(
        self, disk: Disk, tiny: Artifact, plan: Plan
    ) -> None:
        order = plan_order(tiny, disk.dataset(ragged_texts(60)), shard_tokens=200)
        first, bytes_before = plan(order), tokens_of(disk, order)
        assert len(bytes_before) > 2
        assert plan(order) == first
        assert tokens_of(disk, order) == bytes_before

    def test_a_plan_that_is_called_off_stops(self, disk: Disk, tiny: Artifact) -> None:
        order = plan_order(tiny, disk.dataset(ragged_texts(20)))
        assert Planning(Layout(disk.settings)).plan(order, lambda: True) is None

    def test_a_plan_whose_store_is_deleted_meanwhile_stops(
        self, disk: Disk, tiny: Artifact, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def deleted(*_: object) -> None:
            raise FileNotFoundError("a removal went between the directory and the file")

        monkeypatch.setattr(planning, "write_tokens", deleted)
        order = plan_order(tiny, disk.dataset(ragged_texts(20)))
        assert Planning(Layout(disk.settings)).plan(order, lambda: False) is None


class TestParts:
    """A long plan is made in parts, which together are the whole plan."""

    @staticmethod
    def parts(plan: Plan, order: PlanExtraction, most: int) -> list[ExtractionPlannedReport]:
        """Make a plan part by part, each of them twice, as after a redelivery."""
        found: list[ExtractionPlannedReport] = []
        while True:
            part = order.model_copy(
                update={"most_shards": most, "begin": found[-1].next if found else None}
            )
            found.append(plan(part))
            assert plan(part) == found[-1], "an order that comes again makes the same part"
            if found[-1].next is None:
                return found

    @staticmethod
    def check(parts: list[ExtractionPlannedReport], whole: ExtractionPlannedReport) -> None:
        assert [shard for part in parts for shard in part.shards] == whole.shards
        last = parts[-1]
        assert (last.samples, last.tokens) == (whole.samples, whole.tokens)
        assert last.skipped == whole.skipped
        for before, after in itertools.pairwise(parts):
            assert before.next is not None
            assert (before.next.shards, before.next.samples) == (after.first, after.first_sample)
            assert before.samples <= after.samples
            assert before.skipped.empty <= after.skipped.empty

    @pytest.mark.parametrize("most", [1, 3])
    @pytest.mark.parametrize("stride", [None, 5])
    def test_parts_give_the_shards_and_the_bytes_of_the_whole(
        self, disk: Disk, tiny: Artifact, plan: Plan, most: int, stride: int | None
    ) -> None:
        rows: list[Any] = [[1 + n % 7] * (n % 23) for n in range(120)]
        how = Tokenization(column="input_ids", max_length=16, stride=stride)
        order = plan_order(tiny, disk.dataset(rows, "input_ids"), tokenization=how, shard_tokens=40)
        whole = plan(order)
        bytes_of_whole = tokens_of(disk, order)
        shutil.rmtree(disk.store(order))
        found = self.parts(plan, order, most)
        assert all(len(part.cuts) <= most for part in found)
        self.check(found, whole)
        assert tokens_of(disk, order) == bytes_of_whole

    def test_what_the_store_has_is_told_in_parts_too(
        self, disk: Disk, tiny: Artifact, plan: Plan, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(planning, "CUTS", 4)
        rows: list[Any] = [[1] * 10 if n % 3 else [] for n in range(60)]
        dataset = disk.dataset(rows, "input_ids")
        small = plan_order(tiny, dataset, column="input_ids", shard_tokens=20, sample_count=40)
        commit_columns(disk, small, plan(small))
        for wanted in (30, 40, 60):
            order = plan_order(
                tiny, dataset, column="input_ids", shard_tokens=20, sample_count=wanted
            )
            self.check(self.parts(plan, order, 3), plan(order))

    def test_a_part_that_takes_long_ends_at_its_next_shard(
        self, disk: Disk, tiny: Artifact, plan: Plan, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(planning, "PART_SECONDS", 0.0)
        order = plan_order(tiny, disk.dataset(ragged_texts(40)), shard_tokens=100)
        assert len(plan(order).cuts) > 3, "who asks for all gets all"
        first = plan(order.model_copy(update={"most_shards": 3}))
        assert len(first.cuts) == 1
        assert first.next is not None

    def test_rows_without_tokens_at_the_end_are_counted_in_the_last_part(
        self, disk: Disk, tiny: Artifact, plan: Plan
    ) -> None:
        dataset = disk.dataset([[1] * 10, [2] * 10, *[[]] * 30], "input_ids")
        order = plan_order(tiny, dataset, column="input_ids", shard_tokens=10)
        first, last = self.parts(plan, order, 1)
        assert (first.skipped.empty, last.skipped.empty) == (0, 30)

    def test_a_million_rows_left_out_take_a_byte_each(self, tmp_path: Path) -> None:
        left_out = skipped.SkippedRows()
        for row in range(0, 1_000_000, 2):
            left_out.empty(row)
            left_out.too_long(row + 1)
        skipped.save(tmp_path, left_out)
        assert (tmp_path / "tokens" / skipped.NAME).stat().st_size < 100_000
        again = skipped.load(tmp_path)
        assert again.counts().model_dump() == {"empty": 500_000, "too_long": 500_000}
        assert again.before(3).counts().model_dump() == {"empty": 2, "too_long": 1}

    def test_what_older_stores_left_out_is_still_known(self, tmp_path: Path) -> None:
        (tmp_path / "tokens").mkdir()
        known = {"empty": [0, 7], "too_long": [3]}
        (tmp_path / "tokens" / "skipped.json").write_text(json.dumps(known))
        counts = skipped.load(tmp_path).before(7).counts()
        assert (counts.empty, counts.too_long) == (1, 1)


class TestReuse:
    def test_what_is_committed_is_not_computed_again(
        self, disk: Disk, tiny: Artifact, plan: Plan
    ) -> None:
        dataset = disk.dataset(ragged_texts(40))
        order = plan_order(tiny, dataset, shard_tokens=200)
        commit_columns(disk, order, plan(order))
        again = plan(plan_order(tiny, dataset, shard_tokens=200))
        assert all(s.hook_points == [] for s in again.shards)
        more = [*POINTS, "layers.3.resid_post"]
        wider = plan(plan_order(tiny, dataset, shard_tokens=200, hook_points=more))
        assert all(s.hook_points == ["layers.3.resid_post"] for s in wider.shards)

    def test_more_rows_are_appended_after_those_there_are(
        self, disk: Disk, tiny: Artifact, plan: Plan
    ) -> None:
        dataset = disk.dataset(ragged_texts(60), group=7)
        small = plan_order(tiny, dataset, shard_tokens=200, sample_count=25)
        first = plan(small)
        commit_columns(disk, small, first)
        before = tokens_of(disk, small)
        grown = plan(plan_order(tiny, dataset, shard_tokens=200))
        assert tokens_of(disk, small)[: len(before)] == before
        assert grown.samples == 60
        count = len(first.shards)
        assert all(s.hook_points == [] for s in grown.shards[:count])
        assert all(s.hook_points == POINTS for s in grown.shards[count:])
        assert grown.shards[count].sample_start == 25

    def test_fewer_rows_are_a_prefix_of_whole_shards(
        self, disk: Disk, tiny: Artifact, plan: Plan
    ) -> None:
        rows = [[], [1] * 60, [2] * 60, [], [3] * 60, [4] * 60]
        dataset = disk.dataset(rows, "input_ids")
        whole = plan_order(tiny, dataset, column="input_ids", shard_tokens=130)
        commit_columns(disk, whole, plan(whole))
        part = plan(plan_order(tiny, dataset, column="input_ids", sample_count=5))
        assert (part.samples, part.tokens, part.skipped.empty) == (3, 180, 2)
        assert [(s.sample_start, s.samples) for s in part.shards] == [(0, 2), (2, 2)]
        assert (
            plan(plan_order(tiny, dataset, column="input_ids", sample_count=3)).skipped.empty == 1
        )

    def test_rows_left_out_at_the_end_are_not_tokenised_again(
        self, disk: Disk, tiny: Artifact, plan: Plan
    ) -> None:
        dataset = disk.dataset([[1, 2], [], []], "input_ids")
        order = plan_order(tiny, dataset, column="input_ids")
        commit_columns(disk, order, plan(order))
        (disk.root / "datasets" / dataset.fingerprint / "data.parquet").unlink()
        again = plan(plan_order(tiny, dataset, column="input_ids"))
        assert (again.samples, again.skipped.empty) == (1, 2)

    def test_an_uncommitted_plan_leaves_no_trace_in_the_next(
        self, disk: Disk, tiny: Artifact, plan: Plan
    ) -> None:
        dataset = disk.dataset([[1] * 50, [], [2] * 50, []], "input_ids")
        plan(plan_order(tiny, dataset, column="input_ids", shard_tokens=50))
        order = plan_order(tiny, dataset, column="input_ids", shard_tokens=50, sample_count=2)
        report = plan(order)
        assert (report.samples, len(report.shards), report.skipped.empty) == (1, 1, 1)
        commit_columns(disk, order, report)
        assert plan(plan_order(tiny, dataset, column="input_ids")).skipped.empty == 2


def test_a_full_disk_is_told_with_its_figures(
    disk: Disk, tiny: Artifact, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from mistudio_activations import directory

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(directory, "write_atomically", full)
    with pytest.raises(InsufficientStorage) as caught:
        plan(plan_order(tiny, disk.dataset(["one two"])))
    assert caught.value.details["available_bytes"] >= 0
    assert caught.value.details["remedy"]

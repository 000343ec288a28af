"""The command line against a real gateway, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_from_disk
from typer.testing import Result

from mistudio_contracts.errors import ErrorBody, ErrorCode, ModelTooLarge
from mistudio_contracts.rpc import (
    LoadModelRequest,
    RegisterDatasetRequest,
    RegisterModelRequest,
    UpdateModelRequest,
)
from mistudio_contracts.states import (
    DatasetSource,
    Int4Type,
    ModelStatus,
    Quantization,
    Source,
)
from mistudio_contracts.values import Fidelity, LayerFidelity, QuantizationOptions

from .conftest import Site
from .stores import values

Run = Callable[..., Result]


def parsed(result: Result) -> Any:
    """Return what was printed, which must be JSON and nothing else."""
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def torch_load(path: Path) -> Any:
    """Return the tensor in a file."""
    import torch

    return torch.load(path, weights_only=True)


@pytest.fixture
def captured(mistudio: Run) -> str:
    """A cache of layers 0 and 1."""
    mistudio("models", "add", "gpt2")
    mistudio("datasets", "add", "wikitext")
    done = parsed(mistudio("extract", "gpt2", "wikitext", "--layers", "0,1", "--json"))
    return str(done["cache_id"])


class TestModels:
    def test_a_hub_id_is_registered_and_loaded(self, site: Site, mistudio: Run) -> None:
        result = mistudio(
            "models", "add", "openai-community/gpt2", "--quantization", "int8", "--load"
        )

        assert result.exit_code == 0, result.stderr
        assert "ready" in result.stdout
        assert result.stderr.startswith("Registered m_gpt2_")
        (asked,) = site.catalog.rows.requests
        assert isinstance(asked, RegisterModelRequest)
        assert (asked.source, asked.model_identifier, asked.name, asked.auto_load) == (
            Source.HUGGINGFACE,
            "openai-community/gpt2",
            "gpt2",
            True,
        )
        assert asked.quantization is Quantization.INT8

    def test_a_directory_is_registered_by_its_absolute_path(
        self, site: Site, mistudio: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "checkpoint").mkdir()
        monkeypatch.chdir(tmp_path)

        model = parsed(mistudio("models", "add", "checkpoint", "--name", "Mine", "--json"))

        assert model["name"] == "Mine"
        assert model["source"] == "local"
        assert model["model_identifier"] == str(tmp_path / "checkpoint")
        assert model["status"] == ModelStatus.PENDING

    def test_a_path_that_is_not_there_is_not_taken_for_a_hub_id(
        self, site: Site, mistudio: Run
    ) -> None:
        result = mistudio("models", "add", "./nothing")

        assert result.exit_code == 2
        assert "There is no directory ./nothing." in result.stderr
        assert "--source local" in result.stderr
        assert site.catalog.rows.requests == []

    def test_list_show_load_unload_and_rm_take_a_name(self, mistudio: Run) -> None:
        model_id = parsed(mistudio("models", "add", "gpt2", "--json"))["id"]

        listed = mistudio("models", "list")
        assert model_id in listed.stdout
        assert "135 M" in listed.stdout
        assert parsed(mistudio("models", "list", "--json"))[0]["id"] == model_id
        assert parsed(mistudio("models", "load", "gpt2", "--json"))["status"] == "ready"
        assert "4 of width 8" in mistudio("models", "show", "gpt2").stdout
        assert parsed(mistudio("models", "unload", "gpt2", "--json"))["status"] == "unloaded"
        assert model_id in mistudio("models", "rm", "gpt2").stdout
        assert parsed(mistudio("models", "list", "--json")) == []

    def test_how_a_model_is_made_and_kept_reaches_the_service(
        self, site: Site, mistudio: Run
    ) -> None:
        result = mistudio(
            *("models", "add", "gpt2", "--quantization", "int4", "--int4-type", "fp4"),
            *("--no-double-quant", "--pin", "--keep-alive", "5m", "--offload", "--load"),
            "--force",
        )

        assert result.exit_code == 0, result.stderr
        added, loaded = site.catalog.rows.requests
        assert isinstance(added, RegisterModelRequest)
        assert isinstance(loaded, LoadModelRequest)
        assert added.quantization_options == QuantizationOptions(
            int4_type=Int4Type.FP4, double_quant=False
        )
        assert (added.pinned, added.keep_alive_seconds, added.offload) == (True, 300, True)
        assert (added.auto_load, loaded.force) == (False, True)
        assert "int4 (fp4)" in result.stdout
        assert "pinned, offloaded" in result.stdout

    def test_a_load_may_change_format_and_wish(self, site: Site, mistudio: Run) -> None:
        mistudio("models", "add", "gpt2", "--keep-alive", "1h")

        result = mistudio(
            *("models", "load", "gpt2", "--quantization", "int4", "--no-double-quant"),
            *("--keep-alive", "for-good", "--json"),
        )

        changed, asked = site.catalog.rows.requests[1:]
        assert isinstance(changed, UpdateModelRequest)
        assert isinstance(asked, LoadModelRequest)
        assert changed.model_fields_set & {"pinned", "keep_alive_seconds", "offload"} == {
            "keep_alive_seconds"
        }
        assert asked.quantization_options == QuantizationOptions(double_quant=False)
        assert parsed(result)["keep_alive_seconds"] is None

    @pytest.mark.parametrize("text", ["soon", "5 weeks", "-1", ""])
    def test_what_is_no_duration_is_refused_before_anything_is_asked(
        self, site: Site, mistudio: Run, text: str
    ) -> None:
        result = mistudio("models", "add", "gpt2", f"--keep-alive={text}")

        assert result.exit_code == 2
        assert "Write 90s, 5m, 2h or for-good." in result.stderr
        assert site.catalog.rows.requests == []

    def test_a_model_is_pinned_and_unpinned(self, mistudio: Run) -> None:
        mistudio("models", "add", "gpt2")

        assert parsed(mistudio("models", "pin", "gpt2", "--json"))["pinned"] is True
        assert "pinned" in mistudio("models", "show", "gpt2").stdout
        assert parsed(mistudio("models", "unpin", "gpt2", "--json"))["pinned"] is False

    def test_what_quantising_changed_is_shown_as_a_bar_a_layer(
        self, site: Site, mistudio: Run
    ) -> None:
        model_id = parsed(mistudio("models", "add", "gpt2", "--json"))["id"]
        rows = site.catalog.rows.models
        layers = [
            LayerFidelity(hook_point=f"layers.{n}.resid_post", cosine=0.99, relative_error=error)
            for n, error in enumerate((0.0, 0.001, 0.1, 0.2))
        ]
        measured = Fidelity(
            probe_tokens=128,
            layers=layers,
            reference_perplexity=30.0,
            perplexity=31.5,
            perplexity_change=0.05,
        )
        rows[model_id] = rows[model_id].model_copy(update={"fidelity": measured})

        shown = mistudio("models", "show", "gpt2").stdout

        assert "perplexity 30 → 31.5 (+5.00 %)" in shown
        bars = [line.split()[3:] for line in shown.splitlines() if line.startswith("layers.")]
        assert bars == [[], ["▏"], ["█" * 12], ["█" * 24]]

    def test_a_load_is_cancelled(self, site: Site, mistudio: Run) -> None:
        site.catalog.hold()
        mistudio("models", "add", "gpt2", "--load", "--no-wait")

        assert parsed(mistudio("models", "cancel", "gpt2", "--json"))["status"] == "unloaded"

    def test_a_name_that_two_bear_says_which(self, mistudio: Run) -> None:
        ids = [parsed(mistudio("models", "add", "gpt2", "--json"))["id"] for _ in range(2)]

        result = mistudio("models", "show", "gpt2")

        assert result.exit_code == 2
        assert all(each in result.stderr for each in ids)

    def test_a_failed_load_says_why_in_two_lines(self, site: Site, mistudio: Run) -> None:
        site.catalog.rows.fail = ErrorBody(
            code=ErrorCode.MODEL_LOAD_FAILED,
            message="The checksum differs.",
            details={"remedy": "Delete it and try again."},
        )

        result = mistudio("models", "add", "gpt2", "--load", "--json")

        assert result.exit_code == 1
        assert result.stdout == ""
        assert result.stderr.splitlines() == [
            "Error: The checksum differs.",
            "Delete it and try again.",
        ]


class TestDatasets:
    def test_a_file_is_uploaded(self, site: Site, mistudio: Run, tmp_path: Path) -> None:
        file = tmp_path / "corpus.txt"
        file.write_text("one\ntwo\n")

        result = mistudio("datasets", "add", str(file), "--name", "Corpus", "--column", "text")

        assert result.exit_code == 0, result.stderr
        assert "first row" in result.stdout
        (asked,) = site.catalog.rows.requests
        assert isinstance(asked, RegisterDatasetRequest)
        assert (asked.source, asked.name, asked.format, asked.text_column) == (
            DatasetSource.UPLOAD,
            "Corpus",
            None,
            "text",
        )
        assert asked.identifier.endswith(".txt"), "the loader reads the format from the ending"

    def test_a_file_is_read_in_place_when_told_so(
        self, mistudio: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "corpus.txt").write_text("one\n")
        monkeypatch.chdir(tmp_path)

        dataset = parsed(mistudio("datasets", "add", "corpus.txt", "--in-place", "--json"))

        assert (dataset["source"], dataset["name"]) == ("local", "corpus")
        assert dataset["identifier"] == str(tmp_path / "corpus.txt")

    def test_what_is_no_file_is_a_hub_id(self, site: Site, mistudio: Run) -> None:
        result = mistudio("datasets", "add", "Salesforce/wikitext", "--split", "test")

        assert result.exit_code == 0, result.stderr
        (asked,) = site.catalog.rows.requests
        assert isinstance(asked, RegisterDatasetRequest)
        assert (asked.source, asked.identifier, asked.split) == (
            DatasetSource.HUGGINGFACE,
            "Salesforce/wikitext",
            "test",
        )

    @pytest.mark.parametrize("arguments", [["./nothing.txt"], ["nothing.txt", "--upload"]])
    def test_a_file_that_is_not_there_is_refused(self, mistudio: Run, arguments: list[str]) -> None:
        result = mistudio("datasets", "add", *arguments)

        assert result.exit_code == 2
        assert "There is no file" in result.stderr

    def test_list_show_and_rm(self, mistudio: Run) -> None:
        dataset_id = parsed(mistudio("datasets", "add", "wikitext", "--json"))["id"]

        assert dataset_id in mistudio("datasets", "list").stdout
        assert "text (text)" in mistudio("datasets", "show", "wikitext").stdout
        assert parsed(mistudio("datasets", "rm", "wikitext", "--json")) == {"deleted": dataset_id}


class TestExtract:
    def test_it_ends_with_what_was_captured(self, mistudio: Run) -> None:
        mistudio("models", "add", "gpt2")
        mistudio("datasets", "add", "wikitext")

        result = mistudio("extract", "gpt2", "wikitext", "--layers", "all", "--samples", "12")

        assert result.exit_code == 0, result.stderr
        assert "/data/activations/" in result.stdout
        assert "40 × 8 float32 in each of 4" in result.stdout
        assert "layers 0-3 resid_post" in result.stdout
        assert "12 (40 tokens)" in result.stdout
        assert "2.5 s" in result.stdout

    def test_what_the_cache_has_is_said_to_come_from_there(
        self, mistudio: Run, captured: str
    ) -> None:
        result = mistudio("extract", "gpt2", "wikitext", "--layers", "-3")

        assert result.exit_code == 0, result.stderr
        assert captured in result.stdout
        assert "from the cache" in result.stdout

    def test_options_reach_the_service(self, site: Site, mistudio: Run) -> None:
        mistudio("models", "add", "gpt2")
        mistudio("datasets", "add", "wikitext")

        accepted = parsed(
            mistudio(
                *("extract", "gpt2", "wikitext", "--layers", "0-1,-1", "--samples", "7"),
                *("--hook-kinds", "z, mlp_out", "--hook-points", "embed,layers.all.q"),
                *("--dtype", "bfloat16", "--max-length", "64", "--truncate"),
                *("--no-special-tokens", "--column", "text", "--batch-size", "3"),
                *("--detach", "--json"),
            )
        )

        assert accepted["status"] == "queued"
        command = site.catalog.rows.requests[-1].command  # type: ignore[attr-defined]
        assert command["layer_indices"] == "0-1,-1"
        assert command["hook_kinds"] == ["z", "mlp_out"]
        assert command["hook_points"] == ["embed", "layers.all.q"]
        assert (command["sample_count"], command["batch_size"]) == (7, 3)
        assert command["dtype"] == "bfloat16"
        assert command["tokenization"] == {
            "column": "text",
            "add_special_tokens": False,
            "max_length": 64,
            "truncate": True,
            "stride": None,
        }

    def test_a_dry_run_tells_time_and_size_and_begins_nothing(
        self, site: Site, mistudio: Run
    ) -> None:
        mistudio("models", "add", "gpt2")
        mistudio("datasets", "add", "wikitext")
        before = set(site.catalog.rows.extractions)  # type: ignore[attr-defined]

        result = mistudio("extract", "gpt2", "wikitext", "--layers", "0", "--dry-run")

        assert "3 min 5 s" in result.stdout
        assert "1,000,000, by 256 rows" in result.stdout
        assert set(site.catalog.rows.extractions) == before  # type: ignore[attr-defined]
        asked = ("extract", "gpt2", "wikitext", "--layers", "0", "--dry-run", "--json")
        assert parsed(mistudio(*asked))["estimated_bytes"] == 3_000_000_000

    def test_windows_are_asked_for_by_their_stride(self, site: Site, mistudio: Run) -> None:
        mistudio("models", "add", "gpt2")
        mistudio("datasets", "add", "wikitext")
        asked = ("extract", "gpt2", "wikitext", "--layers", "0", "--max-length", "64", "--detach")

        mistudio(*asked, "--stride", "32")

        command = site.catalog.rows.requests[-1].command  # type: ignore[attr-defined]
        assert command["tokenization"]["stride"] == 32
        both = mistudio(*asked, "--stride", "32", "--truncate")
        assert both.exit_code == 1
        assert "tokenization.stride" in both.stderr

    def test_a_layer_that_the_model_has_not_is_refused(self, mistudio: Run) -> None:
        mistudio("models", "add", "gpt2")
        mistudio("datasets", "add", "wikitext")

        result = mistudio("extract", "gpt2", "wikitext", "--layers", "0,99")

        assert result.exit_code == 1
        assert "no layer 99" in result.stderr

    def test_neither_layers_nor_hook_points_is_refused(self, mistudio: Run) -> None:
        mistudio("models", "add", "gpt2")
        mistudio("datasets", "add", "wikitext")

        result = mistudio("extract", "gpt2", "wikitext")

        assert result.exit_code == 1
        assert "at least one layer" in result.stderr

    def test_extractions_are_listed_shown_and_cancelled(self, site: Site, mistudio: Run) -> None:
        mistudio("models", "add", "gpt2")
        mistudio("datasets", "add", "wikitext")
        site.catalog.hold()
        accepted = parsed(
            mistudio("extract", "gpt2", "wikitext", "--layers", "0-2", "-d", "--json")
        )
        extraction_id = accepted["extraction_id"]

        assert "0-2" in mistudio("extractions", "list").stdout
        assert extraction_id in mistudio("extractions", "show", extraction_id).stdout
        cancelled = parsed(mistudio("extractions", "cancel", extraction_id, "--json"))
        assert cancelled["status"] == "cancelled"
        assert mistudio("extractions", "cancel", extraction_id).exit_code == 5


class TestActivations:
    def test_show_has_a_line_a_layer(self, mistudio: Run, captured: str) -> None:
        result = mistudio("activations", "show", captured)

        assert "mean norm" in result.stdout
        assert result.stdout.count("3.25") == 2

    def test_export_copies_the_store(
        self, site: Site, mistudio: Run, captured: str, tmp_path: Path
    ) -> None:
        exported = parsed(
            mistudio("activations", "export", captured, str(tmp_path / "out"), "--json")
        )

        assert "manifest.json" in exported["files"]
        assert (tmp_path / "out/manifest.json").read_bytes() == (
            site.store / "manifest.json"
        ).read_bytes()

    @pytest.mark.parametrize("form", ["npy", "pt"])
    def test_export_writes_an_array_a_layer(
        self, mistudio: Run, captured: str, tmp_path: Path, form: str
    ) -> None:
        exported = parsed(
            mistudio(
                *("activations", "export", captured, str(tmp_path / "out")),
                *("--format", form, "--json"),
            )
        )

        assert exported["files"] == [
            f"{name}.{form}"
            for name in ("input_ids", "layers.0.resid_post", "layers.1.resid_post", "offsets")
        ]
        read = np.load if form == "npy" else lambda path: torch_load(path).numpy()
        column = read(tmp_path / f"out/layers.1.resid_post.{form}")
        np.testing.assert_array_equal(column, values(1))
        assert read(tmp_path / f"out/input_ids.{form}").tolist() == list(range(40))
        assert len(read(tmp_path / f"out/offsets.{form}")) == 13
        assert list(tmp_path.iterdir()) == [tmp_path / "out"]

    def test_export_writes_a_dataset_a_layer_for_saelens(
        self, mistudio: Run, captured: str, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        parsed(
            mistudio(
                *("activations", "export", captured, str(out), "--json"),
                *("--format", "saelens", "--context-size", "7"),
            )
        )
        assert sorted(path.name for path in out.iterdir()) == [
            f"layers.{layer}.resid_post" for layer in (0, 1)
        ]
        found = load_from_disk(out / "layers.1.resid_post").with_format("numpy")
        rows = found[:]["blocks.1.hook_resid_post"].reshape(35, 8)
        np.testing.assert_array_equal(rows, values(1)[:35])
        assert found[:]["token_ids"].ravel().tolist() == list(range(35))

    @pytest.mark.parametrize(
        "options",
        [
            ["--format", "saelens"],
            ["--format", "npy", "--context-size", "4"],
            ["--format", "saelens", "--context-size", "41"],
        ],
    )
    def test_windows_that_cannot_be_had_are_told(
        self, mistudio: Run, captured: str, tmp_path: Path, options: list[str]
    ) -> None:
        result = mistudio("activations", "export", captured, str(tmp_path / "out"), *options)
        assert result.exit_code != 0
        assert "--context-size" in result.stderr
        assert not (tmp_path / "out").exists()

    def test_export_shows_no_more_than_the_cache(
        self, site: Site, mistudio: Run, captured: str, tmp_path: Path
    ) -> None:
        rows = site.catalog.rows
        rows.caches[captured] = rows.caches[captured].model_copy(
            update={"sample_count": 4, "token_count": 10}
        )

        parsed(
            mistudio(
                *("activations", "export", captured, str(tmp_path / "out")),
                *("--format", "npy", "--json"),
            )
        )

        column = np.load(tmp_path / "out/layers.0.resid_post.npy")
        np.testing.assert_array_equal(column, values(0)[:10])
        assert np.load(tmp_path / "out/offsets.npy").tolist() == [0, 1, 3, 6, 10]

    def test_verify_says_that_all_is_as_it_was_written(self, mistudio: Run, captured: str) -> None:
        result = mistudio("activations", "verify", captured)

        assert result.exit_code == 0, result.stderr
        assert f"{captured}: 8 files" in result.stdout
        assert "all as they were written" in result.stdout
        told = parsed(mistudio("activations", "verify", captured, "--json"))
        assert (told["verified_files"], told["damaged"]) == (8, [])

    def test_verify_fails_for_a_damaged_file_and_names_it_with_its_remedy(
        self, site: Site, mistudio: Run, captured: str
    ) -> None:
        file = site.store / "layers.1.resid_post/00001.safetensors"
        away = site.store / "away"
        file.rename(away)
        try:
            result = mistudio("activations", "verify", captured)
            as_json = mistudio("activations", "verify", captured, "--json")
        finally:
            away.rename(file)

        assert result.exit_code == as_json.exit_code == 1
        assert "layers.1.resid_post/00001.safetensors" in result.stdout
        assert "it is missing" in result.stdout
        assert "Delete it." in result.stderr
        assert json.loads(as_json.stdout)["damaged"] == [
            {"path": "layers.1.resid_post/00001.safetensors", "reason": "missing"}
        ]

    def test_list_and_rm(self, mistudio: Run, captured: str) -> None:
        assert captured in mistudio("activations", "list").stdout
        assert parsed(mistudio("activations", "rm", captured, "--json")) == {"deleted": captured}
        assert mistudio("activations", "show", captured).exit_code == 4


class TestEverythingElse:
    def test_events_so_far_are_printed_a_line_each(self, mistudio: Run) -> None:
        model_id = parsed(mistudio("models", "add", "gpt2", "--load", "--json"))["id"]

        lines = [json.loads(line) for line in mistudio("events", "--json").stdout.splitlines()]

        ready = [
            x for x in lines if x["type"] == "model:ready" and x["data"]["model_id"] == model_id
        ]
        assert len(ready) == 1
        after = mistudio("events", "--after", str(ready[0]["id"] - 1)).stdout.splitlines()
        assert len(after) == 1
        assert model_id in after[0]

    def test_devices(self, mistudio: Run) -> None:
        shown = mistudio("devices")
        assert "1.0 GiB of 6.0 GiB" in shown.stdout
        assert "3.0 GiB" in shown.stdout
        assert "int8" in shown.stdout
        assert "cannot use int8: no kernel image for this device" in shown.stderr
        assert parsed(mistudio("devices", "--json"))[0]["id"] == "dev_one"

    def test_an_error_of_the_service_names_its_remedy(self, site: Site, mistudio: Run) -> None:
        site.catalog.rows.refuse = ModelTooLarge("It needs 26 GB.", remedy="Use int4.")

        result = mistudio("models", "add", "gpt2")

        assert result.exit_code == 1
        assert result.stderr == "Error: It needs 26 GB.\nUse int4.\n"

    def test_what_a_terminal_would_obey_is_not_printed(self, site: Site, mistudio: Run) -> None:
        site.catalog.rows.refuse = ModelTooLarge("Beware\x1b]0;owned\x07.")

        result = mistudio("models", "add", "gpt2")

        assert "\x1b" not in result.stderr
        assert "\x07" not in result.stderr

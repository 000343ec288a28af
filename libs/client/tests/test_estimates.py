"""Estimates through the SDK and the command line, against a running gateway."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from mistudio_client.client import Client
from mistudio_contracts.errors import NotFound
from mistudio_contracts.rpc import EstimateCheckpointRequest, EstimateModelRequest
from mistudio_contracts.states import Fit, Int4Type, Quantization, Source
from mistudio_contracts.values import QuantizationOptions

from .conftest import Site

Run = Callable[..., Result]
FP4 = QuantizationOptions(int4_type=Int4Type.FP4, double_quant=False)


def test_a_registered_model_is_estimated_as_asked(site: Site, client: Client) -> None:
    model = client.models.add("gpt2")

    found = client.models.estimate(model.id, quantization="int4", quantization_options=FP4)

    assert [each.quantization for each in found.formats] == [Quantization.INT4]
    assert found.model_id == model.id
    asked = site.catalog.rows.requests[-1]
    assert isinstance(asked, EstimateModelRequest)
    assert (asked.quantization, asked.quantization_options) == (Quantization.INT4, FP4)
    assert len(client.models.estimate(model.id).formats) == len(Quantization)


def test_a_model_that_is_not_there_is_said_so(client: Client) -> None:
    with pytest.raises(NotFound):
        client.models.estimate("m_nobody")


def test_a_checkpoint_is_estimated_without_being_registered(site: Site, client: Client) -> None:
    found = client.models.fit(
        "owner/name", revision="v1", quantization=Quantization.NONE, quantization_options=FP4
    )

    assert (found.model_id, found.formats[0].fit) == (None, Fit.NEVER)
    asked = site.catalog.rows.requests[-1]
    assert isinstance(asked, EstimateCheckpointRequest)
    assert (asked.source, asked.model_identifier) == (Source.HUGGINGFACE, "owner/name")
    assert (asked.revision, asked.quantization_options) == ("v1", FP4)


class TestTheCommand:
    def test_each_format_is_a_line_with_a_bar_against_the_budget(self, mistudio: Run) -> None:
        result = mistudio("models", "fit", "owner/name")

        assert result.exit_code == 0, result.stderr
        lines = result.stdout.splitlines()
        assert lines[0] == "owner/name on dev_one: 4.0 GiB, 1.0 GiB in use"
        none, fp16, bf16, int8, int4 = (" ".join(line.split()) for line in lines[2:7])
        assert none == f"none 8.0 GiB {'█' * 20}▶ never - 8.0 GiB"
        assert fp16 == f"fp16 4.0 GiB {'█' * 20} without m_idle, m_busy (held) 4 × 2048 4.0 GiB"
        assert bf16 == f"bf16 4.0 GiB {'█' * 20} once others free memory 4 × 2048 4.0 GiB"
        assert int8 == f"→ int8 2.0 GiB {'█' * 10} now 4 × 2048 2.0 GiB"
        assert int4 == f"int4 1.0 GiB {'█' * 5} not available 4 × 2048 1.0 GiB"
        assert lines[7:] == [
            "none with --offload: 3 of 8 blocks are read from the disk at each batch.",
            "int4: No kernel runs here.",
            "Choose int8.",
        ]

    def test_programs_get_the_view_as_it_is(self, client: Client, mistudio: Run) -> None:
        result = mistudio("models", "fit", "owner/name", "--json", "--quantization", "int8")
        expected = client.models.fit("owner/name", quantization="int8")
        assert json.loads(result.stdout) == expected.model_dump(mode="json")

    def test_an_id_names_the_model_a_path_the_checkpoint_and_all_else_the_hub(
        self, site: Site, client: Client, mistudio: Run, tmp_path: Path
    ) -> None:
        model = client.models.add("gpt2")
        elsewhere = "/on/the/services/machine"

        for name in (model.id, str(tmp_path), elsewhere, "gpt2"):
            assert mistudio("models", "fit", name, "--int4-type", "fp4").exit_code == 0

        registered, *checkpoints = site.catalog.rows.requests[1:]
        assert isinstance(registered, EstimateModelRequest)
        assert registered.quantization_options.int4_type is Int4Type.FP4
        assert [(each.source, each.model_identifier) for each in checkpoints] == [  # type: ignore[attr-defined]
            (Source.LOCAL, str(tmp_path.resolve())),
            (Source.LOCAL, elsewhere),
            (Source.HUGGINGFACE, "gpt2"),
        ]

    def test_a_model_that_is_not_there_ends_the_command_with_its_status(
        self, mistudio: Run
    ) -> None:
        assert mistudio("models", "fit", "m_nobody").exit_code == 4

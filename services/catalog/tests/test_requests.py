"""What a request for an extraction means, and which requests mean nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mistudio_catalog.domain.dataset import DatasetState
from mistudio_catalog.domain.identifiers import check_model_identifier, is_hub_id
from mistudio_catalog.domain.model import ModelState, described
from mistudio_catalog.domain.request import resolve
from mistudio_contracts.commands import RequestExtraction
from mistudio_contracts.errors import InvalidInput, MiStudioError, StatusConflict
from mistudio_contracts.states import (
    DatasetSource,
    DatasetStatus,
    Dtype,
    ModelStatus,
    Quantization,
    Source,
)

from .support import PROVEN, facts
from .test_model_states import START, pending

READY: ModelState = replace(pending(), status=ModelStatus.READY, **described(facts()))
DATASET = DatasetState(
    id="ds_x",
    pool="default",
    name="x",
    source=DatasetSource.UPLOAD,
    identifier="x.jsonl",
    task_id="task_1",
    created_at=START,
    updated_at=START,
    heard_at=START,
    status=DatasetStatus.READY,
    fingerprint="b" * 32,
    sample_count=100,
    columns={"text": "text", "ids": "tokens", "label": "other"},
    text_column="text",
)


PROVEN_MODEL = replace(READY, hook_points=PROVEN)


def command(**more: Any) -> RequestExtraction:
    chosen = {"model_id": "m_x", "dataset_id": "ds_x", "layer_indices": [0], **more}
    return RequestExtraction.model_validate(chosen)


def refusal(model: ModelState = READY, dataset: DatasetState = DATASET, **more: Any) -> Any:
    with pytest.raises(MiStudioError) as caught:
        resolve(command(**more), model, dataset, "alice", START)
    assert caught.value.details["remedy"]
    return caught.value


def test_equal_requests_resolve_to_equal_recipes() -> None:
    short = resolve(command(), READY, DATASET, "alice", START)
    long = resolve(
        command(tokenization={"column": "text", "max_length": 128}, dtype="float32"),
        READY,
        DATASET,
        "bob",
        START,
    )
    assert short.tokenization == long.tokenization
    assert short.dtype is long.dtype is Dtype.FLOAT32
    assert short.tokenization.max_length == 128


def test_layers_count_from_both_ends() -> None:
    found = resolve(command(layer_indices=[0, -1]), READY, DATASET, "alice", START)
    assert found.hook_points == ("layers.0.resid_post", "layers.11.resid_post")


@pytest.mark.parametrize("layer", [12, -13, 10**30])
def test_a_layer_out_of_range_is_named_with_the_range(layer: int) -> None:
    error = refusal(layer_indices=[0, layer])
    assert isinstance(error, InvalidInput)
    assert error.details["field"] == "layer_indices"
    assert str(layer) in error.message
    assert error.details["valid_range"] == "-12..11"


def test_a_hook_point_out_of_range_is_named_as_such() -> None:
    error = refusal(hook_points=["layers.40.resid_post"])
    assert error.details["field"] == "hook_points"


def test_kinds_are_captured_in_each_layer_and_names_come_on_top() -> None:
    asked = command(layer_indices="-2--1", hook_kinds=["resid_post", "q"], hook_points=["embed"])
    assert resolve(asked, PROVEN_MODEL, DATASET, "alice", START).hook_points == (
        "embed",
        "layers.10.q",
        "layers.10.resid_post",
        "layers.11.q",
        "layers.11.resid_post",
    )


def test_a_range_that_ends_before_it_begins_is_told_so() -> None:
    error = refusal(layer_indices="5-3")
    assert (error.details["field"], error.details["reason"]) == ("layer_indices", "range_reversed")


def test_a_hook_point_that_the_model_lacks_is_refused_with_the_reason() -> None:
    error = refusal(PROVEN_MODEL, hook_points=["layers.3.resid_mid"])
    assert isinstance(error, InvalidInput)
    assert "both read the block's input" in error.message
    assert error.details["hook_point"] == "layers.3.resid_mid"
    assert "resid_post" in error.details["available"]


def test_before_anything_was_proven_hook_points_are_taken_as_asked_for() -> None:
    found = resolve(command(hook_points=["layers.3.resid_mid"]), READY, DATASET, "a", START)
    assert "layers.3.resid_mid" in found.hook_points


def test_an_unknown_column_is_named_with_those_there_are() -> None:
    error = refusal(tokenization={"column": "txt"})
    assert error.details["field"] == "tokenization.column"
    assert "txt" in error.message
    assert "text, ids, label" in error.message


def test_a_column_of_numbers_is_refused() -> None:
    assert refusal(tokenization={"column": "label"}).details["reason"] == "wrong_kind"


def test_the_only_usable_column_is_the_default() -> None:
    tokens = replace(DATASET, columns={"input_ids": "tokens"}, text_column=None)
    found = resolve(command(), READY, tokens, "alice", START)
    assert found.tokenization.column == "input_ids"


def test_a_length_beyond_the_context_is_refused() -> None:
    error = refusal(tokenization={"max_length": 129})
    assert error.details["field"] == "tokenization.max_length"
    assert error.details["context_length"] == 128


def test_windows_of_the_models_context_must_leave_no_gap() -> None:
    assert refusal(tokenization={"stride": 129}).details["field"] == "tokenization.stride"
    found = resolve(command(tokenization={"stride": 128}), READY, DATASET, "alice", START)
    assert (found.tokenization.max_length, found.tokenization.stride) == (128, 128)


def test_more_samples_than_there_are_means_all() -> None:
    assert resolve(command(sample_count=10**9), READY, DATASET, "a", START).rows_considered == 100
    assert resolve(command(sample_count=7), READY, DATASET, "a", START).rows_considered == 7


@pytest.mark.parametrize("status", [ModelStatus.PENDING, ModelStatus.FAILED])
def test_a_model_that_was_never_loaded_must_be_loaded_first(status: ModelStatus) -> None:
    error = refusal(replace(READY, status=status))
    assert isinstance(error, StatusConflict)
    assert "load the model first" in error.details["remedy"].lower()


def test_a_dataset_must_be_ready() -> None:
    waiting = refusal(dataset=replace(DATASET, status=DatasetStatus.INGESTING))
    assert isinstance(waiting, StatusConflict)
    failed = refusal(dataset=replace(DATASET, status=DatasetStatus.FAILED))
    assert isinstance(failed, InvalidInput)


def test_a_cast_settles_the_dtype_before_anything_is_prepared() -> None:
    cast = replace(READY, status=ModelStatus.LOADING, quantization=Quantization.BF16)
    assert resolve(command(), cast, DATASET, "a", START).dtype is Dtype.BFLOAT16


def test_a_model_registered_unseen_must_be_prepared_first() -> None:
    unseen = replace(READY, num_layers=None, status=ModelStatus.LOADING)
    assert refusal(unseen).details["reason"] == "facts_unknown"


@pytest.mark.parametrize(
    "identifier", ["gpt2", "openai-community/gpt2", "meta-llama/Llama-3.2-1B", "a_b/c"]
)
def test_ids_of_the_hub_are_taken(identifier: str) -> None:
    assert is_hub_id(identifier)


@pytest.mark.parametrize(
    "identifier",
    [
        "",
        "a/b/c",
        "../etc",
        "a..b",
        "a--b",
        "/etc",
        "a/",
        "-a",
        "a.",
        "a b",
        "é",
        "x" * 97,
        "a.git",
    ],
)
def test_what_the_hub_would_refuse_is_refused_at_once(identifier: str) -> None:
    assert not is_hub_id(identifier)
    with pytest.raises(InvalidInput) as caught:
        check_model_identifier(Source.HUGGINGFACE, identifier)
    assert caught.value.details["field"] == "model_identifier"


def test_a_local_path_is_left_to_the_loader_but_for_nul() -> None:
    check_model_identifier(Source.LOCAL, "../../etc")
    with pytest.raises(InvalidInput):
        check_model_identifier(Source.LOCAL, "/models/\x00")

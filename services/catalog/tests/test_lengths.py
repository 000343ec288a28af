"""How long a dataset's rows are in a model's tokens: the catalog completes the question."""

from __future__ import annotations

from mistudio_contracts import subjects
from mistudio_contracts.errors import (
    ErrorCode,
    InvalidInput,
    MiStudioError,
    ServiceUnavailable,
    StatusConflict,
)
from mistudio_contracts.looking import (
    CountTokensRequest,
    LengthBin,
    TokenLengths,
    TokenLengthsRequest,
)
from mistudio_contracts.values import Tokenization

from .support import World, fingerprint_of

FOUND = TokenLengths(
    column="text",
    rows_counted=2,
    total_rows=100,
    tokens=5,
    estimated_total_tokens=250,
    shortest=2,
    median=2,
    longest=3,
    context_length=128,
    over_context=0,
    bins=[LengthBin(from_tokens=2, to_tokens=3, rows=2)],
)


async def of(world: World, model_id: str, dataset_id: str, **more: object) -> TokenLengths:
    return await world.ask(
        subjects.RPC_TOKEN_LENGTHS, asking(model_id, dataset_id, **more), TokenLengths
    )


async def refused(world: World, model_id: str, dataset_id: str, **more: object) -> MiStudioError:
    error = await world.refusal(subjects.RPC_TOKEN_LENGTHS, asking(model_id, dataset_id, **more))
    assert error.details["remedy"]
    return error


def asking(model_id: str, dataset_id: str, **more: object) -> TokenLengthsRequest:
    fields = {"model_id": model_id, "dataset_id": dataset_id, "actor": "ada", **more}
    return TokenLengthsRequest.model_validate(fields)


async def test_an_extractor_is_asked_with_all_it_needs(world: World) -> None:
    asked: list[CountTokensRequest] = []

    async def count(request: CountTokensRequest) -> TokenLengths:
        asked.append(request)
        return FOUND

    await world.answer(subjects.RPC_COUNT_TOKENS, count)
    model, dataset = await world.ready_model(), await world.ready_dataset()
    assert await of(world, model.id, dataset.id) == FOUND
    await of(world, model.id, dataset.id, column="ids", add_special_tokens=False)
    first, second = asked
    assert first.artifact.fingerprint == fingerprint_of("owner/tiny")
    assert (first.dataset.dataset_id, first.dataset.sample_count) == (dataset.id, 100)
    assert first.tokenization == Tokenization(column="text")
    assert second.tokenization == Tokenization(column="ids", add_special_tokens=False)


async def test_what_is_not_ready_is_refused_with_what_to_do(world: World) -> None:
    registered, dataset = await world.register(), await world.ready_dataset()
    error = await refused(world, registered.id, dataset.id)
    assert isinstance(error, StatusConflict)
    assert (error.details["field"], error.details["reason"]) == ("model_id", "not_prepared")

    model = await world.ready_model("other")
    coming = await world.register_dataset("coming")
    error = await refused(world, model.id, coming.id)
    assert isinstance(error, StatusConflict)
    assert (error.details["field"], error.details["reason"]) == ("dataset_id", "not_ready")


async def test_what_is_not_there_or_of_no_use_is_refused_by_field(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    error = await refused(world, "m_none", dataset.id)
    assert error.code is ErrorCode.MODEL_NOT_FOUND
    error = await refused(world, model.id, "ds_none")
    assert error.code is ErrorCode.DATASET_NOT_FOUND
    for column, reason in (("label", "wrong_kind"), ("body", "unknown_column")):
        error = await refused(world, model.id, dataset.id, column=column)
        assert isinstance(error, InvalidInput)
        assert (error.details["field"], error.details["reason"]) == ("column", reason)


async def test_what_an_extractor_cannot_count_is_told_of_the_column(world: World) -> None:
    async def refuse(request: CountTokensRequest) -> TokenLengths:
        raise InvalidInput(
            "The model has no tokenizer.",
            field="tokenization.column",
            reason="no_tokenizer",
            remedy="Give a dataset of ready-made input_ids.",
        )

    model, dataset = await world.ready_model(), await world.ready_dataset()
    error = await refused(world, model.id, dataset.id)
    assert isinstance(error, ServiceUnavailable), "no extractor runs"
    await world.answer(subjects.RPC_COUNT_TOKENS, refuse)
    error = await refused(world, model.id, dataset.id)
    assert (error.details["field"], error.details["reason"]) == ("column", "no_tokenizer")

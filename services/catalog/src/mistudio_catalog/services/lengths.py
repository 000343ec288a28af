"""How long a dataset's rows are in a model's tokens."""

from __future__ import annotations

from mistudio_catalog.domain.request import check_dataset, column_of
from mistudio_contracts.errors import InvalidInput, StatusConflict
from mistudio_contracts.looking import CountTokensRequest, TokenLengths, TokenLengthsRequest
from mistudio_contracts.values import Tokenization

from .context import Context
from .missing import missing

FIELD, TOLD = "column", "tokenization.column"
"""What the column is called here, and where an extractor is told of it."""


class Lengths:
    """Asks an extractor, which has the dataset and the model's tokenizer on its disk."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def of(self, request: TokenLengthsRequest) -> TokenLengths:
        """Tell how long a dataset's rows are.

        Raises
        ------
        NotFound
            There is no such model or dataset.
        StatusConflict
            The model is not prepared yet, or the dataset is not ready.
        InvalidInput
            The column or the dataset cannot be used, or the model has no tokenizer.
        ServiceUnavailable
            No extractor answers.
        """
        asked = await self._complete(request)
        try:
            return await self._context.count_tokens(asked)
        except InvalidInput as error:
            if error.details.get("field") == TOLD:
                error.details["field"] = FIELD
            raise

    async def _complete(self, request: TokenLengthsRequest) -> CountTokensRequest:
        async with self._context.database.reading() as tx:
            model = await tx.models.get(request.model_id)
            dataset = await tx.datasets.get(request.dataset_id)
        if model is None:
            raise missing("model", request.model_id)
        if dataset is None:
            raise missing("dataset", request.dataset_id)
        if model.artifact is None:
            raise StatusConflict(
                "The model is not prepared yet, so that its tokenizer is not known.",
                field="model_id",
                reason="not_prepared",
                status=str(model.status),
                remedy="Load the model first.",
            )
        check_dataset(dataset)
        ref = dataset.ref
        if ref is None:
            raise missing("dataset", request.dataset_id)
        how = Tokenization(
            column=column_of(request.column, dataset, FIELD),
            add_special_tokens=request.add_special_tokens,
        )
        return CountTokensRequest(
            actor=request.actor, artifact=model.artifact, dataset=ref, tokenization=how
        )

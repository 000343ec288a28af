"""Whether a model fits, and in which format: of a registered one, and of any checkpoint."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from mistudio_contracts import rpc
from mistudio_contracts.errors import ErrorCode
from mistudio_contracts.states import Int4Type, Quantization, Scope
from mistudio_contracts.subjects import RPC_CHECKPOINT_ESTIMATE, RPC_MODEL_ESTIMATE
from mistudio_contracts.values import QuantizationOptions
from mistudio_contracts.views import Estimate
from mistudio_gateway.rest import bodies
from mistudio_gateway.rest.operations import Operations
from mistudio_gateway.rest.parameters import Caller, Here, ModelId

operations = Operations("estimates")

OnlyFormat = Annotated[
    Quantization | None, Query(description="Tell of this format alone; absent tells of all.")
]
CodeBook = Annotated[Int4Type, Query(description="The code book of int4.")]
DoubleQuant = Annotated[bool, Query(description="Whether int4 quantises its scales too.")]


@operations.add(
    "GET",
    "/api/models/{model_id}/estimate",
    scope=Scope.READ,
    errors=(ErrorCode.MODEL_NOT_FOUND,),
)
async def estimate_model(
    here: Here,
    caller: Caller,
    model_id: ModelId,
    quantization: OnlyFormat = None,
    int4_type: CodeBook = Int4Type.NF4,
    double_quant: DoubleQuant = True,
) -> Estimate:
    """Tell what a model takes in each format, whether that fits, and which to choose."""
    request = rpc.EstimateModelRequest(
        actor=caller.subject,
        model_id=model_id,
        quantization=quantization,
        quantization_options=QuantizationOptions(int4_type=int4_type, double_quant=double_quant),
    )
    return await here.catalog.ask(
        RPC_MODEL_ESTIMATE, request, Estimate, timeout=here.settings.register_timeout_seconds
    )


@operations.add("POST", "/api/estimates", scope=Scope.READ, errors=(ErrorCode.PAYLOAD_TOO_LARGE,))
async def estimate_checkpoint(
    here: Here, caller: Caller, body: bodies.EstimateCheckpoint
) -> Estimate:
    """Tell the same of a checkpoint that nobody has registered: only its config is read."""
    request = rpc.EstimateCheckpointRequest(actor=caller.subject, **body.model_dump())
    return await here.catalog.ask(
        RPC_CHECKPOINT_ESTIMATE, request, Estimate, timeout=here.settings.register_timeout_seconds
    )

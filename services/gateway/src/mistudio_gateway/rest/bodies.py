"""Bodies of requests: the contract's fields, without those the gateway fills in itself."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, Tag

from mistudio_contracts.base import Identifier
from mistudio_contracts.commands import HookPoints
from mistudio_contracts.hooks import HookPoint
from mistudio_contracts.layers import LIST, TEXT, LayersText, ListOrText
from mistudio_contracts.looking import MOST_SAMPLES, MOST_TOKENS, MOST_WIDTH, Along, Component
from mistudio_contracts.rpc import ModelIdentifier, Name
from mistudio_contracts.states import BlockKind, DatasetFormat, Dtype, Quantization, Source
from mistudio_contracts.values import QuantizationOptions, Tokenization

MOST = 2**31 - 1
"""Counts beyond it fit no column of the database."""


def _no_coercion(value: Any) -> Any:
    # JSON has numbers and booleans of its own; a text that looks like one is a mistake.
    if isinstance(value, bool | str):
        raise ValueError("a number is needed")
    return value


def _boolean(value: Any) -> Any:
    if not isinstance(value, bool):
        raise ValueError("true or false is needed")
    return value


Integer = Annotated[int, BeforeValidator(_no_coercion)]
Seconds = Annotated[float, BeforeValidator(_no_coercion), Field(ge=0, allow_inf_nan=False)]
Boolean = Annotated[bool, BeforeValidator(_boolean)]
VisibleName = Annotated[Name, Field(json_schema_extra={"pattern": r"\S"})]
VisibleIdentifier = Annotated[ModelIdentifier, Field(json_schema_extra={"pattern": r"\S"})]
Layer = Annotated[Integer, Field(ge=-100_000, le=100_000)]


Layers = Annotated[
    Annotated[list[Layer], Field(max_length=1000), Tag(LIST)] | Annotated[LayersText, Tag(TEXT)],
    ListOrText,
]


class RestBody(BaseModel):
    """A body takes the fields it names and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FormatOptions(QuantizationOptions):
    """How int4 is made; of no effect on the other formats."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    double_quant: Boolean = True


_KEEP_ALIVE = "Seconds without use after which it leaves device memory; null keeps it."
_PINNED = "Never evicted, and brought back when its device starts."
_OFFLOAD = "Blocks that do not fit are read from the disk at each batch."


class RegisterModel(RestBody):
    """A model to register. ``auto_load`` loads it at once."""

    name: VisibleName = Field(examples=["GPT-2 Medium"])
    source: Source
    model_identifier: VisibleIdentifier = Field(
        description="Hub id, or a path under an allowed root.", examples=["gpt2-medium"]
    )
    model_type: str | None = Field(
        default=None, max_length=100, description="Checked against the config when given."
    )
    revision: str | None = Field(default=None, max_length=200)
    quantization: Quantization = Quantization.NONE
    quantization_options: FormatOptions = FormatOptions()
    pinned: Boolean = Field(default=False, description=_PINNED)
    keep_alive_seconds: Seconds | None = Field(default=None, description=_KEEP_ALIVE)
    offload: Boolean = Field(default=False, description=_OFFLOAD)
    auto_load: Boolean = False


class UpdateModel(RestBody):
    """What to change; absent leaves it, and so does null but for ``keep_alive_seconds``."""

    name: VisibleName | None = None
    quantization: Quantization | None = None
    quantization_options: FormatOptions | None = None
    pinned: Boolean | None = Field(default=None, description=_PINNED)
    keep_alive_seconds: Seconds | None = Field(default=None, description=_KEEP_ALIVE)
    offload: Boolean | None = Field(default=None, description=_OFFLOAD)


class LoadModel(RestBody):
    """How to load; null keeps the registered format."""

    quantization: Quantization | None = None
    quantization_options: FormatOptions | None = None
    force: Boolean = Field(
        default=False, description="Place it whatever the estimate says; it may then fail."
    )


class EstimateCheckpoint(RestBody):
    """A checkpoint to estimate; null ``quantization`` tells of every format."""

    source: Source
    model_identifier: VisibleIdentifier = Field(
        description="Hub id, or a path under an allowed root.", examples=["gpt2-medium"]
    )
    revision: str | None = Field(default=None, max_length=200)
    quantization: Quantization | None = None
    quantization_options: FormatOptions = FormatOptions()


class TokenizationOptions(Tokenization):
    """How text becomes ``input_ids``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    add_special_tokens: Boolean = True
    max_length: Annotated[Integer, Field(ge=1, le=1_048_576)] | None = None
    truncate: Boolean = False
    stride: Annotated[Integer, Field(ge=1, le=1_048_576)] | None = Field(
        default=None,
        description="Cut longer samples into windows of max_length that begin so many tokens "
        "apart, at most max_length; not together with truncate.",
    )


class ExtractActivations(RestBody):
    """What to capture. ``layer_indices`` and ``hook_points`` add up; name at least one."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": [name], "properties": {name: {"minItems": 1}}}
                for name in ("layer_indices", "hook_points")
            ]
        }
    )

    dataset_id: Identifier
    layer_indices: Layers = Field(
        default_factory=list,
        description="A list, or a text such as 0-5,11 or all. Negative counts from the last layer.",
        examples=[[0, 6, -1], "all"],
    )
    hook_kinds: list[BlockKind] = Field(
        default=[BlockKind.RESID_POST],
        min_length=1,
        max_length=len(BlockKind),
        description="What to capture in each of layer_indices.",
    )
    hook_points: list[HookPoints] = Field(
        default_factory=list,
        max_length=1000,
        description="By name, also of several layers: layers.0-5.mlp_out, layers.all.z, embed.",
        examples=[["layers.6.mlp_out", "embed"]],
    )
    sample_count: Annotated[Integer, Field(ge=1, le=MOST)] | None = Field(
        default=None, description="Null means all samples."
    )
    batch_size: Annotated[Integer, Field(ge=1, le=4096)] | None = Field(
        default=None, description="Most samples in one batch; null lets us choose."
    )
    dtype: Dtype | None = Field(default=None, description="Null means the model's own.")
    tokenization: TokenizationOptions = TokenizationOptions()
    extraction_id: (
        Annotated[str, StringConstraints(pattern=r"^ext_[A-Za-z0-9_]{1,120}$")] | None
    ) = Field(default=None, description="Chosen by the caller, to follow it from the start.")


class RegisterDataset(RestBody):
    """A dataset that is on this machine, or on the hub. Files are sent to /datasets/upload."""

    name: VisibleName
    source: Literal["local", "huggingface"]
    identifier: Annotated[str, StringConstraints(min_length=1, max_length=1000)] = Field(
        description="A path under an allowed root, or a hub id."
    )
    format: DatasetFormat | None = None
    text_column: str | None = Field(default=None, max_length=200)
    split: str = Field(default="train", min_length=1, max_length=100)
    subset: str | None = Field(default=None, max_length=200)
    revision: str | None = Field(default=None, max_length=200)


class AlongOptions(Along):
    """What to measure of each row: one component, its product with a vector, or its L2 norm."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    neuron: Annotated[Integer, Field(ge=0, lt=MOST_WIDTH)] | None = Field(
        default=None, description="The component of the row with this index."
    )
    direction: (
        Annotated[
            list[Annotated[Component, BeforeValidator(_no_coercion)]],
            Field(min_length=1, max_length=MOST_WIDTH),
        ]
        | None
    ) = Field(default=None, description="As wide as the rows, and not all zeros.")


class ShowHeatMap(RestBody):
    """Which tokens to show, and by what."""

    hook_point: HookPoint = Field(examples=["layers.6.resid_post"])
    along: AlongOptions = AlongOptions()
    first_sample: Annotated[Integer, Field(ge=0, le=MOST)] = 0
    samples: Annotated[Integer, Field(ge=1, le=MOST_SAMPLES)] = 8


class FindTopTokens(RestBody):
    """Which tokens to find, and by what."""

    hook_point: HookPoint = Field(examples=["layers.6.resid_post"])
    along: AlongOptions = AlongOptions()
    count: Annotated[Integer, Field(ge=1, le=MOST_TOKENS)] = 20
    least: Boolean = False

"""Commands: requests that anyone allowed may publish on the COMMANDS stream."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, Tag, model_validator

from .base import Identifier, Message
from .hooks import OUTSIDE, hook_point, in_order, kind_of
from .layers import (
    HOOKS_OF_LAYERS,
    LIST,
    TEXT,
    LayerRange,
    LayersRefused,
    LayersText,
    ListOrText,
    layers_of,
    read_layers,
)
from .states import BlockKind, Dtype, Quantization
from .values import QuantizationOptions, Tokenization

HOOK_POINTS_PATTERN = rf"^({'|'.join(OUTSIDE)}|{HOOKS_OF_LAYERS}\.({'|'.join(BlockKind)}))$"
"""A hook point, or one of several layers: ``layers.-1.z``, ``layers.0-5.q``, ``layers.all.k``."""

HookPoints = Annotated[str, StringConstraints(max_length=64, pattern=HOOK_POINTS_PATTERN)]

Layers = Annotated[
    Annotated[list[int], Field(max_length=1000), Tag(LIST)] | Annotated[LayersText, Tag(TEXT)],
    ListOrText,
]


class Command(Message):
    """A command names who asks. The bus permission decides whether they may."""

    requested_by: str = Field(default="bus", min_length=1, max_length=200)


class LoadModel(Command):
    """Load a registered model. Null keeps what is registered.

    ``force`` places it whatever the estimate says; what then does not fit fails.
    """

    model_id: Identifier
    quantization: Quantization | None = None
    quantization_options: QuantizationOptions | None = None
    force: bool = False


class UnloadModel(Command):
    model_id: Identifier


class CancelLoad(Command):
    model_id: Identifier


class DeleteModel(Command):
    model_id: Identifier


class NoSuchLayers(ValueError):
    """A request names layers that the model lacks. ``field`` is where it does.

    ``layer`` is the index in question, None where a range ends before it begins.
    """

    def __init__(self, field: str, text: str, layer: int | None) -> None:
        super().__init__(text)
        self.field, self.layer = field, layer


class RequestExtraction(Command):
    """Capture hook points over a dataset.

    ``layer_indices`` are a list, or a text such as ``0-5,11`` or ``all``; a negative index counts
    from the last layer. ``hook_kinds`` are captured in each of them. ``hook_points`` come on top.
    ``extraction_id`` may be chosen by the caller, to follow the events from the first on.
    """

    model_id: Identifier
    dataset_id: Identifier
    layer_indices: Layers = Field(default_factory=list)
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
    )
    sample_count: int | None = Field(default=None, ge=1, description="Null means all samples.")
    batch_size: int | None = Field(
        default=None, ge=1, le=4096, description="Most samples in one batch; null lets us choose."
    )
    dtype: Dtype | None = Field(default=None, description="Null means the model's own.")
    tokenization: Tokenization = Tokenization()
    extraction_id: Identifier | None = None

    @model_validator(mode="after")
    def _names_something(self) -> RequestExtraction:
        if not self.layer_indices and not self.hook_points:
            raise ValueError("name at least one layer in layer_indices or one of hook_points")
        return self

    def resolve(self, num_layers: int) -> list[str]:
        """Return the hook points of a model of so many layers, in order and without repeats.

        Raises
        ------
        NoSuchLayers
            When the model lacks a layer, or a range ends before it begins.
        """
        chosen = self.layer_indices
        ranges = (
            read_layers(chosen)
            if isinstance(chosen, str)
            else [LayerRange(each, each) for each in chosen]
        )
        found = [
            hook_point(layer, kind)
            for layer in _layers("layer_indices", ranges, num_layers)
            for kind in self.hook_kinds
        ]
        for name in self.hook_points:
            found += [name] if name in OUTSIDE else _expanded(name, num_layers)
        return in_order(found)


def _expanded(name: str, num_layers: int) -> list[str]:
    kind = kind_of(name)
    ranges = read_layers(name.removeprefix("layers.").removesuffix(f".{kind}"))
    return [hook_point(layer, kind) for layer in _layers("hook_points", ranges, num_layers)]


def _layers(field: str, ranges: list[LayerRange], num_layers: int) -> list[int]:
    try:
        return layers_of(ranges, num_layers)
    except LayersRefused as error:
        raise NoSuchLayers(field, str(error), error.layer) from error


class CancelExtraction(Command):
    extraction_id: Identifier


class EvictCache(Command):
    cache_id: Identifier

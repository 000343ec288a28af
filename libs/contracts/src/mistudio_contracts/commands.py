"""Commands: requests that anyone allowed may publish on the COMMANDS stream."""

from __future__ import annotations

from pydantic import Field, model_validator

from .base import Identifier, Message
from .states import Dtype, Quantization
from .values import HookPoint, QuantizationOptions, Tokenization, resid_post


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


class RequestExtraction(Command):
    """Capture hook points over a dataset.

    ``layer_indices`` and ``hook_points`` add up; a negative index counts from the last layer.
    ``extraction_id`` may be chosen by the caller, to follow the events from the first on.
    """

    model_id: Identifier
    dataset_id: Identifier
    layer_indices: list[int] = Field(default_factory=list, max_length=1000)
    hook_points: list[HookPoint] = Field(default_factory=list, max_length=1000)
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
        """Return the hook points, sorted by layer, without repeats.

        Raises
        ------
        IndexError
            Naming the first layer outside ``-num_layers .. num_layers - 1``.
        """
        layers: set[int] = set()
        named = [int(h.split(".")[1]) for h in self.hook_points]
        for index in [*self.layer_indices, *named]:
            if not -num_layers <= index < num_layers:
                raise IndexError(index)
            layers.add(index % num_layers)
        return [resid_post(layer) for layer in sorted(layers)]


class CancelExtraction(Command):
    extraction_id: Identifier


class EvictCache(Command):
    cache_id: Identifier

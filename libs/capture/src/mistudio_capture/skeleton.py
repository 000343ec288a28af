"""A decoder without its weights: modules on the meta device, computed buffers in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from accelerate import init_empty_weights
from torch import nn
from torch.overrides import TorchFunctionMode
from transformers.initialization import no_init_weights
from transformers.pytorch_utils import Conv1D

from . import attention
from .decoders import decoder_class
from .errors import CaptureError
from .families import PACKED

if TYPE_CHECKING:
    from .linear import QuantizedLinear


def attention_of(config: Any) -> str:
    """Return the implementation that the family's decoder is built with."""
    family = decoder_class(config)
    if config.model_type in PACKED:
        return attention.NAME
    return "sdpa" if family._supports_sdpa else "eager"


def build(config: Any, dtype: torch.dtype) -> nn.Module:
    """Return the family's decoder without a language-model head, its parameters on meta.

    Parameters
    ----------
    config
        A transformers configuration.
    dtype
        Of the parameters.

    Raises
    ------
    CaptureError
        When a buffer is not computed with its module.
    """
    # Buffers such as rotary frequencies are in no checkpoint; they are computed here and now.
    with init_empty_weights(include_buffers=False), no_init_weights(), _EmptyOnMeta():
        decoder: nn.Module = decoder_class(config)._from_config(
            config, dtype=dtype, attn_implementation=attention_of(config)
        )
    unset = [name for name, buffer in decoder.named_buffers() if buffer.is_meta]
    if unset:
        raise CaptureError(f"nobody has computed the buffer {unset[0]}")
    return decoder.eval().requires_grad_(False)


class _EmptyOnMeta(TorchFunctionMode):
    """Makes ``torch.empty``, which is how modules make parameters, take no memory.

    Weights that are made and thrown away leave holes in the heap, gigabytes of them.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        settings = dict(kwargs or {})
        if func is torch.empty and settings.get("device") is None:
            settings["device"] = "meta"
        return func(*args, **settings)


def linear_layers(decoder: nn.Module, blocks: nn.ModuleList) -> Iterator[tuple[str, nn.Module]]:
    """Yield the linear layers of the blocks: those that int8 and int4 quantise.

    Embeddings, norms and the language-model head are never quantised, as bitsandbytes has it.
    """
    prefix = next(name for name, module in decoder.named_modules() if module is blocks)
    for name, module in blocks.named_modules():
        if isinstance(module, (nn.Linear, Conv1D)):
            yield f"{prefix}.{name}", module


def dimensions(layer: nn.Module) -> tuple[int, int, bool]:
    """Return a linear layer's input and output width, and whether it has a bias."""
    if isinstance(layer, Conv1D):
        return layer.nx, layer.nf, True
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features, layer.bias is not None
    raise CaptureError(f"{type(layer).__name__} is no linear layer")


def replace(decoder: nn.Module, name: str, quantized: type[QuantizedLinear]) -> QuantizedLinear:
    """Put a quantised layer, still empty, in the place of a linear one and return it."""
    new = quantized(*dimensions(decoder.get_submodule(name)))
    decoder.set_submodule(name, new)
    return new

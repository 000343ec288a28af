"""How near a quantised model comes to its reference, one module in memory at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from .families import PACKED
from .files import TensorFiles
from .head import next_token_loss
from .loading import plan
from .passes import forward, prepare
from .streaming import stream
from .structure import find_blocks


@dataclass(frozen=True)
class LayerDifference:
    """A block's raw output against the reference's, over all tokens.

    ``cosine`` is the mean over tokens of the cosine of the two rows; ``relative_error`` the
    Frobenius norm of the difference over that of the reference.
    """

    layer: int
    cosine: float
    relative_error: float


@dataclass(frozen=True)
class Difference:
    """Of a quantised model and its reference over the same tokens."""

    layers: tuple[LayerDifference, ...]
    reference_perplexity: float
    perplexity: float


@dataclass(frozen=True)
class _Run:
    residuals: list[torch.Tensor]
    loss: float


def compare(
    config: Any,
    reference: TensorFiles,
    quantized: TensorFiles,
    input_ids: torch.Tensor,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Difference:
    """Run both models over the tokens, in float32 arithmetic on the CPU, and compare.

    Parameters
    ----------
    config
        A transformers configuration, of both.
    reference, quantized
        The checkpoints.
    input_ids
        int64 ``[tokens]``, two at least and no more than the context.
    on_progress
        Called with the blocks that are done, of both models together.

    Raises
    ------
    CaptureError
        When a checkpoint lacks a tensor.
    """
    layers = int(config.num_hidden_layers)
    first = _run(config, reference, input_ids, lambda n: on_progress(n, 2 * layers))
    second = _run(config, quantized, input_ids, lambda n: on_progress(layers + n, 2 * layers))
    pairs = zip(first.residuals, second.residuals, strict=True)
    return Difference(
        tuple(_difference(i, a, b) for i, (a, b) in enumerate(pairs)),
        math.exp(first.loss),
        math.exp(second.loss),
    )


def _difference(layer: int, reference: torch.Tensor, found: torch.Tensor) -> LayerDifference:
    expected, other = reference.double(), found.double()
    cosine = torch.nn.functional.cosine_similarity(expected, other, dim=1).mean()
    return LayerDifference(layer, float(cosine), float((other - expected).norm() / expected.norm()))


@torch.inference_mode()
def _run(
    config: Any, files: TensorFiles, input_ids: torch.Tensor, on_block: Callable[[int], None]
) -> _Run:
    found = plan(config, files, torch.float32)
    stream(found, torch.device("cpu"), found.modules())
    kept: list[torch.Tensor] = []

    def keep(_module: Any, _inputs: Any, output: Any) -> None:
        # A copy: a later block may add to the residual stream in place.
        kept.append((output[0] if isinstance(output, tuple) else output)[0].clone())
        on_block(len(kept))

    for block in find_blocks(found.decoder, int(config.num_hidden_layers)):
        block.register_forward_hook(keep)
    bounds = [0, len(input_ids)]
    inputs, rows = prepare(input_ids, bounds, packed=config.model_type in PACKED)
    hidden = rows.of(forward(found.decoder, inputs, bounds))
    return _Run(kept, next_token_loss(config, files, hidden, input_ids))

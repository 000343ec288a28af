"""Counts what really goes through a model's blocks, whoever runs them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mistudio_extractor.metrics import Metrics

if TYPE_CHECKING:
    from torch import nn

    from mistudio_capture import CaptureModel


@contextmanager
def counted(model: CaptureModel, metrics: Metrics) -> Iterator[None]:
    """Count the passes through a model's blocks while the block of code runs."""
    blocks = list(model.blocks)

    def enter(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hidden = args[0] if args else kwargs["hidden_states"]
        metrics.block_tokens.inc(hidden.shape[:-1].numel())
        if block is blocks[0]:
            metrics.passes.inc()

    handles = [block.register_forward_pre_hook(enter, with_kwargs=True) for block in blocks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()

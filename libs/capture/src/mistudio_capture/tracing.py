"""One pass of a decoder that keeps what goes into and comes out of each of its modules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .passes import Rows


@dataclass
class Call:
    """A module that ran.

    ``path`` is its name in the decoder; ``into`` and ``out`` are its first tensors,
    ``[tokens, width]``, None where they are no rows; ``ids`` is what an embedding looks up.
    """

    path: str
    module: nn.Module
    into: torch.Tensor | None = None
    out: torch.Tensor | None = None
    ids: torch.Tensor | None = None

    def within(self, path: str) -> bool:
        """Return whether it lies inside the module at ``path``."""
        return self.path.startswith(f"{path}.")


@contextmanager
def traced(decoder: nn.Module, rows: Rows) -> Iterator[list[Call]]:
    """Record the calls of the decoder's modules, in the order in which they begin."""
    recorder = _Recorder(rows)
    handles: list[Any] = []
    for path, module in decoder.named_modules():
        if path:
            begin, end = recorder.hooks(path)
            handles.append(module.register_forward_pre_hook(begin, with_kwargs=True))
            handles.append(module.register_forward_hook(end))
    try:
        yield recorder.calls
    finally:
        for handle in handles:
            handle.remove()


class _Recorder:
    def __init__(self, rows: Rows) -> None:
        self.calls: list[Call] = []
        self._rows = rows
        self._running: list[Call] = []

    def hooks(self, path: str) -> tuple[Any, Any]:
        def begin(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            tensors = [x for x in (*args, *kwargs.values()) if isinstance(x, torch.Tensor)]
            first = tensors[0] if tensors else None
            call = Call(path, module, self._kept(first))
            if first is not None and not first.is_floating_point():
                call.ids = first
            self.calls.append(call)
            self._running.append(call)

        def end(_module: nn.Module, _args: Any, output: Any) -> None:
            self._running.pop().out = self._kept(output[0] if isinstance(output, tuple) else output)

        return begin, end

    def _kept(self, tensor: Any) -> torch.Tensor | None:
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
            return None
        # A copy: what comes later may add to it in place.
        return self._rows.of(tensor).clone() if self._rows.has(tensor) else None

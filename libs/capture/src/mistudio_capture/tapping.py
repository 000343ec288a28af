"""Hooks that read a pass's hook points, and end it after the last of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from .anatomy import Anatomy, Tap
from .errors import CaptureError
from .hooks import EMBED, HookPoint
from .passes import Rows

Hook = Callable[[str, torch.Tensor], None]


class _Done(Exception):
    """Every hook point was read: ends the forward pass. Never leaves this module."""


@contextmanager
def tapped(
    decoder: nn.Module,
    blocks: nn.ModuleList,
    anatomy: Anatomy,
    hook_points: Sequence[str],
    rows: Rows,
    on_hook: Hook,
) -> Iterator[None]:
    """Read hook points of the one pass that runs inside, which ends after the last of them.

    Parameters
    ----------
    decoder, blocks, anatomy
        Which one.
    hook_points
        Names, each once, all of them in :meth:`Anatomy.points`.
    rows
        Of the pass.
    on_hook
        Called with the name and ``[tokens, width]``; the tensor belongs to the model.

    Raises
    ------
    CaptureError
        When the pass ended before all were read.
    """
    taps = _Taps(decoder, blocks, anatomy, rows, on_hook, len(hook_points))
    try:
        for name in hook_points:
            taps.add(HookPoint.parse(name))
        yield
    except _Done:
        return
    finally:
        taps.remove()
    raise CaptureError("the deepest hook point was never reached")


class _Taps:
    def __init__(
        self,
        decoder: nn.Module,
        blocks: nn.ModuleList,
        anatomy: Anatomy,
        rows: Rows,
        on_hook: Hook,
        count: int,
    ) -> None:
        self._decoder, self._blocks, self._anatomy = decoder, blocks, anatomy
        self._rows, self._on_hook, self._left = rows, on_hook, count
        self._handles: list[Any] = []

    def add(self, point: HookPoint) -> None:
        if point.layer is None:
            path = self._anatomy.embed if point.kind == EMBED else self._anatomy.final_norm
            assert path is not None, "hook points are checked before a pass"
            self._read(self._decoder, Tap(path, "out"), point.name)
            return
        block, tap = self._blocks[point.layer], self._anatomy.block.taps[point.kind]
        if point.kind == "resid_mid":
            self._read_sum(block, tap, point.name)
        else:
            self._read(block, tap, point.name)

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _read(self, root: nn.Module, tap: Tap, name: str) -> None:
        def tell(hidden: torch.Tensor) -> None:
            self._tell(name, tap.rows(self._rows.of(hidden)))

        self._hook(root.get_submodule(tap.path), tap.side, tell)

    def _read_sum(self, block: nn.Module, tap: Tap, name: str) -> None:
        """Read the residual stream between attention and MLP, which is no module's output."""
        before: list[torch.Tensor] = []

        def tell(added: torch.Tensor) -> None:
            self._tell(name, self._rows.of(before.pop()) + self._rows.of(added))

        self._hook(block, "into", before.append)
        self._hook(block.get_submodule(tap.path), tap.side, tell)

    def _hook(self, module: nn.Module, side: str, take: Callable[[torch.Tensor], None]) -> None:
        def into(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            take(next(x for x in (*args, *kwargs.values()) if isinstance(x, torch.Tensor)))

        def out(_module: nn.Module, _args: Any, output: Any) -> None:
            take(output[0] if isinstance(output, tuple) else output)

        if side == "into":
            self._handles.append(module.register_forward_pre_hook(into, with_kwargs=True))
        else:
            self._handles.append(module.register_forward_hook(out))

    def _tell(self, name: str, rows: torch.Tensor) -> None:
        self._on_hook(name, rows)
        self._left -= 1
        if not self._left:
            raise _Done

"""Where a decoder's hook points are, found by what its modules do and not by their names.

A block adds the outputs of its attention and of its MLP to the residual stream, one after the
other or both at once; a family may normalise an output before it is added. What is added is
``attn_out`` and ``mlp_out``. The projection that ends attention takes ``z``, the one that ends the
MLP takes ``mlp_act``; ``q``, ``k`` and ``v`` are what the projections before give, ahead of norms
and of rotary positions. (The names are TransformerLens's.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from .fused import Part, parts_of_fused
from .hooks import BLOCK_KINDS, EMBED, FINAL_NORM, HookPoint
from .tracing import Call
from .wiring import is_linear

Side = Literal["into", "out"]


@dataclass(frozen=True)
class Tap:
    """Rows are read at a module: what goes into it, or comes out; ``part`` is some columns of it.

    ``path`` is relative to the block, empty for the block itself.
    """

    path: str
    side: Side
    part: Part | None = None

    def rows(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the tap's columns of ``[tokens, width]``."""
        return hidden if self.part is None else self.part.of(hidden)


@dataclass(frozen=True)
class BlockAnatomy:
    """The taps of a block, by kind.

    ``sequential`` says whether the MLP reads what attention has added, so that there is a
    ``resid_mid``; ``projection`` is the path of attention's last projection.
    """

    taps: Mapping[str, Tap]
    sequential: bool
    projection: str
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """A kind of hook point: its rows' width, and of how many heads they are, None for none."""

    kind: str
    width: int
    heads: int | None = None


@dataclass(frozen=True)
class Anatomy:
    """Where a decoder's hook points are.

    ``embed`` and ``final_norm`` are the paths of the token embedding and of the norm after the last
    block, None where they are not what they should be; ``widths`` are of the block's kinds;
    ``heads`` is how many there are of queries.
    """

    block: BlockAnatomy
    embed: str | None
    final_norm: str | None
    widths: Mapping[str, int]
    hidden: int
    layers: int
    heads: int

    def width(self, point: HookPoint) -> int | None:
        """Return the width of a hook point, None where there is no such one."""
        if point.layer is None:
            path = self.embed if point.kind == EMBED else self.final_norm
            return None if path is None else self.hidden
        if point.layer >= self.layers or point.kind not in self.block.taps:
            return None
        return self.widths[point.kind]

    def points(self) -> dict[str, int]:
        """Return every hook point with its width, in the order of a forward pass."""
        inside = [HookPoint(n, k) for n in range(self.layers) for k in BLOCK_KINDS]
        named = [HookPoint(None, EMBED), *inside, HookPoint(None, FINAL_NORM)]
        return {p.name: width for p in named if (width := self.width(p)) is not None}

    def kinds(self) -> list[Kind]:
        """Return what kinds of hook points there are, in the order of a forward pass."""
        there = [kind for kind in BLOCK_KINDS if kind in self.block.taps]
        inside = [Kind(kind, self.widths[kind], self._heads_of(kind)) for kind in there]
        first = [] if self.embed is None else [Kind(EMBED, self.hidden)]
        last = [] if self.final_norm is None else [Kind(FINAL_NORM, self.hidden)]
        return [*first, *inside, *last]

    def refused(self) -> dict[str, str]:
        """Return why each kind that is missing is."""
        reasons = dict(self.block.refused)
        if self.embed is None:
            reasons[EMBED] = "token ids are not looked up in one embedding"
        if self.final_norm is None:
            reasons[FINAL_NORM] = "what follows the last block is no norm"
        return reasons

    def _heads_of(self, kind: str) -> int | None:
        if kind not in ("q", "k", "v", "z"):
            return None
        each = self.widths["z"] // self.heads if "z" in self.widths else None
        return None if each is None else self.widths[kind] // each


def examine_block(
    calls: Sequence[Call], block: str, config: Any, firsts: Sequence[int]
) -> BlockAnatomy:
    """Return a block's anatomy.

    Parameters
    ----------
    calls
        Of a whole pass.
    block
        The path of the block.
    config
        A transformers configuration.
    firsts
        The rows of the samples' first tokens.
    """
    own = [call for call in calls if call.within(block)]
    whole = next(call for call in calls if call.path == block)
    return _Examination(own, whole, config, firsts).anatomy()


class _Examination:
    def __init__(
        self, calls: Sequence[Call], whole: Call, config: Any, firsts: Sequence[int]
    ) -> None:
        self._calls, self._whole = calls, whole
        self._config, self._firsts = config, firsts
        attention = next(c for c in calls if "Attention" in type(c.module).__name__)
        self._attending = [c for c in calls if c.within(attention.path)]
        self._rest = [c for c in calls if c is not attention and c not in self._attending]
        self._after = self._rest[self._position(attention) :]

    def anatomy(self) -> BlockAnatomy:
        linears = [c for c in self._attending if is_linear(c.module)]
        projection = linears[-1]
        attn_out = self._normed(projection)
        taps = {
            "resid_pre": Tap("", "into"),
            "z": self._tap(projection, "into"),
            "attn_out": self._tap(attn_out, "out"),
            "resid_post": Tap("", "out"),
        }
        refused: dict[str, str] = {}
        queries = self._queries(linears, projection)
        taps.update(queries)
        if not queries:
            refused.update(dict.fromkeys("qkv", "attention's inputs cannot be told apart"))
        sequential = self._reads_the_sum(attn_out)
        if sequential:
            taps["resid_mid"] = self._tap(attn_out, "out")
        else:
            refused["resid_mid"] = "attention and MLP both read the block's input"
        end = self._end_of_mlp()
        taps["mlp_out"] = self._tap(self._normed(end), "out")
        if is_linear(end.module):
            taps["mlp_act"] = self._tap(end, "into")
        else:
            refused["mlp_act"] = "every token has activations of its own experts"
        return BlockAnatomy(taps, sequential, self._relative(projection), refused)

    def _position(self, attention: Call) -> int:
        """Return how many of the calls outside attention began before it."""
        return sum(c not in self._attending for c in self._calls[: self._calls.index(attention)])

    def _tap(self, call: Call, side: Side) -> Tap:
        return Tap(self._relative(call), side)

    def _relative(self, call: Call) -> str:
        return call.path.removeprefix(f"{self._whole.path}.")

    def _normed(self, call: Call) -> Call:
        """Return the norm that takes the call's output as it is, else the call."""
        for norm in self._rest:
            if is_norm(norm.module) and _same(norm.into, call.out):
                return norm
        return call

    def _reads_the_sum(self, attn_out: Call) -> bool:
        assert self._whole.into is not None
        assert attn_out.out is not None
        total = self._whole.into + attn_out.out
        return any(_same(c.into, total) for c in self._after)

    def _end_of_mlp(self) -> Call:
        """Return the last projection to the residual stream, or the MLP where there is none."""
        width = self._config.hidden_size
        outside = [c for c in self._rest if c.out is not None and c.out.shape[1] == width]
        linears = [c for c in outside if is_linear(c.module)]
        if linears:
            return linears[-1]
        children = [c for c in outside if "." not in self._relative(c)]
        return [c for c in children if not is_norm(c.module) and list(c.module.parameters())][-1]

    def _queries(self, linears: Sequence[Call], projection: Call) -> dict[str, Tap]:
        """Return the taps of queries, keys and values.

        A sample's first token attends to itself alone, so its ``z`` is its ``v``, repeated where
        heads share one: that proves the values, and which columns of a fused projection they are.
        """
        assert projection.into is not None
        first = projection.into[list(self._firsts)]
        before = linears[:-1]
        if len(before) == 3:
            value = before[2].out
            if value is not None and _shared(value[list(self._firsts)], first, self._heads):
                return {kind: self._tap(c, "out") for kind, c in zip("qkv", before, strict=True)}
        elif len(before) == 1 and before[0].out is not None:
            for parts in parts_of_fused(before[0].out.shape[1], first.shape[1], self._heads):
                if _shared(parts["v"].of(before[0].out)[list(self._firsts)], first, self._heads):
                    path = self._relative(before[0])
                    return {kind: Tap(path, "out", part) for kind, part in parts.items()}
        return {}

    @property
    def _heads(self) -> int:
        return int(self._config.num_attention_heads)


def is_norm(module: nn.Module) -> bool:
    """Return whether a module is a LayerNorm or an RMSNorm of whichever family."""
    return "norm" in type(module).__name__.lower()


def _same(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    return a is not None and b is not None and a.shape == b.shape and torch.allclose(a, b)


def _shared(value: torch.Tensor, z: torch.Tensor, heads: int) -> bool:
    """Return whether each head's part of ``z`` is that of the values which it shares."""
    width = z.shape[1] // heads
    if value.shape[1] % width or z.shape[1] % value.shape[1]:
        return False
    each = value.view(len(value), -1, 1, width)
    repeated = each.expand(-1, -1, z.shape[1] // value.shape[1], -1).reshape(z.shape)
    return torch.allclose(repeated, z, rtol=1e-2, atol=1e-3)

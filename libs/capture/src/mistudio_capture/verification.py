"""Proof on a few tokens that hook points are what their names say; what fails is refused.

- The residual stream is handed on whole: ``resid_pre`` of a block is ``resid_post`` of the last.
- ``resid_post = resid_pre + attn_out + mlp_out``.
- ``z`` through attention's last projection is what attention gives, token by token.
- Of a sample's first token, ``z`` is ``v`` (see :mod:`.anatomy`).
- ``resid_post`` of the last block through the final norm is the decoder's last hidden state.

Multiplying with a whole model's weights takes longer than loading it, so a load looks at how the
first block is wired: it runs alone, the final norm after it, and its matrices are stood in for.
Every block is proven with its own weights before the first capture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from .anatomy import Anatomy, BlockAnatomy, examine_block, is_norm
from .errors import CaptureError
from .passes import forward, prepare
from .tracing import Call, traced
from .wiring import first_alone

LENGTHS = (5, 3)
"""Tokens of the samples: two, so that a batch is one, and of different lengths."""

_ULPS = 4
_LEAST = 1e-5


@torch.inference_mode()
def examine(
    decoder: nn.Module, blocks: Sequence[str], device: torch.device, *, packed: bool
) -> Anatomy:
    """Return where the hook points are, as far as they hold in the first block's wiring.

    Parameters
    ----------
    decoder
        Ready to run.
    blocks
        The paths of its blocks, in order.
    device
        Where it is.
    packed
        How samples go through it together.
    """
    config: Any = decoder.config
    with first_alone(decoder, blocks[0]):
        trace = _Trace(decoder, device, packed=packed)
        found = examine_block(trace.calls, blocks[0], config, trace.firsts)
        block = _verified(found, trace.by_path, blocks[:1])
    return Anatomy(
        block=block,
        embed=_embedding(trace),
        final_norm=_final_norm(trace, blocks[0]),
        widths=_widths(found, trace.by_path, blocks[0]),
        hidden=int(config.hidden_size),
        layers=len(blocks),
        heads=int(config.num_attention_heads),
    )


@torch.inference_mode()
def prove(
    decoder: nn.Module,
    blocks: Sequence[str],
    device: torch.device,
    anatomy: Anatomy,
    *,
    packed: bool,
) -> Anatomy:
    """Run a few tokens through every block and return the anatomy without what does not hold.

    Parameters
    ----------
    decoder, blocks, device, packed
        As for :func:`examine`.
    anatomy
        What that found.

    Raises
    ------
    CaptureError
        When the blocks do not hand the residual stream on, so that even ``resid_post`` is not what
        its name says.
    """
    trace = _Trace(decoder, device, packed=packed)
    _check_stream([trace.by_path[path] for path in blocks])
    return replace(
        anatomy,
        block=_verified(anatomy.block, trace.by_path, blocks),
        final_norm=_final_norm(trace, blocks[-1]),
    )


class _Trace:
    """A pass of a few tokens: ``calls`` in order, ``last`` the last hidden state's rows."""

    def __init__(self, decoder: nn.Module, device: torch.device, *, packed: bool) -> None:
        config: Any = decoder.config
        total = sum(LENGTHS)
        # Far from small numbers, which positions are; the step spreads them over the vocabulary.
        ids = (torch.arange(total, device=device) * 7919 + 7919) % config.vocab_size
        bounds = [0, LENGTHS[0], total]
        inputs, rows = prepare(ids, bounds, packed=packed)
        with traced(decoder, rows) as calls:
            self.last = rows.of(forward(decoder, inputs, bounds))
        self.calls, self.ids, self.firsts = calls, inputs["input_ids"], bounds[:-1]
        self.by_path = {call.path: call for call in calls}


def _check_stream(blocks: Sequence[Call]) -> None:
    for index, (earlier, later) in enumerate(pairwise(blocks)):
        if not _near(later.into, earlier.out):
            raise CaptureError(
                f"block {index + 1} does not take what block {index} gives: "
                "there is no residual stream"
            )


def _verified(anatomy: BlockAnatomy, calls: dict[str, Call], blocks: Sequence[str]) -> BlockAnatomy:
    """Return the anatomy without what does not hold in every block."""
    refused: dict[str, str] = {}
    for path in blocks:
        if "attn_out" in anatomy.taps and not _adds_up(anatomy, calls, path):
            reason = "attention's and the MLP's output do not add up to the block's"
            refused.update(dict.fromkeys(("attn_out", "mlp_out", "resid_mid"), reason))
        if "z" in anatomy.taps and not _projects(calls[f"{path}.{anatomy.projection}"]):
            refused["z"] = "the output of attention is no function of each token's own"
    taps = {kind: tap for kind, tap in anatomy.taps.items() if kind not in refused}
    return BlockAnatomy(
        taps, anatomy.sequential, anatomy.projection, {**anatomy.refused, **refused}
    )


def _adds_up(anatomy: BlockAnatomy, calls: dict[str, Call], path: str) -> bool:
    whole = calls[path]
    attended, computed = (
        calls[f"{path}.{anatomy.taps[kind].path}"].out for kind in ("attn_out", "mlp_out")
    )
    if whole.into is None or attended is None or computed is None:
        return False
    return _near(whole.into + attended + computed, whole.out)


def _projects(call: Call) -> bool:
    return call.into is not None and _near(call.module(call.into), call.out)


def _embedding(trace: _Trace) -> str | None:
    for call in trace.calls:
        if isinstance(call.module, nn.Embedding) and call.ids is not None:
            looked_up = call.ids.shape == trace.ids.shape and torch.equal(call.ids, trace.ids)
            if looked_up and call.out is not None:
                return call.path
    return None


def _final_norm(trace: _Trace, last: str) -> str | None:
    block = trace.by_path[last]
    for call in trace.calls[trace.calls.index(block) + 1 :]:
        outside = is_norm(call.module) and not call.within(last)
        if outside and _near(call.into, block.out) and _near(call.out, trace.last):
            return call.path
    return None


def _widths(anatomy: BlockAnatomy, calls: dict[str, Call], path: str) -> dict[str, int]:
    widths = {}
    for kind, tap in anatomy.taps.items():
        call = calls[f"{path}.{tap.path}" if tap.path else path]
        rows = call.into if tap.side == "into" else call.out
        assert rows is not None, "a tap is made where rows were seen"
        widths[kind] = tap.rows(rows).shape[1]
    return widths


def _near(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    """Return whether two tensors are equal up to rounding, as far as both are finite."""
    if a is None or b is None or a.shape != b.shape:
        return False
    left, right = a.double(), b.double()
    finite = left.isfinite() & right.isfinite()
    distance = (left - right)[finite].norm()
    allowed = max(_LEAST, _ULPS * torch.finfo(a.dtype).eps)
    return bool(distance <= allowed * right[finite].norm())

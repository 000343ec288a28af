"""Proof on a few tokens that hook points are what their names say; what fails is refused.

- The residual stream is handed on whole: ``resid_pre`` of a block is ``resid_post`` of the last.
- ``resid_post = resid_pre + attn_out + mlp_out``.
- ``z`` through attention's last projection is what attention gives, token by token.
- Of a sample's first token, ``z`` is ``v`` (see :mod:`.anatomy`).
- ``resid_post`` of the last block through the final norm is the decoder's last hidden state.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from .anatomy import Anatomy, BlockAnatomy, examine_block, is_norm
from .errors import CaptureError
from .passes import forward, prepare
from .tracing import Call, traced

LENGTHS = (5, 3)
"""Tokens of the samples: two, so that a batch is one, and of different lengths."""

_ULPS = 4
_LEAST = 1e-5


@torch.inference_mode()
def examine(
    decoder: nn.Module, blocks: Sequence[str], device: torch.device, *, packed: bool
) -> Anatomy:
    """Run a few tokens and return where the hook points are that hold.

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

    Raises
    ------
    CaptureError
        When the blocks do not hand the residual stream on, so that even ``resid_post`` is not what
        its name says.
    """
    config: Any = decoder.config
    total = sum(LENGTHS)
    # Far from small numbers, which positions are; the step spreads them over the vocabulary.
    ids = (torch.arange(total, device=device) * 7919 + 7919) % config.vocab_size
    bounds = [0, LENGTHS[0], total]
    inputs, rows = prepare(ids, bounds, packed=packed)
    with traced(decoder, rows) as calls:
        last = rows.of(forward(decoder, inputs, bounds))
    found = examine_block(calls, blocks[0], config, bounds[:-1])
    by_path = {call.path: call for call in calls}
    _check_stream([by_path[path] for path in blocks])
    return Anatomy(
        block=_verified(found, by_path, blocks),
        embed=_embedding(calls, inputs["input_ids"]),
        final_norm=_final_norm(calls, by_path[blocks[-1]], last),
        widths=_widths(found, by_path, blocks[0]),
        hidden=int(config.hidden_size),
        layers=len(blocks),
        heads=int(config.num_attention_heads),
    )


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
        if not _adds_up(anatomy, calls, path):
            reason = "attention's and the MLP's output do not add up to the block's"
            refused.update(dict.fromkeys(("attn_out", "mlp_out", "resid_mid"), reason))
        if not _projects(calls[f"{path}.{anatomy.projection}"]):
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


def _embedding(calls: Sequence[Call], ids: torch.Tensor) -> str | None:
    for call in calls:
        if isinstance(call.module, nn.Embedding) and call.ids is not None:
            looked_up = call.ids.shape == ids.shape and torch.equal(call.ids, ids)
            if looked_up and call.out is not None:
                return call.path
    return None


def _final_norm(calls: Sequence[Call], last_block: Call, hidden: torch.Tensor) -> str | None:
    after = calls[calls.index(last_block) + 1 :]
    for call in after:
        outside = is_norm(call.module) and not call.within(last_block.path)
        if outside and _near(call.into, last_block.out) and _near(call.out, hidden):
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

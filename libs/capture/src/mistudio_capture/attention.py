"""Attention over packed samples: each sample attends to itself alone, no mask, no padding.

Registered with transformers' ``AttentionInterface``, so a family's own code computes queries, keys,
values and positions, and only the product is ours. Values of a sample do not depend on what else
lies in the pack, because nothing of it enters the product.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

from .varlen import Pack, Scores, Varlen

NAME = "mistudio_packed"

_pack: ContextVar[Pack] = ContextVar("mistudio_pack")


@contextmanager
def packed(bounds: Sequence[int]) -> Iterator[None]:
    """Set where the samples of the pack begin: ``bounds[i]`` to ``bounds[i + 1]`` is sample i."""
    token = _pack.set(Pack(bounds))
    try:
        yield
    finally:
        _pack.reset(token)


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Return causal attention within each sample.

    Parameters
    ----------
    module
        The family's attention; unused.
    query
        ``[1, heads, tokens, head_dim]``.
    key, value
        ``[1, kv_heads, tokens, head_dim]``; ``kv_heads`` divides ``heads``.
    attention_mask
        Must be None: the pack's bounds say who sees whom.
    scaling
        Factor on the scores; None means ``head_dim ** -0.5``.
    dropout
        Ignored: the model is in evaluation.
    sliding_window
        A token sees itself and the ``sliding_window - 1`` before it; None means all before it.
    softcap
        Scores become ``softcap * tanh(scores / softcap)`` (Gemma 2, section 2); None leaves them.

    Returns
    -------
    tuple
        ``[1, tokens, heads, head_dim]`` and None.
    """
    if attention_mask is not None:
        raise ValueError("packed attention takes no mask")
    pack, scores = _pack.get(), Scores(scaling, sliding_window, softcap)
    attend = _varlen.attend if _varlen.computes(query, key, scores) else _one_by_one
    return attend(pack, query, key, value, scores), None


def _one_by_one(
    pack: Pack, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scores: Scores
) -> torch.Tensor:
    out = torch.empty_like(query.transpose(1, 2))
    grouped = query.shape[1] != key.shape[1]
    for start, end in pairwise(pack.bounds):
        length = end - start
        if not length:
            continue
        q, k, v = (x[:, :, start:end] for x in (query, key, value))
        windowed = scores.window is not None and length > scores.window
        if scores.softcap is not None:
            seen = _window(length, scores.window, query.device)
            attended = _softcapped(q, k, v, seen, scores.scaling, scores.softcap)
        else:
            mask = _window(length, scores.window, query.device) if windowed else None
            attended = scaled_dot_product_attention(
                q,
                k,
                v,
                attn_mask=mask,
                is_causal=mask is None,
                scale=scores.scaling,
                enable_gqa=grouped,
            )
        out[:, start:end] = attended.transpose(1, 2)
    return out


def _softcapped(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    seen: torch.Tensor,
    scaling: float | None,
    softcap: float,
) -> torch.Tensor:
    groups = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    # In place: scores are the largest tensors of a pass.
    scores = (query @ key.transpose(2, 3)).mul_(scaling or query.shape[-1] ** -0.5)
    scores.div_(softcap).tanh_().mul_(softcap).masked_fill_(~seen, float("-inf"))
    # In float32 as the family itself does it.
    return torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype) @ value


def _window(length: int, window: int | None, device: torch.device) -> torch.Tensor:
    position = torch.arange(length, device=device)
    distance = position[:, None] - position[None, :]
    return (distance >= 0) & (distance < (window or length))


def _no_mask(*_: Any, **__: Any) -> None:
    return None


_varlen = Varlen(_one_by_one)

AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, _no_mask)

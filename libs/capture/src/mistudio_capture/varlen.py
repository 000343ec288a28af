"""Attention of all samples of a pack in one kernel, on devices that have one.

PyTorch's ``torch.nn.attention.varlen`` (FlashAttention 2, https://arxiv.org/abs/2307.08691). A
kernel is used on a device only once it has given there what attention sample by sample gives.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch

log = logging.getLogger(__name__)

NEAR = 0.02
"""Most relative distance of two right results in half precision, whatever order they add in."""

_LENGTHS = (1, 7, 64, 33)

OneByOne = Callable[["Pack", torch.Tensor, torch.Tensor, torch.Tensor, "Scores"], torch.Tensor]


@dataclass(frozen=True)
class Scores:
    """What becomes of the scores; see :func:`~.attention.packed_attention`."""

    scaling: float | None = None
    window: int | None = None
    softcap: float | None = None


@dataclass
class Pack:
    """Where the samples of a pack begin: ``bounds[i]`` to ``bounds[i + 1]`` is sample i."""

    bounds: Sequence[int]
    _starts: torch.Tensor | None = field(default=None, init=False)

    @property
    def longest(self) -> int:
        return max((end - start for start, end in pairwise(self.bounds)), default=0)

    def starts(self, device: torch.device) -> torch.Tensor:
        """Return the bounds as int32 ``[samples + 1]`` on the device, copied there once."""
        if self._starts is None or self._starts.device != device:
            self._starts = torch.tensor(self.bounds, dtype=torch.int32, device=device)
        return self._starts


class Varlen:
    """Decides for each kind of attention whether the device's kernel computes it.

    Parameters
    ----------
    one_by_one
        Attention sample by sample, which works everywhere: what the kernel is compared with.
    """

    def __init__(self, one_by_one: OneByOne) -> None:
        self._one_by_one = one_by_one
        self._agrees: dict[tuple[object, ...], bool] = {}

    def computes(self, query: torch.Tensor, key: torch.Tensor, scores: Scores) -> bool:
        """Return whether :meth:`attend` computes this; the same on every call of a process.

        Parameters
        ----------
        query, key
            ``[1, heads, tokens, head_dim]``; only their shapes, dtype and device matter.
        scores
            Which kind.
        """
        if query.device.type != "cuda" or scores.softcap is not None:
            return False
        if query.dtype not in (torch.float16, torch.bfloat16) or not _has_kernel():
            return False
        shape = (query.shape[1], key.shape[1], query.shape[3])
        kind = (query.device, query.dtype, *shape, scores)
        if kind not in self._agrees:
            self._agrees[kind] = self._try(query, key, scores)
        return self._agrees[kind]

    def attend(
        self,
        pack: Pack,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scores: Scores,
    ) -> torch.Tensor:
        """Return causal attention within each sample, ``[1, tokens, heads, head_dim]``."""
        from torch.nn.attention.varlen import varlen_attn

        starts, longest = pack.starts(query.device), pack.longest
        back = -1 if scores.window is None else scores.window - 1
        # One split: what a sample gets does not depend on the longest one beside it.
        attended = varlen_attn(
            query[0].transpose(0, 1),
            key[0].transpose(0, 1),
            value[0].transpose(0, 1),
            starts,
            starts,
            longest,
            longest,
            scale=scores.scaling,
            window_size=(back, 0),
            enable_gqa=query.shape[1] != key.shape[1],
            num_splits=1,
        )
        assert isinstance(attended, torch.Tensor)
        return attended[None]

    def _try(self, query: torch.Tensor, key: torch.Tensor, scores: Scores) -> bool:
        bounds = [0]
        for length in _LENGTHS:
            bounds.append(bounds[-1] + length)
        pack, generator = Pack(bounds), torch.Generator(query.device).manual_seed(0)

        def like(each: torch.Tensor) -> torch.Tensor:
            shape = (1, each.shape[1], bounds[-1], each.shape[3])
            drawn = torch.randn(shape, generator=generator, device=each.device)
            return drawn.to(each.dtype)

        q, k, v = like(query), like(key), like(key)
        try:
            found = self.attend(pack, q, k, v, scores).float()
        except (RuntimeError, TypeError, ValueError) as error:
            log.info("Attention runs sample by sample.", extra={"reason": str(error)[:200]})
            return False
        expected = self._one_by_one(pack, q, k, v, scores).float()
        near = bool((found - expected).norm() < NEAR * expected.norm())
        if not near:
            log.warning("The attention kernel of this device is not used: it computes otherwise.")
        return near


def _has_kernel() -> bool:
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return False
    return {"window_size", "num_splits", "enable_gqa"} <= set(
        inspect.signature(varlen_attn).parameters
    )

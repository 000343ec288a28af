"""Names of hook points, and the order in which a forward pass comes by them."""

from __future__ import annotations

import re
from dataclasses import dataclass

BLOCK_KINDS = (
    "resid_pre",
    "q",
    "k",
    "v",
    "z",
    "attn_out",
    "resid_mid",
    "mlp_act",
    "mlp_out",
    "resid_post",
)
"""Within a block, about in the order in which they are computed."""

EMBED = "embed"
FINAL_NORM = "final_norm"

_IN_BLOCK = re.compile(rf"layers\.(0|[1-9]\d*)\.({'|'.join(BLOCK_KINDS)})")


@dataclass(frozen=True)
class HookPoint:
    """A place in the decoder.

    ``layer`` is the block, None for ``embed`` and ``final_norm``; ``kind`` is the last part of the
    name.
    """

    layer: int | None
    kind: str

    @classmethod
    def parse(cls, name: str) -> HookPoint:
        """Read a name such as ``layers.6.resid_post``.

        Raises
        ------
        ValueError
            When it is no hook point.
        """
        if name in (EMBED, FINAL_NORM):
            return cls(None, name)
        match = _IN_BLOCK.fullmatch(name)
        if match is None:
            raise ValueError(
                f"{name!r} is no hook point; they read layers.N.resid_post, with another of "
                f"{', '.join(BLOCK_KINDS)} in its place, or {EMBED}, or {FINAL_NORM}"
            )
        return cls(int(match.group(1)), match.group(2))

    @property
    def name(self) -> str:
        return self.kind if self.layer is None else f"layers.{self.layer}.{self.kind}"


def layer_of(hook_point: str) -> int | None:
    """Return the block of a hook point such as ``layers.6.resid_post``; None outside the blocks.

    Raises
    ------
    ValueError
        When it is no hook point.
    """
    return HookPoint.parse(hook_point).layer

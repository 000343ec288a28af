"""The shape of a decoder, read from ``config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DecoderShape:
    """What decides a decoder's bytes. Widths in elements, lengths in tokens.

    ``gated`` says whether the MLP multiplies by a gate (Llama, Mistral), so has three matrices.
    """

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocab: int
    context: int
    gated: bool

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> DecoderShape:
        """Read the shape, under GPT-2's names or Llama's.

        Raises
        ------
        KeyError
            Naming the first field that is missing.
        """
        hidden = _first(config, "hidden_size", "n_embd")
        heads = _first(config, "num_attention_heads", "n_head")
        gated = "intermediate_size" in config
        return cls(
            hidden=hidden,
            layers=_first(config, "num_hidden_layers", "n_layer"),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            intermediate=int(
                config.get("intermediate_size") or config.get("n_inner") or 4 * hidden
            ),
            vocab=_first(config, "vocab_size"),
            context=_first(config, "max_position_embeddings", "n_positions", "n_ctx"),
            gated=gated,
        )

    @property
    def block_parameters(self) -> int:
        """Matrix elements of one block; norms and biases are below a thousandth of them."""
        kv = self.hidden * self.kv_heads // self.heads
        attention = 2 * self.hidden * self.hidden + 2 * self.hidden * kv
        mlp = (3 if self.gated else 2) * self.hidden * self.intermediate
        return attention + mlp


def _first(config: Mapping[str, Any], *names: str) -> int:
    for name in names:
        if config.get(name) is not None:
            return int(config[name])
    raise KeyError(names[0])

"""Where transformers' own modules show each hook point, family by family, by name.

The engine finds the same places by what modules do; these names are what it is compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

Split = Callable[[torch.Tensor, Any], torch.Tensor]


@dataclass(frozen=True)
class Place:
    """A module of the block, by name, and which of its tensors: what goes ``in`` or comes out."""

    path: str
    side: str = "out"
    split: Split | None = None


def _thirds(index: int) -> Split:
    """GPT-2: all queries, all keys, all values."""
    return lambda x, _: x.chunk(3, dim=-1)[index]


def _by_head(index: int) -> Split:
    """GPT-NeoX and BLOOM: for each head its query, key and value."""

    def split(x: torch.Tensor, config: Any) -> torch.Tensor:
        heads = config.num_attention_heads
        return x.view(*x.shape[:-1], heads, 3, -1)[..., index, :].flatten(-2)

    return split


def _shared(index: int) -> Split:
    """Falcon with one key head, and Phi 3: all queries, then the keys, then the values."""

    def split(x: torch.Tensor, config: Any) -> torch.Tensor:
        heads = config.num_attention_heads
        one = config.model_type == "falcon"
        keys = 1 if one else config.num_key_value_heads
        width = x.shape[-1] // (heads + 2 * keys)
        return x.split([heads * width, keys * width, keys * width], dim=-1)[index]

    return split


def _fused(path: str, split: Callable[[int], Split]) -> dict[str, Place]:
    return {kind: Place(path, "out", split(i)) for i, kind in enumerate("qkv")}


def _each(path: str, names: str = "{}_proj") -> dict[str, Place]:
    return {kind: Place(f"{path}.{names.format(kind)}") for kind in "qkv"}


def _places(
    z: str, mlp: str, queries: Mapping[str, Place], mid: Place | None = None, **others: Place
) -> dict[str, Place]:
    found = {
        "resid_pre": Place("", "in"),
        "resid_post": Place(""),
        "z": Place(z, "in"),
        "attn_out": Place(z),
        "mlp_act": Place(mlp, "in"),
        "mlp_out": Place(mlp),
        **queries,
        **others,
    }
    return found if mid is None else {**found, "resid_mid": mid}


_LLAMA = _places(
    "self_attn.o_proj",
    "mlp.down_proj",
    _each("self_attn"),
    Place("post_attention_layernorm", "in"),
)
_GEMMA = _places(
    "self_attn.o_proj",
    "mlp.down_proj",
    _each("self_attn"),
    Place("pre_feedforward_layernorm", "in"),
    attn_out=Place("post_attention_layernorm"),
    mlp_out=Place("post_feedforward_layernorm"),
)
_MIXTRAL = {
    **{kind: place for kind, place in _LLAMA.items() if kind != "mlp_act"},
    "mlp_out": Place("mlp"),
}
PLACES: dict[str, dict[str, Place]] = {
    "bloom": _places(
        "self_attention.dense",
        "mlp.dense_4h_to_h",
        _fused("self_attention.query_key_value", _by_head),
        Place("post_attention_layernorm", "in"),
    ),
    "falcon": _places(
        "self_attention.dense",
        "mlp.dense_4h_to_h",
        _fused("self_attention.query_key_value", _shared),
    ),
    "gemma2": _GEMMA,
    "gemma3_text": _GEMMA,
    "gpt2": _places(
        "attn.c_proj", "mlp.c_proj", _fused("attn.c_attn", _thirds), Place("ln_2", "in")
    ),
    "gpt_neo": _places(
        "attn.attention.out_proj", "mlp.c_proj", _each("attn.attention"), Place("ln_2", "in")
    ),
    "gpt_neox": _places(
        "attention.dense", "mlp.dense_4h_to_h", _fused("attention.query_key_value", _by_head)
    ),
    "gptj": _places("attn.out_proj", "mlp.fc_out", _each("attn")),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "mixtral": _MIXTRAL,
    "olmo2": _places(
        "self_attn.o_proj",
        "mlp.down_proj",
        _each("self_attn"),
        Place("mlp", "in"),
        attn_out=Place("post_attention_layernorm"),
        mlp_out=Place("post_feedforward_layernorm"),
    ),
    "opt": _places(
        "self_attn.out_proj", "fc2", _each("self_attn"), Place("final_layer_norm", "in")
    ),
    "phi": _places("self_attn.dense", "mlp.fc2", _each("self_attn")),
    "phi3": _places(
        "self_attn.o_proj",
        "mlp.down_proj",
        _fused("self_attn.qkv_proj", _shared),
        Place("post_attention_layernorm", "in"),
    ),
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
}
"""By family and kind; a kind that is not here is none of the family's."""

EMBED = {
    "bloom": "word_embeddings",
    "falcon": "word_embeddings",
    "gpt2": "wte",
    "gpt_neo": "wte",
    "gpt_neox": "embed_in",
    "gptj": "wte",
    "opt": "decoder.embed_tokens",
}
"""The token embedding, where it is not ``embed_tokens``."""


def points_of(family: str, layers: int) -> list[str]:
    """Return the names of a family's hook points."""
    inside = [f"layers.{n}.{kind}" for n in range(layers) for kind in PLACES[family]]
    return ["embed", *inside, "final_norm"]

"""How each family names its dimensions, and which parameters its blocks have.

Every line is read off the family's module and configuration class in transformers 5; the tests
count each family's parameters there, on the meta device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Flag = bool | str
"""Yes or no, or the name of the config's own yes or no."""


@dataclass(frozen=True)
class Family:
    """A causal language model family.

    Attributes
    ----------
    names
        The config's name of a dimension where it is not Llama's.
    defaults
        What the configuration class takes where ``config.json`` says nothing.
    gated
        Whether the MLP multiplies by a gate, so has three matrices.
    fused_qkv, fused_gate
        Whether queries, keys and values, and the gate with what it gates, are one matrix.
    qkv_bias, out_bias, mlp_bias, head_bias
        Which linear layers have a bias.
    norms, norm_bias
        Norms of a block of the model's width, and whether they shift as well as scale.
    qk_norm
        Norms of queries and keys: ``head``, one of a head's width; ``width``, of all heads';
        ``phi``, of a head's width with a shift and only where the config says so; or empty.
    positions
        Learned positions beyond the context; None where positions are computed.
    embedding_norm
        Whether a norm follows the embedding.
    rotaries
        How many tables of rotary frequencies there are.
    padded
        Whether samples of a batch lie beside each other, padded to the longest, because the
        family's attention is its own code.
    scores
        Bytes for each query-key pair of a head that the family's attention holds at its peak,
        computing in float32 and in half precision; (0, 0) where a fused kernel holds none.
    experts
        Whether the MLPs are experts in fused tensors, which bitsandbytes cannot quantise.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    gated: bool = True
    fused_qkv: bool = False
    fused_gate: bool = False
    qkv_bias: Flag = False
    out_bias: Flag = False
    mlp_bias: Flag = False
    head_bias: bool = False
    norms: int = 2
    norm_bias: bool = False
    qk_norm: str = ""
    positions: int | None = None
    embedding_norm: bool = False
    rotaries: int = 1
    padded: bool = False
    scores: tuple[int, int] = (0, 0)
    experts: bool = False


_GPT = {
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "intermediate_size": "n_inner",
    "max_position_embeddings": "n_positions",
}
_SHIFTED: dict[str, Any] = {"gated": False, "norm_bias": True, "mlp_bias": True}
_GEMMA = {"tie_word_embeddings": True, "head_dim": 256}

FAMILIES: dict[str, Family] = {
    "bloom": Family(
        names={
            "hidden_size": "n_embed",
            "num_hidden_layers": "n_layer",
            "num_attention_heads": "n_head",
            "max_position_embeddings": "seq_length",
        },
        # BigScience, BLOOM, 2022, table 3: the sequence length of training; ALiBi has no limit.
        defaults={"tie_word_embeddings": True, "max_position_embeddings": 2048},
        fused_qkv=True,
        qkv_bias=True,
        out_bias=True,
        embedding_norm=True,
        rotaries=0,
        padded=True,
        scores=(12, 12),
        **_SHIFTED,
    ),
    "falcon": Family(
        defaults={
            "tie_word_embeddings": True,
            "multi_query": True,
            "parallel_attn": True,
            "max_position_embeddings": 2048,
        },
        gated=False,
        fused_qkv=True,
        qkv_bias="bias",
        out_bias="bias",
        mlp_bias="bias",
        norm_bias=True,
        padded=True,
    ),
    "gemma2": Family(
        defaults={**_GEMMA, "num_attention_heads": 8, "num_key_value_heads": 4},
        qkv_bias="attention_bias",
        out_bias="attention_bias",
        norms=4,
        scores=(8, 10),
    ),
    "gemma3_text": Family(
        defaults={
            **_GEMMA,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "vocab_size": 262_208,
            "max_position_embeddings": 131_072,
        },
        qkv_bias="attention_bias",
        out_bias="attention_bias",
        norms=4,
        qk_norm="head",
        rotaries=2,
    ),
    "gpt2": Family(
        names=_GPT,
        defaults={"tie_word_embeddings": True},
        fused_qkv=True,
        qkv_bias=True,
        out_bias=True,
        positions=0,
        rotaries=0,
        **_SHIFTED,
    ),
    "gpt_neo": Family(
        names={"num_hidden_layers": "num_layers", "num_attention_heads": "num_heads"},
        defaults={"tie_word_embeddings": True},
        out_bias=True,
        positions=0,
        rotaries=0,
        padded=True,
        scores=(10, 10),
        **_SHIFTED,
    ),
    "gpt_neox": Family(
        defaults={"attention_bias": True},
        fused_qkv=True,
        qkv_bias="attention_bias",
        out_bias="attention_bias",
        **_SHIFTED,
    ),
    "gptj": Family(
        names=_GPT,
        head_bias=True,
        norms=1,
        rotaries=0,
        padded=True,
        scores=(10, 10),
        **_SHIFTED,
    ),
    "llama": Family(qkv_bias="attention_bias", out_bias="attention_bias", mlp_bias="mlp_bias"),
    "mistral": Family(defaults={"num_key_value_heads": 8}),
    "mixtral": Family(defaults={"num_key_value_heads": 8, "num_local_experts": 8}, experts=True),
    "olmo2": Family(qkv_bias="attention_bias", out_bias="attention_bias", qk_norm="width"),
    "opt": Family(
        names={"intermediate_size": "ffn_dim"},
        defaults={"tie_word_embeddings": True},
        gated=False,
        qkv_bias="enable_bias",
        out_bias="enable_bias",
        mlp_bias="enable_bias",
        norm_bias=True,
        positions=2,
        rotaries=0,
    ),
    "phi": Family(qkv_bias=True, out_bias=True, head_bias=True, norms=1, qk_norm="phi", **_SHIFTED),
    "phi3": Family(fused_qkv=True, fused_gate=True),
    "qwen2": Family(defaults={"num_key_value_heads": 32}, qkv_bias=True),
    "qwen3": Family(
        defaults={"num_key_value_heads": 32, "head_dim": 128},
        qkv_bias="attention_bias",
        out_bias="attention_bias",
        qk_norm="head",
    ),
}
"""Every family whose bytes are known, by ``model_type``."""

_TRUE_BY_DEFAULT = frozenset({"enable_bias"})


class UnknownFamily(LookupError):
    """There is no such family in :data:`FAMILIES`; the message is its ``model_type``."""


@dataclass(frozen=True)
class Fields:
    """A ``config.json`` under one set of names."""

    model_type: str
    family: Family
    config: Mapping[str, Any]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Fields:
        """Find the family; without a ``model_type`` GPT-2's names tell it from Llama's.

        Gemma 3 with vision keeps its language model under ``text_config``.

        Raises
        ------
        UnknownFamily
            Naming the ``model_type``.
        """
        inner = config.get("text_config")
        if config.get("model_type") == "gemma3" and isinstance(inner, Mapping):
            config = {**inner, "model_type": "gemma3_text"}
        told = config.get("model_type")
        name = str(told) if told else ("gpt2" if "n_embd" in config else "llama")
        if name not in FAMILIES:
            raise UnknownFamily(name)
        return cls(name, FAMILIES[name], config)

    def number(self, name: str, default: int | None = None) -> int:
        """Return a dimension by Llama's name for it.

        Raises
        ------
        KeyError
            Naming it, when the config lacks it and the family has no default.
        ValueError
            When it is no positive number.
        """
        value = self.get(name)
        if value is None:
            value = default
        if value is None:
            raise KeyError(self.family.names.get(name, name))
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{self.family.names.get(name, name)} is no positive number")
        return value

    def flag(self, which: Flag) -> bool:
        """Return a yes or no of the family, or of the config by its name."""
        if isinstance(which, bool):
            return which
        value = self.get(which)
        return which in _TRUE_BY_DEFAULT if value is None else bool(value)

    def get(self, name: str) -> Any:
        """Return a value by Llama's name for it, else the family's default, else None."""
        for key in (self.family.names.get(name, name), name):
            if self.config.get(key) is not None:
                return self.config[key]
        return self.family.defaults.get(name)

"""The tensors that each family's decoder needs, by name, from its config alone.

Read from the classes of transformers 5; a test builds every family and compares. So a checkpoint
that lacks a tensor is refused from its headers, before a byte of it is moved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Config = Mapping[str, Any]

HEADS = ("lm_head.weight", "lm_head.bias", "embed_out.weight")
"""Of the language-model head, which no capture runs; tied ones are often not stored."""

STORED_BUFFERS = (".attn.bias", ".masked_bias", ".attention.bias", ".inv_freq", ".attn_bias")
"""Endings of buffers that older versions of transformers stored and newer ones compute."""


@dataclass(frozen=True)
class Blueprint:
    """Names in a family's checkpoint.

    Attributes
    ----------
    prefix
        What stands before each name in a checkpoint that was saved with its head.
    blocks
        What stands before a block's number.
    embedding
        The input embedding, ``[vocab_size, hidden_size]``.
    beside
        Names outside the blocks, without the embedding.
    block
        From the config to the names in each block.
    """

    prefix: str
    blocks: str
    embedding: str
    beside: Callable[[Config], list[str]]
    block: Callable[[Config], list[str]]


def weights(*layers: str) -> list[str]:
    return [f"{layer}.weight" for layer in layers]


def biases(*layers: str) -> list[str]:
    return [f"{layer}.bias" for layer in layers]


def both(*layers: str) -> list[str]:
    return weights(*layers) + biases(*layers)


def _always(names: list[str]) -> Callable[[Config], list[str]]:
    return lambda config: names


_QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
_QKVO = (*_QKV, "self_attn.o_proj")
_GATED = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
_NORMS = ("input_layernorm", "post_attention_layernorm")
_QK_NORMS = ("self_attn.q_norm", "self_attn.k_norm")
_AROUND = (*_NORMS, "pre_feedforward_layernorm", "post_feedforward_layernorm")
_WIDE = ("mlp.dense_h_to_4h", "mlp.dense_4h_to_h")
_QKV_DENSE = ("self_attention.query_key_value", "self_attention.dense")


def _llama_like(*layers: str, biased: tuple[str, ...] = ()) -> Blueprint:
    """Return the blueprint of what descends from LLaMA; ``biased`` layers always have a bias."""

    def block(config: Config) -> list[str]:
        found = weights(*layers) + biases(*biased)
        if config.get("attention_bias") and not biased:
            found += biases(*_QKVO)
        return found + (biases(*_GATED) if config.get("mlp_bias") else [])

    return Blueprint("model", "layers", "embed_tokens.weight", _always(["norm.weight"]), block)


def _gpt2(beside: list[str], *layers: str) -> Blueprint:
    names = both("ln_1", "ln_2", "mlp.c_fc", "mlp.c_proj", *layers)
    return Blueprint(
        "transformer",
        "h",
        "wte.weight",
        _always(beside + both("ln_f")),
        _always(names),
    )


def _gpt_neo() -> Blueprint:
    base = _gpt2(["wpe.weight"])
    attention = [f"attn.attention.{name}" for name in ("q_proj", "k_proj", "v_proj", "out_proj")]
    names = base.block({}) + weights(*attention) + ["attn.attention.out_proj.bias"]
    return Blueprint("transformer", "h", "wte.weight", base.beside, _always(names))


def _gptj_block(config: Config) -> list[str]:
    attention = [f"attn.{name}" for name in ("q_proj", "k_proj", "v_proj", "out_proj")]
    return both("ln_1", "mlp.fc_in", "mlp.fc_out") + weights(*attention)


def _gpt_neox_block(config: Config) -> list[str]:
    attention = ("attention.query_key_value", "attention.dense")
    found = both(*_NORMS, *_WIDE) + weights(*attention)
    return found + (biases(*attention) if config.get("attention_bias", True) else [])


def _falcon_block(config: Config) -> list[str]:
    linear = (*_QKV_DENSE, *_WIDE)
    found = both(*linear) if config.get("bias") else weights(*linear)
    if not config.get("parallel_attn", True):
        return found + both(*_NORMS)
    # Falcon-7B's config says none of this; Falcon-40B's has two norms beside each other.
    norms = config.get("num_ln_in_parallel_attn")
    if norms is None and config.get("new_decoder_architecture"):
        norms = 2
    return found + (both("ln_attn", "ln_mlp") if norms == 2 else both("input_layernorm"))


def _opt_beside(config: Config) -> list[str]:
    found = ["decoder.embed_positions.weight"]
    if config.get("word_embed_proj_dim", config.get("hidden_size")) != config.get("hidden_size"):
        found += weights("decoder.project_in", "decoder.project_out")
    final = config.get("do_layer_norm_before", True) and not config.get("_remove_final_layer_norm")
    return found + (both("decoder.final_layer_norm") if final and _opt_affine(config) else [])


def _opt_affine(config: Config) -> bool:
    return bool(config.get("layer_norm_elementwise_affine", True))


def _opt_block(config: Config) -> list[str]:
    linear = (*_QKV, "self_attn.out_proj", "fc1", "fc2")
    found = both(*linear) if config.get("enable_bias", True) else weights(*linear)
    return found + (both("self_attn_layer_norm", "final_layer_norm") if _opt_affine(config) else [])


def _phi_block(config: Config) -> list[str]:
    found = both(*_QKV, "self_attn.dense", "mlp.fc1", "mlp.fc2", "input_layernorm")
    norms = ("self_attn.q_layernorm", "self_attn.k_layernorm")
    return found + (both(*norms) if config.get("qk_layernorm") else [])


def _mixtral_block(config: Config) -> list[str]:
    experts = range(int(config.get("num_local_experts", 8)))
    moe = "block_sparse_moe"
    found = [f"{moe}.experts.{n}.w{k}" for n in experts for k in (1, 2, 3)]
    return weights(*_QKVO, *_NORMS, f"{moe}.gate", *found)


BLUEPRINTS: dict[str, Blueprint] = {
    "bloom": Blueprint(
        "transformer",
        "h",
        "word_embeddings.weight",
        _always(both("word_embeddings_layernorm", "ln_f")),
        _always(both(*_NORMS, *_QKV_DENSE, *_WIDE)),
    ),
    "falcon": Blueprint(
        "transformer", "h", "word_embeddings.weight", _always(both("ln_f")), _falcon_block
    ),
    "gemma2": _llama_like(*_QKVO, *_GATED, *_AROUND),
    "gemma3_text": _llama_like(*_QKVO, *_GATED, *_AROUND, *_QK_NORMS),
    "gpt2": _gpt2(["wpe.weight"], "attn.c_attn", "attn.c_proj"),
    "gpt_neo": _gpt_neo(),
    "gpt_neox": Blueprint(
        "gpt_neox",
        "layers",
        "embed_in.weight",
        _always(both("final_layer_norm")),
        _gpt_neox_block,
    ),
    "gptj": Blueprint("transformer", "h", "wte.weight", _always(both("ln_f")), _gptj_block),
    "llama": _llama_like(*_QKVO, *_GATED, *_NORMS),
    "mistral": _llama_like(*_QKVO, *_GATED, *_NORMS),
    "mixtral": Blueprint(
        "model", "layers", "embed_tokens.weight", _always(["norm.weight"]), _mixtral_block
    ),
    "olmo2": _llama_like(
        *_QKVO, *_GATED, *_QK_NORMS, "post_attention_layernorm", "post_feedforward_layernorm"
    ),
    "opt": Blueprint(
        "model", "decoder.layers", "decoder.embed_tokens.weight", _opt_beside, _opt_block
    ),
    "phi": Blueprint(
        "model", "layers", "embed_tokens.weight", _always(both("final_layernorm")), _phi_block
    ),
    "phi3": _llama_like(
        "self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj", *_NORMS
    ),
    "qwen2": _llama_like(*_QKVO, *_GATED, *_NORMS, biased=_QKV),
    "qwen3": _llama_like(*_QKVO, *_GATED, *_NORMS, *_QK_NORMS),
}
"""By ``model_type``: every family of :mod:`.families`."""

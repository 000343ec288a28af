"""The arithmetic, checked by hand."""

from __future__ import annotations

import pytest

from mistudio_footprint import DecoderShape, forward_bytes_per_token, token_budget, weight_bytes
from mistudio_footprint.budget import CPU_TOKENS, DEVICE_TOKENS, LEAST_TOKENS

GPT2 = {"n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "vocab_size": 50257}
LLAMA_7B = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "intermediate_size": 11008,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
}
GIB = 1024**3


def test_gpt2_names_and_llama_names_are_read_alike() -> None:
    gpt2, llama = DecoderShape.from_config(GPT2), DecoderShape.from_config(LLAMA_7B)
    assert (gpt2.hidden, gpt2.layers, gpt2.intermediate, gpt2.gated) == (768, 12, 3072, False)
    assert (llama.hidden, llama.kv_heads, llama.context, llama.gated) == (4096, 32, 4096, True)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(KeyError, match="vocab_size"):
        DecoderShape.from_config({k: v for k, v in GPT2.items() if k != "vocab_size"})


def test_gpt2_small_has_85_million_block_parameters() -> None:
    assert 12 * DecoderShape.from_config(GPT2).block_parameters == 12 * 12 * 768 * 768


def test_llama_7b_in_fp16_is_12_gib() -> None:
    assert weight_bytes(DecoderShape.from_config(LLAMA_7B), 2) / GIB == pytest.approx(12.3, abs=0.1)


def test_grouped_keys_cost_less() -> None:
    grouped = DecoderShape.from_config({**LLAMA_7B, "num_key_value_heads": 8})
    saved = DecoderShape.from_config(LLAMA_7B).block_parameters - grouped.block_parameters
    assert saved == 2 * 4096 * 4096 * 3 // 4


def test_a_token_of_llama_7b_costs_its_widest_moment() -> None:
    shape = DecoderShape.from_config(LLAMA_7B)
    alive = 2 * 4096 + 3 * 11008 + 2 * 4096
    assert forward_bytes_per_token(shape, 3 * 4096, 2, 2) == 2 * alive + 2 * 3 * 4096 * 2


def test_with_room_the_device_decides_the_batch() -> None:
    shape = DecoderShape.from_config(GPT2)
    assert token_budget(shape, 4 * GIB, "cpu") == CPU_TOKENS
    assert token_budget(shape, 4 * GIB, "cuda") == DEVICE_TOKENS


def test_without_room_the_bytes_decide() -> None:
    shape = DecoderShape.from_config(LLAMA_7B)
    each = forward_bytes_per_token(shape, shape.hidden, 2, 2)
    assert token_budget(shape, 500 * each, "cuda", compute_bytes=2, store_bytes=2) == 500
    assert token_budget(shape, 0, "cuda") == LEAST_TOKENS

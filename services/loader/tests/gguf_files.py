"""Writes a tiny model of transformers as GGUF, as llama.cpp's converter does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import load_file


def write_gguf(source: Path, target: Path, kind: str = "F32", **values: Any) -> Path:
    """Write a checkpoint of the families ``llama``, ``qwen2`` or ``qwen3`` at ``target``.

    Parameters
    ----------
    kind
        Of the matrices, a name of ``gguf.GGMLQuantizationType``.
    **values
        Strings that are added to the header, with ``__`` for each dot.
    """
    config = json.loads((source / "config.json").read_text())
    family, heads = config["model_type"], config["num_attention_heads"]
    writer = gguf.GGUFWriter(target, family)
    writer.add_name("tiny")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(config["vocab_size"])
    if family == "llama":
        writer.add_rope_dimension_count(config["head_dim"])
    for key, value in values.items():
        writer.add_string(key.replace("__", "."), value)
    _add_tokenizer(writer, json.loads((source / "tokenizer.json").read_text()))
    _add_tensors(writer, source, config, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def _add_tokenizer(writer: Any, tokenizer: Any) -> None:
    vocab = tokenizer["model"]["vocab"]
    tokens = sorted(vocab, key=lambda token: vocab[token])
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    special = {entry["content"] for entry in tokenizer["added_tokens"]}
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)


def _add_tensors(writer: Any, source: Path, config: Any, kind: str) -> None:
    arch = next(a for a, name in gguf.MODEL_ARCH_NAMES.items() if name == config["model_type"])
    names = gguf.get_tensor_name_map(arch, config["num_hidden_layers"])
    wanted = gguf.GGMLQuantizationType[kind]
    for name, values in load_file(source / "model.safetensors").items():
        stem, _, suffix = name.rpartition(".")
        if config["model_type"] == "llama" and stem.endswith(("q_proj", "k_proj")):
            key = "num_attention_heads" if stem.endswith("q_proj") else "num_key_value_heads"
            values = _permuted(values, config[key])
        used = wanted if values.ndim > 1 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(
            f"{names.get_name(stem)}.{suffix}",
            gguf.quants.quantize(np.ascontiguousarray(values), used),
            raw_dtype=used,
        )


def _permuted(values: Any, heads: int) -> Any:
    """Reorder rows for llama.cpp's rotary embedding; source: its convert_hf_to_gguf.py."""
    rows = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return rows.swapaxes(1, 2).reshape(values.shape)

"""Tiny random-weight models and tokenizers, made from configs, for tests without a hub.

torch and transformers are imported when a model is made, not with this module.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_LLAMA: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "max_position_embeddings": 256,
}
_PLAIN = {name: value for name, value in _LLAMA.items() if name != "num_key_value_heads"}
_LOCAL = ["sliding_attention", "full_attention"] * 2

TINY: dict[str, dict[str, Any]] = {
    "bloom": {"hidden_size": 64, "n_layer": 4, "n_head": 4},
    "falcon": {
        "hidden_size": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "max_position_embeddings": 256,
    },
    "gemma2": {**_LLAMA, "head_dim": 32, "sliding_window": 32, "layer_types": _LOCAL},
    "gemma3_text": {**_LLAMA, "head_dim": 32, "sliding_window": 32, "layer_types": _LOCAL},
    "gpt2": {"n_embd": 64, "n_layer": 4, "n_head": 4, "n_positions": 256},
    "gpt_neo": {
        "hidden_size": 64,
        "num_layers": 4,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 2]],
        "window_size": 32,
        "max_position_embeddings": 256,
    },
    "gpt_neox": _PLAIN,
    "gptj": {"n_embd": 64, "n_layer": 4, "n_head": 4, "n_positions": 256, "rotary_dim": 8},
    "llama": _LLAMA,
    "mistral": {**_LLAMA, "sliding_window": 32},
    "mixtral": {**_LLAMA, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None},
    "olmo2": _LLAMA,
    "opt": {
        "hidden_size": 64,
        "word_embed_proj_dim": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "ffn_dim": 128,
        "max_position_embeddings": 256,
    },
    "phi": _LLAMA,
    "phi3": {**_LLAMA, "pad_token_id": 0},
    "qwen2": _LLAMA,
    "qwen3": {**_LLAMA, "head_dim": 32},
}
"""Config overrides of each family; four layers of width 64."""

CORPUS: tuple[str, ...] = (
    "The residual stream carries what every block has added so far.",
    "A hook point names a tensor inside the model.",
    "Attention moves information between positions; the MLP works within one.",
    "Nothing half-written is ever visible.",
    "one two three four five six seven eight nine ten",
)


def make_tokenizer(path: Path, vocab_size: int = 512) -> None:
    """Train a byte-level BPE tokenizer on a few sentences and save it at ``path``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    )
    fast.save_pretrained(path)


def make_model(path: Path, family: str = "gpt2", *, seed: int = 0, **overrides: Any) -> Path:
    """Save a random-weight causal LM with a tokenizer at ``path`` and return it.

    Parameters
    ----------
    path
        The directory to make; parents are created.
    family
        One of :data:`TINY`.
    seed
        Of torch's generator; the same seed makes the same weights.
    **overrides
        Config fields over :data:`TINY`'s.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    path.mkdir(parents=True, exist_ok=True)
    settings = {"vocab_size": 512, "bos_token_id": 0, "eos_token_id": 0, **TINY[family]}
    settings.update(overrides)
    config = AutoConfig.for_model(family, **settings)
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    finally:
        torch.random.set_rng_state(state)
    model.save_pretrained(path)
    make_tokenizer(path)
    return path


def ragged_texts(count: int, *, seed: int = 0, longest: int = 60) -> list[str]:
    """Return ``count`` deterministic texts of 1 to ``longest`` words."""
    import random

    rng = random.Random(seed)
    words = " ".join(CORPUS).split()
    return [
        " ".join(rng.choice(words) for _ in range(1 + int(longest * rng.random() ** 2)))
        for _ in range(count)
    ]


def write_jsonl(path: Path, texts: list[str], column: str = "text") -> Path:
    """Write one object a line and return the path."""
    lines = (json.dumps({column: text}) for text in texts)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path

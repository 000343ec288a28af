"""What every contender captures: one model and two sets of samples.

*ragged* samples are as long as texts are, log-normal from 8 to 256 tokens; *uniform* ones fill the
model's context.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SETS = ("ragged", "uniform")

SAMPLES = 64
SHORTEST, LONGEST = 8, 256
MEAN_TOKENS, SIGMA = 64, 0.8
"""Of the log-normal distribution of lengths, before they are clipped."""

FULL, CONTEXT = 4, 1024
"""Samples of the uniform set, and the tokens of each."""

VOCAB, WIDTH, LAYERS = 50257, 768, 12
CAPTURED = (0, 6, 11)
POINTS = tuple(f"layers.{n}.resid_post" for n in CAPTURED)
THREADS = 2
MODEL = "gpt2"
"""Its directory: TransformerLens knows models by name, and looks here first."""


def make(home: Path) -> None:
    """Save the model, with a tokenizer of one word a token, and both sets of samples."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    # The checkpoint on the hub has n_ctx, which TransformerLens reads and transformers no longer.
    config = AutoConfig.for_model("gpt2", n_ctx=CONTEXT)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.save_pretrained(home / MODEL)
    words = Tokenizer(models.WordLevel({f"t{i}": i for i in range(VOCAB)}, unk_token="t0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    last = f"t{VOCAB - 1}"
    names = {"bos_token": last, "eos_token": last, "pad_token": last, "unk_token": "t0"}
    PreTrainedTokenizerFast(tokenizer_object=words, **names).save_pretrained(home / MODEL)
    rng = np.random.default_rng(0)
    ragged = rng.lognormal(np.log(MEAN_TOKENS) - SIGMA**2 / 2, SIGMA, SAMPLES)
    lengths = np.clip(ragged.astype(np.int64), SHORTEST, LONGEST)
    for name, each in (("ragged", lengths), ("uniform", np.full(FULL, CONTEXT))):
        offsets = np.concatenate([[0], np.cumsum(each)]).astype(np.int64)
        ids = rng.integers(0, VOCAB, int(offsets[-1])).astype(np.int32)
        (home / name).mkdir()
        np.save(home / name / "offsets.npy", offsets)
        np.save(home / name / "ids.npy", ids)
        with (home / name / "samples.jsonl").open("w", encoding="utf-8") as file:
            for start, end in pairwise(offsets.tolist()):
                file.write(json.dumps({"input_ids": ids[start:end].tolist()}) + "\n")


def load(home: Path, name: str) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return a set's ids int32 ``[tokens]`` and offsets int64 ``[samples + 1]``."""
    ids, offsets = (np.load(home / name / f"{each}.npy") for each in ("ids", "offsets"))
    return ids, offsets


def samples(home: Path, name: str) -> list[Any]:
    """Return a set's samples as int64 tensors."""
    import torch

    ids, offsets = load(home, name)
    return [torch.from_numpy(ids[a:b].astype(np.int64)) for a, b in pairwise(offsets.tolist())]


def forward_operations(home: Path, name: str) -> float:
    """Return the additions and multiplications of a pass over a set, head and norms left out.

    Two for each weight of a block and token, and four for each element of the width, and pair of
    tokens of which one sees the other: scores, and what they weigh.
    """
    _, offsets = load(home, name)
    lengths = np.diff(offsets).astype(np.float64)
    linear = 2 * 12 * WIDTH**2 * lengths.sum()
    attention = 4 * WIDTH * (lengths * (lengths + 1) / 2).sum()
    return float(LAYERS * (linear + attention))

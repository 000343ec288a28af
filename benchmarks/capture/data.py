"""What every contender captures: one model and sets of samples, as a benchmark sets them up.

Imports nothing of ours at the top, since the others' environments read it too.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MODEL = "gpt2"
"""The model's directory: TransformerLens knows models by name, and looks here first."""

_SETTING = "setting.json"


@dataclass(frozen=True)
class Setting:
    """One model on one device.

    Attributes
    ----------
    family, shape
        Of transformers' configuration; weights are random.
    width, layers, vocab, context
        Of the model, whatever the family calls them.
    captured
        Layers of which ``resid_post`` is kept.
    dtype
        Of weights, forward pass and store.
    device
        ``cpu`` or ``cuda``.
    threads
        Of each contender.
    batch
        Samples of a padded batch.
    shard_tokens
        Tokens of a shard of the store.
    """

    family: str
    shape: dict[str, Any]
    width: int
    layers: int
    vocab: int
    context: int
    captured: tuple[int, ...]
    dtype: str = "float32"
    device: str = "cpu"
    threads: int = 2
    batch: int = 32
    shard_tokens: int = 65_536
    points: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        points = tuple(f"layers.{n}.resid_post" for n in self.captured)
        object.__setattr__(self, "points", points)

    @classmethod
    def of(cls, home: Path) -> Setting:
        """Read what :func:`make` wrote."""
        fields = json.loads((home / _SETTING).read_text(encoding="utf-8"))
        del fields["points"]
        return cls(**{**fields, "captured": tuple(fields["captured"])})


def make(home: Path, setting: Setting, sets: dict[str, NDArray[np.int64]]) -> None:
    """Save the model, with a tokenizer of one word a token, and the sets of samples.

    Parameters
    ----------
    home
        Where to.
    setting
        Which model.
    sets
        By name the samples' lengths, int64 ``[samples]``.
    """
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()
    (home / _SETTING).write_text(json.dumps(asdict(setting)), encoding="utf-8")
    torch.manual_seed(0)
    config = AutoConfig.for_model(setting.family, **setting.shape)
    model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, setting.dtype))
    model.save_pretrained(home / MODEL)
    words = {f"t{i}": i for i in range(setting.vocab)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="t0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    last = f"t{setting.vocab - 1}"
    names = {"bos_token": last, "eos_token": last, "pad_token": last, "unk_token": "t0"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(home / MODEL)
    rng = np.random.default_rng(0)
    for name, lengths in sets.items():
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        ids = rng.integers(0, setting.vocab, int(offsets[-1])).astype(np.int32)
        (home / name).mkdir()
        np.save(home / name / "offsets.npy", offsets)
        np.save(home / name / "ids.npy", ids)
        with (home / name / "samples.jsonl").open("w", encoding="utf-8") as file:
            for start, end in pairwise(offsets.tolist()):
                file.write(json.dumps({"input_ids": ids[start:end].tolist()}) + "\n")


def ragged(samples: int, shortest: int, longest: int, mean: int = 64) -> NDArray[np.int64]:
    """Return lengths as texts have them: log-normal, sigma 0.8, int64 ``[samples]``."""
    sigma = 0.8
    drawn = np.random.default_rng(0).lognormal(np.log(mean) - sigma**2 / 2, sigma, samples)
    return np.clip(drawn.astype(np.int64), shortest, longest)


def load(home: Path, name: str) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return a set's ids int32 ``[tokens]`` and offsets int64 ``[samples + 1]``."""
    ids, offsets = (np.load(home / name / f"{each}.npy") for each in ("ids", "offsets"))
    return ids, offsets


def samples(home: Path, name: str) -> list[Any]:
    """Return a set's samples as int64 tensors."""
    import torch

    ids, offsets = load(home, name)
    return [torch.from_numpy(ids[a:b].astype(np.int64)) for a, b in pairwise(offsets.tolist())]

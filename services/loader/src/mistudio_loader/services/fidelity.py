"""The fidelity report of a preparation: a fixed text through the reference and what was made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mistudio_contracts.errors import InvalidInput
from mistudio_contracts.hooks import hook_point
from mistudio_contracts.values import Fidelity, LayerFidelity

if TYPE_CHECKING:
    import torch

PROBE_TOKENS = 128
"""Enough that the figures hold still, few enough that a CPU runs a large model over them."""

_TOKENIZER = "tokenizer.json"


def measure(
    config: Mapping[str, Any],
    source: Path,
    names: Sequence[str],
    artifact: Path,
    tell_done: Callable[[int, int], None],
) -> Fidelity:
    """Return how near a quantised artifact comes to its source.

    Parameters
    ----------
    config
        The source's ``config.json``.
    source, names
        Where its weight files lie, and which they are.
    artifact
        The directory with the quantised weights and the tokenizer.
    tell_done
        Called with the blocks that are done and their total.
    """
    from transformers import CONFIG_MAPPING

    from mistudio_capture import give_back_at_once
    from mistudio_capture.fidelity import compare
    from mistudio_capture.files import TensorFiles
    from mistudio_capture.structure import context_length

    # Weights come and go, and a heap that kept some would outgrow what the child may take.
    give_back_at_once()
    parsed = CONFIG_MAPPING[config["model_type"]].from_dict(dict(config))
    most = min(PROBE_TOKENS, context_length(parsed))
    tokens, speaks = probe_tokens(artifact, parsed.vocab_size, most)
    found = compare(parsed, TensorFiles(source, names), TensorFiles(artifact), tokens, tell_done)
    layers = [
        LayerFidelity(
            hook_point=hook_point(each.layer),
            cosine=each.cosine,
            relative_error=each.relative_error,
        )
        for each in found.layers
    ]
    if not speaks:
        return Fidelity(probe_tokens=len(tokens), layers=layers)
    return Fidelity(
        probe_tokens=len(tokens),
        layers=layers,
        reference_perplexity=found.reference_perplexity,
        perplexity=found.perplexity,
        perplexity_change=found.perplexity / found.reference_perplexity - 1,
    )


def probe_tokens(directory: Path, vocab_size: int, most: int) -> tuple[torch.Tensor, bool]:
    """Return int64 ``[tokens]``, and whether they are of a text.

    A checkpoint without ``tokenizer.json`` is given tokens drawn from its vocabulary, always the
    same: its layers can be compared, a perplexity would say nothing.

    Raises
    ------
    InvalidInput
        ``reason`` is ``corrupt_tokenizer``.
    """
    import torch

    text = files("mistudio_loader").joinpath("probe.txt").read_text(encoding="utf-8")
    if (directory / _TOKENIZER).exists():
        ids = [i for i in _encode(directory / _TOKENIZER, text) if i < vocab_size][:most]
        if len(ids) > 1:
            return torch.tensor(ids), True
    drawn = hashlib.shake_256(text.encode()).digest(4 * most)
    words = torch.frombuffer(bytearray(drawn), dtype=torch.int32).long()
    return words.remainder(vocab_size), False


def _encode(path: Path, text: str) -> list[int]:
    from tokenizers import Tokenizer

    try:
        ids: list[int] = Tokenizer.from_file(str(path)).encode(text).ids
    except Exception as error:
        raise InvalidInput(
            f"{path.name} cannot be read.",
            field="model_identifier",
            reason="corrupt_tokenizer",
            file=path.name,
            remedy="Copy or download the file again, or save it with a newer version.",
        ) from error
    return ids

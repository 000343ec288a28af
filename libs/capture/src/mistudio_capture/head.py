"""The language-model head over hidden states: only for perplexity, and never whole in memory."""

from __future__ import annotations

from typing import Any

import torch

from .errors import CaptureError
from .files import TensorFiles

HEADS = ("lm_head", "embed_out")
EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight")
ROWS = 8192
"""Vocabulary entries whose logits are made at a time."""


def next_token_loss(
    config: Any, files: TensorFiles, hidden: torch.Tensor, input_ids: torch.Tensor
) -> float:
    """Return the mean negative log-likelihood in nats of each token after the first.

    Parameters
    ----------
    config
        A transformers configuration.
    files
        The checkpoint; a tied head is its input embedding.
    hidden
        float32 ``[tokens, width]``, after the final norm.
    input_ids
        int64 ``[tokens]``, at least two.

    Raises
    ------
    CaptureError
        When the checkpoint has no head and no embedding.
    """
    weight_name, bias_name = _head(files)
    weight = files[weight_name].read()
    bias = files[bias_name].read().float() if bias_name else None
    cap = getattr(config, "final_logit_softcapping", None)
    states, wanted = hidden[:-1], input_ids[1:]
    total = torch.full((len(states),), float("-inf"))
    chosen = torch.empty(len(states))
    for start in range(0, len(weight), ROWS):
        logits = states @ weight[start : start + ROWS].float().T
        if bias is not None:
            logits += bias[start : start + ROWS]
        if cap is not None:
            logits = torch.tanh(logits / cap) * cap
        total = torch.logaddexp(total, logits.logsumexp(dim=1))
        here = (wanted >= start) & (wanted < start + logits.shape[1])
        chosen[here] = logits[here, wanted[here] - start]
    return float((total - chosen).mean())


def _head(files: TensorFiles) -> tuple[str, str | None]:
    for head in HEADS:
        if f"{head}.weight" in files:
            return f"{head}.weight", f"{head}.bias" if f"{head}.bias" in files else None
    for name in files:
        if name.endswith(EMBEDDINGS):
            return name, None
    raise CaptureError("the checkpoint has neither a language-model head nor an embedding")

"""The families whose captured values are proven equal to plain transformers."""

from __future__ import annotations

PACKED = (
    "gemma2",
    "gemma3_text",
    "gpt2",
    "gpt_neox",
    "llama",
    "mistral",
    "mixtral",
    "olmo2",
    "opt",
    "phi",
    "phi3",
    "qwen2",
    "qwen3",
)
"""Their attention goes through transformers' interface, so samples are packed end to end."""

PADDED = ("bloom", "falcon", "gpt_neo", "gptj")
"""Their attention is their own code, so samples of a batch lie beside each other, padded right."""

FAMILIES = tuple(sorted((*PACKED, *PADDED)))
"""``model_type`` of every family that is loaded."""

FUSED_EXPERTS = ("mixtral",)
"""All experts of a block lie in one tensor, which bitsandbytes does not quantise."""

"""The architectures this version prepares: the one list, and how each names its dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mistudio_contracts.errors import InvalidInput


@dataclass(frozen=True)
class Family:
    """A causal language model family.

    Attributes
    ----------
    model_type
        ``model_type`` of its ``config.json``.
    architecture
        The class that loads it, as named in ``architectures``.
    bases
        Architectures of the same weights without the language-model head.
    hidden_size, num_layers, context_length
        The config's names for the width, the number of blocks and the longest position.
    """

    model_type: str
    architecture: str
    bases: tuple[str, ...] = ()
    hidden_size: str = "hidden_size"
    num_layers: str = "num_hidden_layers"
    context_length: str = "max_position_embeddings"


FAMILIES: tuple[Family, ...] = (
    Family("bloom", "BloomForCausalLM", ("BloomModel",), "n_embed", "n_layer"),
    Family("falcon", "FalconForCausalLM", ("FalconModel",)),
    Family("gemma2", "Gemma2ForCausalLM", ("Gemma2Model",)),
    Family("gemma3_text", "Gemma3ForCausalLM", ("Gemma3TextModel",)),
    Family("gpt2", "GPT2LMHeadModel", ("GPT2Model",), "n_embd", "n_layer", "n_positions"),
    Family("gpt_neo", "GPTNeoForCausalLM", ("GPTNeoModel",), num_layers="num_layers"),
    Family("gpt_neox", "GPTNeoXForCausalLM", ("GPTNeoXModel",)),
    Family("gptj", "GPTJForCausalLM", ("GPTJModel",), "n_embd", "n_layer", "n_positions"),
    Family("llama", "LlamaForCausalLM", ("LlamaModel",)),
    Family("mistral", "MistralForCausalLM", ("MistralModel",)),
    Family("mixtral", "MixtralForCausalLM", ("MixtralModel",)),
    Family("olmo2", "Olmo2ForCausalLM", ("Olmo2Model",)),
    Family("opt", "OPTForCausalLM", ("OPTModel",)),
    Family("phi", "PhiForCausalLM", ("PhiModel",)),
    Family("phi3", "Phi3ForCausalLM", ("Phi3Model",)),
    Family("qwen2", "Qwen2ForCausalLM", ("Qwen2Model",)),
    Family("qwen3", "Qwen3ForCausalLM", ("Qwen3Model",)),
)
"""Every family that can be prepared. Adding one here is all that the loader needs."""

_BY_TYPE = {family.model_type: family for family in FAMILIES}


@dataclass(frozen=True)
class Dimensions:
    """What a config says about the model's shape."""

    model_type: str
    architecture: str
    hidden_size: int
    num_layers: int
    vocab_size: int
    context_length: int | None


def supported() -> list[str]:
    """Return the supported values of ``model_type``, sorted."""
    return sorted(_BY_TYPE)


def read_config(config: Any) -> Dimensions:
    """Check a parsed ``config.json`` and return the model's dimensions.

    Raises
    ------
    InvalidInput
        ``reason`` is ``corrupt_config`` or ``unsupported_architecture``.
    """
    if not isinstance(config, dict):
        raise corrupt_config("config.json is not a JSON object.")
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise corrupt_config("config.json names no model_type.")
    family = _BY_TYPE.get(model_type)
    named = config.get("architectures") or []
    if not isinstance(named, list) or not all(isinstance(n, str) for n in named):
        raise corrupt_config("architectures in config.json is not a list of names.")
    if family is None or (named and not set(named) & {family.architecture, *family.bases}):
        shown = f"{model_type} ({', '.join(named)})" if named else model_type
        raise InvalidInput(
            f"The architecture {shown} is not supported.",
            field="model_identifier",
            reason="unsupported_architecture",
            remedy=f"Use a causal language model of one of: {', '.join(supported())}.",
            supported=supported(),
        )
    context = _number(config, family.context_length, "n_ctx", required=False)
    return Dimensions(
        model_type=model_type,
        architecture=family.architecture,
        hidden_size=_number(config, family.hidden_size, "hidden_size") or 0,
        num_layers=_number(config, family.num_layers, "num_hidden_layers") or 0,
        vocab_size=_number(config, "vocab_size", "vocab_size") or 0,
        context_length=context,
    )


def corrupt_config(message: str) -> InvalidInput:
    """Return the error of a ``config.json`` that cannot be used."""
    return InvalidInput(
        message,
        field="model_identifier",
        reason="corrupt_config",
        remedy="Save the checkpoint again with save_pretrained.",
    )


def _number(config: dict[str, Any], name: str, other: str, *, required: bool = True) -> int | None:
    value = config.get(name, config.get(other))
    if value is None and not required:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**31:
        raise corrupt_config(f"{name} in config.json is not a positive number.")
    return value

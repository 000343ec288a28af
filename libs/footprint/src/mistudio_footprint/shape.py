"""The shape of a decoder, read from ``config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .families import FAMILIES, Family, Fields
from .layout import Layout, Widths, layout


@dataclass(frozen=True)
class DecoderShape:
    """What decides a decoder's bytes. Widths in elements, lengths in tokens.

    ``gated`` says whether the MLP multiplies by a gate (Llama, Mistral), so has three matrices;
    ``head_dim`` may differ from ``hidden / heads``; ``activation`` is the MLP's function by the
    config's name; ``window`` is the longest that a token looks back, None for all; ``choices`` is
    how many experts compute a token, 0 where there are none.
    """

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocab: int
    context: int
    gated: bool
    head_dim: int
    model_type: str
    activation: str
    window: int | None
    alibi: bool
    choices: int
    layout: Layout

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> DecoderShape:
        """Read the shape of one of :data:`~mistudio_footprint.families.FAMILIES`.

        A config that names no ``model_type`` is GPT-2's or Llama's, by its names.

        Raises
        ------
        UnknownFamily
            Naming the ``model_type``.
        KeyError
            Naming the first field that is missing.
        ValueError
            Naming a field that is no positive number.
        """
        fields = Fields.of(config)
        parameters, widths = layout(fields), Widths.of(fields)
        window = fields.get("sliding_window")
        used = fields.get("use_sliding_window")
        return cls(
            hidden=widths.hidden,
            layers=parameters.layers,
            heads=widths.heads,
            kv_heads=widths.kv_heads,
            intermediate=widths.intermediate,
            vocab=fields.number("vocab_size"),
            context=_context(fields),
            gated=fields.family.gated,
            head_dim=widths.head_dim,
            model_type=fields.model_type,
            activation=_activation(fields),
            window=window if isinstance(window, int) and used is not False else None,
            alibi=fields.model_type == "bloom" or fields.flag("alibi"),
            choices=fields.number("num_experts_per_tok", 2) if fields.family.experts else 0,
            layout=parameters,
        )

    @property
    def family(self) -> Family:
        """The family's entry of the table."""
        return FAMILIES[self.model_type]

    @property
    def block_parameters(self) -> int:
        """Matrix elements of one block; norms and biases are below a thousandth of them."""
        return sum(m.elements for m in self.layout.matrices) + self.layout.experts


def _context(fields: Fields) -> int:
    if fields.config.get("n_ctx") is not None and fields.model_type == "gpt2":
        return fields.number("max_position_embeddings", fields.number("n_ctx"))
    return fields.number("max_position_embeddings")


def _activation(fields: Fields) -> str:
    if fields.model_type == "bloom":
        return "gelu_new"
    names = ("activation_function", "hidden_activation", "activation", "hidden_act")
    told = next((fields.config[n] for n in names if fields.config.get(n)), None)
    if told is not None:
        return str(told)
    if fields.model_type in ("gpt2", "gpt_neo", "gptj", "phi"):
        return "gelu_new"
    return "relu" if fields.model_type == "opt" else "gelu"

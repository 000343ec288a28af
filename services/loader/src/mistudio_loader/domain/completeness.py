"""Whether a checkpoint's headers hold what its config needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mistudio_contracts.errors import InvalidInput

from .blueprints import BLUEPRINTS, HEADS, STORED_BUFFERS, Blueprint, Config
from .families import Dimensions

Shape = tuple[int, ...]

_NAMED = 10
"""Names in a message; a checkpoint of another architecture lacks hundreds."""


@dataclass(frozen=True)
class Tensors:
    """What a complete checkpoint stores beside what its decoder needs.

    Attributes
    ----------
    unused
        Names that nothing reads, sorted.
    headless
        Whether the config promises a head of its own and none is stored.
    """

    unused: tuple[str, ...]
    headless: bool


def check_complete(
    config: Config, dimensions: Dimensions, shapes: Mapping[str, Shape], quantized: frozenset[str]
) -> Tensors:
    """Compare a checkpoint's tensors with what its architecture needs.

    Parameters
    ----------
    config
        Of ``config.json``, of a supported family.
    dimensions
        What the config says of the shape.
    shapes
        Stored name → shape.
    quantized
        Stored names that hold a quantised weight's scales and code books.

    Raises
    ------
    InvalidInput
        ``reason`` is ``missing_tensors`` or ``wrong_shape``, naming them.
    """
    blueprint, num_layers = BLUEPRINTS[dimensions.model_type], dimensions.num_layers
    prefix = _prefix(blueprint, shapes)
    beside = [blueprint.embedding, *blueprint.beside(config)]
    block = blueprint.block(config)
    needed = [prefix + name for name in beside]
    needed += [
        f"{prefix}{blueprint.blocks}.{n}.{name}" for n in range(num_layers) for name in block
    ]
    missing = sorted(set(needed) - shapes.keys())
    if missing:
        raise _missing(missing)
    _check_shapes(config, dimensions, prefix, blueprint, block, shapes)
    known = {*needed, *HEADS, *quantized}
    unused = sorted(
        name for name in shapes if name not in known and not name.endswith(STORED_BUFFERS)
    )
    tied = bool(config.get("tie_word_embeddings", True))
    return Tensors(tuple(unused), not tied and not shapes.keys() & set(HEADS))


def _prefix(blueprint: Blueprint, shapes: Mapping[str, Shape]) -> str:
    own = f"{blueprint.prefix}."
    return "" if blueprint.embedding in shapes else own


def _missing(missing: list[str]) -> InvalidInput:
    named = missing[:_NAMED]
    more = f" and {len(missing) - len(named)} more" if len(missing) > len(named) else ""
    return InvalidInput(
        f"The checkpoint lacks tensors that its architecture needs: {', '.join(named)}{more}.",
        field="model_identifier",
        reason="missing_tensors",
        missing=named,
        missing_count=len(missing),
        remedy="Copy or download the checkpoint again, or save it whole with save_pretrained.",
    )


def _check_shapes(
    config: Config,
    dimensions: Dimensions,
    prefix: str,
    blueprint: Blueprint,
    block: list[str],
    shapes: Mapping[str, Shape],
) -> None:
    """Check the embedding against the config, and the blocks against the first of them."""
    embedding = prefix + blueprint.embedding
    width = config.get("word_embed_proj_dim") or dimensions.hidden_size
    expected: Shape = (dimensions.vocab_size, int(width))
    if shapes[embedding] != expected:
        raise _wrong(embedding, shapes[embedding], expected)
    for name in block:
        first = shapes[f"{prefix}{blueprint.blocks}.0.{name}"]
        for n in range(1, dimensions.num_layers):
            tensor = f"{prefix}{blueprint.blocks}.{n}.{name}"
            if shapes[tensor] != first:
                raise _wrong(tensor, shapes[tensor], first)


def _wrong(name: str, found: Shape, expected: Shape) -> InvalidInput:
    return InvalidInput(
        f"{name} is {list(found)} where {list(expected)} is expected.",
        field="model_identifier",
        reason="wrong_shape",
        tensor=name,
        shape=list(found),
        expected=list(expected),
        remedy="Use the config.json that belongs to these weights.",
    )

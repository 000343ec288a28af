"""What a checkpoint is, from its config and the headers of its weights."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mistudio_contracts import Dtype
from mistudio_contracts.values import ModelFacts
from mistudio_footprint import DecoderShape, UnknownFamily
from mistudio_loader.domain.checkpoint import (
    CONFIG,
    Selection,
    WeightFormat,
    check_index,
    index_of,
    parse_index,
    select,
)
from mistudio_loader.domain.completeness import Tensors, check_complete
from mistudio_loader.domain.families import Dimensions, corrupt_config, read_config
from mistudio_loader.domain.gguf import config_of
from mistudio_loader.domain.headers import Header, corrupt, count_parameters, majority_dtype
from mistudio_loader.domain.prequantized import (
    Stored,
    check_state,
    original_parameters,
    state_names,
    stored_format,
    unquantized,
)

from .checkpoints import Checkpoint

_PARALLEL_HEADERS = 8


@dataclass(frozen=True)
class Inspection:
    """A checkpoint that can be prepared.

    Attributes
    ----------
    headers
        Of the weight files, by name; none for formats that have to be converted first.
    stored
        The format in which the weights are quantised already.
    tensors
        What is stored beside what the decoder needs; None as long as there are no headers.
    """

    facts: ModelFacts
    selection: Selection
    headers: dict[str, Header]
    stored: Stored | None = None
    tensors: Tensors | None = None

    @property
    def file_bytes(self) -> int:
        """Bytes of all weight files with headers."""
        return sum(h.data_offset + h.data_bytes for h in self.headers.values())


def inspect(checkpoint: Checkpoint) -> Inspection:
    """Read a checkpoint's config and weight headers, and check that it can be prepared.

    Pickles are never opened here: what is known of them is their config.

    Raises
    ------
    InvalidInput
        ``reason`` is one of ``no_config``, ``corrupt_config``, ``unsupported_architecture``,
        ``already_quantized``, ``no_weights``, ``several_gguf``, ``pickle_refused``,
        ``missing_shards``, ``missing_tensors``, ``wrong_shape``, ``corrupt_weights`` and
        ``unsupported_dtype``.
    ServiceUnavailable
        The hub does not answer.
    """
    names = checkpoint.names()
    index = index_of(names)
    if index is None and (chosen := select(names, None)).format is WeightFormat.GGUF:
        return _inspect_gguf(checkpoint, chosen)
    weight_map = parse_index(checkpoint.read(index), index) if index else None
    config = parse_config(checkpoint.read(CONFIG)) if CONFIG in names else None
    dimensions = read_config(config) if config is not None else None
    selection = select(names, weight_map)
    if config is None or dimensions is None:
        raise corrupt_config("There is no config.json.")
    stored = stored_format(config)
    if selection.format is not WeightFormat.SAFETENSORS:
        if stored is not None:
            raise corrupt_config("Quantised weights are read from safetensors alone.")
        count = _count(config)
        facts = _facts(checkpoint, selection, config, dimensions, count, _named_dtype(config))
        return Inspection(facts, selection, {})
    with ThreadPoolExecutor(_PARALLEL_HEADERS) as pool:
        headers = dict(
            zip(selection.weights, pool.map(checkpoint.header, selection.weights), strict=True)
        )
    if weight_map:
        check_index(weight_map, {f: {t.name for t in h.tensors} for f, h in headers.items()})
    return examine(checkpoint, selection, config, dimensions, headers, stored)


def _inspect_gguf(checkpoint: Checkpoint, selection: Selection) -> Inspection:
    (name,) = selection.weights
    header = checkpoint.gguf(name)
    config = config_of(header, name)
    facts = _facts(
        checkpoint, selection, config, read_config(config), header.parameters, header.dtype
    )
    return Inspection(facts, selection, {})


def examine(
    checkpoint: Checkpoint,
    selection: Selection,
    config: dict[str, object],
    dimensions: Dimensions,
    headers: dict[str, Header],
    stored: Stored | None = None,
) -> Inspection:
    """Check that weight files hold what the config needs.

    Raises
    ------
    InvalidInput
        ``reason`` is ``missing_tensors``, ``wrong_shape``, ``corrupt_weights``, ``no_weights``
        or ``unsupported_dtype``.
    """
    _check_apart(headers)
    if stored is not None:
        check_state(stored, headers)
    floats = headers if stored is None else unquantized(headers)
    dtype = majority_dtype(floats.values())
    shapes = {t.name: t.shape for header in headers.values() for t in header.tensors}
    quantized = state_names(shapes) if stored is not None else frozenset()
    tensors = check_complete(config, dimensions, shapes, quantized)
    count = count_parameters(headers.values()) if stored is None else original_parameters(headers)
    facts = _facts(checkpoint, selection, config, dimensions, count, dtype)
    return Inspection(facts, selection, headers, stored, tensors)


def _check_apart(headers: dict[str, Header]) -> None:
    found: dict[str, str] = {}
    for file, header in headers.items():
        for tensor in header.tensors:
            if tensor.name in found:
                raise corrupt(file, f"{tensor.name} is in {found[tensor.name]} too")
            found[tensor.name] = file


def _facts(
    checkpoint: Checkpoint,
    selection: Selection,
    config: dict[str, object],
    dimensions: Dimensions,
    parameter_count: int | None,
    dtype: Dtype | None,
) -> ModelFacts:
    return ModelFacts(
        model_type=dimensions.model_type,
        architecture=dimensions.architecture,
        config=config,
        parameter_count=parameter_count,
        hidden_size=dimensions.hidden_size,
        num_layers=dimensions.num_layers,
        vocab_size=dimensions.vocab_size,
        context_length=dimensions.context_length,
        dtype=dtype,
        weight_bytes=sum(checkpoint.size(name) for name in selection.weights),
        revision=checkpoint.revision,
    )


def _count(config: dict[str, object]) -> int | None:
    """Return the parameters that a config speaks of; None where it leaves something open."""
    try:
        return DecoderShape.from_config(config).layout.model
    except (UnknownFamily, KeyError, ValueError):
        return None


def _named_dtype(config: dict[str, object]) -> Dtype | None:
    named = config.get("dtype", config.get("torch_dtype"))
    known = isinstance(named, str) and named in tuple(Dtype) and Dtype(named).floating
    return Dtype(named) if known else None


def parse_config(raw: bytes) -> dict[str, object]:
    """Parse ``config.json``.

    Raises
    ------
    InvalidInput
        ``reason`` is ``corrupt_config``.
    """
    try:
        parsed = json.loads(raw)
    except (ValueError, RecursionError):
        raise corrupt_config("config.json is not valid JSON.") from None
    if not isinstance(parsed, dict):
        raise corrupt_config("config.json is not a JSON object.")
    return parsed

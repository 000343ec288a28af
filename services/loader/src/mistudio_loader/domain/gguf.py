"""The header of a GGUF file: key-value pairs and where the tensors lie, read without a library.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3. The library
maps whole files; of a file on the hub only the beginning is here.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from mistudio_contracts import Dtype
from mistudio_contracts.errors import InvalidInput

from .headers import corrupt

MAX_HEADER_BYTES = 64 * 1024 * 1024
"""Vocabularies of 256 thousand tokens with their merges take a quarter of it."""

Read = Callable[[int], bytes]

_MAGIC = b"GGUF"
_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_STRING, _ARRAY = 8, 9
_MAX_DIMENSIONS, _MAX_TENSORS, _MAX_KEYS = 4, 200_000, 10_000
_DTYPES = {0: Dtype.FLOAT32, 1: Dtype.FLOAT16, 30: Dtype.BFLOAT16}
"""``ggml_type`` of weights that are not quantised."""

MODEL_TYPES = {
    "llama": ("llama", "LlamaForCausalLM"),
    "qwen2": ("qwen2", "Qwen2ForCausalLM"),
    "qwen3": ("qwen3", "Qwen3ForCausalLM"),
}
"""``general.architecture`` of what is proven → ``model_type`` and class."""

_CONFIG = {
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "context_length": "max_position_embeddings",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "rope.freq_base": "rope_theta",
    "vocab_size": "vocab_size",
}


@dataclass(frozen=True)
class GgufTensor:
    """A tensor; ``shape`` is in GGUF's order, the innermost dimension first."""

    name: str
    shape: tuple[int, ...]
    type: int

    @property
    def elements(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class GgufHeader:
    """Key-value pairs, of arrays their lengths alone, and tensors."""

    values: dict[str, Any]
    tensors: tuple[GgufTensor, ...]

    @property
    def parameters(self) -> int:
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def dtype(self) -> Dtype:
        """What the weights become: float types stay what most are, quantised ones are bfloat16."""
        elements: Counter[int] = Counter()
        for tensor in self.tensors:
            elements[tensor.type] += tensor.elements
        most = max(sorted(elements), key=lambda kind: elements[kind])
        return _DTYPES.get(most, Dtype.BFLOAT16)


def parse_gguf(read: Read, file: str) -> GgufHeader:
    """Read the header.

    Parameters
    ----------
    read
        Returns the next bytes, fewer where the file ends.
    file
        The file's name, for messages.

    Raises
    ------
    InvalidInput
        ``reason`` is ``corrupt_weights``.
    """
    try:
        return _parse(_Bytes(read))
    except _Ended:
        raise corrupt(file, "its header is longer than the file or than a header is") from None
    except (ValueError, struct.error, KeyError) as error:
        raise corrupt(file, f"its header is not one of GGUF ({error})") from None


class _Ended(Exception):
    """The bytes that were to be read are not there."""


class _Bytes:
    def __init__(self, read: Read) -> None:
        self._read, self._left = read, MAX_HEADER_BYTES

    def take(self, count: int) -> bytes:
        if count > self._left:
            raise _Ended
        found = self._read(count)
        if len(found) < count:
            raise _Ended
        self._left -= count
        return found

    def number(self, code: str) -> Any:
        return struct.unpack(code, self.take(struct.calcsize(code)))[0]

    def text(self) -> str:
        return self.take(self.number("<Q")).decode()


def _parse(source: _Bytes) -> GgufHeader:
    if source.take(4) != _MAGIC:
        raise ValueError("the first bytes are others")
    if (version := source.number("<I")) not in (2, 3):
        raise ValueError(f"version {version}")
    tensors, keys = source.number("<Q"), source.number("<Q")
    if tensors > _MAX_TENSORS or keys > _MAX_KEYS or not tensors:
        raise ValueError("its counts are out of bounds")
    values = {}
    for _ in range(keys):
        key = source.text()
        values[key] = _value(source, source.number("<I"))
    return GgufHeader(values, tuple(_tensor(source) for _ in range(tensors)))


def _value(source: _Bytes, kind: int) -> Any:
    if kind == _STRING:
        return source.text()
    if kind != _ARRAY:
        return source.number(_SCALARS[kind])
    element, length = source.number("<I"), source.number("<Q")
    if element == _ARRAY:
        raise ValueError("an array of arrays")
    if element == _STRING:
        for _ in range(length):
            source.take(source.number("<Q"))
    else:
        source.take(length * struct.calcsize(_SCALARS[element]))
    return length


def _tensor(source: _Bytes) -> GgufTensor:
    name, dimensions = source.text(), source.number("<I")
    if not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise ValueError(f"{name} has {dimensions} dimensions")
    shape = tuple(source.number("<Q") for _ in range(dimensions))
    kind = source.number("<I")
    source.number("<Q")  # Where it lies.
    if prod(shape) >= 2**48:
        raise ValueError(f"{name} is too large")
    return GgufTensor(name, shape, kind)


def config_of(header: GgufHeader, file: str) -> dict[str, object]:
    """Return as much of a ``config.json`` as the header tells.

    Raises
    ------
    InvalidInput
        ``reason`` is ``unsupported_gguf`` for an architecture that is not proven, and for scaled
        rotary embeddings, which transformers would leave out; ``corrupt_weights``.
    """
    named = str(header.values.get("general.architecture"))
    if named not in MODEL_TYPES:
        raise _unsupported(f"Its architecture is {named}", supported=sorted(MODEL_TYPES))
    scaling = header.values.get(f"{named}.rope.scaling.type", "none")
    if scaling != "none" or any(t.name.startswith("rope_") for t in header.tensors):
        raise _unsupported("It scales its rotary embeddings, which transformers does not read")
    model_type, architecture = MODEL_TYPES[named]
    found: dict[str, object] = {"model_type": model_type, "architectures": [architecture]}
    for key, name in _CONFIG.items():
        value = header.values.get(f"{named}.{key}")
        if isinstance(value, int | float):
            found[name] = value
    if "vocab_size" not in found:
        found["vocab_size"] = header.values.get("tokenizer.ggml.tokens")
    found["tie_word_embeddings"] = all(t.name != "output.weight" for t in header.tensors)
    if not isinstance(found["vocab_size"], int):
        raise corrupt(file, "its header names no vocabulary")
    return found


def _unsupported(why: str, **details: Any) -> InvalidInput:
    return InvalidInput(
        f"The GGUF file cannot be used. {why}.",
        field="model_identifier",
        reason="unsupported_gguf",
        remedy="Use the original checkpoint, as safetensors.",
        **details,
    )

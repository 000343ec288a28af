"""Which files of a directory or repository are the checkpoint."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Any

from mistudio_contracts.errors import InvalidInput

CONFIG = "config.json"
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLE_INDEX = "pytorch_model.bin.index.json"
GENERATION_CONFIG = "generation_config.json"

TOKENIZER = "tokenizer.json"
TOKENIZER_FILES: frozenset[str] = frozenset(
    {
        "tokenizer.json",
        "tokenizer_config.json",
        "tokenizer.model",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "vocab.txt",
        "merges.txt",
        "chat_template.jinja",
    }
)
"""Files that decide how text becomes tokens. Nothing else of a repository is ever copied."""

_PART = re.compile(r"^model-(\d{5})-of-(\d{5})\.safetensors$")
_PICKLE_PART = re.compile(r"^pytorch_model-(\d{5})-of-(\d{5})\.bin$")
_PICKLE = "pytorch_model.bin"
_OTHER_PICKLE = re.compile(r"^(pytorch_model|model|consolidated).*\.(bin|pt|pth)$")
_MAX_INDEX_BYTES = 64 * 1024 * 1024


class WeightFormat(Enum):
    """How the weights of a checkpoint lie on the disk."""

    SAFETENSORS = ".safetensors"
    PICKLE = ".bin"
    GGUF = ".gguf"


@dataclass(frozen=True)
class Selection:
    """The files of a checkpoint, by name; each list is sorted.

    ``config`` is false for GGUF alone, which brings its own.
    """

    weights: tuple[str, ...]
    tokenizer: tuple[str, ...]
    generation_config: bool
    format: WeightFormat = WeightFormat.SAFETENSORS
    config: bool = True

    @property
    def small(self) -> tuple[str, ...]:
        """Config, generation config and tokenizer files."""
        extra = (GENERATION_CONFIG,) if self.generation_config else ()
        return (*((CONFIG,) if self.config else ()), *extra, *self.tokenizer)


def index_of(names: Collection[str]) -> str | None:
    """Return the name of the index that counts; pickles do only where nothing else is."""
    if INDEX in names:
        return INDEX
    safe = any(name == SINGLE or _PART.match(name) for name in names)
    return PICKLE_INDEX if PICKLE_INDEX in names and not safe else None


def select(names: Collection[str], weight_map: dict[str, str] | None) -> Selection:
    """Choose the files of a checkpoint: safetensors, else pickles, else a single GGUF file.

    Parameters
    ----------
    names
        Every file name there is at the top level.
    weight_map
        Tensor → file from the index, or None when there is no index.

    Raises
    ------
    InvalidInput
        ``reason`` is ``no_config``, ``no_weights``, ``several_gguf``, ``pickle_refused`` or
        ``missing_shards``.
    """
    present = set(names)
    chosen, weights = _weights(present, weight_map)
    if CONFIG not in present and chosen is not WeightFormat.GGUF:
        raise InvalidInput(
            "There is no config.json.",
            field="model_identifier",
            reason="no_config",
            remedy="Point at a directory or repository saved with save_pretrained.",
        )
    missing = sorted(weights - present)
    if missing:
        raise InvalidInput(
            f"Weight files are missing: {', '.join(missing)}.",
            field="model_identifier",
            reason="missing_shards",
            missing=missing,
            remedy="Copy or download the missing files.",
        )
    return Selection(
        tuple(sorted(weights)),
        tuple(sorted(present & TOKENIZER_FILES)),
        GENERATION_CONFIG in present,
        chosen,
        chosen is not WeightFormat.GGUF,
    )


def _weights(present: set[str], weight_map: dict[str, str] | None) -> tuple[WeightFormat, set[str]]:
    if weight_map:
        files = set(weight_map.values())
        pickled = any(name.endswith(WeightFormat.PICKLE.value) for name in files)
        return (WeightFormat.PICKLE if pickled else WeightFormat.SAFETENSORS), files
    if SINGLE in present:
        return WeightFormat.SAFETENSORS, {SINGLE}
    if parts := _parts(present, _PART):
        return WeightFormat.SAFETENSORS, parts
    if _PICKLE in present:
        return WeightFormat.PICKLE, {_PICKLE}
    if parts := _parts(present, _PICKLE_PART):
        return WeightFormat.PICKLE, parts
    if gguf := {name for name in present if name.endswith(WeightFormat.GGUF.value)}:
        return WeightFormat.GGUF, _only(gguf)
    if any(_OTHER_PICKLE.match(name) for name in present):
        raise InvalidInput(
            "The checkpoint holds only pickled weights under a name that tells nothing of them.",
            field="model_identifier",
            reason="pickle_refused",
            remedy="Save it with save_pretrained, as safetensors.",
        )
    raise InvalidInput(
        "There are no weights.",
        field="model_identifier",
        reason="no_weights",
        remedy="Point at a checkpoint with model.safetensors or its shards.",
    )


def _parts(present: set[str], part: re.Pattern[str]) -> set[str]:
    """Return every part of a set of numbered files, also those that are not there."""
    found = [match for name in present if (match := part.match(name))]
    if not found:
        return set()
    total, first = max(int(match[2]) for match in found), found[0]
    stem, suffix = first.string[: first.start(1)], first.string[first.end(2) :]
    return {f"{stem}{n:05d}-of-{total:05d}{suffix}" for n in range(1, total + 1)}


def _only(gguf: set[str]) -> set[str]:
    if len(gguf) > 1:
        raise InvalidInput(
            f"There are {len(gguf)} GGUF files, and each is a model or a part of one.",
            field="model_identifier",
            reason="several_gguf",
            files=sorted(gguf),
            remedy="Name one of them by its path as a local model; join the parts of a split one.",
        )
    return gguf


def parse_index(raw: bytes, name: str = INDEX) -> dict[str, str]:
    """Return tensor → file of the index called ``name``.

    Raises
    ------
    InvalidInput
        ``reason`` is ``corrupt_weights``.
    """
    try:
        parsed: Any = json.loads(raw) if len(raw) <= _MAX_INDEX_BYTES else None
    except (ValueError, RecursionError):
        parsed = None
    found: Any = parsed.get("weight_map") if isinstance(parsed, dict) else None
    kind = WeightFormat.PICKLE if name == PICKLE_INDEX else WeightFormat.SAFETENSORS
    whole = isinstance(found, dict) and bool(found)
    if not whole or not all(_plain_file(file, kind.value) for file in found.values()):
        raise InvalidInput(
            f"{name} does not map tensors to {kind.value} files beside it.",
            field="model_identifier",
            reason="corrupt_weights",
            file=name,
            remedy="Copy or download the file again.",
        )
    return dict(found)


def _plain_file(name: Any, suffix: str) -> bool:
    return (
        isinstance(name, str)
        and name.endswith(suffix)
        and "/" not in name
        and "\\" not in name
        and not name.startswith(".")
    )


def check_index(weight_map: dict[str, str], tensors: dict[str, set[str]]) -> None:
    """Check that each tensor of the index is in the file it names.

    Parameters
    ----------
    weight_map
        Tensor → file, from the index.
    tensors
        File → names of the tensors in its header.

    Raises
    ------
    InvalidInput
        ``reason`` is ``corrupt_weights``, naming the first tensor that is not there.
    """
    for tensor, file in sorted(weight_map.items()):
        if tensor not in tensors.get(file, set()):
            raise InvalidInput(
                f"The index says that {file} holds {tensor}, and it does not.",
                field="model_identifier",
                reason="corrupt_weights",
                file=file,
                tensor=tensor,
                remedy="Copy or download the checkpoint again.",
            )


def render_index(files: dict[str, list[str]], total_bytes: int) -> bytes:
    """Return an index for ``files`` (file → tensor names), sorted by tensor."""
    weight_map = {tensor: file for file, names in files.items() for tensor in names}
    body = {
        "metadata": {"total_size": total_bytes},
        "weight_map": dict(sorted(weight_map.items())),
    }
    return (json.dumps(body, indent=2, sort_keys=True) + "\n").encode()

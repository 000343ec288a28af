"""Writing an artifact's files into its staging directory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mistudio_contracts import Dtype, LoadStage
from mistudio_contracts.values import ModelFacts
from mistudio_loader.domain.checkpoint import CONFIG, GENERATION_CONFIG, INDEX, render_index
from mistudio_loader.domain.headers import Header, read_header
from mistudio_loader.domain.progress import Step
from mistudio_loader.storage.artifacts import StoredFile
from mistudio_loader.storage.digests import canonical_json
from mistudio_loader.storage.disk import write_file

from .casting import Written, cast_file, copy_file, needs_cast
from .fetching import Fetched
from .inspection import Inspection
from .quantizing import Matrices, quantize_file

COMPARING = 0.5
"""The comparison with the reference takes so much of the time that quantising takes."""

_NAMED = 20

_NEVER_KEPT = ("auto_map", "_name_or_path")
"""Keys of a config that name remote code, or where its author kept the model."""


def write_weights(
    inspection: Inspection,
    fetched: Fetched,
    staging: Path,
    cast_to: Dtype | None,
    matrices: Matrices | None,
    tell: Callable[[Step], None],
) -> dict[str, Written]:
    """Write every weight file, quantised, cast or as it is, and return their digests by name.

    Parameters
    ----------
    cast_to
        The dtype of every floating-point tensor; None keeps every byte.
    matrices
        What is quantised; None where nothing is.

    Raises
    ------
    InvalidInput, ModelLoadFailed
        See :func:`~.casting.cast_file`.
    """
    total = inspection.file_bytes
    before = 0
    written: dict[str, Written] = {}
    message = f"Casting to {cast_to}." if cast_to else "Copying the weights."
    if matrices is not None:
        message = "Quantising the weights."
        # The comparison that follows has its part of the stage.
        total += int(total * COMPARING)

    def tell_done(done: int) -> None:
        tell(Step(LoadStage.QUANTIZING, message, before + done, total))

    tell_done(0)
    for name, header in inspection.headers.items():
        source, target = fetched.directory / name, staging / name
        size = header.data_offset + header.data_bytes
        digest = fetched.digests[name]
        if matrices is not None:
            written[name] = quantize_file(source, header, target, matrices, tell_done)
        elif cast_to is not None and needs_cast(header, cast_to):
            written[name] = cast_file(source, header, target, cast_to, tell_done)
        elif fetched.owned and digest is not None and _linked(source, target):
            written[name] = Written(digest, digest, size)
            tell_done(size)
        else:
            written[name] = copy_file(source, target, tell_done)
        before += size
    return written


def write_small(
    inspection: Inspection,
    small: dict[str, bytes],
    staging: Path,
    dtype: Dtype,
    quantization_config: dict[str, Any] | None = None,
) -> list[StoredFile]:
    """Write config, tokenizer files and, for several weight files, the index.

    Parameters
    ----------
    small
        The source's files by name.
    dtype
        The artifact's, named in its config.
    quantization_config
        For its config; None where nothing is quantised.
    """
    contents = {name: small[name] for name in inspection.selection.tokenizer}
    if GENERATION_CONFIG in small:
        contents[GENERATION_CONFIG] = small[GENERATION_CONFIG]
    contents[CONFIG] = adapt_config(small[CONFIG], dtype, quantization_config)
    if len(inspection.headers) > 1:
        headers = {name: _header(staging / name) for name in inspection.headers}
        contents[INDEX] = render_index(
            {name: [t.name for t in header.tensors] for name, header in headers.items()},
            sum(header.data_bytes for header in headers.values()),
        )
    for name, content in contents.items():
        write_file(staging / name, content)
    return [
        StoredFile(name=name, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in contents.items()
    ]


def adapt_config(
    raw: bytes, dtype: Dtype, quantization_config: dict[str, Any] | None = None
) -> bytes:
    """Return ``config.json`` naming the artifact's dtype and format, no remote code and no path."""
    config = {key: v for key, v in json.loads(raw).items() if key not in _NEVER_KEPT}
    config["dtype"] = dtype.value
    if "torch_dtype" in config:
        config["torch_dtype"] = dtype.value
    if quantization_config is not None:
        config["quantization_config"] = quantization_config
    return canonical_json(config)


def without_paths(facts: ModelFacts) -> ModelFacts:
    """Return facts whose config says nothing of where its author kept the model."""
    config = {key: value for key, value in facts.config.items() if key not in _NEVER_KEPT}
    return facts.model_copy(update={"config": config})


def warnings_of(inspection: Inspection) -> list[str]:
    """Return what is odd about a checkpoint that can nevertheless be used."""
    tensors = inspection.tensors
    if tensors is None:
        return []
    found = []
    if tensors.unused:
        more = "" if len(tensors.unused) <= _NAMED else f" and {len(tensors.unused) - _NAMED} more"
        names = ", ".join(tensors.unused[:_NAMED])
        found.append(f"Tensors that nothing uses were kept: {names}{more}.")
    if tensors.headless:
        found.append("The config promises a language-model head of its own; none is stored.")
    return found


def _header(path: Path) -> Header:
    with path.open("rb") as stream:
        return read_header(stream, path.name, path.stat().st_size)


def _linked(source: Path, target: Path) -> bool:
    """Give a file a second name; False where the file system cannot."""
    try:
        target.hardlink_to(source)
    except OSError:
        return False
    return True

"""Readers of files that strangers made, under atheris: ``python -m tests.fuzz.readers TARGET …``.

What follows the target goes to libFuzzer (https://llvm.org/docs/LibFuzzer.html): a corpus, and
options such as ``-max_total_time=600``. It ends with status 0 when nothing but the errors that a
reader promises was raised, and else prints the input.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mistudio_activations", "mistudio_loader.domain"]):
    from mistudio_activations import Manifest
    from mistudio_activations.errors import StoreCorrupt
    from mistudio_contracts.errors import InvalidInput
    from mistudio_loader.domain.gguf import config_of, parse_gguf
    from mistudio_loader.domain.headers import parse_header, read_header, render_header

FILE = "model.safetensors"


def safetensors(data: bytes) -> None:
    """Read a whole file; then take the same bytes for a header whose length is right."""
    with suppress(InvalidInput):
        read_header(io.BytesIO(data), FILE, len(data))
    size = int.from_bytes(data[:2], "little")
    raw = data[2:]
    try:
        header = parse_header(raw, FILE, 8 + len(raw) + size)
    except InvalidInput:
        return
    written = render_header(header.tensors, header.metadata)
    again = read_header(io.BytesIO(written), FILE, len(written) + size)
    assert (again.tensors, again.metadata) == (header.tensors, header.metadata)


def gguf(data: bytes) -> None:
    """Read a header, and make a configuration of it."""
    with suppress(InvalidInput):
        config_of(parse_gguf(io.BytesIO(data).read, FILE), FILE)


def manifest(data: bytes) -> None:
    """Read a manifest; what is read is written and read again as the same."""
    try:
        found = Manifest.from_json(data)
    except StoreCorrupt:
        return
    for shard in found.tokens:
        place = Path("/store", shard.path)
        assert ".." not in place.parts, "it leaves its store"
        assert place.is_relative_to("/store"), "it leaves its store"
    written = found.to_json()
    assert Manifest.from_json(written).to_json() == written


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each for each in (safetensors, gguf, manifest)
}


def seeds(target: str) -> list[bytes]:
    """Return inputs that the reader takes, to begin with."""
    if target == "safetensors":
        entry = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
        raw = json.dumps({"__metadata__": {"format": "pt"}, "weight": entry}).encode()
        return [len(raw).to_bytes(8, "little") + raw + bytes(24), b"\x18\x00" + raw]
    if target == "gguf":
        text = b"general.architecture"
        pair = len(text).to_bytes(8, "little") + text + (8).to_bytes(4, "little")
        pair += (5).to_bytes(8, "little") + b"llama"
        counts = (0).to_bytes(8, "little") + (1).to_bytes(8, "little")
        return [b"GGUF" + (3).to_bytes(4, "little") + counts + pair]
    shard = {"path": "tokens/00000.safetensors", "tokens": 1, "samples": 1, "bytes": 9}
    shards = [{**shard, "sha256": "0" * 64}]
    column = {"width": 4, "dtype": "float32", "quantization_error": None, "shards": shards}
    document = {"dtype": "float32", "tokens": shards, "columns": {"embed": column}, "info": {}}
    return [json.dumps({"schema_version": each, **document}).encode() for each in (1, 2)]


def main() -> None:
    target, corpus, *options = sys.argv[1:]
    for number, seed in enumerate(seeds(target)):
        (Path(corpus) / f"seed-{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], *options, corpus], TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()

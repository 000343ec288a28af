"""What is there already is not computed again: counted in the blocks of the running extractors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

import mistudio_activations
from mistudio_client.embedded import EmbeddedStack
from mistudio_client.embedded.connection import read_connection
from mistudio_testkit.models import ragged_texts, write_jsonl
from mistudio_testkit.site import Json, Site

pytestmark = pytest.mark.stack

ROW = 64 * 4 + 4
"""Bytes of a row of the tiny models in float32, and of its norm."""


@dataclass(frozen=True)
class Run:
    """What an extraction took: tokens times blocks, tokens captured, bytes written."""

    done: Json
    block_tokens: int
    tokens: int
    written: int


class Counters:
    """The counters of every extractor of a stack, summed."""

    def __init__(self, site: Site, stack: EmbeddedStack, model_id: str) -> None:
        connection = read_connection(stack.data_dir)
        assert connection is not None
        self._ports = [
            port for name, port in connection.ports.items() if name.startswith("health_extractor")
        ]
        self._site, self._model_id = site, model_id

    def _total(self, name: str) -> int:
        total = 0.0
        for port in self._ports:
            text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
            (line,) = [each for each in text.splitlines() if each.startswith(f"{name}_total ")]
            total += float(line.split()[1])
        return int(total)

    def _all(self) -> tuple[int, int, int]:
        return (
            self._total("mistudio_extractor_block_tokens"),
            self._total("mistudio_extractor_captured_tokens"),
            self._total("mistudio_extractor_written_bytes"),
        )

    def run(self, **body: Any) -> Run:
        before = self._all()
        done = self._site.extract(self._model_id, **body)
        assert done["status"] == "completed", done["error"]
        blocks, tokens, written = (b - a for a, b in zip(before, self._all(), strict=True))
        return Run(done, blocks, tokens, written)


def test_only_what_is_missing_goes_through_the_model(
    site: Site, stack: EmbeddedStack, tiny_model: Any, home: Path
) -> None:
    texts = [f"{number} {text}" for number, text in enumerate(ragged_texts(40))]
    dataset = site.upload(write_jsonl(home / "different.jsonl", texts))["id"]
    model = site.ready_model(tiny_model("llama"))["id"]
    counters = Counters(site, stack, model)

    def run(samples: int, layers: list[int], *more: str) -> Run:
        return counters.run(
            dataset_id=dataset, sample_count=samples, layer_indices=layers, hook_points=list(more)
        )

    first = run(20, [0, 1])
    small = first.done["total_tokens"]
    # Before its first capture every block is proven, on a few tokens.
    assert 2 * small <= first.block_tokens < 2 * small + 1000
    assert first.tokens == small

    nothing = (0, 0, 0)
    again = run(20, [0, 1])
    assert (again.block_tokens, again.tokens, again.written) == nothing
    fewer = run(10, [1])
    assert (fewer.block_tokens, fewer.tokens, fewer.written) == nothing
    assert fewer.done["total_samples"] == 10

    layer = run(20, [0, 1, 3])
    assert (layer.block_tokens, layer.tokens) == (4 * small, small), "it runs to the new layer"
    assert small * ROW <= layer.written < 2 * small * ROW, "one column is written"

    more = run(40, [0, 1, 3])
    large = more.done["total_tokens"]
    assert (more.block_tokens, more.tokens) == (4 * (large - small), large - small)

    other = run(40, [], "layers.1.mlp_out")
    assert (other.block_tokens, other.tokens) == (2 * large, large), "and no block further"

    for run_of_layer_3 in (layer, more):
        with site.frames() as frames:
            cache = run_of_layer_3.done["cache_id"]
            site.ask("DELETE", f"/activations/{cache}", 204)
            frames.until("cache:evicted", cache_id=cache)
    evicted = run(20, [0, 1, 3])
    assert (evicted.block_tokens, evicted.tokens) == (4 * small, small), "the others are kept"
    assert small * ROW <= evicted.written < 2 * small * ROW
    mistudio_activations.open(evicted.done["storage_path"]).verify()

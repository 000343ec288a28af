"""A day's work as fast as the system does it: does memory stay flat?"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import nats

from mistudio_client.embedded import EmbeddedStack
from mistudio_testkit.models import make_model, ragged_texts, write_jsonl
from mistudio_testkit.site import EXTRACTION_DONE, MODEL_DONE, Frames, Site

from .figures import megabytes
from .filling import fill_ring
from .watching import MOST_GROWTH_PERCENT, PROGRAMS, Watch

TURNS_AN_HOUR = 10
"""A load, an extraction that computes, its eviction and an unload; ten loads an hour are the limit
of a user."""

WARM_SHARE = 0.5
"""Of the hours, worked before those that are measured: pools and plans come with use."""

RING_EVENTS = 10_000
"""What a gateway keeps of the newest events is full after them, and takes no more memory."""

SAMPLES = 24
SHARD_TOKENS = 256


async def _last(nats_url: str) -> dict[str, int]:
    connection = await nats.connect(nats_url)
    try:
        streams = {}
        for name in ("EVENTS", "PROGRESS", "WORK", "REPORTS"):
            info = await connection.jetstream().stream_info(name)
            streams[name] = int(info.state.last_seq)
        return streams
    finally:
        await connection.close()


def turn(site: Site, frames: Frames, model_id: str, dataset_id: str) -> None:
    """Load, extract, evict, unload: what somebody does with a model."""
    site.ask("POST", f"/models/{model_id}/load", json={})
    frames.until(*MODEL_DONE, model_id=model_id)
    body = {"dataset_id": dataset_id, "layer_indices": [0, 2]}
    accepted = site.ask("POST", f"/models/{model_id}/extract-activations", 202, json=body)
    done = frames.until(*EXTRACTION_DONE, extraction_id=accepted["extraction_id"])
    assert done["status"] == "completed", done
    assert not done["cached"]
    site.ask("DELETE", f"/activations/{done['cache_id']}", 204)
    frames.until("cache:evicted", cache_id=done["cache_id"])
    site.ask("POST", f"/models/{model_id}/unload")
    frames.until("model:unloaded", model_id=model_id)
    for path in ("/models", "/extractions", "/activations", "/datasets", "/devices"):
        site.ask("GET", path)
    frames.seen.clear()


def run(home: Path, hours: float) -> dict[str, Any]:
    """Return how the memory of each program went over so many hours' work."""
    checkpoint = make_model(home / "models" / "tiny", "gpt2")
    env = {
        "LOAD_REQUESTS_PER_HOUR": "1000000",
        "SHARD_TOKENS": str(SHARD_TOKENS),
        "RING_EVENTS": str(RING_EVENTS),
    }
    turns = max(4, round(hours * TURNS_AN_HOUR))
    with EmbeddedStack(home / "data", allow=[home / "models"], env=env) as stack:
        site = Site(stack.url, stack.token)
        model = site.register(checkpoint)
        dataset = site.upload(write_jsonl(home / "texts.jsonl", ragged_texts(SAMPLES)))
        asyncio.run(fill_ring(stack.nats_url, RING_EVENTS))
        with site.frames() as frames:
            for _ in range(max(1, round(turns * WARM_SHARE))):
                turn(site, frames, model["id"], dataset["id"])
            before = asyncio.run(_last(stack.nats_url))
            begin = time.monotonic()
            with Watch(stack, PROGRAMS, every=1.0) as watch:
                for _ in range(turns):
                    turn(site, frames, model["id"], dataset["id"])
            seconds = time.monotonic() - begin
            after = asyncio.run(_last(stack.nats_url))
        site.close()
    samples = watch.samples
    grown = {name: samples.growth_percent(name) for name in PROGRAMS}
    # NATS goes up and down with the blocks that it writes to, over more than a day: part *bus*.
    judged = [each for name, each in grown.items() if name != "nats"]
    return {
        "hours": hours,
        "turns": turns,
        "seconds": round(seconds, 1),
        "times_as_fast": round(hours * 3600 / seconds),
        "messages": {name: after[name] - before[name] for name in after},
        "pss_mb_by_quarter": {
            name: [megabytes(samples.quarter(name, which)) for which in range(4)]
            for name in PROGRAMS
        },
        "growth_percent": {name: round(each, 2) for name, each in grown.items()},
        "most_growth_percent": MOST_GROWTH_PERCENT,
        "within": all(each <= MOST_GROWTH_PERCENT for each in judged),
    }


def table(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the result as lines to read."""
    return [
        ("hours of work, in seconds", f"{result['hours']} {result['seconds']}"),
        ("messages", " ".join(f"{name} {count:,}" for name, count in result["messages"].items())),
        ("", "MB by quarter; growth from the second to the last"),
        *(
            (name, " ".join(f"{each}" for each in sizes) + f"; {result['growth_percent'][name]} %")
            for name, sizes in result["pss_mb_by_quarter"].items()
        ),
    ]

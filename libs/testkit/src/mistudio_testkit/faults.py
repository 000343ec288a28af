"""What tests of injected faults share: the kill, and the run without one to compare with."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats

import mistudio_activations
from mistudio_client.embedded import EmbeddedStack
from mistudio_contracts import topology
from mistudio_testkit.models import ragged_texts, write_jsonl
from mistudio_testkit.site import EXTRACTION_DONE, Site

PATIENCE = 120.0
"""Seconds that a recovery may take before a test gives it up."""

Checksums = dict[str, list[str]]
"""SHA-256 of each shard of each column."""


@dataclass(frozen=True)
class Undisturbed:
    """An extraction that ran without faults.

    Attributes
    ----------
    model_id
        Of the model that it ran on.
    body
        Of the request.
    checksums
        What a run of the same request must equal, whatever is killed.
    """

    model_id: str
    body: dict[str, Any]
    checksums: Checksums

    @classmethod
    def run(cls, site: Site, model: Path, directory: Path) -> Undisturbed:
        """Load a model and extract three layers of 300 ragged samples from it."""
        ready = site.ready_model(model)
        dataset = site.upload(write_jsonl(directory / "d.jsonl", ragged_texts(300, seed=9)))
        body = {"dataset_id": dataset["id"], "layer_indices": [0, 3, 7]}
        done = site.extract(ready["id"], **body)
        assert done["status"] == "completed", done["error"]
        return cls(ready["id"], body, checksums(done["storage_path"]))

    def start(self, site: Site) -> str:
        """Forget every cache of the model, request the same again, and return its id."""
        caches = site.ask("GET", "/activations", params={"model_id": self.model_id})
        for cache in caches["activations"]:
            with site.frames() as frames:
                site.ask("DELETE", f"/activations/{cache['id']}", 204)
                frames.until("cache:evicted", cache_id=cache["id"])
        path = f"/models/{self.model_id}/extract-activations"
        return str(site.ask("POST", path, 202, json=self.body)["extraction_id"])

    def outlives(self, stack: EmbeddedStack, site: Site, victim: str, moment: str) -> None:
        """Run it again, kill a process at the first event of a type, and compare the end."""
        with site.frames() as frames:
            extraction_id = self.start(site)
            frames.until(moment, extraction_id=extraction_id)
            kill(stack, victim)
            frames.until(*EXTRACTION_DONE, extraction_id=extraction_id, timeout=PATIENCE)
            ends = [f["type"] for f in frames.seen if f["type"] in EXTRACTION_DONE]
        done = site.ask("GET", f"/extractions/{extraction_id}")
        assert done["status"] == "completed", done["error"]
        assert len(ends) == 1
        assert checksums(done["storage_path"]) == self.checksums


def kill(stack: EmbeddedStack, service: str) -> None:
    """Send SIGKILL to a service's process."""
    os.kill(stack.pid(service), signal.SIGKILL)


def hurry(nats_url: str | list[str], ack_wait: float) -> None:
    """Let a killed worker's message wait ``ack_wait`` seconds, not as long as declared.

    Workers that start afterwards extend it accordingly.
    """

    async def change() -> None:
        client = await nats.connect(nats_url)
        try:
            jetstream = client.jetstream()
            for spec in topology.consumers():
                found = (await jetstream.consumer_info(spec.stream, spec.name)).config
                await jetstream.add_consumer(spec.stream, found.evolve(ack_wait=ack_wait))
        finally:
            await client.close()

    asyncio.run(change())


def checksums(storage_path: str) -> Checksums:
    """Verify a store, and return its checksums."""
    store = mistudio_activations.open(storage_path)
    store.verify()
    return {name: [s.sha256 for s in c.shards] for name, c in store.manifest.columns.items()}

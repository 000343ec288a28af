"""One extraction that is asked for again and again, by extractors that come and go."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import nats

from mistudio_client.embedded import EmbeddedStack
from mistudio_contracts import subjects
from mistudio_testkit.faults import PATIENCE, Checksums
from mistudio_testkit.fleet import Fleet
from mistudio_testkit.site import EXTRACTION_DONE, Frames, Json, Site

LAYERS = [0, 2, 5]


@dataclass(frozen=True)
class Work:
    """An extraction, and what it must come to each time.

    Attributes
    ----------
    site, fleet
        Whom it is asked of, and who does it.
    model_id, body
        Of the request.
    checksums, manifest
        Of the undisturbed run.
    seconds
        How long that took.
    """

    site: Site
    fleet: Fleet
    model_id: str
    body: Json
    checksums: Checksums
    manifest: bytes
    seconds: float

    @classmethod
    def run(cls, site: Site, fleet: Fleet, model: Path, texts: Path) -> Work:
        """Load a model and extract three layers of a dataset, undisturbed."""
        ready, dataset = site.ready_model(model), site.upload(texts)
        body = {"dataset_id": dataset["id"], "layer_indices": LAYERS}
        begun = time.monotonic()
        done = site.extract(ready["id"], **body)
        seconds = time.monotonic() - begun
        assert done["status"] == "completed", done["error"]
        sums = fleet.checksums(done["storage_path"])
        return cls(site, fleet, ready["id"], body, sums, _manifest(fleet, done), seconds)

    @property
    def shards(self) -> int:
        return len(self.checksums[f"layers.{LAYERS[0]}.resid_post"])

    def forget(self) -> None:
        """Delete its caches."""
        caches = self.site.ask("GET", "/activations", params={"model_id": self.model_id})
        for cache in caches["activations"]:
            with self.site.frames() as frames:
                self.site.ask("DELETE", f"/activations/{cache['id']}", 204)
                frames.until("cache:evicted", cache_id=cache["id"])

    def start(self) -> str:
        """Ask for it, and return its id."""
        path = f"/models/{self.model_id}/extract-activations"
        return str(self.site.ask("POST", path, 202, json=self.body)["extraction_id"])

    def end(self, frames: Frames, extraction_id: str) -> Json:
        """Wait for its end and return it."""
        if not over(frames, extraction_id):
            frames.until(*EXTRACTION_DONE, extraction_id=extraction_id, timeout=PATIENCE)
        # What was killed meanwhile may be on its way back.
        self.fleet.stack.wait_ready(PATIENCE)
        return self.site.ask("GET", f"/extractions/{extraction_id}")

    def check(self, done: Json, told: str) -> None:
        """Assert that it is complete, and the undisturbed run's to the last byte."""
        assert done["status"] == "completed", (told, done["error"])
        assert self.fleet.checksums(done["storage_path"]) == self.checksums, told
        assert _manifest(self.fleet, done) == self.manifest, told


def _manifest(fleet: Fleet, done: Json) -> bytes:
    return (fleet.seen(Path(done["storage_path"])) / "manifest.json").read_bytes()


def over(frames: Frames, extraction_id: str) -> bool:
    """Tell whether the end of an extraction was seen."""
    ends = (f["data"]["extraction_id"] for f in frames.seen if f["type"] in EXTRACTION_DONE)
    return extraction_id in ends


def captured_by(stack: EmbeddedStack, extraction_id: str) -> dict[str, int]:
    """Return how many shards of an extraction each device has captured."""

    async def ask() -> dict[str, int]:
        connection = await asyncpg.connect(stack.database_url)
        try:
            rows = await connection.fetch(
                "SELECT device_id, count(*) AS shards FROM extraction_shards "
                "WHERE extraction_id = $1 AND status = 'captured' GROUP BY device_id",
                extraction_id,
            )
        finally:
            await connection.close()
        return {row["device_id"]: row["shards"] for row in rows}

    return asyncio.run(ask())


@dataclass(frozen=True)
class Queue:
    """The queue of shards: extractors that wait for one, and orders that some have in hand."""

    waiting: int
    in_hand: int


def queue(stack: EmbeddedStack) -> Queue:
    """Return how the queue of shards stands."""

    async def ask() -> Queue:
        client = await nats.connect(stack.nats_url)
        try:
            found = await client.jetstream().consumer_info("WORK", subjects.WORK_SHARD.durable())
        finally:
            await client.close()
        return Queue(int(found.num_waiting or 0), int(found.num_ack_pending or 0))

    return asyncio.run(ask())

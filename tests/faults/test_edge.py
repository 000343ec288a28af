"""Two sites joined by leaf nodes, and the link between them cut: nothing is lost, all catches up.

The catalog, its database and the gateway are at the centre; models run at the edge. The usual run
cuts the link between two servers without services: tests/integration/test_deploy.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nats
import pytest

from mistudio_client.embedded import AtTheEdge, EmbeddedStack, ForAnEdge
from mistudio_client.embedded.ports import PortBook
from mistudio_client.embedded.processes import wait_until
from mistudio_testkit.cable import Cable
from mistudio_testkit.faults import PATIENCE, Undisturbed, checksums, kill
from mistudio_testkit.models import make_model, ragged_texts, write_jsonl
from mistudio_testkit.site import EXTRACTION_DONE, Site

pytestmark = [
    pytest.mark.stack,
    pytest.mark.faults,
    pytest.mark.nightly("two whole sites"),
]

SHARD = "extraction:shard_completed"


@dataclass(frozen=True)
class Joined:
    """The two stacks, what joins them, and the centre's API."""

    centre: EmbeddedStack
    edge: EmbeddedStack
    cable: Cable
    site: Site

    def at_the_edge(self) -> tuple[int, int]:
        """Return how many orders the edge has to do, and how many reports the centre has not."""

        async def ask() -> tuple[int, int]:
            client = await nats.connect(self.edge.nats_url)
            try:
                jetstream = client.jetstream()
                reports = (await jetstream.stream_info("REPORTS")).state.messages
                queues = await jetstream.consumers_info("WORK")
            finally:
                await client.close()
            return sum((q.num_pending or 0) + (q.num_ack_pending or 0) for q in queues), reports

        return asyncio.run(ask())

    def online(self) -> bool:
        """Tell whether the centre hears the edge's device."""
        (device,) = self.site.ask("GET", "/devices")["devices"]
        return bool(device["online"])


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory, models_root: Path) -> Iterator[Joined]:
    home = tmp_path_factory.mktemp("sites")
    port = PortBook(home / "ports.json").claim("leaf")
    env = {
        "LOAD_REQUESTS_PER_HOUR": "1000000",
        "SHARD_TOKENS": "500",
        # Cut off for longer than this, the edge is given up for lost while it works.
        "DEVICE_SILENCE_SECONDS": "2",
        "WORK_SILENCE_SECONDS": "1",
        "RECONCILE_SECONDS": "1",
    }
    with (
        EmbeddedStack(home / "centre", link=ForAnEdge("jetson", port=port), env=env) as centre,
        Cable(port) as cable,
    ):
        address = centre.leaf_url.replace(f":{port}", f":{cable.port}")
        with EmbeddedStack(home / "edge", link=AtTheEdge(address), allow=[models_root]) as edge:
            site = Site(centre.url, centre.token)
            yield Joined(centre, edge, cable, site)
            site.close()


@pytest.mark.parametrize("killed", [False, True], ids=["cut off", "cut off and killed"])
def test_an_edge_that_is_cut_off_works_on_and_the_centre_catches_up(
    joined: Joined, tmp_path: Path, killed: bool
) -> None:
    site, cable = joined.site, joined.cable
    # Weights of its own: what the other of the two captured would be answered from the cache.
    model = make_model(tmp_path / "gpt2", "gpt2", seed=int(killed), n_embd=128, n_layer=8)
    undisturbed = Undisturbed.run(site, model, tmp_path)
    other = site.upload(write_jsonl(tmp_path / "other.jsonl", ragged_texts(20, seed=4)))
    shards = len(next(iter(undisturbed.checksums.values())))

    with site.frames() as frames:
        extraction_id = undisturbed.start(site)
        frames.until(SHARD, extraction_id=extraction_id)
        cable.cut()
        assert wait_until(lambda: joined.at_the_edge()[0] == 0, PATIENCE), "it works on"
        _, done_alone = joined.at_the_edge()
        if killed:
            # One that starts while it is cut off asks for the other end every half minute.
            kill(joined.edge, "nats")
        assert wait_until(lambda: not joined.online(), PATIENCE)
        # What is asked for meanwhile waits for the edge.
        path = f"/models/{undisturbed.model_id}/extract-activations"
        body = {"dataset_id": other["id"], "layer_indices": [1]}
        waiting = site.ask("POST", path, 202, json=body)["extraction_id"]
        seen = [f["data"] for f in frames.seen if f["type"] == SHARD]
        assert done_alone > 0
        assert len(seen) < shards
        joined.edge.wait_ready(PATIENCE)
        cable.join()
        ends = {frames.until(*EXTRACTION_DONE, timeout=PATIENCE)["extraction_id"] for _ in range(2)}
        told = Counter(
            f["data"]["shard_index"]
            for f in frames.seen
            if f["type"] == SHARD and f["data"]["extraction_id"] == extraction_id
        )
    assert ends == {extraction_id, waiting}
    done = site.ask("GET", f"/extractions/{extraction_id}")
    assert done["status"] == "completed", done["error"]
    assert checksums(done["storage_path"]) == undisturbed.checksums
    assert told == Counter(range(shards)), "each shard is counted once"
    assert site.ask("GET", f"/extractions/{waiting}")["status"] == "completed"
    assert wait_until(joined.online, PATIENCE)
    assert "given again" not in joined.centre.log("catalog"), "what is away is not lost"


def test_the_centre_alone_keeps_what_is_true(joined: Joined) -> None:
    running = {
        name: {each.stem for each in stack.layout.logs.glob("*.log")}
        for name, stack in (("centre", joined.centre), ("edge", joined.edge))
    }
    assert {"catalog", "gateway", "postgres", "nats"} <= running["centre"]
    assert {"loader", "extractor", "nats"} <= running["edge"]
    assert not {"loader", "extractor"} & running["centre"]
    assert not {"catalog", "gateway", "postgres", "migrate"} & running["edge"]

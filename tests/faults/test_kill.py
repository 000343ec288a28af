"""``kill -9`` of each process: the work completes, and the store is the same.

One file, so that its stack is started once.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mistudio_client.embedded import EmbeddedStack
from mistudio_testkit.faults import PATIENCE, Undisturbed, checksums, kill
from mistudio_testkit.models import make_model
from mistudio_testkit.site import MODEL_DONE, Site

pytestmark = [
    pytest.mark.stack,
    pytest.mark.faults,
    pytest.mark.nightly("a kill of every process at several moments"),
]

EARLY, MIDWAY = "extraction:queued", "extraction:shard_completed"


@pytest.mark.parametrize("moment", [EARLY, MIDWAY])
@pytest.mark.parametrize("victim", ["extractor", "catalog", "nats", "postgres"])
def test_an_extraction_outlives_a_kill(
    stack: EmbeddedStack, site: Site, undisturbed: Undisturbed, victim: str, moment: str
) -> None:
    undisturbed.outlives(stack, site, victim, moment)


def test_a_killed_gateway_comes_back_and_replays_what_was_missed(
    stack: EmbeddedStack, site: Site, undisturbed: Undisturbed
) -> None:
    with site.frames() as frames:
        extraction_id = undisturbed.start(site)
        frames.until("extraction:queued", extraction_id=extraction_id)
        last = frames.seen[-1]["id"]
        kill(stack, "gateway")
    stack.wait_ready(PATIENCE)
    with site.frames(after=last) as frames:
        frames.until("extraction:completed", extraction_id=extraction_id, timeout=PATIENCE)
    done = site.ask("GET", f"/extractions/{extraction_id}")
    assert checksums(done["storage_path"]) == undisturbed.checksums


@pytest.mark.parametrize("victim", ["loader", "extractor", "catalog", "nats"])
def test_a_load_outlives_a_kill(
    stack: EmbeddedStack, site: Site, tmp_path: Path, victim: str
) -> None:
    seed = sum(map(ord, victim))
    path = make_model(tmp_path / "m", "llama", seed=seed, hidden_size=512, intermediate_size=2048)
    model = site.register(path, quantization="fp16")
    with site.frames(models=[model["id"]]) as frames:
        site.ask("POST", f"/models/{model['id']}/load", json={})
        frames.until("model:loading", model_id=model["id"])
        kill(stack, victim)
        frames.until(*MODEL_DONE, model_id=model["id"], timeout=PATIENCE)
    ready = site.ask("GET", f"/models/{model['id']}")
    assert ready["status"] == "ready", ready["error"]
    staging = stack.data_dir / "models" / ".staging"
    assert not staging.exists() or not list(staging.iterdir()), "nothing half-written is left"
    site.ask("POST", f"/models/{model['id']}/unload")

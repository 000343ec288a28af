"""``kill -9`` when nothing is captured yet: the work completes, and the store is the same."""

from __future__ import annotations

import pytest

from mistudio_client.embedded import EmbeddedStack
from mistudio_testkit.faults import PATIENCE, Undisturbed, checksums, kill
from mistudio_testkit.site import Site

pytestmark = [pytest.mark.stack, pytest.mark.faults]


@pytest.mark.parametrize("victim", ["extractor", "catalog", "nats", "postgres"])
def test_an_extraction_outlives_a_kill(
    stack: EmbeddedStack, site: Site, undisturbed: Undisturbed, victim: str
) -> None:
    undisturbed.outlives(stack, site, victim, "extraction:queued")


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

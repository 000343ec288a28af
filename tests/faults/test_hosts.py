"""Extractors on other hosts, whose network is cut in the middle: only the speed changes.

NATS, Postgres and the other services run on one host, extractors on two; they share a directory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mistudio_client.embedded import EmbeddedStack
from mistudio_client.embedded.processes import wait_until
from mistudio_testkit.faults import PATIENCE, hurry
from mistudio_testkit.fleet import Fleet
from mistudio_testkit.hosts import Network
from mistudio_testkit.models import make_model, ragged_texts, write_jsonl
from mistudio_testkit.repeated import Work, captured_by, queue
from mistudio_testkit.site import Site

pytestmark = [
    pytest.mark.stack,
    pytest.mark.faults,
    pytest.mark.nightly("a stack over three hosts"),
]

SHARD = "extraction:shard_completed"


@pytest.fixture
def network() -> Iterator[Network]:
    with Network(3) as made:
        yield made


def test_a_host_that_is_cut_off_delays_and_changes_nothing(
    network: Network, tmp_path: Path, models_root: Path
) -> None:
    main, near, far = network.hosts
    env = {"LOAD_REQUESTS_PER_HOUR": "1000000", "SHARD_TOKENS": "250"}
    stack = EmbeddedStack(
        tmp_path / "stack",
        allow=[models_root],
        env=env,
        bus_host=main.address,
        services=("catalog", "loader", "gateway"),
    )
    model = make_model(tmp_path / "gpt2", "gpt2", n_embd=128, n_layer=6)
    texts = write_jsonl(tmp_path / "d.jsonl", ragged_texts(250, seed=9))

    def drive() -> None:
        with stack, Fleet(stack, tmp_path / "extractors") as fleet:
            hurry(stack.nats_url, ack_wait=2.0)
            site = Site(stack.url, stack.token)
            fleet.start("near", near.namespace)
            work = Work.run(site, fleet, model, texts)
            fleet.start("far", far.namespace)
            work.forget()
            with site.frames() as frames:
                extraction_id = work.start()
                while "dev_far" not in captured_by(stack, extraction_id):
                    frames.until(SHARD, extraction_id=extraction_id)
                network.cut(far)
                before = captured_by(stack, extraction_id)
                done = work.end(frames, extraction_id)
            work.check(done, "a host was cut off")
            after = captured_by(stack, extraction_id)
            assert sum(after.values()) == work.shards
            assert after["dev_far"] <= before["dev_far"] + 1, "one was reported as the link fell"
            assert after["dev_near"] > before.get("dev_near", 0), "what it had went elsewhere"
            network.join(far)
            assert wait_until(lambda: queue(stack).waiting == 2, PATIENCE), "it asks for work again"
            work.forget()
            with site.frames() as frames:
                extraction_id = work.start()
                done = work.end(frames, extraction_id)
            work.check(done, "the host is back")
            assert set(captured_by(stack, extraction_id)) == {"dev_near", "dev_far"}
            site.close()

    main.run(drive)

"""Several extractors on one extraction, and faults at random points: nothing is lost.

One file, so that its stack is started once. Its extractors join by environment alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mistudio_client.embedded import EmbeddedStack
from mistudio_testkit.faults import PATIENCE, hurry, kill
from mistudio_testkit.fleet import Fleet
from mistudio_testkit.models import make_model, ragged_texts, write_jsonl
from mistudio_testkit.repeated import Work, captured_by, over, queue
from mistudio_testkit.seeds import one_seed
from mistudio_testkit.site import Frames, Site

pytestmark = [
    pytest.mark.stack,
    pytest.mark.faults,
    pytest.mark.nightly("thirty kills and ten full disks"),
]

SEED = one_seed()
"""Of every random point here; a failure names it, and it is taken from the environment."""

MIB = 1024 * 1024
DISK = 96 * MIB
SHARD = "extraction:shard_completed"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, models_root: Path) -> Iterator[Fleet]:
    """A stack without an extractor, those that join it, and a small disk that they share."""
    env = {"LOAD_REQUESTS_PER_HOUR": "1000000", "SHARD_TOKENS": "250"}
    data = tmp_path_factory.mktemp("fleet")
    services = ("catalog", "loader", "gateway")
    with EmbeddedStack(data, allow=[models_root], env=env, services=services) as stack:
        # Where a worker is killed, tests need not wait for its message as long as users do.
        hurry(stack.nats_url, ack_wait=2.0)
        reserve = {"DISK_RESERVE_BYTES": "0", "LOG_LEVEL": "INFO"}
        home = tmp_path_factory.mktemp("extractors")
        with Fleet(stack, home, disk=DISK, env=reserve) as running:
            yield running


@pytest.fixture(scope="module")
def site(fleet: Fleet) -> Iterator[Site]:
    opened = Site(fleet.stack.url, fleet.stack.token)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def work(fleet: Fleet, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """Done once by an extractor that nobody disturbs, which goes on."""
    directory = tmp_path_factory.mktemp("work")
    model = make_model(directory / "gpt2", "gpt2", n_embd=128, n_layer=6)
    texts = write_jsonl(directory / "d.jsonl", ragged_texts(250, seed=9))
    fleet.start("a")
    return Work.run(site, fleet, model, texts)


def used_bytes(fleet: Fleet) -> int:
    found = os.statvfs(fleet.seen(fleet.stack.layout.activations))
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def test_extractors_that_come_and_go_change_only_the_speed(fleet: Fleet, work: Work) -> None:
    work.forget()
    with work.site.frames() as frames:
        extraction_id = work.start()
        frames.until(SHARD, extraction_id=extraction_id)
        # Who was there first stands still, so that there is work left for those that join.
        with fleet.paused("a"):
            fleet.start("b")
            while "dev_b" not in captured_by(fleet.stack, extraction_id):
                frames.until(SHARD, extraction_id=extraction_id)
            with fleet.paused("b"):
                fleet.start("c")
                while "dev_c" not in captured_by(fleet.stack, extraction_id):
                    frames.until(SHARD, extraction_id=extraction_id)
            fleet.leave("b")
            # It finished its shard or gave it back: nobody waits for one that is gone.
            assert queue(fleet.stack).in_hand <= len(fleet.pids)
            fleet.kill("c")
        done = work.end(frames, extraction_id)
        told = Counter(f["data"]["shard_index"] for f in frames.seen if f["type"] == SHARD)
    work.check(done, "several extractors")
    captured = captured_by(fleet.stack, extraction_id)
    assert set(captured) == {"dev_a", "dev_b", "dev_c"}
    assert sum(captured.values()) == work.shards
    assert told == Counter(range(work.shards)), "each shard is counted once"


VICTIMS = ["extractor"] * 24 + ["catalog"] * 2 + ["nats"] * 2 + ["postgres"] * 2
FULL_DISKS = 10


def test_kill_9_at_random_points(fleet: Fleet, work: Work) -> None:
    chance = random.Random(SEED)
    chance.shuffle(victims := list(VICTIMS))
    for number, victim in enumerate(victims):
        share = chance.random()
        told = f"MISTUDIO_FAULT_SEED={SEED}: point {number}, {victim} at {share:.3f}"
        work.forget()
        with work.site.frames() as frames:
            extraction_id = work.start()
            meanwhile(frames, share * work.seconds)
            strike(fleet, victim)
            done = work.end(frames, extraction_id)
        work.check(done, told)
    fleet.stack.wait_ready(PATIENCE)


def meanwhile(frames: Frames, seconds: float) -> None:
    """Take the frames of the next ``seconds``."""
    until = time.monotonic() + seconds
    with contextlib.suppress(TimeoutError):
        while (left := until - time.monotonic()) > 0:
            frames.next(left)


def strike(fleet: Fleet, victim: str) -> None:
    if victim == "extractor":
        fleet.kill("a")
        fleet.start("a")
    else:
        kill(fleet.stack, victim)


def test_a_disk_that_fills_at_random_points_leaves_nothing_and_is_made_good(
    fleet: Fleet, work: Work
) -> None:
    chance, size = random.Random(SEED), work_bytes(work)
    ends: Counter[str] = Counter()
    for number in range(FULL_DISKS):
        share = chance.random()
        told = f"MISTUDIO_FAULT_SEED={SEED}: point {number}, full at {share:.3f} of its bytes"
        work.forget()
        with work.site.frames() as frames, Ballast(fleet, size) as ballast:
            extraction_id = work.start()
            ballast.fill_after(share * size, frames, extraction_id)
            done = work.end(frames, extraction_id)
            if done["status"] == "failed":
                assert done["error"]["code"] == "INSUFFICIENT_STORAGE", (told, done["error"])
                assert not ballast.manifests(), told
        ends[done["status"]] += 1
        if done["status"] == "failed":
            done = work.site.extract(work.model_id, timeout=PATIENCE, **work.body)
        work.check(done, told)
    assert ends["failed"] >= FULL_DISKS // 2, (SEED, ends)


def work_bytes(work: Work) -> int:
    """Return what the work's columns take on the disk."""
    document = json.loads(work.manifest)
    shards = [shard for column in document["columns"].values() for shard in column["shards"]]
    return sum(shard["bytes"] for shard in shards)


class Ballast:
    """What else lies on the disk: at first it leaves room for the work, then none at all."""

    def __init__(self, fleet: Fleet, work_bytes: int) -> None:
        self._fleet = fleet
        self._stores = fleet.seen(fleet.stack.layout.activations)
        self._path = self._stores / "ballast"
        self._room = work_bytes + 2 * MIB

    def __enter__(self) -> Ballast:
        self._file = self._path.open("wb", buffering=0)
        used = used_bytes(self._fleet)
        os.posix_fallocate(self._file.fileno(), 0, DISK - used - self._room)
        self._before = used_bytes(self._fleet)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink()

    def fill_after(self, written: float, frames: Frames, extraction_id: str) -> None:
        """Take all the room there is once the work has written so many bytes, or is over."""
        while used_bytes(self._fleet) - self._before < written and not over(frames, extraction_id):
            with contextlib.suppress(TimeoutError):
                frames.next(0.001)
        self._file.seek(0, os.SEEK_END)
        with contextlib.suppress(OSError):  # There is no room any more, as is wanted.
            while True:
                self._file.write(bytes(64 * 1024))

    def manifests(self) -> list[Path]:
        return list(self._stores.glob("*/manifest.json"))

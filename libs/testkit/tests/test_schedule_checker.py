"""The checker of fault schedules, by invented histories: each lie of them must be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from mistudio_testkit.schedules.checker import complaints
from mistudio_testkit.schedules.draw import Fault, Verb, draw
from mistudio_testkit.schedules.final import (
    CacheRow,
    ExtractionRow,
    Final,
    ModelRow,
    StoreOnDisk,
    disagreements,
)
from mistudio_testkit.schedules.history import Asked, Event, History, Outcome, Sitting

READY = ModelRow("m_1", "ready", "idle", "dev_a", "f1")
OVER = ExtractionRow("ext_1", "m_1", "completed", "act_1", "s1")
CACHE = CacheRow("act_1", "s1", ("layers.0.resid_post",))
SUMS = {"layers.0.resid_post": ["aa", "bb"]}

FINAL = Final(
    models=(READY,),
    extractions=(OVER,),
    caches=(CACHE,),
    columns={"s1": frozenset(SUMS)},
    stores={"s1": StoreOnDisk(columns=SUMS)},
    artifacts={"f1": ""},
    devices={"dev_a": frozenset({"m_1"})},
)


def event(sequence: int, kind: str, **data: Any) -> Event:
    return Event(sequence, kind, {"timestamp": f"at {sequence}", **data})


TOLD = (
    event(11, "model:registered", model_id="m_1"),
    event(12, "model:loading", model_id="m_1", task_id="task_1"),
    event(13, "model:prepared", model_id="m_1", task_id="task_1"),
    event(14, "model:ready", model_id="m_1", task_id="task_1"),
    event(15, "extraction:queued", extraction_id="ext_1", model_id="m_1"),
    event(16, "extraction:shard_completed", extraction_id="ext_1", shard_index=0),
    event(17, "extraction:shard_completed", extraction_id="ext_1", shard_index=1),
    event(18, "extraction:completed", extraction_id="ext_1", model_id="m_1", cache_id="act_1"),
    event(19, "cache:evicted", cache_id="act_0"),
)


def asked(verb: Verb, target: str, outcome: Outcome = Outcome.ACCEPTED, **ids: str) -> Asked:
    client = "bus" if "command_id" in ids else "ada"
    return Asked(client, verb, target, 0.5, 0.6, outcome, "", ids)


ASKED = (
    asked(Verb.REGISTER, "/m", model_id="m_1"),
    asked(Verb.LOAD, "m_1", task_id="task_1"),
    asked(Verb.EXTRACT, "m_1", extraction_id="ext_1"),
    asked(Verb.EVICT, "act_0"),
)


def watched(*sittings: Sequence[Event], newest: int = 10) -> tuple[Sitting, ...]:
    return tuple(Sitting(None, newest, False, tuple(events)) for events in sittings)


TRUE = History(asked=ASKED, watched={"steady": watched(TOLD)}, kept=TOLD, begun=10)


def with_event(*events: Event, after: int = 19) -> History:
    """The true history with events that follow the one with a sequence."""
    kept = [each for each in TOLD if each.sequence <= after]
    kept += events
    return replace(TRUE, kept=tuple(kept), watched={"steady": watched(kept)})


def test_what_is_as_it_must_be_is_not_complained_of() -> None:
    assert complaints(TRUE, FINAL) == []
    assert disagreements(FINAL, {"s1": SUMS}) == []


END = {"extraction_id": "ext_1", "model_id": "m_1"}
LIES: dict[str, tuple[History, str]] = {
    "two ends": (with_event(event(20, "extraction:failed", **END)), "ended more than once"),
    "the same end twice": (
        with_event(event(20, "extraction:completed", **END)),
        "ended more than once",
    ),
    "no end": (
        with_event(TOLD[8], after=17),
        "ext_1 was accepted, never said to be over, and is completed",
    ),
    "begun without an end": (
        with_event(event(20, "extraction:queued", extraction_id="ext_2")),
        "ext_2 began, and was never said to be over",
    ),
    "another end than the row's": (
        with_event(event(18, "extraction:cancelled", **END), TOLD[8], after=17),
        "is completed, and was said to be cancelled",
    ),
    "a shard after the end": (
        with_event(event(20, "extraction:shard_completed", extraction_id="ext_1", shard_index=2)),
        "went on after its end",
    ),
    "a shard twice": (
        with_event(
            event(18, "extraction:shard_completed", extraction_id="ext_1", shard_index=0),
            event(20, "extraction:completed", **END),
            event(21, "cache:evicted", cache_id="act_0"),
            after=17,
        ),
        "shard 0 of ext_1 was counted 2 times",
    ),
    "ready twice": (
        with_event(event(20, "model:ready", model_id="m_1", task_id="task_1")),
        "m_1 was ready, and then",
    ),
    "unloaded, says the stream alone": (
        with_event(event(20, "model:unloaded", model_id="m_1", reason="lru")),
        "m_1 is ready, and was said to be resting",
    ),
    "alive after its deletion": (
        with_event(
            event(20, "model:deleted", model_id="m_1"),
            event(21, "model:loading", model_id="m_1", task_id="task_2"),
        ),
        "m_1 was deleted, and then",
    ),
    "deleted, and there": (
        with_event(event(20, "model:deleted", model_id="m_1")),
        "was said to be deleted, and is there",
    ),
    "a load that nobody heard of": (
        replace(TRUE, asked=(*ASKED, asked(Verb.LOAD, "m_1", task_id="task_9"))),
        "the load task_9 was accepted, and never said to begin",
    ),
    "a load that begins twice": (
        with_event(
            event(20, "model:failed", model_id="m_1", task_id="task_1"),
            event(21, "model:loading", model_id="m_1", task_id="task_1"),
            event(22, "model:ready", model_id="m_1", task_id="task_1"),
        ),
        "the load task_1 was said to begin 2 times",
    ),
    "registered, and not there": (
        replace(TRUE, asked=(*ASKED, asked(Verb.REGISTER, "/m", model_id="m_9"))),
        "m_9 was registered, and is not there",
    ),
    "a deletion that left it": (
        replace(TRUE, asked=(*ASKED, asked(Verb.DELETE, "m_1"))),
        "m_1 was deleted, and is there",
    ),
    "refused twice": (
        replace(
            with_event(
                event(20, "command:refused", command_id="c1"),
                event(21, "command:refused", command_id="c1"),
            ),
            asked=(*ASKED, asked(Verb.LOAD, "m_1", command_id="c1")),
        ),
        "the command c1 was refused 2 times",
    ),
    "refused, and done": (
        replace(
            with_event(event(20, "command:refused", command_id="c1")),
            asked=(*ASKED, asked(Verb.EXTRACT, "m_1", extraction_id="ext_1", command_id="c1")),
        ),
        "ext_1 was refused, and exists",
    ),
    "a refusal of nothing": (
        with_event(event(20, "command:refused", command_id="c9")),
        "nobody gave it",
    ),
    "a command of the bus that came to nothing": (
        replace(
            TRUE,
            asked=(*ASKED, asked(Verb.EXTRACT, "m_1", extraction_id="ext_9", command_id="c9")),
        ),
        "ext_9 was accepted, never said to be over, and is not there",
    ),
    "a cache deleted in silence": (
        replace(TRUE, asked=(*ASKED, asked(Verb.EVICT, "act_7"))),
        "the cache act_7 was deleted, and nobody was told",
    ),
    "a cache evicted twice": (
        with_event(event(20, "cache:evicted", cache_id="act_0")),
        "the cache act_0 was evicted 2 times",
    ),
    "a watcher that missed one": (
        replace(TRUE, watched={"steady": watched(TOLD[:4], TOLD[5:])}),
        "steady was never told of 1 events",
    ),
    "a watcher that heard twice": (
        replace(TRUE, watched={"steady": watched(TOLD[:5], TOLD[4:])}),
        "steady was told twice",
    ),
    "a watcher that heard out of order": (
        replace(TRUE, watched={"steady": watched((TOLD[1], TOLD[0], *TOLD[2:]))}),
        "steady was told out of order",
    ),
    "a watcher that heard what was never said": (
        replace(TRUE, watched={"steady": watched((*TOLD, event(20, "model:ready")))}),
        "told what the stream does not hold",
    ),
    "an internal error": (
        replace(TRUE, asked=(replace(ASKED[0], status=500), *ASKED[1:])),
        "an internal error was answered",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_history_that_cannot_be_is_complained_of(lie: str) -> None:
    history, complaint = LIES[lie]
    assert any(complaint in each for each in complaints(history, FINAL)), complaints(history, FINAL)


WRONG: dict[str, tuple[Final, str]] = {
    "unrest": (replace(FINAL, unrest=("a message waits",)), "it does not come to rest"),
    "a dead message": (replace(FINAL, dead=("dead.x (1)",)), "a message is dead"),
    "a ready model without an artifact": (
        replace(FINAL, artifacts={}),
        "m_1 is ready, and its artifact is absent",
    ),
    "a ready model whose artifact is damaged": (
        replace(FINAL, artifacts={"f1": "not whole"}),
        "m_1 is ready, and its artifact is not whole",
    ),
    "a ready model in no memory": (
        replace(FINAL, devices={"dev_a": frozenset()}),
        "m_1 is ready, and dev_a does not hold it",
    ),
    "a ready model on a silent device": (
        replace(FINAL, devices={"dev_a": None}),
        "which does not answer",
    ),
    "memory held for nothing": (
        replace(FINAL, models=(replace(READY, status="unloaded"),)),
        "dev_a holds m_1, which is not ready",
    ),
    "a cache of nothing": (replace(FINAL, stores={}, columns={}), "which its store lacks"),
    "a store that the catalog alone knows": (
        replace(FINAL, stores={}),
        "the catalog has a store s1, which is not on the disk",
    ),
    "a store that the disk alone knows": (
        replace(FINAL, columns={}),
        "the catalog says []",
    ),
    "a damaged store": (
        replace(FINAL, stores={"s1": StoreOnDisk(damage="a checksum")}),
        "is damaged: a checksum",
    ),
    "files without a name": (
        replace(FINAL, stores={"s1": StoreOnDisk(SUMS, unnamed=("x/00000.stats",))}),
        "holds what nothing names",
    ),
    "other values": (
        replace(FINAL, stores={"s1": StoreOnDisk({"layers.0.resid_post": ["aa", "cc"]})}),
        "is not what it is without faults",
    ),
    "an artifact of no model": (
        replace(FINAL, artifacts={"f1": "", "f2": ""}),
        "the artifact f2 lies on the disk, and no model is of it",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_end_that_does_not_agree_is_complained_of(case: str) -> None:
    final, complaint = WRONG[case]
    found = disagreements(final, {"s1": SUMS})
    assert any(complaint in each for each in found), found


ANEW = (
    event(1, "model:unloaded", model_id="m_1", reason="requested"),
    event(2, "model:loading", model_id="m_1", task_id="task_2"),
    event(3, "model:ready", model_id="m_1", task_id="task_2"),
)
LOST = replace(
    TRUE, kept=ANEW, watched={"steady": watched(TOLD[:8], ANEW)}, lost=1.0, asked=ASKED[:3]
)


def test_what_a_lost_stream_held_may_be_missing_and_no_more() -> None:
    assert complaints(LOST, FINAL) == []
    unheard = replace(LOST, watched={"steady": watched(TOLD[:5], ANEW)})
    assert complaints(unheard, FINAL) == [], "the end of ext_1 was on the lost disk"

    later = replace(ASKED[2], begun=1.5, ids={"extraction_id": "ext_2"})
    found = complaints(replace(LOST, asked=(*LOST.asked, later)), FINAL)
    assert any("ext_2 was accepted, never said to be over" in each for each in found)
    found = complaints(replace(LOST, watched={"steady": watched(TOLD[:8], ANEW[1:])}), FINAL)
    assert any("steady was never told of 1 events" in each for each in found)


def test_a_seed_is_one_schedule_for_ever() -> None:
    assert draw(7) == draw(7)
    assert draw(7) != draw(8)
    assert str(draw(7)).startswith("seed 7\n")
    drawn = {strike.fault for seed in range(300) for strike in draw(seed).strikes}
    on_a_cluster = {strike.fault for seed in range(300) for strike in draw(seed, 3).strikes}
    assert drawn | on_a_cluster == set(Fault)
    assert {deed.verb for seed in range(20) for deed in draw(seed).deeds} == set(Verb)

"""What fits, who leaves for it, and what to choose."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistudio_footprint import (
    FORMATS,
    Batch,
    DecoderShape,
    Format,
    Plan,
    Resident,
    Room,
    checkpoint_dtype,
    decide,
    parts,
    plan,
    preference,
    recommend,
)

from .published import PUBLISHED

GIB = 1 << 30
SIX = Room(6 * GIB)

residents = st.lists(
    st.builds(
        Resident,
        st.uuids().map(str),
        st.integers(1, 50),
        st.floats(0, 9).map(round),
        st.booleans(),
        st.integers(0, 1),
    ),
    max_size=5,
).map(tuple)


@st.composite
def rooms(draw: st.DrawFn) -> Room:
    there = draw(residents)
    used = sum(each.bytes for each in there) + draw(st.integers(0, 20))
    free = draw(st.none() | st.integers(0, 60))
    return Room(draw(st.integers(0, 120)), used, free, there)


def fits(required: int, room: Room, leaving: set[str]) -> bool:
    freed = sum(each.bytes for each in room.residents if each.model_id in leaving)
    own = required <= room.budget - room.used + freed
    return own and (room.free is None or required <= room.free + freed)


@given(st.integers(1, 130), rooms())
def test_a_verdict_is_kept_and_costs_nobody_needlessly(required: int, room: Room) -> None:
    verdict = decide(required, room)
    by_id = {each.model_id: each for each in room.residents}

    assert (verdict.fit == "never") == (required > room.budget)
    assert all(by_id[each].may_leave for each in verdict.evict)
    assert not any(by_id[each].may_leave for each in verdict.held_by)
    assert (verdict.fit == "now") == fits(required, room, set())
    leaving = {*verdict.evict, *verdict.held_by}
    if verdict.fit == "after_eviction" and not verdict.others:
        assert fits(required, room, leaving)
        last = (verdict.held_by or verdict.evict)[-1]
        assert not fits(required, room, leaving - {last})
    if verdict.held_by:
        idle = [each.model_id for each in room.residents if each.may_leave]
        assert set(verdict.evict) == set(idle)
        assert not any(
            fits(required, room, set(chosen))
            for count in range(len(idle) + 1)
            for chosen in combinations(idle, count)
        )


@given(st.integers(1, 130), rooms())
def test_the_least_recently_used_leave_first(required: int, room: Room) -> None:
    verdict = decide(required, room)
    used = {each.model_id: each.last_used for each in room.residents}
    times = [used[each] for each in verdict.evict]
    assert times == sorted(times)
    stay = [e for e in room.residents if e.may_leave and e.model_id not in verdict.evict]
    assert all(each.last_used >= max(times, default=0) for each in stay if times)


@given(rooms(), st.data())
def test_a_room_without_a_model_has_its_bytes_back(room: Room, data: st.DataObject) -> None:
    if not room.residents:
        assert room.without("m_x") == Room(room.budget, room.used, room.free)
        return
    gone = data.draw(st.sampled_from(room.residents))
    left = room.without(gone.model_id)
    assert (left.used, left.budget) == (room.used - gone.bytes, room.budget)
    assert gone not in left.residents


def planned(name: str, room: Room = SIX, kind: str = "cuda") -> dict[str, Plan]:
    config = PUBLISHED[name]
    shape, dtype = DecoderShape.from_config(config), checkpoint_dtype(config)
    return {each: plan(shape, Format(each, dtype), room, kind) for each in FORMATS}


def chosen(name: str, room: Room = SIX) -> str | None:
    return recommend(planned(name, room), checkpoint_dtype(PUBLISHED[name]))


@pytest.mark.parametrize(
    ("name", "best"),
    [
        ("gpt2", "none"),
        ("llama-3.2-1b", "none"),
        ("gemma-2-2b", "bf16"),
        ("phi-3-mini", "int8"),
        ("llama-2-7b", "int4"),
        ("mistral-7b", "int4"),
        ("llama-2-13b", None),
        ("mixtral-8x7b", None),
    ],
)
def test_the_least_lossy_format_that_fits_6_gib_is_chosen(name: str, best: str | None) -> None:
    assert chosen(name) == best


def test_what_fits_now_comes_before_what_needs_an_eviction() -> None:
    idle = Resident("m_idle", 4 * GIB)
    assert chosen("llama-3.2-1b", Room(6 * GIB, 2 * GIB, None, ())) == "none"
    assert chosen("llama-3.2-1b", Room(6 * GIB, 3 * GIB, None, (idle,))) == "int8"
    assert chosen("llama-3.2-1b", Room(6 * GIB, 5 * GIB, None, (idle,))) == "none"
    held = (idle, Resident("m_held", 3 * GIB, pinned=True))
    assert chosen("llama-3.2-1b", Room(7 * GIB, 7 * GIB, None, held)) == "none"
    assert chosen("llama-3.2-1b", Room(6 * GIB, 7 * GIB, None, held)) == "int8"


def test_half_precision_keeps_the_checkpoints_own_kind() -> None:
    assert preference("float16")[:3] == ("none", "fp16", "bf16")
    assert preference("bfloat16")[:3] == preference("float32")[:3] == ("none", "bf16", "fp16")


def test_neither_13b_at_int4_nor_7b_at_int8_ever_fits_6_gib() -> None:
    assert planned("llama-2-13b")["int4"].verdict.fit == "never"
    assert planned("llama-2-7b")["int8"].verdict.fit == "never"


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_a_plan_that_fits_stays_within_the_budget_with_its_largest_batch(
    name: str, kind: str
) -> None:
    shape = DecoderShape.from_config(PUBLISHED[name])
    for each in planned(name, SIX, kind).values():
        assert (each.batch.samples == 0) == (each.verdict.fit == "never")
        assert (each.parts.total <= SIX.budget) == (each.verdict.fit == "now")
        if each.verdict.fit == "now":
            assert each.batch.length <= shape.context
            assert each.parts == parts(shape, each.how, each.batch, kind)


@pytest.mark.parametrize("name", ["llama-2-13b", "llama-2-7b", "gpt-j-6b", "falcon-7b"])
def test_offloading_leaves_on_disk_what_does_not_fit_and_tells_what_it_costs(name: str) -> None:
    shape = DecoderShape.from_config(PUBLISHED[name])
    made = planned(name)["fp16"]
    offer = made.offload
    assert offer is not None
    assert offer.total <= SIX.budget
    block = offer.read_per_batch // offer.blocks
    assert block * shape.layers < made.parts.weights
    # One block fewer on the disk would not fit.
    assert offer.total + block > SIX.budget
    assert f"{offer.blocks} of {shape.layers} blocks are read from the disk" in offer.cost


def test_a_budget_too_small_for_anything_offers_nothing() -> None:
    made = planned("llama-2-7b", Room(64 << 20))["int4"]
    assert (made.verdict.fit, made.offload, made.batch.samples) == ("never", None, 0)


def test_experts_are_not_quantised_and_are_offloaded_by_whole_blocks() -> None:
    made = planned("mixtral-8x7b")
    assert made["int4"].unavailable is not None
    assert made["int4"].offload is None
    offer = made["fp16"].offload
    assert offer is not None
    assert offer.total <= SIX.budget


@given(
    st.sampled_from(sorted(PUBLISHED)),
    st.sampled_from(FORMATS),
    st.sampled_from(["cpu", "cuda"]),
)
def test_a_larger_batch_never_takes_less(name: str, quantization: str, kind: str) -> None:
    shape, how = DecoderShape.from_config(PUBLISHED[name]), Format(quantization, "float16")
    sizes = [
        parts(shape, how, Batch(samples, length), kind).total
        for samples, length in ((1, 64), (1, 128), (2, 128), (2, 128), (4, 512), (4, 1024))
    ]
    assert sizes == sorted(sizes)

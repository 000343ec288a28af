"""Who must leave so that a model fits: for any residents, the same rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistudio_contracts.errors import InsufficientMemory, ModelTooLarge
from mistudio_extractor.domain.admission import GB, Limits, Need, Seat, admit, required

needs = st.builds(Need, weights=st.integers(0, 60), working=st.integers(0, 20))
seats = st.lists(
    st.builds(
        Seat,
        model_id=st.uuids().map(str),
        need=needs,
        last_used=st.floats(0, 10),
        leases=st.integers(0, 2),
    ),
    max_size=5,
    unique_by=lambda seat: seat.model_id,
)
limits = st.builds(
    Limits,
    budget=st.integers(1, 120),
    models=st.integers(1, 4),
    free=st.none() | st.integers(0, 120),
)


def fits(newcomer: Need, staying: list[Seat], gone: list[Seat], bounds: Limits) -> bool:
    free = bounds.free
    return (
        required([newcomer, *(s.need for s in staying)]) <= bounds.budget
        and len(staying) < bounds.models
        and (free is None or required([newcomer]) <= free + sum(s.need.weights for s in gone))
    )


@given(newcomer=needs, there=seats, bounds=limits)
def test_whoever_is_let_in_fits_and_nobody_leaves_without_need(
    newcomer: Need, there: list[Seat], bounds: Limits
) -> None:
    idle = [s for s in there if s.leases == 0]
    busy = [s for s in there if s.leases]
    try:
        leaving = admit(newcomer, there, bounds)
    except ModelTooLarge:
        assert required([newcomer]) > bounds.budget
        return
    except InsufficientMemory:
        assert not fits(newcomer, busy, idle, bounds), "not even without all idle models"
        return
    gone = [s for s in there if s.model_id in leaving]
    staying = [s for s in there if s.model_id not in leaving]
    assert fits(newcomer, staying, gone, bounds)
    assert all(s.leases == 0 for s in gone), "nobody at work is sent away"
    oldest_first = sorted(idle, key=lambda s: (s.last_used, s.model_id))
    assert list(leaving) == [s.model_id for s in oldest_first[: len(leaving)]]
    if leaving:
        kept = [s for s in there if s.model_id not in leaving[:-1]]
        before = [s for s in gone if s.model_id in leaving[:-1]]
        assert not fits(newcomer, kept, before, bounds), "one fewer would not have sufficed"


def test_a_model_that_can_never_fit_is_told_from_one_that_cannot_now() -> None:
    busy = Seat("m_busy", Need(4 * GB), last_used=1, leases=1)
    with pytest.raises(ModelTooLarge) as never:
        admit(Need(7 * GB), [busy], Limits(6 * GB, 3))
    assert never.value.details["required_memory_gb"] == 7.0
    assert never.value.details["available_memory_gb"] == 6.0
    with pytest.raises(InsufficientMemory) as now:
        admit(Need(3 * GB), [busy], Limits(6 * GB, 3))
    assert now.value.code.http_status == 503
    assert not now.value.transient
    assert now.value.details["reason"] == "all_in_use"
    assert now.value.details["required_memory_gb"] == 3.0
    assert now.value.details["available_memory_gb"] == 2.0


def test_memory_that_other_programs_hold_is_said_so() -> None:
    idle = Seat("m_idle", Need(1 * GB), last_used=1, leases=0)
    with pytest.raises(InsufficientMemory) as caught:
        admit(Need(4 * GB), [idle], Limits(6 * GB, 3, free=2 * GB))
    assert caught.value.details["reason"] == "device_memory"
    assert caught.value.details["available_memory_gb"] == 3.0


def test_room_for_the_largest_batch_is_set_aside_once_since_one_model_runs_at_a_time() -> None:
    there = [Seat("m_a", Need(2, working=3), 1, 0), Seat("m_b", Need(2, working=1), 2, 0)]
    assert admit(Need(2, working=3), there, Limits(9, 3)) == ()
    assert admit(Need(2, working=3), there, Limits(8, 3)) == ("m_a",)


def test_the_fourth_model_sends_the_least_recently_used_away() -> None:
    there = [Seat(f"m_{n}", Need(1), last_used=n, leases=0) for n in (2, 1, 3)]
    assert admit(Need(1), there, Limits(100, 3)) == ("m_1",)

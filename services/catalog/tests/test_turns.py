"""Models that do not fit together take turns: no thrashing, and nobody starves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from mistudio_catalog.domain.turns import Claim, fit, share

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
WAIT = timedelta(seconds=60)
STEP = timedelta(seconds=10)
BUDGET = 10


def claim(name: str, size: int, holds: bool, seconds_ago: int) -> Claim:
    return Claim(name, size, holds, START - timedelta(seconds=seconds_ago))


def chosen(*claims: Claim, budget: int | None = BUDGET) -> set[str]:
    return set(share(claims, budget, WAIT, START))


def test_models_that_fit_together_run_side_by_side() -> None:
    assert chosen(claim("a", 5, True, 0), claim("b", 5, False, 0)) == {"a", "b"}
    assert chosen(claim("a", 50, True, 0), claim("b", 50, False, 0), budget=None) == {"a", "b"}


def test_the_model_at_work_goes_on_until_another_has_waited_long_enough() -> None:
    assert chosen(claim("a", 6, True, 500), claim("b", 6, False, 59)) == {"a"}
    assert chosen(claim("a", 6, True, 500), claim("b", 6, False, 60)) == {"b"}


def test_the_one_that_waited_longest_goes_first_and_keeps_its_turn() -> None:
    assert chosen(claim("a", 6, True, 60), claim("b", 6, False, 61), claim("c", 6, False, 62)) == {
        "c"
    }
    assert chosen(claim("a", 6, False, 10), claim("b", 6, False, 71), claim("c", 6, True, 10)) == {
        "c"
    }, "nobody is due a turn that has just been given"


def test_what_fits_beside_the_model_at_work_runs_meanwhile() -> None:
    claims = claim("a", 6, True, 0), claim("b", 6, False, 0), claim("c", 4, False, 0)
    assert chosen(*claims) == {"a", "c"}


def test_nobody_passes_the_one_that_has_waited_too_long() -> None:
    claims = claim("a", 6, True, 10), claim("b", 6, False, 60), claim("c", 4, False, 0)
    assert chosen(*claims) == {"a"}


def test_a_model_larger_than_the_budget_gets_a_turn_of_its_own() -> None:
    assert chosen(claim("a", 11, False, 60), claim("b", 1, True, 60)) == {"a"}
    assert chosen(claim("a", 11, False, 0)) == {"a"}


@dataclass
class Job:
    """An extraction on a model: ``work`` steps of its turn, from step ``begins`` on."""

    model: str
    size: int
    begins: int
    work: int


jobs = st.lists(
    st.builds(
        Job,
        model=st.sampled_from("abcde"),
        size=st.just(0),
        begins=st.integers(0, 60),
        work=st.integers(1, 30),
    ),
    min_size=1,
    max_size=12,
)
sizes = st.fixed_dictionaries({name: st.integers(1, 12) for name in "abcde"})


@settings(max_examples=300, deadline=None)
@given(jobs, sizes)
def test_each_is_served_within_a_bound_and_none_is_switched_before_its_time(
    jobs: list[Job], sizes: dict[str, int]
) -> None:
    known: dict[str, Claim] = {}
    left = [[job.begins, job.model, job.work] for job in jobs]
    most = len({job.model for job in jobs})
    step = 0
    while any(work for _, _, work in left):
        now = START + step * STEP
        wanted = {model for begins, model, work in left if begins <= step and work}
        claims = [
            known.get(model) or Claim(model, sizes[model], False, now) for model in sorted(wanted)
        ]
        turn = share(claims, BUDGET, WAIT, now)
        holders = [each for each in claims if each.model_id in turn]
        assert turn <= wanted
        assert bool(turn) == bool(wanted), "there is work and nobody does it"
        assert fit(holders, BUDGET) or len(holders) == 1
        overdue = [each for each in claims if not each.holds and now - each.since >= WAIT]
        for each in claims:
            if each.holds and each.model_id not in turn:
                assert overdue, "switched although nobody had waited long enough"
                assert now - each.since >= WAIT, "switched before its turn was over"
            if not each.holds and each.model_id not in turn:
                assert now - each.since <= (most + 1) * (WAIT + STEP), "starved"
        known = {
            each.model_id: each
            if each.holds is (each.model_id in turn)
            else replace(each, holds=not each.holds, since=now)
            for each in claims
        }
        for each_left in left:
            if each_left[0] <= step and each_left[1] in turn and each_left[2]:
                each_left[2] -= 1
        step += 1
        assert step < 60 + 12 * 30 * 6, "it never ends"

"""The README says how often each fault strikes: as often as the seeds draw it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from mistudio_testkit.schedules.draw import Fault, draw
from tests.faults.test_schedules import MANY, NODES

README = Path(__file__).parents[2] / "README.md"


def test_the_table_of_faults_is_what_the_seeds_draw() -> None:
    of_one, of_three = ([draw(seed) for seed in MANY], [draw(seed, 3) for seed in NODES])
    one, three = (
        Counter(strike.fault for each in drawn for strike in each.strikes)
        for drawn in (of_one, of_three)
    )
    text = README.read_text("utf-8")
    for fault in Fault:
        assert f"| {fault.value} | {one[fault] or '–'} | {three[fault] or '–'} |\n" in text
    asked = sum(len(each.deeds) for each in (*of_one, *of_three))
    total = f"| **all, among {asked:,} requests** | **{one.total()}** | **{three.total()}** |\n"
    assert total in text

"""What an extraction would take, from what it lacks."""

from __future__ import annotations

import pytest

from mistudio_catalog.domain.forecast import forecast, work_of
from mistudio_contracts.rpc import ExtractionProbe
from mistudio_contracts.states import Dtype
from mistudio_contracts.values import HookKindFacts, HookPointFacts

FACTS = HookPointFacts(kinds=[HookKindFacts(kind="resid_post", width=64)])
FIRST, FOURTH = "layers.0.resid_post", "layers.3.resid_post"


@pytest.mark.parametrize(
    ("missing", "work"),
    [
        ({FIRST: 100}, 100),
        ({FOURTH: 100}, 400),
        ({FIRST: 100, FOURTH: 100}, 400),
        # The last 40 tokens lack both, the 60 before them the first layer alone.
        ({FIRST: 100, FOURTH: 40}, 60 * 1 + 40 * 4),
        ({FIRST: 40, FOURTH: 100}, 400),
        ({"embed": 10}, 10),
        ({"final_norm": 10}, 120),
        ({FIRST: 0, FOURTH: 0}, 0),
    ],
)
def test_tokens_count_once_for_each_block_up_to_the_last_that_is_missing(
    missing: dict[str, int], work: int
) -> None:
    assert work_of(missing, 12) == work


def told(probe: ExtractionProbe, speed: float | None = None, devices: int = 1) -> object:
    found = forecast(probe, FACTS, Dtype.FLOAT16, 12, speed, devices)
    return found.seconds, found.bytes, found.unknown


def test_shards_know_the_speed_better_than_a_probe_and_devices_share_the_work() -> None:
    probe = ExtractionProbe(tokens=100, missing={FOURTH: 100}, work_per_second=100)
    size = 100 * (64 * 2 + 4)
    assert told(probe) == (4.0, size, None)
    assert told(probe, speed=200) == (2.0, size, None)
    assert told(probe, speed=200, devices=4) == (0.5, size, None)


def test_what_nobody_knows_is_not_told_but_why() -> None:
    busy = ExtractionProbe(tokens=10, missing={FIRST: 10}, unknown="The device is at work.")
    assert told(busy) == (None, 10 * (64 * 2 + 4), "The device is at work.")
    seconds, size, unknown = told(ExtractionProbe(tokens=10, missing={"layers.0.z": 10}))
    assert (seconds, size) == (None, None)
    assert "widths" in str(unknown)
    assert told(ExtractionProbe(tokens=10, missing={FIRST: 0})) == (0.0, 0, None)

"""A removal that comes late takes nothing that a later load has found."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from mistudio_contracts.base import utcnow
from mistudio_contracts.errors import ModelLoadFailed
from mistudio_loader.services.wanted import Wanted
from mistudio_loader.storage.staging import Workshop

EARLIER = utcnow()
LATER = EARLIER + timedelta(milliseconds=1)


@pytest.fixture
def wanted(cache: Path) -> Wanted:
    (cache / "artifact").mkdir()
    return Wanted(Workshop(cache))


async def test_what_was_found_by_a_later_load_stays(wanted: Wanted, cache: Path) -> None:
    await wanted.found("artifact", LATER)
    await wanted.remove("artifact", EARLIER)
    assert (cache / "artifact").is_dir()


@pytest.mark.parametrize("found_at", [EARLIER, None])
async def test_what_no_later_load_found_goes(wanted: Wanted, cache: Path, found_at: object) -> None:
    if found_at is not None:
        await wanted.found("artifact", EARLIER)
    await wanted.remove("artifact", LATER)
    await wanted.remove("artifact", LATER)
    assert not (cache / "artifact").exists()


async def test_an_older_load_that_comes_late_takes_no_protection_away(
    wanted: Wanted, cache: Path
) -> None:
    await wanted.found("artifact", LATER + timedelta(seconds=1))
    await wanted.found("artifact", EARLIER)
    await wanted.remove("artifact", LATER)
    assert (cache / "artifact").is_dir()


async def test_a_load_whose_find_was_removed_is_tried_again(wanted: Wanted) -> None:
    await wanted.remove("artifact", EARLIER)
    with pytest.raises(ModelLoadFailed) as caught:
        await wanted.found("artifact", LATER)
    assert (caught.value.transient, caught.value.details["reason"]) == (True, "artifact_missing")

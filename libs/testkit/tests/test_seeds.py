"""One variable tells every test of faults which seeds to run."""

from __future__ import annotations

import pytest

from mistudio_testkit.nightly import NIGHTLY
from mistudio_testkit.seeds import VARIABLE, one_seed, seeds

FEW, MANY = range(3), range(30)


@pytest.mark.parametrize(("named", "meant"), [("7", range(7, 8)), ("40-56", range(40, 57))])
def test_a_seed_or_a_range_of_them(
    monkeypatch: pytest.MonkeyPatch, named: str, meant: range
) -> None:
    monkeypatch.setenv(VARIABLE, named)
    assert seeds(FEW, MANY) == meant
    assert one_seed() == meant[0], "what runs once takes the first"


def test_without_it_as_many_as_there_is_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert seeds(FEW, MANY) == (MANY if NIGHTLY else FEW)
    assert one_seed() != one_seed()


def test_what_is_no_seed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "all")
    with pytest.raises(ValueError, match="all"):
        seeds(FEW, MANY)

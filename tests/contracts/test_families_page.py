"""The page of families says of each family and format what was found."""

from __future__ import annotations

from pathlib import Path

import pytest

from mistudio_footprint import FAMILIES, FORMATS

PAGE = (Path(__file__).parents[2] / "docs" / "families.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_was_run_in_each_format_or_refused(family: str) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{family}` |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")[2:]]
    assert len(cells) == len(FORMATS)
    assert [cell for cell in cells if cell != "refused" and not float(cell) < 1] == []


def test_a_refusal_is_explained() -> None:
    assert ("refused |" in PAGE) == ("- refused: " in PAGE)

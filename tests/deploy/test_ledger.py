"""Each file of deploy/ and infra/ is in the table of deploy/README.md, proven or named unproven."""

from __future__ import annotations

import re
import subprocess
from fnmatch import fnmatch

from mistudio_testkit.composed import ROOT


def rows() -> list[tuple[list[str], str]]:
    """Return the patterns and the proof of each row."""
    text = (ROOT / "deploy/README.md").read_text("utf-8")
    table = text.split("<!-- ledger -->")[1]
    cells = [line.strip("|\n ").split("|") for line in table.splitlines() if line.startswith("|")]
    return [(re.findall(r"`([^`]+)`", each[0]), each[2].strip()) for each in cells[2:]]


def tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "deploy", "infra"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def test_no_file_is_forgotten() -> None:
    patterns = [pattern for row, _ in rows() for pattern in row]
    missing = [
        name for name in tracked() if not any(fnmatch(name, pattern) for pattern in patterns)
    ]
    assert missing == [], "name them in the table of deploy/README.md"


def test_every_row_is_of_files_that_there_are() -> None:
    names = tracked()
    for row, _ in rows():
        for pattern in row:
            assert any(fnmatch(name, pattern) for name in names), pattern


def test_a_proof_is_a_test_that_there_is_and_what_has_none_says_so() -> None:
    for row, proof in rows():
        tests = re.findall(r"`((?:tests|libs|services)/[\w/.]+\.py)`", proof)
        assert bool(tests) != proof.startswith("**unproven**: "), row
        for test in tests:
            assert (ROOT / test).is_file(), test

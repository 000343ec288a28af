"""The systemd units, as systemd reads them; and their commands, as ``mistudio`` does."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mistudio_testkit.composed import ROOT

UNITS = sorted((ROOT / "deploy/jetson").glob("*.service"))
INSTALLED = "/opt/mistudio/.venv/bin/mistudio"


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_systemd_has_nothing_to_say(unit: Path, tmp_path: Path) -> None:
    systemd = shutil.which("systemd-analyze")
    if systemd is None:
        pytest.skip("systemd is not on this machine")
    mistudio = Path(sys.executable).with_name("mistudio")
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text("utf-8").replace(INSTALLED, str(mistudio)), "utf-8")
    ran = subprocess.run(
        [systemd, "verify", "--man=no", copy], capture_output=True, text=True, check=False
    )
    ours = [line for line in ran.stderr.splitlines() if unit.name in line]
    assert (ran.returncode, ours) == (0, []), ran.stderr


def test_their_commands_are_ones_that_mistudio_knows() -> None:
    helped = subprocess.run(
        [Path(sys.executable).with_name("mistudio"), "up", "--help"],
        env={"COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    for unit in UNITS:
        read = configparser.RawConfigParser(strict=False)
        read.optionxform = str  # type: ignore[assignment,method-assign]
        read.read_string(unit.read_text("utf-8"))
        program, command, *options = shlex.split(read["Service"]["ExecStart"])
        assert (program, command) == (INSTALLED, "up")
        for option in options:
            assert not option.startswith("--") or option in helped.stdout

"""What is refused before a server is started."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from mistudio_client.cli.app import app


@pytest.fixture(autouse=True)
def _no_servers_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "NATS_URL"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_where_no_stack_is_none_is_made_to_be_backed_up(tmp_path: Path) -> None:
    ran = run("backup", str(tmp_path / "b"), "--data-dir", str(tmp_path / "data"))
    assert ran.exit_code == 1
    assert "There is no stack" in ran.output
    assert "--data-dir" in ran.output
    assert list(tmp_path.iterdir()) == []


def test_the_stack_of_this_machine_is_not_saved_in_place_of_a_named_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MISTUDIO_DATA_DIR", str(tmp_path / "data"))
    ran = run("--url", "https://mistudio.example", "backup", str(tmp_path / "b"))
    assert ran.exit_code == 2
    assert "not from https://mistudio.example" in ran.output
    assert "DATABASE_URL" in ran.output
    assert list(tmp_path.iterdir()) == []


def test_a_backup_is_written_where_there_is_nothing(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_bytes(b"of before")
    ran = run("backup", str(there), "--data-dir", str(tmp_path / "data"))
    assert ran.exit_code == 2
    assert "exists already" in ran.output
    assert there.read_bytes() == b"of before"
    ran = run("backup", str(tmp_path / "nowhere" / "b"), "--data-dir", str(tmp_path / "data"))
    assert ran.exit_code == 2
    assert "cannot be written" in ran.output


def test_what_is_no_backup_makes_no_stack(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"not this")
    for name in ("other", "nothing"):
        ran = run("restore", str(tmp_path / name), "--data-dir", str(tmp_path / "data"))
        assert ran.exit_code == 2, ran.output
    assert list(tmp_path.iterdir()) == [other]

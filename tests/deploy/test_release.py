"""``deploy/release``, with a stand-in for Docker that notes what it is told and fails if asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mistudio_testkit.composed import ROOT

STANDIN = f"""#!{sys.executable}
import os, pathlib, sys
version, words = os.environ["MISTUDIO_VERSION"], sys.argv[1:]
words = words[words.index("--profile") + 2 :]
home = pathlib.Path(os.environ["STANDIN_HOME"])
with (home / "calls").open("a") as calls:
    calls.write(" ".join([version, *words[:3]]) + "\\n")
if words[0] == "up":
    (home / "schema").write_text(version)
    sys.exit(version in os.environ.get("UNHEALTHY", "").split())
if "psql" in words:
    print("rev-" + ((home / "schema").read_text() if os.environ.get("MIGRATES") else "1"))
if "pg_dump" in words:
    print("the rows of " + version)
if "--down" in words:
    (home / "schema").write_text(words[-1].removeprefix("rev-"))
"""


class Machine:
    """A machine with an ``.env``, and a Docker that is none."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = home / ".env"
        (home / "bin").mkdir()
        docker = home / "bin" / "docker"
        docker.write_text(STANDIN)
        docker.chmod(0o755)
        (home / "schema").write_text("0.1.0")

    def release(self, version: str, **given: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ROOT / "deploy/release", version, "cpu"],
            env={
                "PATH": f"{self.home}/bin:{os.environ['PATH']}",
                "ENV_FILE": str(self.env),
                "STANDIN_HOME": str(self.home),
                **given,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        return (self.home / "calls").read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.env.write_text("MISTUDIO_VERSION=0.1.0\nJWT_SECRET_KEY=s\n")
    return made


def test_a_version_that_becomes_healthy_is_kept(machine: Machine) -> None:
    done = machine.release("0.2.0")
    assert done.returncode == 0, done.stderr
    assert machine.env.read_text() == "JWT_SECRET_KEY=s\nMISTUDIO_VERSION=0.2.0\n"
    (dump,) = (machine.home / "dumps").iterdir()
    assert dump.read_text() == "the rows of 0.1.0\n", "taken before anything changed"
    assert machine.calls[-1] == "0.2.0 up --detach --no-build"


def test_one_that_does_not_is_replaced_by_the_one_before(machine: Machine) -> None:
    done = machine.release("0.2.0", UNHEALTHY="0.2.0")
    assert done.returncode == 1
    assert "going back to 0.1.0" in done.stderr
    assert "MISTUDIO_VERSION=0.1.0" in machine.env.read_text()
    assert machine.calls[-1] == "0.1.0 up --detach --no-build"
    assert not any(" run " in call for call in machine.calls), "the schema had not changed"


def test_its_migrations_are_taken_back_by_itself_before_that(machine: Machine) -> None:
    done = machine.release("0.2.0", UNHEALTHY="0.2.0", MIGRATES="1")
    assert done.returncode == 1
    assert machine.calls[-2:] == ["0.2.0 run --rm --no-deps", "0.1.0 up --detach --no-build"]


def test_where_going_back_fails_too_it_does_not_say_that_it_was_done(machine: Machine) -> None:
    done = machine.release("0.2.0", UNHEALTHY="0.2.0 0.1.0")
    assert done.returncode == 1
    assert "in service" not in done.stderr
    assert "MISTUDIO_VERSION=0.1.0" in machine.env.read_text()


def test_the_first_version_has_nothing_to_go_back_to(machine: Machine) -> None:
    machine.env.write_text("JWT_SECRET_KEY=s\n")
    assert machine.release("0.1.0", UNHEALTHY="0.1.0").returncode == 1
    assert machine.release("0.1.0").returncode == 0
    assert machine.env.read_text().endswith("MISTUDIO_VERSION=0.1.0\n")
    assert machine.env.stat().st_mode & 0o777 == 0o600


def test_seven_dumps_are_kept(machine: Machine) -> None:
    dumps = machine.home / "dumps"
    dumps.mkdir()
    for day in range(9):
        (dumps / f"2020010{day + 1}T000000Z-0.0.{day}.dump").touch()
    assert machine.release("0.2.0").returncode == 0
    kept = sorted(path.name for path in dumps.iterdir())
    assert len(kept) == 7
    assert kept[-1].endswith("-0.1.0.dump")

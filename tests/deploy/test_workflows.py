"""The workflows: what two linters say of them, and that they run what a developer runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mistudio_testkit.composed import ROOT, Images

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FINAL = {"nats", "control", "cpu", "cuda", "jetson"}


def workflow(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text())
    return found


@pytest.mark.parametrize(
    ("linter", "options"), [("actionlint", []), ("zizmor", ["--quiet", "--offline"])]
)
def test_a_linter_has_nothing_to_say(linter: str, options: list[str]) -> None:
    program = Path(sys.executable).with_name(linter)
    if not program.exists():
        pytest.skip(f"{linter} comes as a program for other machines than this")
    ran = subprocess.run(
        [program, *options, *WORKFLOWS], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_action_is_pinned_to_a_commit_and_may_only_read() -> None:
    for path in WORKFLOWS:
        used = re.findall(r"uses: (\S+)", path.read_text("utf-8"))
        assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", each) for each in used), path.name
        assert workflow(path.stem)["permissions"] == {"contents": "read"}, path.name


def test_every_python_on_both_processors_runs_what_a_developer_runs() -> None:
    job = workflow("ci")["jobs"]["test"]
    assert job["strategy"]["matrix"] == {
        "python": ["3.10", "3.11", "3.12", "3.13"],
        "runner": ["ubuntu-24.04", "ubuntu-24.04-arm"],
    }
    assert job["steps"][-1] == {"run": "bash .ci/run"}


def test_what_is_depended_on_is_asked_about_with_each_change_and_each_night() -> None:
    assert {"run": "make audit"} in workflow("ci")["jobs"]["audit"]["steps"]
    assert "audit" in workflow("nightly")["jobs"]["long"]["strategy"]["matrix"]["target"]


def test_what_looks_like_a_secret_was_looked_at_and_is_none() -> None:
    baseline = json.loads((ROOT / ".secrets.baseline").read_text("utf-8"))
    for name, found in baseline["results"].items():
        assert (ROOT / name).is_file(), name
        assert [each["is_secret"] for each in found] == [False] * len(found), name


def test_every_image_is_built() -> None:
    matrix = workflow("ci")["jobs"]["images"]["strategy"]["matrix"]
    targets = {*matrix["target"], *(each["target"] for each in matrix["include"])}
    assert targets == FINAL < set(Images().stages)


def test_a_version_is_in_production_only_after_staging_and_a_person() -> None:
    jobs = workflow("deploy")["jobs"]
    assert jobs["staging"]["needs"] == "build"
    assert jobs["production"]["needs"] == "staging"
    assert "needs.staging.result == 'success'" in jobs["production"]["if"]
    # Whom to ask is a setting of this environment.
    assert jobs["production"]["environment"] == "production"
    assert jobs["staging"]["steps"] == jobs["production"]["steps"]

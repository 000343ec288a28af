"""The images: linted, without root or compilers, with every package that their services need."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mistudio_testkit.composed import ROOT, Images

DOCKERFILE = ROOT / "deploy/images/Dockerfile"
IMAGES = Images()
FINAL = ("nats", "control", "cpu", "cuda", "jetson")


def test_the_linter_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    ran = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")


@pytest.mark.parametrize("stage", FINAL)
def test_a_final_stage_runs_as_the_one_ordinary_user_and_says_whether_it_is_healthy(
    stage: str,
) -> None:
    assert IMAGES.of(stage, "USER")[-1] == "10001"
    assert IMAGES.of(stage, "HEALTHCHECK")
    installs = [line for line in IMAGES.of(stage, "RUN") if re.search(r"\b(apt|pip|npm)", line)]
    assert installs == [], "what builds stays in the stages before"


def test_every_base_image_is_an_argument_that_a_digest_can_replace() -> None:
    own = set(IMAGES.stages)
    bases = [argument.split(" AS ")[0] for argument in _all("FROM")]
    assert all(base in own or re.fullmatch(r"\$\{\w+_IMAGE\}", base) for base in bases), bases


def test_what_is_copied_is_in_the_tree_or_made_by_a_stage_before() -> None:
    for argument in _all("COPY"):
        *sources, _ = argument.removeprefix("--from=").split()
        if argument.startswith("--from="):
            assert sources[0] in IMAGES.stages, argument
        else:
            assert all((ROOT / source).exists() for source in sources), argument


@pytest.mark.parametrize(
    ("stage", "services"),
    [
        ("control-build", ("catalog", "gateway")),
        ("worker-build", ("loader", "extractor")),
        ("jetson-build", ("loader", "extractor")),
    ],
)
def test_every_package_of_ours_that_a_service_needs_is_installed_from_the_tree(
    stage: str, services: tuple[str, ...]
) -> None:
    installed = {
        name.split("[")[0]
        for line in IMAGES.of(stage, "RUN")
        for name in re.findall(r"(?:libs|services)/[\w\[\]]+", line)
    }
    wanted = {f"services/{service}" for service in services}
    while True:
        needed = wanted | {each for path in wanted for each in _ours(ROOT / path)}
        if needed == wanted:
            break
        wanted = needed
    assert wanted <= installed


def _ours(package: Path) -> set[str]:
    text = (package / "pyproject.toml").read_text("utf-8")
    dependencies = re.split(r"(?m)^(?:dependencies = \[|\])$", text)[1]
    return {f"libs/{name}" for name in re.findall(r'"mistudio-(\w+)', dependencies)}


def _all(keyword: str) -> list[str]:
    return [
        argument
        for instructions in IMAGES.stages.values()
        for each, argument in instructions
        if each == keyword
    ]

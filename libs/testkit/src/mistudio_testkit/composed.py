"""What the compose file says, as Docker Compose resolves it and without a Docker engine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[4]
PROFILES = ("cpu", "cuda", "jetson", "observability")

Service = dict[str, Any]


def secrets() -> dict[str, str]:
    """Return what ``deploy/secrets`` prints."""
    printed = subprocess.run([ROOT / "deploy/secrets"], capture_output=True, text=True, check=True)
    return dict(line.split("=", 1) for line in printed.stdout.splitlines())


def resolved(
    environ: Mapping[str, str], *profiles: str, over: Sequence[str] = ()
) -> dict[str, Service]:
    """Return the services of some profiles by name, with every variable filled in.

    Parameters
    ----------
    environ
        What ``.env`` holds; nothing else of the environment is seen.
    profiles
        The profiles to take.
    over
        Files laid over the compose file, relative to the root.
    """
    argv = [*_compose(), "--project-directory", str(ROOT)]
    for file in ("docker-compose.yml", *over):
        argv += ["--file", str(ROOT / file)]
    for profile in profiles:
        argv += ["--profile", profile]
    ran = subprocess.run(
        [*argv, "config", "--format", "json"],
        env={"PATH": "/usr/bin:/bin", **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    services: dict[str, Service] = json.loads(ran.stdout)["services"]
    return services


def _compose() -> list[str]:
    package = Path(sys.executable).with_name("docker-compose")
    if package.exists():
        return [str(package)]
    docker = shutil.which("docker")
    if (
        docker
        and subprocess.run(
            [docker, "compose", "version"], capture_output=True, check=False
        ).returncode
        == 0
    ):
        return [docker, "compose"]
    pytest.skip("Docker Compose comes by a package from Python 3.11 on, or with a Docker client")


class Images:
    """The Dockerfile, stage by stage.

    Attributes
    ----------
    stages
        The instructions of each stage, in order: its name to pairs of keyword and argument.
    """

    def __init__(self, path: Path = ROOT / "deploy/images/Dockerfile") -> None:
        text = re.sub(r"(?m)^#.*\n", "", path.read_text("utf-8")).replace("\\\n", " ")
        self.stages: dict[str, list[tuple[str, str]]] = {}
        self._base: dict[str, str] = {}
        stage: list[tuple[str, str]] = []
        for line in filter(None, map(str.strip, text.splitlines())):
            keyword, argument = line.split(None, 1)
            if keyword == "FROM":
                base, name = argument.split(" AS ")
                stage = self.stages[name] = []
                self._base[name] = base
            stage.append((keyword, argument))

    def of(self, stage: str, keyword: str) -> list[str]:
        """Return the arguments of an instruction in a stage and in those it stands on."""
        base = self._base[stage]
        inherited = self.of(base, keyword) if base in self.stages else []
        return inherited + [argument for each, argument in self.stages[stage] if each == keyword]

    def env(self, stage: str) -> dict[str, str]:
        """Return the variables that a stage sets."""
        pairs = [pair for line in self.of(stage, "ENV") for pair in line.split()]
        return dict(pair.split("=", 1) for pair in pairs)

    def health_check(self, stage: str) -> list[str]:
        """Return the command that tells whether a container of the stage is healthy."""
        found: list[str] = json.loads(self.of(stage, "HEALTHCHECK")[-1].split("CMD", 1)[1])
        return found

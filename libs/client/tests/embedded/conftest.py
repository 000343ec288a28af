"""Data directories, stand-in services, and stacks made of them."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from mistudio_client.embedded import EmbeddedStack, Layout, control
from mistudio_client.embedded.processes import instance_processes, postgres_processes
from mistudio_client.embedded.servers import PostgresServer

STANDIN = Path(__file__).with_name("standin.py")

MakeStack = Callable[..., EmbeddedStack]


def standins(**flags: list[str]) -> dict[str, list[str]]:
    """Commands that replace the four services; ``flags`` are a service's misbehaviours."""
    commands = {
        name: [sys.executable, str(STANDIN), *flags.get(name, [])]
        for name in ("catalog", "loader", "extractor", "gateway")
    }
    commands["gateway"] += ["--port-variable", "GATEWAY_PORT"]
    return commands


def left_running(layout: Layout) -> list[psutil.Process]:
    """Every process of the stack that lives, however it is found."""
    cluster = PostgresServer(layout.root).cluster
    return instance_processes(layout.instance_id) + (postgres_processes(cluster) if cluster else [])


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user may pass through, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="mistudio-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def data_dir(open_directory: Path) -> Iterator[Path]:
    """A data directory; what runs there at the end is ended, and its database removed."""
    path = open_directory / "data"
    yield path
    if path.exists():
        control.kill(Layout.at(path))
        PostgresServer(path).remove()


@pytest.fixture
def make_stack(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> MakeStack:
    """Return a maker of stacks of stand-ins on ``data_dir``."""
    for name in ("NATS_URL", "DATABASE_URL", "JWT_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)

    def make(**options: Any) -> EmbeddedStack:
        return EmbeddedStack(
            options.pop("data_dir", data_dir),
            commands=options.pop("commands", standins()),
            setup=options.pop("setup", {}),
            **options,
        )

    return make

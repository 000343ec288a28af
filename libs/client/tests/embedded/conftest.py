"""Data directories, stand-in services, and stacks made of them."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from mistudio_client.embedded import EmbeddedStack, Layout, control
from mistudio_client.embedded.processes import instance_processes, postgres_processes
from mistudio_client.embedded.servers import PostgresServer

STANDIN = Path(__file__).with_name("standin.py")
NAMED_ELSEWHERE = ("NATS_URL", "DATABASE_URL", "JWT_SECRET_KEY")
AWKWARD = "a b #c ;d 100%"
GIVEN = {
    "HUGGINGFACE_TOKEN": "hf",
    "GPU_MEMORY_LIMIT_GB": "4",
    "MISTUDIO_EXTRA": "1",
    "AWS_SECRET_ACCESS_KEY": "s3cr3t",
}
SAY = "import os; print(os.environ['DATABASE_URL'], os.environ['NATS_URL'])"
STEP = [sys.executable, "-c", SAY]

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


@contextmanager
def opened_directory() -> Iterator[Path]:
    """Make a directory that every user may pass through, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="mistudio-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@contextmanager
def cleared(path: Path) -> Iterator[Path]:
    """End what runs on a data directory at the end, and remove its database."""
    yield path
    if path.exists():
        control.kill(Layout.at(path))
        PostgresServer(path).remove()


def stack_of_standins(data_dir: Path, **options: Any) -> EmbeddedStack:
    """Return a stack whose services are stand-ins, unless ``options`` name others."""
    return EmbeddedStack(
        data_dir,
        commands=options.pop("commands", standins()),
        setup=options.pop("setup", {}),
        **options,
    )


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user may pass through."""
    with opened_directory() as path:
        yield path


@pytest.fixture
def data_dir(open_directory: Path) -> Iterator[Path]:
    """A data directory, cleared at the end."""
    with cleared(open_directory / "data") as path:
        yield path


@pytest.fixture
def make_stack(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> MakeStack:
    """Return a maker of stacks of stand-ins on ``data_dir``."""
    for name in NAMED_ELSEWHERE:
        monkeypatch.delenv(name, raising=False)

    def make(**options: Any) -> EmbeddedStack:
        return stack_of_standins(options.pop("data_dir", data_dir), **options)

    return make


@pytest.fixture(scope="module")
def stack() -> Iterator[EmbeddedStack]:
    """One stack for all tests that leave it running, below a path with every awkward sign."""
    with (
        pytest.MonkeyPatch.context() as patch,
        opened_directory() as root,
        cleared(root / AWKWARD) as path,
    ):
        for name in NAMED_ELSEWHERE:
            patch.delenv(name, raising=False)
        with stack_of_standins(path, env=GIVEN, setup={"step": STEP}) as running:
            yield running

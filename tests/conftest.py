"""The whole running system, once a session, and what tests across services share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mistudio_client.embedded import EmbeddedStack
from mistudio_testkit.collector import Collector
from mistudio_testkit.fixtures import tiny_model
from mistudio_testkit.hub import FakeHub
from mistudio_testkit.site import Site

__all__ = ["tiny_model"]

GENEROUS = {"LOAD_REQUESTS_PER_HOUR": "1000000", "LOG_LEVEL": "INFO"}
"""The rate limit of loads has a test of its own; here it would only slow the others."""


CANARIES = {
    "HUGGINGFACE_TOKEN": "hf_canary_of_the_tests_0123456789",
    "AWS_SECRET_ACCESS_KEY": "canary-of-the-bucket-0123456789",
}
"""Secrets that nothing needs; integration/test_secrets.py looks where they have got to."""


@pytest.fixture(scope="session")
def models_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one directory that the stack may read models and datasets from in place."""
    return tmp_path_factory.getbasetemp()


@pytest.fixture(scope="session")
def hub() -> Iterator[FakeHub]:
    """The hub that the stack downloads from."""
    with FakeHub() as running:
        yield running


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Where the stack sends its spans and logs."""
    with Collector() as running:
        yield running


@pytest.fixture(scope="package")
def stack(
    tmp_path_factory: pytest.TempPathFactory,
    models_root: Path,
    hub: FakeHub,
    collector: Collector,
) -> Iterator[EmbeddedStack]:
    """The embedded stack with every real service, started once."""
    data = tmp_path_factory.mktemp("stack")
    observed = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_BLRP_SCHEDULE_DELAY": "100",
    }
    env = {**GENEROUS, **CANARIES, **observed, "HF_ENDPOINT": hub.url}
    with EmbeddedStack(data, allow=[models_root], env=env) as running:
        yield running


@pytest.fixture(scope="package")
def site(stack: EmbeddedStack) -> Iterator[Site]:
    """A client with every scope.

    Where ``stack`` is another, conftest.py imports this: one fixture is of one stack at a time.
    """
    opened = Site(stack.url, stack.token)
    yield opened
    opened.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory of the test's own below the allowed root."""
    return tmp_path


@pytest.fixture(scope="session")
def trained(models_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2-135M-Instruct as the demo builds it."""
    home = tmp_path_factory.mktemp("trained")
    assert home.is_relative_to(models_root)
    target = home / "SmolLM2-135M-Instruct"
    maker = Path(__file__).parents[1] / "examples" / "demo" / "model.py"
    subprocess.run([sys.executable, maker, home / "gguf", target], check=True)
    return target

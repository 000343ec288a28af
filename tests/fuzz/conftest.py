"""A stack that is there to be talked nonsense to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mistudio_client.embedded import EmbeddedStack
from mistudio_testkit.hub import FakeHub
from tests.conftest import site

__all__ = ["site"]

SERVICES = ("gateway", "catalog", "loader", "extractor")


class Watched:
    """A stack, and which processes its services are."""

    def __init__(self, stack: EmbeddedStack) -> None:
        self.stack = stack
        self._pids = {each: stack.pid(each) for each in SERVICES}
        # What was told before is another test's.
        self._told = {each: stack.layout.log(each).stat().st_size for each in SERVICES}

    def check(self) -> None:
        """Insist that every service is the process it was, is ready, and told of no bug."""
        self.stack.wait_ready()
        assert {each: self.stack.pid(each) for each in SERVICES} == self._pids
        for each in SERVICES:
            path = self.stack.layout.log(each)
            with path.open("rb") as log:
                # A log that got long has begun anew.
                log.seek(self._told[each] if path.stat().st_size >= self._told[each] else 0)
                bugs = [line for line in map(bytes.decode, log) if tells_of_a_bug(line)]
            assert not bugs, (each, bugs[:3])


def tells_of_a_bug(line: str) -> bool:
    """Whether a line has a traceback that is not of an error of the contract."""
    if "Traceback" not in line:
        return False
    code = json.loads(line).get("code", "INTERNAL_ERROR")
    return bool(code == "INTERNAL_ERROR")


@pytest.fixture(scope="package")
def stack(
    tmp_path_factory: pytest.TempPathFactory, models_root: Path, hub: FakeHub
) -> Iterator[EmbeddedStack]:
    """A stack of these tests' own."""
    env = {"LOAD_REQUESTS_PER_HOUR": "1000000", "HF_ENDPOINT": hub.url}
    with EmbeddedStack(tmp_path_factory.mktemp("fuzz"), allow=[models_root], env=env) as running:
        yield running


@pytest.fixture
def watched(stack: EmbeddedStack) -> Watched:
    return Watched(stack)

"""The web UI in a real browser, before the whole running system."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from mistudio_client.embedded import EmbeddedStack
from mistudio_testkit.browser import chromium_browser
from mistudio_testkit.chromium import Chromium, find_chromium
from tests.conftest import site

from .windows import Windows

__all__ = ["site"]

ROOT = Path(__file__).parents[2]
NODE = (str(ROOT / "deploy" / "dev" / "node"),)
SCREENSHOTS = ROOT / "build" / "screenshots"

# Nothing is measured: what is waited for may take as long as a busy machine makes it.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="package")
def web_ui() -> Path:
    """The directory of the built web UI; `make test` has built it already."""
    subprocess.run([ROOT / "deploy" / "dev" / "web", "build"], check=True)
    return ROOT / "services" / "web" / "dist"


@pytest.fixture(scope="package")
def chromium() -> Chromium:
    """A Chromium, installed where there is none."""
    return find_chromium(NODE)


@pytest.fixture(scope="package")
def browser(chromium: Chromium) -> Iterator[Browser]:
    """The browser of these tests. It ends with them: nothing async can run beside its driver."""
    with chromium_browser(chromium) as running:
        yield running


@pytest.fixture(scope="package")
def stack(
    tmp_path_factory: pytest.TempPathFactory, models_root: Path, web_ui: Path
) -> Iterator[EmbeddedStack]:
    """A stack of these tests' own: they kill its gateway, and small shards let progress be seen."""
    env = {
        "LOAD_REQUESTS_PER_HOUR": "1000000",
        "SHARD_TOKENS": "1500",
        "WEB_DIR": str(web_ui),
    }
    with EmbeddedStack(tmp_path_factory.mktemp("web"), allow=[models_root], env=env) as running:
        yield running


@pytest.fixture
def windows(browser: Browser, stack: EmbeddedStack, web_ui: Path) -> Iterator[Windows]:
    """Browser windows on the stack's web UI; none may have had a problem at the end."""
    axe = web_ui.parent / "node_modules" / "axe-core" / "axe.min.js"
    opened = Windows(browser, stack.url, stack.token, axe.read_text("utf-8"), SCREENSHOTS)
    yield opened
    opened.close()
    assert opened.problems == []

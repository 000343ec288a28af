"""A headless Chromium that talks to nobody but the page's own server, driven by Playwright."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from .chromium import Chromium

FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


@contextmanager
def chromium_browser(chromium: Chromium) -> Iterator[Browser]:
    """Start a Chromium and yield it.

    Its driver keeps an event loop going in this thread, so nothing else can run one meanwhile.
    """
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chromium.path,
            args=FLAGS,
            # Its sandbox does not work for root, nor in most containers; the pages are ours.
            chromium_sandbox=False,
            env={**os.environ, **chromium.env},
        )
        try:
            yield browser
        finally:
            browser.close()

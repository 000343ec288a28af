"""Windows of a browser on the web UI, and what their reader would not see by themselves."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    Request,
    expect,
)

from mistudio_client.address import Address

Scheme = Literal["dark", "light"]

DESK = (1440, 900)
TABLET = (834, 1112)
"""Sizes in CSS pixels."""

_WATCH = """() => {
    window.seen = new Set();
    const look = () => {
        for (const each of document.querySelectorAll('article')) window.seen.add(each.innerText);
    };
    new MutationObserver(look).observe(
        document.body, { childList: true, subtree: true, characterData: true });
}"""
_AGO = re.compile(r"\b(just now|now|\d+ (s|min|h|seconds?|minutes?|hours?) ago)\b")
"""Times that pass while one looks."""

_RUN_AXE = """async () => (await axe.run({
    rules: { 'target-size': { enabled: true } },
})).violations.map(({ id, help, nodes }) => ({
    id, help, nodes: nodes.map((node) => `${node.target}: ${node.failureSummary}`),
}))"""


@dataclass(frozen=True)
class Seen:
    """Everything that cards of a page have said since it was watched."""

    page: Page

    def any(self, *words: str) -> bool:
        """Tell whether a card has said all of these words at once."""
        said: list[str] = self.page.evaluate("() => [...window.seen]")
        return any(all(word in text for word in words) for text in said)


@dataclass(frozen=True)
class Window:
    """One window with a session of its own.

    Attributes
    ----------
    page
        What is open in it.
    name
        Tells its screenshots from those of other sizes and colours.
    """

    page: Page
    name: str
    _axe: str
    _screenshots: Path

    def watch(self) -> Seen:
        """Keep what cards say from here on, however short they say it."""
        self.page.evaluate(_WATCH)
        return Seen(self.page)

    def said(self) -> str:
        """Return the text of the page, but for how long ago things were."""
        return _AGO.sub("…", self.page.get_by_role("main").inner_text())

    def settled(self) -> None:
        """Wait until nothing is being fetched and nothing says that it is busy."""
        self.page.wait_for_load_state("networkidle")
        expect(self.page.locator("[aria-busy=true]")).to_have_count(0)

    def screenshot(self, screen: str) -> None:
        """Write what is seen as ``<screen>-<scheme>.png``."""
        self._screenshots.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self._screenshots / f"{screen}-{self.name}.png")

    def barriers(self) -> list[dict[str, Any]]:
        """Return what axe finds wrong with the page, for somebody who cannot see or point."""
        self.page.evaluate(self._axe)
        found: list[dict[str, Any]] = self.page.evaluate(_RUN_AXE)
        return found

    def look(self, screen: str) -> None:
        """Take a screenshot, and assert that axe finds nothing."""
        self.screenshot(screen)
        barriers = self.barriers()
        assert barriers == [], f"{screen}, {self.name}: {json.dumps(barriers, indent=2)}"


class Windows:
    """Opens windows, and keeps what goes wrong in any of them.

    Parameters
    ----------
    browser
        Of which they are windows.
    url, token
        The gateway, and a token for it.
    axe
        Source of axe-core.
    screenshots
        Directory to write them to.

    Attributes
    ----------
    problems
        Errors on the console, among them refusals by the content security policy; exceptions;
        and requests to any other server.
    """

    def __init__(self, browser: Browser, url: str, token: str, axe: str, screenshots: Path) -> None:
        self._browser = browser
        self._address = Address(url, token)
        self._axe = axe
        self._screenshots = screenshots
        self._contexts: list[BrowserContext] = []
        self.problems: list[str] = []
        self._away = False

    def open(
        self,
        path: str = "/",
        *,
        scheme: Scheme = "dark",
        size: tuple[int, int] = DESK,
        token: str | None = None,
    ) -> Window:
        """Open a window by a sign-in link.

        Parameters
        ----------
        path
            Of the page.
        scheme
            What its reader's system prefers.
        size
            Width and height.
        token
            Another than the one with every scope; an empty one signs nobody in.
        """
        width, height = size
        context = self._browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            # What moves is at its end at once, for screenshots and for axe.
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="UTC",
            permissions=["clipboard-read", "clipboard-write"],
            accept_downloads=True,
        )
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", self._on_console)
        page.on("pageerror", self._on_exception)
        page.on("request", self._on_request)
        address = self._address if token is None else Address(self._address.url, token)
        page.goto(address.sign_in_url(path) if address.token else address.url + path)
        name = scheme if size == DESK else f"{scheme}-tablet"
        return Window(page, name, self._axe, self._screenshots)

    def gateway_goes(self) -> None:
        """From here on failing requests are no problem, until :meth:`gateway_is_back`."""
        self._away = True

    def gateway_is_back(self) -> None:
        self._away = False

    def close(self) -> None:
        """Close every window."""
        for context in self._contexts:
            context.close()

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type != "error" or (self._away and "ERR_" in message.text):
            return
        self.problems.append(f"{message.text} ({message.location.get('url')})")

    def _on_exception(self, error: Error) -> None:
        self.problems.append(f"exception: {error.message}\n{error.stack}")

    def _on_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https", "ws", "wss"} and (
            parts.netloc != urlsplit(self._address.url).netloc
        ):
            self.problems.append(f"asked another server: {request.url}")

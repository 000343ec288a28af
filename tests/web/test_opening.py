"""A sign-in link opens the web UI, and gives nothing away."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from mistudio_client.embedded import EmbeddedStack

from .windows import TABLET, Scheme, Windows

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_a_link_opens_the_ui_signed_in(
    windows: Windows, stack: EmbeddedStack, scheme: Scheme
) -> None:
    window = windows.open("/device", scheme=scheme)
    expect(window.page.get_by_role("heading", name="Device", exact=True)).to_be_visible()
    expect(window.page).to_have_url(f"{stack.url}/device")
    window.look("device")


def test_on_a_tablet_it_is_as_good(windows: Windows) -> None:
    window = windows.open("/device", size=TABLET)
    expect(window.page.get_by_role("heading", name="Device", exact=True)).to_be_visible()
    window.look("device")


def test_the_token_stands_in_no_log(windows: Windows, stack: EmbeddedStack) -> None:
    page = windows.open("/device").page
    expect(page.get_by_role("heading", name="Device", exact=True)).to_be_visible()
    log = stack.log("gateway")
    assert '"/device"' in log
    assert stack.token not in log


def test_without_a_token_it_asks_for_one(windows: Windows, stack: EmbeddedStack) -> None:
    window = windows.open("/device", token="")
    page = window.page
    field = page.get_by_label(re.compile("token", re.IGNORECASE))
    expect(field).to_be_visible()
    window.look("sign-in")
    field.fill(stack.token)
    page.get_by_role("button", name=re.compile("sign in", re.IGNORECASE)).click()
    expect(page.get_by_role("heading", name="Device", exact=True)).to_be_visible()

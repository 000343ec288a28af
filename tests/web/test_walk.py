"""From nothing to activations and back, by what a reader sees and clicks."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from playwright.sync_api import Locator, Page, expect

import mistudio_activations
from mistudio_client.embedded import EmbeddedStack
from mistudio_client.embedded.processes import wait_until
from mistudio_client.embedded.tokens import mint, signing_secret
from mistudio_testkit.models import make_model, ragged_texts, write_jsonl
from mistudio_testkit.site import Site

from .windows import TABLET, Window, Windows

pytestmark = pytest.mark.stack

LAYERS = [0, 3, 7]
COLUMNS = [f"layers.{layer}.resid_post" for layer in LAYERS]


@dataclass(frozen=True)
class Files:
    """What a reader has on disk: a checkpoint heavy enough to be watched, and texts."""

    model: Path
    texts: Path


@pytest.fixture(scope="package")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    home = tmp_path_factory.mktemp("files")
    model = make_model(home / "checkpoint", "gpt2", n_embd=256, n_layer=8, n_head=8)
    return Files(model, write_jsonl(home / "prose.jsonl", ragged_texts(400)))


def go(page: Page, screen: str) -> None:
    """Follow a link of the navigation, and wait for the screen."""
    page.get_by_role("navigation", name="Screens").get_by_role("link", name=screen).click()
    expect(page.get_by_role("heading", name=screen, exact=True)).to_be_visible()


def card_of(page: Page, name: str) -> Locator:
    return page.get_by_role("list", name="Models").get_by_role("article", name=name, exact=True)


def add_model(window: Window, files: Files, name: str, *, look: bool = False) -> Locator:
    """Add a local checkpoint, loaded at once, and return its card."""
    page = window.page
    page.get_by_role("button", name="Add model", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Local", exact=True).click()
    dialog.get_by_role("textbox", name="Path").fill(str(files.model))
    dialog.get_by_role("textbox", name="Name").fill(name)
    # Only an estimate has a format to recommend.
    expect(dialog.get_by_role("radio", name=re.compile("recommended"))).to_be_visible()
    if look:
        window.look("add-model")
    dialog.get_by_role("button", name="Add and load").click()
    expect(dialog).to_be_hidden()
    return card_of(page, name)


def choose_layers(dialog: Locator, dataset: str) -> None:
    """Choose three layers of a dataset on the tab where extractions are asked for."""
    dialog.get_by_role("tab", name="Extract", exact=True).click()
    chosen = dialog.get_by_role("combobox", name="Dataset")
    chosen.click()
    dialog.page.get_by_role("option", name=re.compile(dataset)).click()
    dialog.get_by_role("textbox", name="Layers").fill(",".join(map(str, LAYERS)))
    pressed = dialog.get_by_role("group", name="Layers to capture").get_by_role(
        "button", pressed=True
    )
    expect(pressed).to_have_text([str(layer) for layer in LAYERS])


def test_from_nothing_to_activations_and_back(
    windows: Windows, site: Site, files: Files, tmp_path: Path
) -> None:
    window = windows.open("/models")
    page = window.page
    seen = window.watch()

    card = add_model(window, files, "walked", look=True)
    expect(card.get_by_text("ready", exact=True)).to_be_visible()
    assert seen.any("walked", "loading"), "its load could be watched"
    window.look("models")

    go(page, "Datasets")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Upload file").click()
    chooser.value.set_files(files.texts)
    dialog = page.get_by_role("dialog", name="Upload prose.jsonl")
    expect(dialog.get_by_role("table", name="First rows")).to_be_visible()
    window.look("upload")
    dialog.get_by_role("button", name=re.compile("^Upload ")).click()
    row = page.get_by_role("row", name=re.compile("prose"))
    expect(row.get_by_text("ready", exact=True)).to_be_visible()
    window.look("datasets")

    go(page, "Models")
    card.get_by_role("link", name="Configure walked").click()
    details = page.get_by_role("dialog", name="walked")
    expect(details.get_by_role("tab", name="Overview")).to_be_visible()
    window.look("model")
    choose_layers(details, "prose")
    expect(details.get_by_role("region", name="Estimate")).to_contain_text("free on the disk")
    window.look("extract")
    details.get_by_role("button", name="Extract activations").click()
    extraction = details.get_by_role("region", name="Extractions of this model").get_by_role(
        "article"
    )
    expect(extraction.get_by_text("completed", exact=True)).to_be_visible()
    assert seen.any("prose", "extracting"), "the extraction could be watched"
    window.look("extracted")

    extraction.get_by_role("link", name="View activations").click()
    expect(page.get_by_role("heading", name="walked over prose")).to_be_visible()
    expect(page.get_by_role("tab", name="Statistics", selected=True)).to_be_visible()
    window.look("statistics")
    page.get_by_role("tab", name="Norms").click()
    expect(page.get_by_role("tab", name="Norms", selected=True)).to_be_visible()
    window.look("norms")
    page.get_by_role("tab", name="Samples").click()
    heat = page.get_by_role("listbox", name="Tokens of sample 0 by norm")
    expect(heat.get_by_role("option").first).to_be_visible()
    window.look("heat-map")

    page.get_by_role("tab", name="Use").click()
    window.look("use")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export", exact=True).click()
    with tarfile.open(download.value.path()) as archive:
        archive.extractall(tmp_path, filter="data")
    [manifest] = tmp_path.rglob("manifest.json")
    store = mistudio_activations.open(manifest.parent)
    [cache] = site.ask("GET", "/activations")["activations"]
    assert [*store.columns] == COLUMNS
    assert [*store[COLUMNS[0]].shape] == cache["activation_shape"]

    go(page, "Models")
    card.get_by_role("button", name="Unload walked").click()
    expect(card.get_by_text("unloaded", exact=True)).to_be_visible()
    card.get_by_role("button", name="Delete walked").click()
    dialog = page.get_by_role("dialog", name="Delete walked?")
    expect(dialog.get_by_role("listitem").filter(has_text="walked")).to_be_visible()
    window.look("delete")
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(card).to_have_count(0)
    go(page, "Activations")
    expect(page.get_by_text("No activations yet")).to_be_visible()
    assert site.ask("GET", "/models")["total"] == 0
    assert site.ask("GET", "/activations")["total"] == 0


@dataclass(frozen=True)
class Work:
    """A model in memory, a dataset and a cache of its activations, as the API shows them."""

    model: dict[str, Any]
    dataset: dict[str, Any]
    done: dict[str, Any]


@pytest.fixture(scope="package")
def work(site: Site, files: Files) -> Work:
    model = site.ready_model(files.model, name="kept")
    dataset = site.upload(write_jsonl(files.texts.with_name("letters.jsonl"), ragged_texts(40)))
    done = site.extract(model["id"], dataset_id=dataset["id"], layer_indices=[0, 7])
    assert done["status"] == "completed", done["error"]
    return Work(model, dataset, done)


@pytest.mark.nightly("every screen in dark and light")
def test_each_screen_has_an_address(windows: Windows, work: Work) -> None:
    model, cache = f"/models/{work.model['id']}", f"/activations/{work.done['cache_id']}"
    screens = {
        "models": ("/models", "Models"),
        "model": (model, "kept"),
        "extract": (f"{model}/extract", "kept"),
        "datasets": ("/datasets", "Datasets"),
        "dataset": (f"/datasets/{work.dataset['id']}", "letters"),
        "activations": ("/activations", "Activations"),
        "heat-map": (f"{cache}/samples", "kept over letters"),
        "device": ("/device", "Device"),
        "activity": ("/activity", "Activity"),
    }
    for screen, (path, heading) in screens.items():
        window = windows.open(path, scheme="light")
        expect(window.page.get_by_role("heading", name=heading, exact=True).first).to_be_visible()
        window.settled()
        window.look(screen)
        window.page.set_viewport_size({"width": TABLET[0], "height": TABLET[1]})
        window.screenshot(f"{screen}-tablet")
        window.page.context.close()


async def forget_columns(database_url: str, store_key: str) -> None:
    """Have a store miss every column, as after a restore without its files."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("DELETE FROM store_columns WHERE store_key = $1", store_key)
    finally:
        await connection.close()


@pytest.mark.nightly("an extraction, and pictures in dark and light")
def test_a_cache_that_misses_files_says_so_and_is_back_when_it_was_extracted_again(
    windows: Windows, work: Work, site: Site, stack: EmbeddedStack, files: Files
) -> None:
    texts = write_jsonl(files.texts.with_name("lost.jsonl"), ragged_texts(12, seed=7))
    done = site.extract(
        work.model["id"], dataset_id=site.upload(texts)["id"], layer_indices=[0, -1]
    )
    cache = site.ask("GET", f"/activations/{done['cache_id']}")
    with ThreadPoolExecutor(1) as aside:  # The browser's driver has a loop in this thread.
        aside.submit(asyncio.run, forget_columns(stack.database_url, cache["store_key"])).result()

    for path, screen in (("/activations", "caches"), (f"/activations/{cache['id']}", "missing")):
        for scheme in ("light", "dark"):
            window = windows.open(path, scheme=scheme)
            expect(window.page.get_by_text("missing", exact=True)).to_be_visible()
            window.settled()
            window.look(screen)
    page = window.page
    page.get_by_role("button", name="Extract again").click()
    expect(page.get_by_role("tab", name="Statistics")).to_be_visible()
    expect(page.get_by_text("Its files are missing")).to_have_count(0)
    assert site.ask("GET", f"/activations/{cache['id']}")["status"] == "ready"


def test_code_is_copied_where_the_browser_keeps_its_clipboard_to_itself(
    windows: Windows, work: Work
) -> None:
    page = windows.open(f"/activations/{work.done['cache_id']}/use").page
    button = page.get_by_role("button", name="Copy Python that opens this cache")
    expect(button).to_be_visible()
    # As on a page that came by plain http from another machine.
    page.evaluate("""() => {
        window.clipboard = navigator.clipboard;
        delete Navigator.prototype.clipboard;
        Object.defineProperty(window, 'isSecureContext', { value: false });
    }""")
    button.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    code = page.get_by_label("Python that opens this cache", exact=True).inner_text()
    assert page.evaluate("() => window.clipboard.readText()") == code


def test_a_reader_without_the_right_to_change_sees_no_actions(
    windows: Windows, work: Work, stack: EmbeddedStack
) -> None:
    secret = signing_secret(stack.layout, os.environ)
    token = mint(secret, subject="reader", scopes=["model:read"])
    page = windows.open("/models", token=token).page
    card = card_of(page, "kept")
    expect(card).to_be_visible()
    expect(card.get_by_role("link", name="Details kept")).to_be_visible()
    for action in ("Add model", "Unload kept", "Delete kept", "Pin kept"):
        expect(page.get_by_role("button", name=action)).to_have_count(0)


@pytest.mark.nightly("a gateway that is killed under a browser")
def test_nothing_is_stale_after_the_gateway_was_killed_in_mid_extraction(
    windows: Windows, work: Work, site: Site, stack: EmbeddedStack, files: Files
) -> None:
    model_id = work.model["id"]
    texts = files.texts.with_name("interrupted.jsonl")
    dataset = site.upload(write_jsonl(texts, ragged_texts(600, seed=1)))
    window = windows.open(f"/models/{model_id}/extractions")
    page = window.page
    others = [windows.open(path) for path in ("/models", "/device", "/activations")]
    body = {"dataset_id": dataset["id"], "layer_indices": list(range(8))}
    asked = site.ask("POST", f"/models/{model_id}/extract-activations", 202, json=body)
    running = page.get_by_role("region", name="Running").get_by_role("article")
    expect(running.get_by_text(re.compile(r"^[1-9]\d* (of|samples)"))).to_be_visible()

    windows.gateway_goes()
    os.kill(stack.pid("gateway"), signal.SIGKILL)
    lost = page.get_by_text(re.compile("connection was lost|Live updates are away"))
    expect(lost).to_be_visible()
    stack.wait_ready()
    expect(lost).to_be_hidden()
    windows.gateway_is_back()

    ended = page.get_by_role("region", name="Ended").get_by_role("article")
    newest = ended.filter(has_text="interrupted")
    expect(newest.get_by_text("completed", exact=True)).to_be_visible()
    done = site.ask("GET", f"/extractions/{asked['extraction_id']}")
    assert done["status"] == "completed"
    expect(running).to_have_count(0)
    expect(newest).to_contain_text(f"{done['total_tokens']:,} tokens")
    for open_before in (window, *others):
        fresh = windows.open(re.sub("^https?://[^/]*", "", open_before.page.url))
        fresh.settled()
        # What is measured all the time may be newer in one, until the other has heard of it too.
        agreed = wait_until(lambda old=open_before, new=fresh: old.said() == new.said(), 30)  # type: ignore[misc]
        assert agreed, f"{open_before.said()}\n\nand anew:\n\n{fresh.said()}"


@pytest.mark.nightly("two browsers")
def test_two_browsers_show_the_same(windows: Windows, work: Work, files: Files) -> None:
    left, right = windows.open("/models"), windows.open("/models", scheme="light")
    expect(card_of(right.page, "kept")).to_be_visible()
    mine = add_model(left, files, "shared")
    theirs = card_of(right.page, "shared")
    expect(theirs.get_by_text("ready", exact=True)).to_be_visible()
    expect(mine.get_by_text("ready", exact=True)).to_be_visible()

    theirs.get_by_role("button", name="Unload shared").click()
    expect(mine.get_by_text("unloaded", exact=True)).to_be_visible()
    right.screenshot("two-browsers-right")
    left.screenshot("two-browsers-left")

    theirs.get_by_role("link", name="Configure shared").click()
    expect(right.page.get_by_role("dialog", name="shared")).to_be_visible()
    mine.get_by_role("button", name="Delete shared").click()
    left.page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(mine).to_have_count(0)
    expect(right.page.get_by_text("There is no such model")).to_be_visible()

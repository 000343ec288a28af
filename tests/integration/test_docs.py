"""The documentation builds without a warning, and what it says to run runs."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import asyncpg
import numpy as np
import pytest

import mistudio_activations
from mistudio_client.embedded import EmbeddedStack, read_connection
from mistudio_client.embedded.ports import PortBook
from mistudio_testkit.models import ragged_texts, write_jsonl
from mistudio_testkit.pages import blocks
from mistudio_testkit.peers import peers_python
from mistudio_testkit.servers import nats_server, postgres_server
from mistudio_testkit.site import Site

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples" / "bus"
TinyModel = Callable[[str], Path]


def ran(command: list[str], where: Path, env: Mapping[str, str] | None = None) -> str:
    """Run a command that must succeed, and return what it printed."""
    done = subprocess.run(
        command, cwd=where, env=env, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    site = tmp_path / "site"
    ran([sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)], ROOT)
    subjects = (site / "reference" / "subjects" / "index.html").read_text()
    assert 'href="../schemas/LoadModel.json"' in subjects
    assert (site / "reference" / "schemas" / "LoadModel.json").is_file()
    kept = json.loads((ROOT / "benchmarks" / "results" / "capture.json").read_text())
    ours = kept["sets"]["ragged"]["tokens_per_second"]["mistudio"]
    assert f"<td>{ours:,.0f}</td>" in (site / "comparison" / "index.html").read_text()
    load = json.loads((ROOT / "benchmarks" / "results" / "load.json").read_text())["parts"]
    page = (site / "load" / "index.html").read_text()
    assert all(f"<td>{what}</td>" in page for each in load.values() for what, _ in each["table"])


@pytest.fixture
def env(stack: EmbeddedStack) -> dict[str, str]:
    """As of a shell on the stack's machine."""
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "MISTUDIO_URL": stack.url,
        "MISTUDIO_TOKEN": stack.token,
        "NATS_URL": stack.nats_url,
    }


def follow(page: str, where: Path, env: Mapping[str, str], mark: str = "run") -> None:
    """Run the blocks of a page that bear the mark, one after the other, in one directory."""
    found = [block for block in blocks(DOCS / page) if block.mark == mark]
    assert found
    for block in found:
        shell = ["bash", "-euo", "pipefail", "-c"]
        ran(
            [*([sys.executable, "-c"] if block.language == "python" else shell), block.code],
            where,
            env,
        )


@pytest.mark.nightly("a shell and Python for each block of the page")
@pytest.mark.stack
def test_one_can_start_as_the_first_page_says(
    home: Path, env: dict[str, str], tiny_model: TinyModel
) -> None:
    shutil.copytree(tiny_model("gpt2"), home / "my-model")
    write_jsonl(home / "texts.jsonl", ragged_texts(20, seed=11))
    follow("index.md", home, env)


@pytest.mark.nightly("a model of 90 MB to download, and an SAE to train")
@pytest.mark.stack
@pytest.mark.timeout(900)  # The first time, the environment of peers is made and compiled.
def test_the_tutorial_ends_with_a_trained_sae(
    home: Path, env: dict[str, str], site: Site, trained: Path
) -> None:
    shutil.copytree(trained, home / "my-model")
    follow("tutorial/index.md", home, env)

    (training,) = (
        block for block in blocks(DOCS / "tutorial" / "index.md") if block.mark == "train"
    )
    tell = "\nprint(json.dumps([losses, rows.float().tolist(), token_ids.tolist()]))\n"
    # Bytecode is kept: compiling SAELens anew takes longer than all else here.
    own = {key: value for key, value in env.items() if key != "PYTHONDONTWRITEBYTECODE"}
    told = ran([str(peers_python()), "-c", training.code + tell], home, own)
    losses, rows, token_ids = json.loads(told.splitlines()[-1])
    (model,) = site.ask("GET", "/models", params={"search": "tutorial"})["models"]
    caches = site.ask("GET", "/activations", params={"model_id": model["id"]})["activations"]
    store = mistudio_activations.open(caches[0]["storage_path"])
    first = np.asarray(rows).reshape(-1, store["layers.0.resid_post"].shape[1])
    np.testing.assert_array_equal(first, store["layers.0.resid_post"][: len(first)])
    assert np.ravel(token_ids).tolist() == store.input_ids[: len(first)].tolist()
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) / 2


@pytest.mark.stack
def test_a_service_in_javascript_gives_commands_as_the_page_says(
    home: Path, env: dict[str, str], site: Site, tiny_model: TinyModel
) -> None:
    model = site.register(tiny_model("gpt2"))
    dataset = site.upload(write_jsonl(home / "d.jsonl", ragged_texts(12, seed=12)))
    for name in ("extract_over_the_bus.mjs", "package.json"):
        shutil.copy(EXAMPLES / name, home)
    node = str(ROOT / "deploy" / "dev" / "node")
    ran([node, "npm", "install", "--silent", "--no-audit", "--no-fund"], home)
    told = {**env, "MODEL_ID": model["id"], "DATASET_ID": dataset["id"]}
    found = ran([node, "bash", "-c", 'dirname "$(command -v node)"'], home).strip()
    follow("how-to/commands.md", home, {**told, "PATH": os.pathsep.join([found, told["PATH"]])})
    listed = site.ask("GET", "/extractions", params={"model_id": model["id"]})
    assert [each["status"] for each in listed["extractions"]] == ["completed"]


async def datasets_of(database_url: str) -> list[str]:
    connection = await asyncpg.connect(database_url)
    try:
        return [row["name"] for row in await connection.fetch("SELECT name FROM datasets")]
    finally:
        await connection.close()


@pytest.mark.nightly("three stacks' servers, two of them with services")
@pytest.mark.stack
def test_a_stack_is_kept_and_put_back_as_the_page_says(home: Path, env: dict[str, str]) -> None:
    page, port = "how-to/backup.md", PortBook(home / "ports.json").claim("gateway")
    for name in ("MISTUDIO_URL", "MISTUDIO_TOKEN", "NATS_URL"):
        env.pop(name)
    env["MISTUDIO_DATA_DIR"] = str(home / "data")
    with EmbeddedStack(home / "data") as stack:
        site = Site(stack.url, stack.token)
        dataset = site.upload(write_jsonl(home / "texts.jsonl", ragged_texts(12, seed=11)))
        site.close()
        named = {
            "DATABASE_URL": stack.database_url,
            "NATS_URL": stack.nats_url,
            "DATASET_CACHE_DIR": str(stack.layout.datasets),
        }
        follow(page, home, {**env, **named}, "save")
        follow(page, home, env)
        assert not stack.is_alive()
    with nats_server(home / "bus") as nats_url, postgres_server(home / "rows") as database_url:
        named = {
            "DATABASE_URL": database_url,
            "NATS_URL": nats_url,
            "DATASET_CACHE_DIR": str(home / "there"),
        }
        follow(page, home, {**env, **named}, "put back")
        assert asyncio.run(datasets_of(database_url)) == ["texts"]
    assert (home / "there" / dataset["fingerprint"] / "data.parquet").is_file()

    (start,) = (block for block in blocks(DOCS / page) if block.mark == "start")
    # The usual port may be somebody else's.
    ran(["bash", "-euc", f"{start.code.strip()} --port {port}"], home, env)
    try:
        found = read_connection(home / "elsewhere")
        assert found is not None
        there = Site(found.url, found.token)
        assert there.ask("GET", f"/datasets/{dataset['id']}") == dataset
        there.close()
    finally:
        ran(["mistudio", "down", "--data-dir", str(home / "elsewhere")], home, env)

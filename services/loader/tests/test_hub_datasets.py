"""Datasets of the hub, through the real client libraries in a child process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mistudio_contracts import MiStudioError, new_id
from mistudio_contracts.errors import InvalidInput, PayloadTooLarge, ServiceUnavailable
from mistudio_contracts.values import DatasetFacts
from mistudio_loader.datasets.hubdata import within
from mistudio_loader.jobs import HubDataset, IngestJob
from mistudio_loader.services.children import Children
from mistudio_testkit.hub import FakeHub

REPO = "someone/some-texts"
HOME = f"hf://datasets/{REPO}@0123abc"


@pytest.fixture
def ingest(cache: Path, hub: FakeHub) -> Any:
    async def work(
        repo_id: str = REPO, *, split: str = "train", max_bytes: int = 2**30, **fields: Any
    ) -> DatasetFacts:
        task_id = new_id("task")
        settings = {"endpoint": hub.url, **fields}
        job = IngestJob(
            task_id=task_id,
            root=cache,
            name=repo_id,
            hub=HubDataset(repo_id=repo_id, split=split, **settings),
            max_bytes=max_bytes,
        )
        return DatasetFacts.model_validate(await Children().run(task_id, "ingest", job))

    return work


def parquet(tmp_path: Path, rows: int = 20) -> bytes:
    path = tmp_path / "made.parquet"
    pq.write_table(pa.table({"text": [f"sample {n}" for n in range(rows)]}), path)
    return path.read_bytes()


def card(*paths: str) -> bytes:
    """Return a dataset's card that says where its files are."""
    listed = "".join(f"    - {json.dumps(path)}\n" for path in paths)
    return f"---\nconfigs:\n- config_name: default\n  data_files:\n{listed}---\n".encode()


async def test_a_split_of_parquet_is_streamed(
    ingest: Any, hub: FakeHub, cache: Path, tmp_path: Path
) -> None:
    hub.add_dataset(REPO, {"data/train-00000-of-00001.parquet": parquet(tmp_path)})
    facts = await ingest()
    assert facts.sample_count == 20
    assert facts.columns == {"text": "text"}
    data = cache / facts.fingerprint / "data.parquet"
    assert facts.file_size_bytes == data.stat().st_size
    assert pq.read_table(data)["text"][19].as_py() == "sample 19"
    assert sorted(p for p in cache.rglob("*") if p.is_file()) == [  # noqa: ASYNC240
        data,
        data.with_name("dataset.json"),
    ]


async def test_a_split_of_json_lines_that_the_card_names_is_streamed(
    ingest: Any, hub: FakeHub
) -> None:
    rows = b'{"text": "a"}\n{"text": "b"}\n'
    files = {"README.md": card("rows/*.jsonl"), "rows/a.jsonl": rows, "b.jsonl": b"{"}
    hub.add_dataset(REPO, files)
    assert (await ingest()).sample_count == 2


async def test_an_unknown_dataset_is_the_users_mistake(ingest: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        await ingest("someone/misspelt")
    assert caught.value.details["reason"] == "not_found"


async def test_an_unknown_split_is_the_users_mistake(
    ingest: Any, hub: FakeHub, tmp_path: Path
) -> None:
    hub.add_dataset(REPO, {"data/train-00000-of-00001.parquet": parquet(tmp_path)})
    with pytest.raises(InvalidInput) as caught:
        await ingest(split="validation")
    assert caught.value.details["field"] == "split"
    assert caught.value.details["reason"] == "not_found"


async def test_a_gated_dataset_asks_for_the_token(
    ingest: Any, hub: FakeHub, tmp_path: Path
) -> None:
    hub.add_dataset(REPO, {"train.jsonl": b'{"text": "a"}\n'}, gated=True)
    with pytest.raises(InvalidInput) as caught:
        await ingest()
    assert caught.value.details["reason"] == "gated"
    assert (await ingest(token=hub.token)).sample_count == 1


async def test_a_dataset_larger_than_allowed_is_refused(
    ingest: Any, hub: FakeHub, tmp_path: Path
) -> None:
    hub.add_dataset(REPO, {"data/train-00000-of-00001.parquet": parquet(tmp_path, 5000)})
    with pytest.raises(PayloadTooLarge):
        await ingest(max_bytes=10_000)


@pytest.mark.nightly("all retries of a client library")
async def test_a_hub_out_of_reach_is_a_passing_trouble(ingest: Any) -> None:
    with pytest.raises(MiStudioError) as caught:
        await ingest(endpoint="http://127.0.0.1:9")
    assert isinstance(caught.value, ServiceUnavailable)
    assert caught.value.transient


@pytest.mark.parametrize(
    "path", ["rows/*.jsonl", "**/train-*", f"{HOME}/a.jsonl", f"{HOME}/a/b.csv"]
)
def test_a_card_may_name_the_repositorys_own_files(path: str) -> None:
    assert within(path, HOME)


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/passwd", "~/.ssh/*", "file:///etc/x.txt", "../../x.txt", "rows/../../x.txt"),
        *("http://169.254.169.254/x.json", "zip://*.txt::http://internal/x.zip", "x.zip::/x.txt"),
        *("hf://datasets/other/private/x.txt", f"{HOME}/../../other@main/x", f"{HOME}::/x.txt"),
    ],
)
def test_a_card_may_name_no_others(path: str) -> None:
    assert not within(path, HOME)


async def test_a_card_leads_nowhere_else(ingest: Any, hub: FakeHub, cache: Path) -> None:
    """Neither to files of this machine, nor to servers that it alone can reach."""
    with FakeHub() as internal:
        files = {"README.md": card(f"{internal.url}/private.txt"), "rows.txt": b"fine\n"}
        hub.add_dataset(REPO, files)
        with pytest.raises(InvalidInput) as caught:
            await ingest()
        assert internal.requests == []
    assert caught.value.details["reason"] == "malformed_dataset"
    assert "not its own" in caught.value.message
    assert not any(p.is_file() for p in cache.rglob("*"))  # noqa: ASYNC240

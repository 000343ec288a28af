"""Preparing from a hub: resumed, verified, and clear about what went wrong."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from mistudio_contracts import Quantization
from mistudio_contracts.errors import (
    InsufficientStorage,
    InvalidInput,
    ModelLoadFailed,
    ServiceUnavailable,
)
from mistudio_loader.storage.staging import Workshop
from mistudio_testkit.hub import FakeHub

REPO = "someone/tiny-1.0"


def weights(directory: Path) -> bytes:
    return (directory / "model.safetensors").read_bytes()


def test_a_repository_becomes_an_artifact(
    prepare_from: Any, hub: FakeHub, small_model: Any
) -> None:
    source = small_model("llama")
    commit = hub.add_model(REPO, source)
    prepared = prepare_from.from_hub(REPO)
    made = prepare_from.directory(prepared)
    assert weights(made) == weights(source)
    assert prepared.facts.revision == commit
    manifest = json.loads((made / "artifact.json").read_text())
    assert (manifest["model_identifier"], manifest["revision"]) == (REPO, commit)
    digest = hashlib.sha256(weights(source)).hexdigest()
    assert manifest["source_sha256"]["model.safetensors"] == digest
    assert list(dict.fromkeys(s.stage.value for s in prepare_from.steps)) == [
        "resolving",
        "downloading",
        "verifying",
        "quantizing",
    ]
    assert prepare_from.left_over() == []


def test_hub_and_directory_share_an_artifact(
    prepare_from: Any, hub: FakeHub, checkpoint: Any
) -> None:
    source = checkpoint("mistral")
    hub.add_model(REPO, source)
    assert prepare_from.from_hub(REPO).artifact == prepare_from(source).artifact


def test_a_prepared_repository_is_not_downloaded_again(
    prepare_from: Any, hub: FakeHub, small_model: Any
) -> None:
    hub.add_model(REPO, small_model("gpt2"))
    first = prepare_from.from_hub(REPO, quantization=Quantization.BF16)
    transfers = len(hub.seen("/cdn/model.safetensors"))
    second = prepare_from.from_hub(REPO, quantization=Quantization.BF16)
    assert second == first
    # One more range for the header, and no transfer.
    assert len(hub.seen("/cdn/model.safetensors")) == transfers + 1
    assert hub.seen("/cdn/model.safetensors")[-1].range == "bytes=0-262143"


def test_only_what_is_needed_is_fetched(prepare_from: Any, hub: FakeHub, small_model: Any) -> None:
    files = {p.name: p.read_bytes() for p in small_model("gpt2").iterdir()}
    extra = {
        "pytorch_model.bin": b"pickle",
        "modeling.py": b"1/0",
        "README.md": b"#",
        "a/b.json": b"{}",
    }
    hub.add_model(REPO, {**files, **extra})
    made = prepare_from.directory(prepare_from.from_hub(REPO))
    assert not set(extra) & {p.name for p in made.iterdir()}
    for name in extra:
        assert hub.seen(f"/{name}") == []


def test_a_cut_connection_is_resumed_where_it_broke(
    prepare_from: Any, hub: FakeHub, wide: Path
) -> None:
    hub.add_model(REPO, wide)
    hub.cut("/cdn/model.safetensors", 2_500_000, skip=1)
    prepared = prepare_from.from_hub(REPO)
    assert weights(prepare_from.directory(prepared)) == weights(wide)
    ranges = [request.range for request in hub.seen("/cdn/model.safetensors")]
    assert ranges[-2:] == [None, "bytes=2097152-"]


def test_a_server_that_falls_silent_is_asked_for_the_rest(
    prepare_from: Any, hub: FakeHub, wide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.5)
    hub.add_model(REPO, wide)
    hub.hold("/cdn/model.safetensors", 2_500_000, skip=1)
    prepared = prepare_from.from_hub(REPO)
    assert weights(prepare_from.directory(prepared)) == weights(wide)
    ranges = [request.range for request in hub.seen("/cdn/model.safetensors")]
    assert ranges[-2:] == [None, "bytes=2097152-"]


def test_a_server_that_stays_silent_is_a_passing_trouble_and_what_came_is_kept(
    prepare_from: Any, hub: FakeHub, wide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    hub.add_model(REPO, wide)
    hub.hold("/cdn/model.safetensors", 2_500_000, skip=1)
    for _ in range(6):
        hub.hold("/cdn/model.safetensors", 0, skip=1)
    with pytest.raises(ServiceUnavailable) as caught:
        prepare_from.from_hub(REPO)
    assert caught.value.transient
    assert any(name.endswith(".partial") for name in prepare_from.left_over())


def test_the_next_attempt_goes_on_with_what_the_last_one_left(
    prepare_from: Any, hub: FakeHub, wide: Path
) -> None:
    commit = hub.add_model(REPO, wide)
    here = prepare_from.cache / ".hub" / f"someone--tiny-1.0@{commit}"
    here.mkdir(parents=True)
    (here / "model.safetensors.partial").write_bytes(weights(wide)[:1_500_000])
    prepared = prepare_from.from_hub(REPO)
    assert weights(prepare_from.directory(prepared)) == weights(wide)
    assert hub.seen("/cdn/model.safetensors")[-1].range == "bytes=1500000-"
    assert prepare_from.left_over() == []


def test_wrong_bytes_are_thrown_away_and_asked_for_again(
    prepare_from: Any, hub: FakeHub, wide: Path
) -> None:
    commit = hub.add_model(REPO, wide)
    hub.corrupt("/cdn/model.safetensors", skip=1)
    with pytest.raises(ModelLoadFailed) as caught:
        prepare_from.from_hub(REPO)
    assert caught.value.transient
    assert caught.value.details["reason"] == "checksum_mismatch"
    assert caught.value.details["file"] == "model.safetensors"
    here = prepare_from.cache / ".hub" / f"someone--tiny-1.0@{commit}"
    assert list(here.iterdir()) == []
    assert weights(prepare_from.directory(prepare_from.from_hub(REPO))) == weights(wide)
    assert hub.seen("/cdn/model.safetensors")[-1].range is None


def test_a_damaged_small_file_is_noticed(prepare_from: Any, hub: FakeHub, small_model: Any) -> None:
    hub.add_model(REPO, small_model("gpt2"))
    hub.corrupt("/tokenizer.json")
    with pytest.raises(ServiceUnavailable) as caught:
        prepare_from.from_hub(REPO)
    assert caught.value.details["reason"] == "checksum_mismatch"


def test_too_many_requests_are_waited_out_during_the_transfer(
    prepare_from: Any, hub: FakeHub, small_model: Any
) -> None:
    hub.add_model(REPO, small_model("gpt2"))
    hub.fail("/config.json", 429, headers={"Retry-After": "0"})
    assert prepare_from.from_hub(REPO).facts.model_type == "gpt2"
    assert len(hub.seen("/config.json")) == 2


def test_too_many_requests_at_the_door_say_when_to_come_back(
    prepare_from: Any, hub: FakeHub, small_model: Any
) -> None:
    hub.add_model(REPO, small_model("gpt2"))
    hub.fail("/api/models", 429, headers={"Retry-After": "7"})
    with pytest.raises(ServiceUnavailable) as caught:
        prepare_from.from_hub(REPO)
    assert caught.value.transient
    assert caught.value.details["retry_after_seconds"] == 7


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_broken_hub_is_a_passing_trouble(
    prepare_from: Any, hub: FakeHub, small_model: Any, status: int
) -> None:
    hub.add_model(REPO, small_model("gpt2"))
    hub.fail("/api/models", status)
    with pytest.raises(ServiceUnavailable) as caught:
        prepare_from.from_hub(REPO)
    assert caught.value.transient


def test_a_hub_out_of_reach_is_a_passing_trouble(prepare: Any) -> None:
    with pytest.raises(ServiceUnavailable) as caught:
        prepare.from_hub(REPO)
    assert caught.value.transient


def test_an_unknown_repository_is_the_users_mistake(prepare_from: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        prepare_from.from_hub("someone/misspelt")
    assert caught.value.details["reason"] == "not_found"
    assert "spelling" in caught.value.details["remedy"]


def test_an_unknown_revision_is_the_users_mistake(
    prepare_from: Any, hub: FakeHub, small_model: Any
) -> None:
    hub.add_model(REPO, small_model("gpt2"))
    with pytest.raises(InvalidInput) as caught:
        prepare_from.from_hub(REPO, revision="v9")
    assert caught.value.details["field"] == "revision"
    assert caught.value.details["reason"] == "not_found"


@pytest.mark.parametrize("token", [None, "hf_wrong"])
def test_a_gated_repository_asks_for_the_token(
    prepare_from: Any, hub: FakeHub, small_model: Any, token: str | None
) -> None:
    hub.add_model(REPO, small_model("gpt2"), gated=True)
    prepare_from.token = token
    with pytest.raises(InvalidInput) as caught:
        prepare_from.from_hub(REPO)
    assert caught.value.details["reason"] == "gated"
    assert "HUGGINGFACE_TOKEN" in caught.value.details["remedy"]


def test_the_token_opens_the_door_and_stays_out_of_the_cdn(
    prepare_from: Any, hub: FakeHub, small_model: Any
) -> None:
    hub.add_model(REPO, small_model("gpt2"), gated=True)
    prepare_from.token = hub.token
    prepare_from.from_hub(REPO)
    assert {r.token for r in hub.seen("/resolve/")} == {hub.token}
    assert {r.token for r in hub.seen("/cdn/")} == {None}


@pytest.mark.parametrize("identifier", ["../etc", "a/b/c", "spaces here", "-x/y", "/root"])
def test_what_is_no_hub_id_never_reaches_the_hub(
    prepare_from: Any, hub: FakeHub, identifier: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        prepare_from.from_hub(identifier)
    assert caught.value.details["reason"] == "invalid_identifier"
    assert hub.requests == []


def test_pickle_is_refused_before_it_is_fetched(prepare_from: Any, hub: FakeHub) -> None:
    config = b'{"model_type": "gpt2", "n_embd": 8, "n_layer": 1, "vocab_size": 9}'
    hub.add_model(REPO, {"config.json": config, "consolidated.00.pth": b"\x80"})
    with pytest.raises(InvalidInput) as caught:
        prepare_from.from_hub(REPO)
    assert caught.value.details["reason"] == "pickle_refused"
    assert hub.seen("consolidated") == []


def test_a_full_disk_is_told_before_the_transfer(
    prepare_from: Any, hub: FakeHub, small_model: Any
) -> None:
    hub.add_model(REPO, small_model("gpt2"))
    with pytest.raises(InsufficientStorage):
        prepare_from.from_hub(REPO, reserve_bytes=2**60)
    assert all(r.range for r in hub.seen("/cdn/model.safetensors"))


def test_a_download_that_nobody_goes_on_with_is_forgotten(
    prepare_from: Any, hub: FakeHub, wide: Path
) -> None:
    hub.add_model(REPO, wide)
    hub.cut("/cdn/model.safetensors", 1_500_000, skip=1)
    hub.fail("/cdn/model.safetensors", 503, skip=1)
    with pytest.raises(ServiceUnavailable):
        prepare_from.from_hub(REPO)
    workshop = Workshop(prepare_from.cache)
    workshop.forget_partials(max_age=3600)
    assert any(name.endswith(".partial") for name in prepare_from.left_over())
    workshop.forget_partials(max_age=-1)
    assert prepare_from.left_over() == []

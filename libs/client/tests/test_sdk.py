"""The client against a real gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from mistudio_client import Client, InvalidArgument, Unreachable
from mistudio_client.extractions import Step
from mistudio_contracts.errors import (
    ErrorBody,
    ErrorCode,
    MiStudioError,
    ModelLoadFailed,
    NotFound,
    PreconditionFailed,
    StatusConflict,
    Unauthorized,
)
from mistudio_contracts.states import (
    Damage,
    DatasetFormat,
    DatasetSource,
    Dtype,
    ExtractionStatus,
    ModelStatus,
    Quantization,
    Source,
)

from .conftest import Site


def test_a_model_is_registered_loaded_and_waited_for(client: Client) -> None:
    steps: list[tuple[float, str]] = []

    model = client.models.add("gpt2", model_identifier="openai-community/gpt2", quantization="int8")
    accepted = client.models.load(model.id)
    ready = client.models.wait(model.id, on_progress=lambda *step: steps.append(step), timeout=30)

    assert (model.name, model.model_identifier) == ("gpt2", "openai-community/gpt2")
    assert (model.source, model.status) == (Source.HUGGINGFACE, ModelStatus.PENDING)
    assert model.quantization is Quantization.INT8
    assert accepted.status is ModelStatus.LOADING
    assert (ready.status, ready.memory_usage_bytes) == (ModelStatus.READY, 500_000_000)
    assert [progress for progress, _ in steps] == sorted(progress for progress, _ in steps)


def test_waiting_hears_of_an_end_that_comes_after_it_began(site: Site, client: Client) -> None:
    site.catalog.hold()
    model = client.models.add("gpt2", auto_load=True)

    ready = client.models.wait(
        model.id, on_progress=lambda progress, what: site.catalog.release(), timeout=30
    )

    assert ready.status is ModelStatus.READY


def test_waiting_hears_that_a_load_is_tried_again_and_why(site: Site, client: Client) -> None:
    why = "Trying again (1 of 3) in 1 s: The hub does not answer."
    site.catalog.hold()
    model = client.models.add("gpt2", auto_load=True)
    heard: list[str] = []

    def on_progress(progress: float, what: str) -> None:
        if not heard:
            site.catalog.try_again(model.id, why)
        heard.append(what)
        if what == why:
            site.catalog.release()

    assert client.models.wait(model.id, on_progress=on_progress, timeout=30).status == "ready"
    assert why in heard


def test_a_failed_load_raises_its_reason(site: Site, client: Client) -> None:
    site.catalog.rows.fail = ErrorBody(
        code=ErrorCode.MODEL_LOAD_FAILED, message="The checksum differs.", details={"reason": "sum"}
    )
    model = client.models.add("gpt2", auto_load=True)

    with pytest.raises(ModelLoadFailed, match="The checksum differs") as caught:
        client.models.wait(model.id, timeout=30)

    assert caught.value.details == {"reason": "sum"}


def test_waiting_gives_up_when_told_to(site: Site, client: Client) -> None:
    site.catalog.hold()
    model = client.models.add("gpt2", auto_load=True)

    with pytest.raises(TimeoutError):
        client.models.wait(model.id, timeout=0.2)


def test_a_load_can_be_cancelled(site: Site, client: Client) -> None:
    site.catalog.hold()
    model = client.models.add("gpt2", auto_load=True)

    assert client.models.cancel(model.id).status is ModelStatus.UNLOADED
    assert client.models.wait(model.id, timeout=30).status is ModelStatus.UNLOADED


def test_a_model_is_changed_only_by_who_saw_its_newest_version(client: Client) -> None:
    model = client.models.add("gpt2")
    _, tag = client.models.get_tagged(model.id)

    renamed = client.models.update(model.id, name="Second", if_match=tag)

    assert renamed.name == "Second"
    with pytest.raises(PreconditionFailed):
        client.models.update(model.id, name="Third", if_match='"1999-01-01"')


def test_errors_of_the_service_are_raised_as_their_classes(client: Client) -> None:
    with pytest.raises(NotFound) as caught:
        client.models.get("m_nobody")
    assert caught.value.code is ErrorCode.MODEL_NOT_FOUND

    model = client.models.add("gpt2", auto_load=True)
    client.models.wait(model.id, timeout=30)
    with pytest.raises(StatusConflict) as conflict:
        client.models.load(model.id)
    assert conflict.value.details["remedy"] == "Unload it first."


def test_a_name_an_identifier_and_an_id_find_a_model(client: Client) -> None:
    model = client.models.add("Small", model_identifier="openai-community/gpt2")

    assert client.models.find("Small").id == model.id
    assert client.models.find("openai-community/gpt2").id == model.id
    assert client.models.find(model.id).name == "Small"


def test_a_name_that_two_models_bear_finds_neither(client: Client) -> None:
    first, second = client.models.add("gpt2"), client.models.add("gpt2")

    with pytest.raises(InvalidArgument) as caught:
        client.models.find("gpt2")

    assert caught.value.details["reason"] == "ambiguous"
    assert first.id in caught.value.message
    assert second.id in caught.value.message


def test_all_pages_are_read(client: Client) -> None:
    ids = {client.models.add(f"model-{n}").id for n in range(5)}

    assert {model.id for model in client.models.iterate()} == ids
    page = client.models.list(limit=2, offset=4)
    assert (len(page.models), page.total) == (1, 5)


def test_a_file_is_uploaded_and_read(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "corpus.csv"
    file.write_text("text\n" + "a\n" * 100_000)
    seen: list[tuple[int, int]] = []

    dataset = client.datasets.upload(
        file, format="csv", text_column="text", on_progress=lambda *n: seen.append(n)
    )
    ready = client.datasets.wait(dataset.id, timeout=30)

    assert (dataset.name, dataset.source) == ("corpus", DatasetSource.UPLOAD)
    assert ready.format is DatasetFormat.CSV
    assert ready.sample_count == 12
    size = file.stat().st_size
    assert seen[-1] == (size, size)


def test_a_file_that_is_not_there_is_refused_here(client: Client, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot be read"):
        client.datasets.upload(tmp_path / "nothing.txt")


def test_a_dataset_that_cannot_be_read_raises_why(site: Site, client: Client) -> None:
    site.catalog.rows.fail = ErrorBody(
        code=ErrorCode.VALIDATION_ERROR, message="Line 3 is not JSON."
    )
    dataset = client.datasets.add("/data/x.jsonl", source=DatasetSource.LOCAL)

    with pytest.raises(MiStudioError, match="Line 3 is not JSON"):
        client.datasets.wait(dataset.id, timeout=30)


def test_an_extraction_is_followed_to_its_end(site: Site, client: Client) -> None:
    site.catalog.hold()
    model, dataset = client.models.add("gpt2"), client.datasets.add("wikitext")
    asked = client.extract(
        model.id,
        dataset.id,
        layer_indices=[0, -1],
        sample_count=12,
        dtype=Dtype.FLOAT16,
        truncate=True,
    )
    steps: list[Step] = []

    def on_progress(step: Step) -> None:
        steps.append(step)
        if step.samples == 6:
            site.catalog.release()

    done = client.extractions.wait(asked.extraction_id, on_progress=on_progress, timeout=30)

    assert asked.status is ExtractionStatus.QUEUED
    assert done.hook_points == ["layers.0.resid_post", "layers.3.resid_post"]
    assert (done.dtype, done.tokenization.truncate) == (Dtype.FLOAT16, True)
    assert (steps[-1].progress, steps[-1].samples, steps[-1].total) == (100.0, 12, 12)


def test_what_the_cache_has_is_completed_at_once(client: Client) -> None:
    model, dataset = client.models.add("gpt2"), client.datasets.add("wikitext")
    first = client.extract(model.id, dataset.id, layer_indices=[0, 1])
    client.extractions.wait(first.extraction_id, timeout=30)

    second = client.extract(model.id, dataset.id, layer_indices=[1])

    assert (second.status, second.cached) == (ExtractionStatus.COMPLETED, True)


def test_a_store_is_downloaded_and_checked(site: Site, client: Client, tmp_path: Path) -> None:
    cache_id = captured(client)
    seen: list[tuple[int, int]] = []

    target = client.activations.download(
        cache_id, tmp_path / "out", on_progress=lambda *n: seen.append(n)
    )

    assert contents(target) == contents(site.store)
    assert seen[-1][0] == seen[-1][1]
    assert list(tmp_path.iterdir()) == [target]


def test_a_download_can_be_of_some_columns(client: Client, tmp_path: Path) -> None:
    target = client.activations.download(
        captured(client), tmp_path / "out", columns=["layers.1.resid_post"]
    )

    names = {path.partition("/")[0] for path in contents(target)}
    assert names == {"manifest.json", "tokens", "layers.1.resid_post"}


def test_a_damaged_download_is_refused_and_goes_on_where_it_stopped(
    site: Site, client: Client, tmp_path: Path
) -> None:
    cache_id = captured(client)
    file = site.store / "layers.1.resid_post/00000.safetensors"
    whole = file.read_bytes()
    try:
        file.write_bytes(whole[:-1] + b"?")
        with pytest.raises(MiStudioError, match="arrived damaged"):
            client.activations.download(cache_id, tmp_path / "out")
        assert not (tmp_path / "out").exists()
    finally:
        file.write_bytes(whole)

    client.activations.download(cache_id, tmp_path / "out")

    assert contents(tmp_path / "out") == contents(site.store)


def test_a_cache_is_verified_file_by_file_and_what_is_damaged_is_named(
    site: Site, client: Client
) -> None:
    cache_id = captured(client)
    seen: list[tuple[int, int]] = []
    intact = client.activations.verify(cache_id, on_progress=lambda *n: seen.append(n))

    assert (intact.damaged, intact.remedy, intact.next) == ([], None, None)
    assert (intact.verified_files, intact.verified_bytes) == (intact.total_files, seen[-1][1])
    assert len(seen) == intact.total_files
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)

    file = site.store / "layers.0.resid_post/00000.safetensors"
    whole = file.read_bytes()
    try:
        file.write_bytes(whole[:-1] + b"?")
        damaged = client.activations.verify(cache_id)
    finally:
        file.write_bytes(whole)

    assert [(f.path, f.reason) for f in damaged.damaged] == [
        ("layers.0.resid_post/00000.safetensors", Damage.CONTENT)
    ]
    assert (damaged.verified_files, damaged.remedy) == (intact.total_files, "Delete it.")


def test_a_download_overwrites_nothing(client: Client, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")

    with pytest.raises(InvalidArgument, match="already exists"):
        client.activations.download(captured(client), tmp_path)

    assert (tmp_path / "mine").read_text() == "precious"


def test_devices_are_shown(client: Client) -> None:
    assert [device.name for device in client.devices().devices] == ["A processor"]


def test_a_wrong_token_is_refused(site: Site) -> None:
    with Client(site.url, "wrong") as client:
        with pytest.raises(Unauthorized):
            client.models.list()
        with client.events() as events, pytest.raises(Unauthorized):
            events.next(10)


def test_nobody_there_is_told_from_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client("http://127.0.0.1:9", "t") as client, pytest.raises(Unreachable) as caught:
        client.models.list()
    assert caught.value.details["reason"] == "unreachable"

    monkeypatch.delenv("MISTUDIO_URL", raising=False)
    monkeypatch.setenv("MISTUDIO_DATA_DIR", str(tmp_path))
    with pytest.raises(Unreachable) as none:
        Client()
    assert none.value.details["reason"] == "not_running"


def captured(client: Client) -> str:
    """Capture two layers and return the cache's id."""
    model, dataset = client.models.add("gpt2"), client.datasets.add("wikitext")
    asked = client.extract(model.id, dataset.id, layer_indices=[0, 1])
    done = client.extractions.wait(asked.extraction_id, timeout=30)
    assert done.cache_id is not None
    return done.cache_id


def contents(root: Path) -> dict[str, bytes]:
    """Return every file below ``root``."""
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}

"""Each bad input has its code, names the field and the remedy, and leaves the system working."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mistudio_testkit.models import ragged_texts, write_jsonl
from mistudio_testkit.site import Site

pytestmark = pytest.mark.stack

TinyModel = Callable[[str], Path]


def refused(error: dict[str, Any], field: str | None = None) -> str:
    """Assert that an error helps, and return its message."""
    assert error["code"] == "VALIDATION_ERROR"
    assert error["message"]
    assert error["details"].get("remedy"), error
    if field is not None:
        assert error["details"]["field"] == field
    message: str = error["message"]
    return message


def test_an_unknown_model(site: Site) -> None:
    error = site.error("GET", "/models/m_nobody_1", 404)
    assert error["code"] == "MODEL_NOT_FOUND"


@pytest.mark.parametrize("path", ["/models/NOT-AN-ID", "/extractions/1", "/datasets/%00"])
def test_a_malformed_id(site: Site, path: str) -> None:
    assert site.error("GET", path, 400)["code"] == "VALIDATION_ERROR"


def test_a_layer_out_of_range_is_named_with_the_range(
    site: Site, tiny_model: TinyModel, home: Path
) -> None:
    model = site.ready_model(tiny_model("gpt2"))
    dataset = site.upload(write_jsonl(home / "d.jsonl", ["a b"]))
    error = site.error(
        "POST",
        f"/models/{model['id']}/extract-activations",
        400,
        json={"dataset_id": dataset["id"], "layer_indices": [0, 7]},
    )
    assert "7" in refused(error, "layer_indices")
    assert "-4" in error["details"]["remedy"]
    assert "3" in error["details"]["remedy"]


def test_a_wrong_column_is_named_with_those_there_are(site: Site, home: Path) -> None:
    dataset = site.upload(write_jsonl(home / "d.jsonl", ["a b"], "body"), text_column="txt")
    assert dataset["status"] == "failed"
    message = refused(dataset["error"], "text_column")
    assert "txt" in message
    assert "body" in message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("blank.jsonl", b"\n\n"),
        ("undecodable.txt", b"fine\n\xff\xfe broken\n"),
        ("broken.jsonl", b'{"text": "a"}\n{"text": \n'),
        ("not.parquet", b"PAR1 this is no parquet"),
    ],
)
def test_a_file_that_is_no_dataset(site: Site, home: Path, name: str, content: bytes) -> None:
    path = home / name
    path.write_bytes(content)
    dataset = site.upload(path)
    assert dataset["status"] == "failed"
    refused(dataset["error"])


def test_an_empty_file(site: Site) -> None:
    files = {"file": ("empty.jsonl", b"")}
    error = site.error("POST", "/datasets/upload", 400, files=files, data={"name": "empty"})
    refused(error, "file")


def test_samples_that_are_all_too_long(site: Site, tiny_model: TinyModel, home: Path) -> None:
    model = site.ready_model(tiny_model("gpt2"))
    dataset = site.upload(write_jsonl(home / "long.jsonl", ["word " * 600]))
    done = site.extract(model["id"], dataset_id=dataset["id"], layer_indices=[0])
    assert done["status"] == "failed"
    assert done["error"]["details"]["reason"] == "no_samples"
    assert done["error"]["details"]["remedy"]


def broken_model(home: Path, source: Path, how: str) -> Path:
    path = home / how
    shutil.copytree(source, path)
    weights = path / "model.safetensors"
    if how == "no_weights":
        weights.unlink()
    elif how == "pickle_refused":
        weights.rename(path / "model.bin")
    elif how == "unsupported_architecture":
        config = json.loads((path / "config.json").read_text())
        config.update(model_type="t5", architectures=["T5ForConditionalGeneration"])
        (path / "config.json").write_text(json.dumps(config))
    elif how == "corrupt_weights":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif how == "no_config":
        (path / "config.json").unlink()
    return path


@pytest.mark.parametrize(
    "how",
    ["no_weights", "pickle_refused", "unsupported_architecture", "corrupt_weights", "no_config"],
)
def test_a_directory_that_is_no_model(
    site: Site, tiny_model: TinyModel, home: Path, how: str
) -> None:
    path = broken_model(home, tiny_model("gpt2"), how)
    error = site.error(
        "POST",
        "/models",
        400,
        json={"name": how, "source": "local", "model_identifier": str(path)},
    )
    refused(error, "model_identifier")
    assert error["details"]["reason"] == how


@pytest.mark.parametrize("identifier", ["/etc", "../../etc", "gpt2/../../etc"])
def test_a_path_outside_the_allowed_roots(site: Site, identifier: str) -> None:
    error = site.error(
        "POST",
        "/models",
        400,
        json={"name": "x", "source": "local", "model_identifier": identifier},
    )
    refused(error, "model_identifier")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"quantization": "int3"}, "quantization"),
        ({"quantization_options": {"int4_type": "nf5"}}, "quantization_options.int4_type"),
        ({"keep_alive_seconds": -1}, "keep_alive_seconds"),
    ],
)
def test_a_format_or_a_wish_that_does_not_exist(
    site: Site, tiny_model: TinyModel, change: dict[str, Any], field: str
) -> None:
    body = {"name": "x", "source": "local", "model_identifier": str(tiny_model("gpt2"))}
    refused(site.error("POST", "/models", 400, json={**body, **change}), field)


@pytest.mark.parametrize("token", ["-", "nonsense", "a.b.c"])
def test_a_wrong_token(site: Site, token: str) -> None:
    answer = site.http.get("/api/models", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "UNAUTHORIZED"
    assert "www-authenticate" in answer.headers


def test_a_body_too_large(site: Site) -> None:
    body = {"name": "x" * 3_000_000, "source": "local", "model_identifier": "x"}
    assert site.error("POST", "/models", 413, json=body)["code"] == "PAYLOAD_TOO_LARGE"


def test_an_extraction_of_a_model_that_was_never_loaded(
    site: Site, tiny_model: TinyModel, home: Path
) -> None:
    model = site.register(tiny_model("gpt2"))
    dataset = site.upload(write_jsonl(home / "d.jsonl", ragged_texts(3)))
    error = site.error(
        "POST",
        f"/models/{model['id']}/extract-activations",
        409,
        json={"dataset_id": dataset["id"], "layer_indices": [0]},
    )
    assert error["code"] == "STATUS_CONFLICT"
    assert "load" in error["details"]["remedy"].lower()


def test_no_error_shows_a_path_of_the_system(site: Site, stack: Any) -> None:
    answer = site.http.get("/api/models/../../../etc/passwd")
    assert str(stack.data_dir) not in answer.text
    assert "Traceback" not in answer.text

"""The loader's settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mistudio_loader.config import LoaderSettings


def test_roots_are_joined_as_in_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_ROOTS", os.pathsep.join(["/a", "", "/b c"]))
    assert LoaderSettings().roots == [Path("/a"), Path("/b c")]


def test_nothing_is_allowed_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_ROOTS", raising=False)
    assert LoaderSettings().roots == []


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "")
    monkeypatch.setenv("HUGGINGFACE_TOKEN", "")
    settings = LoaderSettings()
    assert settings.hf_endpoint == "https://huggingface.co"
    assert settings.huggingface_token is None


def test_the_token_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUGGINGFACE_TOKEN", "hf_secret")
    assert "hf_secret" not in repr(LoaderSettings())

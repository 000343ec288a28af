"""Where the stores of these tests lie: each test of a place runs in a directory and in a bucket."""

from __future__ import annotations

from pathlib import Path

import pytest

from mistudio_activations import Place, place_of
from mistudio_testkit.fixtures import manifests_follow_their_schema, s3_server
from mistudio_testkit.s3 import S3Server

__all__ = ["manifests_follow_their_schema", "s3_server"]


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, named by the usual variables."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture(params=["directory", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place where nothing lies yet."""
    if request.param == "directory":
        return place_of(tmp_path / "s")
    server: S3Server = request.getfixturevalue("s3_server")
    return server.new_place(tmp_path / "scratch")

"""Whether stores can lie in a bucket is known before anything is started, with what to mend."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

from mistudio_client.embedded import EmbeddedStack
from mistudio_client.embedded.bucket import require_bucket
from mistudio_client.embedded.doctor import _bucket as doctor
from mistudio_client.embedded.errors import StackError
from mistudio_testkit.fixtures import s3_server
from mistudio_testkit.s3 import S3Server

from .conftest import MakeStack

__all__ = ["s3_server"]


@pytest.fixture
def found(s3_server: S3Server) -> Mapping[str, str]:
    """The environment of somebody who may use the server's bucket."""
    return {**os.environ, **s3_server.environment}


def test_one_that_can_be_used_is_left_as_it_was(
    s3_server: S3Server, found: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = s3_server.new_url()
    require_bucket(url, found)
    for name, value in {**s3_server.environment, "ACTIVATION_CACHE_DIR": url}.items():
        monkeypatch.setenv(name, value)
    assert doctor().level == "ok"


@pytest.mark.parametrize(
    ("url", "changed", "told"),
    [
        ("s3://no-such-bucket/a", {}, "NoSuchBucket"),
        ("s3://activations/a", {"AWS_SECRET_ACCESS_KEY": "other"}, "SignatureDoesNotMatch"),
        ("s3://key:secret@activations/a", {}, "s3://bucket/prefix"),
    ],
)
def test_one_that_cannot_is_told_with_what_to_set(
    found: Mapping[str, str], url: str, changed: Mapping[str, str], told: str
) -> None:
    with pytest.raises(StackError, match=told) as caught:
        require_bucket(url, {**found, **changed})
    assert caught.value.remedy is not None
    assert "ACTIVATION_CACHE_DIR" in caught.value.remedy
    assert "secret" not in caught.value.message


def test_a_stack_does_not_start_on_one_that_cannot(
    make_stack: MakeStack, found: Mapping[str, str]
) -> None:
    stack: EmbeddedStack = make_stack(
        env={**found, "ACTIVATION_CACHE_DIR": "s3://no-such-bucket/a"}
    )
    with pytest.raises(StackError, match="NoSuchBucket"):
        stack.start()
    assert not stack.is_alive()

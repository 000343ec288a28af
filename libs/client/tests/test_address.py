"""Links into the web UI."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from mistudio_client.address import Address
from mistudio_client.cli import stack_view
from mistudio_client.embedded import Connection


def test_a_link_into_the_ui_carries_the_token_where_no_server_sees_it() -> None:
    link = urlsplit(Address("http://127.0.0.1:8420", "a.b-c_d").sign_in_url("/activations/act_1"))
    assert (link.netloc, link.path, link.query) == ("127.0.0.1:8420", "/activations/act_1", "")
    assert parse_qs(link.fragment) == {"token": ["a.b-c_d"]}


def test_a_start_ends_with_a_link_that_opens_the_ui_signed_in(
    capsys: pytest.CaptureFixture[str],
) -> None:
    token = "a-token-longer-than-a-line-of-a-terminal." * 5
    stack_view.welcome(Connection("http://127.0.0.1:8420", token, "", "", "/data", {}, {}))
    *_, last = capsys.readouterr().out.splitlines()
    assert last.split() == ["open", f"http://127.0.0.1:8420/#token={token}"]

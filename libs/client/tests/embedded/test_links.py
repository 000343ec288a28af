"""Stacks joined to others: what each of the two runs, and which names and addresses are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mistudio_client.cli.app import app
from mistudio_client.embedded import (
    AtTheEdge,
    EmbeddedStack,
    ForAnEdge,
    StackError,
    read_connection,
)
from mistudio_client.embedded.plan import SERVICES, services_of

from .conftest import MakeStack

ADDRESS = "nats-leaf://jetson:secret@central.example:7422"


def test_the_two_together_run_every_service_once() -> None:
    centre, edge = services_of(ForAnEdge("jetson")), services_of(AtTheEdge(ADDRESS))
    assert sorted([*centre, *edge]) == sorted(SERVICES) == sorted(services_of(None))


def test_an_address_says_who_the_edge_is_and_keeps_its_password_to_itself() -> None:
    link = AtTheEdge(ADDRESS)
    assert (link.name, link.centre) == ("jetson", "central.example:7422")
    assert "secret" not in repr(link)


@pytest.mark.parametrize(
    "address",
    [
        "central.example:7422",
        "nats-leaf://central.example:7422",
        "nats-leaf://jetson@central.example:7422",
        "http://jetson:secret@central.example:7422",
        "nats-leaf://jet.son:secret@central.example:7422",
    ],
)
def test_an_address_that_no_edge_can_have_is_refused(address: str) -> None:
    with pytest.raises(StackError):
        AtTheEdge(address)


@pytest.mark.parametrize("name", ["", "centre", "a b", "a.b", "*", "x" * 33])
def test_a_name_that_no_domain_can_have_is_refused(name: str) -> None:
    with pytest.raises(StackError, match="cannot be called"):
        ForAnEdge(name)


def test_a_server_that_is_not_ours_is_joined_by_its_own_configuration(tmp_path: Path) -> None:
    stack = EmbeddedStack(
        tmp_path, link=ForAnEdge("jetson"), env={"NATS_URL": "nats://elsewhere:4222"}
    )
    with pytest.raises(StackError, match="NATS_URL"):
        stack.start()


def test_a_command_is_the_one_or_the_other() -> None:
    ran = CliRunner().invoke(app, ["up", "--edge", "jetson", "--centre", ADDRESS])
    assert ran.exit_code == 2


def test_an_edge_runs_without_a_database_and_keeps_its_centre_in_mind(
    make_stack: MakeStack,
) -> None:
    with make_stack(link=AtTheEdge("nats-leaf://jetson:secret@127.0.0.1:9")) as stack:
        connection = read_connection(stack.data_dir)
        assert connection is not None
        assert connection.centre == "127.0.0.1:9"
        assert set(connection.pids) == {"supervisor", "nats", "loader", "extractor"}

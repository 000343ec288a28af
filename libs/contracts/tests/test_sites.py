"""What each of two joined sites keeps: together all of it, and orders where they are worked on."""

from __future__ import annotations

import pytest

from mistudio_contracts import topology
from mistudio_contracts.sites import CENTRE, KEPT_APART, ORDERS_KEPT, Site, Source
from mistudio_contracts.subjects import Kind, of_kind

POOLS = ("default", "lab")
ALONE, AT_CENTRE, AT_EDGE = Site(), Site(edge="jetson"), Site(centre=CENTRE)


def names(site: Site) -> set[str]:
    return {spec.name for spec, _ in site.streams(POOLS)}


def consumers(site: Site) -> set[str]:
    return {spec.name for spec in site.consumers(POOLS)}


def test_a_site_without_an_edge_keeps_everything() -> None:
    assert names(ALONE) == {spec.name for spec in topology.streams()}
    assert consumers(ALONE) == {spec.name for spec in topology.consumers(POOLS)}
    assert not any(sources for _, sources in ALONE.streams(POOLS))
    assert ALONE.keeps_uploads


def test_orders_are_read_at_the_edge_and_everything_else_at_the_centre() -> None:
    assert consumers(AT_EDGE) | consumers(AT_CENTRE) == consumers(ALONE)
    assert not consumers(AT_EDGE) & consumers(AT_CENTRE)
    work = {subject.durable(pool) for subject in of_kind(Kind.WORK) for pool in POOLS}
    assert consumers(AT_EDGE) == work


def test_orders_move_to_the_edge_and_reports_and_dead_letters_to_the_centre() -> None:
    to_edge = {spec.name: sources for spec, sources in AT_EDGE.streams(POOLS)}
    assert to_edge == {
        "WORK": [Source("WORK", CENTRE, f"work.{pool}.>") for pool in POOLS],
        "REPORTS": [],
        "DEAD": [],
    }
    assert to_edge["WORK"][0].api == "$JS.centre.API"
    to_centre = {spec.name: sources for spec, sources in AT_CENTRE.streams(POOLS) if sources}
    assert to_centre == {name: [Source(name, "jetson")] for name in ("REPORTS", "DEAD")}


def test_nobody_publishes_an_order_at_the_edge() -> None:
    (work,) = [spec for spec, _ in AT_EDGE.streams(POOLS) if spec.name == "WORK"]
    assert work.subjects == ()


def test_an_edge_keeps_orders_that_are_done_and_takes_none_of_them_for_stranded() -> None:
    (work,) = [spec for spec, _ in AT_EDGE.streams(POOLS) if spec.name == "WORK"]
    assert (work.retention, work.max_age) == ("limits", ORDERS_KEPT)
    assert AT_EDGE.queues(POOLS) == []
    assert AT_CENTRE.queues(POOLS) == AT_CENTRE.consumers(POOLS)
    assert ALONE.queues(POOLS) == ALONE.consumers(POOLS)


def test_what_both_keep_is_not_carried_as_it_is_published() -> None:
    both = [spec for spec, _ in ALONE.streams(POOLS) if spec.name in names(AT_EDGE)]
    assert set(KEPT_APART) == {subject for spec in both for subject in spec.subjects}


def test_uploads_are_at_the_centre_alone() -> None:
    assert AT_CENTRE.keeps_uploads
    assert not AT_EDGE.keeps_uploads


def test_an_edge_has_no_edge_of_its_own() -> None:
    with pytest.raises(ValueError, match="no edge of its own"):
        Site(edge="jetson", centre=CENTRE)

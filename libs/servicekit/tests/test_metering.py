"""Metrics are there from the start, say what they are, and show nothing stale."""

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from mistudio_contracts import subjects
from mistudio_servicekit.app import ServiceApp
from mistudio_servicekit.bus import create_broker, declare_publishers
from mistudio_servicekit.consume import consume
from mistudio_servicekit.disks import Disks
from mistudio_servicekit.lifecycle import Life
from mistudio_servicekit.metering import ELSEWHERE, Declared, Meters, fresh
from mistudio_servicekit.settings import ServiceSettings
from mistudio_servicekit.telemetry import HANDLED, metrics_of


def shown(meters: Meters) -> list[str]:
    lines = generate_latest(meters.registry).decode().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_every_combination_of_labels_begins_at_zero() -> None:
    meters = Meters()
    meters.counter("mistudio_x_total", "Things.", outcome=("ok", "failed"), kind=("a", "b"))
    assert sorted(shown(meters)) == [
        'mistudio_x_total{kind="a",outcome="failed"} 0.0',
        'mistudio_x_total{kind="a",outcome="ok"} 0.0',
        'mistudio_x_total{kind="b",outcome="failed"} 0.0',
        'mistudio_x_total{kind="b",outcome="ok"} 0.0',
    ]


def test_combinations_that_cannot_occur_are_left_out() -> None:
    meters = Meters()
    meters.counter(
        "mistudio_x_total",
        "Things.",
        only=[("ok", "last"), ("failed", "first")],
        outcome=("ok", "failed"),
        stage=("first", "last"),
    )
    assert len(shown(meters)) == 2


def test_what_is_known_elsewhere_begins_with_its_first_event() -> None:
    meters = Meters()
    counter = meters.counter("mistudio_x_total", "Things.", subject=ELSEWHERE, outcome=("ok",))
    assert shown(meters) == []
    counter.labels("a.b", "ok").inc()
    assert shown(meters) == ['mistudio_x_total{outcome="ok",subject="a.b"} 1.0']


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("mistudio_lag_seconds", "seconds"),
        ("mistudio_written_bytes_total", "bytes"),
        ("mistudio_loads_total", "count"),
    ],
)
def test_a_name_says_its_unit(name: str, unit: str) -> None:
    assert Declared(name, "gauge", "Things.", {}).unit == unit


def test_a_histogram_is_found_under_three_names() -> None:
    meters = Meters()
    meters.histogram("mistudio_x_seconds", "Seconds.", (1.0, 2.0))
    assert meters.declared[0].series == (
        "mistudio_x_seconds_bucket",
        "mistudio_x_seconds_sum",
        "mistudio_x_seconds_count",
    )


def test_what_cannot_be_read_is_no_number() -> None:
    meters = Meters()
    plain = meters.gauge("mistudio_plain", "One.")
    labelled = meters.gauge("mistudio_labelled", "Two.", kind=("a",))
    with fresh(plain, labelled):
        plain.set(1)
        labelled.labels("a").set(2)
    with pytest.raises(OSError, match="away"), fresh(plain, labelled):
        raise OSError("away")
    values = [meters.registry.get_sample_value("mistudio_plain")]
    values.append(meters.registry.get_sample_value("mistudio_labelled", {"kind": "a"}))
    assert [value is not None and math.isnan(value) for value in values] == [True, True]


async def test_a_disk_tells_its_size_and_what_it_has_left(tmp_path: Path) -> None:
    meters = Meters()
    disks = Disks(meters, {"stores": tmp_path})
    await disks.measure()
    usage = shutil.disk_usage(tmp_path)
    get = meters.registry.get_sample_value
    assert get("mistudio_disk_size_bytes", {"root": "stores"}) == usage.total
    left = get("mistudio_disk_available_bytes", {"root": "stores"})
    assert left is not None
    assert 0 < left < usage.total
    with pytest.raises(FileNotFoundError):
        await Disks(Meters(), {"gone": tmp_path / "gone"}).measure()


async def test_one_measure_that_fails_is_told_and_keeps_no_other_from_being_taken() -> None:
    taken: list[str] = []

    async def works() -> None:
        taken.append("works")

    async def fails() -> None:
        raise ConnectionError("away")

    broker = create_broker(ServiceSettings(), "catalog")
    life = Life(ServiceApp("catalog", broker, measures={"fails": fails, "works": works}))
    await life.measure()
    assert taken == [], "nothing can be read before the start"
    life.started = True
    await life.measure()
    get = metrics_of(broker).registry.get_sample_value
    assert taken == ["works"]
    assert get("mistudio_measured", {"measure": "works"}) == 1
    assert get("mistudio_measured", {"measure": "fails"}) == 0


def test_what_may_become_of_a_message_begins_at_zero() -> None:
    async def handle(payload: Any, delivery: Any) -> None:
        raise AssertionError("never called")

    broker = create_broker(ServiceSettings(), "catalog")
    consume(broker, subjects.MODEL_LOAD, handle)
    declare_publishers(broker, [subjects.MODEL_READY])
    get = metrics_of(broker).registry.get_sample_value
    for outcome in HANDLED:
        labels = {"subject": "model.load.requested", "outcome": outcome}
        assert get("mistudio_messages_handled_total", labels) == 0
    failed = {"subject": "model.ready", "outcome": "failed"}
    assert get("mistudio_messages_published_total", failed) == 0

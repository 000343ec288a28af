"""What NATS holds over two weeks' messages, as fast as it takes them.

JetStream keeps the newest block of each stream, up to 8 MiB, in memory while it is written to. The
messages of a day fill a part of one, so its memory grows for days before it is what it stays.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import nats
import psutil
from nats.js import JetStreamContext

from mistudio_client.embedded.servers import NatsServer
from mistudio_servicekit.provision import provision

from .figures import megabytes
from .filling import Filling
from .watching import MOST_GROWTH_PERCENT, Samples

A_DAY = {"EVENTS": 2_640, "PROGRESS": 1_440, "WORK": 1_920, "REPORTS": 2_160}
"""Messages of a day's work: what the soak counts. All can be divided by 24."""

DUPLICATE_SECONDS = 0.1
"""For two minutes NATS remembers which messages it has had; here a day takes a few seconds."""

PROGRAM = "nats"


async def _forget_sooner(jetstream: JetStreamContext) -> None:
    for stream in A_DAY:
        config = (await jetstream.stream_info(stream)).config
        config.duplicate_window = DUPLICATE_SECONDS
        await jetstream.update_stream(config)


async def _work(server: NatsServer, days: int) -> Samples:
    """Send the messages of so many days, hour by hour, and look after each."""
    await provision(server.url, ("default",))
    assert server.pid is not None
    process = psutil.Process(server.pid)
    connection = await nats.connect(server.url)
    samples = Samples(pss={PROGRAM: []})
    try:
        jetstream = connection.jetstream()
        await _forget_sooner(jetstream)
        filling = Filling(jetstream)
        for _ in range(24 * days):
            for stream, count in A_DAY.items():
                await filling.send(stream, count // 24)
            samples.at.append(float(len(samples.at)))
            samples.pss[PROGRAM].append(process.memory_full_info().pss)
    finally:
        await connection.close()
    return samples


def run(home: Path, days: int) -> dict[str, Any]:
    """Return how the memory of NATS went over so many days' messages."""
    begin = time.monotonic()
    with NatsServer(home / "data") as server:
        samples = asyncio.run(_work(server, days))
    sizes = samples.pss[PROGRAM]
    quarters = [samples.quarter(PROGRAM, which) for which in range(4)]
    grown = samples.growth_percent(PROGRAM)
    return {
        "days": days,
        "seconds": round(time.monotonic() - begin, 1),
        "messages": {name: days * count for name, count in A_DAY.items()},
        "pss_mb_by_day": [
            megabytes(sum(sizes[24 * day : 24 * day + 24]) / 24) for day in range(days)
        ],
        "pss_mb_by_quarter": [megabytes(each) for each in quarters],
        "growth_percent": round(grown, 2),
        "most_growth_percent": MOST_GROWTH_PERCENT,
        "within": grown <= MOST_GROWTH_PERCENT,
    }


def table(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the result as lines to read."""
    quarters = " ".join(str(each) for each in result["pss_mb_by_quarter"])
    return [
        ("days of messages, in seconds", f"{result['days']} {result['seconds']}"),
        ("messages", " ".join(f"{name} {count:,}" for name, count in result["messages"].items())),
        ("NATS, MB by day", " ".join(str(each) for each in result["pss_mb_by_day"])),
        ("NATS, MB by quarter", quarters),
        ("growth from the second to the last", f"{result['growth_percent']} %"),
    ]

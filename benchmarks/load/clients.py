"""Many WebSocket clients at one gateway, and requests beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks._harness import Contender
from mistudio_client.embedded import EmbeddedStack
from mistudio_testkit.models import make_model
from mistudio_testkit.site import Site

from .crowd import Plan, crowd
from .figures import megabytes, milliseconds
from .watching import Watch, counting, memory_of

EVENTS_PER_SECOND = 1.0
EVERY = 5.0
"""Seconds between looks at the memory, each of which holds the gateway up."""


def run(home: Path, clients: int, rate: int, seconds: float) -> dict[str, Any]:
    """Return what ``clients`` and ``rate`` requests a second came to.

    Parameters
    ----------
    home
        An empty directory.
    clients
        WebSocket clients, each of which hears of everything.
    rate
        Requests a second.
    seconds
        How long.
    """
    checkpoint = make_model(home / "models" / "tiny", "gpt2")
    env = {"SOCKET_CLIENTS": str(clients)}
    with EmbeddedStack(home / "data", allow=[home / "models"], env=env) as stack:
        site = Site(stack.url, stack.token)
        into = home / "figures.json"
        plan = Plan(
            url=stack.url,
            token=stack.token,
            model=site.register(checkpoint)["id"],
            checkpoint=str(checkpoint),
            clients=clients,
            rate=rate,
            seconds=seconds,
            events=EVENTS_PER_SECOND,
            into=str(into),
        )
        site.close()
        before = memory_of(stack, "gateway")
        with Contender("crowd", crowd, plan, warm=False) as contender:
            connected = memory_of(stack, "gateway")
            with Watch(stack, ("gateway",), EVERY) as watch, counting(stack) as used:
                taken = contender.run()
            loaded = memory_of(stack, "gateway")
        left = memory_of(stack, "gateway")
    told = json.loads(into.read_text(encoding="utf-8"))
    requests, sent, delays = (
        told.pop(name) for name in ("request_seconds", "sent_seconds", "frame_delays")
    )
    return {
        "clients": clients,
        "rate": rate,
        **told,
        "answered_per_second": round(told["asked"] / told["answered_over_seconds"], 1),
        "requests": milliseconds(requests),
        "requests_since_sent": milliseconds(sent),
        "event_to_frame": milliseconds(delays),
        "gateway_mb": {
            "before": {name: megabytes(size) for name, size in before.items()},
            "connected": {name: megabytes(size) for name, size in connected.items()},
            "peak": {"pss": megabytes(watch.samples.peak("gateway"))},
            "after_load": {name: megabytes(size) for name, size in loaded.items()},
            "when_all_left": {name: megabytes(size) for name, size in left.items()},
        },
        "kb_a_client": round((connected["pss"] - before["pss"]) / 1024 / clients, 1),
        "processor_seconds": {"crowd": round(taken.cpu_seconds, 2), **used},
    }


def table(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the result as lines to read."""
    memory = result["gateway_mb"]

    def took(name: str) -> str:
        return f"{result[name]['p50_ms']} {result[name]['p99_ms']} ms"

    return [
        ("WebSocket clients", f"{result['clients']:,}"),
        (
            "requests a second: wanted, answered",
            f"{result['rate']} {result['answered_per_second']}",
        ),
        ("statuses", json.dumps(result["statuses"])),
        ("p50 and p99 since a request was due", took("requests")),
        ("p50 and p99 since it was sent", took("requests_since_sent")),
        ("events, frames", f"{result['events']} {result['frames']:,}"),
        ("clients that got every event", f"{result['clients_with_every_event']:,}"),
        ("clients that got each once, in order", f"{result['clients_in_order']:,}"),
        ("p50 and p99 from an event to its frame", took("event_to_frame")),
        *((f"gateway, MB, {name}", f"{sizes['pss']}") for name, sizes in memory.items()),
        ("kB a client", f"{result['kb_a_client']}"),
        ("processor seconds", json.dumps(result["processor_seconds"])),
    ]

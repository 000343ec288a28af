"""WebSocket clients that never read: what each costs, and how it ends."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import psutil
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from mistudio_client.embedded import EmbeddedStack
from mistudio_contracts.errors import ErrorBody, ErrorCode
from mistudio_contracts.events import ModelFailed
from mistudio_contracts.states import ModelStatus
from mistudio_testkit.site import Site

from .crowd import SPARE_FILES, allow_files
from .figures import MB, megabytes
from .watching import Watch, memory_of

EVENT_BYTES = 16 * 1024
AT_ONCE = 32
"""Events between two looks at who has been ended."""

WARM_EVENTS = 2_000
"""After them what the gateway keeps of the newest events has reached its limit."""

LAGGING = 4408
MOST_MB = 1.0
ENDED_SECONDS = 60.0
PAGE = 4096
_LAGGING = re.compile(r"^mistudio_gateway_websocket_lagging_clients_total (\S+)$", re.MULTILINE)


class Sleeper:
    """A client that subscribes to everything and then reads nothing until it is told to."""

    def __init__(self, site: Site) -> None:
        uri = parse_uri(site.url.replace("http", "ws", 1) + "/ws")
        self._protocol = ClientProtocol(uri, max_size=None)
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PAGE)
        self._socket.settimeout(ENDED_SECONDS)
        self._socket.connect((uri.host, uri.port))
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        while self._protocol.state is State.CONNECTING:
            self._read()
        self._protocol.send_text(json.dumps({"token": site.token}).encode())
        self._protocol.send_text(b'{"subscribe": {}}')
        self._flush()
        while not any("subscribed" in text for text in self._texts()):
            self._read()

    def read_on(self) -> int:
        """Read to the end and return the close code."""
        while self._read():
            self._protocol.events_received()
        close = self._protocol.close_rcvd
        return 1006 if close is None else int(close.code)

    def close(self) -> None:
        self._socket.close()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def _read(self) -> bool:
        try:
            data = self._socket.recv(1 << 16)
        except ConnectionResetError:
            return False
        if data:
            self._protocol.receive_data(data)
            self._flush()
        return bool(data)

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._socket.sendall(data)

    def _texts(self) -> Iterator[str]:
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                yield bytes(event.data).decode()


@contextmanager
def reading(site: Site) -> Iterator[list[int]]:
    """Yield the ids that a client beside the others gets, while it gets them."""
    got: list[int] = []
    over = threading.Event()
    with site.frames(devices=False) as frames:

        def read() -> None:
            while not over.is_set():
                try:
                    frame = frames.next(timeout=0.5)
                except TimeoutError:
                    continue
                frames.seen.clear()
                got.append(frame["id"])

        thread = threading.Thread(target=read, name="reader", daemon=True)
        thread.start()
        yield got
        over.set()
        thread.join()


async def publish(database_url: str, count: int) -> None:
    """Let the catalog publish ``count`` large events: each as its outbox would hold it."""
    event = ModelFailed(
        model_id="m_load",
        status=ModelStatus.FAILED,
        task_id="task_load",
        error=ErrorBody(code=ErrorCode.MODEL_LOAD_FAILED, message="x" * EVENT_BYTES),
    )
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            "INSERT INTO outbox (subject, pool, entity_id, payload)"
            " SELECT 'model.failed', 'default', 'm_load', $1 FROM generate_series(1, $2)",
            event.model_dump_json(),
            count,
        )
        await connection.execute("SELECT pg_notify('mistudio_outbox', '')")
    finally:
        await connection.close()


def until(condition: Callable[[], bool], what: str, seconds: float = 120.0) -> float:
    """Wait for a condition; return the seconds that it took."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() > begin + seconds:
            raise SystemExit(f"{what} did not come about")
        time.sleep(0.05)
    return time.monotonic() - begin


def heard(got: list[int], count: int) -> None:
    """Wait until the reader has so many frames."""
    until(lambda: len(got) >= count, "the reader's frames")


def ended(site: Site) -> int:
    """Return how many clients the gateway has ended because they lagged."""
    found = _LAGGING.search(site.http.get("/metrics").text)
    assert found is not None
    return int(float(found[1]))


def kernel_bytes() -> int:
    """Return what the kernel holds for TCP: of the whole machine, both ends of each connection."""
    found = re.search(r"^TCP: .* mem (\d+)$", Path("/proc/net/sockstat").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * PAGE


def connected(stack: EmbeddedStack, ports: set[int]) -> int:
    """Return how many of the ports the gateway still holds a connection to."""
    found = psutil.Process(stack.pid("gateway")).net_connections("tcp")
    return sum(each.raddr.port in ports for each in found if each.raddr)


def run(home: Path, count: int) -> dict[str, Any]:
    """Return what ``count`` clients that never read came to."""
    allow_files(count + SPARE_FILES)
    env = {"SOCKET_CLIENTS": str(count + 1)}
    with EmbeddedStack(home / "data", env=env) as stack:
        site = Site(stack.url, stack.token)
        with reading(site) as got:
            asyncio.run(publish(stack.database_url, WARM_EVENTS))
            heard(got, WARM_EVENTS)
            sent = WARM_EVENTS
            before, kernel = memory_of(stack, "gateway")["pss"], kernel_bytes()
            sleepers = [Sleeper(site) for _ in range(count)]
            ports = {sleeper.port for sleeper in sleepers}
            most_in_kernel = kernel
            with Watch(stack, ("gateway",), every=0.2) as watch:
                while ended(site) < count:
                    asyncio.run(publish(stack.database_url, AT_ONCE))
                    sent += AT_ONCE
                    heard(got, sent)
                    most_in_kernel = max(most_in_kernel, kernel_bytes())
            after = sent - WARM_EVENTS
            half = count // 2
            codes = Counter(str(sleeper.read_on()) for sleeper in sleepers[:half])
            seconds = until(lambda: connected(stack, ports) == 0, "the end of the others")
            left = memory_of(stack, "gateway")["pss"]
            for sleeper in sleepers:
                sleeper.close()
        site.close()
    peak = watch.samples.peak("gateway")
    a_client = (peak - before) / count
    in_kernel = (most_in_kernel - kernel) / count
    return {
        "clients": count,
        "events_until_all_were_ended": after,
        "event_bytes": EVENT_BYTES,
        "gateway_mb": {
            "before": megabytes(before),
            "peak": megabytes(peak),
            "after": megabytes(left),
        },
        "mb_a_client": megabytes(a_client),
        "kernel_mb_a_client": megabytes(in_kernel),
        "limit_mb": MOST_MB,
        "within": a_client + in_kernel <= MOST_MB * MB,
        "codes_of_those_that_read_on": dict(codes),
        "read_on": half,
        "seconds_until_no_connection_was_left": round(seconds, 1),
        "reader_in_order": got == sorted(set(got)) and len(got) == sent,
    }


def table(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the result as lines to read."""
    memory = result["gateway_mb"]
    return [
        ("clients that never read", f"{result['clients']}"),
        ("events of 16 kB until all were ended", f"{result['events_until_all_were_ended']}"),
        ("gateway, MB before, at most, after", " ".join(f"{memory[each]}" for each in memory)),
        ("MB a client: gateway, kernel", f"{result['mb_a_client']} {result['kernel_mb_a_client']}"),
        ("at most", f"{result['limit_mb']} MB"),
        ("codes of those that read on", json.dumps(result["codes_of_those_that_read_on"])),
        ("no connection left after", f"{result['seconds_until_no_connection_was_left']} s"),
        ("a client beside them got all in order", f"{result['reader_in_order']}"),
    ]

"""Hosts on one machine: network namespaces, each on a port of a switch, that see nothing else.

Nothing of the machine's own network is touched, and what is made here ends with its threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from pyroute2 import IPRoute

from .kernel import CLONE_NEWNET, leave

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

_WHAT = (
    "A network of the test's own, made from several threads (an ordinary user runs the tests by "
    "unshare --user --map-current-user --keep-caps),"
)


class Host:
    """A thread in a network namespace of its own; what it starts and connects to is there too.

    Attributes
    ----------
    address
        IPv4, on the switch's network.
    namespace
        The namespace's file, for a process that is to enter it.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"host-{address}")
        self.namespace = Path(f"/proc/{os.getpid()}/task/{self.run(_enter)}/ns/net")

    def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` on this host, and return what it returns."""
        return self._thread.submit(work).result()

    def close(self) -> None:
        """End the thread; the namespace ends with the last process in it."""
        self._thread.shutdown()


class Network:
    """Hosts 10.77.0.1, 10.77.0.2, … on one switch, whose links can be cut.

    Parameters
    ----------
    hosts
        How many.

    Raises
    ------
    KernelRefused
        On entering, where this user may not.
    """

    def __init__(self, hosts: int) -> None:
        self._count = hosts
        self.hosts: list[Host] = []

    def __enter__(self) -> Self:
        self._switch = Host("switch")
        self._switch.run(_make_switch)
        for number in range(1, self._count + 1):
            host = Host(f"10.77.0.{number}")
            self.hosts.append(host)
            self._switch.run(lambda at=number, to=host: _plug_in(at, to))  # type: ignore[misc]
            host.run(lambda at=host: _bring_up(at.address))  # type: ignore[misc]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for host in [*self.hosts, self._switch]:
            host.close()

    def cut(self, host: Host) -> None:
        """Take a host's link down: what it sends and what is sent to it is lost."""
        self._set(host, "down")

    def join(self, host: Host) -> None:
        """Bring a host's link up again."""
        self._set(host, "up")

    def _set(self, host: Host, state: str) -> None:
        port = _port(self.hosts.index(host) + 1)

        def change() -> None:
            with IPRoute() as route:
                route.link("set", index=_index(route, port), state=state)

        self._switch.run(change)


def _enter() -> int:
    leave(CLONE_NEWNET, _WHAT)
    return threading.get_native_id()


def _make_switch() -> None:
    with IPRoute() as route:
        route.link("add", ifname="switch", kind="bridge")
        route.link("set", index=_index(route, "switch"), state="up")


def _plug_in(number: int, host: Host) -> None:
    port = _port(number)
    with IPRoute() as route, host.namespace.open("rb") as namespace:
        route.link("add", ifname=port, kind="veth", peer={"ifname": "link"})
        route.link("set", index=_index(route, "link"), net_ns_fd=namespace.fileno())
        index = _index(route, port)
        route.link("set", index=index, master=_index(route, "switch"))
        route.link("set", index=index, state="up")


def _bring_up(address: str) -> None:
    with IPRoute() as route:
        link = _index(route, "link")
        route.addr("add", index=link, address=address, prefixlen=24)
        for index in (link, _index(route, "lo")):
            route.link("set", index=index, state="up")


def _port(number: int) -> str:
    return f"port{number}"


def _index(route: IPRoute, name: str) -> int:
    return int(route.link_lookup(ifname=name)[0])

"""Breaks things as a schedule says, and mends them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from .bed import Bed
from .draw import Fault, Strike

PIECE = 64 * 1024


@dataclass(frozen=True)
class Done:
    """Something the nemesis did, or a process that ended and was started again."""

    at: float
    what: str

    def __str__(self) -> str:
        return f"{self.at:6.3f}  nemesis  {self.what}"


class Nemesis:
    """Carries out strikes on a stack. Call it from the main thread, whose children servers are.

    Parameters
    ----------
    bed
        The stack.
    now
        Seconds since the beginning.

    Attributes
    ----------
    done
        What was done, and when.
    lost
        When the bus lost what it held; None where it did not.
    """

    def __init__(self, bed: Bed, now: Callable[[], float]) -> None:
        self._bed, self._now = bed, now
        self.done: list[Done] = []
        self.lost: float | None = None
        self._mend: dict[Strike, Callable[[], None]] = {}

    def carry_out(self, strikes: tuple[Strike, ...], until: float) -> None:
        """Break and mend, each at its time; start what ends by itself meanwhile."""
        moments = [(strike.at, 0, strike) for strike in strikes]
        moments += [(strike.at + strike.lasts, 1, strike) for strike in strikes]
        for at, mending, strike in sorted(moments, key=lambda each: each[:2]):
            self._wait(at)
            if mending:
                self._undo(strike)
            else:
                self._mend[strike] = self._strike(strike)
                self._note(f"{strike.fault.value} {strike.target}".strip())
        self._wait(until)

    def heal(self) -> None:
        """Mend what is still broken."""
        for strike in list(self._mend):
            self._undo(strike)

    def _undo(self, strike: Strike) -> None:
        self._mend.pop(strike)()
        self._note(f"mended: {strike.fault.value} {strike.target}".strip())

    def _wait(self, at: float) -> None:
        while True:
            for name in self._bed.supervise():
                self._note(f"{name} had ended, and is started")
            left = at - self._now()
            if left <= 0:
                return
            time.sleep(min(left, 0.1))

    def _note(self, what: str) -> None:
        self.done.append(Done(self._now(), what))

    def _strike(self, strike: Strike) -> Callable[[], None]:
        bed, target, fault = self._bed, strike.target, strike.fault
        if fault is Fault.KILL:
            bed.kill(target)
            return lambda: bed.start(target)
        if fault is Fault.PAUSE:
            return _paused(bed.processes(target))
        if fault in (Fault.CUT, Fault.HOLD, Fault.SLOW):
            return self._on_link(strike)
        if fault is Fault.CLOCK:
            bed.clocks.jump(target, strike.amount)
            return lambda: bed.clocks.jump(target, 0.0)
        if fault in (Fault.DATABASE_RESTART, Fault.DATABASE_KILL):
            if fault is Fault.DATABASE_RESTART:
                bed.postgres.stop()
            else:
                bed.postgres.kill()
            return _starting(bed.postgres.start)
        if fault in (Fault.FULL_STORE, Fault.FULL_ARTIFACTS):
            layout = bed.postgres.layout
            home = layout.activations if fault is Fault.FULL_STORE else layout.models
            return _filled(bed.nursery.seen(home))
        return self._on_bus(strike)

    def _on_link(self, strike: Strike) -> Callable[[], None]:
        who, _, to = strike.target.rpartition("-")
        cables = self._bed.cables[who, to]
        for cable in cables:
            if strike.fault is Fault.CUT:
                cable.cut()
            elif strike.fault is Fault.HOLD:
                cable.hold()
            else:
                cable.slow(strike.amount)

        def join() -> None:
            for cable in cables:
                cable.join()

        return join

    def _on_bus(self, strike: Strike) -> Callable[[], None]:
        bed, fault = self._bed, strike.fault
        number = int(strike.target.rpartition(" ")[2]) if strike.target else 0
        server = bed.bus.servers[number]
        if fault is Fault.NODE_PAUSE:
            return _paused([psutil.Process(server.pid)] if server.pid else [])
        if fault is Fault.BUS_RESTART:
            server.stop()
        else:
            server.kill()
        if fault in (Fault.BUS_LOST, Fault.NODE_LOST):
            bed.bus.lose(number)

        def begin() -> None:
            server.start()
            if fault is Fault.BUS_LOST:
                bed.provision()

        if fault is Fault.BUS_LOST:
            self.lost = self._now()
        return begin


def _starting(start: Callable[[], object]) -> Callable[[], None]:
    def begin() -> None:
        start()

    return begin


def _paused(processes: list[psutil.Process]) -> Callable[[], None]:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGSTOP)

    def go_on() -> None:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)

    return go_on


def _filled(home: Path) -> Callable[[], None]:
    """Take all the room of a file system, until it is given back."""
    ballast = home / ".ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        free = os.statvfs(home)
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize)
        while True:
            file.write(bytes(PIECE))
    return ballast.unlink

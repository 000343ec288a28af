"""What the processes of a stack hold and use while something is done to them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType

import psutil

from mistudio_client.embedded import EmbeddedStack

PROGRAMS = ("catalog", "gateway", "loader", "extractor", "nats", "postgres")

MOST_GROWTH_PERCENT = 5.0
"""Memory that grows by less from the second quarter of the time to the last is flat."""


def processes_of(stack: EmbeddedStack, program: str) -> list[psutil.Process]:
    """Return a program's process and those below it."""
    first = psutil.Process(stack.pid(program))
    return [first, *first.children(recursive=True)]


def memory_of(stack: EmbeddedStack, program: str) -> dict[str, int]:
    """Return bytes of proportional and of resident set size of a program."""
    found = {"pss": 0, "rss": 0}
    for process in processes_of(stack, program):
        try:
            memory = process.memory_full_info()
        except psutil.NoSuchProcess:
            continue  # A worker of Postgres that has just done its work.
        found["pss"] += memory.pss
        found["rss"] += memory.rss
    return found


def seconds_of(stack: EmbeddedStack) -> dict[str, float]:
    """Return the processor seconds that each program has used so far."""
    found = dict.fromkeys(PROGRAMS, 0.0)
    for program in PROGRAMS:
        for process in processes_of(stack, program):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            found[program] += times.user + times.system
    return found


@contextmanager
def counting(stack: EmbeddedStack) -> Iterator[dict[str, float]]:
    """Yield a table that has each program's processor seconds once the block is over."""
    used: dict[str, float] = {}
    before = seconds_of(stack)
    yield used
    after = seconds_of(stack)
    used.update({name: round(after[name] - before[name], 2) for name in PROGRAMS})


@dataclass
class Samples:
    """Proportional set sizes in bytes, by program; ``at`` has the moments, in seconds."""

    at: list[float] = field(default_factory=list)
    pss: dict[str, list[int]] = field(default_factory=dict)

    def peak(self, program: str) -> int:
        return max(self.pss[program])

    def quarter(self, program: str, which: int) -> float:
        """Return the mean of the samples of a quarter of the time, counted from 0."""
        begin, end = self.at[0], self.at[-1]
        width = (end - begin) / 4
        chosen = [
            size
            for at, size in zip(self.at, self.pss[program], strict=True)
            if begin + which * width <= at <= begin + (which + 1) * width
        ]
        return sum(chosen) / len(chosen)

    def growth_percent(self, program: str) -> float:
        """Return by how much the last quarter's mean is above that of the second."""
        return 100 * (self.quarter(program, 3) / self.quarter(program, 1) - 1)


class Watch:
    """Samples programs of a stack on a thread, from entering to leaving.

    Parameters
    ----------
    stack
        A started one.
    programs
        Which programs.
    every
        Seconds between samples.
    """

    def __init__(self, stack: EmbeddedStack, programs: tuple[str, ...], every: float = 0.5) -> None:
        self.samples = Samples(pss={name: [] for name in programs})
        self._stack = stack
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            sizes = {name: memory_of(self._stack, name)["pss"] for name in self.samples.pss}
            self.samples.at.append(time.monotonic())
            for name, size in sizes.items():
                self.samples.pss[name].append(size)
            if self._over.wait(self._every):
                return

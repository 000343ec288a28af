"""Clocks that jump: libfaketime, told by a file for each process what to add to the time."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path


class Clocks:
    """The clocks of some processes. Their timers run on: only the time of day jumps.

    Parameters
    ----------
    home
        Where the files lie.
    names
        Of the processes.
    """

    def __init__(self, home: Path, names: Iterable[str]) -> None:
        self._home = home
        home.mkdir(parents=True)
        for name in names:
            self.jump(name, 0.0)

    @property
    def environment(self) -> dict[str, str]:
        """What every process needs from its start."""
        return {
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": "/dev/null",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DISABLE_SHM": "1",
            "NO_FAKE_STAT": "1",
        }

    def of(self, name: str) -> dict[str, str]:
        """What one process needs beside it."""
        return {"FAKETIME_TIMESTAMP_FILE": str(self._home / name)}

    def jump(self, name: str, seconds: float) -> None:
        """Set a process's clock to the true time and so many seconds; it looks within one."""
        file = self._home / f".{name}"
        file.write_text(f"{seconds:+.3f}\n", encoding="ascii")
        file.rename(self._home / name)


def _library() -> Path:
    found = find_spec("libfaketime")
    if found is None or found.origin is None:
        raise RuntimeError("libfaketime is not installed; deploy/dev/setup does it")
    return Path(found.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"

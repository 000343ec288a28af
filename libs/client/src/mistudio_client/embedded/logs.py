"""Reads the programs' logs: their ends, and what is added to them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

_BLOCK = 64 * 1024


def tail(path: Path, lines: int) -> str:
    """Return the last ``lines`` lines of a log; an absent log is empty."""
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return ""
    with stream:
        position = stream.seek(0, os.SEEK_END)
        text = b""
        while position > 0 and text.count(b"\n") <= lines:
            step = min(_BLOCK, position)
            position -= step
            stream.seek(position)
            text = stream.read(step) + text
    return "\n".join(text.decode("utf-8", errors="replace").splitlines()[-lines:])


class LogFollower:
    """Yields the lines added to several logs, across rotation.

    Parameters
    ----------
    paths
        Logs by the name to show; a log may appear later.
    from_start
        Begin with what is in the logs already, instead of at their ends.
    """

    def __init__(self, paths: Mapping[str, Path], *, from_start: bool = False) -> None:
        self._paths = dict(paths)
        self._streams: dict[str, BinaryIO] = {}
        self._partial: dict[str, bytes] = {}
        for name, path in self._paths.items():
            if path.exists():
                self._open(name)
                if not from_start:
                    self._streams[name].seek(0, os.SEEK_END)

    def read(self) -> Iterator[tuple[str, str]]:
        """Yield the name and text of each whole line added since the last call."""
        for name, path in self._paths.items():
            if name not in self._streams and path.exists():
                self._open(name)
            if name not in self._streams:
                continue
            yield from self._lines(name)
            if self._rotated(name):
                # What was written between our read and the rotation is still in the old file.
                yield from self._lines(name)
                self._streams.pop(name).close()
                if path.exists():
                    self._open(name)
                    yield from self._lines(name)

    def close(self) -> None:
        """Close the logs."""
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()

    def _open(self, name: str) -> None:
        self._streams[name] = self._paths[name].open("rb")
        self._partial[name] = b""

    def _lines(self, name: str) -> Iterator[tuple[str, str]]:
        *whole, rest = (self._partial[name] + self._streams[name].read()).split(b"\n")
        self._partial[name] = rest
        for line in whole:
            yield name, line.decode("utf-8", errors="replace").rstrip("\r")

    def _rotated(self, name: str) -> bool:
        try:
            present = self._paths[name].stat()
        except FileNotFoundError:
            return True
        ours = os.fstat(self._streams[name].fileno())
        replaced = (present.st_dev, present.st_ino) != (ours.st_dev, ours.st_ino)
        return replaced or present.st_size < self._streams[name].tell()

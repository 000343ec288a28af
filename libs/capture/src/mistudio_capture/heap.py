"""The C library's heap, which decides what a forward pass on a CPU leaves behind."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

MMAP_THRESHOLD_BYTES = 1 << 20
"""Blocks of at least so many bytes are given back to the system as soon as they are freed."""

KEPT_BYTES = 32 << 20
"""Blocks of at most so many bytes wait in the heap while a pass goes on: glibc takes no more."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_TRIM_THRESHOLD_BYTES, _NO_TRIM_BYTES = 128 << 10, 1 << 30


class _Glibc:
    """What glibc's ``malloc.h`` offers beyond the standard; nothing where it is not there."""

    def __init__(self) -> None:
        self.gives_back = False
        try:
            library = ctypes.CDLL(None)
            self._set, self._trim = library.mallopt, library.malloc_trim
        except (OSError, AttributeError, TypeError):  # Other heaps have other rules.
            self.is_here = False
        else:
            self.is_here = True

    def keep(self, mmap_threshold: int, trim_threshold: int) -> bool:
        return bool(
            self._set(_M_MMAP_THRESHOLD, mmap_threshold)
            and self._set(_M_TRIM_THRESHOLD, trim_threshold)
        )

    def trim(self) -> None:
        self._trim(0)


_glibc = _Glibc()


def give_back_at_once() -> bool:
    """Let the process keep no freed tensors; return whether its C library can do so.

    By itself glibc raises its threshold to 32 MiB as such blocks are freed, and keeps every smaller
    one in a heap that tensors of many sizes fragment: several times what a pass has alive stays
    with the process (mallopt(3), M_MMAP_THRESHOLD). Elsewhere nothing is changed.
    """
    if _glibc.is_here:
        _glibc.gives_back = _glibc.keep(MMAP_THRESHOLD_BYTES, _TRIM_THRESHOLD_BYTES)
    return _glibc.gives_back


def give_back() -> None:
    """Give back what lies freed in the heap, where :func:`give_back_at_once` was called.

    Tensors that come after a pass fall into the holes that it left, and freed there they stay.
    """
    if _glibc.gives_back:
        _glibc.trim()


@contextmanager
def kept_for_a_pass() -> Iterator[None]:
    """Reuse freed tensors until the end of one forward pass, and give all of them back then.

    Each block frees what the next one asks for. Given back at once the system clears it anew each
    time, an eighth of a small model's pass; kept for one pass alone it has no time to fragment.
    Nothing changes where :func:`give_back_at_once` was not called or could do nothing.
    """
    if not _glibc.gives_back:
        yield
        return
    _glibc.keep(KEPT_BYTES, _NO_TRIM_BYTES)
    try:
        yield
    finally:
        _glibc.keep(MMAP_THRESHOLD_BYTES, _TRIM_THRESHOLD_BYTES)
        give_back()

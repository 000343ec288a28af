"""The C library's heap, which decides what a forward pass on a CPU leaves behind."""

from __future__ import annotations

import ctypes

MMAP_THRESHOLD_BYTES = 1 << 20
"""Blocks of at least so many bytes are given back to the system as soon as they are freed."""

_M_MMAP_THRESHOLD = -3


def give_back_at_once() -> bool:
    """Let the process keep no freed tensors; return whether its C library can do so.

    By itself glibc raises its threshold to 32 MiB as such blocks are freed, and keeps every smaller
    one in a heap that tensors of many sizes fragment: several times what a pass has alive stays
    with the process (mallopt(3), M_MMAP_THRESHOLD). Elsewhere nothing is changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # Not glibc: other heaps have other rules.
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES))

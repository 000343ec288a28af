"""Telling failures of the device's memory from other failures, without importing torch."""

from __future__ import annotations

_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
_POISON = ("CUDA error", "device-side assert", "CUDNN_STATUS_EXECUTION_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether the device, or the system, had no memory left."""
    if isinstance(error, MemoryError) or type(error).__name__ in (
        "OutOfMemoryError",
        "OutOfDeviceMemory",
    ):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _NO_MEMORY)


def is_poison(error: BaseException) -> bool:
    """Tell whether every further call on the device would fail, until the process ends."""
    if not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return False
    return any(word in str(error) for word in _POISON)

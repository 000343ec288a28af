"""What the device is: at once from the driver, then as torch sees it."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from mistudio_extractor.config import ExtractorSettings

log = logging.getLogger(__name__)

_TEGRA = Path("/etc/nv_tegra_release")
_NAME_BYTES = 256


@dataclass(frozen=True)
class DeviceFacts:
    """``kind`` is ``cpu``, ``cuda`` or ``tegra``; bytes are of the device's memory."""

    kind: str
    name: str
    torch_device: str
    memory_total_bytes: int
    memory_budget_bytes: int


def guess(settings: ExtractorSettings) -> DeviceFacts:
    """Return the facts without torch, whose import takes seconds."""
    found = None if settings.device == "cpu" or _cpu_only() else _from_driver()
    if found is None:
        return _cpu(settings)
    return _cuda(settings, *found)


def probe(settings: ExtractorSettings) -> DeviceFacts:
    """Return the facts as torch has them; imports it.

    Raises
    ------
    RuntimeError
        When the settings ask for CUDA and torch has none.
    """
    import torch

    if settings.device == "cpu" or (settings.device is None and not torch.cuda.is_available()):
        return _cpu(settings)
    properties = torch.cuda.get_device_properties(0)
    return _cuda(settings, properties.name, properties.total_memory)


def free_bytes(facts: DeviceFacts) -> int:
    """Return what the device has left now, whoever uses the rest."""
    if facts.kind == "cuda":
        import torch

        # What the allocator keeps for later is free to us.
        kept = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return torch.cuda.mem_get_info()[0] + kept
    # Also on Tegra, whose memory is the system's: mem_get_info counts reclaimable pages as used.
    return psutil.virtual_memory().available


def used_bytes(facts: DeviceFacts, baseline: int) -> int:
    """Return what this process holds of the device's memory.

    Parameters
    ----------
    facts
        Of the device.
    baseline
        Bytes of main memory that the process held before its first model; they are not counted.
    """
    if facts.torch_device == "cuda":
        import torch

        return int(torch.cuda.memory_allocated())
    trim()
    return max(0, psutil.Process().memory_info().rss - baseline)


def trim() -> None:
    """Give freed main memory back to the system, which else counts as used."""
    with contextlib.suppress(OSError, AttributeError):  # Only glibc has it.
        ctypes.CDLL(None).malloc_trim(0)


def _cpu(settings: ExtractorSettings) -> DeviceFacts:
    total = psutil.virtual_memory().total
    name = platform.processor() or platform.machine()
    return DeviceFacts("cpu", name, "cpu", total, min(settings.memory_limit_bytes, total))


def _cuda(settings: ExtractorSettings, name: str, memory: int) -> DeviceFacts:
    kind = "tegra" if _TEGRA.exists() else "cuda"
    total = psutil.virtual_memory().total if kind == "tegra" else memory
    return DeviceFacts(kind, name, "cuda", total, min(settings.memory_limit_bytes, total))


def _cpu_only() -> bool:
    return version("torch").endswith("+cpu")


def _from_driver() -> tuple[str, int] | None:
    """Return name and bytes of the first CUDA device, or None where there is none."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, total = ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(_NAME_BYTES)
    failed = (
        driver.cuInit(0)
        or driver.cuDeviceGet(ctypes.byref(device), 0)
        or driver.cuDeviceGetName(name, _NAME_BYTES, device)
        or driver.cuDeviceTotalMem_v2(ctypes.byref(total), device)
    )
    if failed:
        log.info("The driver names no CUDA device.")
        return None
    return name.value.decode(errors="replace"), int(total.value)

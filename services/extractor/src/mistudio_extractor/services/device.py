"""The one device: what it is, what it has, and the one thread that works on it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import platform
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

from mistudio_contracts.base import utcnow
from mistudio_extractor.config import ExtractorSettings

log = logging.getLogger(__name__)

T = TypeVar("T")
POISONED = 70
"""Exit status of a process whose CUDA context can no longer be used."""

_TEGRA = Path("/etc/nv_tegra_release")


@dataclass(frozen=True)
class DeviceFacts:
    """``kind`` is ``cpu``, ``cuda`` or ``tegra``; bytes are of the device's memory."""

    kind: str
    name: str
    torch_device: str
    memory_total_bytes: int
    memory_budget_bytes: int


class Device:
    """Finds out what the device is, and runs work on its thread.

    torch keeps per-thread state and CUDA work of several threads would interleave, so all of it
    runs on one thread; the event loop never waits for it.
    """

    def __init__(self, settings: ExtractorSettings) -> None:
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="device")
        self._facts: DeviceFacts | None = None
        self.device_id = _identity(settings.device_id_file)
        self.started_at = utcnow()

    async def facts(self) -> DeviceFacts:
        """Return the facts; the first call imports torch, on the device's thread."""
        if self._facts is None:
            self._facts = await self.run(self._probe)
        return self._facts

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking work on the device's thread and return its result."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._guard, work)

    def close(self) -> None:
        """Take no more work."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _guard(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except RuntimeError as error:
            if "CUDA error" in str(error):
                # After such an error every call fails; the supervisor starts a clean process,
                # and the message in hand, not acknowledged, comes again there.
                log.critical("The CUDA context is poisoned; leaving.", exc_info=error)
                logging.shutdown()
                os._exit(POISONED)
            raise

    def _probe(self) -> DeviceFacts:
        import torch

        if self._settings.torch_num_threads:
            torch.set_num_threads(self._settings.torch_num_threads)
        wanted = self._settings.device or ("cuda" if torch.cuda.is_available() else "cpu")
        memory = psutil.virtual_memory()
        if wanted == "cpu":
            kind, name, total = "cpu", platform.processor() or platform.machine(), memory.total
        elif _TEGRA.exists():
            # Shared memory: mem_get_info counts reclaimable pages as used.
            kind, name, total = "tegra", torch.cuda.get_device_name(), memory.total
        else:
            kind, name = "cuda", torch.cuda.get_device_name()
            total = torch.cuda.mem_get_info()[1]
        budget = min(self._settings.memory_limit_bytes, total)
        return DeviceFacts(kind, name, wanted, total, budget)


def return_memory() -> None:
    """Give freed memory back to the device and to the system."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with contextlib.suppress(OSError, AttributeError):  # Only glibc has it.
        ctypes.CDLL(None).malloc_trim(0)


def _identity(path: Path) -> str:
    if path.exists():
        return path.read_text(encoding="ascii").strip()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(f"dev_{secrets.token_hex(6)}\n", encoding="ascii")
    try:
        os.link(temporary, path)
    except FileExistsError:
        log.info("Another process has just named this device.")
    finally:
        temporary.unlink()
    return path.read_text(encoding="ascii").strip()

"""The one device and the one thread that works on it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import secrets
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import psutil

from mistudio_contracts.base import utcnow
from mistudio_contracts.errors import ServiceUnavailable
from mistudio_extractor.config import ExtractorSettings
from mistudio_extractor.domain.memory import is_poison
from mistudio_extractor.domain.needs import Reading
from mistudio_servicekit import logs
from mistudio_servicekit.telemetry import flush_traces

from .hardware import DeviceFacts, free_bytes, guess, probe, trim, used_bytes

log = logging.getLogger(__name__)

T = TypeVar("T")
POISONED = 70
"""Exit status of a process whose CUDA context can no longer be used."""

HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"
"""Lets torch ask the kernel for pages of 2 MiB under tensors that are as large."""

LEAVE_AFTER = 1.0
"""Seconds for the message in hand to go back, before such a process ends."""

LAST_SECONDS = 1.0
"""How long the end of the process waits for the device's thread."""

_DEVICE_ID = re.compile(r"^dev_[A-Za-z0-9_]{1,120}$")


class Device:
    """Finds out what the device is, and runs work on its thread.

    torch keeps per-thread state and CUDA work of several threads would interleave, so all of it
    runs on one thread; the event loop never waits for it.

    Parameters
    ----------
    settings
        Where the device's id lies, and its limits.
    leave
        Ends the process with a status, at once.
    """

    def __init__(
        self, settings: ExtractorSettings, leave: Callable[[int], None] = os._exit
    ) -> None:
        self._settings, self._leave = settings, leave
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="device")
        self._facts: DeviceFacts | None = None
        self._guess: DeviceFacts | None = None
        self._warming: asyncio.Task[DeviceFacts] | None = None
        self._device_id = ""
        self._baseline = 0
        self.poisoned = False
        self.started_at = utcnow()
        self._began = time.monotonic()

    @property
    def now(self) -> datetime:
        """The time since the start, on the clock of then: whatever is set since, it goes on."""
        return self.started_at + timedelta(seconds=time.monotonic() - self._began)

    @property
    def device_id(self) -> str:
        """The device's id, the same after each start."""
        return self._device_id

    async def identify(self) -> None:
        """Read the device's id, or make one."""
        self._device_id = _identity(self._settings.device_id_file)

    async def warm(self) -> None:
        """Begin to import what computes, beside everything else."""
        if self._warming is not None and not self._warming.done():
            return
        self._warming = asyncio.create_task(self._warm(), name="warm-up")
        self._warming.add_done_callback(_log_failure)

    def known_facts(self) -> DeviceFacts:
        """Return the facts at once: the driver's until torch is there."""
        if self._facts is not None:
            return self._facts
        if self._guess is None:
            self._guess = guess(self._settings)
        return self._guess

    async def facts(self) -> DeviceFacts:
        """Return the facts as torch has them; waits for its import."""
        if self._facts is not None:
            return self._facts
        await self.warm()
        assert self._warming is not None
        return await asyncio.shield(self._warming)

    async def free_bytes(self) -> int | None:
        """Return what the device has left now, whoever uses the rest; None until torch is there."""
        facts = self.known_facts()
        if facts.kind != "cuda":
            return free_bytes(facts)
        if self._facts is None:
            return None
        return await self._beside(lambda: free_bytes(facts))

    async def measure(self) -> Reading:
        """Read the device's bytes, without waiting for what runs on its thread.

        Raises
        ------
        ServiceUnavailable
            As :meth:`run`.
        """
        facts = await self.facts()

        def read() -> Reading:
            return Reading(used_bytes(facts, self._baseline), free_bytes(facts))

        return await self._beside(read)

    def occupied_bytes(self) -> int:
        """Return what this process holds of the device's memory, as a measure of progress."""
        if self._facts is not None and self._facts.torch_device == "cuda":
            return int(sys.modules["torch"].cuda.memory_allocated())
        return int(psutil.Process().memory_info().rss)

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking work on the device's thread and return its result.

        Raises
        ------
        ServiceUnavailable
            Transient, when the device can no longer be used: the process ends shortly, and what
            was in hand comes again to the next one.
        Exception
            What ``work`` raised.
        """
        return await self._run(self._thread, work)

    async def _beside(self, work: Callable[[], T]) -> T:
        return await self._run(None, work)

    async def _run(self, thread: ThreadPoolExecutor | None, work: Callable[[], T]) -> T:
        if self.poisoned:
            raise _lost()
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, work)
        except RuntimeError as error:
            if not is_poison(error):
                raise
            self.poisoned = True
            log.critical("The CUDA context is poisoned; leaving.", exc_info=error)
            asyncio.get_running_loop().call_later(LEAVE_AFTER, self._end)
            raise _lost() from error

    async def close(self) -> None:
        """Take no more work, and let what was told to stop take its files away."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        try:
            await asyncio.wait_for(asyncio.to_thread(self._thread.shutdown), LAST_SECONDS)
        except asyncio.TimeoutError:
            log.warning("The device still works; the process does not wait for it.")

    def _end(self) -> None:
        flush_traces()
        logs.flush()
        sys.stdout.flush()
        self._leave(POISONED)

    async def _warm(self) -> DeviceFacts:
        self._facts = await self.run(self._import)
        return self._facts

    def _import(self) -> DeviceFacts:
        # torch reads it once. Memory that is given back with each tensor comes again page by page,
        # which takes a third of a forward pass with pages of 4 KiB.
        os.environ.setdefault(HUGE_PAGES, "1")
        # Half a million objects, none of them garbage: looking for some takes a fifth of the time.
        gc.disable()
        try:
            facts = self._import_all()
        finally:
            gc.enable()
        # What is imported stays: looking through it at each departure would take half a second.
        gc.collect()
        gc.freeze()
        trim()
        self._baseline = int(psutil.Process().memory_info().rss)
        return facts

    def _import_all(self) -> DeviceFacts:
        import torch
        from transformers.utils import logging as transformers_logging

        # One import for every thread: two at once would see each other's half-made modules.
        from mistudio_capture import give_back_at_once

        give_back_at_once()
        # Its bars would break the lines of our log.
        transformers_logging.disable_progress_bar()
        if self._settings.torch_num_threads:
            torch.set_num_threads(self._settings.torch_num_threads)
        return probe(self._settings)


def return_memory() -> None:
    """Give freed memory back to the device and to the system."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    trim()


def _lost() -> ServiceUnavailable:
    return ServiceUnavailable(
        "The device failed and is being started again.",
        reason="device_failed",
        remedy="Nothing: the work is taken up again by itself.",
    )


def _log_failure(task: asyncio.Task[DeviceFacts]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("The device is not usable.", exc_info=error)


def _identity(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        temporary.write_text(f"dev_{secrets.token_hex(6)}\n", encoding="ascii")
        try:
            os.link(temporary, path)
        except FileExistsError:
            log.info("Another process has just named this device.")
        finally:
            temporary.unlink()
    found = path.read_text(encoding="ascii", errors="replace").strip()
    if not _DEVICE_ID.match(found):
        raise ValueError(f"DEVICE_ID_FILE holds no device id such as dev_3f9a1c; delete {path}")
    return found

"""Which quantised formats run on the device: tried in a child process, and refused if they don't.

The child imports torch and bitsandbytes; in this process that would cost memory for good, and a
broken kernel would end it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Callable

from mistudio_contracts.errors import ModelLoadFailed
from mistudio_contracts.states import Quantization
from mistudio_contracts.values import Artifact
from mistudio_extractor.storage.verdicts import KeptVerdicts, Verdicts
from mistudio_servicekit.tasks import cancel

from .device import Device

log = logging.getLogger(__name__)

CHECKED = (Quantization.INT8, Quantization.INT4)
SECONDS = 300.0
"""How long the child may take, each format's own limit included."""


class Kernels:
    """Knows which formats run here, some time after the start.

    Parameters
    ----------
    device
        Where they are to run.
    kept
        What earlier starts have found.
    delay
        Seconds after which they are tried if nobody has asked before.
    on_known
        Called when it is known.
    """

    def __init__(
        self, device: Device, kept: KeptVerdicts, delay: float, on_known: Callable[[], None]
    ) -> None:
        self._device, self._kept, self._delay = device, kept, delay
        self._on_known = on_known
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.unavailable: dict[Quantization, str] = {}

    async def start(self) -> None:
        """Begin to find out, beside everything else."""
        self._task = asyncio.create_task(self._find_out(), name="kernel-check")

    async def stop(self) -> None:
        """Stop finding out."""
        await cancel(self._task)

    async def require(self, artifact: Artifact) -> None:
        """Refuse an artifact whose format does not run here; waits until that is known.

        Raises
        ------
        ModelLoadFailed
            With the reason.
        """
        if artifact.quantization not in CHECKED or self._task is None:
            return
        self._asked.set()
        await asyncio.shield(self._task)
        reason = self.unavailable.get(artifact.quantization)
        if reason is not None:
            raise ModelLoadFailed(
                f"{artifact.quantization} does not run on this device: {reason}.",
                reason="quantization_unavailable",
                quantization=str(artifact.quantization),
                detail=reason,
                remedy="Load the model in another format, or install a bitsandbytes that runs "
                "here; mistudio doctor checks it.",
            )

    async def _find_out(self) -> None:
        try:
            verdicts = await self._verdicts()
        except Exception:
            log.exception("Which formats run here could not be found out.")
            return
        self.unavailable = {
            each: reason for each in CHECKED if (reason := verdicts.get(each.value)) is not None
        }
        if self.unavailable:
            log.warning("Some formats do not run here.", extra={"formats": verdicts})
        self._on_known()

    async def _verdicts(self) -> Verdicts:
        facts = self._device.known_facts()
        kept = await asyncio.to_thread(self._kept.load, facts.name)
        if kept is not None:
            return kept
        try:
            await asyncio.wait_for(self._asked.wait(), self._delay)
        except asyncio.TimeoutError:
            log.info("Trying which quantised formats run here.")
        found, certain = await _try(facts.torch_device)
        if certain:
            await asyncio.to_thread(self._kept.save, facts.name, found)
        return found


async def _try(torch_device: str) -> tuple[Verdicts, bool]:
    """Return what a child found, and whether the next would find the same."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "mistudio_capture.kernels",
        torch_device,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(child.communicate(), SECONDS)
    except asyncio.TimeoutError:
        return _none_runs(f"the check did not end within {SECONDS:g} s"), False
    finally:
        if child.returncode is None:
            child.terminate()
            await child.wait()
    if child.returncode == 0:
        found: Verdicts = json.loads(out)
        return found, not any("did not end" in (reason or "") for reason in found.values())
    said = err.decode(errors="replace").strip().splitlines()
    log.warning("The check of the formats failed.", extra={"said": said[-5:]})
    status = child.returncode or 0
    killed = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return _none_runs(f"the check ended with {killed}"), False


def _none_runs(reason: str) -> Verdicts:
    return {each.value: reason for each in CHECKED}

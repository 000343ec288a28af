"""Which quantised formats run on the device: tried in a child process, and refused if they don't.

The child imports torch and bitsandbytes; in this process that would cost memory for good, and a
broken kernel would end it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys

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

TOO_LONG = "did not end within"
"""In the reason of a format that took too long, which may be for what else ran at that time."""


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
    """

    def __init__(self, device: Device, kept: KeptVerdicts, delay: float) -> None:
        self._device, self._kept, self._delay = device, kept, delay
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
        verdicts = await self._verdicts()
        self.unavailable = {
            each: reason for each in CHECKED if (reason := verdicts.get(each.value)) is not None
        }
        if self.unavailable:
            log.warning("Some formats do not run here.", extra={"formats": verdicts})

    async def _verdicts(self) -> Verdicts:
        facts = self._device.known_facts()
        kept = await asyncio.to_thread(self._kept.load, facts.name)
        if kept is not None:
            return kept
        try:
            await asyncio.wait_for(self._asked.wait(), self._delay)
        except asyncio.TimeoutError:
            log.info("Trying which quantised formats run here.")
        found = await _try(facts.torch_device)
        if found is None:
            return {}
        if not any(TOO_LONG in (reason or "") for reason in found.values()):
            await asyncio.to_thread(self._kept.save, facts.name, found)
        return found


async def _try(torch_device: str) -> Verdicts | None:
    """Return what a child found; None when it could not find out, as when memory was short."""
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
        log.warning("The check of the formats did not end.", extra={"seconds": SECONDS})
        return None
    finally:
        if child.returncode is None:
            child.terminate()
            await child.wait()
    if child.returncode == 0:
        found: Verdicts = json.loads(out)
        return found
    log.warning(
        "The check of the formats failed.",
        extra={
            "returncode": child.returncode,
            "said": err.decode(errors="replace").strip().splitlines()[-5:],
        },
    )
    return None

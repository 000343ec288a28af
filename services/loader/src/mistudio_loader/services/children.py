"""Running a child process: its job, its steps, its end."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel

from mistudio_contracts import ErrorBody, LoadStage, MiStudioError
from mistudio_loader.domain.progress import Step
from mistudio_servicekit.cancellation import Cancellations

_LINE_LIMIT = 64 * 1024 * 1024
HUB_ENVIRONMENT = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_HUB_DISABLE_XET": "1",
}
"""For every process that speaks to the hub. Xet keeps no partial files that could be resumed."""

KEPT_FROM_CHILDREN = frozenset(
    {"NATS_URL", "DATABASE_URL", "JWT_SECRET_KEY", "HUGGINGFACE_TOKEN", "SENTRY_DSN"}
)
"""Variables that whoever reads foreign files has no use for: the hub's token comes with a job."""


class ChildDied(Exception):
    """The child process ended without an answer: killed, or crashed outside Python."""

    def __init__(self, returncode: int | None) -> None:
        super().__init__(f"the child process ended with {returncode}")
        self.returncode = returncode


class ChildCrashed(Exception):
    """The child process met an error that nobody foresaw; its log has the trace."""


class Children:
    """Starts child processes, and ends those whose task is voided.

    Parameters
    ----------
    cancellations
        The voided tasks.
    """

    def __init__(self, cancellations: Cancellations | None = None) -> None:
        self._cancellations = cancellations or Cancellations()
        self._cancellations.on_cancel(self._kill)
        # A task delivered twice has two children for a while.
        self._running: dict[asyncio.subprocess.Process, str] = {}

    async def run(
        self,
        task_id: str,
        kind: str,
        job: BaseModel,
        on_step: Callable[[Step], Awaitable[None]] | None = None,
    ) -> Any:
        """Do a job in a child process and return its result.

        Raises
        ------
        MiStudioError
            As raised in the child.
        ChildDied, ChildCrashed
            It could not answer.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "mistudio_loader.child",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_LIMIT,
            env=environment(),
        )
        self._running[process] = task_id
        try:
            if task_id in self._cancellations:
                process.kill()
            return await self._talk(process, kind, job, on_step)
        finally:
            del self._running[process]
            if process.returncode is None:
                process.kill()
            await process.wait()

    def _kill(self, task_id: str) -> None:
        for process, task in self._running.items():
            if task == task_id and process.returncode is None:
                process.kill()

    async def _talk(
        self,
        process: asyncio.subprocess.Process,
        kind: str,
        job: BaseModel,
        on_step: Callable[[Step], Awaitable[None]] | None,
    ) -> Any:
        if process.stdin is None or process.stdout is None:
            raise ChildDied(None)
        order = {"parent": os.getpid(), "kind": kind, "job": job.model_dump(mode="json")}
        try:
            process.stdin.write(json.dumps(order).encode() + b"\n")
            await process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            raise ChildDied(await process.wait()) from None
        while line := await process.stdout.readline():
            try:
                message = json.loads(line)
            except ValueError:
                # A process killed while writing leaves half a line.
                break
            if "step" in message:
                if on_step is not None:
                    await on_step(_step(message["step"]))
            elif "result" in message:
                return message["result"]
            elif "error" in message:
                error = MiStudioError.from_body(ErrorBody.model_validate(message["error"]))
                error.transient = bool(message["transient"])
                raise error
            else:
                raise ChildCrashed
        raise ChildDied(await process.wait())


def environment() -> dict[str, str]:
    """Return the environment of a child."""
    ours = {name: value for name, value in os.environ.items() if name not in KEPT_FROM_CHILDREN}
    return {**ours, **HUB_ENVIRONMENT}


def _step(body: dict[str, Any]) -> Step:
    return Step(
        LoadStage(body["stage"]), body["message"], body["done"], body["total"], body["waiting"]
    )

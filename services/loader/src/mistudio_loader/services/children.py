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

_LINE_LIMIT = 64 * 1024 * 1024
HUB_ENVIRONMENT = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_HUB_DISABLE_XET": "1",
}
"""For every process that speaks to the hub. Xet keeps no partial files that could be resumed."""


class ChildDied(Exception):
    """The child process ended without an answer: killed, or crashed outside Python."""

    def __init__(self, returncode: int | None) -> None:
        super().__init__(f"the child process ended with {returncode}")
        self.returncode = returncode


class ChildCrashed(Exception):
    """The child process met an error that nobody foresaw; its log has the trace."""


class Children:
    """Starts child processes, one a task, and ends them on request."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.subprocess.Process] = {}

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
            env={**os.environ, **HUB_ENVIRONMENT},
        )
        self._running[task_id] = process
        try:
            return await self._talk(process, kind, job, on_step)
        finally:
            self._running.pop(task_id, None)
            if process.returncode is None:
                process.kill()
            await process.wait()

    def kill(self, task_id: str) -> None:
        """End a task's child process, if it has one."""
        process = self._running.get(task_id)
        if process is not None and process.returncode is None:
            process.kill()

    @property
    def pids(self) -> dict[str, int]:
        """Task → process id of its child."""
        return {task_id: process.pid for task_id, process in self._running.items()}

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


def _step(body: dict[str, Any]) -> Step:
    return Step(LoadStage(body["stage"]), body["message"], body["done"], body["total"])

"""Ingestions that are over, so that an order delivered again is answered as before.

The upload is deleted once its report is published; without this record a second delivery of the
same order could only fail.
"""

from __future__ import annotations

import time
from pathlib import Path

from pydantic import ValidationError

from mistudio_contracts.values import DatasetFacts

from .disk import write_file
from .staging import Workshop

DONE = ".done"
MAX_AGE = 7 * 86_400.0


class DoneIngestions:
    """Facts by task, under ``root/.done``."""

    def __init__(self, workshop: Workshop) -> None:
        self._directory = workshop.root / DONE
        self._directory.mkdir(parents=True, exist_ok=True)

    def get(self, task_id: str) -> DatasetFacts | None:
        """Return the facts of a task that came to an end, else None."""
        try:
            return DatasetFacts.model_validate_json(self._file(task_id).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def put(self, task_id: str, facts: DatasetFacts) -> None:
        """Remember a task's facts."""
        temporary = self._directory / f"{task_id}.tmp"
        write_file(temporary, facts.model_dump_json().encode())
        temporary.replace(self._file(task_id))

    def sweep(self) -> None:
        """Forget what no redelivery can ask for any more."""
        for path in self._directory.iterdir():
            if time.time() - path.stat().st_mtime > MAX_AGE:
                path.unlink(missing_ok=True)

    def _file(self, task_id: str) -> Path:
        return self._directory / f"{task_id}.json"

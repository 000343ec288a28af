"""A catalog without a database and workers: rows in memory, on the real bus.

It answers every request subject that the gateway asks, and publishes the events that follow. A
load or an extraction runs through at once, unless :meth:`FakeCatalog.hold` was called.
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from mistudio_contracts import events, subjects
from mistudio_servicekit.bus import Publisher, create_broker
from mistudio_servicekit.lifecycle import ServiceApp
from mistudio_servicekit.rpc import serve
from mistudio_servicekit.settings import ServiceSettings
from mistudio_servicekit.testing import running

from .fake_extractions import Caches, Extractions
from .fake_models import Datasets, Models
from .fake_rows import Rows


class FakeCatalog:
    """The catalog's side of the bus, in a thread of its own."""

    def __init__(self, nats_url: str, store: Path) -> None:
        self.rows = Rows()
        self._store = store
        self._settings = ServiceSettings(nats_url=nats_url)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(30)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(15)

    def reset(self) -> None:
        """Forget everything."""
        self.rows.clear()
        self.release()

    def hold(self) -> None:
        """Let loads, readings and extractions stop half-way."""
        self._loop.call_soon_threadsafe(self.rows.going.clear)

    def release(self) -> None:
        """Let them go on."""
        self._loop.call_soon_threadsafe(self.rows.going.set)

    def try_again(self, model_id: str, message: str) -> None:
        """Tell that the load under way is tried again."""
        model = self.rows.models[model_id]
        told = self.rows.tell(
            subjects.MODEL_LOAD_PROGRESS,
            events.ModelLoadProgress,
            model_id=model_id,
            task_id=model.task_id,
            status=model.status,
            stage=model.stage,
            progress=model.progress,
            message=message,
            retry=1,
        )
        asyncio.run_coroutine_threadsafe(told, self._loop).result(30)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        self.rows.going.set()
        broker = create_broker(self._settings, "catalog")
        self.rows.publisher = Publisher(broker, "catalog")
        parts = (
            Models(self.rows),
            Datasets(self.rows),
            Extractions(self.rows, self._store),
            Caches(self.rows, self._store),
        )
        for part in parts:
            for subject, handler in part.handlers().items():
                serve(broker, subject, handler)
        async with running(ServiceApp(name="catalog", broker=broker)):
            self._ready.set()
            await self._end.wait()
            for task in self.rows.tasks:
                task.cancel()

"""A running site seen from outside: REST by httpx, events by WebSocket, nothing of the SDK."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

Json = dict[str, Any]

MODEL_DONE = ("model:ready", "model:failed")
DATASET_DONE = ("dataset:ready", "dataset:failed")
EXTRACTION_DONE = ("extraction:completed", "extraction:failed", "extraction:cancelled")


class Frames:
    """Frames of one WebSocket; ``seen`` keeps every one, in order."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.seen: list[Json] = []

    def next(self, timeout: float = 60.0) -> Json:
        """Return the next frame, or raise TimeoutError after ``timeout`` seconds of silence."""
        frame: Json = json.loads(self._socket.recv(timeout=timeout))
        self.seen.append(frame)
        return frame

    def until(self, *types: str, timeout: float = 60.0, **fields: Any) -> Json:
        """Return the data of the first frame of one of ``types`` whose data holds ``fields``."""
        while True:
            frame = self.next(timeout)
            data: Json = frame["data"]
            if frame["type"] in types and all(data.get(k) == v for k, v in fields.items()):
                return data


class Site:
    """Requests with a token against one gateway."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self.http = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=60.0
        )

    def close(self) -> None:
        self.http.close()

    def ask(self, method: str, path: str, expect: int = 200, **kwargs: Any) -> Json:
        """Send a request under ``/api`` and return the JSON; assert the status."""
        answer = self.http.request(method, f"/api{path}", **kwargs)
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else {}

    def error(self, method: str, path: str, expect: int, **kwargs: Any) -> Json:
        """Return the ``error`` of an answer that must have the status ``expect``."""
        error: Json = self.ask(method, path, expect, **kwargs)["error"]
        return error

    @contextmanager
    def frames(self, after: int | None = None, **selection: Any) -> Iterator[Frames]:
        """Subscribe and yield the frames; what happens from here on is not missed."""
        address = self.url.replace("http", "ws", 1) + "/ws"
        with connect(address, max_size=None, open_timeout=30) as socket:
            socket.send(json.dumps({"token": self.token}))
            wanted: Json = dict(selection)
            if after is not None:
                wanted["after"] = after
            socket.send(json.dumps({"subscribe": wanted}))
            frames = Frames(socket)
            frames.until("subscribed")
            yield frames

    def register(self, path: Path, name: str | None = None, **fields: Any) -> Json:
        """Register a local model directory."""
        body = {"name": name or path.name, "source": "local", "model_identifier": str(path)}
        return self.ask("POST", "/models", 201, json={**body, **fields})

    def load(self, model_id: str, **body: Any) -> Json:
        """Load a model and return it when it is ready or failed."""
        with self.frames(models=[model_id]) as frames:
            self.ask("POST", f"/models/{model_id}/load", json=body)
            frames.until(*MODEL_DONE, model_id=model_id, timeout=120)
        return self.ask("GET", f"/models/{model_id}")

    def ready_model(self, path: Path, **fields: Any) -> Json:
        """Register and load a model that must become ready."""
        model = self.load(self.register(path, **fields)["id"])
        assert model["status"] == "ready", model["error"]
        return model

    def upload(self, path: Path, **fields: str) -> Json:
        """Upload a dataset and return it when it is ready or failed."""
        with self.frames() as frames, path.open("rb") as file:
            dataset = self.ask(
                "POST",
                "/datasets/upload",
                201,
                files={"file": (path.name, file)},
                data={"name": path.stem, **fields},
            )
            frames.until(*DATASET_DONE, dataset_id=dataset["id"])
        return self.ask("GET", f"/datasets/{dataset['id']}")

    def extract(self, model_id: str, timeout: float = 120.0, **body: Any) -> Json:
        """Request an extraction and return it when it has ended."""
        with self.frames() as frames:
            accepted = self.ask("POST", f"/models/{model_id}/extract-activations", 202, json=body)
            extraction_id = accepted["extraction_id"]
            frames.until(*EXTRACTION_DONE, extraction_id=extraction_id, timeout=timeout)
        return self.ask("GET", f"/models/{model_id}/activations/{extraction_id}")

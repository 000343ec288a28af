"""``mistudio datasets``: upload and register datasets."""

from __future__ import annotations

from typing import Annotated

import typer

from mistudio_client.errors import InvalidArgument
from mistudio_client.paths import written
from mistudio_contracts.states import DatasetFormat, DatasetSource
from mistudio_contracts.views import Dataset

from . import human, output
from .options import AsJson, Yes, group
from .progress import ByteBar, StepBar
from .session import connected, reporting

app = group("Upload and register datasets.")

Reference = Annotated[str, typer.Argument(metavar="DATASET", help="Its id or its name.")]


@app.command()
def add(
    ctx: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="DATASET", help="A file, or the id of a dataset on the hub.")
    ],
    name: Annotated[str | None, typer.Option(help="What to call it.")] = None,
    column: Annotated[str | None, typer.Option(help="The column that holds the text.")] = None,
    file_format: Annotated[
        DatasetFormat | None, typer.Option("--format", help="Told by the name or the content.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Of a dataset on the hub.")] = None,
    subset: Annotated[str | None, typer.Option(help="Of a dataset on the hub.")] = None,
    revision: Annotated[str | None, typer.Option(help="Of a dataset on the hub.")] = None,
    upload: Annotated[
        bool | None,
        typer.Option(
            "--upload/--in-place",
            help="Send the file, or let the service read it where it is [default: upload].",
            show_default=False,
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Return when it has been read.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Add a dataset: a file of this machine, or one from the hub."""
    with reporting():
        where = locate(source, upload)
        if where is not DatasetSource.HUGGINGFACE and any((split, subset, revision)):
            raise InvalidArgument(
                "--split, --subset and --revision belong to datasets on the hub.",
                field="split",
                reason="not_on_hub",
            )
    with connected(ctx) as client:
        path = written(source)
        if where is DatasetSource.UPLOAD:
            with ByteBar(f"Uploading {path.name}", quiet=as_json) as bar:
                dataset = client.datasets.upload(
                    path, name=name, format=file_format, text_column=column, on_progress=bar
                )
        else:
            local = where is DatasetSource.LOCAL
            dataset = client.datasets.add(
                str(path.absolute()) if local else source,
                source=where,
                name=name or (path.stem if local else None),
                format=file_format,
                text_column=column,
                split=split,
                subset=subset,
                revision=revision,
            )
        if wait:
            with StepBar(f"Reading {dataset.name}", quiet=as_json) as steps:
                steps(0, "waiting until it has been read")
                dataset = client.datasets.wait(dataset.id)
        _show(dataset, as_json=as_json)


def locate(source: str, upload: bool | None) -> DatasetSource:
    """Return where a dataset comes from.

    Parameters
    ----------
    source
        What was named: a file here, a path on the service's machine, or a hub id.
    upload
        Whether to send the file; None where nothing was said.

    Raises
    ------
    InvalidArgument
        When a file must be here and is not.
    """
    path = written(source)
    if upload is False:
        return DatasetSource.LOCAL
    if path.is_file():
        return DatasetSource.UPLOAD
    looks_like_a_path = path.is_absolute() or source.startswith((".", "~"))
    if upload or looks_like_a_path or path.is_dir():
        raise InvalidArgument(
            f"There is no file {source}.",
            field="dataset",
            reason="no_such_file",
            remedy="For a file on the service's machine add --in-place.",
        )
    return DatasetSource.HUGGINGFACE


@app.command("list")
def list_(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the datasets."""
    with connected(ctx) as client:
        found = list(client.datasets.iterate())
        if as_json:
            output.print_json(found)
            return
        output.table(
            ("id", "name", "status", "source", "format", "samples>", "size>", "created"),
            (
                (
                    dataset.id,
                    dataset.name,
                    dataset.status.value,
                    dataset.source.value,
                    dataset.format.value if dataset.format else human.NONE,
                    f"{dataset.sample_count:,}" if dataset.sample_count else human.NONE,
                    human.size(dataset.file_size_bytes),
                    human.ago(dataset.created_at),
                )
                for dataset in found
            ),
        )


@app.command()
def show(ctx: typer.Context, dataset: Reference, as_json: AsJson = False) -> None:
    """Show a dataset and its first rows."""
    with connected(ctx) as client:
        _show(client.datasets.get(client.datasets.find(dataset).id), as_json=as_json)


@app.command()
def rm(ctx: typer.Context, dataset: Reference, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a dataset."""
    with connected(ctx) as client:
        found = client.datasets.find(dataset)
        if not yes and not as_json and output.interactive():
            typer.confirm(f"Delete {found.name}?", abort=True, err=True)
        client.datasets.delete(found.id)
        if as_json:
            output.print_json({"deleted": found.id})
        else:
            output.print_text(f"Deleted {found.name} ({found.id}).")


def _show(dataset: Dataset, *, as_json: bool) -> None:
    if as_json:
        output.print_json(dataset)
        return
    columns = ", ".join(f"{name} ({kind})" for name, kind in dataset.columns.items())
    output.facts(
        [
            ("id", dataset.id),
            ("name", dataset.name),
            ("status", dataset.status.value),
            ("source", f"{dataset.source.value}: {dataset.identifier}"),
            ("format", dataset.format.value if dataset.format else human.NONE),
            ("samples", f"{dataset.sample_count:,}" if dataset.sample_count else human.NONE),
            ("size", human.size(dataset.file_size_bytes)),
            ("columns", columns or human.NONE),
            ("text column", dataset.text_column or human.NONE),
            ("created", human.ago(dataset.created_at)),
            *([("error", dataset.error.message)] if dataset.error else []),
            *[(f"row {n}", _row(row)) for n, row in enumerate(dataset.preview[:3])],
        ]
    )


def _row(row: dict[str, object]) -> str:
    text = ", ".join(f"{name}: {value}" for name, value in row.items())
    return text if len(text) <= 100 else f"{text[:99]}…"

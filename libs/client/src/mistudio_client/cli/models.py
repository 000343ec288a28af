"""``mistudio models``: register, load and unload models."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated

import typer

from mistudio_client.errors import InvalidArgument
from mistudio_client.paths import written
from mistudio_contracts.states import Quantization, Source
from mistudio_contracts.views import Model, ModelSummary

from . import fidelity, formats, human, output
from .fit import fit
from .hooks import hook_points
from .options import AsJson, Yes, group
from .progress import StepBar
from .session import connected, reporting

if TYPE_CHECKING:
    from mistudio_client.client import Client

app = group("Register, load and unload models.")
app.command()(fit)
app.command()(hook_points)

Reference = Annotated[str, typer.Argument(metavar="MODEL", help="Its id or its name.")]
Wait = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Return when it is ready, or once accepted.")
]


@app.command()
def add(
    ctx: typer.Context,
    identifier: Annotated[
        str, typer.Argument(metavar="MODEL", help="A checkpoint's directory, or its id on the hub.")
    ],
    name: Annotated[str | None, typer.Option(help="What to call it.")] = None,
    source: Annotated[
        Source | None,
        typer.Option(help="Where it is; local when there is such a directory, else huggingface."),
    ] = None,
    quantization: Annotated[
        Quantization, typer.Option(help="How its weights are kept.")
    ] = Quantization.NONE,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")] = None,
    int4_type: formats.Int4 = None,
    double_quant: formats.DoubleQuant = None,
    pin: formats.Pin = None,
    keep_alive: formats.KeepAlive = None,
    offload: formats.Offload = None,
    load: Annotated[bool, typer.Option("--load/--no-load", help="Load it at once.")] = False,
    force: formats.Force = False,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """Register a model."""
    with reporting():
        where, found = locate(identifier, source)
        wishes = formats.wishes(pin, keep_alive, offload)
    with connected(ctx) as client:
        model = client.models.add(
            name or PurePath(found).name,
            model_identifier=found,
            source=where,
            revision=revision,
            quantization=quantization,
            quantization_options=formats.options(int4_type, double_quant),
            auto_load=load and not force,
            **wishes,
        )
        if load and force:
            client.models.load(model.id, force=True)
            model = client.models.get(model.id)
        if load and wait:
            if not as_json:
                output.note(f"Registered {model.id}.")
            model = _wait(client, model, quiet=as_json)
        _show(model, as_json=as_json)


def locate(identifier: str, source: Source | None) -> tuple[Source, str]:
    """Return where a model is, and its identifier as the service needs it.

    Raises
    ------
    InvalidArgument
        When the identifier is written as a path, and there is no such directory.
    """
    path = written(identifier)
    if source is Source.HUGGINGFACE:
        return source, identifier
    if path.is_dir():
        return source or Source.LOCAL, str(path.resolve())
    if source is not None:
        # The service's machine need not be this one: it knows whether the path is there.
        return source, identifier
    if path.is_absolute() or identifier.startswith((".", "~")):
        raise InvalidArgument(
            f"There is no directory {identifier}.",
            field="model",
            reason="no_such_directory",
            remedy="For a path on the service's machine add --source local.",
        )
    return Source.HUGGINGFACE, identifier


@app.command("list")
def list_(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the models."""
    with connected(ctx) as client:
        found = list(client.models.iterate())
        if as_json:
            output.print_json(found)
            return
        output.table(
            ("id", "name", "status", "quantization", "parameters>", "layers>", "memory>", "used"),
            (
                (
                    model.id,
                    model.name,
                    _status(model),
                    model.quantization.value,
                    human.number(model.parameter_count),
                    str(model.num_layers or human.NONE),
                    human.size(model.memory_usage_bytes),
                    human.ago(model.last_used_at),
                )
                for model in found
            ),
        )


@app.command()
def show(ctx: typer.Context, model: Reference, as_json: AsJson = False) -> None:
    """Show a model."""
    with connected(ctx) as client:
        _show(client.models.get(client.models.find(model).id), as_json=as_json)


@app.command()
def load(
    ctx: typer.Context,
    model: Reference,
    quantization: Annotated[
        Quantization | None, typer.Option(help="Change how its weights are kept.")
    ] = None,
    int4_type: formats.Int4 = None,
    double_quant: formats.DoubleQuant = None,
    pin: formats.Pin = None,
    keep_alive: formats.KeepAlive = None,
    offload: formats.Offload = None,
    force: formats.Force = False,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """Load a model into device memory."""
    with reporting():
        wishes = formats.wishes(pin, keep_alive, offload)
    with connected(ctx) as client:
        found = client.models.find(model)
        if wishes:
            client.models.update(found.id, **wishes)
        accepted = client.models.load(
            found.id,
            quantization=quantization,
            quantization_options=formats.options(
                int4_type, double_quant, found.quantization_options
            ),
            force=force,
        )
        if wait:
            _show(_wait(client, found, quiet=as_json), as_json=as_json)
        elif as_json:
            output.print_json(accepted)
        else:
            output.print_text(f"{accepted.message} ({accepted.id})")


@app.command()
def unload(ctx: typer.Context, model: Reference, as_json: AsJson = False) -> None:
    """Free a model's device memory; it stays on disk. A pinned model is pinned no longer."""
    with connected(ctx) as client:
        _after(
            client.models.unload(client.models.find(model).id),
            "leaves device memory",
            as_json=as_json,
        )


@app.command()
def pin(ctx: typer.Context, model: Reference, as_json: AsJson = False) -> None:
    """Never evict a model, and bring it back when its device starts; until it is unloaded."""
    _pin(ctx, model, True, "is pinned", as_json=as_json)


@app.command()
def unpin(ctx: typer.Context, model: Reference, as_json: AsJson = False) -> None:
    """Let a model make room for others again."""
    _pin(ctx, model, False, "is pinned no longer", as_json=as_json)


@app.command()
def cancel(ctx: typer.Context, model: Reference, as_json: AsJson = False) -> None:
    """Cancel the load under way."""
    with connected(ctx) as client:
        _after(
            client.models.cancel(client.models.find(model).id),
            "its load is cancelled",
            as_json=as_json,
        )


@app.command()
def rm(ctx: typer.Context, model: Reference, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a model and the activations captured from it."""
    with connected(ctx) as client:
        found = client.models.find(model)
        if not yes and not as_json and output.interactive():
            typer.confirm(f"Delete {found.name} and its activations?", abort=True, err=True)
        client.models.delete(found.id)
        if as_json:
            output.print_json({"deleted": found.id})
        else:
            output.print_text(f"Deleted {found.name} ({found.id}).")


def _wait(client: Client, model: ModelSummary, *, quiet: bool) -> Model:
    with StepBar(f"Loading {model.name}", quiet=quiet) as bar:
        return client.models.wait(model.id, on_progress=bar)


def _pin(ctx: typer.Context, model: str, pinned: bool, what: str, *, as_json: bool) -> None:
    with connected(ctx) as client:
        found = client.models.find(model)
        _after(client.models.update(found.id, pinned=pinned), what, as_json=as_json)


def _after(model: Model, what: str, *, as_json: bool) -> None:
    if as_json:
        output.print_json(model)
    else:
        output.print_text(f"{model.name} ({model.id}): {what}.")


def _status(model: ModelSummary) -> str:
    if model.stage is not None:
        return f"{model.status.value} {model.progress:.0f} % ({model.stage.value})"
    return model.status.value


def _show(model: Model, *, as_json: bool) -> None:
    if as_json:
        output.print_json(model)
        return
    output.facts(
        [
            ("id", model.id),
            ("name", model.name),
            ("status", _status(model)),
            ("source", f"{model.source.value}: {model.model_identifier}"),
            ("revision", model.revision or human.NONE),
            ("architecture", model.architecture or model.model_type or human.NONE),
            ("parameters", human.number(model.parameter_count)),
            ("layers", f"{model.num_layers or human.NONE} of width {model.hidden_size or '?'}"),
            ("context", str(model.context_length or human.NONE)),
            ("quantization", _format(model)),
            ("kept", _kept(model)),
            ("dtype", model.dtype.value if model.dtype else human.NONE),
            ("memory", human.size(model.memory_usage_bytes)),
            ("disk", human.size(model.disk_bytes)),
            ("load time", human.duration(model.load_time_seconds)),
            ("created", human.ago(model.created_at)),
            ("used", human.ago(model.last_used_at)),
            *([("error", model.error.message)] if model.error else []),
        ]
    )
    if model.fidelity is not None:
        fidelity.show(model.fidelity)


def _format(model: Model) -> str:
    if model.quantization is not Quantization.INT4:
        return str(model.quantization)
    made = model.quantization_options
    twice = ", double quantised" if made.double_quant else ""
    return f"{model.quantization.value} ({made.int4_type.value}{twice})"


def _kept(model: Model) -> str:
    if model.pinned:
        stays = "pinned"
    elif model.keep_alive_seconds is None:
        stays = "until its room is needed"
    else:
        stays = f"{human.duration(model.keep_alive_seconds)} after its last use"
    return f"{stays}, offloaded where it does not fit" if model.offload else stays

"""``mistudio models fit``: what a model takes in each format, and which to choose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mistudio_client.paths import written
from mistudio_contracts.states import Fit, Quantization, Source
from mistudio_contracts.values import QuantizationOptions
from mistudio_contracts.views import Estimate, FormatEstimate

from . import formats, human, output
from .fidelity import bar
from .options import AsJson
from .session import connected

if TYPE_CHECKING:
    from mistudio_client.client import Client

MODEL_PREFIX = "m_"
BUDGET_WIDTH = 20
OVER = "▶"
"""After a bar that is longer than the budget."""


def fit(
    ctx: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A registered model's id, a checkpoint's path, or a hub id."
        ),
    ],
    quantization: Annotated[
        Quantization | None, typer.Option(help="Tell of this format alone.")
    ] = None,
    int4_type: formats.Int4 = None,
    double_quant: formats.DoubleQuant = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell whether a model fits, in each format, and which one to choose."""
    options = formats.options(int4_type, double_quant)
    with connected(ctx) as client:
        found = _ask(client, model, revision, quantization, options)
        if as_json:
            output.print_json(found)
        else:
            show(found)


def _ask(
    client: Client,
    model: str,
    revision: str | None,
    quantization: Quantization | None,
    options: QuantizationOptions | None,
) -> Estimate:
    if model.startswith(MODEL_PREFIX):
        return client.models.estimate(
            model, quantization=quantization, quantization_options=options
        )
    path = written(model)
    local = path.is_absolute() or path.exists()
    return client.models.fit(
        str(path.resolve()) if local else model,
        source=Source.LOCAL if local else Source.HUGGINGFACE,
        revision=revision,
        quantization=quantization,
        quantization_options=options,
    )


def show(estimate: Estimate) -> None:
    """Print the table and the sentence below it; the bars are of the budget."""
    used = f", {human.size(estimate.used_bytes)} in use" if estimate.used_bytes else ""
    where = estimate.device_id or "a device of the default size"
    output.print_text(
        f"{estimate.model_identifier} on {where}: {human.size(estimate.budget_bytes)}{used}"
    )
    output.table(
        ("", "format", "memory>", "of the budget", "fits", "largest batch>", "on disk>"),
        (
            (
                "→" if each.quantization is estimate.recommended else "",
                each.quantization.value,
                human.size(each.total_bytes),
                _bar(each.total_bytes, estimate.budget_bytes),
                _fits(each),
                f"{each.batch_size} × {each.sequence_length}" if each.batch_size else human.NONE,
                human.size(each.disk_bytes),
            )
            for each in estimate.formats
        ),
    )
    for each in estimate.formats:
        if each.unavailable is not None:
            output.print_text(f"{each.quantization}: {each.unavailable}")
        elif each.offload is not None:
            output.print_text(f"{each.quantization} with --offload: {each.offload.cost}")
    output.print_text(estimate.message)


def _bar(value: int, budget: int) -> str:
    return bar(value, budget, BUDGET_WIDTH) + (OVER if value > budget else "")


def _fits(estimate: FormatEstimate) -> str:
    if estimate.unavailable is not None:
        return "not available"
    if estimate.fit is not Fit.AFTER_EVICTION:
        return str(estimate.fit)
    leaving = ", ".join([*estimate.evict, *(f"{each} (held)" for each in estimate.held_by)])
    return f"without {leaving}" if leaving else "once others free memory"

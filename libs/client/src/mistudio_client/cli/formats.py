"""Options that say how a model's weights are kept, and how it stays in device memory."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mistudio_client.keeping import FOR_GOOD, parse_keep_alive
from mistudio_contracts.states import Int4Type
from mistudio_contracts.values import QuantizationOptions

Int4 = Annotated[Int4Type | None, typer.Option("--int4-type", help="The code book of int4.")]
DoubleQuant = Annotated[
    bool | None,
    typer.Option("--double-quant/--no-double-quant", help="Whether int4 quantises its scales too."),
]
Pin = Annotated[
    bool | None,
    typer.Option(
        "--pin/--no-pin", help="Never evict it, and bring it back when its device starts."
    ),
]
KeepAlive = Annotated[
    str | None,
    typer.Option(metavar="TIME", help=f"How long it stays without use: 90s, 5m, 2h or {FOR_GOOD}."),
]
Offload = Annotated[
    bool | None,
    typer.Option(
        "--offload/--no-offload", help="Read the blocks that do not fit from the disk, slowly."
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Place it whatever the estimate says; it may then fail.")
]


def options(
    int4_type: Int4Type | None, double_quant: bool | None, known: QuantizationOptions | None = None
) -> QuantizationOptions | None:
    """Return how int4 is made, None where nothing was named; ``known`` fills what was not."""
    named: dict[str, Any] = {"int4_type": int4_type, "double_quant": double_quant}
    given = {name: value for name, value in named.items() if value is not None}
    return (known or QuantizationOptions()).model_copy(update=given) if given else None


def wishes(pin: bool | None, keep_alive: str | None, offload: bool | None) -> dict[str, Any]:
    """Return what was said of how the model stays, and nothing else.

    Raises
    ------
    InvalidArgument
        When ``keep_alive`` is no duration.
    """
    named: dict[str, Any] = {"pinned": pin, "offload": offload}
    said = {name: value for name, value in named.items() if value is not None}
    if keep_alive is not None:
        said["keep_alive_seconds"] = parse_keep_alive(keep_alive)
    return said

"""Hook points, written short and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from mistudio_contracts.hooks import in_order, kind_of, layer_of
from mistudio_contracts.views import Cache, HookPointList

from . import output
from .options import AsJson
from .session import connected


def layers(indices: Sequence[int]) -> str:
    """Return layer indices with runs of three and more as ranges: ``0-5,11``."""
    runs: list[list[int]] = []
    for index in sorted(indices):
        if runs and runs[-1][-1] == index - 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ",".join(
        f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs
    )


def short(names: Sequence[str]) -> str:
    """Return hook points by kind, such as ``embed, layers 0-5 resid_post``."""
    by_kind: dict[str, list[int]] = {}
    for name in in_order(names):
        layer = layer_of(name)
        of_kind = by_kind.setdefault(kind_of(name), [])
        if layer is not None:
            of_kind.append(layer)
    return ", ".join(
        f"layers {layers(found)} {kind}" if found else kind for kind, found in by_kind.items()
    )


def shape(cache: Cache) -> str:
    """Return what each column of a cache is, or how wide they are together."""
    if cache.activation_shape is not None:
        tokens, width = cache.activation_shape
        count = len(cache.hook_points)
        return f"{tokens:,} × {width:,} {cache.dtype.value}{f' in each of {count}' * (count > 1)}"
    widths = sorted({column.width for column in cache.columns})
    return f"{cache.token_count:,} × {' or '.join(map(str, widths))} {cache.dtype.value}"


def hook_points(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Its id or its name.")],
    as_json: AsJson = False,
) -> None:
    """Show where a model's activations can be captured, as proven when it was loaded."""
    with connected(ctx) as client:
        found = client.models.hook_points(client.models.find(model).id)
    if as_json:
        output.print_json(found)
        return
    output.table(
        ("hook point", "layers", "width>", "heads>"),
        (
            (
                kind if not of else f"layers.N.{kind}",
                layers(of),
                f"{width:,}",
                str(heads) if heads else "",
            )
            for kind, of, width, heads in _kinds(found)
        ),
    )
    for kind, why in found.refused.items():
        output.print_text(f"no {kind}: {why}")


def _kinds(found: HookPointList) -> list[tuple[str, list[int], int, int | None]]:
    kinds: dict[str, tuple[list[int], int, int | None]] = {}
    for each in found.hook_points:
        of, _, _ = kinds.setdefault(each.kind, ([], each.width, each.heads))
        if each.layer is not None:
            of.append(each.layer)
    return [(kind, *facts) for kind, facts in kinds.items()]

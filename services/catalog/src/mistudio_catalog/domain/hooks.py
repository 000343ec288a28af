"""The hook points of a model: which there are, and which a request may name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mistudio_contracts.commands import NoSuchLayers, RequestExtraction
from mistudio_contracts.errors import InvalidInput, StatusConflict
from mistudio_contracts.hooks import OUTSIDE, hook_point, in_order, kind_of, layer_of
from mistudio_contracts.values import HookKindFacts, HookPointFacts
from mistudio_contracts.views import HookPointList, HookPointShape

from .model import ModelState


def listed(model: ModelState) -> HookPointList:
    """Return every hook point of a model with its width.

    Raises
    ------
    StatusConflict
        When the model was never in a device's memory, where they are proven.
    """
    if model.hook_points is None or model.num_layers is None:
        raise StatusConflict(
            "The model's hook points are proven when it is placed in memory, which it never was.",
            field="model_id",
            reason="not_loaded",
            status=str(model.status),
            remedy="Load the model first.",
        )
    shapes = {each.hook_point: each for each in _shapes(model.hook_points, model.num_layers)}
    return HookPointList(
        model_id=model.id,
        num_layers=model.num_layers,
        hook_points=[shapes[name] for name in in_order(shapes)],
        refused=model.hook_points.refused,
    )


def _shapes(facts: HookPointFacts, num_layers: int) -> Iterator[HookPointShape]:
    for each in facts.kinds:
        if each.kind in OUTSIDE:
            yield _shape(each.kind, each)
        else:
            yield from (_shape(hook_point(n, each.kind), each) for n in range(num_layers))


def _shape(name: str, facts: HookKindFacts) -> HookPointShape:
    return HookPointShape(
        hook_point=name,
        layer=layer_of(name),
        kind=facts.kind,
        width=facts.width,
        heads=facts.heads,
    )


def chosen(command: RequestExtraction, model: ModelState) -> tuple[str, ...]:
    """Return the hook points that a request means.

    Raises
    ------
    StatusConflict
        When the model's number of layers is not known yet.
    InvalidInput
        Naming the layer, or the kind, that the model lacks. Where nothing was proven of it yet,
        kinds are checked when it is captured.
    """
    layers = model.num_layers
    if layers is None:
        raise StatusConflict(
            "The model's number of layers is not known before it is prepared.",
            field="model_id",
            reason="facts_unknown",
            remedy="Request the extraction when the model is ready.",
        )
    try:
        names = command.resolve(layers)
    except NoSuchLayers as error:
        raise _no_layer(error, layers) from None
    if model.hook_points is not None:
        _check_kinds(names, model.hook_points)
    return tuple(names)


def _no_layer(error: NoSuchLayers, layers: int) -> InvalidInput:
    valid = f"-{layers}..{layers - 1}"
    if error.layer is None:
        return InvalidInput(
            f"The range {error}.",
            field=error.field,
            reason="range_reversed",
            remedy=f"Write the lower layer first; the model's layers are {valid}.",
        )
    return InvalidInput(
        f"The model has {layers} layers; there is no layer {error.layer}.",
        field=error.field,
        reason="layer_out_of_range",
        layer=error.layer,
        valid_range=valid,
        remedy=f"Choose layers in {valid}.",
    )


def _check_kinds(names: Sequence[str], facts: HookPointFacts) -> None:
    there = [each.kind for each in facts.kinds]
    for name in names:
        kind = kind_of(name)
        if kind in there:
            continue
        why = facts.refused.get(kind)
        raise InvalidInput(
            f"The model has no {kind}{f': {why}' if why else ''}.",
            field="hook_points",
            reason="no_such_hook_point",
            hook_point=name,
            available=there,
            remedy=f"Choose among {', '.join(there)}.",
        )

"""What people may write for layers and hook points, and the order these come in."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from mistudio_contracts.commands import NoSuchLayers, RequestExtraction
from mistudio_contracts.hooks import HookPoint, in_order, kind_of, layer_of
from mistudio_contracts.layers import LAYERS_PATTERN

LAYERS = 12


def asked(**more: Any) -> RequestExtraction:
    return RequestExtraction.model_validate({"model_id": "m_x", "dataset_id": "ds_x", **more})


def layers(text: str | list[int]) -> list[int | None]:
    return [layer_of(name) for name in asked(layer_indices=text).resolve(LAYERS)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0", [0]),
        ("0,6,11", [0, 6, 11]),
        (" 3 , 1 ", [1, 3]),
        ("0-5", [0, 1, 2, 3, 4, 5]),
        ("4-4", [4]),
        ("-1", [11]),
        ("-3--1", [9, 10, 11]),
        ("9--1", [9, 10, 11]),
        ("0-2,2,-1", [0, 1, 2, 11]),
        ("all", list(range(LAYERS))),
        ([0, -1, 0], [0, 11]),
    ],
)
def test_lists_ranges_all_and_counts_from_the_end(text: str | list[int], found: list[int]) -> None:
    assert layers(text) == found


@pytest.mark.parametrize("text", ["", "one", "1,,2", "1.5", "0-", "01", "ALL", "0-99999999999"])
def test_what_reads_otherwise_is_refused(text: str) -> None:
    assert not re.match(LAYERS_PATTERN, text)
    with pytest.raises(ValidationError, match="layer_indices"):
        asked(layer_indices=text)


@pytest.mark.parametrize(
    ("text", "layer"), [("12", 12), ("0,-13", -13), ("3-40", 40), ("5-3", None), ("-1--3", None)]
)
def test_layers_that_the_model_lacks_are_named(text: str, layer: int | None) -> None:
    with pytest.raises(NoSuchLayers) as caught:
        layers(text)

    assert (caught.value.field, caught.value.layer) == ("layer_indices", layer)


def test_a_hook_point_may_stand_for_those_of_several_layers() -> None:
    found = asked(hook_points=["layers.-1.z", "layers.0-1.mlp_out", "embed"]).resolve(3)
    assert found == ["embed", "layers.0.mlp_out", "layers.1.mlp_out", "layers.2.z"]


def test_kinds_are_captured_in_each_of_the_layers() -> None:
    found = asked(layer_indices=[1, 0], hook_kinds=["mlp_out", "resid_pre"]).resolve(3)
    assert found == [
        "layers.0.resid_pre",
        "layers.0.mlp_out",
        "layers.1.resid_pre",
        "layers.1.mlp_out",
    ]


def test_a_hook_point_of_a_layer_that_is_not_there_is_told_as_such() -> None:
    with pytest.raises(NoSuchLayers) as caught:
        asked(layer_indices=[0], hook_points=["layers.7.z"]).resolve(3)

    assert (caught.value.field, caught.value.layer) == ("hook_points", 7)


def test_what_comes_first_in_a_pass_comes_first() -> None:
    names = ["final_norm", "layers.10.q", "layers.2.resid_post", "layers.2.q", "embed", "embed"]
    assert in_order(names) == [
        "embed",
        "layers.2.q",
        "layers.2.resid_post",
        "layers.10.q",
        "final_norm",
    ]


@pytest.mark.parametrize(
    ("name", "layer", "kind"),
    [("embed", None, "embed"), ("final_norm", None, "final_norm"), ("layers.11.z", 11, "z")],
)
def test_a_name_tells_its_layer_and_kind(name: str, layer: int | None, kind: str) -> None:
    assert TypeAdapter(HookPoint).validate_python(name) == name
    assert (layer_of(name), kind_of(name)) == (layer, kind)


@pytest.mark.parametrize(
    "name", ["layers.-1.z", "layers.all.z", "layers.1.resid", "layers.01.z", "unembed", "embed "]
)
def test_a_hook_point_names_one_place(name: str) -> None:
    with pytest.raises(ValidationError, match="a hook point reads"):
        TypeAdapter(HookPoint).validate_python(name)

"""What people may write for layers."""

from __future__ import annotations

import pytest

from mistudio_client import InvalidArgument
from mistudio_client.layers import parse_layers


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("0", [0]),
        ("0,6,11", [0, 6, 11]),
        (" 3 , 1 ", [3, 1]),
        ("0-5", [0, 1, 2, 3, 4, 5]),
        ("4-4", [4]),
        ("-1", [-1]),
        ("-3--1", [-3, -2, -1]),
        ("9--1", [9, 10, 11]),
        ("0-2,2,-1", [0, 1, 2, -1]),
        ("all", list(range(12))),
        ("ALL", list(range(12))),
    ],
)
def test_lists_ranges_and_counts_from_the_end(text: str, layers: list[int]) -> None:
    assert parse_layers(text, 12) == layers


@pytest.mark.parametrize("text", ["", "one", "1,,2", "5-3", "-1--3", "1.5", "0-", "12", "-13"])
def test_anything_else_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_layers(text, 12)

    assert caught.value.details["field"] == "layers"
    assert "0-5" in caught.value.details["remedy"]


def test_without_the_number_of_layers_only_indices_and_plain_ranges_mean_something() -> None:
    assert parse_layers("0,3-5,-1") == [0, 3, 4, 5, -1]
    for text in ("all", "3--1"):
        with pytest.raises(InvalidArgument, match="not known yet"):
            parse_layers(text)


def test_a_range_without_end_takes_no_memory() -> None:
    with pytest.raises(InvalidArgument, match="more than 1000"):
        parse_layers("0-99999999999")

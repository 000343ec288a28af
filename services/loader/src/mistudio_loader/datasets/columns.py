"""What a column holds, and which one is the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from mistudio_contracts.errors import InvalidInput

Kind = Literal["text", "tokens", "other"]
MAX_TOKEN = 2**31 - 1
_EXACT = 2**53


@dataclass(frozen=True)
class Column:
    """A column of the canonical dataset.

    Attributes
    ----------
    as_json
        Values are kept as JSON text, for want of one Arrow type that fits them all.
    bad_token
        For a list of integers that cannot be token ids: the row (from 1) and the value.
    """

    name: str
    type: pa.DataType
    kind: Kind
    as_json: bool = False
    bad_token: tuple[int, int] | None = None


@dataclass
class Observed:
    """The values of one column, seen one at a time; decides a type that fits them all."""

    tags: set[str] = field(default_factory=set)
    bad_token: tuple[int, int] | None = None

    def see(self, value: Any, row: int) -> None:
        """Note a JSON value at a row counted from 1."""
        tag = _tag(value)
        self.tags.add(tag)
        if tag == "ints" and self.bad_token is None and value:
            low, high = min(value), max(value)
            if low < 0 or high > MAX_TOKEN:
                self.bad_token = (row, low if low < 0 else high)

    def column(self, name: str) -> Column:
        """Return the column as it will be kept."""
        tags = self.tags - {"null"}
        if not tags:
            return Column(name, pa.null(), "other")
        if tags == {"str"}:
            return Column(name, pa.string(), "text")
        if tags == {"ints"}:
            if self.bad_token is None:
                return Column(name, pa.list_(pa.int32()), "tokens")
            return Column(name, pa.list_(pa.int64()), "other", bad_token=self.bad_token)
        if tags == {"bool"}:
            return Column(name, pa.bool_(), "other")
        if tags <= {"int", "big"}:
            return Column(name, pa.int64(), "other")
        if tags <= {"int", "float"}:
            return Column(name, pa.float64(), "other")
        return Column(name, pa.string(), "other", as_json=True)


def _tag(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        if -_EXACT <= value <= _EXACT:
            return "int"
        return "big" if -(2**63) <= value < 2**63 else "json"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        return "str"
    if isinstance(value, list) and all(type(n) is int and -(2**63) <= n < 2**63 for n in value):
        return "ints"
    return "json"


def choose_text_column(columns: Sequence[Column], requested: str | None) -> str:
    """Return the column that samples are taken from.

    The one requested; else ``text``, else ``input_ids``, else the first that holds text.

    Raises
    ------
    InvalidInput
        ``reason`` is ``wrong_column``, ``no_text_column`` or ``bad_token``.
    """
    by_name = {column.name: column for column in columns}
    listed = ", ".join(f"{c.name} ({c.kind})" for c in columns)
    if requested is not None:
        found = by_name.get(requested)
        if found is None:
            raise _wrong_column(f"There is no column {requested}.", listed, by_name)
        if found.kind == "other" and found.bad_token is None:
            raise _wrong_column(
                f"The column {requested} holds neither text nor token ids.", listed, by_name
            )
        return _checked(found)
    for name in ("text", "input_ids"):
        found = by_name.get(name)
        if found is not None and (found.kind != "other" or found.bad_token):
            return _checked(found)
    for column in columns:
        if column.kind == "text":
            return column.name
    raise InvalidInput(
        f"No column holds text or is named input_ids; the columns are {listed}.",
        field="text_column",
        reason="no_text_column",
        columns={c.name: c.kind for c in columns},
        remedy="Add a column of text, or name a column of token ids in text_column.",
    )


def _wrong_column(message: str, listed: str, by_name: dict[str, Column]) -> InvalidInput:
    return InvalidInput(
        f"{message} The columns are {listed}.",
        field="text_column",
        reason="wrong_column",
        columns={name: column.kind for name, column in by_name.items()},
        remedy="Name a column of text or of token ids.",
    )


def _checked(column: Column) -> str:
    if column.bad_token is not None:
        row, value = column.bad_token
        raise InvalidInput(
            f"Row {row} of {column.name} holds {value}, which is no token id.",
            field="text_column",
            reason="bad_token",
            row=row,
            value=value,
            remedy=f"Token ids are whole numbers from 0 to {MAX_TOKEN}.",
        )
    return column.name

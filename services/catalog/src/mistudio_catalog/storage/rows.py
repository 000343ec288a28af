"""Between rows and the domain's dataclasses."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


class Rows(Generic[T]):
    """Reads and writes rows of one dataclass, whose fields are the columns."""

    def __init__(self, kind: type[T]) -> None:
        self._adapter = TypeAdapter(kind)

    def read(self, record: Any) -> T:
        """Return the state that a record holds."""
        return self._adapter.validate_python(dict(record))

    def maybe(self, record: Any) -> T | None:
        """Return the state that a record holds, or None for no record."""
        return None if record is None else self.read(record)

    def write(self, state: T) -> dict[str, Any]:
        """Return the columns of a state."""
        columns: dict[str, Any] = self._adapter.dump_python(state)
        return columns

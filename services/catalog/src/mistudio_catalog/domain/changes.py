"""What a transaction does to statuses, kept until it has committed."""

from __future__ import annotations

from dataclasses import dataclass, field

from .extraction import ExtractionState
from .model import ModelState

State = ModelState | ExtractionState


@dataclass(frozen=True)
class Change:
    """A row whose status is another now; ``after`` is None once it is deleted."""

    before: State
    after: State | None


@dataclass
class Changes:
    """Notes rows as they are read for a change, and what became of them.

    Attributes
    ----------
    made
        In order.
    saved_bytes
        Of activations that were found in a store instead of being computed.
    """

    made: list[Change] = field(default_factory=list)
    saved_bytes: int = 0
    _before: dict[str, State] = field(default_factory=dict)

    def read(self, state: State) -> None:
        """Note a row as it is."""
        self._before[state.id] = state

    def write(self, state: State) -> None:
        """Note a row as it will be."""
        before = self._before.get(state.id)
        if before is not None and before.status is not state.status:
            self.made.append(Change(before, state))
        self._before[state.id] = state

    def delete(self, row_id: str) -> None:
        """Note that a row goes."""
        before = self._before.pop(row_id, None)
        if before is not None:
            self.made.append(Change(before, None))

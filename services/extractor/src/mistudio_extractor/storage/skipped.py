"""Which dataset rows tokenisation left out, beside the token shards of a store."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from mistudio_contracts.values import Skipped

NAME = "skipped.json"


@dataclass
class SkippedRows:
    """Dataset rows by reason, ascending."""

    empty: list[int] = field(default_factory=list)
    too_long: list[int] = field(default_factory=list)

    def before(self, row: int) -> SkippedRows:
        """Return those below ``row``."""
        return SkippedRows(
            [r for r in self.empty if r < row], [r for r in self.too_long if r < row]
        )

    def counts(self) -> Skipped:
        return Skipped(empty=len(self.empty), too_long=len(self.too_long))


def load(store: Path) -> SkippedRows:
    """Return what is known of a store; nothing for a new one."""
    try:
        document = json.loads((store / "tokens" / NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return SkippedRows()
    return SkippedRows(document["empty"], document["too_long"])


def save(store: Path, rows: SkippedRows) -> None:
    """Write atomically, beside the token shards."""
    directory = store / "tokens"
    directory.mkdir(parents=True, exist_ok=True)
    temporary = directory / f".{NAME}.{secrets.token_hex(4)}.partial"
    with temporary.open("w", encoding="utf-8") as file:
        json.dump({"empty": rows.empty, "too_long": rows.too_long}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(directory / NAME)

"""Named SQL, read from the files beside this module."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import aiosql

_SQL = Path(__file__).parent / "sql"


@cache
def queries(name: str) -> Any:
    """Return the queries of ``sql/<name>.sql``, one coroutine function each."""
    return aiosql.from_path(_SQL / f"{name}.sql", "asyncpg", mandatory_parameters=False)

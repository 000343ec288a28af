"""The files of a canonical dataset, and whether all are there."""

from __future__ import annotations

from pathlib import Path

DATA = "data.parquet"
FACTS = "dataset.json"


def has_dataset(root: Path, fingerprint: str) -> bool:
    """Return whether a canonical dataset is complete on disk."""
    directory = root / fingerprint
    return (directory / DATA).is_file() and (directory / FACTS).is_file()

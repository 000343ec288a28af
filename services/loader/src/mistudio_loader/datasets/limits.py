"""How large a dataset may be."""

from __future__ import annotations

from mistudio_contracts.errors import PayloadTooLarge

from .problems import bad_data

MAX_COLUMNS = 1000
"""Each row has a place in each column, so lines with a key of their own each would fill memory."""


def require_size(size: int, max_bytes: int) -> None:
    """Check the size of a dataset in bytes.

    Raises
    ------
    PayloadTooLarge
        With ``max_bytes``.
    """
    if size > max_bytes:
        raise PayloadTooLarge(
            f"The dataset is larger than {max_bytes} bytes.",
            field="identifier",
            reason="dataset_too_large",
            max_bytes=max_bytes,
            remedy="Use a smaller split, or a part of the file.",
        )


def require_columns(count: int) -> None:
    """Check the number of a dataset's columns.

    Raises
    ------
    InvalidInput
        ``reason`` is ``too_many_columns``.
    """
    if count > MAX_COLUMNS:
        raise bad_data(
            "too_many_columns",
            f"The dataset has {count} columns; {MAX_COLUMNS} are read.",
            "Keep the columns that are needed, and put what varies into one of them.",
        )

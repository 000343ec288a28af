"""Paths as people write them."""

from __future__ import annotations

import os
from pathlib import Path


def written(text: str) -> Path:
    """Return the path that a text stands for, with ``~`` and ``~name`` where that is somebody.

    Of nobody's ``~name`` it is the very text: a file may be called so, and a hub id is no path.
    """
    # Path.expanduser raises instead.
    return Path(os.path.expanduser(text))  # noqa: PTH111

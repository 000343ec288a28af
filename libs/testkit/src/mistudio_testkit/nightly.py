"""What runs each night, and is too long for each change."""

from __future__ import annotations

import os

import pytest

NIGHTLY = os.environ.get("MISTUDIO_TESTS") == "all"

FUZZ_SECONDS = int(os.environ.get("MISTUDIO_FUZZ_SECONDS", "3"))
"""How long each fuzzer goes on."""


def skip_what_is_nightly(items: list[pytest.Item]) -> None:
    """Skip what ``@pytest.mark.nightly("what it takes")`` marks, unless it is asked for."""
    for item in items:
        marker = item.get_closest_marker("nightly")
        if marker is not None and not NIGHTLY:
            (takes,) = marker.args
            item.add_marker(pytest.mark.skip(f"{takes}: runs each night, or by MISTUDIO_TESTS=all"))

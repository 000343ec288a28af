"""What runs each night, and is too long for each change."""

from __future__ import annotations

import os

import pytest

THOROUGH = os.environ.get("MISTUDIO_TESTS") == "all"

nightly = pytest.mark.skipif(not THOROUGH, reason="takes long: make thorough runs it")

"""What is committed under contracts/ is what the code says, and no reader is broken in silence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_committed_contracts_are_what_the_code_renders() -> None:
    ran = subprocess.run(
        [sys.executable, "deploy/dev/render.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr

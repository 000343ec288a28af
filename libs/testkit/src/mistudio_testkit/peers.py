"""The environment of the libraries that we hand rows to and compare ourselves with."""

from __future__ import annotations

import subprocess
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).resolve().parents[4]


def peers_python() -> Path:
    """Return the Python of the environment with SAELens, made if it is not there."""
    with FileLock(ROOT / ".venv-peers.lock"):
        subprocess.run([ROOT / "deploy" / "dev" / "peers"], check=True)
    return ROOT / ".venv-peers" / "bin" / "python"

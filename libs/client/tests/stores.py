"""An activation store as files, written without the store's library."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


def write_store(root: Path) -> Path:
    """Write a manifest and the files that it names, and return the directory."""
    contents = {
        "tokens/00000.safetensors": b"tokens" * 1000,
        "layers.0.resid_post/00000.safetensors": bytes(range(256)) * 9000,
        "layers.1.resid_post/00000.safetensors": bytes(range(256))[::-1] * 9000,
    }
    files = []
    for path, content in contents.items():
        place = root / path
        place.parent.mkdir(parents=True)
        place.write_bytes(content)
        files.append(
            {"path": path, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        )
    (root / "manifest.json").write_text(json.dumps({"version": 1, "files": files}))
    return root

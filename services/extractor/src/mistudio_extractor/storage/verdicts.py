"""Which quantised formats run on this machine, kept so that a start need not try them again."""

from __future__ import annotations

import json
import logging
import platform
import secrets
from importlib.metadata import version
from pathlib import Path

from platformdirs import user_cache_path

log = logging.getLogger(__name__)

NAME = "kernels.json"

Verdicts = dict[str, str | None]
"""Each format with null, or with the reason why it does not run."""


class KeptVerdicts:
    """Verdicts by what they depend on: the versions of torch, bitsandbytes and Python, the device.

    Parameters
    ----------
    directory
        Where they are kept; null takes the user's cache.
    """

    def __init__(self, directory: Path | None) -> None:
        self._path = (directory or user_cache_path("mistudio")) / NAME

    def load(self, device: str) -> Verdicts | None:
        """Return what was found on the device so named; None when it was not tried yet."""
        return self._all().get(_key(device))

    def save(self, device: str, verdicts: Verdicts) -> None:
        """Keep what was found. A disk that takes none only costs the next start its time."""
        found = {**self._all(), _key(device): verdicts}
        temporary = self._path.with_name(f".{NAME}.{secrets.token_hex(4)}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(found, indent=1), encoding="utf-8")
            temporary.replace(self._path)
        except OSError as error:
            log.warning("Which formats run is not kept.", extra={"error": str(error)})

    def _all(self) -> dict[str, Verdicts]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _key(device: str) -> str:
    parts = (version("torch"), version("bitsandbytes"), device, platform.python_version())
    return " | ".join(parts)

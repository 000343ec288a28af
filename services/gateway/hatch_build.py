"""Put the web UI into the wheel where it has been built; a checkout serves it from its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WebUi(BuildHookInterface[Any]):
    """Adds ``services/web/dist`` as ``mistudio_gateway/web``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        build = Path(self.root).parent / "web" / "dist"
        if version != "editable" and (build / "index.html").is_file():
            build_data["force_include"][str(build)] = "mistudio_gateway/web"

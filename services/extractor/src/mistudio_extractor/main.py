"""Starting the extractor."""

from __future__ import annotations

from mistudio_servicekit.app import run
from mistudio_servicekit.logs import configure

from .config import ExtractorSettings
from .factory import SERVICE, create_app


def main() -> None:
    """Run until told to stop."""
    settings = ExtractorSettings()
    configure(SERVICE, settings.log_level)
    run(create_app(settings), settings)

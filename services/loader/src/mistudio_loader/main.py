"""Starting the loader."""

from __future__ import annotations

import os

from .config import LoaderSettings
from .services.children import HUB_ENVIRONMENT


def main() -> None:
    """Run until told to stop."""
    # Read by huggingface_hub once, when it is imported.
    os.environ.update(HUB_ENVIRONMENT)
    settings = LoaderSettings()

    from mistudio_servicekit.app import run
    from mistudio_servicekit.logs import configure

    from .factory import SERVICE, create_app

    configure(SERVICE, settings.log_level)
    run(create_app(settings), settings)

"""``python -m mistudio_catalog`` serves; ``python -m mistudio_catalog migrate`` migrates."""

from __future__ import annotations

import argparse

from mistudio_servicekit.logs import configure

from .config import CatalogSettings


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="mistudio_catalog", description=__doc__)
    verbs = parser.add_subparsers(dest="verb")
    migrating = verbs.add_parser("migrate", help="bring the database's schema up to date")
    migrating.add_argument("--down", metavar="REV", help="take it back to REV; base removes it")
    chosen = parser.parse_args(arguments)

    settings = CatalogSettings()
    configure("catalog", settings.log_level)
    if chosen.verb == "migrate":
        _migrate(settings, chosen.down)
        return
    from mistudio_servicekit.app import run

    from .factory import create_app

    run(create_app(settings), settings)


def _migrate(settings: CatalogSettings, down: str | None) -> None:
    # Alembic and SQLAlchemy take longer to import than the catalog takes to start.
    from .storage import migrate

    if down is None:
        migrate.upgrade(settings.database_url)
    else:
        migrate.downgrade(settings.database_url, down)


if __name__ == "__main__":
    main()
